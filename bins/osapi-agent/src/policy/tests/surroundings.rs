//! As whom a command runs under a policy, and what it may be given.

use super::*;

#[test]
fn a_rule_is_for_the_users_that_it_names_or_for_the_agents_own() {
    let ann = who("ann", &["ops"]);
    let run = |program: &str, user: ResolvedUser| {
        let resolved = Resolved { program: Some(program.into()), cwd: "/".into(), user };
        said_of(Operation::Exec(exec(&[])), &ann, resolved)
    };
    let user = |uid: u32, name: &str| ResolvedUser { uid, name: name.into(), is_own: false };
    assert_eq!(run("/usr/bin/psql", user(70, "postgres")), Ok("import".into()));
    assert_eq!(run("/usr/bin/psql", user(33, "www-data")), Ok("import".into()));
    for (other, name) in [(own(), "root"), (user(34, "web"), "web"), (user(0, "toor"), "toor")] {
        let expected = Err(format!("rule 'import': it may not run as user '{name}'"));
        assert_eq!(run("/usr/bin/psql", other), expected);
    }
    assert_eq!(run("/usr/bin/df", own()), Ok("disk".into()));
    let expected = Err("rule 'disk': it may not run as user 'postgres'".into());
    assert_eq!(run("/usr/bin/df", user(70, "postgres")), expected);

    let script = |user| {
        let resolved = Resolved { program: None, cwd: "/".into(), user };
        said_of(Operation::Shell(Shell::new("id")), &who("a@ops.example.com", &[]), resolved)
    };
    assert_eq!(script(own()), Ok("scripts".into()));
    let expected = Err("rule 'scripts': it may not run as user 'web'".into());
    assert_eq!(script(user(34, "web")), expected);
}

#[test]
fn input_and_children_need_a_rule_that_says_so_and_no_umask_lets_others_write() {
    let ann = who("ann", &["ops"]);
    let run = |program: &str, user, change: &dyn Fn(&mut Exec)| {
        let mut exec = exec(&[]);
        change(&mut exec);
        let resolved = Resolved { program: Some(program.into()), cwd: "/".into(), user };
        said_of(Operation::Exec(exec), &ann, resolved)
    };
    let input = |exec: &mut Exec| exec.stdin = Some("x".into());
    let postgres = ResolvedUser { uid: 70, name: "postgres".into(), is_own: false };
    assert_eq!(run("/usr/bin/psql", postgres, &input), Ok("import".into()));
    let expected = Err("rule 'disk': standard input may not be given".into());
    assert_eq!(run("/usr/bin/df", own(), &input), expected);
    let children = |exec: &mut Exec| exec.keep_children = true;
    let expected = Err("rule 'disk': nothing of it may go on when it has ended".into());
    assert_eq!(run("/usr/bin/df", own(), &children), expected);
    for (umask, is_allowed) in
        [("0022", true), ("0077", true), ("0027", true), ("0002", false), ("0020", false)]
    {
        let said = run("/usr/bin/df", own(), &|exec| exec.umask = umask.parse().ok());
        assert_eq!(said.is_ok(), is_allowed, "{umask}: {said:?}");
    }
}

#[test]
fn who_may_feed_an_interpreter_is_told_of() {
    let text = "rules: [{name: a, operations: [exec], programs: [/bin/sh], stdin: true}]";
    let told = about(&parse(text, Path::new("policy.yaml")).unwrap()).join("\n");
    assert!(told.contains("'/bin/sh' runs what it reads"), "{told}");
}
