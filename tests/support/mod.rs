//! What the tests of opening share: what a folder holds, and child processes that open a file.
#![allow(dead_code, unreachable_pub, reason = "each test file is a crate of its own and uses a part of it")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use mainspring::OpenOptions;
use rusqlite::Connection;

pub mod killed;

/// Everything in a folder: names, modes and bytes. No SQLite may be open on it in this process.
#[derive(Debug, PartialEq, Eq)]
pub struct Folder(BTreeMap<PathBuf, (u32, Option<Vec<u8>>)>);

impl Folder {
    pub fn of(dir: &Path) -> Self {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let bytes = meta.is_file().then(|| fs::read(&path).unwrap());
            if meta.is_dir() {
                found.extend(Self::of(&path).0);
            }
            found.insert(path, (meta.permissions().mode(), bytes));
        }
        Self(found)
    }

    /// The names in it, for a message shorter than the bytes.
    pub fn names(&self) -> Vec<String> {
        self.0.keys().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }
}

/// The permission bits of a file.
pub fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// A file with the schema in it, closed.
pub fn migrated(dir: &Path) -> PathBuf {
    let path = dir.join("app.db");
    OpenOptions::new(&path).migrate().unwrap();
    path
}

/// Changes a closed file as no library does, and closes it again.
pub fn tamper(path: &Path, sql: &str) {
    let conn = Connection::open(path).unwrap();
    conn.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    conn.close().unwrap();
}

/// One value from a file.
pub fn value<T: rusqlite::types::FromSql>(path: &Path, sql: &str) -> T {
    let conn = Connection::open(path).unwrap();
    conn.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// How many migrations there are.
pub fn migrations() -> i64 {
    fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap().count() as i64
}

const FILE: &str = "MAINSPRING_TEST_FILE";
/// The ignored test in each file that is a child's main function: it calls [`be_a_child`].
pub const CHILD: &str = "a_child_opens_the_file";

/// A process that opens a file once it is told to.
pub struct Opener {
    pub process: Child,
    /// Its thread that opens the file.
    pub thread: i32,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Opener {
    /// Starts one that waits for [`Self::go`].
    pub fn start(path: &Path) -> Self {
        Self::spawn(Command::new(std::env::current_exe().unwrap()).args(child_args()), path)
    }

    /// Starts one under a shell that runs `before` first.
    pub fn start_after(before: &str, path: &Path) -> Self {
        let script = format!("{before}; exec \"$@\"");
        let exe = std::env::current_exe().unwrap();
        Self::spawn(Command::new("sh").args(["-c", &script, "sh"]).arg(exe).args(child_args()), path)
    }

    /// Starts the given command, which ends in this program with [`child_args`].
    pub fn spawn(command: &mut Command, path: &Path) -> Self {
        let mut process = command
            .env(FILE, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = process.stdin.take().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let thread = answer(&mut stdout, "thread: ").expect("the child did not start").parse().unwrap();
        Self { process, thread, stdin, stdout }
    }

    pub fn go(&mut self) {
        self.stdin.write_all(b"go\n").unwrap();
    }

    /// Waits for its end: "ok", the error's debug text, or nothing if it was killed.
    pub fn outcome(mut self) -> Option<String> {
        let outcome = answer(&mut self.stdout, "outcome: ");
        self.process.wait().unwrap();
        outcome
    }
}

/// The arguments with which this program becomes a child.
pub fn child_args() -> [&'static str; 5] {
    ["--exact", CHILD, "--ignored", "--nocapture", "--test-threads=1"]
}

/// What a child does: say which thread it is, wait, open the file, say how that went.
pub fn be_a_child() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let thread = fs::read_link("/proc/thread-self").unwrap_or_else(|_| PathBuf::from("0"));
    println!("\nthread: {}", thread.file_name().unwrap().to_string_lossy());
    std::io::stdin().read_line(&mut String::new()).unwrap();
    match OpenOptions::new(path).migrate() {
        Ok(_) => println!("\noutcome: ok"),
        Err(error) => println!("\noutcome: {error:?}"),
    }
}

fn answer(stdout: &mut BufReader<ChildStdout>, prefix: &str) -> Option<String> {
    let mut line = String::new();
    while stdout.read_line(&mut line).unwrap() > 0 {
        if let Some(rest) = line.strip_prefix(prefix) {
            return Some(rest.trim_end().to_owned());
        }
        line.clear();
    }
    None
}
