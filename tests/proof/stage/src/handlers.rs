//! The application's code: it does what its part says, and writes its deeds into the ledger.

use mainspring::{DeliveryContext, DeliveryError, Failure, Handler, JobArgs, Receipt, RunContext};
use serde::{Deserialize, Serialize};

use crate::ledger::{Entry, Ledger};
use crate::part::{Act, Answer, Part};
use crate::scenario::Scenario;

/// What the panic of a handler says, so that no other panic is taken for one.
pub const PANIC: &str = "the part says so";

/// Work that delivers nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plain {
    pub(crate) label: String,
}

impl JobArgs for Plain {
    const KIND: &'static str = "plain";
}

/// Work whose output is delivered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Post {
    pub(crate) label: String,
}

impl JobArgs for Post {
    const KIND: &'static str = "post";
}

/// The label in a job's arguments.
pub(crate) fn label_of(args: &str) -> Option<String> {
    serde_json::from_str::<Plain>(args).ok().map(|args| args.label)
}

/// What the work of a job puts out.
pub(crate) fn output_of(label: &str) -> String {
    format!("{OUTPUT}{label}")
}

/// The job whose output it is.
pub(crate) fn delivered_label(output: &str) -> &str {
    output.strip_prefix(OUTPUT).unwrap_or("nobody")
}

const OUTPUT: &str = "the work of ";

/// Both handlers.
#[derive(Clone)]
pub(crate) struct Crew {
    pub(crate) scenario: Scenario,
    pub(crate) ledger: Ledger,
}

impl Crew {
    /// A handler that is called for work which nobody ordered fails for good, and the check finds the call.
    fn part(&self, label: &str) -> Result<&'static Part, Failure> {
        self.scenario.part(label).ok_or_else(|| Failure::discard(format!("there is no part {label:?}")))
    }

    pub(crate) async fn act(&self, label: &str, cx: &RunContext) -> Result<String, Failure> {
        let (run, occurrence) = (cx.run_id().0, cx.scheduled_for().millis());
        self.ledger.write(Entry::Called { label: label.to_owned(), run, occurrence, attempt: cx.attempt() });
        let act = self.part(label)?.act(cx.attempt());
        if act == Act::AwaitStop {
            cx.cancelled().await;
        }
        self.ledger.write(Entry::Returned { label: label.to_owned(), run, ok: act == Act::Succeed });
        match act {
            Act::Succeed => Ok(output_of(label)),
            Act::Fail => Err(Failure::new("not this time")),
            Act::Discard => Err(Failure::discard("never")),
            Act::Snooze => Err(Failure::snooze(crate::scenario::WAIT)),
            #[expect(clippy::panic, reason = "handlers panic, and the engine has to cope")]
            Act::Panic => panic!("{PANIC}"),
            Act::AwaitStop => Err(Failure::new("it was asked to stop")),
        }
    }
}

impl Handler<Post> for Crew {
    type Output = String;

    async fn run(&self, args: Post, cx: RunContext) -> Result<String, Failure> {
        self.act(&args.label, &cx).await
    }

    async fn deliver(&self, output: String, cx: DeliveryContext) -> Result<Receipt, DeliveryError> {
        let label = delivered_label(&output).to_owned();
        let Some(part) = self.scenario.part(&label) else {
            return Err(DeliveryError::rejected(format!("there is no part {label:?}")));
        };
        let answer = part.answer(cx.attempt());
        self.ledger.write(Entry::Sent { label, run: cx.run_id().0, attempt: cx.attempt(), answer });
        match answer {
            Answer::Accept => Ok(Receipt::new("taken")),
            Answer::NotSent => Err(DeliveryError::not_sent("nobody is at home")),
            Answer::Reject => Err(DeliveryError::rejected("not here")),
            Answer::Unknown => Err(DeliveryError::unknown("the line broke")),
        }
    }
}
