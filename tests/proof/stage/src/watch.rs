//! What nobody may do while something goes wrong: panic, or log that a promise was broken.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

static SEEN: Mutex<Seen> = Mutex::new(Seen { lines: Vec::new(), file: None });

struct Seen {
    lines: Vec<String>,
    file: Option<File>,
}

/// Puts something with what was seen.
pub fn note(what: String) {
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(file) = &mut seen.file
        && writeln!(file, "{what}").is_err()
    {
        // A process that cannot say what it saw must not end as if it had seen nothing.
        std::process::abort();
    }
    seen.lines.push(what);
}

/// What was seen since it was asked last.
pub fn seen() -> Vec<String> {
    std::mem::take(&mut SEEN.lock().unwrap_or_else(PoisonError::into_inner).lines)
}

/// Writes what is seen from now on into a file as well, where it outlives this process.
///
/// # Errors
/// Those of opening the file.
pub fn keep_in(path: &Path) -> io::Result<()> {
    let file = File::options().append(true).create(true).open(path)?;
    SEEN.lock().unwrap_or_else(PoisonError::into_inner).file = Some(file);
    Ok(())
}

/// Watches from now on; with `aloud`, prints what the library says to its log.
///
/// # Errors
/// If somebody else listens to the log of this process.
pub fn begin(aloud: bool) -> Result<(), String> {
    std::panic::set_hook(Box::new(|panic| {
        let why = panic.payload_as_str().unwrap_or("no text");
        // The handlers of the stage panic where their part says so.
        if why != crate::PANIC {
            let at = panic.location().map(ToString::to_string).unwrap_or_default();
            note(format!("a panic at {at}: {why}"));
        }
    }));
    let loud = aloud.then(|| tracing_subscriber::fmt::layer().with_writer(std::io::stderr));
    let subscriber = tracing_subscriber::registry().with(Errors).with(loud);
    tracing::subscriber::set_global_default(subscriber).map_err(|error| error.to_string())
}

struct Errors;

impl<S: Subscriber> Layer<S> for Errors {
    fn on_event(&self, event: &Event<'_>, _cx: Context<'_, S>) {
        if *event.metadata().level() == Level::ERROR {
            let mut text = String::new();
            event.record(&mut Text(&mut text));
            note(format!("an error in the log: {text}"));
        }
    }
}

struct Text<'a>(&'a mut String);

impl Visit for Text<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!(" {field}={value:?}"));
    }
}
