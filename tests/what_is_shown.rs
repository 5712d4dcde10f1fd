//! What SECURITY.md says of logs, and of what a job or a run is shown as.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod stage;

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use mainspring::{
    Backoff, Delivery, Failure, Job, ListFilter, NewJob, OnUnknownDelivery, Prune, RunContext, Schedule,
};
use stage::post::post;
use stage::puppet::puppet;
use stage::{HOUR, MINUTE, PATIENCE, by_hand, drain, end, letter, note, queue, runs, start};
use tracing::field::{Field, Visit};
use tracing::{Level, Metadata, Subscriber, span};

/// The lines of the log at `info` and above, of all threads, with the fields of events and spans.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn add(&self, metadata: &Metadata<'_>, record: impl FnOnce(&mut dyn Visit)) {
        let mut line = Line(format!("{} {}", metadata.level(), metadata.target()));
        record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO && metadata.target().starts_with("mainspring")
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        self.add(span.metadata(), |line| span.record(line));
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        let mut line = Line(String::new());
        values.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn event(&self, event: &tracing::Event<'_>) {
        self.add(event.metadata(), |line| event.record(line));
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// What stands in arguments, outputs and receipts here, and nowhere else.
const MARK: &str = "hunter2-4711";

/// A whole life: runs that succeed, fail, are parked, time out and are cancelled; deliveries that are taken, refused,
/// unknown, and of outputs that cannot be read; a queue that is drained in vain; an operator.
#[tokio::test]
async fn arguments_outputs_and_receipts_are_never_logged_at_info_or_above() {
    let lines = Lines::default();
    tracing::subscriber::set_global_default(lines.clone()).unwrap();
    let test = queue().await.patience(std::time::Duration::from_millis(50));
    let (notes, mut calls) = puppet();
    let (letters, mut parcels, _) = post();
    let engine = start(&test, |engine| engine.handler(notes).handler(letters)).await;
    for n in 0..3 {
        test.queue().enqueue(NewJob::new(note(format!("{MARK} {n}"))).max_attempts(2)).await.unwrap();
        let call = calls.next().await;
        match n {
            0 => call.succeed(MARK),
            1 => call.fail("no luck"),
            _ => call.end(Err(Failure::discard("never"))),
        }
    }
    // Arguments of another shape, of which serde says what they are.
    let odd = test.queue().enqueue(NewJob::new(note("x")).after(MINUTE)).await.unwrap().id();
    let set = format!("UPDATE mainspring_jobs SET args = '\"{MARK}\"' WHERE id = {odd}");
    assert_eq!(by_hand(test.queue().path()).execute(&set, []).unwrap(), 1);
    test.clock().advance(MINUTE);
    calls.next().await.succeed("the second attempt");
    // Deliveries.
    for n in 0..4 {
        let job = NewJob::new(letter(MARK)).delivery_attempts(2, Backoff::fixed(MINUTE));
        test.queue().enqueue(job.on_unknown_delivery(OnUnknownDelivery::Hold)).await.unwrap();
        let parcel = parcels.next().await;
        match n {
            0 => parcel.end(Ok(MARK.into())),
            1 => parcel.not_sent("refused"),
            2 => parcel.reject("no such address"),
            _ => parcel.unknown("no answer"),
        }
    }
    until_delivered(&test).await;
    // An output that cannot be read when its second delivery comes.
    let conn = by_hand(test.queue().path());
    conn.execute_batch("DROP TRIGGER mainspring_a_completion_keeps_its_outcome").unwrap();
    let set = format!("UPDATE mainspring_completions SET output = '[\"{MARK}\"]' WHERE delivery = 'pending'");
    assert_eq!(conn.execute(&set, []).unwrap(), 1);
    test.clock().advance(HOUR);
    stage::until("it was given up", || async { conn_count(&conn, "delivery = 'failed'") == 2 }).await;
    // A queue that is not drained tells of the jobs that are left.
    test.queue().enqueue(NewJob::new(note(MARK)).queue("nobody's")).await.unwrap();
    test.drain().await.unwrap_err();
    test.queue().schedule("hourly", Schedule::every(HOUR).unwrap(), note(MARK)).await.unwrap();
    test.queue().run_now("hourly").await.unwrap();
    let open = calls.next().await;
    let job = open.cx.job_id();
    let cancelled = tokio::spawn({
        let queue = test.queue().clone();
        async move { queue.cancel(job).await }
    });
    open.cx.cancelled().await;
    open.end(Err(Failure::new("stopped")));
    cancelled.await.unwrap().unwrap();
    test.queue().prune(Prune::older_than(std::time::Duration::ZERO)).await.unwrap();
    engine.shutdown(PATIENCE).await.unwrap();
    test.queue().close().await.unwrap();

    let lines = lines.0.lock().unwrap();
    let all = lines.join("\n");
    for said in
        ["parked", "tried again", "not delivered, and never will be", "unknown whether", "was not drained"]
    {
        assert!(all.contains(said), "{said:?} was not logged:\n{all}");
    }
    let shown: Vec<_> = lines.iter().filter(|line| line.contains(MARK)).collect();
    assert_eq!(shown, Vec::<&String>::new());
}

fn conn_count(conn: &rusqlite::Connection, which: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM mainspring_completions WHERE {which}");
    conn.query_row(&sql, [], |row| row.get(0)).unwrap()
}

async fn until_delivered(test: &mainspring::testing::TestQueue) {
    let conn = by_hand(test.queue().path());
    let settled = "delivery IN ('delivered', 'failed', 'unknown')";
    stage::until("they have answers", || async { conn_count(&conn, settled) == 3 }).await;
}

#[tokio::test]
async fn a_job_and_a_run_are_shown_without_what_looks_like_a_secret() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Login {
        user: String,
        password: String,
    }
    impl mainspring::JobArgs for Login {
        const KIND: &'static str = "login";
    }
    let login = || Login { user: "ada".to_owned(), password: MARK.to_owned() };
    assert!(!format!("{:?}", NewJob::new(login())).contains(MARK));

    let test = queue().await;
    let handler = |login: Login, _: RunContext| async move { Ok::<_, Failure>(login) };
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = test.queue().enqueue(login()).await.unwrap().id();
    drain(&test).await;
    let found: Job = test.queue().get(job).await.unwrap();
    assert_eq!(
        found.args,
        format!("{{\"user\":\"ada\",\"password\":\"{MARK}\"}}"),
        "it is in the row as it was given"
    );
    let list = test.queue().list(ListFilter::default()).await.unwrap();
    let run = runs(test.queue(), job).await.remove(0);
    assert_eq!(run.completion.as_ref().unwrap().delivery, Delivery::NotRequested);
    for shown in [format!("{found:?}"), format!("{list:#?}"), format!("{run:?}")] {
        assert!(shown.contains("ada") && shown.contains("(hidden)") && !shown.contains(MARK), "{shown}");
    }
    end(&test, engine).await;
}
