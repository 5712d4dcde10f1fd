//! Who holds a run or a delivery, and who does not.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mainspring::NewJob;
use rusqlite::Connection;

use super::Ended;
use super::crew::{Message, Place, SOON, answer, missing, plain};

/// How the only run that there is ended, or which is the first: its outcome, and whether its late result was kept.
const FENCED: &str = "
SELECT outcome || ' ' || (SELECT count(*) FROM mainspring_late_results)
FROM mainspring_completions
WHERE run_id = 1";

/// An operator ends a run by hand; what its handler returns after that is a fact and not the outcome.
pub(crate) async fn a_released_run_keeps_its_outcome() -> Ended {
    let place = Place::new()?;
    let mut life = place.life().await?;
    life.enqueue().await?;
    let call = life.run().await.ok_or_else(|| missing("the run"))?;
    life.queue.release(call.run, false).await.map_err(plain)?;
    call.go_on();
    let wanted = ["interrupted 1", "succeeded 0", "succeeded 1"];
    let found = answer(&place.path(), FENCED, &wanted, SOON).await?;
    life.end().await?;
    Ok(match found.as_deref() {
        Some("interrupted 1") => None,
        other => Some(format!("a run that was released is on record as {other:?}")),
    })
}

const TAKEN: &str = "SELECT outcome FROM mainspring_completions WHERE run_id = 1";
/// Longer than two looks at the other owners.
const LONG: Duration = Duration::from_millis(4_500);

/// A second engine comes while the run of the first one takes its time.
pub(crate) async fn an_owner_that_lives_keeps_its_run() -> Ended {
    let place = Place::new()?;
    let mut life = place.life().await?;
    life.enqueue().await?;
    let call = life.run().await.ok_or_else(|| missing("the run"))?;
    let other = place.life().await?;
    let taken = answer(&place.path(), TAKEN, &["interrupted"], LONG).await?;
    call.go_on();
    if taken.is_some() {
        return Ok(Some("the run of an owner that lives was taken from it".to_owned()));
    }
    life.send().await.ok_or_else(|| missing("the delivery"))?.go_on();
    life.end().await?;
    other.end().await?;
    Ok(None)
}

/// So often must a process die of a job.
const DEATHS: usize = 3;
const PARKED: &str = "SELECT CASE WHEN parked_at_ms IS NULL THEN 'no' ELSE 'parked' END FROM mainspring_jobs";

/// The process dies each time the job runs. Of a copy of its file the owner is dead.
pub(crate) async fn what_ends_its_process_three_times_is_parked() -> Ended {
    let place = Place::new()?;
    let mut path = place.path();
    let mut lives = Vec::new();
    for death in 0..DEATHS {
        let mut life = place.life_at(&path).await?;
        if death == 0 {
            life.queue.enqueue(NewJob::new(Message).max_attempts(100)).await.map_err(plain)?;
        }
        let call = life.run().await.ok_or_else(|| missing("the run"))?;
        let left = place.dir.path().join(format!("left-{death}.db"));
        copy(&path, &left)?;
        // It lives on, and holds what is its own.
        lives.push((life, call));
        path = left;
    }
    let mut last = place.life_at(&path).await?;
    let parked = answer(&path, PARKED, &["parked"], SOON / 2);
    let parked = tokio::select! {
        parked = parked => parked?,
        call = last.run() => {
            return Ok(Some(format!("after {DEATHS} deaths it was called again: {call:?}")));
        }
    };
    Ok(parked.is_none().then(|| format!("after {DEATHS} deaths the job is not parked")))
}

/// Copies a database and its log as they lie there. By another process: closing a file of its own would take this
/// process's locks away.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), String> {
    for suffix in ["", "-wal"] {
        let named = |path: &Path| format!("{}{suffix}", path.display());
        let copied = Command::new("cp").args([named(from), named(to)]).status().map_err(plain)?;
        if !copied.success() {
            return Err(format!("cp: {copied}"));
        }
    }
    Ok(())
}

const WAITS: &str = "SELECT delivery FROM mainspring_completions WHERE run_id = 2";
const SETTLE: &str = "
UPDATE mainspring_completions
SET delivery = 'suppressed', delivery_owner_id = NULL, delivery_settled_at_ms = 1
WHERE run_id = 2 AND delivery = 'pending'";

/// Somebody settles a delivery in the file while it waits for its turn.
pub(crate) async fn what_was_settled_by_hand_is_not_sent() -> Ended {
    let place = Place::new()?;
    let mut life = place.life().await?;
    life.enqueue().await?;
    life.run().await.ok_or_else(|| missing("the first run"))?.go_on();
    let first = life.send().await.ok_or_else(|| missing("the first delivery"))?;
    life.enqueue().await?;
    life.run().await.ok_or_else(|| missing("the second run"))?.go_on();
    answer(&place.path(), WAITS, &["pending"], SOON).await?.ok_or_else(|| missing("the second output"))?;
    let conn = Connection::open(place.path()).map_err(plain)?;
    conn.busy_timeout(SOON).map_err(plain)?;
    if conn.execute(SETTLE, []).map_err(plain)? != 1 {
        return Err("the second delivery does not wait".to_owned());
    }
    drop(conn);
    // The third one waits behind the second.
    life.enqueue().await?;
    life.run().await.ok_or_else(|| missing("the third run"))?.go_on();
    first.go_on();
    let next = life.send().await.ok_or_else(|| missing("the third delivery"))?;
    if next.run.0 != 3 {
        return Ok(Some(format!("the output of run {} was settled, and is sent", next.run.0)));
    }
    next.go_on();
    life.end().await?;
    Ok(None)
}
