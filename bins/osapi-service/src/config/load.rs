//! Reads and judges a configuration.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use osapi_core::auth::permission::Permissions;
use osapi_core::auth::role::{InvalidRole, Roles};
use osapi_core::job::ResourceLimit;
use osapi_core::job::label::{InvalidLabel, Label, Labels};
use serde_saphyr::{Location, UserMessageFormatter};

use super::environment::{self, Overridden, UnknownVariable};
use super::model::Config;
use super::problem::{ConfigError, Problem, near};
use super::tree::Node;
use super::{bounds, unknown};

/// The file that `osapi` reads when none is given; it need not exist.
pub const DEFAULT_FILE: &str = "/etc/osapi/osapi.yaml";

/// Largest file, in bytes.
const FILE_MAX: u64 = 1024 * 1024;

/// Which file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// This one, which must exist (`-f`).
    Given(PathBuf),
    /// This one if it exists, such as [`DEFAULT_FILE`].
    IfPresent(PathBuf),
}

impl Source {
    /// The given file, or `otherwise` if it exists.
    #[must_use]
    pub fn new(given: Option<PathBuf>, otherwise: &str) -> Self {
        given.map_or_else(|| Self::IfPresent(otherwise.into()), Self::Given)
    }
}

/// A configuration that is in order.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Its roles beside the built-in ones.
    pub roles: Roles,
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// Variables that look like overrides and mean nothing, for the log.
    pub unknown_variables: Vec<UnknownVariable>,
}

/// The configuration in the file of `source`, overridden by `environment` (usually [`std::env::vars_os`]). `permissions` are those
/// that custom roles may name.
///
/// # Errors
/// When the file cannot be read, is no YAML of the right types, or when anything in it or in the environment is not allowed.
pub fn load(
    source: &Source,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    permissions: Permissions,
) -> Result<Loaded, ConfigError> {
    let file = read(source)?;
    let (document, path) = match &file {
        Some((path, text)) => (Document::parse(path, text)?, Some(path.clone())),
        None => (Document::default(), None),
    };
    judge(document, environment, permissions, path)
}

