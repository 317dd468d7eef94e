//! What is done on one host.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

use super::limits::{
    ARGUMENT_MAX, COMMAND_MAX, CUSTOM_NAME_MAX, Invalid, TIMEOUT_DEFAULT_S, TIMEOUT_MAX_S,
    TIMEOUT_MIN_S,
};
use super::{ResourceLimits, Stdin, Umask, UserName};
use crate::auth::permission::Permission;

/// What is done on one host. Unknown fields are refused: an agent must not run half of what was meant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Run a program with an argument list and no shell.
    Exec(Exec),
    /// Pass a string to `/bin/sh -c`.
    Shell(Shell),
    /// Tell what host this is.
    Facts,
    /// An operation that an embedding program registered.
    Custom(Custom),
}

/// A program and its arguments; no shell sees them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// The program: an absolute path, or a name that is looked up in the command's PATH.
    pub command: String,
    /// The arguments after the program's own name, each passed as it is.
    #[serde(default)]
    pub args: Vec<String>,
    /// The working directory, an absolute path; `/` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Variables added to the clean environment of a command.
    #[serde(default, deserialize_with = "without_duplicates")]
    pub env: BTreeMap<String, String>,
    /// Seconds after which the whole process tree is ended: 1 to 300.
    #[serde(default = "default_timeout")]
    pub timeout: u32,
    /// What it reads from standard input, in base64 (RFC 4648 §4), at most 256 KiB; nothing if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(with = "Option<String>"))]
    pub stdin: Option<Stdin>,
    /// As whom it runs, by name or number; as the agent's own user if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(with = "Option<String>"))]
    pub user: Option<UserName>,
    /// Its umask in octal digits, such as `0027`; `0022` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(with = "Option<String>"))]
    pub umask: Option<Umask>,
    /// How much of the host it may use at most.
    #[serde(default, skip_serializing_if = "ResourceLimits::is_empty")]
    pub limits: ResourceLimits,
    /// Whether what it leaves in the background when it has ended goes on, instead of being ended too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_children: bool,
}

/// A script for `/bin/sh -c`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Shell {
    /// The script.
    pub command: String,
    /// The working directory, an absolute path; `/` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Variables added to the clean environment of a command.
    #[serde(default, deserialize_with = "without_duplicates")]
    pub env: BTreeMap<String, String>,
    /// Seconds after which the whole process tree is ended: 1 to 300.
    #[serde(default = "default_timeout")]
    pub timeout: u32,
    /// What it reads from standard input, in base64 (RFC 4648 §4), at most 256 KiB; nothing if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(with = "Option<String>"))]
    pub stdin: Option<Stdin>,
    /// As whom it runs, by name or number; as the agent's own user if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(with = "Option<String>"))]
    pub user: Option<UserName>,
    /// Its umask in octal digits, such as `0027`; `0022` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(with = "Option<String>"))]
    pub umask: Option<Umask>,
    /// How much of the host it may use at most.
    #[serde(default, skip_serializing_if = "ResourceLimits::is_empty")]
    pub limits: ResourceLimits,
    /// Whether what it leaves in the background when it has ended goes on, instead of being ended too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_children: bool,
}

/// An operation by name; the agent's executor knows what it means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Custom {
    /// The registered name: 1 to 64 letters, digits, `.`, `_` or `-`.
    pub name: String,
    /// The permission that it was registered with.
    pub permission: Permission,
    /// Its input, at most 256 KiB as JSON.
    #[serde(default)]
    pub input: Value,
    /// Seconds after which it is stopped: 1 to 300.
    #[serde(default = "default_timeout")]
    pub timeout: u32,
}

/// What a command runs in and with: all that [`Exec`] and [`Shell`] have in common.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The working directory.
    pub cwd: Option<&'a str>,
    /// Variables added to the clean environment.
    pub env: &'a BTreeMap<String, String>,
    /// Seconds after which the whole process tree is ended.
    pub timeout: u32,
    /// What it reads from standard input.
    pub stdin: Option<&'a Stdin>,
    /// As whom it runs.
    pub user: Option<&'a UserName>,
    /// Its umask.
    pub umask: Option<Umask>,
    /// How much of the host it may use at most.
    pub limits: &'a ResourceLimits,
    /// Whether what it leaves in the background goes on.
    pub keep_children: bool,
}

