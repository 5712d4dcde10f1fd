//! What SQLite asks of its files, by kind of operation and kind of file.

use std::fmt;
use std::path::{Path, PathBuf};

/// Declares an enum with a word for each value, for command lines and reports.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vmeta])* $variant,)+ }

        impl $name {
            /// Every value, in the order of the declaration.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word for it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(word: &str) -> Result<Self, String> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    other => Err(format!("{other:?} is none of {}", [$($word),+].join(", "))),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use words;

words! {
    /// An operation that can fail. Unlocking and closing are none: SQLite has no answer to their failing.
    Op {
        /// Opens a file.
        Open = "open",
        /// Deletes a file.
        Delete = "delete",
        /// Asks whether a file exists.
        Access = "access",
        /// Reads a piece of a file.
        Read = "read",
        /// Writes a piece of a file.
        Write = "write",
        /// Cuts a file.
        Truncate = "truncate",
        /// Brings what was written to the disk.
        Sync = "sync",
        /// Asks how long a file is.
        Size = "size",
        /// Takes a lock on the database file.
        Lock = "lock",
        /// Asks whether somebody is about to write.
        Reserved = "reserved",
        /// Maps a piece of the index of the log.
        ShmMap = "shm-map",
        /// Takes a lock in the index of the log.
        ShmLock = "shm-lock",
    }
}

words! {
    /// Which of a database's files it is.
    FileKind {
        /// The database itself.
        Database = "db",
        /// The write-ahead log.
        Wal = "wal",
        /// The index of the log, which processes share in memory.
        Shm = "shm",
        /// The rollback journal.
        Journal = "journal",
        /// A temporary file.
        Temp = "temp",
    }
}

impl FileKind {
    /// The kind that a name tells. The database is every name without one of SQLite's endings.
    pub fn of(path: &Path) -> Self {
        let name = path.to_string_lossy();
        [("-wal", Self::Wal), ("-shm", Self::Shm), ("-journal", Self::Journal)]
            .into_iter()
            .find_map(|(ending, kind)| name.ends_with(ending).then_some(kind))
            .unwrap_or(Self::Database)
    }
}

/// A file that SQLite has named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName {
    /// Its path; empty for a temporary file, which has none.
    pub path: PathBuf,
    /// Which of the database's files it is.
    pub kind: FileKind,
}

/// How often each operation was asked for, faults included.
#[derive(Clone, PartialEq, Eq)]
pub struct Counts(pub(crate) Vec<(Op, FileKind, u64)>);

impl Counts {
    /// Those that were asked for at all.
    pub fn iter(&self) -> impl Iterator<Item = (Op, FileKind, u64)> + '_ {
        self.0.iter().copied()
    }

    /// Those of one kind of operation; `None` is every kind. The same for files.
    pub fn of(&self, op: Option<Op>, file: Option<FileKind>) -> u64 {
        self.iter()
            .filter(|(o, f, _)| op.is_none_or(|op| op == *o) && file.is_none_or(|file| file == *f))
            .map(|(_, _, count)| count)
            .sum()
    }

    /// All together.
    pub fn total(&self) -> u64 {
        self.of(None, None)
    }
}

impl fmt::Debug for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(op, file, count)| (format!("{op} {file}"), count))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_by_the_end_of_its_name() {
        for (name, kind) in [
            ("/q/app.db", FileKind::Database),
            ("/q/app.db-wal", FileKind::Wal),
            ("/q/app.db-shm", FileKind::Shm),
            ("/q/app.db-journal", FileKind::Journal),
            ("/q-wal/app.db", FileKind::Database),
        ] {
            assert_eq!(FileKind::of(Path::new(name)), kind, "{name}");
        }
    }

    #[test]
    fn a_word_is_read_back_as_what_it_names() {
        for op in Op::ALL {
            assert_eq!(op.to_string().parse(), Ok(*op));
        }
        assert_eq!(
            "wall".parse::<FileKind>(),
            Err("\"wall\" is none of db, wal, shm, journal, temp".to_owned())
        );
    }
}
