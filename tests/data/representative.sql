-- A file with every state that a row can have, written as the library writes it. The doctor finds nothing in it,
-- every view shows it. 1767600000000 is 2026-01-05T08:00:00Z, 4102444800000 is 2100-01-01T00:00:00Z.
BEGIN;

UPDATE mainspring_meta SET database_uuid = '0123456789abcdef0123456789abcdef';

INSERT INTO mainspring_owners (id, uuid, generation, pid, host, library, started_at_ms, ended_at_ms, end_reason) VALUES
    (1, 'owner-one',   1, 101, 'desk', '0.1.0', 1767500000000, 1767590000000, 'stopped'),
    (2, 'owner-two',   1, 102, 'desk', '0.1.0', 1767590000000, 1767599000000, 'died'),
    (3, 'owner-three', 2, 103, 'desk', '0.1.0', 1767599500000, NULL,          NULL);

INSERT INTO mainspring_writers (id, transaction_no, written_at_ms) VALUES (3, 42, 1767600000123);

INSERT INTO mainspring_queues (name, paused_at_ms, pause_reason) VALUES
    ('mail',    1767598000000, 'the mail server moves'),
    ('reports', 1767598000000, NULL),
    ('default', NULL, NULL);

INSERT INTO mainspring_calendars (name, definition, updated_at_ms) VALUES ('holidays', '{"dates":["2026-12-25"]}', 1767500000000);

-- Recurring, waits for tomorrow; its last run was delivered.
INSERT INTO mainspring_jobs (id, name, kind, args, declared_by, schedule_kind, schedule_text, time_zone, on_interrupt, on_unknown_delivery,
    schedule_activated_at_ms, next_run_at_ms, scheduled_for_ms, last_run_at_ms, last_scheduled_for_ms, last_outcome, runs_started,
    created_at_ms, updated_at_ms)
VALUES (1, 'morning-briefing', 'briefing', '{"channel":"ops"}', 'app', 'cron', '0 8 * * *', 'Europe/Berlin', 'assume_ran', 'hold',
    1767500000000, 4102444800000, 4102444800000, 1767596400005, 1767596400000, 'succeeded', 3, 1767500000000, 1767500000000);

-- Recurring, running, its next occurrence planned.
INSERT INTO mainspring_jobs (id, name, kind, schedule_kind, every_ms, anchor_ms, on_interrupt, on_unknown_delivery,
    schedule_activated_at_ms, next_run_at_ms, scheduled_for_ms, open_runs, running_at_ms, running_run_id, last_run_at_ms,
    last_scheduled_for_ms, runs_started, created_at_ms, updated_at_ms)
VALUES (2, 'health-check', 'health', 'every', 90500, 1767600000000, 'assume_ran', 'hold',
    1767500000000, 4102444800000, 4102444800000, 1, 1767600000007, 20, 1767600000007, 1767600000000, 1, 1767500000000, 1767500000000);

-- Ran once and is finished.
INSERT INTO mainspring_jobs (id, kind, unique_key, at_ms, schedule_activated_at_ms, last_run_at_ms, last_scheduled_for_ms, last_outcome,
    runs_started, created_at_ms, updated_at_ms, finished_at_ms)
VALUES (3, 'resize', 'a.png', 1767590000000, 1767590000000, 1767590000003, 1767590000000, 'succeeded', 1, 1767590000000, 1767590000000, 1767590001000);

-- Due: made ready by a claim that had no free slot, and not yet seen by a claim.
INSERT INTO mainspring_jobs (id, kind, unique_key, priority, at_ms, schedule_activated_at_ms, next_run_at_ms, scheduled_for_ms, ready, created_at_ms, updated_at_ms)
VALUES (4, 'resize', 'a.png', 5, 1767599990000, 1767599990000, 1767599990000, 1767599990000, 1, 1767599990000, 1767599990000),
       (5, 'resize', NULL,    0, 1767599991000, 1767599991000, 1767599991000, 1767599991000, 0, 1767599991000, 1767599991000);

