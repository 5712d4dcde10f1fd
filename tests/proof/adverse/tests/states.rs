//! The states as tests.
#![allow(clippy::panic, reason = "a test that panics has failed")]

use mainspring_proof_adverse::{Outside, Shown, each_state};

macro_rules! tests {
    ($($module:ident::$name:ident,)+) => {
        $(#[test]
        fn $name() {
            let outside = Outside { exe: env!("CARGO_BIN_EXE_mainspring-proof-adverse").into() };
            if let Shown::NotHere(why) = mainspring_proof_adverse::$module::$name(&outside) {
                println!("not here: {why}");
            }
        })+
    };
}
each_state!(tests);
