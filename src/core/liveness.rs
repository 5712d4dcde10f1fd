//! Who lives: other owners' deaths are found by their locks, and what the dead left is settled in pieces.

use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::engines::Owned;
use super::generation::Generation;
use super::owner::{self, OwnerLock};
use super::shared::Shared;
use crate::error::{Error, Result};
use crate::run::OwnerId;
use crate::store::owners::{EndReason, NewOwner, Owner};
use crate::store::recover::{Cause, has_work, interrupted, recover};
use crate::store::{deliver, owners, set_back};
use crate::time::Timestamp;

/// Other owners' locks are tried this often.
const LOOK_AT_OWNERS: Duration = Duration::from_millis(500);

#[derive(Default)]
pub(super) struct Liveness {
    /// On the steady clock.
    looked_at: Option<Duration>,
    /// A dead owner whose recovery goes on, a piece a step.
    recovering: Option<Owner>,
    /// Open runs of this process may have been asked to stop, or ended by somebody else.
    pub(super) look_at_stops: bool,
    /// What the clock showed at the last look, to notice that it was set back.
    clock_showed: Option<Timestamp>,
}

impl Liveness {
    fn is_due(&self, steady: Duration) -> bool {
        self.looked_at.is_none_or(|at| steady.saturating_sub(at) >= LOOK_AT_OWNERS)
    }

    pub(super) fn may_write(&self, news: bool, steady: Duration) -> bool {
        news || self.recovering.is_some() || self.is_due(steady)
    }

    /// How long until the next look.
    pub(super) fn next_look(&self, steady: Duration) -> Duration {
        if self.recovering.is_some() || self.look_at_stops {
            return Duration::ZERO;
        }
        self.looked_at.map_or(Duration::ZERO, |at| LOOK_AT_OWNERS.saturating_sub(steady.saturating_sub(at)))
    }

    pub(super) fn tend(
        &mut self,
        shared: &Shared,
        generation: &Generation,
        conn: &Connection,
        news: bool,
        now: Timestamp,
    ) -> Result<()> {
        let steady = shared.clock.steady();
        let due = self.is_due(steady);
        self.follow_the_clock(generation, conn, now)?;
        if due {
            self.looked_at = Some(steady);
            renew_owners(shared, generation, conn, now)?;
        }
        if std::mem::take(&mut self.look_at_stops) || news || due {
            stop_runs(shared, conn)?;
        }
        if due {
            give_back_late_claims(shared, generation, conn, now)?;
            if self.recovering.is_none() {
                self.recovering = find_dead(shared, conn)?;
            }
        }
        if let Some(dead) = &self.recovering
            && recover_piece(shared, generation, conn, dead, now)?
        {
            // The next dead one is looked for at once.
            (self.recovering, self.looked_at) = (None, None);
        }
        Ok(())
    }
}

/// A clock that falls back by less is being corrected, and jobs wait that long at most.
const TOLERANCE: Duration = Duration::from_secs(60);

impl Liveness {
    /// A clock that was set back would leave jobs waiting until the old time comes round.
    fn follow_the_clock(&mut self, generation: &Generation, conn: &Connection, now: Timestamp) -> Result<()> {
        let set_back_by = match self.clock_showed {
            Some(before) => Some(before.since(now)).filter(|by| *by > TOLERANCE),
            None => set_back::claims_lie_ahead(conn, now)?,
        };
        if let Some(by) = set_back_by {
            let tx = begin(conn, generation)?;
            let jobs = set_back::set_back(&tx, by, now)?;
            commit(tx, generation)?;
            tracing::warn!(jobs, %now, "the clock was set back: jobs whose times it had run ahead of are planned anew");
        }
        // Only now: what could not be written is noticed again.
        self.clock_showed = Some(now);
        Ok(())
    }
}

/// A new generation gives each engine a new life, lock first.
fn renew_owners(shared: &Shared, generation: &Generation, conn: &Connection, now: Timestamp) -> Result<()> {
    for of in shared.engines.without_owner(generation.number) {
        let owned = register(shared, generation, conn, now)?;
        shared.engines.add_owner(of, owned);
    }
    Ok(())
}