-- The first attempt failed, the second waits.
INSERT INTO mainspring_jobs (id, kind, at_ms, schedule_activated_at_ms, next_run_at_ms, scheduled_for_ms, attempt, last_run_at_ms,
    last_scheduled_for_ms, last_outcome, runs_started, failures_in_a_row, created_at_ms, updated_at_ms)
VALUES (6, 'fetch', 1767599000000, 1767599000000, 4102444800000, 1767599000000, 2, 1767599000002, 1767599000000, 'failed', 1, 0, 1767599000000, 1767599000000);

-- Paused, parked, disabled.
INSERT INTO mainspring_jobs (id, name, kind, schedule_kind, schedule_text, schedule_activated_at_ms, next_run_at_ms, scheduled_for_ms,
    enabled, paused_at_ms, pause_reason, parked_at_ms, park_reason, created_at_ms, updated_at_ms)
VALUES (7, 'paused-one',   'report', 'cron', '@hourly', 1767500000000, 1767599940000, 1767599940000, 1, 1767599000000, 'the disk is full', NULL, NULL, 1767500000000, 1767500000000),
       (8, 'parked-one',   'report', 'cron', '@hourly', 1767500000000, 1767599940000, 1767599940000, 1, NULL, NULL, 1767599000000, 'three interruptions in a row', 1767500000000, 1767500000000),
       (9, 'disabled-one', 'report', 'cron', '@hourly', 1767500000000, 1767599940000, 1767599940000, 0, NULL, NULL, NULL, NULL, 1767500000000, 1767500000000);

-- A run by hand of a recurring job, and one of a paused job, and a past range.
INSERT INTO mainspring_jobs (id, name, kind, schedule_kind, every_ms, anchor_ms, schedule_activated_at_ms, next_run_at_ms, scheduled_for_ms,
    requests, planned_run_at_ms, paused_at_ms, created_at_ms, updated_at_ms)
VALUES (10, 'by-hand',        'report', 'every',      3600000, 1767600000000, 1767500000000, 1767599999000, 4102444800000, 1, 4102444800000, NULL,          1767500000000, 1767500000000),
       (15, 'paused-by-hand', 'report', 'after_each', 3600000, NULL,          1767500000000, 4102444800000, 4102444900000, 2, 4102444900000, 1767599000000, 1767500000000, 1767500000000);
INSERT INTO mainspring_requests (id, job_id, trigger, scheduled_for_ms, attempt, run_at_ms, request_key, requested_at_ms)
VALUES (1, 10, 'manual',   1767599999000, 1, 1767599999000, NULL, 1767599999000),
       (2, 15, 'backfill', 1767500000000, 1, 4102444800000, NULL, 1767599999000),
       (3, 15, 'manual',   1767599000000, 2, 4102444800000, 7,    1767599999000);

-- Due in a paused queue; no next time; two open runs of three; an open run that the next occurrence asked to stop.
INSERT INTO mainspring_jobs (id, kind, queue, at_ms, schedule_activated_at_ms, next_run_at_ms, scheduled_for_ms, created_at_ms, updated_at_ms)
VALUES (11, 'send', 'mail', 1767599000000, 1767599000000, 1767599000000, 1767599000000, 1767599000000, 1767599000000);
INSERT INTO mainspring_jobs (id, name, kind, schedule_kind, schedule_text, schedule_activated_at_ms, created_at_ms, updated_at_ms)
VALUES (12, 'unplanned-one', 'report', 'cron', '@daily', 1767500000000, 1767500000000, 1767500000000);
INSERT INTO mainspring_jobs (id, name, kind, schedule_kind, every_ms, anchor_ms, overlap, max_open_runs, schedule_activated_at_ms, next_run_at_ms,
    scheduled_for_ms, open_runs, running_at_ms, running_run_id, superseded_at_ms, last_run_at_ms, last_scheduled_for_ms, runs_started, created_at_ms, updated_at_ms)
VALUES (13, 'three-at-once', 'crawl', 'every', 1000, 0, 'allow', 3, 1767500000000, 4102444800000, 4102444800000, 2, 1767599998000, 22, NULL, 1767599998000, 1767599998000, 2, 1767500000000, 1767500000000),
       (14, 'newest-wins',   'crawl', 'every', 1000, 0, 'cancel_running', 1, 1767500000000, 1767599999000, 1767599999000, 1, 1767599998000, 23, 1767599999000, 1767599998000, 1767599998000, 1, 1767500000000, 1767500000000);

