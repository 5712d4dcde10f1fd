//! Each scenario without a fault; and that the check finds what is wrong.

use std::time::Duration;

use rusqlite::Connection;

use super::*;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn played(scenario: Scenario) -> (tempfile::TempDir, Stage) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    let runtime = runtime();
    runtime.block_on(scenario.prepare(&path)).unwrap();
    let stage = Stage::new(scenario, &path, Ledger::in_memory()).patience(Duration::from_secs(10));
    runtime
        .block_on(scenario.play(&stage))
        .unwrap_or_else(|why| panic!("{scenario}: {why}\n{:?}", stage.ledger()));
    (dir, stage)
}

fn wrong(stage: &Stage) -> Vec<String> {
    check(stage.scenario, stage.path(), stage.ledger(), Terms::over()).unwrap()
}

#[test]
fn without_a_fault_every_scenario_ends_as_promised_and_the_next_start_finds_nothing_to_do() {
    for scenario in Scenario::ALL {
        let (_dir, stage) = played(*scenario);
        assert_eq!(wrong(&stage), [""; 0], "{scenario}: {:?}", stage.ledger());
        let known = stage.ledger().len();
        runtime().block_on(scenario.afterwards(&stage)).unwrap();
        assert_eq!(stage.ledger().len(), known, "{scenario}");
        assert_eq!(wrong(&stage), [""; 0], "{scenario}");
    }
}

#[test]
fn a_play_with_the_ledger_of_one_that_is_over_does_nothing_again() {
    for scenario in Scenario::ALL {
        let (_dir, stage) = played(*scenario);
        let again = Stage::new(*scenario, stage.path(), stage.ledger().clone());
        runtime().block_on(scenario.play(&again)).unwrap();
        assert_eq!(wrong(&again), [""; 0], "{scenario}");
    }
}

#[test]
fn a_scenario_is_named_by_its_word_and_its_jobs_have_different_labels() {
    for scenario in Scenario::ALL {
        assert_eq!(scenario.to_string().parse(), Ok(*scenario));
        for part in scenario.parts() {
            assert_eq!(scenario.parts().iter().filter(|other| other.label == part.label).count(), 1);
        }
    }
    assert!("no-such".parse::<Scenario>().unwrap_err().contains("enqueue, cron"));
}

/// Each of these is a file that a broken library could leave.
#[test]
fn the_check_finds_what_is_wrong() {
    let called = |run| Entry::Called { label: "first".to_owned(), run, occurrence: 1, attempt: 1 };
    let sent = || Entry::Sent { label: "second".to_owned(), run: 2, attempt: 1, answer: Answer::Accept };
    let returned = || Entry::Returned { label: "first".to_owned(), run: 1, ok: true };
    let triggers = "DROP TRIGGER mainspring_a_completion_keeps_its_outcome;
        DROP TRIGGER mainspring_a_settled_delivery_stays_settled;
        DROP TRIGGER mainspring_an_ended_run_stays_ended;";
    let cases: [(&str, Vec<Entry>, &str); 8] = [
        ("DELETE FROM mainspring_jobs WHERE id = 1", vec![], "acknowledged and is not in the file"),
        ("INSERT INTO mainspring_jobs (kind, args, at_ms, schedule_activated_at_ms, created_at_ms, updated_at_ms)
          VALUES ('plain', '{\"label\":\"first\"}', 1, 1, 1, 1)", vec![], "in the file 2 times"),
        ("UPDATE mainspring_completions SET outcome = 'failed' WHERE run_id = 1", vec![], "ended as failed"),
        ("UPDATE mainspring_completions SET delivery = 'failed' WHERE run_id = 2", vec![], "succeeded and failed"),
        ("", vec![called(1)], "run 1 was called 2 times"),
        ("", vec![sent()], "delivery 1 of run 2 was made 2 times"),
        ("", vec![returned()], "succeeded 2 times"),
        ("", vec![called(77)], "run 77, which is not in the file"),
    ];
    for (sql, entries, finding) in cases {
        let (_dir, stage) = played(Scenario::FirstStart);
        Connection::open(stage.path()).unwrap().execute_batch(&format!("{triggers}{sql}")).unwrap();
        entries.into_iter().for_each(|entry| stage.ledger().write(entry));
        let found = wrong(&stage);
        assert!(found.iter().any(|what| what.contains(finding)), "{sql} {finding}: {found:?}");
    }
}
