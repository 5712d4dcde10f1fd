//! A disk that is full: nothing new is begun, what has ended is recorded, and it goes on once there is room.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use mainspring::{Error, NewJob, OpenOptions, Outcome, Queue};
use mainspring_proof_vfs::FaultVfs;
use nix::unistd::geteuid;

use crate::app::{Call, Calls, Work, engine, work};
use crate::bench::{PATIENCE, SHORT, ends, is_sound, run, until};
use crate::{Outside, Shown};

const WORKERS: u32 = 6;
/// The role of the child that fills a real disk.
pub const REALLY_FULL: &str = "really-full";

fn large() -> Work {
    Work { label: "large".to_owned(), ballast: "x".repeat(100_000) }
}

/// A disk as one of the states fills and empties it.
trait Disk {
    fn fill(&self);
    fn make_room(&self);
}

impl Disk for FaultVfs {
    fn fill(&self) {
        self.set_full(true);
    }

    fn make_room(&self) {
        self.set_full(false);
    }
}

pub fn on_a_full_disk_results_are_written_and_nothing_is_claimed_until_there_is_room(_: &Outside) -> Shown {
    let dir = tempfile::tempdir().unwrap();
    let vfs = FaultVfs::register_unique("full").unwrap();
    let options = OpenOptions::new(dir.path().join("app.db")).vfs(vfs.name()).busy_timeout(SHORT);
    run(filled_and_emptied(&options, &vfs));
    assert!(vfs.refused_growth() > 0);
    Shown::Yes
}

