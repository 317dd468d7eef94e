//! How much is measured.

use std::path::PathBuf;

use crate::error::Failure;

const USAGE: &str = "\
usage: osapi-benches [--quick] [--only PART] [--dir DIR] [--osapi FILE]
  --quick       a smoke run of some seconds, whose figures mean nothing
  --only PART   one part of it: latency, load, memory or targets
  --dir DIR     where the data directories are made; on the disk to be measured, not on a tmpfs
  --osapi FILE  the program to measure, instead of the one that cargo builds";

/// A part of what is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Latency,
    Load,
    Memory,
    Targets,
}

impl Part {
    const ALL: [(&'static str, Self); 4] = [
        ("latency", Self::Latency),
        ("load", Self::Load),
        ("memory", Self::Memory),
        ("targets", Self::Targets),
    ];
}

/// How much is measured, of what, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How often each single thing is measured.
    pub(crate) rounds: usize,
    /// `exec --local` starts a whole node, so it takes part only in every round that this divides.
    pub(crate) local_every: usize,
    /// How many callers share the server under load.
    pub(crate) clients: usize,
    /// How many jobs they make together.
    pub(crate) jobs: usize,
    /// How many hosts the fleet has in which targets are resolved.
    pub(crate) hosts: usize,
    /// How many MiB of output pass through the node.
    pub(crate) output_mib: u64,
    /// The only part to measure, if not all.
    pub(crate) only: Option<Part>,
    /// Where the data directories are made.
    pub(crate) dir: PathBuf,
    /// The program to measure.
    pub(crate) osapi: Option<PathBuf>,
}

impl Plan {
    /// The plan that the arguments after the program's name ask for.
    ///
    /// # Errors
    /// When there is one that has no meaning.
    pub(crate) fn from_arguments(
        mut arguments: impl Iterator<Item = String>,
    ) -> Result<Self, Failure> {
        let mut plan = Self::full();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().map(PathBuf::from);
            let known = match argument.as_str() {
                "--quick" => {
                    let Self { only, dir, osapi, .. } = plan;
                    plan = Self { only, dir, osapi, ..Self::quick() };
                    true
                }
                "--only" => {
                    let name = value();
                    let part = Part::ALL.iter().find(|(known, _)| name == Some((*known).into()));
                    part.map(|(_, part)| plan.only = Some(*part)).is_some()
                }
                "--dir" => value().map(|dir| plan.dir = dir).is_some(),
                "--osapi" => value().map(|file| plan.osapi = Some(file)).is_some(),
                _ => false,
            };
            if !known {
                return Err(Failure::Arguments(USAGE.to_owned()));
            }
        }
        Ok(plan)
    }

    /// Whether `part` is measured.
    pub(crate) fn includes(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }

    fn full() -> Self {
        Self {
            rounds: 300,
            local_every: 10,
            clients: 16,
            jobs: 10_000,
            hosts: 10_000,
            output_mib: 200,
            only: None,
            dir: std::env::temp_dir(),
            osapi: None,
        }
    }

    fn quick() -> Self {
        Self { rounds: 5, local_every: 5, jobs: 64, hosts: 500, output_mib: 8, ..Self::full() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(arguments: &[&str]) -> Result<Plan, Failure> {
        Plan::from_arguments(arguments.iter().map(|&argument| argument.to_owned()))
    }

    #[test]
    fn options_are_taken_in_any_order() {
        let expected = Plan {
            only: Some(Part::Load),
            dir: "/srv".into(),
            osapi: Some("/bin/osapi".into()),
            ..Plan::quick()
        };
        assert!(expected.includes(Part::Load) && !expected.includes(Part::Targets));
        for arguments in [
            ["--quick", "--only", "load", "--dir", "/srv", "--osapi", "/bin/osapi"],
            ["--dir", "/srv", "--only", "load", "--osapi", "/bin/osapi", "--quick"],
        ] {
            assert_eq!(plan(&arguments).unwrap(), expected);
        }
        assert_eq!(plan(&[]).unwrap(), Plan::full());
    }

    #[test]
    fn what_has_no_meaning_is_refused() {
        for arguments in
            [&["--slow"][..], &["--dir"], &["--quick", "true"], &["--only"], &["--only", "all"]]
        {
            assert!(matches!(plan(arguments), Err(Failure::Arguments(_))), "{arguments:?}");
        }
    }
}
