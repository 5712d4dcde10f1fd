//! Waits for a handler's task and asks it to stop when it is time, or somebody says so.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::core::messages::StopReason;
use crate::error::panic_message;

/// What handlers get after they were asked to stop because the engine shuts down, if their own grace is not
/// shorter: whoever stops a process waits for it.
pub(super) const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// Requests to stop that may wait for one run. There are two reasons; a third request says nothing new.
pub(super) const MOST_ASKS: usize = 2;

/// How a task ended.
#[derive(Debug)]
pub(super) enum Ended<T> {
    /// It came back with this.
    Answered(T),
    /// It panicked with this message.
    Panicked(String),
    /// It was asked to stop and did not within its grace. It was aborted: an async task ends at its next
    /// `.await`, a blocking one when it returns.
    StillRunning,
    /// The runtime is going away and dropped it.
    Dropped,
}

/// Who asked the task to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) timed_out: bool,
    pub(super) cancelled: bool,
    pub(super) fenced: bool,
    pub(super) shutdown: bool,
}

/// How long a task may take and how it is told to stop.
pub(super) struct Leash<'a> {
    /// Cancelled when the task is asked to stop.
    pub(super) token: &'a CancellationToken,
    /// Cancelled when the engine's own time is over.
    pub(super) engine: &'a CancellationToken,
    pub(super) timeout: Option<Duration>,
    pub(super) grace: Duration,
}

/// Waits for the task's end. `started` tells when its work began; the timeout never fires earlier than its
/// length after that, however late a busy runtime began it.
pub(super) async fn supervise<T>(
    task: &mut JoinHandle<T>,
    mut asks: mpsc::Receiver<StopReason>,
    leash: Leash<'_>,
    started: impl Fn() -> Option<Instant>,
) -> (Ended<T>, Asked) {
    let spawned = Instant::now();
    let deadline = || later(started().unwrap_or_else(|| spawned.max(Instant::now())), leash.timeout?);
    let mut asked = Asked::default();
    let mut taken_away_at: Option<Instant> = None;
    let mut wake_at = leash.timeout.and_then(|timeout| later(spawned, timeout));
    loop {
        tokio::select! {
            // In this order: what has ended in time has ended, even if its time is over as well by now.
            biased;
            joined = &mut *task => return (ended(joined), asked),
            Some(reason) = asks.recv() => match reason {
                StopReason::Cancelled => asked.cancelled = true,
                StopReason::Fenced => asked.fenced = true,
            },
            () = leash.engine.cancelled(), if !asked.shutdown => {
                asked.shutdown = true;
                let end = later(Instant::now(), leash.grace.min(SHUTDOWN_GRACE));
                taken_away_at = earlier(taken_away_at, end);
            }
            () = sleep_until(wake_at) => match (taken_away_at, deadline()) {
                (Some(_), _) => {
                    task.abort();
                    return (Ended::StillRunning, asked);
                }
                (None, Some(deadline)) if deadline > Instant::now() => wake_at = Some(deadline),
                (None, _) => asked.timed_out = true,
            },
        }
        if asked != Asked::default() {
            leash.token.cancel();
            taken_away_at = taken_away_at.or_else(|| later(Instant::now(), leash.grace));
            wake_at = taken_away_at;
        }
    }
}

fn ended<T>(joined: Result<T, JoinError>) -> Ended<T> {
    match joined.map_err(JoinError::try_into_panic) {
        Ok(answer) => Ended::Answered(answer),
        Err(Ok(panic)) => Ended::Panicked(panic_message(&*panic)),
        Err(Err(_dropped)) => Ended::Dropped,
    }
}

