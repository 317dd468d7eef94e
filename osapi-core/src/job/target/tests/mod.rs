//! The language of targets: what each form means, what is refused and how it is said, and everything at once against a plain
//! [`reference`].

mod errors;
mod forms;
mod properties;
mod reference;

use super::{Described, Matcher, Target};
use crate::id::AgentName;
use crate::job::Labels;

/// A host of a test.
#[derive(Debug, Clone)]
struct TestHost {
    name: AgentName,
    hostname: String,
    labels: Labels,
}

impl TestHost {
    fn new(name: &str, hostname: &str, labels: &[&str]) -> Self {
        let labels = Labels::of(labels.iter().map(|label| label.parse().unwrap())).unwrap();
        Self { name: name.parse().unwrap(), hostname: hostname.into(), labels }
    }

    fn described(&self) -> Described<'_> {
        Described { name: &self.name, hostname: &self.hostname, labels: &self.labels }
    }
}

/// The names of those hosts that `target` means.
fn meant<'a>(target: &Target, hosts: &'a [TestHost]) -> Vec<&'a str> {
    let is_meant = |host: &TestHost| match target {
        Target::Any => panic!("it depends on which hosts are live"),
        Target::All => true,
        Target::Host(name) => *name == host.name,
        Target::Hosts(expression) => Matcher::new(expression).matches(&host.described()),
    };
    hosts.iter().filter(|host| is_meant(host)).map(|host| host.name.as_str()).collect()
}
