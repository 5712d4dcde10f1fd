//! How a queue's connections are set, read back from them.

use std::fmt;

use crate::{Failure, Setting};

/// What was read.
#[derive(Clone, Debug)]
pub struct Settings {
    /// SQLite's version.
    pub sqlite: String,
    /// `PRAGMA journal_mode`.
    pub journal_mode: String,
    /// `PRAGMA synchronous` of each connection; none where the queue keeps its connection to itself.
    pub synchronous: Vec<i64>,
}

impl Settings {
    /// Compares it with what is claimed.
    pub(crate) fn check(&self, setting: Setting) -> Result<(), Failure> {
        let claimed = match setting {
            Setting::Own => return Ok(()),
            Setting::Normal => 1,
            Setting::Full => 2,
        };
        if self.journal_mode != "wal" || self.synchronous.iter().any(|read| *read != claimed) {
            return Err(format!("{setting:?} was asked for, and it is {self}").into());
        }
        Ok(())
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SQLite {}, journal_mode={}, synchronous=", self.sqlite, self.journal_mode)?;
        let mut levels = self.synchronous.clone();
        levels.sort_unstable();
        if levels.is_empty() {
            return f.write_str("not to be read");
        }
        for (index, same) in levels.chunk_by(|one, other| one == other).enumerate() {
            let level = match same {
                [0, ..] => "OFF",
                [1, ..] => "NORMAL",
                [2, ..] => "FULL",
                _ => "EXTRA",
            };
            let and = if index == 0 { "" } else { " and " };
            let all = levels.len();
            if all == 1 {
                f.write_str(level)?;
            } else {
                write!(f, "{and}{level} on {} of {all} connections", same.len())?;
            }
        }
        Ok(())
    }
}

/// A package's version in a lock file.
pub(crate) fn version_in<'a>(lock: &'a str, package: &str) -> Result<&'a str, Failure> {
    let name = format!("name = \"{package}\"\nversion = \"");
    let version = lock.split_once(&name).and_then(|(_, rest)| rest.split('"').next());
    version.ok_or_else(|| format!("the lock file has no {package:?}").into())
}
