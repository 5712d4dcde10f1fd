//! A fork of this process, for tests of what it must not do.

use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

/// How often it is looked whether the fork has ended.
const LOOK: Duration = Duration::from_millis(5);

/// Runs `child` in a fork of this process, in which there is no other thread, and answers with what it returned. No
/// destructor runs there, and nothing is flushed.
///
/// # Errors
/// A sentence, if there can be no fork, or if it did not end by itself within `longest`: then it is killed.
pub fn in_a_fork(longest: Duration, child: impl FnOnce() -> u8) -> Result<i32, String> {
    // SAFETY: the child calls nothing but `child` and `_exit`. That it may find any lock held is what the callers
    // test; whatever it does happens to its own copy of the memory, and it is killed if it hangs.
    match unsafe { fork() }.map_err(|error| format!("there can be no fork: {error}"))? {
        ForkResult::Child => {
            let code = child();
            // SAFETY: it ends this process, the copy.
            unsafe { libc::_exit(code.into()) }
        }
        ForkResult::Parent { child } => await_end(child, longest),
    }
}

fn await_end(child: Pid, longest: Duration) -> Result<i32, String> {
    let until = Instant::now() + longest;
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG)).map_err(|error| error.to_string())? {
            WaitStatus::Exited(_, code) => return Ok(code),
            WaitStatus::StillAlive if Instant::now() < until => std::thread::sleep(LOOK),
            WaitStatus::StillAlive => {
                // Whether it ended just now or by the signal is the same here.
                let _sent = kill(child, Signal::SIGKILL);
                let _ended = waitpid(child, None);
                return Err(format!("it did not end within {longest:?}"));
            }
            other => return Err(format!("it ended otherwise: {other:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fork_answers_with_a_number_of_its_own_process() {
        let parent = std::process::id();
        let code = in_a_fork(Duration::from_secs(20), || u8::from(std::process::id() != parent) + 6);
        assert_eq!(code, Ok(7));
    }

    #[test]
    fn a_fork_that_hangs_is_killed() {
        let hangs = in_a_fork(Duration::from_millis(20), || {
            loop {
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        assert_eq!(hangs, Err("it did not end within 20ms".to_owned()));
    }
}
