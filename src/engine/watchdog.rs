//! Watches the writer and the runtime from a thread of its own, which neither of them can block.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::WeakUnboundedSender;

use super::dispatch::Command;
use super::env::Env;
use super::log;
use super::writer::Writer;
use crate::error::{Error, Result};

/// Only one watchdog at a time replaces a writer: several engines of a process may share one.
static REPLACING: Mutex<()> = Mutex::new(());

/// When silence becomes a stall.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "testing"), allow(unreachable_pub, reason = "only tests set it"))]
pub struct WatchLimits {
    /// How often the watchdog looks. Defaults to half a second.
    pub check_every: Duration,
    /// After this silence `health()` calls the writer stalled. Longer than SQLite's busy timeout: a writer that
    /// waits for another process's transaction is slow and not stuck. Defaults to 20 seconds.
    pub writer_slow: Duration,
    /// After this silence a new writer takes over. Defaults to 60 seconds.
    pub writer_stuck: Duration,
    /// After this silence the runtime counts as blocked. Defaults to 2 seconds.
    pub runtime: Duration,
}

impl Default for WatchLimits {
    fn default() -> Self {
        Self {
            check_every: Duration::from_millis(500),
            writer_slow: Duration::from_secs(20),
            writer_stuck: Duration::from_secs(60),
            runtime: Duration::from_secs(2),
        }
    }
}

/// The watchdog of one engine; it ends when this is dropped.
pub(super) struct Watchdog {
    _alive: Sender<()>,
}

impl Watchdog {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`Error::Io`] if the system gives no thread.
    pub(super) fn start<W: Writer>(
        env: Arc<Env<W>>,
        commands: WeakUnboundedSender<Command>,
        limits: WatchLimits,
    ) -> Result<Self> {
        let (alive, is_alive) = channel::<()>();
        let mut watch = Watch::new(limits, Instant::now());
        let thread = std::thread::Builder::new().name("mainspring-watchdog".to_owned());
        let watching = move || {
            while is_alive.recv_timeout(limits.check_every) == Err(RecvTimeoutError::Timeout) {
                check(&env, &commands, &mut watch);
            }
        };
        thread.spawn(watching).map_err(Error::io("starting the watchdog's thread"))?;
        Ok(Self { _alive: alive })
    }
}

fn check<W: Writer>(env: &Env<W>, commands: &WeakUnboundedSender<Command>, watch: &mut Watch) {
    let now = Instant::now();
    let was_frozen = watch.was_frozen(now);
    check_runtime(env, commands, watch, now, was_frozen);
    if !was_frozen {
        check_writer(env, watch, now);
    }
}

fn check_runtime<W: Writer>(
    env: &Env<W>,
    commands: &WeakUnboundedSender<Command>,
    watch: &mut Watch,
    now: Instant,
    was_frozen: bool,
) {
    let awaited = env.pulse.is_awaited();
    let stalled = watch.runtime_is_stalled(now, awaited, was_frozen);
    match (env.pulse.set_runtime_is_stalled(stalled), stalled) {
        (false, true) => log::runtime_is_stalled(watch.limits.runtime),
        (true, false) => log::runtime_goes_on(),
        _ => {}
    }
    if !awaited && let Some(commands) = commands.upgrade() {
        env.pulse.ping();
        // A loop that has ended since has stopped: nothing waits for its answer.
        let _ = commands.send(Command::Ping);
    }
}

fn check_writer<W: Writer>(env: &Env<W>, watch: &mut Watch, now: Instant) {
    match watch.writer(now, env.writer.health().since_last_tick) {
        WriterIs::Fine => {}
        WriterIs::Back => log::writer_ticks_again(env.writer.health().generation),
        WriterIs::Stuck { first } => {
            let _only_one = REPLACING.lock().unwrap_or_else(PoisonError::into_inner);
            // Another engine's watchdog may have been here in between.
            let silence = env.writer.health().since_last_tick;
            if silence <= watch.limits.writer_stuck {
                return;
            }
            if first {
                log::writer_is_stalled(silence);
            }
            if let Err(why) = env.writer.replace_generation() {
                log::writer_was_not_replaced(&why);
            }
        }
    }
}

