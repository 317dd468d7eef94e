//! `target ..`

use osapi_client::Client;

use crate::args::remote::TargetCommand;
use crate::error::Result;
use crate::exit::Exit;
use crate::render::{Screen, Side, table, time};

/// Runs one of the commands.
///
/// # Errors
/// When the server cannot be asked, or refuses.
pub(crate) async fn run(
    client: &Client,
    command: TargetCommand,
    screen: &mut Screen,
) -> Result<Exit> {
    let TargetCommand::Preview(args) = command;
    let preview = client.target(&args.target).preview().await?;
    if args.format.json {
        screen.json(&preview)?;
        return Ok(Exit::SUCCESS);
    }
    screen.block(Side::Out, &table::hosts(&preview.hosts))?;
    let hosts = time::count(preview.count.into(), "host");
    let text = format!("{hosts}: {} live, {} ready", preview.live, preview.ready);
    screen.line(Side::Err, &text)?;
    Ok(Exit::SUCCESS)
}
