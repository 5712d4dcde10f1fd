//! Each view shows what it promises, reads any row, and costs little.

use std::collections::{BTreeMap, BTreeSet};

use mainspring::Timestamp;

use super::{File, names_after, schema_text};

/// How many rows of the representative file each view shows.
const ROWS: &[(&str, usize)] = &[
    ("mainspring_job_view", 15),
    ("mainspring_run_view", 17),
    ("mainspring_due_view", 4),
    ("mainspring_recovery_view", 8),
    ("mainspring_miss_view", 6),
    ("mainspring_event_view", 7),
    ("mainspring_health_view", 1),
    ("mainspring_why_view", 15),
];

fn views() -> Vec<String> {
    names_after(&schema_text(), "CREATE VIEW ")
}

fn read(file: &File, sql: &str) -> Vec<String> {
    let printed = file.shell(sql);
    assert!(printed.ok && printed.err.is_empty(), "{sql}\n{}", printed.err);
    printed.out.lines().map(str::to_owned).collect()
}

#[test]
fn the_shell_reads_every_view() {
    let file = File::representative();
    for (view, rows) in ROWS {
        assert_eq!(read(&file, &format!("SELECT * FROM {view};")).len(), *rows, "{view}");
    }
    let known: BTreeSet<&str> = ROWS.iter().map(|(view, _)| *view).collect();
    assert_eq!(known, views().iter().map(String::as_str).collect());
}

#[test]
fn the_shell_reads_every_view_of_a_new_file() {
    let file = File::empty();
    for view in views() {
        let rows = read(&file, &format!("SELECT * FROM {view};")).len();
        assert_eq!(rows, usize::from(view == "mainspring_health_view"), "{view}");
    }
}

#[test]
fn each_job_has_one_sentence_on_why_it_is_not_running() {
    let file = File::representative();
    let said = read(&file, "SELECT job_id, state, why FROM mainspring_why_view ORDER BY job_id;");
    let wanted = [
        "1|scheduled|waits until 2100-01-01T00:00:00.000Z (cron 0 8 * * * in Europe/Berlin)",
        "2|running|running since 2026-01-05T08:00:00.007Z as run 20",
        "3|finished|finished since 2026-01-05T05:13:21.000Z, the last run succeeded",
        "4|due|due since 2026-01-05T07:59:50.000Z and waits for a free worker of queue default",
        "5|due|due since 2026-01-05T07:59:51.000Z and waits for a free worker of queue default",
        "6|retrying|waits until 2100-01-01T00:00:00.000Z for attempt 2, the last run failed",
        "7|paused|paused since 2026-01-05T07:43:20.000Z because the disk is full",
        "8|parked|parked since 2026-01-05T07:43:20.000Z because three interruptions in a row",
        "9|disabled|disabled by its declaration",
        "10|due|a run besides the schedule was asked for and waits for a free worker of queue default since 2026-01-05T07:59:59.000Z",
        "11|due|due since 2026-01-05T07:43:20.000Z, but its queue mail is paused since 2026-01-05T07:26:40.000Z (the mail server moves)",
        "12|unplanned|has no next time; an engine will plan one",
        "13|running|2 runs are open, the newest is run 22, running since 2026-01-05T07:59:58.000Z",
        "14|running|running since 2026-01-05T07:59:58.000Z as run 23, asked to stop at 2026-01-05T07:59:59.000Z",
        "15|paused|a run besides the schedule was asked for and waits until 2100-01-01T00:00:00.000Z",
    ];
    assert_eq!(said, wanted);
}

#[test]
fn a_due_job_without_any_engine_says_so() {
    let file = File::representative();
    read(
        &file,
        "UPDATE mainspring_owners SET ended_at_ms = 1767600000000, end_reason = 'died' WHERE id = 3;",
    );
    let said = read(&file, "SELECT why FROM mainspring_why_view WHERE job_id = 4;");
    assert_eq!(said, ["due since 2026-01-05T07:59:50.000Z, but no engine is on record as running"]);
}

#[test]
fn due_jobs_stand_in_the_order_of_their_claims() {
    let file = File::representative();
    let due = read(&file, "SELECT queue, job_id, due_at, queue_is_paused FROM mainspring_due_view;");
    let wanted = [
        "default|4|2026-01-05T07:59:50.000Z|0",
        "default|5|2026-01-05T07:59:51.000Z|0",
        "default|10|2026-01-05T07:59:59.000Z|0",
        "mail|11|2026-01-05T07:43:20.000Z|1",
    ];
    assert_eq!(due, wanted);
}

