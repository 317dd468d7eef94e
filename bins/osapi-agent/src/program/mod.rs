//! `osapi-agent`: from what is typed to how it ended.

mod check;
mod words;

use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use osapi_core::agent::{AgentError, Drained};
use osapi_core::backend::nats::Nats;
use osapi_core::executor::process::RulesInForce;
use osapi_core::job::limits::KILL_GRACE;
use osapi_core::message::{Readiness, RegistrationRefusal};
use osapi_service::config::Config;
use osapi_service::datadir::{self, DataDir, Layout};
use osapi_service::fault::Fault;
use osapi_service::invitation::Invitation;
use osapi_service::keystore::AgentKeys;
use osapi_service::signals::Shutdown;
use osapi_service::{nats, startup};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::member::{Joining, Member, MemberError};
use crate::policy::Keeper;
use crate::{Home, agent, prepare_this_process, told, until_refused};
use words::Who;

/// The file that is read when none is given; it need not exist.
const DEFAULT_FILE: &str = "/etc/osapi/agent.yaml";
/// After this time without an answer of an API server it is said that there was none.
const ANSWER_EXPECTED: Duration = Duration::from_secs(10);
/// What reports and the connection may take to end, beside the grace of commands.
const END_WITHIN: Duration = Duration::from_secs(10);

/// Run the commands that a fleet orders on this host.
#[derive(Debug, Parser)]
#[command(name = "osapi-agent", version, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Configuration file [default: /etc/osapi/agent.yaml, if it exists]
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Where keys and journal are [default: $XDG_DATA_HOME/osapi; for root /var/lib/osapi]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Join the fleet with this file of 'osapi agent invite', once, and go on running
    #[arg(long, value_name = "FILE")]
    join: Option<PathBuf>,
    /// Show the keys of the agent that has joined in the data directory, whether it runs or not, and end
    #[arg(long, conflicts_with_all = ["join", "file"])]
    show_key: bool,
    /// Log what happens in detail
    #[arg(short, long)]
    debug: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The local policy: what this host performs, whoever orders it
    #[command(subcommand)]
    Policy(PolicyCommand),
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Check the policy, and explain what it says of a command
    Check(check::Args),
}

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    let mut args = Args::parse();
    if let Some(Command::Policy(PolicyCommand::Check(args))) = args.command.take() {
        return check::run(args);
    }
    if args.show_key {
        return startup::end(show_key(args.data_dir));
    }
    match prepare_this_process() {
        Ok(()) => startup::run(run(args)),
        Err(error) => {
            startup::end(Err(Fault::because("cannot run commands on this machine", &error)))
        }
    }
}

/// Shows the agent's keys, in the words of `osapi agent key`.
fn show_key(data_dir: Option<PathBuf>) -> Result<(), Fault> {
    // Who runs there has made all that there is.
    let keys = AgentKeys::open(&locate(data_dir)?).map_err(MemberError::from);
    startup::say(&words::keys(&keys.map_err(|error| words::no_member(&error))?));
    Ok(())
}

fn locate(data_dir: Option<PathBuf>) -> Result<Layout, Fault> {
    datadir::locate(data_dir)
        .map_err(|error| Fault::because("no data directory", &error).exit(Fault::USAGE))
}

async fn run(args: Args) -> Result<(), Fault> {
    let config = startup::begin(args.file, DEFAULT_FILE, args.debug)?.config;
    let shutdown = Shutdown::on_signals()
        .map_err(|error| Fault::because("cannot take over signals", &error))?;
    let hangup = signal(SignalKind::hangup())
        .map_err(|error| Fault::because("cannot take over signals", &error))?;
    let (keeper, rules) =
        Keeper::new(config.agent.policy.clone()).map_err(|error| words::no_policy(&error))?;
    let mut chores = JoinSet::new();
    chores.spawn(keeper.follow(hangup));
    let invitation = args.join.as_deref().map(Invitation::read).transpose();
    let invitation = invitation.map_err(|error| words::no_invitation(&error))?;
    let layout = locate(args.data_dir)?;
    let dir = DataDir::open(layout.clone()).map_err(|error| words::no_data_dir(&error))?;
    let (member, joining) = match invitation {
        Some(invitation) => {
            let joined = Member::join(&layout, invitation);
            let (member, joining) = joined.map_err(|error| words::not_joined(&error, &layout))?;
            (member, Some(joining))
        }
        None => (Member::open(&layout).map_err(|error| words::no_member(&error))?, None),
    };
    let identity = &member.keys.identity;
    let named = identity.check_name(&layout.agent(), config.agent.name.as_ref());
    named.map_err(|error| words::other_name(&error))?;
    let ended = on_member(member, joining, &config, rules, &layout, shutdown.token()).await;
    drop(dir);
    ended
}

