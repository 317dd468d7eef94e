//! The commands that ask an API server, by what they are about.

use clap::{Args, Subcommand};
use osapi_core::api::Endpoint as _;
use osapi_core::api::endpoints::{
    AgentDelete, AgentGet, AgentsList, CommandExec, CommandShell, HealthDetails, HealthGet,
    HealthReady, JobCancel, JobDelete, JobGet, JobOutput, JobRetry, JobsList, NodeGet, TargetGet,
};
use osapi_core::api::params::JobsQuery;
use osapi_core::id::{AgentName, JobId};
use osapi_core::job::{JobStatus, QueueFor, RetryHosts, Target};

use super::Format;
use super::bytes::ByteRange;
use super::duration::{Wait, queue_for};
use super::key::{KeyCommand, StoreCommand};
use super::nats::InviteArgs;
use super::run::{ExecLongArgs, ShellLongArgs};
use super::target::{HELP, target};
use crate::exit;

/// What there is to ask about.
#[derive(Debug, Subcommand)]
pub(crate) enum Remote {
    /// Hosts: their facts, and commands on them
    #[command(subcommand)]
    Node(NodeCommand),
    /// Jobs: what was asked, and what became of it
    #[command(subcommand)]
    Job(JobGroup),
    /// Agents: the hosts that can be given work
    #[command(subcommand)]
    Agent(AgentGroup),
    /// Targets: which hosts they mean
    #[command(subcommand)]
    Target(TargetCommand),
    /// Keys: which are valid, and changing that
    #[command(subcommand)]
    Key(KeyCommand),
    /// The store behind the servers
    #[command(subcommand)]
    Store(StoreCommand),
    #[command(about = HealthGet::INFO.summary)]
    Health(HealthArgs),
}

/// `node ..`
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    #[command(about = NodeGet::INFO.summary)]
    Get(NodeGetArgs),
    /// Run commands
    #[command(subcommand)]
    Command(CommandCommand),
}

/// `node command ..`
#[derive(Debug, Subcommand)]
pub(crate) enum CommandCommand {
    #[command(about = CommandExec::INFO.summary, after_help = exit::TABLE)]
    Exec(ExecLongArgs),
    #[command(about = CommandShell::INFO.summary, after_help = exit::TABLE)]
    Shell(ShellLongArgs),
}

/// Options of `node get`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct NodeGetArgs {
    #[arg(short = 'T', visible_short_alias = 't', long, default_value = Target::ANY, value_parser = target, help = HELP)]
    pub(crate) target: Target,
    /// Wait so long for hosts that are down, 1 second to 24 hours: 30, 90m, 2h
    #[arg(long, value_name = "TIME", value_parser = queue_for)]
    pub(crate) queue_for: Option<QueueFor>,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// `job ..`
#[derive(Debug, Subcommand)]
pub(crate) enum JobGroup {
    #[command(flatten)]
    Ask(JobCommand),
    #[command(about = JobRetry::INFO.summary, after_help = exit::TABLE)]
    Retry(JobRetryArgs),
}

/// `job ..`, where the answer is no outcome of this program's own.
#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    #[command(about = JobsList::INFO.summary)]
    List(JobListArgs),
    #[command(about = JobGet::INFO.summary)]
    Get(JobGetArgs),
    #[command(about = JobOutput::INFO.summary)]
    Output(JobOutputArgs),
    #[command(about = JobCancel::INFO.summary)]
    Cancel(JobArgs),
    #[command(about = JobDelete::INFO.summary)]
    Delete(JobArgs),
}

impl JobCommand {
    /// How its answer is written.
    pub(crate) fn format(&self) -> Format {
        match self {
            Self::List(args) => args.format,
            Self::Get(args) => args.format,
            Self::Output(args) => Format { json: false, raw: args.raw },
            Self::Cancel(args) | Self::Delete(args) => args.format,
        }
    }
}

/// Options of `job list`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct JobListArgs {
    /// Most jobs to show, 1 to 500
    #[arg(long, value_name = "N", default_value_t = JobsQuery::LIMIT_DEFAULT,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(JobsQuery::LIMIT_MAX)))]
    pub(crate) limit: u32,
    /// Continue after this job, the last one of an earlier list
    #[arg(long, value_name = "JOB")]
    pub(crate) cursor: Option<JobId>,
    /// Only jobs of this status
    #[arg(long)]
    pub(crate) status: Option<JobStatus>,
    /// Only jobs of this operation
    #[arg(long, value_parser = ["exec", "shell", "facts", "custom"])]
    pub(crate) operation: Option<String>,
    /// Only jobs of this submitter
    #[arg(long, value_name = "SUBJECT")]
    pub(crate) submitter: Option<String>,
    /// Only jobs for this host
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<AgentName>,
    #[command(flatten)]
    pub(crate) format: Format,
}