#[test]
fn the_idempotency_key_is_the_same_for_each_attempt_at_an_occurrence() {
    let file = File::representative();
    let keys = read(
        &file,
        "SELECT run_id, idempotency_key FROM mainspring_run_view WHERE run_id IN (3, 4, 7) ORDER BY run_id;",
    );
    assert_eq!(keys, ["3|01234567-1-1767596400000", "4|01234567-1-1767596400000", "7|01234567-10-r1767"]);
}

#[test]
fn what_is_in_hand_names_its_owner_and_its_policy() {
    let file = File::representative();
    let rows =
        read(&file, "SELECT what, run_id, policy, owner FROM mainspring_recovery_view ORDER BY run_id;");
    let wanted = [
        "unknown delivery|4|on_unknown_delivery hold|",
        "delivery without an answer|7|on_unknown_delivery resend|process 103 on desk",
        "delivery to begin|8|on_unknown_delivery resend|",
        "open run|20|on_interrupt assume_ran|process 103 on desk",
        "open run|21|on_interrupt rerun|process 103 on desk",
        "open run|22|on_interrupt rerun|process 103 on desk",
        "open run|23|on_interrupt rerun|process 103 on desk",
        "open run|24||process 103 on desk",
    ];
    assert_eq!(rows, wanted);
    read(&file, "UPDATE mainspring_runs SET owner_id = 2 WHERE id = 20;");
    let owner = read(&file, "SELECT owner FROM mainspring_recovery_view WHERE run_id = 20;");
    assert_eq!(owner, ["process 102 on desk, which died"]);
}

#[test]
fn the_health_view_counts_what_the_tables_hold() {
    let file = File::representative();
    let row =
        file.run("sqlite3", &["-readonly", "-line", "app.db", "SELECT * FROM mainspring_health_view"], "");
    let found: BTreeMap<&str, &str> =
        row.out.lines().filter_map(|line| line.trim().split_once(" = ")).collect();
    let wanted = [
        ("owners", "1"),
        ("waiting", "8"),
        ("due", "4"),
        ("oldest_due_at", "2026-01-05T07:43:20.000Z"),
        ("open_runs", "5"),
        ("undelivered", "2"),
        ("deliveries_unknown", "1"),
        ("deliveries_failed", "1"),
        ("parked", "1"),
        ("paused", "2"),
        ("paused_queues", "2"),
        ("last_completion_at", "2026-01-05T07:51:40.000Z"),
    ];
    for (column, value) in wanted {
        assert_eq!(found.get(column), Some(&value), "{column} in {}", row.out);
    }
}

#[test]
fn the_old_shell_writes_instants_as_the_library_does() {
    let file = File::empty();
    let instants: Vec<i64> =
        (-2..1_000).map(|n| 1_767_600_000_000 + n).chain([-62_135_596_800_000, -1, 0, 999]).collect();
    let values: Vec<String> =
        instants.iter().map(|ms| format!("(1, {ms}, {ms}, 1, 'downtime', {ms})")).collect();
    let insert = format!(
        "INSERT INTO mainspring_misses (job_id, from_ms, to_ms, occurrences, reason, recorded_at_ms) VALUES {};",
        values.join(", ")
    );
    read(&file, &insert);
    let written = read(&file, "SELECT first FROM mainspring_miss_view ORDER BY miss_id;");
    let wanted: Vec<String> = instants.iter().map(|ms| Timestamp::from_millis(*ms).to_string()).collect();
    assert_eq!(written, wanted);
}

#[test]
fn an_instant_that_no_calendar_holds_is_shown_as_a_number() {
    let file = File::representative();
    read(&file, "UPDATE mainspring_jobs SET next_run_at_ms = 9223372036854775807 WHERE id = 1;");
    let shown = read(&file, "SELECT next_run_at FROM mainspring_job_view WHERE job_id = 1;");
    assert_eq!(shown, ["9223372036854775807 ms"]);
}

