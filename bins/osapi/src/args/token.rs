//! `token ..`

use clap::{Args, Subcommand};
use osapi_core::auth::permission::Permission;
use osapi_core::auth::role::RoleName;

use super::duration::Life;

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make an access token with the key in the data directory; it alone goes to standard output
    Generate(GenerateArgs),
    /// Check an access token with the key in the data directory, and show what it says
    Validate(ValidateArgs),
}

/// Options of `token generate`.
#[derive(Debug, Clone, PartialEq, Args)]
#[group(id = "generate")]
#[command(group = clap::ArgGroup::new("grants").args(["roles", "permissions"]).required(true).multiple(true))]
pub(crate) struct GenerateArgs {
    /// Role that the token carries; may be repeated
    #[arg(short, long = "role", value_name = "ROLE")]
    pub(crate) roles: Vec<RoleName>,
    /// Whom the token is for, e.g. user@example.com
    #[arg(short, long, visible_alias = "subject", value_name = "SUBJECT")]
    pub(crate) user: String,
    /// Permission that the token carries beside its roles; may be repeated
    #[arg(short, long = "permission", value_name = "RESOURCE:VERB")]
    pub(crate) permissions: Vec<Permission>,
    /// How long the token is valid: 12h, 90d
    #[arg(long, value_name = "TIME", default_value = "90d")]
    pub(crate) expires_in: Life,
    /// Print a JSON document with the token and what it carries
    #[arg(short, long)]
    pub(crate) json: bool,
}

/// Options of `token validate`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct ValidateArgs {
    /// The token, or '-' to read it from standard input, which keeps it out of the list of processes
    #[arg(short, long, value_name = "TOKEN")]
    pub(crate) token: String,
    /// Print a JSON document
    #[arg(short, long)]
    pub(crate) json: bool,
}
