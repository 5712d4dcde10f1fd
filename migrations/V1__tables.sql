-- The tables of mainspring. Instants are milliseconds since 1970 in UTC. Facts are stored, states are derived:
-- the views of the next migration say the words. Reading this file top to bottom is the schema's documentation.
--
-- Lists of words are compared word by word: for IN with three and more, SQLite builds a table in memory at each row
-- that is written, which took longer than all the rest of an enqueue.

-- One row that says which file this is.
CREATE TABLE mainspring_meta (
    id               INTEGER PRIMARY KEY,
    database_uuid    TEXT    NOT NULL,
    created_at_ms    INTEGER NOT NULL,
    -- A library that knows fewer migrations than this must not write.
    oldest_writer    INTEGER NOT NULL,
    CONSTRAINT meta_is_one_row CHECK (id = 1)
) STRICT;

INSERT INTO mainspring_meta (id, database_uuid, created_at_ms, oldest_writer)
VALUES (1, lower(hex(randomblob(16))), CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER), 1);

-- What to run and when.
CREATE TABLE mainspring_jobs (
    id                        INTEGER PRIMARY KEY AUTOINCREMENT,
    name                      TEXT,
    kind                      TEXT    NOT NULL,
    queue                     TEXT    NOT NULL DEFAULT 'default',
    priority                  INTEGER NOT NULL DEFAULT 0,
    args                      TEXT    NOT NULL DEFAULT 'null',
    unique_key                TEXT,
    declared_by               TEXT,

    -- The schedule. `schedule_text` is what the user wrote.
    schedule_kind             TEXT    NOT NULL DEFAULT 'at',
    schedule_text             TEXT,
    at_ms                     INTEGER,
    every_ms                  INTEGER,
    anchor_ms                 INTEGER,
    time_zone                 TEXT,
    gap                       TEXT,
    starts_at_ms              INTEGER,
    ends_at_ms                INTEGER,
    max_runs                  INTEGER,
    jitter_ms                 INTEGER,
    calendar                  TEXT,
    expires_at_ms             INTEGER,

    -- Policies that a query or a constraint needs are columns, the others one JSON object that Rust reads whole.
    on_interrupt              TEXT    NOT NULL DEFAULT 'rerun',
    on_unknown_delivery       TEXT    NOT NULL DEFAULT 'resend',
    overlap                   TEXT    NOT NULL DEFAULT 'skip',
    max_open_runs             INTEGER NOT NULL DEFAULT 1,
    policies                  TEXT    NOT NULL DEFAULT '{}',

    -- May it run? `enabled` is part of the declaration, a pause is an operator's, a park is the library's.
    enabled                   INTEGER NOT NULL DEFAULT 1,
    paused_at_ms              INTEGER,
    pause_reason              TEXT,
    parked_at_ms              INTEGER,
    park_reason               TEXT,

    -- What comes next: the occurrence, when it may be claimed, and which attempt at it that will be.
    schedule_activated_at_ms  INTEGER NOT NULL,
    next_run_at_ms            INTEGER,
    scheduled_for_ms          INTEGER,
    attempt                   INTEGER NOT NULL DEFAULT 1,
    -- How many attempts at it failed; a snooze or an interruption is an attempt that is not counted here.
    failed_attempts           INTEGER NOT NULL DEFAULT 0,
    -- While another attempt waits: the schedule's own next occurrence, and when it may be claimed.
    then_scheduled_for_ms     INTEGER,
    then_run_at_ms            INTEGER,
    -- 1 once the next run fell due and waits by priority, 0 while it waits for its time.
    ready                     INTEGER NOT NULL DEFAULT 0,
    -- Runs asked for besides the schedule; while there are any, `planned_run_at_ms` keeps the schedule's own time, and
    -- the next run is whichever comes first.
    requests                  INTEGER NOT NULL DEFAULT 0,
    planned_run_at_ms         INTEGER,

    -- What runs now. Where several may run at once these name the newest.
    open_runs                 INTEGER NOT NULL DEFAULT 0,
    running_at_ms             INTEGER,
    running_run_id            INTEGER,
    -- When the next occurrence asked the open run to stop (overlap 'cancel_running').
    superseded_at_ms          INTEGER,

    -- What ran last.
    last_run_at_ms            INTEGER,
    last_scheduled_for_ms     INTEGER,
    last_outcome              TEXT,
    runs_started              INTEGER NOT NULL DEFAULT 0,
    failures_in_a_row         INTEGER NOT NULL DEFAULT 0,
    interruptions_in_a_row    INTEGER NOT NULL DEFAULT 0,

    revision                  INTEGER NOT NULL DEFAULT 1,
    -- The revision that brought the schedule: a run claimed before it does not touch the new schedule's times.
    schedule_revision         INTEGER NOT NULL DEFAULT 1,
    created_at_ms             INTEGER NOT NULL,
    updated_at_ms             INTEGER NOT NULL,
    finished_at_ms            INTEGER,
    -- The writer that enqueued it: after a commit that returned an error, this tells whether it happened.
    writer_id                 INTEGER,

    -- The one definition of "may be claimed"; the two indexes below hold these rows and no others. What settles it for
    -- most rows comes first: a row that is written is asked several times.
    claimable                 INTEGER GENERATED ALWAYS AS (CASE
        WHEN next_run_at_ms IS NULL THEN 0
        WHEN open_runs >= max_open_runs AND (overlap <> 'cancel_running' OR superseded_at_ms IS NOT NULL) THEN 0
        WHEN requests > 0 THEN 1
        WHEN enabled <> 1 OR paused_at_ms IS NOT NULL OR parked_at_ms IS NOT NULL THEN 0
        ELSE 1
    END) VIRTUAL,

    CONSTRAINT name_has_1_to_200_characters        CHECK (length(name) BETWEEN 1 AND 200),
    CONSTRAINT kind_has_1_to_200_characters        CHECK (length(kind) BETWEEN 1 AND 200),
    CONSTRAINT queue_has_1_to_200_characters       CHECK (length(queue) BETWEEN 1 AND 200),
    CONSTRAINT priority_is_within_1000_of_zero     CHECK (priority BETWEEN -1000 AND 1000),
    CONSTRAINT args_are_json                       CHECK (args = 'null' OR json_valid(args)),
    CONSTRAINT policies_are_json                   CHECK (policies = '{}' OR json_valid(policies)),
    CONSTRAINT schedule_kind_is_known              CHECK (schedule_kind = 'at' OR schedule_kind = 'every' OR schedule_kind = 'after_each' OR schedule_kind = 'cron'),
    CONSTRAINT at_has_its_instant                  CHECK (schedule_kind <> 'at' OR at_ms IS NOT NULL),
    CONSTRAINT every_has_an_interval               CHECK (schedule_kind NOT IN ('every', 'after_each') OR (every_ms IS NOT NULL AND every_ms > 0)),
    CONSTRAINT cron_has_its_text                   CHECK (schedule_kind <> 'cron' OR (schedule_text IS NOT NULL AND length(schedule_text) > 0)),
    CONSTRAINT on_interrupt_is_known               CHECK (on_interrupt = 'rerun' OR on_interrupt = 'assume_ran' OR on_interrupt = 'verify'),
    CONSTRAINT on_unknown_delivery_is_known        CHECK (on_unknown_delivery = 'hold' OR on_unknown_delivery = 'resend'),
    CONSTRAINT overlap_is_known                    CHECK (overlap = 'skip' OR overlap = 'queue_one' OR overlap = 'cancel_running' OR overlap = 'allow'),
    CONSTRAINT at_least_one_run_may_be_open        CHECK (max_open_runs >= 1),
    CONSTRAINT only_allow_opens_several_runs       CHECK (max_open_runs = 1 OR overlap = 'allow'),
    CONSTRAINT only_a_running_job_is_superseded    CHECK (superseded_at_ms IS NULL OR open_runs > 0),
    CONSTRAINT enabled_is_0_or_1                   CHECK (enabled IN (0, 1)),
    CONSTRAINT a_parked_job_says_why               CHECK ((parked_at_ms IS NULL) = (park_reason IS NULL)),
    CONSTRAINT a_pause_reason_needs_a_pause        CHECK (pause_reason IS NULL OR paused_at_ms IS NOT NULL),
    CONSTRAINT next_run_is_after_1970              CHECK (next_run_at_ms > 0),
    CONSTRAINT next_run_names_its_occurrence       CHECK (next_run_at_ms IS NULL OR scheduled_for_ms IS NOT NULL OR requests > 0),
    CONSTRAINT attempts_count_from_one             CHECK (attempt >= 1),
    CONSTRAINT what_follows_waits_for_an_attempt   CHECK (
        (then_scheduled_for_ms IS NULL) = (then_run_at_ms IS NULL) AND (then_run_at_ms IS NULL OR attempt > 1)),
    CONSTRAINT only_a_next_run_can_be_ready        CHECK (ready = 0 OR (ready = 1 AND next_run_at_ms IS NOT NULL)),
    CONSTRAINT requests_are_not_negative           CHECK (requests >= 0),
    CONSTRAINT a_planned_time_waits_for_requests   CHECK (planned_run_at_ms IS NULL OR requests > 0),
    CONSTRAINT running_names_its_run               CHECK ((running_at_ms IS NULL) = (running_run_id IS NULL)),
    CONSTRAINT open_runs_are_running               CHECK (open_runs >= 0 AND (open_runs = 0) = (running_run_id IS NULL)),
    CONSTRAINT open_runs_stay_within_their_limit   CHECK (open_runs <= max_open_runs),
    CONSTRAINT last_outcome_is_known               CHECK (
        last_outcome = 'succeeded' OR last_outcome = 'failed' OR last_outcome = 'timed_out'
        OR last_outcome = 'cancelled' OR last_outcome = 'interrupted' OR last_outcome = 'skipped'),
    CONSTRAINT a_finished_job_has_no_occurrence    CHECK (finished_at_ms IS NULL OR scheduled_for_ms IS NULL)
) STRICT;

