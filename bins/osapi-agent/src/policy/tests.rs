//! What a policy allows, as tables: the files that exist are told, nothing is looked up.

mod surroundings;

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use osapi_core::executor::process::{ResolvedUser, resolve};
use osapi_core::job::{Custom, Exec, Shell};

use super::file::{parse, read, read_if_there};
use super::pattern::Pattern;
use super::*;

const POLICY: &str = r#"
rules:
  - name: logs
    operations: [exec]
    roles: [ops, admin]
    programs: [/usr/bin/journalctl, /opt/logs/*]
    args: [-u, "nginx*", ...]
    env: [LANG]
    cwd: [/var/log]
    max_timeout: 1m
  - name: files
    operations: [exec]
    programs: [/usr/bin/cat]
    args: ["/srv/*.txt"]
  - name: ls
    operations: [exec]
    programs: [/usr/bin/ls]
    args: [...]
    env: [LD_PRELOAD]
  - name: disk
    operations: [exec]
    programs: [/usr/bin/df]
    max_output: 64KiB
  - name: import
    operations: [exec]
    programs: [/usr/bin/psql]
    users: [postgres, "33"]
    stdin: true
    keep_children: true
  - name: scripts
    operations: [shell]
    subjects: ["*@ops.example.com"]
  - name: facts
    operations: [facts]
"#;

fn policy() -> Policy {
    parse(POLICY, Path::new("policy.yaml")).unwrap()
}

fn who(subject: &str, roles: &[&str]) -> Submitter {
    let roles = roles.iter().map(|&role| role.to_owned()).collect();
    Submitter { subject: subject.into(), token_id: "t".into(), roles }
}

fn exec(args: &[&str]) -> Exec {
    let args = args.iter().map(|&arg| arg.to_owned()).collect();
    Exec { args, ..Exec::new("as-somebody-calls-it") }
}

fn variable(name: &str) -> BTreeMap<String, String> {
    [(name.to_owned(), "x".to_owned())].into()
}

/// What the policy says where the program is `program` and the directory is `cwd`: a rule, or why not.
fn said(operation: Operation, who: &Submitter, program: &str, cwd: &str) -> Result<String, String> {
    let program = Some(program).filter(|path| !path.is_empty()).map(PathBuf::from);
    said_of(operation, who, Resolved { program, cwd: cwd.into(), user: own() })
}

/// The agent's own user.
fn own() -> ResolvedUser {
    ResolvedUser { uid: 0, name: "root".into(), is_own: true }
}

/// What the policy says of what was `resolved`.
fn said_of(operation: Operation, who: &Submitter, resolved: Resolved) -> Result<String, String> {
    let request = Request { operation: &operation, submitter: who, resolved: Some(&resolved) };
    let policy = policy();
    let decision = policy.decide(request);
    decision.map(|rule| rule.name().to_owned()).map_err(|failure| {
        assert_eq!(failure.code, "policy");
        failure.message.strip_prefix("the local policy refuses it: ").unwrap().to_owned()
    })
}

const NONE: &str = "no rule allows it";

#[test]
fn programs_are_the_files_behind_every_link_and_arguments_fit_one_by_one() {
    let ops = who("ann", &["ops"]);
    for (program, args, expected) in [
        ("/usr/bin/journalctl", vec!["-u", "nginx"], Ok("logs")),
        ("/usr/bin/journalctl", vec!["-u", "nginx.service", "-n", "5"], Ok("logs")),
        ("/opt/logs/today", vec!["-u", "nginx"], Ok("logs")),
        ("/opt/logs/bin/today", vec!["-u", "nginx"], Err(NONE)),
        ("/opt/logs", vec!["-u", "nginx"], Err(NONE)),
        ("/usr/bin/journalctl", vec![], Err("rule 'logs': 2 arguments are needed")),
        ("/usr/bin/journalctl", vec!["-u"], Err("rule 'logs': 2 arguments are needed")),
        (
            "/usr/bin/journalctl",
            vec!["-u", "sshd"],
            Err("rule 'logs': argument 2 may not be 'sshd'"),
        ),
        (
            "/usr/bin/journalctl",
            vec!["-u", "nginx/../sshd"],
            Err("rule 'logs': argument 2 may not be 'nginx/../sshd'"),
        ),
        ("/usr/bin/journalctl2", vec!["-u", "nginx"], Err(NONE)),
        ("/tmp/usr/bin/journalctl", vec!["-u", "nginx"], Err(NONE)),
        ("/usr/bin/df", vec![], Ok("disk")),
        ("/usr/bin/df", vec!["-h"], Err("rule 'disk': no arguments are allowed")),
        ("/usr/bin/cat", vec!["/srv/a.txt"], Ok("files")),
        (
            "/usr/bin/cat",
            vec!["/srv/a/b.txt"],
            Err("rule 'files': argument 1 may not be '/srv/a/b.txt'"),
        ),
        ("/usr/bin/cat", vec!["/srv/..txt"], Ok("files")),
        (
            "/usr/bin/cat",
            vec!["/srv/a.txt", "b"],
            Err("rule 'files': at most 1 arguments are allowed"),
        ),
        // What is another program by any name or argument.
        ("/usr/bin/dash", vec!["-c", "journalctl -u nginx"], Err(NONE)),
        ("/usr/bin/env", vec!["journalctl", "-u", "nginx"], Err(NONE)),
        ("/usr/bin/sudo", vec!["/usr/bin/journalctl", "-u", "nginx"], Err(NONE)),
    ] {
        let said = said(Operation::Exec(exec(&args)), &ops, program, "/");
        let expected = expected.map(ToOwned::to_owned).map_err(ToOwned::to_owned);
        assert_eq!(said, expected, "{program} {args:?}");
    }
}

#[test]
fn only_who_is_named_may() {
    let logs = || Operation::Exec(exec(&["-u", "nginx"]));
    let script = || Operation::Shell(Shell::new("df -h | tail -n 1"));
    for (subject, roles, logs_said, script_said) in [
        ("ann", &["ops"][..], Ok("logs"), Err(NONE)),
        ("ann", &["write", "admin"], Ok("logs"), Err(NONE)),
        ("ann", &["opsx", ""], Err(NONE), Err(NONE)),
        ("bob@ops.example.com", &[], Err(NONE), Ok("scripts")),
        ("bob@ops.example.com.evil", &[], Err(NONE), Err(NONE)),
        ("bob/x@ops.example.com", &[], Err(NONE), Err(NONE)),
        ("", &[], Err(NONE), Err(NONE)),
    ] {
        let who = who(subject, roles);
        let owned =
            |said: Result<&str, &str>| said.map(ToOwned::to_owned).map_err(ToOwned::to_owned);
        assert_eq!(said(logs(), &who, "/usr/bin/journalctl", "/"), owned(logs_said), "{subject}");
        assert_eq!(said(script(), &who, "", "/"), owned(script_said), "{subject}");
    }
}

#[test]
fn variables_directories_and_time_are_bounded_as_well() {
    let ops = who("ann", &["ops"]);
    let asked = |change: &dyn Fn(&mut Exec), cwd: &str| {
        let mut exec = exec(&["-u", "nginx"]);
        change(&mut exec);
        said(Operation::Exec(exec), &ops, "/usr/bin/journalctl", cwd)
    };
    let env = |name: &'static str| move |exec: &mut Exec| exec.env = variable(name);
    assert_eq!(asked(&env("LANG"), "/"), Ok("logs".into()));
    for name in ["PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "BASH_ENV", "ENV", "IFS", "lang", "LANG "]
    {
        let expected = Err(format!("rule 'logs': variable '{name}' may not be set"));
        assert_eq!(asked(&env(name), "/"), expected);
    }
    let ls = Operation::Exec(Exec { env: variable("LD_PRELOAD"), ..exec(&["-l"]) });
    assert_eq!(said(ls, &ops, "/usr/bin/ls", "/"), Ok("ls".into()), "it is named");

    let cwd = |exec: &mut Exec| exec.cwd = Some("/whatever/was/written".into());
    for (real, allowed) in [
        ("/var/log", true),
        ("/var/log/nginx", true),
        ("/", true),
        ("/var/logs", false),
        ("/var", false),
        ("/etc", false),
    ] {
        assert_eq!(asked(&cwd, real).is_ok(), allowed, "{real}");
    }
    let timeout = |seconds| move |exec: &mut Exec| exec.timeout = seconds;
    assert_eq!(asked(&timeout(60), "/"), Ok("logs".into()));
    let late = Err("rule 'logs': a timeout of 61s is above 1m".to_owned());
    assert_eq!(asked(&timeout(61), "/"), late);

    let ops = who("a@ops.example.com", &[]);
    let script = Shell { env: variable("BASH_ENV"), ..Shell::new("true") };
    let refused = said(Operation::Shell(script), &ops, "", "/").unwrap_err();
    assert_eq!(refused, "rule 'scripts': variable 'BASH_ENV' may not be set");
    let script = Shell { cwd: Some("/x".into()), ..Shell::new("true") };
    let refused = said(Operation::Shell(script), &ops, "", "/etc").unwrap_err();
    assert_eq!(refused, "rule 'scripts': '/etc' is not among its directories");
}

#[test]
fn what_is_no_command_is_allowed_by_its_own_rule_or_not_at_all() {
    let anybody = who("", &[]);
    assert_eq!(said(Operation::Facts, &anybody, "", "/"), Ok("facts".into()));
    let custom = Custom {
        name: "x".into(),
        permission: osapi_core::auth::permission::Permission::COMMAND_EXECUTE,
        input: serde_json::Value::Null,
        timeout: 1,
    };
    assert_eq!(said(Operation::Custom(custom), &anybody, "", "/"), Err(NONE.into()));
    let empty = parse("rules: []", Path::new("policy.yaml")).unwrap();
    assert!(empty.admit(&Operation::Facts, &anybody, None).is_err(), "no rule, nothing");
}

#[test]
fn an_order_alone_is_refused_only_for_what_is_certain() {
    let policy = policy();
    let (ops, bob) = (who("ann", &["ops"]), who("bob", &[]));
    let anything = Operation::Exec(exec(&["-c", "x"]));
    assert!(policy.admit(&anything, &ops, None).is_ok(), "which program it is is not known yet");
    let script = Operation::Shell(Shell::new("x"));
    assert!(policy.admit(&script, &bob, None).is_err());
    assert!(policy.admit(&script, &who("a@ops.example.com", &[]), None).is_ok());
}

#[test]
fn links_and_paths_do_not_make_another_program_of_one() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("cat");
    symlink("/bin/sh", &link).unwrap();
    let sh = fs::canonicalize("/bin/sh").unwrap();
    let dir = dir.path().to_str().unwrap();
    let path = |path: &str| [("PATH".to_owned(), path.to_owned())].into();
    for exec in [
        Exec::new(link.to_str().unwrap()),
        Exec { cwd: Some(dir.into()), ..Exec::new("./cat") },
        Exec { env: path(dir), ..Exec::new("cat") },
        Exec { env: path(&format!("{dir}:/usr/bin")), ..Exec::new("cat") },
        Exec { env: path(""), cwd: Some(dir.into()), ..Exec::new("cat") },
        Exec::new(format!("/usr/bin/../..{dir}/cat")),
        Exec::new(format!("/proc/self/root{dir}/cat")),
    ] {
        let resolved = resolve(&Operation::Exec(exec.clone())).unwrap();
        assert_eq!(resolved.program, Some(sh.clone()), "{exec:?}");
    }
}

#[test]
fn patterns_are_about_the_whole_text_and_spell_what_is_dangerous() {
    let matches =
        |pattern: &str, text: &str| Pattern::try_from(pattern.to_owned()).unwrap().matches(text);
    for (pattern, yes, no) in [
        ("nginx", &["nginx"][..], &["nginx2", "anginx", "", "NGINX"][..]),
        ("", &[""], &["x"]),
        ("*", &["x", "", "a b\n"], &["-x", "--root=/", "a/b", "/", ".."]),
        ("**", &["a/b", "/"], &["-x", "a/../b", "../x", "a/.."]),
        ("/srv/*", &["/srv/x", "/srv/"], &["/srv", "/srv/x/y", "/srv/..", "/srv/../x"]),
        ("/srv/**", &["/srv/x/y"], &["/srv/../etc/shadow", "/srv/x/.."]),
        ("--file=**", &["--file=/a/b"], &["--file=../x", "--file=a/../b", "--file"]),
        ("-n?", &["-n5", "-né"], &["-n", "-n55", "-n/"]),
        ("?x", &["ax"], &["-x", "/x", "x"]),
        ("a*b*c", &["abc", "axxbyyc"], &["ab", "abcx", "ac"]),
        (r"\*", &["*"], &["x", ""]),
        ("/a/../b", &["/a/../b"], &["/b"]),
    ] {
        for text in yes {
            assert!(matches(pattern, text), "{pattern:?} is about {text:?}");
        }
        for text in no {
            assert!(!matches(pattern, text), "{pattern:?} is not about {text:?}");
        }
    }
    // As slow as it gets.
    assert!(!matches(&"*a".repeat(200), &"a".repeat(10_000).replace("aaaa", "aaab")));
}

#[test]
fn the_example_of_the_documentation_is_a_policy() {
    let text = include_str!("../../../../docs/policy.md");
    let (_, rest) = text.split_once("```yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    assert_eq!(parse(example, Path::new("policy.md")).unwrap().rules().len(), 5);
}

#[track_caller]
#[test]
fn a_rule_says_how_much_output_is_kept() {
    let kept = |program: &str| {
        let resolved = Resolved { program: Some(program.into()), cwd: "/".into(), user: own() };
        let operation = Operation::Exec(Exec::new(program));
        policy().admit(&operation, &who("ann@example.com", &[]), Some(&resolved))
    };
    assert_eq!(kept("/usr/bin/df"), Ok(Terms { max_output: Some(65_536) }));
    assert_eq!(kept("/usr/bin/ls"), Ok(Terms::default()));
}

fn refused(text: &str) -> String {
    parse(text, Path::new("policy.yaml")).unwrap_err().to_string()
}

#[test]
fn what_is_not_understood_is_refused_with_its_place() {
    for (text, place, what) in [
        ("", "", "not valid"),
        ("rules: []\ndefault: allow\n", "2:1", "default"),
        ("rules:\n  - name: a\n    operations: [exec]\n    program: [/x]\n", "4:5", "program"),
        ("rules:\n  - operations: [facts]\n", "", "name"),
        ("rules:\n  - {name: a, operations: [custom]}\n", "2:", "custom"),
        ("rules:\n  - {name: a, operations: [exec]}\n", "2:5", "'exec' needs 'programs'"),
        ("rules:\n  - {name: 'a b', operations: [facts]}\n", "2:5", "its name must be"),
        ("rules:\n  - {name: a, operations: []}\n", "2:5", "at least one"),
        ("rules:\n  - {name: a, operations: [facts], roles: []}\n", "2:5", "allows nobody"),
        ("rules:\n  - {name: a, operations: [facts], subjects: []}\n", "2:5", "allows nobody"),
        ("rules:\n  - {name: a, operations: [exec], programs: [ls]}\n", "2:5", "absolute path"),
        (
            "rules:\n  - {name: a, operations: [exec], programs: [/x], cwd: [x]}\n",
            "2:5",
            "absolute path",
        ),
        (
            "rules:\n  - {name: a, operations: [exec, shell], programs: [/x]}\n",
            "2:5",
            "bound 'exec' alone",
        ),
        (
            "rules:\n  - {name: a, operations: [exec], programs: [/x], args: [..., x]}\n",
            "2:",
            "can only be the last",
        ),
        (
            "rules:\n  - {name: a, operations: [exec], programs: [/x], args: ['\\']}\n",
            "2:",
            "single '\\'",
        ),
        ("rules:\n  - {name: a, operations: [facts], max_timeout: 60}\n", "2:", "unit"),
        ("rules:\n  - {name: a, operations: [shell], max_output: much}\n", "2:", "not 'much'"),
        ("rules:\n  - {name: a, operations: [facts], max_output: 1}\n", "2:5", "about commands"),
        ("rules:\n  - name: a\n    operations: [shell]\n    max_output:\n", "4:", ""),
        ("rules:\n  - {name: a, operations: [shell], users: []}\n", "2:5", "allows none"),
        ("rules:\n  - {name: a, operations: [shell], users: [0day]}\n", "2:", "digit"),
        ("rules:\n  - {name: a, operations: [facts], stdin: true}\n", "2:5", "about commands"),
        ("rules:\n  - name: a\n    operations: [shell]\n    users:\n      # - web\n", "4:", ""),
        // What was commented out is no permission for everybody.
        ("rules:\n  - name: a\n    operations: [facts]\n    roles:\n      # - ops\n", "4:", ""),
        ("rules:\n  - name: a\n    operations: [facts]\n    subjects:\n", "4:", ""),
        ("rules:\n  - name: a\n    operations: [facts]\n    max_timeout:\n", "4:", ""),
        (
            "rules:\n  - {name: a, operations: [facts]}\n  - {name: a, operations: [facts]}\n",
            "3:5",
            "another rule has this name",
        ),
    ] {
        let told = refused(text);
        assert!(told.contains(place) && told.contains(what), "{text}\n{told}");
    }
}

/// A directory that is ours alone, and a policy in it.
fn written(dir: &Path) -> PathBuf {
    fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
    let path = dir.join("policy.yaml");
    fs::write(&path, POLICY).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    path
}

#[test]
fn a_file_that_others_can_change_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path());
    let me = rustix::process::geteuid().as_raw();
    assert_eq!(read(&path, me).unwrap().rules().len(), 7);

    for mode in [0o664, 0o646, 0o666] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let error = read(&path, me).unwrap_err();
        assert!(matches!(&error, PolicyError::Writable { at, .. } if *at == path), "{error}");
    }
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    for mode in [0o775, 0o757] {
        fs::set_permissions(dir.path(), Permissions::from_mode(mode)).unwrap();
        let error = read(&path, me).unwrap_err();
        assert!(matches!(&error, PolicyError::Writable { at, .. } if at == dir.path()), "{error}");
    }
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    read(&path, me).unwrap();
}

#[test]
fn a_file_that_is_not_roots_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (path, me) = (written(dir.path()), rustix::process::geteuid());
    let (expected, whose) = if me.is_root() {
        std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
        (path.as_path(), 65_534)
    } else {
        // The directory, which is looked at first, is not root's either.
        (dir.path(), me.as_raw())
    };
    let error = load(Some(&path)).unwrap_err();
    let PolicyError::Owner { at, owner, .. } = &error else { panic!("{error}") };
    assert_eq!((at.as_path(), *owner), (expected, whose));
}

#[test]
fn a_file_that_is_somewhere_else_or_none_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (path, me) = (written(dir.path()), rustix::process::geteuid().as_raw());
    let link = dir.path().join("link.yaml");
    symlink(&path, &link).unwrap();
    assert!(matches!(read(&link, me), Err(PolicyError::Detour { real, .. }) if real == path));
    assert!(matches!(read(dir.path(), me), Err(PolicyError::NotAFile(_))));
    let missing = read(&dir.path().join("none.yaml"), me).unwrap_err();
    assert!(matches!(missing, PolicyError::Io { .. }), "{missing}");
    fs::write(&path, "#".repeat(256 * 1024 + 1)).unwrap();
    assert!(matches!(read(&path, me), Err(PolicyError::TooLarge(_))));
}

#[test]
fn what_a_policy_really_allows_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("tool");
    symlink("/bin/cat", &link).unwrap();
    let text = format!(
        "rules:\n  - {{name: a, operations: [exec], programs: ['{}', /usr/bin/env], args: [...], env: [LD_PRELOAD]}}\n  - {{name: b, operations: [shell]}}\n",
        link.display()
    );
    let told = about(&parse(&text, Path::new("policy.yaml")).unwrap()).join("\n");
    for words in [
        "is a link and allows nothing",
        "'/usr/bin/env' runs what",
        "'LD_PRELOAD'",
        "every program",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[test]
fn programs_that_others_can_change_are_told_of() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
    let program = dir.path().canonicalize().unwrap().join("tool");
    fs::write(&program, "").unwrap();
    let policy = |programs: &str| {
        let text = format!("rules: [{{name: a, operations: [exec], programs: ['{programs}']}}]");
        parse(&text, Path::new("policy.yaml")).unwrap()
    };
    let warning = "others than root can change";
    let named = about(&policy(program.to_str().unwrap())).join("\n");
    assert!(named.contains(warning), "{named}");
    // What is behind a pattern shows once a command is allowed.
    let patterned = policy(&format!("{}/*", program.parent().unwrap().display()));
    assert_eq!(about(&patterned), Vec::<String>::new());
    let resolved = Resolved { program: Some(program), cwd: "/".into(), user: own() };
    let told = about_rule(&patterned.rules()[0], Some(&resolved)).join("\n");
    assert!(told.contains(warning), "{told}");
}

#[test]
fn runners_are_known_by_the_names_of_their_files() {
    for program in [
        "/usr/bin/vim.basic",
        "/bin/nc.openbsd",
        "/usr/bin/python3.13",
        "/usr/bin/zsh",
        "/lib64/ld-linux-x86-64.so.2",
        "/opt/tools/*",
    ] {
        let text = format!(
            "rules: [{{name: a, operations: [exec], programs: ['{program}'], args: [...]}}]"
        );
        let told = about(&parse(&text, Path::new("policy.yaml")).unwrap()).join("\n");
        assert!(told.contains("runs what its arguments say"), "{program}: {told}");
    }
}

#[test]
fn there_is_no_policy_only_if_that_is_certain() {
    let dir = tempfile::tempdir().unwrap();
    let (path, me) = (written(dir.path()), rustix::process::geteuid().as_raw());
    assert!(read_if_there(&path, me).unwrap().is_some());
    fs::remove_file(&path).unwrap();
    assert!(read_if_there(&path, me).unwrap().is_none());
    let above = dir.path().join("etc");
    assert!(read_if_there(&above.join("policy.yaml"), me).unwrap().is_none());
    for (link, file) in [(&path, &path), (&above, &above.join("policy.yaml"))] {
        symlink("/nowhere/at/all", link).unwrap();
        let error = read_if_there(file, me).unwrap_err();
        assert!(matches!(&error, PolicyError::Adrift { at, .. } if *at == *link), "{error}");
        fs::remove_file(link).unwrap();
    }
}
