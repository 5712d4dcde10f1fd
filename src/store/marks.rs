//! What a writer leaves in each transaction, to find out what became of a commit that returned an error.

use rusqlite::{Connection, OptionalExtension, named_params};

use crate::error::Result;
use crate::job::JobId;
use crate::time::Timestamp;

/// What is in the file if, and only if, a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The number of the transaction in the writer's row.
    Number(i64),
    /// The first job that it enqueued: its row names the writer.
    Job(JobId),
}

const MARK: &str = "
INSERT INTO mainspring_writers (id, transaction_no, written_at_ms)
VALUES (:id, :transaction_no, :now_ms)
ON CONFLICT (id) DO UPDATE
SET transaction_no = excluded.transaction_no, written_at_ms = excluded.written_at_ms";

const NUMBERED: &str = "
SELECT transaction_no
FROM mainspring_writers
WHERE id = :id";

// A job that is gone was there: until it knows what became of its commit, a writer enqueues no other.
const ENQUEUED: &str = "
SELECT
    EXISTS (SELECT 1 FROM mainspring_jobs WHERE id = :job_id AND writer_id = :id)
    OR EXISTS (SELECT 1 FROM mainspring_writers WHERE id = :id AND removed_job_id >= :job_id)";

const FORGET: &str = "
DELETE FROM mainspring_writers
WHERE id = :id OR written_at_ms < :before_ms";

/// Rows of writers that wrote nothing there for so long are dropped, in milliseconds.
const KEPT_MS: i64 = 30 * DAY_MS;

/// A row that is as old is written again, so that nobody drops it.
const RENEWED_MS: i64 = DAY_MS;

const DAY_MS: i64 = 86_400_000;

/// Leaves the number of the transaction in the writer's row.
pub(crate) fn leave(tx: &Connection, writer: i64, transaction_no: i64, now: Timestamp) -> Result<()> {
    tx.prepare_cached(MARK)?.execute(named_params! {
        ":id": writer,
        ":transaction_no": transaction_no,
        ":now_ms": now,
    })?;
    Ok(())
}

/// Whether a writer's row that was written then needs to be written again, whatever else tells of a transaction: a job
/// that is removed says so there.
pub(crate) fn is_old(written_at: Timestamp, now: Timestamp) -> bool {
    !(0..RENEWED_MS).contains(&now.millis().saturating_sub(written_at.millis()))
}

/// Whether the transaction that left this mark is in the file.
pub(crate) fn is_there(conn: &Connection, writer: i64, mark: Mark) -> Result<bool> {
    Ok(match mark {
        Mark::Number(number) => {
            let last: Option<i64> = conn
                .prepare_cached(NUMBERED)?
                .query_row(named_params! { ":id": writer }, |row| row.get(0))
                .optional()?;
            last == Some(number)
        }
        Mark::Job(id) => conn
            .prepare_cached(ENQUEUED)?
            .query_row(named_params! { ":id": writer, ":job_id": id }, |row| row.get(0))?,
    })
}

/// Drops the writer's row when it closes, and those of writers that are long gone.
pub(crate) fn forget(tx: &Connection, writer: i64, now: Timestamp) -> Result<()> {
    let before = Timestamp::from_millis(now.millis().saturating_sub(KEPT_MS));
    tx.prepare_cached(FORGET)?.execute(named_params! { ":id": writer, ":before_ms": before })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::job::{JobArgs, Limits, NewJob};
    use crate::store::enqueue::enqueue_many;
    use crate::store::ids::Ids;
    use crate::store::{Database, OpenOptions, Tx, cancel};

    const NOW: Timestamp = Timestamp::from_millis(1_767_600_000_000);
    const WRITER: i64 = 5;

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Nothing;
    impl JobArgs for Nothing {
        const KIND: &'static str = "nothing";
    }

    fn file() -> (TempDir, Connection) {
        let dir = tempfile::tempdir().unwrap();
        let conn = Database::open(&OpenOptions::new(dir.path().join("queue.db"))).unwrap().writer().unwrap();
        leave(&conn, WRITER, 1, NOW).unwrap();
        (dir, conn)
    }

    fn enqueue(tx: &Tx<'_>, jobs: usize) -> Vec<JobId> {
        let spec = || NewJob::new(Nothing).into_spec(&Limits::default(), NOW).unwrap();
        let specs: Vec<_> = (0..jobs).map(|_| spec()).collect();
        enqueue_many(tx, &specs, NOW).unwrap().iter().map(|enqueued| enqueued.id()).collect()
    }

    #[test]
    fn the_first_job_of_a_transaction_tells_whether_it_is_in_the_file() {
        let (_dir, conn) = file();
        for jobs in [1, 2, 32, 33, 70] {
            let tx = Tx::of_writer(&conn, WRITER, Ids::default());
            conn.execute_batch("BEGIN").unwrap();
            let first = enqueue(&tx, jobs)[0];
            assert_eq!(tx.first_job(), Some(first));
            conn.execute_batch("ROLLBACK").unwrap();
            assert!(!is_there(&conn, WRITER, Mark::Job(first)).unwrap());
            // Somebody else is given the id.
            assert_eq!(enqueue(&Tx::of_writer(&conn, WRITER + 1, Ids::default()), 1), [first]);
            assert!(!is_there(&conn, WRITER, Mark::Job(first)).unwrap());
            let tx = Tx::of_writer(&conn, WRITER, Ids::default());
            let first = enqueue(&tx, jobs)[0];
            assert!(is_there(&conn, WRITER, Mark::Job(first)).unwrap());
        }
    }

    // Another process ran the job, or removed it, before the writer could read the file again: enqueued once more it
    // would run twice.
    #[test]
    fn a_job_that_is_gone_before_its_writer_has_looked_was_in_the_file() {
        let (_dir, conn) = file();
        let theirs = enqueue(&Tx::of_writer(&conn, WRITER + 1, Ids::default()), 1)[0];
        let ours = enqueue(&Tx::of_writer(&conn, WRITER, Ids::default()), 1)[0];
        cancel::remove(&conn, theirs, NOW).unwrap();
        cancel::remove(&conn, ours, NOW).unwrap();
        assert!(is_there(&conn, WRITER, Mark::Job(ours)).unwrap());
        let next = JobId(ours.0 + 1);
        assert!(!is_there(&conn, WRITER, Mark::Job(next)).unwrap());
        enqueue(&Tx::of_writer(&conn, WRITER + 1, Ids::default()), 1);
        assert!(!is_there(&conn, WRITER, Mark::Job(next)).unwrap());
    }

    #[test]
    fn the_row_of_a_writer_is_dropped_by_itself_or_after_a_month() {
        let (_dir, conn) = file();
        let there = |writer, number| is_there(&conn, writer, Mark::Number(number)).unwrap();
        let month = Timestamp::from_millis(NOW.millis() + KEPT_MS);
        leave(&conn, 6, 3, month).unwrap();
        assert!(there(WRITER, 1) && !there(WRITER, 2) && there(6, 3));
        forget(&conn, 7, month).unwrap();
        assert!(there(WRITER, 1) && there(6, 3));
        forget(&conn, 7, Timestamp::from_millis(month.millis() + 1)).unwrap();
        assert!(!there(WRITER, 1) && there(6, 3));
        forget(&conn, 6, month).unwrap();
        assert!(!there(6, 3));
        // One that works is never as old as that, whichever way the clock was set.
        assert!(!is_old(NOW, NOW) && is_old(NOW, month) && is_old(month, NOW));
    }
}
