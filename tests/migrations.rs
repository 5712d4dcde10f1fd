//! Migrations: a first start that is killed anywhere heals at the next one, eight processes may start at once,
//! and a file that the refinery CLI migrated is ours as well.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use mainspring::{Error, OpenOptions};
use nix::sys::signal::Signal;
use refinery_core::{Migration, Runner, Target};
use rusqlite::Connection;
use support::killed::{self, Ended};
use support::{Folder, Opener, migrated, migrations, tamper, value};

/// "MNSP", the application id of a file that holds nothing but a queue.
const OURS: i64 = 0x4d4e_5350;

/// The first version of a migration and the row that says so were two transactions: a process killed between
/// them left tables without a history, and no later start could open the file. Now all is one transaction.
#[test]
fn a_first_start_killed_before_any_change_of_a_file_heals_at_the_next() {
    let mut killed_at = Vec::new();
    for nth in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.db");
        match killed::before_the_nth_change(&path, nth) {
            Ended::Killed(name) => killed_at.push(name),
            Ended::Done(outcome) => {
                assert_eq!(outcome.as_deref(), Some("ok"));
                break;
            }
        }
        is_whole_after_the_next_start(&path, OURS, nth);
    }
    // The walk has seen the making of the file, the log and the lock, the writes and the syncs.
    for name in ["openat", "pwrite", "fdatasync", "flock"] {
        assert!(killed_at.contains(&name), "never killed before {name}: {killed_at:?}");
    }
    assert!(killed_at.len() > 40, "{killed_at:?}");
}

#[test]
fn a_file_of_the_application_keeps_its_rows_when_the_first_start_in_it_is_killed() {
    for nth in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.db");
        tamper(
            &path,
            "PRAGMA application_id = 0; CREATE TABLE users (name TEXT); INSERT INTO users VALUES ('Ada');",
        );
        let ended = killed::before_the_nth_change(&path, nth);
        is_whole_after_the_next_start(&path, 0, nth);
        assert_eq!(value::<String>(&path, "SELECT name FROM users"), "Ada", "change {nth}");
        if let Ended::Done(outcome) = ended {
            assert_eq!(outcome.as_deref(), Some("ok"));
            break;
        }
    }
}

fn is_whole_after_the_next_start(path: &Path, application_id: i64, nth: usize) {
    let migrated = OpenOptions::new(path).migrate().unwrap_or_else(|error| panic!("change {nth}: {error:?}"));
    assert_eq!(migrated.version, migrations(), "change {nth}");
    let conn = Connection::open(path).unwrap();
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let text = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(number("SELECT count(*) FROM mainspring_schema_history"), migrations(), "change {nth}");
    assert_eq!(number("SELECT count(*) FROM mainspring_meta"), 1, "change {nth}");
    assert_eq!(number("PRAGMA application_id"), application_id, "change {nth}");
    assert_eq!(text("PRAGMA journal_mode"), "wal", "change {nth}");
    assert_eq!(text("PRAGMA integrity_check"), "ok", "change {nth}");
}

/// A write that would make a file larger than the limit is cut off there, and the process killed: the log then
/// ends in the middle of a frame, or the database in the middle of a page.
#[test]
fn a_first_start_killed_in_the_middle_of_a_write_heals_at_the_next() {
    let mut killed = 0;
    for blocks in (0..).step_by(3) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.db");
        let mut child = Opener::start_after(&format!("ulimit -c 0; ulimit -f {blocks}"), &path);
        child.go();
        let by_the_limit = killed::by(&mut child, Signal::SIGXFSZ);
        is_whole_after_the_next_start(&path, OURS, blocks);
        if !by_the_limit {
            assert_eq!(child.outcome().as_deref(), Some("ok"));
            break;
        }
        killed += 1;
    }
    assert!(killed > 20, "killed only {killed} times");
}

#[test]
fn eight_processes_that_open_a_new_file_at_once_all_succeed() {
    for round in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.db");
        let mut children: Vec<Opener> = (0..8).map(|_| Opener::start(&path)).collect();
        children.iter_mut().for_each(Opener::go);
        let outcomes: Vec<_> = children.into_iter().map(Opener::outcome).collect();
        assert!(
            outcomes.iter().all(|outcome| outcome.as_deref() == Some("ok")),
            "round {round}: {outcomes:?}"
        );
        is_whole_after_the_next_start(&path, OURS, round);
    }
}

#[test]
fn eight_processes_that_open_a_file_of_the_application_at_once_all_succeed() {
    for round in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.db");
        tamper(&path, "CREATE TABLE users (name TEXT)");
        let mut children: Vec<Opener> = (0..8).map(|_| Opener::start(&path)).collect();
        children.iter_mut().for_each(Opener::go);
        let outcomes: Vec<_> = children.into_iter().map(Opener::outcome).collect();
        assert!(
            outcomes.iter().all(|outcome| outcome.as_deref() == Some("ok")),
            "round {round}: {outcomes:?}"
        );
        is_whole_after_the_next_start(&path, 0, round);
    }
}

