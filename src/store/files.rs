//! The queue's files by path: the database, its folder, the folder of its owners.
//!
//! The database, its `-wal` and its `-shm` are never opened here while they exist: closing a descriptor of a
//! file drops every POSIX lock that this process holds on it, SQLite's among them. Looking by path is harmless.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::folder::Folder;
use super::identity::{self, Identity};
use crate::error::{Error, Result};

/// Where the database is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The path as it was given, made absolute; looked at to notice that the file was replaced.
    named: PathBuf,
    /// The path with all links in its folder followed; what SQLite opens.
    file: PathBuf,
    /// The write-ahead log, and the index of the log.
    log: PathBuf,
    index: PathBuf,
}

impl Place {
    /// Finds the folder and checks that the file, if there is one, is a plain file.
    ///
    /// # Errors
    /// [`Error::SymbolicLink`], [`Error::CannotOpen`].
    pub(super) fn find(path: &Path) -> Result<Self> {
        let named = std::path::absolute(path).map_err(|error| cannot_open(path, &error))?;
        let (Some(folder), Some(name)) = (named.parent(), named.file_name()) else {
            return Err(Error::CannotOpen { path: named, why: "it names no file".to_owned() });
        };
        let folder = fs::canonicalize(folder).map_err(|error| {
            let why = match error.kind() {
                ErrorKind::NotFound => "its folder does not exist: make it first".to_owned(),
                _ => format!("its folder: {error}"),
            };
            Error::CannotOpen { path: named.clone(), why }
        })?;
        let file = folder.join(name);
        let (log, index) = (beside(&file, "-wal"), beside(&file, "-shm"));
        let place = Self { named, file, log, index };
        place.plain_file()?;
        Ok(place)
    }

    /// The path as it was given, made absolute.
    pub(crate) fn named(&self) -> &Path {
        &self.named
    }

    /// The path that SQLite opens: no folder in it is a link.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Makes an empty file that only its owner may read, if there is none. One that exists is left as it is.
    pub(super) fn create_if_missing(&self, create: bool) -> Result<Identity> {
        if self.plain_file()?.is_none() {
            self.create(create)?;
        }
        self.identity()?.ok_or_else(|| Error::FileReplaced { path: self.named.clone() })
    }

    fn create(&self, create: bool) -> Result<()> {
        if !create {
            return Err(Error::CannotOpen {
                path: self.named.clone(),
                why: "it does not exist, and `OpenOptions::create` is off".to_owned(),
            });
        }
        // The file is new, so nothing has a lock on it that closing it could drop.
        match owner_only(fs::OpenOptions::new().write(true).create_new(true)).open(&self.file) {
            Ok(file) => owners_alone(&file, &self.named),
            // Another process was faster; what it made is looked at like any other file.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.plain_file().map(|_| ()),
            Err(error) => Err(cannot_create(&self.named, &error)),
        }
    }

    /// Checks that the path still names that file.
    ///
    /// # Errors
    /// [`Error::FileReplaced`].
    pub(super) fn is_still(&self, identity: Identity) -> Result<()> {
        if self.identity()? == Some(identity) {
            return Ok(());
        }
        Err(Error::FileReplaced { path: self.named.clone() })
    }

    /// The folder that all of them are in.
    pub(super) fn folder(&self) -> Folder {
        Folder::of(self.file.parent().unwrap_or(&self.file))
    }

    /// Which file the path names now, if there is one.
    fn identity(&self) -> Result<Option<Identity>> {
        // A folder that is a link may lead elsewhere by now: that is noticed too.
        identity_of(&self.named)
    }

    /// Whether frames wait in the write-ahead log.
    pub(super) fn has_log(&self) -> bool {
        self.log_bytes() > 0
    }

    /// How long the file of the write-ahead log is; 0 if there is none.
    pub(super) fn log_bytes(&self) -> u64 {
        identity::look(&self.log).ok().flatten().map_or(0, |found| found.length)
    }

    /// Which files the write-ahead log and its index are now.
    pub(super) fn log_files(&self) -> Result<LogFiles> {
        Ok(LogFiles { log: identity_of(&self.log)?, index: identity_of(&self.index)? })
    }

    /// Checks that the log and its index are still those files.
    ///
    /// # Errors
    /// [`Error::FileReplaced`] names the one that is not.
    pub(super) fn log_is_still(&self, files: LogFiles) -> Result<()> {
        let now = self.log_files()?;
        let replaced = |path: &Path| Err(Error::FileReplaced { path: path.to_owned() });
        match (now.log == files.log, now.index == files.index) {
            (false, _) => replaced(&self.log),
            (true, false) => replaced(&self.index),
            (true, true) => Ok(()),
        }
    }

