//! All cuts of a recording: what the disk may hold, and what the file holds then.

use std::collections::HashMap;

use fastrand::Rng;
use mainspring_proof_vfs::Event;

use crate::cut::{Model, image};
use crate::disk::{Disk, kind_of};
use crate::examine::Table;
use crate::image::{Digest, Image};
use crate::known::Known;
use crate::record::{Recording, Start};

/// How much is done with one recording.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// So many different images are opened, if there are as many.
    pub(crate) images: u64,
    /// So many of them are played on.
    pub(crate) plays: usize,
}

/// Every cut is tried so often at most.
const ROUNDS: usize = 12;
/// A recording with more events than this is cut at so many of them in a round, by chance.
const CUTS: usize = 600;
/// More violations of one recording tell nothing new.
const MOST_VIOLATIONS: usize = 3;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    pub(crate) counts: Counts,
    pub(crate) violations: Vec<Violation>,
    /// What the library is to go on with.
    pub(crate) starts: Vec<Start>,
}

/// What was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Cuts, each at a moment and under a model; several may leave the same image.
    pub(crate) cuts: u64,
    /// Different images of one recording, each opened and checked.
    pub(crate) images: u64,
    /// Cuts that took a commit which was over, allowed or not.
    pub(crate) took: u64,
}

/// Something that must not be.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) what: String,
    /// What the disk held, where it is about an image.
    pub(crate) image: Option<Image>,
}

impl From<String> for Violation {
    fn from(what: String) -> Self {
        Self { what, image: None }
    }
}

/// Cuts the power at every event of a recording.
pub(crate) fn sweep(recording: &Recording, table: &Table, effort: Effort, chance: &mut Rng) -> Swept {
    let mut swept = Swept::default();
    let known = match Known::of(recording, table) {
        Ok(known) => known,
        Err(wrong) => {
            swept.violations.extend(wrong.into_iter().take(MOST_VIOLATIONS).map(Violation::from));
            return swept;
        }
    };
    let mut sweep = Sweep { known: &known, table, effort, chance, held: HashMap::new(), swept };
    for round in 0..ROUNDS {
        sweep.round(round);
        if sweep.is_enough() {
            break;
        }
    }
    sweep.swept
}

struct Sweep<'a> {
    known: &'a Known<'a>,
    table: &'a Table,
    effort: Effort,
    chance: &'a mut Rng,
    /// The commit that each image came to.
    held: HashMap<Digest, usize>,
    swept: Swept,
}

impl Sweep<'_> {
    fn is_enough(&self) -> bool {
        self.swept.counts.images >= self.effort.images || self.swept.violations.len() >= MOST_VIOLATIONS
    }

    fn round(&mut self, round: usize) {
        let recording = self.known.recording;
        let mut disk = Disk::with(&recording.start.image);
        let writes = recording.events.iter().filter(|event| changes(event)).count();
        for (at, event) in recording.events.iter().enumerate() {
            disk.happen(at, event);
            if self.is_enough() {
                return;
            }
            // What is asked for leaves more for chance; after a sync or an answer more is promised of the same.
            let is_chosen = !changes(event) || writes <= CUTS || self.chance.usize(..writes) < CUTS;
            if is_chosen {
                let models = Model::ALL.iter().filter(|model| {
                    if changes(event) { round == 0 || model.varies() } else { round == 0 && !model.varies() }
                });
                models.for_each(|model| self.cut(&disk, at, *model));
            }
        }
    }

    /// Cuts the power after an event.
    fn cut(&mut self, disk: &Disk, at: usize, model: Model) {
        let image = image(disk, model, self.chance);
        let digest = image.digest();
        self.swept.counts.cuts += 1;
        let left = match self.held.get(&digest) {
            Some(left) => *left,
            None => match self.open(&image) {
                Ok(left) => {
                    self.held.insert(digest, left);
                    left
                }
                Err(what) => return self.violated(at, model, what, image),
            },
        };
        self.sample(&image, at, left);
        self.swept.counts.took += u64::from(self.known.took_something(at, left));
        if let Some(demand) = self.known.broken(at, left) {
            let what = format!("commit {} is lost, only {left} are left: {}", demand.commit, demand.why);
            self.violated(at, model, what, image);
        }
    }

    /// Opens an image that was not seen before, and says which commit it came to.
    fn open(&mut self, image: &Image) -> Result<usize, String> {
        let content = self.table.examine(image)?;
        self.swept.counts.images += 1;
        self.known.number(content).ok_or_else(|| "what it holds was never committed".to_owned())
    }

    fn violated(&mut self, at: usize, model: Model, what: String, image: Image) {
        let what = format!("after event {at}, {model:?}: {what}");
        self.swept.violations.push(Violation { what, image: Some(image) });
    }

    /// Each cut has the same chance to be one of those after which the library goes on.
    fn sample(&mut self, image: &Image, at: usize, left: usize) {
        let nth = self.swept.counts.cuts as usize;
        let taken = self.swept.starts.len();
        let place = if taken < self.effort.plays { taken } else { self.chance.usize(..nth) };
        if place >= self.effort.plays {
            return;
        }
        let (ledger, forgotten) = self.known.ledger(at, left);
        let start = &self.known.recording.start;
        let image = image.clone();
        let start = Start { image, ledger, forgotten, cuts: start.cuts + 1, ..*start };
        match self.swept.starts.get_mut(place) {
            Some(former) => *former = start,
            None => self.swept.starts.push(start),
        }
    }
}

/// Whether the event asks something of the disk that a cut can take.
fn changes(event: &Event) -> bool {
    kind_of(event).is_some() && !matches!(event, Event::Sync { .. })
}
