//! The decision. A [`Permit`] is the proof that it was made: only [`authorize`] builds one, and what needs it asks for it.

use std::net::SocketAddr;

use super::permission::{Permission, PermissionSet};
use super::role::{RoleName, Roles};
use super::token::Claims;
use crate::id::{RequestId, TokenId};
use crate::job::Submitter;

/// The request that is decided on, as far as logs and records name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Its id.
    pub request_id: RequestId,
    /// Where it came from; none inside one process.
    pub source: Option<SocketAddr>,
    /// Its `traceparent` (W3C Trace Context).
    pub trace: Option<String>,
}

/// What a request needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// This permission.
    Permission(Permission),
    /// The permission of the operation of a job that is not read yet: who holds that of no operation at all is denied at once,
    /// the others by [`Permit::require`] once the job is known.
    AnyOperation,
    /// A valid token, whatever it grants.
    Authenticated,
}

/// A permission that is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("missing permission '{missing}'")]
pub struct Denied {
    /// What would have been needed; for [`Need::AnyOperation`] the permission of the most common operation.
    pub missing: Permission,
}

/// Decides whether the holder of an authentic token may do what needs `need`.
///
/// # Errors
/// When the permission is missing.
pub fn authorize(
    claims: &Claims,
    roles: &Roles,
    need: &Need,
    context: Context,
) -> Result<Permit, Denied> {
    let permit = Permit {
        subject: claims.sub.clone(),
        token_id: claims.jti,
        roles: claims.roles.clone(),
        scope: roles.expand(&claims.roles, &claims.permissions),
        context,
    };
    match need {
        Need::Permission(permission) => permit.require(permission)?,
        Need::AnyOperation => {
            if !roles.permissions().operations().iter().any(|operation| permit.allows(operation)) {
                return Err(Denied { missing: Permission::COMMAND_EXECUTE });
            }
        }
        Need::Authenticated => {}
    }
    Ok(permit)
}

/// The proof that a request was authorized, and who made it.
#[derive(Debug)]
#[must_use = "an authorization that nothing asks for protects nothing"]
pub struct Permit {
    subject: String,
    token_id: TokenId,
    roles: Vec<RoleName>,
    scope: PermissionSet,
    context: Context,
}

impl Permit {
    /// The token's subject.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The token's id.
    #[must_use]
    pub fn token_id(&self) -> TokenId {
        self.token_id
    }

    /// The token's roles.
    #[must_use]
    pub fn roles(&self) -> &[RoleName] {
        &self.roles
    }

    /// Every permission that the token grants.
    #[must_use]
    pub fn scope(&self) -> &PermissionSet {
        &self.scope
    }

    /// The request's id.
    #[must_use]
    pub fn request_id(&self) -> RequestId {
        self.context.request_id
    }

    /// Where the request came from.
    #[must_use]
    pub fn source(&self) -> Option<SocketAddr> {
        self.context.source
    }

    /// The request's `traceparent`.
    #[must_use]
    pub fn trace(&self) -> Option<&str> {
        self.context.trace.as_deref()
    }

    /// Whether the token grants `permission`.
    #[must_use]
    pub fn allows(&self, permission: &Permission) -> bool {
        self.scope.contains(permission)
    }

    /// Asks for one more permission.
    ///
    /// # Errors
    /// When the token does not grant it.
    pub fn require(&self, permission: &Permission) -> Result<(), Denied> {
        if self.allows(permission) { Ok(()) } else { Err(Denied { missing: permission.clone() }) }
    }

    /// Who asks, for the records that last.
    #[must_use]
    pub fn submitter(&self) -> Submitter {
        Submitter {
            subject: self.subject.clone(),
            token_id: self.token_id.to_string(),
            roles: self.roles.iter().map(ToString::to_string).collect(),
        }
    }

