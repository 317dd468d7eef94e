//! Parameters in paths and queries: one declaration parses them on the server and writes them on the client.

use std::time::Duration;

use crate::id::{AgentName, JobId};
use crate::job::limits::TARGET_MAX;
use crate::job::report::Stream;
use crate::job::target::InvalidTarget;
use crate::job::{Invalid, JobStatus, QueueFor, Target};

/// One parameter, for the documentation.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    /// Its name in the path template or the query.
    pub name: &'static str,
    /// What it means, and its bounds.
    pub about: &'static str,
    /// Its type in JSON Schema: `string` or `integer`.
    pub kind: &'static str,
    /// The only values that it may have; empty if any.
    pub values: &'static [&'static str],
}

impl Param {
    const fn text(name: &'static str, about: &'static str) -> Self {
        Self { name, about, kind: "string", values: &[] }
    }

    const fn integer(name: &'static str, about: &'static str) -> Self {
        Self { name, about, kind: "integer", values: &[] }
    }

    const fn one_of(
        name: &'static str,
        about: &'static str,
        values: &'static [&'static str],
    ) -> Self {
        Self { name, about, kind: "string", values }
    }
}

/// Decoded parameters as they arrived, in order.
pub type Pairs = Vec<(String, String)>;

/// A typed set of parameters.
pub trait Params: Sized + Send {
    /// What there is.
    const PARAMS: &'static [Param];

    /// Parses decoded name-value pairs. Unknown and repeated names are refused before this is called: see [`parse`].
    ///
    /// # Errors
    /// The parameter that is missing or wrong.
    fn from_pairs(pairs: &Pairs) -> Result<Self, Invalid>;

    /// The pairs that [`Params::from_pairs`] reads back to the same value.
    fn to_pairs(&self) -> Vec<(&'static str, String)>;
}

/// Parses `pairs`, which may hold each known name once and no other.
///
/// # Errors
/// The parameter that is unknown, repeated, missing or wrong.
pub fn parse<P: Params>(pairs: &Pairs) -> Result<P, Invalid> {
    for (n, (name, value)) in pairs.iter().enumerate() {
        if !P::PARAMS.iter().any(|param| param.name == name) {
            let known: Vec<_> = P::PARAMS.iter().map(|param| param.name).collect();
            let bound = if known.is_empty() {
                "absent: there are no parameters here".to_owned()
            } else {
                format!("one of the known parameters ({})", known.join(", "))
            };
            return Err(Invalid::new(name.as_str(), bound, format!("'{value}'")));
        }
        if pairs[..n].iter().any(|(earlier, _)| earlier == name) {
            return Err(Invalid::new(name.as_str(), "given once", "given again"));
        }
    }
    P::from_pairs(pairs)
}

fn find<'a>(pairs: &'a Pairs, name: &str) -> Option<&'a str> {
    pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

