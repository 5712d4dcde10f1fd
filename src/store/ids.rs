//! Ids, reserved several at a time. SQLite notes each id that it gives in a table, which is one more page in each
//! transaction; an id up to the one noted there is written without it, and is given to nobody else.

use std::cell::Cell;

use rusqlite::{Connection, OptionalExtension, named_params};

use crate::error::Result;

/// A table whose ids a writer reserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Jobs,
    Runs,
}

// Whatever somebody made of the sequence by hand: what is there already is not reserved.
const RESERVE_JOBS: &str = "
UPDATE sqlite_sequence
SET seq = max(CAST(seq AS INTEGER), coalesce((SELECT max(id) FROM mainspring_jobs), 0)) + :more
WHERE name = 'mainspring_jobs'
RETURNING seq";

const RESERVE_RUNS: &str = "
UPDATE sqlite_sequence
SET seq = max(CAST(seq AS INTEGER), coalesce((SELECT max(id) FROM mainspring_runs), 0)) + :more
WHERE name = 'mainspring_runs'
RETURNING seq";

const LAST: &str = "
SELECT CAST(seq AS INTEGER)
FROM sqlite_sequence
WHERE name = :table_name";

const GIVE_BACK: &str = "
UPDATE sqlite_sequence
SET seq = :given
WHERE name = :table_name AND seq = :reserved";

/// Of the ids that were given one after the other, one in so many is reserved for later: what a process that is killed
/// leaves unused is that part at most.
const ONE_IN: i64 = 4;

/// So many are reserved at most.
const MOST: i64 = 256;

/// The ids that a writer has reserved in each table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ids {
    jobs: Cell<Reserved>,
    runs: Cell<Reserved>,
}

/// They are of use while nobody gives others: ids go up from one transaction to the next, whoever makes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Reserved {
    /// The last one that was given.
    given: i64,
    /// The last one that is reserved: what SQLite has noted.
    last: i64,
    /// How many were given one after the other.
    in_a_row: i64,
}

impl Table {
    const ALL: [Self; 2] = [Self::Jobs, Self::Runs];

    const fn name(self) -> &'static str {
        match self {
            Self::Jobs => "mainspring_jobs",
            Self::Runs => "mainspring_runs",
        }
    }
}

impl Ids {
    /// The id of the next row; `None` where SQLite is to give it.
    pub(super) fn next(&self, tx: &Connection, table: Table) -> Result<Option<i64>> {
        let mut ids = self.of(table).get();
        if ids.given == ids.last {
            let more = (ids.in_a_row / ONE_IN).min(MOST);
            let last = if more == 0 { None } else { reserve(tx, table, more)? };
            (ids.given, ids.last) = last.map_or((0, 0), |last| (last - more, last));
        }
        ids.in_a_row += 1;
        let id = (ids.given < ids.last).then(|| {
            ids.given += 1;
            ids.given
        });
        self.of(table).set(ids);
        Ok(id)
    }

    /// SQLite gives ids beyond those that are reserved, and those that are left are given to nobody.
    pub(super) fn passed_over(&self, table: Table) {
        self.of(table).take();
    }

    /// Looks whether another connection has given ids.
    pub(crate) fn look(&self, tx: &Connection) -> Result<()> {
        for table in Table::ALL {
            let ids = self.of(table).get();
            if ids.last > 0 && noted(tx, table)? != Some(ids.last) {
                self.passed_over(table);
            }
        }
        Ok(())
    }

    /// Gives back what is left, unless somebody has given others since.
    pub(crate) fn give_back(&self, tx: &Connection) -> Result<()> {
        for table in Table::ALL {
            let Reserved { given, last, .. } = self.of(table).take();
            if given < last {
                tx.prepare_cached(GIVE_BACK)?.execute(named_params! {
                    ":table_name": table.name(),
                    ":given": given,
                    ":reserved": last,
                })?;
            }
        }
        Ok(())
    }

    fn of(&self, table: Table) -> &Cell<Reserved> {
        match table {
            Table::Jobs => &self.jobs,
            Table::Runs => &self.runs,
        }
    }
}

/// Reserves so many; the last of them. `None` where SQLite has given none yet.
fn reserve(tx: &Connection, table: Table, more: i64) -> Result<Option<i64>> {
    let sql = match table {
        Table::Jobs => RESERVE_JOBS,
        Table::Runs => RESERVE_RUNS,
    };
    Ok(tx.prepare_cached(sql)?.query_row(named_params! { ":more": more }, |row| row.get(0)).optional()?)
}

