use clap::CommandFactory as _;

use super::remote::{CommandCommand, NodeCommand};
use super::run::{Run, What};
use super::*;

fn parse(words: &[&str]) -> Cli {
    Cli::try_parse_from(words).unwrap_or_else(|err| panic!("{err}"))
}

fn refused(words: &[&str]) -> String {
    match Cli::try_parse_from(words) {
        Ok(cli) => panic!("{:?}", cli.command),
        Err(err) => err.to_string(),
    }
}

fn run(words: &[&str]) -> Run {
    let run = match parse(words).command {
        Command::Exec(args) => args.into_run(),
        Command::Shell(args) => args.into_run(),
        Command::Client(Remote::Node(node)) | Command::Remote(Remote::Node(node)) => match node {
            NodeCommand::Command(CommandCommand::Exec(args)) => args.into_run(),
            NodeCommand::Command(CommandCommand::Shell(args)) => args.into_run(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    run.unwrap()
}

fn argv(run: &Run) -> Vec<&str> {
    match &run.what {
        What::Exec(exec) => std::iter::once(exec.command.as_str())
            .chain(exec.args.iter().map(String::as_str))
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_definition_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn short_and_long_forms_are_the_same_request() {
    let short = run(&["osapi", "exec", "--", "ls", "-la", "/tmp"]);
    let long =
        ["osapi", "client", "node", "command", "exec", "--command", "ls", "--args", "-la,/tmp"];
    assert_eq!(run(&long), short);
    assert_eq!(run(&[&long[..], &["--target", "_any"]].concat()), short);
    assert_eq!(run(&["osapi", "node", "command", "exec", "--", "ls", "-la", "/tmp"]), short);

    let options =
        ["-T", "web-01", "--timeout", "2m", "-e", "A=1", "--cwd", "/var", "--json", "--yes"];
    let short = [&["osapi", "shell"][..], &options, &["uname -r"]].concat();
    let long =
        [&["osapi", "client", "node", "command", "shell", "--command", "uname -r"][..], &options]
            .concat();
    assert_eq!(run(&short), run(&long));
}

#[test]
fn after_two_dashes_everything_is_an_argument() {
    let words = [
        "osapi", "exec", "-T", "web-01", "--", "printf", "%s", "--json", "-T", "a,b", "--",
        "|>*$HOME", "",
    ];
    let run = run(&words);
    assert_eq!(argv(&run), ["printf", "%s", "--json", "-T", "a,b", "--", "|>*$HOME", ""]);
    assert!(!run.options.format.json);
}

#[test]
fn without_two_dashes_the_way_is_shown() {
    let text = refused(&["osapi", "exec", "ls"]);
    assert!(text.contains("unexpected argument 'ls'") && text.contains("-- "), "{text}");
}

#[test]
fn targets_have_two_short_names() {
    for flag in ["-T", "-t", "--target"] {
        assert_eq!(
            run(&["osapi", "exec", flag, "_all", "--", "x"]).options.target.to_string(),
            "_all"
        );
    }
    assert_eq!(run(&["osapi", "exec", "--", "x"]).options.target.to_string(), "_any");
    for bad in ["", " ", "a/b", "a b", "_some"] {
        assert!(refused(&["osapi", "exec", "-T", bad, "--", "x"]).contains("target"), "{bad:?}");
    }
}

#[test]
fn in_token_a_short_t_is_the_token() {
    match parse(&["osapi", "token", "validate", "-t", "-"]).command {
        Command::Token(TokenCommand::Validate(args)) => assert_eq!(args.token, "-"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn timeouts_out_of_bounds_are_refused() {
    for bad in ["0", "301", "abc", "-1"] {
        let text = refused(&["osapi", "exec", &format!("--timeout={bad}"), "--", "x"]);
        assert!(text.contains("--timeout") && text.contains("must be"), "{bad}: {text}");
    }
    assert_eq!(run(&["osapi", "exec", "--", "x"]).what.operation().timeout_s(), 30);
    assert_eq!(
        run(&["osapi", "exec", "--timeout", "10", "--", "x"]).what.operation().timeout_s(),
        10
    );
}

#[test]
fn variables_have_a_name_and_a_value() {
    let run = run(&["osapi", "exec", "-e", "A=1", "--env", "B=x=y", "-e", "A=", "--", "x"]);
    match run.what {
        What::Exec(exec) => {
            assert_eq!(
                Vec::from_iter(exec.env),
                [("A".into(), String::new()), ("B".into(), "x=y".into())]
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(refused(&["osapi", "exec", "-e", "A", "--", "x"]).contains("there is no '='"));
    assert!(refused(&["osapi", "exec", "-e", "=1", "--", "x"]).contains("is empty"));
}

#[test]
fn what_a_command_is_given_is_the_same_for_both() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("input");
    std::fs::write(&path, b"a\xff\0").unwrap();
    let path = path.to_str().unwrap();
    let given = ["--stdin", path, "--user", "web", "--umask", "027"];
    for (form, command) in [("exec", &["--", "x"][..]), ("shell", &["x"][..])] {
        let operation = run(&[&["osapi", form][..], &given, command].concat()).what.operation();
        let asked = operation.surroundings().unwrap();
        assert_eq!(asked.stdin.unwrap().as_bytes(), b"a\xff\0");
        assert_eq!((asked.user.unwrap().as_str(), asked.umask.unwrap().bits()), ("web", 0o027));
        let plain = run(&[&["osapi", form][..], command].concat()).what.operation();
        let asked = plain.surroundings().unwrap();
        assert!(asked.stdin.is_none() && asked.user.is_none() && asked.umask.is_none());
    }
    for bad in [["--user", "0day"], ["--user", ""], ["--umask", "9"], ["--umask", "u=rwx"]] {
        let text = refused(&[&["osapi", "exec"][..], &bad, &["--", "x"]].concat());
        assert!(text.contains(bad[0]) && text.contains("must be"), "{text}");
    }
}

#[test]
fn bounds_are_checked_before_anything_is_sent() {
    let broken = |words: &[&str]| match parse(words).command {
        Command::Exec(args) => args.into_run().unwrap_err().to_string(),
        Command::Shell(args) => args.into_run().unwrap_err().to_string(),
        other => panic!("{other:?}"),
    };
    assert!(broken(&["osapi", "exec", "--", ""]).starts_with("command must be"));
    assert!(broken(&["osapi", "shell", " "]).starts_with("command must be a script"));
    assert!(broken(&["osapi", "exec", "--cwd", "tmp", "--", "x"]).starts_with("cwd must be"));
    let long = "x".repeat(128 * 1024);
    assert!(broken(&["osapi", "exec", "--", "x", &long]).starts_with("args[0] must be at most"));
}

#[test]
fn args_are_for_the_long_form() {
    assert!(refused(&["osapi", "exec", "--args", "a", "--", "x"]).contains("--args"));
    let both = ["osapi", "node", "command", "exec", "--command", "a", "--", "x"];
    assert!(refused(&both).contains("cannot be used with"));
}

#[test]
fn global_options_stand_anywhere() {
    for words in [
        &["osapi", "-d", "-f", "a.yaml", "--data-dir", "/d", "health"][..],
        &["osapi", "health", "-d", "-f", "a.yaml", "--data-dir", "/d"],
        &[
            "osapi",
            "client",
            "job",
            "list",
            "--debug",
            "--osapi-file",
            "a.yaml",
            "--data-dir",
            "/d",
        ],
        &["osapi", "token", "validate", "-t", "x", "-d", "-f", "a.yaml", "--data-dir", "/d"],
    ] {
        let global = parse(words).global;
        assert_eq!(global.osapi_file.as_deref(), Some("a.yaml".as_ref()));
        assert_eq!(global.data_dir.as_deref(), Some("/d".as_ref()));
        assert!(global.debug);
    }
}

#[test]
fn json_has_one_short_name() {
    for words in [
        &["osapi", "health", "-j"][..],
        &["osapi", "health", "-j", "status"],
        &["osapi", "health", "ready", "--json"],
        &["osapi", "job", "list", "-j"],
        &["osapi", "client", "agent", "get", "a", "-j"],
        &["osapi", "node", "get", "-j"],
        &["osapi", "token", "generate", "-r", "read", "-u", "x", "-j"],
    ] {
        parse(words);
    }
}

#[test]
fn hosts_are_waited_for_by_a_target_that_names_them() {
    for words in [&["exec", "--", "x"][..], &["shell", "x"]] {
        let words = [&["osapi"], &words[..1], &["-T", "db-03", "--queue-for", "2h"], &words[1..]];
        let queue_for = run(&words.concat()).options.queue_for;
        assert_eq!(queue_for.map(|time| time.seconds()), Some(7200));
    }
    match parse(&["osapi", "node", "get", "-T", "_all", "--queue-for", "90"]).command {
        Command::Remote(Remote::Node(NodeCommand::Get(args))) => {
            assert_eq!(args.queue_for.map(|time| time.seconds()), Some(90));
        }
        other => panic!("{other:?}"),
    }
    let any = match parse(&["osapi", "exec", "--queue-for", "2h", "--", "x"]).command {
        Command::Exec(args) => args.into_run().unwrap_err().to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        any,
        "--queue-for must be used with -T and the hosts to wait for (names, a label, _all), not _any"
    );
    let text = refused(&["osapi", "exec", "-T", "x", "--queue-for", "25h", "--", "x"]);
    assert!(text.contains("--queue-for") && text.contains("1 second to 24 hours"), "{text}");
    let local = ["osapi", "exec", "--local", "-T", "x", "--queue-for", "2h", "--", "x"];
    assert!(refused(&local).contains("cannot be used"));
}

#[test]
fn a_detached_local_run_makes_no_sense() {
    assert!(
        refused(&["osapi", "exec", "--local", "--detach", "--", "x"]).contains("cannot be used")
    );
}

#[test]
fn a_script_is_an_argument_or_a_file() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let script = std::fs::read_to_string(file).unwrap();
    let short = run(&["osapi", "shell", "--file", file]);
    assert_eq!(short, run(&["osapi", "node", "command", "shell", "--file", file]));
    assert_eq!(short, run(&["osapi", "shell", &script]));
    for both in [
        &["shell", "--file", file, "x"][..],
        &["node", "command", "shell", "--file", file, "--command", "x"],
    ] {
        let text = refused(&[&["osapi"], both].concat());
        assert!(text.contains("cannot be used with"), "{text}");
    }
    for none in [&["osapi", "shell"][..], &["osapi", "node", "command", "shell"]] {
        let text = refused(none);
        assert!(text.contains("required") && text.contains("--"), "{text}");
    }
    let text = refused(&["osapi", "shell", "--file", "/no/such/file"]);
    assert!(text.contains("--file") && text.contains("No such file"), "{text}");
}

#[test]
fn a_range_of_output_may_begin_with_a_dash() {
    let output = |range: &[&str]| {
        let job = "01a0c4c0-9c00-7000-8000-000000000001";
        let words = [&["osapi", "job", "output", job, "web-01"][..], range].concat();
        Cli::try_parse_from(words).map_err(|err| err.to_string())
    };
    output(&["--range", "-1024"]).unwrap();
    output(&["--range=0-9", "--stderr", "--raw"]).unwrap();
    let text = output(&["--range", "9-0"]).unwrap_err();
    assert!(text.contains("--range") && text.contains("0-1023"), "{text}");
}

/// Every command's help, one after the other. (What is under `client` is what is beside it.)
fn all_help(command: &mut clap::Command, path: &str, text: &mut String) {
    let name = format!("{path} {}", command.get_name()).trim().to_owned();
    text.push_str(&format!("$ {name} --help\n{}\n", command.render_help()));
    for inner in command
        .get_subcommands_mut()
        .filter(|inner| !["help", "client"].contains(&inner.get_name()))
    {
        all_help(inner, &name, text);
    }
}

#[test]
fn help_is_what_was_reviewed() {
    let mut text = String::new();
    let mut command = Cli::command().term_width(100);
    command.build();
    all_help(&mut command, "", &mut text);
    let text: String = text.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/src/args/help.txt");
    if std::env::var_os("OSAPI_TEST_UPDATE").is_some() {
        std::fs::write(golden, &text).unwrap();
    }
    let reviewed = std::fs::read_to_string(golden).unwrap();
    assert!(
        text == reviewed,
        "OSAPI_TEST_UPDATE=1 writes {golden} anew; then review its difference"
    );
}
