//! What runs on this machine, found by the variable that every command of a job gets.

use std::fs;
use std::io;

use rustix::process::{Pid, Signal, kill_process};

/// The ids of the processes of a job. A process that has ended and was not waited for yet has no environment any more.
pub(crate) fn of_job(job: &str) -> Vec<i32> {
    let variable = format!("OSAPI_JOB_ID={job}");
    let entries = fs::read_dir("/proc").expect("this is Linux").flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    ids.filter(|id| match fs::read(format!("/proc/{id}/environ")) {
        Ok(environment) => {
            environment.split(|byte| *byte == 0).any(|one| one == variable.as_bytes())
        }
        Err(error) => {
            // It ended, or it is somebody else's.
            assert!(
                [io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied].contains(&error.kind())
                    || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()),
                "{error}"
            );
            false
        }
    })
    .collect()
}

/// Ends what a test left running on purpose.
pub(crate) fn end_all_of(job: &str) {
    for id in of_job(job) {
        let id = Pid::from_raw(id).expect("no process has the id 0");
        // It may end by itself meanwhile.
        if let Err(error) = kill_process(id, Signal::KILL) {
            assert_eq!(error, rustix::io::Errno::SRCH);
        }
    }
}
