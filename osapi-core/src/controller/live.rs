//! What is kept of a job only while something may still be sent for it: the order, the cancel, when to send them again, and whose turn
//! it is. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::offer::Offers;
use super::outbound::{Dispatchable, Outbound};
use super::void::Voiding;
use crate::auth::envelope::Signed;
use crate::clock::Timestamp;
use crate::id::{AgentName, Identity, KeyId};
use crate::job::limits::{RESEND_MAX, RESEND_MIN};
use crate::job::{ClaimRule, Host};
use crate::message::CancelOrder;

/// What may still be sent for a job. Moments are of this controller's boottime clock.
#[derive(Debug)]
pub(super) struct Live {
    /// The host list, in the order in which it was written.
    pub(super) hosts: Arc<[Host]>,
    /// The key that signed the order, by the job record.
    pub(super) key: Arc<KeyId>,
    order: StoredOrder,
    cancel: Option<Arc<Signed<CancelOrder>>>,
    /// One per host of the signed set, in its order.
    sendings: Box<[Sending]>,
    /// The places in `sendings`, in the order of the hosts' names.
    by_name: Box<[usize]>,
    /// The places in `sendings` to which something is sent, by when.
    due: BTreeSet<(Duration, usize)>,
    /// Where one of the hosts is to take the whole job.
    offers: Option<Offers>,
    /// When what nobody has claimed is made void.
    pub(super) voiding: Voiding,
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
    pub(super) fn new(
        hosts: Arc<[Host]>,
        key: Arc<KeyId>,
        claim: ClaimRule,
        void_at: Timestamp,
    ) -> Self {
        let addressed = hosts.iter().enumerate().filter(|(_, host)| !host.unreachable);
        let sendings: Box<[_]> =
            addressed.map(|(host, _)| Sending { host, next: None, pause: RESEND_MIN }).collect();
        let mut by_name: Box<[_]> = (0..sendings.len()).collect();
        by_name.sort_unstable_by_key(|place| &hosts[sendings[*place].host].identity.name);
        let (order, due) = (StoredOrder::NotRead, BTreeSet::new());
        let offers = (claim == ClaimRule::Job).then(|| Offers::new(sendings.len()));
        let (cancel, voiding) = (None, Voiding::new(void_at));
        Self { hosts, key, order, cancel, sendings, by_name, due, offers, voiding }
    }

    /// The order is at hand.
    pub(super) fn set_order(&mut self, order: Arc<Dispatchable>) {
        self.order = StoredOrder::Ready(order);
    }

    /// The order could not be read: it is tried again when it would have been sent again.
    pub(super) fn order_not_read(&mut self, now: Duration) {
        self.order = StoredOrder::NotRead;
        let due: Vec<_> = self.due.iter().take_while(|(at, _)| *at <= now).copied().collect();
        for (_, place) in due {
            self.postpone(place, now);
        }
    }

    /// The moment at which the next message is due.
    pub(super) fn due(&self) -> Option<Duration> {
        if matches!(self.order, StoredOrder::BeingRead) && self.cancel.is_none() {
            return None;
        }
        let offer = self.offers.as_ref().and_then(Offers::due);
        self.due.first().map(|(at, _)| *at).into_iter().chain(offer).min()
    }

    /// Everything is sent to every host from `at` on; to the first one, where they have turns.
    pub(super) fn send_to_all(&mut self, at: Duration) {
        if let (Some(offers), None) = (&mut self.offers, &self.cancel) {
            return offers.begin(at);
        }
        for place in 0..self.sendings.len() {
            self.restart(place, at);
        }
    }

    /// Everything is sent to one host from `at` on, if it has had its turn.
    pub(super) fn send_to(&mut self, identity: &Identity, at: Duration) {
        let has_had_turn =
            |place: &usize| self.offers.as_ref().is_none_or(|offers| offers.is_made(*place));
        if let Some(place) = self.place(identity).filter(has_had_turn) {
            self.restart(place, at);
        }
    }

    /// One host has said something: that it has taken the job, or (`declines`) that it has not.
    pub(super) fn answered(&mut self, identity: &Identity, declines: bool, now: Duration) {
        let Some(place) = self.place(identity) else { return };
        if let Some(offers) = &mut self.offers {
            offers.answered(place, declines, now);
        }
    }

