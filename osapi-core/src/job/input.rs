//! What a command reads from its standard input.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::limits::{Invalid, STDIN_MAX};

/// Bytes for the standard input of a command; base64 (RFC 4648 §4) in JSON. Copies share them.
///
/// ```
/// use osapi_core::job::Stdin;
///
/// let stdin = Stdin::from("two\nlines\n");
/// assert_eq!(serde_json::to_string(&stdin)?, r#""dHdvCmxpbmVzCg==""#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Stdin(Arc<[u8]>);

impl Stdin {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Checks that there are not too many.
    ///
    /// # Errors
    /// When there are more than [`STDIN_MAX`].
    pub fn validate(&self) -> Result<(), Invalid> {
        let size = self.0.len();
        if size > STDIN_MAX {
            let bound = format!("at most {STDIN_MAX} bytes");
            return Err(Invalid::new("stdin", bound, format!("{size} bytes")));
        }
        Ok(())
    }
}

impl<T: AsRef<[u8]>> From<T> for Stdin {
    fn from(bytes: T) -> Self {
        Self(bytes.as_ref().into())
    }
}

/// It may hold what is nobody's business: only its size is shown.
impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stdin({} bytes)", self.0.len())
    }
}

impl Serialize for Stdin {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Stdin {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = STANDARD.decode(text);
        bytes.map(Self::from).map_err(|_| de::Error::custom("must be base64 (RFC 4648 section 4)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_kind_are_read_as_they_are_written() {
        for bytes in [&b""[..], b"a", b"\xff\0\n"] {
            let text = serde_json::to_string(&Stdin::from(bytes)).unwrap();
            assert_eq!(serde_json::from_str::<Stdin>(&text).unwrap().as_bytes(), bytes);
        }
        for text in [r#""a""#, r#""_w==""#, r#""YQ""#, "1", "null"] {
            assert!(serde_json::from_str::<Stdin>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_in_it_is_not_shown() {
        assert_eq!(format!("{:?}", Stdin::from("secret")), "Stdin(6 bytes)");
    }
}
