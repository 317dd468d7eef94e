//! What became of a command. One host: its bytes and nothing else on standard output. Several: a block per host.

use std::io;
use std::time::Duration;

use osapi_core::api::types::{Gap, HostResult};
use osapi_core::clock::Timestamp;
use osapi_core::id::JobId;
use osapi_core::job::report::Stream;
use osapi_core::job::{ExecutionState, Operation};

use super::{Screen, Side, facts, time};

/// One host's row with all bytes that were kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    /// The row.
    pub(crate) row: HostResult,
    /// Its standard output.
    pub(crate) stdout: Vec<u8>,
    /// Its standard error.
    pub(crate) stderr: Vec<u8>,
}

/// Writes the outcome of a job: of one host raw, of several in blocks.
pub(crate) fn write(screen: &mut Screen, job: JobId, hosts: &[Shown]) -> io::Result<()> {
    match hosts {
        [] => screen.line(Side::Err, &format!("osapi: job {job} has no host")),
        [host] => one(screen, job, host),
        hosts => blocks(screen, job, hosts, None),
    }
}

/// Writes a block per host, also if there is only one. `until` is when hosts that are down are no longer waited for, if they are.
pub(crate) fn blocks(
    screen: &mut Screen,
    job: JobId,
    hosts: &[Shown],
    until: Option<Timestamp>,
) -> io::Result<()> {
    for host in hosts {
        block(screen, host)?;
        notes(screen, job, host, until)?;
    }
    Ok(())
}

fn one(screen: &mut Screen, job: JobId, host: &Shown) -> io::Result<()> {
    screen.host(Side::Out, &host.stdout)?;
    screen.host(Side::Err, &host.stderr)?;
    if let Some(value) = &host.row.value {
        screen.block(Side::Out, &facts::text(value))?;
    }
    notes(screen, job, host, None)
}

/// The head and standard output go to standard output, so that a pipe tells the hosts apart; standard error goes to standard error
/// under a head of its own.
fn block(screen: &mut Screen, host: &Shown) -> io::Result<()> {
    screen.line(Side::Out, &head(&host.row))?;
    screen.host(Side::Out, &whole_lines(&host.stdout))?;
    if let Some(value) = &host.row.value {
        screen.block(Side::Out, &facts::text(value))?;
    }
    if !host.stderr.is_empty() {
        screen.line(Side::Err, &format!("-- {}: standard error", host.row.hostname))?;
        screen.host(Side::Err, &whole_lines(&host.stderr))?;
    }
    Ok(())
}

/// What the bytes alone do not tell, on standard error.
fn notes(
    screen: &mut Screen,
    job: JobId,
    host: &Shown,
    until: Option<Timestamp>,
) -> io::Result<()> {
    let row = &host.row;
    stream_notes(screen, row, Stream::Stdout)?;
    stream_notes(screen, row, Stream::Stderr)?;
    if is_withheld(row) {
        note(screen, row, "its output is not shown: you may not see it")?;
    }
    ending(job, row, until).map_or(Ok(()), |text| note(screen, row, &text))
}

/// What the bytes of one stream do not tell, on standard error.
pub(crate) fn stream_notes(
    screen: &mut Screen,
    row: &HostResult,
    stream: Stream,
) -> io::Result<()> {
    let (name, gap, incomplete) = match stream {
        Stream::Stdout => ("standard output", row.stdout_gap, row.stdout_incomplete),
        Stream::Stderr => ("standard error", row.stderr_gap, row.stderr_incomplete),
    };
    if let Some(Gap { offset, bytes }) = gap {
        let (dropped, kept) = (time::count(bytes, "byte"), time::count(offset, "byte"));
        let text = format!("{dropped} of {name} were not kept, after the first {kept}");
        note(screen, row, &text)?;
    }
    if incomplete {
        let text = format!(
            "{name} may go on: a process that outlived the command held it, or a part was lost on its way"
        );
        note(screen, row, &text)?;
    }
    Ok(())
}

fn note(screen: &mut Screen, row: &HostResult, text: &str) -> io::Result<()> {
    screen.line(Side::Err, &format!("osapi: {}: {text}", row.hostname))
}

/// Why a host has no output, or none yet.
pub(crate) fn without_output(job: JobId, row: &HostResult) -> String {
    let ending = ending(job, row, None).unwrap_or_else(|| state(row.status));
    format!("{}: {ending}", row.hostname)
}

