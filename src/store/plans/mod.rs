//! What a statement costs does not grow with what lies behind the rows that it is about: a million runs of history,
//! a hundred thousand jobs that wait for a later time at a higher priority, and as many in another queue. Costs are
//! SQLite's own steps, which are the same on every machine.

mod bindings;
mod file;
pub(super) mod statements;

use std::collections::HashSet;

use rusqlite::{Connection, Rows, StatementStatus};

use self::bindings::bind;
use self::file::{Behind, LITTLE, MUCH, NOW, file};
use self::statements::Statement;
use crate::exchange::{Complete, Then};
use crate::job::{JobArgs, Limits, NewJob};
use crate::policy::Durability;
use crate::run::{Outcome, OwnerId};
use crate::store::claim::{Burst, ClaimRequest, Claims, claim};
use crate::store::complete::{Recorded, complete};
use crate::store::enqueue::enqueue;
use crate::store::{Tx, marks, owners, read};

/// Statements that may cost more where there is more, and why.
const EXEMPT: &[(&str, &str)] = &[
    (
        "read.rs: JOBS",
        "a page of a list: what the filter leaves out is passed over, by id, until the page is full",
    ),
    ("read.rs: COUNTS", "a count reads what it counts; of finished jobs it reads nothing"),
    ("read.rs: EVENTS", "a scan of so many rows, the last"),
    ("prune.rs: NEWEST_DROPPED", "once in a prune it passes over as many runs as are to be kept"),
    ("set_back.rs: NEWEST_CLAIM", "a scan of one row, the last"),
    ("set_back.rs: SHIFT_REQUESTS", "when a clock is set back, all runs that were asked for are looked at"),
    ("set_back.rs: SHIFT_DELIVERIES", "when a clock is set back, all outputs on their way are looked at"),
    ("set_back.rs: SHIFT_WAITING", "when a clock is set back, all waiting jobs are looked at"),
    ("set_back.rs: SHIFT_READY", "when a clock is set back, all ready jobs are looked at"),
    ("set_back.rs: MISSES_AHEAD", "when a clock is set back, the misses of one job are gone through"),
];

/// Statements that may suffer under old statistics until the next process drops them: nothing waits for these.
const EXEMPT_UNDER_OLD_STATISTICS: &[&str] = &[
    "account.rs: IS_ON_RECORD",
    "prune.rs: RUNS",
    "prune.rs: JOBS",
    "prune.rs: MISSES",
    "prune.rs: EVENTS",
    "read.rs: RUN",
    "read.rs: RUNS_OF_JOB",
    "read.rs: RUN_OF_REQUEST",
];

/// Statements that may build a table in memory: RETURNING does, and so does a list that is gone through.
const BUILDING_A_TABLE: &[&str] = &[
    "deliver.rs: BEGIN",
    "deliver.rs: HAND_BACK",
    "ids.rs: RESERVE_JOBS",
    "ids.rs: RESERVE_RUNS",
    "prune.rs: RUNS",
    "prune.rs: JOBS",
    "read.rs: RUNS_OF_JOB",
    "read.rs: COUNTS",
    "set_back.rs: SHIFT_WAITING",
    "set_back.rs: SHIFT_READY",
    "set_back.rs: SHIFT_DELIVERIES",
];

/// What may be scanned, since there is never much in it.
const SMALL: &[(&str, &str)] = &[
    ("USING INDEX mainspring_jobs_unplanned", "empty but for rows whose next time somebody took away"),
    ("USING INDEX mainspring_runs_open", "as many as handlers run"),
    ("USING INDEX mainspring_owners_alive", "as many as engines run"),
    ("USING INDEX mainspring_completions_pending", "outputs on their way"),
    ("SCAN mainspring_writers", "one row a process"),
    ("SCAN sqlite_sequence", "one row a table"),
    ("SCAN (subquery-", "what a subquery returns, which is searched and limited"),
    ("SCAN CONSTANT ROW", "no table at all"),
    ("-ROW VALUES CLAUSE", "the rows that the statement itself has"),
];

/// Files whose SQL needs no look, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    ("doctor/", "the doctor reads the whole file"),
    ("history.rs", "read when a file is opened: a row a migration"),
    ("migrate.rs", "read when a file is opened: the schema"),
    ("open.rs", "read when a file is opened: one row"),
    ("statistics.rs", "when a file is opened, in tables of SQLite's own"),
];

