//! D11: storage and migration. Each test is a row of the table of scenarios.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use mainspring::{
    Backoff, Clock, Declaration, Delivery, Engine, Error, Event, Failure, JobId, JobState, ListFilter,
    MadeBy, NewJob, OnDuplicate, OnUnknownDelivery, OpenOptions, Outcome, Prune, Queue, RunContext, Schedule,
    SystemClock,
};
use refinery_core::{Migration, Runner, Target};
use rusqlite::Connection;
use rusqlite::types::{Value, ValueRef};
use stage::child::{self, Child};
use stage::post::post;
use stage::puppet::puppet;
use stage::*;

#[test]
#[ignore = "a child of the tests in this file"]
fn a_child_plays_its_part() {
    child::play(|part, path| match part {
        "works" => work_until_killed(path),
        "enqueues" => enqueue_until_killed(path),
        "edits" => edit_until_killed(path),
        other => panic!("there is no part {other:?}"),
    });
}

/// The migrations of this library, in order.
fn migrations() -> Vec<Migration> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let migration = |file: &PathBuf| {
        let sql = fs::read_to_string(file).unwrap();
        Migration::unapplied(file.file_stem().unwrap().to_str().unwrap(), &sql).unwrap()
    };
    files.iter().map(migration).collect()
}

/// A file as an older library left it, with representative rows in every table.
fn file_of_version(dir: &Path, version: i32) -> PathBuf {
    let path = dir.join("app.db");
    let mut conn = Connection::open(&path).unwrap();
    conn.pragma_update(None, "journal_mode", "wal").unwrap();
    Runner::new(&migrations())
        .set_grouped(true)
        .set_target(Target::Version(version))
        .set_migration_table_name("mainspring_schema_history")
        .run(&mut conn)
        .unwrap();
    conn.execute_batch(include_str!("data/representative.sql")).unwrap();
    path
}

/// Every row of every table of the queue, but for the history of migrations.
fn rows(path: &Path) -> BTreeMap<String, Vec<Vec<(String, Value)>>> {
    let conn = by_hand(path);
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'mainspring%'
        AND name NOT IN ('mainspring_schema_history', 'mainspring_writers') ORDER BY name";
    let mut statement = conn.prepare(tables).unwrap();
    let tables: Vec<String> =
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let rows_of = |table: &String| {
        let mut statement = conn.prepare(&format!("SELECT * FROM {table} ORDER BY 1")).unwrap();
        let columns: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
        let row = |row: &rusqlite::Row<'_>| {
            columns.iter().map(|column| Ok((column.clone(), raw(row.get_ref(column.as_str())?)))).collect()
        };
        let rows = statement.query_map([], row).unwrap().map(Result::unwrap).collect();
        (table.clone(), rows)
    };
    tables.iter().map(rows_of).collect()
}

/// A value as it stands in the file, even a text in a broken encoding.
fn raw(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Text(bytes) if std::str::from_utf8(bytes).is_err() => Value::Blob(bytes.to_owned()),
        value => value.try_into().unwrap(),
    }
}

/// An upgrade lost all jobs, and said nothing.
#[test]
fn d11_1_an_upgrade_from_each_older_version_keeps_every_value_of_every_row() {
    let newest = migrations().len() as i32;
    assert!(newest > 1, "there is no older version to come from");
    for version in 1..newest {
        let dir = tempfile::tempdir().unwrap();
        let path = file_of_version(dir.path(), version);
        let before = rows(&path);
        assert!(before["mainspring_jobs"].len() > 10 && before["mainspring_completions"].len() > 10);

        let migrated = OpenOptions::new(&path).migrate().unwrap();

        assert_eq!((migrated.version, migrated.applied.len() as i32), (i64::from(newest), newest - version));
        let after = rows(&path);
        for (table, rows) in &before {
            assert_eq!(rows.len(), after[table].len(), "{table}");
            for (row, now) in rows.iter().zip(&after[table]) {
                let kept = row.iter().all(|column| now.contains(column));
                assert!(kept, "V{version}: {table}: {row:?} is now {now:?}");
            }
        }
        assert_eq!(value::<String>(&path, "PRAGMA integrity_check"), "ok");
    }
}

/// The other end of it: an upgrade that cannot be made is an error, and the old file is as it was.
#[test]
fn d11_1_an_upgrade_that_fails_is_loud_and_leaves_the_old_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = file_of_version(dir.path(), 1);
    // Somebody has taken the name of something that the next version makes.
    by_hand(&path).execute_batch("CREATE TABLE mainspring_why_view (mine TEXT)").unwrap();
    let before = rows(&path);

    let error = OpenOptions::new(&path).migrate().unwrap_err();

    assert!(
        matches!(&error, Error::Migration { why, .. } if why.contains("mainspring_why_view")),
        "{error:?}"
    );
    assert_eq!(rows(&path), before);
    assert_eq!(value::<i64>(&path, "SELECT max(version) FROM mainspring_schema_history"), 1);
    by_hand(&path).execute_batch("DROP TABLE mainspring_why_view").unwrap();
    OpenOptions::new(&path).migrate().unwrap();
}

/// Rows that no library writes: args in a broken encoding, a schedule that is none, a policy that there is not.
fn break_rows(path: &Path) {
    by_hand(path)
        .execute_batch(
            "UPDATE mainspring_jobs SET args = CAST(x'22ff22' AS TEXT) WHERE name = 'broken args';
             UPDATE mainspring_jobs SET schedule_text = '61 * * * *' WHERE name = 'broken schedule';
             UPDATE mainspring_jobs SET policies = '{\"timeout\":5}' WHERE name = 'broken policies';",
        )
        .unwrap();
}

const BROKEN: [&str; 3] = ["broken args", "broken schedule", "broken policies"];

