//! What an operation returned, as names and values.

use std::time::Duration;

use serde_json::Value;

use super::{table, time};

/// The fields of `value`, one per line; those of inner objects by their paths.
pub(crate) fn text(value: &Value) -> String {
    let mut fields = Vec::new();
    flatten("", value, &mut fields);
    table::pairs(fields)
}

fn flatten(path: &str, value: &Value, fields: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, inner) in map {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, inner, fields);
            }
        }
        Value::String(text) => fields.push((path.to_owned(), text.clone())),
        other => fields.push((path.to_owned(), plain(path, other))),
    }
}

/// A number whose name tells its unit is shown in a larger one too.
fn plain(path: &str, value: &Value) -> String {
    match value.as_u64() {
        Some(seconds) if path.ends_with("_s") || path.ends_with("_seconds") => {
            format!("{seconds} ({})", time::duration(Duration::from_secs(seconds)))
        }
        Some(bytes) if path.ends_with("_bytes") && bytes >= 1 << 20 => {
            format!("{bytes} ({} MiB)", bytes >> 20)
        }
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_aligned_and_units_are_told() {
        let value = json!({"hostname": "web-01", "memory": {"total_bytes": 8_589_934_592_u64}, "uptime_s": 93_784});
        assert_eq!(
            text(&value),
            "\
hostname            web-01
memory.total_bytes  8589934592 (8192 MiB)
uptime_s            93784 (1d 2h)
"
        );
    }
}
