//! The kinds of work that the simulated applications know.

use mainspring::JobArgs;
use serde::{Deserialize, Serialize};

/// Work whose output nobody waits for.
#[derive(Serialize, Deserialize)]
pub(crate) struct Work(pub(crate) u64);

impl JobArgs for Work {
    const KIND: &'static str = "work";
}

/// Work whose output is delivered.
#[derive(Serialize, Deserialize)]
pub(crate) struct Mail(pub(crate) u64);

impl JobArgs for Mail {
    const KIND: &'static str = "mail";
}

pub(crate) const KINDS: [&str; 2] = [Work::KIND, Mail::KIND];
pub(crate) const QUEUES: [&str; 3] = ["default", "mail", "slow"];

/// Whether outputs of this kind are delivered.
pub(crate) fn delivers(kind: &str) -> bool {
    kind == Mail::KIND
}
