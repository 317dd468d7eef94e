//! What is said of the health.

use super::*;

fn watcher() -> Permit {
    person("watcher", &[Permission::HEALTH_READ, Permission::AGENT_READ])
}

/// A hello in which the agent says how often it was denied something.
async fn say_denied(agent: &Agent, denied: u64) {
    let hello = FromAgent::Hello(Hello { denied, ..agent.greeting(&[], &[]) });
    agent.say(Subject::Heard(agent.identity.name.clone()), &hello).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_denies_the_server_is_shown_and_not_as_it_should_be() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let health = controller.health(&watcher()).await.unwrap();
    assert_eq!((health.status.as_str(), health.denials), ("ok", Denials::default()));
    let denials = Denials { count: 2, last: Some("Permissions Violation".into()) };
    fleet.denials.send_replace(denials.clone());
    let health = controller.health(&watcher()).await.unwrap();
    assert_eq!((health.status.as_str(), health.denials), ("degraded", denials));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_denied_something_is_named_until_it_begins_anew_with_what_it_needs() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let (mut agent, _other) = (
        fleet.ready_agent("web-01", &controller).await,
        fleet.ready_agent("web-02", &controller).await,
    );
    let name = agent.identity.name.clone();
    let shown = async || controller.agent(&watcher(), &name).await.unwrap().denied;
    say_denied(&agent, 3).await;
    eventually(async || shown().await == 3).await;
    let health = controller.health(&watcher()).await.unwrap();
    assert_eq!((health.status.as_str(), health.denied), ("degraded", vec![name.clone()]));
    agent.instance = InstanceId::random();
    agent.hello(&[], &[]).await;
    eventually(async || shown().await == 0).await;
    let health = controller.health(&watcher()).await.unwrap();
    assert_eq!((health.status.as_str(), health.denied), ("ok", Vec::new()));
}

/// How many jobs have each status, by a look at every job.
async fn counted(controller: &Controller) -> Vec<(JobStatus, u32)> {
    let jobs = controller.list(&admin(), Default::default()).await.unwrap().jobs;
    let count = |status| jobs.iter().filter(|job| job.status == status).count();
    JobStatus::ALL.map(|status| (status, count(status) as u32)).to_vec()
}

#[tokio::test(start_paused = true)]
async fn figures_are_those_that_a_look_at_everything_gives() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let keeper = person("keeper", &[Permission::JOB_WRITE, Permission::HEALTH_READ]);
    let mut agent = fleet.ready_agent("web-01", &controller).await;
    let _other = fleet.ready_agent("web-02", &controller).await;
    say_denied(&agent, 3).await;
    fleet.denials.send_modify(|denials| denials.count = 2);
    let agrees = async || {
        // Between the two looks a word may arrive.
        let look = async || controller.figures(&keeper).await.unwrap();
        eventually(async || look().await.jobs.to_vec() == counted(&controller).await).await;
        look().await
    };
    let mut jobs = Vec::new();
    for code in [0, 1, 0] {
        let job = controller.submit(&admin(), submission(&fleet, host("web-01"))).await.unwrap();
        agrees().await;
        agent.order().await;
        agent.receipt(job, ReceiptKind::Started { at: fleet.clock.wall() }).await;
        agrees().await;
        agent.send_report(&agent.report(job, Outcome::Exited { code }, b"")).await;
        agent.answer().await;
        controller.results(&admin(), job, None).await.unwrap();
        agrees().await;
        jobs.push(job);
    }
    controller.submit(&admin(), submission(&fleet, host("web-02"))).await.unwrap();
    controller.delete(&keeper, jobs[0]).await.unwrap();
    eventually(async || counted(&controller).await[2] == (JobStatus::Completed, 1)).await;
    let figures = agrees().await;
    let of = |wanted| figures.jobs.into_iter().find(|(status, _)| *status == wanted).unwrap().1;
    let statuses = [JobStatus::Pending, JobStatus::Completed, JobStatus::Failed];
    assert_eq!(statuses.map(of), [1, 1, 1]);
    assert_eq!(figures.agents[0], (AgentState::Ready, 2));
    assert_eq!((figures.reports_stored, figures.ring_serial), (3, 1));
    assert_eq!((figures.denials, figures.agents_denied), (2, 3));
    assert!(figures.store_up && figures.bus_up && figures.ready && !figures.rolled_back);
    assert!(matches!(controller.figures(&admin()).await, Err(Error::Denied(_))));
}
