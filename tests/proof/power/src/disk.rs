//! A disk and what has reached it: of each file what was synced and what was written since, of each name the file that
//! it names for sure and those that it may name.
//!
//! A sync of a file says nothing of its name: that is on the disk once its folder was synced. SQLite does so at the
//! first sync of a journal or log that it has opened, and with a deletion where it asks for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use mainspring_proof_vfs::{Event, FileKind};

use crate::image::{Image, LASTING};

/// What was asked of a file and is not synced.
#[derive(Clone, Debug)]
pub(crate) struct Unsynced {
    /// Which event of the log it is.
    pub(crate) at: usize,
    pub(crate) change: Change,
}

#[derive(Clone, Debug)]
pub(crate) enum Change {
    Write { offset: usize, bytes: Arc<[u8]> },
    Truncate { length: usize },
}

impl Change {
    /// Makes it in a content.
    pub(crate) fn make(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => write(content, *offset, bytes),
            Self::Truncate { length } => content.resize(*length, 0),
        }
    }
}

/// Writes a piece; what lies between the end and the piece becomes zeros.
pub(crate) fn write(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(place) = content.get_mut(offset..end) {
        place.copy_from_slice(bytes);
    }
}

/// A file, whatever its name.
#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    pub(crate) synced: Arc<Vec<u8>>,
    pub(crate) unsynced: Vec<Unsynced>,
}

impl File {
    fn settle(&mut self) {
        if self.unsynced.is_empty() {
            return;
        }
        let content = Arc::make_mut(&mut self.synced);
        self.unsynced.drain(..).for_each(|unsynced| unsynced.change.make(content));
    }
}

/// A name in the folder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Name {
    /// The file that it names on the disk.
    pub(crate) synced: Option<usize>,
    /// What it has named since, with the event that made it so.
    pub(crate) unsynced: Vec<(usize, Option<usize>)>,
    /// Whether the next sync of its file syncs the folder.
    syncs_folder: bool,
}

impl Name {
    fn current(&self) -> Option<usize> {
        self.unsynced.last().map_or(self.synced, |(_, file)| *file)
    }

    fn settle(&mut self) {
        self.synced = self.current();
        self.unsynced.clear();
    }
}

/// A disk with one folder in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) files: Vec<File>,
    pub(crate) names: BTreeMap<FileKind, Name>,
}

impl Disk {
    /// A disk that holds an image, safe and sound.
    pub(crate) fn with(image: &Image) -> Self {
        let mut disk = Self::default();
        for (kind, bytes) in &image.files {
            disk.files.push(File { synced: Arc::new(bytes.clone()), unsynced: Vec::new() });
            let name = Name { synced: Some(disk.files.len() - 1), ..Name::default() };
            disk.names.insert(*kind, name);
        }
        disk
    }

    /// Lets the event with that number happen.
    pub(crate) fn happen(&mut self, at: usize, event: &Event) {
        let Some(kind) = kind_of(event) else { return };
        match event {
            Event::Open { .. } => self.open(at, kind),
            Event::Write { offset, bytes, .. } => {
                let (offset, bytes) = (length(*offset), Arc::clone(bytes));
                self.change(at, kind, Change::Write { offset, bytes });
            }
            Event::Truncate { length: to, .. } => {
                self.change(at, kind, Change::Truncate { length: length(*to) })
            }
            Event::Sync { .. } => self.sync(kind),
            Event::Delete { synced, .. } => {
                self.names.entry(kind).or_default().unsynced.push((at, None));
                if *synced {
                    self.sync_folder();
                }
            }
            Event::Mark(_) => {}
        }
    }

    fn open(&mut self, at: usize, kind: FileKind) {
        let name = self.names.entry(kind).or_default();
        // The database is made before SQLite opens it, so that the log does not say who made it.
        if name.current().is_none() {
            self.files.push(File::default());
            name.unsynced.push((at, Some(self.files.len() - 1)));
        }
        name.syncs_folder |= kind != FileKind::Database;
    }

