//! The example as a user runs it: a process of its own, killed where it says, and started again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; clippy knows test functions, not what they call"
)]

#[path = "../docs/examples/morning_briefing/agenda.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's own module; a part of it is tried here")]
mod agenda;

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mainspring::crash::CrashPoint;
use mainspring::{BlockingQueue, Delivery, JobState, ListFilter, OpenOptions, Outcome, Queue, Run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Longer than any of it takes on a slow machine.
const LONGEST: Duration = Duration::from_secs(180);
const BRIEFING: &str = "morning-briefing";

/// A folder in which the example is run.
struct Stage {
    dir: TempDir,
}

/// How it went.
struct Played {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

impl Stage {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn play(&self, args: &[&str]) -> Played {
        let child = Command::new(example())
            .args(args)
            .current_dir(self.dir.path())
            .env_remove("MAINSPRING_CRASH_AT")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || sender.send(child.wait_with_output()));
        let output = receiver.recv_timeout(LONGEST).unwrap_or_else(|_| {
            kill(pid, Signal::SIGKILL).unwrap();
            panic!("the example with {args:?} has not ended after {LONGEST:?}")
        });
        let output = output.unwrap();
        Played {
            status: output.status,
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn queue(&self) -> BlockingQueue {
        let options = OpenOptions::new(self.dir.path().join("morning-briefing.db"));
        Queue::open_blocking(&options).unwrap().blocking()
    }

    /// The idempotency keys in the outbox, in order.
    fn keys(&self) -> Vec<String> {
        let path = self.dir.path().join("morning-briefing.outbox.txt");
        let text = if path.exists() { std::fs::read_to_string(path).unwrap() } else { String::new() };
        assert!(text.is_empty() || text.ends_with('\n'), "a line was not written to its end: {text:?}");
        text.lines().map(|line| line.split_once(' ').unwrap().0.to_owned()).collect()
    }

    fn lines_of(&self, key: &str) -> usize {
        self.keys().iter().filter(|line| *line == key).count()
    }
}

impl Played {
    fn succeeded(self) -> Self {
        assert!(self.status.success(), "{}\n{}\n{}", self.status, self.stdout, self.stderr);
        self
    }

    /// How often a line of what was traced has these words in this order.
    fn count(&self, words: &[&str]) -> usize {
        let has_all = |line: &str| {
            let mut rest = line;
            words.iter().all(|word| match rest.split_once(word) {
                Some((_, behind)) => {
                    rest = behind;
                    true
                }
                None => false,
            })
        };
        self.stdout.lines().filter(|line| has_all(line)).count()
    }
}

/// The example, which `cargo test` builds beside the folder of its tests. Asked for this file alone, it does not.
fn example() -> PathBuf {
    let build = "run `cargo build --example morning_briefing`";
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join("examples/morning_briefing");
    assert!(path.exists(), "{} is missing: {build}", path.display());
    let built = path.metadata().unwrap().modified().unwrap();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/morning_briefing");
    for source in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let is_rust = source.extension().is_some_and(|end| end == "rs");
        let edited = source.metadata().unwrap().modified().unwrap();
        assert!(!is_rust || edited <= built, "{} is newer than the example: {build}", source.display());
    }
    path
}

/// No line stands twice in the outbox, and the file holds what its invariants say.
fn assert_sound(stage: &Stage) {
    let keys = stage.keys();
    let different: BTreeSet<_> = keys.iter().collect();
    assert_eq!(different.len(), keys.len(), "{keys:?}");
    let findings = stage.queue().doctor().unwrap();
    assert!(findings.is_empty(), "{findings:?}");
}

fn briefings(queue: &BlockingQueue) -> Vec<Run> {
    queue.runs(BRIEFING, 100).unwrap()
}

fn delivery_of(run: &Run) -> Option<Delivery> {
    run.completion.as_ref().map(|it| it.delivery)
}

#[test]
fn without_options_one_briefing_is_delivered_and_the_commands_show_it() {
    let stage = Stage::new();
    let played = stage.play(&[]).succeeded();
    assert_eq!(stage.keys().len(), 1, "{}", played.stdout);
    assert_eq!(played.count(&["| Good morning."]), 1, "{}", played.stdout);

    let queue = stage.queue();
    let runs = briefings(&queue);
    assert_eq!(runs.len(), 1);
    assert_eq!(stage.keys(), [queue.queue().idempotency_key(&runs[0])]);
    let named: Vec<_> = queue.list(ListFilter { named: true, ..ListFilter::default() }).unwrap().jobs;
    let schedules: Vec<String> = named.iter().map(|job| job.schedule.kind().as_str().to_owned()).collect();
    assert_eq!(schedules, ["cron", "every", "at"]);
    let tallies = ListFilter { kind: Some("tally".to_owned()), ..ListFilter::default() };
    let tallies = queue.list(tallies).unwrap().jobs;
    let now = queue.status().unwrap().at;
    assert_eq!(tallies.len(), 5);
    assert!(tallies.iter().all(|job| job.state(now) == JobState::Finished), "{tallies:?}");

    let commands: Vec<&str> = played.stdout.lines().filter(|line| line.starts_with("  ")).collect();
    let commands: Vec<&str> = commands.into_iter().filter(|line| line.contains("sqlite3 ")).collect();
    assert_eq!(commands.len(), 3, "{}", played.stdout);
    let mut answers = String::new();
    for command in commands {
        let output = Command::new("sh").args(["-c", command]).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        answers.push_str(&String::from_utf8(output.stdout).unwrap());
    }
    for word in [BRIEFING, "health-check", "reminder", "scheduled", "delivered", &stage.keys()[0]] {
        assert!(answers.contains(word), "{word} is not in\n{answers}");
    }
    drop(queue);
    assert_sound(&stage);
}

#[test]
fn a_second_start_changes_no_schedule_and_delivers_another_briefing() {
    let stage = Stage::new();
    stage.play(&[]).succeeded();
    let again = stage.play(&[]).succeeded();
    assert_eq!(again.count(&["schedule ", "unchanged"]), 3, "{}", again.stdout);
    assert_eq!(stage.keys().len(), 2);
    assert_sound(&stage);
}

#[test]
fn fast_shows_all_of_it_within_fifteen_seconds() {
    let stage = Stage::new();
    let begun = std::time::Instant::now();
    let played = stage.play(&["--fast"]).succeeded();
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());

    let queue = stage.queue();
    let runs = briefings(&queue);
    assert!((3..=4).contains(&runs.len()), "{runs:?}");
    assert!(runs.iter().all(|run| delivery_of(run) == Some(Delivery::Delivered)), "{runs:?}");
    assert!(queue.runs("health-check", 100).unwrap().len() >= 3);
    let reminded = queue.runs("reminder", 100).unwrap();
    assert_eq!(reminded.len(), 1);
    assert_eq!(stage.keys().len(), runs.len() + 1);
    for run in runs.iter().chain(&reminded) {
        assert_eq!(stage.lines_of(&queue.queue().idempotency_key(run)), 1);
        let who = format!(" run {} ", run.id);
        for what in ["claimed", "the run has ended", "the delivery begins", "delivered"] {
            assert!(played.count(&[&who, what]) >= 1, "run {}: {what:?} in\n{}", run.id, played.stdout);
        }
    }
    assert_eq!(played.count(&["next", BRIEFING]), 1, "{}", played.stdout);
    drop(queue);
    assert_sound(&stage);
}

/// What stands in the table of promises, for a briefing that died at each point.
struct Promised {
    /// Lines in the outbox when the process is dead, and when it was started again.
    lines: (usize, usize),
    outcome: Outcome,
    delivery: Delivery,
    /// How often the handler is called, over both starts.
    calls: usize,
    words: &'static str,
}

fn promised(point: CrashPoint) -> Promised {
    let interrupted = Promised {
        lines: (0, 0),
        outcome: Outcome::Interrupted,
        delivery: Delivery::NotRequested,
        calls: 1,
        words: "interrupted: recorded, not repeated (assume_ran)",
    };
    let succeeded = Promised { outcome: Outcome::Succeeded, ..interrupted };
    let unknown = "unknown: listed, not sent again by itself (hold)";
    let stored = "delivered from the stored output; the handler was not called again";
    match point {
        CrashPoint::Claimed => Promised { calls: 0, ..interrupted },
        CrashPoint::Ran => interrupted,
        CrashPoint::Completed => {
            Promised { lines: (0, 1), delivery: Delivery::Delivered, words: stored, ..succeeded }
        }
        CrashPoint::DeliveryBegun => Promised { delivery: Delivery::Unknown, words: unknown, ..succeeded },
        CrashPoint::Delivered => {
            Promised { lines: (1, 1), delivery: Delivery::Unknown, words: unknown, ..succeeded }
        }
        CrashPoint::Settled => {
            Promised { lines: (1, 1), delivery: Delivery::Delivered, words: "", ..succeeded }
        }
    }
}

/// Kills the example at `point` and starts it again with the same options.
fn kill_and_start_again(point: CrashPoint, options: &[&str]) {
    let promised = promised(point);
    let stage = Stage::new();
    let killed = stage.play(&[options, &["--crash-at", point.as_str()]].concat());
    assert_eq!(killed.status.signal(), Some(Signal::SIGKILL as i32), "{point}: {}", killed.stderr);

    let queue = stage.queue();
    let runs = briefings(&queue);
    assert_eq!(runs.len(), 1, "{point}: {runs:?}");
    let key = queue.queue().idempotency_key(&runs[0]);
    assert_eq!(stage.lines_of(&key), promised.lines.0, "{point}: when it had died");
    drop(queue);

    let again = stage.play(options).succeeded();
    assert!(again.stdout.contains(promised.words), "{point}: {}", again.stdout);
    assert_eq!(stage.lines_of(&key), promised.lines.1, "{point}: {}", again.stdout);
    let who = format!(" run {} ", runs[0].id);
    let calls = [&killed, &again].map(|played| played.count(&[&who, "the handler has built"]));
    assert_eq!(calls, [promised.calls, 0], "{point}: {}", again.stdout);

    let queue = stage.queue();
    let run = queue.run(runs[0].id).unwrap();
    assert_eq!(run.completion.as_ref().map(|it| it.outcome), Some(promised.outcome), "{point}");
    assert_eq!(delivery_of(&run), Some(promised.delivery), "{point}");
    let of_it = |it: &&Run| it.scheduled_for == run.scheduled_for;
    assert_eq!(briefings(&queue).iter().filter(of_it).count(), 1, "{point}: another attempt");
    drop(queue);
    assert_sound(&stage);
}

#[test]
fn a_briefing_by_hand_that_dies_at_any_point_comes_to_what_is_promised() {
    for point in CrashPoint::ALL {
        kill_and_start_again(*point, &[]);
    }
}

#[test]
fn a_scheduled_briefing_that_dies_at_any_point_comes_to_what_is_promised() {
    // Together, since each waits for its schedule most of the time.
    thread::scope(|scope| {
        for point in CrashPoint::ALL {
            scope.spawn(|| kill_and_start_again(*point, &["--fast"]));
        }
    });
}

#[test]
fn an_option_that_does_not_exist_is_refused_by_name() {
    let stage = Stage::new();
    let refused = stage.play(&["--quick"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(refused.stderr.contains("\"--quick\""), "{}", refused.stderr);
    let refused = stage.play(&["--crash-at", "noon"]);
    assert!(refused.stderr.contains("claimed, ran, completed"), "{}", refused.stderr);
    assert_eq!(std::fs::read_dir(stage.dir.path()).unwrap().count(), 0, "nothing was made");
}

mod page {
    use super::agenda::Agenda;

    fn briefing(page: &str, day: &str) -> String {
        Agenda::parse(page).unwrap().briefing(day.parse().unwrap())
    }

    #[test]
    fn a_briefing_lists_the_day_in_order_with_its_longest_break() {
        let page = "Zone: Europe/Berlin\n## Monday\n* 13:00-14:30 Late\ntext\n* 09:00-09:15 Early";
        assert_eq!(
            briefing(page, "2026-01-05"),
            "Good morning. Monday, 5 January: 2 entries, 1 h 45 min.\n09:00-09:15 Early\n13:00-14:30 Late\n\
             The longest break: 09:15-13:00."
        );
    }

    #[test]
    fn a_day_without_entries_looks_ahead_to_one_that_has_some() {
        let page = "Zone: UTC\n## Tuesday\n* 09:00-10:00 Only";
        assert_eq!(
            briefing(page, "2026-01-09"),
            "Good morning. Nothing on Friday.\nTuesday, 13 January: 1 entry, 1 h.\n09:00-10:00 Only"
        );
    }

    #[test]
    fn a_page_that_is_no_agenda_is_refused_with_its_line() {
        let refused = |page: &str| Agenda::parse(page).unwrap_err().to_string();
        assert!(refused("Zone: Berlin").starts_with("line 1 of the agenda, \"Zone: Berlin\""));
        assert!(refused("## Someday").contains("no day of the week"));
        assert!(refused("* 09:00-10:00 a").contains("before the first day"));
        assert!(refused("## Monday\n* 10:00-09:00 a").contains("line 2"));
        assert!(refused("## Monday\n* 9-10 a").contains("a time that is none"));
        assert!(refused("## Monday\n* 09:00-10:00 a").contains("no line \"Zone:"));
        assert!(refused("Zone: UTC").contains("no entry"));
    }
}
