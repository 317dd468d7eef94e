//! One rule: what it is about, and why it is not about a request.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use osapi_core::executor::process::{Resolved, ResolvedUser, Terms};
use osapi_core::job::{Exec, Operation, Submitter, Surroundings, Umask, UserName};
use osapi_service::{config, duration};
use serde::{Deserialize, Deserializer, de};

use super::Request;
use super::pattern::{Args, ArgsMismatch, Pattern};

/// Most characters of what was asked for that are repeated.
const SHOWN: usize = 60;
/// What a umask has to take away: the right to write of group and others.
const WRITABLE: u16 = 0o022;

/// A rule. Everything that it names has to fit; what it does not name of arguments, variables and directories is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    name: String,
    operations: BTreeSet<Kind>,
    #[serde(default, deserialize_with = "given")]
    subjects: Option<Vec<Pattern>>,
    #[serde(default, deserialize_with = "given")]
    roles: Option<BTreeSet<String>>,
    #[serde(default, deserialize_with = "given")]
    programs: Option<Vec<Pattern>>,
    #[serde(default, deserialize_with = "given")]
    users: Option<Vec<UserName>>,
    #[serde(default)]
    args: Args,
    #[serde(default)]
    env: BTreeSet<String>,
    #[serde(default)]
    cwd: Vec<PathBuf>,
    #[serde(default)]
    stdin: bool,
    #[serde(default)]
    keep_children: bool,
    #[serde(default, deserialize_with = "some_duration")]
    max_timeout: Option<Duration>,
    #[serde(default, deserialize_with = "some_size")]
    max_output: Option<u64>,
}

/// A kind of operation that a rule can allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Exec,
    Shell,
    Facts,
}

/// Why a rule is not about a request: the first thing that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// Another kind of operation.
    Operation(&'static str),
    /// Somebody else asks.
    Subject(String),
    /// Who asks has none of the roles.
    Roles,
    /// Another program.
    Program(PathBuf),
    /// As somebody else.
    User(String),
    /// Other arguments.
    Args(ArgsMismatch),
    /// A variable that it does not name.
    Variable(String),
    /// Another directory.
    Cwd(PathBuf),
    /// It is not to be given input.
    Stdin,
    /// It may not leave anything behind.
    Children,
    /// Others could write what it makes.
    Umask(Umask),
    /// It may not take so long.
    Timeout {
        /// Seconds that were asked for.
        asked: u32,
        /// As long as it may take.
        most: Duration,
    },
}

impl Mismatch {
    /// How far the request came.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Operation(_) => 0,
            Self::Subject(_) => 1,
            Self::Roles => 2,
            Self::Program(_) => 3,
            Self::User(_) => 4,
            Self::Args(_) => 5,
            Self::Variable(_) => 6,
            Self::Cwd(_) => 7,
            Self::Stdin => 8,
            Self::Children => 9,
            Self::Umask(_) => 10,
            Self::Timeout { .. } => 11,
        }
    }

    /// Whether the rule is for who asks and about what they ask for, but not in this way.
    pub(crate) fn is_about_how(&self) -> bool {
        self.rank() > Self::Program(PathBuf::new()).rank()
    }
}

impl Rule {
    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The programs that it allows.
    pub(crate) fn programs(&self) -> &[Pattern] {
        self.programs.as_deref().unwrap_or_default()
    }

    /// The arguments that it allows.
    pub(crate) fn args(&self) -> &Args {
        &self.args
    }

    /// The variables that it allows.
    pub(crate) fn env(&self) -> impl Iterator<Item = &str> {
        self.env.iter().map(String::as_str)
    }

    /// Within which bounds it allows what it allows.
    pub(crate) fn terms(&self) -> Terms {
        Terms { max_output: self.max_output }
    }

    /// Whether it allows input.
    pub(crate) fn allows_input(&self) -> bool {
        self.stdin
    }

    /// Whether it allows scripts.
    pub(crate) fn allows_scripts(&self) -> bool {
        self.operations.contains(&Kind::Shell)
    }