    /// There is a claim on the whole job, or there is to be none: it is nobody's turn any more.
    pub(super) fn end_offers(&mut self) {
        if let Some(offers) = &mut self.offers {
            offers.end();
        }
    }

    /// Nothing more is sent to one host, until a hello gives a reason.
    pub(super) fn stop(&mut self, identity: &Identity) {
        if let Some(place) = self.place(identity) {
            self.schedule(place, None);
        }
    }

    pub(super) fn has_cancel(&self) -> bool {
        self.cancel.is_some()
    }

    /// Drops a cancel whose key is not valid any more: nobody would take it.
    pub(super) fn withdraw_cancel(&mut self, is_valid: impl Fn(&KeyId) -> bool) {
        let signer = self.cancel.as_ref().map(|cancel| cancel.key_id());
        if signer.is_some_and(|key| !key.is_ok_and(|key| is_valid(&key))) {
            self.cancel = None;
        }
    }

    pub(super) fn set_cancel(&mut self, cancel: Arc<Signed<CancelOrder>>) {
        self.cancel = Some(cancel);
        self.end_offers();
    }

    /// What is due at `now`, at most so many messages: the order, or once there is one the cancel. `wants` says of a host whether its
    /// execution is open and the host live, so that sending makes sense; `repeats` whether it is sent again by itself. If not, it is
    /// sent only in answer to a hello, so once.
    pub(super) fn take_due(
        &mut self,
        now: Duration,
        at_most: usize,
        repeats: bool,
        wants: impl Fn(&Identity) -> bool,
    ) -> Sends {
        let mut sends = Sends::default();
        while sends.messages.len() < at_most
            && let Some(place) = self.next_place(now)
        {
            let identity = &self.hosts[self.sendings[place].host].identity;
            if !wants(identity) {
                self.schedule(place, None);
                if let Some(offers) = &mut self.offers {
                    offers.declined(place, now);
                }
                continue;
            }
            let outbound = match (&self.cancel, &self.order) {
                // The cancel alone: an order that overtakes it would start what nobody wants any more. An agent answers to it all the same.
                (Some(cancel), _) => Outbound::Cancel(Arc::clone(cancel)),
                (None, StoredOrder::Ready(order)) => Outbound::Order(Arc::clone(order), place),
                (None, StoredOrder::NotRead | StoredOrder::BeingRead) => {
                    // It goes out as soon as the order has been read, to this host and to all the others.
                    sends.wants_order = matches!(self.order, StoredOrder::NotRead);
                    self.order = StoredOrder::BeingRead;
                    break;
                }
            };
            sends.messages.push((identity.name.clone(), outbound));
            self.postpone(place, now);
            if !repeats {
                self.schedule(place, None);
            }
        }
        sends
    }

    /// To which host something is sent next, if that is due.
    fn next_place(&mut self, now: Duration) -> Option<usize> {
        if let Some(place) = self.offers.as_mut().and_then(|offers| offers.take(now)) {
            self.restart(place, now);
        }
        self.due.first().filter(|(at, _)| *at <= now).map(|(_, place)| *place)
    }

    /// Where `identity` is among those to which something may be sent.
    fn place(&self, identity: &Identity) -> Option<usize> {
        let of = |place: usize| &self.hosts[self.sendings[place].host].identity;
        let found = self.by_name.binary_search_by(|place| of(*place).name.cmp(&identity.name));
        found.ok().map(|at| self.by_name[at]).filter(|place| of(*place) == identity)
    }

    fn restart(&mut self, place: usize, at: Duration) {
        self.sendings[place].pause = RESEND_MIN;
        self.schedule(place, Some(at));
    }

    fn postpone(&mut self, place: usize, now: Duration) {
        let pause = self.sendings[place].pause;
        self.sendings[place].pause = (2 * pause).min(RESEND_MAX);
        self.schedule(place, Some(now + pause));
    }

