use super::*;

/// Begins a command and forgets it, as a crash does.
async fn abandoned(executor: ProcessExecutor, script: &str, count: usize) -> (Handle, Vec<i32>) {
    let running = Run::begin(executor, shell(script));
    let pids = within(running.seen.pids(count)).await;
    let handle = within(running.seen.handle()).await;
    running.task.abort();
    assert!(running.task.await.unwrap_err().is_cancelled());
    assert!(pids.iter().all(|pid| is_alive(*pid)), "a crash ends nothing");
    (handle, pids)
}

const SCRIPT: &str = "echo $$; setsid sh -c 'echo $$; exec sleep 1000' & wait";

#[tokio::test]
async fn what_a_crash_left_is_found_and_ended() {
    for executor in impatient() {
        let (handle, pids) = abandoned(executor, SCRIPT, 2).await;
        let executor = self::executor();
        within(executor.end_leftovers(&handle)).await.unwrap();
        assert!(!pids.into_iter().any(is_alive));
        within(executor.end_leftovers(&handle)).await.expect("again, when nothing is left");
    }
}

#[tokio::test]
async fn without_a_note_the_job_s_id_is_enough() {
    let (mut handle, pids) = abandoned(executor(), SCRIPT, 2).await;
    handle.detail = serde_json::Value::Null;
    within(executor().end_leftovers(&handle)).await.unwrap();
    assert!(!pids.into_iter().any(is_alive));
}

#[tokio::test]
async fn a_number_that_went_to_somebody_else_is_not_signalled() {
    let (handle, pids) = abandoned(executor(), SCRIPT, 2).await;
    for (field, value) in
        [("start_time", serde_json::json!(1)), ("boot_id", serde_json::json!("another"))]
    {
        // The same numbers, of another job, written down at another time or in another boot.
        let mut stranger = Handle { job: JobId::new(SystemClock.wall()), ..handle.clone() };
        stranger.detail[field] = value;
        within(executor().end_leftovers(&stranger)).await.unwrap();
        assert!(pids.iter().all(|pid| is_alive(*pid)), "{field}");
    }
    within(executor().end_leftovers(&handle)).await.unwrap();
    assert!(!pids.into_iter().any(is_alive));
}
