//! The log of what was written, for images of what a power cut leaves.

use std::sync::Arc;

use crate::op::FileName;
use crate::state::State;

/// One thing that happened to the files, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A file was opened.
    Open {
        /// The file.
        file: Arc<FileName>,
        /// Whether opening has made it: its name is on the disk only after its folder was synced.
        created: bool,
    },
    /// A piece was written. Of a torn write it is the piece that was really written.
    Write {
        /// The file.
        file: Arc<FileName>,
        /// Where in the file.
        offset: u64,
        /// What.
        bytes: Arc<[u8]>,
    },
    /// The file was cut, or made longer with zeros.
    Truncate {
        /// The file.
        file: Arc<FileName>,
        /// How long it is now.
        length: u64,
    },
    /// All that was written to the file before is on the disk now. A sync that failed or was pretended is none.
    Sync {
        /// The file.
        file: Arc<FileName>,
    },
    /// The file was deleted.
    Delete {
        /// The file.
        file: Arc<FileName>,
        /// Whether its folder was synced after it.
        synced: bool,
    },
    /// What the program has put in.
    Mark(String),
}

/// The log of one VFS. It grows without a bound while it records: nothing is left out.
#[derive(Clone, Debug)]
pub struct Recorder {
    pub(crate) state: Arc<State>,
}

impl Recorder {
    /// Records from now on, into an empty log.
    pub fn start(&self) {
        *self.state.log() = Some(Vec::new());
    }

    /// Puts something between two operations, say `acknowledged 17`. Returns false if nothing is recorded.
    pub fn mark(&self, text: impl Into<String>) -> bool {
        match &mut *self.state.log() {
            Some(log) => {
                log.push(Event::Mark(text.into()));
                true
            }
            None => false,
        }
    }

    /// How much was recorded up to now.
    pub fn len(&self) -> usize {
        self.state.log().as_ref().map_or(0, Vec::len)
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Stops and hands the log out.
    pub fn stop(&self) -> Vec<Event> {
        self.state.log().take().unwrap_or_default()
    }
}
