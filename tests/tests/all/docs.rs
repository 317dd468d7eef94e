//! The examples of the documentation, run as they are written.
//!
//! In a fenced block with the word `console`, a line that begins with `$ ` is typed, and the lines up to the next one are what is to
//! be seen; `...` in them stands for anything.

use std::fs;

use crate::world::{Machine, Server, workspace};

/// A command, and what is to be seen.
#[derive(Debug, PartialEq, Eq)]
struct Example {
    line: usize,
    command: String,
    seen: String,
}

fn examples(text: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut inside = false;
    for (n, line) in text.lines().enumerate() {
        match line {
            _ if line.starts_with("```") => inside = line == "```console",
            _ if !inside => {}
            _ => match (line.strip_prefix("$ "), examples.last_mut()) {
                (Some(command), _) => {
                    let command = command.to_owned();
                    examples.push(Example { line: n + 1, command, seen: String::new() });
                }
                (None, Some(example)) => example.seen.extend([line, "\n"]),
                (None, None) => {
                    panic!("line {}: something is seen before anything is typed", n + 1)
                }
            },
        }
    }
    examples
}

/// Whether `text` is `pattern`, in which `...` stands for anything.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once("...") else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts: Vec<_> = rest.split("...").collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        match text.split_once(part) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    text.ends_with(tail)
}

/// Runs every example of a file of the documentation, in order, against a server with this configuration.
fn run(name: &str, config: &str) {
    let text = fs::read_to_string(workspace().join(name)).unwrap();
    let examples = examples(&text);
    assert!(!examples.is_empty(), "{name} has no examples");
    let machine = Machine::of_a_person();
    let file = machine.path("osapi.yaml");
    fs::write(&file, config).unwrap();
    let start = format!("exec osapi -f '{}' start", file.display());
    let _server = Server::start(machine.typed(&start), machine.data_dir());
    let wrong = examples.iter().filter_map(|Example { line, command, seen }| {
        // Both streams, as on a terminal.
        let out = machine.typed(&format!("exec 2>&1; {command}")).run().out();
        (!fits(seen, &out)).then(|| format!("{name}:{line}: {command}\nshows:\n{out}not:\n{seen}"))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_examples_of_running_commands_work() {
    run("docs/command-execution.md", "");
}

#[test]
fn the_examples_of_targets_work() {
    let labels = "{group: web.dev.us-east, env: prod}";
    let host = format!("agent: {{name: web-01, labels: {labels}}}\n");
    run("docs/targets.md", &host);
}

#[test]
fn examples_are_told_from_text() {
    let text = "a\n```sh\n$ b\n```\n```console\n$ c d\ne\n\nf\n$ g\n```\nh\n```console\n$ i\n```\n";
    let example = |line, command: &str, seen: &str| Example {
        line,
        command: command.into(),
        seen: seen.into(),
    };
    assert_eq!(
        examples(text),
        [example(6, "c d", "e\n\nf\n"), example(10, "g", ""), example(14, "i", "")]
    );
}

#[test]
fn dots_stand_for_anything_and_nothing_else_does() {
    for (pattern, text, is_fit) in [
        ("a\n", "a\n", true),
        ("a\n", "a\nb\n", false),
        ("a...d\n", "abcd\n", true),
        ("a...d\n", "ad\n", true),
        ("a...d\n", "abc\n", false),
        ("...b...c\n", "a\nbb\nc\n", true),
        ("...b...c\n", "a\nc\n", false),
        ("a...\n", "b\n", false),
        ("", "a\n", false),
    ] {
        assert_eq!(fits(pattern, text), is_fit, "{pattern:?} {text:?}");
    }
}
