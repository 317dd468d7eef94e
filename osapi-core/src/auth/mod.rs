//! Who may do what, and how it is known: permissions and roles ([`permission`]), the decision ([`authorize`]), access tokens
//! ([`token`]), signed documents ([`envelope`]), membership proofs ([`merkle`]) and keys ([`keys`]).

#[cfg(feature = "token")]
pub mod authorize;
#[cfg(feature = "token")]
pub mod envelope;
#[cfg(feature = "token")]
pub mod keys;
#[cfg(feature = "token")]
pub mod merkle;
pub mod permission;
#[cfg(feature = "token")]
pub mod token;
