//! Whom a target means, decided once by the controller on what it knows.

use super::*;
use crate::api::Code;
use crate::api::types::TargetPreview;

impl Fleet {
    /// An agent with these labels that was welcomed and said that it is ready.
    async fn labelled(&self, name: &str, labels: &[&str], controller: &Controller) -> Agent {
        let mut agent = self.agent(name).await;
        agent.labels = Labels::of(labels.iter().map(|label| label.parse().unwrap())).unwrap();
        agent.join(controller).await;
        agent
    }
}

impl Agent {
    async fn join(&mut self, controller: &Controller) {
        self.register().await;
        while !matches!(self.next().await, ToAgent::Welcome(_)) {}
        self.hello(&[], &[]).await;
        until_state(controller, &self.identity.name, AgentState::Ready).await;
    }
}

fn target(text: &str) -> Target {
    text.parse().unwrap()
}

fn names(preview: &TargetPreview) -> String {
    let names: Vec<_> = preview.hosts.iter().map(|host| host.name.as_str()).collect();
    names.join(" ")
}

async fn refused(controller: &Controller, fleet: &Fleet, text: &str) -> (Code, String) {
    let (target, admin) = (target(text), admin());
    let previewed = controller.preview(&admin, &target).await.unwrap_err().problem();
    let submitted = controller.submit(&admin, submission(fleet, target)).await.unwrap_err();
    assert_eq!(submitted.problem(), previewed, "a preview says what a job would");
    (previewed.code, previewed.detail)
}

#[tokio::test(start_paused = true)]
async fn a_job_is_for_the_hosts_that_its_target_means_and_for_no_other() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut dev = fleet.labelled("web-01", &["group=web.dev.us-east"], &controller).await;
    let mut prod = fleet.labelled("web-07", &["group=web.prod"], &controller).await;
    let mut device = fleet.labelled("cam-1", &["group=web-cam"], &controller).await;
    let job = controller
        .submit(&admin(), submission(&fleet, target("group:web,cam-*,!web-07")))
        .await
        .unwrap();
    for agent in [&mut dev, &mut device] {
        let order = agent.order().await;
        assert_eq!((order.job, order.hosts.count), (job, 2));
        agent.send_report(&agent.report(job, Outcome::Exited { code: 0 }, b"")).await;
    }
    let results = controller.results(&admin(), job, None).await.unwrap();
    let rows: Vec<_> = results.results.iter().map(|row| row.hostname.as_str()).collect();
    assert_eq!(rows, ["cam-1", "web-01"]);
    assert!(prod.inbox.try_next().is_none());
    let job = controller.details(&admin(), job, Duration::ZERO).await.unwrap();
    assert_eq!(job.summary.target, "group:web,cam-*,!web-07");
}

#[tokio::test(start_paused = true)]
async fn a_preview_tells_who_is_live_and_makes_no_job() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let _silent = fleet.labelled("db-01", &["env=prod"], &controller).await;
    tokio::time::advance(Duration::from_secs(31)).await;
    let _ready = fleet.labelled("db-02", &["env=prod"], &controller).await;
    let _other = fleet.labelled("web-01", &[], &controller).await;
    let agent = fleet.agent("db-03").await;
    agent.register().await;
    let wanted = target("env:prod,db-*");
    let look = async || controller.preview(&admin(), &wanted).await.unwrap();
    eventually(async || look().await.count == 3).await;
    let preview = look().await;
    assert_eq!((preview.count, preview.live, preview.ready), (3, 1, 1));
    let states: Vec<_> = preview.hosts.iter().map(|host| host.state).collect();
    assert_eq!(names(&preview), "db-01 db-02 db-03");
    assert_eq!(states, [AgentState::Silent, AgentState::Ready, AgentState::Silent]);
    assert_eq!(preview.target, "env:prod,db-*");
    let any = controller.preview(&admin(), &Target::Any).await.unwrap();
    assert_eq!((names(&any).as_str(), any.ready), ("db-02", 1));
    assert!(controller.list(&admin(), Default::default()).await.unwrap().jobs.is_empty());
    let denied = controller.preview(&Permit::for_tests("x", []), &Target::All).await;
    assert!(matches!(denied, Err(Error::Denied(_))));
}

#[tokio::test(start_paused = true)]
async fn a_name_that_nobody_has_is_an_error_wherever_it_stands() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let _one = fleet.labelled("web-01", &["env=prod"], &controller).await;
    for (text, said) in [
        ("web-1", "no host is named 'web-1'"),
        ("web-01,web-1", "no host is named 'web-1'"),
        ("_all,!web-1", "no host is named 'web-1'"),
        ("env:prod&!web-1", "no host is named 'web-1'"),
        ("web-01,a,b,c,d,e,f,g", "no host is named 'a', 'b', 'c', 'd', 'e' and 2 more"),
        ("web-01,web-01.exampel", "no host has the host name 'web-01.exampel'"),
    ] {
        let refused = refused(&controller, &fleet, text).await;
        assert_eq!(refused, (Code::HostNotFound, said.to_owned()), "{text}");
    }
    for (text, said) in [
        ("env:dev", "no host matches 'env:dev'"),
        ("db-*,web-[02-20]", "no host matches 'db-*,web-[02-20]'"),
        ("web-*,!env:*", "no host matches 'web-*,!env:*'"),
    ] {
        let refused = refused(&controller, &fleet, text).await;
        assert_eq!(refused, (Code::NoMatch, said.to_owned()), "{text}");
    }
    let preview = controller.preview(&admin(), &target("db-*,web-*,!env:dev")).await.unwrap();
    assert_eq!(names(&preview), "web-01", "a pattern that matches nothing beside others is fine");
}

#[tokio::test(start_paused = true)]
async fn a_host_name_with_dots_means_one_host() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut first = fleet.agent("web-01").await;
    let mut second = fleet.agent("web-02").await;
    first.hostname = "Web.Example.COM".into();
    second.hostname = "db.example.com".into();
    first.join(&controller).await;
    second.join(&controller).await;
    let preview = controller.preview(&admin(), &target("web.example.com")).await.unwrap();
    assert_eq!(names(&preview), "web-01");

    second.hostname = "web.example.com".into();
    second.join(&controller).await;
    for text in ["web.example.com", "_all,!web.example.com"] {
        let refused = refused(&controller, &fleet, text).await;
        let said = "several hosts have the host name 'web.example.com': 'web-01', 'web-02'; name the one that is meant";
        assert_eq!(refused, (Code::HostAmbiguous, said.to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn labels_that_an_agent_registers_anew_take_the_place_of_the_former() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut agent = fleet.labelled("web-01", &["env=dev"], &controller).await;
    let former = agent.registration();
    tokio::time::advance(Duration::from_secs(1)).await;
    agent.labels = Labels::of(["env=prod".parse().unwrap()]).unwrap();
    agent.join(&controller).await;
    let preview = controller.preview(&admin(), &target("env:prod")).await.unwrap();
    assert_eq!(names(&preview), "web-01");
    assert_eq!(refused(&controller, &fleet, "env:dev").await.0, Code::NoMatch);
    let info = controller.agent(&admin(), &agent.identity.name).await.unwrap();
    assert_eq!(info.labels, agent.labels);

    agent.work(&FromAgent::Register(former)).await;
    let mut other = fleet.agent("web-02").await;
    other.join(&controller).await;
    assert_eq!(
        refused(&controller, &fleet, "env:dev").await.0,
        Code::NoMatch,
        "what was said before does not come back when it is repeated"
    );
}
