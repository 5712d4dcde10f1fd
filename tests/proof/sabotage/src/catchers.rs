//! What catches which bug.

use std::fmt;

use mainspring::sabotage::Bug;

/// A program that finds nothing, and a violation once the bug is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Catcher {
    /// A tier of the proof, with its arguments.
    Tier(&'static str, &'static [&'static str]),
    /// One of this tier's own short lives.
    Life(&'static str),
}

/// The catcher of a bug. A new bug has to have one before this compiles.
pub(crate) const fn catcher(bug: Bug) -> Catcher {
    match bug {
        Bug::SplitCompletion | Bug::NormalForFull => {
            Catcher::Tier("power", &["quick", "case", "enqueue", "balanced"])
        }
        Bug::DeliverBeforeCommit => Catcher::Tier("power", &["quick", "case", "delivered", "balanced"]),
        Bug::UngroupedMigration => Catcher::Tier("power", &["quick", "case", "first-start", "balanced"]),
        Bug::LostWakeup => Catcher::Tier("wakeups", &["quick", "only", "close_against_a_caller_that_helps"]),
        Bug::NoFence => Catcher::Life("fence"),
        Bug::NoStateGuard => Catcher::Life("guard"),
        Bug::CommitErrorMeansNo => Catcher::Life("doubt"),
        Bug::RecomputeAtLoad => Catcher::Life("overdue"),
        Bug::UncountedRecovery => Catcher::Life("parked"),
        Bug::ResendDelivered => Catcher::Life("delivered"),
        Bug::RobPausedOwner => Catcher::Life("slow"),
        Bug::KeyWithoutOccurrence => Catcher::Life("keys"),
        Bug::TimerNotRearmed => Catcher::Life("timer"),
    }
}

impl Catcher {
    /// The package and the arguments of the program.
    pub(crate) fn command(self) -> (&'static str, Vec<&'static str>) {
        match self {
            Self::Tier(name, args) => (name, args.to_vec()),
            Self::Life(name) => ("sabotage", vec!["life", name]),
        }
    }
}

impl fmt::Display for Catcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (program, args) = self.command();
        write!(f, "{program} {}", args.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lives::LIVES;

    #[test]
    fn every_life_catches_some_bug_and_every_catcher_is_there() {
        let used: Vec<Catcher> = Bug::ALL.iter().map(|bug| catcher(*bug)).collect();
        for (name, _) in LIVES {
            assert!(used.contains(&Catcher::Life(name)), "{name} catches nothing");
        }
        for catcher in used {
            if let Catcher::Life(wanted) = catcher {
                assert!(LIVES.iter().any(|(name, _)| *name == wanted), "there is no life {wanted}");
            }
        }
    }
}
