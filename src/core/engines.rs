//! The engines that are attached to a writer: their slots, and the runs whose handlers run in this process.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::generation::Generation;
use super::messages::{Answers, Committed, EngineEvent, EngineSpec, StopReason};
use super::op::Work;
use super::owner::OwnerLock;
use crate::exchange::{ClaimedDelivery, ClaimedRun};
use crate::run::{OwnerId, RunId};
use tokio::sync::mpsc::UnboundedSender;

/// All attached engines. Locked for moments only, never across SQL: a generation that hangs in the file must not
/// keep the next one from it.
#[derive(Default)]
pub(super) struct Engines {
    attached: Mutex<Vec<Attached>>,
}

/// One engine.
pub(super) struct Attached {
    pub(super) owners: Vec<Owned>,
    pub(super) queues: Vec<ServedQueue>,
    pub(super) kinds: Arc<HashSet<String>>,
    pub(super) deliveries: usize,
    pub(super) claiming: bool,
    gone: bool,
    events: UnboundedSender<EngineEvent>,
    /// Runs whose handlers have not ended, and whether each was told to stop.
    running: HashMap<RunId, Running>,
    delivering: HashSet<RunId>,
}

/// One life of an engine: each generation of the writer gives it a new one.
pub(super) struct Owned {
    pub(super) id: OwnerId,
    pub(super) generation: u32,
    pub(super) lock: OwnerLock,
}

pub(super) struct ServedQueue {
    pub(super) name: Arc<str>,
    pub(super) workers: usize,
}

struct Running {
    queue: Arc<str>,
    owner: OwnerId,
    told_to_stop: bool,
}

/// What one engine may claim from one queue.
pub(super) struct Room {
    pub(super) owner: OwnerId,
    pub(super) queue: Arc<str>,
    pub(super) kinds: Arc<HashSet<String>>,
    pub(super) slots: usize,
    pub(super) deliveries: usize,
}

/// An earlier life of an engine of this process.
pub(super) struct Retired {
    pub(super) owner: OwnerId,
    pub(super) running_here: Vec<RunId>,
}

