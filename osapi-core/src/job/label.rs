//! Labels: what a host says that it is for, by which targets find it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::limits::{LABEL_KEY_MAX, LABEL_VALUE_MAX, LABELS_MAX};
use crate::id::InvalidId;

/// The key of a label: 1 to 63 of `[A-Za-z0-9_-]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct LabelKey(String);

/// The value of a label: segments of `[A-Za-z0-9_-]+` joined by dots, from the general to the particular, 1 to 128 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct LabelValue(String);

/// One label, written as `key=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Its key.
    pub key: LabelKey,
    /// Its value.
    pub value: LabelValue,
}

/// The labels of a host: at most 16, each key once.
///
/// They are one text, `key=value,key=value` by key: a controller looks at the labels of thousands of hosts for one target, and what
/// takes long is to fetch them from all over the memory.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Labels(Box<str>);

/// Why texts are no labels.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLabel {
    /// A key or a value is none.
    #[error(transparent)]
    Part(#[from] InvalidId),
    /// There is no `=`.
    #[error("invalid label '{}': must be key=value", .0.escape_debug())]
    NoValue(String),
    /// The same key twice.
    #[error("label key '{0}' is given twice: a host has one value for each key")]
    Twice(LabelKey),
    /// More than a host may have.
    #[error("{0} labels: a host may have at most {LABELS_MAX}")]
    TooMany(usize),
}

/// Whether `c` may stand in names, in label keys and in the segments of label values.
pub(crate) fn is_word_character(c: u8) -> bool {
    c.is_ascii_alphanumeric() || c == b'_' || c == b'-'
}

impl LabelKey {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl LabelValue {
    /// The value as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Labels {
    /// These labels.
    ///
    /// # Errors
    /// When a key comes twice, or there are more than 16.
    pub fn of(labels: impl IntoIterator<Item = Label>) -> Result<Self, InvalidLabel> {
        let mut map = BTreeMap::new();
        for Label { key, value } in labels {
            if map.insert(key.clone(), value).is_some() {
                return Err(InvalidLabel::Twice(key));
            }
        }
        if map.len() > LABELS_MAX {
            return Err(InvalidLabel::TooMany(map.len()));
        }
        let texts = map.into_iter().map(|(key, value)| Label { key, value }.to_string());
        Ok(Self(texts.collect::<Vec<_>>().join(",").into()))
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &LabelKey) -> Option<&str> {
        self.iter().find(|(known, _)| *known == key.as_str()).map(|(_, value)| value)
    }

    /// Every label, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.split(',').filter_map(|label| label.split_once('='))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for LabelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for LabelValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

impl FromStr for LabelKey {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let fits = (1..=LABEL_KEY_MAX).contains(&text.len());
        match fits && text.bytes().all(is_word_character) {
            true => Ok(Self(text.to_owned())),
            false => {
                let rule = "must be 1 to 63 letters, digits, '_' or '-'";
                Err(InvalidId::new("label key", rule, text))
            }
        }
    }
}

impl FromStr for LabelValue {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let is_segment =
            |segment: &str| !segment.is_empty() && segment.bytes().all(is_word_character);
        match text.len() <= LABEL_VALUE_MAX && text.split('.').all(is_segment) {
            true => Ok(Self(text.to_owned())),
            false => {
                let rule = "must be segments of letters, digits, '_' or '-' joined by dots, 1 to 128 characters";
                Err(InvalidId::new("label value", rule, text))
            }
        }
    }
}

impl FromStr for Label {
    type Err = InvalidLabel;
    fn from_str(text: &str) -> Result<Self, InvalidLabel> {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| InvalidLabel::NoValue(text.chars().take(80).collect()))?;
        Ok(Self { key: key.parse()?, value: value.parse()? })
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let texts = BTreeMap::<String, String>::deserialize(from)?;
        Self::try_from(&texts).map_err(de::Error::custom)
    }
}