-- Waiting for its time, in order of time; a claim makes those that fell due ready.
CREATE INDEX mainspring_jobs_scheduled ON mainspring_jobs (queue, next_run_at_ms)
    WHERE ready = 0 AND claimable = 1;
-- Due, in the order in which they are claimed. The higher priority goes first.
CREATE INDEX mainspring_jobs_ready ON mainspring_jobs (queue, priority DESC, next_run_at_ms, id)
    WHERE ready = 1 AND claimable = 1;
CREATE UNIQUE INDEX mainspring_jobs_name ON mainspring_jobs (name)
    WHERE name IS NOT NULL;
-- A unique key is held while the job is not finished.
CREATE UNIQUE INDEX mainspring_jobs_unique_key ON mainspring_jobs (kind, unique_key)
    WHERE unique_key IS NOT NULL AND finished_at_ms IS NULL;
-- Always empty but for rows whose next time somebody took away; the engine plans them anew.
CREATE INDEX mainspring_jobs_unplanned ON mainspring_jobs (id)
    WHERE finished_at_ms IS NULL AND next_run_at_ms IS NULL AND open_runs = 0 AND parked_at_ms IS NULL;

-- Runs asked for besides the schedule: by hand, for a past range, or again after such a run failed.
CREATE TABLE mainspring_requests (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id            INTEGER NOT NULL REFERENCES mainspring_jobs (id) ON DELETE CASCADE,
    trigger           TEXT    NOT NULL,
    scheduled_for_ms  INTEGER NOT NULL,
    attempt           INTEGER NOT NULL DEFAULT 1,
    failed_attempts   INTEGER NOT NULL DEFAULT 0,
    run_at_ms         INTEGER NOT NULL,
    -- What the run is keyed by: the request that a person made, kept through its retries.
    request_key       INTEGER,
    requested_at_ms   INTEGER NOT NULL,
    CONSTRAINT request_trigger_is_known   CHECK (trigger IN ('manual', 'backfill')),
    CONSTRAINT request_attempts_from_one  CHECK (attempt >= 1)
) STRICT;
CREATE INDEX mainspring_requests_of_job ON mainspring_requests (job_id, run_at_ms, id);

