//! The list. Each query returns one column `detail` that names the row, and at most 20 rows.

/// A sentence and the query that returns the rows for which it is not true.
pub(super) struct Invariant {
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
}

/// What SQLite itself says about the file. A word of its own, since it reads every page.
pub(super) const SOUND_FILE: Invariant = Invariant {
    name: "the_file_is_sound",
    sql: "
        SELECT integrity_check AS detail
        FROM pragma_integrity_check
        WHERE integrity_check <> 'ok'
        LIMIT 20",
};

/// Everything that the constraints of the schema cannot say by themselves.
pub(super) const INVARIANTS: &[Invariant] = &[
    // Runs and completions.
    Invariant {
        name: "an_ended_run_has_its_completion",
        sql: "
            SELECT 'run ' || run.id || ' ended at ' || run.ended_at_ms || ' and has no completion' AS detail
            FROM mainspring_runs AS run
            WHERE run.ended_at_ms IS NOT NULL
              AND NOT EXISTS (SELECT 1 FROM mainspring_completions AS completion WHERE completion.run_id = run.id)
            LIMIT 20",
    },
    Invariant {
        name: "an_open_run_has_no_completion",
        sql: "
            SELECT 'run ' || run.id || ' is open and has a completion: ' || completion.outcome AS detail
            FROM mainspring_runs AS run
            JOIN mainspring_completions AS completion ON completion.run_id = run.id
            WHERE run.ended_at_ms IS NULL
            LIMIT 20",
    },
    Invariant {
        name: "a_completion_belongs_to_a_run",
        sql: "
            SELECT 'the completion of run ' || completion.run_id || ' has no run' AS detail
            FROM mainspring_completions AS completion
            WHERE NOT EXISTS (SELECT 1 FROM mainspring_runs AS run WHERE run.id = completion.run_id)
            LIMIT 20",
    },
    // A job and its open runs.
    Invariant {
        name: "open_runs_counts_the_open_runs",
        sql: "
            SELECT 'job ' || job.id || ' counts ' || job.open_runs || ' open runs, there are ' || coalesce(open.runs, 0) AS detail
            FROM mainspring_jobs AS job
            LEFT JOIN (
                SELECT job_id, count(*) AS runs
                FROM mainspring_runs
                WHERE ended_at_ms IS NULL
                GROUP BY job_id
            ) AS open ON open.job_id = job.id
            WHERE job.open_runs <> coalesce(open.runs, 0)
            LIMIT 20",
    },
    Invariant {
        name: "running_names_the_newest_open_run",
        sql: "
            SELECT 'job ' || job.id || ' names run ' || job.running_run_id || ', its newest open run is '
                || coalesce(open.newest, 'none') AS detail
            FROM mainspring_jobs AS job
            LEFT JOIN (
                SELECT job_id, max(id) AS newest
                FROM mainspring_runs
                WHERE ended_at_ms IS NULL
                GROUP BY job_id
            ) AS open ON open.job_id = job.id
            WHERE job.running_run_id IS NOT NULL
              AND coalesce(open.newest, 0) <> job.running_run_id
            LIMIT 20",
    },
    Invariant {
        name: "no_more_runs_are_open_than_may_be",
        sql: "
            SELECT 'job ' || job.id || ' has ' || count(*) || ' open runs, at most ' || job.max_open_runs || ' may be' AS detail
            FROM mainspring_runs AS run
            JOIN mainspring_jobs AS job ON job.id = run.job_id
            WHERE run.ended_at_ms IS NULL
            GROUP BY job.id
            HAVING count(*) > job.max_open_runs
            LIMIT 20",
    },
    Invariant {
        name: "only_allow_lets_runs_overlap",
        sql: "
            SELECT 'job ' || id || ' has overlap ' || overlap || ' and lets ' || max_open_runs || ' runs be open' AS detail
            FROM mainspring_jobs
            WHERE overlap <> 'allow'
              AND max_open_runs <> 1
            LIMIT 20",
    },
    Invariant {
        name: "a_superseded_job_runs",
        sql: "
            SELECT 'job ' || id || ' asked a run to stop at ' || superseded_at_ms || ' and has none' AS detail
            FROM mainspring_jobs
            WHERE superseded_at_ms IS NOT NULL
              AND open_runs = 0
            LIMIT 20",
    },
    // Owners.
    Invariant {
        name: "an_open_run_has_a_living_owner",
        sql: "
            SELECT 'run ' || run.id || ' is open, its owner ' || run.owner_id || ' '
                || coalesce(owner.end_reason, 'is not on record') AS detail
            FROM mainspring_runs AS run
            LEFT JOIN mainspring_owners AS owner ON owner.id = run.owner_id
            WHERE run.ended_at_ms IS NULL
              AND (owner.id IS NULL OR owner.ended_at_ms IS NOT NULL)
            LIMIT 20",
    },
    Invariant {
        name: "a_delivery_in_hand_has_a_living_owner",
        sql: "
            SELECT 'the delivery of run ' || completion.run_id || ' is ' || completion.delivery || ', its owner '
                || completion.delivery_owner_id || ' ' || coalesce(owner.end_reason, 'is not on record') AS detail
            FROM mainspring_completions AS completion
            LEFT JOIN mainspring_owners AS owner ON owner.id = completion.delivery_owner_id
            WHERE completion.delivery_owner_id IS NOT NULL
              AND completion.delivery IN ('pending', 'started')
              AND (owner.id IS NULL OR owner.ended_at_ms IS NOT NULL)
            LIMIT 20",
    },
    // Rows that match an index but not its reader's filter would make recovery slower with every run.
    Invariant {
        name: "a_settled_delivery_is_in_no_hand",
        sql: "
            SELECT 'the delivery of run ' || run_id || ' is ' || delivery || ' and still held by owner ' || delivery_owner_id AS detail
            FROM mainspring_completions
            WHERE delivery_owner_id IS NOT NULL
              AND delivery NOT IN ('pending', 'started')
            LIMIT 20",
    },
    // Requests.
    Invariant {
        name: "requests_counts_the_requests",
        sql: "
            SELECT 'job ' || job.id || ' counts ' || job.requests || ' requests, there are ' || coalesce(asked.requests, 0) AS detail
            FROM mainspring_jobs AS job
            LEFT JOIN (
                SELECT job_id, count(*) AS requests
                FROM mainspring_requests
                GROUP BY job_id
            ) AS asked ON asked.job_id = job.id
            WHERE job.requests <> coalesce(asked.requests, 0)
            LIMIT 20",
    },
    Invariant {
        name: "a_request_does_not_hold_back_the_schedule",
        sql: "
            SELECT 'job ' || id || ' has its own run at ' || planned_run_at_ms || ' and waits until ' || next_run_at_ms AS detail
            FROM mainspring_jobs
            WHERE requests > 0
              AND planned_run_at_ms < next_run_at_ms
              AND enabled = 1
              AND paused_at_ms IS NULL
              AND parked_at_ms IS NULL
            LIMIT 20",
    },
    Invariant {
        name: "a_request_belongs_to_a_job",
        sql: "
            SELECT 'request ' || request.id || ' is for job ' || request.job_id || ', which does not exist' AS detail
            FROM mainspring_requests AS request
            WHERE NOT EXISTS (SELECT 1 FROM mainspring_jobs AS job WHERE job.id = request.job_id)
            LIMIT 20",
    },
    // What may be claimed.
    Invariant {
        name: "a_requested_run_has_a_time",
        sql: "
            SELECT 'job ' || id || ' is finished, was asked for ' || requests || ' more runs and has no next time' AS detail
            FROM mainspring_jobs
            WHERE requests > 0
              AND next_run_at_ms IS NULL
              AND finished_at_ms IS NOT NULL
              AND open_runs = 0
            LIMIT 20",
    },
    Invariant {
        name: "a_finished_job_waits_for_nothing",
        sql: "
            SELECT 'job ' || id || ' is finished and waits for '
                || coalesce('occurrence ' || scheduled_for_ms, 'its schedule at ' || planned_run_at_ms, next_run_at_ms) AS detail
            FROM mainspring_jobs
            WHERE finished_at_ms IS NOT NULL
              AND (
                  scheduled_for_ms IS NOT NULL
                  OR planned_run_at_ms IS NOT NULL
                  OR (next_run_at_ms IS NOT NULL AND requests = 0)
              )
            LIMIT 20",
    },
    Invariant {
        name: "a_ready_job_has_a_next_run",
        sql: "
            SELECT 'job ' || id || ' is ready for a run that it does not have' AS detail
            FROM mainspring_jobs
            WHERE ready = 1
              AND (next_run_at_ms IS NULL OR (scheduled_for_ms IS NULL AND requests = 0))
            LIMIT 20",
    },
    // Otherwise each claim of the job would fail on the unique index, for ever.
    Invariant {
        name: "the_next_attempt_is_a_new_one",
        sql: "
            SELECT 'job ' || job.id || ' waits for attempt ' || job.attempt || ' at ' || job.scheduled_for_ms || ', run '
                || run.id || ' was attempt ' || run.attempt AS detail
            FROM mainspring_jobs AS job
            JOIN mainspring_runs AS run
              ON run.job_id = job.id
             AND run.scheduled_for_ms = job.scheduled_for_ms
             AND run.attempt >= job.attempt
             AND run.request_id IS NULL
            UNION ALL
            SELECT 'request ' || request.id || ' waits for attempt ' || request.attempt || ', run ' || run.id
                || ' was attempt ' || run.attempt
            FROM mainspring_requests AS request
            JOIN mainspring_runs AS run
              ON run.job_id = request.job_id
             AND run.request_id = coalesce(request.request_key, request.id)
             AND run.attempt >= request.attempt
            LIMIT 20",
    },
    Invariant {
        name: "a_schedule_is_complete",
        sql: "
            SELECT 'job ' || id || ' has an ' || schedule_kind || ' schedule without its interval or text' AS detail
            FROM mainspring_jobs
            WHERE (schedule_kind IN ('every', 'after_each') AND every_ms IS NULL)
               OR (schedule_kind = 'cron' AND schedule_text IS NULL)
            LIMIT 20",
    },
    // Occurrences. Old attempts may have been pruned, so the first one on record need not be the first.
    Invariant {
        name: "attempts_have_no_gaps",
        sql: "
            SELECT 'job ' || job_id || ', occurrence ' || scheduled_for_ms || ': ' || count(*) || ' runs for attempts '
                || min(attempt) || ' to ' || max(attempt) AS detail
            FROM mainspring_runs
            WHERE request_id IS NULL
            GROUP BY job_id, scheduled_for_ms
            HAVING count(*) <> max(attempt) - min(attempt) + 1
            UNION ALL
            SELECT 'job ' || job_id || ', request ' || request_id || ': ' || count(*) || ' runs for attempts '
                || min(attempt) || ' to ' || max(attempt)
            FROM mainspring_runs
            WHERE request_id IS NOT NULL
            GROUP BY job_id, request_id
            HAVING count(*) <> max(attempt) - min(attempt) + 1
            LIMIT 20",
    },
    Invariant {
        name: "an_occurrence_succeeds_once",
        sql: "
            SELECT 'job ' || run.job_id || ', occurrence ' || run.scheduled_for_ms || ' succeeded ' || count(*) || ' times' AS detail
            FROM mainspring_runs AS run
            JOIN mainspring_completions AS completion ON completion.run_id = run.id
            WHERE run.request_id IS NULL
              AND completion.outcome = 'succeeded'
            GROUP BY run.job_id, run.scheduled_for_ms
            HAVING count(*) > 1
            UNION ALL
            SELECT 'job ' || run.job_id || ', request ' || run.request_id || ' succeeded ' || count(*) || ' times'
            FROM mainspring_runs AS run
            JOIN mainspring_completions AS completion ON completion.run_id = run.id
            WHERE run.request_id IS NOT NULL
              AND completion.outcome = 'succeeded'
            GROUP BY run.job_id, run.request_id
            HAVING count(*) > 1
            LIMIT 20",
    },
    // One that was missed may be backfilled, or tried again by hand.
    Invariant {
        name: "an_occurrence_is_run_or_missed",
        sql: "
            SELECT 'job ' || miss.job_id || ', occurrence ' || run.scheduled_for_ms || ' was run (run ' || run.id
                || ') and is on record as missed (' || miss.reason || ')' AS detail
            FROM mainspring_misses AS miss
            JOIN mainspring_runs AS run
              ON run.job_id = miss.job_id
             AND run.scheduled_for_ms BETWEEN miss.from_ms AND miss.to_ms
             AND run.request_id IS NULL
             AND run.trigger <> 'backfill'
            LIMIT 20",
    },
    // The file.
    Invariant {
        name: "the_file_has_its_meta_row",
        sql: "
            SELECT 'mainspring_meta has no row' AS detail
            WHERE NOT EXISTS (SELECT 1 FROM mainspring_meta WHERE id = 1)",
    },
    Invariant {
        name: "foreign_keys_hold",
        sql: r"
            SELECT violation.'table' || ' row ' || coalesce(violation.rowid, '?') || ' refers to a row of '
                || violation.parent || ' that does not exist' AS detail
            FROM pragma_foreign_key_check AS violation
            WHERE violation.'table' LIKE 'mainspring\_%' ESCAPE '\'
            LIMIT 20",
    },
];