fn read(source: &Source) -> Result<Option<(PathBuf, String)>, ConfigError> {
    let (path, optional) = match source {
        Source::Given(path) => (path, false),
        Source::IfPresent(path) => (path, true),
    };
    match read_text(path) {
        Ok(text) => Ok(Some((path.clone(), text))),
        Err(error) if optional && error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ConfigError::Read { path: path.clone(), source }),
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_MAX {
        let message = format!("it is larger than {FILE_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

/// A parsed file: what it says, and where.
struct Document {
    config: Config,
    keys: Node,
    path: PathBuf,
}

impl Default for Document {
    fn default() -> Self {
        Self { config: Config::default(), keys: Node::Other, path: PathBuf::new() }
    }
}

impl Document {
    fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let error = |error: serde_saphyr::Error| ConfigError::Yaml {
            path: path.to_owned(),
            message: message(&error, path),
        };
        // The keys first: they parse whatever the types are, so that a mistake of syntax is called one.
        let keys = serde_saphyr::from_str(text).map_err(error)?;
        let config: Option<Config> = serde_saphyr::from_str(text).map_err(error)?;
        let mut config = config.unwrap_or_default();
        // What a file names is found from where it is, wherever the program runs.
        config.anchor(path.parent().unwrap_or(Path::new("")));
        Ok(Self { config, keys, path: path.to_owned() })
    }

    fn place(&self, location: Location) -> String {
        format!("{}:{}:{}", self.path.display(), location.line(), location.column())
    }
}

/// What is wrong with the YAML in the file at `path`, and where: the parser's message and excerpt.
#[must_use]
pub fn message(error: &serde_saphyr::Error, path: &Path) -> String {
    let text = error.render_with_formatter(&UserMessageFormatter);
    let text = text.replacen("--> <input>:", &format!("--> {}:", path.display()), 1);
    text.strip_prefix("error: ").map(ToOwned::to_owned).unwrap_or(text)
}

fn judge(
    mut document: Document,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    permissions: Permissions,
    file: Option<PathBuf>,
) -> Result<Loaded, ConfigError> {
    let Overridden { config, by, mut problems, unknown: unknown_variables } =
        environment::apply(std::mem::take(&mut document.config), environment);
    problems.extend(
        unknown::unknown_keys(&document.keys)
            .into_iter()
            .map(|key| Problem { place: document.place(key.place), text: key.text }),
    );
    problems.extend(bounds::violations(&config).into_iter().map(|violation| {
        let place = by.get(&violation.field).cloned();
        let place = place.unwrap_or_else(|| place_of(&document, &violation.field));
        Problem { place, text: violation.to_string() }
    }));
    problems.extend(label_problems(&document, &config.agent.labels));
    problems.extend(limit_problems(&document, &config.agent.limits));
    match roles(&config, permissions) {
        Ok(roles) if problems.is_empty() => Ok(Loaded { config, roles, file, unknown_variables }),
        Ok(_) => Err(ConfigError::Invalid(problems)),
        Err(wrong) => {
            problems.extend(wrong.iter().map(|wrong| role_problem(&document, wrong)));
            Err(ConfigError::Invalid(problems))
        }
    }
}

/// Where the key at `path` stands; the file as a whole if it cannot be told.
fn place_of(document: &Document, path: &str) -> String {
    match document.keys.place(path) {
        Some(location) => document.place(location),
        None => document.path.display().to_string(),
    }
}

/// Everything that is wrong with `labels`.
fn label_problems(document: &Document, labels: &BTreeMap<String, String>) -> Vec<Problem> {
    let problem = |path: &str, wrong: InvalidLabel| Problem {
        place: place_of(document, path),
        text: format!("agent.labels: {wrong}"),
    };
    let parse = |(key, value): (&String, &String)| -> Result<Label, InvalidLabel> {
        Ok(Label { key: key.parse()?, value: value.parse()? })
    };
    let mut problems: Vec<_> = labels
        .iter()
        .filter_map(|label| {
            let wrong = parse(label).err()?;
            Some(problem(&format!("agent.labels.{}", label.0), wrong))
        })
        .collect();
    if let Err(wrong @ InvalidLabel::TooMany(_)) = Labels::try_from(labels) {
        problems.push(problem("agent.labels", wrong));
    }
    problems
}

/// Everything that is wrong with `limits`.
fn limit_problems(document: &Document, limits: &BTreeMap<String, String>) -> Vec<Problem> {
    let wrong = limits.iter().filter_map(|(name, amount)| {
        let wrong = ResourceLimit::parse(name, amount).err()?;
        let place = place_of(document, &format!("agent.limits.{name}"));
        Some(Problem { place, text: format!("agent.limits: {wrong}") })
    });
    wrong.collect()
}

fn roles(config: &Config, permissions: Permissions) -> Result<Roles, Vec<InvalidRole>> {
    let custom = &config.api.server.security.roles;
    let custom: BTreeMap<_, _> =
        custom.iter().map(|(name, role)| (name.clone(), role.permissions.clone())).collect();
    Roles::with_custom(permissions, &custom)
}

fn role_problem(document: &Document, wrong: &InvalidRole) -> Problem {
    let (role, hint) = match wrong {
        InvalidRole::Name(name) => (name.value.as_str(), None),
        InvalidRole::BuiltIn { role } => (role.as_str(), None),
        InvalidRole::UnknownPermission { role, permission, known } => {
            let near = near(permission, known.iter().map(|permission| permission.as_str()));
            (role.as_str(), near.map(|near| format!("; did you mean '{near}'?")))
        }
    };
    let place = place_of(document, &format!("api.server.security.roles.{role}"));
    Problem { place, text: format!("{wrong}{}", hint.unwrap_or_default()) }
}
