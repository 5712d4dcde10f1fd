//! One claimed run: its handler is called, what became of it is decided and recorded.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::context::{DeliveryContext, RunContext};
use super::decide_run::{self, Call, Decision, Rules};
use super::env::{Env, LeftBehind};
use super::erased::{Answer, ErasedHandler};
use super::handover::Handover;
use super::log;
use super::supervise::{Asked, Ended, Leash, supervise};
use super::writer::Writer;
use crate::core::messages::{ClaimedRun, Complete, Deliver, StopReason};
use crate::crash::{CrashPoint, reach};
use crate::error::{Error, Result};
use crate::policy::Policies;
use crate::run::{Delivery, Outcome, RunId};
use crate::sabotage::{Bug, on};

/// How the engine came out of a run.
#[derive(Debug)]
pub(super) struct RunEnd {
    pub(super) run_id: RunId,
    pub(super) record: Record,
    /// Its output, to be delivered now.
    pub(super) handover: Option<Box<Handover>>,
}

/// What stands on record of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// The end that the engine saw.
    Ended(Outcome),
    /// What somebody else recorded before.
    Anothers,
    /// Nothing: recovery will settle it.
    Nothing,
}

/// Works off one claim. Whatever happens, one completion is sent for it.
pub(super) async fn work<W: Writer>(
    env: Arc<Env<W>>,
    claim: ClaimedRun,
    asks: mpsc::Receiver<StopReason>,
) -> RunEnd {
    log::run_claimed(&claim);
    reach(CrashPoint::Claimed);
    let prepared = match prepare(&env, claim) {
        Ok(prepared) => prepared,
        Err(refused) => return RunEnd::refused(&env, *refused).await,
    };
    let mut task = prepared.handler.run(prepared.cx.clone(), env.limits);
    let call = prepared.wait(&env, &mut task, asks).await;
    reach(CrashPoint::Ran);
    // Counted before it is on record, so that whoever reads the record finds it in the health.
    let left_behind = matches!(call.how, Ended::StillRunning).then(|| env.leave_behind());
    let Decision { complete, late } = prepared.decide(&env, call);
    let end = prepared.record(&env, complete).await;
    reach(CrashPoint::Completed);
    if let Some(late) = late {
        record_late(&env, late).await;
    }
    if let Some(counted) = left_behind {
        prepared.leave_behind(&env, task, counted);
    }
    end
}

/// A claim with all that its call needs.
struct Prepared {
    cx: RunContext,
    handler: Arc<dyn ErasedHandler>,
    policies: Policies,
}

/// Finds the handler and reads the policies, or says why the handler is not called.
fn prepare<W: Writer>(env: &Env<W>, claim: ClaimedRun) -> std::result::Result<Prepared, Box<Complete>> {
    let now = env.now();
    if env.time_is_over.is_cancelled() {
        return Err(Box::new(decide_run::not_called(&claim, now)));
    }
    let policies = match Policies::from_json(&claim.policies) {
        Ok(policies) => policies,
        Err(why) => return Err(Box::new(decide_run::malformed_policies(&claim, &why, &env.limits, now))),
    };
    let Some(handler) = env.handlers.of_kind(&claim.kind).cloned() else {
        return Err(Box::new(decide_run::no_handler(&claim, now)));
    };
    let clock = Arc::clone(env.writer.clock());
    let cx = RunContext::new(claim, Arc::clone(&env.key_prefix), policies.timeout(), clock);
    Ok(Prepared { cx, handler, policies })
}

impl Prepared {
    /// Waits for the handler, and asks it to stop when it shall.
    async fn wait<W: Writer>(
        &self,
        env: &Env<W>,
        task: &mut JoinHandle<Answer>,
        asks: mpsc::Receiver<StopReason>,
    ) -> Call {
        let leash = Leash {
            token: self.cx.token(),
            engine: &env.time_is_over,
            timeout: self.policies.timeout(),
            grace: Duration::from_millis(self.policies.grace_ms),
        };
        let started = || self.cx.started().map(|started| started.instant);
        let (how, asked) = supervise(task, asks, leash, started).await;
        self.call(env, how, asked)
    }

    fn call<W: Writer>(&self, env: &Env<W>, how: Ended<Answer>, asked: Asked) -> Call {
        Call { how, asked, started_at: self.cx.started_at(), finished_at: env.now() }
    }

