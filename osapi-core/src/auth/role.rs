//! Roles: names for sets of permissions. Three are built in, more come from the configuration.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::permission::{Permission, PermissionSet, Permissions};
use crate::id::InvalidId;

/// The name of a role: 1 to 64 of `[A-Za-z0-9_-]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct RoleName(Cow<'static, str>);

impl RoleName {
    /// Sees agents, hosts, jobs and health.
    pub const READ: Self = Self(Cow::Borrowed("read"));
    /// `read`, and deletes and cancels jobs.
    pub const WRITE: Self = Self(Cow::Borrowed("write"));
    /// Every permission. The only built-in role that runs commands.
    pub const ADMIN: Self = Self(Cow::Borrowed("admin"));

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RoleName {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'-';
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(Cow::Owned(text.to_owned())))
        } else {
            Err(InvalidId::new("role name", "must be 1 to 64 letters, digits, '_' or '-'", text))
        }
    }
}

impl TryFrom<String> for RoleName {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<RoleName> for String {
    fn from(name: RoleName) -> Self {
        name.0.into_owned()
    }
}

/// Why a custom role is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRole {
    /// It has no valid name.
    #[error(transparent)]
    Name(#[from] InvalidId),
    /// It has the name of a built-in role.
    #[error("role '{role}' is built in and cannot be redefined: choose another name")]
    BuiltIn {
        /// The name.
        role: RoleName,
    },
    /// It names a permission that does not exist.
    #[error("role '{role}' names the unknown permission '{}': known are {known}", permission.escape_debug())]
    UnknownPermission {
        /// The role.
        role: RoleName,
        /// The permission as it was written, cut to 80 characters.
        permission: String,
        /// Those that exist.
        known: PermissionSet,
    },
}

/// What each role grants: the built-in roles and the custom ones.
#[derive(Debug, Clone)]
pub struct Roles {
    permissions: Permissions,
    roles: BTreeMap<RoleName, PermissionSet>,
}

impl Roles {
    /// The built-in roles over the permissions that exist.
    #[must_use]
    pub fn built_in(permissions: Permissions) -> Self {
        use Permission as P;
        let read = [P::AGENT_READ, P::NODE_READ, P::JOB_READ, P::HEALTH_READ];
        let write = read.clone().into_iter().chain([P::JOB_WRITE]).collect();
        let roles = [
            (RoleName::READ, read.into_iter().collect()),
            (RoleName::WRITE, write),
            (RoleName::ADMIN, permissions.all()),
        ];
        Self { permissions, roles: roles.into() }
    }

    /// The built-in roles and the custom ones in `custom`: the name of each and the permissions that it grants.
    ///
    /// # Errors
    /// Everything that is wrong with `custom`.
    pub fn with_custom(
        permissions: Permissions,
        custom: &BTreeMap<String, Vec<String>>,
    ) -> Result<Self, Vec<InvalidRole>> {
        let mut roles = Self::built_in(permissions);
        let wrong: Vec<_> =
            custom.iter().flat_map(|(name, granted)| roles.define(name, granted)).collect();
        if wrong.is_empty() { Ok(roles) } else { Err(wrong) }
    }

    /// What these roles grant together, and `direct` beside it. An unknown role grants nothing.
    #[must_use]
    pub fn expand<'a>(
        &self,
        roles: impl IntoIterator<Item = &'a RoleName>,
        direct: &[Permission],
    ) -> PermissionSet {
        let granted = roles.into_iter().filter_map(|role| self.roles.get(role));
        granted.flat_map(PermissionSet::iter).chain(direct).cloned().collect()
    }

    /// Whether there is a role of this name.
    #[must_use]
    pub fn contains(&self, role: &RoleName) -> bool {
        self.roles.contains_key(role)
    }

