//! What the example prints: its own lines, and everything that the library and the handlers trace, as it happens.

use std::fmt;
use std::io::Write;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// Prints a line. If nobody reads any more, there is nobody to tell.
pub fn say(line: impl fmt::Display) {
    drop(writeln!(std::io::stdout().lock(), "{line}"));
}

/// Prints a text as a quotation, in one piece.
pub fn quote(text: &str) {
    let quoted: Vec<String> = text.lines().map(|line| format!("              | {line}")).collect();
    say(quoted.join("\n"));
}

/// Shows an instant as people of that zone write it; the date only if it is another day.
pub fn local(at: DateTime<Utc>, zone: Tz, now: DateTime<Utc>) -> String {
    let (at, now) = (at.with_timezone(&zone), now.with_timezone(&zone));
    let format = if at.date_naive() == now.date_naive() { "%H:%M:%S" } else { "%a %-d %b, %H:%M" };
    at.format(format).to_string()
}

/// Prints from now on what is traced, with times of this zone.
pub fn begin(zone: Tz) -> Result<(), TryInitError> {
    tracing_subscriber::registry().with(Story { zone }).try_init()
}

/// A layer for `tracing` that prints one line for an event: when, who, what.
///
/// The library's spans are called `run` and `delivery` and say which job and which run it is about. Their names and
/// fields, and all events, stand in `src/engine/log.rs`.
struct Story {
    zone: Tz,
}

/// Who an event is about, kept with its span.
struct Who(String);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Story {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let (Some(span), Some(run)) = (context.span(id), fields.take("run")) {
            let who = fields.take("name").or_else(|| fields.take("kind")).unwrap_or_default();
            span.extensions_mut().insert(Who(format!("{who} run {run}")));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let message = fields.take("message").unwrap_or_default();
        let mut who = String::new();
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(Who(name)) = span.extensions().get() {
                who.clone_from(name);
                fields.0.retain(|(field, _)| !["job", "run"].contains(field));
            }
        }
        let now = Utc::now();
        let time = now.with_timezone(&self.zone).format("%H:%M:%S%.3f");
        say(format_args!("{time}  {who:<25} {message}{}", fields.in_words(self.zone, now)));
    }

    /// The library's lines and our own; not those of other crates.
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        let ours = ["mainspring", env!("CARGO_CRATE_NAME")];
        let origin = metadata.target().split("::").next().unwrap_or_default();
        ours.contains(&origin) && *metadata.level() <= tracing::Level::DEBUG
    }
}

/// The fields of a span or an event, as text.
#[derive(Default)]
struct Fields(Vec<(&'static str, String)>);

impl Fields {
    fn take(&mut self, name: &str) -> Option<String> {
        let position = self.0.iter().position(|(field, _)| *field == name)?;
        Some(self.0.remove(position).1)
    }

    /// " (next 08:00:00, trigger schedule)", or nothing.
    fn in_words(&self, zone: Tz, now: DateTime<Utc>) -> String {
        let mut words = Vec::new();
        for (name, value) in &self.0 {
            let shown = match value.parse::<DateTime<Utc>>() {
                Ok(instant) => local(instant, zone, now),
                Err(_) => value.replace('_', " "),
            };
            words.push(format!("{} {shown}", name.replace('_', " ")));
        }
        if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push((field.name(), format!("{value:?}")));
    }
}
