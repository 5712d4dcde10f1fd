//! How long the writer may sleep: until the earliest due time, the next look at the file, or at other owners.

use std::time::Duration;

use super::Core;
use crate::error::Result;
use crate::store::read;
use crate::time::Timestamp;

/// The longest sleep: a machine that was suspended notices within this time that its jobs are late.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// How often another process's commits are looked for, by how long ago the last one was.
fn poll_interval(quiet_for: Duration) -> Duration {
    match quiet_for.as_secs() {
        0..5 => Duration::from_millis(4),
        5..60 => Duration::from_millis(25),
        _ => Duration::from_millis(100),
    }
}

impl Core {
    /// Until the earliest due time, the next poll, or the next look at other owners.
    pub(super) fn sleep_until_next(&mut self, now: Timestamp) -> Result<Duration> {
        let rooms = self.rooms(&[], &[]);
        if rooms.is_empty() && !self.shared.engines.any() {
            self.shared.pulse.next_due(None);
            return Ok(LONGEST_SLEEP);
        }
        let mut next: Option<Timestamp> = None;
        let conn = self.conn()?;
        for room in &rooms {
            let due = if room.slots > 0 { read::next_due(conn, &room.queue)? } else { None };
            let delivery = if room.deliveries > 0 { read::next_delivery(conn, &room.queue)? } else { None };
            next = [next, due, delivery].into_iter().flatten().min();
        }
        self.shared.pulse.next_due(next);
        let until_due = next.map_or(LONGEST_SLEEP, |at| self.shared.clock.real_wait(at.since(now)));
        let steady = self.shared.clock.steady();
        let poll = poll_interval(self.changes.quiet_for(steady));
        let look_again =
            self.stuck.values().map(|again| again.saturating_sub(steady)).min().unwrap_or(LONGEST_SLEEP);
        let look_again = look_again.min(self.log_room.next_look(steady).unwrap_or(LONGEST_SLEEP));
        Ok(until_due.min(poll).min(look_again).min(self.liveness.next_look(steady)).min(LONGEST_SLEEP))
    }
}
