//! Opening the store: the buckets that are missing are made, the others are checked, and one of them says which store it is.

use std::time::Duration;

use serde::de::IgnoredAny;
use serde_json::Value;
use tokio::time::Instant;

use super::api::{CallError, Refusal, code};
use super::connection::{Line, Nats};
use super::durability::Reader;
use super::error::OpenError;
use super::names::{self, jetstream};
use super::options::StoreOptions;
use super::settings::{self, IDENTIFIES};
use super::store::{NatsStore, stream_info};
use crate::backend::Bucket;
use crate::id::StoreId;

/// How long a cluster may take to answer that has just started, or lost a server.
const PATIENCE: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(200);
/// How long making a bucket may take another.
const MAKING: Duration = Duration::from_secs(2);

/// Opens the store behind `nats`.
pub(super) async fn open(nats: Nats, options: StoreOptions) -> Result<NatsStore, OpenError> {
    let reader = options.durability.as_ref();
    let reader = reader.map(|source| Reader::new(source, nats.options())).transpose()?;
    let opening =
        Opening { line: nats.line(), options: &options, until: Instant::now() + PATIENCE };
    let mut id = None;
    for bucket in Bucket::ALL {
        let found = opening.bucket(bucket).await?;
        if bucket == IDENTIFIES {
            let stream = names::stream(&opening.line.namespace, bucket);
            id = Some(settings::store_id(&found).ok_or(OpenError::NotAStore(stream))?);
        }
    }
    let id = id.expect("the identifying bucket is one of all");
    Ok(NatsStore::new(nats, id, reader).await)
}

struct Opening<'a> {
    line: &'a Line,
    options: &'a StoreOptions,
    until: Instant,
}

impl Opening<'_> {
    /// The settings of a bucket, which is made if it is missing.
    async fn bucket(&self, bucket: Bucket) -> Result<Value, OpenError> {
        let namespace = &self.line.namespace;
        let found = loop {
            match stream_info(self.line, bucket).await {
                Ok(info) => break info.config,
                Err(error) if error.code() == Some(code::NO_STREAM) => self.make(bucket).await?,
                Err(error) => self.pause_after(error).await?,
            }
        };
        let differences = settings::differences(namespace, bucket, self.options, &found);
        if differences.is_empty() {
            return Ok(found);
        }
        let stream = names::stream(namespace, bucket);
        Err(OpenError::Settings { bucket, stream, differences })
    }

    /// Makes a bucket, unless another does at the same time: what is there then is read again.
    async fn make(&self, bucket: Bucket) -> Result<(), OpenError> {
        let namespace = &self.line.namespace;
        let subject = jetstream::create_stream(&names::stream(namespace, bucket));
        let request = settings::creation(namespace, bucket, self.options, StoreId::random());
        match self.line.call::<IgnoredAny>(subject, &request).await {
            Ok(_) => Ok(()),
            Err(CallError::Refused(refusal)) => {
                let refused = self.refused(bucket, &refusal);
                if refusal.err_code == code::INSUFFICIENT_STORAGE {
                    // Who is making it at this moment has set the room aside.
                    return if self.is_made_meanwhile(bucket).await { Ok(()) } else { refused };
                }
                if passes(&refusal) && Instant::now() < self.until {
                    tokio::time::sleep(AGAIN).await;
                    return Ok(());
                }
                refused
            }
            Err(error) => self.pause_after(error).await,
        }
    }

    /// Whether another has made a bucket before long.
    async fn is_made_meanwhile(&self, bucket: Bucket) -> bool {
        let until = Instant::now() + MAKING;
        while stream_info(self.line, bucket).await.is_err() {
            if Instant::now() >= until {
                return false;
            }
            tokio::time::sleep(AGAIN).await;
        }
        true
    }

    /// What a bucket that was not made means; nothing if another made it.
    fn refused(&self, bucket: Bucket, refusal: &Refusal) -> Result<(), OpenError> {
        let StoreOptions { replicas, max_output_bytes, .. } = *self.options;
        let description = refusal.description.clone();
        Err(match refusal.err_code {
            code::OTHER_CONFIGURATION => return Ok(()),
            code::NO_SUITABLE_PEERS | code::REPLICAS_WITHOUT_CLUSTER => {
                OpenError::Replicas { replicas, description }
            }
            code::NOT_ENABLED | code::NOT_ENABLED_FOR_ACCOUNT => OpenError::NoJetStream,
            code::INSUFFICIENT_STORAGE if bucket == Bucket::Output => {
                OpenError::Room { wanted: max_output_bytes }
            }
            _ => OpenError::Refused { bucket, description },
        })
    }

    /// Waits a little before it is tried again, unless that is of no use.
    async fn pause_after(&self, error: CallError) -> Result<(), OpenError> {
        if matches!(error.code(), Some(code::NOT_ENABLED | code::NOT_ENABLED_FOR_ACCOUNT)) {
            return Err(OpenError::NoJetStream);
        }
        // Nobody listens to the calls of JetStream where no server of the account has it.
        let is_off =
            matches!(error, CallError::Nobody) && !self.line.client.server_info().jetstream;
        if is_off {
            return Err(OpenError::NoJetStream);
        }
        if Instant::now() >= self.until {
            return Err(OpenError::Unavailable(error.into()));
        }
        tokio::time::sleep(AGAIN).await;
        Ok(())
    }
}

/// Whether a refusal is one of a cluster whose servers have not all found each other yet.
fn passes(refusal: &Refusal) -> bool {
    match refusal.err_code {
        code::TEMPORARILY_UNAVAILABLE | code::STREAM_OFFLINE => true,
        code::NO_SUITABLE_PEERS => refusal.description.contains("offline"),
        _ => false,
    }
}
