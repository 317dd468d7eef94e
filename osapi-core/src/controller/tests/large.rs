//! Many hosts: what one job for all of them takes.

use super::stores::{HeldStore, Point};
use super::*;
use crate::backend::Cursor;
use crate::controller::roster::{Registered, Speaker};
use crate::job::limits::RESEND_MIN;

const HOSTS: usize = 10_000;

#[tokio::test(start_paused = true)]
async fn a_job_for_many_hosts_reaches_each_of_them_and_holds_nobody_up() {
    let held = Arc::new(HeldStore::new(Arc::new(EmbeddedStore::in_memory())));
    let fleet = Fleet::over(Arc::clone(&held) as _, Arc::new(EmbeddedBus::new()));
    let controller = fleet.controller().await;
    let mut one = fleet.ready_agent("zz-last", &controller).await;
    let registration: Registration = one.registration().peek().unwrap();
    let (at, wall) = (fleet.clock.boottime(), fleet.clock.wall());
    let mut inboxes = Vec::new();
    for n in 0..HOSTS {
        let name: AgentName = format!("web-{n}").parse().unwrap();
        let identity = Identity { name: name.clone(), ..one.identity.clone() };
        let registration = Registration { identity: identity.clone(), ..registration.clone() };
        let hello = Hello { identity, ..one.greeting(&[], &[]) };
        inboxes.push(fleet.bus.subscribe(&Pattern::To(name)).await.unwrap());
        let register = move |state: &mut crate::controller::state::State| {
            state.roster.register(Registered { registration, at: wall });
            state.roster.hear(&hello, at, wall)
        };
        assert_eq!(controller.shared.ask(register).await.unwrap(), Speaker::Agent);
    }
    let start = tokio::time::Instant::now();
    // Both are recorded at one moment, and the large one is the older of the two.
    held.hold(&[Point::Created(Bucket::Jobs)]);
    let me = admin();
    let earlier = fleet.clock.wall() - Duration::from_secs(1);
    let large = Submission { arrived_at: earlier, ..submission(&fleet, Target::All) };
    let (large, small) = (
        controller.submit(&me, large),
        controller.submit(&me, submission(&fleet, host("zz-last"))),
    );
    let release = async {
        eventually(async || fleet.store.head(Bucket::Jobs).await.unwrap() >= Cursor(2)).await;
        held.release();
    };
    let (large, small, ()) = tokio::join!(large, small, release);
    let (large, small) = (large.unwrap(), small.unwrap());
    let first = one.order().await.job;
    assert_eq!(first, small, "a small job waits for no large one");
    for inbox in &mut inboxes {
        let delivery = inbox.next().await.unwrap();
        let ToAgent::Dispatch { order, .. } = decode(&delivery.payload).unwrap() else {
            panic!("no order")
        };
        assert_eq!(order.peek().unwrap().job, large);
    }
    assert!(start.elapsed() < RESEND_MIN, "nothing had to be sent again");
}
