//! `exec`, `shell` and `node get`: something is done on hosts, and its outcome is this program's.

use std::collections::BTreeMap;
use std::time::Duration;

use osapi_client::{Client, Command, Error, Job, JobOutcome, Surrounded};
use osapi_core::api::types::JobResults;
use osapi_core::id::JobId;
use osapi_core::job::{Exec, Shell, Target};
use serde::Serialize;

use super::output;
use crate::args::Format;
use crate::args::remote::NodeGetArgs;
use crate::args::run::{Run, What};
use crate::error::Result;
use crate::exit::Exit;
use crate::render::{Screen, Side, outcome};

/// Runs a command on hosts; that it is meant was settled.
///
/// # Errors
/// When it cannot be sent, or its outcome cannot be learned.
///
/// # Cancel safety
/// Dropping it ends the waiting, not the command.
pub(crate) async fn run(client: &Client, run: Run, screen: &mut Screen) -> Result<Exit> {
    let Run { what, options } = run;
    if options.detach {
        let job = submit(client, what, &options.target).await?;
        return detached(job.id(), options.format, screen);
    }
    let outcome = send(client, what, &options.target).await?;
    show(client, outcome, options.format, screen).await
}

/// Asks hosts for their facts.
///
/// # Errors
/// When they cannot be asked, or what they said cannot be learned.
pub(crate) async fn facts(client: &Client, args: NodeGetArgs, screen: &mut Screen) -> Result<Exit> {
    let outcome = client.node(&args.target).facts().send().await?;
    show(client, outcome, args.format, screen).await
}

/// How many hosts `target` means, if the token lets us know: it only helps to decide.
pub(crate) async fn count_hosts(client: &Client, target: &Target) -> Option<u32> {
    client.target(target).preview().await.ok().map(|preview| preview.count)
}

async fn send(client: &Client, what: What, target: &Target) -> Result<JobOutcome, Error> {
    match what {
        What::Exec(command) => exec(client, target, command).send().await,
        What::Shell(script) => shell(client, target, script).send().await,
    }
}

async fn submit(client: &Client, what: What, target: &Target) -> Result<Job, Error> {
    match what {
        What::Exec(command) => exec(client, target, command).submit().await,
        What::Shell(script) => shell(client, target, script).submit().await,
    }
}

fn exec(client: &Client, target: &Target, exec: Exec) -> Command<Exec> {
    let Exec { command, args, cwd, env, timeout } = exec;
    surrounded(client.node(target).exec(command).args(args), cwd, env, timeout)
}

fn shell(client: &Client, target: &Target, shell: Shell) -> Command<Shell> {
    let Shell { command, cwd, env, timeout } = shell;
    surrounded(client.node(target).shell(command), cwd, env, timeout)
}

fn surrounded<O: Surrounded>(
    command: Command<O>,
    cwd: Option<String>,
    env: BTreeMap<String, String>,
    timeout: u32,
) -> Command<O> {
    let command = command.envs(env).timeout(Duration::from_secs(timeout.into()));
    match cwd {
        Some(cwd) => command.cwd(cwd),
        None => command,
    }
}

async fn show(
    client: &Client,
    outcome: JobOutcome,
    format: Format,
    screen: &mut Screen,
) -> Result<Exit> {
    let results: JobResults = outcome.into_results();
    let exit = Exit::of_all(&results.results);
    if format.json {
        screen.json(&results)?;
        return Ok(exit);
    }
    let hosts = output::complete(client, results.job_id, &results.results).await?;
    outcome::write(screen, results.job_id, &hosts)?;
    if hosts.len() > 1 {
        screen.line(Side::Err, &outcome::tally(&hosts))?;
    }
    Ok(exit)
}

fn detached(job_id: JobId, format: Format, screen: &mut Screen) -> Result<Exit> {
    #[derive(Serialize)]
    struct Detached {
        job_id: JobId,
    }
    if format.json {
        screen.json(&Detached { job_id })?;
    } else {
        screen.line(Side::Out, &job_id.to_string())?;
    }
    Ok(Exit::SUCCESS)
}
