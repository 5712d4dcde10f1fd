//! Other processes: this test program again, in a part that the test gives it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child as Process, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

use super::PATIENCE;

const FILE: &str = "MAINSPRING_TEST_FILE";
const PART: &str = "MAINSPRING_TEST_PART";
/// The ignored test in a file that is the main function of its children: it calls [`play`].
pub const MAIN: &str = "a_child_plays_its_part";

/// A process that plays a part on a file. It is killed with the test that started it.
pub struct Child {
    process: Process,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Child {
    /// Starts one.
    pub fn start(path: &Path, part: &str) -> Self {
        Self::start_with(path, part, &[])
    }

    /// Starts one with variables in its environment.
    pub fn start_with(path: &Path, part: &str, variables: &[(&str, &str)]) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", MAIN, "--ignored", "--nocapture", "--test-threads=1"])
            .env(FILE, path)
            .env(PART, part)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let stdin = process.stdin.take().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Some(said) = line.strip_prefix("child: ") {
                    // A test that is over listens no more.
                    drop(sender.send(said.to_owned()));
                }
            }
        });
        Self { process, stdin, lines }
    }

    /// The next thing that it says; `None` once it has ended.
    pub fn hear(&self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("the child says nothing"),
        }
    }

    /// Waits until it says this, and returns the rest of the line.
    pub fn hear_of(&self, word: &str) -> String {
        loop {
            let line = self.hear().unwrap_or_else(|| panic!("the child ended and had not said {word:?}"));
            if let Some(rest) = line.strip_prefix(word) {
                return rest.trim().to_owned();
            }
        }
    }

    /// Says something to it.
    pub fn tell(&mut self, what: &str) {
        writeln!(self.stdin, "{what}").unwrap();
        self.stdin.flush().unwrap();
    }

    /// Kills it as `kill -9` does, and returns what it had said that nobody had heard.
    pub fn kill(mut self) -> Vec<String> {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.lines.iter().collect()
    }

    /// Waits until it has ended by itself, and returns what it had said that nobody had heard.
    pub fn ended(mut self) -> Vec<String> {
        let until = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        while Instant::now() < until {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => heard.push(line),
                Err(_) => break,
            }
        }
        self.process.wait().unwrap();
        heard
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// What a child says, a line.
pub fn say(what: impl std::fmt::Display) {
    // The harness prints without an end of line before the test begins.
    println!("\nchild: {what}");
}

/// The next line that the test tells its child; `None` when the test is over.
pub fn listen() -> Option<String> {
    let mut line = String::new();
    match std::io::stdin().read_line(&mut line) {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(line.trim_end().to_owned()),
    }
}

/// Ends this process when the test ends, which closes its input. For children that are told nothing.
pub fn end_with_the_test() {
    std::thread::spawn(|| {
        while listen().is_some() {}
        std::process::exit(0);
    });
}

/// What a child does: calls `parts` with the name of its part and the file. Nothing in a test run by hand.
pub fn play(parts: impl FnOnce(&str, PathBuf)) {
    let (Some(path), Ok(part)) = (std::env::var_os(FILE), std::env::var(PART)) else { return };
    parts(&part, path.into());
}
