//! `osapi-agent policy check`: what the policy says of a command, and why.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use osapi_core::executor::process::{Resolved, resolve};
use osapi_core::job::limits::TIMEOUT_DEFAULT_S;
use osapi_core::job::{Exec, Operation, Shell, Stdin, Submitter, Umask, UserName};
use osapi_service::fault::Fault;
use osapi_service::{duration, escape, startup};

use super::{DEFAULT_FILE, words};
use crate::policy::{self, Policy, Request, about, about_rule, load};

/// Exit code where the policy refuses it.
const REFUSED: u8 = 1;

/// Run it as the user that the agent runs as: what that one cannot reach is not found.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Configuration file of the agent [default: /etc/osapi/agent.yaml, if it exists]
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    file: Option<PathBuf>,
    /// The policy, instead of the one in force: a draft also has to be root's alone
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Who asks: the subject of the token
    #[arg(long, value_name = "SUBJECT", default_value = "")]
    subject: String,
    /// A role of the token; may be given again
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// The command is one script for /bin/sh
    #[arg(long, requires = "command")]
    shell: bool,
    /// The working directory that is asked for
    #[arg(long, value_name = "DIR")]
    cwd: Option<String>,
    /// A variable that is asked for; may be given again
    #[arg(short, long = "env", value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// The user as whom it is to run, by name or number
    #[arg(long, value_name = "USER")]
    user: Option<UserName>,
    /// The umask that is asked for, such as 0027
    #[arg(long, value_name = "MODE")]
    umask: Option<Umask>,
    /// Standard input is given
    #[arg(long)]
    stdin: bool,
    /// What it leaves in the background is to go on
    #[arg(long)]
    keep_children: bool,
    /// The timeout that is asked for, such as 5m
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// What is asked for; without it, only the policy itself is checked
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
}

pub(super) fn run(args: Args) -> ExitCode {
    match check(args) {
        Ok(Said { text, is_refused }) => {
            startup::say(&escape::bytes(text.as_bytes()));
            if is_refused { REFUSED.into() } else { ExitCode::SUCCESS }
        }
        Err(fault) => startup::end(Err(fault)),
    }
}

/// What is said of a command.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    text: String,
    is_refused: bool,
}

fn check(args: Args) -> Result<Said, Fault> {
    let named = match &args.policy {
        Some(path) => Some(path.clone()),
        None => startup::load(args.file.clone(), DEFAULT_FILE)?.config.agent.policy,
    };
    let policy = load(named.as_deref()).map_err(|error| words::no_policy(&error))?;
    let Some(policy) = policy else {
        let text = format!("allowed: there is no policy at '{}'", policy::DEFAULT_FILE);
        return Ok(Said { text, is_refused: false });
    };
    let Some(operation) = operation(&args)? else {
        let lines = [format!("the policy is valid: {} rules", policy.rules().len())];
        return Ok(Said { text: with_warnings(lines, about(&policy)), is_refused: false });
    };
    let submitter = Submitter { subject: args.subject, token_id: String::new(), roles: args.roles };
    Ok(match resolve(&operation) {
        Ok(resolved) => explain(&policy, &operation, &submitter, &resolved),
        Err(failure) => {
            Said { text: format!("refused, whatever the policy says: {failure}"), is_refused: true }
        }
    })
}

/// What is asked for, if anything is.
fn operation(args: &Args) -> Result<Option<Operation>, Fault> {
    let Some((command, rest)) = args.command.split_first() else { return Ok(None) };
    let env: BTreeMap<_, _> = args.env.iter().map(|text| variable(text)).collect();
    let (command, cwd) = (command.clone(), args.cwd.clone());
    let timeout = args.timeout.map_or(u64::from(TIMEOUT_DEFAULT_S), |timeout| timeout.as_secs());
    let timeout = u32::try_from(timeout).unwrap_or(u32::MAX);
    let stdin = args.stdin.then(|| Stdin::from(""));
    let (user, umask, keep_children) = (args.user.clone(), args.umask, args.keep_children);
    let operation = match (args.shell, rest) {
        (false, _) => {
            let args = rest.into();
            let exec = Exec { args, cwd, env, timeout, stdin, user, umask, ..Exec::new(command) };
            Operation::Exec(Exec { keep_children, ..exec })
        }
        (true, []) => {
            let shell = Shell { cwd, env, timeout, stdin, user, umask, ..Shell::new(command) };
            Operation::Shell(Shell { keep_children, ..shell })
        }
        (true, _) => return Err(Fault::usage("--shell takes one script: quote it")),
    };
    operation.validate().map_err(|error| Fault::usage(error.to_string()))?;
    Ok(Some(operation))
}

fn variable(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (name.to_owned(), value.to_owned())
}

fn explain(
    policy: &Policy,
    operation: &Operation,
    submitter: &Submitter,
    resolved: &Resolved,
) -> Said {
    let request = Request { operation, submitter, resolved: Some(resolved) };
    let decision = policy.decide(request);
    let first = match &decision {
        Ok(rule) => format!("allowed by rule '{}'", rule.name()),
        Err(failure) => format!("refused: {failure}"),
    };
    let program = resolved.program.as_ref().map(|path| format!("  program  {}", path.display()));
    let cwd = format!("  cwd      {}", resolved.cwd.display());
    let user = format!("  user     {}", resolved.user.name);
    let most = decision.as_ref().ok().and_then(|rule| rule.terms().max_output);
    let output = most.map(|bytes| format!("  output   at most {bytes} bytes kept of each stream"));
    let trials = policy.trials(request).into_iter().map(|(rule, said)| match said {
        Ok(()) => format!("  rule '{}': allows it", rule.name()),
        Err(mismatch) => format!("  rule '{}': {mismatch}", rule.name()),
    });
    let lines = [first].into_iter().chain(program).chain([cwd, user]).chain(output).chain(trials);
    let warnings = match &decision {
        Ok(rule) => about_rule(rule, Some(resolved)),
        Err(_) => about(policy),
    };
    Said { text: with_warnings(lines, warnings), is_refused: decision.is_err() }
}

fn with_warnings(
    lines: impl IntoIterator<Item = String>,
    warnings: impl IntoIterator<Item = String>,
) -> String {
    let warnings = warnings.into_iter().map(|warning| format!("warning: {warning}"));
    lines.into_iter().chain(warnings).collect::<Vec<_>>().join("\n")
}
