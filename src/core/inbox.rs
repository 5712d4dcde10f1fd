//! Commands on their way to the writer, what wakes it, and when it may leave. Its rules are tried by the proof under
//! many thousand orders of events (`tests/proof/wakeups`).
//!
//! * Whatever is news is a fact under one lock: the writer looks and falls asleep under one hold of it.
//! * A step ends by saying until when there is nothing to do, before anybody else can take a step. The thread sleeps
//!   until then, whoever took the step.
//! * A command is waiting, in somebody's hand, or answered. The writer leaves when all are answered.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use super::sync::{Arc, AtomicBool, Condvar, Instant, Mutex, MutexGuard, Ordering, PoisonError, watch};
use crate::sabotage::{Bug, on};

/// One transaction takes at most so many commands, so that claims come in between.
const BATCH: usize = 512;
/// Waking a thread takes about half of this. If the last command came so soon after the thread had begun to wait, it
/// watches for the next one for as long before it falls asleep: with short jobs, each transaction waits for the ends of
/// the runs that the last one began. If none comes, the next wait is slept through.
const WATCH: Duration = Duration::from_micros(100);

/// What waits for the writers of one queue.
pub(super) struct Inbox<W> {
    state: Mutex<State<W>>,
    changed: Condvar,
    /// Whether a command was brought that no step knows of, for a thread that watches; changed under the lock.
    seen: AtomicBool,
}

struct State<W> {
    waiting: VecDeque<W>,
    /// Taken, and neither answered nor put back.
    in_hand: usize,
    /// The last so many of those that wait were brought since a step took commands.
    brought: usize,
    /// Since the last step took commands, somebody has news.
    news: bool,
    closed: bool,
    /// The writer of this generation takes commands and says how long to rest; earlier ones were replaced.
    generation: u32,
    /// Until when there is nothing to do, as the last step found.
    rests_until: Option<Instant>,
    /// Since when somebody may be asleep who was not woken by a command.
    asleep: Option<Instant>,
    /// The last command came soon after the thread had begun to wait.
    comes_soon: bool,
}

/// Why a command is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// No command is taken any more.
    Closed,
    /// So many are waiting already.
    Full(usize),
}

impl<W> Default for Inbox<W> {
    fn default() -> Self {
        let state = State {
            waiting: VecDeque::new(),
            in_hand: 0,
            brought: 0,
            news: false,
            closed: false,
            generation: 0,
            rests_until: None,
            asleep: None,
            comes_soon: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), seen: AtomicBool::new(false) }
    }
}

impl<W> State<W> {
    /// Nothing comes any more, and everything that came is answered.
    fn is_done(&self) -> bool {
        self.closed && self.waiting.is_empty() && self.in_hand == 0
    }

    fn add(&mut self, command: W, most: usize) -> Result<(), Refused> {
        if self.closed {
            return Err(Refused::Closed);
        }
        if self.waiting.len() >= most {
            return Err(Refused::Full(self.waiting.len()));
        }
        self.waiting.push_back(command);
        self.brought += 1;
        Ok(())
    }

    /// Whether something came that the last step does not know of.
    fn has_news(&self) -> bool {
        self.news || self.brought > 0
    }

    /// Moves commands from the front into a hand that may hold so many in all.
    fn hand_out(&mut self, commands: &mut Vec<W>, most: usize) -> usize {
        let count = self.waiting.len().min(most.saturating_sub(commands.len()));
        commands.extend(self.waiting.drain(..count));
        self.in_hand += count;
        self.brought = self.brought.min(self.waiting.len());
        count
    }
}

