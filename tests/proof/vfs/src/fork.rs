//! Forks of this process: for tests of what a fork must not do, and for lives that are to be killed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

/// What a fork answers that has panicked.
const PANICKED: u8 = 101;

/// How a fork has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this answer.
    Answered(i32),
    /// By SIGKILL.
    Killed,
    /// Not within its time: then it was ended.
    Hung,
}

/// Runs `child` in a fork of this process, in which there is no other thread, and answers with what it returned. No
/// destructor runs there, and nothing is flushed.
///
/// # Errors
/// A sentence, if there can be no fork, or if it did not end by itself within `longest`.
pub fn in_a_fork(longest: Duration, child: impl FnOnce() -> u8) -> Result<i32, String> {
    match fork_until_its_end(longest, child)? {
        Ended::Answered(code) => Ok(code),
        Ended::Killed => Err("it was killed".to_owned()),
        Ended::Hung => Err(format!("it did not end within {longest:?}")),
    }
}

/// The same for a life that may be killed. It costs a fraction of a new program: what the parent has loaded is there.
/// A parent whose only thread this is gives its child a whole process; of a parent with more threads the child has
/// this one only, and whatever lock another one held is held for ever.
///
/// # Errors
/// A sentence, if there can be no fork, or if it ended by a signal that nobody here sends.
pub fn fork_until_its_end(longest: Duration, child: impl FnOnce() -> u8) -> Result<Ended, String> {
    // SAFETY: the child calls nothing but `child` and `_exit`. That it may find any lock held is what the callers
    // test or rule out; whatever it does happens to its own copy of the memory, and it is ended if it hangs.
    match unsafe { fork() }.map_err(|error| format!("there can be no fork: {error}"))? {
        ForkResult::Child => {
            end_after(longest);
            // A panic must not go on in what is the parent's code.
            let code = catch_unwind(AssertUnwindSafe(child)).unwrap_or(PANICKED);
            // SAFETY: it ends this process, the copy.
            unsafe { libc::_exit(code.into()) }
        }
        ForkResult::Parent { child } => await_end(child),
    }
}

/// Lets the system end this process by SIGALRM, which nobody handles.
fn end_after(longest: Duration) {
    let never = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let after = libc::timeval {
        tv_sec: libc::time_t::try_from(longest.as_secs()).unwrap_or(libc::time_t::MAX),
        // Of nothing at all there would be no alarm.
        tv_usec: longest.subsec_micros().max(1) as libc::suseconds_t,
    };
    let timer = libc::itimerval { it_interval: never, it_value: after };
    // SAFETY: it reads one value and, without a place for it, writes none.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
}

fn await_end(child: Pid) -> Result<Ended, String> {
    loop {
        return match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, code)) => Ok(Ended::Answered(code)),
            Ok(WaitStatus::Signaled(_, Signal::SIGKILL, _)) => Ok(Ended::Killed),
            Ok(WaitStatus::Signaled(_, Signal::SIGALRM, _)) => Ok(Ended::Hung),
            Ok(other) => Err(format!("it ended otherwise: {other:?}")),
            Err(Errno::EINTR) => continue,
            Err(error) => Err(error.to_string()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_fork_answers_with_a_number_of_its_own_process() {
        let parent = std::process::id();
        let code = in_a_fork(LONG, || u8::from(std::process::id() != parent) + 6);
        assert_eq!(code, Ok(7));
    }

    #[test]
    fn a_fork_that_hangs_is_ended() {
        let hangs = || loop {
            std::thread::park();
        };
        assert_eq!(fork_until_its_end(Duration::from_millis(20), hangs), Ok(Ended::Hung));
        let told = in_a_fork(Duration::from_millis(20), hangs);
        assert_eq!(told, Err("it did not end within 20ms".to_owned()));
    }

    #[test]
    fn a_fork_that_is_killed_or_panics_does_not_go_on_in_its_parents_code() {
        assert_eq!(fork_until_its_end(LONG, || crate::io_methods::kill()), Ok(Ended::Killed));
        let panics = || if std::process::id() > 0 { std::panic::resume_unwind(Box::new(())) } else { 0 };
        assert_eq!(fork_until_its_end(LONG, panics), Ok(Ended::Answered(101)));
    }
}