    fn schedule(&mut self, place: usize, next: Option<Duration>) {
        let before = std::mem::replace(&mut self.sendings[place].next, next);
        if let Some(before) = before {
            self.due.remove(&(before, place));
        }
        self.due.extend(next.map(|next| (next, place)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::keys::SigningKey;
    use crate::controller::orders::tree_of;
    use crate::id::{FleetId, JournalId, PublicKey};

    const MANY: usize = 1000;

    fn live() -> (Live, Identity) {
        let name = "a".parse().unwrap();
        let identity =
            Identity { name, key: PublicKey::from_bytes([1; 32]), journal: JournalId::random() };
        let hosts: Arc<[Host]> = [Host { identity: identity.clone(), unreachable: false }].into();
        (live_of(hosts), identity)
    }

    fn live_of(hosts: Arc<[Host]>) -> Live {
        live_with(hosts, ClaimRule::None)
    }

    fn live_with(hosts: Arc<[Host]>, claim: ClaimRule) -> Live {
        let never = Timestamp::from_unix_millis(u64::MAX);
        Live::new(hosts, Arc::new(SigningKey::generate().id()), claim, never)
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
            assert_eq!(live.take_due(due, MANY, true, |_| true).messages.len(), 1);
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
        assert_eq!(live.take_due(Duration::ZERO, MANY, false, |_| true).messages.len(), 1);
        assert_eq!(live.due(), None);
    }

    #[test]
    fn a_cancel_takes_the_place_of_the_order_and_never_spins() {
        let (mut live, _) = live();
        live.send_to_all(Duration::ZERO);
        assert!(live.take_due(Duration::ZERO, MANY, true, |_| true).wants_order);
        live.set_cancel(Arc::new(Signed::from_text("cancel".into())));
        live.send_to_all(Duration::ZERO);
        let first = live.take_due(Duration::ZERO, MANY, true, |_| true).messages;
        assert!(matches!(first.as_slice(), [(_, Outbound::Cancel(_))]), "{first:?}");
        assert_eq!(live.due(), Some(RESEND_MIN), "also while the order is being read");
        ready(&mut live);
        let second = live.take_due(RESEND_MIN, MANY, true, |_| true).messages;
        assert!(matches!(second.as_slice(), [(_, Outbound::Cancel(_))]), "{second:?}");
    }

    #[test]
    fn an_order_that_cannot_be_read_is_tried_again_after_a_pause() {
        let (mut live, _) = live();
        live.send_to_all(Duration::ZERO);
        assert!(live.take_due(Duration::ZERO, MANY, true, |_| true).wants_order);
        live.order_not_read(Duration::ZERO);
        assert_eq!(live.due(), Some(RESEND_MIN));
        assert!(live.take_due(RESEND_MIN, MANY, true, |_| true).wants_order);
    }

    #[test]
    fn nothing_is_sent_to_a_silent_or_settled_host() {
        let (mut live, _) = live();
        ready(&mut live);
        live.send_to_all(Duration::ZERO);
        assert!(live.take_due(Duration::ZERO, MANY, true, |_| false).messages.is_empty());
        assert_eq!(live.due(), None);
    }

    #[test]
    fn an_order_that_is_not_at_hand_is_read_once_and_then_sent() {
        let (mut live, _) = live();
        live.send_to_all(Duration::ZERO);
        assert!(live.take_due(Duration::ZERO, MANY, true, |_| true).wants_order);
        assert!(!live.take_due(Duration::ZERO, MANY, true, |_| true).wants_order);
        assert_eq!(live.due(), None, "nothing is due while it is read");
        ready(&mut live);
        assert_eq!(live.take_due(live.due().unwrap(), MANY, true, |_| true).messages.len(), 1);
    }
    fn host(name: &str) -> Host {
        let name = name.parse().unwrap();
        let identity =
            Identity { name, key: PublicKey::from_bytes([1; 32]), journal: JournalId::random() };
        Host { identity, unreachable: false }
    }

    #[test]
    fn what_finds_no_room_stays_due() {
        let hosts: Arc<[Host]> = ["a", "b", "c"].map(host).into();
        let mut live = live_of(hosts);
        ready(&mut live);
        live.send_to_all(Duration::ZERO);
        let first = live.take_due(Duration::ZERO, 2, true, |_| true).messages;
        assert_eq!((first.len(), live.due()), (2, Some(Duration::ZERO)));
        let rest = live.take_due(Duration::ZERO, 2, true, |_| true).messages;
        assert_eq!((rest.len(), live.due()), (1, Some(RESEND_MIN)));
    }

    #[test]
    fn hosts_are_found_whatever_their_order() {
        let mut unreachable = host("b");
        unreachable.unreachable = true;
        let hosts: Arc<[Host]> = [host("c"), unreachable, host("a")].into();
        let mut live = live_of(Arc::clone(&hosts));
        ready(&mut live);
        for index in [0, 1, 2] {
            live.send_to(&hosts[index].identity, Duration::ZERO);
        }
        live.send_to(&host("a").identity, Duration::ZERO);
        let sent = live.take_due(Duration::ZERO, MANY, true, |_| true).messages;
        let places: Vec<_> = sent
            .into_iter()
            .map(|(name, outbound)| match outbound {
                Outbound::Order(_, place) => (name.to_string(), place),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(places, [("c".to_owned(), 0), ("a".to_owned(), 1)]);
        live.stop(&hosts[0].identity);
        live.stop(&hosts[2].identity);
        assert_eq!(live.due(), None);
    }

    fn names(sends: Sends) -> Vec<String> {
        sends.messages.into_iter().map(|(name, _)| name.to_string()).collect()
    }

    fn candidates() -> (Live, Arc<[Host]>) {
        let hosts: Arc<[Host]> = ["c", "a", "b"].map(host).into();
        let mut live = live_with(Arc::clone(&hosts), ClaimRule::Job);
        ready(&mut live);
        (live, hosts)
    }

    /// Who is sent what from now on, by when, if everybody is live.
    fn sent_until(live: &mut Live, end: Duration) -> Vec<(u128, String)> {
        let mut sent = Vec::new();
        while let Some(due) = live.due().filter(|due| *due <= end) {
            let names = names(live.take_due(due, MANY, true, |_| true));
            sent.extend(names.into_iter().map(|name| (due.as_millis(), name)));
        }
        sent
    }

    #[test]
    fn candidates_have_turns_in_the_order_in_which_they_were_written() {
        let (mut live, hosts) = candidates();
        live.send_to_all(Duration::ZERO);
        let second = Duration::from_secs(1);
        let sent = sent_until(&mut live, second);
        let c = |at| (at, "c".to_owned());
        assert_eq!(sent, [c(0), c(300), c(900), (1000, "a".to_owned())]);
        // Whose turn has not come is sent nothing, whatever it says; who had it goes on being sent to.
        live.send_to(&hosts[2].identity, second);
        live.stop(&hosts[1].identity);
        let sent = sent_until(&mut live, 3 * second);
        assert_eq!(sent[..2], [(2000, "b".to_owned()), c(2100)]);
        assert_eq!(sent.iter().filter(|(_, name)| name == "a").count(), 0, "it has it");
    }

    #[test]
    fn who_declines_or_is_not_live_gives_its_turn_away_at_once() {
        let (mut live, hosts) = candidates();
        live.send_to_all(Duration::ZERO);
        let is_live = |identity: &Identity| identity.name.as_str() != "c";
        assert_eq!(names(live.take_due(Duration::ZERO, MANY, true, is_live)), ["a"]);
        live.answered(&hosts[1].identity, true, Duration::ZERO);
        assert_eq!(names(live.take_due(Duration::ZERO, MANY, true, is_live)), ["b"]);
        live.answered(&hosts[2].identity, true, Duration::ZERO);
        // Everybody had a turn: those that can be reached are asked again until the deadline.
        assert_eq!(live.due(), Some(RESEND_MIN));
        assert_eq!(names(live.take_due(RESEND_MIN, MANY, true, is_live)), ["a", "b"]);
        live.send_to(&hosts[0].identity, RESEND_MIN);
        assert_eq!(names(live.take_due(RESEND_MIN, MANY, true, |_| true)), ["c"]);
    }

    #[test]
    fn a_claim_or_a_cancel_ends_the_turns() {
        let (mut live, hosts) = candidates();
        live.send_to_all(Duration::ZERO);
        live.end_offers();
        assert_eq!(live.due(), None);
        live.send_to(&hosts[2].identity, Duration::ZERO);
        assert_eq!(names(live.take_due(Duration::ZERO, MANY, true, |_| true)), ["b"]);

        let (mut live, _) = candidates();
        live.send_to_all(Duration::ZERO);
        live.set_cancel(Arc::new(Signed::from_text("cancel".into())));
        live.send_to_all(Duration::ZERO);
        let holds = |identity: &Identity| identity.name.as_str() == "a";
        let sends = live.take_due(Duration::ZERO, MANY, true, holds);
        assert!(matches!(sends.messages.as_slice(), [(_, Outbound::Cancel(_))]));
        assert_eq!(names(sends), ["a"]);
    }
}