/// A migration that is added without touching the module that embeds them is not seen by the compiler.
#[test]
fn every_file_in_the_folder_is_embedded_and_applied_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let migrated = OpenOptions::new(dir.path().join("app.db")).migrate().unwrap();
    let mut files: Vec<String> = std::fs::read_dir(cli::MIGRATIONS)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    files.sort_by_key(|name| name[1..name.find("__").unwrap()].parse::<u32>().unwrap());
    assert_eq!(migrated.applied, files, "run `touch src/store/migrate.rs` if a file was added");
    assert_eq!(migrated.version, migrated.applied.len() as i64);
}

#[test]
fn a_file_migrated_by_the_refinery_cli_is_opened_and_nothing_is_applied() {
    for table in [cli::OURS, cli::DEFAULT] {
        let dir = tempfile::tempdir().unwrap();
        let path = cli::empty_file(dir.path());
        cli::migrate(dir.path(), table, Target::Latest).unwrap();
        let migrated = OpenOptions::new(&path).migrate().unwrap();
        assert_eq!((migrated.version, migrated.applied.len()), (migrations(), 0), "{table}");
        assert_eq!(value::<String>(&path, "PRAGMA journal_mode"), "wal");
        // And a second time, when it is a WAL file already.
        assert_eq!(OpenOptions::new(&path).migrate().unwrap(), migrated);
    }
}

#[test]
fn the_refinery_cli_has_nothing_to_do_after_the_library() {
    let dir = tempfile::tempdir().unwrap();
    let path = migrated(dir.path());
    cli::migrate(dir.path(), cli::OURS, Target::Latest).unwrap();
    assert_eq!(OpenOptions::new(&path).migrate().unwrap().applied, Vec::<String>::new());
}

#[test]
fn what_the_refinery_cli_began_is_continued_in_the_same_table() {
    for table in [cli::OURS, cli::DEFAULT] {
        let dir = tempfile::tempdir().unwrap();
        let path = cli::empty_file(dir.path());
        cli::migrate(dir.path(), table, Target::Version(1)).unwrap();
        let migrated = OpenOptions::new(&path).migrate().unwrap();
        assert_eq!((migrated.version, migrated.applied.len() as i64), (migrations(), migrations() - 1));
        assert_eq!(value::<i64>(&path, &format!("SELECT max(version) FROM {table}")), migrations());
        cli::migrate(dir.path(), table, Target::Latest).unwrap();
    }
}

#[test]
fn an_upgrade_killed_before_any_change_of_a_file_heals_at_the_next() {
    for nth in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let path = cli::empty_file(dir.path());
        cli::migrate(dir.path(), cli::OURS, Target::Version(1)).unwrap();
        tamper(&path, "INSERT INTO mainspring_queues (name) VALUES ('mail')");
        let ended = killed::before_the_nth_change(&path, nth);
        is_whole_after_the_next_start(&path, 0, nth);
        assert_eq!(value::<String>(&path, "SELECT name FROM mainspring_queues"), "mail", "change {nth}");
        if let Ended::Done(outcome) = ended {
            assert_eq!(outcome.as_deref(), Some("ok"));
            break;
        }
    }
}

/// An application that uses refinery itself has its own V1 in refinery's table: that says nothing about ours.
#[test]
fn a_history_of_the_application_in_refinerys_table_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = cli::empty_file(dir.path());
    let own = Migration::unapplied("V1__tables", "CREATE TABLE users (name TEXT)").unwrap();
    let mut conn = Connection::open(&path).unwrap();
    Runner::new(&[own]).run(&mut conn).unwrap();
    conn.close().unwrap();
    let before = value::<String>(&path, "SELECT checksum FROM refinery_schema_history");
    assert_eq!(OpenOptions::new(&path).migrate().unwrap().applied.len() as i64, migrations());
    assert_eq!(value::<String>(&path, "SELECT checksum FROM refinery_schema_history"), before);
    assert_eq!(value::<i64>(&path, &format!("SELECT count(*) FROM {}", cli::OURS)), migrations());
    assert_eq!(OpenOptions::new(&path).migrate().unwrap().applied.len(), 0);
}

/// The CLI with its default table on a file that the library made: it fails, and leaves an empty table behind.
#[test]
fn an_empty_history_left_by_a_failed_run_of_the_cli_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = migrated(dir.path());
    cli::migrate(dir.path(), cli::DEFAULT, Target::Latest).unwrap_err();
    assert_eq!(value::<i64>(&path, "SELECT count(*) FROM refinery_schema_history"), 0);
    assert_eq!(OpenOptions::new(&path).migrate().unwrap().applied.len(), 0);
}

