//! Sends what was decided to agents: a queue with a bound, and one task that encodes and publishes.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc};

use crate::auth::envelope::Signed;
use crate::auth::merkle::HostTree;
use crate::backend::Bus;
use crate::id::AgentName;
use crate::message::word::OutputSettled;
use crate::message::{Answer, CancelOrder, Order, Refused, Subject, ToAgent, Welcome, encode};

/// Messages that wait to be published. Orders and cancels wait for room; what else does not fit is lost, and sent again by whoever waits
/// for an answer.
const QUEUE: usize = 8192;

/// Places in the queue that orders and cancels leave to answers and welcomes.
const RESERVE: usize = 2048;

/// Room for orders that is worth waking up for.
const ROOM: usize = 512;

/// A signed order, ready to be sent to any of its hosts.
#[derive(Debug)]
pub(super) struct Dispatchable {
    pub(super) order: Signed<Order>,
    /// The signed set.
    pub(super) tree: HostTree,
}

/// A message, built where it is sent, so that a job for many hosts keeps one copy of its order.
#[derive(Debug)]
pub(super) enum Outbound {
    /// The order, to the host at this place of the signed set.
    Order(Arc<Dispatchable>, usize),
    Cancel(Arc<Signed<CancelOrder>>),
    Answer(Signed<Answer>),
    OutputSettled(OutputSettled),
    Welcome(Box<Welcome>),
    Refused(Box<Refused>),
}

impl Outbound {
    fn message(self) -> Option<ToAgent> {
        Some(match self {
            Self::Order(dispatchable, place) => {
                let membership = dispatchable.tree.membership(place)?;
                ToAgent::Dispatch { order: dispatchable.order.clone(), membership }
            }
            Self::Cancel(cancel) => ToAgent::Cancel(Signed::clone(&cancel)),
            Self::Answer(answer) => ToAgent::Answer(answer),
            Self::OutputSettled(settled) => ToAgent::OutputSettled(settled),
            Self::Welcome(welcome) => ToAgent::Welcome(*welcome),
            Self::Refused(refused) => ToAgent::Refused(*refused),
        })
    }
}

/// Where messages to agents are handed in.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    hand_in: mpsc::Sender<(AgentName, Outbound)>,
    emptied: Arc<Notify>,
}

impl Outbox {
    /// An outbox, and the task that empties it until every clone is gone.
    pub(super) fn new(bus: Arc<dyn Bus>) -> (Self, impl Future<Output = ()> + Send) {
        let (hand_in, mut queue) = mpsc::channel::<(AgentName, Outbound)>(QUEUE);
        let outbox = Self { hand_in, emptied: Arc::default() };
        let emptied = Arc::clone(&outbox.emptied);
        let send_all = async move {
            while let Some((name, outbound)) = queue.recv().await {
                if queue.len() + RESERVE + ROOM <= QUEUE {
                    emptied.notify_one();
                }
                let Some(message) = outbound.message() else { continue };
                let bytes = encode(&message).into();
                if let Err(err) = bus.publish(&Subject::To(name.clone()), bytes).await {
                    tracing::warn!(agent = %name, error = &err as &dyn std::error::Error, "a message could not be published");
                }
            }
        };
        (outbox, send_all)
    }

    /// Hands a message in.
    pub(super) fn send(&self, to: &AgentName, outbound: Outbound) {
        match self.hand_in.try_send((to.clone(), outbound)) {
            Err(mpsc::error::TrySendError::Full(_)) => {
                tracing::warn!(agent = %to, "the queue of messages to agents is full: one was dropped");
            }
            // The controller is stopping.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
        }
    }

    /// Hands a message in, once there is room for it.
    pub(super) async fn deliver(&self, to: &AgentName, outbound: Outbound) {
        // If it cannot be, the controller is stopping.
        self.hand_in.send((to.clone(), outbound)).await.ok();
    }

    /// How many orders and cancels may be handed in.
    pub(super) fn room(&self) -> usize {
        self.hand_in.capacity().saturating_sub(RESERVE)
    }

    /// Waits until it is worth asking for [`Self::room`] again.
    ///
    /// # Cancel safety
    /// May be dropped and called again: a wake-up that nobody waited for is kept.
    pub(super) async fn emptied(&self) {
        self.emptied.notified().await;
    }
}
