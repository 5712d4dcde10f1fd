//! What is driven in place of the real core: a file that is a lock, commands that fail as they are told, and the
//! order of events of `src/core/writer`. It keeps account of what was written.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shuttle::sync::mpsc::{Receiver, Sender, channel};
use shuttle::thread::JoinHandle;

use crate::drive::{Drive, Steps};
use crate::generation::Generation;
use crate::inbox::{Hand, Inbox, Refused};
use crate::sync::{Arc, Instant, Mutex, MutexGuard, PoisonError, begin_time};

/// As long as the real core sleeps where it knows of nothing; nobody is woken by the clock after this.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// After a failure.
const PAUSE: Duration = Duration::from_millis(20);
/// What `close` is given: as good as for ever.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3600);

/// A command, and how often it goes wrong first.
pub(crate) struct Command {
    id: u32,
    /// Transactions with it that fail before their commit.
    failures: u32,
    /// Whether its first commit returns an error, and whether it is in the file then.
    unknown: Option<bool>,
    /// When the timer is to fire because of it.
    due_in: Option<Duration>,
    /// Its caller gets the error of the first transaction that fails.
    is_impatient: bool,
    answer: Sender<Answer>,
}

/// Whether it was written, as far as its caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Written,
    Failed,
}

/// What one schedule comes to. Nothing yields while this lock, of the standard library, is held.
#[derive(Default)]
pub(crate) struct Account {
    /// How often each command was written.
    written: BTreeMap<u32, u32>,
    accepted: BTreeSet<u32>,
    answered: BTreeMap<u32, Answer>,
    due: Option<Instant>,
    retired: u32,
}

/// What the writers of one schedule have in common.
pub(crate) struct World {
    /// Whoever writes holds it; another program may.
    pub(crate) file: Mutex<()>,
    account: std::sync::Mutex<Account>,
    /// What replaced writers did not know of their commits.
    left: std::sync::Mutex<Vec<Unresolved>>,
    fired: Sender<()>,
    closed: Sender<()>,
}

struct Unresolved {
    is_in_the_file: bool,
    hand: Hand<Command>,
}

