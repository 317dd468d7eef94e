//! A script for `/bin/sh` that stands in a file, or comes on standard input.

use std::fs::File;
use std::io::{self, Read};

use osapi_core::job::limits::ARGUMENT_MAX;

use crate::render::escape;

/// What is shown as the help of the option.
pub(crate) const HELP: &str = "Read the script from this file, or from standard input if it is '-'";

/// A script that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) text: String,
    /// Whether it came on standard input, of which nothing is left then.
    pub(crate) is_standard_input: bool,
}

/// Why a file holds no script for `shell`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidScript {
    /// It cannot be read. clap shows no sources, so the cause is part of the text.
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    /// More than the shell can be given.
    #[error("is larger than {ARGUMENT_MAX} bytes, which is all that a script may have")]
    TooLarge,
    /// Not text.
    #[error("is not text: a script has to be UTF-8")]
    NoText,
    /// Its first line names another interpreter, or options that would be lost.
    #[error(
        "is for '{0}', and shell runs every script by '/bin/sh' alone: give it to its interpreter by exec, \
         such as: osapi exec -- bash -c \"$(cat FILE)\""
    )]
    Interpreter(String),
}

/// The script in the file at `path`.
///
/// # Errors
/// When it cannot be read, or is none for `shell`.
pub(crate) fn file(path: &str) -> Result<Script, InvalidScript> {
    let is_standard_input = path == "-";
    let text = match is_standard_input {
        true => read(io::stdin().lock()),
        false => read(File::open(path).map_err(InvalidScript::Unreadable)?),
    };
    Ok(Script { text: text?, is_standard_input })
}

fn read(from: impl Read) -> Result<String, InvalidScript> {
    let mut bytes = Vec::new();
    from.take(ARGUMENT_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(InvalidScript::Unreadable)?;
    if bytes.len() > ARGUMENT_MAX {
        return Err(InvalidScript::TooLarge);
    }
    let script = String::from_utf8(bytes).map_err(|_| InvalidScript::NoText)?;
    match other_interpreter(&script) {
        Some(interpreter) => Err(InvalidScript::Interpreter(escape::line(interpreter).into())),
        None => Ok(script),
    }
}

/// What the first line asks for (execve(2)), if that is not `sh` without options. An option such as `-e` would be lost: the shell is
/// given the script as an argument, and the first line is a comment to it.
fn other_interpreter(script: &str) -> Option<&str> {
    let asked = script.lines().next()?.strip_prefix("#!")?.trim();
    let words: Vec<_> = asked.split_whitespace().collect();
    match words.as_slice() {
        [] | ["sh" | "/bin/sh" | "/usr/bin/sh"] | ["/usr/bin/env" | "/bin/env", "sh"] => None,
        _ => Some(asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_taken_as_it_is() {
        for script in ["", "true", "#!/bin/sh\necho 'a\tb'\n", "#!/usr/bin/env sh\n", "# !x\n"] {
            assert_eq!(read(script.as_bytes()).unwrap(), script);
        }
        let largest = "#".repeat(ARGUMENT_MAX);
        assert_eq!(read(largest.as_bytes()).unwrap(), largest);
    }

    #[test]
    fn what_is_no_script_for_sh_is_refused_with_the_reason() {
        let refused = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
        assert!(refused(&vec![b'#'; ARGUMENT_MAX + 1]).contains("larger than 131071 bytes"));
        assert!(refused(b"echo \xff").contains("UTF-8"));
        for asked in
            ["/bin/bash", "/usr/bin/env python3", "/bin/sh -e", "/usr/bin/env -S sh -e", "env sh"]
        {
            let text = refused(format!("#! {asked}\ntrue\n").as_bytes());
            assert!(text.contains(&format!("is for '{asked}'")) && text.contains("exec"), "{text}");
        }
        let text = file("/no/such/script").unwrap_err().to_string();
        assert!(text.contains("No such file"), "{text}");
        let text = file("/").unwrap_err().to_string();
        assert!(text.contains("cannot be read: Is a directory"), "{text}");
    }
}
