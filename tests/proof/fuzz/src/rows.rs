//! Rows of every table with hostile values in them, put there past every constraint; then everything is asked that can
//! be asked, an engine lives on the file, and an operator tries what there is to try. What makes no sense is named, and
//! all other jobs run.

mod ask;
mod edit;
mod live;
pub(crate) mod template;
pub(crate) mod work;

use crate::dice::Dice;
use crate::{Verdict, file};

pub(crate) fn case(number: u64, dice: &mut Dice) -> Verdict {
    let copy = file::Copy::of(&template::USED);
    edit::edit(&copy, number, dice)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let verdict = runtime.block_on(live::live(&copy, dice));
    runtime.shutdown_background();
    verdict
}
