//! The engine as a whole over a writer that answers what a test wants.

mod deliveries;
mod fake;
mod lives;
mod runs;
mod stops;

pub(super) use fake::{Args, BEGIN, claim, context, erased, fake, of_run};
