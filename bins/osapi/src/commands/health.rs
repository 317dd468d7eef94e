//! `health ..`

use crate::args::Global;
use crate::args::remote::{HealthArgs, HealthCommand};
use crate::error::Result;
use crate::exit::Exit;
use crate::render::{Screen, Side, health};

use super::client;

/// Runs one of the commands.
///
/// # Errors
/// When the server does not answer, is not ready, or refuses.
pub(crate) async fn run(args: &HealthArgs, global: &Global, screen: &mut Screen) -> Result<Exit> {
    match args.what {
        None => {
            let (client, url) = client::without_token(global)?;
            let health = client.health().await?;
            if args.json {
                screen.json(&health)?;
            } else {
                screen.line(Side::Out, &format!("{}: {url} answers", health.status))?;
            }
        }
        Some(HealthCommand::Ready) => {
            let (client, url) = client::without_token(global)?;
            let ready = client.ready().await?;
            if args.json {
                screen.json(&ready)?;
            } else {
                screen.line(Side::Out, &format!("{}: {url} takes requests", ready.status))?;
            }
        }
        Some(HealthCommand::Status) => {
            let status = client::with_token(global)?.status().await?;
            if args.json {
                screen.json(&status)?;
            } else {
                screen.block(Side::Out, &health::status(&status))?;
            }
        }
    }
    Ok(Exit::SUCCESS)
}
