//! What happens between the order to start a command and its start, however long that is looked up.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::clock::Timestamp;
use crate::executor::StopReason;
use crate::executor::process::guard::{Guard, Resolved, Rules, Terms};

/// Rules that allow everything, and something that happens while they are asked right before the start.
struct Meanwhile(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meanwhile")
    }
}

impl Rules for Meanwhile {
    fn admit(
        &self,
        _: &Operation,
        _: &Submitter,
        resolved: Option<&Resolved>,
    ) -> Result<Terms, Failure> {
        let happens = resolved.and_then(|_| self.0.lock().unwrap().take());
        if let Some(happens) = happens {
            happens();
        }
        Ok(Terms::default())
    }
}

/// Seconds since boot.
#[derive(Debug, Default)]
struct Seconds(AtomicU64);

impl Clock for Seconds {
    fn wall(&self) -> Timestamp {
        Timestamp::from_unix_millis(0) + self.boottime()
    }

    fn boottime(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

/// How `true` ends if something happens while it is looked up.
async fn ends(stop: Stop, happens: impl FnOnce() + Send + 'static) -> Outcome {
    let rules: Arc<dyn Rules> = Arc::new(Meanwhile(Mutex::new(Some(Box::new(happens)))));
    let executor = executor().with_rules(watch::channel(Some(rules)).1);
    let job = JobId::new(SystemClock.wall());
    let task = Task { job, operation: exec("true", []), submitter: submitter() };
    let seen = Arc::new(Seen::default());
    let outcome = within(executor.execute(task, seen.clone(), stop)).await;
    let has_started = seen.0.borrow().handle.is_some();
    assert_eq!(has_started, outcome == Outcome::Exited { code: 0 }, "{outcome:?}");
    outcome
}

#[tokio::test]
async fn what_is_stopped_while_it_is_looked_up_never_starts() {
    let (stopper, stop) = Stop::channel();
    let outcome = ends(stop, move || stopper.stop(StopReason::Cancel)).await;
    assert_eq!(outcome, Outcome::Cancelled);
    for (reason, code) in
        [(StopReason::Shutdown, "draining"), (StopReason::Timeout, "start_failed")]
    {
        let (stopper, stop) = Stop::channel();
        let outcome = ends(stop, move || stopper.stop(reason)).await;
        assert_eq!(rejected(outcome).code, code);
    }
    // Nobody is there any more who would see to its end.
    let (stopper, stop) = Stop::channel();
    assert_eq!(rejected(ends(stop, move || drop(stopper)).await).code, "draining");
    let (_stopper, stop) = Stop::channel();
    assert_eq!(ends(stop, || ()).await, Outcome::Exited { code: 0 });
}

#[tokio::test]
async fn what_is_looked_up_beyond_its_deadline_never_starts() {
    for (passes, expected) in [(29, Outcome::Exited { code: 0 }), (30, Outcome::Expired)] {
        let clock = Arc::new(Seconds::default());
        let (_stopper, stop) = Stop::channel();
        let stop = stop.with_deadline(clock.clone(), Duration::from_secs(30));
        let outcome = ends(stop, move || clock.0.store(passes, Ordering::Relaxed)).await;
        assert_eq!(outcome, expected);
    }
}

#[test]
fn the_rules_of_the_moment_of_the_start_count() {
    #[derive(Debug)]
    struct Nothing;
    impl Rules for Nothing {
        fn admit(
            &self,
            _: &Operation,
            _: &Submitter,
            _: Option<&Resolved>,
        ) -> Result<Terms, Failure> {
            Err(Failure::new("policy", "nothing"))
        }
    }
    let (change, in_force) = watch::channel(None::<Arc<dyn Rules>>);
    let (job, operation) = (JobId::new(SystemClock.wall()), exec("true", []));
    let guard = Guard::new(in_force, &Task { job, operation, submitter: submitter() });
    assert_eq!(guard.admit(None), Ok(Terms::default()));
    change.send_replace(Some(Arc::new(Nothing)));
    assert_eq!(guard.admit(None).unwrap_err().code, "policy");
}
