//! What nobody may do while files fail: panic, or log that a promise was broken.

use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn note(what: String) {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner).push(what);
}

/// What was seen since it was asked last.
pub(crate) fn seen() -> Vec<String> {
    std::mem::take(&mut *SEEN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Watches from now on; with `aloud`, prints what the library says to its log.
pub(crate) fn begin(aloud: bool) -> Result<(), String> {
    std::panic::set_hook(Box::new(|panic| {
        let why = panic.payload_as_str().unwrap_or("no text");
        // The handlers of the stage panic where their part says so.
        if why != mainspring_proof_stage::PANIC {
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
