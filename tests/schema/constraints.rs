//! Edits by hand that would break a promise are refused, and the message names the rule.

use std::collections::BTreeSet;

use super::{File, names_after, schema_text};

/// Each named CHECK with an edit of the representative rows that it must refuse.
const REFUSED_BY_CHECK: &[(&str, &str)] = &[
    ("meta_is_one_row", "UPDATE mainspring_meta SET id = 2"),
    ("name_has_1_to_200_characters", "UPDATE mainspring_jobs SET name = '' WHERE id = 1"),
    ("kind_has_1_to_200_characters", "UPDATE mainspring_jobs SET kind = hex(zeroblob(101)) WHERE id = 1"),
    ("queue_has_1_to_200_characters", "UPDATE mainspring_jobs SET queue = '' WHERE id = 1"),
    ("priority_is_within_1000_of_zero", "UPDATE mainspring_jobs SET priority = 1001 WHERE id = 1"),
    ("args_are_json", "UPDATE mainspring_jobs SET args = '{channel: ops' WHERE id = 1"),
    ("policies_are_json", "UPDATE mainspring_jobs SET policies = '' WHERE id = 1"),
    ("schedule_kind_is_known", "UPDATE mainspring_jobs SET schedule_kind = 'monthly' WHERE id = 1"),
    ("at_has_its_instant", "UPDATE mainspring_jobs SET at_ms = NULL WHERE id = 4"),
    ("every_has_an_interval", "UPDATE mainspring_jobs SET every_ms = 0 WHERE id = 2"),
    ("cron_has_its_text", "UPDATE mainspring_jobs SET schedule_text = '' WHERE id = 1"),
    ("on_interrupt_is_known", "UPDATE mainspring_jobs SET on_interrupt = 'retry' WHERE id = 1"),
    ("on_unknown_delivery_is_known", "UPDATE mainspring_jobs SET on_unknown_delivery = 'drop' WHERE id = 1"),
    ("overlap_is_known", "UPDATE mainspring_jobs SET overlap = 'queue_all' WHERE id = 1"),
    ("at_least_one_run_may_be_open", "UPDATE mainspring_jobs SET max_open_runs = 0 WHERE id = 1"),
    ("enabled_is_0_or_1", "UPDATE mainspring_jobs SET enabled = 2 WHERE id = 1"),
    ("a_parked_job_says_why", "UPDATE mainspring_jobs SET parked_at_ms = 1767600000000 WHERE id = 1"),
    ("a_pause_reason_needs_a_pause", "UPDATE mainspring_jobs SET paused_at_ms = NULL WHERE id = 7"),
    ("next_run_is_after_1970", "UPDATE mainspring_jobs SET next_run_at_ms = 0 WHERE id = 1"),
    ("next_run_names_its_occurrence", "UPDATE mainspring_jobs SET scheduled_for_ms = NULL WHERE id = 1"),
    ("attempts_count_from_one", "UPDATE mainspring_jobs SET attempt = 0 WHERE id = 1"),
    (
        "what_follows_waits_for_an_attempt",
        "UPDATE mainspring_jobs SET then_run_at_ms = 1767600000000 WHERE id = 6",
    ),
    ("only_a_next_run_can_be_ready", "UPDATE mainspring_jobs SET ready = 1 WHERE id = 3"),
    ("requests_are_not_negative", "UPDATE mainspring_jobs SET requests = -1 WHERE id = 1"),
    (
        "a_planned_time_waits_for_requests",
        "UPDATE mainspring_jobs SET planned_run_at_ms = 1767600000000 WHERE id = 1",
    ),
    ("running_names_its_run", "UPDATE mainspring_jobs SET running_at_ms = NULL WHERE id = 2"),
    ("open_runs_are_running", "UPDATE mainspring_jobs SET open_runs = 0 WHERE id = 2"),
    ("open_runs_stay_within_their_limit", "UPDATE mainspring_jobs SET open_runs = 2 WHERE id = 2"),
    ("only_allow_opens_several_runs", "UPDATE mainspring_jobs SET max_open_runs = 2 WHERE id = 1"),
    ("only_a_running_job_is_superseded", "UPDATE mainspring_jobs SET superseded_at_ms = 1 WHERE id = 1"),
    ("last_outcome_is_known", "UPDATE mainspring_jobs SET last_outcome = 'fine' WHERE id = 1"),
    (
        "a_finished_job_has_no_occurrence",
        "UPDATE mainspring_jobs SET finished_at_ms = 1767600000000 WHERE id = 1",
    ),
    ("request_trigger_is_known", "UPDATE mainspring_requests SET trigger = 'schedule'"),
    ("request_attempts_from_one", "UPDATE mainspring_requests SET attempt = 0"),
    ("run_attempts_count_from_one", "UPDATE mainspring_runs SET attempt = 0 WHERE id = 20"),
    ("run_trigger_is_known", "UPDATE mainspring_runs SET trigger = 'whim' WHERE id = 20"),
    (
        "outcome_is_known",
        "INSERT INTO mainspring_completions (run_id, outcome, finished_at_ms) VALUES (20, 'fine', 1)",
    ),
    ("delivery_is_known", "UPDATE mainspring_completions SET delivery = 'sent' WHERE run_id = 8"),
    (
        "completion_policy_is_known",
        "UPDATE mainspring_completions SET on_unknown_delivery = 'drop' WHERE run_id = 8",
    ),
    (
        "only_success_is_delivered",
        "INSERT INTO mainspring_completions (run_id, outcome, finished_at_ms, delivery, delivery_queue,
             on_unknown_delivery, next_delivery_at_ms)
         VALUES (20, 'failed', 1, 'pending', 'default', 'hold', 1)",
    ),
    (
        "a_delivery_names_its_queue",
        "UPDATE mainspring_completions SET delivery_queue = NULL WHERE run_id = 8",
    ),
    ("pending_has_a_time", "UPDATE mainspring_completions SET next_delivery_at_ms = NULL WHERE run_id = 8"),
    (
        "started_names_its_owner",
        "UPDATE mainspring_completions SET delivery_owner_id = NULL WHERE run_id = 7",
    ),
    ("delivered_has_a_time", "UPDATE mainspring_completions SET delivery = 'delivered' WHERE run_id = 7"),
    ("a_miss_ends_after_it_begins", "UPDATE mainspring_misses SET to_ms = from_ms - 1 WHERE id = 1"),
    ("a_miss_counts_something", "UPDATE mainspring_misses SET occurrences = 0 WHERE id = 1"),
    ("miss_reason_is_known", "UPDATE mainspring_misses SET reason = 'laziness' WHERE id = 1"),
    ("an_event_is_of_a_job_or_a_queue", "UPDATE mainspring_events SET job_id = NULL WHERE id = 5"),
    ("event_is_known", "UPDATE mainspring_events SET event = 'touched' WHERE id = 5"),
    ("event_maker_is_known", "UPDATE mainspring_events SET made_by = 'me' WHERE id = 5"),
    (
        "end_reason_is_known",
        "UPDATE mainspring_owners SET ended_at_ms = 1767600000000, end_reason = 'tired' WHERE id = 3",
    ),
    ("an_end_says_how", "UPDATE mainspring_owners SET ended_at_ms = 1767600000000 WHERE id = 3"),
    ("calendar_definition_is_json", "UPDATE mainspring_calendars SET definition = 'holidays'"),
];

