//! A child process: this test program again, in a role.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child as Process, Command, ExitStatus, Stdio};
use std::time::Duration;

use mainspring::{Clock, SystemClock, Timestamp};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The ignored test of each file that is its children's main function: it calls [`main`].
const MAIN: &str = "child";
const ROLE: &str = "MAINSPRING_TEST_ROLE";
const DIR: &str = "MAINSPRING_TEST_DIR";

/// What a child does in its folder.
pub type Role = fn(&Path);

/// Plays the role that this process was started for; in the parent it does nothing.
///
/// A child ends with its parent, however that ends: its standard input is a pipe that nobody writes into.
pub fn main(roles: &[(&str, Role)]) {
    let Ok(role) = std::env::var(ROLE) else { return };
    let dir = PathBuf::from(std::env::var_os(DIR).unwrap());
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(4);
    });
    let (_, play) = roles.iter().find(|(name, _)| *name == role).unwrap();
    play(&dir);
}

/// A child that was started. Dropped, it is killed.
pub struct Child {
    process: Process,
}

impl Child {
    /// Starts one in a role.
    pub fn start(role: &str, dir: &Path) -> Self {
        Self::start_with(role, dir, &[])
    }

    /// Starts one with these environment variables besides.
    pub fn start_with(role: &str, dir: &Path, env: &[(&str, &str)]) -> Self {
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", MAIN, "--ignored", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .env(DIR, dir)
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { process }
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Kills it with SIGKILL; returns when that was, once it is gone.
    pub fn kill(mut self) -> Timestamp {
        let at = SystemClock.now();
        self.process.kill().unwrap();
        let ended = self.process.wait().unwrap();
        assert_eq!(ended.signal(), Some(Signal::SIGKILL as i32), "it had ended before: {ended}");
        at
    }

    /// Freezes it.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on after a freeze.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Waits for its end and says by which signal it came, if by one.
    pub fn ended(mut self) -> Result<Signal, ExitStatus> {
        let ended = super::until("the end of a child", || self.process.try_wait().unwrap());
        ended.signal().and_then(|signal| Signal::try_from(signal).ok()).ok_or(ended)
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.id() as i32), signal).unwrap();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have been waited for; then there is nobody to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts an application on a runtime of its own and keeps what it returns until this process is killed.
pub fn forever<T>(start: impl Future<Output = T>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let _kept = start.await;
        // Longer than any test; a child that nobody kills ends all the same.
        tokio::time::sleep(Duration::from_secs(600)).await;
    });
}
