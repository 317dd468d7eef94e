//! Finds keys that mean nothing.

use serde_json::Value;
use serde_saphyr::Location;

use super::model::{Config, Role};
use super::problem::near;
use super::tree::Node;

/// A key that means nothing, and what is wrong with it.
pub(super) struct Unknown {
    pub(super) place: Location,
    pub(super) text: String,
}

/// Every key of `root` that the configuration does not have.
pub(super) fn unknown_keys(root: &Node) -> Vec<Unknown> {
    let schema = schema();
    let mut found = Vec::new();
    walk(root, &schema, &schema, "", &mut found);
    found
}

/// Stands for any name in a map of named things.
const ANY: &str = "*";

/// The default configuration with one thing in each map of named things: its keys are all the keys that there are.
fn schema() -> Value {
    let mut sample = Config::default();
    sample.api.server.security.roles.insert(ANY.into(), Role::default());
    sample.agent.labels.insert(ANY.into(), String::new());
    sample.agent.limits.insert(ANY.into(), String::new());
    serde_json::to_value(sample).expect("a configuration is texts and numbers under text keys")
}

fn walk(node: &Node, schema: &Value, root: &Value, path: &str, found: &mut Vec<Unknown>) {
    let (Node::Mapping(entries), Value::Object(known)) = (node, schema) else { return };
    for (key, child) in entries {
        let name = key.value.as_str();
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        match known.get(name).or_else(|| known.get(ANY)) {
            Some(schema) => walk(child, schema, root, &path, found),
            None => {
                let hint = hint(name, known.keys().map(String::as_str), root);
                let text = format!("unknown key '{}': {hint}", path.escape_debug());
                found.push(Unknown { place: key.referenced, text });
            }
        }
    }
}

/// What may have been meant: a key of the same section, else the same key in another section, else all keys of the section.
fn hint<'a>(name: &str, here: impl Iterator<Item = &'a str> + Clone, root: &Value) -> String {
    if let Some(meant) = near(name, here.clone()) {
        return format!("did you mean '{meant}'?");
    }
    let mut elsewhere = Vec::new();
    paths_to(name, root, "", &mut elsewhere);
    match elsewhere.as_slice() {
        [] => format!("known here are {}", here.collect::<Vec<_>>().join(", ")),
        paths => format!("did you mean '{}'?", paths.join("' or '")),
    }
}

fn paths_to(name: &str, schema: &Value, path: &str, found: &mut Vec<String>) {
    let Value::Object(known) = schema else { return };
    for (key, child) in known.iter().filter(|(key, _)| *key != ANY) {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if key == name {
            found.push(path.clone());
        }
        paths_to(name, child, &path, found);
    }
}
