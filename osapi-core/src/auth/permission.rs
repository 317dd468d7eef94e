//! Permissions and the roles that bundle them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A permission, `resource:verb`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct Permission(Cow<'static, str>);

/// A text that is no permission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid permission '{}': must be 'resource:verb' in lower-case letters, digits, '-' and '_'", .0.escape_debug())]
pub struct InvalidPermission(String);

impl Permission {
    /// Run commands.
    pub const COMMAND_EXECUTE: Self = Self(Cow::Borrowed("command:execute"));
    /// Read facts of a host.
    pub const NODE_READ: Self = Self(Cow::Borrowed("node:read"));
    /// List agents.
    pub const AGENT_READ: Self = Self(Cow::Borrowed("agent:read"));
    /// Invite, drain and remove agents.
    pub const AGENT_WRITE: Self = Self(Cow::Borrowed("agent:write"));
    /// See jobs and their states.
    pub const JOB_READ: Self = Self(Cow::Borrowed("job:read"));
    /// Delete jobs, and cancel those of others.
    pub const JOB_WRITE: Self = Self(Cow::Borrowed("job:write"));
    /// Read the detailed health.
    pub const HEALTH_READ: Self = Self(Cow::Borrowed("health:read"));
    /// Read the audit log.
    pub const AUDIT_READ: Self = Self(Cow::Borrowed("audit:read"));
    /// Revoke tokens.
    pub const TOKEN_WRITE: Self = Self(Cow::Borrowed("token:write"));

    /// The permission as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Permission {
    type Err = InvalidPermission;
    fn from_str(text: &str) -> Result<Self, InvalidPermission> {
        let word = |word: &str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'_')
        };
        match text.split_once(':') {
            Some((resource, verb)) if text.len() <= 128 && word(resource) && word(verb) => {
                Ok(Self(Cow::Owned(text.to_owned())))
            }
            _ => Err(InvalidPermission(text.chars().take(80).collect())),
        }
    }
}

impl TryFrom<String> for Permission {
    type Error = InvalidPermission;
    fn try_from(text: String) -> Result<Self, InvalidPermission> {
        text.parse()
    }
}

impl From<Permission> for String {
    fn from(permission: Permission) -> Self {
        permission.0.into_owned()
    }
}