-- One attempt at one occurrence. Its id is the fencing token. It is over when it has a completion.
CREATE TABLE mainspring_runs (
    id                      INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id                  INTEGER NOT NULL,
    job_revision            INTEGER NOT NULL,
    kind                    TEXT    NOT NULL,
    queue                   TEXT    NOT NULL,
    scheduled_for_ms        INTEGER NOT NULL,
    attempt                 INTEGER NOT NULL,
    trigger                 TEXT    NOT NULL,
    request_id              INTEGER,
    owner_id                INTEGER NOT NULL,
    claimed_at_ms           INTEGER NOT NULL,
    started_at_ms           INTEGER,
    ended_at_ms             INTEGER,
    cancel_requested_at_ms  INTEGER,
    CONSTRAINT run_attempts_count_from_one   CHECK (attempt >= 1),
    CONSTRAINT run_trigger_is_known          CHECK (
        trigger = 'schedule' OR trigger = 'catch_up' OR trigger = 'manual' OR trigger = 'retry' OR trigger = 'backfill')
) STRICT;

-- One occurrence of one job is claimed once, whatever the clock does.
CREATE UNIQUE INDEX mainspring_runs_occurrence ON mainspring_runs (job_id, scheduled_for_ms, attempt)
    WHERE request_id IS NULL;
