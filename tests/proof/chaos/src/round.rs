//! The tier: the storm, the calm after it, and the judgement.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use fastrand::Rng;
use mainspring::{Clock, OpenOptions, Queue, SystemClock, Timestamp};
use mainspring_proof_tally::Tier;
use rusqlite::Connection;

use crate::fleet::Fleet;
use crate::judge::Judge;
use crate::ledger::{self, Deed, now};
use crate::operator::{Act, Operator};
use crate::producer::{self, Acked, Producer};
use crate::report::{self, Storm};
use crate::watch::Watch;
use crate::{FILE, KILLS, Outcome, PAUSES, disk};

/// How many engines there are.
const ENGINES: usize = 3;
/// The operator does something once in so many kills.
const KILLS_FOR_AN_ACT: u64 = 20;
/// How long may pass until everything is worked off at the end.
const DRAIN: Duration = Duration::from_secs(60);
/// How long the last engines may take to stop.
const STOP: Duration = Duration::from_secs(20);
/// An occurrence that is older than this when all is calm is a run, or on record as missed.
const SETTLED_OCCURRENCES: Duration = Duration::from_secs(1);

/// Runs the tier.
pub(crate) fn run(mut tier: Tier) -> Outcome<ExitCode> {
    let folder = disk::folder()?;
    let again = format!("{} seed {}", std::env::current_exe()?.display(), tier.seed());
    let violations = match chaos(&mut tier, folder.path()) {
        Ok(violations) => violations,
        Err(error) => vec![format!("the tier could not go on: {error}")],
    };
    for violation in &violations {
        tier.violation(violation, &again);
    }
    if !violations.is_empty() {
        println!("chaos seed={}: the folder is kept: {}", tier.seed(), folder.keep().display());
    }
    Ok(tier.finish())
}

fn chaos(tier: &mut Tier, dir: &Path) -> Outcome<Vec<String>> {
    let mut rng = Rng::with_seed(tier.seed());
    let options = OpenOptions::new(dir.join(FILE)).busy_timeout(Duration::from_secs(20));
    let queue = Queue::open_blocking(&options)?;
    let begun = SystemClock.now();
    let mut fleet = Fleet::new(dir, ENGINES)?;
    let watch = Watch::begin(dir, &fleet.lives);
    let producer = Producer::begin(queue.blocking(), rng.fork())?;
    let storm = storm(tier, &mut fleet, dir, &mut rng)?;
    let mut acked = producer.end()?;

    let mut violations = calm(&mut fleet, &queue, &mut acked, begun)?;
    let lives = fleet.lives.clone();
    violations.extend(fleet.stop(STOP)?);
    let seen = watch.end()?;
    let lives = lives.lock().clone();
    violations.extend(soundness(dir, &queue)?);

    let (lines, torn) = ledger::read(dir)?;
    let conn = Connection::open(dir.join(FILE))?;
    let mut judge = Judge::new(&conn, &lines, &lives)?;
    judge.judge(&acked, &lines);
    violations.append(&mut judge.violations);
    let failed = lines.iter().filter(|line| line.deed == Deed::Wrong);
    violations.extend(failed.map(|line| format!("engine {} failed: {}", line.life, line.text)));
    if torn > tier.tried() {
        violations.push(format!("{torn} lines of the ledger are torn, more than there were kills"));
    }
    violations.extend(report::counts(&storm, &judge.counts, &acked, &lives));
    violations.extend(report::settlement(&seen, &storm, &lives, &lines));
    Ok(violations)
}

