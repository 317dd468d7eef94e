//! `agent ..`

use osapi_client::Client;
use osapi_core::api::types::{AgentInfo, RefusedKey};
use osapi_core::clock::Timestamp;
use osapi_core::id::{AgentName, PublicKey, SealingKey};
use serde::Serialize;

use crate::args::remote::AgentCommand;
use crate::error::Result;
use crate::exit::Exit;
use crate::render::{Screen, Side, escape, table};

/// The keys of an agent, as `agent key` prints them.
#[derive(Debug, Serialize)]
struct KeysOf<'a> {
    name: &'a AgentName,
    key_id: &'a str,
    key: PublicKey,
    sealing_key: SealingKey,
    registered_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_key: Option<&'a RefusedKey>,
}

impl<'a> From<&'a AgentInfo> for KeysOf<'a> {
    fn from(agent: &'a AgentInfo) -> Self {
        Self {
            name: &agent.name,
            key_id: &agent.key_id,
            key: agent.key,
            sealing_key: agent.sealing_key,
            registered_at: agent.registered_at,
            refused_key: agent.refused_key.as_ref(),
        }
    }
}

/// What is asked before an agent is removed. What is known of it is shown, if that can be had.
pub(crate) async fn question(client: &Client, name: &AgentName) -> String {
    let known = match client.agents().get(name).await {
        Ok(agent) => format!(" ({}, {})", agent.hostname, agent.state.as_str()),
        Err(_) => String::new(),
    };
    let known = escape::line(&known);
    format!("Remove agent {name}{known}? Its key is refused for good.\nAre you sure? [y/N] ")
}

/// Runs one of the commands.
///
/// # Errors
/// When the server cannot be asked, or refuses.
pub(crate) async fn run(
    client: &Client,
    command: AgentCommand,
    screen: &mut Screen,
) -> Result<Exit> {
    match command {
        AgentCommand::List(args) => {
            let list = client.agents().list().await?;
            match list.agents.as_slice() {
                _ if args.format.json => screen.json(&list)?,
                [] => screen.line(Side::Err, "no agents")?,
                agents => screen.block(Side::Out, &table::agents(agents))?,
            }
        }
        AgentCommand::Get(args) => {
            let agent = client.agents().get(&args.name).await?;
            if args.format.json {
                screen.json(&agent)?;
            } else {
                screen.block(Side::Out, &table::agent(&agent))?;
            }
        }
        AgentCommand::Key(args) => {
            let agent = client.agents().get(&args.name).await?;
            if args.format.json {
                screen.json(&KeysOf::from(&agent))?;
            } else {
                screen.block(Side::Out, &table::agent_key(&agent))?;
            }
        }
        AgentCommand::Remove(args) => {
            client.agents().remove(&args.name).await?;
            let text = format!("{} is removed: its key is refused from now on", args.name);
            screen.line(Side::Out, &text)?;
        }
    }
    Ok(Exit::SUCCESS)
}
