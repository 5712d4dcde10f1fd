//! Whether anything in a folder was made, removed or renamed. The folder tells by its time, and is asked in a small part
//! of the time that it takes to look its files up by name.

use std::path::Path;
use std::time::{Duration, Instant};

/// For so long at most the folder's word is taken: that somebody moved the folder itself, with all that is in it, does
/// not show in its time.
const TRUSTED_FOR: Duration = Duration::from_millis(100);

/// A folder that changed less than this long ago may change again at what its file system takes for the same time:
/// before 6.13, Linux counts in steps of up to ten milliseconds.
#[cfg(target_os = "linux")]
const SETTLED_AFTER: Duration = Duration::from_millis(40);
/// The same where times are whole seconds: some file systems keep no more, or an even number of them.
#[cfg(target_os = "linux")]
const SECONDS_SETTLED_AFTER: Duration = Duration::from_secs(4);

/// When the names in a folder changed last, in nanoseconds since 1970 by the clock of its file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Changed(i128);

/// A folder whose files were looked at.
#[derive(Debug)]
pub(super) struct Folder {
    open: Option<Open>,
    /// When its names had changed last as its files were looked at, and until when that is of use.
    seen: Option<(Changed, Instant)>,
}

impl Folder {
    /// Where the system has no such word for it, or no descriptor is left, its files have to be looked at each time.
    pub(super) fn of(path: &Path) -> Self {
        Self { open: Open::at(path), seen: None }
    }

    /// Whether every name in it leads where it led when its files were looked at.
    pub(super) fn is_as_it_was(&self) -> bool {
        let (Some(open), Some((seen, until))) = (&self.open, self.seen) else { return false };
        Instant::now() < until && open.changed() == Some(seen)
    }

    /// To be asked before its files are looked at, for [`was_looked_at`](Self::was_looked_at).
    pub(super) fn changed(&self) -> Option<Changed> {
        self.open.as_ref().and_then(Open::changed_a_while_ago)
    }

    /// Its files are what they should be, and were looked at after it had changed last then.
    pub(super) fn was_looked_at(&mut self, changed: Option<Changed>) {
        self.seen = changed.map(|changed| (changed, Instant::now() + TRUSTED_FOR));
    }

    /// Its files have to be looked at.
    pub(super) fn forget(&mut self) {
        self.seen = None;
    }
}

#[cfg(target_os = "linux")]
use linux::Open;

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::OwnedFd;
    use std::path::Path;
    use std::time::SystemTime;

    use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, open, statx};

    use super::{Changed, SECONDS_SETTLED_AFTER, SETTLED_AFTER};

    /// A folder that can be asked, and nothing else: closing it drops no lock.
    #[derive(Debug)]
    pub(super) struct Open(OwnedFd);

    impl Open {
        pub(super) fn at(path: &Path) -> Option<Self> {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            Some(Self(open(path, flags, Mode::empty()).ok()?))
        }

        /// `None` where the file system does not tell, or the folder is gone.
        pub(super) fn changed(&self) -> Option<Changed> {
            let wanted = StatxFlags::MTIME | StatxFlags::NLINK;
            let found = statx(&self.0, "", AtFlags::EMPTY_PATH, wanted).ok()?;
            let tells = StatxFlags::from_bits_retain(found.stx_mask).contains(wanted) && found.stx_nlink > 0;
            let (seconds, nanos) = (i128::from(found.stx_mtime.tv_sec), i128::from(found.stx_mtime.tv_nsec));
            tells.then_some(Changed(seconds * 1_000_000_000 + nanos))
        }

        pub(super) fn changed_a_while_ago(&self) -> Option<Changed> {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
            let changed = self.changed()?;
            let in_seconds = changed.0 % 1_000_000_000 == 0;
            let settled = now.checked_sub(if in_seconds { SECONDS_SETTLED_AFTER } else { SETTLED_AFTER })?;
            (changed.0 <= i128::try_from(settled.as_nanos()).ok()?).then_some(changed)
        }
    }
}

