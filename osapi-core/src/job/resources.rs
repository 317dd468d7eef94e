//! How much of its host a command may use at most.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::limits::Invalid;

/// Something of which a command may be given only so much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Descriptors that one process may have open (`RLIMIT_NOFILE`, getrlimit(2)).
    OpenFiles,
    /// Processes and threads of its user together, whoever started them (`RLIMIT_NPROC`). It does not hold for root.
    Processes,
    /// Bytes of a file that it writes (`RLIMIT_FSIZE`).
    FileSizeBytes,
    /// Bytes of a core dump (`RLIMIT_CORE`).
    CoreBytes,
    /// Bytes of memory of all its processes together (`memory.max` of cgroup v2).
    MemoryBytes,
    /// Thousandths of a processor for all its processes together (`cpu.max` of cgroup v2).
    CpuMillis,
    /// Processes and threads of its own (`pids.max` of cgroup v2).
    Pids,
}

/// In what it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    One,
    Byte,
    Millis,
}

impl Resource {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::OpenFiles,
        Self::Processes,
        Self::FileSizeBytes,
        Self::CoreBytes,
        Self::MemoryBytes,
        Self::CpuMillis,
        Self::Pids,
    ];

    /// Its name where people write it; the amount beside it says the unit.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenFiles => "open-files",
            Self::Processes => "processes",
            Self::FileSizeBytes => "file-size",
            Self::CoreBytes => "core",
            Self::MemoryBytes => "memory",
            Self::CpuMillis => "cpu",
            Self::Pids => "pids",
        }
    }

    /// The controller of cgroup v2 that holds to it; none if every process has the limit by itself.
    #[must_use]
    pub fn controller(self) -> Option<&'static str> {
        match self {
            Self::MemoryBytes => Some("memory"),
            Self::CpuMillis => Some("cpu"),
            Self::Pids => Some("pids"),
            Self::OpenFiles | Self::Processes | Self::FileSizeBytes | Self::CoreBytes => None,
        }
    }

    fn unit(self) -> Unit {
        match self {
            Self::OpenFiles | Self::Processes | Self::Pids => Unit::One,
            Self::FileSizeBytes | Self::CoreBytes | Self::MemoryBytes => Unit::Byte,
            Self::CpuMillis => Unit::Millis,
        }
    }

    /// What an amount may be: not so little that nothing could start, nor more than the kernel takes.
    fn bounds(self) -> RangeInclusive<u64> {
        match self {
            Self::OpenFiles => 3..=1 << 30,
            Self::Processes | Self::Pids => 1..=1 << 22,
            Self::FileSizeBytes | Self::CoreBytes => 0..=1 << 60,
            Self::MemoryBytes => 1 << 20..=1 << 60,
            Self::CpuMillis => 10..=1_000_000,
        }
    }

    /// `amount` as it is written.
    #[must_use]
    pub fn written(self, amount: u64) -> String {
        const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match self.unit() {
            Unit::One => amount.to_string(),
            Unit::Byte => {
                let whole = |(_, size): &&(&str, u64)| amount > 0 && amount.is_multiple_of(*size);
                let unit = UNITS.iter().find(whole);
                unit.map_or(amount.to_string(), |(unit, size)| format!("{}{unit}", amount / size))
            }
            Unit::Millis => {
                let text = format!("{}.{:03}", amount / 1000, amount % 1000);
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
        }
    }

    /// The amount that is written as `text`.
    fn amount(self, text: &str) -> Option<u64> {
        match self.unit() {
            Unit::One => digits(text),
            Unit::Byte => {
                let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
                let (number, unit) = text.split_at(end);
                let factor = match unit {
                    "" => 1,
                    "K" | "KiB" => 1 << 10,
                    "M" | "MiB" => 1 << 20,
                    "G" | "GiB" => 1 << 30,
                    "T" | "TiB" => 1 << 40,
                    _ => return None,
                };
                digits(number)?.checked_mul(factor)
            }
            Unit::Millis => {
                let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
                let thousandths = digits(&format!("{part:0<3}")).filter(|_| part.len() <= 3)?;
                digits(whole)?.checked_mul(1000)?.checked_add(thousandths)
            }
        }
    }
}

fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|c| c.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that is no limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLimit {
    /// Nothing of that name is limited.
    #[error(
        "'{0}' is not limited: known are open-files, processes, file-size, core, memory, cpu, pids"
    )]
    Unknown(String),
    /// No amount of it.
    #[error("{resource} must be {}, not '{text}'", form(*.resource))]
    Amount {
        /// Of what.
        resource: Resource,
        /// What is none.
        text: String,
    },
    /// No name and amount.
    #[error("must be NAME=AMOUNT, such as memory=512M")]
    Form,
}

fn form(resource: Resource) -> String {
    let (least, most) = (resource.bounds(), resource.bounds());
    let of = match resource.unit() {
        Unit::One => "a number",
        Unit::Byte => "bytes such as 1048576, 64K, 100M or 2G",
        Unit::Millis => "processors such as 2 or 0.5",
    };
    let written = |amount| resource.written(amount);
    format!("{of}, {} to {}", written(*least.start()), written(*most.end()))
}

/// One limit, as it is typed: `memory=512M`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceLimit {
    /// Of what.
    pub resource: Resource,
    /// How much at most.
    pub amount: u64,
}

impl ResourceLimit {
    /// The limit of what is called `name` to what is written as `text`.
    ///
    /// # Errors
    /// When either is none.
    pub fn parse(name: &str, text: &str) -> Result<Self, InvalidLimit> {
        let resource = Resource::ALL.into_iter().find(|resource| resource.as_str() == name);
        let resource = resource.ok_or_else(|| InvalidLimit::Unknown(name.to_owned()))?;
        let amount = resource.amount(text).filter(|amount| resource.bounds().contains(amount));
        let invalid = || InvalidLimit::Amount { resource, text: text.to_owned() };
        Ok(Self { resource, amount: amount.ok_or_else(invalid)? })
    }
}

impl FromStr for ResourceLimit {
    type Err = InvalidLimit;
    fn from_str(text: &str) -> Result<Self, InvalidLimit> {
        let (name, amount) = text.split_once('=').ok_or(InvalidLimit::Form)?;
        Self::parse(name, amount)
    }
}

/// `memory=512MiB`
impl fmt::Display for ResourceLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.resource, self.resource.written(self.amount))
    }
}

/// How much of each resource a command may use at most; what is not named is not limited by it.
///
/// ```
/// use osapi_core::job::{Resource, ResourceLimits};
///
/// let limits = ResourceLimits::of(["memory=512M".parse()?, "cpu=1.5".parse()?]);
/// assert_eq!(limits.get(Resource::CpuMillis), Some(1500));
/// assert_eq!(limits.to_string(), "memory=512MiB cpu=1.5");
/// # Ok::<(), osapi_core::job::resources::InvalidLimit>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct ResourceLimits(
    #[serde(deserialize_with = "super::operation::without_duplicates")] BTreeMap<Resource, u64>,
);

