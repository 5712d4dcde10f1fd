//! The one deliberate bug that the files under test contain; the library's list is `src/sabotage.rs`.

use std::cell::Cell;

/// A bug that somebody could have written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A command that arrives just before the writer sleeps does not wake it.
    LostWakeup,
}

thread_local! {
    static IS_ON: Cell<bool> = Cell::new(is_on_for_all());
}

/// Whether a bug is switched on for this thread of the tier.
pub(crate) fn on(bug: Bug) -> bool {
    bug == Bug::LostWakeup && IS_ON.get()
}

/// Switches the bug on for this thread.
pub(crate) fn switch_on_here() {
    IS_ON.set(true);
}

/// Whether the whole tier is to run with the bug, and to fail.
pub(crate) fn is_on_for_all() -> bool {
    std::env::var("MAINSPRING_SABOTAGE").is_ok_and(|name| name == "lost_wakeup")
}
