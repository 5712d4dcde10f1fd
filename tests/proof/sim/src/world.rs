//! The simulated machine: a file, a clock, some processes on it, and the ledger beside them.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use mainspring::simulation::{Event, Process, Serves};
use mainspring::{Durability, Error, OpenOptions, Result, Timestamp};
use mainspring_proof_tally::drop_views;
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use crate::Found;
use crate::clock::SimClock;
use crate::counts::Counts;
use crate::dice::Dice;
use crate::kinds::{KINDS, QUEUES};
use crate::ledger::Ledger;
use crate::life::{Call, Life, Sending};
use crate::rows;

/// 2026-01-05T08:00:00Z, a Monday.
const START_MS: i64 = 1_767_600_000_000;
/// So many processes may be there at once.
pub(crate) const PROCESSES: usize = 3;
/// The last steps that are told when something is found.
const TOLD: usize = 60;
/// The environment variable that names a job to be watched.
const WATCH: &str = "MAINSPRING_SIM_WATCH";

/// A migrated, empty file, for every simulation the same.
pub struct Template(Vec<u8>);

impl Template {
    /// Makes one.
    ///
    /// # Errors
    /// Why it cannot be made.
    pub fn make() -> std::result::Result<Self, String> {
        let folder = folder()?;
        let path = folder.path().join("template.db");
        OpenOptions::new(&path).migrate().map_err(|error| error.to_string())?;
        drop_views(&path)?;
        std::fs::read(path).map(Self).map_err(|error| error.to_string())
    }
}

/// A folder in memory where there is one.
fn folder() -> std::result::Result<TempDir, String> {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.map_err(|error| format!("no folder could be made: {error}"))
}

/// What became of a command.
pub(crate) enum Asked<T> {
    Answered(Result<T>),
    /// The process died before it had answered; it may have been done.
    Died,
}

/// What this simulation is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traits {
    pub(crate) durability: Durability,
    /// The wall clock is set now and then.
    pub(crate) jumps: bool,
}

pub(crate) struct World {
    pub(crate) traits: Traits,
    pub(crate) clock: SimClock,
    pub(crate) lives: Vec<Option<Life>>,
    pub(crate) ledger: Ledger,
    pub(crate) counts: Counts,
    pub(crate) observer: Connection,
    pub(crate) data_version: i64,
    /// Occurrences before this may have been pruned.
    pub(crate) accounted_from: i64,
    /// Of occurrences before this the runs may have been pruned: a clock that was set back lets those end that are
    /// far ahead of the time.
    pub(crate) whole_from: i64,
    /// The latest that the wall clock has ever shown.
    pub(crate) latest: i64,
    /// No accidents any more.
    pub(crate) calm: bool,
    pub(crate) names: u64,
    /// What this step brought by other ways than its claims: it was not there when they were made.
    pub(crate) new_to_claims: Vec<i64>,
    /// What each job that was due was to run next before this step, once one may meet an occurrence that has run.
    pub(crate) next_before: Vec<(i64, i64)>,
    /// A job whose row is told whenever it changes, for those who have to understand a finding.
    watched: Option<i64>,
    watched_row: String,
    digest: u64,
    told: Vec<String>,
    path: PathBuf,
    _folder: TempDir,
}