    /// What is wrong with it, whatever it is asked.
    pub(super) fn flaws(&self) -> Vec<String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let is_name = (1..=64).contains(&self.name.len()) && self.name.chars().all(allowed);
        let is_exec = self.operations.contains(&Kind::Exec);
        let no_pattern = |list: &Option<Vec<Pattern>>| list.as_ref().is_some_and(Vec::is_empty);
        let relative =
            self.programs().iter().map(Pattern::text).find(|text| !text.starts_with('/'));
        let relative_cwd = self.cwd.iter().find(|path| !path.is_absolute());
        let about_exec = self.programs.is_some() || !self.args.is_none();
        [
            (!is_name).then(|| "its name must be 1 to 64 letters, digits, '.', '_' or '-'".to_owned()),
            self.operations.is_empty().then(|| "'operations' must name at least one".to_owned()),
            (no_pattern(&self.subjects) || self.roles.as_ref().is_some_and(BTreeSet::is_empty))
                .then(|| "an empty list of subjects or roles allows nobody: leave it out for all".to_owned()),
            self.users.as_ref().is_some_and(Vec::is_empty)
                .then(|| "an empty list of users allows none: leave it out for the agent's own".to_owned()),
            (is_exec && self.programs().is_empty())
                .then(|| "'exec' needs 'programs', the programs that may be run".to_owned()),
            (about_exec && self.operations.iter().any(|kind| *kind != Kind::Exec)).then(|| {
                "'programs' and 'args' bound 'exec' alone: give 'shell' and 'facts' a rule of their own".to_owned()
            }),
            ((self.users.is_some() || self.stdin || self.keep_children || self.max_output.is_some()) && self.operations.contains(&Kind::Facts)).then(|| {
                "'users', 'stdin', 'keep_children' and 'max_output' are about commands: give 'facts' a rule of its own".to_owned()
            }),
            relative.map(|text| format!("program '{text}' must be an absolute path")),
            relative_cwd.map(|path| format!("cwd '{}' must be an absolute path", path.display())),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Whether it allows `request`, as far as that is known.
    pub(super) fn allows(&self, request: Request<'_>) -> Result<(), Mismatch> {
        let Request { operation, submitter, resolved } = request;
        let kind = match operation {
            Operation::Exec(_) => Some(Kind::Exec),
            Operation::Shell(_) => Some(Kind::Shell),
            Operation::Facts => Some(Kind::Facts),
            Operation::Custom(_) => None,
        };
        if !kind.is_some_and(|kind| self.operations.contains(&kind)) {
            return Err(Mismatch::Operation(operation.kind()));
        }
        self.check_who(submitter)?;
        let Some(surroundings) = operation.surroundings() else { return Ok(()) };
        match (operation, resolved) {
            // Which rule is about a program shows only once it is found.
            (Operation::Exec(_), None) => return Ok(()),
            (Operation::Exec(Exec { args, .. }), Some(resolved)) => {
                self.check_program(resolved.program.as_deref())?;
                self.check_user(&resolved.user)?;
                self.args.check(args).map_err(Mismatch::Args)?;
            }
            (_, Some(resolved)) => self.check_user(&resolved.user)?,
            (_, None) => {}
        }
        self.check_surroundings(surroundings, resolved)
    }

    fn check_who(&self, submitter: &Submitter) -> Result<(), Mismatch> {
        let Submitter { subject, roles, .. } = submitter;
        let is_named = |patterns: &Vec<Pattern>| patterns.iter().any(|one| one.matches(subject));
        if !self.subjects.as_ref().is_none_or(is_named) {
            return Err(Mismatch::Subject(subject.clone()));
        }
        let has_one = |named: &BTreeSet<String>| roles.iter().any(|role| named.contains(role));
        if !self.roles.as_ref().is_none_or(has_one) {
            return Err(Mismatch::Roles);
        }
        Ok(())
    }

    fn check_program(&self, program: Option<&Path>) -> Result<(), Mismatch> {
        let program = program.unwrap_or(Path::new(""));
        // What is no text fits no pattern.
        let is_it = program
            .to_str()
            .is_some_and(|path| self.programs().iter().any(|one| one.matches(path)));
        if is_it { Ok(()) } else { Err(Mismatch::Program(program.to_owned())) }
    }

    fn check_user(&self, user: &ResolvedUser) -> Result<(), Mismatch> {
        let ResolvedUser { uid, name, is_own } = user;
        let is_it = |one: &UserName| one.as_str() == name || one.uid() == Some(*uid);
        let is_allowed = match &self.users {
            Some(users) => users.iter().any(is_it),
            None => *is_own,
        };
        if is_allowed { Ok(()) } else { Err(Mismatch::User(name.clone())) }
    }

    fn check_surroundings(
        &self,
        asked: Surroundings<'_>,
        resolved: Option<&Resolved>,
    ) -> Result<(), Mismatch> {
        let Surroundings { cwd, env, timeout, stdin, umask, keep_children, .. } = asked;
        if let Some(name) = env.keys().find(|name| !self.env.contains(*name)) {
            return Err(Mismatch::Variable(name.clone()));
        }
        if let (Some(_), Some(Resolved { cwd, .. })) = (cwd, resolved) {
            self.check_cwd(cwd)?;
        }
        if stdin.is_some() && !self.stdin {
            return Err(Mismatch::Stdin);
        }
        if keep_children && !self.keep_children {
            return Err(Mismatch::Children);
        }
        match umask {
            Some(umask) if umask.bits() & WRITABLE != WRITABLE => {
                return Err(Mismatch::Umask(umask));
            }
            Some(_) | None => {}
        }
        self.check_timeout(timeout)
    }

    fn check_cwd(&self, cwd: &Path) -> Result<(), Mismatch> {
        // There it would run anyway.
        let is_usual = cwd == Path::new("/");
        let is_allowed = is_usual || self.cwd.iter().any(|dir| cwd.starts_with(dir));
        if is_allowed { Ok(()) } else { Err(Mismatch::Cwd(cwd.to_owned())) }
    }

    fn check_timeout(&self, asked: u32) -> Result<(), Mismatch> {
        match self.max_timeout {
            Some(most) if Duration::from_secs(asked.into()) > most => {
                Err(Mismatch::Timeout { asked, most })
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operation(kind) => write!(f, "it is not about '{kind}'"),
            Self::Subject(subject) => write!(f, "it is not for subject '{}'", shown(subject)),
            Self::Roles => f.write_str("it is for roles that are not there"),
            Self::Program(path) => {
                write!(f, "program '{}' is not among its programs", shown(&path.to_string_lossy()))
            }
            Self::Args(args) => args.fmt(f),
            Self::Variable(name) => write!(f, "variable '{}' may not be set", shown(name)),
            Self::Cwd(path) => {
                write!(f, "'{}' is not among its directories", shown(&path.to_string_lossy()))
            }
            Self::User(name) => write!(f, "it may not run as user '{}'", shown(name)),
            Self::Stdin => f.write_str("standard input may not be given"),
            Self::Children => f.write_str("nothing of it may go on when it has ended"),
            Self::Umask(umask) => {
                write!(f, "with a umask of {umask}, others could write what it makes")
            }
            Self::Timeout { asked, most } => {
                write!(f, "a timeout of {asked}s is above {}", duration::Written(*most))
            }
        }
    }
}

impl fmt::Display for ArgsMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(n, text) => write!(f, "argument {n} may not be '{}'", shown(text)),
            Self::TooMany(0) => f.write_str("no arguments are allowed"),
            Self::TooMany(most) => write!(f, "at most {most} arguments are allowed"),
            Self::TooFew(least) => write!(f, "{least} arguments are needed"),
        }
    }
}

/// The beginning of a text from elsewhere, as data.
fn shown(text: &str) -> String {
    let beginning: String = text.chars().take(SHOWN).collect();
    let more = if beginning.len() < text.len() { "..." } else { "" };
    format!("{}{more}", beginning.escape_debug())
}

/// A list that is there. One whose entries are all commented out is an error, and not as good as left out: that would be for everybody.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

fn some_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    duration::parse(&text)
        .map(Some)
        .map_err(|error| de::Error::custom(format!("max_timeout {error}")))
}

fn some_size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(from)?;
    config::parse_size(&text).map(Some).ok_or_else(|| {
        let shown = shown(&text);
        de::Error::custom(format!(
            "max_output must be a size in bytes such as 4096, 64KiB or 1MiB, not '{shown}'"
        ))
    })
}
