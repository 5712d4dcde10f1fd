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
use crate::run::OwnerId;
use crate::store::{Database, OpenOptions};
use crate::time::{SystemClock, Timestamp};

fn writer() -> (TempDir, Handle) {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(&OpenOptions::new(dir.path().join("app.db"))).unwrap();
    (dir, Handle::start(database, Arc::new(SystemClock)).unwrap())
}

/// A command that counts how often it was applied.
fn counting(counter: &Arc<AtomicU32>, patience: Patience) -> (Box<dyn Work>, Receiver<Result<u32>>) {
    let (sender, receiver) = sync_channel(1);
    let counter = Arc::clone(counter);
    let run = move |_: &Connection, _: Timestamp| Ok(counter.fetch_add(1, Ordering::SeqCst));
    let answer = Answer::Thread(sender);
    let op = Op {
        promise: Promise::Repaired,
        patience,
        effect: Effect::None,
        since: Duration::ZERO,
        run,
        result: None,
        answer,
    };
    (Box::new(op), receiver)
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
    let run = move |tx: &Connection, now: Timestamp| {
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
        since: Duration::ZERO,
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
    fn since(&self) -> Duration {
        Duration::ZERO
    }
    fn apply(&mut self, _tx: &Connection, _now: Timestamp) -> Applied {
        Applied::Keep
    }
    fn answer(self: Box<Self>) {}
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