-- Runs that ended: two attempts of one occurrence, every outcome, a run by hand, one whose job was removed.
INSERT INTO mainspring_runs (id, job_id, job_revision, kind, queue, scheduled_for_ms, attempt, trigger, request_id, owner_id, claimed_at_ms, started_at_ms, ended_at_ms) VALUES
    ( 1,  1, 1, 'briefing', 'default', 1767423600000, 1, 'catch_up', NULL, 1, 1767500000001, 1767500000002, 1767500000100),
    ( 2,  1, 1, 'briefing', 'default', 1767510000000, 1, 'schedule', NULL, 2, 1767510000001, NULL,          1767599500000),
    ( 3,  1, 1, 'briefing', 'default', 1767596400000, 1, 'schedule', NULL, 2, 1767596400001, 1767596400002, 1767596400003),
    ( 4,  1, 1, 'briefing', 'default', 1767596400000, 2, 'retry',    NULL, 3, 1767596400005, 1767596400006, 1767596400900),
    ( 5,  3, 1, 'resize',   'default', 1767590000000, 1, 'schedule', NULL, 1, 1767590000003, 1767590000004, 1767590001000),
    ( 6,  6, 1, 'fetch',    'default', 1767599000000, 1, 'schedule', NULL, 2, 1767599000002, 1767599000003, 1767599000400),
    ( 7, 10, 1, 'report',   'default', 1767598000000, 1, 'manual',   1767, 3, 1767598000001, 1767598000002, 1767598000400),
    ( 8, 99, 2, 'export',   'default', 1767520000000, 1, 'schedule', NULL, 1, 1767520000001, 1767520000002, 1767520000300),
    ( 9, 99, 2, 'export',   'default', 1767530000000, 1, 'schedule', NULL, 1, 1767530000001, 1767530000002, 1767530000300),
    (10, 99, 2, 'export',   'default', 1767540000000, 1, 'schedule', NULL, 1, 1767540000001, 1767540000002, 1767540000300),
    (11, 99, 2, 'export',   'default', 1767550000000, 1, 'schedule', NULL, 1, 1767550000001, 1767550000002, 1767550000300),
    (12, 99, 2, 'export',   'default', 1767560000000, 1, 'schedule', NULL, 1, 1767560000001, 1767560000002, 1767560000300);

INSERT INTO mainspring_completions (run_id, outcome, finished_at_ms, output, error, error_class, delivery, delivery_queue, on_unknown_delivery,
    delivery_owner_id, delivery_attempts, next_delivery_at_ms, delivery_started_at_ms, delivery_settled_at_ms, receipt, delivery_error) VALUES
    ( 1, 'succeeded',   1767500000099, '"Good morning"', NULL, NULL, 'delivered',     'default', 'hold',   NULL, 1, NULL,          1767500000150, 1767500000250, '"line 1"', NULL),
    ( 2, 'interrupted', 1767599500000, NULL, 'its owner died', 'owner_died', 'not_requested', NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL),
    ( 3, 'failed',      1767596400003, NULL, 'no agenda', 'retryable', 'not_requested', NULL, NULL,       NULL, 0, NULL, NULL, NULL, NULL, NULL),
    ( 4, 'succeeded',   1767596400900, '"Good morning"', NULL, NULL, 'unknown',       'default', 'hold',   NULL, 1, NULL,          1767596400950, 1767599500000, NULL, 'the process died'),
    ( 5, 'succeeded',   1767590001000, '{"width":64}', NULL, NULL,   'not_requested', NULL, NULL,          NULL, 0, NULL, NULL, NULL, NULL, NULL),
    ( 6, 'timed_out',   1767599000400, NULL, 'took longer than 300 ms', 'timeout', 'not_requested', NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL),
    ( 7, 'succeeded',   1767598000400, '"a report"', NULL, NULL,     'started',       'default', 'resend', 3,    2, NULL,          1767598000500, NULL,          NULL, 'connection reset'),
    ( 8, 'succeeded',   1767520000300, '"an export"', NULL, NULL,    'pending',       'default', 'resend', NULL, 1, 4102444800000, 1767520000350, NULL,          NULL, 'connection refused'),
    ( 9, 'succeeded',   1767530000300, '"an export"', NULL, NULL,    'failed',        'default', 'resend', NULL, 3, NULL,          1767530000350, 1767530009999, NULL, 'no such address'),
    (10, 'succeeded',   1767540000300, '"an export"', NULL, NULL,    'suppressed',    'default', 'hold',   NULL, 0, NULL,          NULL,          1767540000301, NULL, 'too late'),
    (11, 'cancelled',   1767550000300, NULL, 'cancelled by hand', 'cancelled', 'not_requested', NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL),
    (12, 'skipped',     1767560000300, NULL, 'snoozed', NULL,        'not_requested', NULL, NULL,          NULL, 0, NULL, NULL, NULL, NULL, NULL);

