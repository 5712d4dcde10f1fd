-- Views for people: every instant as ISO 8601 in UTC, every state as a word. No code reads them.
-- They use nothing that SQLite 3.38 lacks, so that the shell of any distribution reads them. An instant outside the
-- years that SQLite can write is shown as its number of milliseconds. The time now is rounded, not cut, because
-- julianday() is a fraction that may fall just short of the millisecond.

-- What the counts of mainspring_health_view and of the library read. They hold the few rows that somebody should look
-- at.
CREATE INDEX mainspring_jobs_paused ON mainspring_jobs (paused_at_ms)
    WHERE paused_at_ms IS NOT NULL;
CREATE INDEX mainspring_jobs_parked ON mainspring_jobs (parked_at_ms)
    WHERE parked_at_ms IS NOT NULL;
CREATE INDEX mainspring_jobs_disabled ON mainspring_jobs (enabled)
    WHERE enabled = 0;
CREATE INDEX mainspring_completions_undeliverable ON mainspring_completions (delivery)
    WHERE delivery IN ('failed', 'unknown');

-- What each job is doing. The words of `state` are those of `JobState`, decided in the same order.
CREATE VIEW mainspring_job_view AS
SELECT
    job.id AS job_id,
    job.name,
    job.kind,
    job.queue,
    job.priority,
    CASE
        WHEN job.open_runs > 0 THEN 'running'
        WHEN job.parked_at_ms IS NOT NULL THEN 'parked'
        WHEN job.paused_at_ms IS NOT NULL THEN 'paused'
        WHEN job.enabled = 0 THEN 'disabled'
        WHEN job.next_run_at_ms IS NULL AND job.finished_at_ms IS NOT NULL THEN 'finished'
        WHEN job.next_run_at_ms IS NULL THEN 'unplanned'
        WHEN job.next_run_at_ms <= clock.now_ms THEN 'due'
        WHEN job.attempt > 1 THEN 'retrying'
        ELSE 'scheduled'
    END AS state,
    CASE job.schedule_kind
        WHEN 'at' THEN 'at ' || coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', job.at_ms / 1000.0, 'unixepoch'), job.at_ms || ' ms')
        WHEN 'every' THEN 'every ' || rtrim(rtrim(printf('%.3f', job.every_ms / 1000.0), '0'), '.') || ' s'
        WHEN 'after_each' THEN rtrim(rtrim(printf('%.3f', job.every_ms / 1000.0), '0'), '.') || ' s after each run'
        ELSE 'cron ' || job.schedule_text || ' in ' || coalesce(job.time_zone, 'UTC')
    END AS schedule,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', job.next_run_at_ms / 1000.0, 'unixepoch'), job.next_run_at_ms || ' ms') AS next_run_at,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', job.scheduled_for_ms / 1000.0, 'unixepoch'), job.scheduled_for_ms || ' ms') AS scheduled_for,
    job.attempt,
    job.requests,
    job.open_runs,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', job.running_at_ms / 1000.0, 'unixepoch'), job.running_at_ms || ' ms') AS running_at,
    job.running_run_id,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', job.last_run_at_ms / 1000.0, 'unixepoch'), job.last_run_at_ms || ' ms') AS last_run_at,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', job.last_scheduled_for_ms / 1000.0, 'unixepoch'), job.last_scheduled_for_ms || ' ms') AS last_scheduled_for,
    job.last_outcome,
    job.runs_started,
    job.failures_in_a_row,
    job.interruptions_in_a_row,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', job.paused_at_ms / 1000.0, 'unixepoch'), job.paused_at_ms || ' ms') AS paused_at,
    job.pause_reason,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', job.parked_at_ms / 1000.0, 'unixepoch'), job.parked_at_ms || ' ms') AS parked_at,
    job.park_reason,
    job.on_interrupt,
    job.on_unknown_delivery,
    job.overlap,
    job.unique_key,
    job.declared_by,
    job.revision,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', job.created_at_ms / 1000.0, 'unixepoch'), job.created_at_ms || ' ms') AS created_at,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', job.updated_at_ms / 1000.0, 'unixepoch'), job.updated_at_ms || ' ms') AS updated_at,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', job.finished_at_ms / 1000.0, 'unixepoch'), job.finished_at_ms || ' ms') AS finished_at
FROM mainspring_jobs AS job
CROSS JOIN (SELECT CAST(round(julianday('now') * 86400000.0) AS INTEGER) - 210866760000000 AS now_ms) AS clock;

