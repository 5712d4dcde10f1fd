//! What must hold in every state, what must have happened in one, and what the world must come to.

use stateright::{Model, Property};

use crate::rules::{Bug, OnInterrupt, OnUnknownDelivery, Rules};
use crate::steps::Step;
use crate::world::{Delivery, Handler, Outcome, Sink, Vital, World};

/// A live owner's work was taken from it.
pub(crate) const ROBBED: u8 = 0;
/// An output was handed over before its completion was committed.
pub(crate) const SENT_BEFORE_THE_COMMIT: u8 = 1;
/// Something other than fate happened and nothing had come of it: the same may happen for ever.
pub(crate) const STOOD_STILL: u8 = 2;
/// What is final on record was changed.
const REWRITTEN: u8 = 3;
/// A result was late of which nobody had ended the run.
const LATE_BY_ITSELF: u8 = 4;

/// Looks at one step for what only two states together show.
pub(crate) fn compare(before: &World, after: &mut World, step: Step) {
    for (run, row) in before.file.runs() {
        let Some(new) = after.file.run(run).copied() else {
            after.outside.sins.add(REWRITTEN);
            continue;
        };
        let settled = matches!(row.delivery, Delivery::Delivered | Delivery::Suppressed);
        if row.outcome.is_some_and(|outcome| new.outcome != Some(outcome))
            || settled && new.delivery != row.delivery
        {
            after.outside.sins.add(REWRITTEN);
        }
        let ended_by_its_owner = matches!(row.outcome, Some(Outcome::Succeeded | Outcome::Failed));
        if new.late && !row.late && ended_by_its_owner && matches!(step, Step::Complete(..)) {
            after.outside.sins.add(LATE_BY_ITSELF);
        }
    }
}

/// How far the world has come: each step that is not fate's moves it on, so that none can happen for ever.
pub(crate) fn progress(world: &World) -> [u32; 6] {
    let processes = world.processes.iter();
    let started = processes.clone().map(|process| match process.is {
        Vital::Dead | Vital::Paused => 2 * u32::from(process.life),
        Vital::Up => 2 * u32::from(process.life) + 1,
    });
    let runs = world.file.runs().map(|(_, run)| {
        let delivery = match (run.delivery, run.delivery_owner) {
            (Delivery::NotRequested | Delivery::Started, _) => 0,
            (Delivery::Pending, Some(owner)) if world.is_dead(owner) => 1,
            (Delivery::Pending, None) => 2,
            (Delivery::Pending, Some(_)) => 3,
            (Delivery::Delivered | Delivery::Failed | Delivery::Unknown | Delivery::Suppressed, _) => 4,
        };
        // One that is begun counts more than all that comes before it.
        40 + 20 * u32::from(run.outcome.is_some()) + 5 * u32::from(run.deliveries) + delivery
    });
    let in_memory = processes.map(|process| {
        let handler = match process.handler {
            Handler::Free => 2,
            Handler::Running(_) => 0,
            Handler::Returned(..) => 1,
        };
        let sink = match process.sink {
            Sink::Free => 2,
            Sink::Begun(_) => 0,
            Sink::Answered(..) => 1,
        };
        8 * (handler + sink) + 8 - process.in_hand.items().count() as u32
    });
    let errors = 3 - u32::from(world.left.commit_errors).min(3);
    let in_doubt = world.processes.iter().filter(|process| process.doubt.is_some()).count() as u32;
    let job = &world.file.job;
    let next = u32::from(job.scheduled_for.unwrap_or(9)) * 4 + u32::from(job.attempt);
    [
        started.sum(),
        u32::from(!world.fell_back),
        10 * errors + 10 - in_doubt,
        runs.sum::<u32>() * 2 + u32::from(world.clock) * 2,
        in_memory.sum(),
        next,
    ]
}

/// All that is claimed of a model.
pub(crate) fn all(rules: &Rules) -> Vec<Property<Rules>> {
    let mut properties = vec![
        Property::always("one run is open at most, and the job names it", |_: &Rules, world: &World| {
            let mut open = world.file.runs().filter(|(_, run)| run.outcome.is_none());
            open.next().map(|(run, _)| run) == world.file.job.open && open.next().is_none()
        }),
        Property::always("an occurrence succeeds once on record", |rules: &Rules, world: &World| {
            (1..=rules.occurrences).all(|occurrence| {
                let succeeded = world.file.runs().filter(|(_, run)| {
                    run.occurrence == occurrence && run.outcome == Some(Outcome::Succeeded)
                });
                succeeded.count() <= 1
            })
        }),
        Property::always("work is done twice in the named window only", |_: &Rules, world: &World| {
            let Outcomes { did, excused } = Outcomes::of_work(world);
            did.iter().zip(excused).all(|(did, excused)| *did <= 1 + excused)
        }),
        Property::always("an output arrives twice only if the policy says so", |_: &Rules, world: &World| {
            let Outcomes { did, excused } = Outcomes::of_outputs(world);
            did.iter().zip(excused).all(|(did, excused)| *did <= 1 + excused)
        }),
        Property::always("an occurrence is run or missed, not both", |_: &Rules, world: &World| {
            world.file.runs().all(|(_, run)| !world.file.job.missed.contains(run.occurrence))
        }),
        Property::always("no live owner is robbed", |_, world: &World| !sinned(world, ROBBED)),
        Property::always("nothing is sent before its completion is committed", |_, world: &World| {
            !sinned(world, SENT_BEFORE_THE_COMMIT)
        }),
        Property::always("what is final stays", |_, world: &World| !sinned(world, REWRITTEN)),
        Property::always("a result is late only of a run that somebody else ended", |_, world: &World| {
            !sinned(world, LATE_BY_ITSELF)
        }),
        Property::always("nothing can go on for ever", |_, world: &World| !sinned(world, STOOD_STILL)),
        Property::always("what comes to rest is settled", comes_to_rest_settled),
    ];
    if rules.bug.is_none() {
        properties.extend(what_happens(rules));
    }
    properties
}

