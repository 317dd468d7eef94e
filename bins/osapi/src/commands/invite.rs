//! `agent invite`: a host's name, keys to trust, addresses and credential, in one file. The broker is not touched.

use osapi_core::backend::nats::jwt::Bounds;
use osapi_core::backend::nats::names;
use osapi_core::clock::{Clock as _, SystemClock};
use osapi_core::job::Labels;
use osapi_service::broker::{Broker, BrokerError, Reach};
use osapi_service::datadir::Layout;
use osapi_service::invitation::{Credentials, Invitation, InvitationError, Membership};
use osapi_service::keystore::{KeyError, Keys};

use super::nats::check_addresses;
use crate::args::nats::InviteArgs;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::nats::files::credentials;
use crate::render::{Screen, Side};

/// Writes the file.
///
/// # Errors
/// When there are no keys to invite with, the labels do not go together, or the file is there already or cannot be written.
pub(crate) fn run(args: InviteArgs, layout: &Layout, screen: &mut Screen) -> Result<Exit> {
    let InviteArgs { name, out, labels, servers } = args;
    let labels = Labels::of(labels).map_err(|error| CliError::usage(error.to_string()))?;
    check_addresses(&servers)?;
    let root = Keys::root_of(layout).map_err(no_keys)?;
    let Broker { account, reach, .. } = Broker::open(layout).map_err(no_broker)?;
    let Reach { namespace, servers: known, ca } = reach;
    let servers = if servers.is_empty() { known } else { servers };

    let permissions = names::agent_permissions(&namespace, &name);
    let text =
        credentials(&account, name.as_str(), permissions, Bounds::Limited, SystemClock.wall());
    let membership = Membership { namespace, servers, labels };
    let invitation =
        Invitation { name: name.clone(), root, membership, credentials: Credentials(text), ca };
    invitation.save(&out).map_err(|error| not_written(&error))?;
    let text = format!(
        "Wrote {out}: whoever has it can join as '{name}', so move it there by a safe way. On the host:\n\n    osapi-agent --join {out}\n",
        out = out.display()
    );
    screen.block(Side::Out, &text)?;
    Ok(Exit::SUCCESS)
}

const SETS_UP: &str =
    "'osapi nats config --out nats/' makes them; --data-dir points to those of another directory";

fn no_keys(error: KeyError) -> CliError {
    let told = CliError::because("cannot invite a host", &error);
    if matches!(error, KeyError::None(_)) { told.hint(SETS_UP) } else { told }
}

fn no_broker(error: BrokerError) -> CliError {
    let told = CliError::because("cannot invite a host", &error);
    if matches!(error, BrokerError::None(_)) { told.hint(SETS_UP) } else { told }
}

fn not_written(error: &InvitationError) -> CliError {
    let told = CliError::because("cannot write the invitation", error);
    match error {
        InvitationError::File(error) if error.already_exists() => told
            .exit(Exit::USAGE)
            .hint("choose another file with --out, or remove this one if nobody used it"),
        _ => told,
    }
}
