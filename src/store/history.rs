//! What the file says about its own migrations. We look before refinery does: it panics on what it cannot read.

use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::LazyLock;

use chrono::DateTime;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};
use siphasher::sip::SipHasher13;

use super::migrate::embedded;
use crate::brief::Quoted;
use crate::error::{Error, Result};

/// The table of applied migrations. The application may use refinery itself, so it is not refinery's default.
pub(super) const OURS: &str = "mainspring_schema_history";
/// Where the refinery CLI writes when it is not told otherwise.
const REFINERY_DEFAULT: &str = "refinery_schema_history";

/// The migrations in this library, in order.
pub(super) static KNOWN: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let mut known: Vec<Known> = embedded()
        .get_migrations()
        .iter()
        .map(|m| Known::new(i64::from(m.version()), m.name(), m.sql().unwrap_or_default()))
        .collect();
    known.sort_by_key(|known| known.version);
    known
});

/// A migration in this library.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) version: i64,
    pub(super) name: String,
    checksums: [u64; 2],
}

impl Known {
    /// refinery hashes the version as 32 bits, or as 64 if anybody in the build turned its feature
    /// `int8-versions` on. Two builds of one library must not call each other's files diverged.
    fn new(version: i64, name: &str, sql: &str) -> Self {
        let short = i32::try_from(version).map_or(0, |version| checksum(version, name, sql));
        Self { version, name: name.to_owned(), checksums: [short, checksum(version, name, sql)] }
    }

    fn is(&self, applied: &Applied) -> bool {
        self.version == applied.version
            && self.name == applied.name
            && self.checksums.contains(&applied.checksum)
    }
}

fn checksum(version: impl Hash, name: &str, sql: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    name.hash(&mut hasher);
    version.hash(&mut hasher);
    sql.hash(&mut hasher);
    hasher.finish()
}

/// A migration on record in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Applied {
    version: i64,
    name: String,
    checksum: u64,
}

/// How the file stands to this library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// The table that holds the history.
    pub(super) table: &'static str,
    /// The version of the file.
    pub(super) version: i64,
    /// How many of the library's migrations are applied.
    pub(super) applied: usize,
}

impl Standing {
    pub(super) fn is_up_to_date(&self) -> bool {
        self.applied >= KNOWN.len()
    }
}

/// Reads how the file stands to this library. The caller holds a transaction, so that all is of one moment.
///
/// # Errors
/// [`Error::NewerSchema`], [`Error::DivergedHistory`], [`Error::MalformedHistory`].
pub(super) fn standing(conn: &Connection, path: &Path) -> Result<Standing> {
    let oldest_writer = oldest_writer(conn, path)?;
    let (table, applied) = history(conn, path, oldest_writer.is_some())?;
    let version = judge(&applied, &KNOWN, oldest_writer, path)?;
    Ok(Standing { table, version, applied: applied.len().min(KNOWN.len()) })
}

/// Checks that the file, migrated when it was opened, may still be written by this library.
pub(super) fn may_write(conn: &Connection, path: &Path) -> Result<()> {
    let known = newest(&KNOWN);
    match oldest_writer(conn, path)? {
        Some(oldest) if oldest <= known => Ok(()),
        Some(found) => Err(Error::NewerSchema { path: path.to_owned(), found, known }),
        None => Err(Error::MalformedHistory {
            path: path.to_owned(),
            why: "mainspring_meta is missing".to_owned(),
        }),
    }
}

/// The history in our table, or in refinery's default one if what stands there is ours.
fn history(conn: &Connection, path: &Path, has_tables: bool) -> Result<(&'static str, Vec<Applied>)> {
    if let Some(rows) = read(conn, OURS, path)?.filter(|rows| !rows.is_empty()) {
        return Ok((OURS, rows));
    }
    let is_first = |applied: &Applied| KNOWN.first().is_some_and(|known| known.is(applied));
    let named_first = |applied: &Applied| {
        KNOWN.first().is_some_and(|k| k.version == applied.version && k.name == applied.name)
    };
    match read(conn, REFINERY_DEFAULT, path) {
        Ok(Some(rows)) if rows.iter().any(is_first) => Ok((REFINERY_DEFAULT, rows)),
        // Our tables without a history of ours, and a first migration of our name: ours, with another text.
        Ok(Some(rows)) if has_tables && rows.iter().any(named_first) => Ok((REFINERY_DEFAULT, rows)),
        // Otherwise the application keeps its own history there, and how that reads is its own affair.
        Ok(_) | Err(Error::MalformedHistory { .. }) => Ok((OURS, Vec::new())),
        Err(error) => Err(error),
    }
}

