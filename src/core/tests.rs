//! The writer with commands that go wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::engines::{Engines, Owned};
use super::handle::Handle;
use super::messages::EngineSpec;
use super::op::{Answer, Applied, Effect, Op, Patience, Promise, Work};
use super::owner::OwnerLock;
use crate::error::{Error, Result};
use crate::job::{JobArgs, Limits, NewJob};
use crate::run::OwnerId;
use crate::store::enqueue::enqueue;
use crate::store::pause::pause_queue;
use crate::store::{Database, OpenOptions, Tx};
use crate::time::{Clock, SystemClock, Timestamp};

fn writer() -> (TempDir, Handle) {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(&OpenOptions::new(dir.path().join("app.db"))).unwrap();
    (dir, Handle::start(database, Arc::new(SystemClock)).unwrap())
}

/// A command that counts how often it was applied.
fn counting(counter: &Arc<AtomicU32>, patience: Patience) -> (Box<dyn Work>, Receiver<Result<u32>>) {
    let (sender, receiver) = sync_channel(1);
    let counter = Arc::clone(counter);
    let run = move |_: &Tx<'_>, _: Timestamp| Ok(counter.fetch_add(1, Ordering::SeqCst));
    let answer = Answer::Thread(sender);
    let op = Op {
        promise: Promise::Repaired,
        patience,
        effect: Effect::None,
        asked_by: None,
        since: Duration::ZERO,
        in_doubt: false,
        run,
        result: None,
        answer,
    };
    (Box::new(op), receiver)
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Nothing;
impl JobArgs for Nothing {
    const KIND: &'static str = "nothing";
}

#[test]
fn a_transaction_that_enqueues_leaves_a_job_as_its_mark_and_every_other_one_a_number() {
    let (_dir, writer) = writer();
    let enqueue = |job: NewJob<Nothing>| {
        let spec = job.into_spec(&Limits::default(), Timestamp::from_millis(1)).unwrap();
        let run = move |tx: &Tx<'_>, now: Timestamp| enqueue(tx, &spec, now);
        writer.write_blocking(Promise::Kept, false, run).unwrap();
    };
    let last_number = || {
        let sql = "SELECT transaction_no FROM mainspring_writers";
        writer.database().read(|conn| Ok(conn.query_row(sql, [], |row| row.get::<_, i64>(0))?)).unwrap()
    };
    // Where a job that is removed tells of it, there must be a row.
    enqueue(NewJob::new(Nothing));
    let first = last_number();
    enqueue(NewJob::new(Nothing));
    enqueue(NewJob::new(Nothing));
    assert_eq!(last_number(), first);
    writer.write_blocking(Promise::Kept, false, |tx, now| pause_queue(tx, "mail", None, now)).unwrap();
    assert_eq!(last_number(), first + 1);
    enqueue(NewJob::new(Nothing));
    assert_eq!(last_number(), first + 1);
}

#[test]
fn a_command_that_panics_takes_no_other_with_it() {
    let (_dir, writer) = writer();
    let writer = &writer;
    let panicked = writer.write_blocking::<()>(Promise::Kept, false, |_, _| panic!("no luck")).unwrap_err();
    assert!(matches!(panicked, Error::Panicked { .. }), "{panicked}");
    assert_eq!(writer.write_blocking(Promise::Kept, false, |_, _| Ok(5)).unwrap(), 5);
    assert_eq!(writer.health().last_error, None);
}

/// A command that writes a calendar of this name, and then fails or not.
fn writing(name: &'static str, fails: bool) -> (Box<dyn Work>, Receiver<Result<()>>) {
    let (sender, receiver) = sync_channel(1);
    let run = move |tx: &Tx<'_>, now: Timestamp| {
        tx.execute(
            "INSERT INTO mainspring_calendars (name, definition, updated_at_ms) VALUES (?1, '{}', ?2)",
            (name, now),
        )?;
        if fails { Err(Error::invalid("name", name)) } else { Ok(()) }
    };
    let answer = Answer::Thread(sender);
    let op = Op {
        promise: Promise::Kept,
        patience: Patience::Caller,
        effect: Effect::None,
        asked_by: None,
        since: Duration::ZERO,
        in_doubt: false,
        run,
        result: None,
        answer,
    };
    (Box::new(op), receiver)
}

fn calendars(writer: &Handle) -> Vec<String> {
    writer
        .database()
        .read(|conn| {
            let mut statement = conn.prepare("SELECT name FROM mainspring_calendars ORDER BY name")?;
            Ok(statement.query_map([], |row| row.get("name"))?.collect::<rusqlite::Result<_>>()?)
        })
        .unwrap()
}

