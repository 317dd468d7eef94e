//! Reads the facts of this host. Blocks for microseconds.

use std::fs;
use std::thread::available_parallelism;

use rustix::system::uname;
use rustix::time::{ClockId, clock_gettime};

use super::cgroup::Cgroups;
use crate::job::host_facts::{AgentFacts, HostFacts, Os};

/// What an agent of this host registers. What cannot be read is empty or zero. Blocks for microseconds.
#[must_use]
pub fn of_this_host() -> AgentFacts {
    gather().into()
}

/// The facts of this host, now. What cannot be read is empty or zero.
pub(super) fn gather() -> HostFacts {
    let uname = uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let meminfo = read("/proc/meminfo");
    HostFacts {
        hostname: text(uname.nodename()),
        // The second is for images whose /etc is empty (os-release(5)).
        os: os(&[read("/etc/os-release"), read("/usr/lib/os-release")]),
        kernel: text(uname.release()),
        architecture: text(uname.machine()),
        uptime_s: u64::try_from(clock_gettime(ClockId::Boottime).tv_sec).unwrap_or(0),
        memory_total_bytes: memory(&meminfo, "MemTotal"),
        memory_available_bytes: memory(&meminfo, "MemAvailable"),
        cpus: cpus(&read("/sys/devices/system/cpu/online"))
            .or_else(|| u32::try_from(available_parallelism().ok()?.get()).ok())
            .unwrap_or(0),
        limits: Cgroups::detect().map(|cgroups| cgroups.limitable().to_vec()).unwrap_or_default(),
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Out of the first text that says anything.
fn os(texts: &[String]) -> Os {
    let text = texts.iter().find(|text| !text.trim().is_empty()).map_or("", String::as_str);
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='));
        line.map(unquote).unwrap_or_default()
    };
    Os { name: value("PRETTY_NAME"), id: value("ID"), version: value("VERSION_ID") }
}

/// The value of a shell assignment: quotes are dropped, and a backslash before what it protects (os-release(5)).
fn unquote(text: &str) -> String {
    let inner = ['"', '\'']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(text);
    let mut value = String::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        value.extend(if c == '\\' { rest.next() } else { Some(c) });
    }
    value
}

fn memory(meminfo: &str, name: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

/// How many numbers a list such as `0-3,6` names.
fn cpus(list: &str) -> Option<u32> {
    list.trim().split(',').try_fold(0_u32, |count, part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        count.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distribution_is_read_as_a_shell_would() {
        let text = "PRETTY_NAME=\"A \\\"B\\\" 1\"\nID='x'\n# VERSION_ID=9\nVERSION_ID=12\n";
        let expected = Os { name: "A \"B\" 1".into(), id: "x".into(), version: "12".into() };
        assert_eq!(os(&[String::new(), text.into()]), expected);
        assert_eq!(os(&[]), Os::default());
    }

    #[test]
    fn lists_of_processors_are_counted() {
        assert_eq!(cpus("0-3,6\n"), Some(5));
        assert_eq!(cpus("0"), Some(1));
        assert_eq!(cpus(""), None);
        assert_eq!(cpus("3-0"), None);
    }

    #[test]
    fn this_host_has_memory_and_a_name() {
        let facts = gather();
        assert!(!facts.hostname.is_empty() && !facts.kernel.is_empty());
        assert!(facts.cpus > 0 && facts.uptime_s > 0);
        assert!(facts.memory_available_bytes > 0);
        assert!(facts.memory_available_bytes <= facts.memory_total_bytes);
    }
}