async fn filled_and_emptied(options: &OpenOptions, disk: &impl Disk) {
    let queue = Queue::open_with(options.clone()).await.unwrap();
    let (engine, mut calls) = engine(&queue);
    let engine = engine.queue("default", WORKERS).build().unwrap().start().await.unwrap();
    for n in 0..WORKERS {
        queue.enqueue(work(format!("open {n}"))).await.unwrap();
    }
    let open = calls.take(WORKERS as usize).await;
    let log = options.path().with_extension("db-wal");
    until("there is room in the log", || async { fs::metadata(&log).unwrap().len() > 2 << 20 }).await;
    let waiting = queue.enqueue(work("waits")).await.unwrap().id();

    disk.fill();
    // Callers use up what room there is, but for what is kept for results.
    let mut taken = 0;
    let refused = loop {
        match queue.enqueue(NewJob::new(large()).queue("nobody's")).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    // Where a commit had begun, nobody knows what became of it.
    assert!(matches!(refused, Error::DiskFull | Error::OutcomeUnknown { .. }), "{refused:?}");
    assert!(taken < 40, "{taken} jobs of 100 kB fitted into 2 MiB");
    until("health tells of it", || async {
        queue.health().await.unwrap().last_error.is_some_and(|error| error.contains("disk is full"))
    })
    .await;
    assert!(engine.health().last_error.is_some());

    // All results are recorded, and no free worker takes the job that waits.
    let runs = runs(&open);
    open.into_iter().for_each(|call| call.done());
    until("the results are recorded", || async { queue.status().await.unwrap().running == 0 }).await;
    let recorded: Vec<i64> = ends(options.path()).into_iter().map(|(_, run, _)| run).collect();
    assert_eq!(recorded, runs);
    let tick = engine.health().last_tick_at;
    until("it has looked again", || async { engine.health().last_tick_at > tick }).await;
    assert!(calls.is_empty());
    let status = queue.status().await.unwrap();
    assert!(status.ready + status.overdue >= 1, "{status:?}");
    assert!(matches!(queue.enqueue(work("refused")).await, Err(Error::DiskFull)));

    disk.make_room();
    let call = calls.next().await;
    assert_eq!(call.label, "waits");
    call.done();
    until("its end is recorded", || async {
        queue.get(waiting).await.unwrap().last_outcome == Some(Outcome::Succeeded)
    })
    .await;
    until("all is well", || async { queue.health().await.unwrap().last_error.is_none() }).await;
    queue.enqueue(work("as before")).await.unwrap();
    calls.next().await.done();
    engine.shutdown(PATIENCE).await.unwrap();
    is_sound(&queue).await;
}

/// Without a reserve there is no room at all: what cannot be written waits in memory.
pub fn results_for_which_there_is_no_room_wait_and_are_written_once_there_is(_: &Outside) -> Shown {
    let dir = tempfile::tempdir().unwrap();
    let vfs = FaultVfs::register_unique("full").unwrap();
    let options =
        OpenOptions::new(dir.path().join("app.db")).vfs(vfs.name()).busy_timeout(SHORT).reserve(false);
    run(async {
        let queue = Queue::open_with(options.clone()).await.unwrap();
        let (engine, mut calls) = engine(&queue);
        let engine = engine.queue("default", WORKERS).build().unwrap().start().await.unwrap();
        for n in 0..2 * WORKERS {
            queue.enqueue(work(format!("job {n}"))).await.unwrap();
        }
        let open: Vec<_> = calls.take(WORKERS as usize).await;
        let runs = runs(&open);
        // The log is full to its end, so that nothing fits.
        queue.enqueue(NewJob::new(large()).queue("nobody's")).await.unwrap();
        vfs.set_full(true);
        open.into_iter().for_each(|call| call.done());
        until("it was tried several times", || async { vfs.refused_growth() > 5 }).await;
        assert_eq!(ends(options.path()), []);
        assert!(calls.is_empty(), "nothing is claimed for the workers that are free");
        let told = queue.health().await.unwrap().last_error;
        assert!(told.as_deref().is_some_and(|told| told.contains("disk is full")), "{told:?}");

        vfs.set_full(false);
        let others = calls.take(WORKERS as usize).await;
        assert_eq!(ends(options.path()).iter().map(|(_, run, _)| *run).collect::<Vec<_>>(), runs);
        others.into_iter().for_each(|call| call.done());
        until("everything has ended", || async { ends(options.path()).len() == 2 * WORKERS as usize }).await;
        assert!(ends(options.path()).iter().all(|(_, _, outcome)| *outcome == Outcome::Succeeded));
        assert_none_again(&calls);
        engine.shutdown(PATIENCE).await.unwrap();
        is_sound(&queue).await;
    });
    Shown::Yes
}

/// The runs of these calls in the order of their claims.
fn runs(calls: &[Call]) -> Vec<i64> {
    let mut runs: Vec<i64> = calls.iter().map(|call| call.run).collect();
    runs.sort_unstable();
    runs
}

fn assert_none_again(calls: &Calls) {
    assert!(calls.is_empty(), "a handler was called again");
}

pub fn a_new_file_on_a_full_disk_is_refused_and_opened_once_there_is_room(_: &Outside) -> Shown {
    let dir = tempfile::tempdir().unwrap();
    let vfs = FaultVfs::register_unique("full").unwrap();
    let options = OpenOptions::new(dir.path().join("app.db")).vfs(vfs.name());
    vfs.set_full(true);
    let refused = options.migrate().unwrap_err();
    assert!(matches!(refused, Error::DiskFull), "{refused:?}");
    vfs.set_full(false);
    let migrated = options.migrate().unwrap();
    assert_eq!(migrated.version, migrated.applied.len() as i64);
    run(async {
        let queue = Queue::open_with(options).await.unwrap();
        queue.enqueue(work("x")).await.unwrap();
        is_sound(&queue).await;
    });
    Shown::Yes
}

/// The same on a small disk of its own, with no VFS between: in a child that has mounted one where nobody else sees it.
pub fn a_disk_that_is_really_full_is_survived(outside: &Outside) -> Shown {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    // Who is not root becomes root in a name space of their own.
    command.args(if geteuid().is_root() {
        vec!["--mount"]
    } else {
        vec!["--user", "--map-root-user", "--mount"]
    });
    let script = "mount -t tmpfs -o size=16m,mode=0700 tmpfs \"$2\" || exit 77; exec \"$0\" \"$1\" \"$2\"";
    let status =
        command.args(["sh", "-c", script]).arg(&outside.exe).arg(REALLY_FULL).arg(dir.path()).status();
    match status.as_ref().map(std::process::ExitStatus::code) {
        Ok(Some(0)) => Shown::Yes,
        Ok(Some(77 | 1)) => Shown::NotHere("this machine lets nobody mount a small disk".to_owned()),
        Ok(code) => panic!("the child ended with {code:?}"),
        Err(error) => Shown::NotHere(format!("there is no program \"unshare\": {error}")),
    }
}

/// What the child does on its small disk.
pub fn really_full(dir: &Path) {
    let disk = Hog(dir);
    run(filled_and_emptied(&OpenOptions::new(dir.join("app.db")).busy_timeout(SHORT), &disk));
}

/// Somebody else's file that takes all the room there is.
struct Hog<'a>(&'a Path);

impl Disk for Hog<'_> {
    fn fill(&self) {
        let mut file = File::create(self.0.join("hog")).unwrap();
        for piece in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![b'x'; piece]).is_ok() {}
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("hog")).unwrap();
    }
}