impl Exec {
    /// The program `command` without arguments and with every default.
    #[must_use]
    pub fn new(command: impl Into<String>) -> Self {
        Self {
            command: command.into(),
            args: Vec::new(),
            cwd: None,
            env: BTreeMap::new(),
            timeout: TIMEOUT_DEFAULT_S,
            stdin: None,
            user: None,
            umask: None,
            limits: ResourceLimits::default(),
            keep_children: false,
        }
    }

    /// What it runs in and with.
    #[must_use]
    pub fn surroundings(&self) -> Surroundings<'_> {
        let Self {
            command: _,
            args: _,
            cwd,
            env,
            timeout,
            stdin,
            user,
            umask,
            limits,
            keep_children,
        } = self;
        Surroundings {
            cwd: cwd.as_deref(),
            env,
            timeout: *timeout,
            stdin: stdin.as_ref(),
            user: user.as_ref(),
            umask: *umask,
            limits,
            keep_children: *keep_children,
        }
    }
}

impl Shell {
    /// The script `command` with every default.
    #[must_use]
    pub fn new(command: impl Into<String>) -> Self {
        Self {
            command: command.into(),
            cwd: None,
            env: BTreeMap::new(),
            timeout: TIMEOUT_DEFAULT_S,
            stdin: None,
            user: None,
            umask: None,
            limits: ResourceLimits::default(),
            keep_children: false,
        }
    }

    /// What it runs in and with.
    #[must_use]
    pub fn surroundings(&self) -> Surroundings<'_> {
        let Self { command: _, cwd, env, timeout, stdin, user, umask, limits, keep_children } =
            self;
        Surroundings {
            cwd: cwd.as_deref(),
            env,
            timeout: *timeout,
            stdin: stdin.as_ref(),
            user: user.as_ref(),
            umask: *umask,
            limits,
            keep_children: *keep_children,
        }
    }
}

impl Operation {
    /// The permission that submitting, retrying or cancelling this operation needs.
    #[must_use]
    pub fn permission(&self) -> Permission {
        match self {
            Self::Exec(_) | Self::Shell(_) => Permission::COMMAND_EXECUTE,
            Self::Facts => Permission::NODE_READ,
            Self::Custom(custom) => custom.permission.clone(),
        }
    }

    /// How long it may run, in seconds.
    #[must_use]
    pub fn timeout_s(&self) -> u32 {
        match self {
            Self::Exec(exec) => exec.timeout,
            Self::Shell(shell) => shell.timeout,
            Self::Facts => TIMEOUT_DEFAULT_S,
            Self::Custom(custom) => custom.timeout,
        }
    }

    /// What it runs in and with, if it is a command.
    #[must_use]
    pub fn surroundings(&self) -> Option<Surroundings<'_>> {
        match self {
            Self::Exec(exec) => Some(exec.surroundings()),
            Self::Shell(shell) => Some(shell.surroundings()),
            Self::Facts | Self::Custom(_) => None,
        }
    }

    /// One word for what it is: `exec`, `shell`, `facts` or `custom`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Exec(_) => "exec",
            Self::Shell(_) => "shell",
            Self::Facts => "facts",
            Self::Custom(_) => "custom",
        }
    }

    /// Checks every bound. Controllers call it on what clients send, agents on what controllers send.
    ///
    /// # Errors
    /// The first bound that is broken.
    pub fn validate(&self) -> Result<(), Invalid> {
        match self {
            Self::Exec(exec) => {
                check_text("command", &exec.command)?;
                if exec.command.is_empty() {
                    return Err(Invalid::new("command", "the name or path of a program", "empty"));
                }
                for (n, arg) in exec.args.iter().enumerate() {
                    check_text(format!("args[{n}]"), arg)?;
                }
                let argv = exec.args.iter().map(String::len).sum::<usize>() + exec.command.len();
                check_surroundings(argv, exec.surroundings())
            }
            Self::Shell(shell) => {
                // The shell gets the script as one argument.
                check_text("command", &shell.command)?;
                if shell.command.trim().is_empty() {
                    return Err(Invalid::new("command", "a script for /bin/sh", "empty"));
                }
                check_surroundings(shell.command.len(), shell.surroundings())
            }
            Self::Facts => Ok(()),
            Self::Custom(custom) => {
                check_name(&custom.name)?;
                check_size(custom.input.to_string().len())?;
                check_timeout(custom.timeout)
            }
        }
    }
}