/// What SQLite's planner knows of a file.
#[derive(Clone, Copy, Debug)]
enum Statistics {
    /// Nothing: the library never runs `ANALYZE`.
    None,
    /// What `ANALYZE` finds; the application may run it.
    Fresh,
    /// What it found when there was one row in each table. SQLite then scans the table rather than to seek in it,
    /// however much comes later.
    Old,
}

fn learn(conn: &Connection, statistics: Statistics) {
    match statistics {
        Statistics::None => {}
        Statistics::Fresh => conn.execute_batch("ANALYZE").unwrap(),
        Statistics::Old => conn
            .execute_batch(
                "UPDATE sqlite_stat1 SET stat = '1 1 1 1 1'; DELETE FROM sqlite_stat4; ANALYZE sqlite_schema",
            )
            .unwrap(),
    }
}

/// The lines of `EXPLAIN QUERY PLAN`.
fn plan(conn: &Connection, statement: &Statement) -> Vec<String> {
    let mut prepared = conn.prepare(&["EXPLAIN QUERY PLAN ", &statement.sql].concat()).unwrap();
    bind(&mut prepared, &statement.name);
    let mut rows = prepared.raw_query();
    let mut lines = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        lines.push(row.get("detail").unwrap());
    }
    lines
}

fn is_bad(line: &str) -> bool {
    let scans = line.starts_with("SCAN ") && !SMALL.iter().any(|(small, _)| line.contains(small));
    scans || ["USE TEMP B-TREE", "AUTOMATIC", "ANY("].iter().any(|bad| line.contains(bad))
}

/// What running a statement came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cost {
    /// Rows that it returned or changed.
    rows: u64,
    steps: i32,
    sorts: i32,
}

/// Runs a statement and takes back what it wrote.
fn cost(conn: &Connection, statement: &Statement) -> rusqlite::Result<Cost> {
    conn.execute_batch("SAVEPOINT run").unwrap();
    let mut prepared = conn.prepare(&statement.sql).unwrap();
    bind(&mut prepared, &statement.name);
    let before = conn.total_changes();
    let ran = count(prepared.raw_query());
    let cost = ran.map(|returned| Cost {
        rows: returned + conn.total_changes() - before,
        steps: prepared.get_status(StatementStatus::VmStep),
        sorts: prepared.get_status(StatementStatus::Sort) + prepared.get_status(StatementStatus::AutoIndex),
    });
    drop(prepared);
    conn.execute_batch("ROLLBACK TO run; RELEASE run").unwrap();
    cost
}

fn count(mut rows: Rows<'_>) -> rusqlite::Result<u64> {
    let mut count = 0;
    while rows.next()?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// Whether one number of steps is as good as another, before which less lay.
fn is_within(steps: i64, before: i64) -> bool {
    steps * 5 <= before * 6
}

fn faults(
    statement: &Statement,
    little: &Connection,
    much: &Connection,
    statistics: Statistics,
) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault =
        |what: String| faults.push(format!("{}, {statistics:?} statistics: {what}", statement.name));
    for line in plan(much, statement).into_iter().filter(|line| is_bad(line)) {
        fault(line);
    }
    let (before, after) = match (cost(little, statement), cost(much, statement)) {
        (Ok(before), Ok(after)) => (before, after),
        (Err(error), _) | (_, Err(error)) => {
            fault(format!("{error}: give it other values in bindings.rs"));
            return faults;
        }
    };
    if before.rows == 0 {
        fault("it finds no row: give it values in bindings.rs that do".to_owned());
    }
    if before.rows != after.rows || after.sorts > 0 || !is_within(after.steps.into(), before.steps.into()) {
        fault(format!("{before:?} with little in the file, {after:?} with much"));
    }
    faults
}

fn exemption(statement: &str, statistics: Statistics) -> Option<&'static str> {
    let always = EXEMPT.iter().map(|(name, _)| *name).find(|name| *name == statement);
    let old = EXEMPT_UNDER_OLD_STATISTICS.iter().copied().find(|name| *name == statement);
    always.or(if matches!(statistics, Statistics::Old) { old } else { None })
}

