//! What opening a file does to it, and what is refused without touching it.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mainspring::{Error, OpenOptions};
use rusqlite::Connection;
use support::{Folder, Opener, migrated, migrations, mode, tamper, value};

/// Opens the file, which must be refused, and checks that nothing in its folder has changed.
fn refused(path: &Path) -> Error {
    refused_with(OpenOptions::new(path), path)
}

fn refused_with(options: OpenOptions, path: &Path) -> Error {
    let dir = path.parent().unwrap();
    let before = Folder::of(dir);
    let error = match options.migrate() {
        Ok(migrated) => panic!("{path:?} was opened: {migrated:?}"),
        Err(error) => error,
    };
    let after = Folder::of(dir);
    assert!(after == before, "{error:?} changed {:?} into {:?}", before.names(), after.names());
    error
}

// ---- files and folders

/// D11.11: secrets were readable by everybody, because files are made 0644 minus the umask.
#[test]
fn a_new_file_is_its_owners_alone_whatever_the_umask() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    let mut child = Opener::start_after("umask 0", &path);
    child.go();
    assert_eq!(child.outcome().as_deref(), Some("ok"));
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&dir.path().join("app.db.owners")), 0o700);
    assert_eq!(mode(&dir.path().join("app.db.owners/migrate.lock")), 0o600);
}

#[test]
fn the_mode_of_a_file_that_exists_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    OpenOptions::new(&path).migrate().unwrap();
    assert_eq!(mode(&path), 0o644);
}

#[test]
fn a_symbolic_link_is_refused_and_what_it_names_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("secret"), "do not touch").unwrap();
    for (link, target) in [("to_a_file", "secret"), ("to_nothing", "missing"), ("to_itself", "to_itself")] {
        let path = dir.path().join(link);
        symlink(target, &path).unwrap();
        assert!(matches!(refused(&path), Error::SymbolicLink { .. }), "{link}");
    }
}

#[test]
fn a_folder_may_be_a_symbolic_link() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("release-42")).unwrap();
    symlink("release-42", dir.path().join("current")).unwrap();
    OpenOptions::new(dir.path().join("current/app.db")).migrate().unwrap();
    assert!(dir.path().join("release-42/app.db").is_file());
}

#[test]
fn a_missing_folder_is_named_and_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let error = OpenOptions::new(dir.path().join("missing/app.db")).migrate().unwrap_err();
    assert!(matches!(&error, Error::CannotOpen { why, .. } if why.contains("folder")), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn what_is_no_plain_file_cannot_be_opened() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("folder")).unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    assert!(Command::new("mkfifo").arg(dir.path().join("pipe")).status().unwrap().success());
    for name in ["folder", "pipe"] {
        assert!(matches!(refused(&dir.path().join(name)), Error::CannotOpen { .. }), "{name}");
    }
    let below_a_file = OpenOptions::new(dir.path().join("file/app.db")).migrate();
    assert!(matches!(below_a_file, Err(Error::CannotOpen { .. })));
    assert!(matches!(OpenOptions::new("/").migrate(), Err(Error::CannotOpen { .. })));
}

#[test]
fn a_missing_file_is_not_made_where_that_is_off() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    assert!(matches!(refused_with(OpenOptions::new(&path).create(false), &path), Error::CannotOpen { .. }));
}

#[test]
fn paths_with_odd_names_are_plain_paths() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a b?mode=memory.db", "100%25.db", "x#y.db", "Grüße.db", "'; DROP TABLE x; --.db"] {
        let path = dir.path().join(name);
        OpenOptions::new(&path).migrate().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(path.is_file(), "{name}");
    }
}

#[test]
fn options_that_cannot_be_meant_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    let options = || OpenOptions::new(&path);
    let cases = [
        (OpenOptions::new(""), "path"),
        (OpenOptions::new(":memory:"), "path"),
        (OpenOptions::new("file:app.db?mode=ro"), "path"),
        (options().readers(0), "readers"),
        (options().readers(257), "readers"),
        (options().busy_timeout(Duration::from_secs(3_601)), "busy_timeout"),
        (options().vfs("no such thing"), "vfs"),
        (options().vfs("nul\0"), "vfs"),
    ];
    for (options, wanted) in cases {
        let error = options.migrate().unwrap_err();
        assert!(
            matches!(&error, Error::InvalidOption { option, .. } if *option == wanted),
            "{wanted}: {error:?}"
        );
    }
}

