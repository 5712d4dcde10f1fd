//! Short lives of a queue, each about one thing that must not happen.

mod crew;
mod disk;
mod owners;
mod times;

use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

/// How a life ends: in order, with something that must not be, or not at all.
pub(crate) type Ended = Result<Option<String>, String>;

type Life = fn() -> Pin<Box<dyn Future<Output = Ended>>>;

/// Each life by its name.
pub(crate) const LIVES: &[(&str, Life)] = &[
    ("fence", || Box::pin(owners::a_released_run_keeps_its_outcome())),
    ("slow", || Box::pin(owners::an_owner_that_lives_keeps_its_run())),
    ("parked", || Box::pin(owners::what_ends_its_process_three_times_is_parked())),
    ("guard", || Box::pin(owners::what_was_settled_by_hand_is_not_sent())),
    ("delivered", || Box::pin(times::what_was_delivered_is_not_sent_at_the_next_start())),
    ("keys", || Box::pin(times::two_occurrences_have_two_keys())),
    ("overdue", || Box::pin(times::what_is_overdue_at_the_start_is_run())),
    ("timer", || Box::pin(disk::after_an_error_the_timer_goes_on())),
    ("doubt", || Box::pin(disk::nobody_is_told_no_while_the_log_may_hold_it())),
];

/// Lives one of them.
pub(crate) fn live(name: &str) -> Result<ExitCode, String> {
    let Some((name, life)) = LIVES.iter().find(|(known, _)| *known == name) else {
        let names: Vec<&str> = LIVES.iter().map(|(name, _)| *name).collect();
        return Err(format!("there is no life {name:?}; there are: {}", names.join(", ")));
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let ended = runtime.block_on(life());
    // What a bug has left hanging is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match ended? {
        None => Ok(ExitCode::SUCCESS),
        Some(what) => {
            println!("violation {name}: {what}");
            Ok(ExitCode::FAILURE)
        }
    }
}