impl<W> Inbox<W> {
    /// Adds a command and wakes the thread.
    pub(super) fn push(&self, command: W, most: usize) -> Result<(), Refused> {
        let mut state = self.lock();
        state.add(command, most)?;
        self.seen.store(true, Ordering::SeqCst);
        // A call of the system each time, so not for a thread that is awake, or was woken by somebody else just now.
        let asleep = state.asleep.take();
        if let Some(since) = asleep {
            state.comes_soon = Instant::now().saturating_duration_since(since) < WATCH;
        }
        drop(state);
        if asleep.is_some() {
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Adds a command of a caller that takes the next step itself, or else gives notice.
    pub(super) fn push_quietly(&self, command: W, most: usize) -> Result<(), Refused> {
        self.lock().add(command, most)
    }

    /// Adds commands for the same transaction.
    #[cfg(test)]
    pub(super) fn push_all(&self, commands: Vec<W>) {
        let mut state = self.lock();
        state.brought += commands.len();
        state.waiting.extend(commands);
        drop(state);
        self.changed.notify_all();
    }

    /// Takes what waits, at the beginning of a step; nothing for a writer that was replaced.
    pub(super) fn take(self: &Arc<Self>, generation: u32) -> Hand<W> {
        let mut state = self.lock();
        let mut commands = Vec::new();
        if state.generation == generation {
            state.hand_out(&mut commands, BATCH);
            // Of those that are left the step knows as well.
            (state.news, state.brought) = (false, 0);
            self.seen.store(false, Ordering::SeqCst);
        }
        drop(state);
        self.hand(generation, commands)
    }

    /// Takes those of the waiting commands that a caller picks.
    pub(super) fn take_if(self: &Arc<Self>, generation: u32, picks: impl FnMut(&W) -> bool) -> Hand<W> {
        let mut state = self.lock();
        let (commands, left): (VecDeque<W>, VecDeque<W>) =
            mem::take(&mut state.waiting).into_iter().partition(picks);
        state.waiting = left;
        state.brought = state.brought.min(state.waiting.len());
        self.seen.store(state.brought > 0, Ordering::SeqCst);
        state.in_hand += commands.len();
        drop(state);
        self.hand(generation, commands.into())
    }

    fn hand(self: &Arc<Self>, generation: u32, commands: Vec<W>) -> Hand<W> {
        Hand { inbox: Arc::clone(self), generation, held: commands.len(), commands }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Somebody has news: the writer looks at the file and the clock before it sleeps again.
    pub(super) fn nudge(&self) {
        self.lock().news = true;
        self.changed.notify_all();
    }

    /// Ends a step: says how long there is nothing to do. Whoever took the step says so before anybody can take the
    /// next one; the thread may be asleep, or on its way there with what an earlier step found.
    pub(super) fn rest(&self, generation: u32, wait: Duration) {
        let until = Instant::now() + wait;
        let mut state = self.lock();
        if state.generation != generation {
            // A replaced writer knows nothing of what its successor waits for.
            return;
        }
        let earlier = state.rests_until.is_none_or(|before| until < before);
        state.rests_until = Some(until);
        let wake = earlier && state.asleep.is_some();
        drop(state);
        if wake {
            self.changed.notify_all();
        }
    }

    /// Sleeps until there is news, or the time has come that the last step said.
    pub(super) fn sleep(&self, generation: u32) {
        let mut state = self.lock();
        let since = Instant::now();
        while state.generation == generation && !state.has_news() && !state.is_done() {
            let left = state.rests_until.map(|until| until.saturating_duration_since(Instant::now()));
            let Some(left) = left.filter(|left| !left.is_zero()) else { return };
            if on(Bug::LostWakeup) {
                // What comes between the look and the sleep is slept over.
                drop(state);
                state = self.lock();
            }
            if mem::take(&mut state.comes_soon) && left > WATCH {
                drop(state);
                let soon = watch(WATCH, || self.seen.load(Ordering::SeqCst));
                state = self.lock();
                state.comes_soon = soon && state.has_news();
                continue;
            }
            state.asleep = Some(since);
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// From now on the writer of this generation takes the commands; an earlier one that sleeps wakes and stops.
    pub(super) fn take_over(&self, generation: u32) {
        self.lock().generation = generation;
        self.changed.notify_all();
    }

    /// No command is taken any more; those that wait are still written.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Whether it is closed and everything that came is answered; it stays so.
    pub(super) fn is_done(&self) -> bool {
        self.lock().is_done()
    }

    /// Waits until everything is answered; whether it was before the time was over.
    pub(super) fn wait_until_done(&self, longest: Duration) -> bool {
        let until = Instant::now() + longest;
        let mut state = self.lock();
        while !state.is_done() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// What was in hand is answered or comes back, in front of what came later.
    fn end_hand(&self, generation: u32, held: usize, left: Vec<W>) {
        let mut state = self.lock();
        state.in_hand -= held;
        // The writer that put them back knows of them; another one does not.
        let is_news = !left.is_empty() && state.generation != generation;
        state.news |= is_news;
        for command in left.into_iter().rev() {
            state.waiting.push_front(command);
        }
        let awaited = is_news || state.closed;
        drop(state);
        if awaited {
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<W>> {
        // Nothing in here panics with the lock held; a poisoned lock still guards a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Commands that somebody works on. What is not answered goes back when this is dropped, also by a panic.
pub(super) struct Hand<W> {
    inbox: Arc<Inbox<W>>,
    generation: u32,
    /// How many of the inbox's commands in hand are this hand's.
    held: usize,
    commands: Vec<W>,
}

impl<W> Hand<W> {
    pub(super) fn commands(&self) -> &[W] {
        &self.commands
    }

    pub(super) fn commands_mut(&mut self) -> &mut [W] {
        &mut self.commands
    }

    /// Takes what has come meanwhile for the same transaction; how many those are. None for a writer that was replaced.
    pub(super) fn take_more(&mut self) -> usize {
        let mut state = self.inbox.lock();
        if state.generation != self.generation {
            return 0;
        }
        let count = state.hand_out(&mut self.commands, BATCH);
        self.inbox.seen.store(state.brought > 0, Ordering::SeqCst);
        self.held += count;
        count
    }

    /// All of them, to be answered before this is dropped: a queue that closes waits for what is in a hand.
    pub(super) fn take_all(&mut self) -> Vec<W> {
        mem::take(&mut self.commands)
    }

    /// Answers each.
    pub(super) fn answer(mut self, with: impl FnMut(W)) {
        self.take_all().into_iter().for_each(with);
    }

    /// Parts with those that a caller picks.
    pub(super) fn take_if(&mut self, picks: impl FnMut(&W) -> bool) -> Self {
        let (commands, left): (Vec<W>, Vec<W>) = mem::take(&mut self.commands).into_iter().partition(picks);
        self.commands = left;
        self.held -= commands.len();
        Self { inbox: Arc::clone(&self.inbox), generation: self.generation, held: commands.len(), commands }
    }
}

impl<W> Drop for Hand<W> {
    fn drop(&mut self) {
        if self.held > 0 {
            self.inbox.end_hand(self.generation, self.held, mem::take(&mut self.commands));
        }
    }
}