/// Compares what is on record with what this library knows and returns the version of the file.
fn judge(applied: &[Applied], known: &[Known], oldest_writer: Option<i64>, path: &Path) -> Result<i64> {
    let malformed = |why: String| Error::MalformedHistory { path: path.to_owned(), why };
    let newest_known = newest(known);
    let Some(last) = applied.last() else {
        return match oldest_writer {
            None => Ok(0),
            Some(_) => Err(malformed("its tables are there, but no migration is on record".to_owned())),
        };
    };
    let Some(oldest_writer) = oldest_writer else {
        return Err(malformed("migrations are on record, but mainspring_meta is missing".to_owned()));
    };
    for (known, applied) in known.iter().zip(applied) {
        if known.version != applied.version {
            return Err(malformed(format!("V{} is not on record, V{} is", known.version, applied.version)));
        }
        if !known.is(applied) {
            return Err(Error::DivergedHistory {
                path: path.to_owned(),
                version: applied.version,
                name: applied.name.clone(),
            });
        }
    }
    // A newer library may add what an older one need not know; it says so by leaving `oldest_writer` behind.
    if oldest_writer > newest_known {
        let found = last.version.max(oldest_writer);
        return Err(Error::NewerSchema { path: path.to_owned(), found, known: newest_known });
    }
    Ok(last.version)
}

fn newest(known: &[Known]) -> i64 {
    known.last().map_or(0, |known| known.version)
}

/// The rows of a history table in the order of their versions; none if there is no such table.
fn read(conn: &Connection, table: &'static str, path: &Path) -> Result<Option<Vec<Applied>>> {
    let malformed = |why: String| Error::MalformedHistory { path: path.to_owned(), why };
    if !table_exists(conn, table)? {
        return Ok(None);
    }
    // The name is one of two constants: a table's name cannot be a parameter.
    let sql = match table {
        OURS => {
            "SELECT version, name, applied_on, checksum
             FROM mainspring_schema_history ORDER BY version"
        }
        _ => {
            "SELECT version, name, applied_on, checksum
             FROM refinery_schema_history ORDER BY version"
        }
    };
    let mut statement = match conn.prepare(sql) {
        Ok(statement) => statement,
        Err(error @ rusqlite::Error::SqlInputError { .. }) => {
            return Err(malformed(format!("{table}: {}", said(&error))));
        }
        Err(error) => return Err(error.into()),
    };
    let mut rows = statement.query([])?;
    let mut history: Vec<Applied> = Vec::new();
    while let Some(row) = rows.next()? {
        let applied =
            applied(row).map_err(|why| malformed(format!("{table}, row {}: {why}", history.len() + 1)))?;
        if history.last().is_some_and(|last| last.version == applied.version) {
            return Err(malformed(format!("{table}: V{} is on record twice", applied.version)));
        }
        history.push(applied);
    }
    Ok(Some(history))
}

fn applied(row: &Row<'_>) -> Result<Applied, String> {
    let version = match row.get_ref("version").map_err(|error| error.to_string())? {
        ValueRef::Integer(version) if version >= 0 => version,
        other => return Err(format!("its version is {}", in_words(other))),
    };
    let text = |column: &str| match row.get_ref(column).map_err(|error| error.to_string())? {
        ValueRef::Text(bytes) => {
            std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| format!("its {column} is not UTF-8"))
        }
        other => Err(format!("its {column} is {}", in_words(other))),
    };
    let applied_on = text("applied_on")?;
    DateTime::parse_from_rfc3339(&applied_on)
        .map_err(|_| format!("its applied_on is {}", Quoted(&applied_on)))?;
    let checksum = text("checksum")?;
    let checksum = checksum.parse().map_err(|_| format!("its checksum is {}", Quoted(&checksum)))?;
    Ok(Applied { version, name: text("name")?, checksum })
}