CREATE UNIQUE INDEX mainspring_runs_request ON mainspring_runs (job_id, request_id, attempt)
    WHERE request_id IS NOT NULL;
-- What recovery reads: the open runs of an owner.
CREATE INDEX mainspring_runs_open ON mainspring_runs (owner_id)
    WHERE ended_at_ms IS NULL;

-- How a run ended, and what became of its delivery.
CREATE TABLE mainspring_completions (
    run_id                  INTEGER PRIMARY KEY REFERENCES mainspring_runs (id),
    outcome                 TEXT    NOT NULL,
    finished_at_ms          INTEGER NOT NULL,
    output                  TEXT,
    error                   TEXT,
    error_class             TEXT,
    delivery                TEXT    NOT NULL DEFAULT 'not_requested',
    delivery_queue          TEXT,
    on_unknown_delivery     TEXT,
    delivery_owner_id       INTEGER,
    delivery_attempts       INTEGER NOT NULL DEFAULT 0,
    next_delivery_at_ms     INTEGER,
    deliver_by_ms           INTEGER,
    delivery_started_at_ms  INTEGER,
    delivery_settled_at_ms  INTEGER,
    receipt                 TEXT,
    delivery_error          TEXT,
    CONSTRAINT outcome_is_known CHECK (
        outcome = 'succeeded' OR outcome = 'failed' OR outcome = 'timed_out'
        OR outcome = 'cancelled' OR outcome = 'interrupted' OR outcome = 'skipped'),
    CONSTRAINT delivery_is_known CHECK (
        delivery = 'not_requested' OR delivery = 'pending' OR delivery = 'started' OR delivery = 'delivered'
        OR delivery = 'failed' OR delivery = 'unknown' OR delivery = 'suppressed'),
    CONSTRAINT completion_policy_is_known CHECK (on_unknown_delivery IN ('hold', 'resend')),
    CONSTRAINT only_success_is_delivered CHECK (delivery = 'not_requested' OR outcome = 'succeeded'),
    CONSTRAINT a_delivery_names_its_queue CHECK (delivery = 'not_requested' OR (delivery_queue IS NOT NULL AND on_unknown_delivery IS NOT NULL)),
    CONSTRAINT pending_has_a_time CHECK (delivery <> 'pending' OR next_delivery_at_ms IS NOT NULL),
    CONSTRAINT started_names_its_owner CHECK (delivery <> 'started' OR (delivery_owner_id IS NOT NULL AND delivery_started_at_ms IS NOT NULL)),
    CONSTRAINT delivered_has_a_time CHECK (
        delivery = 'not_requested' OR delivery = 'pending' OR delivery = 'started' OR delivery_settled_at_ms IS NOT NULL)
) STRICT;

-- Deliveries that any engine of the queue may take up.
CREATE INDEX mainspring_completions_pending ON mainspring_completions (delivery_queue, next_delivery_at_ms)
    WHERE delivery = 'pending' AND delivery_owner_id IS NULL;
