//! How values are written in the configuration: for people when read, in one form when written.
//!
//! What cannot be read is said as "must be ..., not ...", without the names of Rust's types.

use std::fmt::{self, Display};
use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use serde::ser::Serializer;

/// A section whose keys are all commented out is a section with every default.
pub(super) fn section<'de, T, D>(from: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// An IP address.
pub(super) fn address<'de, D: Deserializer<'de>>(from: D) -> Result<IpAddr, D::Error> {
    from.deserialize_any(Scalar {
        what: "an IP address such as 127.0.0.1 or ::1",
        number: |_| None,
        text: |text| text.parse().ok(),
    })
}

/// A whole number.
pub(super) fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    from.deserialize_any(Scalar {
        what: "a whole number",
        number: |number| number.try_into().ok(),
        text: |_| None,
    })
}

/// Yes or no.
pub(super) fn switch<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    /// Also as text, which is what variables hold.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Switch(bool),
        Other(String),
    }
    match Form::deserialize(from) {
        Ok(Form::Switch(switch)) => Ok(switch),
        Ok(Form::Other(text)) if text == "true" => Ok(true),
        Ok(Form::Other(text)) if text == "false" => Ok(false),
        Ok(Form::Other(_)) | Err(_) => Err(de::Error::custom("must be true or false")),
    }
}

/// A sequence of texts, or one text with commas between them, which is what variables hold.
pub(super) fn list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Sequence(Vec<String>),
        Text(String),
    }
    match Option::<Form>::deserialize(from) {
        Ok(None) => Ok(Vec::new()),
        Ok(Some(Form::Sequence(list))) => Ok(list),
        Ok(Some(Form::Text(text))) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Ok(parts.map(ToOwned::to_owned).collect())
        }
        Err(_) => {
            Err(de::Error::custom("must be a list of texts, or texts with commas between them"))
        }
    }
}

/// A duration as [`crate::duration`] has it, such as `30s`.
pub(super) mod duration {
    use super::{Deserializer, Duration, Scalar, Serializer};
    use crate::duration::{Written, parse};

    pub(in crate::config) fn serialize<S: Serializer>(
        value: &Duration,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_str(&Written(*value))
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Duration, D::Error> {
        from.deserialize_any(Scalar {
            what: "a duration with its unit (ms, s, m or h), such as 30s, 5m or 24h",
            number: |_| None,
            text: |text| parse(text).ok(),
        })
    }
}

/// A size in bytes, as a whole number or with a unit, such as `10MiB`. Written as a number, which loses nothing.
pub(super) mod size {
    use super::{Deserializer, Scalar, Serializer, parse_size};

    pub(in crate::config) fn serialize<S: Serializer>(
        value: &u64,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_u64(*value)
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<u64, D::Error> {
        from.deserialize_any(Scalar {
            what: "a size in bytes such as 1048576, 64KiB or 10MiB",
            number: Some,
            text: parse_size,
        })
    }
}

/// Reads a scalar, or says what it should have been.
struct Scalar<T> {
    what: &'static str,
    number: fn(u64) -> Option<T>,
    text: fn(&str) -> Option<T>,
}

impl<T> Scalar<T> {
    fn or_refuse<E: de::Error>(&self, value: Option<T>, shown: impl Display) -> Result<T, E> {
        value.ok_or_else(|| E::custom(format_args!("must be {}, not {shown}", self.what)))
    }
}

impl<T> Visitor<'_> for Scalar<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.or_refuse((self.number)(number), number)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.or_refuse(u64::try_from(number).ok().and_then(self.number), number)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        self.or_refuse(None, number)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        let shown: String = text.chars().take(80).collect();
        self.or_refuse((self.text)(text), format_args!("'{}'", shown.escape_debug()))
    }
}

/// A size in bytes, such as `1048576`, `64KiB` or `10MB`; none if it is none, or too large for 64 bits.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// A size for people: with the largest binary unit that divides it.
pub(super) fn shown_size(bytes: u64) -> String {
    let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_bytes_or_have_a_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            ("64KiB", 65_536),
            ("10MiB", 10_485_760),
            ("10 MiB", 10_485_760),
            ("1GB", 1_000_000_000),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for bad in ["", "MiB", "-1", "1.5MiB", "10mib", "10M", "99999999TiB", "1 0"] {
            assert_eq!(parse_size(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_size_that_is_shown_is_read_back(number in any::<u32>(), shift in 0_u32..32) {
            let bytes = u64::from(number) << shift;
            prop_assert_eq!(parse_size(&shown_size(bytes)), Some(bytes));
        }
    }
}
