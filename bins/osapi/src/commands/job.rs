//! `job ..`

use osapi_client::Client;
use osapi_core::api::types::JobDetails;
use osapi_core::job::ClaimRule;
use serde::Serialize;

use super::output;
use crate::args::remote::{JobArgs, JobCommand, JobGetArgs, JobListArgs};
use crate::error::Result;
use crate::exit::Exit;
use crate::render::{Screen, Side, outcome, table};

/// Runs one of the commands.
///
/// # Errors
/// When the server cannot be asked, or refuses.
pub(crate) async fn run(client: &Client, command: JobCommand, screen: &mut Screen) -> Result<Exit> {
    match command {
        JobCommand::List(args) => list(client, &args, screen).await?,
        JobCommand::Get(args) => get(client, &args, screen).await?,
        JobCommand::Output(args) => output::all(client, &args, screen).await?,
        JobCommand::Cancel(args) => cancel(client, &args, screen).await?,
        JobCommand::Delete(args) => delete(client, &args, screen).await?,
    }
    Ok(Exit::SUCCESS)
}

async fn list(client: &Client, args: &JobListArgs, screen: &mut Screen) -> Result<()> {
    let page = client.jobs().list(args.query()).await?;
    if args.format.json {
        return Ok(screen.json(&page)?);
    }
    if page.jobs.is_empty() {
        return Ok(screen.line(Side::Err, "no jobs")?);
    }
    screen.block(Side::Out, &table::jobs(&page.jobs))?;
    if let Some(next) = page.next {
        screen.line(Side::Err, &format!("there are more: --cursor {next}"))?;
    }
    Ok(())
}

async fn get(client: &Client, args: &JobGetArgs, screen: &mut Screen) -> Result<()> {
    let job = client.job(args.id);
    if let Some(wait) = args.wait {
        job.wait_for(wait.0).await?;
    }
    let details: JobDetails = job.details().await?;
    if args.format.json {
        return Ok(screen.json(&details)?);
    }
    screen.block(Side::Out, &table::job(&details))?;
    screen.block(Side::Out, "\n")?;
    let hosts = output::complete(client, args.id, &details.results).await?;
    let until = (details.claim == ClaimRule::Host).then_some(details.summary.not_after);
    Ok(outcome::blocks(screen, args.id, &hosts, until)?)
}

async fn cancel(client: &Client, args: &JobArgs, screen: &mut Screen) -> Result<()> {
    let answer = client.job(args.id).cancel().await?;
    if args.format.json {
        return Ok(screen.json(&answer)?);
    }
    Ok(screen.line(
        Side::Out,
        &format!("cancel of job {} is recorded; it is {}", answer.job_id, answer.status),
    )?)
}

async fn delete(client: &Client, args: &JobArgs, screen: &mut Screen) -> Result<()> {
    #[derive(Serialize)]
    struct Deleted {
        deleted: osapi_client::JobId,
    }
    client.job(args.id).delete().await?;
    if args.format.json {
        return Ok(screen.json(&Deleted { deleted: args.id })?);
    }
    Ok(screen.line(Side::Out, &format!("job {} is deleted", args.id))?)
}