-- What ran and what became of it. Two halves, because each of the two indexes by job holds one of them: so a
-- query for one job reads that job's rows and no others.
CREATE VIEW mainspring_run_view AS
SELECT
    run.id AS run_id,
    run.job_id,
    (SELECT job.name FROM mainspring_jobs AS job WHERE job.id = run.job_id) AS name,
    run.kind,
    run.queue,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', run.scheduled_for_ms / 1000.0, 'unixepoch'), run.scheduled_for_ms || ' ms') AS scheduled_for,
    run.attempt,
    run.trigger,
    CASE WHEN run.ended_at_ms IS NULL THEN 'open' ELSE coalesce(completion.outcome, 'ended without a completion') END AS outcome,
    completion.delivery,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', run.claimed_at_ms / 1000.0, 'unixepoch'), run.claimed_at_ms || ' ms') AS claimed_at,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', run.started_at_ms / 1000.0, 'unixepoch'), run.started_at_ms || ' ms') AS started_at,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', run.ended_at_ms / 1000.0, 'unixepoch'), run.ended_at_ms || ' ms') AS ended_at,
    run.ended_at_ms - coalesce(run.started_at_ms, run.claimed_at_ms) AS took_ms,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', run.cancel_requested_at_ms / 1000.0, 'unixepoch'), run.cancel_requested_at_ms || ' ms') AS cancel_requested_at,
    completion.error_class,
    completion.error,
    completion.output,
    completion.delivery_attempts,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', completion.next_delivery_at_ms / 1000.0, 'unixepoch'), completion.next_delivery_at_ms || ' ms') AS next_delivery_at,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', completion.delivery_started_at_ms / 1000.0, 'unixepoch'), completion.delivery_started_at_ms || ' ms') AS delivery_started_at,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', completion.delivery_settled_at_ms / 1000.0, 'unixepoch'), completion.delivery_settled_at_ms || ' ms') AS delivery_settled_at,
    completion.receipt,
    completion.delivery_error,
    run.owner_id,
    run.job_revision,
    (SELECT substr(database_uuid, 1, 8) FROM mainspring_meta) || '-' || run.job_id || '-' || run.scheduled_for_ms AS idempotency_key
FROM mainspring_runs AS run
LEFT JOIN mainspring_completions AS completion ON completion.run_id = run.id
WHERE run.request_id IS NULL
UNION ALL
SELECT
    run.id,
    run.job_id,
    (SELECT job.name FROM mainspring_jobs AS job WHERE job.id = run.job_id),
    run.kind,
    run.queue,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', run.scheduled_for_ms / 1000.0, 'unixepoch'), run.scheduled_for_ms || ' ms'),
    run.attempt,
    run.trigger,
    CASE WHEN run.ended_at_ms IS NULL THEN 'open' ELSE coalesce(completion.outcome, 'ended without a completion') END,
    completion.delivery,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', run.claimed_at_ms / 1000.0, 'unixepoch'), run.claimed_at_ms || ' ms'),
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', run.started_at_ms / 1000.0, 'unixepoch'), run.started_at_ms || ' ms'),
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', run.ended_at_ms / 1000.0, 'unixepoch'), run.ended_at_ms || ' ms'),
    run.ended_at_ms - coalesce(run.started_at_ms, run.claimed_at_ms),
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', run.cancel_requested_at_ms / 1000.0, 'unixepoch'), run.cancel_requested_at_ms || ' ms'),
    completion.error_class,
    completion.error,
    completion.output,
    completion.delivery_attempts,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', completion.next_delivery_at_ms / 1000.0, 'unixepoch'), completion.next_delivery_at_ms || ' ms'),
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', completion.delivery_started_at_ms / 1000.0, 'unixepoch'), completion.delivery_started_at_ms || ' ms'),
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', completion.delivery_settled_at_ms / 1000.0, 'unixepoch'), completion.delivery_settled_at_ms || ' ms'),
    completion.receipt,
    completion.delivery_error,
    run.owner_id,
    run.job_revision,
    (SELECT substr(database_uuid, 1, 8) FROM mainspring_meta) || '-' || run.job_id || '-r' || run.request_id
FROM mainspring_runs AS run
LEFT JOIN mainspring_completions AS completion ON completion.run_id = run.id
WHERE run.request_id IS NOT NULL;