impl Engines {
    pub(super) fn lock(&self) -> MutexGuard<'_, Vec<Attached>> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn attach(&self, spec: EngineSpec, owned: Owned) {
        let queues = spec
            .queues
            .into_iter()
            .map(|queue| ServedQueue { name: queue.name.into(), workers: queue.workers as usize })
            .collect();
        self.lock().push(Attached {
            owners: vec![owned],
            queues,
            kinds: Arc::new(spec.kinds.into_iter().collect()),
            deliveries: spec.deliveries as usize,
            claiming: true,
            gone: false,
            events: spec.events,
            running: HashMap::new(),
            delivering: HashSet::new(),
        });
    }

    /// Whether this generation has an engine that claims.
    pub(super) fn any(&self) -> bool {
        !self.lock().is_empty()
    }

    /// The room for claims of this generation, given the runs that end in the transaction.
    pub(super) fn rooms(&self, generation: u32, ending: &[RunId], delivered: &[RunId]) -> Vec<Room> {
        let mut rooms = Vec::new();
        for engine in self.lock().iter().filter(|engine| engine.claiming) {
            let Some(owned) = engine.owners.iter().find(|owned| owned.generation == generation) else {
                continue;
            };
            let taken = engine.delivering.iter().filter(|run| !delivered.contains(run)).count();
            for queue in &engine.queues {
                let busy = engine
                    .running
                    .iter()
                    .filter(|(run, running)| running.queue == queue.name && !ending.contains(run))
                    .count();
                rooms.push(Room {
                    owner: owned.id,
                    queue: Arc::clone(&queue.name),
                    kinds: Arc::clone(&engine.kinds),
                    slots: queue.workers.saturating_sub(busy),
                    deliveries: engine.deliveries.saturating_sub(taken),
                });
            }
        }
        rooms
    }

    /// Tells each engine what a transaction came to: its claims, unless the writer that made them has been replaced, and
    /// the answers to what it asked for, which are taken out of `answers`. Says whether claims were handed over. An engine
    /// whose runtime is gone has dropped its receiver: it claims nothing more.
    pub(super) fn tell(
        &self,
        generation: &Generation,
        mut runs: Vec<ClaimedRun>,
        mut deliveries: Vec<ClaimedDelivery>,
        answers: &mut Vec<Box<dyn Work>>,
    ) -> bool {
        let mut attached = self.lock();
        // Asked under the lock under which it ends: what is not handed over here is given back by the next one, which
        // sees everything that was.
        let is_over = generation.is_over();
        if is_over {
            runs.clear();
            deliveries.clear();
        }
        for engine in attached.iter_mut() {
            let told = Committed {
                runs: runs.extract_if(.., |run| engine.lives_as(run.owner_id)).collect(),
                deliveries: deliveries.extract_if(.., |it| engine.lives_as(it.owner_id)).collect(),
                answers: Answers(
                    answers
                        .extract_if(.., |command| {
                            command.asked_by().is_some_and(|owner| engine.lives_as(owner))
                        })
                        .collect(),
                ),
            };
            if !told.is_nothing() {
                engine.tell(told);
            }
        }
        // The locks of an engine that is gone are let go here; what it left is recovered as a dead owner's.
        attached.retain(|engine| !engine.gone);
        !is_over
    }

    /// Ends a generation: from now on nothing is handed over for it.
    pub(super) fn end(&self, generation: &Generation) {
        let _attached = self.lock();
        generation.end();
    }

    /// The handlers of these runs have ended.
    pub(super) fn ended(&self, runs: &[RunId], delivered: &[RunId]) {
        for engine in self.lock().iter_mut() {
            for run in runs {
                engine.running.remove(run);
            }
            for run in delivered {
                engine.delivering.remove(run);
            }
        }
    }

    /// Stops handlers: of runs that are open and were asked to stop, and of runs that are no longer open.
    pub(super) fn stop(&self, owner: OwnerId, open: &[(RunId, bool)]) {
        for engine in self.lock().iter_mut() {
            for (run, running) in &mut engine.running {
                if running.owner != owner || running.told_to_stop {
                    continue;
                }
                let reason = match open.iter().find(|(id, _)| id == run) {
                    Some((_, false)) => continue,
                    Some((_, true)) => StopReason::Cancelled,
                    None => StopReason::Fenced,
                };
                running.told_to_stop = true;
                // Whether the engine is still there shows at the next claim.
                drop(engine.events.send(EngineEvent::Stop(*run, reason)));
            }
        }
    }

    /// Owners of this process with runs whose handlers have not ended.
    pub(super) fn owners_with_runs(&self) -> Vec<OwnerId> {
        let mut owners: Vec<OwnerId> = self
            .lock()
            .iter()
            .flat_map(|engine| engine.running.values().map(|running| running.owner).collect::<Vec<_>>())
            .collect();
        owners.sort_unstable();
        owners.dedup();
        owners
    }

    /// The uuids of all lives of this process's engines.
    pub(super) fn uuids(&self) -> Vec<String> {
        let attached = self.lock();
        let owners = attached.iter().flat_map(|engine| &engine.owners);
        owners.map(|owned| owned.lock.uuid().to_owned()).collect()
    }

    /// Lives of earlier generations, whose late claims are to be given back. Never of later ones: a writer that was
    /// replaced and wakes in the middle of its step would end the lives of its successors.
    pub(super) fn retired(&self, generation: u32) -> Vec<Retired> {
        let attached = self.lock();
        let mut retired = Vec::new();
        for engine in attached.iter() {
            for owned in engine.owners.iter().filter(|owned| owned.generation < generation) {
                let running_here = engine
                    .running
                    .iter()
                    .filter(|(_, running)| running.owner == owned.id)
                    .map(|(run, _)| *run)
                    .collect();
                retired.push(Retired { owner: owned.id, running_here });
            }
        }
        retired
    }

    /// Lets go of an earlier life that has nothing left.
    pub(super) fn forget(&self, owner: OwnerId) {
        for engine in self.lock().iter_mut() {
            if let Some(position) = engine.owners.iter().position(|owned| owned.id == owner) {
                engine.owners.remove(position).lock.remove();
            }
        }
    }

    /// Engines that have no life in this generation yet, by their newest one.
    pub(super) fn without_owner(&self, generation: u32) -> Vec<OwnerId> {
        let attached = self.lock();
        let without =
            attached.iter().filter(|engine| engine.owners.iter().all(|owned| owned.generation != generation));
        without.filter_map(|engine| engine.owners.last().map(|owned| owned.id)).collect()
    }

    pub(super) fn add_owner(&self, of: OwnerId, owned: Owned) {
        if let Some(engine) = by_owner(&mut self.lock(), of) {
            engine.owners.push(owned);
        }
    }

    /// No claims any more for this engine.
    pub(super) fn stop_claiming(&self, owner: OwnerId) {
        if let Some(engine) = by_owner(&mut self.lock(), owner) {
            engine.claiming = false;
        }
    }

    /// All lives of the engine that this one belongs to.
    pub(super) fn lives_of(&self, owner: OwnerId) -> Vec<OwnerId> {
        let mut attached = self.lock();
        let engine = by_owner(&mut attached, owner);
        engine.map(|engine| engine.owners.iter().map(|owned| owned.id).collect()).unwrap_or_default()
    }

    /// Takes the engine out; its locks are let go when the result is dropped.
    pub(super) fn detach(&self, owner: OwnerId) -> Option<Attached> {
        let mut attached = self.lock();
        let position = attached.iter().position(|engine| engine.lives_as(owner))?;
        Some(attached.remove(position))
    }
}

impl Attached {
    /// Whether this is one of its lives.
    fn lives_as(&self, owner: OwnerId) -> bool {
        self.owners.iter().any(|owned| owned.id == owner)
    }

    fn tell(&mut self, committed: Committed) {
        for run in &committed.runs {
            let queue = self.queues.iter().find(|queue| *queue.name == *run.queue);
            let queue = queue.map_or_else(|| run.queue.as_str().into(), |queue| Arc::clone(&queue.name));
            self.running.insert(run.run_id, Running { queue, owner: run.owner_id, told_to_stop: false });
        }
        self.delivering.extend(committed.deliveries.iter().map(|delivery| delivery.run_id));
        if self.events.send(EngineEvent::Committed(committed)).is_err() {
            (self.claiming, self.gone) = (false, true);
        }
    }
}

fn by_owner<'a>(attached: &'a mut MutexGuard<'_, Vec<Attached>>, owner: OwnerId) -> Option<&'a mut Attached> {
    attached.iter_mut().find(|engine| engine.lives_as(owner))
}
