//! What stands in the log, and what never does.

use std::cell::RefCell;
use std::io;

use osapi_core::api::Code;
use osapi_core::api::endpoints::CommandExec;
use osapi_core::api::params::TargetPath;
use osapi_core::api::{Endpoint, Problem};
use osapi_core::auth::permission::Permission;
use osapi_core::job::{Outcome, Target};

use super::fleet::Fleet;
use super::world::Ask;

thread_local! {
    /// What this thread has logged: each test runs on a thread of its own, with all its tasks.
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes to [`LINES`].
struct Lines;

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Everything that was logged, and the access lines in it.
fn lines() -> (String, Vec<serde_json::Value>) {
    let text = String::from_utf8(LINES.take()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let is_access = |line: &serde_json::Value| line["target"] == "osapi_server::access";
    let access = lines.filter(is_access).collect();
    (text, access)
}

#[tokio::test]
async fn each_request_is_one_line_without_secrets() {
    // One for all threads: tracing remembers for all of them which events nobody wants.
    let all = tracing_subscriber::fmt().json().with_max_level(tracing::Level::TRACE);
    all.with_writer(|| Lines).init();
    let mut fleet = Fleet::start().await;
    let token = fleet.world.token(&[Permission::COMMAND_EXECUTE]);
    let path = TargetPath { target: Target::Any };
    let body =
        r#"{"command":"s3cret-program","args":["s3cret-argument"],"env":{"S":"s3cret-value"}}"#;
    let ask = Ask::of::<CommandExec>(&path).json(body).token(&token);

    let mut wire = fleet.world.connect().await;
    wire.send(&ask).await;
    let (job, _) = fleet.agent.job().await;
    fleet.agent.report(job, Outcome::Exited { code: 0 }, b"s3cret-output").await;
    let good = wire.reply().await;
    let reader = fleet.world.token(&[Permission::JOB_READ]);
    let denied = fleet.world.ask(&ask.clone().token(&reader)).await;
    let broken = ask.clone().json("{\"command\":\"s3cret-program\",");
    let broken: Problem = fleet.world.ask(&broken).await.problem();
    assert_eq!(broken.code, Code::BodyNotJson);
    let unknown = fleet.world.ask(&Ask { path: "/s3cret-path".into(), ..ask }).await;

    let (text, access) = lines();
    let ids: Vec<_> = access.iter().map(|line| line["fields"]["request_id"].as_str()).collect();
    let asked = [&good, &denied].map(|reply| reply.header("x-request-id"));
    assert_eq!((ids.len(), &ids[..2]), (4, asked.as_slice()));
    assert_eq!(ids[2], broken.request_id.as_deref());
    let fields = &access[0]["fields"];
    assert_eq!(fields["method"], CommandExec::INFO.method.as_str());
    assert_eq!(fields["path"], CommandExec::INFO.path);
    assert_eq!((&fields["status"], &fields["subject"]), (&200.into(), &"user@example.com".into()));
    assert_eq!(fields["token_id"].as_str().map(str::len), Some(32));
    assert!(fields["duration_ms"].is_u64(), "{fields}");
    assert_eq!(access[1]["fields"]["subject"], "user@example.com", "who was denied is named");
    assert_eq!(ids[3], unknown.header("x-request-id"));
    assert!(access[3]["fields"]["path"].is_null(), "an unknown path is not repeated");

    for secret in ["s3cret", token.as_str(), reader.as_str(), "v4.public"] {
        let line = text.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{line:?}");
    }
}
