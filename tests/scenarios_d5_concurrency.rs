//! D5: concurrency and duplicates. Each test is a row of the table of scenarios.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mainspring::plan::{Overlap, Trigger};
use mainspring::{
    Engine, Enqueued, Error, Failure, JobArgs, ListFilter, NewJob, Outcome, Queue, RunContext, Schedule,
    Scheduled,
};
use serde::{Deserialize, Serialize};
use stage::child::{self, Child};
use stage::puppet::puppet;
use stage::*;

#[test]
#[ignore = "a child of the tests in this file"]
fn a_child_plays_its_part() {
    child::play(|part, path| match part {
        "engine" => serve_until_killed(path),
        other => panic!("there is no part {other:?}"),
    });
}

/// Two timer callbacks ran one job twice, since "is it running?" and "it runs" were two steps.
///
/// Sixteen engines on sixteen connections look at the same hundred due jobs a hundred times.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn d5_1_sixteen_engines_on_one_due_set_run_each_occurrence_once() {
    const JOBS: usize = 100;
    const TICKS: usize = 100;
    let test = queue().await.patience(Duration::from_secs(120));
    for job in 0..JOBS {
        let every = Schedule::every(SECOND).unwrap();
        test.queue().schedule(&format!("job {job}"), every, note("tick")).await.unwrap();
    }
    let ledger = Ledger::default();
    let mut engines = Vec::new();
    for _ in 0..16 {
        let engine =
            Engine::builder(test.reopen().unwrap()).handler(ledger.succeeding()).queue("default", 20);
        engines.push(engine.build().unwrap().start().await.unwrap());
    }

    for _ in 0..TICKS {
        pass(&test, SECOND).await;
    }

    let entries = ledger.entries();
    let slots: BTreeSet<_> = entries.iter().map(|entry| (entry.job, entry.scheduled_for)).collect();
    assert_eq!((entries.len(), slots.len()), (JOBS * TICKS, JOBS * TICKS));
    let owners: BTreeSet<i64> = {
        let conn = by_hand(test.queue().path());
        let mut statement = conn.prepare("SELECT DISTINCT owner_id FROM mainspring_runs").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert!(owners.len() > 1, "only one engine has claimed anything: nothing has raced");
    for engine in engines {
        engine.shutdown(PATIENCE).await.unwrap();
    }
    is_sound(test.queue()).await;
}

/// Where a child writes which occurrence its handler was called for: outside the database, and whole lines only.
fn ledger_of(path: &Path) -> PathBuf {
    path.with_extension("ledger")
}

#[derive(Serialize, Deserialize)]
struct Beat;
impl JobArgs for Beat {
    const KIND: &'static str = "beat";
}

fn serve_until_killed(path: PathBuf) {
    child::end_with_the_test();
    let ledger = Arc::new(OpenOptions::new().append(true).create(true).open(ledger_of(&path)).unwrap());
    let beat = move |_: Beat, cx: RunContext| {
        let line = format!("{} {} {}\n", cx.job_id(), cx.scheduled_for().millis(), std::process::id());
        let written = (&*ledger).write_all(line.as_bytes());
        async move { written }
    };
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(
        async {
            let queue = Queue::open(&path).await.unwrap();
            let engine = Engine::builder(queue).handler(beat).queue("default", 16).build().unwrap();
            let _engine = engine.start().await.unwrap();
            child::say("serves");
            std::future::pending::<()>().await;
        },
    );
}

