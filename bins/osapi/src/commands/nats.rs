//! `nats config`: the files of a broker, with keys that are made if there are none.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use osapi_core::backend::nats::{Namespace, check_address};
use osapi_core::clock::{Clock as _, SystemClock};
use osapi_core::id::Nonce;
use osapi_service::broker::{Broker, BrokerError, Reach};
use osapi_service::datadir::{DataDir, DataDirError, Layout};
use osapi_service::keystore::Keys;
use osapi_service::private_file;

use crate::args::nats::NatsConfigArgs;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::nats::conf::TlsFiles;
use crate::nats::files::{Plan, Servers, StoreDir, addresses};
use crate::nats::node::Endpoint;
use crate::render::{Screen, Side};

/// Largest file of certificates, in bytes: it goes into every invitation.
const CA_MAX: usize = 64 * 1024;

/// Makes the directory.
///
/// # Errors
/// When what was asked for makes no sense, the directory is there already, or a file cannot be read or written. Keys that were made stay.
pub(crate) fn config(args: NatsConfigArgs, layout: &Layout, screen: &mut Screen) -> Result<Exit> {
    let out = absolute(&args.out)?;
    refuse_existing(&out, &args.out)?;
    let servers = servers(&args)?;
    let reach = reach(&args, &servers, layout)?;
    let tls = tls_files(&args)?;
    let store_dir = match &args.store_dir {
        Some(given) => StoreDir::Given(absolute(given)?),
        None => StoreDir::Below(out.clone()),
    };

    let dir = DataDir::open(layout.clone()).map_err(no_data_dir)?;
    let had_keys = layout.keys().exists();
    let at = SystemClock.wall();
    let failed = |error: &dyn std::error::Error| CliError::because("cannot set up a broker", error);
    let keys = Keys::open_or_create(layout, at).map_err(|error| failed(&error))?;
    let broker = Broker::open_or_create(layout, reach).map_err(|error| failed(&error))?;
    let plan =
        Plan { keys: &keys, broker: &broker, servers: &servers, store_dir, tls: tls.clone(), at };
    let files = plan.files();
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text)).collect();
    private_file::create_dir(&out, &files).map_err(|error| failed(&error))?;
    drop(dir);

    let made = if had_keys { "Used" } else { "Made" };
    screen.block(Side::Out, &told(&args.out, made, &keys, layout, &plan.conf_names()))?;
    if let Some(warning) = exposed(&servers, tls.is_some()) {
        screen.line(Side::Err, warning)?;
    }
    Ok(Exit::SUCCESS)
}

fn refuse_existing(out: &Path, typed: &Path) -> Result<()> {
    match fs::symlink_metadata(out) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = out.parent().filter(|parent| !parent.is_dir());
            parent.map_or(Ok(()), |parent| {
                Err(CliError::usage(format!("there is no directory '{}'", parent.display())))
            })
        }
        Err(error) => {
            let what = format!("cannot look at '{}'", typed.display());
            Err(CliError::because(what, &error).exit(Exit::USAGE))
        }
        Ok(_) => Err(CliError::usage(format!("'{}' exists, and is left as it is", typed.display()))
            .hint("choose another directory with --out, or move this one away; keys and accounts are in the data directory and stay the same")),
    }
}

fn servers(args: &NatsConfigArgs) -> Result<Servers> {
    let mut names: Vec<_> = args.node.iter().map(|node| &node.name).collect();
    names.sort_unstable();
    names.dedup();
    match args.node.len() {
        0 => {
            let ip = args.listen.ip();
            let host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
            let listen = Endpoint { host, port: args.listen.port() };
            Ok(Servers::One { name: args.server_name.to_string(), listen })
        }
        count if names.len() < count => Err(CliError::usage("--node names a server twice")),
        3 | 5 => Ok(Servers::Cluster {
            name: args.cluster.to_string(),
            nodes: args.node.clone(),
            password: format!("{}{}", Nonce::random(), Nonce::random()),
        }),
        count => Err(CliError::usage(format!("a cluster has 3 or 5 servers, not {count}"))
            .hint("of two servers both are needed, so that they fail more often than one; without --node there is one")),
    }
}