-- Deliveries in the hands of an owner; what recovery reads.
CREATE INDEX mainspring_completions_owned ON mainspring_completions (delivery_owner_id)
    WHERE delivery_owner_id IS NOT NULL;

-- What a handler returned after its run had been taken from it: a fact, never the outcome.
CREATE TABLE mainspring_late_results (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id         INTEGER NOT NULL,
    arrived_at_ms  INTEGER NOT NULL,
    outcome        TEXT    NOT NULL,
    output         TEXT,
    error          TEXT
) STRICT;
CREATE INDEX mainspring_late_results_of_run ON mainspring_late_results (run_id);

-- Occurrences that were not run, a range in one row.
CREATE TABLE mainspring_misses (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id          INTEGER NOT NULL,
    from_ms         INTEGER NOT NULL,
    to_ms           INTEGER NOT NULL,
    occurrences     INTEGER NOT NULL,
    -- 0 where counting was given up: at least so many.
    exact           INTEGER NOT NULL DEFAULT 1,
    reason          TEXT    NOT NULL,
    recorded_at_ms  INTEGER NOT NULL,
    CONSTRAINT a_miss_ends_after_it_begins CHECK (from_ms <= to_ms),
    CONSTRAINT a_miss_counts_something     CHECK (occurrences >= 1),
    CONSTRAINT miss_reason_is_known        CHECK (
        reason = 'downtime' OR reason = 'overlap' OR reason = 'paused' OR reason = 'expired' OR reason = 'coalesced'
        OR reason = 'excluded')
) STRICT;
CREATE INDEX mainspring_misses_of_job ON mainspring_misses (job_id, from_ms);

-- Who changed what: one row for each change of a job's definition, and for each pause of a queue. The triggers below
-- write it in the transaction of the change, whoever makes that; `src/store/events.rs` says what a trigger cannot see.
-- It outlives the job.
CREATE TABLE mainspring_events (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    -- NULL for what was done to a queue.
    job_id    INTEGER,
    name      TEXT,
    kind      TEXT,
    queue     TEXT    NOT NULL,
    event     TEXT    NOT NULL,
    revision  INTEGER,
    -- A trigger knows the wall clock alone; the library puts its own in the place.
    at_ms     INTEGER NOT NULL DEFAULT (CAST(round(julianday('now') * 86400000.0) AS INTEGER) - 210866760000000),
    -- 'sql' for a statement that was not the library's.
    made_by   TEXT    NOT NULL DEFAULT 'sql',
    -- Of 'changed' and 'rescheduled' an object of columns with the old and the new value, of 'paused' and 'parked' the
    -- reason.
    detail    TEXT,
    CONSTRAINT an_event_is_of_a_job_or_a_queue CHECK ((job_id IS NULL) = (kind IS NULL)),
    CONSTRAINT event_is_known CHECK (
        event = 'added' OR event = 'changed' OR event = 'rescheduled' OR event = 'paused' OR event = 'resumed'
        OR event = 'parked' OR event = 'unparked' OR event = 'cancelled' OR event = 'reopened' OR event = 'removed'),
    CONSTRAINT event_maker_is_known CHECK (made_by = 'library' OR made_by = 'sql')
) STRICT;
CREATE INDEX mainspring_events_of_job ON mainspring_events (job_id);

-- One engine's life. It is dead when its lock file can be locked; no clock decides.
CREATE TABLE mainspring_owners (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid           TEXT    NOT NULL UNIQUE,
    generation     INTEGER NOT NULL DEFAULT 1,
    pid            INTEGER NOT NULL,
    host           TEXT    NOT NULL,
    library        TEXT    NOT NULL,
    started_at_ms  INTEGER NOT NULL,
    ended_at_ms    INTEGER,
    end_reason     TEXT,
    CONSTRAINT end_reason_is_known     CHECK (end_reason IN ('stopped', 'died')),
    CONSTRAINT an_end_says_how         CHECK ((ended_at_ms IS NULL) = (end_reason IS NULL))
) STRICT;
CREATE INDEX mainspring_owners_alive ON mainspring_owners (id)
    WHERE ended_at_ms IS NULL;

