//! Calendars: dates and times that schedules leave out, shared by name.

use rusqlite::{Connection, OptionalExtension, named_params};

use crate::brief::{Quoted, brief};
use crate::error::{Error, Result};
use crate::schedule::Calendar;
use crate::time::Timestamp;

const LOAD: &str = "
SELECT definition
FROM mainspring_calendars
WHERE name = :name";

const STORE: &str = "
INSERT INTO mainspring_calendars (name, definition, updated_at_ms)
VALUES (:name, :definition, :now_ms)
ON CONFLICT (name) DO UPDATE
SET definition = excluded.definition, updated_at_ms = excluded.updated_at_ms";

/// The calendar of that name, if there is one.
pub(crate) fn load(tx: &Connection, name: &str) -> Result<Option<Calendar>> {
    let text: Option<String> = tx
        .prepare_cached(LOAD)?
        .query_row(named_params! { ":name": name }, |row| row.get("definition"))
        .optional()?;
    text.map(|text| {
        serde_json::from_str(&text).map_err(|error| Error::MalformedRow {
            table: "mainspring_calendars",
            id: 0,
            column: format!("definition of {}", Quoted(name)),
            why: brief(error),
        })
    })
    .transpose()
}

/// Creates or replaces a calendar. Times that are already planned stay; the next one that is planned follows it.
pub(crate) fn store(tx: &Connection, name: &str, calendar: &Calendar, now: Timestamp) -> Result<()> {
    let definition = serde_json::to_string(calendar)
        .map_err(|error| Error::Serialize { what: "calendar", why: error.to_string() })?;
    tx.prepare_cached(STORE)?.execute(named_params! {
        ":name": name,
        ":definition": definition,
        ":now_ms": now,
    })?;
    Ok(())
}
