//! What is kept of a job only while something may still be sent for it: the order, the cancel, and when to send them again. Pure.

use std::sync::Arc;
use std::time::Duration;

use super::outbound::{Dispatchable, Outbound};
use crate::auth::envelope::Signed;
use crate::id::{AgentName, Digest, Identity};
use crate::job::Host;
use crate::job::limits::{RESEND_MAX, RESEND_MIN};
use crate::message::CancelOrder;

/// What may still be sent for a job. Moments are of this controller's boottime clock.
#[derive(Debug)]
pub(super) struct Live {
    /// The host list, in the order in which it was written.
    pub(super) hosts: Arc<[Host]>,
    pub(super) envelope: Option<Digest>,
    order: StoredOrder,
    cancel: Option<Arc<Signed<CancelOrder>>>,
    /// One per host of the signed set, in its order.
    sendings: Vec<Sending>,
}

/// The order, which is read back from the store when it is first needed again.
#[derive(Debug)]
enum StoredOrder {
    NotRead,
    BeingRead,
    Ready(Arc<Dispatchable>),
}

/// When something is sent to one host.
#[derive(Debug)]
struct Sending {
    /// Where the host is in the host list.
    host: usize,
    next: Option<Duration>,
    pause: Duration,
}

/// What may be sent now.
#[derive(Debug, Default)]
pub(super) struct Sends {
    pub(super) messages: Vec<(AgentName, Outbound)>,
    /// The order is needed and has to be read first.
    pub(super) wants_order: bool,
}

impl Live {
    pub(super) fn new(hosts: Arc<[Host]>, envelope: Option<Digest>) -> Self {
        let addressed = hosts.iter().enumerate().filter(|(_, host)| !host.unreachable);
        let sendings =
            addressed.map(|(host, _)| Sending { host, next: None, pause: RESEND_MIN }).collect();
        Self { hosts, envelope, order: StoredOrder::NotRead, cancel: None, sendings }
    }

    /// The order is at hand.
    pub(super) fn set_order(&mut self, order: Arc<Dispatchable>) {
        self.order = StoredOrder::Ready(order);
    }

    /// The order could not be read: it is tried again when it would have been sent again.
    pub(super) fn order_not_read(&mut self, now: Duration) {
        self.order = StoredOrder::NotRead;
        for sending in &mut self.sendings {
            if sending.next.is_some_and(|next| next <= now) {
                sending.postpone(now);
            }
        }
    }

    /// The moment at which the next message is due.
    pub(super) fn due(&self) -> Option<Duration> {
        if matches!(self.order, StoredOrder::BeingRead) && self.cancel.is_none() {
            return None;
        }
        self.sendings.iter().filter_map(|sending| sending.next).min()
    }

    /// Everything is sent to every host at `now`.
    pub(super) fn send_to_all(&mut self, now: Duration) {
        for sending in &mut self.sendings {
            sending.restart(now);
        }
    }

    /// Everything is sent to one host at `now`.
    pub(super) fn send_to(&mut self, identity: &Identity, now: Duration) {
        if let Some(sending) = self.sending(identity) {
            sending.restart(now);
        }
    }

    /// Nothing more is sent to one host, until a hello gives a reason.
    pub(super) fn stop(&mut self, identity: &Identity) {
        if let Some(sending) = self.sending(identity) {
            sending.next = None;
        }
    }

    pub(super) fn has_cancel(&self) -> bool {
        self.cancel.is_some()
    }

    pub(super) fn set_cancel(&mut self, cancel: Arc<Signed<CancelOrder>>) {
        self.cancel = Some(cancel);
    }

    /// What is due at `now`: the order, or once there is one the cancel. `wants` says of a host whether its execution is open and the
    /// host live, so that sending makes sense; `repeats` whether it is sent again by itself. If not, it is sent only in answer to a
    /// hello, so once.
    pub(super) fn take_due(
        &mut self,
        now: Duration,
        repeats: bool,
        wants: impl Fn(&Identity) -> bool,
    ) -> Sends {
        let mut sends = Sends::default();
        for (place, sending) in self.sendings.iter_mut().enumerate() {
            if sending.next.is_none_or(|next| next > now) {
                continue;
            }
            let identity = &self.hosts[sending.host].identity;
            if !wants(identity) {
                sending.next = None;
                continue;
            }
            let outbound = match (&self.cancel, &self.order) {
                // The cancel alone: an order that overtakes it would start what nobody wants any more. An agent answers to it all the same.
                (Some(cancel), _) => Some(Outbound::Cancel(Arc::clone(cancel))),
                (None, StoredOrder::Ready(order)) => {
                    Some(Outbound::Order(Arc::clone(order), place))
                }
                (None, StoredOrder::NotRead | StoredOrder::BeingRead)
                    if self.envelope.is_some() =>
                {
                    sends.wants_order |= matches!(self.order, StoredOrder::NotRead);
                    // It goes out as soon as the order has been read.
                    continue;
                }
                (None, StoredOrder::NotRead | StoredOrder::BeingRead) => None,
            };
            sends.messages.extend(outbound.map(|outbound| (identity.name.clone(), outbound)));
            sending.postpone(now);
            if !repeats {
                sending.next = None;
            }
        }
        if sends.wants_order {
            self.order = StoredOrder::BeingRead;
        }
        sends
    }

