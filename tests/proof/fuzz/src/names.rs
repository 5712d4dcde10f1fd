//! Names, keys, arguments and options of jobs, as a program may give them by mistake: what is taken is stored as it
//! was given, and what is not is refused with a word about it.

use std::cell::RefCell;

use mainspring::schedule::Calendar;
use mainspring::{
    Backoff, BlockingQueue, Enqueued, JobArgs, JobId, NewJob, OnDuplicate, Prune, Queue, Schedule, Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::Verdict;
use crate::dice::Dice;
use crate::errors::{answer, judge};
use crate::hostile::{self, say};
use crate::schedules::duration;
use crate::{cron, file};

/// Any JSON at all.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Anything(Value);

impl JobArgs for Anything {
    const KIND: &'static str = "anything";
}

/// One queue for many cases: what is refused leaves nothing, and what is taken is removed.
struct Place {
    _dir: TempDir,
    queue: Queue,
    runtime: Runtime,
    cases: u32,
}

impl Place {
    /// A file is used for so many cases.
    const MOST: u32 = 300;

    fn new() -> Self {
        let dir = file::folder();
        let path = dir.path().join("names.db");
        std::fs::write(&path, &*file::NEW).expect("there is room for a file");
        let queue = file::open(&path, &file::clock()).expect("a new file can be opened");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { _dir: dir, queue, runtime, cases: 0 }
    }
}

thread_local! {
    static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) };
}

pub(crate) fn case(_: u64, dice: &mut Dice) -> Verdict {
    // Taken out meanwhile: a case that panics leaves no half-used queue to the next one.
    let mut place = PLACE.take().filter(|place| place.cases < Place::MOST).unwrap_or_else(Place::new);
    place.cases += 1;
    let verdict = match dice.below(4) {
        0 => declared(&place, dice),
        1 => operated(&place, dice),
        _ => enqueued(&place, dice),
    };
    if verdict.is_ok() {
        PLACE.set(Some(place));
    }
    verdict
}

fn word(dice: &mut Dice) -> String {
    if dice.once_in(3) { format!("word {}", dice.word()) } else { hostile::text(dice) }
}

/// Whether the library says of a word that it can stand in an index.
fn is_word(word: &str) -> bool {
    (1..=200).contains(&word.len()) && !word.chars().any(char::is_control)
}

fn anything(dice: &mut Dice, depth: usize) -> Value {
    match dice.below(if depth == 0 { 5 } else { 8 }) {
        0 => Value::Null,
        1 => Value::from(hostile::number(dice)),
        2 => Value::from(f64::from_bits(dice.word())),
        3 | 4 => Value::from(hostile::text(dice)),
        5 => (0..dice.below(4)).map(|_| anything(dice, depth - 1)).collect(),
        6 => (0..dice.below(4)).map(|_| (hostile::text(dice), anything(dice, depth - 1))).collect(),
        _ => (0..*dice.pick(&[3, 120, 126, 127, 130, 300]))
            .fold(Value::Null, |inner, _| Value::from(vec![inner])),
    }
}

fn enqueued(place: &Place, dice: &mut Dice) -> Verdict {
    let queue = place.queue.blocking();
    let (args, name, key) = (anything(dice, 3), word(dice), word(dice));
    say(|| format!("queue {name:?}, key {key:?}, args {args}"));
    let mut job = NewJob::new(Anything(args.clone())).queue(&name);
    let unique = dice.once_in(2);
    if unique {
        job = job.unique_or(&key, *dice.pick(&[OnDuplicate::Keep, OnDuplicate::Replace, OnDuplicate::Error]));
    }
    let job = options(job, dice);
    let taken = answer("enqueue", queue.enqueue(job))?;
    let Some(Enqueued::Created(id) | Enqueued::Replaced(id) | Enqueued::Existing(id)) = taken else {
        return Ok(());
    };
    if !is_word(&name) || unique && !is_word(&key) {
        return Err(format!("taken, although no word: {name:?}, {key:?}"));
    }
    let found = queue.get(id).map_err(|error| format!("what was taken cannot be read: {error}"))?;
    let stored: Value =
        serde_json::from_str(&found.args).map_err(|error| format!("{}: {error}", found.args))?;
    if found.queue != name || found.unique_key != unique.then_some(key) || !same(&stored, &args) {
        return Err(format!("{found:?} is not what was given: {name:?}, {args}"));
    }
    removed(&queue, id)
}

/// JSON has one kind of number: what it cannot hold exactly it holds nearly.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => a == b || (a - b).abs() <= a.abs() * 1e-15,
            _ => a == b,
        },
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

