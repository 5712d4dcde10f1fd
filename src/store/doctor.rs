//! What must hold in every file at every moment, as queries that return no row. `Queue::doctor` runs them for
//! people; every crash, model and soak test ends with them.

mod invariants;
#[cfg(test)]
mod tests;

use std::fmt;

use invariants::{INVARIANTS, Invariant};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::brief::brief;
use crate::error::Result;

/// One row that breaks an invariant of the file.
///
/// A file that only the library and its schema have written has none. A finding is therefore either a bug of the
/// library or the trace of an edit that went around the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What should hold, as a sentence in snake_case.
    pub invariant: &'static str,
    /// Which row breaks it, and how.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.detail)
    }
}

/// Runs every invariant and returns what breaks it, at most 20 rows of each.
///
/// It reads the whole history: seconds on a file of millions of runs. Run it inside a read transaction where
/// others write, so that all queries see the same moment.
pub(crate) fn doctor(conn: &Connection) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for invariant in INVARIANTS {
        examine(conn, invariant, &mut findings)?;
    }
    Ok(findings)
}

/// Runs SQLite's own check of the whole file: pages, indexes, NOT NULL and CHECK constraints, the host
/// application's tables included. It reads every page.
pub(crate) fn integrity(conn: &Connection) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    examine(conn, &invariants::SOUND_FILE, &mut findings)?;
    Ok(findings)
}

fn examine(conn: &Connection, invariant: &Invariant, findings: &mut Vec<Finding>) -> Result<()> {
    let mut statement = conn.prepare(invariant.sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        // What breaks an invariant may be no text, either.
        let detail = match row.get_ref("detail")? {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => brief(String::from_utf8_lossy(bytes)),
            other => format!("{other:?}"),
        };
        findings.push(Finding { invariant: invariant.name, detail });
    }
    Ok(())
}
