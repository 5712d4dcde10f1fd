//! What a disk that fails for a moment leads to.

use std::time::Duration;

use mainspring::{NewJob, OpenOptions, Queue};
use mainspring_proof_vfs::{Fault, FaultVfs, FileKind, Flavour, Op};
use rusqlite::Connection;

use super::Ended;
use super::crew::{Life, Message, Place, SOON, answer, is_no, missing, plain};
use super::owners::copy;

/// Time enough to arm a fault.
const A_MOMENT: Duration = Duration::from_millis(400);

/// The disk fails when a job is claimed, and nobody calls after that.
pub(crate) async fn after_an_error_the_timer_goes_on() -> Ended {
    let place = Place::new()?;
    let vfs = FaultVfs::register_unique("timer")?;
    let options = OpenOptions::new(place.path()).vfs(vfs.name()).reserve(false);
    let queue = Queue::open_with(options).await.map_err(plain)?;
    let mut life = Life::on(queue).await?;
    life.queue.enqueue(NewJob::new(Message).after(A_MOMENT)).await.map_err(plain)?;
    vfs.arm(Fault::first(Op::Write, Flavour::IoError).on(FileKind::Wal));
    let call = life.run().await;
    if vfs.fired() == 0 {
        return Err("the disk did not fail".to_owned());
    }
    let Some(call) = call else {
        return Ok(Some(missing("after an error the run of a job that is due")));
    };
    call.go_on();
    life.send().await.ok_or_else(|| missing("the delivery"))?.go_on();
    life.end().await?;
    Ok(None)
}

const JOBS: &str = "SELECT CAST(count(*) AS TEXT) FROM mainspring_jobs";

/// The sync of an enqueue fails, and then the file cannot be opened for a while. The whole commit lies in the log, and
/// whoever is killed now leaves it to the next process.
pub(crate) async fn nobody_is_told_no_while_the_log_may_hold_it() -> Ended {
    let place = Place::new()?;
    let vfs = FaultVfs::register_unique("doubt")?;
    let options = OpenOptions::new(place.path()).vfs(vfs.name()).reserve(false);
    let options = options.busy_timeout(Duration::from_millis(50));
    let queue = Queue::open_with(options).await.map_err(plain)?;
    queue.enqueue(Message).await.map_err(plain)?;
    // Another process has the file open: the log is not removed with the writer's connection.
    let reader = Connection::open(place.path()).map_err(plain)?;
    reader.query_row(JOBS, [], |_| Ok(())).map_err(plain)?;
    vfs.arm(Fault::first(Op::Sync, Flavour::IoError).on(FileKind::Wal));
    vfs.arm(Fault::first(Op::Open, Flavour::IoError).on(FileKind::Database).sticky());
    let Err(error) = queue.enqueue(Message).await else {
        return Err("the disk did not fail".to_owned());
    };
    let left = place.dir.path().join("left.db");
    copy(&place.path(), &left)?;
    drop(reader);
    let both = answer(&left, JOBS, &["2"], SOON).await?;
    if both.is_none() {
        return Err("the log does not hold the commit whose sync failed".to_owned());
    }
    Ok(is_no(&error).then(|| format!("the job is there, and its caller was told that it is not: {error}")))
}