    fn rules<W: Writer>(&self, env: &Env<W>) -> Rules<'_> {
        Rules {
            policies: &self.policies,
            limits: env.limits,
            delivers: self.handler.delivers(),
            random: fastrand::f64(),
        }
    }

    fn decide<W: Writer>(&self, env: &Env<W>, call: Call) -> Decision {
        decide_run::decide(self.cx.claim(), self.rules(env), call)
    }

    /// Records the end of the run; its output is handed over only if the writer says so, and if there is room for it
    /// in memory. Otherwise it waits in the file.
    async fn record<W: Writer>(&self, env: &Env<W>, mut complete: Complete) -> RunEnd {
        let claim = self.cx.claim();
        if on(Bug::DeliverBeforeCommit) && complete.deliver != Deliver::No {
            self.deliver_too_early(env, &mut complete).await;
        }
        let mut output = None;
        if matches!(complete.deliver, Deliver::By(_)) {
            match Arc::clone(&env.outputs).try_acquire_owned() {
                Ok(place) => output = complete.output.clone().map(|output| (output, place)),
                Err(_full) => complete.deliver = Deliver::Anyone,
            }
        }
        let started_at = complete.started_at;
        match complete_or_give_up(env, complete).await {
            Ok((record, delivery)) => {
                let output = output.filter(|_| delivery == Delivery::Pending);
                let handover = output.map(|output| {
                    Box::new(Handover::of_run(claim, self.policies.clone(), output, &env.key_prefix))
                });
                RunEnd { run_id: claim.run_id, record, handover }
            }
            Err(why) => {
                let now = env.now();
                let instead = decide_run::unrecordable(claim, &why, &env.limits, started_at, now);
                RunEnd::refused(env, instead).await
            }
        }
    }

    /// What a deliberate bug does.
    async fn deliver_too_early<W: Writer>(&self, env: &Env<W>, complete: &mut Complete) {
        let claim = self.cx.claim();
        let (Some(output), Ok(place)) =
            (complete.output.clone(), Arc::clone(&env.outputs).acquire_owned().await)
        else {
            return;
        };
        let handover = Handover::of_run(claim, self.policies.clone(), (output, place), &env.key_prefix);
        let cx = DeliveryContext::new(Arc::new(handover), 1);
        drop(self.handler.deliver(cx).await);
        complete.deliver = Deliver::No;
    }

    /// Lets the handler go on without its run; what it returns is kept as a fact.
    fn leave_behind<W: Writer>(self, env: &Arc<Env<W>>, task: JoinHandle<Answer>, counted: LeftBehind<W>) {
        let env = Arc::clone(env);
        // One that has come back meanwhile is not left behind.
        let counted = (!task.is_finished()).then_some(counted);
        tokio::spawn(async move {
            // The abort is seen at once by a task that waits; only one that blocks its thread is left.
            tokio::task::yield_now().await;
            if !task.is_finished() {
                log::handler_left_behind(self.cx.claim());
            }
            let joined = task.await;
            drop(counted);
            if let Ok(answer) = joined {
                let call = self.call(&env, Ended::Answered(answer), Asked::default());
                let late = decide_run::late(self.cx.claim(), self.rules(&env), call);
                record_late(&env, late).await;
            }
        });
    }
}

impl RunEnd {
    /// Records a run whose handler was not called, or whose real end cannot be recorded.
    async fn refused<W: Writer>(env: &Env<W>, complete: Complete) -> Self {
        let run_id = complete.run_id;
        let record = match complete_or_give_up(env, complete).await {
            Ok((record, _)) => record,
            Err(_logged) => Record::Nothing,
        };
        Self { run_id, record, handover: None }
    }
}

/// Sends a completion.
///
/// # Errors
/// Those that say that the writer cannot record this completion, ever; they are logged here.
async fn complete_or_give_up<W: Writer>(env: &Env<W>, complete: Complete) -> Result<(Record, Delivery)> {
    let (complete, summary) = without_output(complete);
    match env.writer.complete(complete).await {
        Ok(completed) => {
            log::run_ended(&summary, completed);
            Ok((Record::Ended(summary.outcome), completed.delivery))
        }
        Err(Error::ClaimLost(_)) => {
            log::run_was_lost(&summary);
            Ok((Record::Anothers, Delivery::NotRequested))
        }
        Err(why) => {
            log::run_is_unrecorded(&summary, &why);
            // A writer that is gone records nothing else either.
            let is_final = matches!(why, Error::Closed) || why.is_transient();
            if is_final { Ok((Record::Nothing, Delivery::NotRequested)) } else { Err(why) }
        }
    }
}

/// Sends what came after the end of its run. That the claim is lost is the answer that is expected.
async fn record_late<W: Writer>(env: &Env<W>, late: Complete) {
    let (late, summary) = without_output(late);
    match env.writer.complete(late).await {
        Err(Error::ClaimLost(_)) => log::run_was_lost(&summary),
        Err(why) => log::run_is_unrecorded(&summary, &why),
        Ok(_) => log::late_result_was_taken(summary.run_id),
    }
}

/// The completion to send, and what a log line may say of it. An output can be large and is not copied.
fn without_output(mut complete: Complete) -> (Complete, Complete) {
    let output = complete.output.take();
    let summary = complete.clone();
    complete.output = output;
    (complete, summary)
}
