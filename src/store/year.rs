//! A simulated year of twenty mixed jobs through the real transactions: clock changes, crashes, long nights,
//! a clock that is set back, pauses and edits. No occurrence succeeds twice, none is unaccounted for.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use chrono::NaiveDate;
use rusqlite::Connection;

use super::Tx;
use super::claim::{Burst, ClaimRequest, claim};
use super::owners::{EndReason, NewOwner};
use super::recover::{Cause, recover};
use super::{
    Database, OpenOptions, account, calendars, complete, doctor, owners, pause, read, schedule, set_back,
};
use crate::exchange::{ClaimedRun, Complete, Then};
use crate::job::{JobArgs, JobId, Limits, NewJob};
use crate::plan::{CatchUp, MissReason, Overlap, Trigger};
use crate::policy::{Durability, OnInterrupt};
use crate::run::{ErrorClass, Outcome, OwnerId, RunId};
use crate::schedule::{Calendar, Gap, Schedule};
use crate::time::Timestamp;

#[derive(serde::Serialize, serde::Deserialize)]
struct Work;
impl JobArgs for Work {
    const KIND: &'static str = "work";
}

const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn cron(text: &str, zone: chrono_tz::Tz) -> Schedule {
    Schedule::cron(text).unwrap().in_tz(zone)
}

fn every(seconds: u64) -> Schedule {
    Schedule::every(secs(seconds)).unwrap()
}

/// Twenty jobs: schedules, zones, bounds, catch-up and overlap policies of all kinds.
fn jobs() -> Vec<(&'static str, Schedule, NewJob<Work>)> {
    use chrono_tz::{America, Australia, Europe, UTC};
    let work = || NewJob::new(Work);
    vec![
        ("berlin-morning", cron("0 8 * * *", Europe::Berlin), work()),
        ("berlin-gap", cron("30 2 * * *", Europe::Berlin), work()),
        ("berlin-gap-skip", cron("30 2 * * *", Europe::Berlin).on_gap(Gap::Skip), work()),
        ("new-york-fold", cron("30 1 * * *", America::New_York), work()),
        ("lord-howe", cron("45 1 * * *", Australia::Lord_Howe), work()),
        ("hourly-wild", cron("*/120 * * * *", Europe::Berlin), work()),
        ("weekdays", cron("15 9 * * mon-fri", Europe::London), work().catch_up(CatchUp::skip())),
        ("dom-or-dow", cron("0 12 1,15 * fri", UTC), work().catch_up(CatchUp::earliest())),
        ("last-day", cron("0 22 L * *", UTC), work().catch_up(CatchUp::latest().within(secs(3 * DAY)))),
        ("monthly", cron("@monthly", UTC), work().catch_up(CatchUp::latest().only_after_first_run())),
        ("four-hourly", every(4 * HOUR), work().overlap(Overlap::QueueOne)),
        ("two-hourly", every(2 * HOUR), work().catch_up(CatchUp::all(5))),
        ("hourly", every(HOUR), work()),
        ("six-hourly", every(6 * HOUR), work().overlap(Overlap::Allow(3))),
        ("odd-step", every(5 * HOUR + 7), work().overlap(Overlap::CancelRunning)),
        ("jittered", cron("0 */8 * * *", UTC).jitter(secs(20 * MINUTE)), work()),
        ("with-holidays", cron("0 7 * * *", Europe::Berlin).excluding("holidays"), work()),
        ("ends", every(12 * HOUR).ending_at(Timestamp::from_millis(START + 90 * DAY as i64 * 1_000)), work()),
        ("ten-runs", cron("0 5 * * *", UTC).max_runs(10), work()),
        (
            "after-each",
            Schedule::after_each(secs(7 * HOUR)).unwrap(),
            work().on_interrupt(OnInterrupt::Rerun),
        ),
    ]
}

/// 2025-03-01T00:00:00Z.
const START: i64 = 1_740_787_200_000;

struct World {
    conn: Connection,
    /// Time that only goes forward, and what the wall clock shows on top of it.
    steady: i64,
    offset: i64,
    owner: OwnerId,
    generations: u32,
    burst: Burst,
    /// Open runs by when their handlers end, on the steady clock.
    running: BTreeMap<(i64, i64), ClaimedRun>,
    random: fastrand::Rng,
    started: HashSet<(JobId, Timestamp, u32)>,
    succeeded: HashMap<(JobId, Timestamp), RunId>,
    runs: usize,
    caught_up: usize,
    retries: usize,
    crashes: usize,
}

