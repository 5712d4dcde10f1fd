//! Opens an image with SQLite, as the next process would, and says what it holds then.

use std::fs;
use std::path::PathBuf;

use mainspring::OpenOptions;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use crate::facts::Facts;
use crate::image::{Digest, Image};
use crate::invariants::{INVARIANTS, SOUND_FILE};

/// The moment after a commit.
pub(crate) struct Examined {
    pub(crate) digest: Digest,
    pub(crate) facts: Facts,
    pub(crate) findings: Vec<String>,
}

/// A place to lay one image down at a time.
pub(crate) struct Table {
    dir: TempDir,
}

/// The index of the log is kept in memory: nobody else looks at the file.
const ALONE: &str = "PRAGMA locking_mode = exclusive";
/// Moves all of the log into the database.
const MOVE: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

impl Table {
    pub(crate) fn new() -> Result<Self, String> {
        Ok(Self { dir: memory_folder("mainspring-image-")? })
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("app.db")
    }

    /// Opens an image, plays its log and its journal in, and returns what the database holds then, of each byte.
    pub(crate) fn examine(&self, image: &Image) -> Result<Digest, String> {
        let conn = self.open(image).map_err(|why| format!("it cannot be opened: {why}"))?;
        self.play_in(conn)
    }

    /// The same of the moment after a commit, with what stands in it and all that is wrong with it. The library opens
    /// it as well, and brings it up to date.
    pub(crate) fn examine_all(&self, image: &Image) -> Result<Examined, String> {
        let conn = self.open(image).map_err(|why| format!("it cannot be opened: {why}"))?;
        let (facts, findings) = look(&conn).map_err(|why| format!("it cannot be read: {why}"))?;
        let digest = self.play_in(conn)?;
        image.write(&self.path()).map_err(|why| why.to_string())?;
        let opened = OpenOptions::new(self.path()).migrate();
        opened.map_err(|why| format!("the library cannot open it: {why}"))?;
        Ok(Examined { digest, facts, findings })
    }

    fn play_in(&self, conn: Connection) -> Result<Digest, String> {
        let busy: i64 = conn
            .query_row(MOVE, [], |row| row.get(0))
            .map_err(|why| format!("its log cannot be played in: {why}"))?;
        if busy != 0 {
            return Err("its log cannot be played in: somebody has it open".to_owned());
        }
        conn.close().map_err(|(_, why)| format!("it cannot be closed: {why}"))?;
        fs::read(self.path()).map(|bytes| Digest::of(&bytes)).map_err(|why| why.to_string())
    }

    fn open(&self, image: &Image) -> Result<Connection, String> {
        image.write(&self.path()).map_err(|why| why.to_string())?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let conn = Connection::open_with_flags(self.path(), flags).map_err(|why| why.to_string())?;
        // What is looked at is what opening makes of it, not what closing does.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .and_then(|_| conn.query_row(ALONE, [], |_| Ok(())))
            .map_err(|why| why.to_string())?;
        Ok(conn)
    }
}

/// A folder in memory, where there is such a place: what is written there is as good as on a disk to the one that
/// reads it.
pub(crate) fn memory_folder(prefix: &str) -> Result<TempDir, String> {
    let memory = std::path::Path::new("/dev/shm");
    let root = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix(prefix).tempdir_in(root).map_err(|error| error.to_string())
}

/// What stands in a file, and what SQLite and the library's doctor find wrong with it.
fn look(conn: &Connection) -> rusqlite::Result<(Facts, Vec<String>)> {
    let mut findings = details(conn, SOUND_FILE.name, SOUND_FILE.sql)?;
    let facts = Facts::read(conn)?;
    if facts.has_tables {
        findings.extend(doctor(conn)?);
    }
    Ok((facts, findings))
}

/// Every query of the library's doctor.
fn doctor(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut findings = Vec::new();
    for invariant in INVARIANTS {
        findings.extend(details(conn, invariant.name, invariant.sql)?);
    }
    Ok(findings)
}

fn details(conn: &Connection, name: &str, sql: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = conn.prepare(sql)?;
    let details = statement.query_map([], |row| row.get::<_, String>("detail"))?;
    details.map(|detail| detail.map(|detail| format!("{name}: {detail}"))).collect()
}

#[cfg(test)]
mod tests {
    use mainspring_proof_vfs::FileKind;

    use super::*;

    fn image(sql: &str) -> Image {
        let dir = tempfile::tempdir().unwrap();
        let conn = Connection::open(dir.path().join("app.db")).unwrap();
        conn.execute_batch("PRAGMA journal_mode = wal; CREATE TABLE t (x); PRAGMA wal_checkpoint").unwrap();
        conn.execute_batch(sql).unwrap();
        // Copied while it is open: the log is not in the database yet. Nothing of SQLite's is opened for it again.
        let image = Image::read(&dir.path().join("app.db")).unwrap();
        drop(conn);
        image
    }

    #[test]
    fn an_image_is_what_its_database_holds_with_its_log() {
        let table = Table::new().unwrap();
        let held = |image: &Image| table.examine(image).unwrap();
        let one = image("INSERT INTO t VALUES (1)");
        let mut without_log = one.clone();
        without_log.files.remove(&FileKind::Wal).unwrap();
        assert_eq!(held(&one), held(&one));
        assert_ne!(held(&one), held(&without_log));
        assert_eq!(held(&without_log), held(&image("SELECT 1")));
    }

    #[test]
    fn an_unsound_image_is_found_or_refused() {
        let mut torn = image("INSERT INTO t VALUES (1)");
        torn.files.remove(&FileKind::Wal);
        let database = torn.files.get_mut(&FileKind::Database).unwrap();
        database[4096..4200].fill(0xff);
        let found = Table::new().unwrap().examine_all(&torn);
        assert!(found.is_err() || !found.unwrap().findings.is_empty());
    }
}