/// Each trigger that refuses, by the first word of its message.
const REFUSED_BY_TRIGGER: &[(&str, &str)] = &[
    (
        "a_completion_keeps_its_outcome",
        "UPDATE mainspring_completions SET outcome = 'failed' WHERE run_id = 1",
    ),
    (
        "a_completion_keeps_its_outcome",
        "UPDATE mainspring_completions SET output = '\"other\"' WHERE run_id = 1",
    ),
    (
        "a_settled_delivery_stays_settled",
        "UPDATE mainspring_completions SET delivery = 'pending', next_delivery_at_ms = 1 WHERE run_id = 1",
    ),
    (
        "a_settled_delivery_stays_settled",
        "UPDATE mainspring_completions SET delivery = 'delivered', delivery_settled_at_ms = 1 WHERE run_id = 10",
    ),
    ("an_ended_run_stays_ended", "UPDATE mainspring_runs SET ended_at_ms = NULL WHERE id = 1"),
    ("an_ended_run_stays_ended", "UPDATE mainspring_runs SET cancel_requested_at_ms = 1 WHERE id = 1"),
    ("an_open_run_is_not_deleted", "DELETE FROM mainspring_runs WHERE id = 20"),
    ("an_unsettled_delivery_is_not_deleted", "DELETE FROM mainspring_completions WHERE run_id = 8"),
    ("an_unsettled_delivery_is_not_deleted", "DELETE FROM mainspring_completions WHERE run_id = 7"),
];

/// Each unique index with an edit that it must refuse; SQLite names the columns.
const REFUSED_AS_DUPLICATE: &[(&str, &str, &str)] = &[
    ("mainspring_jobs_name", "mainspring_jobs.name", "UPDATE mainspring_jobs SET name = 'health-check' WHERE id = 1"),
    (
        "mainspring_jobs_unique_key",
        "mainspring_jobs.kind, mainspring_jobs.unique_key",
        "UPDATE mainspring_jobs SET unique_key = 'a.png' WHERE id = 5",
    ),
    (
        "mainspring_runs_occurrence",
        "mainspring_runs.job_id, mainspring_runs.scheduled_for_ms, mainspring_runs.attempt",
        "INSERT INTO mainspring_runs (job_id, job_revision, kind, queue, scheduled_for_ms, attempt, trigger, owner_id, claimed_at_ms)
         VALUES (1, 1, 'briefing', 'default', 1767596400000, 2, 'catch_up', 3, 1767600000000)",
    ),
    (
        "mainspring_runs_request",
        "mainspring_runs.job_id, mainspring_runs.request_id, mainspring_runs.attempt",
        "INSERT INTO mainspring_runs (job_id, job_revision, kind, queue, scheduled_for_ms, attempt, trigger, request_id, owner_id, claimed_at_ms)
         VALUES (10, 1, 'report', 'default', 5, 1, 'manual', 1767, 3, 1767600000000)",
    ),
];