/// A validator that was stricter than the runtime put all jobs aside, and named none.
#[tokio::test]
async fn d11_2_rows_that_cannot_be_read_are_parked_by_name_and_the_others_run() {
    let test = queue().await;
    for name in BROKEN.into_iter().chain(["fine", "fine as well"]) {
        test.queue().schedule(name, Schedule::cron("0 * * * *").unwrap(), note(name)).await.unwrap();
    }
    let ids: Vec<i64> = {
        let conn = by_hand(test.queue().path());
        let id = |name: &str| {
            conn.query_row("SELECT id FROM mainspring_jobs WHERE name = ?", [name], |row| row.get(0)).unwrap()
        };
        BROKEN.map(id).to_vec()
    };
    break_rows(test.queue().path());
    let before = rows(test.queue().path());
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;

    pass(&test, HOUR).await;

    assert_eq!(
        ledger.texts().into_iter().collect::<BTreeSet<_>>(),
        ["fine", "fine as well"].map(str::to_owned).into()
    );
    let reasons: Vec<String> = {
        let conn = by_hand(test.queue().path());
        let reason = |id: &i64| {
            let sql = "SELECT park_reason FROM mainspring_jobs WHERE id = ? AND parked_at_ms IS NOT NULL";
            conn.query_row(sql, [id], |row| row.get(0)).unwrap()
        };
        ids.iter().map(reason).collect()
    };
    for ((id, reason), column) in ids.iter().zip(&reasons).zip(["args", "schedule_text", "policies"]) {
        assert!(reason.starts_with(&format!("mainspring_jobs row {id}, column \"{column}\": ")), "{reason}");
    }
    // The raw row is as it was, but for the park.
    let parked = ["parked_at_ms", "park_reason", "ready", "claimable"];
    for row in &before["mainspring_jobs"] {
        if !ids.iter().any(|id| row[0].1 == Value::Integer(*id)) {
            continue;
        }
        let after = rows(test.queue().path()).remove("mainspring_jobs").unwrap();
        let after = after.into_iter().find(|now| now[0] == row[0]).unwrap();
        let rest = row.iter().filter(|(column, _)| !parked.contains(&column.as_str()));
        assert!(rest.clone().all(|column| after.contains(column)), "{row:?} is now {after:?}");
    }

    // Nor do they keep an engine from starting.
    engine.shutdown(PATIENCE).await.unwrap();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    pass(&test, HOUR).await;
    assert_eq!(ledger.len(), 4);
    end(&test, engine).await;
}

/// 9 of 41 jobs were listed: those that could not be read were left out.
#[tokio::test]
async fn d11_3_a_list_names_what_it_cannot_show() {
    let test = queue().await;
    for name in BROKEN {
        test.queue().schedule(name, Schedule::cron("0 * * * *").unwrap(), note(name)).await.unwrap();
    }
    test.queue().enqueue_many((0..38).map(|n| note(format!("{n}")))).await.unwrap();
    break_rows(test.queue().path());

    let list = test.queue().list(ListFilter::default()).await.unwrap();

    let rows: i64 = value(test.queue().path(), "SELECT count(*) FROM mainspring_jobs");
    assert_eq!((list.jobs.len(), list.unreadable.len(), rows), (38, 3, 41));
    let named: BTreeSet<i64> = list
        .unreadable
        .iter()
        .map(|error| match error {
            Error::MalformedRow { table: "mainspring_jobs", id, .. } => *id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(named, BTreeSet::from([1, 2, 3]));
    assert_eq!(
        test.queue().status().await.unwrap().scheduled + test.queue().status().await.unwrap().ready,
        41
    );
}

/// The history was empty after an upgrade, or grew for ever.
#[tokio::test]
async fn d11_4_history_survives_an_upgrade_and_is_pruned_by_age_and_number() {
    let dir = tempfile::tempdir().unwrap();
    let path = file_of_version(dir.path(), 1);
    let runs: i64 = value(&path, "SELECT count(*) FROM mainspring_runs");
    let queue = Queue::open(&path).await.unwrap();
    assert_eq!(value::<i64>(&path, "SELECT count(*) FROM mainspring_runs"), runs);
    let first = queue.list(ListFilter::default()).await.unwrap().jobs.remove(0);
    assert!(!queue.runs(first.id, 100).await.unwrap().is_empty());
    queue.close().await.unwrap();

    let test = stage::queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    test.queue().schedule("job", Schedule::every(HOUR).unwrap(), note("tick")).await.unwrap();
    for _ in 0..48 {
        pass(&test, HOUR).await;
    }
    let by_age = test.queue().prune(Prune::older_than(DAY)).await.unwrap();
    assert_eq!((by_age.runs, stage::runs(test.queue(), "job").await.len()), (23, 25));
    let by_number = test.queue().prune(Prune::older_than(DAY).keep_newest(10)).await.unwrap();
    assert_eq!((by_number.runs, stage::runs(test.queue(), "job").await.len()), (15, 10));
    end(&test, engine).await;
}

fn work_until_killed(path: PathBuf) {
    child::end_with_the_test();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let engine = Engine::builder(Queue::open(&path).await.unwrap());
        let tick = |_: Note, cx: RunContext| async move {
            child::say("runs");
            if cx.run_id().0 % 3 == 0 { Err(Failure::new("every third one")) } else { Ok::<_, Failure>(()) }
        };
        let engine = engine.handler(tick).handler(post().0).build().unwrap();
        let _engine = engine.start().await.unwrap();
        std::future::pending::<()>().await;
    });
}

