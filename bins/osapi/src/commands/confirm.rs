//! What cannot be taken back is confirmed before it is sent, and so is a run whose target names all hosts.

use std::io::{self, BufRead, IsTerminal as _, Write as _};

use osapi_core::job::Target;

use crate::args::run::{Run, RunArgs};
use crate::error::{CliError, Result};
use crate::render::{escape, excerpt, outcome, time};

/// Sees to it that `run` is meant. `count_hosts` tells how many hosts its target means, if that can be known.
///
/// # Errors
/// When it is not. Nothing was sent then.
pub(crate) fn settle(run: &Run, count_hosts: impl FnOnce() -> Option<u32>) -> Result<()> {
    match needed(&run.options, somebody_is_there()) {
        Consent::Given => Ok(()),
        Consent::Ask => ask(&question(run, count_hosts()), "nothing was run"),
        Consent::Refuse => Err(refusal("a run on all hosts")),
    }
}

/// Sees to it that something is meant. `question` ends with `[y/N]`, and is put only if there is somebody to ask.
///
/// # Errors
/// When it is not. Nothing was done then.
pub(crate) fn meant(yes: bool, what: &str, question: impl FnOnce() -> String) -> Result<()> {
    match somebody_is_there() {
        _ if yes => Ok(()),
        true => ask(&question(), "nothing was done"),
        false => Err(refusal(what)),
    }
}

/// What has to happen before a run is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Consent {
    /// Nothing: it is not on all hosts, or was confirmed on the command line, or is on this machine only.
    Given,
    /// Somebody is there and is asked.
    Ask,
    /// Nobody is there to ask.
    Refuse,
}

/// What has to happen before a run with these options is sent.
fn needed(options: &RunArgs, somebody_is_there: bool) -> Consent {
    match options.target.names_everyone() {
        true if options.yes || options.local => Consent::Given,
        true if somebody_is_there => Consent::Ask,
        true => Consent::Refuse,
        false => Consent::Given,
    }
}

/// Whether a question would be seen and could be answered.
pub(crate) fn somebody_is_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// The error for what nobody could confirm.
fn refusal(what: &str) -> CliError {
    CliError::usage(format!("{what} has to be confirmed, and there is no terminal to ask on"))
        .hint("add --yes if it is meant")
}

/// Asks on standard error and reads the answer from standard input.
///
/// # Errors
/// When the answer is no, or cannot be read. Nothing was sent then.
fn ask(question: &str, otherwise: &str) -> Result<()> {
    let mut stderr = io::stderr();
    write!(stderr, "{question}")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| CliError::because("cannot read the answer", &error))?;
    match is_yes(&answer) {
        true => Ok(()),
        false => Err(CliError::usage(format!("not confirmed; {otherwise}"))),
    }
}

fn question(run: &Run, hosts: Option<u32>) -> String {
    let command = outcome::operation(&run.what.operation());
    let command = excerpt::of(&command, excerpt::COMMAND);
    let (target, noun) = match &run.options.target {
        Target::All => ("all hosts".to_owned(), "registered agent"),
        target => (excerpt::of(&target.to_string(), excerpt::TARGET), "host"),
    };
    let hosts = match hosts {
        Some(count) => format!("{target} ({})", time::count(count.into(), noun)),
        None => target,
    };
    format!("Run on {hosts}: {}\nAre you sure? [y/N] ", escape::line(&command))
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser as _;

    fn run(words: &[&str]) -> Run {
        let words = [&["osapi", "shell"], words].concat();
        match Cli::try_parse_from(words).unwrap().command {
            Command::Shell(args) => args.into_run().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn options(words: &[&str]) -> RunArgs {
        run(&[words, &["true"]].concat()).options
    }

    #[test]
    fn only_who_names_all_hosts_is_asked() {
        for (words, there, away) in [
            (&["-T", "_all"][..], Consent::Ask, Consent::Refuse),
            (&["-T", "_all", "--yes"], Consent::Given, Consent::Given),
            (&["-T", "_all", "-y"], Consent::Given, Consent::Given),
            (&["-T", "_all", "--json"], Consent::Ask, Consent::Refuse),
            (&["-T", "_all,!web-07"], Consent::Ask, Consent::Refuse),
            (&["-T", "web-01,*"], Consent::Ask, Consent::Refuse),
            (&["-T", "*&env:prod", "-y"], Consent::Given, Consent::Given),
            (&["-T", "web-*,!*"], Consent::Given, Consent::Given),
            (&["-T", "group:*"], Consent::Given, Consent::Given),
            (&["-T", "_any"], Consent::Given, Consent::Given),
            (&["-T", "web-01"], Consent::Given, Consent::Given),
            (&[], Consent::Given, Consent::Given),
        ] {
            assert_eq!(needed(&options(words), true), there, "{words:?}");
            assert_eq!(needed(&options(words), false), away, "{words:?}");
        }
    }

    #[test]
    fn only_a_clear_yes_is_yes() {
        for yes in ["y\n", "Y", " yes \n", "YES"] {
            assert!(is_yes(yes), "{yes:?}");
        }
        for no in ["", "\n", "n\n", "no", "yess", "ja"] {
            assert!(!is_yes(no), "{no:?}");
        }
    }

    #[test]
    fn the_question_names_the_command() {
        let all = run(&["-T", "_all", "rm -rf /tmp/x\n\x1b[2A"]);
        assert_eq!(
            question(&all, Some(12)),
            "Run on all hosts (12 registered agents): shell 'rm -rf /tmp/x\\n\\x1b[2A'\nAre you sure? [y/N] "
        );
        assert!(question(&all, None).starts_with("Run on all hosts: "));
        let some = run(&["-T", "_all,!web-07", "true"]);
        assert!(question(&some, Some(1)).starts_with("Run on _all,!web-07 (1 host): "));
    }
}