-- What could be claimed right now, in the order in which it is claimed. The queues are found by jumps through the
-- index, so that jobs whose time has not come are not read.
CREATE VIEW mainspring_due_view AS
WITH RECURSIVE
clock (now_ms) AS (
    SELECT CAST(round(julianday('now') * 86400000.0) AS INTEGER) - 210866760000000
),
waiting_queue (name) AS (
    SELECT min(queue) FROM mainspring_jobs WHERE ready = 0 AND claimable = 1
    UNION ALL
    SELECT (SELECT min(queue) FROM mainspring_jobs WHERE ready = 0 AND claimable = 1 AND queue > waiting_queue.name)
    FROM waiting_queue
    WHERE waiting_queue.name IS NOT NULL
),
due (id, queue, name, kind, priority, next_run_at_ms, scheduled_for_ms, attempt, requests) AS (
    SELECT job.id, job.queue, job.name, job.kind, job.priority, job.next_run_at_ms, job.scheduled_for_ms, job.attempt, job.requests
    FROM waiting_queue
    CROSS JOIN mainspring_jobs AS job
    WHERE job.ready = 0
      AND job.claimable = 1
      AND job.queue = waiting_queue.name
      AND job.next_run_at_ms <= (SELECT now_ms FROM clock)
    UNION ALL
    SELECT job.id, job.queue, job.name, job.kind, job.priority, job.next_run_at_ms, job.scheduled_for_ms, job.attempt, job.requests
    FROM mainspring_jobs AS job
    WHERE job.ready = 1
      AND job.claimable = 1
      AND job.next_run_at_ms <= (SELECT now_ms FROM clock)
)
SELECT
    due.queue,
    due.id AS job_id,
    due.name,
    due.kind,
    due.priority,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', due.next_run_at_ms / 1000.0, 'unixepoch'), due.next_run_at_ms || ' ms') AS due_at,
    (SELECT now_ms FROM clock) - due.next_run_at_ms AS late_ms,
    -- A run that was asked for is for no occurrence of the schedule.
    CASE due.requests
        WHEN 0 THEN coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', due.scheduled_for_ms / 1000.0, 'unixepoch'), due.scheduled_for_ms || ' ms')
    END AS scheduled_for,
    due.attempt,
    due.requests,
    EXISTS (SELECT 1 FROM mainspring_queues AS queue WHERE queue.name = due.queue AND queue.paused_at_ms IS NOT NULL) AS queue_is_paused
FROM due
ORDER BY due.queue, due.priority DESC, due.next_run_at_ms, due.id;

-- What is in somebody's hands, and what recovery or a person has to settle if those hands are gone.
CREATE VIEW mainspring_recovery_view AS
WITH unsettled (what, run_id, owner_id, since_ms, policy) AS (
    SELECT
        'open run',
        run.id,
        run.owner_id,
        run.claimed_at_ms,
        (SELECT 'on_interrupt ' || job.on_interrupt FROM mainspring_jobs AS job WHERE job.id = run.job_id)
    FROM mainspring_runs AS run
    WHERE run.ended_at_ms IS NULL
    UNION ALL
    SELECT 'delivery to begin', run_id, delivery_owner_id, finished_at_ms, 'on_unknown_delivery ' || on_unknown_delivery
    FROM mainspring_completions
    WHERE delivery = 'pending' AND delivery_owner_id IS NULL
    UNION ALL
    SELECT
        CASE delivery WHEN 'started' THEN 'delivery without an answer' ELSE 'delivery to begin' END,
        run_id,
        delivery_owner_id,
        coalesce(delivery_started_at_ms, finished_at_ms),
        'on_unknown_delivery ' || on_unknown_delivery
    FROM mainspring_completions
    WHERE delivery_owner_id IS NOT NULL AND delivery IN ('pending', 'started')
    UNION ALL
    SELECT 'unknown delivery', run_id, NULL, delivery_settled_at_ms, 'on_unknown_delivery ' || on_unknown_delivery
    FROM mainspring_completions
    WHERE delivery IN ('failed', 'unknown') AND delivery = 'unknown'
)
SELECT
    unsettled.what,
    unsettled.run_id,
    run.job_id,
    (SELECT job.name FROM mainspring_jobs AS job WHERE job.id = run.job_id) AS name,
    run.kind,
    run.queue,
    run.attempt,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', unsettled.since_ms / 1000.0, 'unixepoch'), unsettled.since_ms || ' ms') AS since,
    unsettled.policy,
    unsettled.owner_id,
    CASE
        WHEN unsettled.owner_id IS NULL THEN NULL
        WHEN owner.id IS NULL THEN 'no such owner'
        ELSE 'process ' || owner.pid || ' on ' || owner.host
            || CASE WHEN owner.ended_at_ms IS NULL THEN '' ELSE ', which ' || owner.end_reason END
    END AS owner
