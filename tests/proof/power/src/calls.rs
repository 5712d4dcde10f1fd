//! What an acknowledged call has left in the file.

use mainspring::{Delivery, Outcome};
use mainspring_proof_stage::Scenario;

use crate::facts::Facts;

/// Under `Balanced` a cut may bring back what it has dropped.
pub(crate) const PRUNE: &str = "prune";

/// Whether the file shows that the call was made; `None` for a call that changes nothing that lasts.
///
/// It is asked of the file from the moment of the call on: what an earlier call did is not this one's.
pub(crate) fn shows(scenario: Scenario, call: &str, facts: &Facts) -> Option<bool> {
    let mut parts = scenario.parts().iter().filter(|part| part.made_by == call).peekable();
    if parts.peek().is_some() {
        return Some(parts.all(|part| facts.job(part.label).is_some()));
    }
    match call {
        "cancel-waiting" => Some(facts.job("waiting").is_some_and(|(_, job)| job.is_finished)),
        "cancel-running" => Some(is_stopped(facts, "running")),
        "pause" => Some(is_paused(facts, "paused")),
        "resume" => Some(!is_paused(facts, "paused")),
        "remove" => Some(facts.job("removed").is_none()),
        "run-now" => Some(was_asked_for(facts, "by-hand")),
        "retry-by-hand" => Some(is_tried_again(facts, "by-hand")),
        "redeliver" => Some(is_on_its_way(facts, "by-hand")),
        PRUNE => Some(facts.job("old").is_none()),
        _ => None,
    }
}

fn is_paused(facts: &Facts, label: &str) -> bool {
    facts.job(label).is_some_and(|(_, job)| job.is_paused)
}

fn is_stopped(facts: &Facts, label: &str) -> bool {
    let Some((id, _)) = facts.job(label) else { return false };
    facts.runs_of(id).any(|(_, run)| run.is_asked_to_stop || run.is_over)
}

fn was_asked_for(facts: &Facts, label: &str) -> bool {
    let Some((id, _)) = facts.job(label) else { return false };
    facts.requests.contains(&id) || facts.runs_of(id).any(|(_, run)| run.trigger == "manual")
}

/// Or needs no other attempt: where a cut took the first run and not what its handler knew of it, the next one succeeds.
fn is_tried_again(facts: &Facts, label: &str) -> bool {
    let Some((id, job)) = facts.job(label) else { return false };
    let mut outcomes = facts.runs_of(id).filter_map(|(run, _)| facts.completions.get(&run));
    let has_succeeded = outcomes.any(|completion| completion.outcome == Outcome::Succeeded);
    job.runs_started > 1 || !job.is_finished || has_succeeded
}

fn is_on_its_way(facts: &Facts, label: &str) -> bool {
    let Some((id, _)) = facts.job(label) else { return false };
    let mut deliveries = facts.runs_of(id).filter_map(|(run, _)| facts.completions.get(&run));
    deliveries.any(|completion| completion.delivery != Delivery::Failed)
}