#[test]
fn what_a_failing_command_wrote_is_undone_and_all_else_of_its_transaction_stays() {
    let (_dir, writer) = writer();
    let patience = Duration::from_secs(20);
    let batch = [("a", false), ("b", true), ("c", false), ("d", true), ("e", false)];
    let (commands, answers): (Vec<_>, Vec<_>) =
        batch.into_iter().map(|(name, fails)| writing(name, fails)).unzip();
    writer.give(commands);
    let answered: Vec<bool> =
        answers.iter().map(|answer| answer.recv_timeout(patience).unwrap().is_ok()).collect();
    assert_eq!(answered, [true, false, true, false, true]);
    assert_eq!(calendars(&writer), ["a", "c", "e"]);
    assert_eq!(writer.health().last_error, None);
}

#[test]
fn a_command_that_fails_before_it_has_written_anything_is_run_once() {
    let (_dir, writer) = writer();
    let runs = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&runs);
    let failed = writer.write_blocking::<()>(Promise::Kept, false, move |_, _| {
        counter.fetch_add(1, Ordering::SeqCst);
        Err(Error::invalid("name", "is taken"))
    });
    assert!(matches!(failed, Err(Error::InvalidOption { .. })), "{failed:?}");
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

/// Panics where no command is supposed to: outside of what is caught for its caller.
struct Bomb;

impl Work for Bomb {
    fn promise(&self, _conn: &Connection) -> Promise {
        Promise::Repaired
    }
    fn patience(&self) -> Patience {
        Patience::Caller
    }
    fn effect(&self) -> Effect {
        panic!("bang")
    }
    fn asked_by(&self) -> Option<OwnerId> {
        None
    }

    fn since(&self) -> Duration {
        Duration::ZERO
    }
    fn apply(&mut self, _tx: &Tx<'_>, _now: Timestamp) -> Applied {
        Applied::Keep
    }
    fn answer(self: Box<Self>) {}
    fn doubt(&mut self) {}
    fn fail(self: Box<Self>, _error: Error) {}
}

#[test]
fn a_panic_of_the_writer_loses_no_fact_and_tells_callers_that_nothing_was_written() {
    // The batch was dropped with the stack: runs stayed open for ever whose ends had been in it.
    let (_dir, writer) = writer();
    let counter = Arc::new(AtomicU32::new(0));
    let (fact, fact_answer) = counting(&counter, Patience::Fact);
    let (call, call_answer) = counting(&counter, Patience::Caller);
    writer.give(vec![fact, call, Box::new(Bomb)]);
    let patience = Duration::from_secs(20);
    assert!(fact_answer.recv_timeout(patience).unwrap().is_ok());
    let told = call_answer.recv_timeout(patience).unwrap().unwrap_err();
    assert_eq!(told.to_string(), "the writer panicked: bang");
    // Both were rolled back once; the fact was written again.
    assert_eq!(counter.load(Ordering::SeqCst), 3);
}

#[test]
fn health_tells_of_a_failure_until_something_was_written_again() {
    // The caller had its error, nothing else was to be written, and the next look at the clock said that all was well.
    let dir = tempfile::tempdir().unwrap();
    let options = OpenOptions::new(dir.path().join("app.db")).busy_timeout(Duration::from_millis(30));
    let writer = Handle::start(Database::open(&options).unwrap(), Arc::new(SystemClock)).unwrap();
    let other = Connection::open(options.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let failed = writer.write_blocking(Promise::Kept, false, |_, _| Ok(())).unwrap_err();
    assert!(failed.is_busy(), "{failed}");
    for _ in 0..2 {
        let tick = writer.health().last_tick_at;
        until(|| writer.health().last_tick_at > tick);
        assert!(writer.health().last_error.is_some());
    }
    other.execute_batch("ROLLBACK").unwrap();
    until(|| writer.health().last_error.is_none());
}

fn until(is_so: impl Fn() -> bool) {
    let longest = std::time::Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(std::time::Instant::now() < longest, "it never was");
        std::thread::yield_now();
    }
}

#[test]
fn a_writer_that_was_replaced_does_not_retire_its_successors() {
    // Three writers in turn had waited for the lock of another program. When it was let go the second one, whose time
    // was over, went on with its step and ended the life of the third, whose successor then ended that of the second:
    // the engine had no life left, and nothing ran until the next restart.
    let dir = tempfile::tempdir().unwrap();
    let life = |id, generation| {
        let lock = OwnerLock::take(dir.path()).unwrap();
        Owned { id: OwnerId(id), generation, lock }
    };
    let (events, _received) = tokio::sync::mpsc::unbounded_channel();
    let engines = Engines::default();
    let spec = EngineSpec { queues: Vec::new(), kinds: Vec::new(), deliveries: 1, events };
    engines.attach(spec, life(1, 1));
    engines.add_owner(OwnerId(1), life(3, 3));
    let retired =
        |generation| engines.retired(generation).into_iter().map(|it| it.owner.0).collect::<Vec<_>>();
    assert_eq!((retired(1), retired(2), retired(3)), (vec![], vec![1], vec![1]));
}

