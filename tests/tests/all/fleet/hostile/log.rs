//! What the product says of messages that it does not take: nothing is refused in silence.

use std::collections::BTreeSet;
use std::fmt::{Debug, Write as _};
use std::sync::{Mutex, Once};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::fleet::world::until;

/// How each refusal begins that an attack brings about.
const REFUSALS: [&str; 17] = [
    // Agents.
    "a message cannot be read",
    "a ping cannot be read",
    "order refused: BadSignature",
    "order refused: UnknownKey",
    "order refused: NotAddressed",
    "cancel ignored: no valid job key signed it",
    "answer ignored: ",
    "welcome ignored: the root key did not sign its key ring",
    // Controllers.
    "a message came under another name or on the wrong subject",
    "a registration cannot be read, or came under another agent's name",
    "a claim request cannot be read, or came under another agent's name",
    "a claim request does not verify: ignored",
    "a report came under another agent's name",
    "a report does not verify: dropped",
    // Controllers, of what stands in the store.
    "a report in the store does not verify: ignored",
    "a registration in the store does not verify: ignored",
    "a job is damaged: it is not sent",
];

static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Listens from now on, to everything that is said in this process.
pub(super) fn watch() {
    static WATCHING: Once = Once::new();
    WATCHING.call_once(|| {
        tracing::subscriber::set_global_default(Listener).expect("nobody else listens");
    });
}

/// Every kind of refusal was said.
pub(super) async fn shows_refusals() {
    for refusal in REFUSALS {
        until(&format!("'{refusal}' is said"), async || {
            let said = SAID.lock().unwrap();
            said.iter().any(|said| said.starts_with(refusal)).then_some(())
        })
        .await;
    }
}

struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN && metadata.target().starts_with("osapi_core")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut message = Message::default();
        event.record(&mut message);
        SAID.lock().unwrap().insert(message.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The text of an event, without its fields.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            write!(self.0, "{value:?}").expect("a text takes everything");
        }
    }
}
