//! How large a process is, from proc_pid_status(5).

use std::fmt;
use std::fs;

use crate::error::Failure;
use crate::node::{self, Node};
use crate::plan::Plan;
use crate::program::Program;
use crate::table::Table;

/// Sizes of a node, in KiB.
pub(crate) struct Memory {
    /// Takes jobs and has had none.
    idle: u64,
    /// After one small job.
    used: u64,
    /// The most while output passed through.
    peak: u64,
    /// After that.
    after: u64,
    /// How much output that was, in MiB.
    output_mib: u64,
}

/// Measures a node that was just started, and then has one command with much output.
///
/// # Errors
/// When the command fails.
pub(crate) async fn measure(plan: &Plan, program: &Program) -> Result<Memory, Failure> {
    let node = Node::start(plan, program)?;
    let client = node.client();
    let idle = resident(&node)?;
    node::run(&client, "true", &[]).await?;
    let used = resident(&node)?;
    let bytes = (plan.output_mib << 20).to_string();
    forget_peak(&node)?;
    node::run(&client, "head", &["-c", &bytes, "/dev/zero"]).await?;
    let (peak, after) = (size(&node, "VmHWM")?, resident(&node)?);
    node.stop()?;
    Ok(Memory { idle, used, peak, after, output_mib: plan.output_mib })
}

/// What is in memory of a node, in KiB.
///
/// # Errors
/// When it has ended.
pub(crate) fn resident(node: &Node) -> Result<u64, Failure> {
    size(node, "VmRSS")
}

fn size(node: &Node, name: &'static str) -> Result<u64, Failure> {
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid()))
        .map_err(Failure::io("read the size of a process"))?;
    field(&status, name).ok_or(Failure::Status(name))
}

/// Lets the highest size be counted from now on (proc_pid_clear_refs(5)).
fn forget_peak(node: &Node) -> Result<(), Failure> {
    fs::write(format!("/proc/{}/clear_refs", node.pid()), "5")
        .map_err(Failure::io("reset the highest size of a process"))
}

fn field(status: &str, name: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    rest.trim().strip_suffix(" kB")?.parse().ok()
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&["resident memory of 'osapi start'", "MiB", "beyond idle"]);
        let output = self.output_mib;
        for (what, size) in [
            ("idle".to_owned(), self.idle),
            ("after one job".to_owned(), self.used),
            (format!("most while {output} MiB of output pass"), self.peak),
            ("after that".to_owned(), self.after),
        ] {
            let mib = |kib: u64| format!("{:.1}", kib as f64 / 1024.0);
            table.row([what, mib(size), mib(size.saturating_sub(self.idle))]);
        }
        write!(f, "{table}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_found_by_their_whole_name() {
        let status = "Name:\tVmRSS\nVmRSSx:\t    1 kB\nVmHWM:\t   20 kB\nVmRSS:\t   12345 kB\n";
        assert_eq!(field(status, "VmRSS"), Some(12_345));
        assert_eq!(field(status, "VmHWM"), Some(20));
        assert_eq!(field(status, "VmSwap"), None);
    }
}