fn options(mut job: NewJob<Anything>, dice: &mut Dice) -> NewJob<Anything> {
    let instant = |dice: &mut Dice| Timestamp::from_millis(hostile::number(dice));
    for _ in 0..dice.below(5) {
        job = match dice.below(14) {
            0 => job.at(instant(dice)),
            1 => job.after(duration(dice)),
            2 => job.priority(hostile::number(dice) as i32),
            3 => job.timeout(duration(dice)),
            4 => job.grace(duration(dice)),
            5 => job.max_attempts(hostile::number(dice) as u32),
            6 => job.backoff(Backoff::exponential(duration(dice)).at_most(duration(dice))),
            7 => job.delivery_attempts(hostile::number(dice) as u32, Backoff::fixed(duration(dice))),
            8 => job.delivery_timeout(duration(dice)),
            9 => job.deliver_within(duration(dice)),
            10 => job.expires_at(instant(dice)),
            11 => job.expires_after(duration(dice)),
            12 => job.park_after_failures(hostile::number(dice) as u32),
            _ => job.backoff(Backoff {
                first_ms: dice.word(),
                factor: f64::from_bits(dice.word()),
                longest_ms: dice.word(),
                jitter: f64::from_bits(dice.word()),
            }),
        };
    }
    job
}

fn declared(place: &Place, dice: &mut Dice) -> Verdict {
    let queue = place.queue.blocking();
    let name = word(dice);
    let schedule = match dice.below(3) {
        0 => Schedule::every(duration(dice))
            .map(|every| every.anchored_at(Timestamp::from_millis(hostile::number(dice)))),
        1 => Schedule::after_each(duration(dice)),
        _ => Schedule::cron("*/7 3 * * *").map(|cron| cron.in_tz(cron::zone(dice))),
    };
    let Ok(schedule) = schedule else { return Ok(()) };
    say(|| format!("name {name:?}, {schedule:?}"));
    let given = options(NewJob::new(Anything(Value::Null)), dice);
    let Some(id) = answer("schedule", queue.schedule(&name, schedule.clone(), given))?.map(|done| done.id())
    else {
        return Ok(());
    };
    if !is_word(&name) {
        return Err(format!("taken, although no word: {name:?}"));
    }
    let found =
        queue.get(name.as_str()).map_err(|error| format!("what was taken cannot be read: {error}"))?;
    if found.id != id || !schedule.same_declaration(&found.schedule) {
        return Err(format!("{found:?} is not what was given: {schedule:?}"));
    }
    let again = answer("pause", queue.pause(&*name, Some(&hostile::text(dice))))?;
    if again.is_none() {
        return Err(format!("{name:?} cannot be paused"));
    }
    removed(&queue, id)
}

fn removed(queue: &BlockingQueue, id: JobId) -> Verdict {
    queue.remove(id).map(drop).map_err(|error| format!("it cannot be removed: {error}"))
}

/// What an operator may mistype.
fn operated(place: &Place, dice: &mut Dice) -> Verdict {
    let (name, text, number) = (hostile::text(dice), hostile::text(dice), hostile::number(dice));
    say(|| format!("{name:?}, {text:?}, {number}"));
    let queue = &place.queue;
    let (from, to) = (Timestamp::from_millis(number), Timestamp::from_millis(hostile::number(dice)));
    place.runtime.block_on(async {
        answer("get", queue.get(&*name).await)?;
        answer("get", queue.get(JobId(number)).await)?;
        answer("pause", queue.pause(&*name, Some(&text)).await)?;
        answer("pause_queue", queue.pause_queue(&name, Some(&text)).await)?;
        answer("resume_queue", queue.resume_queue(&name).await)?;
        answer("run_now", queue.run_now(&*name).await)?;
        answer("retry", queue.retry(JobId(number)).await)?;
        answer("cancel", queue.cancel(&*name).await)?;
        answer("release", queue.release(mainspring::RunId(number), true).await)?;
        answer("redeliver", queue.redeliver(mainspring::RunId(number)).await)?;
        answer("backfill", queue.backfill(&*name, from, to).await)?;
        answer("unaccounted", queue.unaccounted(&*name, from, to).await)?;
        answer("replace_all", queue.replace_all(&text, []).await)?;
        answer("store_calendar", queue.store_calendar(&name, Calendar::new()).await)?;
        answer("prune", queue.prune(Prune::older_than(duration(dice)).keep_newest(dice.word())).await)?;
        match queue.doctor().await {
            Ok(findings) if findings.is_empty() => Ok(()),
            Ok(findings) => Err(format!("the doctor finds {findings:?}")),
            Err(error) => judge("doctor", &error).and(Err(format!("the doctor: {error}"))),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise a name that is refused by mistake would go unnoticed.
    #[test]
    fn a_good_word_is_taken() {
        let place = Place::new();
        let job = NewJob::new(Anything(Value::from(7))).queue("Grüße, 🦀").unique("a key");
        let taken = place.queue.blocking().enqueue(job);
        assert!(matches!(taken, Ok(Enqueued::Created(_))), "{taken:?}");
        let refused = place.queue.blocking().enqueue(NewJob::new(Anything(Value::Null)).queue("\n"));
        assert!(matches!(refused, Err(mainspring::Error::InvalidOption { .. })), "{refused:?}");
    }
}
