//! Hosts to run something on.

use osapi_core::id::AgentName;
use osapi_core::job::target::InvalidTarget;
use osapi_core::job::{Exec, Shell, Target};

use crate::client::Client;
use crate::command::{Command, Facts};

/// The hosts that a target names. Made by [`Client::node`].
#[derive(Debug, Clone)]
#[must_use = "nothing is sent yet"]
pub struct Node {
    client: Client,
    target: Result<Target, InvalidTarget>,
}

impl Node {
    pub(crate) fn new(client: Client, target: Result<Target, InvalidTarget>) -> Self {
        Self { client, target }
    }

    /// Runs `program`, an absolute path or a name that is looked up in the command's PATH. No shell sees its arguments.
    pub fn exec(self, program: impl Into<String>) -> Command<Exec> {
        Command::new(self.client, self.target, Exec::new(program))
    }

    /// Passes `script` to `/bin/sh -c`.
    pub fn shell(self, script: impl Into<String>) -> Command<Shell> {
        Command::new(self.client, self.target, Shell::new(script))
    }

    /// Asks what hosts they are: host name, system, kernel, architecture, uptime, memory.
    pub fn facts(self) -> Command<Facts> {
        Command::new(self.client, self.target, Facts)
    }
}

/// What names hosts.
pub trait IntoTarget {
    /// The target, parsed.
    ///
    /// # Errors
    /// When a text is no target.
    fn into_target(self) -> Result<Target, InvalidTarget>;
}

impl IntoTarget for Target {
    fn into_target(self) -> Result<Target, InvalidTarget> {
        Ok(self)
    }
}

impl IntoTarget for &Target {
    fn into_target(self) -> Result<Target, InvalidTarget> {
        Ok(self.clone())
    }
}

impl IntoTarget for AgentName {
    fn into_target(self) -> Result<Target, InvalidTarget> {
        Ok(Target::Host(self))
    }
}

impl IntoTarget for &AgentName {
    fn into_target(self) -> Result<Target, InvalidTarget> {
        Ok(Target::Host(self.clone()))
    }
}

impl IntoTarget for &str {
    fn into_target(self) -> Result<Target, InvalidTarget> {
        self.parse()
    }
}

impl IntoTarget for &String {
    fn into_target(self) -> Result<Target, InvalidTarget> {
        self.parse()
    }
}

impl IntoTarget for String {
    fn into_target(self) -> Result<Target, InvalidTarget> {
        self.parse()
    }
}
