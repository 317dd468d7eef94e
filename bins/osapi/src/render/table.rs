//! Aligned columns without borders. Cells may be others' words: each stays on its line and moves no cursor.

use std::collections::BTreeMap;

use comfy_table::{Table, presets};
use osapi_core::api::types::{AgentInfo, JobDetails, JobSummary, KeyList, TargetHost};
use osapi_core::id::JobId;
use osapi_core::job::{AgentFacts, ClaimRule, Operation, Resource, Stdin};

use super::{escape, excerpt, time};

/// Jobs, as `job list` shows them.
pub(crate) fn jobs(jobs: &[JobSummary]) -> String {
    let head = ["JOB", "STATUS", "OPERATION", "TARGET", "HOSTS", "SUBMITTER", "CREATED"];
    let rows = jobs.iter().map(|job| {
        vec![
            job.job_id.to_string(),
            job.status.to_string(),
            job.kind.clone(),
            excerpt::of(&job.target, excerpt::TARGET),
            counts(&job.hosts),
            job.submitter.clone(),
            time::moment(job.created_at),
        ]
    });
    columns(&head, rows)
}

/// Agents, as `agent list` shows them.
pub(crate) fn agents(agents: &[AgentInfo]) -> String {
    let head = [
        "NAME",
        "STATE",
        "RUNNING",
        "WAITING",
        "SLOTS",
        "LIMITS",
        "VERSION",
        "LAST HEARD",
        "HOST",
        "LABELS",
    ];
    let rows = agents.iter().map(|agent| {
        vec![
            agent.name.to_string(),
            state(agent),
            agent.running.to_string(),
            agent.waiting.to_string(),
            agent.slots.map_or_else(|| "-".into(), |slots| slots.to_string()),
            group_limits(agent),
            agent.version.clone(),
            agent.last_heard.map_or_else(|| "never".into(), time::moment),
            agent.hostname.clone(),
            labels(agent),
        ]
    });
    columns(&head, rows)
}

/// The state, that another key wants the name, and that the broker denies the agent something.
fn state(agent: &AgentInfo) -> String {
    let refused = if agent.refused_key.is_some() { " (key refused)" } else { "" };
    let denied = if agent.denied > 0 { " (denied)" } else { "" };
    format!("{}{refused}{denied}", agent.state.as_str())
}

/// What the host can limit beside what every Linux can: `memory,cpu,pids`.
fn group_limits(agent: &AgentInfo) -> String {
    listed(agent.facts.limits.iter().map(|limit| limit.as_str().to_owned()))
}

/// The labels as they are given: `env=prod,group=web.dev`.
fn labels(agent: &AgentInfo) -> String {
    listed(agent.labels.iter().map(|(key, value)| format!("{key}={value}")))
}

fn listed(words: impl Iterator<Item = String>) -> String {
    let words: Vec<_> = words.collect();
    if words.is_empty() { "-".into() } else { words.join(",") }
}

/// One agent, as `agent get` shows it.
pub(crate) fn agent(agent: &AgentInfo) -> String {
    let AgentFacts { os, kernel, architecture, cpus, memory_total_bytes, limits } = &agent.facts;
    pairs([
        ("name", agent.name.to_string()),
        ("state", agent.state.as_str().to_owned()),
        ("host", agent.hostname.clone()),
        ("labels", labels(agent)),
        ("system", os.name.clone()),
        ("kernel", format!("{kernel} {architecture}")),
        ("processors", cpus.to_string()),
        ("memory", format!("{} MiB", memory_total_bytes >> 20)),
        ("can limit", can_limit(limits)),
        ("version", agent.version.clone()),
        ("key", agent.key_id.clone()),
        ("registered", time::moment(agent.registered_at)),
        ("last heard", agent.last_heard.map_or_else(|| "never".into(), time::moment)),
        ("slots", agent.slots.map_or_else(|| "-".into(), |slots| slots.to_string())),
        ("running", agent.running.to_string()),
        ("waiting", agent.waiting.to_string()),
        ("refused", refused(agent)),
        ("denied", agent.denied.to_string()),
    ])
}

