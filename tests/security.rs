//! What SECURITY.md says of files and links.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod stage;
mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use mainspring::{Engine, Error, OpenOptions, Queue};
use stage::puppet::puppet;
use support::{Opener, mode};

#[test]
#[ignore = "a child of the tests in this file"]
fn a_child_opens_the_file() {
    support::be_a_child();
}

// ---- modes and links

/// A umask that takes rights from the owner as well left files that nobody could open again, but for root.
#[test]
fn files_are_their_owners_alone_under_every_umask() {
    for umask in ["0", "022", "0277", "0777"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.db");
        let mut child = Opener::start_after(&format!("umask {umask}"), &path);
        child.go();
        assert_eq!(child.outcome().as_deref(), Some("ok"), "umask {umask}");
        let modes = ["app.db", "app.db.owners/migrate.lock", "app.db.owners"]
            .map(|name| mode(&dir.path().join(name)));
        assert_eq!(modes, [0o600, 0o600, 0o700], "umask {umask}");
    }
}

/// Two folders: that of the queue, and one in which something lies that is to be left alone.
struct Place {
    dir: tempfile::TempDir,
    elsewhere: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap(), elsewhere: tempfile::tempdir().unwrap() };
        fs::write(place.target(), "do not touch").unwrap();
        place
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("app.db")
    }

    fn target(&self) -> PathBuf {
        self.elsewhere.path().join("target")
    }

    fn is_untouched(&self) {
        assert_eq!(fs::read(self.target()).unwrap(), b"do not touch");
        assert_eq!(fs::read_dir(self.elsewhere.path()).unwrap().count(), 1);
    }
}

fn is_a_link<T: std::fmt::Debug>(refused: Result<T, Error>, link: &Path) {
    let link = link.file_name().unwrap();
    assert!(
        matches!(&refused, Err(Error::SymbolicLink { path }) if path.file_name() == Some(link)),
        "{refused:?}"
    );
}

#[test]
fn a_link_in_the_place_of_the_database_is_refused() {
    let place = Place::new();
    symlink(place.target(), place.path()).unwrap();
    is_a_link(OpenOptions::new(place.path()).migrate(), &place.path());
    place.is_untouched();
}

/// Whoever may put it there could choose which files are made and locked.
#[tokio::test]
async fn a_link_in_the_place_of_the_owners_folder_is_refused() {
    let place = Place::new();
    let link = place.dir.path().join("app.db.owners");
    symlink(place.elsewhere.path(), &link).unwrap();
    is_a_link(OpenOptions::new(place.path()).migrate(), &link);
    place.is_untouched();
    // The same where it was put there later, for an engine.
    fs::remove_file(&link).unwrap();
    let queue = Queue::open(place.path()).await.unwrap();
    fs::rename(&link, place.dir.path().join("moved")).unwrap();
    symlink(place.elsewhere.path(), &link).unwrap();
    let (handler, _calls) = puppet();
    is_a_link(Engine::builder(queue).handler(handler).build().unwrap().start().await.map(drop), &link);
    place.is_untouched();
}

/// A lock on what a link names is no lock, and opening it made a file wherever the link led.
#[test]
fn a_link_in_the_place_of_a_lock_file_is_refused_and_makes_no_file_elsewhere() {
    for name in ["target", "missing"] {
        let place = Place::new();
        let owners = place.dir.path().join("app.db.owners");
        fs::create_dir(&owners).unwrap();
        let link = owners.join("migrate.lock");
        symlink(place.elsewhere.path().join(name), &link).unwrap();
        is_a_link(OpenOptions::new(place.path()).migrate(), &link);
        place.is_untouched();
    }
}

/// SQLite itself follows none there.
#[test]
fn a_link_in_the_place_of_the_log_is_refused() {
    for suffix in ["-wal", "-shm"] {
        let place = Place::new();
        OpenOptions::new(place.path()).migrate().unwrap();
        symlink(place.target(), place.dir.path().join(format!("app.db{suffix}"))).unwrap();
        let refused = OpenOptions::new(place.path()).migrate().unwrap_err();
        assert!(
            matches!(refused, Error::CannotOpen { .. } | Error::ReadOnly { .. }),
            "{suffix}: {refused:?}"
        );
        place.is_untouched();
    }
}
