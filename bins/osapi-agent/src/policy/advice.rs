//! Where a policy does not do what somebody may think that it does. Nothing is refused for it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use osapi_core::executor::process::Resolved;

use super::{Policy, Rule};

/// Programs that run what they are told to, by the names that they usually have; a version may follow.
const RUNNERS: &[&str] = &[
    "ash",
    "at",
    "awk",
    "bash",
    "busybox",
    "chroot",
    "crontab",
    "csh",
    "dash",
    "docker",
    "doas",
    "ed",
    "emacs",
    "env",
    "expect",
    "find",
    "fish",
    "flock",
    "gawk",
    "gdb",
    "git",
    "ionice",
    "ksh",
    "less",
    "lua",
    "make",
    "man",
    "mawk",
    "more",
    "nano",
    "nc",
    "nice",
    "node",
    "nohup",
    "nsenter",
    "parallel",
    "perl",
    "php",
    "podman",
    "pwsh",
    "python",
    "rsync",
    "ruby",
    "runuser",
    "screen",
    "script",
    "sed",
    "setpriv",
    "setsid",
    "sh",
    "socat",
    "ssh",
    "strace",
    "stdbuf",
    "su",
    "sudo",
    "systemd-run",
    "tar",
    "tclsh",
    "tcsh",
    "timeout",
    "tmux",
    "toybox",
    "unshare",
    "vim",
    "xargs",
];

/// Variables by which many programs run something else, or load something of somebody else's; `*` stands for any ending.
const LEVERS: &[&str] = &[
    "BASH_*",
    "EDITOR",
    "ENV",
    "GCONV_PATH",
    "GIT_*",
    "HOME",
    "IFS",
    "LD_*",
    "LESSOPEN",
    "NODE_*",
    "PAGER",
    "PATH",
    "PERL*",
    "PYTHON*",
    "RUBY*",
    "SHELL*",
    "VISUAL",
];

/// What is worth knowing of `policy` on this host. Blocks.
pub(crate) fn about(policy: &Policy) -> Vec<String> {
    policy.rules().iter().flat_map(about_rule).collect()
}

/// What is worth knowing of one rule of it. Blocks.
pub(crate) fn about_rule(rule: &Rule) -> Vec<String> {
    let paths = rule.programs().iter().filter_map(|program| program.literal().map(PathBuf::from));
    let mut advice: Vec<_> = paths.filter_map(|path| about_path(&path)).collect();
    if rule.allows_scripts() {
        advice.push("'shell' allows every program".to_owned());
    }
    if rule.args().is_open() {
        let texts = rule.programs().iter().map(|program| program.text());
        advice.extend(texts.filter(|text| is_runner(text)).map(|text| {
            format!("'{text}' runs what its arguments say: with patterns in 'args' that may be any program")
        }));
    }
    advice.extend(rule.env().filter(|name| is_lever(name)).map(|name| {
        format!("whoever sets '{name}' may have another program run than the one that is allowed")
    }));
    advice.into_iter().map(|text| format!("rule '{}': {text}", rule.name())).collect()
}

/// What is worth knowing of the program at `path`, as a policy names it.
fn about_path(path: &Path) -> Option<String> {
    match fs::canonicalize(path) {
        Ok(real) if real != path => Some(format!(
            "'{}' is a link and allows nothing: the program is '{}'",
            path.display(),
            real.display()
        )),
        Ok(_) => None,
        Err(error) => Some(format!("'{}' cannot be found: {error}", path.display())),
    }
}

/// What is worth knowing of a program that is allowed. Blocks.
pub(crate) fn about_allowed(resolved: &Resolved) -> Option<String> {
    let program = resolved.program.as_ref()?;
    let others = |path: &&Path| {
        fs::metadata(path).is_ok_and(|found| found.uid() != 0 || found.mode() & 0o022 != 0)
    };
    let at = program.ancestors().find(others)?;
    Some(format!("others than root can change '{}': what runs is up to them", at.display()))
}

fn is_runner(program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or(program);
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    name.contains(['*', '?']) || RUNNERS.contains(&name)
}

fn is_lever(name: &str) -> bool {
    LEVERS.iter().any(|lever| match lever.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == *lever,
    })
}
