//! `exec` and `shell`. The short and the long form share [`RunArgs`]; they differ only in where the command stands.

use std::collections::BTreeMap;

use clap::{ArgGroup, Args};
use osapi_core::job::{
    Exec, Invalid, Operation, QueueFor, ResourceLimit, ResourceLimits, Shell, Stdin, Target, Umask,
    UserName,
};

use super::Format;
use super::csv::CsvArgs;
use super::duration::{Timeout, queue_for};
use super::input::Input;
use super::script::{self, Script};
use super::target::{HELP, target};

/// Where and how a command runs: the same in every form.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct RunArgs {
    #[arg(short = 'T', visible_short_alias = 't', long, default_value = Target::ANY, value_parser = target, help = HELP)]
    pub(crate) target: Target,
    /// End the command after this time, 1 to 300 seconds: 10, 5s, 2m
    #[arg(long, value_name = "TIME", default_value_t)]
    pub(crate) timeout: Timeout,
    /// Working directory on the host, an absolute path [default: /]
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<String>,
    /// Variable for the command's environment; may be repeated
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) env: Vec<(String, String)>,
    /// Give the command this file on standard input, or what this program gets there if it is '-'; at most 256 KiB [default: nothing]
    #[arg(long, value_name = "FILE")]
    pub(crate) stdin: Option<Input>,
    /// Run as this user of the host, by name or number [default: the agent's user]
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<UserName>,
    /// Umask of the command, in octal: 0027 [default: 0022]
    #[arg(long, value_name = "MODE")]
    pub(crate) umask: Option<Umask>,
    /// What the command may use at most: open-files=1024, processes=200, file-size=100M, core=0, memory=512M, cpu=1.5, pids=100; may be repeated
    #[arg(long = "limit", value_name = "NAME=AMOUNT")]
    pub(crate) limits: Vec<ResourceLimit>,
    /// Let what the command leaves in the background go on when it has ended
    #[arg(long)]
    pub(crate) keep_children: bool,
    #[command(flatten)]
    pub(crate) format: Format,
    /// Run on all hosts without asking
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Wait so long for hosts that are down, 1 second to 24 hours: 30, 90m, 2h
    #[arg(long, value_name = "TIME", value_parser = queue_for, conflicts_with = "local")]
    pub(crate) queue_for: Option<QueueFor>,
    /// Do not wait; print the job's id and leave
    #[arg(long, conflicts_with = "local")]
    pub(crate) detach: bool,
    /// Run here, without a server: on a private one that lives as long as the command
    #[arg(long)]
    pub(crate) local: bool,
}

/// `osapi exec [OPTIONS] -- PROGRAM [ARGS]...`
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// The program and its arguments, each passed as it is
    #[arg(last = true, required = true, value_names = ["PROGRAM", "ARGS"], num_args = 1..)]
    pub(crate) argv: Vec<String>,
}

/// `osapi client node command exec --command PROGRAM [--args CSV] [OPTIONS]`
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct ExecLongArgs {
    /// The program: an absolute path, or a name that is looked up on the host
    #[arg(long, value_name = "PROGRAM", required_unless_present = "argv")]
    pub(crate) command: Option<String>,
    /// Its arguments, separated by commas; quote what holds a comma: 'a,"b,c"'
    #[arg(long, value_name = "CSV", allow_hyphen_values = true, requires = "command")]
    pub(crate) args: Vec<CsvArgs>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Instead of --command and --args: the program and its arguments, each passed as it is
    #[arg(last = true, conflicts_with_all = ["command", "args"], value_names = ["PROGRAM", "ARGS"], num_args = 1..)]
    pub(crate) argv: Vec<String>,
}

/// `osapi shell [OPTIONS] SCRIPT|--file FILE`
#[derive(Debug, Clone, PartialEq, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["script", "file"])))]
pub(crate) struct ShellArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    #[arg(long, value_name = "FILE", value_parser = script::file, help = script::HELP)]
    pub(crate) file: Option<Script>,
    /// The script for /bin/sh, as one argument
    pub(crate) script: Option<String>,
}

/// `osapi client node command shell --command SCRIPT|--file FILE [OPTIONS]`
#[derive(Debug, Clone, PartialEq, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["command", "file"])))]
pub(crate) struct ShellLongArgs {
    /// The script for /bin/sh, as one argument
    #[arg(long, value_name = "SCRIPT", allow_hyphen_values = true)]
    pub(crate) command: Option<String>,
    #[arg(long, value_name = "FILE", value_parser = script::file, help = script::HELP)]
    pub(crate) file: Option<Script>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// What is run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    /// A program without a shell.
    Exec(Exec),
    /// A script.
    Shell(Shell),
}

