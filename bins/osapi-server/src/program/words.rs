//! What `osapi-server` says: where it listens, and what went wrong with the way out.

use std::net::SocketAddr;
use std::path::Path;

use osapi_core::backend::nats::ConnectError;
use osapi_core::controller::FoundingError;
use osapi_core::id::FleetId;
use osapi_service::fault::Fault;
use osapi_service::keystore::KeyError;

/// It takes requests.
pub(super) fn listens(address: SocketAddr, fleet: FleetId) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("OSAPI {version} listens on http://{address}; it serves fleet {fleet}.")
}

/// It has more than it should.
pub(super) fn root_secret(dir: &Path) -> String {
    format!(
        "'{}' holds the root key of the fleet: an API server needs job.key, root.pub and ring only, and whoever takes it over would have the fleet",
        dir.display()
    )
}

/// There are no keys.
pub(super) fn no_keys(error: &KeyError) -> Fault {
    let fault = Fault::because("cannot start", error);
    match error {
        KeyError::None(_) => fault.exit(Fault::USAGE).hint(
            "'osapi nats config' writes a directory for API servers, with keys and server.yaml: start with -f server.yaml",
        ),
        _ => fault,
    }
}

/// NATS is not what is needed.
pub(super) fn not_connected(error: &ConnectError) -> Fault {
    let fault = Fault::because("cannot start", error);
    match error {
        ConnectError::NoServers => fault
            .exit(Fault::USAGE)
            .hint("'nats.servers' in the configuration names them; 'osapi nats config' writes one"),
        ConnectError::Address { .. } | ConnectError::Login(_) | ConnectError::TlsFiles(_) => {
            fault.exit(Fault::USAGE)
        }
        _ => fault,
    }
}

/// The store is not this fleet's.
pub(super) fn not_founded(error: &FoundingError) -> Fault {
    let fault = Fault::because("cannot start", error);
    match error {
        FoundingError::ForeignStore(_) => fault.hint(
            "use the keys of the fleet whose store this is, or another 'nats.namespace' for this fleet",
        ),
        _ => fault,
    }
}
