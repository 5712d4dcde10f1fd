//! What is bound to the parameters of a statement, so that it finds the rows that it is made for.

use rusqlite::Statement;
use rusqlite::types::Value;

use super::file::{
    ASKED, DELIVERING, FINISHED, HALF_PRUNED, MISSED, NEWEST_EVENT, NOW, OFTEN, OFTEN_RAN, READY, RUNNING,
    TAKEN_UP, UNDELIVERED, UNKNOWN, WAITING,
};

/// Binds every parameter.
pub(super) fn bind(prepared: &mut Statement<'_>, statement: &str) {
    let mut place = 0;
    for index in 1..=prepared.parameter_count() {
        let value = match prepared.parameter_name(index) {
            Some(name) => value(statement, name),
            None => {
                place += 1;
                unnamed(statement, place)
            }
        };
        prepared.raw_bind_parameter(index, value).unwrap();
    }
}

/// The value of a parameter without a name, by its place in one of several rows.
fn unnamed(statement: &str, place: usize) -> Value {
    let (_, row) = ROWS.iter().find(|(name, _)| *name == statement).expect("a row in bindings.rs");
    row[(place - 1) % row.len()].into()
}

fn value(statement: &str, parameter: &str) -> Value {
    let own = OWN.iter().find(|(name, own, _)| *name == statement && *own == parameter);
    own.map_or_else(|| common(parameter), |(_, _, bound)| *bound).into()
}

impl From<Bound> for Value {
    fn from(bound: Bound) -> Self {
        match bound {
            Number(number) => Self::Integer(number),
            Word(word) => Self::Text(word.to_owned()),
            Null => Self::Null,
        }
    }
}