/// Kills, freezes and orders acts until the tier has enough.
fn storm(tier: &mut Tier, fleet: &mut Fleet, dir: &Path, rng: &mut Rng) -> Outcome<Storm> {
    let mut operator = Operator::begin(dir);
    let (mut pauses, mut acts) = (0, 0);
    while tier.goes_on() {
        let until = now() + Duration::from_millis(rng.u64(20..180));
        while now() < until {
            fleet.tend()?;
            std::thread::sleep(Duration::from_millis(2));
        }
        let due = (tier.tried() + 1) * PAUSES / KILLS;
        if pauses < due && fleet.freeze(rng.usize(..), nap(pauses, rng))? {
            pauses += 1;
        }
        if acts <= tier.tried() / KILLS_FOR_AN_ACT {
            operator.order(nth_act(acts, rng));
            acts += 1;
        }
        let together = if rng.u32(0..25) == 0 { fleet.running() } else { 1 };
        for _ in 0..together.min(fleet.running()) {
            let frozen_too = rng.u32(0..6) == 0;
            fleet.kill(rng.usize(..), frozen_too, Duration::from_millis(rng.u64(0..60)))?;
            tier.count(1);
        }
    }
    fleet.thaw_all()?;
    Ok(Storm { kills: tier.tried(), pauses, acts: operator.end()? })
}

/// How long a process is frozen: mostly for a moment, now and then for several looks at the other owners.
fn nap(nth: u64, rng: &mut Rng) -> Duration {
    Duration::from_millis(if nth % 9 == 4 { rng.u64(1_500..2_600) } else { rng.u64(50..700) })
}

fn nth_act(nth: u64, rng: &mut Rng) -> Act {
    match nth % 4 {
        0 => Act::Read(Duration::from_millis(rng.u64(2_000..5_000))),
        2 => Act::Lock(Duration::from_millis(rng.u64(1_000..2_500))),
        _ => Act::Vacuum,
    }
}

/// Nobody is killed any more: all that is left is worked off, and every occurrence is accounted for.
fn calm(fleet: &mut Fleet, queue: &Queue, acked: &mut Acked, begun: Timestamp) -> Outcome<Vec<String>> {
    let until = now() + DRAIN;
    let blocking = queue.blocking();
    let caught_up = SystemClock.now();
    // An occurrence that comes now has been worked off when the recurring jobs are put to rest.
    wait_until(fleet, until, || {
        let status = blocking.status()?;
        Ok(status.at.since(caught_up) > 2 * SETTLED_OCCURRENCES && status.ready + status.overdue == 0)
    })?;
    let rested = SystemClock.now();
    let drained = wait_until(fleet, until, || {
        acked.resumed.extend(producer::resume_parked(&blocking)?);
        // Again, since a parked one that goes on is not paused any more.
        for (name, _) in &acked.recurring {
            blocking.pause(name.as_str(), Some("the storm is over"))?;
        }
        let status = blocking.status()?;
        let left = status.ready + status.overdue + status.scheduled + status.running;
        Ok(left + status.undelivered + status.delivering + status.parked == 0)
    });
    let mut violations = Vec::new();
    if let Err(error) = drained {
        violations.push(format!("{error}: {:?}", blocking.status()?));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    for (name, _) in &acked.recurring {
        let until = rested.minus(SETTLED_OCCURRENCES);
        let unaccounted = runtime.block_on(queue.unaccounted(name.as_str(), begun, until))?;
        if !unaccounted.is_empty() {
            violations.push(format!("occurrences of {name} are neither run nor missed: {unaccounted:?}"));
        }
    }
    Ok(violations)
}

fn wait_until(fleet: &mut Fleet, until: Duration, mut is_so: impl FnMut() -> Outcome<bool>) -> Outcome<()> {
    while !is_so()? {
        if now() > until {
            return Err(format!("the queue was not worked off within {DRAIN:?}").into());
        }
        fleet.tend()?;
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// The doctor finds nothing, and neither does SQLite.
fn soundness(dir: &Path, queue: &Queue) -> Outcome<Vec<String>> {
    let mut violations: Vec<String> =
        queue.blocking().doctor()?.iter().map(|finding| format!("doctor: {finding:?}")).collect();
    let conn = Connection::open(dir.join(FILE))?;
    let check: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    if check != "ok" {
        violations.push(format!("integrity_check: {check}"));
    }
    Ok(violations)
}