impl JobListArgs {
    /// The query that it stands for.
    pub(crate) fn query(&self) -> JobsQuery {
        JobsQuery {
            limit: Some(self.limit),
            cursor: self.cursor,
            status: self.status,
            operation: self.operation.clone(),
            submitter: self.submitter.clone(),
            host: self.host.clone(),
        }
    }
}

/// Options of `job get`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct JobGetArgs {
    /// The job's id
    #[arg(value_name = "JOB")]
    pub(crate) id: JobId,
    /// Wait this long for every host to settle, at most an hour: 30, 5m
    #[arg(long, value_name = "TIME")]
    pub(crate) wait: Option<Wait>,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// Options of `job output`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct JobOutputArgs {
    /// The job's id
    #[arg(value_name = "JOB")]
    pub(crate) id: JobId,
    /// The name of one of its hosts
    pub(crate) host: AgentName,
    /// Standard error instead of standard output
    #[arg(long)]
    pub(crate) stderr: bool,
    /// Only these of the kept bytes, counted from 0: 0-1023, 1024- (from there on), -1024 (the last ones)
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub(crate) range: Option<ByteRange>,
    /// Leave control characters as they are, also on a terminal
    #[arg(long)]
    pub(crate) raw: bool,
}

/// Options of commands on one job.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct JobArgs {
    /// The job's id
    #[arg(value_name = "JOB")]
    pub(crate) id: JobId,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// Options of `job retry`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct JobRetryArgs {
    /// The job's id
    #[arg(value_name = "JOB")]
    pub(crate) id: JobId,
    /// Also on hosts where it may have succeeded: lost, no_answer
    #[arg(long)]
    include_unknown: bool,
    /// On all of its hosts, also where it succeeded
    #[arg(long, conflicts_with = "include_unknown")]
    all: bool,
    /// Wait so long for hosts that are down, 1 second to 24 hours: 30, 90m, 2h
    #[arg(long, value_name = "TIME", value_parser = queue_for)]
    pub(crate) queue_for: Option<QueueFor>,
    /// Do not wait; print the new job's id and leave
    #[arg(long)]
    pub(crate) detach: bool,
    #[command(flatten)]
    pub(crate) format: Format,
}

impl JobRetryArgs {
    /// The hosts that are meant.
    pub(crate) fn hosts(&self) -> RetryHosts {
        match (self.all, self.include_unknown) {
            (true, _) => RetryHosts::All,
            (false, true) => RetryHosts::UnsuccessfulOrUnknown,
            (false, false) => RetryHosts::Unsuccessful,
        }
    }
}

/// `agent ..`
#[derive(Debug, Subcommand)]
pub(crate) enum AgentGroup {
    #[command(flatten)]
    Ask(AgentCommand),
    /// Write a file with which a host joins the fleet; made here, with the keys in the data directory, and no server is asked
    Invite(InviteArgs),
}

/// `agent ..`, where a server is asked.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    #[command(about = AgentsList::INFO.summary)]
    List(AgentListArgs),
    #[command(about = AgentGet::INFO.summary)]
    Get(AgentGetArgs),
    /// Show the keys of an agent, and the one that was refused under its name, to be compared with what its host says
    Key(AgentGetArgs),
    #[command(about = AgentDelete::INFO.summary)]
    Remove(AgentRemoveArgs),
}

impl AgentCommand {
    /// How its answer is written.
    pub(crate) fn format(&self) -> Format {
        match self {
            Self::List(args) => args.format,
            Self::Get(args) | Self::Key(args) => args.format,
            Self::Remove(_) => Format::default(),
        }
    }
}

/// Options of `agent list`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct AgentListArgs {
    #[command(flatten)]
    pub(crate) format: Format,
}

/// Options of `agent get` and `agent key`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct AgentGetArgs {
    /// The agent's name
    pub(crate) name: AgentName,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// Options of `agent remove`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct AgentRemoveArgs {
    /// The agent's name
    pub(crate) name: AgentName,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// `target ..`
#[derive(Debug, Subcommand)]
pub(crate) enum TargetCommand {
    #[command(about = TargetGet::INFO.summary)]
    Preview(TargetPreviewArgs),
}

impl TargetCommand {
    /// How its answer is written.
    pub(crate) fn format(&self) -> Format {
        match self {
            Self::Preview(args) => args.format,
        }
    }
}

/// Options of `target preview`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct TargetPreviewArgs {
    #[arg(value_parser = target, help = HELP)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// Options of `health`.
#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    #[command(subcommand)]
    pub(crate) what: Option<HealthCommand>,
    /// Print the API's JSON
    #[arg(short, long, global = true)]
    pub(crate) json: bool,
}

/// `health ..`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub(crate) enum HealthCommand {
    #[command(about = HealthDetails::INFO.summary)]
    Status,
    #[command(about = HealthReady::INFO.summary)]
    Ready,
}