/// Runs the agent until `stop`.
async fn on_member(
    member: Member,
    mut joining: Option<Joining>,
    config: &Config,
    rules: RulesInForce,
    layout: &Layout,
    stop: CancellationToken,
) -> Result<(), Fault> {
    let connected = tokio::select! {
        connected = connect(&member, config, joining.is_some()) => connected,
        () = stop.cancelled() => {
            startup::say("stopped before NATS was reached");
            return Ok(());
        }
    };
    let nats = connected?;
    let who = Who::of(&member, layout);
    let mut running = Running::start(member, config, rules, layout, &nats).await?;
    tokio::select! {
        () = until_ready(running.readiness.clone(), &who) => {}
        why = until_refused(running.refusal.clone()), if joining.is_some() => {
            // What was made for joining is removed once nothing works in it any more.
            running.stop().await?;
            nats.close().await;
            return Err(who.refused(&why));
        }
        () = stop.cancelled() => {}
        fault = running.failed() => return Err(fault),
    }
    // Also if nothing has answered yet: what it asked for may have been granted already, and then it is this agent that has the name.
    if let Some(joining) = joining.take() {
        joining.keep();
        startup::say(&who.joined(running.is_ready()));
    }
    tokio::select! {
        () = stop.cancelled() => {}
        fault = running.failed() => return Err(fault),
    }
    let drained = running.stop().await?;
    nats.close().await;
    startup::say(&format!("stopped: {}", told(drained)));
    Ok(())
}

/// Connects. Who is joining is told at once that nobody can be reached; later that is waited for.
async fn connect(member: &Member, config: &Config, is_joining: bool) -> Result<Nats, Fault> {
    let options = member.options(&config.nats).map_err(|error| {
        Fault::because("cannot read what the configuration names", &error).exit(Fault::USAGE)
    })?;
    let connected = match is_joining {
        true => Nats::connect(options).await,
        false => nats::connect(&options).await,
    };
    connected.map_err(|error| words::not_connected(&error, is_joining))
}

/// A running agent. Dropping it ends it as a crash would.
struct Running {
    agent: JoinSet<Result<Drained, AgentError>>,
    readiness: watch::Receiver<Readiness>,
    refusal: watch::Receiver<Option<RegistrationRefusal>>,
    stop: CancellationToken,
    end_within: Duration,
}

impl Running {
    async fn start(
        member: Member,
        config: &Config,
        rules: RulesInForce,
        layout: &Layout,
        nats: &Nats,
    ) -> Result<Self, Fault> {
        let labels = member.labels(&config.agent);
        let (layout, keys) = (layout.clone(), member.keys);
        let home = tokio::task::spawn_blocking(move || Home::open(&layout, keys))
            .await
            .map_err(|panic| Fault::because("cannot open the data directory", &panic))?
            .map_err(|error| Fault::because("cannot start", &error))?;
        let (bus, config, host) = (Arc::new(nats.bus()), &config.agent, startup::hostname());
        let new = agent(home, bus, nats.denials(), config, rules, labels, host);
        let (readiness, refusal) = (new.readiness(), new.refusal());
        let stop = CancellationToken::new();
        let mut agent = JoinSet::new();
        agent.spawn(new.run(stop.clone()));
        let end_within = config.drain + KILL_GRACE + END_WITHIN;
        Ok(Self { agent, readiness, refusal, stop, end_within })
    }

    fn is_ready(&self) -> bool {
        *self.readiness.borrow() == Readiness::Ready
    }

    /// Waits until the agent ends without having been told to, and says why.
    ///
    /// # Cancel safety
    /// May be dropped and called again as long as it has not returned.
    async fn failed(&mut self) -> Fault {
        match self.agent.join_next().await {
            Some(Ok(Err(error))) => Fault::because("the agent failed", &error),
            Some(Err(panic)) => Fault::because("the agent failed", &panic),
            Some(Ok(Ok(_))) | None => Fault::new("the agent ended by itself"),
        }
    }

    /// Ends the agent, and tells what it has left; none if it did not end in time.
    async fn stop(mut self) -> Result<Option<Drained>, Fault> {
        self.stop.cancel();
        let drained = match tokio::time::timeout(self.end_within, self.agent.join_next()).await {
            Ok(Some(Ok(Ok(drained)))) => Some(drained),
            Ok(Some(Ok(Err(error)))) => return Err(Fault::because("the agent failed", &error)),
            Ok(Some(Err(panic))) => return Err(Fault::because("the agent failed", &panic)),
            Ok(None) | Err(_) => None,
        };
        self.agent.shutdown().await;
        Ok(drained)
    }
}

/// Waits until the agent takes jobs, and says so; and says once that nothing has answered.
async fn until_ready(mut readiness: watch::Receiver<Readiness>, who: &Who) {
    let mut ready = pin!(readiness.wait_for(|readiness| *readiness == Readiness::Ready));
    let came = match tokio::time::timeout(ANSWER_EXPECTED, &mut ready).await {
        Ok(came) => came.is_ok(),
        Err(_) => {
            tracing::warn!("{}", who.unanswered());
            ready.await.is_ok()
        }
    };
    if !came {
        // The agent has ended, and that is told by another.
        std::future::pending::<()>().await;
    }
    tracing::info!("{}", who.ready());
}
