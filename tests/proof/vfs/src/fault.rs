//! What goes wrong, where and how.

use std::ffi::c_int;
use std::fmt;

use rusqlite::ffi;

use crate::op::{FileKind, Op, words};

words! {
    /// How an operation goes wrong.
    Flavour {
        /// Nothing is done, and the error is the one of SQLite's own for a device that does not answer.
        IoError = "eio",
        /// Nothing is done, for there is no room.
        Full = "full",
        /// Nothing is done, for somebody else holds the lock.
        Busy = "busy",
        /// Nothing is done, for there is no memory.
        NoMemory = "nomem",
        /// The first half is written; then there is no room.
        Short = "short",
        /// The first half is written; then the device does not answer.
        Torn = "torn",
        /// It is done, and an error is reported all the same.
        Unheard = "unheard",
        /// It is not done, and success is reported all the same: a disk that lies.
        Pretended = "pretended",
        /// The process kills itself before it is done.
        KillBefore = "kill-before",
        /// The process kills itself with the first half written.
        KillTorn = "kill-torn",
        /// The process kills itself when it is done.
        KillAfter = "kill-after",
    }
}

impl Flavour {
    /// Whether that can happen to such an operation.
    pub const fn fits(self, op: Op) -> bool {
        match self {
            Self::IoError | Self::NoMemory | Self::KillBefore | Self::KillAfter => true,
            Self::Full => matches!(op, Op::Open | Op::Write | Op::ShmMap),
            Self::Busy => matches!(op, Op::Lock | Op::ShmLock),
            Self::Short | Self::Torn | Self::KillTorn => matches!(op, Op::Write),
            // A lock or a file that is had and refused would never be given back.
            Self::Unheard => matches!(op, Op::Write | Op::Truncate | Op::Sync | Op::Delete),
            Self::Pretended => matches!(op, Op::Sync),
        }
    }

    /// Whether the process does not survive it.
    pub const fn kills(self) -> bool {
        matches!(self, Self::KillBefore | Self::KillTorn | Self::KillAfter)
    }

    pub(crate) const fn act(self, op: Op) -> Act {
        match self {
            Self::IoError => Act::Refuse(io_error(op)),
            Self::Full => Act::Refuse(full(op)),
            Self::Busy => Act::Refuse(ffi::SQLITE_BUSY),
            Self::NoMemory => Act::Refuse(no_memory(op)),
            Self::Short => Act::Half(full(op)),
            Self::Torn => Act::Half(io_error(op)),
            Self::Unheard => Act::DoneBut(io_error(op)),
            Self::Pretended => Act::Pretend,
            Self::KillBefore => Act::KillBefore,
            Self::KillTorn => Act::KillTorn,
            Self::KillAfter => Act::KillAfter,
        }
    }
}

/// What happens instead of an operation, with the code that SQLite gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Pass,
    Refuse(c_int),
    Half(c_int),
    DoneBut(c_int),
    Pretend,
    KillBefore,
    KillTorn,
    KillAfter,
}

const fn io_error(op: Op) -> c_int {
    match op {
        Op::Open => ffi::SQLITE_CANTOPEN,
        Op::Delete => ffi::SQLITE_IOERR_DELETE,
        Op::Access => ffi::SQLITE_IOERR_ACCESS,
        Op::Read => ffi::SQLITE_IOERR_READ,
        Op::Write => ffi::SQLITE_IOERR_WRITE,
        Op::Truncate => ffi::SQLITE_IOERR_TRUNCATE,
        Op::Sync => ffi::SQLITE_IOERR_FSYNC,
        Op::Size => ffi::SQLITE_IOERR_FSTAT,
        Op::Lock => ffi::SQLITE_IOERR_LOCK,
        Op::Reserved => ffi::SQLITE_IOERR_CHECKRESERVEDLOCK,
        Op::ShmMap => ffi::SQLITE_IOERR_SHMMAP,
        Op::ShmLock => ffi::SQLITE_IOERR_SHMLOCK,
    }
}

