//! The first life of a queue: a job, a schedule, a delivery.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test fail it"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainspring::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Hello {
    name: String,
}
impl JobArgs for Hello {
    const KIND: &'static str = "hello";
}
#[derive(Serialize, Deserialize)]
struct Brief;
impl JobArgs for Brief {
    const KIND: &'static str = "brief";
}
struct Writer(Arc<AtomicUsize>);
impl Handler<Brief> for Writer {
    type Output = String;
    async fn run(&self, _: Brief, _: RunContext) -> Result<String, Failure> {
        Ok("text".into())
    }
    async fn deliver(&self, _text: String, _: DeliveryContext) -> Result<Receipt, DeliveryError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Receipt::default())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_a_schedule_and_a_delivery_live_and_end() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path().join("app.db")).await.unwrap();
    let n = Arc::new(AtomicUsize::new(0));
    let m = n.clone();
    let d = Arc::new(AtomicUsize::new(0));
    let job = queue.enqueue(Hello { name: "x".into() }).await.unwrap().id();
    queue.schedule("b", Schedule::every(Duration::from_millis(100)).unwrap(), Brief).await.unwrap();
    let engine = Engine::builder(queue.clone())
        .handler(move |a: Hello, _cx: RunContext| {
            let m = m.clone();
            async move {
                assert_eq!(a.name, "x");
                m.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Failure>(())
            }
        })
        .handler(Writer(d.clone()))
        .build()
        .unwrap();
    let handle = engine.start().await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), async {
        while n.load(Ordering::SeqCst) == 0 || d.load(Ordering::SeqCst) < 5 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    let report = handle.shutdown(Duration::from_secs(5)).await;
    println!("{report:?}");
    println!("{:?}", queue.get(job).await.unwrap());
    println!("{:#?}", queue.runs("b", 2).await.unwrap());
    println!("{:?} {:?}", queue.status().await.unwrap(), queue.doctor().await.unwrap());
    assert!(queue.doctor().await.unwrap().is_empty());
}

/// A writer and what it shares held each other, so that the file stayed open after the last handle was gone.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn the_file_is_closed_when_the_last_handle_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap().join("app.db");
    let is_open = || {
        std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .flatten()
            .any(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to == path))
    };
    let queue = Queue::open(&path).await.unwrap();
    queue.enqueue(Hello { name: "x".into() }).await.unwrap();
    assert!(is_open());
    drop(queue);
    tokio::time::timeout(Duration::from_secs(10), async {
        while is_open() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the file is still open");
}

/// SQLite writes on into a file that was deleted: such a job would be acknowledged and lost.
#[tokio::test(flavor = "multi_thread")]
async fn an_enqueue_into_a_deleted_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    let queue = Queue::open(&path).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    let refused = queue.enqueue(Hello { name: "x".into() }).await;
    assert!(matches!(refused, Err(Error::FileReplaced { .. })), "{refused:?}");
}