fn reach(args: &NatsConfigArgs, servers: &Servers, layout: &Layout) -> Result<Reach> {
    let ca = args.tls_ca.as_deref().map(read_certificates).transpose()?;
    let servers = match args.servers.as_slice() {
        [] => addresses(servers, ca.is_some()),
        given => given.to_vec(),
    };
    if servers.is_empty() {
        let message = format!("'{}' does not say how hosts reach the broker", args.listen);
        return Err(CliError::usage(message)
            .hint("say it with --server, e.g. --server nats://nats.example.com:4222"));
    }
    check_addresses(&servers)?;
    let namespace = match &args.namespace {
        Some(given) => given.clone(),
        None => known_namespace(layout)?,
    };
    Ok(Reach { namespace, servers, ca })
}

/// What hosts that were invited earlier were told.
fn known_namespace(layout: &Layout) -> Result<Namespace> {
    match Broker::open(layout) {
        Ok(known) => Ok(known.reach.namespace),
        Err(BrokerError::None(_)) => Ok(Namespace::default()),
        Err(error) => Err(CliError::because("cannot set up a broker", &error)),
    }
}

/// Refuses what could not be connected to.
pub(super) fn check_addresses(servers: &[String]) -> Result<()> {
    servers.iter().try_for_each(|server| {
        check_address(server)
            .map_err(|error| CliError::because("--server", &error).exit(Exit::USAGE))
    })
}

fn read_certificates(path: &Path) -> Result<String> {
    let failed = |error: &dyn std::error::Error| {
        CliError::because(format!("cannot use '{}'", path.display()), error).exit(Exit::USAGE)
    };
    let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
    let wrong = |what: &str| CliError::usage(format!("'{}' {what}", path.display()));
    match text.len() {
        0..=CA_MAX if text.contains("-----BEGIN CERTIFICATE-----") => Ok(text),
        0..=CA_MAX => Err(wrong("holds no certificate in PEM")),
        size => Err(wrong(&format!("has {size} bytes: at most {CA_MAX} go into an invitation"))
            .hint("give the certificate of the one authority that vouches for the broker")),
    }
}

fn tls_files(args: &NatsConfigArgs) -> Result<Option<TlsFiles>> {
    let (Some(cert), Some(key), Some(ca)) = (&args.tls_cert, &args.tls_key, &args.tls_ca) else {
        return Ok(None);
    };
    let text = |path: &Path| Ok::<_, CliError>(absolute(path)?.to_string_lossy().into_owned());
    Ok(Some(TlsFiles { cert: text(cert)?, key: text(key)?, ca: text(ca)? }))
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| {
        CliError::because(format!("cannot use '{}'", path.display()), &error).exit(Exit::USAGE)
    })
}

fn no_data_dir(error: DataDirError) -> CliError {
    let told = CliError::because("cannot set up a broker", &error);
    match error {
        DataDirError::InUse { .. } => told.hint(
            "stop what runs there first, or choose another --data-dir for the keys of the fleet",
        ),
        _ => told,
    }
}

/// What was made, and what comes next.
fn told(out: &Path, made: &str, keys: &Keys, layout: &Layout, confs: &[String]) -> String {
    let data = layout.path().display();
    let at = |name: &str| out.join(name).display().to_string();
    let servers: String =
        confs.iter().map(|name| format!("    nats-server -c {}\n", at(name))).collect();
    format!(
        "{made} the keys of fleet {fleet} in {data}: back that directory up.\n\
         Wrote {out}. Start the broker, an API server, and invite hosts:\n\n\
         {servers}    osapi-server -f {yaml}\n    osapi agent invite web-01 --out web-01.join\n\n\
         Copy {server} to other machines for more API servers.\n",
        fleet = keys.fleet(),
        out = out.display(),
        yaml = at("server/server.yaml"),
        server = at("server"),
    )
}

/// A warning where others can listen on the way to the broker.
fn exposed(servers: &Servers, has_tls: bool) -> Option<&'static str> {
    let is_local = |host: &str| matches!(host, "localhost" | "[::1]") || host.starts_with("127.");
    let is_local = match servers {
        Servers::One { listen, .. } => is_local(&listen.host),
        Servers::Cluster { nodes, .. } => nodes.iter().all(|node| is_local(&node.client.host)),
    };
    let warning = "warning: what travels to and from the broker can be read on its way, commands and their output too: give --tls-cert, --tls-key and --tls-ca";
    (!is_local && !has_tls).then_some(warning)
}
