use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Mutex;

use super::*;
use crate::executor::process::{Resolved, Rules, Terms};

/// Allows one file, or scripts, and remembers what it was asked.
#[derive(Debug, Default)]
struct Only {
    program: Option<PathBuf>,
    asked: Mutex<Vec<(Operation, Submitter, Option<Resolved>)>>,
    /// Done when it is asked about a resolved command.
    trick: Option<(PathBuf, PathBuf)>,
    terms: Terms,
}

impl Rules for Only {
    fn admit(
        &self,
        operation: &Operation,
        submitter: &Submitter,
        resolved: Option<&Resolved>,
    ) -> Result<Terms, Failure> {
        let asked = (operation.clone(), submitter.clone(), resolved.cloned());
        self.asked.lock().unwrap().push(asked);
        let Some(resolved) = resolved else { return Ok(Terms::default()) };
        if let Some((link, target)) = &self.trick {
            fs::remove_file(link).unwrap();
            symlink(target, link).unwrap();
        }
        match resolved.program == self.program {
            true => Ok(self.terms),
            false => Err(Failure::new("policy", format!("{:?}", resolved.program))),
        }
    }
}

fn under(rules: Only) -> (ProcessExecutor, Arc<Only>) {
    let rules = Arc::new(rules);
    let in_force: Arc<dyn Rules> = rules.clone();
    (executor().with_rules(watch::channel(Some(in_force)).1), rules)
}

fn real(program: &str) -> PathBuf {
    fs::canonicalize(program).unwrap()
}

async fn run_under(rules: Only, operation: Operation) -> (Outcome, Arc<Seen>, Arc<Only>) {
    let (executor, rules) = under(rules);
    let (outcome, seen) = within(Run::begin(executor, operation).end()).await;
    (outcome, seen, rules)
}

#[tokio::test]
async fn rules_are_asked_about_the_file_behind_every_link_and_who_asked() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("harmless");
    symlink("/bin/echo", &link).unwrap();
    let absolute = exec(link.to_str().unwrap(), ["x"]);
    let path = env([("PATH", dir.path().to_str().unwrap())]);
    let by_path = Operation::Exec(Exec { env: path, ..Exec::new("harmless") });
    let cwd = Some(dir.path().to_str().unwrap().to_owned());
    let relative = Operation::Exec(Exec { cwd, ..Exec::new("./harmless") });
    for operation in [absolute, by_path, relative] {
        let (outcome, _, rules) = run_under(Only::default(), operation.clone()).await;
        assert_eq!(rejected(outcome).code, "policy");
        let asked = rules.asked.lock().unwrap();
        let (seen, by, resolved) = asked.last().unwrap();
        assert_eq!((seen, by), (&operation, &submitter()));
        assert_eq!(resolved.as_ref().unwrap().program, Some(real("/bin/echo")));
    }
}

#[tokio::test]
async fn what_was_asked_about_is_what_is_executed() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("harmless");
    symlink("/bin/echo", &link).unwrap();
    let trick = Some((link.clone(), real("/bin/false")));
    let rules = Only { program: Some(real("/bin/echo")), trick, ..Only::default() };
    let (outcome, seen, _) = run_under(rules, exec(link.to_str().unwrap(), ["it"])).await;
    assert_eq!((outcome, seen.stdout().as_str()), (Outcome::Exited { code: 0 }, "it\n"));
    assert_eq!(fs::read_link(&link).unwrap(), real("/bin/false"), "the trick was played");
}

#[tokio::test]
async fn where_it_runs_is_resolved_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("there");
    symlink("/usr", &link).unwrap();
    let trick = Some((link.clone(), PathBuf::from("/")));
    let rules = Only { program: Some(real("/bin/readlink")), trick, ..Only::default() };
    let cwd = Some(link.to_str().unwrap().to_owned());
    let args = vec!["/proc/self/cwd".to_owned()];
    let operation = Operation::Exec(Exec { cwd, args, ..Exec::new("readlink") });
    let (_, seen, rules) = run_under(rules, operation).await;
    assert_eq!(seen.stdout(), "/usr\n");
    let asked = rules.asked.lock().unwrap();
    assert_eq!(asked.last().unwrap().2.as_ref().unwrap().cwd, PathBuf::from("/usr"));
}

#[tokio::test]
async fn a_program_under_rules_is_called_by_its_own_path() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("other-name");
    symlink("/bin/cat", &link).unwrap();
    let rules = Only { program: Some(real("/bin/cat")), ..Only::default() };
    let operation = exec(link.to_str().unwrap(), ["/proc/self/cmdline"]);
    let (_, seen, _) = run_under(rules, operation).await;
    assert_eq!(seen.stdout(), format!("{}\0/proc/self/cmdline\0", real("/bin/cat").display()));
}

#[tokio::test]
async fn scripts_and_facts_are_asked_about_without_a_program() {
    let (outcome, seen, _) = run_under(Only::default(), shell("echo $0")).await;
    assert_eq!((outcome, seen.stdout().as_str()), (Outcome::Exited { code: 0 }, "/bin/sh\n"));
    let (outcome, _, rules) = run_under(Only::default(), Operation::Facts).await;
    assert!(matches!(outcome, Outcome::Returned { .. }));
    assert_eq!(rules.asked.lock().unwrap().last().unwrap().2, None);
    let program = Some(PathBuf::from("/bin/true"));
    let (outcome, _, _) = run_under(Only { program, ..Only::default() }, shell("true")).await;
    assert_eq!(rejected(outcome).code, "policy");
}

#[tokio::test]
async fn an_order_is_asked_about_before_it_is_resolved() {
    let (executor, rules) = under(Only::default());
    executor.admit(&exec("no-such-program", []), &submitter()).unwrap();
    assert_eq!(rules.asked.lock().unwrap().last().unwrap().2, None);
}

#[tokio::test]
async fn bounds_of_the_output_are_told_before_the_start() {
    let terms = Terms { max_output: Some(7) };
    let rules = Only { program: Some(real("/bin/echo")), terms, ..Only::default() };
    let (outcome, seen, _) = run_under(rules, exec("/bin/echo", ["it"])).await;
    assert_eq!((outcome, seen.0.borrow().kept), (Outcome::Exited { code: 0 }, Some(7)));
    let unbound = Only { program: Some(real("/bin/echo")), ..Only::default() };
    let (_, seen, _) = run_under(unbound, exec("/bin/echo", ["it"])).await;
    assert_eq!(seen.0.borrow().kept, None);
}