#[derive(Clone, Copy)]
enum Bound {
    Number(i64),
    Word(&'static str),
    Null,
}
use Bound::{Null, Number, Word};

/// What most statements take under this name.
fn common(parameter: &str) -> Bound {
    match parameter {
        ":now_ms" | ":since_ms" => Number(NOW.millis()),
        ":id" | ":run_id" | ":job_id" => Number(FINISHED),
        ":queue" | ":delivery_queue" => Word("default"),
        ":kind" => Word("kind"),
        ":name" => Word("often"),
        ":unique_key" => Word("key"),
        ":trigger" => Word("manual"),
        ":outcome" => Word("succeeded"),
        ":delivery" => Word("pending"),
        ":on_interrupt" => Word("rerun"),
        ":on_unknown_delivery" => Word("hold"),
        ":overlap" => Word("skip"),
        ":table_name" => Word("mainspring_jobs"),
        ":args" | ":policies" | ":definition" => Word("{}"),
        ":reason" => Word("downtime"),
        ":event" => Word("added"),
        ":limit" | ":batch" | ":slots" => Number(50),
        ":rows" => Number(32),
        _ => Number(1),
    }
}

/// What the rows hold of statements that take several.
const ROWS: &[(&str, &[Bound])] = &[("insert.rs: INSERT_PLAIN", PLAIN_JOB)];

#[rustfmt::skip]
const PLAIN_JOB: &[Bound] = &[
    Word("kind"), Word("default"), Number(0), Word("{}"), Number(NOW.millis()), Null, Word("rerun"), Word("hold"),
    Word("skip"), Number(1), Word("{}"), Number(1),
];

/// Statements about rows in another state, and values that must be others.
#[rustfmt::skip]
const OWN: &[(&str, &str, Bound)] = &[
    ("account.rs: IS_ON_RECORD", ":job_id", Number(OFTEN)),
    ("cancel.rs: ASK_TO_STOP", ":run_id", Number(RUNNING)),
    ("cancel.rs: OPEN_RUNS", ":job_id", Number(RUNNING)),
    ("cancel.rs: DROP_REQUESTS", ":id", Number(ASKED)),
    ("cancel.rs: TRY_AGAIN", ":id", Number(OFTEN)),
    ("cancel.rs: COUNT_ATTEMPTS", ":id", Number(OFTEN)),
    ("cancel.rs: GO_ON_AFTERWARDS", ":id", Number(OFTEN)),
    ("cancel.rs: GO_ON_AFTERWARDS", ":scheduled_for_ms", Null),
    ("cancel.rs: GO_ON_AFTERWARDS", ":run_at_ms", Null),
    ("claim/mod.rs: OPEN_RUN", ":id", Null),
    ("claim/mod.rs: OPEN_RUN", ":job_id", Number(OFTEN)),
    ("claim/mark.rs: MARK_ONCE", ":id", Number(READY)),
    ("claim/mark.rs: MARK_RUNNING", ":id", Number(READY)),
    ("claim/mark.rs: MARK_RUNNING", ":requests", Number(0)),
    ("claim/mark.rs: MARK_RUNNING", ":planned_run_at_ms", Null),
    ("claim/mark.rs: MARK_RUNNING", ":then_scheduled_for_ms", Null),
    ("claim/mark.rs: MARK_RUNNING", ":then_run_at_ms", Null),
    ("claim/mod.rs: MOVE_ON", ":id", Number(READY)),
    ("claim/mod.rs: WAIT_UNTIL", ":id", Number(READY)),
    ("claim/mod.rs: SUPERSEDE_JOB", ":id", Number(RUNNING)),
    ("claim/mod.rs: STOP_RUN", ":run_id", Number(RUNNING)),
    ("claim/mod.rs: PARK", ":id", Number(READY)),
    ("claim/pick.rs: IS_PAUSED", ":queue", Word("paused")),
    ("claim/pick.rs: MAKE_READY", ":id", Number(WAITING)),
    ("claim/pick.rs: SET_ASIDE", ":id", Number(READY)),
    ("claim/request.rs: FIRST", ":job_id", Number(ASKED)),
    ("claim/request.rs: TAKE", ":id", Number(ASKED)),
    ("claim/request.rs: LEFT", ":id", Number(ASKED)),
    ("deliver.rs: TAKE_UP", ":run_id", Number(UNDELIVERED)),
    ("deliver.rs: TAKEN_UP", ":run_id", Number(TAKEN_UP)),
    ("deliver.rs: BEGIN", ":run_id", Number(TAKEN_UP)),
    ("deliver.rs: SETTLE", ":run_id", Number(DELIVERING)),
    ("deliver.rs: POLICY", ":run_id", Number(DELIVERING)),
    ("claim/request.rs: WAIT_FOR_THE_END", ":id", Number(ASKED)),
    ("events.rs: NEWEST", ":job_id", Number(OFTEN)),
    ("events.rs: SIGN", ":job_id", Number(OFTEN)),
    ("events.rs: SIGN", ":newest", Number(NEWEST_EVENT - 1)),
    ("shrink.rs: COUNT_AS_A_CHANGE", ":id", Number(1)),
    ("finish.rs: FINISH", ":id", Number(RUNNING)),
    ("finish.rs: FINISH", ":run_id", Number(RUNNING)),
    ("finish.rs: COMPLETE", ":run_id", Number(RUNNING)),
    ("ending.rs: END_RUN", ":run_id", Number(RUNNING)),
    ("ending.rs: RUN", ":run_id", Number(RUNNING)),
    ("ending.rs: COMPLETE", ":run_id", Number(RUNNING)),
    ("ending.rs: JOB", ":id", Number(RUNNING)),
    ("ending.rs: NEWEST_OPEN_RUN", ":job_id", Number(RUNNING)),
    ("ending.rs: UPDATE_JOB", ":id", Number(RUNNING)),
    ("ending.rs: UPDATE_JOB", ":requests", Number(0)),
    ("ending.rs: UPDATE_JOB", ":planned_run_at_ms", Null),
    ("ending.rs: UPDATE_JOB", ":then_scheduled_for_ms", Null),
    ("ending.rs: UPDATE_JOB", ":then_run_at_ms", Null),
    ("ending.rs: UPDATE_JOB", ":finished_at_ms", Null),
    ("ending.rs: OCCURRENCE_FAILED", ":job_id", Number(OFTEN)),
    ("ids.rs: GIVE_BACK", ":table_name", Word("mainspring_requests")),
    ("ids.rs: GIVE_BACK", ":given", Number(ASKED)),
    ("ids.rs: GIVE_BACK", ":reserved", Number(ASKED)),
    ("insert.rs: INSERT_ONCE", ":id", Null),
    ("insert.rs: INSERT_ONCE", ":unique_key", Word("another")),
    ("insert.rs: INSERT_NAMED", ":name", Word("new")),
    ("insert.rs: DESCRIBE", ":id", Number(WAITING)),
    ("insert.rs: SET_SCHEDULE", ":id", Number(WAITING)),
    ("insert.rs: SET_SCHEDULE", ":kind", Word("at")),
    ("insert.rs: SET_NEXT", ":id", Number(OFTEN)),
    ("insert.rs: BUMP_REVISION", ":id", Number(OFTEN)),
    ("owners.rs: REGISTER", ":uuid", Word("new")),
    ("owners.rs: END", ":id", Number(1)),
    ("owners.rs: END", ":reason", Word("died")),
    ("marks.rs: NUMBERED", ":id", Number(1)),
    ("marks.rs: ENQUEUED", ":id", Number(1)),
    ("marks.rs: FORGET", ":id", Number(1)),
    ("pause.rs: PAUSE", ":id", Number(WAITING)),
    ("pause.rs: RESUME", ":id", Number(WAITING)),
    ("pause.rs: MOVE_OWN_RUN", ":id", Number(WAITING)),
    ("pause.rs: RESUME_QUEUE", ":name", Word("paused")),
    ("prune.rs: DROP_COMPLETION", ":id", Number(UNKNOWN)),
    ("prune.rs: DROP_RUN", ":id", Number(HALF_PRUNED)),
    ("prune.rs: DROP_LATE", ":id", Number(OFTEN_RAN)),
    ("prune.rs: DROP_MISS", ":id", Number(MISSED)),
    ("prune.rs: DROP_EVENT", ":id", Number(MISSED)),
    ("read.rs: RUNS_OF_JOB", ":job_id", Number(OFTEN)),
    ("misses.rs: RUNS_WITHIN", ":job_id", Number(OFTEN)),
    ("misses.rs: RUNS_WITHIN", ":from_ms", Number(60_000)),
    ("misses.rs: RUNS_WITHIN", ":to_ms", Number(180_000)),
    ("read.rs: MISSES", ":job_id", Number(OFTEN)),
    ("read.rs: EVENTS_OF_JOB", ":job_id", Number(OFTEN)),
    ("recover.rs: SETTLE_DELIVERY", ":run_id", Number(DELIVERING)),
    ("redeliver.rs: LOOK", ":run_id", Number(UNDELIVERED)),
    ("redeliver.rs: PENDING_AGAIN", ":run_id", Number(UNKNOWN)),
    ("replan.rs: PLAN", ":id", Number(WAITING)),
    ("run_now.rs: WAKE", ":id", Number(WAITING)),
    ("run_now.rs: IS_ON_RECORD", ":job_id", Number(ASKED)),
    ("replace_all.rs: DECLARED", ":label", Word("label")),
    ("replace_all.rs: ADOPT", ":id", Number(OFTEN)),
    ("replace_all.rs: ADOPT", ":label", Word("other")),
    ("set_back.rs: RAN_AHEAD", ":now_ms", Number(1)),
    ("set_back.rs: MISSES_AHEAD", ":job_id", Number(OFTEN)),
    ("set_back.rs: MISSES_AHEAD", ":now_ms", Number(1)),
    ("set_back.rs: DROP_MISS", ":id", Number(MISSED)),
    ("set_back.rs: SHORTEN_MISS", ":id", Number(MISSED)),
    ("set_back.rs: HAS_RUN", ":job_id", Number(OFTEN)),
    ("set_back.rs: MOVE", ":id", Number(OFTEN)),
    ("set_back.rs: MOVE_WHAT_FOLLOWS", ":id", Number(OFTEN)),
    ("set_back.rs: MOVE_WHAT_FOLLOWS", ":scheduled_for_ms", Null),
    ("set_back.rs: MOVE_WHAT_FOLLOWS", ":run_at_ms", Null),
    ("wake.rs: FIRST_REQUEST", ":job_id", Number(ASKED)),
];

/// Values of statements that there are no more.
pub(super) fn of_no_statement<'a>(is_there: impl Fn(&str) -> bool + 'a) -> impl Iterator<Item = &'a str> {
    let own = OWN.iter().map(|(name, _, _)| *name);
    let rows = ROWS.iter().map(|(name, _)| *name);
    own.chain(rows).filter(move |name| !is_there(name))
}
