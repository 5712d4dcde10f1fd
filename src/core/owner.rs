//! An owner's lock: a file that is locked for as long as its process lives. No clock decides who is dead.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::sabotage::{Bug, on};
use crate::store::not_followed;

/// The lock of one owner, held until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(super) struct OwnerLock {
    uuid: String,
    path: PathBuf,
    _file: File,
}

impl OwnerLock {
    /// Creates and locks a file of a new name. The owner's row comes after: a row that can be seen has a lock
    /// that is held.
    pub(super) fn take(dir: &Path) -> Result<Self> {
        let uuid = uuid::Uuid::new_v4().to_string();
        let path = path_of(dir, &uuid);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(Error::io(format!("cannot create the owner's lock {}", path.display())))?;
        // The umask may have taken rights from its owner, too.
        file.set_permissions(fs::Permissions::from_mode(0o600))
            .map_err(Error::io(format!("cannot set the mode of {}", path.display())))?;
        file.lock().map_err(Error::io(format!("cannot lock {}", path.display())))?;
        Ok(Self { uuid, path, _file: file })
    }

    pub(super) fn uuid(&self) -> &str {
        &self.uuid
    }

    /// Removes the file of an owner whose life has ended on record.
    pub(super) fn remove(self) {
        remove_file(&self.path);
    }
}

/// Whether the owner of that name is dead: its lock can be taken, or its file is gone.
///
/// # Errors
/// If the file can neither be opened nor is missing; then nothing is known, and the owner counts as alive.
pub(super) fn is_dead(dir: &Path, uuid: &str) -> Result<bool> {
    let path = path_of(dir, uuid);
    let file = match not_followed(OpenOptions::new().read(true)).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        // A link would let a file elsewhere say who is dead.
        Err(_) if fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink()) => {
            return Err(Error::SymbolicLink { path });
        }
        Err(source) => return Err(Error::Io { what: format!("cannot open {}", path.display()), source }),
    };
    match file.try_lock() {
        // The lock is let go with the file: it was taken only to know.
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) if on(Bug::RobPausedOwner) => Ok(is_older_than_two_seconds(&file)),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(source)) => {
            Err(Error::Io { what: format!("cannot lock {}", path.display()), source })
        }
    }
}

/// What a deliberate bug takes for a sign of death.
fn is_older_than_two_seconds(file: &File) -> bool {
    let age = file.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|at| at.elapsed().ok());
    age.is_some_and(|age| age.as_secs() >= 2)
}

/// Removes the lock file of an owner that was found dead and has nothing left.
pub(super) fn forget(dir: &Path, uuid: &str) {
    remove_file(&path_of(dir, uuid));
}

fn remove_file(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        // The owner's row says that it ended: the file is litter, not a fact.
        tracing::warn!(path = %path.display(), %error, "an owner's lock file could not be removed");
    }
}

fn path_of(dir: &Path, uuid: &str) -> PathBuf {
    // The name comes from a row that anybody with write access may edit: only its own characters, no path.
    let name: String = uuid.chars().filter(|c| c.is_ascii_hexdigit() || *c == '-').take(64).collect();
    dir.join(format!("{name}.lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_alive_while_its_lock_is_held_and_dead_after() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().to_owned();
        let lock = OwnerLock::take(&dir).unwrap();
        let uuid = lock.uuid().to_owned();
        assert!(!is_dead(&dir, &uuid).unwrap());
        drop(lock);
        // A child that another test begins just now has the lock as well, until it is a program of its own.
        let patience = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !is_dead(&dir, &uuid).unwrap() {
            assert!(std::time::Instant::now() < patience, "it is taken for alive");
            std::thread::yield_now();
        }
        assert!(is_dead(&dir, "no-such-owner").unwrap());
    }

    #[test]
    fn the_lock_is_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let lock = OwnerLock::take(dir.path()).unwrap();
        assert_eq!(fs::metadata(&lock.path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_link_or_a_pipe_in_the_place_of_a_lock_tells_nothing_of_an_owners_death() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("elsewhere"), "").unwrap();
        std::os::unix::fs::symlink("elsewhere", path_of(dir.path(), "0a")).unwrap();
        let refused = is_dead(dir.path(), "0a");
        assert!(matches!(refused, Err(Error::SymbolicLink { .. })), "{refused:?}");
        // Opening a pipe waits for somebody who writes into it, for ever.
        let pipe = path_of(dir.path(), "0b");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(is_dead(dir.path(), "0b").is_ok());
    }

    #[test]
    fn a_hostile_name_in_a_row_leads_nowhere() {
        assert_eq!(path_of(Path::new("/q"), "../../etc/passwd"), Path::new("/q/ecad.lock"));
    }
}