/// The last run stood in one store and its history in another: after a crash they did not agree.
#[tokio::test]
async fn d11_5_after_kills_at_any_moment_a_job_and_its_history_say_the_same() {
    let test = queue_for_children().await;
    let fast = Backoff::fixed(Duration::from_millis(5));
    for n in 0..5 {
        let job = NewJob::new(note("tick")).backoff(fast);
        let every = Schedule::every(Duration::from_millis(7 + n)).unwrap();
        test.queue().schedule(&format!("job {n}"), every.clone(), job).await.unwrap();
        test.queue().schedule(&format!("letter {n}"), every, letter("tick")).await.unwrap();
    }
    for kill in 1..=15 {
        let child = Child::start(test.queue().path(), "works");
        for _ in 0..kill {
            child.hear_of("runs");
        }
        child.kill();

        let conn = by_hand(test.queue().path());
        let count = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        let no_run =
            "SELECT count(*) FROM mainspring_jobs j WHERE last_run_at_ms IS NOT NULL AND last_run_at_ms <>
            (SELECT max(claimed_at_ms) FROM mainspring_runs WHERE job_id = j.id)";
        let no_last_run = "SELECT count(*) FROM mainspring_runs r JOIN mainspring_jobs j ON j.id = r.job_id
            WHERE j.last_run_at_ms IS NULL OR j.last_run_at_ms < r.claimed_at_ms";
        let no_completion =
            "SELECT count(*) FROM mainspring_runs r LEFT JOIN mainspring_completions c ON c.run_id = r.id
            WHERE (r.ended_at_ms IS NULL) <> (c.run_id IS NULL)";
        let wrong_outcome = "SELECT count(*) FROM mainspring_jobs j WHERE open_runs = 0 AND last_outcome <> (
            SELECT c.outcome FROM mainspring_completions c JOIN mainspring_runs r ON r.id = c.run_id
            WHERE r.job_id = j.id ORDER BY r.ended_at_ms DESC, r.id DESC LIMIT 1)";
        for sql in [no_run, no_last_run, no_completion, wrong_outcome] {
            assert_eq!(count(sql), 0, "after kill {kill}: {sql}");
        }
    }
    // What the dead left is open until somebody settles it; then nothing is.
    let engine = start(&test, |engine| engine.handler(Ledger::default().succeeding())).await;
    let settled = || async { test.queue().status().await.unwrap().engines == 1 };
    until("the dead owners were found", settled).await;
    engine.shutdown(PATIENCE).await.unwrap();
    is_sound(test.queue()).await;
}

/// A run that failed early was on record without its job, since its row was written at its end.
#[tokio::test]
async fn d11_6_a_run_is_on_record_with_all_that_it_is_for_from_its_claim_on() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler).queue("night", 1)).await;
    let declare = |text: &str| NewJob::new(note(text)).queue("night");
    test.queue().schedule("job", Schedule::every(HOUR).unwrap(), declare("first")).await.unwrap();
    let changed =
        test.queue().schedule("job", Schedule::every(HOUR).unwrap(), declare("second")).await.unwrap();
    test.clock().advance(HOUR);
    let call = calls.next().await;

    let run = test.queue().run(call.cx.run_id()).await.unwrap();

    assert_eq!((run.job_id, run.job_revision, run.attempt), (changed.id(), 2, 1));
    assert_eq!((run.kind.as_str(), run.queue.as_str(), run.trigger.as_str()), ("note", "night", "schedule"));
    assert_eq!((seconds(run.scheduled_for), seconds(run.claimed_at)), (3_600, 3_600));
    assert_eq!((run.ended_at, run.completion), (None, None));
    let owner: String = value(
        test.queue().path(),
        "SELECT o.pid || ' ' || (o.ended_at_ms IS NULL) FROM mainspring_owners o JOIN mainspring_runs r ON r.owner_id = o.id",
    );
    assert_eq!(owner, format!("{} 1", std::process::id()));
    call.succeed("done");
    drain(&test).await;
    end(&test, engine).await;
}

/// "database is locked": another program's transaction of two seconds, and everything failed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d11_7_a_transaction_of_two_seconds_by_somebody_else_makes_everything_wait_and_nothing_fail() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    test.queue().schedule("job", Schedule::every(HOUR).unwrap(), note("tick")).await.unwrap();
    test.queue().schedule("paused", Schedule::every(HOUR).unwrap(), note("tick")).await.unwrap();
    test.queue().enqueue(note("runs")).await.unwrap();
    let call = calls.next().await;
    let other = by_hand(test.queue().path());
    other.execute_batch("BEGIN IMMEDIATE; UPDATE mainspring_jobs SET priority = 1").unwrap();

    // The handler of an open run ends, and every kind of call is made, from here and from another handle.
    call.succeed("done");
    let (here, there) = (test.queue().clone(), test.reopen().unwrap());
    let writes = tokio::spawn(async move {
        let results = tokio::join!(
            here.enqueue(note("one")),
            here.enqueue_many([note("two"), note("three")]),
            here.schedule("job", Schedule::every(MINUTE).unwrap(), note("tick")),
            here.pause("paused", Some("now")),
            there.run_now("job"),
            there.prune(Prune::older_than(DAY)),
            there.enqueue(note("four")),
        );
        (
            results.0.is_ok(),
            results.1.is_ok(),
            results.2.is_ok(),
            results.3.is_ok(),
            results.4.is_ok(),
            results.5.is_ok(),
            results.6.is_ok(),
        )
    });
    until("two seconds of waiting", || async {
        // Reads wait for nobody.
        test.queue().status().await.unwrap();
        test.queue().list(ListFilter::default()).await.unwrap();
        test.queue().health().await.unwrap().since_last_tick_ms >= 2_000
    })
    .await;
    assert!(!writes.is_finished());
    other.execute_batch("COMMIT").unwrap();

    assert_eq!(soon("the answers", writes).await.unwrap(), (true, true, true, true, true, true, true));
    for _ in 0..5 {
        calls.next().await.succeed("done");
    }
    drain(&test).await;
    assert_eq!(test.queue().health().await.unwrap().last_error, None);
    end(&test, engine).await;
}

/// Reads took the write lock for their maintenance, and stalled with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d11_8_readers_and_the_writer_wait_for_each_other_in_no_direction() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    test.queue().enqueue(note("before")).await.unwrap();
    drain(&test).await;
    // Somebody reads for a long time, in a transaction.
    let reader = by_hand(test.queue().path());
    let seen = "SELECT count(*) FROM mainspring_runs";
    reader.execute_batch("BEGIN").unwrap();
    assert_eq!(reader.query_row(seen, [], |row| row.get::<_, i64>(0)), Ok(1));

    test.queue().enqueue_many((0..100).map(|n| note(format!("{n}")))).await.unwrap();
    drain(&test).await;

    assert_eq!(ledger.len(), 101);
    assert_eq!(reader.query_row(seen, [], |row| row.get::<_, i64>(0)), Ok(1), "and sees what it saw");
    reader.execute_batch("COMMIT").unwrap();

    // Somebody writes for a long time: every read answers.
    let job = ledger.entries()[0].clone();
    let writer = by_hand(test.queue().path());
    writer.execute_batch("BEGIN IMMEDIATE; UPDATE mainspring_jobs SET priority = 1").unwrap();
    let queue = test.queue();
    queue.status().await.unwrap();
    queue.health().await.unwrap();
    assert_eq!(queue.list(ListFilter::default()).await.unwrap().jobs.len(), 101);
    assert_eq!(queue.get(job.job).await.unwrap().priority, 0);
    assert_eq!(queue.runs(job.job, 10).await.unwrap().len(), 1);
    assert_eq!(queue.run(job.run).await.unwrap().id, job.run);
    assert!(queue.misses(job.job, 10).await.unwrap().is_empty());
    assert!(queue.doctor().await.unwrap().is_empty());
    writer.execute_batch("ROLLBACK").unwrap();
    end(&test, engine).await;
}