/// Two gateways on one store fired everything twice: there was no lock between processes.
///
/// Four processes share the file and are killed and started again in an order that follows from a seed. A
/// recurring job is under `assume_ran`: each of its occurrences is begun at most once, whoever dies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d5_2_four_processes_that_are_killed_at_random_run_no_occurrence_twice() {
    const JOBS: usize = 8;
    const KILLS: usize = 30;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    let queue = Queue::open(&path).await.unwrap();
    for job in 0..JOBS {
        let every = Schedule::every(Duration::from_millis(50)).unwrap();
        queue.schedule(&format!("job {job}"), every, Beat).await.unwrap();
    }
    let mut children: Vec<Child> = (0..4).map(|_| Child::start(&path, "engine")).collect();
    for child in &children {
        child.hear_of("serves");
    }

    let mut seed = 0x5eed_u64;
    let mut lines = 0;
    for _ in 0..KILLS {
        // Something ran since the last kill, so that each kill comes in the middle of work.
        let enough = lines + 20;
        until("a beat", || {
            lines = std::fs::read_to_string(ledger_of(&path)).map_or(0, |text| text.lines().count());
            std::future::ready(lines >= enough)
        })
        .await;
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let victim = (seed >> 33) as usize % children.len();
        children.swap_remove(victim).kill();
        let child = Child::start(&path, "engine");
        child.hear_of("serves");
        children.push(child);
    }
    for job in 0..JOBS {
        queue.pause(format!("job {job}"), None).await.unwrap();
    }
    until("the end of all runs", || async { queue.status().await.unwrap().running == 0 }).await;
    children.into_iter().for_each(|child| drop(child.kill()));

    let text = std::fs::read_to_string(ledger_of(&path)).unwrap();
    let mut calls: BTreeMap<(i64, i64), Vec<&str>> = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let slot = (words.next().unwrap().parse().unwrap(), words.next().unwrap().parse().unwrap());
        calls.entry(slot).or_default().push(words.next().unwrap());
    }
    let twice: Vec<_> = calls.iter().filter(|(_, pids)| pids.len() > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let pids: BTreeSet<&&str> = calls.values().flatten().collect();
    assert!(pids.len() > 4, "too few processes did anything: {pids:?}");
    is_sound(&queue).await;
}

/// A manual run overlapped the timer's, since its marker was written after the lock was let go.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn d5_3_a_run_by_hand_that_races_a_due_time_never_overlaps_it() {
    let test = queue().await;
    let every = Schedule::every(SECOND).unwrap();
    let job = test.queue().schedule("job", every, note("tick")).await.unwrap().id();
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (inside, peak) = (Arc::clone(&open), Arc::clone(&most));
    let engine = start(&test, |engine| {
        engine.handler(move |_: Note, _: RunContext| {
            let inside = Arc::clone(&inside);
            peak.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            async move {
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, Failure>(())
            }
        })
    })
    .await;

    let other = test.reopen().unwrap();
    let (mut asked, mut refused) = (Vec::new(), 0);
    for _ in 0..200 {
        let by_hand = tokio::spawn({
            let other = other.clone();
            async move { other.run_now(job).await }
        });
        test.clock().advance(SECOND);
        match by_hand.await.unwrap() {
            Ok(request) => asked.push(request),
            Err(Error::AlreadyRunning(which)) if which == job => refused += 1,
            Err(error) => panic!("{error}"),
        }
        drain(&test).await;
    }

    assert_eq!(most.load(Ordering::SeqCst), 1, "two runs of one job were open at once");
    for request in &asked {
        let run = test.queue().run_of(job, *request).await.unwrap().unwrap();
        assert_eq!((outcome(&run), run.trigger), (Outcome::Succeeded, Trigger::Manual));
    }
    assert_eq!(asked.len() + refused, 200);
    assert!(!asked.is_empty());
    end(&test, engine).await;
}

/// The same without a race: while a run is open, another one is refused by name.
#[tokio::test]
async fn d5_3_a_run_by_hand_of_a_running_job_is_refused() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = test.queue().enqueue(note("long")).await.unwrap().id();
    let call = calls.next().await;

    let refused = test.queue().run_now(job).await;

    assert!(matches!(refused, Err(Error::AlreadyRunning(which)) if which == job), "{refused:?}");
    call.succeed("done");
    drain(&test).await;
    assert_eq!(runs(test.queue(), job).await.len(), 1);
    end(&test, engine).await;
}

/// A long manual run held the store's lock, and `list` and `status` waited for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d5_4_reads_answer_at_once_while_eight_handlers_run() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler).queue("default", 8)).await;
    test.queue().enqueue_many((0..8).map(|n| note(format!("{n}")))).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(calls.next().await);
    }

    let mut took = Vec::new();
    for _ in 0..50 {
        let begin = Instant::now();
        assert_eq!(test.queue().status().await.unwrap().running, 8);
        assert_eq!(test.queue().list(ListFilter::default()).await.unwrap().jobs.len(), 8);
        assert_eq!(test.queue().runs(held[0].cx.job_id(), 5).await.unwrap().len(), 1);
        took.push(begin.elapsed());
    }

    // The median: a machine that does something else at the same time may hold up one of them.
    took.sort_unstable();
    assert!(took[25] < Duration::from_millis(50), "{took:?}");
    held.into_iter().for_each(|call| call.succeed("done"));
    drain(&test).await;
    end(&test, engine).await;
}

