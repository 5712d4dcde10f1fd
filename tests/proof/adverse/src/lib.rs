//! Adverse states that need something special: a disk that is full or does not sync, a limit of the system, a fork. The
//! states that need nothing but files stand with the tests of the library (`tests/adverse_*.rs`).
//!
//! Each state is a function that panics if it is not as it must be. A test of the same name calls it, and so does the
//! tier.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "these are tests: one that panics has failed, and their names say what they show"
)]

pub mod app;
pub mod bench;
pub mod full_disk;
pub mod locks;
pub mod process;
pub mod sync;

/// Calls a macro with all states, by module and name.
#[macro_export]
macro_rules! each_state {
    ($with:ident) => {
        $with! {
            full_disk::on_a_full_disk_results_are_written_and_nothing_is_claimed_until_there_is_room,
            full_disk::results_for_which_there_is_no_room_wait_and_are_written_once_there_is,
            full_disk::a_new_file_on_a_full_disk_is_refused_and_opened_once_there_is_room,
            full_disk::a_disk_that_is_really_full_is_survived,
            sync::an_enqueue_whose_sync_fails_is_made_once,
            sync::a_result_whose_sync_fails_is_recorded_once_and_its_handler_is_not_called_again,
            sync::an_enqueue_whose_outcome_cannot_be_found_out_says_so,
            locks::an_exclusive_lock_of_thirty_seconds_is_busy_to_callers_and_loses_no_result,
            process::without_free_file_descriptors_jobs_run_on,
            process::a_fork_is_told_to_open_the_queue_anew_and_its_parent_goes_on,
        }
    };
}

/// What a state needs from outside.
#[derive(Clone, Debug)]
pub struct Outside {
    /// The program that plays the children.
    pub exe: std::path::PathBuf,
}

/// Whether a state could be brought about here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    Yes,
    /// The machine does not let it; why.
    NotHere(String),
}
