//! What only a broker or a fleet can show to be wrong is said by the program that was started, with the way out.

use std::fs;
use std::sync::Arc;

use osapi_core::agent::{Agent, AgentParts, Binding, Limits, MemoryJournal};
use osapi_core::auth::keys::SigningKey;
use osapi_core::backend::nats::{Login, Namespace, Nats, Options, Tls};
use osapi_core::clock::SystemClock;
use osapi_core::executor::scripted::ScriptedExecutor;
use osapi_core::id::{AgentName, PublicKey, SealingKey};
use osapi_core::job::{AgentFacts, Labels};
use osapi_core::message::Readiness;
use osapi_service::datadir::Layout;
use osapi_service::keystore::Keys;
use osapi_tests::NatsServer;
use tokio_util::sync::CancellationToken;

use super::fleet::address_in;
use crate::world::{Api, Daemon, Invocation, Machine, built};

/// A machine with the keys of a fleet, and what an API server needs.
fn machine() -> Machine {
    let machine = Machine::new();
    machine.osapi(["nats", "config", "--out", "nats"]).run().exits(0);
    machine
}

/// An API server for a broker that knows no users.
fn server(machine: &Machine, broker: &NatsServer) -> Invocation {
    let config =
        format!("api: {{server: {{keys: keys}}}}\nnats: {{servers: ['{}']}}\n", broker.url());
    fs::write(machine.tmp().join("nats/server/open.yaml"), config).unwrap();
    let args = ["-f", "nats/server/open.yaml", "--listen", "127.0.0.1:0"];
    machine.run(&built("osapi-server"), args).env("OSAPI_JOBS_MAX_OUTPUT_BYTES", "64MiB")
}

#[tokio::test]
async fn a_bucket_with_other_settings_is_left_alone_and_named_with_the_way_out() {
    let (machine, broker) = (machine(), NatsServer::start());
    let client = async_nats::connect(broker.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let other = async_nats::jetstream::stream::Config {
        name: "KV_osapi-jobs".into(),
        subjects: vec!["$KV.osapi-jobs.>".into()],
        ..Default::default()
    };
    let before = jetstream.create_stream(other).await.unwrap();
    let ran = tokio::task::spawn_blocking({
        let server = server(&machine, &broker);
        move || server.run()
    });
    ran.await.unwrap().exits(125).prints("").explains(&[
        "bucket jobs has other settings",
        "discard",
        "nats stream edit KV_osapi-jobs",
        "another namespace",
    ]);
    let after = jetstream.get_stream("KV_osapi-jobs").await.unwrap();
    assert_eq!(after.cached_info().config, before.cached_info().config);
}

/// An agent of another machine, as far as its host name shows, that takes jobs.
async fn agent(broker: &NatsServer, root: PublicKey, name: &str, hostname: &str) {
    let (key, name) = (Arc::new(SigningKey::generate()), name.parse::<AgentName>().unwrap());
    let options = Options {
        servers: vec![broker.url()],
        namespace: Namespace::default(),
        login: Login::None,
        tls: Tls::default(),
        name: name.to_string(),
        agent: Some(name.clone()),
    };
    let binding = Binding { fleet: root.fleet(), name, key: key.public(), machine: "m".into() };
    let agent = Agent::new(AgentParts {
        bus: Arc::new(Nats::connect(options).await.unwrap().bus()),
        journal: Arc::new(MemoryJournal::new(binding)),
        executor: Arc::new(ScriptedExecutor::default()),
        clock: Arc::new(SystemClock),
        key,
        root,
        hostname: hostname.into(),
        version: "0".into(),
        sealing: SealingKey::from_bytes([1; 32]),
        labels: Labels::default(),
        facts: AgentFacts::default(),
        denials: osapi_core::backend::never_denied(),
        spool: std::env::temp_dir(),
        limits: Limits::default(),
    });
    let mut readiness = agent.readiness();
    // It ends with the runtime of the test.
    tokio_util::task::TaskTracker::new().spawn(agent.run(CancellationToken::new()));
    readiness.wait_for(|now| *now == Readiness::Ready).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_name_that_two_hosts_have_names_neither_of_them() {
    let (machine, broker) = (machine(), NatsServer::start());
    let mut server = Daemon::until(server(&machine, &broker), "ready: the store was read");
    let url = address_in(&server.until_says("listens on http://"));
    let root = Keys::root_of(&Layout::at(machine.data_dir())).unwrap();
    for (name, hostname) in
        [("a", "db.example.com"), ("b", "db.example.com"), ("c", "web.example.com")]
    {
        agent(&broker, root, name, hostname).await;
    }
    let token =
        machine.osapi(["token", "generate", "-r", "admin", "-u", "me"]).run().exits(0).line();
    let osapi = |args: &[&str]| {
        let osapi = machine.bare(args.iter().copied()).env("OSAPI_URL", &url);
        osapi.env("OSAPI_TOKEN", &token).run()
    };
    for target in ["db.example.com", "db.example.com,c", "?,!db.example.com"] {
        let ran = osapi(&["exec", "-T", target, "--", "true"]).exits(125).prints("");
        ran.explains(&["host_ambiguous", "'db.example.com'", "'a', 'b'", "osapi agent list"]);
    }
    assert!(Api::new(&url, &token).jobs().is_empty(), "something was done");
    osapi(&["exec", "-T", "web.example.com", "--", "true"]).exits(0);
    assert!(server.stop().0.success());
}