fn required<T>(pairs: &Pairs, name: &'static str, bound: &str) -> Result<T, Invalid>
where
    T: std::str::FromStr,
{
    let text = find(pairs, name).unwrap_or_default();
    text.parse().map_err(|_| Invalid::new(name, bound, format!("'{text}'")))
}

fn optional<T>(pairs: &Pairs, name: &'static str, bound: &str) -> Result<Option<T>, Invalid>
where
    T: std::str::FromStr,
{
    find(pairs, name).map(|_| required(pairs, name, bound)).transpose()
}

fn at_most(
    name: &'static str,
    value: Option<u32>,
    range: std::ops::RangeInclusive<u32>,
) -> Result<Option<u32>, Invalid> {
    match value {
        Some(value) if !range.contains(&value) => {
            Err(Invalid::new(name, format!("{} to {}", range.start(), range.end()), value))
        }
        _ => Ok(value),
    }
}

impl Params for () {
    const PARAMS: &'static [Param] = &[];
    fn from_pairs(_: &Pairs) -> Result<Self, Invalid> {
        Ok(())
    }
    fn to_pairs(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

/// `{target}` in a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetPath {
    /// Which hosts are meant.
    pub target: Target,
}

impl Params for TargetPath {
    const PARAMS: &'static [Param] = &[Param::text(
        "target",
        "which hosts: `_any`, `_all`, names, labels, globs and ranges, joined by `,` (or), `&` (and), `!` (not)",
    )];
    fn from_pairs(pairs: &Pairs) -> Result<Self, Invalid> {
        let text = find(pairs, "target").unwrap_or_default();
        let target: Target = text.parse().map_err(|err| {
            let bound = match err {
                InvalidTarget::TooLong(_) => format!("at most {TARGET_MAX} bytes"),
                InvalidTarget::Empty => {
                    "a target such as '_any', 'web-01' or 'group:web'".to_owned()
                }
                InvalidTarget::At { column, wrong } => {
                    format!("a target (column {column}: {wrong})")
                }
            };
            Invalid::new("target", bound, format!("'{text}'"))
        })?;
        Ok(Self { target })
    }
    fn to_pairs(&self) -> Vec<(&'static str, String)> {
        vec![("target", self.target.to_string())]
    }
}

/// `{id}` of a job in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobPath {
    /// The job.
    pub id: JobId,
}

impl Params for JobPath {
    const PARAMS: &'static [Param] = &[Param::text("id", "the job's id, a UUID version 7")];
    fn from_pairs(pairs: &Pairs) -> Result<Self, Invalid> {
        Ok(Self { id: required(pairs, "id", "a job id, which is a lower-case UUID version 7")? })
    }
    fn to_pairs(&self) -> Vec<(&'static str, String)> {
        vec![("id", self.id.to_string())]
    }
}

/// `{name}` of an agent in a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentPath {
    /// The agent.
    pub name: AgentName,
}

impl Params for AgentPath {
    const PARAMS: &'static [Param] = &[Param::text("name", "the agent's name")];
    fn from_pairs(pairs: &Pairs) -> Result<Self, Invalid> {
        Ok(Self {
            name: required(pairs, "name", "an agent name (1 to 63 letters, digits, '_' or '-')")?,
        })
    }
    fn to_pairs(&self) -> Vec<(&'static str, String)> {
        vec![("name", self.name.to_string())]
    }
}

/// One output stream of one host of a job, in a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputPath {
    /// The job.
    pub id: JobId,
    /// The host.
    pub host: AgentName,
    /// The stream.
    pub stream: Stream,
}

impl Params for OutputPath {
    const PARAMS: &'static [Param] = &[
        Param::text("id", "the job's id, a UUID version 7"),
        Param::text("host", "the agent's name"),
        Param::one_of("stream", "which stream", &["stdout", "stderr"]),
    ];
    fn from_pairs(pairs: &Pairs) -> Result<Self, Invalid> {
        let JobPath { id } = JobPath::from_pairs(pairs)?;
        let host = required(pairs, "host", "an agent name (1 to 63 letters, digits, '_' or '-')")?;
        let stream = match find(pairs, "stream").unwrap_or_default() {
            "stdout" => Stream::Stdout,
            "stderr" => Stream::Stderr,
            other => {
                return Err(Invalid::new("stream", "'stdout' or 'stderr'", format!("'{other}'")));
            }
        };
        Ok(Self { id, host, stream })
    }
    fn to_pairs(&self) -> Vec<(&'static str, String)> {
        let stream = match self.stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        vec![
            ("id", self.id.to_string()),
            ("host", self.host.to_string()),
            ("stream", stream.into()),
        ]
    }
}

/// The query of what creates a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WaitQuery {
    /// Seconds to wait for the outcome before answering 202; without it, until every host is settled.
    pub wait: Option<u32>,
}

impl WaitQuery {
    /// Longest `wait`, in seconds.
    pub const MAX: u32 = 3600;
}