impl World {
    fn account(&self) -> std::sync::MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn take_left(&self) -> Vec<Unresolved> {
        std::mem::take(&mut *self.left.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn is_due(&self) -> bool {
        self.account().due.is_some_and(|due| due <= Instant::now())
    }

    fn until_due(&self) -> Duration {
        let due = self.account().due;
        due.map_or(LONGEST_SLEEP, |due| due.saturating_duration_since(Instant::now()))
    }
}

/// The core of one generation.
pub(crate) struct Machine {
    world: Arc<World>,
    inbox: Arc<Inbox<Command>>,
    generation: Arc<Generation>,
    unresolved: Vec<Unresolved>,
    is_closed: bool,
}

/// The transaction failed: a pause, then another attempt.
struct Failed;

impl Machine {
    fn try_step(&mut self) -> Result<Duration, Failed> {
        self.resolve()?;
        let hand = self.inbox.take(self.generation.number);
        self.unresolved.extend(self.world.take_left());
        if !hand.commands().is_empty() || self.world.is_due() {
            self.transact(hand)?;
        }
        let waiting = self.inbox.len() > 0 || !self.unresolved.is_empty();
        Ok(if waiting { Duration::ZERO } else { self.world.until_due() })
    }

    fn transact(&mut self, mut hand: Hand<Command>) -> Result<(), Failed> {
        let world = Arc::clone(&self.world);
        let file = world.file.lock().unwrap_or_else(PoisonError::into_inner);
        while hand.take_more() > 0 {}
        if let Some(failing) = hand.commands_mut().iter_mut().find(|command| command.failures > 0) {
            failing.failures -= 1;
            return Err(Failed);
        }
        if self.generation.is_over() {
            return Err(Failed);
        }
        let unknown = hand.commands_mut().iter_mut().find_map(|command| command.unknown.take());
        if unknown != Some(false) {
            self.write(hand.commands());
        }
        drop(file);
        match unknown {
            None => self.answer(hand, Answer::Written),
            Some(is_in_the_file) => {
                self.unresolved.push(Unresolved { is_in_the_file, hand });
                return Err(Failed);
            }
        }
        Ok(())
    }

    fn write(&self, commands: &[Command]) {
        let mut account = self.world.account();
        for command in commands {
            *account.written.entry(command.id).or_default() += 1;
            if let Some(wait) = command.due_in {
                account.due = Some(Instant::now() + wait);
            }
        }
        let fires = account.due.take_if(|due| *due <= Instant::now()).is_some();
        drop(account);
        if fires {
            // Whoever waits for it is there until the end.
            let _ = self.world.fired.send(());
        }
    }

    fn answer(&self, hand: Hand<Command>, answer: Answer) {
        hand.answer(|command| {
            let before = self.world.account().answered.insert(command.id, answer);
            assert_eq!(before, None, "a command was answered twice");
            // A caller may have gone.
            let _ = command.answer.send(answer);
        });
    }

    /// Callers that do not wait for another attempt get the error.
    fn fail_impatient(&mut self) {
        let impatient = self.inbox.take_if(self.generation.number, |command| command.is_impatient);
        self.answer(impatient, Answer::Failed);
        for at in 0..self.unresolved.len() {
            let impatient = self.unresolved[at].hand.take_if(|command| command.is_impatient);
            self.answer(impatient, Answer::Failed);
        }
    }

    fn resolve(&mut self) -> Result<(), Failed> {
        while let Some(Unresolved { is_in_the_file, hand }) = self.unresolved.pop() {
            if is_in_the_file {
                self.answer(hand, Answer::Written);
            } else {
                self.transact(hand)?;
            }
        }
        Ok(())
    }
}

impl Steps for Machine {
    type Command = Command;

    fn step(&mut self) -> Duration {
        assert!(!self.is_closed, "a step of a writer that has closed its connection");
        if self.generation.is_over() {
            return Duration::ZERO;
        }
        match self.try_step() {
            Ok(rest) => rest,
            Err(Failed) if self.generation.is_over() => Duration::ZERO,
            Err(Failed) => {
                self.fail_impatient();
                PAUSE
            }
        }
    }

    fn close(&mut self) {
        assert!(self.unresolved.is_empty(), "the writer left without knowing what became of its last commit");
        self.is_closed = true;
        let _ = self.world.closed.send(());
    }

    fn retire(&mut self) {
        let left = std::mem::take(&mut self.unresolved);
        let is_news = !left.is_empty();
        self.world.left.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(left);
        self.world.account().retired += 1;
        if is_news {
            self.inbox.nudge();
        }
    }
}

/// A queue to try things on. The last clone of its drive closes it.
pub(crate) struct Bench {
    pub(crate) world: Arc<World>,
    pub(crate) callers: Callers,
    fired: Receiver<()>,
    closed: Receiver<()>,
}

/// What each thread has: a handle.
#[derive(Clone)]
pub(crate) struct Callers {
    world: Arc<World>,
    inbox: Arc<Inbox<Command>>,
    drive: Arc<Drive<Machine>>,
}

/// How a command goes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Fate {
    pub(crate) failures: u32,
    pub(crate) unknown: Option<bool>,
    pub(crate) due_in: Option<Duration>,
    pub(crate) is_impatient: bool,
}

impl Bench {
    pub(crate) fn new() -> Self {
        begin_time();
        let ((fired, has_fired), (closed, has_closed)) = (channel(), channel());
        let world = Arc::new(World {
            file: Mutex::new(()),
            account: std::sync::Mutex::default(),
            left: std::sync::Mutex::default(),
            fired,
            closed,
        });
        let inbox = Arc::new(Inbox::default());
        let drive = Drive::start(&inbox, machine(&world, &inbox)).expect("a thread");
        let callers = Callers { world: Arc::clone(&world), inbox, drive: Arc::new(drive) };
        Self { world, callers, fired: has_fired, closed: has_closed }
    }

    pub(crate) fn callers(&self) -> Callers {
        self.callers.clone()
    }

    /// Waits until the timer has fired.
    pub(crate) fn wait_until_fired(&self) {
        self.fired.recv().expect("the timer");
    }

