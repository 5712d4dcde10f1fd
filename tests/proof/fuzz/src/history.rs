//! Histories of migrations and the row that says which file this is, as no library writes them. A file that is refused
//! is left as it was.

use std::fs;

use mainspring::{Error, OpenOptions};
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::dice::Dice;
use crate::errors::judge;
use crate::hostile::{self, say};
use crate::{Verdict, file};

pub(crate) fn case(_: u64, dice: &mut Dice) -> Verdict {
    let copy = file::Copy::of(&file::NEW);
    let conn = copy.unchecked();
    for _ in 0..=dice.below(3) {
        edit(&conn, dice);
    }
    conn.close().map_err(|(_, error)| error.to_string())?;
    let before = fs::read(&copy.path).map_err(|error| error.to_string())?;
    let opened = OpenOptions::new(&copy.path).migrate();
    let again = OpenOptions::new(&copy.path).migrate();
    match (opened, again) {
        (Ok(_), Ok(second)) if second.applied.is_empty() => Ok(()),
        (Ok(first), second) => Err(format!("opened with {first:?}, and then {second:?}")),
        (Err(error), again) => {
            refused(&error)?;
            if fs::read(&copy.path).map_err(|error| error.to_string())? != before {
                return Err(format!("refused, and changed all the same: {error}"));
            }
            match again {
                Err(second) if second.to_string() == error.to_string() => Ok(()),
                other => Err(format!("refused with {error}, and then {other:?}")),
            }
        }
    }
}

fn refused(error: &Error) -> Verdict {
    judge("opening", error)?;
    match error {
        Error::NewerSchema { .. }
        | Error::DivergedHistory { .. }
        | Error::MalformedHistory { .. }
        | Error::Migration { .. }
        | Error::NotADatabase { .. }
        | Error::ForeignApplicationId { .. } => Ok(()),
        other => Err(format!("refused for a reason that is none: {other:?}")),
    }
}

/// Statements with one value each; those that the file does not let happen are no case.
const EDITS: &[&str] = &[
    "UPDATE mainspring_schema_history SET version = ?1 WHERE version = 1",
    "UPDATE mainspring_schema_history SET version = ?1 WHERE version = 2",
    "UPDATE mainspring_schema_history SET name = ?1 WHERE version = 1",
    "UPDATE mainspring_schema_history SET applied_on = ?1",
    "UPDATE mainspring_schema_history SET checksum = ?1 WHERE version = 2",
    "INSERT INTO mainspring_schema_history (version, name, applied_on, checksum)
     VALUES (3, ?1, '2026-01-01T00:00:00Z', '1')",
    "INSERT INTO mainspring_schema_history (version, name, applied_on, checksum)
     SELECT ?1, name, applied_on, checksum FROM mainspring_schema_history WHERE version = 1",
    "DELETE FROM mainspring_schema_history WHERE version = 1 AND ?1 IS NOT NULL",
    "DELETE FROM mainspring_schema_history WHERE ?1 IS NOT NULL",
    "UPDATE mainspring_meta SET oldest_writer = ?1",
    "UPDATE mainspring_meta SET database_uuid = ?1",
    "UPDATE mainspring_meta SET created_at_ms = ?1",
    "UPDATE mainspring_meta SET id = ?1",
    "DELETE FROM mainspring_meta WHERE ?1 IS NOT NULL",
];

/// Statements that change what tables there are.
const REBUILDS: &[&str] = &[
    "DROP TABLE mainspring_schema_history",
    "DROP TABLE mainspring_meta",
    "ALTER TABLE mainspring_schema_history RENAME TO refinery_schema_history",
    "CREATE TABLE refinery_schema_history (version TEXT, name, applied_on, checksum);
     INSERT INTO refinery_schema_history VALUES ('one', 2, x'03', NULL)",
    "ALTER TABLE mainspring_schema_history RENAME COLUMN checksum TO sum",
    "ALTER TABLE mainspring_meta RENAME COLUMN oldest_writer TO writer",
    "ALTER TABLE mainspring_meta DROP COLUMN created_at_ms",
    "DROP TABLE mainspring_schema_history;
     CREATE VIEW mainspring_schema_history AS SELECT 1 AS version, 'tables' AS name, '' AS applied_on, '' AS checksum",
    "DROP TABLE mainspring_schema_history;
     CREATE TABLE mainspring_schema_history (version, name, applied_on, checksum)",
    "DROP TABLE mainspring_misses",
    "DROP VIEW mainspring_job_view",
    "CREATE TABLE mainspring_metrics (a)",
    "PRAGMA application_id = 7",
    "PRAGMA user_version = -1",
    "PRAGMA journal_mode = DELETE",
];

fn edit(conn: &Connection, dice: &mut Dice) {
    let done = if dice.once_in(4) {
        let sql = *dice.pick(REBUILDS);
        say(|| sql.to_owned());
        conn.execute_batch(sql)
    } else {
        let (sql, value) = (*dice.pick(EDITS), value(dice));
        say(|| format!("{sql}, {value:?}"));
        conn.execute(sql, [value]).map(drop)
    };
    if let Err(error) = done {
        say(|| format!("  which the file does not let happen: {error}"));
    }
}

fn value(dice: &mut Dice) -> Value {
    match dice.below(8) {
        0 => Value::Null,
        1 => Value::Blob(hostile::bytes(dice)),
        2 => Value::Real(f64::from_bits(dice.word())),
        3 => Value::Integer(dice.within(-1..=4)),
        4 => Value::Integer(hostile::number(dice)),
        5 => Value::Text(
            (*dice.pick(&["1", "2", "tables", "views", "2026-01-01T00:00:00+25:00", "18446744073709551616"]))
                .to_owned(),
        ),
        _ => Value::Text(hostile::text(dice)),
    }
}
