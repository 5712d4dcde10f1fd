//! Owners: the lives of engines.

use rusqlite::{Connection, named_params};

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
