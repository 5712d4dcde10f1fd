//! The ledger outside the database: what the application was told, what its handlers did, what its sink got.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, io};

use crate::part::Answer;

/// One line of the ledger. No text in it has a space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The application is about to call this.
    Asked {
        /// Names the call.
        call: String,
    },
    /// The call returned without an error.
    Acknowledged {
        /// Names the call.
        call: String,
    },
    /// The call returned an error.
    Refused {
        /// Names the call.
        call: String,
        /// The word of [`class`](crate::class).
        class: String,
        /// Whether the error says that nobody knows what became of it.
        doubt: bool,
    },
    /// The clock was moved.
    Clock {
        /// Where to, in milliseconds since 1970.
        to_ms: i64,
    },
    /// A handler was called.
    Called {
        /// The job.
        label: String,
        /// The run.
        run: i64,
        /// The occurrence, in milliseconds since 1970.
        occurrence: i64,
        /// Which attempt at it.
        attempt: u32,
    },
    /// A handler is about to return.
    Returned {
        /// The job.
        label: String,
        /// The run.
        run: i64,
        /// Whether it succeeded.
        ok: bool,
    },
    /// An output was handed to the sink, which is about to answer.
    Sent {
        /// The job.
        label: String,
        /// The run.
        run: i64,
        /// Which delivery of this output.
        attempt: u32,
        /// What the sink answers.
        answer: Answer,
    },
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked { call } => write!(f, "asked {call}"),
            Self::Acknowledged { call } => write!(f, "acknowledged {call}"),
            Self::Refused { call, class, doubt } => write!(f, "refused {call} {class} {doubt}"),
            Self::Clock { to_ms } => write!(f, "clock {to_ms}"),
            Self::Called { label, run, occurrence, attempt } => {
                write!(f, "called {label} {run} {occurrence} {attempt}")
            }
            Self::Returned { label, run, ok } => write!(f, "returned {label} {run} {ok}"),
            Self::Sent { label, run, attempt, answer } => write!(f, "sent {label} {run} {attempt} {answer}"),
        }
    }
}

impl FromStr for Entry {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let bad = |why: &dyn fmt::Display| format!("ledger line {line:?}: {why}");
        fn number<T: FromStr<Err: fmt::Display>>(word: &str) -> Result<T, String> {
            word.parse().map_err(|error| format!("{word:?}: {error}"))
        }
        Ok(match words[..] {
            ["asked", call] => Self::Asked { call: call.to_owned() },
            ["acknowledged", call] => Self::Acknowledged { call: call.to_owned() },
            ["refused", call, class, doubt] => Self::Refused {
                call: call.to_owned(),
                class: class.to_owned(),
                doubt: number(doubt).map_err(|why| bad(&why))?,
            },
            ["clock", to_ms] => Self::Clock { to_ms: number(to_ms).map_err(|why| bad(&why))? },
            ["called", label, run, occurrence, attempt] => Self::Called {
                label: label.to_owned(),
                run: number(run).map_err(|why| bad(&why))?,
                occurrence: number(occurrence).map_err(|why| bad(&why))?,
                attempt: number(attempt).map_err(|why| bad(&why))?,
            },
            ["returned", label, run, ok] => Self::Returned {
                label: label.to_owned(),
                run: number(run).map_err(|why| bad(&why))?,
                ok: number(ok).map_err(|why| bad(&why))?,
            },
            ["sent", label, run, attempt, answer] => Self::Sent {
                label: label.to_owned(),
                run: number(run).map_err(|why| bad(&why))?,
                attempt: number(attempt).map_err(|why| bad(&why))?,
                answer: number(answer).map_err(|why| bad(&why))?,
            },
            _ => return Err(bad(&"no entry looks like this")),
        })
    }
}

/// A ledger. Clones are the same one.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

type Listener = Box<dyn Fn(&Entry) + Send + Sync>;

struct Inner {
    book: Mutex<Book>,
    written: Condvar,
    listener: Option<Listener>,
}

#[derive(Default)]
struct Book {
    entries: Vec<Entry>,
    file: Option<File>,
    /// Why an entry could not be written to the file: a ledger that forgot is worth nothing.
    broken: Option<io::Error>,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries().iter().map(ToString::to_string)).finish()
    }
}

impl Ledger {
    /// A ledger in memory.
    pub fn in_memory() -> Self {
        Self::new(Book::default(), None)
    }

    /// A ledger in memory that also tells each entry to somebody, say to the log of a power cut, before whatever it
    /// is about goes on.
    pub fn told_to(listener: impl Fn(&Entry) + Send + Sync + 'static) -> Self {
        Self::new(Book::default(), Some(Box::new(listener)))
    }