impl World {
    pub(crate) fn new(template: &Template, seed: u64) -> Found<Self> {
        let mut dice = Dice::new(seed, u64::MAX);
        let folder = folder()?;
        let path = folder.path().join("sim.db");
        std::fs::write(&path, &template.0).map_err(|error| error.to_string())?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let observer = Connection::open_with_flags(&path, flags)
            .and_then(|conn| conn.pragma_update(None, "query_only", 1).map(|()| conn))
            .map_err(|error| error.to_string())?;
        observer.set_prepared_statement_cache_capacity(64);
        let durability =
            dice.pick(&[Durability::Balanced, Durability::Balanced, Durability::Relaxed, Durability::Strict]);
        let mut world = Self {
            traits: Traits { durability, jumps: seed.is_multiple_of(2) },
            clock: SimClock::at(START_MS + i64::try_from(dice.ms(0, 7 * 86_400_000)).unwrap_or(0)),
            lives: (0..PROCESSES).map(|_| None).collect(),
            ledger: Ledger::default(),
            counts: Counts::default(),
            observer,
            data_version: -1,
            accounted_from: i64::MIN,
            whole_from: i64::MIN,
            latest: i64::MIN,
            calm: false,
            names: 0,
            new_to_claims: Vec::new(),
            next_before: Vec::new(),
            watched: std::env::var(WATCH).ok().and_then(|job| job.parse().ok()),
            watched_row: String::new(),
            digest: 0xcbf2_9ce4_8422_2325,
            told: Vec::new(),
            path,
            _folder: folder,
        };
        world.tell(|world| format!("seed {seed}: {:?}", world.traits));
        world.start(0, &mut dice)?;
        Ok(world)
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.wall()
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// Makes a number part of what tells this simulation from another one.
    pub(crate) fn note(&mut self, number: i64) {
        for byte in number.to_le_bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Says what happens, for those who have to understand a finding.
    pub(crate) fn tell(&mut self, what: impl FnOnce(&Self) -> String) {
        let line = format!("{} {}", Timestamp::from_millis(self.now()), what(self));
        if self.told.len() >= 4 * TOLD && self.watched.is_none() {
            self.told.drain(..3 * TOLD);
        }
        self.told.push(line);
    }

    pub(crate) fn watch(&mut self) -> Found<()> {
        let Some(job) = self.watched else { return Ok(()) };
        let row = format!("{:?}", rows::job(&self.observer, job)?);
        if row != self.watched_row {
            self.tell(|_| row.clone());
            self.watched_row = row;
        }
        Ok(())
    }

    /// The last things that happened, and what the file says of the job that a finding names.
    pub(crate) fn last_words(&self, found: &str) -> Vec<String> {
        let mut words: Vec<String> = self
            .told
            .iter()
            .rev()
            .take(if self.watched.is_some() { usize::MAX } else { TOLD })
            .rev()
            .cloned()
            .collect();
        let named =
            found.split_once("job ").map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect());
        if let Some(Ok(job)) = named.map(|number: String| number.parse()) {
            words.extend(rows::all_of(&self.observer, job).unwrap_or_else(|why| vec![why]));
        }
        words
    }

    pub(crate) fn life(&mut self, slot: usize) -> Found<&mut Life> {
        self.lives[slot].as_mut().ok_or_else(|| format!("process {slot} does not run"))
    }

    /// The processes that take steps.
    pub(crate) fn awake(&self) -> Vec<usize> {
        let awake = |slot: &usize| self.lives[*slot].as_ref().is_some_and(|life| !life.frozen);
        (0..PROCESSES).filter(awake).collect()
    }

    /// A process begins.
    pub(crate) fn start(&mut self, slot: usize, dice: &mut Dice) -> Found<()> {
        let kinds: Vec<String> = match slot {
            2 => vec![KINDS[0].to_owned()],
            _ => KINDS.map(str::to_owned).to_vec(),
        };
        let served = if slot == 1 { &QUEUES[..2] } else { &QUEUES[..] };
        let queues: Vec<(String, u32)> =
            served.iter().map(|queue| ((*queue).to_owned(), dice.pick(&[1, 2, 2, 4]))).collect();
        let options =
            OpenOptions::new(&self.path).durability(self.traits.durability).reserve(false).readers(1);
        let serves =
            Serves { queues: queues.clone(), kinds: kinds.clone(), deliveries: dice.pick(&[1, 2, 4]) };
        let process = Process::begin(&options, Arc::new(self.clock.clone()), serves)
            .map_err(|error| format!("process {slot} cannot begin: {error}"))?;
        self.ledger.dead.insert(process.owner().0, false);
        self.counts.add("starts");
        self.tell(|_| format!("process {slot} begins as owner {}", process.owner()));
        let life = Life {
            calls: Vec::new(),
            left_behind: Vec::new(),
            sendings: Vec::new(),
            frozen: false,
            stopping: false,
            saw: self.clock.wall(),
            kinds,
            queues,
            process,
        };
        self.lives[slot] = Some(life);
        self.look(Some(slot))
    }

    /// A process dies: what it had in memory is gone, and its lock is free.
    pub(crate) fn kill(&mut self, slot: usize) {
        if let Some(life) = self.lives[slot].take() {
            self.ledger.dead.insert(life.owner().0, true);
            self.counts.add("kills");
            self.tell(|_| format!("process {slot} dies"));
        }
    }

    /// One step of a process's writer, and what came of it.
    pub(crate) fn step_of(&mut self, slot: usize) -> Found<()> {
        self.latest = self.latest.max(self.now());
        if self.counts.of("jumps back") > 0 || self.counts.of("backfills") > 0 {
            self.next_before = rows::due(&self.observer, self.now())?;
        }
        let life = self.life(slot)?;
        life.process.step();
        if let Some(error) = life.process.last_error() {
            return Err(format!("the writer of process {slot} failed: {error}"));
        }
        // What is planned anew after the clock was set back is planned after the claims of that step.
        let now = self.clock.wall();
        let set_back = std::mem::replace(&mut self.life(slot)?.saw, now) > now;
        self.look(Some(slot).filter(|_| !set_back))
    }

    /// The engine takes what its writer asks of it.
    pub(crate) fn take_events(&mut self, slot: usize, dice: &mut Dice) -> Found<()> {
        let (steady, wall) = (self.clock.steady_ms(), Timestamp::from_millis(self.now()));
        while let Some(event) = self.life(slot)?.process.event() {
            match event {
                Event::Run(claim) => {
                    let owner = self.life(slot)?.owner();
                    self.ledger.called(claim.run().0, owner.0, claim.key())?;
                    let takes = if self.calm { 0 } else { how_long(dice) };
                    let call = Call {
                        claim: *claim,
                        began_wall: wall,
                        began: steady,
                        comes_back: steady + takes,
                        told_at: None,
                        cancelled: false,
                    };
                    self.begin_call(slot, call)?;
                }
                Event::Deliver(output) => {
                    self.tell(|_| format!("process {slot} takes up the output of run {}", output.run()));
                    self.life(slot)?.sendings.push(Sending { output: *output, attempt: None });
                }
                Event::Cancel(run) => self.life(slot)?.tell(run, true, steady),
                Event::Fence(run) => self.life(slot)?.tell(run, false, steady),
            }
        }
        Ok(())
    }

    fn begin_call(&mut self, slot: usize, call: Call) -> Found<()> {
        self.counts.add("calls");
        let life = self.life(slot)?;
        let (queue, kind) = (call.claim.queue().to_owned(), call.claim.kind().to_owned());
        life.calls.push(call);
        let workers = life.queues.iter().find(|(name, _)| *name == queue).map_or(0, |(_, workers)| *workers);
        if life.busy(&queue) > workers as usize || !life.kinds.contains(&kind) {
            return Err(format!("process {slot} was given more of {queue:?}, kind {kind:?}, than it serves"));
        }
        Ok(())
    }

    /// Gives a process a command and takes a step with it. It may die on the way.
    pub(crate) fn ask<T>(
        &mut self,
        slot: usize,
        dice: &mut Dice,
        command: impl Future<Output = Result<T>>,
    ) -> Found<Asked<T>> {
        let mut command = pin!(command);
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(refused) = command.as_mut().poll(&mut context) {
            return expected(refused).map(Asked::Answered);
        }
        if !self.calm && dice.chance(2) {
            self.counts.add("kills before a command");
            self.kill(slot);
            return Ok(Asked::Died);
        }
        self.step_of(slot)?;
        if !self.calm && dice.chance(4) {
            self.counts.add("kills before an answer");
            self.kill(slot);
            return Ok(Asked::Died);
        }
        self.take_events(slot, dice)?;
        match command.as_mut().poll(&mut context) {
            Poll::Ready(answer) => expected(answer).map(Asked::Answered),
            Poll::Pending => Err(format!("process {slot} took a step and did not answer")),
        }
    }
}

/// Errors that a caller may cause. All others are found.
fn expected<T>(answer: Result<T>) -> Found<Result<T>> {
    match answer {
        Err(
            error @ (Error::UniqueKeyHeld { .. }
            | Error::AlreadyRunning(_)
            | Error::WrongState { .. }
            | Error::JobNotFound(_)
            | Error::RunNotFound(_)
            | Error::ClaimLost(_)
            | Error::InvalidOption { .. }
            | Error::Schedule(_)),
        ) => Ok(Err(error)),
        Err(other) => Err(format!("a command was answered with {other:?}")),
        ok => Ok(ok),
    }
}

fn how_long(dice: &mut Dice) -> u64 {
    match dice.weighted(&[(50, 0), (30, 1), (12, 2), (6, 3), (2, 4)]) {
        0 => dice.ms(0, 500),
        1 => dice.ms(500, 20_000),
        2 => dice.ms(20_000, 400_000),
        3 => dice.ms(400_000, 7_200_000),
        // It never comes back by itself.
        _ => u64::MAX / 4,
    }
}