impl World {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(START + self.steady + self.offset)
    }

    fn new_owner(&mut self) {
        self.generations += 1;
        let uuid = format!("owner-{}", self.generations);
        let owner = NewOwner { uuid: &uuid, generation: 1, pid: 1, host: "simulated" };
        self.owner = owners::register(&self.conn, &owner, self.now()).unwrap();
        self.burst = Burst::default();
    }

    fn claim(&mut self) {
        let kinds = HashSet::from([Work::KIND.to_owned()]);
        loop {
            let now = self.now();
            let request = ClaimRequest {
                owner: self.owner,
                queue: "default",
                slots: 12_usize.saturating_sub(self.running.len()),
                kinds: &kinds,
                synced: true,
                careful: false,
                durability: Durability::Relaxed,
            };
            let claims = claim(&Tx::on(&self.conn), &request, &mut self.burst, now).unwrap();
            assert!(claims.parked.is_empty(), "{:?}", claims.parked);
            for run in claims.superseded {
                // The handler that is asked to stop does so within seconds.
                let key = self.running.iter().find(|(_, open)| open.run_id == run).map(|(key, _)| *key);
                if let Some(key) = key {
                    let open = self.running.remove(&key).unwrap();
                    self.running.insert((self.steady + 5_000, open.run_id.0), open);
                }
            }
            if claims.runs.is_empty() {
                return;
            }
            for run in claims.runs {
                assert!(
                    self.started.insert((run.job_id, run.scheduled_for, run.attempt)),
                    "{run:?} was claimed twice"
                );
                self.judge_lateness(&run);
                self.runs += 1;
                self.caught_up += usize::from(run.trigger == Trigger::CatchUp);
                self.retries += usize::from(run.attempt > 1);
                let long = if self.random.u8(..) < 6 { secs(5 * HOUR) } else { secs(3 * MINUTE) };
                let takes = self.random.i64(200..long.as_millis() as i64);
                self.running.insert((self.steady + takes, run.run_id.0), run);
            }
        }
    }

    /// What comes by its schedule is on time within a minute; what is caught up is within its window, which for these
    /// jobs is at most 3 days, and the spreading of what else was overdue.
    fn judge_lateness(&self, run: &ClaimedRun) {
        let late = self.now().since(run.scheduled_for);
        match run.trigger {
            Trigger::Schedule => assert!(late <= secs(21 * MINUTE), "{run:?} is {late:?} late"),
            Trigger::CatchUp => assert!(late <= secs(3 * DAY + HOUR), "{run:?} is {late:?} late"),
            _ => {}
        }
    }

    fn end_handlers(&mut self) {
        while let Some(entry) = self.running.first_entry()
            && entry.key().0 <= self.steady
        {
            let run = entry.remove();
            let now = self.now();
            let (outcome, then) = match self.random.u8(..100) {
                0..90 => (Outcome::Succeeded, Then::Finish),
                90..97 => (Outcome::Failed, Then::Retry(now.plus(secs(10 * MINUTE)))),
                _ => (Outcome::Failed, Then::Finish),
            };
            if outcome == Outcome::Succeeded {
                let before = self.succeeded.insert((run.job_id, run.scheduled_for), run.run_id);
                assert_eq!(before, None, "{run:?} succeeded twice");
            }
            let fact = Complete {
                run_id: run.run_id,
                job_id: run.job_id,
                owner_id: run.owner_id,
                outcome,
                output: None,
                error: (outcome == Outcome::Failed).then(|| "failed on purpose".to_owned()),
                error_class: (outcome == Outcome::Failed).then_some(ErrorClass::Retryable),
                deliver: crate::exchange::Deliver::No,
                deliver_by: None,
                then,
                started_at: run.claimed_at,
                finished_at: now,
            };
            complete::complete(&Tx::on(&self.conn), &fact, now).unwrap();
        }
    }

    /// The process dies with all that it runs, and is back after a while.
    fn crash(&mut self) {
        self.crashes += 1;
        self.running.clear();
        let longest = if self.random.u8(..) < 64 { 3 * DAY } else { 20 * MINUTE };
        self.steady += self.random.i64(1_000..longest as i64 * 1_000);
        let now = self.now();
        let dead = self.owner;
        while !recover(&self.conn, dead, Cause::OwnerDied, now).unwrap().done {}
        owners::end(&self.conn, dead, EndReason::Died, now).unwrap();
        for job in self.parked() {
            // Three interruptions in a row: somebody looks and resumes it.
            pause::resume(&self.conn, job, now).unwrap();
        }
        self.new_owner();
    }

    fn parked(&self) -> Vec<JobId> {
        let (jobs, unreadable) = read::list_jobs(&self.conn, &filter()).unwrap();
        assert!(unreadable.is_empty());
        jobs.into_iter().filter(|job| job.parked_at.is_some()).map(|job| job.id).collect()
    }

    /// Until the next due time, the next end of a handler, or ten minutes at most.
    fn advance(&mut self) {
        let due = read::next_due(&self.conn, "default").unwrap();
        let until_due = due.map_or(i64::MAX, |at| at.millis() - self.now().millis());
        let until_end = self.running.keys().next().map_or(i64::MAX, |(at, _)| at - self.steady);
        self.steady += until_due.min(until_end).clamp(1, 10 * MINUTE as i64 * 1_000);
    }

    fn disturb(&mut self, ids: &[JobId]) {
        match self.random.u32(..4_000) {
            0..8 => self.crash(),
            8..11 => {
                let by = self.random.i64(61_000..3 * HOUR as i64 * 1_000);
                self.offset -= by;
                set_back::set_back(&self.conn, Duration::from_millis(by as u64), self.now()).unwrap();
            }
            11..13 => self.offset += self.random.i64(1_000..9 * HOUR as i64 * 1_000),
            13..17 => {
                let id = *self.random.choice(ids).unwrap();
                pause::pause(&self.conn, id, Some("a look"), self.now()).unwrap();
            }
            17..40 => {
                for id in ids {
                    pause::resume(&self.conn, *id, self.now()).unwrap();
                }
            }
            _ => {}
        }
    }
}

