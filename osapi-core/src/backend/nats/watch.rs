//! A running watch: a consumer of its own that the server forgets by itself, asked for messages in batches as the reader takes them.
//!
//! It is made again from what was told last whenever messages were lost, it has fallen silent, or the connection was down.

use std::time::Duration;

use async_nats::{Message, StatusCode, Subscriber};
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::api::CallError;
use super::connection::Line;
use super::names::{self, jetstream};
use super::progress::{Progress, Stamp, Stop};
use super::store::{entry, stream_info};
use crate::backend::{Bucket, Change, Cursor, Prefix, StoreError};
use crate::id::Nonce;

/// Most messages of one batch.
const BATCH: u32 = 1024;
/// Most bytes of one batch. More than the largest message, which would never come otherwise.
const BATCH_BYTES: usize = 4 << 20;
/// How long the server keeps a request for a batch.
const REQUEST_LASTS: Duration = Duration::from_secs(60);
/// How often an idle consumer says so.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// When a consumer that says nothing is given up.
const SILENCE: Duration = Duration::from_secs(4);
/// After which the server forgets a consumer that nobody asks.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);
/// Pause before a consumer is made again that could not be made.
const AGAIN: Duration = Duration::from_millis(500);

/// What a watch needs.
pub(super) struct Watcher {
    line: Line,
    bucket: Bucket,
    filters: Vec<String>,
    progress: Progress,
    consumer: Consumer,
    changes: mpsc::Sender<Result<Change, StoreError>>,
    /// When the store ends.
    ending: CancellationToken,
    caught_up: Option<Change>,
}

/// A consumer, and where its messages arrive.
struct Consumer {
    name: String,
    inbox: String,
    messages: Subscriber,
    /// How many messages of the present batch are to come.
    awaited: u32,
}

#[derive(Deserialize)]
struct Made {
    num_pending: u64,
}

/// Why a watch is over.
enum Over {
    /// Nobody listens.
    Unneeded,
    /// It goes on with another consumer.
    Again(String),
    /// The watcher must be told.
    Failed(StoreError),
}

impl Watcher {
    /// Opens a watch.
    pub(super) async fn open(
        line: Line,
        bucket: Bucket,
        prefix: &Prefix,
        from: Option<Cursor>,
        changes: mpsc::Sender<Result<Change, StoreError>>,
        ending: CancellationToken,
    ) -> Result<Self, StoreError> {
        let info = stream_info(&line, bucket).await.map_err(CallError::of_read)?;
        let is_single = is_single(&info.config);
        let mut progress = Progress::open(from, info)?;
        let filters = names::records_under(&line.namespace, bucket, prefix);
        let (consumer, there) = Consumer::make(&line, bucket, &filters, progress.begins_at())
            .await
            .map_err(CallError::of_read)?;
        let caught_up = progress.consuming(is_single.then_some(there));
        Ok(Self { line, bucket, filters, progress, consumer, changes, ending, caught_up })
    }

    /// Tells what is there and what comes, until the watch is over.
    pub(super) async fn run(mut self) {
        let over = loop {
            match self.consume().await {
                Over::Again(why) => {
                    tracing::debug!(bucket = %self.bucket, why, "a watch goes on with another consumer");
                    if let Err(over) = self.make_again().await {
                        break over;
                    }
                }
                over => break over,
            }
        };
        self.consumer.remove(&self.line, self.bucket).await;
        if let Over::Failed(error) = over
            && self.changes.send(Err(error)).await.is_err()
        {
            tracing::debug!(bucket = %self.bucket, "a watch ended when nobody listened any more");
        }
    }

    /// Tells what the present consumer delivers, until it is of no more use.
    async fn consume(&mut self) -> Over {
        if let Some(change) = self.caught_up.take()
            && let Err(over) = self.tell(change).await
        {
            return over;
        }
        loop {
            if let Err(over) = self.step().await {
                return over;
            }
        }
    }

    async fn step(&mut self) -> Result<(), Over> {
        if self.consumer.awaited == 0 {
            self.consumer.ask(&self.line, self.bucket).await.map_err(Over::Again)?;
        }
        // Each only waits: a message that is not taken stays in its queue.
        let message = tokio::select! {
            message = tokio::time::timeout(SILENCE, self.consumer.messages.next()) => message,
            why = self.line.lost() => return Err(Over::Again(why)),
            () = unneeded(&self.changes, &self.ending) => return Err(Over::Unneeded),
        };
        match message {
            Ok(Some(message)) => self.arrived(message).await,
            Ok(None) => Err(Over::Unneeded),
            Err(_) => Err(Over::Again("the consumer fell silent".into())),
        }
    }

    async fn arrived(&mut self, message: Message) -> Result<(), Over> {
        match message.status {
            None => self.delivered(message).await,
            Some(StatusCode::IDLE_HEARTBEAT) => self.idle(&message).await,
            // The batch is over, by time or by size.
            Some(StatusCode::TIMEOUT) => self.batch_ended(),
            Some(_) if is_batch_full(&message) => self.batch_ended(),
            Some(status) => {
                let description = message.description.unwrap_or_default();
                Err(Over::Again(format!("status {status} {description}")))
            }
        }
    }