-- The last transaction of each writer that enqueued nothing: after a commit that returned an error, this row tells
-- whether it happened. For one that did, the first job that it enqueued tells, or that it is gone already.
CREATE TABLE mainspring_writers (
    id              INTEGER PRIMARY KEY,
    transaction_no  INTEGER NOT NULL,
    removed_job_id  INTEGER NOT NULL DEFAULT 0,
    written_at_ms   INTEGER NOT NULL
) STRICT;

CREATE TABLE mainspring_queues (
    name          TEXT    NOT NULL PRIMARY KEY,
    paused_at_ms  INTEGER,
    pause_reason  TEXT
) STRICT, WITHOUT ROWID;

-- Dates and times that schedules leave out, shared by name.
CREATE TABLE mainspring_calendars (
    name           TEXT    NOT NULL PRIMARY KEY,
    definition     TEXT    NOT NULL,
    updated_at_ms  INTEGER NOT NULL,
    CONSTRAINT calendar_definition_is_json CHECK (json_valid(definition))
) STRICT, WITHOUT ROWID;

CREATE TRIGGER mainspring_a_completion_keeps_its_outcome
BEFORE UPDATE OF run_id, outcome, finished_at_ms, output, error, error_class ON mainspring_completions
BEGIN
    SELECT RAISE(ABORT, 'a_completion_keeps_its_outcome: an outcome that is on record never changes');
END;

CREATE TRIGGER mainspring_a_settled_delivery_stays_settled
BEFORE UPDATE OF delivery ON mainspring_completions
WHEN OLD.delivery = 'not_requested' OR OLD.delivery = 'delivered' OR OLD.delivery = 'suppressed'
BEGIN
    SELECT RAISE(ABORT, 'a_settled_delivery_stays_settled: what was delivered is never delivered again');
END;

-- After the update, which it undoes: before it, SQLite would look the row up once more at each end of a run. It ends the
-- whole transaction: to undo the statement alone, SQLite would keep a copy of each page that an end of a run changes.
CREATE TRIGGER mainspring_an_ended_run_stays_ended
AFTER UPDATE ON mainspring_runs
WHEN OLD.ended_at_ms IS NOT NULL
BEGIN
    SELECT RAISE(ROLLBACK, 'an_ended_run_stays_ended: this run has its completion');
END;

CREATE TRIGGER mainspring_an_open_run_is_not_deleted
BEFORE DELETE ON mainspring_runs
WHEN OLD.ended_at_ms IS NULL
BEGIN
    SELECT RAISE(ABORT, 'an_open_run_is_not_deleted: end it first (cancel or release)');
END;

CREATE TRIGGER mainspring_an_unsettled_delivery_is_not_deleted
BEFORE DELETE ON mainspring_completions
WHEN OLD.delivery IN ('pending', 'started')
BEGIN
    SELECT RAISE(ABORT, 'an_unsettled_delivery_is_not_deleted: this output was not handed over yet');
END;

-- A job tells its writer that a commit happened: one that is gone tells it here.
CREATE TRIGGER mainspring_a_removed_job_tells_its_writer
AFTER DELETE ON mainspring_jobs
WHEN OLD.writer_id IS NOT NULL
BEGIN
    UPDATE mainspring_writers
    SET removed_job_id = OLD.id
    WHERE id = OLD.writer_id AND removed_job_id < OLD.id;
END;

-- What changes a job's definition goes on record. SQLite makes a trigger part of those statements alone that set one of
-- its columns. A claim sets none, nor does the end of a run, and no insert of a job has a trigger: so what is said by
-- other columns, a moved next time or an end by hand, is not on record.

-- json_patch drops the members that are NULL: what stays as it was. Arguments may hold secrets, and a key may be built
-- from them: only that they changed is on record.
CREATE TRIGGER mainspring_a_change_is_on_record
AFTER UPDATE OF
    name, kind, queue, priority, args, unique_key, declared_by, expires_at_ms, on_interrupt, on_unknown_delivery,
    overlap, max_open_runs, policies, enabled
