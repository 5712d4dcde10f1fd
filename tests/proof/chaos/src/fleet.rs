//! The three processes: started, killed, frozen and thawed. Each process that was ever started is a life.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::ledger::now;
use crate::{CHILD, Outcome};

/// One process, from its start on. Times are those of the ledger.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) number: u64,
    pub(crate) pid: u32,
    /// Just before the signal.
    pub(crate) killed: Option<Duration>,
    /// After it was gone.
    pub(crate) buried: Option<Duration>,
    /// From before the signal until it went on, or was killed.
    pub(crate) frozen: Vec<(Duration, Option<Duration>)>,
}

impl Life {
    pub(crate) fn was_killed_before(&self, at: Duration) -> bool {
        self.killed.is_some_and(|killed| killed <= at)
    }
}

/// All lives, for everybody who looks while they are lived.
#[derive(Clone, Default)]
pub(crate) struct Lives(Arc<Mutex<Vec<Life>>>);

impl Lives {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<Life>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut Life)) {
        if let Some(life) = self.lock().iter_mut().find(|life| life.number == number) {
            change(life);
        }
    }
}

/// A process that was started and not buried yet.
struct Process {
    life: u64,
    child: Child,
    /// When it is to go on.
    frozen_until: Option<Duration>,
}

/// A place in which there is a process, or will be one again.
enum Place {
    Taken(Process),
    Free { from: Duration },
}

/// The processes of the tier.
pub(crate) struct Fleet {
    dir: PathBuf,
    stderr: File,
    pub(crate) lives: Lives,
    places: Vec<Place>,
}

impl Fleet {
    pub(crate) fn new(dir: &Path, size: usize) -> io::Result<Self> {
        let stderr = OpenOptions::new().append(true).create(true).open(dir.join("stderr.log"))?;
        let places = (0..size).map(|_| Place::Free { from: Duration::ZERO }).collect();
        Ok(Self { dir: dir.to_owned(), stderr, lives: Lives::default(), places })
    }

    /// Starts what is to be started by now, thaws what is to go on, and fails if a process ended by itself.
    pub(crate) fn tend(&mut self) -> Outcome<()> {
        for place in 0..self.places.len() {
            match self.places.get_mut(place) {
                Some(Place::Free { from }) if *from <= now() => {
                    let process = self.start()?;
                    self.put(place, Place::Taken(process));
                }
                Some(Place::Taken(process)) => {
                    if let Some(status) = process.child.try_wait()? {
                        return Err(format!("engine {} ended by itself: {status}", process.life).into());
                    }
                    if process.frozen_until.is_some_and(|until| until <= now()) {
                        thaw(process, &self.lives)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn put(&mut self, place: usize, new: Place) {
        if let Some(place) = self.places.get_mut(place) {
            *place = new;
        }
    }

    fn start(&self) -> Outcome<Process> {
        let number = self.lives.lock().len() as u64 + 1;
        let child = Command::new(std::env::current_exe()?)
            .args([CHILD, &number.to_string()])
            .arg(&self.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(self.stderr.try_clone()?)
            .spawn()?;
        let pid = child.id();
        self.lives.lock().push(Life { number, pid, killed: None, buried: None, frozen: Vec::new() });
        Ok(Process { life: number, child, frozen_until: None })
    }

    fn processes(&mut self) -> Vec<&mut Process> {
        self.places
            .iter_mut()
            .filter_map(|place| match place {
                Place::Taken(process) => Some(process),
                Place::Free { .. } => None,
            })
            .collect()
    }

    /// How many processes there are.
    pub(crate) fn running(&mut self) -> usize {
        self.processes().len()
    }

    /// Kills the n-th of those that run, and frees its place for a new one from then on. A frozen one is spared
    /// unless it is said otherwise, or there is no other.
    pub(crate) fn kill(&mut self, nth: usize, frozen_too: bool, free_for: Duration) -> Outcome<()> {
        let with = |frozen: bool| {
            let is_one = |place: &Place| match place {
                Place::Taken(process) => frozen || process.frozen_until.is_none(),
                Place::Free { .. } => false,
            };
            self.places
                .iter()
                .enumerate()
                .filter(|(_, place)| is_one(place))
                .map(|(index, _)| index)
                .collect()
        };
        let mut running: Vec<usize> = with(frozen_too);
        if running.is_empty() {
            running = with(true);
        }
        let count = running.len().max(1);
        let Some(index) = running.get(nth % count).copied() else { return Ok(()) };
        let Some(place) = self.places.get_mut(index) else { return Ok(()) };
        let free = Place::Free { from: now() + free_for };
        let Place::Taken(mut process) = std::mem::replace(place, free) else { return Ok(()) };
        self.lives.change(process.life, |life| life.killed = Some(now()));
        process.child.kill()?;
        let status = process.child.wait()?;
        self.lives.change(process.life, |life| {
            life.buried = Some(now());
            end_freeze(life);
        });
        if status.signal() != Some(Signal::SIGKILL as i32) {
            return Err(format!("engine {} had ended by itself: {status}", process.life).into());
        }
        Ok(())
    }

    /// Freezes the n-th of those that run and are not frozen; whether there is one.
    pub(crate) fn freeze(&mut self, nth: usize, longest: Duration) -> Outcome<bool> {
        let lives = self.lives.clone();
        let mut awake: Vec<&mut Process> =
            self.processes().into_iter().filter(|process| process.frozen_until.is_none()).collect();
        let count = awake.len().max(1);
        let Some(process) = awake.get_mut(nth % count) else { return Ok(false) };
        lives.change(process.life, |life| life.frozen.push((now(), None)));
        signal(&process.child, Signal::SIGSTOP)?;
        process.frozen_until = Some(now() + longest);
        Ok(true)
    }

    /// Thaws everybody.
    pub(crate) fn thaw_all(&mut self) -> Outcome<()> {
        let lives = self.lives.clone();
        for process in self.processes() {
            if process.frozen_until.is_some() {
                thaw(process, &lives)?;
            }
        }
        Ok(())
    }

    /// Lets all of them stop in order; those that do not in time are killed, and named.
    pub(crate) fn stop(mut self, longest: Duration) -> Outcome<Vec<String>> {
        let mut wrong = Vec::new();
        for process in self.processes() {
            // The end of its input is what an engine stops for.
            drop(process.child.stdin.take());
        }
        let until = Instant::now() + longest;
        for process in self.processes() {
            match ended_before(&mut process.child, until)? {
                Some(status) if status.success() => {}
                Some(status) => {
                    wrong.push(format!("engine {} did not stop in order: {status}", process.life))
                }
                None => wrong.push(format!("engine {} had not stopped after {longest:?}", process.life)),
            }
        }
        Ok(wrong)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for process in self.processes() {
            // It may have ended already.
            drop(process.child.kill());
            drop(process.child.wait());
        }
    }
}

fn ended_before(child: &mut Child, until: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        match child.try_wait()? {
            None if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
            ended => return Ok(ended),
        }
    }
}

fn thaw(process: &mut Process, lives: &Lives) -> Outcome<()> {
    signal(&process.child, Signal::SIGCONT)?;
    process.frozen_until = None;
    lives.change(process.life, end_freeze);
    Ok(())
}

fn end_freeze(life: &mut Life) {
    if let Some((_, until @ None)) = life.frozen.last_mut() {
        *until = Some(now());
    }
}

fn signal(child: &Child, signal: Signal) -> Outcome<()> {
    Ok(kill(Pid::from_raw(i32::try_from(child.id())?), signal)?)
}