/// A manual run waited for a place in the lane that it held itself, for ever.
#[tokio::test]
async fn d5_5_a_handler_that_waits_for_a_job_of_its_own_queue_ends_at_its_timeout() {
    let test = queue().await;
    let (inside, ledger) = (test.queue().clone(), Ledger::default());
    let seen = ledger.clone();
    let engine = start(&test, |engine| {
        let handler = move |args: Note, cx: RunContext| {
            seen.push(&args, &cx);
            let queue = inside.clone();
            async move {
                if args.text == "outer" {
                    let inner = queue.enqueue(note("inner")).await?.id();
                    while queue.get(inner).await?.finished_at.is_none() {
                        tokio::task::yield_now().await;
                        if cx.is_cancelled() {
                            return Err(Failure::discard("the inner job did not run in time"));
                        }
                    }
                }
                Ok::<_, Failure>(())
            }
        };
        engine.handler(handler).queue("default", 1)
    })
    .await;

    let outer = NewJob::new(note("outer")).timeout(Duration::from_millis(100)).max_attempts(1);
    let outer = test.queue().enqueue(outer).await.unwrap().id();
    drain(&test).await;

    assert_eq!(outcomes(test.queue(), outer).await, [Outcome::TimedOut]);
    assert_eq!(ledger.texts(), ["outer", "inner"], "the inner job ran once the outer one was out of the way");
    assert_eq!(test.drain().await.unwrap().ready, 0);
    end(&test, engine).await;
}

/// `maxConcurrentRuns` was ignored: everything ran one after the other, or all at once.
#[tokio::test]
async fn d5_6_as_many_handlers_run_at_once_as_there_are_workers() {
    for workers in 1..=16 {
        let test = queue().await;
        let (handler, mut calls) = puppet();
        let engine = start(&test, |engine| engine.handler(handler).queue("default", workers)).await;
        test.queue().enqueue_many((0..2 * workers + 1).map(|n| note(format!("{n}")))).await.unwrap();

        let mut held = Vec::new();
        for _ in 0..workers {
            held.push(calls.next().await);
        }

        // One ends, and one takes its place: never more than the workers, never fewer while there is work.
        for _ in 0..=workers {
            let status = test.queue().status().await.unwrap();
            assert_eq!(status.running, workers, "{workers} workers");
            assert!(calls.is_empty(), "{workers} workers");
            held.swap_remove(0).succeed("done");
            held.push(calls.next().await);
        }
        held.into_iter().for_each(|call| call.succeed("done"));
        drain(&test).await;
        end(&test, engine).await;
    }
}

/// One class of jobs used up all places, and another starved.
#[tokio::test]
async fn d5_7_a_queue_that_is_full_takes_no_worker_from_another() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler).queue("bulk", 2).queue("urgent", 1)).await;
    test.queue()
        .enqueue_many((0..50).map(|n| NewJob::new(note(format!("bulk {n}"))).queue("bulk")))
        .await
        .unwrap();
    let bulk = [calls.next().await, calls.next().await];
    assert!(bulk.iter().all(|call| call.text.starts_with("bulk")));

    test.queue().enqueue(NewJob::new(note("urgent")).queue("urgent")).await.unwrap();

    let urgent = calls.next().await;
    assert_eq!(urgent.text, "urgent");
    assert_eq!(test.queue().status().await.unwrap().running, 3);
    urgent.succeed("done");
    bulk.into_iter().for_each(|call| call.succeed("done"));
    for _ in 0..48 {
        calls.next().await.succeed("done");
    }
    drain(&test).await;
    end(&test, engine).await;
}