impl What {
    /// It as an operation.
    pub(crate) fn operation(&self) -> Operation {
        match self {
            Self::Exec(exec) => Operation::Exec(exec.clone()),
            Self::Shell(shell) => Operation::Shell(shell.clone()),
        }
    }
}

/// What was asked, whichever form it had.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Run {
    /// What is run; every bound was checked.
    pub(crate) what: What,
    /// Where and how.
    pub(crate) options: RunArgs,
}

impl ExecArgs {
    /// What was asked.
    ///
    /// # Errors
    /// The first bound that is broken.
    pub(crate) fn into_run(self) -> Result<Run, Invalid> {
        let mut argv = self.argv.into_iter();
        let command = argv.next().unwrap_or_default();
        exec(command, argv.collect(), self.run)
    }
}

impl ExecLongArgs {
    /// What was asked.
    ///
    /// # Errors
    /// The first bound that is broken.
    pub(crate) fn into_run(self) -> Result<Run, Invalid> {
        match self.command {
            Some(command) => {
                let args = self.args.into_iter().flat_map(|CsvArgs(args)| args).collect();
                exec(command, args, self.run)
            }
            None => ExecArgs { run: self.run, argv: self.argv }.into_run(),
        }
    }
}

impl ShellArgs {
    /// What was asked.
    ///
    /// # Errors
    /// The first bound that is broken.
    pub(crate) fn into_run(self) -> Result<Run, Invalid> {
        let options = self.run;
        let is_read = self.file.as_ref().is_some_and(|script| script.is_standard_input);
        if is_read && options.stdin == Some(Input::Standard) {
            let bound = "a file where the script is what comes on standard input";
            return Err(Invalid::new("--stdin", bound, "'-'"));
        }
        let script = self.file.map(|script| script.text).or(self.script).unwrap_or_default();
        let shell = Shell {
            cwd: options.cwd.clone(),
            env: environment(&options),
            timeout: options.timeout.seconds(),
            stdin: input(&options)?,
            user: options.user.clone(),
            umask: options.umask,
            limits: ResourceLimits::of(options.limits.iter().copied()),
            keep_children: options.keep_children,
            ..Shell::new(script)
        };
        checked(What::Shell(shell), options)
    }
}

impl ShellLongArgs {
    /// What was asked.
    ///
    /// # Errors
    /// The first bound that is broken.
    pub(crate) fn into_run(self) -> Result<Run, Invalid> {
        ShellArgs { run: self.run, file: self.file, script: self.command }.into_run()
    }
}

fn exec(command: String, args: Vec<String>, options: RunArgs) -> Result<Run, Invalid> {
    let exec = Exec {
        args,
        cwd: options.cwd.clone(),
        env: environment(&options),
        timeout: options.timeout.seconds(),
        stdin: input(&options)?,
        user: options.user.clone(),
        umask: options.umask,
        limits: ResourceLimits::of(options.limits.iter().copied()),
        keep_children: options.keep_children,
        ..Exec::new(command)
    };
    checked(What::Exec(exec), options)
}

fn checked(what: What, options: RunArgs) -> Result<Run, Invalid> {
    what.operation().validate()?;
    check_queue_for(options.queue_for, &options.target)?;
    Ok(Run { what, options })
}

/// Makes sure that what is waited for are hosts that were named.
///
/// # Errors
/// When a time is given, and the target is `_any`.
pub(crate) fn check_queue_for(time: Option<QueueFor>, target: &Target) -> Result<(), Invalid> {
    match (time, target) {
        (Some(_), Target::Any) => {
            let bound = "used with -T and the hosts to wait for (names, a label, _all)";
            Err(Invalid::new("--queue-for", bound, target))
        }
        _ => Ok(()),
    }
}

/// Standard input is read here, and only if it is asked for: a loop that reads lines from it would lose them otherwise.
fn input(options: &RunArgs) -> Result<Option<Stdin>, Invalid> {
    options.stdin.as_ref().map(Input::read).transpose()
}

/// The last of several values of one variable counts, as in env(1).
fn environment(options: &RunArgs) -> BTreeMap<String, String> {
    options.env.iter().cloned().collect()
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        Some(_) => Err("the name before '=' is empty".into()),
        None => Err("must be NAME=VALUE, and there is no '='".into()),
    }
}
