//! Every endpoint of the API. The only place where a path or a method stands.

mod fleet;
mod jobs;
mod node;
mod server;

use super::endpoint::Entry;

pub use fleet::{AgentDelete, AgentGet, AgentsList, KeysList, KeysPublish, TargetGet};
pub use jobs::{JobCancel, JobDelete, JobGet, JobOutput, JobRetry, JobsList};
pub use node::{CommandExec, CommandShell, NodeGet};
pub use server::{HealthDetails, HealthGet, HealthReady, MetricsGet, OpenApi};

/// Every endpoint, in the order of the documentation.
#[must_use]
pub fn table() -> Vec<Entry> {
    vec![
        Entry::of::<CommandExec>(),
        Entry::of::<CommandShell>(),
        Entry::of::<NodeGet>(),
        Entry::of::<JobsList>(),
        Entry::of::<JobGet>(),
        Entry::of::<JobDelete>(),
        Entry::of::<JobCancel>(),
        Entry::of::<JobRetry>(),
        Entry::of::<JobOutput>(),
        Entry::of::<AgentsList>(),
        Entry::of::<AgentGet>(),
        Entry::of::<AgentDelete>(),
        Entry::of::<TargetGet>(),
        Entry::of::<KeysList>(),
        Entry::of::<KeysPublish>(),
        Entry::of::<HealthGet>(),
        Entry::of::<HealthReady>(),
        Entry::of::<HealthDetails>(),
        Entry::of::<MetricsGet>(),
        Entry::of::<OpenApi>(),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::api::endpoint::Info;

    #[test]
    fn endpoints_differ_and_declare_the_parameters_of_their_paths() {
        let (mut ids, mut routes) = (HashSet::new(), HashSet::new());
        for entry in table() {
            let Info { id, method, path, .. } = entry.info;
            assert!(ids.insert(id), "{id}");
            assert!(routes.insert((method.as_str(), path)), "{path}");
            let in_path: Vec<_> = path
                .split('/')
                .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
                .collect();
            let declared: Vec<_> = entry.path.iter().map(|param| param.name).collect();
            assert_eq!(in_path, declared, "{id}");
        }
    }
}
