//! Making a connection: the settings of the client library, and what can be wrong with them or with the server.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{AuthError, Client, ConnectErrorKind, ConnectOptions, ServerAddr, ServerInfo};

use super::error::{ConnectError, outdated};
use super::login::Proof;
use super::options::{Options, Tls};
use super::signals::Signals;
use super::version::{OLDEST, Version};
use crate::message::MESSAGE_MAX;

/// One round over all servers takes no longer.
pub(super) const ROUND: Duration = Duration::from_secs(5);
/// The shortest time that one server gets.
const ATTEMPT_MIN: Duration = Duration::from_secs(2);
/// Pause before each attempt to connect again: long enough that a fleet does not come back at one moment.
const RECONNECT_MIN: Duration = Duration::from_millis(500);
const RECONNECT_SPREAD_MS: u32 = 1000;
/// How often a silent connection is checked; after the third time without an answer it counts as lost. Agents are many, and their lines are to
/// be back before they count as silent.
const PING_SERVER: Duration = Duration::from_secs(5);
const PING_AGENT: Duration = Duration::from_secs(7);
/// Room for the headers that this backend adds to a message.
pub(super) const HEADERS_MAX: usize = 512;

/// How the pauses between attempts to connect are chosen.
#[derive(Debug, Default)]
pub(super) struct Phase {
    /// The first round is over.
    pub(super) connected: AtomicBool,
    /// Nobody needs the connection any more.
    pub(super) ended: AtomicBool,
}

/// Connects, in one round over the servers.
pub(super) async fn connect(
    options: &Options,
    signals: Arc<Signals>,
    phase: Arc<Phase>,
) -> Result<Client, ConnectError> {
    let servers = addresses(&options.servers)?;
    let addresses = options.servers.join(", ");
    let settings = settings(options, servers.len(), signals, phase)?;
    settings.connect(servers).await.map_err(|error| failed(addresses, &error))
}

fn addresses(servers: &[String]) -> Result<Vec<ServerAddr>, ConnectError> {
    if servers.is_empty() {
        return Err(ConnectError::NoServers);
    }
    servers.iter().map(|server| address(server)).collect()
}

/// Sees to it that `text` can be the address of a server.
///
/// # Errors
/// When it cannot. The error does not repeat a password that stands in it.
pub fn check_address(text: &str) -> Result<(), ConnectError> {
    address(text).map(drop)
}

fn address(text: &str) -> Result<ServerAddr, ConnectError> {
    let invalid = |address: &str, rule| ConnectError::Address { address: address.into(), rule };
    if text.contains('@') {
        // A password that stands there would end up in logs.
        let rule = "users and passwords do not belong into an address: configure a login";
        return Err(invalid("(not shown)", rule));
    }
    let rule = "must be like nats://host:4222 or tls://host:4222";
    let parsed: ServerAddr = text.parse().map_err(|_| invalid(text, rule))?;
    let is_known = ["nats", "tls"].contains(&parsed.scheme());
    if is_known && !parsed.host().is_empty() { Ok(parsed) } else { Err(invalid(text, rule)) }
}

fn settings(
    options: &Options,
    servers: usize,
    signals: Arc<Signals>,
    phase: Arc<Phase>,
) -> Result<ConnectOptions, ConnectError> {
    let proof = Arc::new(Proof::of(&options.login)?);
    let attempt = ROUND.checked_div(u32::try_from(servers).unwrap_or(u32::MAX)).unwrap_or(ROUND);
    let ping = if options.agent.is_some() { PING_AGENT } else { PING_SERVER };
    let settings = ConnectOptions::with_auth_callback(move |nonce| {
        let answer: Result<_, AuthError> = proof.answer(&nonce);
        async move { answer }
    })
    .name(&options.name)
    // What is configured is what is used: a broker does not send its clients elsewhere.
    .ignore_discovered_servers()
    .connection_timeout(attempt.max(ATTEMPT_MIN))
    .ping_interval(ping)
    .reconnect_delay_callback(move |_| pause(&phase))
    .event_callback(move |event| {
        signals.event(event);
        async {}
    });
    with_tls(settings, &options.tls)
}

/// The pause before an attempt to connect.
fn pause(phase: &Phase) -> Duration {
    if phase.ended.load(Ordering::Relaxed) {
        // The client library tries for ever, also when all its handles are gone: it sleeps until the process ends.
        return Duration::MAX;
    }
    if !phase.connected.load(Ordering::Relaxed) {
        return Duration::ZERO;
    }
    let random = getrandom::u32().unwrap_or_default() % RECONNECT_SPREAD_MS;
    RECONNECT_MIN + Duration::from_millis(u64::from(random))
}

