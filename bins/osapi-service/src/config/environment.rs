//! Environment variables that override keys of the file: `api.server.port` is `OSAPI_API_SERVER_PORT`. Their names follow from the
//! default configuration, so that a key and its variable never drift apart.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use serde_json::Value;

use super::model::Config;
use super::problem::{Problem, near};

/// What every name starts with.
const PREFIX: &str = "OSAPI_";

/// Names that begin with `OSAPI_` and are no keys of the configuration; `*` stands for any ending. What each is for.
pub const RESERVED: [(&str, &str); 6] = [
    ("OSAPI_URL", "the API server that the command line and the SDK talk to"),
    ("OSAPI_TOKEN", "the access token of the command line and the SDK"),
    ("OSAPI_JOB_ID", "set by agents in the environment of commands"),
    ("OSAPI_HOST", "set by agents in the environment of commands"),
    ("OSAPI_TEST_*", "read by tests"),
    ("OSAPI_BENCH_*", "read by benchmarks"),
];

/// Each variable and the key that it overrides.
#[must_use]
pub fn variables() -> BTreeMap<String, String> {
    let mut keys = Vec::new();
    leaves(&default_value(), "", &mut keys);
    keys.into_iter().map(|key| (variable(&key), key)).collect()
}

/// A variable that begins with `OSAPI_` and means nothing: worth a warning, as it may be a typing mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownVariable {
    /// Its name.
    pub name: String,
    /// What may have been meant.
    pub near: Option<String>,
}

impl fmt::Display for UnknownVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "environment variable {} means nothing", self.name.escape_debug())?;
        match &self.near {
            Some(near) => write!(f, ": did you mean {near}?"),
            None => Ok(()),
        }
    }
}

/// What came of the environment.
pub(super) struct Overridden {
    pub(super) config: Config,
    /// The variable behind each key that was overridden.
    pub(super) by: BTreeMap<String, String>,
    pub(super) problems: Vec<Problem>,
    pub(super) unknown: Vec<UnknownVariable>,
}

/// Applies the variables of `environment` to `config`.
pub(super) fn apply(
    config: Config,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Overridden {
    let known = variables();
    let mut done =
        Overridden { config, by: BTreeMap::new(), problems: Vec::new(), unknown: Vec::new() };
    // Sorted, so that what is said does not depend on the order of the environment.
    for (name, value) in environment.into_iter().collect::<BTreeMap<_, _>>() {
        let name = name.to_string_lossy().into_owned();
        match known.get(&name) {
            Some(key) => match set(&done.config, key, &value) {
                Ok(config) => {
                    done.config = config;
                    done.by.insert(key.clone(), name);
                }
                Err(why) => {
                    let text = format!("{key} {why}");
                    done.problems.push(Problem { place: name, text });
                }
            },
            None if name.starts_with(PREFIX) && !is_reserved(&name) => {
                let names = known.keys().map(String::as_str);
                let near = near(&name, names.chain(RESERVED.map(|(name, _)| name)));
                let near = near.map(ToOwned::to_owned);
                done.unknown.push(UnknownVariable { name, near });
            }
            None => {}
        }
    }
    done
}

/// `config` with the value of `key` replaced by `text`, or why it cannot be.
fn set(config: &Config, key: &str, text: &OsString) -> Result<Config, String> {
    let text = text.to_str().ok_or("must be UTF-8")?;
    let mut tree = to_value(config);
    let leaf = tree.pointer_mut(&pointer(key)).expect("names are derived from the same tree");
    *leaf = match (&*leaf, text.parse::<u64>()) {
        (Value::Number(_), Ok(number)) => number.into(),
        _ => text.into(),
    };
    serde_json::from_value(tree).map_err(|error| error.to_string())
}

fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|(reserved, _)| match reserved.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == *reserved,
    })
}

fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_ascii_uppercase())
}

fn pointer(key: &str) -> String {
    format!("/{}", key.replace('.', "/"))
}

fn default_value() -> Value {
    to_value(&Config::default())
}

fn to_value(config: &Config) -> Value {
    serde_json::to_value(config).expect("a configuration is texts and numbers under text keys")
}

/// The paths of all values. Maps of named things are empty by default, so that nothing in them has a variable.
fn leaves(tree: &Value, path: &str, found: &mut Vec<String>) {
    match tree {
        Value::Object(entries) => {
            for (key, child) in entries {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                leaves(child, &path, found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_variable_of_its_own() {
        let mut keys = Vec::new();
        leaves(&default_value(), "", &mut keys);
        let variables = variables();
        assert_eq!(variables.len(), keys.len(), "two keys share a variable: {keys:?}");
        assert_eq!(variables["OSAPI_API_SERVER_PORT"], "api.server.port");
        assert_eq!(variables["OSAPI_AGENT_OUTPUT_KEPT"], "agent.output_kept");
    }

    #[test]
    fn no_variable_is_reserved() {
        for name in variables().keys() {
            assert!(!is_reserved(name), "{name}");
        }
        for (name, _) in RESERVED {
            assert!(is_reserved(&name.replace('*', "X")), "{name}");
        }
        assert!(!is_reserved("OSAPI_URLS"));
    }

    #[test]
    fn every_key_can_be_set_to_its_own_default() {
        for (name, key) in variables() {
            let default = default_value().pointer(&pointer(&key)).unwrap().clone();
            let text = match default {
                Value::String(text) => text,
                Value::Null => "web-01".to_owned(),
                number => number.to_string(),
            };
            let done = apply(Config::default(), [(name.clone().into(), text.into())]);
            assert_eq!(done.problems, [], "{name}");
            assert_eq!(done.by, BTreeMap::from([(key, name)]));
        }
    }
}
