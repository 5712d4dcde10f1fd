//! The lines that the tier prints besides its own, and what must not be too little or too late in them.

use std::time::Duration;

use crate::fleet::Life;
use crate::judge::Counts;
use crate::ledger::{Deed, Line};
use crate::operator::{Act, Done};
use crate::producer::Acked;
use crate::spans::{Span, both, joined, outside, percentile, without};
use crate::watch::Seen;
use crate::{KILLS, PAUSES};

/// How soon what a killed owner left must be settled, at the 99th of 100.
const SETTLED_WITHIN: Duration = Duration::from_secs(1);

/// What was done to the engines.
pub(crate) struct Storm {
    pub(crate) kills: u64,
    pub(crate) pauses: u64,
    pub(crate) acts: Vec<Done>,
}

/// Prints what was tried. What was tried too little is a violation: such a storm shows nothing.
pub(crate) fn counts(storm: &Storm, counts: &Counts, acked: &Acked, lives: &[Life]) -> Vec<String> {
    let act = |is: fn(&Act) -> bool| storm.acts.iter().filter(|(act, _, _)| is(act)).count();
    let locks = act(|act| matches!(act, Act::Lock(_)));
    let vacuums = act(|act| matches!(act, Act::Vacuum));
    let reads = act(|act| matches!(act, Act::Read(_)));
    let Counts { jobs, runs, interrupted, windows, resent, held, failed } = *counts;
    println!(
        "chaos pauses={} locks={locks} vacuums={vacuums} reads={reads} engines={} jobs={jobs} acked={} \
         requests={} runs={runs} failed={failed} interrupted={interrupted} done-but-not-recorded={windows} \
         resent={resent} held={held} parked={}",
        storm.pauses,
        lives.len(),
        acked.jobs.len(),
        acked.requests.len(),
        acked.resumed.len(),
    );
    // A storm of the quick mode's size does each of these so often; a longer one more often.
    let least = |what: &str, count: usize, least: u64| {
        let least = least * storm.kills / KILLS;
        ((count as u64) < least).then(|| format!("only {count} {what}: at least {least} are wanted"))
    };
    [
        least("pauses", storm.pauses as usize, PAUSES),
        least("locks", locks, 5),
        least("vacuums", vacuums, 10),
        least("long reads", reads, 5),
        least("jobs", jobs, 1_200),
        least("interrupted runs", interrupted, 300),
        least("runs done but not recorded", windows, 10),
        least("deliveries sent again", resent, 10),
        least("deliveries held", held, 10),
        least("failed attempts", failed, 100),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Prints how soon it was settled what killed processes had left; too late, or never, is a violation.
pub(crate) fn settlement(seen: &Seen, storm: &Storm, lives: &[Life], ledger: &[Line]) -> Vec<String> {
    let in_the_way = nobody_could(seen, storm, lives, ledger);
    let times = |wait: &dyn Fn(Span) -> Duration| {
        let mut times: Vec<Duration> = seen.settled.iter().map(|span| wait(*span)).collect();
        times.sort_unstable();
        times
    };
    let net = times(&|span| without(span, &in_the_way));
    let gross = times(&|(from, until)| until.saturating_sub(from));
    let line = |times: &[Duration]| {
        let ms = |percent| percentile(times, percent).as_millis();
        format!("p50={}ms p99={}ms max={}ms", ms(50), ms(99), ms(100))
    };
    println!(
        "chaos settled={} {} with-locked-file {} idle-kills={}",
        net.len(),
        line(&net),
        line(&gross),
        seen.idle
    );
    let mut violations = seen.robbed.clone();
    let late = percentile(&net, 99);
    if late > SETTLED_WITHIN {
        violations.push(format!("what killed owners left was settled within {late:?} at p99"));
    }
    if (net.len() as u64) < storm.kills / 4 {
        violations.push(format!("only {} of the killed had anything in hand", net.len()));
    }
    violations.extend(seen.never.iter().map(|life| format!("what engine {life} left was never settled")));
    violations
}

/// Times in which nobody could settle anything: the operator or a frozen process held the lock, or no engine was up.
fn nobody_could(seen: &Seen, storm: &Storm, lives: &[Life], ledger: &[Line]) -> Vec<Span> {
    let Some(end) = seen.settled.iter().map(|(_, until)| *until).max() else { return Vec::new() };
    let locking = storm.acts.iter().filter(|(act, _, _)| !matches!(act, Act::Read(_)));
    let mut holders: Vec<Span> = locking.map(|(_, from, until)| (*from, *until)).collect();
    holders.extend(lives.iter().flat_map(|life| frozen(life, end)));
    // A frozen process is in the way only if it froze with the lock.
    let mut in_the_way = both(&joined(holders), &joined(seen.locked.clone()));
    let up: Vec<Span> = lives.iter().flat_map(|life| awake(life, ledger, end)).collect();
    in_the_way.extend(outside((Duration::ZERO, end), &joined(up)));
    joined(in_the_way)
}

fn frozen(life: &Life, end: Duration) -> Vec<Span> {
    life.frozen.iter().map(|(from, until)| (*from, until.unwrap_or(end))).collect()
}

/// When this engine claimed, and was not frozen.
fn awake(life: &Life, ledger: &[Line], end: Duration) -> Vec<Span> {
    let up = ledger.iter().find(|line| line.deed == Deed::Up && line.life == life.number);
    up.map_or_else(Vec::new, |up| {
        let frozen = joined(frozen(life, end));
        outside((up.at, life.killed.unwrap_or(end)), &frozen)
    })
}
