//! The commits of a recording: where each begins and is complete in the log of writes.

use mainspring_proof_vfs::{Event, FileKind};

/// SQLite's header of a write-ahead log, and of each frame in it.
const LOG_HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;
/// The page size of a log whose header was written before the recording.
const PAGE: u64 = 4096;

/// A commit, by the numbers of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    /// The first write to the log after the commit before it: that one is over, since its lock was let go.
    pub(crate) begins: usize,
    /// With this write all of it is in the log.
    pub(crate) done: usize,
}

/// All commits to the write-ahead log, in order.
pub(crate) fn commits(events: &[Event]) -> Vec<Commit> {
    let mut commits = Vec::new();
    let mut page = PAGE;
    let mut begins = None;
    let mut is_last_frame = false;
    for (at, event) in events.iter().enumerate() {
        let Event::Write { file, offset, bytes } = event else { continue };
        if file.kind != FileKind::Wal {
            continue;
        }
        begins.get_or_insert(at);
        if is_last_frame {
            commits.push(Commit { begins: begins.take().unwrap_or(at), done: at });
            is_last_frame = false;
        } else if *offset == 0 {
            page = number(bytes, 8).map_or(page, u64::from);
        } else if is_frame_header(*offset, bytes.len(), page) {
            // How long the database is after the commit; 0 in a frame that is not its last one.
            is_last_frame = number(bytes, 4).is_some_and(|pages| pages > 0);
        }
    }
    commits
}

fn is_frame_header(offset: u64, length: usize, page: u64) -> bool {
    length as u64 == FRAME_HEADER
        && offset >= LOG_HEADER
        && (offset - LOG_HEADER).is_multiple_of(FRAME_HEADER + page)
}

/// The number that stands there, the most significant byte first.
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainspring_proof_vfs::FaultVfs;
    use rusqlite::Connection;

    #[test]
    fn each_commit_is_found_and_what_was_rolled_back_is_none() {
        let vfs = FaultVfs::register_unique("commits").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.db");
        let conn = Connection::open_with_flags_and_vfs(path, Default::default(), vfs.name()).unwrap();
        conn.execute_batch("PRAGMA journal_mode = wal; CREATE TABLE t (x); PRAGMA cache_size = 8").unwrap();
        let recorder = vfs.recorder();
        recorder.start();
        for number in 0..3 {
            conn.execute("INSERT INTO t VALUES (?1)", [number]).unwrap();
            conn.execute_batch("BEGIN; INSERT INTO t VALUES (zeroblob(200000)); ROLLBACK").unwrap();
        }
        conn.execute_batch("PRAGMA wal_checkpoint; INSERT INTO t VALUES (4)").unwrap();
        let found = commits(&recorder.stop());
        assert_eq!(found.len(), 4);
        assert!(found.windows(2).all(|two| two[0].done < two[1].begins && two[1].begins < two[1].done));
    }
}