/// One service wrote the whole store back and with it took away what another one had added.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn d5_8_what_two_connections_write_at_the_same_time_is_all_there() {
    const EACH: usize = 100;
    let test = queue().await;
    for n in 0..EACH {
        test.queue()
            .schedule(&format!("old {n}"), Schedule::every(HOUR).unwrap(), note("old"))
            .await
            .unwrap();
    }
    let (one, other) = (test.queue().clone(), test.reopen().unwrap());

    let adding = tokio::spawn(async move {
        for n in 0..EACH {
            one.schedule(&format!("new {n}"), Schedule::every(HOUR).unwrap(), note("new")).await.unwrap();
            one.pause(format!("old {n}"), Some("by one")).await.unwrap();
        }
    });
    let editing = tokio::spawn(async move {
        for n in 0..EACH {
            other
                .schedule(&format!("old {n}"), Schedule::every(MINUTE).unwrap(), note("edited"))
                .await
                .unwrap();
            other.enqueue(note("added")).await.unwrap();
        }
    });
    adding.await.unwrap();
    editing.await.unwrap();

    let list = test.queue().list(ListFilter::default()).await.unwrap();
    let count = |text: &str| list.jobs.iter().filter(|job| job.args.contains(text)).count();
    assert_eq!((count("new"), count("edited"), count("added"), count("old")), (EACH, EACH, EACH, 0));
    assert_eq!(list.held, EACH, "each pause has survived the edit of the same job");
    is_sound(test.queue()).await;
}

/// Each deployment added the same definitions again.
#[tokio::test]
async fn d5_9_declaring_a_schedule_again_makes_no_second_job_and_moves_nothing() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    let declare = || test.queue().schedule("daily", Schedule::cron("30 9 * * *").unwrap(), note("brief"));
    let created = declare().await.unwrap();
    assert!(matches!(created, Scheduled::Created(_)));
    pass(&test, 2 * HOUR).await;
    let before = test.queue().get("daily").await.unwrap();
    assert!(before.last_run_at.is_some() && before.next_run_at > before.last_run_at);

    test.clock().advance(HOUR);
    let again = declare().await.unwrap();

    assert_eq!(again, Scheduled::Unchanged(created.id()));
    assert_eq!(test.queue().get("daily").await.unwrap(), before);
    assert_eq!(test.queue().list(ListFilter::default()).await.unwrap().jobs.len(), 1);
    end(&test, engine).await;
}

/// The same for a plain job with a unique key.
#[tokio::test]
async fn d5_9_enqueueing_the_same_key_again_makes_no_second_job() {
    let test = queue().await;
    let unique = || NewJob::new(note("once")).unique("key").after(HOUR);
    let created = test.queue().enqueue(unique()).await.unwrap();
    test.clock().advance(MINUTE);
    let again = test.queue().enqueue(unique()).await.unwrap();
    assert!(matches!(created, Enqueued::Created(_)));
    assert_eq!(again, Enqueued::Existing(created.id()));
    assert_eq!(test.queue().get(created.id()).await.unwrap().next_run_at, Some(second(3_600)));
    is_sound(test.queue()).await;
}

/// A cached store did not see what was edited outside.
#[tokio::test]
async fn d5_10_an_edit_in_the_sqlite3_shell_is_honoured_without_a_restart() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    let job = test.queue().enqueue(NewJob::new(note("before")).after(DAY)).await.unwrap().id();

    let edit = format!(
        "UPDATE mainspring_jobs SET next_run_at_ms = {}, args = '{{\"text\":\"after\"}}' WHERE id = {job}",
        test.clock().now().millis()
    );
    shell(test.queue().path(), &edit).unwrap();

    until("the edited job's run", || async { ledger.len() == 1 }).await;
    drain(&test).await;
    let entry = &ledger.entries()[0];
    assert_eq!(
        (entry.text.as_str(), seconds(entry.scheduled_for)),
        ("after", 86_400),
        "the occurrence stays"
    );
    end(&test, engine).await;
}

/// What may overlap does, up to its bound, and no further.
#[tokio::test]
async fn d5_6_a_job_that_may_overlap_itself_has_as_many_open_runs_as_it_allows() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler).queue("default", 8)).await;
    let job = NewJob::new(note("tick")).overlap(Overlap::Allow(3));
    test.queue().schedule("job", Schedule::every(SECOND).unwrap(), job).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..3 {
        test.clock().advance(SECOND);
        held.push(calls.next().await);
    }
    test.clock().advance(SECOND);
    test.queue().enqueue(note("a sign that the writer has looked")).await.unwrap();
    let sign = calls.next().await;
    assert_eq!(sign.text, "a sign that the writer has looked");
    assert_eq!(test.queue().get("job").await.unwrap().open_runs, 3);
    held.push(sign);
    held.into_iter().for_each(|call| call.succeed("done"));
    let waited = calls.next().await;
    assert_eq!((waited.text.as_str(), seconds(waited.cx.scheduled_for())), ("tick", 4));
    waited.succeed("done");
    drain(&test).await;
    end(&test, engine).await;
}