/// As SQLite's own VFS reports it: a file that cannot be made, an index that cannot grow.
const fn full(op: Op) -> c_int {
    match op {
        Op::Open => ffi::SQLITE_CANTOPEN,
        Op::ShmMap => ffi::SQLITE_IOERR_SHMSIZE,
        _ => ffi::SQLITE_FULL,
    }
}

const fn no_memory(op: Op) -> c_int {
    match op {
        Op::Open => ffi::SQLITE_NOMEM,
        _ => ffi::SQLITE_IOERR_NOMEM,
    }
}

/// One thing that goes wrong at one operation, or at every one from there on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fault {
    /// The kind of operation; `None` is every kind that the flavour fits.
    pub op: Option<Op>,
    /// The file; `None` is every one.
    pub file: Option<FileKind>,
    /// At which matching operation, from 1, counted from when it was armed.
    pub nth: u64,
    /// How it goes wrong.
    pub flavour: Flavour,
    /// Whether every later matching operation goes wrong as well, until it is disarmed.
    pub sticky: bool,
}

impl Fault {
    /// The first operation of that kind, on whichever file, once.
    pub const fn first(op: Op, flavour: Flavour) -> Self {
        Self { op: Some(op), file: None, nth: 1, flavour, sticky: false }
    }

    /// On that kind of file only.
    #[must_use]
    pub const fn on(self, file: FileKind) -> Self {
        Self { file: Some(file), ..self }
    }

    /// At the `nth` matching operation, from 1.
    #[must_use]
    pub const fn at(self, nth: u64) -> Self {
        Self { nth, ..self }
    }

    /// From there on, until it is disarmed.
    #[must_use]
    pub const fn sticky(self) -> Self {
        Self { sticky: true, ..self }
    }

    /// Whether it can ever fire.
    pub const fn can_fire(&self) -> bool {
        let fits = match self.op {
            Some(op) => self.flavour.fits(op),
            None => true,
        };
        fits && self.nth > 0
    }

    pub(crate) fn matches(&self, op: Op, file: FileKind) -> bool {
        self.op.is_none_or(|wanted| wanted == op)
            && self.file.is_none_or(|wanted| wanted == file)
            && self.flavour.fits(op)
    }
}

/// For example `write wal 17 torn once`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let op = self.op.map_or("any", Op::as_str);
        let file = self.file.map_or("any", FileKind::as_str);
        let often = if self.sticky { "sticky" } else { "once" };
        write!(f, "{op} {file} {} {} {often}", self.nth, self.flavour)
    }
}

/// What [`Display`](fmt::Display) wrote, so that a report can be pasted into a command line.
impl std::str::FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [op, file, nth, flavour, often] = words[..] else {
            return Err(format!("{text:?} is no fault: say for example \"write wal 17 torn once\""));
        };
        let fault = Self {
            op: if op == "any" { None } else { Some(op.parse()?) },
            file: if file == "any" { None } else { Some(file.parse()?) },
            nth: nth.parse().map_err(|error| format!("{nth:?}: {error}"))?,
            flavour: flavour.parse()?,
            sticky: match often {
                "once" => false,
                "sticky" => true,
                other => return Err(format!("{other:?} is neither once nor sticky")),
            },
        };
        if fault.can_fire() { Ok(fault) } else { Err(format!("\"{fault}\" cannot happen")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_back_from_what_it_prints() {
        for fault in [
            Fault::first(Op::Write, Flavour::Torn).on(FileKind::Wal).at(17),
            Fault::first(Op::ShmLock, Flavour::Busy).sticky(),
            Fault { op: None, file: None, nth: 3, flavour: Flavour::KillBefore, sticky: false },
        ] {
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
    }

    #[test]
    fn what_cannot_happen_is_refused() {
        for text in ["read db 1 busy once", "write wal 0 eio once", "write wal 1 eio", "write wal 1 eio ever"]
        {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_operation_of_every_kind_can_be_refused_and_none_is_locked_for_ever() {
        for op in Op::ALL {
            assert!(Flavour::IoError.fits(*op));
            assert_ne!(Flavour::IoError.act(*op), Act::Refuse(ffi::SQLITE_OK));
        }
        assert!(!Flavour::Unheard.fits(Op::Lock) && !Flavour::Unheard.fits(Op::ShmLock));
    }
}