/// A newer library adds what an older one need not know, and leaves `oldest_writer` behind: both may write.
#[test]
fn a_newer_schema_that_older_libraries_may_write_is_opened_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = migrated(dir.path());
    tamper(&path, &format!("INSERT INTO {} VALUES (99, 'later', '2031-01-01T00:00:00Z', '7')", cli::OURS));
    let before = Folder::of(dir.path());
    let migrated = OpenOptions::new(&path).migrate().unwrap();
    assert_eq!((migrated.version, migrated.applied.len()), (99, 0));
    assert_eq!(Folder::of(dir.path()), before);
}

/// While one process migrates, another one that may not wait any longer says that it is busy.
#[test]
fn a_start_that_waits_for_a_migration_beyond_the_busy_timeout_is_busy() {
    let dir = tempfile::tempdir().unwrap();
    let path = cli::empty_file(dir.path());
    let options = OpenOptions::new(&path).busy_timeout(Duration::from_millis(30));
    let owners = dir.path().join("app.db.owners");
    std::fs::create_dir(&owners).unwrap();
    let lock = std::fs::File::create(owners.join("migrate.lock")).unwrap();
    lock.lock().unwrap();
    let before = Folder::of(dir.path());
    assert!(matches!(options.migrate(), Err(Error::Busy { waited_ms: 30 })));
    assert_eq!(Folder::of(dir.path()), before);
    lock.unlock().unwrap();
    options.migrate().unwrap();
}

/// The database itself is locked by a long transaction of the application: the same.
#[test]
fn a_start_that_waits_for_a_writer_beyond_the_busy_timeout_is_busy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    tamper(&path, "PRAGMA journal_mode = WAL; CREATE TABLE users (name TEXT)");
    let writer = Connection::open(&path).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let options = OpenOptions::new(&path).busy_timeout(Duration::from_millis(30));
    assert!(matches!(options.migrate(), Err(Error::Busy { waited_ms: 30 })));
    writer.execute_batch("COMMIT").unwrap();
    options.migrate().unwrap();
}

/// A reader in the old journal mode keeps the file from becoming a WAL file; SQLite does not wait by itself.
#[test]
fn a_start_waits_for_a_reader_of_a_file_that_is_not_in_wal_mode() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    tamper(&path, "CREATE TABLE users (name TEXT); INSERT INTO users VALUES ('Ada')");
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM users").unwrap();
    let mut child = Opener::start(&path);
    child.go();
    let lock = until(|| std::fs::File::open(dir.path().join("app.db.owners/migrate.lock")).ok());
    until(|| match lock.try_lock_shared() {
        Ok(()) => lock.unlock().map(|()| None).unwrap(),
        Err(_) => Some(()),
    });
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(child.outcome().as_deref(), Some("ok"));
    let impatient = OpenOptions::new(&path).busy_timeout(Duration::ZERO);
    impatient.migrate().unwrap();
}

/// Asks again and again, for ten seconds at most.
fn until<T>(mut ready: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "it did not happen");
        std::thread::yield_now();
    }
}

#[test]
#[ignore = "a child process of the other tests"]
fn a_child_opens_the_file() {
    support::be_a_child();
}

/// What `refinery migrate -g -d -m -c ./refinery.toml -p migrations --table-name …` does, by the same calls.
mod cli {
    use std::fs;
    use std::path::{Path, PathBuf};

    use refinery_core::config::Config;
    use refinery_core::{Error, Migration, MigrationType, Report, Runner, Target, find_migration_files};

    pub(crate) const MIGRATIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
    const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/refinery.toml");
    pub(crate) const OURS: &str = "mainspring_schema_history";
    pub(crate) const DEFAULT: &str = "refinery_schema_history";

    /// The CLI makes no file, so that the guide begins with `touch app.db`.
    pub(crate) fn empty_file(dir: &Path) -> PathBuf {
        let path = dir.join("app.db");
        fs::write(&path, "").unwrap();
        path
    }

    /// With the configuration of this repository, whose path is relative to itself, beside the file.
    pub(crate) fn migrate(dir: &Path, table: &str, target: Target) -> Result<Report, Error> {
        let config_file = dir.join("refinery.toml");
        fs::copy(CONFIG, &config_file).unwrap();
        let mut config = Config::from_file_location(&config_file)?;
        let mut migrations = Vec::new();
        for file in find_migration_files(MIGRATIONS, MigrationType::Sql)? {
            let sql = fs::read_to_string(&file).unwrap();
            migrations.push(Migration::unapplied(file.file_stem().unwrap().to_str().unwrap(), &sql)?);
        }
        Runner::new(&migrations)
            .set_grouped(true)
            .set_abort_divergent(true)
            .set_abort_missing(true)
            .set_target(target)
            .set_migration_table_name(table)
            .run(&mut config)
    }
}
