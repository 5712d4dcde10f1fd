//! A power cut: what a disk that was asked for this and that may hold after it.

use fastrand::Rng;

use crate::disk::{Change, Disk, File, Unsynced, write};
use crate::image::Image;

/// What disks write at once.
const SECTOR: usize = 512;

/// What becomes of that which was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Model {
    /// All of it is lost.
    Lost,
    /// All of it is there, as after the end of the process alone.
    Kept,
    /// What was asked for first is there, over all files, and nothing after it.
    Prefix,
    /// Each write is there or is not.
    Subset,
    /// Writes were made in another order, up to some moment.
    Reordered,
    /// Each sector of each write is there or is not.
    Torn,
    /// The last write ends in the middle of its sectors; those before it are there.
    TornEnd,
    /// The file is as long as it was to be, and where it grew there may be zeros or anything.
    Grown,
}

impl Model {
    pub(crate) const ALL: [Self; 8] = [
        Self::Lost,
        Self::Kept,
        Self::Prefix,
        Self::Subset,
        Self::Reordered,
        Self::Torn,
        Self::TornEnd,
        Self::Grown,
    ];

    /// Whether chance has a part in it, so that another try may leave something else.
    pub(crate) const fn varies(self) -> bool {
        !matches!(self, Self::Lost | Self::Kept)
    }
}

/// What the disk may hold after a cut.
pub(crate) fn image(disk: &Disk, model: Model, chance: &mut Rng) -> Image {
    let until = moment(disk, chance);
    let mut image = Image::default();
    for (kind, name) in &disk.names {
        let reached = match model {
            Model::Lost => 0,
            Model::Kept | Model::TornEnd => name.unsynced.len(),
            Model::Prefix => name.unsynced.iter().filter(|(at, _)| *at <= until).count(),
            _ => chance.usize(..=name.unsynced.len()),
        };
        let named = match reached.checked_sub(1).and_then(|last| name.unsynced.get(last)) {
            Some((_, file)) => *file,
            None => name.synced,
        };
        if let Some(file) = named.and_then(|file| disk.files.get(file)) {
            image.files.insert(*kind, content(file, model, until, chance));
        }
    }
    image
}

/// One of the moments since the oldest thing that is not synced.
fn moment(disk: &Disk, chance: &mut Rng) -> usize {
    let changes = disk.files.iter().flat_map(|file| file.unsynced.iter().map(|unsynced| unsynced.at));
    let names = disk.names.values().flat_map(|name| name.unsynced.iter().map(|(at, _)| *at));
    let moments: Vec<usize> = changes.chain(names).collect();
    chance.choice(moments).unwrap_or_default()
}

fn content(file: &File, model: Model, until: usize, chance: &mut Rng) -> Vec<u8> {
    let mut content = file.synced.to_vec();
    let all = &file.unsynced;
    match model {
        Model::Lost => {}
        Model::Kept => make(all, &mut content),
        Model::Prefix => all.iter().filter(|it| it.at <= until).for_each(|it| it.change.make(&mut content)),
        Model::Subset => all.iter().filter(|_| chance.bool()).for_each(|it| it.change.make(&mut content)),
        Model::Reordered => {
            let mut order: Vec<&Unsynced> = all.iter().collect();
            chance.shuffle(&mut order);
            order.truncate(chance.usize(..=order.len()));
            order.iter().for_each(|it| it.change.make(&mut content));
        }
        Model::Torn => {
            for it in all {
                let torn = |chance: &mut Rng| chance.bool().then_some(Sector::Written);
                by_sector(&it.change, &mut content, chance, torn);
            }
        }
        Model::TornEnd => {
            if let Some((last, before)) = all.split_last() {
                make(before, &mut content);
                tear(&last.change, &mut content, chance);
            }
        }
        Model::Grown => grow(all, &mut content, chance),
    }
    content
}

fn make(all: &[Unsynced], content: &mut Vec<u8>) {
    all.iter().for_each(|unsynced| unsynced.change.make(content));
}

/// Makes the beginning of a change, whole sectors of it.
fn tear(change: &Change, content: &mut Vec<u8>, chance: &mut Rng) {
    match change {
        Change::Write { offset, bytes } => {
            let pieces = sectors(*offset, bytes).collect::<Vec<_>>();
            let kept = chance.usize(..=pieces.len());
            pieces.into_iter().take(kept).for_each(|(at, piece)| write(content, at, piece));
        }
        Change::Truncate { .. } if chance.bool() => change.make(content),
        Change::Truncate { .. } => {}
    }
}

/// What a sector holds.
enum Sector {
    Written,
    Zeros,
    Anything,
}

