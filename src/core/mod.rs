//! The writer thread: commands, timer and claims; synchronous.

pub(crate) mod messages;
