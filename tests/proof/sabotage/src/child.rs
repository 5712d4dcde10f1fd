//! Runs a catcher as a process of its own, with a limit on its time.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use mainspring::sabotage::{Bug, VARIABLE};

use crate::catchers::Catcher;

/// Between two looks whether the process has ended.
const LOOK: Duration = Duration::from_millis(10);
/// The exit code of a program that found a violation.
const FOUND: i32 = 1;

/// What a catcher came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It ended and found nothing.
    Clean,
    /// It found this.
    Caught(String),
    /// It did not end in time, or not as a catcher ends.
    Useless(String),
}

/// Runs a catcher, with a bug or without. Returns what it came to and how long that took.
pub(crate) fn run(
    catcher: Catcher,
    bug: Option<Bug>,
    limit: Duration,
) -> Result<(Verdict, Duration), String> {
    let begun = Instant::now();
    let plain = |error: std::io::Error| format!("{catcher}: {error}");
    let dir = tempfile::tempdir().map_err(plain)?;
    let said = dir.path().join("said");
    let (program, args) = catcher.command();
    let mut command = Command::new(beside(program)?);
    command.args(args).env_remove(VARIABLE).stdin(Stdio::null());
    let output = File::create(&said).map_err(plain)?;
    command.stderr(output.try_clone().map_err(plain)?).stdout(output);
    if let Some(bug) = bug {
        command.env(VARIABLE, bug.as_str());
    }
    let mut child = command.spawn().map_err(plain)?;
    let ended = loop {
        match child.try_wait().map_err(plain)? {
            Some(status) => break Some(status),
            None if begun.elapsed() >= limit => {
                child.kill().map_err(plain)?;
                child.wait().map_err(plain)?;
                break None;
            }
            None => thread::sleep(LOOK),
        }
    };
    let said = std::fs::read(&said).map_err(plain)?;
    Ok((verdict(ended, &String::from_utf8_lossy(&said)), begun.elapsed()))
}

/// A program of the proof, which was built together with this one.
fn beside(program: &str) -> Result<PathBuf, String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let path = this.with_file_name(format!("mainspring-proof-{program}"));
    if path.is_file() {
        return Ok(path);
    }
    Err(format!("{} was not built: use tests/proof/run", path.display()))
}

/// A crash is no catch, and neither is a refusal: whoever catches says what it found.
fn verdict(ended: Option<ExitStatus>, said: &str) -> Verdict {
    let found = said.lines().find(|line| line.starts_with("violation"));
    match (ended.and_then(|status| status.code()), found) {
        (Some(0), None) => Verdict::Clean,
        (Some(FOUND), Some(found)) => Verdict::Caught(found.to_owned()),
        (Some(code), _) => Verdict::Useless(format!("it ended with code {code}: {said}")),
        (None, Some(found)) => Verdict::Useless(format!("it found something and did not end: {found}")),
        (None, None) => Verdict::Useless(format!("it did not end by itself: {said}")),
    }
}
