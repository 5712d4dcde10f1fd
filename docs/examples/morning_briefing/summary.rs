//! What happened since this start, what comes next, and how to ask the file itself.

use std::collections::BTreeSet;
use std::path::Path;

use chrono::Utc;
use chrono_tz::Tz;
use mainspring::{Delivery, Job, ListFilter, Queue, Timestamp};

use crate::outbox::Outbox;
use crate::story::{local, say};
use crate::{BRIEFING, Setting};

/// As many runs and misses are counted.
const NEWEST: u32 = 1_000;

/// What is said here, as questions to the file.
const QUERIES: [&str; 3] = [
    "SELECT name, state, why FROM mainspring_why_view WHERE name IS NOT NULL",
    "SELECT run_id, scheduled_for, trigger, outcome, delivery, idempotency_key FROM mainspring_run_view WHERE kind = 'briefing' ORDER BY run_id DESC LIMIT 10",
    "SELECT name, reason, occurrences, first, last FROM mainspring_miss_view ORDER BY first DESC LIMIT 10",
];

pub async fn tell(
    queue: &Queue,
    outbox: &Outbox,
    setting: &Setting<'_>,
    start: Timestamp,
) -> crate::Result<()> {
    let mut runs = queue.runs(BRIEFING, NEWEST).await?;
    runs.retain(|run| run.claimed_at >= start);
    let is_delivered =
        |run: &&mainspring::Run| run.completion.as_ref().is_some_and(|it| it.delivery == Delivery::Delivered);
    let delivered = runs.iter().filter(is_delivered).count();
    say(format_args!("briefings   runs: {}, delivered: {delivered}", runs.len()));
    let lines = outbox.lines()?;
    let keys: BTreeSet<_> = lines.iter().map(|(key, _)| key).collect();
    say(format_args!("outbox      lines: {}, different keys: {}", lines.len(), keys.len()));
    for miss in queue.misses(BRIEFING, NEWEST).await? {
        let first = local(miss.from.to_datetime(), setting.zone, Utc::now());
        say(format_args!("missed      {} from {first} on ({})", miss.occurrences, miss.reason));
    }
    for job in queue.list(ListFilter { named: true, ..ListFilter::default() }).await?.jobs {
        let name = job.name.as_deref().unwrap_or_default();
        say(format_args!("next        {name:<17} {}", next_time(&job, setting.zone)));
    }
    say("\nThe same as rows:");
    for sql in QUERIES {
        say(format_args!("  sqlite3 -readonly -box {} \"{sql}\"", shell_word(queue.path())));
    }
    say(format_args!("  cat {}", shell_word(outbox.path())));
    say(
        "\nIt is all in the file: start this again, and it goes on. --fast shows a schedule at work, --help the rest.",
    );
    Ok(())
}

/// When a job comes next, or why it does not.
pub fn next_time(job: &Job, zone: Tz) -> String {
    match (job.next_run_at, &job.park_reason) {
        (_, Some(why)) => format!("parked: {why} (--resume)"),
        (Some(at), None) => local(at.to_datetime(), zone, Utc::now()),
        (None, None) => "nothing is left to do".to_owned(),
    }
}

/// A path as a shell takes it.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