fn filter() -> read::JobFilter {
    read::JobFilter { limit: 100, ..read::JobFilter::default() }
}

#[test]
fn a_year_of_twenty_jobs_loses_no_occurrence_and_runs_none_twice() {
    let seed = std::env::var("YEAR_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_250_301);
    println!("YEAR_SEED={seed}");
    let dir = tempfile::tempdir().unwrap();
    let options = OpenOptions::new(dir.path().join("year.db")).durability(Durability::Relaxed);
    let database = Database::open(&options).unwrap();
    let conn = database.writer().unwrap();
    super::set_synchronous(&conn, super::Sync::Normal).unwrap();
    // The rules are the subject here, not the disk: one transaction from crash to crash.
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut world = World {
        conn,
        steady: 0,
        offset: 0,
        owner: OwnerId(0),
        generations: 0,
        burst: Burst::default(),
        running: BTreeMap::new(),
        random: fastrand::Rng::with_seed(seed),
        started: HashSet::new(),
        succeeded: HashMap::new(),
        runs: 0,
        caught_up: 0,
        retries: 0,
        crashes: 0,
    };
    let holidays = Calendar::in_tz(chrono_tz::Europe::Berlin)
        .dates(NaiveDate::from_ymd_opt(2025, 12, 24).unwrap(), NaiveDate::from_ymd_opt(2026, 1, 1).unwrap())
        .weekday(chrono::Weekday::Sun);
    calendars::store(&world.conn, "holidays", &holidays, world.now()).unwrap();
    world.new_owner();
    let declare = |world: &World| -> Vec<JobId> {
        let now = world.now();
        jobs()
            .into_iter()
            .map(|(name, when, job)| {
                let spec = job.into_named_spec(name, when, &Limits::default(), now).unwrap();
                schedule::schedule(&Tx::on(&world.conn), &spec, now).unwrap().id()
            })
            .collect()
    };
    let ids = declare(&world);
    let year = 366 * DAY as i64 * 1_000;
    let mut declared_at = 0;
    while world.steady < year {
        world.end_handlers();
        world.claim();
        world.disturb(&ids);
        world.advance();
        if world.crashes > declared_at {
            // A process that comes back declares its schedules again; that loses nothing and moves nothing.
            declared_at = world.crashes;
            world.conn.execute_batch("COMMIT; BEGIN IMMEDIATE").unwrap();
            assert_eq!(declare(&world), ids);
        }
    }
    // The last handlers end; whoever is paused is resumed; what is due by now is claimed.
    world.steady += 6 * HOUR as i64 * 1_000;
    world.end_handlers();
    for id in &ids {
        pause::resume(&world.conn, *id, world.now()).unwrap();
    }
    world.claim();
    world.steady += 6 * HOUR as i64 * 1_000;
    world.end_handlers();

    let end = world.now();
    for id in &ids {
        let job = read::require_job(&world.conn, *id).unwrap();
        let missing = account::unaccounted(&world.conn, *id, Timestamp::from_millis(START), end).unwrap();
        assert!(
            missing.is_empty(),
            "{:?}: {} unaccounted, the first {:?}",
            job.name,
            missing.len(),
            missing[0]
        );
    }
    let findings = doctor::doctor(&world.conn).unwrap();
    assert!(findings.is_empty(), "{findings:#?}");
    let misses: HashSet<MissReason> = ids
        .iter()
        .flat_map(|id| read::misses_of_job(&world.conn, *id, 10_000).unwrap())
        .map(|it| it.reason)
        .collect();
    println!(
        "{} runs, {} caught up, {} retries, {} crashes, {} kinds of misses",
        world.runs,
        world.caught_up,
        world.retries,
        world.crashes,
        misses.len()
    );
    assert!(world.runs > 10_000 && world.caught_up > 50 && world.retries > 50 && world.crashes > 20);
    for reason in [MissReason::Downtime, MissReason::Overlap, MissReason::Paused, MissReason::Coalesced] {
        assert!(misses.contains(&reason), "no miss for {reason}");
    }
}