#[test]
fn a_named_vfs_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    // This VFS locks by making a folder beside the file. It has no shared memory, and so no WAL with others.
    let error = OpenOptions::new(&path).vfs("unix-dotfile").migrate().unwrap_err();
    assert!(matches!(error, Error::ConnectionSetting { setting: "journal_mode", .. }), "{error:?}");
    OpenOptions::new(&path).vfs("unix").migrate().unwrap();
}

// ---- what is no database, or another one

#[test]
fn what_is_no_database_is_refused_and_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let whole = fs::read(migrated(dir.path())).unwrap();
    let mut torn_header = whole.clone();
    torn_header[20..60].fill(0xff);
    let mut torn_schema = whole.clone();
    torn_schema[100..600].fill(0xff);
    let cases: [(&str, Vec<u8>); 7] = [
        ("text", b"# Shopping\n- milk\n".repeat(500)),
        ("one_byte", vec![b'S']),
        ("half_the_magic", whole[..8].to_vec()),
        ("half_the_header", whole[..50].to_vec()),
        ("half_a_page", whole[..2_000].to_vec()),
        ("torn_header", torn_header),
        ("torn_schema", torn_schema),
    ];
    for (name, bytes) in cases {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        let error = refused(&path);
        assert!(matches!(error, Error::NotADatabase { .. }), "{name}: {error:?}");
    }
}

#[test]
fn an_empty_file_is_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    fs::write(&path, "").unwrap();
    assert_eq!(OpenOptions::new(&path).migrate().unwrap().version, migrations());
}

/// The log of a file that was deleted by hand must not come back in the new file of the same name.
#[test]
fn a_log_that_an_older_file_left_behind_is_not_played_into_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    let old = Connection::open(&path).unwrap();
    old.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE old (x)").unwrap();
    let log = fs::read(dir.path().join("app.db-wal")).unwrap();
    old.close().unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(dir.path().join("app.db-wal"), log).unwrap();
    OpenOptions::new(&path).migrate().unwrap();
    assert_eq!(value::<i64>(&path, "SELECT count(*) FROM sqlite_schema WHERE name = 'old'"), 0);
    assert_eq!(value::<String>(&path, "PRAGMA integrity_check"), "ok");
}

#[test]
fn the_file_of_another_program_is_refused_unless_its_id_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    tamper(&path, "PRAGMA application_id = 0x0f055112; CREATE TABLE blobs (x)");
    let error = refused(&path);
    assert!(matches!(error, Error::ForeignApplicationId { found: 0x0f05_5112, .. }), "{error:?}");
    refused_with(OpenOptions::new(&path).application_id(7), &path);
    OpenOptions::new(&path).application_id(0x0f05_5112).migrate().unwrap();
    assert_eq!(value::<i64>(&path, "PRAGMA application_id"), 0x0f05_5112);
    assert!(matches!(refused(&path), Error::ForeignApplicationId { .. }));
}

#[test]
fn our_id_is_stamped_on_a_new_file_and_on_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let new = migrated(dir.path());
    assert_eq!(value::<i64>(&new, "PRAGMA application_id"), 0x4d4e_5350);
    let used = dir.path().join("used.db");
    tamper(&used, "CREATE TABLE users (name TEXT)");
    OpenOptions::new(&used).migrate().unwrap();
    assert_eq!(value::<i64>(&used, "PRAGMA application_id"), 0);
}

// ---- places that cannot be written

/// Root may write anywhere: the child is somebody else then.
fn somebody_opens(path: &Path) -> String {
    let mut exe = std::env::current_exe().unwrap();
    let copied = tempfile::tempdir().unwrap();
    let mut command;
    if nix::unistd::geteuid().is_root() {
        fs::set_permissions(copied.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let copy = copied.path().join("child");
        fs::copy(&exe, &copy).unwrap();
        exe = copy;
        command = Command::new(exe);
        command.uid(NOBODY).gid(NOBODY);
    } else {
        command = Command::new(exe);
    }
    let mut child = Opener::spawn(command.args(support::child_args()), path);
    child.go();
    child.outcome().expect("the child died")
}

const NOBODY: u32 = 65_534;

/// A folder with the given files, all of them the child's.
fn folder_of_somebody(files: &[(&Path, u32)], folder_mode: u32) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let theirs = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    };
    for (from, mode) in files {
        let to = dir.path().join("app.db");
        fs::copy(from, &to).unwrap();
        theirs(&to, *mode);
    }
    theirs(dir.path(), folder_mode);
    let path = dir.path().join("app.db");
    (dir, path)
}

