//! Commands on their way to the writer, and what wakes it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::op::{Patience, Work};
use crate::error::{Error, Result};

/// So many commands may wait; a caller beyond gets [`Error::Overloaded`]. At 10,000 commits a second in groups
/// this is seconds of work, and a bound on memory.
pub(super) const MOST_WAITING: usize = 65_536;
/// One transaction takes at most so many commands, so that claims come in between.
const BATCH: usize = 512;

#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    woken: Condvar,
    taken: Condvar,
}

#[derive(Default)]
struct State {
    commands: VecDeque<Box<dyn Work>>,
    /// Somebody has news: the writer looks at the file before it sleeps again.
    nudged: bool,
    closed: bool,
    /// Until when the thread sleeps; `None` while it works.
    sleeps_until: Option<Instant>,
}

impl Inbox {
    /// Adds a command. The writer's thread is woken unless the caller is going to do the work itself.
    pub(super) fn push(&self, command: Box<dyn Work>, wake: bool) -> Result<()> {
        let mut state = self.lock();
        let waiting = state.commands.len();
        if state.closed {
            return Err(Error::Closed);
        }
        if waiting >= MOST_WAITING && command.patience() == Patience::Caller {
            return Err(Error::Overloaded { waiting });
        }
        state.commands.push_back(command);
        let asleep = state.sleeps_until.is_some();
        drop(state);
        if wake && asleep {
            self.woken.notify_all();
        }
        Ok(())
    }

    /// Puts commands back in front that a transaction did not write.
    pub(super) fn put_back(&self, commands: Vec<Box<dyn Work>>) {
        let mut state = self.lock();
        for command in commands.into_iter().rev() {
            state.commands.push_front(command);
        }
    }

    pub(super) fn take(&self) -> Vec<Box<dyn Work>> {
        let mut state = self.lock();
        let count = state.commands.len().min(BATCH);
        state.nudged = false;
        let taken = state.commands.drain(..count).collect();
        let awaited = state.closed;
        drop(state);
        if awaited {
            // A call of the system each time, so not in every step.
            self.taken.notify_all();
        }
        taken
    }

    pub(super) fn len(&self) -> usize {
        self.lock().commands.len()
    }

    /// Wakes the thread so that it looks at the file and the clock.
    pub(super) fn nudge(&self) {
        self.lock().nudged = true;
        self.woken.notify_all();
    }

    /// Wakes the thread if it would sleep for longer: somebody else has found earlier work for it.
    pub(super) fn wake_within(&self, wait: Duration) {
        let at = Instant::now() + wait;
        let state = self.lock();
        let work = !state.commands.is_empty();
        let late = state.sleeps_until.is_some_and(|until| work || until > at);
        drop(state);
        if late {
            self.nudge();
        }
    }

    /// No command is taken any more; those that wait are still written.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.woken.notify_all();
    }

    /// Whether all commands were taken before the time was over.
    pub(super) fn wait_until_empty(&self, longest: Duration) -> bool {
        let until = Instant::now() + longest;
        let mut state = self.lock();
        while !state.commands.is_empty() {
            let now = Instant::now();
            if now >= until {
                return false;
            }
            state = self.taken.wait_timeout(state, until - now).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Sleeps until a command, a nudge or the time; returns at once if there is one already.
    pub(super) fn sleep(&self, longest: Duration) {
        let until = Instant::now() + longest;
        let mut state = self.lock();
        state.sleeps_until = Some(until);
        while state.commands.is_empty() && !state.nudged && !state.closed {
            let now = Instant::now();
            if now >= until {
                break;
            }
            state = self.woken.wait_timeout(state, until - now).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.sleeps_until = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics with the lock held; a poisoned lock still guards a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