struct Outcomes<'a> {
    did: &'a [u8],
    excused: &'a [u8],
}

impl<'a> Outcomes<'a> {
    fn of_work(world: &'a World) -> Self {
        Self { did: &world.outside.effects, excused: &world.outside.effects_excused }
    }

    fn of_outputs(world: &'a World) -> Self {
        Self { did: &world.outside.arrivals, excused: &world.outside.arrivals_excused }
    }
}

fn sinned(world: &World, sin: u8) -> bool {
    world.outside.sins.contains(sin)
}

/// Where nothing but fate could go on, every occurrence has been run or is on record, and nothing is left open.
fn comes_to_rest_settled(rules: &Rules, world: &World) -> bool {
    let mut steps = Vec::with_capacity(16);
    rules.actions(world, &mut steps);
    if steps.iter().any(|step| !step.is_optional()) {
        return true;
    }
    let rows = || world.file.runs().map(|(_, run)| run);
    let ended = rows().all(|run| run.outcome.is_some());
    let delivered = rows().all(|run| !matches!(run.delivery, Delivery::Pending | Delivery::Started));
    let accounted = world.file.job.parked
        || (1..=rules.occurrences).all(|occurrence| {
            let newest = rows().filter(|run| run.occurrence == occurrence).max_by_key(|run| run.attempt);
            match newest.and_then(|run| run.outcome) {
                None => world.file.job.missed.contains(occurrence),
                // Under rerun it gets another attempt, unless the next occurrence came first.
                Some(Outcome::Interrupted) => {
                    rules.on_interrupt != OnInterrupt::Rerun || occurrence < rules.occurrences
                }
                Some(Outcome::Succeeded | Outcome::Failed | Outcome::Released) => true,
            }
        });
    ended && delivered && accounted
}

/// What must be reached, or the model shows nothing.
fn what_happens(rules: &Rules) -> Vec<Property<Rules>> {
    let mut properties = vec![Property::sometimes("an output is delivered", |_: &Rules, world: &World| {
        world.file.runs().any(|(_, run)| run.delivery == Delivery::Delivered)
    })];
    if rules.fate.kills > 0 {
        properties.push(Property::sometimes("a dead owner's run is interrupted", |_, world: &World| {
            world.file.runs().any(|(_, run)| run.outcome == Some(Outcome::Interrupted))
        }));
    }
    if rules.fate.releases > 0 {
        properties.push(Property::sometimes("a late result is kept", |_, world: &World| {
            world.file.runs().any(|(_, run)| run.late)
        }));
        properties.push(Property::sometimes("two handlers of one job are at work", |_, world: &World| {
            world.processes.iter().all(|process| process.handler != Handler::Free)
        }));
    }
    if rules.fate.failures > 0 {
        properties.push(Property::sometimes("another attempt succeeds", |_, world: &World| {
            world.file.runs().any(|(_, run)| run.attempt > 1 && run.outcome == Some(Outcome::Succeeded))
        }));
    }
    if rules.fate.commit_errors > 0 {
        properties.push(Property::sometimes("a process is in doubt", |_, world: &World| {
            world.processes.iter().any(|process| process.doubt.is_some())
        }));
    }
    if rules.on_interrupt == OnInterrupt::Verify {
        properties.push(Property::sometimes("a job is parked", |_, world: &World| world.file.job.parked));
    }
    if rules.occurrences > 1 {
        properties.push(Property::sometimes("an occurrence is missed", |_, world: &World| {
            world.file.job.missed.items().next().is_some()
        }));
    }
    if rules.deliver_within.is_some() {
        properties.push(Property::sometimes("a late output is suppressed", |_, world: &World| {
            world.file.runs().any(|(_, run)| run.delivery == Delivery::Suppressed)
        }));
    }
    if rules.on_unknown_delivery == OnUnknownDelivery::Hold {
        properties.push(Property::sometimes("a delivery is held as unknown", |_, world: &World| {
            world.file.runs().any(|(_, run)| run.delivery == Delivery::Unknown)
        }));
    } else if rules.fate.kills > 0 {
        properties.push(Property::sometimes("an output is sent again", |_, world: &World| {
            world.file.runs().any(|(_, run)| run.deliveries > 1)
        }));
    }
    properties
}

/// The properties that each bug must break, one of them at least.
pub(crate) fn broken_by(bug: Bug) -> &'static [&'static str] {
    match bug {
        Bug::NoFence => &["what is final stays"],
        Bug::RobByTime => &["no live owner is robbed"],
        Bug::DeliverBeforeCommit => &["nothing is sent before its completion is committed"],
        Bug::CommitErrorMeansNo => {
            &["a result is late only of a run that somebody else ended", "what comes to rest is settled"]
        }
        Bug::ResendUnderHold => &["an output arrives twice only if the policy says so"],
        Bug::UncountedRecovery => &["what comes to rest is settled"],
        Bug::RecomputeAtStart => &["what comes to rest is settled"],
        Bug::MissWhatHasRun => &["an occurrence is run or missed, not both"],
    }
}
