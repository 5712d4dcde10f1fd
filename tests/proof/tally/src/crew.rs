//! Processes that try cases for a tier, side by side: they share neither locks nor what somebody else's case left.
//!
//! A worker is the same program, started with a word of its own. It reads a case a line and writes what came of it.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};

/// What came of a case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How much of what was to be tried was tried.
    pub count: u64,
    /// What must not happen, a line each.
    pub violations: Vec<String>,
    /// What helps to understand it, a line each.
    pub notes: Vec<String>,
}

const COUNT: &str = "count";
const VIOLATION: &str = "violation";
const NOTE: &str = "note";

impl Report {
    fn write(&self, mut out: impl Write) -> io::Result<()> {
        for (word, lines) in [(VIOLATION, &self.violations), (NOTE, &self.notes)] {
            for line in lines {
                writeln!(out, "{word} {}", line.trim_end().replace('\n', "; "))?;
            }
        }
        writeln!(out, "{COUNT} {}", self.count)?;
        out.flush()
    }

    fn read(from: &mut impl BufRead) -> io::Result<Self> {
        let mut report = Self::default();
        let mut line = String::new();
        loop {
            line.clear();
            if from.read_line(&mut line)? == 0 {
                return Err(io::Error::other("a worker ended in the middle of a case"));
            }
            match line.trim_end().split_once(' ') {
                Some((VIOLATION, what)) => report.violations.push(what.to_owned()),
                Some((NOTE, what)) => report.notes.push(what.to_owned()),
                Some((COUNT, count)) => {
                    report.count = count.parse().map_err(io::Error::other)?;
                    return Ok(report);
                }
                _ => return Err(io::Error::other(format!("a worker says {line:?}"))),
            }
        }
    }
}

/// The worker's side: tries the cases that it reads until there are no more.
///
/// # Errors
/// Those of its input and output.
pub fn serve(mut attempt: impl FnMut(&str) -> Report) -> io::Result<()> {
    for line in io::stdin().lines() {
        attempt(&line?).write(io::stdout().lock())?;
    }
    Ok(())
}

/// The tier's side: how its workers are started, and how many at once.
#[derive(Clone, Debug)]
pub struct Crew {
    size: usize,
    args: Vec<OsString>,
}

impl Crew {
    /// So many workers, each started with these arguments.
    pub fn new(size: usize, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self { size, args: args.into_iter().map(Into::into).collect() }
    }

    /// Starts one.
    ///
    /// # Errors
    /// Those of starting a process.
    pub fn start(&self) -> io::Result<Worker> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(&self.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let missing = || io::Error::other("a worker has no pipes");
        let cases = process.stdin.take().ok_or_else(missing)?;
        let answers = BufReader::new(process.stdout.take().ok_or_else(missing)?);
        Ok(Worker { process, cases, answers })
    }

    /// Has cases tried until there are no more, or until `judge`, which gets each report as it comes, wants no more.
    /// A worker that dies is a violation of the case that it had, and is replaced.
    pub fn work<C: AsRef<str> + Send>(
        &self,
        cases: impl Iterator<Item = C> + Send,
        mut judge: impl FnMut(&C, Report) -> bool,
    ) {
        let cases = Mutex::new(cases.fuse());
        let next = || cases.lock().unwrap_or_else(PoisonError::into_inner).next();
        // Nothing is handed out before there is room for what comes of it.
        let (sender, reports) = channel();
        std::thread::scope(|scope| {
            for _ in 0..self.size.max(1) {
                let (sender, next) = (sender.clone(), &next);
                scope.spawn(move || {
                    let mut worker = None;
                    while let Some(case) = next() {
                        let report = self.attempt(&mut worker, case.as_ref());
                        if sender.send((case, report)).is_err() {
                            break;
                        }
                    }
                    worker.map(Worker::end)
                });
            }
            drop(sender);
            for (case, report) in &reports {
                if !judge(&case, report) {
                    break;
                }
            }
            // Who still works finds nobody who listens, and ends.
            drop(reports);
        });
    }

    fn attempt(&self, worker: &mut Option<Worker>, case: &str) -> Report {
        let tried = match worker.take() {
            Some(worker) => Ok(worker),
            None => self.start(),
        }
        .and_then(|mut worker| worker.attempt(case).map(|report| (worker, report)));
        match tried {
            Ok((alive, report)) => {
                *worker = Some(alive);
                report
            }
            Err(error) => Report { violations: vec![error.to_string()], ..Report::default() },
        }
    }
}

/// A worker, seen from the tier.
#[derive(Debug)]
pub struct Worker {
    process: Child,
    cases: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    /// Gives it a case and waits for what comes of it.
    ///
    /// # Errors
    /// If it is dead, or says what is no report.
    pub fn attempt(&mut self, case: &str) -> io::Result<Report> {
        writeln!(self.cases, "{case}")?;
        Report::read(&mut self.answers)
    }

    /// Lets it end, and waits for it.
    fn end(self) {
        let Self { mut process, cases, answers } = self;
        drop((cases, answers));
        // It has answered everything: how it ends says nothing more.
        let _ended = process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let report = Report {
            count: 3,
            violations: vec!["it ran\ntwice".to_owned()],
            notes: vec!["asked one".to_owned(), "refused one eio false".to_owned()],
        };
        let mut text = Vec::new();
        report.write(&mut text).unwrap();
        let read = Report::read(&mut text.as_slice()).unwrap();
        assert_eq!(read.violations, ["it ran; twice"]);
        assert_eq!((read.count, read.notes), (report.count, report.notes));
    }

    #[test]
    fn half_a_report_and_what_is_none_are_errors() {
        let read = |text: &str| Report::read(&mut text.as_bytes()).map_err(|error| error.to_string());
        assert_eq!(read("note x\n"), Err("a worker ended in the middle of a case".to_owned()));
        assert!(read("count many\n").is_err());
        assert_eq!(read("segmentation fault\n"), Err("a worker says \"segmentation fault\\n\"".to_owned()));
    }
}
