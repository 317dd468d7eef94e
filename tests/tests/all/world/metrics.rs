//! Metrics, read as strictly as the format of OpenMetrics is written.

use std::collections::BTreeMap;

use super::http::Answer;

impl Answer {
    /// Every sample by its name and labels as they are written, such as `x_total` or `x{a="b"}`.
    #[track_caller]
    pub(crate) fn metrics(&self) -> BTreeMap<String, f64> {
        assert!(self.head.contains("application/openmetrics-text; version=1.0.0"), "{self}");
        let text = std::str::from_utf8(&self.body).expect("metrics are text");
        let lines = text.strip_suffix("# EOF\n").expect("it has its end").lines();
        let (mut metric, mut samples) = (("", ""), BTreeMap::new());
        for line in lines {
            match line.strip_prefix("# ").map(|rest| rest.split_once(' ').expect("a word")) {
                Some(("TYPE", rest)) => metric = rest.split_once(' ').expect("a name and a type"),
                Some((word, _)) => assert_eq!(word, "HELP", "{line}"),
                None => {
                    let (sample, value) = line.rsplit_once(' ').expect("a value");
                    let name = sample.split('{').next().unwrap_or_default();
                    let suffix = if metric.1 == "counter" { "_total" } else { "" };
                    assert_eq!(name, format!("{}{suffix}", metric.0), "{line}");
                    let value = value.parse().expect("a number");
                    assert!(samples.insert(sample.to_owned(), value).is_none(), "twice: {line}");
                }
            }
        }
        samples
    }
}