    /// A ledger in a file, which survives a kill of the process. What is in it already is read.
    ///
    /// # Errors
    /// Those of the file; [`io::ErrorKind::InvalidData`] for a line that is no entry. A last line without an end is
    /// what a kill left of one: it is dropped.
    pub fn in_file(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut text = String::new();
        io::Read::read_to_string(&mut file, &mut text)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            file.set_len(whole as u64)?;
        }
        let entries = text
            .get(..whole)
            .unwrap_or_default()
            .lines()
            .map(|line| line.parse().map_err(|why: String| io::Error::new(io::ErrorKind::InvalidData, why)))
            .collect::<io::Result<_>>()?;
        Ok(Self::new(Book { entries, file: Some(file), broken: None }, None))
    }

    fn new(book: Book, listener: Option<Listener>) -> Self {
        Self { inner: Arc::new(Inner { book: Mutex::new(book), written: Condvar::new(), listener }) }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.inner.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes an entry. It is in the file when this returns.
    pub fn write(&self, entry: Entry) {
        let mut book = self.book();
        if let Some(listener) = &self.inner.listener {
            listener(&entry);
        }
        if let Some(file) = &mut book.file
            // One call: a kill leaves all of the line or none of it, or a last line without an end.
            && let Err(error) = file.write_all(format!("{entry}\n").as_bytes())
        {
            book.broken = Some(error);
        }
        book.entries.push(entry);
        self.inner.written.notify_all();
    }

    /// All entries, oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.book().entries.clone()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.book().entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Why the file lacks an entry, if it does.
    pub fn broken(&self) -> Option<String> {
        self.book().broken.as_ref().map(ToString::to_string)
    }

    /// Whether there is such an entry.
    pub fn any(&self, is: impl Fn(&Entry) -> bool) -> bool {
        self.book().entries.iter().any(is)
    }

    /// Blocks until there is such an entry. Returns whether there is.
    pub fn wait(&self, longest: Duration, is: impl Fn(&Entry) -> bool) -> bool {
        let (book, _timeout) = self
            .inner
            .written
            .wait_timeout_while(self.book(), longest, |book| !book.entries.iter().any(&is))
            .unwrap_or_else(PoisonError::into_inner);
        book.entries.iter().any(&is)
    }

    /// Whether the call was acknowledged.
    pub fn acknowledged(&self, call: &str) -> bool {
        self.any(|entry| matches!(entry, Entry::Acknowledged { call: named } if named == call))
    }

    /// Whether nobody knows what became of the call: it was asked for, and the last that is known of it is an error
    /// that says so, or nothing.
    pub fn in_doubt(&self, call: &str) -> bool {
        let mut doubt = false;
        let mut unanswered = false;
        for entry in &self.book().entries {
            match entry {
                // It was asked for again although nothing had come back: the process was killed in between.
                Entry::Asked { call: named } if named == call => {
                    doubt |= unanswered;
                    unanswered = true;
                }
                Entry::Refused { call: named, doubt: maybe, .. } if named == call => {
                    (doubt, unanswered) = (doubt | maybe, false);
                }
                Entry::Acknowledged { call: named } if named == call => return false,
                _ => {}
            }
        }
        doubt || unanswered
    }

    /// Where the clock was moved last.
    pub fn clock_ms(&self) -> Option<i64> {
        self.book().entries.iter().rev().find_map(|entry| match entry {
            Entry::Clock { to_ms } => Some(*to_ms),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        let (call, label, class) = ("one".to_owned(), "a".to_owned(), "eio".to_owned());
        vec![
            Entry::Asked { call: call.clone() },
            Entry::Refused { call: call.clone(), class, doubt: true },
            Entry::Acknowledged { call },
            Entry::Clock { to_ms: 5 },
            Entry::Called { label: label.clone(), run: 1, occurrence: 7, attempt: 2 },
            Entry::Returned { label: label.clone(), run: 1, ok: false },
            Entry::Sent { label, run: 1, attempt: 1, answer: Answer::Accept },
        ]
    }

    #[test]
    fn an_entry_is_read_back_as_it_was_written() {
        for entry in entries() {
            assert_eq!(entry.to_string().parse(), Ok(entry));
        }
        assert!("called a".parse::<Entry>().is_err());
    }

    #[test]
    fn a_file_keeps_the_entries_and_drops_half_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger");
        let ledger = Ledger::in_file(&path).unwrap();
        entries().into_iter().for_each(|entry| ledger.write(entry));
        drop(ledger);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"asked tw").unwrap();
        for _ in 0..2 {
            let again = Ledger::in_file(&path).unwrap();
            assert_eq!((again.entries(), again.broken()), (entries(), None));
        }
        Ledger::in_file(&path).unwrap().write(Entry::Clock { to_ms: 6 });
        assert_eq!(Ledger::in_file(&path).unwrap().clock_ms(), Some(6));
    }

    #[test]
    fn a_call_is_in_doubt_until_it_is_answered_for_sure() {
        let ledger = Ledger::in_memory();
        let asked = || Entry::Asked { call: "one".to_owned() };
        let refused = |doubt| Entry::Refused { call: "one".to_owned(), class: "busy".to_owned(), doubt };
        assert!(!ledger.in_doubt("one"));
        ledger.write(asked());
        assert!(ledger.in_doubt("one") && !ledger.in_doubt("two"));
        ledger.write(refused(false));
        assert!(!ledger.in_doubt("one"));
        ledger.write(asked());
        ledger.write(refused(true));
        ledger.write(asked());
        ledger.write(refused(false));
        assert!(ledger.in_doubt("one"));
        ledger.write(Entry::Acknowledged { call: "one".to_owned() });
        assert!(!ledger.in_doubt("one") && ledger.acknowledged("one"));
    }
}
