//! Where a policy does not do what somebody may think that it does. Nothing is refused for it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use osapi_core::executor::process::Resolved;

use super::{Policy, Rule};

/// Programs that run what they are told to, by the names that they usually have, such as `vim` of `vim.basic` and `python` of `python3.12`;
/// `*` stands for any ending. Many more can do it.
const RUNNERS: &[&str] = &[
    "R",
    "Rscript",
    "apt",
    "apt-get",
    "ash",
    "at",
    "awk",
    "bash",
    "busybox",
    "capsh",
    "cargo",
    "cc",
    "choom",
    "chroot",
    "chrt",
    "cmake",
    "coreutils",
    "cpio",
    "crontab",
    "csh",
    "dash",
    "dbus-run-session",
    "dnf",
    "doas",
    "docker",
    "dpkg",
    "ed",
    "emacs",
    "entr",
    "env",
    "erl",
    "ex",
    "expect",
    "fakeroot",
    "faketime",
    "find",
    "fish",
    "flock",
    "gawk",
    "gcc",
    "gdb",
    "git",
    "guile",
    "ionice",
    "ip",
    "irb",
    "java",
    "julia",
    "ksh",
    "ld-linux*",
    "ld-musl*",
    "ld.so",
    "less",
    "logrotate",
    "ltrace",
    "lua",
    "lxc",
    "machinectl",
    "make",
    "man",
    "mawk",
    "more",
    "mysql",
    "nano",
    "nc",
    "nice",
    "node",
    "nohup",
    "npm",
    "nsenter",
    "nvim",
    "octave",
    "openssl",
    "parallel",
    "perf",
    "perl",
    "php",
    "pico",
    "pip",
    "pkexec",
    "podman",
    "prlimit",
    "psql",
    "pwsh",
    "python",
    "rpm",
    "rsync",
    "ruby",
    "run-parts",
    "runcon",
    "runuser",
    "rview",
    "sbcl",
    "scp",
    "screen",
    "script",
    "sed",
    "setpriv",
    "setsid",
    "sftp",
    "sh",
    "socat",
    "sqlite",
    "ssh",
    "ssh-agent",
    "start-stop-daemon",
    "stdbuf",
    "strace",
    "su",
    "sudo",
    "systemctl",
    "systemd-run",
    "tar",
    "taskset",
    "tclsh",
    "tcsh",
    "tftp",
    "timeout",
    "tmux",
    "toybox",
    "unshare",
    "unzip",
    "valgrind",
    "vi",
    "view",
    "vim",
    "watch",
    "wish",
    "xargs",
    "xterm",
    "yum",
    "zip",
    "zsh",
];

/// Variables by which many programs run something else, or load something of somebody else's; `*` stands for any ending.
const LEVERS: &[&str] = &[
    "AWKLIBPATH",
    "AWKPATH",
    "BASH_*",
    "CDPATH",
    "CLASSPATH",
    "EDITOR",
    "ENV",
    "EXINIT",
    "FPATH",
    "GCONV_PATH",
    "GEM_*",
    "GIT_*",
    "GLIBC_TUNABLES",
    "HOME",
    "IFS",
    "JAVA_TOOL_OPTIONS",
    "JDK_*",
    "LD_*",
    "LESS",
    "LESSOPEN",
    "LOCPATH",
    "LUA_*",
    "MAKEFLAGS",
    "MANPAGER",
    "NLSPATH",
    "NODE_*",
    "OPENSSL_*",
    "PAGER",
    "PATH",
    "PERL*",
    "PHP*",
    "PROMPT_COMMAND",
    "PS4",
    "PYTHON*",
    "RSYNC_*",
    "RUBY*",
    "R_*",
    "SHELL*",
    "SSH_*",
    "SUDO_*",
    "SYSTEMD_*",
    "TAR_OPTIONS",
    "TCLLIBPATH",
    "TERMCAP",
    "TERMINFO*",
    "TMPDIR",
    "VIMINIT",
    "VISUAL",
    "XDG_*",
    "ZDOTDIR",
    "_JAVA_OPTIONS",
];

/// What is worth knowing of `policy` on this host. Blocks.
pub(crate) fn about(policy: &Policy) -> Vec<String> {
    policy.rules().iter().flat_map(|rule| about_rule(rule, None)).collect()
}

/// What is worth knowing of one rule of it, and of the command that it allows. Blocks.
pub(crate) fn about_rule(rule: &Rule, allowed: Option<&Resolved>) -> Vec<String> {
    let named = rule.programs().iter().filter_map(|program| program.literal().map(PathBuf::from));
    let found = allowed.and_then(|resolved| resolved.program.clone());
    let paths: BTreeSet<_> = named.chain(found).collect();
    let mut advice: Vec<_> = paths.iter().filter_map(|path| about_path(path)).collect();
    if rule.allows_scripts() {
        advice.push("'shell' allows every program".to_owned());
    }
    if rule.args().is_open() {
        let texts = rule.programs().iter().map(|program| program.text());
        advice.extend(texts.filter(|text| is_runner(text)).map(|text| {
            format!("'{text}' runs what its arguments say: with patterns in 'args' that may be any program")
        }));
    }
    if rule.allows_input() {
        let texts = rule.programs().iter().map(|program| program.text());
        advice.extend(texts.filter(|text| is_runner(text)).map(|text| {
            format!("'{text}' runs what it reads: with 'stdin' that may be any program")
        }));
    }
    advice.extend(rule.env().filter(|name| is_one_of(LEVERS, name)).map(|name| {
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
        Ok(real) => real.ancestors().find(|at| others_can_change(at)).map(|at| {
            format!("others than root can change '{}': what runs is up to them", at.display())
        }),
        Err(error) => Some(format!("'{}' cannot be found: {error}", path.display())),
    }
}

fn others_can_change(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.uid() != 0 || found.mode() & 0o022 != 0)
}

fn is_runner(program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or(program);
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    let first = name.split('.').next().unwrap_or(name);
    name.contains(['*', '?']) || [name, bare, first].iter().any(|name| is_one_of(RUNNERS, name))
}

/// Whether `name` is in a list in which `*` stands for any ending.
fn is_one_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| match known.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == *known,
    })
}
