//! What goes out to agents: orders and cancels that are due, as many as there is room for.

use super::{Effect, State};
use crate::controller::Now;
use crate::controller::keybook::Standing;
use crate::controller::orders::WantedOrder;
use crate::id::{Identity, JobId};
use crate::job::ClaimRule;

/// Most messages of one job that are handed over before it is the turn of others.
const AT_ONCE: usize = 256;

impl State {
    /// Whether something waits for room in the outbox.
    pub(in crate::controller) fn is_held_back(&self) -> bool {
        self.is_held_back
    }

    /// Sends what is due. What finds no room stays due.
    pub(super) fn send_all_due(&mut self, now: Now) {
        self.is_held_back = false;
        if self.is_rolled_back() {
            return;
        }
        let mut room = self.shared.outbox.room();
        for job in self.index.due_to_send(now.boottime) {
            if room == 0 {
                self.is_held_back = true;
                return;
            }
            room -= self.send_due(job, now, room.min(AT_ONCE));
        }
    }

    /// Sends what is due for one job, at most so many messages. How many there were.
    fn send_due(&mut self, job: JobId, now: Now, at_most: usize) -> usize {
        let live = self.index.get(job).and_then(|tracked| tracked.live.as_deref());
        let is_before_restore = live.is_some_and(|live| self.is_before_restore(live));
        let (roster, keys, effects) = (&self.roster, &self.keys, &mut self.effects);
        let sent = self.index.change(job, |tracked| {
            let (view, damaged) = (&tracked.view, tracked.damaged.is_some());
            let Some(live) = tracked.live.as_deref_mut() else { return 0 };
            let repeats = match live.has_cancel() {
                true => !view.is_settled(),
                false => now.wall < view.facts().not_after,
            };
            // A job that somebody has cancelled never goes out, also while the cancel cannot be sent.
            let is_retired = keys.standing(&live.key) == Standing::Retired;
            let withheld = damaged
                || ((view.cancel_requested_at().is_some() || is_retired) && !live.has_cancel());
            // Who holds no claim starts nothing any more once there is a cancel, and who never saw the job would bar it without one.
            let only_claimant = match view.facts().claim {
                ClaimRule::None => false,
                // The store has perhaps lost that it is the host's: whatever it says of itself by now is true.
                ClaimRule::Host if is_before_restore => false,
                ClaimRule::Host | ClaimRule::Job => live.has_cancel(),
            };
            // A cancel does no harm, whoever hears it.
            let is_harmless = live.has_cancel();
            let wants = |identity: &Identity| {
                let is_theirs = !only_claimant || view.holds_claim(identity);
                let open = is_theirs && view.is_awaited(identity);
                let is_there = match is_harmless {
                    true => roster.is_live(identity, now.boottime),
                    false => roster.takes_orders(identity, now.boottime),
                };
                open && !withheld && is_there
            };
            let sends = live.take_due(now.boottime, at_most, repeats, wants);
            if sends.wants_order {
                let hosts = std::sync::Arc::clone(&live.hosts);
                effects.push(Effect::LoadOrder(WantedOrder { job, hosts }));
            }
            let count = sends.messages.len();
            let messages = sends.messages.into_iter();
            effects.extend(messages.map(|(to, outbound)| Effect::Send(to, outbound)));
            count
        });
        sent.unwrap_or(0)
    }
}
