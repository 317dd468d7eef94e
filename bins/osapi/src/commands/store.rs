//! `store ..`

use osapi_client::Client;
use osapi_service::datadir::Layout;

use super::key::Ring;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::render::{Screen, Side, time};

/// What is to be known before a restored store is accepted.
///
/// # Errors
/// When the server cannot be asked, or its store is what it was.
pub(crate) async fn question(client: &Client) -> Result<String> {
    let health = client.status().await?;
    let Some(why) = health.store_rolled_back else {
        let nothing = "the store did not go back in time: there is nothing to accept";
        return Err(CliError::usage(nothing).hint(
            "if accepting it was cut off, 'osapi key rotate' puts the new job key in place",
        ));
    };
    let open = ["pending", "running"].map(|status| health.jobs.get(status).copied().unwrap_or(0));
    let jobs = time::count(open.iter().sum::<u32>().into(), "open job");
    Ok(format!(
        "The store went back in time: {why}.\nWhat was recorded since is lost. {jobs} will be cancelled, and every order of before is void.\nAccept it? [y/N] "
    ))
}

/// Accepts the store as it is: under a ring whose only job key is new, no order and no proof of before counts.
///
/// # Errors
/// When there is no root key, or the server cannot be asked.
pub(crate) async fn accept_restore(
    client: &Client,
    layout: &Layout,
    screen: &mut Screen,
) -> Result<Exit> {
    let mut ring = Ring::open(client, layout).await?;
    let key = ring.accept_restore(client).await?;
    screen.line(
        Side::Out,
        &format!(
            "the store as it is was accepted; job key {key} is in place in this data directory"
        ),
    )?;
    let file = layout.keys().join("job.key");
    let text = format!(
        "API servers on other machines, or with a key directory of their own, take no jobs until '{}' is copied there.",
        file.display()
    );
    screen.line(Side::Err, &text)?;
    Ok(Exit::SUCCESS)
}
