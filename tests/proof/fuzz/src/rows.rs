//! Rows of every table with hostile values in them; then everything is asked that can be asked, an engine lives on the
//! file, and an operator tries what there is to try.
//!
//! What the schema lets anybody write is named where it makes no sense, and all other jobs run. What was put past the
//! constraints makes nothing panic or hang; where it keeps other jobs from being run, health says why.

mod ask;
mod edit;
mod live;
pub(crate) mod template;
pub(crate) mod work;

use crate::dice::Dice;
use crate::{Verdict, file};

pub(crate) fn case(number: u64, dice: &mut Dice) -> Verdict {
    let copy = file::Copy::of(&template::USED);
    let checked = number.is_multiple_of(2);
    edit::edit(&copy, checked, number / 2, dice)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let verdict = runtime.block_on(live::live(&copy, checked, dice));
    runtime.shutdown_background();
    verdict
}