/// `None` if that is beyond what a clock can show: nobody will wait for it.
pub(super) fn later(instant: Instant, wait: Duration) -> Option<Instant> {
    instant.checked_add(wait)
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

/// Never resolves for `None`.
pub(super) async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    struct Bench {
        token: CancellationToken,
        engine: CancellationToken,
        asks: mpsc::Sender<StopReason>,
        receiver: mpsc::Receiver<StopReason>,
    }

    fn bench() -> Bench {
        let (asks, receiver) = mpsc::channel(MOST_ASKS);
        Bench { token: CancellationToken::new(), engine: CancellationToken::new(), asks, receiver }
    }

    async fn watch<T>(
        bench: Bench,
        mut task: JoinHandle<T>,
        timeout: Option<Duration>,
        grace: Duration,
    ) -> (Ended<T>, Asked) {
        let begun = Instant::now();
        let leash = Leash { token: &bench.token, engine: &bench.engine, timeout, grace };
        supervise(&mut task, bench.receiver, leash, || Some(begun)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_fires_at_its_length_and_not_before() {
        // D6.4
        let bench = bench();
        let token = bench.token.clone();
        let begun = Instant::now();
        let task = tokio::spawn(async move {
            token.cancelled().await;
            begun.elapsed()
        });
        let (ended, asked) = watch(bench, task, Some(7 * SECOND), SECOND).await;
        let Ended::Answered(elapsed) = ended else { panic!("{ended:?}") };
        assert!(elapsed >= 7 * SECOND && elapsed <= 8 * SECOND, "{elapsed:?}");
        assert_eq!(asked, Asked { timed_out: true, ..Asked::default() });
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_began_late_has_its_whole_time() {
        // D6.4: the runtime was busy; the handler was called three seconds after its task was made.
        let bench = bench();
        let made = Instant::now();
        let token = bench.token.clone();
        let mut task = tokio::spawn(async move {
            token.cancelled().await;
            made.elapsed()
        });
        let leash =
            Leash { token: &bench.token, engine: &bench.engine, timeout: Some(5 * SECOND), grace: SECOND };
        let started = || (made.elapsed() >= 3 * SECOND).then_some(made + 3 * SECOND);
        let (ended, _) = supervise(&mut task, bench.receiver, leash, started).await;
        assert!(matches!(ended, Ended::Answered(elapsed) if elapsed >= 8 * SECOND), "{ended:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_timeout_a_task_may_take_for_ever() {
        // D6.5
        let task = tokio::spawn(async { tokio::time::sleep(400 * 86_400 * SECOND).await });
        let (ended, asked) = watch(bench(), task, None, SECOND).await;
        assert!(matches!(ended, Ended::Answered(())) && asked == Asked::default(), "{ended:?} {asked:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ignores_its_token_is_let_go_after_the_grace() {
        let bench = bench();
        let begun = Instant::now();
        let mut task = tokio::spawn(std::future::pending::<()>());
        let leash = Leash {
            token: &bench.token,
            engine: &bench.engine,
            timeout: Some(2 * SECOND),
            grace: 3 * SECOND,
        };
        let (ended, asked) = supervise(&mut task, bench.receiver, leash, || Some(begun)).await;
        assert!(matches!(ended, Ended::StillRunning) && asked.timed_out, "{ended:?} {asked:?}");
        assert!(begun.elapsed() >= 5 * SECOND);
        assert!(task.await.unwrap_err().is_cancelled(), "an async task is dropped");
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_shortens_a_long_grace() {
        let bench = bench();
        bench.engine.cancel();
        let begun = Instant::now();
        let task = tokio::spawn(std::future::pending::<()>());
        let (ended, asked) = watch(bench, task, None, 3_600 * SECOND).await;
        assert!(matches!(ended, Ended::StillRunning) && asked.shutdown);
        assert!(begun.elapsed() < 2 * SHUTDOWN_GRACE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_comes_with_its_message() {
        let task = tokio::spawn(async { panic!("no {}", "luck") });
        let (ended, _) = watch::<()>(bench(), task, None, SECOND).await;
        assert!(matches!(&ended, Ended::Panicked(message) if message == "no luck"), "{ended:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_beyond_the_clock_never_fires() {
        let task = tokio::spawn(async { 5 });
        let (ended, _) = watch(bench(), task, Some(Duration::MAX), Duration::MAX).await;
        assert!(matches!(ended, Ended::Answered(5)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_is_remembered() {
        let bench = bench();
        bench.asks.send(StopReason::Cancelled).await.unwrap();
        bench.asks.send(StopReason::Fenced).await.unwrap();
        let token = bench.token.clone();
        let task = tokio::spawn(async move {
            token.cancelled().await;
            tokio::time::sleep(SECOND).await;
        });
        let (_, asked) = watch(bench, task, None, 9 * SECOND).await;
        assert_eq!(asked, Asked { cancelled: true, fenced: true, ..Asked::default() });
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_ended_by_now_was_not_asked_to_stop() {
        // A success that races a timeout, a cancellation or a shutdown. Often, since a fair choice would be lucky.
        for _ in 0..64 {
            let bench = bench();
            bench.asks.send(StopReason::Cancelled).await.unwrap();
            bench.engine.cancel();
            let task = tokio::spawn(async { 5 });
            while !task.is_finished() {
                tokio::task::yield_now().await;
            }
            let (ended, asked) = watch(bench, task, Some(Duration::ZERO), SECOND).await;
            assert!(matches!(ended, Ended::Answered(5)) && asked == Asked::default(), "{asked:?}");
        }
    }
}