    /// The folder of the owners' lock files, made with mode 0700 if there is none.
    ///
    /// # Errors
    /// [`Error::ReadOnly`] and [`Error::CannotOpen`].
    pub(crate) fn owners_dir(&self) -> Result<PathBuf> {
        let dir = self.beside(".owners");
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        match builder.create(&dir) {
            Ok(()) => return enterable(dir),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot_create(&dir, &error)),
        }
        // A link would let somebody else choose which files are locked.
        match fs::symlink_metadata(&dir) {
            Ok(found) if found.is_dir() => Ok(dir),
            Ok(found) if found.is_symlink() => Err(Error::SymbolicLink { path: dir }),
            Ok(_) => Err(Error::CannotOpen {
                path: dir,
                why: "it is no folder: the lock files of the engines go there".to_owned(),
            }),
            Err(error) => Err(cannot_open(&dir, &error)),
        }
    }

    /// Whether a new file can be made beside the database. Asked after an error only.
    pub(super) fn folder_is_writable(&self) -> bool {
        let probe = self.beside(&format!(".probe-{}", std::process::id()));
        match owner_only(fs::OpenOptions::new().write(true).create_new(true)).open(&probe) {
            Ok(_) => fs::remove_file(&probe).is_ok(),
            Err(error) => error.kind() == ErrorKind::AlreadyExists,
        }
    }

    fn plain_file(&self) -> Result<Option<fs::Metadata>> {
        match fs::symlink_metadata(&self.file) {
            Ok(found) if found.is_symlink() => Err(Error::SymbolicLink { path: self.named.clone() }),
            // SQLite takes a file of one byte for an empty one, because it makes such files itself on Apple's
            // systems. Elsewhere it is somebody's.
            Ok(found) if found.is_file() && found.len() == 1 && !cfg!(target_vendor = "apple") => {
                Err(Error::NotADatabase { path: self.named.clone() })
            }
            Ok(found) if found.is_file() => {
                warn_of_other_names(&found, &self.named);
                Ok(Some(found))
            }
            Ok(_) => {
                Err(Error::CannotOpen { path: self.named.clone(), why: "it is no plain file".to_owned() })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(cannot_open(&self.named, &error)),
        }
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        beside(&self.file, suffix)
    }
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Which files the write-ahead log and its index are; `None` where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogFiles {
    log: Option<Identity>,
    index: Option<Identity>,
}

impl LogFiles {
    /// Whether a log that there was is gone, and nobody has made another one.
    pub(super) fn lost_its_log(self, now: Self) -> bool {
        self.log.is_some() && now.log.is_none()
    }
}

/// Which file the path names, if there is one.
fn identity_of(path: &Path) -> Result<Option<Identity>> {
    match identity::look(path) {
        Ok(found) => Ok(found.map(|found| found.identity)),
        Err(source) => Err(Error::Io { what: format!("looking at {path:?}"), source }),
    }
}

/// SQLite keeps its log beside the name that it was given: under another name the file looks different.
#[cfg(unix)]
fn warn_of_other_names(found: &fs::Metadata, path: &Path) {
    let names = std::os::unix::fs::MetadataExt::nlink(found);
    if names > 1 {
        tracing::warn!(?path, names, "the database has several hard links: open it by one name only");
    }
}

#[cfg(not(unix))]
fn warn_of_other_names(_found: &fs::Metadata, _path: &Path) {}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn owner_only(options: &mut fs::OpenOptions) -> &mut fs::OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Gives a file that was just made the mode that it was made with: the umask may have taken rights from its owner, too.
pub(super) fn owners_alone(file: &File, path: &Path) -> Result<()> {
    set_mode(0o600, |mode| file.set_permissions(mode)).map_err(|error| cannot_create(path, &error))
}

/// The same for a folder.
fn enterable(dir: PathBuf) -> Result<PathBuf> {
    set_mode(0o700, |mode| fs::set_permissions(&dir, mode)).map_err(|error| cannot_create(&dir, &error))?;
    Ok(dir)
}

#[cfg(unix)]
fn set_mode(mode: u32, set: impl FnOnce(fs::Permissions) -> io::Result<()>) -> io::Result<()> {
    set(std::os::unix::fs::PermissionsExt::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_mode: u32, _set: impl FnOnce(fs::Permissions) -> io::Result<()>) -> io::Result<()> {
    Ok(())
}

fn cannot_open(path: &Path, error: &io::Error) -> Error {
    Error::CannotOpen { path: path.to_owned(), why: error.to_string() }
}

pub(super) fn cannot_create(path: &Path, error: &io::Error) -> Error {
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            Error::ReadOnly { path: path.to_owned() }
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::DiskFull,
        _ => cannot_open(path, error),
    }
}
