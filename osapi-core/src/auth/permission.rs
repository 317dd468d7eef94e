//! Permissions: their names, sets of them, and the list of those that exist. [`super::role`] bundles them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
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
    /// Publish key rings.
    pub const KEY_WRITE: Self = Self(Cow::Borrowed("key:write"));
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

/// Some permissions, in the order of their names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct PermissionSet(BTreeSet<Permission>);

impl PermissionSet {
    /// Whether `permission` is among them.
    #[must_use]
    pub fn contains(&self, permission: &Permission) -> bool {
        self.0.contains(permission)
    }

    /// The permissions, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Permission> {
        self.0.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Permission> for PermissionSet {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().collect())
    }
}

impl Extend<Permission> for PermissionSet {
    fn extend<I: IntoIterator<Item = Permission>>(&mut self, permissions: I) {
        self.0.extend(permissions);
    }
}

impl fmt::Display for PermissionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, permission) in self.0.iter().enumerate() {
            write!(f, "{}{permission}", if n == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// The permissions that come with OSAPI, and what each of them allows.
const BUILT_IN: [(Permission, &str); 10] = [
    (Permission::AGENT_READ, "list agents"),
    (Permission::AGENT_WRITE, "invite, drain and remove agents"),
    (Permission::AUDIT_READ, "read the audit log"),
    (Permission::COMMAND_EXECUTE, "run commands, and cancel and retry one's own"),
    (Permission::HEALTH_READ, "read the detailed health"),
    (Permission::JOB_READ, "see jobs and their states"),
    (Permission::JOB_WRITE, "delete jobs, and cancel those of others"),
    (Permission::KEY_WRITE, "publish key rings"),
    (Permission::NODE_READ, "read facts of hosts"),
    (Permission::TOKEN_WRITE, "revoke tokens"),
];

/// The permissions that exist: the built-in ones, and what an embedding program registers before it starts.
#[derive(Debug, Clone)]
pub struct Permissions {
    known: BTreeMap<Permission, Cow<'static, str>>,
    operations: PermissionSet,
}

/// A permission that is registered already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("permission '{0}' exists already")]
pub struct DuplicatePermission(pub Permission);

impl Permissions {
    /// The built-in permissions.
    #[must_use]
    pub fn built_in() -> Self {
        let known = BUILT_IN.map(|(permission, what)| (permission, Cow::Borrowed(what))).into();
        let operations = [Permission::COMMAND_EXECUTE, Permission::NODE_READ].into_iter().collect();
        Self { known, operations }
    }

    /// Adds a permission. `description` completes "holders may ..". The role `admin` gets it, and it may be the permission of an
    /// operation (see [`Permissions::operations`]).
    ///
    /// # Errors
    /// When it exists already, built in or registered.
    pub fn register(
        &mut self,
        permission: Permission,
        description: impl Into<Cow<'static, str>>,
    ) -> Result<(), DuplicatePermission> {
        if self.contains(&permission) {
            return Err(DuplicatePermission(permission));
        }
        self.operations.extend([permission.clone()]);
        self.known.insert(permission, description.into());
        Ok(())
    }

    /// Whether `permission` exists.
    #[must_use]
    pub fn contains(&self, permission: &Permission) -> bool {
        self.known.contains_key(permission)
    }

    /// Each permission and what it allows, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&Permission, &str)> {
        self.known.iter().map(|(permission, description)| (permission, description.as_ref()))
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> PermissionSet {
        self.known.keys().cloned().collect()
    }

    /// The permissions that some operation may need: those of the built-in operations, and every registered one.
    #[must_use]
    pub fn operations(&self) -> &PermissionSet {
        &self.operations
    }
}

impl Default for Permissions {
    fn default() -> Self {
        Self::built_in()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Exec, Operation, Shell};

    #[test]
    fn a_permission_is_resource_and_verb() {
        for good in ["command:execute", "a:b", "db_2:read-all"] {
            assert_eq!(good.parse::<Permission>().unwrap().as_str(), good);
        }
        let long = format!("a:{}", "b".repeat(127));
        for bad in ["", "a", ":", "a:", ":b", "a:b:c", "A:b", "a:b ", "a:*", "é:b", &long] {
            assert!(bad.parse::<Permission>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn these_permissions_are_built_in_and_no_others() {
        let all = "agent:read, agent:write, audit:read, command:execute, health:read, job:read, \
                   job:write, key:write, node:read, token:write";
        assert_eq!(Permissions::built_in().all().to_string(), all);
    }

    #[test]
    fn a_registered_permission_exists_once() {
        let mut permissions = Permissions::built_in();
        let backup: Permission = "backup:run".parse().unwrap();
        assert!(!permissions.contains(&backup));
        permissions.register(backup.clone(), "run backups").unwrap();
        assert!(permissions.iter().any(|known| known == (&backup, "run backups")));
        for twice in [backup, Permission::NODE_READ] {
            let refused = permissions.register(twice.clone(), "something else");
            assert_eq!(refused, Err(DuplicatePermission(twice)));
        }
        assert!(permissions.iter().all(|(_, description)| description != "something else"));
    }

    #[test]
    fn every_operation_needs_one_of_the_permissions_of_operations() {
        let permissions = Permissions::built_in();
        let exec = Operation::Exec(Exec::new("true"));
        for operation in [exec, Operation::Shell(Shell::new("true")), Operation::Facts] {
            assert!(permissions.operations().contains(&operation.permission()));
        }
        assert!(!permissions.operations().contains(&Permission::JOB_READ));
    }
}