/// What the host can limit of a command: what every Linux can, and what its control groups add.
fn can_limit(by_groups: &[Resource]) -> String {
    let always = Resource::ALL.into_iter().filter(|resource| resource.controller().is_none());
    let names: Vec<_> = always.chain(by_groups.iter().copied()).map(Resource::as_str).collect();
    names.join(" ")
}

/// An agent's keys, as `agent key` shows them and as its host does.
pub(crate) fn agent_key(agent: &AgentInfo) -> String {
    pairs([
        ("name", agent.name.to_string()),
        ("key", agent.key_id.clone()),
        ("signing key", agent.key.to_string()),
        ("sealing key", agent.sealing_key.to_string()),
        ("registered", time::moment(agent.registered_at)),
        ("refused", refused(agent)),
    ])
}

/// The key that asked for the agent's name and was not let in.
fn refused(agent: &AgentInfo) -> String {
    match &agent.refused_key {
        Some(refused) => format!("key {} at {}", refused.key_id, time::moment(refused.at)),
        None => "-".into(),
    }
}

/// Hosts, as `target preview` shows them.
pub(crate) fn hosts(hosts: &[TargetHost]) -> String {
    let rows = hosts.iter().map(|host| vec![host.name.to_string(), host.state.as_str().to_owned()]);
    columns(&["NAME", "STATE"], rows)
}

/// What `job get` shows before the results.
pub(crate) fn job(job: &JobDetails) -> String {
    let summary = &job.summary;
    let operation = match &job.operation {
        Some(operation) => super::outcome::operation(operation),
        None => format!("{} (not shown: you may not see it)", summary.kind),
    };
    let given = job.operation.as_ref().and_then(Operation::surroundings);
    let mut text = pairs(
        [
            Some(("job", summary.job_id.to_string())),
            Some(("status", summary.status.to_string())),
            Some(("operation", operation)),
            given.and_then(|given| Some(("user", given.user?.to_string()))),
            given.and_then(|given| Some(("umask", given.umask?.to_string()))),
            given.and_then(|given| Some(("input", size(given.stdin?)))),
            given
                .filter(|given| !given.limits.is_empty())
                .map(|given| ("limits", given.limits.to_string())),
            given.filter(|given| given.keep_children).map(|_| ("children", "go on".to_owned())),
            Some(("target", summary.target.clone())),
            Some(("hosts", counts(&summary.hosts))),
            Some(("submitter", summary.submitter.clone())),
            Some(("created", time::moment(summary.created_at))),
            Some(("starts before", time::moment(summary.not_after))),
            waits(job).map(|text| ("waits", text)),
            job.retry_of.map(|id| ("retry of", id.to_string())),
            (!job.retries.is_empty()).then(|| ("retried by", ids(&job.retries))),
            Some(("request", job.request_id.clone())),
        ]
        .into_iter()
        .flatten(),
    );
    text.push('\n');
    let events = job.timeline.iter().map(|event| {
        let host = event.hostname.as_ref().map(ToString::to_string).unwrap_or_default();
        vec![event.at.to_string(), event.event.clone(), host]
    });
    text.push_str(&columns(&["TIME", "EVENT", "HOST"], events));
    text
}

fn size(stdin: &Stdin) -> String {
    time::count(stdin.as_bytes().len() as u64, "byte")
}

fn ids(jobs: &[JobId]) -> String {
    jobs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// For whom it waits, if it does.
fn waits(job: &JobDetails) -> Option<String> {
    match job.claim {
        ClaimRule::Host => Some("for hosts that are down, until then".into()),
        ClaimRule::None | ClaimRule::Job => None,
    }
}

/// The valid keys, as `key list` shows them.
pub(crate) fn keys(list: &KeyList) -> String {
    let rows = list.keys.iter().map(|key| {
        vec![
            key.key_id.clone(),
            key.usage.as_str().to_owned(),
            key.open_jobs.map_or_else(|| "-".into(), |count| count.to_string()),
            if key.is_signing { "yes" } else { "-" }.into(),
        ]
    });
    let ring = format!("key ring {} of {}\n\n", list.serial, time::moment(list.at));
    ring + &columns(&["KEY", "USE", "OPEN JOBS", "SIGNING"], rows)
}

/// Names and values, one pair per line.
pub(crate) fn pairs<N: AsRef<str>>(pairs: impl IntoIterator<Item = (N, String)>) -> String {
    let mut table = empty();
    for (name, value) in pairs {
        table.add_row([escape::line(name.as_ref()), escape::line(&value)]);
    }
    lines(&table)
}

/// How many there are of each: `2 failed, 5 succeeded`.
pub(crate) fn counts(counts: &BTreeMap<String, u32>) -> String {
    let parts: Vec<_> = counts
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(word, count)| format!("{count} {word}"))
        .collect();
    if parts.is_empty() { "none".into() } else { parts.join(", ") }
}

