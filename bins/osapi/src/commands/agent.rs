//! `agent ..`

use osapi_client::Client;

use crate::args::remote::AgentCommand;
use crate::error::Result;
use crate::exit::Exit;
use crate::render::{Screen, Side, table};

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
    }
    Ok(Exit::SUCCESS)
}
