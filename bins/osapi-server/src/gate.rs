//! Steps 3 and 4: whose token it is, and whether it may. Both come before the first byte of the body is read.

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use osapi_core::api::{Access, Code, Problem};
use osapi_core::auth::authorize::{Context, Denied, Need, Permit, authorize};
use osapi_core::auth::keys::KeyRing;
use osapi_core::auth::role::Roles;
use osapi_core::auth::token::{Claims, NoneRevoked, TEXT_MAX, TokenError, Verifier};
use osapi_core::clock::Clock;
use osapi_core::id::FleetId;
use tokio::sync::watch;

use crate::failure::Failure;

/// What tokens and permissions are checked against.
pub(crate) struct Gate {
    /// The keys that are valid now; none until the store was read.
    pub(crate) keys: watch::Receiver<Option<Arc<KeyRing>>>,
    /// The fleet that tokens must be for.
    pub(crate) fleet: FleetId,
    /// What roles grant. They are expanded at each request.
    pub(crate) roles: Roles,
    /// The time at which tokens must be valid.
    pub(crate) clock: Arc<dyn Clock>,
}

impl Gate {
    /// Step 3: what the request's token says.
    pub(crate) fn identify(&self, headers: &HeaderMap) -> Result<Claims, Failure> {
        let token = bearer(headers)?;
        let ring = self.keys.borrow().clone();
        let ring = ring.ok_or_else(|| {
            Failure::new(Code::NotReady, "the server has no keys yet: try again in a moment")
        })?;
        let verifier = Verifier { keys: &*ring, fleet: self.fleet, revocations: &NoneRevoked };
        verifier.verify(token, self.clock.wall()).map_err(refused)
    }

    /// Step 4: the permit, if `claims` grant what the endpoint needs.
    pub(crate) fn permit(
        &self,
        claims: &Claims,
        access: &Access,
        context: Context,
    ) -> Result<Permit, Failure> {
        let decide = |need: Need| authorize(claims, &self.roles, &need, context.clone());
        let decision = match access {
            Access::Open => decide(Need::Authenticated),
            Access::Permission(permission) => decide(Need::Permission(permission.clone())),
            Access::Operation => decide(Need::AnyOperation),
            Access::OwnOr(permission) => {
                // Whose job it is, the controller finds out.
                decide(Need::AnyOperation).or_else(|_| decide(Need::Permission(permission.clone())))
            }
        };
        decision.map_err(denied)
    }
}

/// The token in `Authorization: Bearer` (RFC 6750 §2.1).
fn bearer(headers: &HeaderMap) -> Result<&str, Failure> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let Some(field) = fields.next() else {
        let detail = "send an access token in the header 'authorization: Bearer <token>'";
        return Err(Failure::new(Code::TokenMissing, detail));
    };
    if fields.next().is_some() {
        let detail = "the authorization header must be given once, and was given again";
        return Err(Failure::new(Code::TokenMalformed, detail));
    }
    if field.len() > TEXT_MAX + "Bearer ".len() {
        return Err(refused(TokenError::TooLong));
    }
    let text = field.to_str().map_err(|_| refused(TokenError::Malformed))?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Ok(token.trim_start_matches(' '))
        }
        _ => {
            let detail = "the authorization header must be 'Bearer <token>'";
            Err(Failure::new(Code::TokenMissing, detail))
        }
    }
}

fn refused(error: TokenError) -> Failure {
    let code = match error {
        TokenError::Malformed => Code::TokenMalformed,
        TokenError::TooLong => Code::TokenTooLong,
        TokenError::UnknownKey => Code::TokenUnknownKey,
        TokenError::BadSignature => Code::TokenBadSignature,
        TokenError::Expired { .. } => Code::TokenExpired,
        TokenError::NotYetValid { .. } => Code::TokenNotYetValid,
        TokenError::OtherFleet => Code::TokenOtherFleet,
        TokenError::Revoked => Code::TokenRevoked,
    };
    Failure::new(code, error.to_string())
}

fn denied(denied: Denied) -> Failure {
    let detail = format!("the token does not grant the permission '{}'", denied.missing);
    let missing_permission = Some(denied.missing.to_string());
    Problem { missing_permission, ..Problem::new(Code::PermissionDenied, detail) }.into()
}