fn columns(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = empty();
    table.add_row(head);
    for row in rows {
        table.add_row(row.iter().map(|cell| escape::line(cell)));
    }
    lines(&table)
}

fn empty() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

/// The table without the padding at its edges.
fn lines(table: &Table) -> String {
    table
        .lines()
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(&line).trim_end()))
        .collect()
}

#[cfg(test)]
mod tests {
    use osapi_core::api::types::AgentState;
    use osapi_core::clock::Timestamp;
    use osapi_core::id::{PublicKey, SealingKey};
    use osapi_core::job::{JobStatus, Labels};

    use super::*;

    fn summary(status: JobStatus, submitter: &str) -> JobSummary {
        let at = Timestamp::from_unix_millis(1_790_000_000_123);
        JobSummary {
            job_id: "01a0c4c0-9c00-7000-8000-000000000001".parse().unwrap(),
            status,
            kind: "exec".into(),
            target: "_all".into(),
            submitter: submitter.into(),
            created_at: at,
            not_after: at,
            hosts: BTreeMap::from([("succeeded".into(), 2), ("failed".into(), 1)]),
        }
    }

    #[test]
    fn jobs_are_aligned_columns() {
        let text = jobs(&[summary(JobStatus::PartialFailure, "ann@example.com")]);
        assert_eq!(
            text,
            "\
JOB                                   STATUS           OPERATION  TARGET  HOSTS                  SUBMITTER        CREATED
01a0c4c0-9c00-7000-8000-000000000001  partial_failure  exec       _all    1 failed, 2 succeeded  ann@example.com  2026-09-21 14:13:20Z
"
        );
    }

    #[test]
    fn a_cell_stays_on_its_line() {
        let text = jobs(&[summary(JobStatus::Running, "a\nb\x1b[2J\u{202e}")]);
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains("a\\nb\\x1b[2J\\u{202e}"), "{text}");
    }

    #[test]
    fn hosts_that_can_limit_less_than_others_are_seen_among_them() {
        let silent = silent_agent();
        let limits = vec![Resource::MemoryBytes, Resource::CpuMillis, Resource::Pids];
        let facts = AgentFacts { limits, ..AgentFacts::default() };
        let able = AgentInfo { name: "web-02".parse().unwrap(), facts, ..silent.clone() };
        let text = agents(&[silent, able]);
        let cells = text.lines().map(|line| line.split_whitespace().nth(5).unwrap());
        assert_eq!(cells.collect::<Vec<_>>(), ["LIMITS", "-", "memory,cpu,pids"]);
    }

    fn silent_agent() -> AgentInfo {
        AgentInfo {
            name: "web-01".parse().unwrap(),
            state: AgentState::Silent,
            hostname: "web-01.example.com".into(),
            version: "0.1.0".into(),
            labels: Labels::of(["group=web.dev", "env=prod"].map(|text| text.parse().unwrap()))
                .unwrap(),
            facts: AgentFacts::default(),
            key_id: "k4.pid.x".into(),
            key: PublicKey::from_bytes([1; 32]),
            sealing_key: SealingKey::from_bytes([1; 32]),
            registered_at: Timestamp::from_unix_millis(1_790_000_000_123),
            last_heard: None,
            slots: None,
            running: 0,
            waiting: 0,
            refused_key: None,
            denied: 0,
        }
    }

    #[test]
    fn an_agent_that_was_never_heard_says_so() {
        assert_eq!(
            agents(&[silent_agent()]),
            "\
NAME    STATE   RUNNING  WAITING  SLOTS  LIMITS  VERSION  LAST HEARD  HOST                LABELS
web-01  silent  0        0        -      -       0.1.0    never       web-01.example.com  env=prod,group=web.dev
"
        );
    }
}