/// It ended, and its output is not there: the reader neither made the job nor holds its operation's permission.
fn is_withheld(row: &HostResult) -> bool {
    let ran = row.started_at.is_some() && row.is_final && row.value.is_none();
    ran && row.stdout.is_none() && row.stdout_url.is_none()
}

/// `== web-01: failed, exit code 3, 12 ms`
fn head(row: &HostResult) -> String {
    let mut text = format!("== {}: {}", row.hostname, state(row.status));
    match (row.exit_code, row.signal) {
        (Some(code), _) if code != 0 => text.push_str(&format!(", exit code {code}")),
        (None, Some(signal)) => text.push_str(&format!(", {}", signal_name(signal))),
        _ => {}
    }
    if let Some(millis) = row.duration_ms {
        text.push_str(&format!(", {}", time::duration(Duration::from_millis(millis))));
    }
    text
}

/// The state in plain words.
fn state(state: ExecutionState) -> String {
    state.as_str().replace('_', " ")
}

/// How it ended, if the exit code alone does not tell.
fn ending(job: JobId, row: &HostResult, until: Option<Timestamp>) -> Option<String> {
    let because = || row.error.as_ref().map(|error| format!(": {}", error.message));
    let because = || because().unwrap_or_default();
    Some(match row.status {
        ExecutionState::Succeeded => return None,
        ExecutionState::Failed => match (row.exit_code, row.signal, &row.error) {
            (Some(_), _, _) => return None,
            (None, Some(signal), _) if row.killed_for_memory => format!(
                "ended by {}: the kernel ended it because it had reached its limit of memory",
                signal_name(signal)
            ),
            (None, Some(signal), _) => format!("ended by {}", signal_name(signal)),
            (None, None, _) => format!("failed{}", because()),
        },
        ExecutionState::TimedOut => "ran past its timeout and was ended".into(),
        ExecutionState::Cancelled => format!("was cancelled{}", because()),
        ExecutionState::Rejected => match &row.error {
            Some(error) if error.step.is_some() => format!("could not be started{}", because()),
            _ => format!("was refused{}", because()),
        },
        ExecutionState::Expired => {
            format!("never started: its start deadline passed first{}", because())
        }
        ExecutionState::Unreachable => {
            "was silent when the job was made; the command did not run there".into()
        }
        ExecutionState::NotStarted => "not started: the rollout ended before its turn".into(),
        ExecutionState::Lost => {
            "started, and how it ended is not known: its agent was interrupted".into()
        }
        ExecutionState::NoAnswer => format!(
            "no answer: the command may or may not have run; 'osapi job get {job}' shows an answer that comes later"
        ),
        ExecutionState::Pending | ExecutionState::Accepted | ExecutionState::Running => {
            let waits = until.filter(|_| row.status == ExecutionState::Pending);
            let waits = waits.map(|until| format!(", waited for until {}", time::moment(until)));
            let (status, because) = (row.status, because());
            let waits = waits.unwrap_or_default();
            format!("still {status}{because}{waits}; 'osapi job get {job}' shows how it goes on")
        }
    })
}

/// How many hosts are in each state: `3 hosts: 2 succeeded, 1 failed`.
pub(crate) fn tally(hosts: &[Shown]) -> String {
    let mut counts = std::collections::BTreeMap::new();
    for host in hosts {
        *counts.entry(host.row.status).or_insert(0_u64) += 1;
    }
    let parts: Vec<_> =
        counts.iter().map(|(status, count)| format!("{count} {}", state(*status))).collect();
    format!("{}: {}", time::count(hosts.len() as u64, "host"), parts.join(", "))
}

/// An operation in one line, as a person would type it.
pub(crate) fn operation(operation: &Operation) -> String {
    match operation {
        Operation::Exec(exec) => {
            let words = std::iter::once(&exec.command).chain(&exec.args);
            let words: Vec<_> = words.map(|word| quoted(word)).collect();
            format!("exec -- {}", words.join(" "))
        }
        Operation::Shell(shell) => format!("shell {}", quoted(&shell.command)),
        Operation::Facts => "facts".into(),
        Operation::Custom(custom) => format!("custom {}", custom.name),
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn whole_lines(bytes: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    match bytes.last() {
        None | Some(b'\n') => bytes.into(),
        Some(_) => [bytes, b"\n"].concat().into(),
    }
}

/// `signal 9 (SIGKILL)`: the names of signal(7), by the numbers of x86 and ARM.
fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return format!("signal {signal}"),
    };
    format!("signal {signal} ({name})")
}

#[cfg(test)]
mod tests;
