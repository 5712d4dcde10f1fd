//! Lock files: opened without following a link, and held by the one process that makes or migrates the file.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::busy;
use super::files::{Place, cannot_create, millis, owner_only, owners_alone};
use super::identity::Identity;
use crate::error::{Error, Result};

/// Held by the one process that makes or migrates the file.
#[derive(Debug)]
pub(super) struct MigrationLock {
    _file: File,
}

impl MigrationLock {
    /// Waits for the lock, asking each millisecond.
    ///
    /// # Errors
    /// [`Error::Busy`] when another process holds it for longer than `timeout`.
    pub(super) fn take(place: &Place, timeout: Duration) -> Result<Self> {
        let path = place.owners_dir()?.join("migrate.lock");
        let mut tries = 0;
        loop {
            let file = lock_file(&path)?;
            match file.try_lock() {
                Ok(()) if is_still_there(&file, &path)? => return Ok(Self { _file: file }),
                // Somebody removed the file: a lock on it keeps nobody out.
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => {}
                Err(fs::TryLockError::Error(source)) => {
                    return Err(Error::Io { what: format!("locking {path:?}"), source });
                }
            }
            if tries >= busy::tries(timeout) {
                return Err(Error::Busy { waited_ms: millis(timeout) });
            }
            tries += 1;
            thread::sleep(busy::STEP);
        }
    }
}

/// Opens the file, or makes it. A link is not followed: what it names is somebody else's.
fn lock_file(path: &Path) -> Result<File> {
    let refused = |error: io::Error| match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => Error::SymbolicLink { path: path.to_owned() },
        _ => cannot_create(path, &error),
    };
    let mut options = fs::OpenOptions::new();
    let made = owner_only(options.write(true).create_new(true)).open(path);
    match made {
        Ok(file) => owners_alone(&file, path).map(|()| file),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            not_followed(fs::OpenOptions::new().write(true)).open(path).map_err(refused)
        }
        Err(error) => Err(refused(error)),
    }
}

/// Opens no link, and waits for no pipe.
pub(crate) fn not_followed(options: &mut fs::OpenOptions) -> &mut fs::OpenOptions {
    #[cfg(unix)]
    {
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        std::os::unix::fs::OpenOptionsExt::custom_flags(options, flags.bits().cast_signed());
    }
    options
}

fn is_still_there(file: &File, path: &Path) -> Result<bool> {
    let held = file.metadata().map_err(Error::io(format!("looking at {path:?}")))?;
    Ok(fs::symlink_metadata(path).is_ok_and(|found| Identity::of(&found) == Identity::of(&held)))
}