/// Checks what a command of `size` bytes runs in and with.
fn check_surroundings(size: usize, surroundings: Surroundings<'_>) -> Result<(), Invalid> {
    let Surroundings { cwd, env, timeout, stdin, limits, .. } = surroundings;
    if let Some(cwd) = cwd {
        check_text("cwd", cwd)?;
        if !cwd.starts_with('/') {
            return Err(Invalid::new("cwd", "an absolute path", format!("'{cwd}'")));
        }
    }
    check_size(size + check_env(env)?)?;
    check_timeout(timeout)?;
    limits.validate()?;
    stdin.map_or(Ok(()), Stdin::validate)
}

/// How many bytes it has.
fn check_env(env: &BTreeMap<String, String>) -> Result<usize, Invalid> {
    for (name, value) in env {
        if name.is_empty() || name.contains('=') || name.contains('\0') {
            let bound = "named by one or more characters other than '=' and NUL";
            return Err(Invalid::new("env", bound, format!("'{name}'")));
        }
        let field = format!("env.{name}");
        check_no_nul(&field, value)?;
        // The kernel bounds `name=value` as it bounds an argument (execve(2)).
        check_length(field, name.len() + 1 + value.len())?;
    }
    Ok(env.iter().map(|(name, value)| name.len() + value.len() + 2).sum())
}

fn check_size(size: usize) -> Result<(), Invalid> {
    if size > COMMAND_MAX {
        let bound = format!("at most {COMMAND_MAX} bytes with its arguments and environment");
        return Err(Invalid::new("command", bound, format!("{size} bytes")));
    }
    Ok(())
}

fn check_timeout(timeout: u32) -> Result<(), Invalid> {
    if !(TIMEOUT_MIN_S..=TIMEOUT_MAX_S).contains(&timeout) {
        let bound = format!("{TIMEOUT_MIN_S} to {TIMEOUT_MAX_S} seconds");
        return Err(Invalid::new("timeout", bound, timeout));
    }
    Ok(())
}

fn check_text(field: impl Into<String>, text: &str) -> Result<(), Invalid> {
    let field = field.into();
    check_no_nul(&field, text)?;
    check_length(field, text.len())
}

fn check_length(field: String, size: usize) -> Result<(), Invalid> {
    if size > ARGUMENT_MAX {
        let bound = format!("at most {ARGUMENT_MAX} bytes");
        return Err(Invalid::new(field, bound, format!("{size} bytes")));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), Invalid> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
    if (1..=CUSTOM_NAME_MAX).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    let bound = format!("1 to {CUSTOM_NAME_MAX} letters, digits, '.', '_' or '-'");
    Err(Invalid::new("name", bound, format!("'{name}'")))
}

fn check_no_nul(field: &str, text: &str) -> Result<(), Invalid> {
    match text.bytes().position(|byte| byte == 0) {
        Some(at) => Err(Invalid::new(field, "free of NUL bytes", format!("NUL at byte {at}"))),
        None => Ok(()),
    }
}

fn default_timeout() -> u32 {
    TIMEOUT_DEFAULT_S
}

/// A map whose keys are named once each; serde's own keeps the last of two.
pub(super) fn without_duplicates<'de, K, V, D>(from: D) -> Result<BTreeMap<K, V>, D::Error>
where
    K: Deserialize<'de> + Ord + fmt::Display,
    V: Deserialize<'de>,
    D: Deserializer<'de>,
{
    struct Map<K, V>(PhantomData<(K, V)>);
    impl<'de, K, V> de::Visitor<'de> for Map<K, V>
    where
        K: Deserialize<'de> + Ord + fmt::Display,
        V: Deserialize<'de>,
    {
        type Value = BTreeMap<K, V>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map")
        }
        fn visit_map<A: de::MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((name, value)) = from.next_entry::<K, V>()? {
                if map.contains_key(&name) {
                    return Err(de::Error::custom(format_args!("duplicate key `{name}`")));
                }
                map.insert(name, value);
            }
            Ok(map)
        }
    }
    from.deserialize_map(Map(PhantomData))
}