/// A command that does what it is told at each attempt, which it counts from 0.
fn told(
    patience: Patience,
    mut run: impl FnMut(u32, &Connection) -> Result<u32> + Send + 'static,
) -> (Box<dyn Work>, Receiver<Result<u32>>) {
    let (sender, receiver) = sync_channel(1);
    let mut attempt = 0;
    let op = Op {
        promise: Promise::Repaired,
        patience,
        effect: Effect::None,
        asked_by: None,
        since: SystemClock.steady(),
        in_doubt: false,
        run: move |tx: &Tx<'_>, _: Timestamp| {
            attempt += 1;
            run(attempt - 1, tx)
        },
        result: None,
        answer: Answer::Thread(sender),
    };
    (Box::new(op), receiver)
}

/// A clock that stands still but for what a test adds to it.
#[derive(Default)]
struct Standing(AtomicU32);

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    fn steady(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst).into())
    }
}

#[test]
fn a_caller_is_told_how_long_the_file_was_busy_for_it() {
    // Whatever the busy timeout was, the error said that 10,000 ms had been waited.
    let dir = tempfile::tempdir().unwrap();
    let options = OpenOptions::new(dir.path().join("app.db")).busy_timeout(Duration::from_millis(30));
    let clock = Arc::new(Standing::default());
    let writer = Handle::start(Database::open(&options).unwrap(), clock.clone()).unwrap();
    let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
    let failed = writer.write_blocking::<()>(Promise::Kept, false, move |_, _| {
        clock.0.fetch_add(20, Ordering::SeqCst);
        Err(rusqlite::Error::SqliteFailure(busy, None).into())
    });
    assert!(matches!(failed, Err(Error::Busy { waited_ms: 40 })), "{failed:?}");
}

/// A transaction that changed nothing is not committed.
fn write_something(tx: &Connection) -> Result<()> {
    tx.execute_batch("CREATE TABLE IF NOT EXISTS done (it); INSERT INTO done VALUES (1);")?;
    Ok(())
}

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_writer_waits_longer_and_longer_before_it_tries_again_what_the_disk_refused() {
    // The command that could not be written was waiting again, and a command that waits kept the writer awake: it
    // opened the file anew and tried again as fast as it could, for as long as the disk was full.
    let (_dir, writer) = writer();
    let begun = std::time::Instant::now();
    let (fact, answer) =
        told(Patience::Fact, |attempt, _| if attempt < 5 { Err(Error::DiskFull) } else { Ok(attempt) });
    writer.give(vec![fact]);
    assert_eq!(answer.recv_timeout(PATIENCE).unwrap().unwrap(), 5);
    let pauses: u64 = [20, 40, 80, 160, 320].iter().sum();
    assert!(begun.elapsed() >= Duration::from_millis(pauses), "{:?}", begun.elapsed());
}

#[test]
fn what_waits_in_the_log_is_moved_into_the_database_once_nothing_is_written() {
    let (_dir, writer) = writer();
    let fill = "CREATE TABLE IF NOT EXISTS done (it); INSERT INTO done VALUES (zeroblob(100000))";
    let write = |tx: &Tx<'_>, _: Timestamp| Ok(tx.execute_batch(fill)?);
    until(|| {
        writer.write_blocking(Promise::Kept, false, write).unwrap();
        writer.health().log_bytes > 1 << 20
    });
    until(|| {
        writer.nudge();
        writer.health().log_bytes == 0
    });
}

#[test]
fn what_a_replaced_writer_puts_back_wakes_its_successor() {
    // The successor had found nothing to do and slept, half a minute where no engine was attached.
    let (_dir, writer) = writer();
    let (entered, has_entered) = sync_channel(1);
    let (let_go, is_let_go) = sync_channel::<()>(1);
    let (fact, answer) = told(Patience::Fact, move |attempt, tx| {
        if attempt == 0 {
            entered.send(()).unwrap();
            is_let_go.recv().unwrap();
        }
        write_something(tx)?;
        Ok(attempt)
    });
    writer.give(vec![fact]);
    has_entered.recv_timeout(PATIENCE).unwrap();
    let tick = writer.health().last_tick_at;
    until(|| SystemClock.now() > tick);
    writer.replace_generation().unwrap();
    until(|| writer.health().last_tick_at > tick);
    let_go.send(()).unwrap();
    assert_eq!(answer.recv_timeout(PATIENCE).unwrap().unwrap(), 1);
}