impl Params for WaitQuery {
    const PARAMS: &'static [Param] = &[Param::integer(
        "wait",
        "seconds to wait for the outcome, 0 to 3600; when they have run out the answer is 202. Without it the answer waits until every host is settled",
    )];
    fn from_pairs(pairs: &Pairs) -> Result<Self, Invalid> {
        let wait = optional(pairs, "wait", "0 to 3600 seconds")?;
        Ok(Self { wait: at_most("wait", wait, 0..=Self::MAX)? })
    }
    fn to_pairs(&self) -> Vec<(&'static str, String)> {
        self.wait.iter().map(|wait| ("wait", wait.to_string())).collect()
    }
}

/// How a job that is made waits: for hosts, and for its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunQuery {
    /// As in [`WaitQuery`].
    pub wait: Option<u32>,
    /// How long hosts that are down are waited for; without it they are left out. Not with `_any`.
    pub queue_for: Option<QueueFor>,
}

impl Params for RunQuery {
    const PARAMS: &'static [Param] = &[
        WaitQuery::PARAMS[0],
        Param::integer(
            "queue_for",
            "seconds for which hosts that are down are waited for, 1 to 86400, instead of leaving them out; not with `_any`. Each host runs it once if it is back in time, and certainly never later",
        ),
    ];
    fn from_pairs(pairs: &Pairs) -> Result<Self, Invalid> {
        let WaitQuery { wait } = WaitQuery::from_pairs(pairs)?;
        let queue_for = optional(pairs, "queue_for", "1 to 86400 seconds")?;
        let queue_for = queue_for.map(|seconds| Duration::from_secs(seconds).try_into());
        Ok(Self { wait, queue_for: queue_for.transpose()? })
    }
    fn to_pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = WaitQuery { wait: self.wait }.to_pairs();
        pairs.extend(self.queue_for.map(|time| ("queue_for", time.seconds().to_string())));
        pairs
    }
}

/// The query of a look at a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FollowQuery {
    /// Seconds to wait for every host to settle; 0 without it.
    pub wait: Option<u32>,
}

impl Params for FollowQuery {
    const PARAMS: &'static [Param] = &[Param::integer(
        "wait",
        "seconds to wait for every host to settle, 0 to 3600; 0 by default. The answer then shows the job as it is",
    )];
    fn from_pairs(pairs: &Pairs) -> Result<Self, Invalid> {
        let WaitQuery { wait } = WaitQuery::from_pairs(pairs)?;
        Ok(Self { wait })
    }
    fn to_pairs(&self) -> Vec<(&'static str, String)> {
        WaitQuery { wait: self.wait }.to_pairs()
    }
}

/// The query of a list of jobs. Filters are joined by "and".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobsQuery {
    /// Most jobs in the answer, 1 to 500; 50 without it.
    pub limit: Option<u32>,
    /// Continue after this job: the `next` of the previous answer.
    pub cursor: Option<JobId>,
    /// Only jobs of this status.
    pub status: Option<JobStatus>,
    /// Only jobs of this operation: `exec`, `shell`, `facts` or `custom`.
    pub operation: Option<String>,
    /// Only jobs of this submitter.
    pub submitter: Option<String>,
    /// Only jobs for this host.
    pub host: Option<AgentName>,
}

impl JobsQuery {
    /// Jobs in an answer without `limit`.
    pub const LIMIT_DEFAULT: u32 = 50;
    /// Most jobs in an answer.
    pub const LIMIT_MAX: u32 = 500;
}