    fn sending(&mut self, identity: &Identity) -> Option<&mut Sending> {
        let hosts = Arc::clone(&self.hosts);
        self.sendings.iter_mut().find(|sending| hosts[sending.host].identity == *identity)
    }
}

impl Sending {
    fn restart(&mut self, now: Duration) {
        self.next = Some(now);
        self.pause = RESEND_MIN;
    }

    fn postpone(&mut self, now: Duration) {
        self.next = Some(now + self.pause);
        self.pause = (2 * self.pause).min(RESEND_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::follow::tree_of;
    use crate::id::{FleetId, JournalId, PublicKey};

    fn live() -> (Live, Identity) {
        let name = "a".parse().unwrap();
        let identity =
            Identity { name, key: PublicKey::from_bytes([1; 32]), journal: JournalId::random() };
        let hosts: Arc<[Host]> = [Host { identity: identity.clone(), unreachable: false }].into();
        (Live::new(hosts, Some(Digest::of(b"x"))), identity)
    }

    fn ready(live: &mut Live) {
        let tree = tree_of(FleetId::from_bytes([0; 16]), &live.hosts);
        let order = Signed::from_text("order".into());
        live.set_order(Arc::new(Dispatchable { order, tree }));
    }

    #[test]
    fn an_order_is_sent_again_with_growing_pauses_until_it_is_received() {
        let (mut live, identity) = live();
        ready(&mut live);
        live.send_to_all(Duration::ZERO);
        let mut sent_at = Vec::new();
        for _ in 0..7 {
            let due = live.due().unwrap();
            assert_eq!(live.take_due(due, true, |_| true).messages.len(), 1);
            sent_at.push(due.as_millis());
        }
        assert_eq!(sent_at, [0, 300, 900, 2100, 4500, 9300, 14300]);
        live.stop(&identity);
        assert_eq!(live.due(), None);
    }

    #[test]
    fn past_the_deadline_an_order_is_sent_once_per_hello() {
        let (mut live, identity) = live();
        ready(&mut live);
        live.send_to(&identity, Duration::ZERO);
        assert_eq!(live.take_due(Duration::ZERO, false, |_| true).messages.len(), 1);
        assert_eq!(live.due(), None);
    }

    #[test]
    fn a_cancel_takes_the_place_of_the_order_and_never_spins() {
        let (mut live, _) = live();
        live.send_to_all(Duration::ZERO);
        assert!(live.take_due(Duration::ZERO, true, |_| true).wants_order);
        live.set_cancel(Arc::new(Signed::from_text("cancel".into())));
        live.send_to_all(Duration::ZERO);
        let first = live.take_due(Duration::ZERO, true, |_| true).messages;
        assert!(matches!(first.as_slice(), [(_, Outbound::Cancel(_))]), "{first:?}");
        assert_eq!(live.due(), Some(RESEND_MIN), "also while the order is being read");
        ready(&mut live);
        let second = live.take_due(RESEND_MIN, true, |_| true).messages;
        assert!(matches!(second.as_slice(), [(_, Outbound::Cancel(_))]), "{second:?}");
    }

    #[test]
    fn an_order_that_cannot_be_read_is_tried_again_after_a_pause() {
        let (mut live, _) = live();
        live.send_to_all(Duration::ZERO);
        assert!(live.take_due(Duration::ZERO, true, |_| true).wants_order);
        live.order_not_read(Duration::ZERO);
        assert_eq!(live.due(), Some(RESEND_MIN));
        assert!(live.take_due(RESEND_MIN, true, |_| true).wants_order);
    }

    #[test]
    fn nothing_is_sent_to_a_silent_or_settled_host() {
        let (mut live, _) = live();
        ready(&mut live);
        live.send_to_all(Duration::ZERO);
        assert!(live.take_due(Duration::ZERO, true, |_| false).messages.is_empty());
        assert_eq!(live.due(), None);
    }

    #[test]
    fn an_order_that_is_not_at_hand_is_read_once_and_then_sent() {
        let (mut live, _) = live();
        live.send_to_all(Duration::ZERO);
        assert!(live.take_due(Duration::ZERO, true, |_| true).wants_order);
        assert!(!live.take_due(Duration::ZERO, true, |_| true).wants_order);
        assert_eq!(live.due(), None, "nothing is due while it is read");
        ready(&mut live);
        assert_eq!(live.take_due(live.due().unwrap(), true, |_| true).messages.len(), 1);
    }
}
