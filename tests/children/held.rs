//! A thread of a child that hangs in a system call, while the others go on: what a disk does that does not answer.

use std::fs;

use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::child::Child;

/// How the system shortens the name of a writer's thread.
const WRITER: &str = "mainspring-writ";

/// The threads of a child that write; one for each generation that has not ended.
pub fn writers(child: &Child) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
    tasks
        .map(|task| task.unwrap().path())
        // A thread that ends while this looks has no name any more.
        .filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim_end() == WRITER))
        .map(|task| task.file_name().unwrap().to_str().unwrap().parse().unwrap())
        .collect()
}

/// A call that a thread is about to make.
struct Call {
    number: i64,
    arguments: [u64; 4],
}

/// A thread that is held until this is dropped. All calls must come from the thread of the test that made the first one.
pub struct Held {
    thread: Pid,
}

impl Held {
    /// Follows the only writer of a child from now on.
    pub fn writer_of(child: &Child) -> Self {
        let thread = super::until("one writer", || match writers(child)[..] {
            [writer] => Some(Pid::from_raw(writer)),
            _ => None,
        });
        ptrace::seize(thread, Options::PTRACE_O_TRACESYSGOOD)
            .expect("this test needs to trace its child: allow ptrace in this container");
        ptrace::interrupt(thread).unwrap();
        waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
        Self { thread }
    }

    /// Lets it go on until it sleeps: it waits for a command or for its time, and holds no lock.
    pub fn in_its_sleep(self) -> Self {
        // The only wait that ends by itself is that of the condition variable.
        const WAITS: [u64; 2] = [libc::FUTEX_WAIT as u64, libc::FUTEX_WAIT_BITSET as u64];
        self.before(|call| {
            let [_, operation, _, timeout] = call.arguments;
            let operation = operation & libc::FUTEX_CMD_MASK as u64;
            call.number == libc::SYS_futex && WAITS.contains(&operation) && timeout != 0
        })
    }

    /// Lets it go on until it waits for the disk.
    pub fn in_a_sync(self) -> Self {
        self.before(|call| [libc::SYS_fsync, libc::SYS_fdatasync].contains(&call.number))
    }

    /// Lets it go on until it is about to make such a call.
    fn before(self, is_it: impl Fn(&Call) -> bool) -> Self {
        loop {
            ptrace::syscall(self.thread, None).unwrap();
            match waitpid(self.thread, Some(WaitPidFlag::__WALL)).unwrap() {
                WaitStatus::PtraceSyscall(_) if self.call().as_ref().is_some_and(&is_it) => return self,
                WaitStatus::Exited(..) | WaitStatus::Signaled(..) => panic!("the thread ended"),
                _ => {}
            }
        }
    }

    /// The call that it is about to make; none if it has just come back from one.
    fn call(&self) -> Option<Call> {
        let info = ptrace::syscall_info(self.thread).unwrap();
        if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
            return None;
        }
        let registers = ptrace::getregs(self.thread).unwrap();
        #[cfg(target_arch = "x86_64")]
        let (number, arguments) =
            (registers.orig_rax, [registers.rdi, registers.rsi, registers.rdx, registers.r10]);
        #[cfg(target_arch = "aarch64")]
        let (number, arguments) =
            (registers.regs[8], [registers.regs[0], registers.regs[1], registers.regs[2], registers.regs[3]]);
        #[cfg(target_arch = "riscv64")]
        let (number, arguments) = (registers.a7, [registers.a0, registers.a1, registers.a2, registers.a3]);
        Some(Call { number: number as i64, arguments })
    }

    /// The call returns after all.
    pub fn let_go(self) {}
}

impl Drop for Held {
    fn drop(&mut self) {
        // A child that was killed has no such thread any more. One that is held would keep it from ending.
        let _ = ptrace::detach(self.thread, None);
    }
}