/// Makes a change sector by sector; `fate` says what becomes of each, `None` that it stays as it was.
fn by_sector(
    change: &Change,
    content: &mut Vec<u8>,
    chance: &mut Rng,
    fate: impl Fn(&mut Rng) -> Option<Sector>,
) {
    match change {
        Change::Write { offset, bytes } => {
            for (at, piece) in sectors(*offset, bytes) {
                match fate(chance) {
                    Some(Sector::Written) => write(content, at, piece),
                    Some(Sector::Zeros) => write(content, at, &vec![0; piece.len()]),
                    Some(Sector::Anything) => {
                        let anything: Vec<u8> = piece.iter().map(|_| chance.u8(..)).collect();
                        write(content, at, &anything);
                    }
                    None => {}
                }
            }
        }
        Change::Truncate { .. } if chance.bool() => change.make(content),
        Change::Truncate { .. } => {}
    }
}

/// The file has its new length; what lies beyond the old one may never have been written.
fn grow(all: &[Unsynced], content: &mut Vec<u8>, chance: &mut Rng) {
    let mut whole = content.clone();
    make(all, &mut whole);
    let old = content.len();
    content.resize(whole.len(), 0);
    for unsynced in all {
        let Change::Write { offset, .. } = &unsynced.change else { continue };
        let is_beyond = *offset >= old;
        by_sector(&unsynced.change, content, chance, |chance| match chance.u8(..3) {
            0 => Some(Sector::Written),
            1 if is_beyond => Some(Sector::Zeros),
            2 if is_beyond => Some(Sector::Anything),
            _ => None,
        });
    }
    content.truncate(whole.len());
}

/// A piece of a file, cut where its sectors end.
fn sectors(offset: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = offset;
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let here = at;
        let (piece, after) = rest.split_at(rest.len().min(SECTOR - here % SECTOR));
        (at, rest) = (here + piece.len(), after);
        (!piece.is_empty()).then_some((here, piece))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;
    use std::sync::Arc;

    use mainspring_proof_vfs::{Event, FileKind, FileName};

    use super::*;

    /// Two sectors of `a` are safe; two of `b` over the second and beyond, and then two of `c`, are not.
    fn disk() -> Disk {
        let file = Arc::new(FileName { path: PathBuf::from("app.db"), kind: FileKind::Database });
        let before = Image { files: [(FileKind::Database, vec![b'a'; 1024])].into() };
        let mut disk = Disk::with(&before);
        for (at, (offset, byte)) in [(512, b'b'), (1536, b'c')].into_iter().enumerate() {
            let bytes = vec![byte; 1024].into();
            disk.happen(at, &Event::Write { file: Arc::clone(&file), offset, bytes });
        }
        disk
    }

    /// The first byte of each sector, of everything that the model may leave.
    fn left(model: Model) -> BTreeSet<String> {
        let disk = disk();
        let mut chance = Rng::with_seed(7);
        let one = |chance: &mut Rng| -> String {
            let content = image(&disk, model, chance).files.remove(&FileKind::Database).unwrap();
            let firsts = content.chunks(SECTOR).map(|sector| match sector[0] {
                0 => '.',
                byte @ b'a'..=b'c' => byte as char,
                _ => '?',
            });
            firsts.collect()
        };
        (0..400).map(|_| one(&mut chance)).collect()
    }

    fn these(texts: &[&str]) -> BTreeSet<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn each_model_leaves_what_its_name_says() {
        assert_eq!(left(Model::Lost), these(&["aa"]));
        assert_eq!(left(Model::Kept), these(&["abbcc"]));
        assert_eq!(left(Model::Prefix), these(&["abb", "abbcc"]));
        assert_eq!(left(Model::Subset), these(&["aa", "abb", "aa.cc", "abbcc"]));
        assert_eq!(left(Model::TornEnd), these(&["abb", "abbc", "abbcc"]));
        assert!(left(Model::Torn).is_superset(&these(&["aab.c", "ab", "aa..c", "abbcc"])));
        let grown = left(Model::Grown);
        assert!(grown.iter().all(|text| text.len() == 5), "{grown:?}");
        assert!(grown.iter().any(|text| text.ends_with(".?")) && grown.contains("abbcc"));
    }

    #[test]
    fn a_name_that_is_not_safe_may_be_missing() {
        let file = Arc::new(FileName { path: PathBuf::from("app.db-wal"), kind: FileKind::Wal });
        let mut disk = Disk::default();
        disk.happen(0, &Event::Open { file, created: true });
        let count = |model| image(&disk, model, &mut Rng::with_seed(1)).files.len();
        assert_eq!((count(Model::Lost), count(Model::Kept)), (0, 1));
    }
}
