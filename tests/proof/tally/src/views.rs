//! Files without the views, which are for people.

use std::path::Path;

use rusqlite::Connection;

/// Takes the views out of a file that many processes will open: nothing that is tried reads them, and to parse them is
/// two thirds of what a connection does before its first statement.
///
/// # Errors
/// Why it could not be done.
pub fn drop_views(path: &Path) -> Result<(), String> {
    let all = "SELECT coalesce(group_concat(format('DROP VIEW %w;', name), ''), '') FROM sqlite_schema WHERE type = 'view'";
    let dropped = Connection::open(path).and_then(|conn| {
        let drops: String = conn.query_row(all, [], |row| row.get(0))?;
        conn.execute_batch(&drops)?;
        // What they filled is given back, or the library would do so in the middle of what is tried.
        conn.execute_batch("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)")
    });
    dropped.map_err(|error| format!("dropping the views of {}: {error}", path.display()))
}
