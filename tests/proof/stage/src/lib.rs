//! What the tiers of the proof play on a real file: applications in small, with a ledger outside the database of what
//! was acknowledged, called and sent, and a check of the file against it.
//!
//! A [`Scenario`] is prepared once ([`Scenario::prepare`] makes the file that it begins with), then played on copies
//! of that file ([`Scenario::play`] on a [`Stage`]) while a tier makes things go wrong. An application in it does what
//! the library's documentation tells applications: it repeats what failed, and looks first where an outcome is
//! unknown. A scenario that was killed is played again with the same ledger, and goes on where it was. In the end
//! [`check`] reads the file and says what is not as promised.
#![forbid(unsafe_code)]

mod check;
mod handlers;
mod ledger;
mod part;
mod play;
mod prepare;
mod scenario;
mod stage;
#[cfg(test)]
mod tests;
mod typed;
pub mod watch;

pub use check::{Terms, check};
pub use handlers::PANIC;
pub use ledger::{Entry, Ledger};
pub use part::{Act, Answer, Last, Part};
pub use play::Play;
pub use scenario::Scenario;
pub use stage::{BEGINNING, Stage};
pub use typed::class;