    async fn delivered(&mut self, message: Message) -> Result<(), Over> {
        let stamp = message.reply.as_deref().and_then(Stamp::parse);
        let Some(stamp) = stamp else {
            return Err(Over::Again("a message without a stamp".into()));
        };
        self.consumer.awaited = self.consumer.awaited.saturating_sub(1);
        let key = names::parse_record(&self.line.namespace, self.bucket, &message.subject);
        if key.is_none() {
            tracing::warn!(bucket = %self.bucket, cursor = stamp.stream, "a record with an invalid key is left out");
        }
        let entry = key.map(|key| entry(key, message.payload, stamp.stream));
        for change in self.progress.message(stamp, entry)?.into_iter().flatten() {
            self.tell(change).await?;
        }
        Ok(())
    }

    async fn idle(&mut self, message: &Message) -> Result<(), Over> {
        let number = |name| message.headers.as_ref()?.get(name)?.as_str().parse().ok();
        let (delivered, looked) = (number("Nats-Last-Consumer"), number("Nats-Last-Stream"));
        let (Some(delivered), Some(looked)) = (delivered, looked) else { return Ok(()) };
        match self.progress.idle(delivered, looked)? {
            Some(change) => self.tell(change).await,
            None => Ok(()),
        }
    }

    fn batch_ended(&mut self) -> Result<(), Over> {
        self.consumer.awaited = 0;
        Ok(())
    }

    async fn tell(&self, change: Change) -> Result<(), Over> {
        // A change that is dropped here is one that an ending store no longer tells.
        tokio::select! {
            sent = self.changes.send(Ok(change)) => sent.map_err(|_| Over::Unneeded),
            () = self.ending.cancelled() => Err(Over::Unneeded),
        }
    }

    /// Makes a consumer that goes on where the last one was, as soon as that is possible.
    async fn make_again(&mut self) -> Result<(), Over> {
        self.consumer.remove(&self.line, self.bucket).await;
        loop {
            // All only wait.
            tokio::select! {
                () = self.line.restored() => {}
                () = unneeded(&self.changes, &self.ending) => return Err(Over::Unneeded),
            }
            match self.try_again().await {
                Ok(()) => return Ok(()),
                Err(Over::Again(why)) => {
                    tracing::debug!(bucket = %self.bucket, why, "a consumer could not be made");
                }
                Err(over) => return Err(over),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn try_again(&mut self) -> Result<(), Over> {
        let again = |error: CallError| Over::Again(error.to_string());
        let info = stream_info(&self.line, self.bucket).await.map_err(again)?;
        self.progress.reopen(&info)?;
        let begins_at = self.progress.begins_at();
        let made = Consumer::make(&self.line, self.bucket, &self.filters, begins_at).await;
        let (consumer, there) = made.map_err(again)?;
        self.consumer = consumer;
        self.caught_up = self.progress.consuming(is_single(&info.config).then_some(there));
        Ok(())
    }
}

impl Consumer {
    /// Makes a consumer that begins at a sequence, and tells how many messages it has to deliver.
    async fn make(
        line: &Line,
        bucket: Bucket,
        filters: &[String],
        begins_at: u64,
    ) -> Result<(Self, u64), CallError> {
        let inbox = line.client.new_inbox();
        let subscribing = line.client.subscribe(format!("{inbox}.*"));
        let messages = line.hand_over(subscribing).await.map_err(CallError::Down)?;
        let name = format!("osapi-{}", Nonce::random());
        let stream = names::stream(&line.namespace, bucket);
        let request = json!({
            "stream_name": stream,
            "config": {
                "name": name,
                "deliver_policy": "by_start_sequence",
                "opt_start_seq": begins_at,
                "ack_policy": "none",
                "replay_policy": "instant",
                "filter_subjects": filters,
                "inactive_threshold": nanos(FORGOTTEN_AFTER),
                "mem_storage": true,
                "num_replicas": 1,
            },
        });
        let made: Made = line.call(jetstream::create_consumer(&stream, &name), &request).await?;
        Ok((Self { name, inbox, messages, awaited: 0 }, made.num_pending))
    }

    /// Asks for a batch.
    async fn ask(&mut self, line: &Line, bucket: Bucket) -> Result<(), String> {
        let request = json!({
            "batch": BATCH,
            "max_bytes": BATCH_BYTES,
            "expires": nanos(REQUEST_LASTS),
            "idle_heartbeat": nanos(HEARTBEAT),
        });
        let subject = jetstream::next(&names::stream(&line.namespace, bucket), &self.name);
        let (reply, request) = (format!("{}.next", self.inbox), request.to_string());
        line.hand_over(line.client.publish_with_reply(subject, reply, request.into())).await?;
        self.awaited = BATCH;
        Ok(())
    }

    /// Removes it from the server, which would forget it a little later.
    async fn remove(&self, line: &Line, bucket: Bucket) {
        let subject =
            jetstream::delete_consumer(&names::stream(&line.namespace, bucket), &self.name);
        if let Err(error) = line.call::<IgnoredAny>(subject, &json!({})).await {
            tracing::debug!(%bucket, %error, "a consumer was not removed");
        }
    }
}

/// Resolves when nobody listens any more, or the store ends.
async fn unneeded(changes: &mpsc::Sender<Result<Change, StoreError>>, ending: &CancellationToken) {
    tokio::select! {
        () = changes.closed() => {}
        () = ending.cancelled() => {}
    }
}

/// Whether one server alone keeps the stream, so that all that it says of it is of one state.
fn is_single(config: &serde_json::Value) -> bool {
    config["num_replicas"] == 1
}

fn is_batch_full(message: &Message) -> bool {
    message.description.as_deref().is_some_and(|text| text.contains("MaxBytes"))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl From<Stop> for Over {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Again(why) => Self::Again(why.into()),
            Stop::Rescan => Self::Failed(StoreError::Rescan),
        }
    }
}
