//! What a path names: which file, how long it is, and nothing of its times.
//!
//! Since 6.13 Linux promises whoever asks for the times of a file that the next write shows in them. That write changes
//! the inode, and the sync after it writes the inode as well: asked for before each commit, the times that nobody wanted
//! made a synced commit a third slower.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

/// What is known of what a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) identity: Identity,
    /// In bytes.
    pub(super) length: u64,
}

impl Identity {
    #[cfg(unix)]
    pub(super) fn of(found: &fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { device: found.dev(), inode: found.ino() }
    }

    /// Elsewhere an open file can be neither deleted nor replaced; that it exists is all there is to see.
    #[cfg(not(unix))]
    pub(super) fn of(_found: &fs::Metadata) -> Self {
        Self { device: 0, inode: 0 }
    }
}

/// What the path names, a link itself if it is one; `None` if it names nothing.
pub(super) fn look(path: &Path) -> io::Result<Option<Named>> {
    match look_without_times(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(target_os = "linux")]
fn look_without_times(path: &Path) -> io::Result<Named> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};
    use rustix::io::Errno;

    match statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::INO | StatxFlags::SIZE) {
        Ok(found) => Ok(Named {
            identity: Identity {
                device: makedev(found.stx_dev_major, found.stx_dev_minor),
                inode: found.stx_ino,
            },
            length: found.stx_size,
        }),
        // Before 4.11, or in a sandbox that does not know the call.
        Err(Errno::NOSYS | Errno::PERM) => look_at_all(path),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn look_without_times(path: &Path) -> io::Result<Named> {
    look_at_all(path)
}

fn look_at_all(path: &Path) -> io::Result<Named> {
    let found = fs::symlink_metadata(path)?;
    Ok(Named { identity: Identity::of(&found), length: found.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_look_see_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        assert_eq!(look(&path).unwrap(), None);
        assert_eq!(look(&path.join("below")).unwrap(), None);
        fs::write(&path, "seven b").unwrap();
        let found = look(&path).unwrap().unwrap();
        assert_eq!(found, look_at_all(&path).unwrap());
        assert_eq!(found.length, 7);
        assert_eq!(look(&path.join("below")).unwrap(), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_not_what_it_leads_to() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&path, "").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_ne!(look(&path).unwrap(), look(&link).unwrap());
        assert_eq!(look(&link).unwrap(), Some(look_at_all(&link).unwrap()));
    }
}
