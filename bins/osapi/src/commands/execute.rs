//! `exec`, `shell`, `node get` and `job retry`: something is done on hosts, and its outcome is this program's.

use std::time::Duration;

use osapi_client::{Client, Command, JobOutcome, Surrounded};
use osapi_core::api::types::JobResults;
use osapi_core::id::JobId;
use osapi_core::job::{Exec, QueueFor, Shell, Surroundings, Target};
use serde::Serialize;

use super::attend::{self, Attended, Request};
use super::interrupt::Interrupts;
use super::output;
use crate::args::Format;
use crate::args::remote::{JobRetryArgs, NodeGetArgs};
use crate::args::run::{Run, RunArgs, What, check_queue_for};
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
pub(crate) async fn run(
    client: &Client,
    run: Run,
    interrupts: &mut Interrupts,
    screen: &mut Screen,
) -> Result<Exit> {
    let Run { what, options } = run;
    let (detach, format) = (options.detach, options.format);
    let asking = Asking { client, interrupts, screen, detach, format };
    match what {
        What::Exec(command) => asking.outcome(exec(client, &options, &command)).await,
        What::Shell(script) => asking.outcome(shell(client, &options, &script)).await,
    }
}

/// Asks hosts for their facts.
///
/// # Errors
/// When they cannot be asked, or what they said cannot be learned.
pub(crate) async fn facts(
    client: &Client,
    args: NodeGetArgs,
    interrupts: &mut Interrupts,
    screen: &mut Screen,
) -> Result<Exit> {
    check_queue_for(args.queue_for, &args.target)?;
    let asking = Asking { client, interrupts, screen, detach: false, format: args.format };
    asking.outcome(waiting(client.node(&args.target).facts(), args.queue_for)).await
}

/// Does again what a job did; its outcome is this program's.
///
/// # Errors
/// When nothing can be tried again, the server cannot be asked, or the outcome cannot be learned.
///
/// # Cancel safety
/// Dropping it ends the waiting, not the command.
pub(crate) async fn retry(
    client: &Client,
    args: &JobRetryArgs,
    interrupts: &mut Interrupts,
    screen: &mut Screen,
) -> Result<Exit> {
    let retry = client.job(args.id).retry().hosts(args.hosts());
    let retry = match args.queue_for {
        Some(time) => retry.queue_for(time.duration()),
        None => retry,
    };
    let (detach, format) = (args.detach, args.format);
    Asking { client, interrupts, screen, detach, format }.outcome(retry).await
}

/// Who asks for a job, and how the answer is given.
struct Asking<'a> {
    client: &'a Client,
    interrupts: &'a mut Interrupts,
    screen: &'a mut Screen,
    detach: bool,
    format: Format,
}

impl Asking<'_> {
    /// Makes the job of `request`, and shows its outcome unless that is not waited for.
    async fn outcome<R: Request>(self, request: R) -> Result<Exit> {
        let Self { client, interrupts, screen, detach, format } = self;
        if detach {
            return match interrupts.race(request.submit()).await {
                Ok(job) => detached(job?.id(), format, screen),
                Err(interrupt) => attend::leave(None, interrupt, screen),
            };
        }
        let outcome = match attend::attend(request, interrupts, screen).await? {
            Attended::Settled(outcome) => outcome,
            Attended::Left(exit) => return Ok(exit),
        };
        let job = outcome.job_id();
        // Long output is fetched, which takes its time too.
        match interrupts.race(show(client, outcome, format, screen)).await {
            Ok(exit) => exit,
            Err(interrupt) => {
                let text = format!("interrupted; 'osapi job get {job}' shows the outcome");
                screen.line(Side::Err, &text)?;
                Ok(interrupt.exit())
            }
        }
    }
}

/// How many hosts `target` means, if the token lets us know: it only helps to decide.
pub(crate) async fn count_hosts(client: &Client, target: &Target) -> Option<u32> {
    client.target(target).preview().await.ok().map(|preview| preview.count)
}

fn exec(client: &Client, options: &RunArgs, exec: &Exec) -> Command<Exec> {
    let command = client.node(&options.target).exec(&exec.command).args(&exec.args);
    waiting(surrounded(command, exec.surroundings()), options.queue_for)
}

fn shell(client: &Client, options: &RunArgs, shell: &Shell) -> Command<Shell> {
    let command = client.node(&options.target).shell(&shell.command);
    waiting(surrounded(command, shell.surroundings()), options.queue_for)
}

fn waiting<O>(command: Command<O>, queue_for: Option<QueueFor>) -> Command<O> {
    match queue_for {
        Some(time) => command.queue_for(time.duration()),
        None => command,
    }
}

fn surrounded<O: Surrounded>(command: Command<O>, asked: Surroundings<'_>) -> Command<O> {
    let Surroundings { cwd, env, timeout, stdin, user, umask, limits, keep_children } = asked;
    let command = command.envs(env).timeout(Duration::from_secs(timeout.into()));
    let command = command.limits(limits.clone());
    let command = if keep_children { command.keep_children() } else { command };
    let command = given(command, cwd, |command, cwd| command.cwd(cwd));
    let command = given(command, stdin, |command, stdin| command.stdin(stdin.clone()));
    let command = given(command, user.cloned(), Command::user);
    given(command, umask, Command::umask)
}

/// The command with `value`, if there is one.
fn given<O, T>(
    command: Command<O>,
    value: Option<T>,
    with: impl FnOnce(Command<O>, T) -> Command<O>,
) -> Command<O> {
    match value {
        Some(value) => with(command, value),
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