    /// Each role and what it grants, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&RoleName, &PermissionSet)> {
        self.roles.iter()
    }

    /// The permissions that exist.
    #[must_use]
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// Adds one custom role, or says everything that is wrong with it.
    fn define(&mut self, name: &str, granted: &[String]) -> Vec<InvalidRole> {
        let role: RoleName = match name.parse() {
            Ok(role) => role,
            Err(invalid) => return vec![InvalidRole::Name(invalid)],
        };
        if [RoleName::READ, RoleName::WRITE, RoleName::ADMIN].contains(&role) {
            return vec![InvalidRole::BuiltIn { role }];
        }
        let (mut set, mut wrong) = (PermissionSet::default(), Vec::new());
        for text in granted {
            match text.parse().ok().filter(|permission| self.permissions.contains(permission)) {
                Some(permission) => set.extend([permission]),
                None => wrong.push(InvalidRole::UnknownPermission {
                    role: role.clone(),
                    permission: text.chars().take(80).collect(),
                    known: self.permissions.all(),
                }),
            }
        }
        self.roles.insert(role, set);
        wrong
    }
}

impl Default for Roles {
    fn default() -> Self {
        Self::built_in(Permissions::built_in())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(roles: &Roles, names: &[&str]) -> String {
        let names: Vec<RoleName> = names.iter().map(|name| name.parse().unwrap()).collect();
        roles.expand(&names, &[]).to_string()
    }

    fn custom(roles: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
        let texts = |granted: &[&str]| granted.iter().map(ToString::to_string).collect();
        roles.iter().map(|(name, granted)| ((*name).to_owned(), texts(granted))).collect()
    }

    #[test]
    fn built_in_roles_grant_what_is_documented() {
        let roles = Roles::default();
        assert_eq!(granted(&roles, &["read"]), "agent:read, health:read, job:read, node:read");
        assert_eq!(
            granted(&roles, &["write"]),
            "agent:read, health:read, job:read, job:write, node:read"
        );
        assert_eq!(granted(&roles, &["admin"]), Permissions::built_in().all().to_string());
    }

    #[test]
    fn only_admin_may_run_commands() {
        for (role, granted) in Roles::default().iter() {
            let may = granted.contains(&Permission::COMMAND_EXECUTE);
            assert_eq!(may, *role == RoleName::ADMIN, "{role}");
        }
    }

    #[test]
    fn admin_gets_what_is_registered() {
        let mut permissions = Permissions::built_in();
        permissions.register("backup:run".parse().unwrap(), "run backups").unwrap();
        let roles = Roles::built_in(permissions);
        assert!(granted(&roles, &["admin"]).contains("backup:run"));
        assert!(!granted(&roles, &["write"]).contains("backup:run"));
    }

    #[test]
    fn direct_permissions_add_and_unknown_roles_grant_nothing() {
        let roles = Roles::default();
        let nobody: RoleName = "nobody".parse().unwrap();
        assert!(roles.expand([&nobody], &[]).is_empty());
        let both = roles.expand([&RoleName::READ, &nobody], &[Permission::COMMAND_EXECUTE]);
        let read = "agent:read, command:execute, health:read, job:read, node:read";
        assert_eq!(both.to_string(), read);
    }

    #[test]
    fn a_custom_role_grants_what_it_names() {
        let ops = custom(&[("ops", &["command:execute", "node:read", "health:read"]), ("no", &[])]);
        let roles = Roles::with_custom(Permissions::built_in(), &ops).unwrap();
        assert_eq!(granted(&roles, &["ops"]), "command:execute, health:read, node:read");
        assert_eq!(granted(&roles, &["no"]), "");
    }

    #[test]
    fn everything_wrong_with_custom_roles_is_said_at_once() {
        let wrong = custom(&[
            ("admin", &["node:read"]),
            ("o p", &["node:read"]),
            ("ops", &["node:write", "node:read", "Command"]),
        ]);
        let errors = Roles::with_custom(Permissions::built_in(), &wrong).unwrap_err();
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let known = "known are agent:read, agent:write, audit:read, command:execute, health:read, \
                     job:read, job:write, key:write, node:read, token:write";
        assert_eq!(
            texts,
            [
                "role 'admin' is built in and cannot be redefined: choose another name".to_owned(),
                "invalid role name 'o p': must be 1 to 64 letters, digits, '_' or '-'".to_owned(),
                format!("role 'ops' names the unknown permission 'node:write': {known}"),
                format!("role 'ops' names the unknown permission 'Command': {known}"),
            ]
        );
    }

    #[test]
    fn role_names_are_bounded() {
        assert!("x".repeat(64).parse::<RoleName>().is_ok());
        for bad in ["", &"x".repeat(65), "a.b", "é", "a b"] {
            assert!(bad.parse::<RoleName>().is_err(), "{bad:?}");
        }
    }
}