impl Params for JobsQuery {
    const PARAMS: &'static [Param] = &[
        Param::integer("limit", "most jobs in the answer, 1 to 500; 50 by default"),
        Param::text("cursor", "continue after this job: the `next` of the previous answer"),
        Param::one_of(
            "status",
            "only jobs of this status",
            &["pending", "running", "completed", "cancelled", "failed", "partial_failure"],
        ),
        Param::one_of(
            "operation",
            "only jobs of this operation",
            &["exec", "shell", "facts", "custom"],
        ),
        Param::text("submitter", "only jobs of this submitter"),
        Param::text("host", "only jobs for this host"),
    ];
    fn from_pairs(pairs: &Pairs) -> Result<Self, Invalid> {
        let limit = optional(pairs, "limit", "1 to 500")?;
        let statuses = "pending, running, completed, cancelled, failed or partial_failure";
        let operation: Option<String> = optional(pairs, "operation", "")?;
        if let Some(other) =
            operation.as_deref().filter(|word| !["exec", "shell", "facts", "custom"].contains(word))
        {
            return Err(Invalid::new(
                "operation",
                "exec, shell, facts or custom",
                format!("'{other}'"),
            ));
        }
        Ok(Self {
            limit: at_most("limit", limit, 1..=Self::LIMIT_MAX)?,
            cursor: optional(pairs, "cursor", "the `next` of an earlier answer")?,
            status: optional(pairs, "status", statuses)?,
            operation,
            submitter: optional(pairs, "submitter", "")?,
            host: optional(pairs, "host", "an agent name")?,
        })
    }
    fn to_pairs(&self) -> Vec<(&'static str, String)> {
        let pairs = [
            ("limit", self.limit.map(|limit| limit.to_string())),
            ("cursor", self.cursor.map(|id| id.to_string())),
            ("status", self.status.map(|status| status.to_string())),
            ("operation", self.operation.clone()),
            ("submitter", self.submitter.clone()),
            ("host", self.host.as_ref().map(ToString::to_string)),
        ];
        pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Pairs {
        list.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn pairs_read_back_to_the_same_query() {
        let query = JobsQuery {
            limit: Some(7),
            status: Some(JobStatus::Running),
            operation: Some("exec".into()),
            submitter: Some("a@b".into()),
            host: Some("web-01".parse().unwrap()),
            cursor: None,
        };
        let written: Pairs = query.to_pairs().into_iter().map(|(n, v)| (n.into(), v)).collect();
        assert_eq!(parse::<JobsQuery>(&written).unwrap(), query);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let text =
            |list: &[(&str, &str)]| parse::<JobsQuery>(&pairs(list)).unwrap_err().to_string();
        assert_eq!(text(&[("limit", "0")]), "limit must be 1 to 500, not 0");
        assert!(
            text(&[("limt", "1")])
                .starts_with("limt must be one of the known parameters (limit, cursor")
        );
        assert_eq!(
            text(&[("limit", "1"), ("limit", "2")]),
            "limit must be given once, not given again"
        );
        assert!(text(&[("operation", "run")]).starts_with("operation must be exec"));
        let wait = parse::<WaitQuery>(&pairs(&[("wait", "abc")])).unwrap_err().to_string();
        assert_eq!(wait, "wait must be 0 to 3600 seconds, not 'abc'");
        for (text, wrong) in [
            ("soon", "queue_for must be 1 to 86400 seconds, not 'soon'"),
            ("0", "queue_for must be 1 to 86400 seconds, not 0"),
            ("90000", "queue_for must be 1 to 86400 seconds, not 90000"),
        ] {
            let error = parse::<RunQuery>(&pairs(&[("queue_for", text)])).unwrap_err();
            assert_eq!(error.to_string(), wrong);
        }
    }

    #[test]
    fn a_run_waits_for_hosts_and_for_its_outcome() {
        let query = RunQuery {
            wait: Some(5),
            queue_for: Some(Duration::from_secs(7200).try_into().unwrap()),
        };
        let written = query.to_pairs();
        assert_eq!(written, [("wait", "5".to_owned()), ("queue_for", "7200".to_owned())]);
        let written: Pairs = written.into_iter().map(|(n, v)| (n.into(), v)).collect();
        assert_eq!(parse::<RunQuery>(&written).unwrap(), query);
        assert_eq!(parse::<RunQuery>(&pairs(&[])).unwrap(), RunQuery::default());
    }
}