/// Takes a lock and writes the owner's row.
fn register(shared: &Shared, generation: &Generation, conn: &Connection, now: Timestamp) -> Result<Owned> {
    let lock = OwnerLock::take(&shared.db.owners_dir()?)?;
    let owner = NewOwner {
        uuid: lock.uuid(),
        generation: generation.number,
        pid: std::process::id(),
        host: &shared.host,
    };
    let tx = begin(conn, generation)?;
    let id = owners::register(&tx, &owner, now)?;
    commit(tx, generation)?;
    Ok(Owned { id, generation: generation.number, lock })
}

/// Begins a transaction of this generation. Waiting for the lock is where a writer hangs: it may have been replaced
/// when it gets it.
pub(super) fn begin<'conn>(conn: &'conn Connection, generation: &Generation) -> Result<Transaction<'conn>> {
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    if generation.is_over() { Err(Error::Closed) } else { Ok(tx) }
}

/// Commits it, unless the generation is over by now.
pub(super) fn commit(tx: Transaction<'_>, generation: &Generation) -> Result<()> {
    if generation.is_over() { Err(Error::Closed) } else { Ok(tx.commit()?) }
}

fn stop_runs(shared: &Shared, conn: &Connection) -> Result<()> {
    for owner in shared.engines.owners_with_runs() {
        shared.engines.stop(owner, &owners::open_runs(conn, owner)?);
    }
    Ok(())
}

/// What an earlier generation claimed in its last moment has no handler: it is given back.
fn give_back_late_claims(
    shared: &Shared,
    generation: &Generation,
    conn: &Connection,
    now: Timestamp,
) -> Result<()> {
    for retired in shared.engines.retired(generation.number) {
        let tx = begin(conn, generation)?;
        interrupted(&tx, retired.owner, &retired.running_here, Cause::NeverStarted, now)?;
        deliver::hand_back(&tx, retired.owner)?;
        let over = retired.running_here.is_empty() && !has_work(&tx, retired.owner)?;
        if over {
            owners::end(&tx, retired.owner, EndReason::Stopped, now)?;
        }
        commit(tx, generation)?;
        if over {
            shared.engines.forget(retired.owner);
        }
    }
    Ok(())
}

fn find_dead(shared: &Shared, conn: &Connection) -> Result<Option<Owner>> {
    let ours = shared.engines.uuids();
    let dir = shared.db.owners_dir()?;
    for owner in owners::not_ended(conn)? {
        if !ours.contains(&owner.uuid) && owner::is_dead(&dir, &owner.uuid)? {
            return Ok(Some(owner));
        }
    }
    Ok(None)
}

/// Settles a piece of what a dead owner left; whether that was all.
fn recover_piece(
    shared: &Shared,
    generation: &Generation,
    conn: &Connection,
    dead: &Owner,
    now: Timestamp,
) -> Result<bool> {
    let tx = begin(conn, generation)?;
    let piece = recover(&tx, dead.id, Cause::OwnerDied, now)?;
    if piece.done {
        owners::end(&tx, dead.id, EndReason::Died, now)?;
    }
    commit(tx, generation)?;
    if piece.runs + piece.deliveries > 0 {
        tracing::warn!(
            owner = dead.id.0,
            runs = piece.runs,
            deliveries = piece.deliveries,
            "settled what a dead owner left"
        );
    }
    if piece.done {
        owner::forget(&shared.db.owners_dir()?, &dead.uuid);
    }
    Ok(piece.done)
}

/// Ends the lives of an engine: what was not begun is handed back, and an owner with nothing left has stopped.
pub(super) fn end_lives(tx: &Connection, lives: &[OwnerId], now: Timestamp) -> Result<Vec<OwnerId>> {
    let mut over = Vec::new();
    for owner in lives {
        deliver::hand_back(tx, *owner)?;
        if !has_work(tx, *owner)? {
            owners::end(tx, *owner, EndReason::Stopped, now)?;
            over.push(*owner);
        }
    }
    Ok(over)
}