#[test]
fn a_place_that_cannot_be_written_is_read_only() {
    let made = tempfile::tempdir().unwrap();
    let up_to_date = migrated(made.path());
    let plain = made.path().join("plain.db");
    tamper(&plain, "CREATE TABLE users (name TEXT)");
    let cases = [
        ("a missing file in a folder that cannot be written", folder_of_somebody(&[], 0o555)),
        ("an up-to-date file in such a folder", folder_of_somebody(&[(&up_to_date, 0o600)], 0o555)),
        ("another file in such a folder", folder_of_somebody(&[(&plain, 0o600)], 0o555)),
        ("an up-to-date file that cannot be written", folder_of_somebody(&[(&up_to_date, 0o400)], 0o755)),
        ("another file that cannot be written", folder_of_somebody(&[(&plain, 0o400)], 0o755)),
    ];
    for (what, (dir, path)) in cases {
        let before = Folder::of(dir.path());
        let outcome = somebody_opens(&path);
        assert!(outcome.starts_with("ReadOnly"), "{what}: {outcome}");
        assert!(Folder::of(dir.path()) == before, "{what}: {:?}", Folder::of(dir.path()).names());
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    }
    // The same with nothing in the way, so that the cases above failed for their own reason.
    let (_dir, path) = folder_of_somebody(&[(&plain, 0o600)], 0o755);
    assert_eq!(somebody_opens(&path), "ok");
}