    /// Lets go of its handle, waits until the threads and the writer have ended, and checks that each command was
    /// written once and answered once.
    pub(crate) fn end(self, threads: Vec<JoinHandle<()>>) {
        let Self { world, callers, closed, .. } = self;
        let inbox = Arc::clone(&callers.inbox);
        drop(callers);
        for thread in threads {
            thread.join().expect("no thread panics");
        }
        closed.recv().expect("the writer");
        assert!(inbox.is_done(), "the writer left before everything was answered");
        let account = world.account();
        let answered: BTreeSet<u32> = account.answered.keys().copied().collect();
        assert_eq!(answered, account.accepted, "a command was lost, or taken after all");
        for (id, answer) in &account.answered {
            let written = account.written.get(id).copied().unwrap_or_default();
            match answer {
                Answer::Written => assert_eq!(written, 1, "a command was written twice, or never"),
                // What became of a commit that failed may be unknown.
                Answer::Failed => assert!(written <= 1, "a command was written twice"),
            }
        }
    }

    /// How many writers were replaced and have stopped.
    pub(crate) fn retired(&self) -> u32 {
        self.world.account().retired
    }
}

fn machine(
    world: &Arc<World>,
    inbox: &Arc<Inbox<Command>>,
) -> impl FnOnce(Arc<Generation>) -> Machine + use<> {
    let (world, inbox) = (Arc::clone(world), Arc::clone(inbox));
    move |generation| Machine { world, inbox, generation, unresolved: Vec::new(), is_closed: false }
}

impl Callers {
    /// A task: gives a command, and waits for the answer unless it was refused.
    pub(crate) fn give(&self, id: u32, fate: Fate) -> Result<(), Refused> {
        self.give_if_fewer(id, fate, usize::MAX)
    }

    pub(crate) fn give_if_fewer(&self, id: u32, fate: Fate, most: usize) -> Result<(), Refused> {
        let (command, answer) = command(id, fate);
        self.inbox.push(command, most)?;
        self.await_answer(id, &answer);
        Ok(())
    }

    /// A thread that blocks: gives a command and drives the writer itself if it is idle.
    pub(crate) fn give_and_help(&self, id: u32, fate: Fate) -> Result<(), Refused> {
        let (command, answer) = command(id, fate);
        self.inbox.push_quietly(command, usize::MAX)?;
        self.drive.help();
        self.await_answer(id, &answer);
        Ok(())
    }

    /// A future that is dropped: nobody waits for the answer.
    pub(crate) fn give_and_go(&self, id: u32, fate: Fate) -> Result<(), Refused> {
        let (command, _) = command(id, fate);
        self.inbox.push(command, usize::MAX)?;
        self.world.account().accepted.insert(id);
        Ok(())
    }

    fn await_answer(&self, id: u32, answer: &Receiver<Answer>) {
        self.world.account().accepted.insert(id);
        assert!(answer.recv().is_ok(), "a command was dropped");
    }

    /// Somebody made something due.
    pub(crate) fn make_due(&self) {
        self.world.account().due = Some(Instant::now());
        self.inbox.nudge();
    }

    /// Takes the writer for one that hangs.
    pub(crate) fn replace(&self) {
        let before = self.drive.generation();
        self.drive.replace(|old| old.end(), machine(&self.world, &self.inbox)).expect("a thread");
        assert!(self.drive.generation() > before, "no other writer took over");
    }

    /// Closes, and checks that everything that was taken is answered.
    pub(crate) fn close(&self) {
        assert!(self.drive.close(PATIENCE), "it never closed");
        assert!(self.inbox.is_closed() && self.inbox.is_done(), "something was left");
    }

    /// Another program's transaction.
    pub(crate) fn hold_the_file(&self) -> MutexGuard<'_, ()> {
        self.world.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn command(id: u32, fate: Fate) -> (Command, Receiver<Answer>) {
    let (answer, answered) = channel();
    let Fate { failures, unknown, due_in, is_impatient } = fate;
    (Command { id, failures, unknown, due_in, is_impatient, answer }, answered)
}
