//! `key ..` and `store ..`: what needs the root key.

use clap::{Args, Subcommand, ValueEnum};
use osapi_core::api::Endpoint as _;
use osapi_core::api::endpoints::KeysList;
use osapi_core::auth::keys::KeyUse;
use osapi_core::id::KeyId;

use super::Format;

/// What can be done with the keys of the fleet.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    #[command(about = KeysList::INFO.summary)]
    List(KeyListArgs),
    /// Make another key and put it to use; the former one stays valid until it is retired. Needs the root key in the data directory
    Rotate(KeyRotateArgs),
    /// Make a key invalid for good, and with it what was signed with it. Needs the root key in the data directory
    Retire(KeyRetireArgs),
}

/// Options of `key list`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct KeyListArgs {
    #[command(flatten)]
    pub(crate) format: Format,
}

/// Options of `key rotate`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct KeyRotateArgs {
    /// Which key
    #[arg(long = "use", value_name = "USE", value_enum, default_value_t = Use::Job)]
    pub(crate) usage: Use,
}

/// Options of `key retire`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct KeyRetireArgs {
    /// The key's id, as 'osapi key list' shows it
    pub(crate) key_id: KeyId,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// What can be done with the store.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Go on with a store that went back in time: under a new job key, and with every open job cancelled. Needs the root key in the
    /// data directory
    AcceptRestore(AcceptRestoreArgs),
}

/// Options of `store accept-restore`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct AcceptRestoreArgs {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Use {
    /// Signs orders, cancels and answers
    Job,
    /// Signs access tokens
    Token,
}

impl Use {
    /// It in the words of the library.
    pub(crate) fn key_use(self) -> KeyUse {
        match self {
            Self::Job => KeyUse::Job,
            Self::Token => KeyUse::Token,
        }
    }
}
