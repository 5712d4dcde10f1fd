//! The writer thread: commands, timer and claims; synchronous.
//!
//! One thread owns the connection that writes. It takes the commands that have arrived, runs them,
//! claims for the slots that are free, commits once, and only then answers. Where a command fails that has written
//! something, the transaction is begun again with each command in a savepoint. A blocking caller that finds the writer
//! idle does its work itself.

mod drive;
mod engines;
mod generation;
mod handle;
mod inbox;
mod liveness;
pub(crate) mod messages;
mod op;
mod owner;
mod pulse;
mod shared;
mod sync;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use handle::Handle;
pub(crate) use op::Promise;
pub(crate) use pulse::CoreHealth;