-- Open runs; the last one belongs to a job that was removed while it ran.
INSERT INTO mainspring_runs (id, job_id, job_revision, kind, queue, scheduled_for_ms, attempt, trigger, request_id, owner_id, claimed_at_ms, cancel_requested_at_ms) VALUES
    (20,  2, 1, 'health', 'default', 1767600000000, 1, 'schedule', NULL, 3, 1767600000007, NULL),
    (21, 13, 1, 'crawl',  'default', 1767599997000, 1, 'schedule', NULL, 3, 1767599997000, NULL),
    (22, 13, 1, 'crawl',  'default', 1767599998000, 1, 'schedule', NULL, 3, 1767599998000, NULL),
    (23, 14, 1, 'crawl',  'default', 1767599998000, 1, 'schedule', NULL, 3, 1767599998000, 1767599999000),
    (24, 98, 1, 'crawl',  'default', 1767599999000, 1, 'backfill', 8,    3, 1767599999000, NULL);

INSERT INTO mainspring_late_results (run_id, arrived_at_ms, outcome, output) VALUES (2, 1767599600000, 'succeeded', '"Good morning"');

INSERT INTO mainspring_misses (job_id, from_ms, to_ms, occurrences, exact, reason, recorded_at_ms) VALUES
    ( 1, 1767420000000, 1767423500000, 8, 1, 'downtime',  1767500000000),
    ( 1, 1767423550000, 1767423550000, 1, 1, 'coalesced', 1767500000000),
    (13, 1767599000000, 1767599000000, 1, 1, 'overlap',   1767599100000),
    ( 7, 1767596400000, 1767596400000, 1, 1, 'paused',    1767599100000),
    ( 6, 1767590000000, 1767590000000, 1, 1, 'expired',   1767599100000),
    ( 2, 1767000000000, 1767500000000, 5000, 0, 'excluded', 1767599100000);

-- What was done to the queues above has left its events, at the time at which this is read.
DELETE FROM mainspring_events;
INSERT INTO mainspring_events (id, job_id, name, kind, queue, event, revision, at_ms, made_by, detail) VALUES
    (1, NULL, NULL,               NULL,       'mail',    'paused',      NULL, 1767598000000, 'library', 'the mail server moves'),
    (2, NULL, NULL,               NULL,       'reports', 'paused',      NULL, 1767598000000, 'library', NULL),
    (3, 1,    'morning-briefing', 'briefing', 'default', 'added',       1,    1767500000000, 'library', NULL),
    (4, 1,    'morning-briefing', 'briefing', 'default', 'rescheduled', 1,    1767510000000, 'sql',     '{"schedule_text":["0 7 * * *","0 8 * * *"]}'),
    (5, 7,    'paused-one',       'report',   'default', 'paused',      1,    1767599000000, 'library', 'the disk is full'),
    (6, 8,    'parked-one',       'report',   'default', 'parked',      1,    1767599000000, 'library', 'three interruptions in a row'),
    (7, 99,   'export',           'export',   'default', 'removed',     2,    1767561000000, 'library', NULL);

COMMIT;