ON mainspring_jobs
BEGIN
    INSERT INTO mainspring_events (job_id, name, kind, queue, event, revision, detail)
    SELECT NEW.id, NEW.name, NEW.kind, NEW.queue, 'changed', NEW.revision, change.detail
    FROM (
        SELECT json_patch('{}', json_object(
            'name', CASE WHEN NEW.name IS NOT OLD.name THEN json_array(OLD.name, NEW.name) END,
            'kind', CASE WHEN NEW.kind IS NOT OLD.kind THEN json_array(OLD.kind, NEW.kind) END,
            'queue', CASE WHEN NEW.queue IS NOT OLD.queue THEN json_array(OLD.queue, NEW.queue) END,
            'priority', CASE WHEN NEW.priority IS NOT OLD.priority THEN json_array(OLD.priority, NEW.priority) END,
            'args', CASE WHEN NEW.args IS NOT OLD.args THEN 'changed' END,
            'unique_key', CASE WHEN NEW.unique_key IS NOT OLD.unique_key THEN 'changed' END,
            'declared_by', CASE WHEN NEW.declared_by IS NOT OLD.declared_by THEN json_array(OLD.declared_by, NEW.declared_by) END,
            'expires_at_ms', CASE WHEN NEW.expires_at_ms IS NOT OLD.expires_at_ms THEN json_array(OLD.expires_at_ms, NEW.expires_at_ms) END,
            'on_interrupt', CASE WHEN NEW.on_interrupt IS NOT OLD.on_interrupt THEN json_array(OLD.on_interrupt, NEW.on_interrupt) END,
            'on_unknown_delivery', CASE WHEN NEW.on_unknown_delivery IS NOT OLD.on_unknown_delivery THEN json_array(OLD.on_unknown_delivery, NEW.on_unknown_delivery) END,
            'overlap', CASE WHEN NEW.overlap IS NOT OLD.overlap THEN json_array(OLD.overlap, NEW.overlap) END,
            'max_open_runs', CASE WHEN NEW.max_open_runs IS NOT OLD.max_open_runs THEN json_array(OLD.max_open_runs, NEW.max_open_runs) END,
            'policies', CASE WHEN NEW.policies IS NOT OLD.policies THEN json_array(OLD.policies, NEW.policies) END,
            'enabled', CASE WHEN NEW.enabled IS NOT OLD.enabled THEN json_array(OLD.enabled, NEW.enabled) END
        )) AS detail
    ) AS change
    WHERE change.detail <> '{}';
END;

-- Not of at_ms alone: a clock that was set back moves it.
CREATE TRIGGER mainspring_a_new_schedule_is_on_record
AFTER UPDATE OF
    schedule_kind, schedule_text, every_ms, anchor_ms, time_zone, gap, starts_at_ms, ends_at_ms, max_runs, jitter_ms,
    calendar
ON mainspring_jobs
BEGIN
    INSERT INTO mainspring_events (job_id, name, kind, queue, event, revision, detail)
    SELECT NEW.id, NEW.name, NEW.kind, NEW.queue, 'rescheduled', NEW.revision, change.detail
    FROM (
        SELECT json_patch('{}', json_object(
            'schedule_kind', CASE WHEN NEW.schedule_kind IS NOT OLD.schedule_kind THEN json_array(OLD.schedule_kind, NEW.schedule_kind) END,
            'schedule_text', CASE WHEN NEW.schedule_text IS NOT OLD.schedule_text THEN json_array(OLD.schedule_text, NEW.schedule_text) END,
            'at_ms', CASE WHEN NEW.at_ms IS NOT OLD.at_ms THEN json_array(OLD.at_ms, NEW.at_ms) END,
            'every_ms', CASE WHEN NEW.every_ms IS NOT OLD.every_ms THEN json_array(OLD.every_ms, NEW.every_ms) END,
            'anchor_ms', CASE WHEN NEW.anchor_ms IS NOT OLD.anchor_ms THEN json_array(OLD.anchor_ms, NEW.anchor_ms) END,
            'time_zone', CASE WHEN NEW.time_zone IS NOT OLD.time_zone THEN json_array(OLD.time_zone, NEW.time_zone) END,
            'gap', CASE WHEN NEW.gap IS NOT OLD.gap THEN json_array(OLD.gap, NEW.gap) END,
            'starts_at_ms', CASE WHEN NEW.starts_at_ms IS NOT OLD.starts_at_ms THEN json_array(OLD.starts_at_ms, NEW.starts_at_ms) END,
            'ends_at_ms', CASE WHEN NEW.ends_at_ms IS NOT OLD.ends_at_ms THEN json_array(OLD.ends_at_ms, NEW.ends_at_ms) END,
            'max_runs', CASE WHEN NEW.max_runs IS NOT OLD.max_runs THEN json_array(OLD.max_runs, NEW.max_runs) END,
            'jitter_ms', CASE WHEN NEW.jitter_ms IS NOT OLD.jitter_ms THEN json_array(OLD.jitter_ms, NEW.jitter_ms) END,
            'calendar', CASE WHEN NEW.calendar IS NOT OLD.calendar THEN json_array(OLD.calendar, NEW.calendar) END
        )) AS detail
    ) AS change
    WHERE change.detail <> '{}';
