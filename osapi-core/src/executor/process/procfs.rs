//! What /proc tells about processes (proc(5)). Everything here blocks, and a process may be gone at any moment: then there is no answer.

use std::fs;

use crate::executor::process::Execution;

/// The variables by which the processes of an execution are found.
pub(super) const JOB_VARIABLE: &str = "OSAPI_JOB_ID";
pub(super) const HOST_VARIABLE: &str = "OSAPI_HOST";

/// One process at one moment. `pid` and `start` together name it for as long as the system runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) pid: i32,
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) session: i32,
    /// In clock ticks since boot.
    pub(super) start: u64,
    /// Whether it has ended and only waits to be reaped.
    pub(super) ended: bool,
}

/// What is known of the process `pid`.
pub(super) fn stat(pid: i32) -> Option<Stat> {
    // The name in parentheses may hold anything, also what is not UTF-8.
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(pid, &text)
}

fn parse_stat(pid: i32, text: &[u8]) -> Option<Stat> {
    let after_name = text.iter().rposition(|byte| *byte == b')')? + 1;
    let rest = std::str::from_utf8(&text[after_name..]).ok()?;
    // Field 3 of proc_pid_stat(5) is the first here.
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let id = |field: usize| fields.get(field - 3)?.parse::<i32>().ok();
    Some(Stat {
        pid,
        parent: id(4)?,
        group: id(5)?,
        session: id(6)?,
        start: number(22)?,
        // The first thread of several may end before the process does.
        ended: matches!(fields[0], "Z" | "X") && number(20)? <= 1,
    })
}

/// Every process.
pub(super) fn all() -> Vec<i32> {
    numbered("/proc")
}

/// The children of every thread of `pid`.
pub(super) fn children(pid: i32) -> Vec<i32> {
    let mut children = Vec::new();
    for thread in numbered(&format!("/proc/{pid}/task")) {
        let path = format!("/proc/{pid}/task/{thread}/children");
        let text = fs::read_to_string(path).unwrap_or_default();
        children.extend(text.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
    }
    children
}

/// Whether this kernel tells children (`CONFIG_PROC_CHILDREN`).
pub(super) fn knows_children() -> bool {
    fs::exists("/proc/thread-self/children").unwrap_or(false)
}

fn numbered(dir: &str) -> Vec<i32> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// By whose environment a process was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StartedBy {
    This,
    /// Another job, or the same one for another host that has its agent on this machine.
    Other,
    /// It names no job, or cannot be asked.
    Unknown,
}

/// Whether the environment with which `pid` was started names `execution`.
pub(super) fn started_by(pid: i32, execution: &Execution) -> StartedBy {
    environ(pid).map_or(StartedBy::Unknown, |environ| names(&environ, execution))
}

fn names(environ: &[u8], execution: &Execution) -> StartedBy {
    let value = |name: &str| {
        let mut variables = environ.split(|byte| *byte == 0);
        variables
            .find_map(|variable| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
            .map(|value| String::from_utf8_lossy(value).into_owned())
    };
    match value(JOB_VARIABLE) {
        None => StartedBy::Unknown,
        Some(job) if job != execution.job.to_string() => StartedBy::Other,
        Some(_) if value(HOST_VARIABLE).as_deref() != Some(execution.host.as_str()) => {
            StartedBy::Other
        }
        Some(_) => StartedBy::This,
    }
}

/// The environment of `pid`. It looks empty for a moment while the process executes a program: then a second look is worth while.
fn environ(pid: i32) -> Option<Vec<u8>> {
    const LOOKS: u32 = 50;
    let path = format!("/proc/{pid}/environ");
    for _ in 0..LOOKS {
        let environ = fs::read(&path).ok()?;
        if !environ.is_empty() {
            return Some(environ);
        }
        std::thread::yield_now();
    }
    None
}

/// Differs after every boot.
pub(super) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let mut text = b"7 (a) R \xff ) Z 1 2 3 0 -1 4194560 ".to_vec();
        text.extend_from_slice(b"0 0 0 0 0 0 0 0 20 0 1 0 777 0 0");
        let expected = Stat { pid: 7, parent: 1, group: 2, session: 3, start: 777, ended: true };
        assert_eq!(parse_stat(7, &text), Some(expected));
        let threads = String::from_utf8_lossy(&text).replace("20 0 1 0 777", "20 0 2 0 777");
        assert!(!parse_stat(7, threads.as_bytes()).unwrap().ended, "another thread goes on");
        assert_eq!(parse_stat(7, b"7 (x) R 1 2"), None);
    }

    #[test]
    fn an_execution_is_a_job_on_a_host() {
        let job = "01890a5d-ac96-774b-bcce-b302099a8057";
        let execution = Execution { job: job.parse().unwrap(), host: "web-01".parse().unwrap() };
        for (environ, expected) in [
            (format!("A=1\0OSAPI_HOST=web-01\0OSAPI_JOB_ID={job}\0"), StartedBy::This),
            (format!("OSAPI_HOST=web-02\0OSAPI_JOB_ID={job}\0"), StartedBy::Other),
            (format!("OSAPI_JOB_ID={job}\0"), StartedBy::Other),
            ("OSAPI_HOST=web-01\0OSAPI_JOB_ID=x\0".to_owned(), StartedBy::Other),
            ("OSAPI_HOST=web-01\0XOSAPI_JOB_ID=x\0".to_owned(), StartedBy::Unknown),
            (String::new(), StartedBy::Unknown),
        ] {
            assert_eq!(names(environ.as_bytes(), &execution), expected, "{environ:?}");
        }
    }

    #[test]
    fn this_process_is_there() {
        let me = std::process::id() as i32;
        let stat = stat(me).unwrap();
        assert!(!stat.ended && stat.start > 0);
        assert!(all().contains(&me));
        assert!(!boot_id().is_empty());
    }
}