fn with_tls(settings: ConnectOptions, tls: &Tls) -> Result<ConnectOptions, ConnectError> {
    let Tls { ca, cert, key, required } = tls;
    for path in [ca, cert, key].into_iter().flatten() {
        readable(path)?;
    }
    let mut settings = settings.require_tls(*required);
    if let Some(ca) = ca {
        settings = settings.add_root_certificates(ca.clone());
    }
    match (cert, key) {
        (None, None) => Ok(settings),
        (Some(cert), Some(key)) => Ok(settings.add_client_certificate(cert.clone(), key.clone())),
        _ => Err(ConnectError::TlsFiles("cert and key go together".into())),
    }
}

fn readable(path: &PathBuf) -> Result<(), ConnectError> {
    match std::fs::File::open(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(ConnectError::TlsFiles(format!("{}: {error}", path.display()))),
    }
}

fn failed(addresses: String, error: &async_nats::ConnectError) -> ConnectError {
    let source = error.to_string().into();
    match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            ConnectError::Refused { addresses, source }
        }
        ConnectErrorKind::Tls => ConnectError::Tls { addresses, source },
        _ if is_tls(error) => ConnectError::Tls { addresses, source },
        _ => ConnectError::Unreachable { addresses, source },
    }
}

/// A failed handshake arrives as an I/O error that wraps that of the TLS library.
fn is_tls(error: &async_nats::ConnectError) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if inner.is_some_and(|inner| inner.is::<async_nats::rustls::Error>()) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What a server must be; and what is said of one that works and should be replaced.
pub(super) fn check(server: &ServerInfo) -> Result<Option<String>, ConnectError> {
    let name = || server.server_name.clone();
    let version: Option<Version> = server.version.parse().ok();
    let Some(version) = version.filter(|version| *version >= OLDEST) else {
        return Err(ConnectError::TooOld { server: name(), found: server.version.clone() });
    };
    let needed = MESSAGE_MAX + HEADERS_MAX;
    if server.max_payload < needed {
        let found = server.max_payload;
        return Err(ConnectError::SmallMessages { server: name(), found, needed: 1024 * 1024 });
    }
    Ok((!version.has_security_fixes()).then(|| outdated(&server.server_name, version)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::limits::SILENT_AFTER;

    #[test]
    fn addresses_are_checked_before_anything_is_tried() {
        let parse = |text: &str| addresses(&[text.to_owned()]);
        for good in
            ["nats://10.0.0.1:4222", "tls://nats.example.com", "localhost:4222", "[::1]:4222"]
        {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in ["", "http://host:4222", "ws://host", "nats://", "nats://host:port", "a b"] {
            assert!(matches!(parse(bad), Err(ConnectError::Address { .. })), "{bad}");
        }
        let error = parse("nats://ann:secret@host:4222").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        assert!(matches!(addresses(&[]), Err(ConnectError::NoServers)));
    }

    #[test]
    fn a_server_is_new_enough_and_takes_what_is_sent() {
        let server = |version: &str, max_payload| ServerInfo {
            server_name: "n1".into(),
            version: version.into(),
            max_payload,
            ..ServerInfo::default()
        };
        const MIB: usize = 1 << 20;
        assert_eq!(check(&server("2.15.1", MIB)).unwrap(), None);
        let warning = check(&server("2.11.0", MIB)).unwrap().unwrap();
        assert!(warning.contains("2.14.3") && warning.contains("n1"), "{warning}");
        for old in ["2.10.29", "2.9.22", "", "unknown"] {
            let error = check(&server(old, MIB)).unwrap_err();
            assert!(
                matches!(&error, ConnectError::TooOld { found, .. } if found == old),
                "{error}"
            );
            assert!(error.to_string().contains("2.11.0"), "{error}");
        }
        let error = check(&server("2.15.1", MIB - 4000)).unwrap_err();
        assert!(matches!(error, ConnectError::SmallMessages { .. }), "{error}");
    }

    #[test]
    fn a_dead_connection_is_made_anew_before_its_end_counts_as_silent() {
        let spread = Duration::from_millis(RECONNECT_SPREAD_MS.into());
        for ping in [PING_SERVER, PING_AGENT] {
            assert!(3 * ping + RECONNECT_MIN + spread < SILENT_AFTER);
        }
    }

    #[test]
    fn pauses_are_random_once_connected_and_endless_after_the_end() {
        let phase = Phase::default();
        assert_eq!(pause(&phase), Duration::ZERO);
        phase.connected.store(true, Ordering::Relaxed);
        let pauses: Vec<_> = (0..64).map(|_| pause(&phase)).collect();
        let bounds = Duration::from_millis(500)..Duration::from_millis(1500);
        assert!(pauses.iter().all(|pause| bounds.contains(pause)), "{pauses:?}");
        assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{pauses:?}");
        phase.ended.store(true, Ordering::Relaxed);
        assert_eq!(pause(&phase), Duration::MAX);
    }
}
