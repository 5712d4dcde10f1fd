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
    Backoff, Delivery, Engine, Error, Failure, JobState, ListFilter, NewJob, OnUnknownDelivery, OpenOptions,
    Outcome, Prune, Queue, RunContext, Schedule,
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