/// Every column of every table in turn holds the oddest values that its type can hold, past the constraints,
/// and every view is read.
#[test]
fn views_read_every_column_with_odd_contents() {
    let integers = ["NULL", "0", "-1", "9223372036854775807", "-9223372036854775808"];
    let texts = [
        "NULL",
        "''",
        "'it''s \"odd\" ' || char(10, 27, 8238)",
        "CAST(X'ff00fe' AS TEXT)",
        "hex(zeroblob(50000))",
    ];
    let file = File::representative();
    let conn = file.open();
    let mut tables = conn
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'mainspring\\_%' ESCAPE '\\'",
        )
        .unwrap();
    let tables: Vec<String> =
        tables.query_map([], |row| row.get(0)).unwrap().map(|name| name.unwrap()).collect();
    let mut script = String::from(
        "PRAGMA ignore_check_constraints = ON;\nPRAGMA foreign_keys = OFF;\n.output /dev/null\n",
    );
    for trigger in names_after(&schema_text(), "CREATE TRIGGER ") {
        script.push_str(&format!("DROP TRIGGER {trigger};\n"));
    }
    let mut columns_tried = 0;
    for table in &tables {
        let mut columns = conn.prepare("SELECT name, type, pk FROM pragma_table_info(?1)").unwrap();
        let columns = columns.query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        for column in columns {
            let (column, kind, primary_key): (String, String, i64) = column.unwrap();
            columns_tried += 1;
            // The first of each list is NULL, which no primary key can be.
            let odd_values = if kind == "INTEGER" { integers } else { texts };
            for odd in odd_values.iter().skip(usize::from(primary_key > 0)) {
                // OR IGNORE: where the column is unique or NOT NULL, a row may keep what it has.
                script.push_str(&format!("BEGIN;\nUPDATE OR IGNORE {table} SET {column} = {odd};\n"));
                for view in views() {
                    script.push_str(&format!("SELECT * FROM {view};\n"));
                }
                script.push_str("ROLLBACK;\n");
            }
        }
    }
    assert!(tables.len() >= 11 && columns_tried > 100, "{} tables, {columns_tried} columns", tables.len());
    script.push_str(".output stdout\nSELECT 'read all';\n");
    let printed = file.shell(&script);
    assert!(printed.ok && printed.err.is_empty() && printed.out.contains("read all"), "{}", printed.err);
}

#[test]
fn the_views_use_nothing_that_sqlite_3_38_lacks() {
    let text = schema_text().to_lowercase();
    for newer in [
        "->",
        "unixepoch(",
        "subsec",
        "jsonb",
        "distinct from",
        "concat(",
        "concat_ws(",
        "string_agg(",
        "right join",
        "full join",
        "timediff(",
        "octet_length(",
        "unhex(",
        "iif(",
        "if(",
    ] {
        assert!(!text.contains(newer), "{newer:?} is newer than SQLite 3.38, or reads like it");
    }
}

fn plan(file: &File, sql: &str) -> Vec<String> {
    read(file, &format!("EXPLAIN QUERY PLAN {sql}"))
}

fn is_scan_of_a_growing_table(step: &str) -> bool {
    let grows =
        ["mainspring_jobs", "mainspring_runs", "mainspring_completions", " job", " run", " completion"];
    let words = step.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
    words.starts_with("SCAN") && grows.iter().any(|table| words.contains(table)) && !words.contains("USING")
}

#[test]
fn the_health_view_scans_no_table_that_grows() {
    let file = File::representative();
    let plan = plan(&file, "SELECT * FROM mainspring_health_view;");
    let scans: Vec<&String> = plan.iter().filter(|step| is_scan_of_a_growing_table(step)).collect();
    // The one scan is of the newest completions, backwards and with a LIMIT.
    assert_eq!(scans.len(), 1, "{plan:#?}");
    assert!(scans[0].contains("mainspring_completions"), "{plan:#?}");
}

#[test]
fn the_due_view_and_the_recovery_view_read_partial_indexes_only() {
    let file = File::representative();
    for view in ["mainspring_due_view", "mainspring_recovery_view"] {
        let plan = plan(&file, &format!("SELECT * FROM {view};"));
        assert!(!plan.iter().any(|step| is_scan_of_a_growing_table(step)), "{plan:#?}");
        assert!(plan.iter().any(|step| step.contains("USING INDEX")), "{plan:#?}");
    }
}

#[test]
fn the_runs_of_one_job_are_found_without_reading_those_of_others() {
    let file = File::representative();
    let plan = plan(&file, "SELECT * FROM mainspring_run_view WHERE job_id = 1;");
    assert!(!plan.iter().any(|step| is_scan_of_a_growing_table(step)), "{plan:#?}");
    for index in ["mainspring_runs_occurrence (job_id=?)", "mainspring_runs_request (job_id=? "] {
        assert!(plan.iter().any(|step| step.contains(index)), "{plan:#?}");
    }
}

#[test]
fn a_scan_is_told_from_a_search() {
    assert!(is_scan_of_a_growing_table("|  |--SCAN mainspring_jobs"));
    assert!(is_scan_of_a_growing_table("`--SCAN run"));
    assert!(!is_scan_of_a_growing_table("|--SCAN job USING INDEX mainspring_jobs_ready"));
    assert!(!is_scan_of_a_growing_table("|--SEARCH run USING INTEGER PRIMARY KEY (rowid=?)"));
    assert!(!is_scan_of_a_growing_table("   |--SCAN mainspring_meta"));
}
