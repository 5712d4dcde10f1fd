//! Clocks are read at the edges; everything else is told what time it is.

use super::{Source, assert_none, sources};

const READS: &[&str] = &["Utc::now", "Local::now", "SystemTime::now", "Instant::now", "SystemClock"];

/// SQLite has a clock too.
const READS_IN_SQL: &[&str] = &["'now'", "CURRENT_TIMESTAMP", "CURRENT_TIME", "CURRENT_DATE"];

/// Files and folders that own a clock: the clock itself, the handle, the engine, the thread that drives the core,
/// the command line. The front page only re-exports. A folder is asked for its time, and that is the file system's.
const EDGES: &[&str] = &[
    "time.rs",
    "lib.rs",
    "queue.rs",
    "queue/",
    "engine.rs",
    "engine/",
    "core/inbox.rs",
    "core/sync.rs",
    "store/folder.rs",
    "testing.rs",
    "bin/",
];

fn clocks_read(source: &Source) -> Vec<String> {
    if EDGES.iter().any(|edge| source.path.starts_with(edge)) {
        return Vec::new();
    }
    let code = source.code_in_use();
    let in_code = READS.iter().flat_map(|read| code.match_indices(read));
    let in_code = in_code.map(|(at, read)| format!("{}: {read}", source.place(at)));
    let in_sql = source.literals_in_use().filter_map(|literal| {
        let read = READS_IN_SQL.iter().find(|read| literal.text.contains(*read))?;
        Some(format!("{}: {read} in SQL", source.place(literal.at)))
    });
    in_code.chain(in_sql).collect()
}

#[test]
fn clocks_are_read_at_the_edges_only() {
    let broken: Vec<String> = sources().iter().flat_map(clocks_read).collect();
    assert_none(&broken, "take `now` as an argument");
}

#[test]
fn a_clock_that_is_read_inside_is_found() {
    let found = |path: &str, text: &str| clocks_read(&Source::read(path, text)).len();
    assert_eq!(found("store/claim.rs", "let now = Utc::now();"), 1);
    assert_eq!(found("core/mod.rs", "let a = std::time::Instant::now(); let b = SystemTime::now();"), 2);
    assert_eq!(found("plan/mod.rs", "let now = SystemClock.now();"), 1);
    assert_eq!(found("store/claim.rs", "const SQL: &str = \"SELECT strftime('%s', 'now')\";"), 1);
    assert_eq!(found("store/claim.rs", "// not Utc::now()\nfn claim(now: Timestamp) {}"), 0);
    assert_eq!(found("engine/watchdog.rs", "let a = Instant::now();"), 0);
    assert_eq!(found("store/claim.rs", "#[cfg(test)]\nmod tests { fn f() { Instant::now(); } }"), 0);
}
