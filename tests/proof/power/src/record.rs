//! Plays a scenario on a disk that writes everything down.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use mainspring::Durability;
use mainspring_proof_stage::{Entry, Ledger, Scenario, Stage, Terms, check};
use mainspring_proof_vfs::{Event, FaultVfs};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::again::too_often;
use crate::image::Image;

/// How long each step of a play may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// So many entries of the ledger come between two moves of the log into the database.
const ENTRIES: usize = 5;

/// What a play begins with.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) scenario: Scenario,
    pub(crate) durability: Durability,
    /// The files.
    pub(crate) image: Image,
    /// What the application knows of its former lives.
    pub(crate) ledger: Vec<Entry>,
    /// What handlers and sinks did in former lives after the last commit that is left of those.
    pub(crate) forgotten: Vec<Entry>,
    /// How often the power was cut before.
    pub(crate) cuts: u32,
}

/// All that was written while it was played to its end.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) start: Start,
    pub(crate) events: Vec<Event>,
    /// The whole ledger, from the first life on.
    pub(crate) ledger: Vec<Entry>,
    /// What was not as promised, without another cut.
    pub(crate) wrong: Vec<String>,
}

impl Recording {
    /// The entries of the ledger, each with the number of its event.
    pub(crate) fn marks(&self) -> impl Iterator<Item = (usize, Entry)> {
        self.events.iter().enumerate().filter_map(|(at, event)| match event {
            Event::Mark(text) => text.parse().ok().map(|entry| (at, entry)),
            _ => None,
        })
    }
}

/// Plays from a start to the end, in a folder of its own.
pub(crate) async fn record(start: Start, dir: &Path) -> Result<Recording, String> {
    let path = dir.join("app.db");
    let plain = |error: std::io::Error| format!("the tier cannot lay down its files: {error}");
    std::fs::create_dir(dir).map_err(plain)?;
    start.image.write(&path).map_err(plain)?;
    let vfs = FaultVfs::register_unique("power")?;
    let recorder = vfs.recorder();
    recorder.start();
    let ledger = told_to_the_recorder(&vfs, &path, &start.ledger);
    let stage = Stage::new(start.scenario, &path, ledger)
        .vfs_for_all(vfs.name())
        .durability(start.durability)
        .patience(PATIENCE);
    let mut wrong: Vec<String> = start.scenario.play(&stage).await.err().into_iter().collect();
    let events = recorder.stop();
    let terms = Terms { kills: start.cuts, is_over: true };
    wrong.extend(check(start.scenario, &path, stage.ledger(), terms).unwrap_or_else(|why| vec![why]));
    wrong.extend(events.iter().filter_map(unmoved));
    let ledger = stage.ledger().entries();
    wrong.extend(too_often(&start, &ledger));
    std::fs::remove_dir_all(dir).map_err(plain)?;
    Ok(Recording { start, events, ledger, wrong })
}

/// A ledger of which each entry stands among the writes, where it was made. Every few entries another process moves
/// the log into the database: by itself that would come with the thousandth page, and no scenario is as long.
fn told_to_the_recorder(vfs: &FaultVfs, path: &Path, former: &[Entry]) -> Ledger {
    let (recorder, name, path) = (vfs.recorder(), vfs.name().to_owned(), path.to_owned());
    let is_new = std::sync::Arc::new(AtomicBool::new(false));
    let (begun, count) = (std::sync::Arc::clone(&is_new), AtomicUsize::new(0));
    let ledger = Ledger::told_to(move |entry| {
        recorder.mark(entry.to_string());
        let has_file =
            matches!(entry, Entry::Acknowledged { .. } | Entry::Sent { .. } | Entry::Called { .. });
        if has_file
            && begun.load(Ordering::Relaxed)
            && count.fetch_add(1, Ordering::Relaxed) % ENTRIES == ENTRIES - 1
            && let Err(error) = move_log(&path, &name)
        {
            recorder.mark(format!("{UNMOVED} {error}"));
        }
    });
    former.iter().for_each(|entry| ledger.write(entry.clone()));
    is_new.store(true, Ordering::Relaxed);
    ledger
}

/// What stands in the log where it could not be moved.
const UNMOVED: &str = "unmoved";

fn unmoved(event: &Event) -> Option<String> {
    match event {
        Event::Mark(text) if text.starts_with(UNMOVED) => Some(format!("another process: {text}")),
        _ => None,
    }
}

fn move_log(path: &Path, vfs: &str) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags_and_vfs(path, flags, vfs)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}
