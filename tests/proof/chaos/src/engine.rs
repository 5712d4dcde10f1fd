//! What a child does: one engine on the file, until somebody kills it or the operator goes.

use std::error::Error;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use mainspring::{Engine, Failure, Queue, RunContext};

use crate::FILE;
use crate::ledger::{About, Deed, Ledger};
use crate::work::{Grind, Task, Worker};

/// Less than the jobs that wait, so that claims, completions and kills come in every order.
const WORKERS: u32 = 6;
const DELIVERIES: u32 = 4;
/// How long the last engines may take to stop.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves the file. Ends when the standard input does: with its parent, or when that closes the pipe.
pub(crate) fn serve(dir: &Path, life: u64) -> Result<(), Box<dyn Error>> {
    let ledger = Ledger::open(dir, life)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let served = runtime.block_on(serve_on_runtime(dir, &ledger));
    if let Err(error) = &served {
        ledger.write(Deed::Wrong, About { text: &error.to_string(), ..About::default() })?;
    }
    served
}

async fn serve_on_runtime(dir: &Path, ledger: &Ledger) -> Result<(), Box<dyn Error>> {
    let queue = Queue::open(dir.join(FILE)).await?;
    let worker = Worker { ledger: ledger.clone(), queue: queue.clone() };
    let (tasks, grinds) = (worker.clone(), worker.clone());
    let task = move |task: Task, cx: RunContext| {
        let worker = tasks.clone();
        async move { worker.run(&task.0, &cx).await }
    };
    let grind = move |grind: Grind, cx: RunContext| -> Result<(), Failure> { grinds.grind(&grind.0, &cx) };
    let engine = Engine::builder(queue)
        .handler(task)
        .blocking_handler(grind)
        .handler(worker)
        .queue("default", WORKERS)
        .deliveries(DELIVERIES)
        .build()?
        .start()
        .await?;
    ledger.write(Deed::Up, About::default())?;
    tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0])).await??;
    engine.shutdown(PATIENCE).await?;
    Ok(())
}