FROM unsettled
LEFT JOIN mainspring_runs AS run ON run.id = unsettled.run_id
LEFT JOIN mainspring_owners AS owner ON owner.id = unsettled.owner_id;

-- Occurrences that were not run, and why.
CREATE VIEW mainspring_miss_view AS
SELECT
    miss.id AS miss_id,
    miss.job_id,
    (SELECT job.name FROM mainspring_jobs AS job WHERE job.id = miss.job_id) AS name,
    miss.reason,
    CASE miss.exact WHEN 0 THEN 'at least ' ELSE '' END || miss.occurrences AS occurrences,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', miss.from_ms / 1000.0, 'unixepoch'), miss.from_ms || ' ms') AS first,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', miss.to_ms / 1000.0, 'unixepoch'), miss.to_ms || ' ms') AS last,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', miss.recorded_at_ms / 1000.0, 'unixepoch'), miss.recorded_at_ms || ' ms') AS recorded_at
FROM mainspring_misses AS miss;

-- Who changed what. The names are those of the time; a row without a job is about its queue.
CREATE VIEW mainspring_event_view AS
SELECT
    event.id AS event_id,
    event.job_id,
    event.name,
    event.kind,
    event.queue,
    event.event,
    event.detail,
    event.revision,
    event.made_by,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', event.at_ms / 1000.0, 'unixepoch'), event.at_ms || ' ms') AS at
FROM mainspring_events AS event;

-- One row that says whether all is well. Every count reads a partial index, and nothing is read from its rows.
CREATE VIEW mainspring_health_view AS
WITH RECURSIVE
clock (now_ms) AS (
    SELECT CAST(round(julianday('now') * 86400000.0) AS INTEGER) - 210866760000000
),
waiting_queue (name) AS (
    SELECT min(queue) FROM mainspring_jobs WHERE ready = 0 AND claimable = 1
    UNION ALL
    SELECT (SELECT min(queue) FROM mainspring_jobs WHERE ready = 0 AND claimable = 1 AND queue > waiting_queue.name)
    FROM waiting_queue
    WHERE waiting_queue.name IS NOT NULL
),
fell_due (jobs, oldest_ms) AS (
    SELECT count(*), min(job.next_run_at_ms)
    FROM waiting_queue
    CROSS JOIN mainspring_jobs AS job
    WHERE job.ready = 0
      AND job.claimable = 1
      AND job.queue = waiting_queue.name
      AND job.next_run_at_ms <= (SELECT now_ms FROM clock)
),
made_ready (jobs, oldest_ms) AS (
    SELECT count(*), min(next_run_at_ms)
    FROM mainspring_jobs
    WHERE ready = 1
      AND claimable = 1
      AND next_run_at_ms <= (SELECT now_ms FROM clock)
),
due (jobs, oldest_ms) AS (
    SELECT
        fell_due.jobs + made_ready.jobs,
        coalesce(min(fell_due.oldest_ms, made_ready.oldest_ms), fell_due.oldest_ms, made_ready.oldest_ms)
    FROM fell_due
    CROSS JOIN made_ready
),
-- Of the thousand newest runs: a longer look would read the whole history.
newest_completion (finished_at_ms) AS (
    SELECT finished_at_ms FROM mainspring_completions ORDER BY run_id DESC LIMIT 1000
),
last_completion (at_ms) AS (
    SELECT max(finished_at_ms) FROM newest_completion
)
SELECT
    strftime('%Y-%m-%dT%H:%M:%fZ', clock.now_ms / 1000.0, 'unixepoch') AS now,
    (SELECT count(*) FROM mainspring_owners WHERE ended_at_ms IS NULL) AS owners,
    (SELECT count(*) FROM mainspring_jobs WHERE ready = 0 AND claimable = 1)
        + (SELECT count(*) FROM mainspring_jobs WHERE ready = 1 AND claimable = 1) AS waiting,
    due.jobs AS due,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', due.oldest_ms / 1000.0, 'unixepoch'), due.oldest_ms || ' ms') AS oldest_due_at,
    clock.now_ms - due.oldest_ms AS oldest_due_late_ms,
    (SELECT count(*) FROM mainspring_runs WHERE ended_at_ms IS NULL) AS open_runs,
    (SELECT count(*) FROM mainspring_completions WHERE delivery = 'pending' AND delivery_owner_id IS NULL)
        + (SELECT count(*) FROM mainspring_completions WHERE delivery_owner_id IS NOT NULL AND delivery IN ('pending', 'started')) AS undelivered,
    (SELECT count(*) FROM mainspring_completions WHERE delivery IN ('failed', 'unknown') AND delivery = 'unknown') AS deliveries_unknown,
    (SELECT count(*) FROM mainspring_completions WHERE delivery IN ('failed', 'unknown') AND delivery = 'failed') AS deliveries_failed,
    (SELECT count(*) FROM mainspring_jobs WHERE parked_at_ms IS NOT NULL) AS parked,
    (SELECT count(*) FROM mainspring_jobs WHERE paused_at_ms IS NOT NULL) AS paused,
    (SELECT count(*) FROM mainspring_queues WHERE paused_at_ms IS NOT NULL) AS paused_queues,
    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', last_completion.at_ms / 1000.0, 'unixepoch'), last_completion.at_ms || ' ms') AS last_completion_at
