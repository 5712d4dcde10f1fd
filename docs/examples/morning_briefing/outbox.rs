//! Where deliveries go: a text file beside the database, one line for each.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mainspring::{DeliveryContext, DeliveryError, Receipt};

/// A file that only grows. It stands for whatever takes your messages: a mail server, a chat, a printer.
#[derive(Clone, Debug)]
pub struct Outbox {
    path: Arc<Path>,
}

impl Outbox {
    /// The outbox that belongs to a database: `app.db` has `app.outbox.txt`.
    pub fn beside(database: &Path) -> Self {
        Self { path: database.with_extension("outbox.txt").into() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends one line that begins with the idempotency key, and returns once the disk has it.
    pub async fn deliver(&self, text: &str, cx: &DeliveryContext) -> Result<Receipt, DeliveryError> {
        let line = format!("{} {}\n", cx.idempotency_key(), text.replace('\n', " | "));
        let path = PathBuf::from(&*self.path);
        tokio::task::spawn_blocking(move || append(&path, &line)).await?
    }

    /// Its lines, as (idempotency key, text); none if there is no such file yet.
    pub fn lines(&self) -> std::io::Result<Vec<(String, String)>> {
        let text = match std::fs::read_to_string(&*self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            read => read?,
        };
        Ok(text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(key, text)| (key.into(), text.into()))
            .collect())
    }
}

/// What is certain is said: a file that did not open has taken nothing, so that trying again is safe. After that
/// `?` stands for "nobody knows".
fn append(path: &Path, line: &str) -> Result<Receipt, DeliveryError> {
    let mut file: File =
        OpenOptions::new().create(true).append(true).open(path).map_err(DeliveryError::not_sent)?;
    file.write_all(line.as_bytes())?;
    file.sync_all()?;
    Ok(Receipt::new(format!("{} bytes", line.len())))
}