/// A backup of the file held up every run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d11_9_jobs_run_while_a_backup_is_made_and_the_backup_is_whole() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    by_hand(test.queue().path())
        .execute_batch(
            "CREATE TABLE photos (bytes BLOB);
             INSERT INTO photos SELECT zeroblob(65536) FROM mainspring_meta, json_each('[1,2,3,4,5,6,7,8,9,10]'),
                json_each('[1,2,3,4,5,6,7,8,9,10]'), json_each('[1,2,3]');",
        )
        .unwrap();
    let copy = test.dir().join("copy.db");
    let mut backup = Command::new("sqlite3")
        .args(["-readonly", "-cmd", ".timeout 30000"])
        .arg(test.queue().path())
        .arg(format!(".backup '{}'", copy.display()))
        .spawn()
        .unwrap();

    let mut took = Vec::new();
    let mut ran_meanwhile = 0;
    while took.len() < 100 {
        let begin = Instant::now();
        test.queue().enqueue(note("meanwhile")).await.unwrap();
        calls.next().await.succeed("done");
        took.push(begin.elapsed());
        ran_meanwhile += usize::from(backup.try_wait().unwrap().is_none());
    }
    assert!(backup.wait().unwrap().success());
    drain(&test).await;

    assert!(ran_meanwhile > 0, "the backup was over before anything ran");
    took.sort_unstable();
    assert!(took[98] < SECOND, "{took:?}");
    let restored = Queue::open(&copy).await.unwrap();
    assert_eq!(value::<String>(&copy, "PRAGMA integrity_check"), "ok");
    assert_eq!(restored.database_uuid(), test.queue().database_uuid());
    end(&test, engine).await;
}

/// The log beside the file had grown for as long as somebody read, and stayed so large.
#[tokio::test]
async fn d11_9_the_log_is_written_from_its_start_again_once_a_long_read_is_over() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    let log = test.queue().path().with_extension("db-wal");
    let write = |n: usize| {
        let queue = test.queue().clone();
        async move { queue.enqueue_many((0..n).map(|_| note("x".repeat(100_000)))).await.unwrap() }
    };
    let reader = by_hand(test.queue().path());
    reader.execute_batch("BEGIN; SELECT count(*) FROM mainspring_jobs").unwrap();
    for _ in 0..10 {
        write(10).await;
        drain(&test).await;
    }
    let under_the_reader = fs::metadata(&log).unwrap().len();
    assert!(under_the_reader > 10_000_000, "{under_the_reader}");
    reader.execute_batch("COMMIT").unwrap();

    for _ in 0..10 {
        write(10).await;
        drain(&test).await;
    }

    let after = fs::metadata(&log).unwrap().len();
    assert!(after < under_the_reader + 5_000_000, "{under_the_reader} became {after}");
    end(&test, engine).await;
}

fn enqueue_until_killed(path: PathBuf) {
    child::end_with_the_test();
    let queue = Queue::open_blocking(&OpenOptions::new(path)).unwrap().blocking();
    loop {
        let made = queue.enqueue_many((0..20).map(|n| note(format!("{n}")))).unwrap();
        let (first, last) = (made[0].id().0, made[19].id().0);
        child::say(format!("wrote {first} {last}"));
    }
}

/// A file that was written anew at each step was torn by a crash.
#[test]
fn d11_10_a_process_killed_among_ten_thousand_writes_loses_nothing_that_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    let mut acknowledged = BTreeSet::new();
    let mut kills = 0;
    while acknowledged.len() < 10_000 {
        let child = Child::start(&path, "enqueues");
        let enough = acknowledged.len() + 1_000 + 20 * kills;
        let mut take = |line: &str| {
            let mut ids =
                line.strip_prefix("wrote ").unwrap().split(' ').map(|id| id.parse::<i64>().unwrap());
            acknowledged.extend(ids.next().unwrap()..=ids.next().unwrap());
            acknowledged.len()
        };
        while take(&child.hear().unwrap()) < enough {}
        for line in child.kill() {
            take(&line);
        }
        kills += 1;
        assert_eq!(value::<String>(&path, "PRAGMA integrity_check"), "ok", "after kill {kills}");
    }

    let conn = by_hand(&path);
    let mut statement = conn.prepare("SELECT id FROM mainspring_jobs").unwrap();
    let there: BTreeSet<i64> =
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let lost: Vec<_> = acknowledged.difference(&there).collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert!(there.len().is_multiple_of(20), "half of a transaction is in the file");
    let queue = Queue::open_blocking(&OpenOptions::new(&path)).unwrap();
    assert_eq!(queue.blocking().doctor().unwrap(), []);
}