fn in_words(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "null".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) => Quoted(&String::from_utf8_lossy(bytes)).to_string(),
        ValueRef::Blob(bytes) => format!("a blob of {} bytes", bytes.len()),
    }
}

/// What SQLite says of a statement, without the statement.
fn said(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}

/// The first version that may write this file; none if our tables are not there.
fn oldest_writer(conn: &Connection, path: &Path) -> Result<Option<i64>> {
    if !table_exists(conn, "mainspring_meta")? {
        return Ok(None);
    }
    let malformed = |why: String| Error::MalformedHistory { path: path.to_owned(), why };
    let found = conn
        .query_row("SELECT oldest_writer FROM mainspring_meta WHERE id = 1", [], |row| {
            Ok(row.get_ref(0)?.as_i64().ok())
        })
        .optional();
    match found {
        Ok(Some(Some(version))) => Ok(Some(version)),
        Ok(_) => Err(malformed("mainspring_meta does not say who may write".to_owned())),
        Err(error @ rusqlite::Error::SqlInputError { .. }) => Err(malformed(said(&error))),
        Err(error) => Err(error.into()),
    }
}

/// Whether there is a table of that name.
fn table_exists(conn: &Connection, table: &str) -> Result<bool> {
    Ok(conn.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = :table COLLATE NOCASE)",
        rusqlite::named_params! { ":table": table },
        |row| row.get(0),
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(versions: &[i64]) -> Vec<Known> {
        versions.iter().map(|version| Known::new(*version, "name", "SELECT 1")).collect()
    }

    fn on_record(known: &[Known]) -> Vec<Applied> {
        let applied =
            |k: &Known| Applied { version: k.version, name: k.name.clone(), checksum: k.checksums[0] };
        known.iter().map(applied).collect()
    }

    fn judged(applied: &[Applied], known: &[Known], oldest_writer: i64) -> Result<i64> {
        judge(applied, known, Some(oldest_writer), Path::new("app.db"))
    }

    #[test]
    fn a_history_is_the_beginning_of_what_is_known_or_goes_on_from_it() {
        let known = known(&[1, 2, 3]);
        let all = on_record(&known);
        for n in 1..=3 {
            assert_eq!(judged(&all[..n], &known, 1).unwrap(), n as i64);
        }
        assert_eq!(judged(&all, &known[..2], 2).unwrap(), 3, "newer, but older libraries may write");
        let newer = judged(&all, &known[..2], 3);
        assert!(matches!(newer, Err(Error::NewerSchema { found: 3, known: 2, .. })));
    }

    #[test]
    fn a_gap_in_a_history_is_malformed() {
        let known = known(&[1, 2, 3]);
        let all = on_record(&known);
        for gap in [&all[1..], &[all[0].clone(), all[2].clone()]] {
            assert!(matches!(judged(gap, &known, 1), Err(Error::MalformedHistory { .. })));
        }
    }

    #[test]
    fn another_text_under_the_same_number_is_diverged() {
        let known = known(&[1, 2]);
        let mut applied = on_record(&known);
        applied[1].checksum ^= 1;
        assert!(matches!(judged(&applied, &known, 1), Err(Error::DivergedHistory { version: 2, .. })));
    }

    #[test]
    fn our_checksums_are_refinerys() {
        for (known, theirs) in KNOWN.iter().zip(embedded().get_migrations()) {
            assert!(known.checksums.contains(&theirs.checksum()), "{}", known.name);
        }
    }

    /// An application that uses refinery with timestamps as versions turns `int8-versions` on for the whole
    /// build, ours included: then the file of one build was diverged to the other. The numbers are refinery's
    /// own, computed with the feature off and on.
    #[test]
    fn a_file_of_a_build_with_wide_versions_is_the_same_file() {
        let known = Known::new(1, "initial", "CREATE TABLE a (b)");
        assert_eq!(known.checksums, [17_795_702_977_636_359_681, 9_405_057_897_738_577_067]);
    }
}
