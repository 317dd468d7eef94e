//! What each command does: asks, and hands the answer to be rendered.

mod agent;
mod attend;
mod client;
mod confirm;
mod connect;
mod execute;
mod health;
mod hint;
mod interrupt;
mod invite;
mod job;
mod key;
mod local;
mod nats;
mod output;
mod start;
mod store;
mod target;
mod token;

use std::io;

use osapi_agent::prepare_this_process;
use osapi_service::config::Log;
use osapi_service::datadir::{self, Layout};
use osapi_service::startup;
use tokio::runtime::{Builder, Runtime};

use crate::args::key::{KeyCommand, StoreCommand};
use crate::args::remote::{AgentCommand, AgentGroup, CommandCommand, JobGroup, NodeCommand};
use crate::args::run::Run;
use crate::args::{Cli, Command, Global, NatsCommand, Remote};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::render::Screen;
use interrupt::Interrupts;

/// Does what was typed.
///
/// # Errors
/// Whatever keeps it from being done. How commands on hosts end is no error but the exit code.
pub(crate) fn run(cli: Cli) -> Result<Exit> {
    let Cli { global, command } = cli;
    match command {
        Command::Exec(args) => execute(args.into_run()?, &global),
        Command::Shell(args) => execute(args.into_run()?, &global),
        Command::Remote(remote) | Command::Client(remote) => self::remote(remote, &global),
        Command::Token(command) => token::run(command, &global, &mut Screen::standard(false)),
        Command::Nats(NatsCommand::Config(args)) => {
            nats::config(args, &layout(&global)?, &mut Screen::standard(false))
        }
        Command::Start(args) => {
            let mut screen = Screen::standard(false);
            node_runtime()?.block_on(start::run(args, &global, &mut screen))
        }
    }
}

fn remote(remote: Remote, global: &Global) -> Result<Exit> {
    match remote {
        Remote::Node(NodeCommand::Command(CommandCommand::Exec(args))) => {
            execute(args.into_run()?, global)
        }
        Remote::Node(NodeCommand::Command(CommandCommand::Shell(args))) => {
            execute(args.into_run()?, global)
        }
        Remote::Node(NodeCommand::Get(args)) => {
            let (runtime, client) = (client_runtime(global)?, client::with_token(global)?);
            let mut screen = Screen::standard(args.format.raw);
            attended(&runtime, async |interrupts| {
                execute::facts(&client, args, interrupts, &mut screen).await
            })
        }
        Remote::Job(JobGroup::Retry(args)) => {
            let (runtime, client) = (client_runtime(global)?, client::with_token(global)?);
            let mut screen = Screen::standard(args.format.raw);
            attended(&runtime, async |interrupts| {
                execute::retry(&client, &args, interrupts, &mut screen).await
            })
        }
        Remote::Job(JobGroup::Ask(command)) => {
            let (runtime, client) = (client_runtime(global)?, client::with_token(global)?);
            let mut screen = Screen::standard(command.format().raw);
            wait(&runtime, job::run(&client, command, &mut screen))
        }
        Remote::Agent(AgentGroup::Invite(args)) => {
            invite::run(args, &layout(global)?, &mut Screen::standard(false))
        }
        Remote::Agent(AgentGroup::Ask(command)) => {
            let (runtime, client) = (client_runtime(global)?, client::with_token(global)?);
            if let AgentCommand::Remove(args) = &command {
                let question = || runtime.block_on(agent::question(&client, &args.name));
                confirm::meant(args.yes, "the removal of an agent", question)?;
            }
            let mut screen = Screen::standard(command.format().raw);
            wait(&runtime, agent::run(&client, command, &mut screen))
        }
        Remote::Target(command) => {
            let (runtime, client) = (client_runtime(global)?, client::with_token(global)?);
            let mut screen = Screen::standard(command.format().raw);
            wait(&runtime, target::run(&client, command, &mut screen))
        }
        Remote::Key(command) => keys(command, global),
        Remote::Store(StoreCommand::AcceptRestore(args)) => {
            let (runtime, client) = (client_runtime(global)?, client::with_token(global)?);
            let layout = layout(global)?;
            let question = runtime.block_on(store::question(&client))?;
            confirm::meant(args.yes, "accepting a restored store", || question)?;
            let mut screen = Screen::standard(false);
            wait(&runtime, store::accept_restore(&client, &layout, &mut screen))
        }
        Remote::Health(args) => {
            let mut screen = Screen::standard(false);
            wait(&client_runtime(global)?, health::run(&args, global, &mut screen))
        }
    }
}