/// What the watchdog remembers between two looks; it reads no clock itself.
#[derive(Debug)]
struct Watch {
    limits: WatchLimits,
    looked_at: Instant,
    /// Since when the same ping is unanswered.
    awaiting_since: Option<Instant>,
    replaced_at: Option<Instant>,
}

/// What the watchdog makes of the writer's silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriterIs {
    Fine,
    /// Silent for too long; replaced once in each `writer_stuck`.
    Stuck {
        first: bool,
    },
    /// Fine again after having been stuck.
    Back,
}

impl Watch {
    fn new(limits: WatchLimits, now: Instant) -> Self {
        Self { limits, looked_at: now, awaiting_since: None, replaced_at: None }
    }

    /// Whether this thread itself did not run for long: then nobody else did, and all deserve another look
    /// before they are judged. A laptop was closed, a container frozen.
    fn was_frozen(&mut self, now: Instant) -> bool {
        let asleep = now.saturating_duration_since(self.looked_at);
        self.looked_at = now;
        asleep > self.limits.check_every * 2 + Duration::from_secs(1)
    }

    fn runtime_is_stalled(&mut self, now: Instant, awaited: bool, was_frozen: bool) -> bool {
        if !awaited {
            self.awaiting_since = None;
            return false;
        }
        if was_frozen {
            self.awaiting_since = Some(now);
        }
        let since = *self.awaiting_since.get_or_insert(now);
        now.saturating_duration_since(since) > self.limits.runtime
    }

    fn writer(&mut self, now: Instant, silence: Duration) -> WriterIs {
        if silence <= self.limits.writer_stuck {
            return if self.replaced_at.take().is_some() { WriterIs::Back } else { WriterIs::Fine };
        }
        match self.replaced_at {
            Some(at) if now.saturating_duration_since(at) <= self.limits.writer_stuck => WriterIs::Fine,
            before => {
                self.replaced_at = Some(now);
                WriterIs::Stuck { first: before.is_none() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A watchdog that looks every second, and the moments of its looks.
    fn watch() -> (Watch, impl Fn(u32) -> Instant) {
        let begin = Instant::now();
        let limits = WatchLimits { check_every: SECOND, ..WatchLimits::default() };
        (Watch::new(limits, begin), move |second| begin + SECOND * second)
    }

    #[test]
    fn a_slow_writer_is_left_alone() {
        // D2.8: no false positive.
        let (mut watch, at) = watch();
        assert_eq!(watch.writer(at(1), 60 * SECOND), WriterIs::Fine);
    }

    #[test]
    fn a_stuck_writer_is_replaced_once_in_each_limit_and_told_once() {
        // D2.9
        let (mut watch, at) = watch();
        let looks: Vec<_> = (0..=130).map(|s| (s, watch.writer(at(s), 61 * SECOND))).collect();
        let acts: Vec<_> = looks.into_iter().filter(|(_, is)| *is != WriterIs::Fine).collect();
        let stuck = |first| WriterIs::Stuck { first };
        assert_eq!(acts, [(0, stuck(true)), (61, stuck(false)), (122, stuck(false))]);
        assert_eq!(watch.writer(at(131), SECOND), WriterIs::Back);
        assert_eq!(watch.writer(at(132), SECOND), WriterIs::Fine);
    }

    #[test]
    fn a_process_that_was_frozen_blames_nobody() {
        // D2.7: the lid was closed for eight hours.
        let (mut watch, at) = watch();
        assert!(!watch.was_frozen(at(1)));
        assert!(watch.was_frozen(at(28_801)));
        assert!(!watch.was_frozen(at(28_802)));
    }

    #[test]
    fn a_runtime_is_stalled_when_a_ping_waits_too_long() {
        let (mut watch, at) = watch();
        let looks: Vec<_> = (0..5).map(|s| watch.runtime_is_stalled(at(s), true, false)).collect();
        assert_eq!(looks, [false, false, false, true, true]);
        assert!(!watch.runtime_is_stalled(at(5), false, false));
        assert!(!watch.runtime_is_stalled(at(6), true, false));
        assert!(!watch.runtime_is_stalled(at(60), true, true), "frozen: it has another chance");
        assert!(watch.runtime_is_stalled(at(63), true, false));
    }
}
