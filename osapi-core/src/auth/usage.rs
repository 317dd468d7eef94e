//! What keys are for.

use serde::{Deserialize, Serialize};

/// What a key of the ring is for. A key is never valid for two uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum KeyUse {
    /// Signs orders, cancels and answers.
    Job,
    /// Signs access tokens.
    Token,
}

impl KeyUse {
    /// The word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Token => "token",
        }
    }
}