#[cfg(not(target_os = "linux"))]
use elsewhere::Open;

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::path::Path;

    use super::Changed;

    /// Nothing to ask.
    #[derive(Debug)]
    pub(super) enum Open {}

    impl Open {
        pub(super) fn at(_path: &Path) -> Option<Self> {
            None
        }

        pub(super) fn changed(&self) -> Option<Changed> {
            match *self {}
        }

        pub(super) fn changed_a_while_ago(&self) -> Option<Changed> {
            match *self {}
        }
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::SystemTime;

    use super::*;

    fn set_time(dir: &Path, time: SystemTime) {
        fs::File::open(dir).unwrap().set_times(fs::FileTimes::new().set_modified(time)).unwrap();
    }

    /// A folder with files in it that were looked at, long after they were made.
    fn looked_at(dir: &Path) -> Folder {
        for name in ["app.db", "app.db-wal"] {
            fs::write(dir.join(name), name).unwrap();
        }
        set_time(dir, SystemTime::now() - Duration::from_secs(60));
        let mut folder = Folder::of(dir);
        assert!(!folder.is_as_it_was());
        let changed = folder.changed();
        assert!(changed.is_some());
        folder.was_looked_at(changed);
        // The machine may be busy, and the folder's word is not taken for long.
        folder.seen = changed.map(|changed| (changed, Instant::now() + Duration::from_secs(60)));
        assert!(folder.is_as_it_was());
        folder
    }

    #[test]
    fn a_file_that_is_written_to_is_no_change_of_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let folder = looked_at(dir.path());
        fs::write(dir.path().join("app.db"), "longer than it was").unwrap();
        assert!(folder.is_as_it_was());
    }

    #[test]
    fn whatever_becomes_of_a_name_changes_the_folder() {
        type Deed = fn(&Path);
        let deeds: [Deed; 6] = [
            |dir| fs::remove_file(dir.join("app.db-wal")).unwrap(),
            |dir| fs::rename(dir.join("app.db"), dir.join("moved.db")).unwrap(),
            |dir| fs::rename(dir.join("app.db-wal"), dir.with_extension("moved")).unwrap(),
            |dir| fs::rename(dir.join("app.db-wal"), dir.join("app.db")).unwrap(),
            |dir| fs::write(dir.join("another"), "").unwrap(),
            |dir| fs::remove_dir_all(dir).unwrap(),
        ];
        for deed in deeds {
            let parent = tempfile::tempdir().unwrap();
            let dir = parent.path().join("folder");
            fs::create_dir(&dir).unwrap();
            let mut folder = looked_at(&dir);
            deed(&dir);
            assert!(!folder.is_as_it_was());
            // It has just changed, and may change again at the same time.
            assert_eq!(folder.changed(), None);
            folder.was_looked_at(None);
            assert!(!folder.is_as_it_was());
        }
    }

    #[test]
    fn what_a_folder_says_is_of_use_for_a_tenth_of_a_second() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = looked_at(dir.path());
        let (_, until) = {
            folder.was_looked_at(folder.changed());
            folder.seen.unwrap()
        };
        assert!(until <= Instant::now() + TRUSTED_FOR);
        folder.seen = folder.seen.map(|(changed, _)| (changed, Instant::now()));
        assert!(!folder.is_as_it_was());
        folder.was_looked_at(folder.changed());
        folder.forget();
        assert!(!folder.is_as_it_was());
    }

    #[test]
    fn a_folder_whose_time_lies_ahead_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = looked_at(dir.path());
        set_time(dir.path(), SystemTime::now() + Duration::from_secs(60));
        assert!(!folder.is_as_it_was());
        assert_eq!(folder.changed(), None);
    }

    #[test]
    fn a_time_in_whole_seconds_is_believed_once_it_is_several_seconds_old() {
        let dir = tempfile::tempdir().unwrap();
        let folder = looked_at(dir.path());
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let seconds = |ago: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(now - ago);
        for (time, is_believed) in
            [(seconds(2), false), (seconds(2) + Duration::from_nanos(1), true), (seconds(60), true)]
        {
            set_time(dir.path(), time);
            assert_eq!(folder.changed().is_some(), is_believed, "{time:?}");
        }
    }
}
