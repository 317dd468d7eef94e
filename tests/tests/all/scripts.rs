//! `shell --file`: a script is read here and runs there.

use std::fs;

use crate::world::Machine;

#[test]
fn a_script_runs_as_if_it_had_been_typed() {
    let machine = Machine::new();
    let _server = machine.start();
    let script = "#!/bin/sh\nset -eu\n# a comment with 'quotes' and $HOME\nprintf '%s\\n' \"$0\" '|>*'\nexit 4\n";
    let path = machine.path("script.sh");
    fs::write(&path, script).unwrap();
    let path = path.to_str().unwrap();

    let typed = machine.osapi(["shell", script]).run().exits(4);
    let read = machine.osapi(["shell", "--file", path]).run().exits(4);
    let piped = machine.osapi(["shell", "--file", "-"]).stdin(script).run().exits(4);
    let long = machine.osapi(["node", "command", "shell", "--file", path]).run().exits(4);
    let local = machine.bare(["shell", "--local", "--file", path]).run().exits(4);
    for ran in [read, piped, long, local] {
        assert_eq!((ran.out(), ran.err()), (typed.out(), typed.err()), "{ran}");
    }
    assert!(typed.out().ends_with("|>*\n"), "{typed}");
}

#[test]
fn what_is_no_script_is_refused_and_nothing_is_sent() {
    let machine = Machine::new();
    let server = machine.start();
    let from_input = |script: &str| machine.osapi(["shell", "--file", "-"]).stdin(script).run();
    from_input("").exits(2).explains(&["script", "empty"]);
    from_input("echo a\0b").exits(2).explains(&["NUL"]);
    from_input(&"#".repeat(128 * 1024)).exits(2).explains(&["131071"]);
    from_input("#!/usr/bin/python3\nprint(1)\n").exits(2).explains(&["/usr/bin/python3", "exec"]);
    machine.osapi(["shell", "--file", "/no/such"]).run().exits(2).explains(&["No such file"]);
    assert!(server.api().jobs().is_empty());
}
