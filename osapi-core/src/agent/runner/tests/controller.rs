//! A controller in a few lines: it welcomes, sends orders again until they are reported, and answers what it stores.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::auth::envelope::{Document, Signed};
use crate::auth::keys::{KeyRing, KeyUse, RingKey, SigningKey};
use crate::auth::merkle::HostTree;
use crate::backend::{Bus, Subscription};
use crate::clock::{Clock, TokioClock};
use crate::id::{Digest, FleetId, Identity, InstanceId, JobId, Nonce, StoreId};
use crate::job::record::VERSION;
use crate::job::report::Stream;
use crate::job::{ClaimRule, Operation, Report, Submitter};
use crate::message::order::{Answer, AnswerKind, CancelOrder, Order};
use crate::message::word::OutputSettled;
use crate::message::{
    FromAgent, Hello, Pattern, Ping, Readiness, ReceiptKind, Subject, ToAgent, Welcome, decode,
    encode,
};

pub(super) struct Controller {
    bus: Arc<dyn Bus>,
    heard: Subscription,
    work: Subscription,
    agent: Identity,
    ring: Signed<KeyRing>,
    key: SigningKey,
    fleet: FleetId,
    clock: TokioClock,
    orders: HashMap<JobId, ToAgent>,
    reports: HashMap<JobId, (Signed<Report>, Report)>,
    output: BTreeMap<(JobId, Stream, u64), Vec<u8>>,
    claims: HashMap<JobId, Nonce>,
    pub(super) is_deaf_to_output: bool,
    /// Whether what is dispatched has to be claimed.
    pub(super) claim: ClaimRule,
}

fn sign<D: Document>(document: &D, key: &SigningKey) -> Signed<D> {
    Signed::sign(document, key).unwrap()
}

impl Controller {
    pub(super) async fn new(
        bus: &Arc<dyn Bus>,
        root: &SigningKey,
        agent: Identity,
        clock: TokioClock,
    ) -> Self {
        let key = SigningKey::generate();
        let keys = vec![RingKey { key: key.public(), usage: KeyUse::Job }];
        let (fleet, at) = (root.public().fleet(), clock.wall());
        let serial = at.as_unix_millis();
        let ring = KeyRing { v: VERSION, fleet, serial, at, keys, is_after_restore: false };
        let ring = sign(&ring, root);
        Self {
            heard: bus.subscribe(&Pattern::Heard).await.unwrap(),
            work: bus.subscribe_in(&Pattern::Work, "controllers").await.unwrap(),
            bus: Arc::clone(bus),
            agent,
            ring,
            key,
            fleet,
            clock,
            orders: HashMap::new(),
            reports: HashMap::new(),
            output: BTreeMap::new(),
            claims: HashMap::new(),
            is_deaf_to_output: false,
            claim: ClaimRule::None,
        }
    }

    async fn say(&self, message: &ToAgent) {
        let subject = Subject::To(self.agent.name.clone());
        self.bus.publish(&subject, encode(message).into()).await.unwrap();
    }

    pub(super) async fn ping(&self) {
        let ping = Ping { instance: InstanceId::random(), ring: None };
        self.bus.publish(&Subject::Ping, encode(&ping).into()).await.unwrap();
    }

    pub(super) async fn dispatch(&mut self, operation: Operation) -> JobId {
        let (at, fleet) = (self.clock.wall(), self.fleet);
        let job = JobId::new(at);
        let tree = HostTree::new(fleet, [&self.agent]);
        let order = Order {
            v: VERSION,
            fleet,
            job,
            wave: 0,
            iat: at,
            not_after: at + Duration::from_secs(600),
            claim: self.claim,
            hosts: tree.set(),
            submitter: submitter(),
            operation,
            asked: Digest::of(b"asked"),
            retry_of: None,
        };
        let (order, membership) = (sign(&order, &self.key), tree.membership(0).unwrap());
        self.orders.insert(job, ToAgent::Dispatch { order, membership });
        self.send_again(job).await;
        job
    }

    pub(super) async fn send_again(&self, job: JobId) {
        self.say(&self.orders[&job]).await;
    }

    pub(super) async fn cancel(&self, job: JobId) {
        let (at, fleet) = (self.clock.wall(), self.fleet);
        let not_after = at + Duration::from_secs(600);
        let cancel = CancelOrder { v: VERSION, fleet, job, not_after, by: submitter(), at };
        self.say(&ToAgent::Cancel(sign(&cancel, &self.key))).await;
    }

