//! The schema as a person with a shell meets it: views, constraints and the recipes of `docs/schema.md`, all
//! through the `sqlite3` program of the distribution, which is older than the SQLite that is linked in.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; clippy knows test functions, not what they call"
)]

mod constraints;
mod docs;
mod recipes;
mod views;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rusqlite::Connection;
use tempfile::TempDir;

const REPRESENTATIVE: &str = include_str!("../data/representative.sql");

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of each migration, in order.
fn migrations() -> Vec<String> {
    let folder = fs::read_dir(root().join("migrations")).unwrap();
    let mut files: Vec<(u32, PathBuf)> = folder
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            let number = name.trim_start_matches('V').split("__").next().unwrap();
            (number.parse().expect(name), path)
        })
        .collect();
    files.sort();
    files.iter().map(|(_, path)| fs::read_to_string(path).unwrap()).collect()
}

/// All that the migrations say, without comments.
fn schema_text() -> String {
    let text = migrations().concat();
    text.lines().map(|line| line.split("--").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The words that follow each occurrence of `before` in `text`.
fn names_after(text: &str, before: &str) -> Vec<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(before)
        .map(|(at, _)| text[at + before.len()..].chars().take_while(|c| is_part(*c)).collect())
        .collect()
}

/// What a program printed.
struct Printed {
    ok: bool,
    out: String,
    err: String,
}

/// A queue file made by the migrations, in WAL as the library sets it.
struct File {
    folder: TempDir,
}

impl File {
    fn empty() -> Self {
        let file = Self { folder: tempfile::tempdir().unwrap() };
        let conn = file.open();
        conn.execute_batch("PRAGMA journal_mode = WAL").unwrap();
        for migration in migrations() {
            conn.execute_batch(&migration).unwrap();
        }
        file
    }

    fn representative() -> Self {
        let file = Self::empty();
        file.open().execute_batch(REPRESENTATIVE).unwrap();
        file
    }

    fn open(&self) -> Connection {
        let conn = Connection::open(self.folder.path().join("app.db")).unwrap();
        conn.execute_batch("PRAGMA synchronous = OFF").unwrap(); // nobody cuts the power here
        conn
    }

    /// One value, read by the SQLite that is linked in.
    fn value(&self, sql: &str) -> String {
        let text = |value| match value {
            rusqlite::types::Value::Null => "NULL".to_owned(),
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Real(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            rusqlite::types::Value::Blob(_) => "BLOB".to_owned(),
        };
        self.open()
            .query_row(sql, [], |row| row.get(0))
            .map(text)
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// What the distribution's shell makes of `script`. The foreign keys are on, as the page says.
    fn shell(&self, script: &str) -> Printed {
        self.run(
            "sqlite3",
            &["-batch", "-bail", "-cmd", ".timeout 5000", "-cmd", "PRAGMA foreign_keys = ON", "app.db"],
            script,
        )
    }

    /// Runs a program in the file's folder, without the settings that a person may have for the shell.
    fn run(&self, program: &str, arguments: &[&str], input: &str) -> Printed {
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("`{program}` cannot be run ({error}): these tests need the sqlite3 shell, `apt-get install sqlite3`")
            });
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        // From a thread of its own, so that a long output cannot stop a long input.
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        if let Err(error) = writer.join().unwrap() {
            // `-bail` closes the pipe at the first error, which the caller looks at.
            assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe, "{error}");
        }
        Printed {
            ok: output.status.success(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

#[test]
fn names_are_found_after_a_word_and_end_where_the_name_ends() {
    assert_eq!(names_after("CREATE VIEW a_b AS; CREATE VIEW c(d)", "CREATE VIEW "), ["a_b", "c"]);
    assert!(names_after("CREATE TABLE t", "CREATE VIEW ").is_empty());
}

#[test]
fn the_representative_rows_break_no_constraint_of_the_old_shell_either() {
    let file = File::empty();
    let printed = file.shell(REPRESENTATIVE);
    assert!(printed.ok && printed.err.is_empty(), "{}", printed.err);
    assert_eq!(file.value("SELECT count(*) FROM mainspring_runs"), "17");
}