fn assert_refused(file: &File, edit: &str, why: &str) {
    let printed = file.shell(edit);
    assert!(!printed.ok, "this edit was let through: {edit}");
    assert!(printed.err.contains(why), "{edit}\nshould be refused with {why:?}, was with: {}", printed.err);
}

fn all_of_them(names: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    names.into_iter().collect()
}

#[test]
fn every_named_constraint_refuses_an_edit_by_its_name() {
    let file = File::representative();
    for (name, edit) in REFUSED_BY_CHECK {
        assert_refused(&file, edit, &format!("CHECK constraint failed: {name}"));
    }
    let tried = all_of_them(REFUSED_BY_CHECK.iter().map(|(name, _)| (*name).to_owned()));
    assert_eq!(tried, all_of_them(names_after(&schema_text(), "CONSTRAINT ")));
}

#[test]
fn every_trigger_refuses_what_it_is_named_for() {
    let file = File::representative();
    for (name, edit) in REFUSED_BY_TRIGGER {
        assert_refused(&file, edit, &format!("{name}: "));
    }
    let tried = all_of_them(REFUSED_BY_TRIGGER.iter().map(|(name, _)| (*name).to_owned()));
    let ways = ["RAISE(ABORT, '", "RAISE(ROLLBACK, '"];
    let refusals = ways.iter().flat_map(|way| names_after(&schema_text(), way));
    assert_eq!(tried, all_of_them(refusals));
    // A message begins with the name under which the trigger is found in the schema.
    const TRIGGER: &str = "CREATE TRIGGER mainspring_";
    let schema = schema_text();
    let refusing = schema.split_inclusive("END;").filter(|part| part.contains("RAISE("));
    assert_eq!(tried, all_of_them(refusing.flat_map(|part| names_after(part, TRIGGER))));
}

#[test]
fn a_transaction_that_touches_an_ended_run_is_undone_as_a_whole() {
    let file = File::representative();
    let conn = file.open();
    conn.execute_batch("BEGIN; UPDATE mainspring_jobs SET priority = 7 WHERE id = 1").unwrap();
    let refused = conn.execute("UPDATE mainspring_runs SET ended_at_ms = NULL WHERE id = 1", []).unwrap_err();
    assert!(refused.to_string().contains("an_ended_run_stays_ended"), "{refused}");
    assert!(conn.is_autocommit());
    assert_ne!(file.value("SELECT priority FROM mainspring_jobs WHERE id = 1"), "7");
}

#[test]
fn every_unique_index_refuses_a_duplicate_and_names_its_columns() {
    let file = File::representative();
    for (_, columns, edit) in REFUSED_AS_DUPLICATE {
        assert_refused(&file, edit, &format!("UNIQUE constraint failed: {columns}"));
    }
    let tried = all_of_them(REFUSED_AS_DUPLICATE.iter().map(|(name, ..)| (*name).to_owned()));
    assert_eq!(tried, all_of_them(names_after(&schema_text(), "CREATE UNIQUE INDEX ")));
}

#[test]
fn no_check_of_the_schema_is_without_a_name() {
    let text = schema_text();
    let named = text.lines().filter(|line| line.contains("CONSTRAINT ") && line.contains("CHECK")).count();
    let all = text.matches("CHECK").count();
    assert_eq!(named, all, "write `CONSTRAINT a_sentence CHECK (…)`");
}

#[test]
fn a_text_in_a_column_of_numbers_is_refused_with_the_column() {
    let file = File::representative();
    assert_refused(
        &file,
        "UPDATE mainspring_jobs SET next_run_at_ms = 'tomorrow' WHERE id = 1",
        "cannot store TEXT value in INTEGER column mainspring_jobs.next_run_at_ms",
    );
}

#[test]
fn a_request_for_a_job_that_does_not_exist_is_refused() {
    let file = File::representative();
    assert_refused(
        &file,
        "UPDATE mainspring_requests SET job_id = 777 WHERE id = 1",
        "FOREIGN KEY constraint failed",
    );
}

#[test]
fn a_refused_edit_leaves_the_file_as_it_was() {
    let file = File::representative();
    let job = "SELECT updated_at_ms || coalesce(pause_reason, '-') FROM mainspring_jobs WHERE id = 1";
    let before = file.value(job);
    assert_refused(
        &file,
        "UPDATE mainspring_jobs SET updated_at_ms = 5, pause_reason = 'no pause'",
        "a_pause_reason_needs_a_pause",
    );
    assert_eq!(file.value(job), before);
}
