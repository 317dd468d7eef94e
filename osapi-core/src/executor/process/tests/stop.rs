use super::*;
use crate::executor::StopReason;

#[tokio::test]
async fn a_stop_gives_its_own_outcome_and_keeps_the_output_so_far() {
    for (reason, expected) in [
        (StopReason::Timeout, Outcome::TimedOut),
        (StopReason::Cancel, Outcome::Cancelled),
        (StopReason::Shutdown, Outcome::Lost),
    ] {
        let running = Run::shell("echo $$; sleep 1000");
        let pid = within(running.seen.pids(1)).await[0];
        running.stopper.stop(reason);
        let (outcome, seen) = within(running.end()).await;
        assert_eq!(outcome, expected);
        assert_eq!(seen.stdout(), format!("{pid}\n"));
        assert!(!is_alive(pid));
    }
}

#[tokio::test]
async fn a_stop_reaches_the_whole_tree() {
    // A child, a grandchild, one in a session of its own, one that does not listen, one that is stopped.
    let script = "sleep 1000 & echo $!
        (sleep 1000 & echo $!; wait) &
        setsid sh -c 'echo $$; exec sleep 1000' &
        sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' &
        sleep 1000 & kill -STOP $!; echo $!
        wait";
    for executor in impatient() {
        let running = Run::begin(executor, shell(script));
        let pids = within(running.seen.pids(5)).await;
        running.stopper.stop(StopReason::Timeout);
        let (outcome, _) = within(running.end()).await;
        assert_eq!(outcome, Outcome::TimedOut);
        assert_eq!(pids.into_iter().filter(|pid| is_alive(*pid)).collect::<Vec<_>>(), [0; 0]);
    }
}

#[tokio::test]
async fn there_is_time_to_end_well() {
    // The grace is the real one: five seconds that a command that ends by itself does not use up.
    let running =
        Run::shell("trap 'sleep 0.3; echo 2; exit 0' TERM; echo 1; while :; do sleep 0.01; done");
    within(running.seen.pids(1)).await;
    running.stopper.stop(StopReason::Cancel);
    let (outcome, seen) = within(running.end()).await;
    assert_eq!((outcome, seen.lines()), (Outcome::Cancelled, vec!["1".to_owned(), "2".to_owned()]));
}

#[tokio::test]
async fn what_is_stopped_goes_on_to_its_end() {
    // Whoever stops itself says so first: one that is born after the signal gets none.
    let stops = "trap \"echo 2; exit\" TERM; echo 1; kill -STOP $$";
    for script in [stops.to_owned(), format!("setsid sh -c '{stops}'")] {
        let running = Run::shell(&script);
        within(running.seen.pids(1)).await;
        running.stopper.stop(StopReason::Cancel);
        let (_, seen) = within(running.end()).await;
        assert_eq!(seen.lines()[..2], ["1", "2"]);
    }
}

#[tokio::test]
async fn the_group_has_its_grace_also_when_the_leader_is_gone() {
    let script =
        "(trap 'sleep 0.3; echo 2; exit' TERM; echo 1; while :; do sleep 0.01; done) & wait";
    let running = Run::shell(script);
    within(running.seen.pids(1)).await;
    running.stopper.stop(StopReason::Cancel);
    let (_, seen) = within(running.end()).await;
    assert_eq!(seen.lines(), ["1", "2"]);
}

#[tokio::test]
async fn what_has_ended_by_itself_keeps_its_outcome() {
    let running = Run::shell("echo $$; exit 5");
    let pid = within(running.seen.pids(1)).await[0];
    // It is not polled until it is over: the test has one thread.
    while is_alive(pid) {}
    running.stopper.stop(StopReason::Timeout);
    assert_eq!(within(running.end()).await.0, Outcome::Exited { code: 5 });
}

#[tokio::test]
async fn a_stop_before_the_start_ends_it_too() {
    let running = Run::shell("sleep 1000");
    running.stopper.stop(StopReason::Cancel);
    assert_eq!(within(running.end()).await.0, Outcome::Cancelled);
}

#[tokio::test]
async fn one_command_s_end_does_not_touch_another() {
    let other = Run::shell("echo $$; sleep 1000");
    let pid = within(other.seen.pids(1)).await[0];
    let running = Run::shell("echo $$; sleep 1000");
    within(running.seen.pids(1)).await;
    running.stopper.stop(StopReason::Cancel);
    within(running.end()).await;
    assert!(is_alive(pid));
    other.stopper.stop(StopReason::Cancel);
    within(other.end()).await;
}

#[tokio::test]
async fn the_same_job_of_another_host_on_this_machine_goes_on() {
    let neighbour = || {
        let executor = ProcessExecutor::new("neighbour".parse().unwrap());
        executor.with_kill_grace(Duration::from_millis(100))
    };
    for (neighbour, executor) in
        [neighbour(), neighbour().without_cgroups()].into_iter().zip(impatient())
    {
        let script = "echo $$; setsid sh -c 'echo $$; sleep 1000' & wait";
        let other = Run::begin(neighbour, shell(script));
        let pids = within(other.seen.pids(2)).await;
        let running = Run::of(other.job, executor, shell(script));
        within(running.seen.pids(2)).await;
        running.stopper.stop(StopReason::Cancel);
        within(running.end()).await;
        assert!(pids.iter().all(|pid| is_alive(*pid)));
        other.stopper.stop(StopReason::Cancel);
        within(other.end()).await;
        assert!(!pids.into_iter().any(is_alive));
    }
}
