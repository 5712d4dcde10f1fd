//! Shrink: the file gives back pages that a prune has emptied, a piece a transaction.

use rusqlite::{Connection, named_params};

use crate::error::Result;

/// What `auto_vacuum` must be for pages to be given back one by one.
const INCREMENTAL: i64 = 2;
/// Empty pages that stay: a mebibyte, or an eighth of a larger file. What comes next takes them again at once.
const LEAST_KEPT: i64 = 256;
const PART_KEPT: i64 = 8;

const MODE: &str = "PRAGMA auto_vacuum";
const EMPTY: &str = "PRAGMA freelist_count";
const PAGES: &str = "PRAGMA page_count";
// Half a mebibyte: each page at the end of the file is moved into an empty one.
const GIVE_BACK: &str = "PRAGMA incremental_vacuum(128)";
// Moving pages changes no row, and a transaction that has changed none is not committed.
const COUNT_AS_A_CHANGE: &str = "UPDATE mainspring_meta SET id = :id WHERE id = :id";

/// Sets that a new file can be shrunk. Only before anything is in it.
pub(super) fn allow(conn: &Connection) -> Result<()> {
    Ok(conn.pragma_update(None, "auto_vacuum", INCREMENTAL)?)
}

/// Whether there is nothing in the file, not even its first page.
pub(super) fn is_blank(conn: &Connection) -> Result<bool> {
    Ok(number(conn, PAGES)? == 0)
}

/// Gives back one piece; whether that was all. Nothing of a file that somebody else has made, where SQLite keeps no
/// account of what lies where.
pub(crate) fn shrink(tx: &Connection) -> Result<bool> {
    if number(tx, MODE)? != INCREMENTAL {
        return Ok(true);
    }
    let kept = LEAST_KEPT.max(number(tx, PAGES)? / PART_KEPT);
    if number(tx, EMPTY)? <= kept {
        return Ok(true);
    }
    let mut statement = tx.prepare_cached(GIVE_BACK)?;
    let mut rows = statement.query([])?;
    // It answers with a row a page, and goes on when it is asked for the next one.
    while rows.next()?.is_some() {}
    tx.prepare_cached(COUNT_AS_A_CHANGE)?.execute(named_params! { ":id": 1 })?;
    Ok(false)
}

fn number(conn: &Connection, pragma: &'static str) -> Result<i64> {
    Ok(conn.prepare_cached(pragma)?.query_row([], |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use rusqlite::{Transaction, TransactionBehavior};

    use super::*;
    use crate::store::{Database, OpenOptions};

    const FILL: &str = "
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
        INSERT INTO mainspring_queues (name) SELECT printf('%08d', i) || hex(zeroblob(1000)) FROM n";

    /// The pages of the file when it was full and after it was emptied and shrunk, and the largest piece.
    fn shrunk(conn: &Connection) -> (i64, i64, i64) {
        conn.execute(FILL, []).unwrap();
        let full = number(conn, PAGES).unwrap();
        conn.execute("DELETE FROM mainspring_queues", []).unwrap();
        let (mut largest, mut before) = (0, full);
        loop {
            let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate).unwrap();
            let is_all = shrink(&tx).unwrap();
            tx.commit().unwrap();
            let now = number(conn, PAGES).unwrap();
            largest = largest.max(before - now);
            before = now;
            if is_all {
                return (full, now, largest);
            }
        }
    }

    #[test]
    fn empty_pages_are_given_back_in_pieces_but_for_some() {
        let dir = tempfile::tempdir().unwrap();
        let conn = Database::open(&OpenOptions::new(dir.path().join("app.db"))).unwrap().writer().unwrap();
        let (full, after, largest) = shrunk(&conn);
        assert!(full > 1_500 && after < 400 && largest <= 140, "{full} {after} {largest}");
        assert!(number(&conn, EMPTY).unwrap() > LEAST_KEPT - 140);
    }

    #[test]
    fn a_file_that_somebody_else_has_made_keeps_its_pages() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (it)").unwrap();
        let conn = Database::open(&OpenOptions::new(&path)).unwrap().writer().unwrap();
        let (full, after, _) = shrunk(&conn);
        assert_eq!(full, after);
    }
}
