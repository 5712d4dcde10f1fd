//! What comes back at the next start, and what does not.

use std::time::Duration;

use mainspring::Schedule;

use super::Ended;
use super::crew::{Life, Message, Place, SOON, answer, missing, plain};

const MINUTE: Duration = Duration::from_secs(60);

/// Whether everything that the first engine left is settled.
const SETTLED: &str = "SELECT coalesce(end_reason, 'not yet') FROM mainspring_owners ORDER BY id LIMIT 1";

async fn declare(life: &Life) -> Result<(), String> {
    let minutely = Schedule::cron("* * * * *").map_err(plain)?;
    life.queue.schedule("minutely", minutely, Message).await.map(drop).map_err(plain)
}

/// The engine stops after a delivery, in order, and another one starts.
pub(crate) async fn what_was_delivered_is_not_sent_at_the_next_start() -> Ended {
    let place = Place::new()?;
    let mut life = place.life().await?;
    life.enqueue().await?;
    life.run().await.ok_or_else(|| missing("the run"))?.go_on();
    life.send().await.ok_or_else(|| missing("the delivery"))?.go_on();
    life.end().await?;
    let mut next = place.life().await?;
    // What the next start sends again it sends from here on, before anything that is enqueued now.
    answer(&place.path(), SETTLED, &["stopped", "died"], SOON)
        .await?
        .ok_or_else(|| missing("the end of the first owner"))?;
    next.enqueue().await?;
    next.run().await.ok_or_else(|| missing("the second run"))?.go_on();
    let sent = next.send().await.ok_or_else(|| missing("the second delivery"))?;
    if sent.run.0 == 1 {
        return Ok(Some("what was delivered is sent again at the next start".to_owned()));
    }
    sent.go_on();
    next.end().await?;
    Ok(None)
}

/// Whoever takes an output by its key must not take the next one for the same.
pub(crate) async fn two_occurrences_have_two_keys() -> Ended {
    let place = Place::new()?;
    let mut life = place.life().await?;
    declare(&life).await?;
    let mut keys = Vec::new();
    for _ in 0..2 {
        place.clock.advance(MINUTE);
        let call = life.run().await.ok_or_else(|| missing("the run"))?;
        keys.push(call.key.clone());
        call.go_on();
        life.send().await.ok_or_else(|| missing("the delivery"))?.go_on();
    }
    life.end().await?;
    keys.dedup();
    Ok((keys.len() < 2).then(|| format!("two occurrences have one key: {keys:?}")))
}

/// An occurrence comes while nothing runs.
pub(crate) async fn what_is_overdue_at_the_start_is_run() -> Ended {
    let place = Place::new()?;
    let life = place.life().await?;
    declare(&life).await?;
    life.end().await?;
    place.clock.advance(MINUTE + MINUTE / 2);
    let mut next = place.life().await?;
    let Some(call) = next.run().await else {
        return Ok(Some(missing("the run of an occurrence that was overdue at the start")));
    };
    call.go_on();
    next.send().await.ok_or_else(|| missing("the delivery"))?.go_on();
    next.end().await?;
    Ok(None)
}
