//! Who may do what, and how it is known: permissions ([`permission`]) and the roles that bundle them ([`role`]), access tokens
//! ([`token`]), the decision ([`authorize`]), signed documents ([`envelope`]), membership proofs ([`merkle`]), keys ([`keys`]) and what they are for ([`usage`]).

#[cfg(feature = "token")]
pub mod authorize;
#[cfg(feature = "token")]
pub mod envelope;
#[cfg(feature = "token")]
pub mod keys;
#[cfg(feature = "token")]
pub mod merkle;
pub mod permission;
pub mod role;
#[cfg(feature = "token")]
pub mod token;
pub mod usage;