#[test]
fn a_fact_of_a_commit_that_failed_is_written_by_the_successor_of_a_replaced_writer() {
    // The sync of a commit hung until the writer was replaced, and then failed. The batch ended with the thread: the
    // engine was told that the queue was closed, and the run stayed open with its slot until the next restart.
    let (_dir, writer) = writer();
    let (entered, has_entered) = sync_channel(1);
    let (let_go, is_let_go) = sync_channel::<()>(1);
    let mut doors = Some((entered, std::sync::Mutex::new(is_let_go)));
    let (fact, answer) = told(Patience::Fact, move |attempt, tx| {
        if let Some((entered, is_let_go)) = doors.take() {
            tx.commit_hook(Some(move || {
                entered.send(()).unwrap();
                is_let_go.lock().unwrap().recv().unwrap();
                true
            }))?;
        }
        write_something(tx)?;
        Ok(attempt)
    });
    writer.give(vec![fact]);
    has_entered.recv_timeout(PATIENCE).unwrap();
    writer.replace_generation().unwrap();
    let_go.send(()).unwrap();
    assert_eq!(answer.recv_timeout(PATIENCE).unwrap().unwrap(), 1);
}

#[test]
fn a_queue_that_closes_waits_for_what_is_being_written() {
    // Only what nobody had taken yet was waited for: `close` said that all was written while the last commit was not.
    let (_dir, writer) = writer();
    let (entered, has_entered) = sync_channel(1);
    let (let_go, is_let_go) = sync_channel::<()>(1);
    let (fact, answer) = told(Patience::Fact, move |attempt, _| {
        entered.send(()).unwrap();
        is_let_go.recv().unwrap();
        Ok(attempt)
    });
    writer.give(vec![fact]);
    has_entered.recv_timeout(PATIENCE).unwrap();
    assert!(!writer.close(Duration::ZERO));
    let_go.send(()).unwrap();
    assert!(writer.close(PATIENCE));
    assert_eq!(answer.try_recv().unwrap().unwrap(), 0);
}

#[test]
fn a_caller_that_drives_the_writer_while_the_queue_closes_gets_its_answer() {
    // The thread saw that nothing was waiting, and left once the caller let go of the writer; but the caller's command
    // had not been written and was waiting again, for ever.
    let (_dir, writer) = writer();
    let (entered, has_entered) = sync_channel(1);
    let (let_go, is_let_go) = sync_channel::<()>(1);
    let (answered, answer) = sync_channel(1);
    let caller = writer.clone();
    std::thread::spawn(move || {
        let mut attempt = 0;
        let written = caller.write_blocking(Promise::Kept, false, move |_, _| {
            attempt += 1;
            if attempt > 1 {
                return Ok(attempt);
            }
            entered.send(()).unwrap();
            is_let_go.recv().unwrap();
            Err(Error::Busy { waited_ms: 1 })
        });
        answered.send(written).unwrap();
    });
    has_entered.recv_timeout(PATIENCE).unwrap();
    assert!(!writer.close(Duration::ZERO));
    let_go.send(()).unwrap();
    assert_eq!(answer.recv_timeout(PATIENCE).unwrap().unwrap(), 2);
}

/// A fact of an engine, whose answer comes with what the engine is told.
fn of_engine(owner: OwnerId) -> (Box<dyn Work>, Receiver<Result<u32>>) {
    let (sender, receiver) = sync_channel(1);
    let op = Op {
        promise: Promise::Kept,
        patience: Patience::Fact,
        effect: Effect::None,
        asked_by: Some(owner),
        since: SystemClock.steady(),
        in_doubt: false,
        run: |tx: &Tx<'_>, _: Timestamp| write_something(tx).map(|()| 1),
        result: None,
        answer: Answer::Thread(sender),
    };
    (Box::new(op), receiver)
}

#[test]
fn an_engine_is_answered_with_what_it_is_told_and_also_if_it_listens_no_more() {
    let (_dir, writer) = writer();
    let (events, mut told) = tokio::sync::mpsc::unbounded_channel();
    let spec = EngineSpec { queues: Vec::new(), kinds: Vec::new(), deliveries: 0, events };
    let owner = writer.attach(spec).unwrap();

    let (fact, answer) = of_engine(owner);
    writer.give(vec![fact]);
    let event = told.blocking_recv().unwrap();
    assert!(answer.try_recv().is_err(), "answered before the engine has it");
    drop(event);
    assert_eq!(answer.try_recv().unwrap().unwrap(), 1);

    // Whoever waits for it would hear that the queue was closed, of what is on record.
    let (unheard, unheard_answer) = of_engine(owner);
    writer.give(vec![unheard]);
    until(|| !told.is_empty());
    drop(told);
    assert_eq!(unheard_answer.try_recv().unwrap().unwrap(), 1);
    let (late, late_answer) = of_engine(owner);
    writer.give(vec![late]);
    assert_eq!(late_answer.recv_timeout(PATIENCE).unwrap().unwrap(), 1);
}
