//! Signals end a whole process, so this has a process of its own.

use std::time::Duration;

use osapi_service::signals::Shutdown;
use rustix::process::{Signal, getpid, kill_process};

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
#[ignore = "it ends its process: the other test starts it"]
async fn child() {
    let shutdown = Shutdown::on_signals().unwrap();
    let token = shutdown.token();
    assert!(!token.is_cancelled());
    kill_process(getpid(), Signal::TERM).unwrap();
    tokio::time::timeout(LIMIT, token.cancelled()).await.unwrap();
    kill_process(getpid(), Signal::INT).unwrap();
    tokio::time::timeout(LIMIT, std::future::pending::<()>()).await.unwrap();
}

#[test]
fn the_first_signal_asks_and_the_second_ends() {
    #[expect(clippy::disallowed_methods, reason = "the test starts itself, and no command")]
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let output = child.args(["--exact", "child", "--ignored", "--nocapture"]).output().unwrap();
    assert_eq!(output.status.code(), Some(128 + 2), "{output:?}");
}