impl ResourceLimits {
    /// These; of two of one resource the last counts.
    #[must_use]
    pub fn of(limits: impl IntoIterator<Item = ResourceLimit>) -> Self {
        Self(limits.into_iter().map(|limit| (limit.resource, limit.amount)).collect())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How much there may be of `resource`, if that is limited.
    #[must_use]
    pub fn get(&self, resource: Resource) -> Option<u64> {
        self.0.get(&resource).copied()
    }

    /// They, in the order of [`Resource`].
    pub fn iter(&self) -> impl Iterator<Item = ResourceLimit> {
        self.0.iter().map(|(&resource, &amount)| ResourceLimit { resource, amount })
    }

    /// They where nothing goes beyond `most`; what is not named is as in `most`.
    ///
    /// # Errors
    /// The first limit of `most` that they go beyond.
    pub fn within(&self, most: &Self) -> Result<Self, ResourceLimit> {
        let mut all = most.0.clone();
        for ResourceLimit { resource, amount } in self.iter() {
            match most.get(resource) {
                Some(bound) if amount > bound => {
                    return Err(ResourceLimit { resource, amount: bound });
                }
                Some(_) | None => all.insert(resource, amount),
            };
        }
        Ok(Self(all))
    }

    /// Checks the bounds of each.
    ///
    /// # Errors
    /// The first bound that is broken.
    pub fn validate(&self) -> Result<(), Invalid> {
        for ResourceLimit { resource, amount } in self.iter() {
            let bounds = resource.bounds();
            if !bounds.contains(&amount) {
                let field = format!("limits.{}", key(resource));
                return Err(Invalid::new(
                    field,
                    format!("{} to {}", bounds.start(), bounds.end()),
                    amount,
                ));
            }
        }
        Ok(())
    }
}

/// As it is called in JSON.
fn key(resource: Resource) -> String {
    let json = serde_json::to_value(resource);
    json.ok().and_then(|json| json.as_str().map(ToOwned::to_owned)).unwrap_or_default()
}

/// As they are typed, with blanks between them.
impl fmt::Display for ResourceLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits: Vec<_> = self.iter().map(|limit| limit.to_string()).collect();
        f.write_str(&limits.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(texts: &[&str]) -> ResourceLimits {
        ResourceLimits::of(texts.iter().map(|text| text.parse().unwrap()))
    }

    #[test]
    fn limits_are_typed_with_their_units() {
        for (text, resource, amount, written) in [
            ("open-files=1024", Resource::OpenFiles, 1024, "open-files=1024"),
            ("processes=200", Resource::Processes, 200, "processes=200"),
            ("file-size=100M", Resource::FileSizeBytes, 100 << 20, "file-size=100MiB"),
            ("file-size=1000", Resource::FileSizeBytes, 1000, "file-size=1000"),
            ("core=0", Resource::CoreBytes, 0, "core=0"),
            ("memory=2G", Resource::MemoryBytes, 2 << 30, "memory=2GiB"),
            ("memory=1536MiB", Resource::MemoryBytes, 1536 << 20, "memory=1536MiB"),
            ("cpu=1.5", Resource::CpuMillis, 1500, "cpu=1.5"),
            ("cpu=2", Resource::CpuMillis, 2000, "cpu=2"),
            ("cpu=0.025", Resource::CpuMillis, 25, "cpu=0.025"),
            ("pids=1", Resource::Pids, 1, "pids=1"),
        ] {
            let limit: ResourceLimit = text.parse().unwrap();
            assert_eq!((limit.resource, limit.amount), (resource, amount), "{text}");
            assert_eq!(limit.to_string(), written);
            assert_eq!(written.parse(), Ok(limit));
        }
    }

    #[test]
    fn what_is_no_limit_is_refused_with_what_it_may_be() {
        for (text, words) in [
            ("memory", "NAME=AMOUNT"),
            ("stack=1M", "known are open-files"),
            ("open_files=9", "known are open-files"),
            ("open-files=2", "a number, 3 to"),
            ("processes=0", "a number, 1 to 4194304"),
            ("processes=-1", "not '-1'"),
            ("processes=+1", "not '+1'"),
            ("memory=512", "1MiB to"),
            ("memory=1.5G", "not '1.5G'"),
            ("memory=1X", "not '1X'"),
            ("memory=99999999999T", "not "),
            ("cpu=0", "processors such as 2 or 0.5, 0.01 to 1000"),
            ("cpu=1.2345", "not '1.2345'"),
            ("cpu=", "not ''"),
        ] {
            let refused = text.parse::<ResourceLimit>().unwrap_err().to_string();
            assert!(refused.contains(words), "{text}: {refused}");
        }
    }

    #[test]
    fn a_job_may_ask_for_less_and_gets_what_it_does_not_name() {
        let most = limits(&["memory=1G", "pids=100"]);
        let within = |texts: &[&str]| limits(texts).within(&most);
        assert_eq!(within(&[]), Ok(most.clone()));
        let expected = limits(&["memory=512M", "pids=100", "core=0"]);
        assert_eq!(within(&["memory=512M", "core=0"]), Ok(expected));
        assert_eq!(within(&["pids=100"]), Ok(most.clone()));
        assert_eq!(within(&["pids=101"]).unwrap_err().to_string(), "pids=100");
    }

    #[test]
    fn in_json_they_are_an_object_of_numbers() {
        let text = r#"{"open_files":9,"memory_bytes":1048576,"cpu_millis":10}"#;
        let read: ResourceLimits = serde_json::from_str(text).unwrap();
        assert_eq!(read, limits(&["open-files=9", "memory=1M", "cpu=0.01"]));
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        read.validate().unwrap();
        for bad in [r#"{"stack":1}"#, r#"{"pids":1,"pids":2}"#, r#"{"pids":"1"}"#, r#"{"pids":-1}"#]
        {
            assert!(serde_json::from_str::<ResourceLimits>(bad).is_err(), "{bad}");
        }
        let few: ResourceLimits = serde_json::from_str(r#"{"cpu_millis":9}"#).unwrap();
        let text = "limits.cpu_millis must be 10 to 1000000, not 9";
        assert_eq!(few.validate().unwrap_err().to_string(), text);
    }
}
