//! Output of a host whose login to the broker somebody else has, without the key of its agent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use osapi_core::backend::Bus as _;
use osapi_core::executor::scripted::{Gate, Script};
use osapi_core::id::Digest;
use osapi_core::job::JobStatus;
use osapi_core::job::limits::CHUNK_MAX;
use osapi_core::job::report::Stream;
use osapi_core::message::word::OutputChunk;
use osapi_core::message::{FromAgent, Pattern, Subject, ToAgent, decode, encode};
use osapi_tests::NatsServer;

use super::world::{Fleet, me, ready_at, settled, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_the_login_of_a_host_can_hold_its_output_back_and_not_make_up_any() {
    let server = NatsServer::start();
    let fleet = Fleet::at(&server);
    let controller = fleet.controller().await;
    let agent = fleet.agent("a").await;
    ready_at(&controller, std::slice::from_ref(&agent)).await;
    let written: Vec<u8> = (0..4 * CHUNK_MAX + 9).map(|n| b'a' + (n % 23) as u8).collect();
    let gate = Gate::closed();
    agent.executor.on("cat", Script::exits(0).stdout(written.clone()).held_by(&gate));
    let job = fleet.submit(&controller, "cat", "a").await.unwrap();

    let nats = fleet.connect("attacker", Some(&agent.name)).await;
    let bus = nats.bus();
    let mut inbox = bus.subscribe(&Pattern::To(agent.name.clone())).await.unwrap();
    let place = 2 * CHUNK_MAX;
    let chunk = OutputChunk {
        identity: agent.identity(),
        job,
        stream: Stream::Stdout,
        offset: place as u64,
        data: STANDARD.encode(vec![b'#'; CHUNK_MAX]),
        // Whoever listens learns it from the first chunk that is stored.
        sha256: Digest::of(&written),
    };
    let forged = encode(&FromAgent::Output(chunk));
    bus.publish(&Subject::Work(agent.name.clone()), forged.into()).await.unwrap();
    let is_stored = async {
        loop {
            let delivery = inbox.next().await.unwrap();
            if let Ok(ToAgent::OutputSettled(settled)) = decode(&delivery.payload) {
                return settled.stored;
            }
        }
    };
    assert!(within(is_stored).await, "it came first");
    gate.open();

    let results = settled(&controller, job).await;
    assert_eq!(results.status, JobStatus::Completed, "it costs no result");
    let row = &results.results[0];
    assert_eq!(row.stdout_bytes, written.len() as u64);
    assert!(row.stdout_incomplete, "what was made up is not shown as complete");
    assert!(row.stdout.as_deref().unwrap().as_bytes() == &written[..place]);
    let read = async |range| {
        let name = &agent.name;
        let output = controller.output(&me(), job, name, Stream::Stdout, range).await;
        output.unwrap().bytes
    };
    let end = written.len() as u64;
    assert!(read(0..end).await == written[..place]);
    assert!(read(place as u64 + 1..end).await.is_empty());
    assert!(read((place + CHUNK_MAX) as u64..end).await == written[place + CHUNK_MAX..]);
}
