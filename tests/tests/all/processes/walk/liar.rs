//! Who has the login of a host to the broker, and no key of it.

use std::fs;
use std::path::Path;

use osapi_core::auth::envelope::Signed;
use osapi_core::auth::keys::SigningKey;
use osapi_core::backend::Bus as _;
use osapi_core::backend::nats::{Login, Namespace, Nats, Options, Tls};
use osapi_core::clock::{Clock as _, SystemClock};
use osapi_core::id::{AgentName, FleetId, Identity, JournalId};
use osapi_core::job::record::VERSION;
use osapi_core::job::report::StreamReport;
use osapi_core::job::{Outcome, Report};
use osapi_core::message::{FromAgent, Subject, encode};
use tokio::runtime;

/// Messages at a time: one of the servers takes each, whichever it is.
const TIMES: usize = 4;

pub(super) struct Liar {
    name: AgentName,
    broker: String,
    login: Login,
}

impl Liar {
    /// With the login of the host of this name.
    pub(super) fn new(name: &str, data_dir: &Path, broker: &str) -> Self {
        let login = fs::read_to_string(data_dir.join("agent/nats.creds")).expect("it has joined");
        Self {
            name: name.parse().expect("it is a host's"),
            broker: broker.to_owned(),
            login: Login::Credentials(login.into()),
        }
    }

    /// Reports a job that this host was not asked to do.
    pub(super) fn report(&self, job: &str) {
        let key = SigningKey::generate();
        let identity =
            Identity { name: self.name.clone(), key: key.public(), journal: JournalId::random() };
        let report = Report {
            v: VERSION,
            fleet: FleetId::random(),
            job: job.parse().expect("it is a job's"),
            identity,
            outcome: Outcome::Exited { code: 0 },
            started_at: None,
            ended_at: SystemClock.wall(),
            duration_ms: 0,
            stdout: StreamReport::empty(),
            stderr: StreamReport::empty(),
        };
        let signed = Signed::sign(&report, &key).expect("it is small enough");
        let report = encode(&FromAgent::Report(signed));
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("there is room for one").block_on(self.send(report));
    }

    async fn send(&self, message: Vec<u8>) {
        let nats = Nats::connect(Options {
            servers: vec![self.broker.clone()],
            namespace: Namespace::default(),
            login: self.login.clone(),
            tls: Tls::default(),
            name: "a liar".into(),
            agent: Some(self.name.clone()),
        });
        let nats = nats.await.expect("it is a login of this fleet");
        let subject = Subject::Work(self.name.clone());
        for _ in 0..TIMES {
            let said = nats.bus().publish(&subject, message.clone().into()).await;
            said.expect("a host may say what it will");
        }
        nats.close().await;
    }
}