END;

CREATE TRIGGER mainspring_a_pause_is_on_record
AFTER UPDATE OF paused_at_ms, pause_reason ON mainspring_jobs
WHEN (NEW.paused_at_ms IS NULL) <> (OLD.paused_at_ms IS NULL) OR NEW.pause_reason IS NOT OLD.pause_reason
BEGIN
    INSERT INTO mainspring_events (job_id, name, kind, queue, event, revision, detail)
    VALUES (
        NEW.id, NEW.name, NEW.kind, NEW.queue, CASE WHEN NEW.paused_at_ms IS NULL THEN 'resumed' ELSE 'paused' END,
        NEW.revision, NEW.pause_reason);
END;

CREATE TRIGGER mainspring_a_park_is_on_record
AFTER UPDATE OF parked_at_ms, park_reason ON mainspring_jobs
WHEN (NEW.parked_at_ms IS NULL) <> (OLD.parked_at_ms IS NULL) OR NEW.park_reason IS NOT OLD.park_reason
BEGIN
    INSERT INTO mainspring_events (job_id, name, kind, queue, event, revision, detail)
    VALUES (
        NEW.id, NEW.name, NEW.kind, NEW.queue, CASE WHEN NEW.parked_at_ms IS NULL THEN 'unparked' ELSE 'parked' END,
        NEW.revision, NEW.park_reason);
END;

-- A finished job without a name goes by a prune, and leaves nothing.
CREATE TRIGGER mainspring_a_removal_is_on_record
AFTER DELETE ON mainspring_jobs
WHEN OLD.name IS NOT NULL OR OLD.finished_at_ms IS NULL
BEGIN
    INSERT INTO mainspring_events (job_id, name, kind, queue, event, revision)
    VALUES (OLD.id, OLD.name, OLD.kind, OLD.queue, 'removed', OLD.revision);
END;

CREATE TRIGGER mainspring_a_paused_queue_is_on_record
AFTER INSERT ON mainspring_queues
WHEN NEW.paused_at_ms IS NOT NULL
BEGIN
    INSERT INTO mainspring_events (queue, event, detail)
    VALUES (NEW.name, 'paused', NEW.pause_reason);
END;

CREATE TRIGGER mainspring_a_change_of_a_queue_is_on_record
AFTER UPDATE OF paused_at_ms, pause_reason ON mainspring_queues
WHEN (NEW.paused_at_ms IS NULL) <> (OLD.paused_at_ms IS NULL) OR NEW.pause_reason IS NOT OLD.pause_reason
BEGIN
    INSERT INTO mainspring_events (queue, event, detail)
    VALUES (
        NEW.name, CASE WHEN NEW.paused_at_ms IS NULL THEN 'resumed' ELSE 'paused' END,
        CASE WHEN NEW.paused_at_ms IS NOT NULL THEN NEW.pause_reason END);
END;

CREATE TRIGGER mainspring_the_end_of_a_paused_queue_is_on_record
AFTER DELETE ON mainspring_queues
WHEN OLD.paused_at_ms IS NOT NULL
BEGIN
    INSERT INTO mainspring_events (queue, event)
    VALUES (OLD.name, 'resumed');
END;