FROM clock
CROSS JOIN due
CROSS JOIN last_completion;

-- Why each job is not running right now, or since when it is, in one sentence.
CREATE VIEW mainspring_why_view AS
WITH fact (id, is_asked_for, is_due, next_at, stop_at, queue_is_paused, queue_pause) AS (
    SELECT
        job.id,
        job.requests > 0 AND job.next_run_at_ms IS NOT NULL,
        job.next_run_at_ms <= clock.now_ms,
        coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', job.next_run_at_ms / 1000.0, 'unixepoch'), job.next_run_at_ms || ' ms'),
        (
            SELECT coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', run.cancel_requested_at_ms / 1000.0, 'unixepoch'), run.cancel_requested_at_ms || ' ms')
            FROM mainspring_runs AS run
            WHERE run.id = job.running_run_id
        ),
        queue.paused_at_ms IS NOT NULL,
        'its queue ' || job.queue || ' is paused since '
            || coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', queue.paused_at_ms / 1000.0, 'unixepoch'), queue.paused_at_ms || ' ms')
            || coalesce(' (' || queue.pause_reason || ')', '')
    FROM mainspring_jobs AS job
    CROSS JOIN (SELECT CAST(round(julianday('now') * 86400000.0) AS INTEGER) - 210866760000000 AS now_ms) AS clock
    LEFT JOIN mainspring_queues AS queue ON queue.name = job.queue
)
SELECT
    view.job_id,
    view.name,
    view.kind,
    view.queue,
    view.state,
    CASE
        WHEN view.state = 'running' AND view.open_runs > 1
            THEN view.open_runs || ' runs are open, the newest is run ' || view.running_run_id || ', running since ' || view.running_at
        WHEN view.state = 'running'
            THEN 'running since ' || view.running_at || ' as run ' || view.running_run_id || coalesce(', asked to stop at ' || fact.stop_at, '')
        WHEN fact.is_asked_for AND NOT fact.is_due
            THEN 'a run besides the schedule was asked for and waits until ' || fact.next_at
        WHEN fact.is_asked_for AND fact.queue_is_paused
            THEN 'a run besides the schedule was asked for, but ' || fact.queue_pause
        WHEN fact.is_asked_for
            THEN 'a run besides the schedule was asked for and waits for a free worker of queue ' || view.queue || ' since ' || fact.next_at
        WHEN view.state = 'parked'
            THEN 'parked since ' || view.parked_at || ' because ' || view.park_reason
        WHEN view.state = 'paused'
            THEN 'paused since ' || view.paused_at || coalesce(' because ' || view.pause_reason, '')
        WHEN view.state = 'disabled'
            THEN 'disabled by its declaration'
        WHEN view.state = 'finished'
            THEN 'finished since ' || view.finished_at || coalesce(', the last run ' || replace(view.last_outcome, '_', ' '), ', it never ran')
        WHEN view.state = 'unplanned'
            THEN 'has no next time; an engine will plan one'
        WHEN fact.is_due AND fact.queue_is_paused
            THEN 'due since ' || fact.next_at || ', but ' || fact.queue_pause
        WHEN fact.is_due AND NOT EXISTS (SELECT 1 FROM mainspring_owners WHERE ended_at_ms IS NULL)
            THEN 'due since ' || fact.next_at || ', but no engine is on record as running'
        WHEN fact.is_due
            THEN 'due since ' || fact.next_at || ' and waits for a free worker of queue ' || view.queue
        WHEN view.state = 'retrying'
            THEN 'waits until ' || fact.next_at || ' for attempt ' || view.attempt || coalesce(', the last run ' || replace(view.last_outcome, '_', ' '), '')
        ELSE 'waits until ' || fact.next_at || coalesce(' (' || view.schedule || ')', '')
    END AS why
FROM mainspring_job_view AS view
CROSS JOIN fact ON fact.id = view.job_id;
