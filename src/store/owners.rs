//! Owners: the lives of engines, and the marks that writers leave.

use rusqlite::{Connection, OptionalExtension, named_params};

use crate::error::Result;
use crate::run::OwnerId;
use crate::time::Timestamp;

/// An owner as its row holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) id: OwnerId,
    pub(crate) uuid: String,
}

/// What an engine says of itself.
#[derive(Clone, Debug)]
pub(crate) struct NewOwner<'a> {
    pub(crate) uuid: &'a str,
    pub(crate) generation: u32,
    pub(crate) pid: u32,
    pub(crate) host: &'a str,
}

const REGISTER: &str = "
INSERT INTO mainspring_owners (uuid, generation, pid, host, library, started_at_ms)
VALUES (:uuid, :generation, :pid, :host, :library, :now_ms)";

const ALIVE: &str = "
SELECT id, uuid
FROM mainspring_owners INDEXED BY mainspring_owners_alive
WHERE ended_at_ms IS NULL
ORDER BY id";

const END: &str = "
UPDATE mainspring_owners
SET ended_at_ms = :now_ms, end_reason = :reason
WHERE id = :id AND ended_at_ms IS NULL";

const OPEN_RUNS: &str = "
SELECT id, cancel_requested_at_ms IS NOT NULL AS stop
FROM mainspring_runs INDEXED BY mainspring_runs_open
WHERE owner_id = :owner_id AND ended_at_ms IS NULL";

const MARK: &str = "
INSERT INTO mainspring_writers (id, transaction_no, written_at_ms)
VALUES (:id, :transaction_no, :now_ms)
ON CONFLICT (id) DO UPDATE
SET transaction_no = excluded.transaction_no, written_at_ms = excluded.written_at_ms";

const MARKED: &str = "
SELECT transaction_no
FROM mainspring_writers
WHERE id = :id";

const FORGET: &str = "
DELETE FROM mainspring_writers
WHERE id = :id OR written_at_ms < :before_ms";

/// Marks of writers that wrote nothing for so long are dropped, in milliseconds.
const MARKS_KEPT_MS: i64 = 30 * 86_400_000;

/// Begins an owner's life. Its lock file must be locked already: a row that can be seen has a lock that is held.
pub(crate) fn register(tx: &Connection, owner: &NewOwner<'_>, now: Timestamp) -> Result<OwnerId> {
    tx.prepare_cached(REGISTER)?.execute(named_params! {
        ":uuid": owner.uuid,
        ":generation": owner.generation,
        ":pid": owner.pid,
        ":host": owner.host,
        ":library": env!("CARGO_PKG_VERSION"),
        ":now_ms": now,
    })?;
    Ok(OwnerId(tx.last_insert_rowid()))
}

/// The owners that have not ended, dead or alive.
pub(crate) fn not_ended(conn: &Connection) -> Result<Vec<Owner>> {
    let mut statement = conn.prepare_cached(ALIVE)?;
    let owners = statement
        .query_map([], |row| {
            // One that is no text is nobody's name, and hides no other owner.
            let uuid = row.get_ref("uuid")?.as_bytes().map(String::from_utf8_lossy).unwrap_or_default();
            Ok(Owner { id: row.get("id")?, uuid: uuid.into_owned() })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(owners)
}

/// Ends an owner's life: it stopped, or it was found dead and has nothing left.
pub(crate) fn end(tx: &Connection, owner: OwnerId, reason: EndReason, now: Timestamp) -> Result<()> {
    let reason = match reason {
        EndReason::Stopped => "stopped",
        EndReason::Died => "died",
    };
    tx.prepare_cached(END)?.execute(named_params! { ":id": owner, ":reason": reason, ":now_ms": now })?;
    Ok(())
}

/// How an owner's life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndReason {
    Stopped,
    Died,
}

/// The owner's open runs, and whether each was asked to stop.
pub(crate) fn open_runs(conn: &Connection, owner: OwnerId) -> Result<Vec<(crate::run::RunId, bool)>> {
    let mut statement = conn.prepare_cached(OPEN_RUNS)?;
    let runs = statement
        .query_map(named_params! { ":owner_id": owner }, |row| Ok((row.get("id")?, row.get("stop")?)))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(runs)
}

/// Leaves the writer's mark in the transaction: after a commit that returned an error it tells what became of it.
pub(crate) fn mark(tx: &Connection, writer: i64, transaction_no: i64, now: Timestamp) -> Result<()> {
    tx.prepare_cached(MARK)?.execute(named_params! {
        ":id": writer,
        ":transaction_no": transaction_no,
        ":now_ms": now,
    })?;
    Ok(())
}

/// The writer's last transaction that is in the file.
pub(crate) fn marked(conn: &Connection, writer: i64) -> Result<Option<i64>> {
    Ok(conn
        .prepare_cached(MARKED)?
        .query_row(named_params! { ":id": writer }, |row| row.get(0))
        .optional()?)
}

/// Drops the writer's mark when it closes, and those of writers that are long gone.
pub(crate) fn forget_mark(tx: &Connection, writer: i64, now: Timestamp) -> Result<()> {
    let before = Timestamp::from_millis(now.millis().saturating_sub(MARKS_KEPT_MS));
    tx.prepare_cached(FORGET)?.execute(named_params! { ":id": writer, ":before_ms": before })?;
    Ok(())
}
