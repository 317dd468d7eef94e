//! `exec --local` and `shell --local`: the whole way, and nothing left of it.

use std::fs;

use crate::world::{Machine, Ran, of_job};

fn local(machine: &Machine, command: &[&str]) -> Ran {
    let args = ["exec", "--local", "--"].iter().chain(command).copied();
    machine.bare(args).run()
}

fn local_shell(machine: &Machine, script: &str) -> Ran {
    machine.bare(["shell", "--local", "--", script]).run()
}

/// What this machine says itself.
fn here(machine: &Machine, script: &str) -> String {
    machine.typed(script).run().exits(0).out()
}

#[test]
fn the_commands_of_the_readme_print_what_the_machine_says() {
    let machine = Machine::new();
    let uname = here(&machine, "uname -a");
    machine.bare(["exec", "--local", "--", "uname", "-a"]).run().exits(0).prints(&uname).quietly();
    let ran = machine.bare(["shell", "--local", "--", "echo $HOME | tr a-z A-Z"]).run().exits(0);
    assert!(ran.line().starts_with('/'), "{ran}");
    assert_eq!(ran.line(), ran.line().to_uppercase());
}

#[test]
fn the_exit_code_is_the_commands_own() {
    let machine = Machine::new();
    local(&machine, &["true"]).exits(0).prints("").quietly();
    local_shell(&machine, "exit 3").exits(3).prints("").quietly();
    local_shell(&machine, "exit 255").exits(255);
    local_shell(&machine, "kill -9 $$").exits(128 + 9).explains(&["SIGKILL"]);
    local_shell(&machine, "kill -TERM $$").exits(128 + 15).explains(&["SIGTERM"]);
    local(&machine, &["/etc/passwd"]).exits(126).explains(&["/etc/passwd", "Permission denied"]);
    local(&machine, &["no-such-program"]).exits(127).explains(&["no-such-program", "PATH is"]);
    let ran = machine.bare(["exec", "--local", "--timeout", "1", "--", "sleep", "60"]).run();
    ran.exits(124).explains(&["timeout"]);
}

#[test]
fn both_streams_arrive_as_they_were_written() {
    let machine = Machine::new();
    let ran =
        local_shell(&machine, r"printf 'a\0b\377\033[31m'; printf 'c\0d\376' >&2; exit 7").exits(7);
    assert_eq!(ran.stdout, b"a\0b\xff\x1b[31m");
    assert_eq!(ran.stderr, b"c\0d\xfe");
}

#[test]
fn an_argument_arrives_as_it_is() {
    let machine = Machine::new();
    for argument in
        ["|>*$HOME", "", " ", "a b", "-n", "--", "--timeout", "'\"`", "ä\u{1f980}", "\\n", "a\nb"]
    {
        local(&machine, &["printf", "%s", argument]).exits(0).prints(argument);
    }
}

#[test]
fn output_so_far_is_kept_when_the_time_is_up() {
    let machine = Machine::new();
    let ran = machine
        .bare(["shell", "--local", "--timeout", "1", "--", "echo before; sleep 60; echo after"])
        .run();
    ran.exits(124).prints("before\n");
}

#[test]
fn nothing_is_left_of_it() {
    let machine = Machine::new();
    let ran = local_shell(&machine, "sleep 60 & setsid sleep 60 & echo $OSAPI_JOB_ID").exits(0);
    let job = ran.line();
    let left = of_job(&job);
    crate::world::end_all_of(&job);
    assert!(left.is_empty(), "processes {left:?} outlived it");
    for dir in [machine.tmp(), machine.home()] {
        let names: Vec<_> =
            fs::read_dir(&dir).unwrap().flatten().map(|entry| entry.path()).collect();
        assert!(names.is_empty(), "{names:?}");
    }
}

#[test]
fn ctrl_c_ends_the_command_and_leaves_nothing() {
    use rustix::process::{Pid, Signal, kill_process};

    let machine = Machine::new();
    let marker = machine.path("tmp/marker");
    let script = format!("echo $OSAPI_JOB_ID > {}; exec sleep 60", marker.display());
    let child = machine.bare(["shell", "--local", "--", &script]).spawn();
    let job = crate::world::until("the command runs", || {
        let text = fs::read_to_string(&marker).ok()?;
        text.strip_suffix('\n').map(ToOwned::to_owned)
    });
    assert!(!of_job(&job).is_empty());
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    crate::world::finish(child, "shell --local".into()).exits(130);
    assert!(of_job(&job).is_empty());
    fs::remove_file(marker).unwrap();
    assert_eq!(fs::read_dir(machine.tmp()).unwrap().count(), 0);
}
