//! A folder on a real disk: this tier is about one.

use std::path::PathBuf;

use nix::sys::statfs::{FsType, TMPFS_MAGIC, statfs};
use tempfile::TempDir;

use crate::Outcome;

const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);

/// A new folder in the first of the usual places that is no memory.
pub(crate) fn folder() -> Outcome<TempDir> {
    let beside = std::env::current_exe()?.parent().map(PathBuf::from);
    let places = [Some(std::env::temp_dir()), Some(PathBuf::from("/var/tmp")), beside];
    for place in places.into_iter().flatten() {
        if statfs(&place).is_ok_and(|found| ![TMPFS_MAGIC, RAMFS_MAGIC].contains(&found.filesystem_type())) {
            return Ok(tempfile::Builder::new().prefix("mainspring-chaos-").tempdir_in(place)?);
        }
    }
    Err("there is no real disk: set TMPDIR to a folder on one".into())
}