/// The last id that SQLite has noted.
fn noted(tx: &Connection, table: Table) -> Result<Option<i64>> {
    let last = tx
        .prepare_cached(LAST)?
        .query_row(named_params! { ":table_name": table.name() }, |row| row.get::<_, Option<i64>>(0))
        .optional()?;
    Ok(last.flatten())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::store::{Database, OpenOptions};

    fn file() -> (TempDir, Connection) {
        let dir = tempfile::tempdir().unwrap();
        let conn = Database::open(&OpenOptions::new(dir.path().join("queue.db"))).unwrap().writer().unwrap();
        (dir, conn)
    }

    /// Inserts a run with the next id.
    fn insert(conn: &Connection, ids: &Ids) -> i64 {
        let id = ids.next(conn, Table::Runs).unwrap();
        insert_as(conn, id)
    }

    fn insert_as(conn: &Connection, id: Option<i64>) -> i64 {
        let sql = "INSERT INTO mainspring_runs
            (id, job_id, job_revision, kind, queue, scheduled_for_ms, attempt, trigger, owner_id, claimed_at_ms)
            VALUES (?1, 1, 1, 'kind', 'default', (SELECT count(*) FROM mainspring_runs), 1, 'schedule', 1, 1)";
        conn.execute(sql, [id]).unwrap();
        conn.last_insert_rowid()
    }

    #[test]
    fn ids_go_up_by_one_however_many_are_reserved() {
        let (_dir, conn) = file();
        let ids = Ids::default();
        let given: Vec<i64> = (0..2_000).map(|_| insert(&conn, &ids)).collect();
        assert!(given.into_iter().eq(1..=2_000));
        let left = noted(&conn, Table::Runs).unwrap().unwrap() - 2_000;
        assert!((1..=MOST).contains(&left), "{left} are reserved");
        ids.give_back(&conn).unwrap();
        assert_eq!(insert(&conn, &ids), 2_001);
    }

    #[test]
    fn what_a_killed_writer_leaves_unused_is_a_quarter_of_what_it_gave_at_most() {
        for given in [1, 4, 7, 8, 50, 300, 1_500] {
            let (_dir, conn) = file();
            let ids = Ids::default();
            for _ in 0..given {
                insert(&conn, &ids);
            }
            let next = insert(&conn, &Ids::default());
            assert!(next - given - 1 <= given / ONE_IN, "{given} were given, then {next}");
        }
    }

    #[test]
    fn an_id_is_higher_than_all_before_it_whoever_gave_them() {
        let (_dir, conn) = file();
        let (one, other) = (Ids::default(), Ids::default());
        let mut last = 0;
        for turn in 0..200 {
            let id = match turn % 37 {
                0 => insert_as(&conn, None),
                5..11 => insert(&conn, &other),
                _ => insert(&conn, &one),
            };
            assert!(id > last, "{id} after {last}");
            last = id;
            one.look(&conn).unwrap();
            other.look(&conn).unwrap();
        }
    }

    #[test]
    fn an_id_is_not_given_again_when_its_row_is_gone() {
        let (_dir, conn) = file();
        let ids = Ids::default();
        for given in 1..100 {
            assert_eq!(insert(&conn, &ids), given);
            conn.execute_batch("UPDATE mainspring_runs SET ended_at_ms = 1; DELETE FROM mainspring_runs")
                .unwrap();
        }
        ids.give_back(&conn).unwrap();
        assert_eq!(insert_as(&conn, None), 100);
    }

    #[test]
    fn ids_that_are_reserved_are_of_no_use_in_a_file_that_was_taken_back() {
        let (_dir, conn) = file();
        let ids = Ids::default();
        for _ in 0..40 {
            insert(&conn, &ids);
        }
        for (seq, noted_then) in [("'none'", Some(0)), ("NULL", None), ("7", Some(7))] {
            conn.execute_batch(&format!("UPDATE sqlite_sequence SET seq = {seq}")).unwrap();
            let ids = ids.clone();
            ids.look(&conn).unwrap();
            assert_eq!(ids.next(&conn, Table::Runs).unwrap(), None);
            ids.give_back(&conn).unwrap();
            assert_eq!(noted(&conn, Table::Runs).unwrap(), noted_then);
        }
    }

    #[test]
    fn whatever_somebody_made_of_the_sequence_no_id_is_given_that_is_there() {
        for seq in ["7", "-1", "'none'", "NULL", "2.5", "1000"] {
            let (_dir, conn) = file();
            for _ in 0..40 {
                insert_as(&conn, None);
            }
            conn.execute_batch(&format!("UPDATE sqlite_sequence SET seq = {seq}")).unwrap();
            let ids = Ids::default();
            let given: Vec<i64> = (0..40).map(|_| insert(&conn, &ids)).collect();
            assert!(given[0] > 40 && given.is_sorted(), "{seq}: {given:?}");
        }
        let (_dir, conn) = file();
        conn.execute_batch("DELETE FROM sqlite_sequence").unwrap();
        let ids = Ids::default();
        assert!((0..40).map(|_| insert(&conn, &ids)).eq(1..=40));
    }
}