    /// A permit without a token, for tests of what asks for one. The token id follows from the subject.
    #[cfg(any(test, feature = "mock", feature = "conformance"))]
    pub fn for_tests(subject: &str, scope: impl IntoIterator<Item = Permission>) -> Self {
        let mut token_id = [0; 16];
        token_id.copy_from_slice(&crate::id::Digest::of(subject.as_bytes()).as_bytes()[..16]);
        Self {
            subject: subject.to_owned(),
            token_id: TokenId::from_bytes(token_id),
            roles: Vec::new(),
            scope: scope.into_iter().collect(),
            context: Context { request_id: RequestId::random(), source: None, trace: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::permission::Permissions;
    use super::*;
    use crate::clock::Timestamp;
    use crate::id::FleetId;

    fn claims(roles: &[RoleName], permissions: &[Permission]) -> Claims {
        let at = Timestamp::from_unix_millis(0);
        Claims {
            v: 1,
            fleet: FleetId::from_bytes([1; 16]),
            sub: "a@b".into(),
            jti: TokenId::from_bytes([2; 16]),
            iat: at,
            nbf: at,
            exp: at,
            roles: roles.to_vec(),
            permissions: permissions.to_vec(),
        }
    }

    fn context() -> Context {
        Context {
            request_id: RequestId::from_bytes([3; 16]),
            source: Some(([127, 0, 0, 1], 4000).into()),
            trace: Some("00-x".into()),
        }
    }

    fn decide(claims: &Claims, need: Need) -> Result<Permit, Denied> {
        authorize(claims, &Roles::default(), &need, context())
    }

    #[test]
    fn a_permit_carries_who_asked_and_from_where() {
        let claims = claims(&[RoleName::READ], &[Permission::COMMAND_EXECUTE]);
        let permit = decide(&claims, Need::Authenticated).unwrap();
        assert_eq!((permit.subject(), permit.token_id()), ("a@b", claims.jti));
        assert_eq!(permit.roles(), [RoleName::READ]);
        assert_eq!(permit.request_id(), RequestId::from_bytes([3; 16]));
        assert_eq!(permit.source(), Some(([127, 0, 0, 1], 4000).into()));
        assert_eq!(permit.trace(), Some("00-x"));
        let scope = "agent:read, command:execute, health:read, job:read, node:read";
        assert_eq!(permit.scope().to_string(), scope);
        let submitter = permit.submitter();
        assert_eq!(submitter.subject, "a@b");
        assert_eq!(submitter.token_id, "02".repeat(16));
        assert_eq!(submitter.roles, ["read"]);
    }

    #[test]
    fn each_permission_is_needed_and_enough() {
        for permission in Permissions::built_in().all().iter() {
            let need = Need::Permission(permission.clone());
            let others: Vec<_> = Permissions::built_in().all().iter().cloned().collect();
            let others: Vec<_> = others.into_iter().filter(|other| other != permission).collect();
            let denied = decide(&claims(&[], &others), need.clone()).unwrap_err();
            assert_eq!(denied.to_string(), format!("missing permission '{permission}'"));
            let permit = decide(&claims(&[], std::slice::from_ref(permission)), need).unwrap();
            assert!(permit.allows(permission));
            assert!(others.iter().all(|other| permit.require(other).is_err()));
        }
    }

    #[test]
    fn any_operation_needs_the_permission_of_some_operation() {
        let some =
            |permissions: &[Permission]| decide(&claims(&[], permissions), Need::AnyOperation);
        assert!(some(&[Permission::NODE_READ]).is_ok());
        assert!(some(&[Permission::COMMAND_EXECUTE]).is_ok());
        let denied = some(&[Permission::JOB_WRITE, Permission::JOB_READ]).unwrap_err();
        assert_eq!(denied.missing, Permission::COMMAND_EXECUTE);
    }

    #[test]
    fn a_registered_permission_is_that_of_some_operation() {
        let backup: Permission = "backup:run".parse().unwrap();
        let claims = claims(&[], std::slice::from_ref(&backup));
        assert!(decide(&claims, Need::AnyOperation).is_err());
        let mut permissions = Permissions::built_in();
        permissions.register(backup, "run backups").unwrap();
        let roles = Roles::built_in(permissions);
        assert!(authorize(&claims, &roles, &Need::AnyOperation, context()).is_ok());
    }

    #[test]
    fn a_token_without_anything_is_denied_everything() {
        let unknown: RoleName = "ops".parse().unwrap();
        let nothing = claims(&[unknown], &[]);
        assert!(decide(&nothing, Need::Authenticated).unwrap().scope().is_empty());
        assert!(decide(&nothing, Need::AnyOperation).is_err());
        assert!(decide(&nothing, Need::Permission(Permission::HEALTH_READ)).is_err());
    }
}
