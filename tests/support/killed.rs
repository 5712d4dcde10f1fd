//! A child that is killed before each system call that changes a file, one after the other.

use std::path::Path;

use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::Opener;

/// How a child ended that was to be killed.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was killed before its system call of that name.
    Killed(&'static str),
    /// It was done before it made so many.
    Done(Option<String>),
}

/// Starts a child on `path` and kills it before its `nth` system call that changes a file, counted from 0.
pub fn before_the_nth_change(path: &Path, nth: usize) -> Ended {
    let mut child = Opener::start(path);
    let thread = Pid::from_raw(child.thread);
    ptrace::seize(thread, Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL)
        .expect("this test needs to trace its child: allow ptrace in this container");
    ptrace::interrupt(thread).unwrap();
    wait(thread);
    child.go();
    let mut changes = 0;
    loop {
        ptrace::syscall(thread, None).unwrap();
        match wait(thread) {
            WaitStatus::PtraceSyscall(_) => {
                let Some(name) = entered(thread).and_then(changes_a_file) else { continue };
                if changes == nth {
                    child.process.kill().unwrap();
                    wait(thread);
                    child.process.wait().unwrap();
                    return Ended::Killed(name);
                }
                changes += 1;
            }
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return Ended::Done(child.outcome()),
            _ => {}
        }
    }
}

/// The number of the system call that the thread is about to make; none if it has just come back from one.
fn entered(thread: Pid) -> Option<i64> {
    let info = ptrace::syscall_info(thread).unwrap();
    if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return None;
    }
    let registers = ptrace::getregs(thread).unwrap();
    #[cfg(target_arch = "x86_64")]
    let number = registers.orig_rax;
    #[cfg(target_arch = "aarch64")]
    let number = registers.regs[8];
    #[cfg(target_arch = "riscv64")]
    let number = registers.a7;
    Some(number as i64)
}

fn wait(thread: Pid) -> WaitStatus {
    waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap()
}

/// Everything that SQLite and the standard library use to change what is on the disk, and what they wait with
/// until it is there. Opening is among them because it can create.
fn changes_a_file(number: i64) -> Option<&'static str> {
    let known = [
        (libc::SYS_openat, "openat"),
        (libc::SYS_mkdirat, "mkdirat"),
        (libc::SYS_write, "write"),
        (libc::SYS_pwrite64, "pwrite"),
        (libc::SYS_ftruncate, "ftruncate"),
        (libc::SYS_fallocate, "fallocate"),
        (libc::SYS_fsync, "fsync"),
        (libc::SYS_fdatasync, "fdatasync"),
        (libc::SYS_unlinkat, "unlinkat"),
        (libc::SYS_renameat, "renameat"),
        (libc::SYS_fchmod, "fchmod"),
        (libc::SYS_flock, "flock"),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_open, "open"),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_mkdir, "mkdir"),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_unlink, "unlink"),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_rename, "rename"),
    ];
    known.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}

/// Whether a process ended by this signal.
pub fn by(child: &mut Opener, signal: Signal) -> bool {
    use std::os::unix::process::ExitStatusExt;
    child.process.wait().unwrap().signal() == Some(signal as i32)
}