impl TryFrom<&BTreeMap<String, String>> for Labels {
    type Error = InvalidLabel;
    fn try_from(texts: &BTreeMap<String, String>) -> Result<Self, InvalidLabel> {
        let parse = |(key, value): (&String, &String)| {
            Ok(Label { key: key.parse()?, value: value.parse()? })
        };
        Self::of(texts.iter().map(parse).collect::<Result<Vec<_>, InvalidLabel>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(text: &str) -> Result<Label, InvalidLabel> {
        text.parse()
    }

    #[test]
    fn a_label_is_a_key_and_segments() {
        for good in ["group=web.dev.us-east", "env=prod", "_a-9=_.-.0", "Rack=R2"] {
            assert_eq!(label(good).unwrap().to_string(), good);
        }
        let longest = format!("{}={}", "k".repeat(63), "v".repeat(128));
        assert_eq!(label(&longest).unwrap().to_string(), longest);
    }

    #[test]
    fn what_is_no_label_says_what_one_is() {
        for (bad, said) in [
            ("group", "invalid label 'group': must be key=value"),
            ("=web", "invalid label key '': must be 1 to 63 letters, digits, '_' or '-'"),
            ("a.b=c", "invalid label key 'a.b': must be 1 to 63 letters, digits, '_' or '-'"),
            ("é=c", "invalid label key 'é': must be 1 to 63 letters, digits, '_' or '-'"),
        ] {
            assert_eq!(label(bad).unwrap_err().to_string(), said);
        }
        for bad in ["a=", "a=.", "a=b.", "a=.b", "a=b..c", "a=b c", "a=b=c", "a=b:c", "a=*", "a=é"]
        {
            let said = label(bad).unwrap_err().to_string();
            assert!(said.contains("must be segments of letters"), "{bad}: {said}");
        }
        assert!(label(&format!("{}=v", "k".repeat(64))).is_err());
        assert!(label(&format!("k={}", "v".repeat(129))).is_err());
    }

    #[test]
    fn a_host_has_few_labels_and_one_value_for_each_key() {
        let many = |n: usize| Labels::of((0..n).map(|n| label(&format!("k{n}=v")).unwrap()));
        assert_eq!(many(16).unwrap().iter().count(), 16);
        assert_eq!(many(17), Err(InvalidLabel::TooMany(17)));
        let twice = Labels::of(["a=1", "b=1", "a=2"].map(|text| label(text).unwrap()));
        assert_eq!(
            twice.unwrap_err().to_string(),
            "label key 'a' is given twice: a host has one value for each key"
        );
    }

    #[test]
    fn a_value_is_found_by_its_whole_key() {
        let labels = ["env=prod", "e=a.b", "en=c"].map(|text| label(text).unwrap());
        let labels = Labels::of(labels).unwrap();
        let get = |key: &str| labels.get(&key.parse().unwrap());
        assert_eq!([get("e"), get("en"), get("env")], [Some("a.b"), Some("c"), Some("prod")]);
        assert_eq!([get("nv"), get("prod"), get("envi")], [None; 3]);
        assert_eq!(labels.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["e", "en", "env"]);
        assert!(Labels::default().is_empty() && Labels::default().iter().next().is_none());
    }

    #[test]
    fn labels_are_a_map_in_json_and_checked_when_read() {
        let labels = Labels::of([label("group=web.dev").unwrap()]).unwrap();
        let json = r#"{"group":"web.dev"}"#;
        assert_eq!(serde_json::to_string(&labels).unwrap(), json);
        assert_eq!(serde_json::from_str::<Labels>(json).unwrap(), labels);
        assert_eq!(serde_json::from_str::<Labels>("{}").unwrap(), Labels::default());
        assert_eq!(serde_json::to_string(&Labels::default()).unwrap(), "{}");
        let many: BTreeMap<_, _> = (0..17).map(|n| (format!("k{n}"), "v".to_owned())).collect();
        for bad in [r#"{"a b":"c"}"#, r#"{"a":"b..c"}"#, &serde_json::to_string(&many).unwrap()] {
            assert!(serde_json::from_str::<Labels>(bad).is_err(), "{bad}");
        }
    }
}