/// Messages and tokens in arguments could be read by every user of the machine.
#[tokio::test]
async fn d11_11_no_file_of_a_queue_can_be_read_by_others() {
    let test = queue().await;
    let engine = start(&test, |engine| engine.handler(Ledger::default().succeeding())).await;
    test.queue().enqueue(note("a secret")).await.unwrap();
    drain(&test).await;

    let mut files = vec![test.dir().to_owned()];
    let mut looked_at = BTreeSet::new();
    while let Some(path) = files.pop() {
        let mode = fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777;
        if path != test.dir() {
            assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{path:?}");
            looked_at.insert(path.extension().unwrap().to_string_lossy().into_owned());
        }
        if path.is_dir() {
            files.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    assert_eq!(looked_at, ["db", "db-shm", "db-wal", "lock", "owners"].map(str::to_owned).into());
    end(&test, engine).await;
}

/// The id of a job was the name of a file.
#[tokio::test]
async fn d11_12_a_name_is_only_ever_a_value() {
    let test = queue().await;
    let ledger = Ledger::default();
    let names = [
        "../../outside",
        "/tmp/absolute",
        "'; DROP TABLE mainspring_jobs; --",
        "%2e%2e%2f",
        "a\u{202e}b",
        "*.lock",
        "?1",
    ];
    let engine = start(&test, |engine| {
        names.iter().fold(engine.handler(ledger.succeeding()), |engine, name| engine.queue(*name, 1))
    })
    .await;
    let listing = |dir: &Path| -> BTreeSet<PathBuf> {
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let before = (listing(test.dir()), listing(&test.dir().join("test.db.owners")));
    for name in names {
        let job = NewJob::new(note(name)).queue(name);
        test.queue().schedule(name, Schedule::at(second(0)), job).await.unwrap();
        test.queue().enqueue(NewJob::new(note(name)).queue(name).unique(name)).await.unwrap();
    }
    drain(&test).await;
    assert_eq!(ledger.len(), 2 * names.len());
    for name in names {
        assert_eq!(test.queue().get(name).await.unwrap().name.as_deref(), Some(name));
        assert_eq!(runs(test.queue(), name).await.len(), 1);
        test.queue().pause(name, Some(name)).await.unwrap();
        test.queue().remove(name).await.unwrap();
    }
    // What cannot be printed is refused where it comes in.
    let refused = test.queue().schedule("a\0b", Schedule::at(second(0)), note("")).await;
    assert!(matches!(refused, Err(Error::InvalidOption { option: "name", .. })));
    assert_eq!((listing(test.dir()), listing(&test.dir().join("test.db.owners"))), before);
    assert!(!Path::new("/tmp/absolute").exists() && !test.dir().join("../../outside").exists());
    end(&test, engine).await;
}

/// With a job went all that was known of what it had done.
#[tokio::test]
async fn d11_13_the_runs_of_a_removed_job_stay() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    let job = test.queue().schedule("job", Schedule::every(HOUR).unwrap(), note("tick")).await.unwrap().id();
    pass(&test, HOUR).await;
    pass(&test, HOUR).await;
    let before = runs(test.queue(), job).await;

    test.queue().remove("job").await.unwrap();

    assert!(test.queue().get(job).await.unwrap_err().is_not_found());
    assert_eq!(runs(test.queue(), job).await, before);
    assert_eq!(before.len(), 2);
    // A job of the same name is another job, with a history of its own.
    let again =
        test.queue().schedule("job", Schedule::every(HOUR).unwrap(), note("tick")).await.unwrap().id();
    assert!(again != job && runs(test.queue(), again).await.is_empty());
    end(&test, engine).await;
}

/// Old rows were dropped by number, among them those that recovery needed.
#[tokio::test]
async fn d11_14_pruning_everything_leaves_what_is_not_settled() {
    let test = queue().await;
    let (worker, mut calls) = puppet();
    let (poster, mut parcels, _) = post();
    let engine = start(&test, |engine| engine.handler(worker).handler(poster)).await;
    let posted = |text: &str| {
        NewJob::new(letter(text))
            .on_unknown_delivery(OnUnknownDelivery::Hold)
            .delivery_attempts(5, Backoff::fixed(365 * DAY))
    };
    let open = test.queue().enqueue(note("open")).await.unwrap().id();
    let held = calls.next().await;
    let retried = NewJob::new(note("retried")).backoff(Backoff::fixed(365 * DAY));
    let retried = test.queue().enqueue(retried).await.unwrap().id();
    calls.next().await.fail("later");
    let pending = test.queue().enqueue(posted("pending")).await.unwrap().id();
    parcels.next().await.not_sent("later");
    let unknown = test.queue().enqueue(posted("unknown")).await.unwrap().id();
    parcels.next().await.unknown("reset");
    let started = test.queue().enqueue(posted("started")).await.unwrap().id();
    let parcel = parcels.next().await;
    let settled = test.queue().enqueue(posted("settled")).await.unwrap().id();
    parcels.next().await.accept();
    test.queue().schedule("named", Schedule::at(second(0)), note("named")).await.unwrap();
    calls.next().await.succeed("done");
    let waiting = test.queue().enqueue(NewJob::new(note("waiting")).after(365 * DAY)).await.unwrap().id();
    let at_rest = || async {
        let status = test.queue().status().await.unwrap();
        (status.running, status.delivering) == (1, 1)
    };
    until("all but two are settled", at_rest).await;

    test.clock().advance(30 * DAY);
    let pruned = test.queue().prune(Prune::older_than(DAY).keep_newest(0)).await.unwrap();

    // The delivered run with its job, the named job's run, the first attempt of the one that is tried again.
    assert_eq!((pruned.runs, pruned.jobs), (3, 1));
    assert!(test.queue().get(settled).await.unwrap_err().is_not_found());
    for job in [open, retried, pending, unknown, started, waiting] {
        test.queue().get(job).await.unwrap();
    }
    assert_eq!(test.queue().get("named").await.unwrap().state(test.clock().now()), JobState::Finished);
    for (job, delivery) in
        [(pending, Delivery::Pending), (unknown, Delivery::Unknown), (started, Delivery::Started)]
    {
        assert_eq!(runs(test.queue(), job).await[0].completion.as_ref().unwrap().delivery, delivery);
    }
    parcel.accept();
    held.succeed("done");
    test.clock().advance(365 * DAY);
    parcels.next().await.accept();
    for _ in 0..2 {
        let call = calls.next().await;
        assert!(["retried", "waiting"].contains(&call.text.as_str()));
        call.succeed("done");
    }
    drain(&test).await;
    assert_eq!(outcomes(test.queue(), retried).await, [Outcome::Succeeded]);
    end(&test, engine).await;
}

/// An event in short: what was done and at which second, and what its detail says.
fn short(event: &Event) -> String {
    let detail = event.detail.as_deref().map(|detail| format!(" {detail}")).unwrap_or_default();
    format!("{} {}{detail}", event.event, seconds(event.at))
}

/// What is on record of a job, the oldest first.
async fn events_of(queue: &Queue, job: JobId) -> Vec<String> {
    queue.job_events(job, 100).await.unwrap().iter().rev().map(short).collect()
}

fn hourly(text: &str) -> (Schedule, NewJob<Note>) {
    (Schedule::every(HOUR).unwrap().anchored_at(second(0)), NewJob::new(note(text)))
}

/// Nobody could say who had changed a job, when, or what it had been before.
#[tokio::test]
async fn d11_15_each_change_of_a_job_is_on_record_and_stays() {
    let test = queue().await;
    let queue = test.queue();
    let tick = || test.clock().advance(SECOND);
    let (schedule, first) = hourly("first");
    let job = queue.schedule("job", schedule.clone(), first.priority(1)).await.unwrap().id();
    tick();
    // The same once more is no change; then what it says changes, then its schedule, then both.
    let same = NewJob::new(note("first")).priority(1);
    queue.schedule("job", schedule.clone(), same).await.unwrap();
    let other = || NewJob::new(note("second")).priority(2);
    queue.schedule("job", schedule, other()).await.unwrap();
    tick();
    queue.schedule("job", Schedule::cron("0 8 * * *").unwrap(), other()).await.unwrap();
    tick();
    let both = other().enabled(false);
    queue.schedule("job", Schedule::cron("0 9 * * *").unwrap(), both).await.unwrap();
    tick();
    queue.pause("job", Some("a holiday")).await.unwrap();
    queue.pause("job", Some("a holiday")).await.unwrap();
    tick();
    queue.resume("job").await.unwrap();
    queue.resume("job").await.unwrap();
    tick();
    queue.cancel("job").await.unwrap();
    queue.cancel("job").await.unwrap();
    tick();

    queue.remove("job").await.unwrap();

    let schedule = r#"{"schedule_kind":["every","cron"],"schedule_text":["every 1h","0 8 * * *"],"every_ms":[3600000,null],"anchor_ms":[1767600000000,null],"time_zone":[null,"UTC"],"gap":[null,"run_after"]}"#;
    let wanted = [
        "added 0".to_owned(),
        r#"changed 1 {"priority":[1,2],"args":"changed"}"#.to_owned(),
        format!("rescheduled 2 {schedule}"),
        r#"changed 3 {"enabled":[1,0]}"#.to_owned(),
        r#"rescheduled 3 {"schedule_text":["0 8 * * *","0 9 * * *"]}"#.to_owned(),
        "paused 4 a holiday".to_owned(),
        "resumed 5".to_owned(),
        "cancelled 6".to_owned(),
        "removed 7".to_owned(),
    ];
    assert_eq!(events_of(queue, job).await, wanted);
    let events = queue.events(100).await.unwrap();
    assert_eq!(events, queue.job_events(job, 100).await.unwrap());
    for event in &events {
        let of_job = (event.job_id, event.name.as_deref(), event.kind.as_deref(), event.queue.as_str());
        assert_eq!(of_job, (Some(job), Some("job"), Some("note"), "default"));
        assert_eq!(event.made_by, MadeBy::Library);
    }
    let revisions: Vec<_> = events.iter().rev().map(|event| event.revision.unwrap()).collect();
    assert_eq!(revisions, [1, 2, 3, 4, 4, 4, 4, 5, 5]);
    is_sound(queue).await;
}

/// A job that was parked, and what became of it, had left no trace once it went on.
#[tokio::test]
async fn d11_15_a_park_and_its_end_are_on_record() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let parks = NewJob::new(note("x")).max_attempts(1).park_after_failures(1);
    let job = test.queue().schedule("job", Schedule::every(HOUR).unwrap(), parks).await.unwrap().id();
    test.clock().advance(HOUR);
    calls.next().await.fail("no");
    until("the park", || async { test.queue().get(job).await.unwrap().parked_at.is_some() }).await;
    test.clock().advance(SECOND);
    test.queue().retry(job).await.unwrap();
    calls.next().await.fail("no");
    until("the park", || async { test.queue().get(job).await.unwrap().parked_at.is_some() }).await;
    test.queue().resume(job).await.unwrap();

    let parked = |at: u32, times: u32| {
        format!("parked {at} {times} occurrences in a row failed: look why, then resume it")
    };
    let wanted = ["added 0", &parked(3_600, 1), "unparked 3601", &parked(3_601, 2), "unparked 3601"];
    assert_eq!(events_of(test.queue(), job).await, wanted);
    end(&test, engine).await;
}

/// A set was declared anew at a start, and a job of it was gone.
#[tokio::test]
async fn d11_15_what_a_declared_set_adds_takes_over_and_removes_is_on_record() {
    let test = queue().await;
    let queue = test.queue();
    let daily = |name: &str| Declaration::new(name, Schedule::cron("@daily").unwrap(), note("x"));
    queue.schedule("old", Schedule::cron("@daily").unwrap(), note("x")).await.unwrap();
    for names in [&["old", "new"][..], &["old", "new"], &["old"]] {
        test.clock().advance(SECOND);
        queue.replace_all("app", names.iter().map(|name| daily(name))).await.unwrap();
    }

    let events = queue.events(100).await.unwrap();
    let told = |event: &Event| format!("{} {}", event.name.as_deref().unwrap(), short(event));
    let wanted =
        ["old added 0", r#"old changed 1 {"declared_by":[null,"app"]}"#, "new added 1", "new removed 3"];
    assert_eq!(events.iter().rev().map(told).collect::<Vec<_>>(), wanted);
    assert!(events.iter().all(|event| event.made_by == MadeBy::Library));
}

/// A row that nobody could have written was to be mended, and the log of it refused the mending.
#[tokio::test]
async fn d11_15_an_edit_of_an_odd_row_goes_through_and_is_on_record() {
    let test = queue().await;
    let (schedule, job) = hourly("x");
    let id = test.queue().schedule("job", schedule, job).await.unwrap().id();
    let odd = [
        "queue = CAST(x'ff00fe' AS TEXT)",
        "schedule_text = 'it''s \"odd\"' || char(10, 0, 8238)",
        "policies = '{not json'",
        "expires_at_ms = 9223372036854775807",
        "time_zone = hex(zeroblob(500000))",
    ];
    // Once by the library's SQLite, past the constraints, and back by that of the shell.
    let conn = by_hand(test.queue().path());
    conn.execute_batch("PRAGMA ignore_check_constraints = ON").unwrap();
    for edit in odd {
        conn.execute(&format!("UPDATE mainspring_jobs SET {edit} WHERE id = {id}"), []).unwrap();
    }
    let back =
        "queue = 'default', schedule_text = NULL, policies = '{}', expires_at_ms = NULL, time_zone = NULL";
    let back = format!("UPDATE mainspring_jobs SET {back} WHERE id = {id}");
    shell(test.queue().path(), &back).unwrap();

    let count = "SELECT count(*) FROM mainspring_events WHERE made_by = 'sql' AND json_valid(detail)";
    assert_eq!(value::<i64>(test.queue().path(), count), 7);
    let queues: Vec<_> =
        test.queue().job_events(id, 100).await.unwrap().into_iter().map(|event| event.queue).collect();
    let (odd, sound) = ("\u{fffd}\0\u{fffd}", "default");
    assert_eq!(queues, [sound, sound, odd, odd, odd, odd, odd, sound]);
    is_sound(test.queue()).await;
}

/// A job was gone, and nothing told that somebody had deleted its row.
#[tokio::test]
async fn d11_15_a_change_in_the_shell_is_on_record_as_such() {
    let test = queue().await;
    let (schedule, job) = hourly("x");
    let id = test.queue().schedule("job", schedule, job).await.unwrap().id();
    let before = SystemClock.now();
    for sql in [
        "UPDATE mainspring_jobs SET priority = 5, args = '\"y\"' WHERE name = 'job'",
        "UPDATE mainspring_jobs SET priority = 5 WHERE name = 'job'",
        "UPDATE mainspring_jobs SET every_ms = 60000 WHERE name = 'job'",
        "UPDATE mainspring_jobs SET paused_at_ms = 7000, pause_reason = 'closed' WHERE name = 'job'",
        "UPDATE mainspring_jobs SET pause_reason = 'still closed' WHERE name = 'job'",
        "UPDATE mainspring_jobs SET paused_at_ms = NULL, pause_reason = NULL WHERE name = 'job'",
        "UPDATE mainspring_jobs SET parked_at_ms = 7000, park_reason = 'odd' WHERE name = 'job'",
        "UPDATE mainspring_jobs SET parked_at_ms = NULL, park_reason = NULL WHERE name = 'job'",
        "DELETE FROM mainspring_jobs WHERE name = 'job'",
    ] {
        shell(test.queue().path(), sql).unwrap();
    }

    let mut events = test.queue().job_events(id, 100).await.unwrap();
    let added = events.pop().unwrap();
    assert_eq!((added.event.as_str(), added.made_by, seconds(added.at)), ("added", MadeBy::Library, 0));
    let after = SystemClock.now();
    assert!(events.iter().all(|event| event.made_by == MadeBy::Sql));
    assert!(events.iter().all(|event| before <= event.at && event.at <= after), "{events:?}");
    let told: Vec<_> =
        events.iter().rev().map(|event| (event.event.as_str(), event.detail.as_deref())).collect();
    let wanted = [
        ("changed", Some(r#"{"priority":[0,5],"args":"changed"}"#)),
        ("rescheduled", Some(r#"{"every_ms":[3600000,60000]}"#)),
        ("paused", Some("closed")),
        ("paused", Some("still closed")),
        ("resumed", None),
        ("parked", Some("odd")),
        ("unparked", None),
        ("removed", None),
    ];
    assert_eq!(told, wanted);
    let seen = shell(
        test.queue().path(),
        "SELECT event, made_by, at FROM mainspring_event_view WHERE name = 'job' ORDER BY event_id LIMIT 1",
    );
    let seen = seen.unwrap();
    assert!(seen.ends_with(&format!("added|library|{}\n", second(0))), "{seen}");
}

/// The log would have grown with the work, and so would each claim and each end.
#[tokio::test]
async fn d11_15_jobs_that_run_once_leave_no_event() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    test.queue().enqueue(note("one")).await.unwrap();
    test.queue().enqueue_many((0..9).map(|n| note(format!("{n}")))).await.unwrap();
    test.queue().enqueue(NewJob::new(note("late")).unique("key").after(HOUR)).await.unwrap();
    for n in 0..10 {
        let call = calls.next().await;
        if n % 3 == 0 { call.fail("again") } else { call.succeed("done") }
    }
    drain(&test).await;
    test.clock().advance(2 * HOUR);
    for _ in 0..5 {
        calls.next().await.succeed("done");
    }
    drain(&test).await;
    test.clock().advance(DAY);
    assert_eq!(test.queue().prune(Prune::older_than(HOUR)).await.unwrap().jobs, 11);

    assert_eq!(test.queue().events(100).await.unwrap(), []);
    end(&test, engine).await;
}

/// What is done by hand to a job that runs once is on record all the same.
#[tokio::test]
async fn d11_15_edits_of_a_job_that_runs_once_are_on_record() {
    let test = queue().await;
    let queue = test.queue();
    let job = |text: &str| NewJob::new(note(text)).unique_or("key", OnDuplicate::Replace);
    let id = queue.enqueue(job("first").at(second(100))).await.unwrap().id();
    test.clock().advance(SECOND);
    queue.enqueue(job("second").at(second(200)).priority(3)).await.unwrap();
    queue.cancel(id).await.unwrap();
    let removed = queue.enqueue(NewJob::new(note("x")).at(second(100))).await.unwrap().id();
    queue.remove(removed).await.unwrap();

    let wanted = [
        r#"changed 1 {"priority":[0,3],"args":"changed"}"#,
        r#"rescheduled 1 {"schedule_text":[null,"2026-01-05T08:03:20.000Z"],"at_ms":[1767600100000,1767600200000]}"#,
        "cancelled 1",
    ];
    assert_eq!(events_of(queue, id).await, wanted);
    assert_eq!(events_of(queue, removed).await, ["removed 1"]);
}

/// A job that was cancelled ran again, and the log said that it was cancelled.
#[tokio::test]
async fn d11_15_a_finished_job_that_is_tried_again_is_on_record() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = test.queue().enqueue(NewJob::new(note("x")).max_attempts(1)).await.unwrap().id();
    calls.next().await.fail("no");
    drain(&test).await;
    test.clock().advance(SECOND);

    test.queue().retry(job).await.unwrap();

    assert_eq!(events_of(test.queue(), job).await, ["reopened 1"]);
    calls.next().await.succeed("done");
    end(&test, engine).await;
}

/// A job is removed, and what it had in its arguments must not stay behind.
#[tokio::test]
async fn d11_15_no_event_shows_arguments_or_a_unique_key() {
    const MARK: &str = "hunter2";
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    let job = |n: u8| NewJob::new(note(format!("{MARK} {n}"))).unique(format!("{MARK} {n}")).after(HOUR);
    let schedule = Schedule::every(HOUR).unwrap();
    let named = |n: u8| NewJob::new(note(format!("{MARK} {n}")));
    test.queue().schedule("job", schedule.clone(), named(1)).await.unwrap();
    test.queue().schedule("job", schedule, named(2)).await.unwrap();
    let id = test.queue().enqueue(job(1)).await.unwrap().id();
    let edit = format!(
        "UPDATE mainspring_jobs SET args = '\"{MARK} 3\"', unique_key = '{MARK} 3' WHERE id = {id};
         UPDATE mainspring_jobs SET args = '{{\"{MARK}\":1}}' WHERE name = 'job'"
    );
    shell(test.queue().path(), &edit).unwrap();
    // Arguments that do not fit are a reason to fail, and to park.
    pass(&test, DAY).await;
    test.queue().remove("job").await.unwrap();

    let everything = format!("{:?}", rows(test.queue().path())["mainspring_events"]);
    assert!(everything.contains("removed") && everything.contains("changed"), "{everything}");
    assert!(!everything.contains(MARK), "{everything}");
    end(&test, engine).await;
}

/// Nothing had run for a night, and in the morning nothing told of the pause.
#[tokio::test]
async fn d11_15_pauses_of_a_queue_are_on_record() {
    let test = queue().await;
    let queue = test.queue();
    let (schedule, job) = hourly("x");
    let job = queue.schedule("job", schedule, job).await.unwrap().id();
    test.clock().advance(SECOND);
    queue.pause_queue("mail", Some("it moves")).await.unwrap();
    queue.pause_queue("mail", Some("it moves")).await.unwrap();
    test.clock().advance(SECOND);
    queue.resume_queue("mail").await.unwrap();
    queue.resume_queue("mail").await.unwrap();
    queue.pause_queue("mail", None).await.unwrap();
    shell(queue.path(), "DELETE FROM mainspring_queues WHERE name = 'mail'").unwrap();

    let mut events = queue.events(100).await.unwrap();
    assert_eq!(events.pop().unwrap().job_id, Some(job));
    let by_hand = events.remove(0);
    assert_eq!((by_hand.event.as_str(), by_hand.made_by), ("resumed", MadeBy::Sql));
    let told: Vec<_> = events.iter().rev().map(short).collect();
    assert_eq!(told, ["paused 1 it moves", "resumed 2", "paused 2"]);
    assert!(events.iter().all(|event| event.queue == "mail" && event.job_id.is_none()));
    assert_eq!(events_of(queue, job).await, ["added 0"]);
}

/// A log that nothing drops grows for ever.
#[tokio::test]
async fn d11_15_events_are_pruned_by_their_age() {
    let test = queue().await;
    let (schedule, job) = hourly("x");
    let job = test.queue().schedule("job", schedule, job).await.unwrap().id();
    for _ in 0..300 {
        test.queue().pause(job, None).await.unwrap();
        test.queue().resume(job).await.unwrap();
    }
    test.clock().advance(DAY);
    test.queue().pause(job, None).await.unwrap();

    let pruned = test.queue().prune(Prune::older_than(HOUR)).await.unwrap();

    assert_eq!((pruned.events, pruned.jobs), (601, 0));
    assert_eq!(events_of(test.queue(), job).await, ["paused 86400"]);
    assert_eq!(test.queue().prune(Prune::older_than(HOUR)).await.unwrap().events, 0);
}

fn edit_until_killed(path: PathBuf) {
    child::end_with_the_test();
    let queue = Queue::open_blocking(&OpenOptions::new(path)).unwrap().blocking();
    for n in 1.. {
        let every = Schedule::every(Duration::from_secs(n)).unwrap();
        queue.schedule("job", every, NewJob::new(note("x")).priority((n % 1_000) as i32)).unwrap();
        child::say("edited");
    }
}

/// The log was a file of its own, and after a crash it told of edits that had never been made, or not of one that had.
#[test]
fn d11_15_after_kills_at_any_moment_each_edit_has_its_event() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    for kill in 1..=10 {
        let child = Child::start(&path, "edits");
        for _ in 0..3 * kill {
            child.hear_of("edited");
        }
        child.kill();

        let count = |sql: &str| value::<i64>(&path, sql);
        let revision = count("SELECT revision FROM mainspring_jobs");
        let edits = count("SELECT count(DISTINCT revision) FROM mainspring_events WHERE made_by = 'library'");
        assert_eq!(edits, revision, "after kill {kill}");
        let newest = "SELECT (SELECT every_ms FROM mainspring_jobs) IS json_extract(detail, '$.every_ms[1]')
            FROM mainspring_events WHERE event = 'rescheduled' ORDER BY id DESC LIMIT 1";
        assert_eq!(count(newest), 1, "after kill {kill}");
        assert_eq!(count("SELECT count(*) FROM mainspring_events WHERE made_by <> 'library'"), 0);
    }
}