    fn change(&mut self, at: usize, kind: FileKind, change: Change) {
        if let Some(file) = self.current_file(kind) {
            file.unsynced.push(Unsynced { at, change });
        }
    }

    fn sync(&mut self, kind: FileKind) {
        if let Some(file) = self.current_file(kind) {
            file.settle();
        }
        if self.names.get_mut(&kind).is_some_and(|name| std::mem::take(&mut name.syncs_folder)) {
            self.sync_folder();
        }
    }

    fn sync_folder(&mut self) {
        self.names.values_mut().for_each(Name::settle);
    }

    fn current_file(&mut self, kind: FileKind) -> Option<&mut File> {
        let current = self.names.get(&kind)?.current()?;
        self.files.get_mut(current)
    }

    /// What every process sees: all that was written, synced or not.
    pub(crate) fn seen(&self) -> Image {
        let mut image = Image::default();
        for (kind, name) in &self.names {
            if let Some(file) = name.current().and_then(|file| self.files.get(file)) {
                let mut content = file.synced.to_vec();
                file.unsynced.iter().for_each(|unsynced| unsynced.change.make(&mut content));
                image.files.insert(*kind, content);
            }
        }
        image
    }
}

/// Which of the files that outlive a process it is about, if it is about one.
pub(crate) fn kind_of(event: &Event) -> Option<FileKind> {
    let file = match event {
        Event::Open { file, .. }
        | Event::Write { file, .. }
        | Event::Truncate { file, .. }
        | Event::Sync { file }
        | Event::Delete { file, .. } => file,
        Event::Mark(_) => return None,
    };
    LASTING.contains(&file.kind).then_some(file.kind)
}

/// A file that is longer than the memory could not have been written.
fn length(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use mainspring_proof_vfs::FileName;

    use super::*;

    fn file(kind: FileKind) -> Arc<FileName> {
        Arc::new(FileName { path: PathBuf::from("app.db"), kind })
    }

    fn happened(events: &[Event]) -> Disk {
        let mut disk = Disk::default();
        events.iter().enumerate().for_each(|(at, event)| disk.happen(at, event));
        disk
    }

    fn open(kind: FileKind) -> Event {
        Event::Open { file: file(kind), created: true }
    }

    fn write_at(kind: FileKind, offset: u64, text: &str) -> Event {
        Event::Write { file: file(kind), offset, bytes: text.as_bytes().into() }
    }

    fn sync(kind: FileKind) -> Event {
        Event::Sync { file: file(kind) }
    }

    #[test]
    fn what_was_synced_is_safe_and_what_came_after_it_is_not() {
        use FileKind::Database;
        let disk = happened(&[
            open(Database),
            write_at(Database, 0, "ab"),
            sync(Database),
            write_at(Database, 4, "e"),
        ]);
        assert_eq!(*disk.files[0].synced, b"ab");
        assert_eq!(disk.files[0].unsynced.len(), 1);
        assert_eq!(disk.seen().files[&Database], b"ab\0\0e");
    }

    #[test]
    fn a_name_is_safe_after_the_first_sync_of_a_log_and_not_after_that_of_the_database() {
        use FileKind::{Database, Wal};
        let names =
            |disk: &Disk| [Database, Wal].map(|kind| disk.names.get(&kind).and_then(|name| name.synced));
        let mut events = vec![open(Database), sync(Database), open(Wal)];
        assert_eq!(names(&happened(&events)), [None, None]);
        events.push(sync(Wal));
        assert_eq!(names(&happened(&events)), [Some(0), Some(1)]);
        events.extend([Event::Delete { file: file(Wal), synced: false }, sync(Database)]);
        let disk = happened(&events);
        assert_eq!((names(&disk), disk.seen().files.len()), ([Some(0), Some(1)], 1));
        events.extend([open(Wal), sync(Wal)]);
        assert_eq!(names(&happened(&events)), [Some(0), Some(2)]);
    }
}