#[test]
fn no_statement_scans_what_grows_or_sorts_or_takes_more_steps_where_there_is_more() {
    let statements = looked_at();
    let ((_dir, little), (_other_dir, much)) = (file(LITTLE), file(MUCH));
    let mut broken = Vec::new();
    let mut exempted = HashSet::new();
    for statistics in [Statistics::None, Statistics::Fresh, Statistics::Old] {
        learn(&little, statistics);
        learn(&much, statistics);
        for statement in &statements {
            let faults = faults(statement, &little, &much, statistics);
            if faults.is_empty() {
                continue;
            }
            match exemption(&statement.name, statistics) {
                Some(name) => drop(exempted.insert(name)),
                None => broken.extend(faults),
            }
        }
    }
    let exempt = EXEMPT.iter().map(|(name, _)| name).chain(EXEMPT_UNDER_OLD_STATISTICS);
    let unused = exempt.filter(|name| !exempted.contains(*name));
    broken.extend(unused.map(|name| format!("{name} is sound or gone: take its exemption away")));
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

/// Whether running it begins with a table in memory, as for a list of three words and more after `IN`: in a CHECK, at
/// each row that is written.
fn builds_a_table(conn: &Connection, statement: &Statement) -> bool {
    let mut prepared = conn.prepare(&["EXPLAIN ", &statement.sql].concat()).unwrap();
    bind(&mut prepared, &statement.name);
    let mut rows = prepared.raw_query();
    let mut builds = false;
    while let Some(row) = rows.next().unwrap() {
        builds |= row.get::<_, String>("opcode").unwrap() == "OpenEphemeral";
    }
    builds
}

#[test]
fn no_statement_builds_a_table_in_memory_to_look_up_a_word() {
    // Lists of words in CHECKs took three quarters of an enqueue and six sevenths of a completion, and no count of
    // steps showed it.
    let (_dir, conn) = file(LITTLE);
    let statements = looked_at();
    let building: Vec<_> =
        statements.iter().filter(|statement| builds_a_table(&conn, statement)).map(|it| &it.name).collect();
    assert_eq!(building, BUILDING_A_TABLE);
}

/// The statements that run a trigger which writes events, if they change what it watches.
const WRITING_EVENTS: &[&str] = &[
    "cancel.rs: TRY_AGAIN",
    "cancel.rs: REMOVE",
    "claim/mod.rs: PARK",
    "claim/mod.rs: PARK_UNCLAIMED",
    "insert.rs: DESCRIBE",
    "insert.rs: SET_SCHEDULE",
    "pause.rs: PAUSE",
    "pause.rs: RESUME",
    "pause.rs: PAUSE_QUEUE",
    "pause.rs: RESUME_QUEUE",
    "prune.rs: DROP_JOB",
    "replace_all.rs: ADOPT",
];

fn has_a_trigger_that_writes_events(conn: &Connection, statement: &Statement) -> bool {
    let mut prepared = conn.prepare(&["EXPLAIN ", &statement.sql].concat()).unwrap();
    let mut rows = prepared.raw_query();
    let mut has = false;
    while let Some(row) = rows.next().unwrap() {
        // The program of a trigger begins with its name.
        let p4: Option<String> = row.get("p4").unwrap();
        has |= p4.is_some_and(|text| text.starts_with("-- TRIGGER ") && text.ends_with("_is_on_record"));
    }
    has
}

#[test]
fn no_claim_no_end_of_a_run_and_no_insert_of_jobs_has_a_trigger_that_writes_events() {
    let (_dir, conn) = file(LITTLE);
    let statements = looked_at();
    let writing: Vec<_> = statements
        .iter()
        .filter(|statement| has_a_trigger_that_writes_events(&conn, statement))
        .map(|it| &it.name)
        .collect();
    assert_eq!(writing, WRITING_EVENTS);
}

fn is_elsewhere(name: &str) -> bool {
    ELSEWHERE.iter().any(|(file, _)| name.starts_with(file))
}

/// The statements whose plans and costs are looked at.
fn looked_at() -> Vec<Statement> {
    statements::all().statements.into_iter().filter(|statement| !is_elsewhere(&statement.name)).collect()
}

#[test]
fn every_statement_stands_in_a_constant_that_is_looked_at() {
    let found = statements::all();
    let names: Vec<_> =
        found.statements.iter().map(|statement| &statement.name).chain(&found.loose).collect();
    assert!(names.len() > 100, "{}", names.len());
    let loose: Vec<_> = found.loose.iter().filter(|name| !is_elsewhere(name)).collect();
    assert!(loose.is_empty(), "SQL that stands in no constant: {loose:#?}");
    for (file, _) in ELSEWHERE {
        assert!(names.iter().any(|name| name.starts_with(file)), "{file} has no SQL any more");
    }
    let is_there = |name: &str| names.iter().any(|there| *there == name);
    let gone: Vec<_> = bindings::of_no_statement(is_there).collect();
    assert!(gone.is_empty(), "values in bindings.rs are for statements that are gone: {gone:?}");
}

#[test]
fn a_bad_plan_is_found() {
    for line in [
        "SCAN mainspring_jobs",
        "SCAN r",
        "SCAN mainspring_jobs USING INDEX mainspring_jobs_ready",
        "USE TEMP B-TREE FOR ORDER BY",
        "SEARCH r USING AUTOMATIC PARTIAL COVERING INDEX (job_id=?)",
        "SEARCH mainspring_jobs USING INDEX mainspring_jobs_ready (ANY(queue) AND priority=?)",
    ] {
        assert!(is_bad(line), "{line}");
    }
    assert!(!is_bad("SEARCH mainspring_runs USING INDEX mainspring_runs_open (owner_id=?)"));
    assert!(!is_bad("SCAN mainspring_runs USING INDEX mainspring_runs_open"));
    assert!(is_within(12, 10) && !is_within(13, 10));
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Nothing;
impl JobArgs for Nothing {
    const KIND: &'static str = "kind";
}

/// How many runs each claim takes.
const SLOTS: usize = 8;

fn eight(conn: &Connection) -> Claims {
    let kinds = HashSet::from(["kind".to_owned()]);
    let request = ClaimRequest {
        owner: OwnerId(1),
        queue: "default",
        slots: SLOTS,
        kinds: &kinds,
        synced: true,
        careful: false,
        durability: Durability::Balanced,
    };
    claim(&Tx::on(conn), &request, &mut Burst::default(), NOW).unwrap()
}

/// A worker's day: it looks, claims, completes and claims again, and somebody enqueues.
fn day(conn: &Connection) {
    let job = NewJob::new(Nothing).unique("new").into_spec(&Limits::default(), NOW).unwrap();
    enqueue(&Tx::on(conn), &job, NOW).unwrap();
    let claims = eight(conn);
    assert_eq!(claims.runs.len(), SLOTS);
    for (run, outcome) in
        claims.runs.into_iter().zip([Outcome::Succeeded, Outcome::Failed].into_iter().cycle())
    {
        let fact = Complete {
            run_id: run.run_id,
            job_id: run.job_id,
            owner_id: run.owner_id,
            outcome,
            output: None,
            error: None,
            error_class: None,
            deliver: crate::exchange::Deliver::No,
            deliver_by: None,
            then: Then::Finish,
            started_at: NOW,
            finished_at: NOW,
        };
        assert!(matches!(complete(&Tx::on(conn), &fact, NOW).unwrap(), Recorded::Outcome(_)));
    }
    assert_eq!(eight(conn).runs.len(), SLOTS);
    marks::leave(conn, 1, 2, NOW).unwrap();
    read::next_due(conn, "default").unwrap();
    read::has_ready(conn, "default").unwrap();
    read::next_delivery(conn, "default").unwrap();
    owners::open_runs(conn, OwnerId(1)).unwrap();
}

#[test]
fn no_statement_is_planned_anew_for_what_is_bound_to_it() {
    let (_dir, conn) = file(LITTLE);
    for _ in 0..2 {
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        day(&conn);
        conn.execute_batch("ROLLBACK").unwrap();
    }
    for statement in looked_at() {
        let prepared = conn.prepare_cached(&statement.sql).unwrap();
        let again = prepared.get_status(StatementStatus::RePrepare);
        assert_eq!(again, 0, "{} ran {} times", statement.name, prepared.get_status(StatementStatus::Run));
    }
}

/// The steps of all statements together, as the connection has them prepared.
fn steps(conn: &Connection, statements: &[Statement]) -> i64 {
    let of = |statement: &Statement| {
        i64::from(conn.prepare_cached(&statement.sql).unwrap().get_status(StatementStatus::VmStep))
    };
    statements.iter().map(of).sum()
}

fn steps_of_a_day(behind: Behind) -> i64 {
    let statements = looked_at();
    let (_dir, conn) = file(behind);
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    day(&conn);
    steps(&conn, &statements)
}

/// `MAINSPRING_DELAYED=1000000` puts more than the usual 100,000 jobs at a higher priority behind it.
#[test]
fn claims_and_completions_take_as_many_steps_in_a_file_with_a_million_runs_as_in_an_empty_one() {
    let delayed = std::env::var("MAINSPRING_DELAYED").map_or(MUCH.delayed, |number| number.parse().unwrap());
    let nothing = Behind { runs_of_one_job: 1, finished_jobs: 1, delayed: 1, in_another_queue: 1, others: 1 };
    let (before, after) = (steps_of_a_day(nothing), steps_of_a_day(Behind { delayed, ..MUCH }));
    assert!(before > 1_000, "{before}: the steps were not counted");
    assert!(is_within(after, before), "{before} steps in an empty file, {after} in a full one");
}