#[test]
fn a_file_that_may_not_be_read_cannot_be_opened() {
    let made = tempfile::tempdir().unwrap();
    let whole = migrated(made.path());
    let (dir, path) = folder_of_somebody(&[(&whole, 0o000)], 0o755);
    let outcome = somebody_opens(&path);
    assert!(outcome.starts_with("CannotOpen"), "{outcome}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(Folder::of(dir.path()).names(), ["app.db"]);
    assert!(fs::read(&path).unwrap() == fs::read(&whole).unwrap());
}

// ---- histories

const HISTORY: &str = "mainspring_schema_history";

/// A file whose history was changed by `sql`, in which HISTORY stands for the table's name.
fn with_history(sql: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = migrated(dir.path());
    tamper(&path, &sql.replace("HISTORY", HISTORY));
    (dir, path)
}

#[test]
fn a_newer_schema_that_this_library_may_not_write_is_refused() {
    let (_dir, path) = with_history(
        "INSERT INTO HISTORY VALUES (99, 'later', '2031-01-01T00:00:00Z', '7');
         UPDATE mainspring_meta SET oldest_writer = 98;",
    );
    let error = refused(&path);
    assert!(
        matches!(error, Error::NewerSchema { found: 99, known, .. } if known == migrations()),
        "{error:?}"
    );
}

#[test]
fn a_migration_of_another_text_or_name_is_diverged() {
    for change in ["checksum = '42'", "name = 'other'"] {
        let (_dir, path) = with_history(&format!("UPDATE HISTORY SET {change} WHERE version = 1"));
        let error = refused(&path);
        assert!(matches!(error, Error::DivergedHistory { version: 1, .. }), "{change}: {error:?}");
    }
}

#[test]
fn a_history_that_no_migration_writes_is_malformed() {
    let cases = [
        "UPDATE HISTORY SET version = NULL WHERE version = 1",
        "UPDATE HISTORY SET version = 'one' WHERE version = 1",
        "UPDATE HISTORY SET version = -1 WHERE version = 1",
        "UPDATE HISTORY SET version = 7 WHERE version = 1",
        "UPDATE HISTORY SET name = NULL",
        "UPDATE HISTORY SET name = x'ff'",
        "UPDATE HISTORY SET name = CAST(x'ff' AS TEXT)",
        "UPDATE HISTORY SET checksum = ''",
        "UPDATE HISTORY SET checksum = '-1'",
        "UPDATE HISTORY SET checksum = 'abc'",
        "UPDATE HISTORY SET checksum = '99999999999999999999999'",
        "UPDATE HISTORY SET checksum = NULL",
        "UPDATE HISTORY SET applied_on = NULL",
        "UPDATE HISTORY SET applied_on = 'yesterday'",
        "DELETE FROM HISTORY",
        "DROP TABLE HISTORY",
        "DROP TABLE HISTORY; CREATE TABLE HISTORY (version INTEGER)",
        "DROP TABLE HISTORY; CREATE TABLE HISTORY (version, name, applied_on, checksum);
         INSERT INTO HISTORY VALUES (1, 'tables', '2026-01-01T00:00:00Z', '1'), (1, 'tables', '2026-01-01T00:00:00Z', '1')",
        "DELETE FROM mainspring_meta",
        "DROP TABLE mainspring_meta",
        "ALTER TABLE mainspring_meta RENAME oldest_writer TO other",
    ];
    for sql in cases {
        let (_dir, path) = with_history(sql);
        let error = refused(&path);
        assert!(matches!(error, Error::MalformedHistory { .. }), "{sql}: {error:?}");
    }
}

/// A process was killed, so that its last commits stand in the log only. A refusal must not play them in.
#[test]
fn a_refused_file_keeps_its_log() {
    let (dir, path) = with_history("SELECT 1");
    let conn = Connection::open(&path).unwrap();
    conn.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    conn.execute("UPDATE mainspring_schema_history SET checksum = '42' WHERE version = 1", []).unwrap();
    let left = tempfile::tempdir().unwrap();
    for name in ["app.db", "app.db-wal"] {
        fs::copy(dir.path().join(name), left.path().join(name)).unwrap();
    }
    let path = left.path().join("app.db");
    let bytes = |name: &str| fs::read(left.path().join(name)).unwrap();
    let before = (bytes("app.db"), bytes("app.db-wal"));
    let error = OpenOptions::new(&path).migrate().unwrap_err();
    assert!(matches!(error, Error::DivergedHistory { .. }), "{error:?}");
    assert!((bytes("app.db"), bytes("app.db-wal")) == before);
}

// ---- up to date

#[test]
fn opening_an_up_to_date_file_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = migrated(dir.path());
    fs::remove_dir_all(dir.path().join("app.db.owners")).unwrap();
    let before = Folder::of(dir.path());
    let migrated = OpenOptions::new(&path).migrate().unwrap();
    assert!(migrated.applied.is_empty());
    assert!(Folder::of(dir.path()) == before);
}

#[test]
fn opening_an_up_to_date_file_is_no_write_to_other_connections() {
    let dir = tempfile::tempdir().unwrap();
    let path = migrated(dir.path());
    let other = Connection::open(&path).unwrap();
    let data_version = || other.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0)).unwrap();
    let before = data_version();
    OpenOptions::new(&path).migrate().unwrap();
    assert_eq!(data_version(), before);
}

/// Whoever holds the write lock does not keep others from starting: an up-to-date start needs none.
#[test]
fn an_up_to_date_file_is_opened_while_another_connection_writes() {
    let dir = tempfile::tempdir().unwrap();
    let path = migrated(dir.path());
    let writer = Connection::open(&path).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE; DELETE FROM mainspring_queues").unwrap();
    OpenOptions::new(&path).busy_timeout(Duration::ZERO).migrate().unwrap();
}

#[test]
fn a_file_has_one_uuid_for_life() {
    let dir = tempfile::tempdir().unwrap();
    let options = OpenOptions::new(dir.path().join("app.db"));
    let first = options.migrate().unwrap();
    assert_eq!(first.database_uuid.len(), 32);
    assert_eq!(options.migrate().unwrap().database_uuid, first.database_uuid);
    let other = OpenOptions::new(dir.path().join("other.db")).migrate().unwrap();
    assert_ne!(other.database_uuid, first.database_uuid);
}

#[test]
#[ignore = "a child process of the other tests"]
fn a_child_opens_the_file() {
    support::be_a_child();
}
