//! How much is measured.

use std::path::PathBuf;

use crate::error::Failure;

const USAGE: &str = "\
usage: osapi-benches [--quick] [--dir DIR] [--osapi FILE]
  --quick       a smoke run of some seconds, whose figures mean nothing
  --dir DIR     where the data directories are made; on the disk to be measured, not on a tmpfs
  --osapi FILE  the program to measure, instead of the one that cargo builds";

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
    /// How many MiB of output pass through the node.
    pub(crate) output_mib: u64,
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
                    let Self { dir, osapi, .. } = plan;
                    plan = Self { dir, osapi, ..Self::quick() };
                    true
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

    fn full() -> Self {
        Self {
            rounds: 300,
            local_every: 10,
            clients: 16,
            jobs: 10_000,
            output_mib: 200,
            dir: std::env::temp_dir(),
            osapi: None,
        }
    }

    fn quick() -> Self {
        Self { rounds: 5, local_every: 5, jobs: 64, output_mib: 8, ..Self::full() }
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
        let expected =
            Plan { dir: "/srv".into(), osapi: Some("/bin/osapi".into()), ..Plan::quick() };
        for arguments in [
            ["--quick", "--dir", "/srv", "--osapi", "/bin/osapi"],
            ["--dir", "/srv", "--osapi", "/bin/osapi", "--quick"],
        ] {
            assert_eq!(plan(&arguments).unwrap(), expected);
        }
        assert_eq!(plan(&[]).unwrap(), Plan::full());
    }

    #[test]
    fn what_has_no_meaning_is_refused() {
        for arguments in [&["--slow"][..], &["--dir"], &["--quick", "true"]] {
            assert!(matches!(plan(arguments), Err(Failure::Arguments(_))), "{arguments:?}");
        }
    }
}