    /// The next word that satisfies `wanted`. Every word is answered on the way; what is not reported is sent again.
    pub(super) async fn until<T>(&mut self, wanted: impl Fn(&FromAgent) -> Option<T>) -> T {
        let limit = tokio::time::sleep(Duration::from_secs(300));
        tokio::pin!(limit);
        loop {
            let delivery = tokio::select! {
                delivery = self.heard.next() => delivery,
                delivery = self.work.next() => delivery,
                () = tokio::time::sleep(Duration::from_millis(700)) => {
                    self.resend().await;
                    continue;
                }
                () = &mut limit => panic!("it was not heard in five minutes"),
            };
            let word: FromAgent = decode(&delivery.unwrap().payload).unwrap();
            self.answer(&word).await;
            if let Some(found) = wanted(&word) {
                return found;
            }
        }
    }

    async fn resend(&self) {
        for (job, order) in &self.orders {
            if !self.reports.contains_key(job) {
                self.say(order).await;
            }
        }
    }

    async fn answer(&mut self, word: &FromAgent) {
        match word {
            FromAgent::Hello(_) | FromAgent::Receipt(_) => {}
            FromAgent::Register(signed) => {
                assert_eq!(signed.verify(&self.agent.key).unwrap().identity, self.agent);
                let welcome = Welcome {
                    identity: self.agent.clone(),
                    ring: self.ring.clone(),
                    wall: self.clock.wall(),
                    store: StoreId::from_bytes([1; 16]),
                    retention_s: 3600,
                };
                self.say(&ToAgent::Welcome(welcome)).await;
            }
            FromAgent::Claim(signed) => {
                let request = signed.verify(&self.agent.key).unwrap();
                let holder = *self.claims.entry(request.job).or_insert(request.nonce);
                let kind = match holder == request.nonce {
                    true => AnswerKind::Yours(request.nonce),
                    false => AnswerKind::Void(request.nonce),
                };
                self.say_answer(request.job, kind).await;
            }
            FromAgent::Report(signed) => {
                let report = signed.verify(&self.agent.key).unwrap();
                let job = report.job;
                let (first, _) = self.reports.entry(job).or_insert((signed.clone(), report));
                assert_eq!(first, signed, "two different reports of one execution");
                self.say_answer(job, AnswerKind::Stored(signed.digest())).await;
            }
            FromAgent::Output(_) if self.is_deaf_to_output => {}
            FromAgent::Output(chunk) => {
                assert!(!self.reports.contains_key(&chunk.job) || self.knows(chunk));
                let data = STANDARD.decode(&chunk.data).unwrap();
                self.output.insert((chunk.job, chunk.stream, chunk.offset), data);
                let settled = OutputSettled {
                    identity: self.agent.clone(),
                    job: chunk.job,
                    stream: chunk.stream,
                    offset: chunk.offset,
                    sha256: chunk.sha256,
                    stored: true,
                };
                self.say(&ToAgent::OutputSettled(settled)).await;
            }
        }
    }

    async fn say_answer(&self, job: JobId, kind: AnswerKind) {
        let (v, fleet, identity) = (VERSION, self.fleet, self.agent.clone());
        let answer = Answer { v, fleet, identity, job, kind, at: None };
        self.say(&ToAgent::Answer(sign(&answer, &self.key))).await;
    }

    fn knows(&self, chunk: &crate::message::word::OutputChunk) -> bool {
        self.output.contains_key(&(chunk.job, chunk.stream, chunk.offset))
    }

    pub(super) async fn until_ready(&mut self) {
        let ready = |word: &FromAgent| match word {
            FromAgent::Hello(hello) => (hello.readiness == Readiness::Ready).then_some(()),
            _ => None,
        };
        self.until(ready).await;
    }

    pub(super) async fn hello(&mut self) -> Hello {
        let hello = |word: &FromAgent| match word {
            FromAgent::Hello(hello) => Some(hello.clone()),
            _ => None,
        };
        self.until(hello).await
    }

    pub(super) async fn receipt(&mut self, job: JobId) -> ReceiptKind {
        let receipt = |word: &FromAgent| match word {
            FromAgent::Receipt(receipt) => (receipt.job == job).then_some(receipt.kind),
            _ => None,
        };
        self.until(receipt).await
    }

    pub(super) async fn report(&mut self, job: JobId) -> Report {
        while !self.reports.contains_key(&job) {
            self.until(|word| matches!(word, FromAgent::Report(_)).then_some(())).await;
        }
        self.reports[&job].1.clone()
    }

    /// The parts of a stream that have come, joined.
    pub(super) fn output(&self, job: JobId, stream: Stream) -> Bytes {
        let mut joined = Vec::new();
        for ((_, _, offset), data) in self.output.range((job, stream, 0)..=(job, stream, u64::MAX))
        {
            assert_eq!(joined.len() as u64, *offset, "a part is missing");
            joined.extend_from_slice(data);
        }
        joined.into()
    }
}

fn submitter() -> Submitter {
    Submitter { subject: "ann".into(), token_id: "t".into(), roles: Vec::new() }
}