fn keys(command: KeyCommand, global: &Global) -> Result<Exit> {
    let (runtime, client) = (client_runtime(global)?, client::with_token(global)?);
    match command {
        KeyCommand::List(args) => {
            let mut screen = Screen::standard(args.format.raw);
            wait(&runtime, key::list(&client, args, &mut screen))
        }
        KeyCommand::Rotate(args) => {
            let (usage, layout) = (args.usage.key_use(), layout(global)?);
            let mut screen = Screen::standard(false);
            wait(&runtime, key::rotate(&client, usage, &layout, &mut screen))
        }
        KeyCommand::Retire(args) => {
            let ring = runtime.block_on(key::Ring::open(&client, &layout(global)?))?;
            let question = ring.question(&args.key_id)?;
            confirm::meant(args.yes, "retiring a key", || question)?;
            let mut screen = Screen::standard(false);
            wait(&runtime, key::retire(&client, ring, &args.key_id, &mut screen))
        }
    }
}

fn execute(run: Run, global: &Global) -> Result<Exit> {
    let mut screen = Screen::standard(run.options.format.raw);
    if run.options.local {
        return node_runtime()?.block_on(local::run(run, global, &mut screen));
    }
    let (runtime, client) = (client_runtime(global)?, client::with_token(global)?);
    // Outside of the runtime, and before signals are taken over: Ctrl-C ends a question.
    let target = &run.options.target;
    confirm::settle(&run, || runtime.block_on(execute::count_hosts(&client, target)))?;
    attended(&runtime, async |interrupts| execute::run(&client, run, interrupts, &mut screen).await)
}

/// Waits for an answer. Ctrl-C ends the waiting; what was asked for goes on.
fn wait(runtime: &Runtime, answer: impl Future<Output = Result<Exit>>) -> Result<Exit> {
    let waited =
        runtime.block_on(async { Ok::<_, CliError>(Interrupts::catch()?.race(answer).await) })?;
    waited.unwrap_or_else(|interrupt| attend::leave(None, interrupt, &mut Screen::standard(false)))
}

/// Waits for the outcome of a job. What Ctrl-C does is decided there.
fn attended(
    runtime: &Runtime,
    outcome: impl AsyncFnOnce(&mut Interrupts) -> Result<Exit>,
) -> Result<Exit> {
    runtime.block_on(async { outcome(&mut Interrupts::catch()?).await })
}

/// The runtime for asking a server: one thread, which is up at once.
fn client_runtime(global: &Global) -> Result<Runtime> {
    if global.debug {
        startup::log(&Log::default(), true)?;
    }
    runtime(Builder::new_current_thread().enable_all().build())
}

/// The runtime for a node, after this process was prepared for starting commands.
fn node_runtime() -> Result<Runtime> {
    prepare_this_process()
        .map_err(|error| CliError::because("cannot run commands on this machine", &error))?;
    runtime(Builder::new_multi_thread().enable_all().build())
}

fn runtime(built: io::Result<Runtime>) -> Result<Runtime> {
    built.map_err(|error| CliError::because("cannot start", &error))
}

/// Where the data directory is.
///
/// # Errors
/// When nothing says where.
fn layout(global: &Global) -> Result<Layout> {
    datadir::locate(global.data_dir.clone())
        .map_err(|error| CliError::because("no data directory", &error).exit(Exit::USAGE))
}
