//! What is to be done on hosts, and the way from there to its outcome.

use std::collections::BTreeMap;
use std::time::Duration;

use osapi_core::api::Endpoint;
use osapi_core::api::endpoints::{CommandExec, CommandShell, NodeGet};
use osapi_core::api::params::{RunQuery, TargetPath};
use osapi_core::api::types::JobResults;
use osapi_core::job::target::InvalidTarget;
use osapi_core::job::{Exec, Operation, ResourceLimits, Shell, Stdin, Target, Umask, UserName};

use crate::client::Client;
use crate::error::Error;
use crate::job::Job;
use crate::making::Making;
use crate::outcome::JobOutcome;
use crate::request::Outgoing;

/// Something to be done on hosts: [`Exec`], [`Shell`] or [`Facts`]. Made by [`Node`](crate::Node).
#[derive(Debug, Clone)]
#[must_use = "nothing is sent before `send` or `submit`"]
pub struct Command<O> {
    making: Making,
    target: Result<Target, InvalidTarget>,
    operation: O,
}

/// Asks hosts for their facts.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Facts;

/// An operation that can be sent: [`Exec`], [`Shell`] or [`Facts`].
pub trait Sendable: sealed::Sealed {
    /// The endpoint that takes it.
    type Endpoint: Endpoint<Path = TargetPath, Query = RunQuery, Answer = JobResults>;
    /// The body of the request.
    fn body(&self) -> &<Self::Endpoint as Endpoint>::Body;
    /// The operation that the job will have.
    fn operation(&self) -> Operation;
}

/// An operation that runs a command, in surroundings that can be chosen: [`Exec`] or [`Shell`].
pub trait Surrounded: Sendable {
    /// They, to be changed.
    fn surroundings(&mut self) -> SurroundingsMut<'_>;
}

/// What a command runs in and with.
#[derive(Debug)]
pub struct SurroundingsMut<'a> {
    /// Its working directory, `/` if absent.
    pub cwd: &'a mut Option<String>,
    /// What it finds in its environment beside the agent's own clean set.
    pub env: &'a mut BTreeMap<String, String>,
    /// Seconds after which it is ended.
    pub timeout: &'a mut u32,
    /// What it reads from standard input, nothing if absent.
    pub stdin: &'a mut Option<Stdin>,
    /// As whom it runs, the agent's own user if absent.
    pub user: &'a mut Option<UserName>,
    /// Its umask, `0022` if absent.
    pub umask: &'a mut Option<Umask>,
    /// How much of the host it may use at most.
    pub limits: &'a mut ResourceLimits,
    /// Whether what it leaves in the background goes on.
    pub keep_children: &'a mut bool,
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Exec {}
    impl Sealed for super::Shell {}
    impl Sealed for super::Facts {}
}

impl Sendable for Exec {
    type Endpoint = CommandExec;
    fn body(&self) -> &Exec {
        self
    }
    fn operation(&self) -> Operation {
        Operation::Exec(self.clone())
    }
}

impl Sendable for Shell {
    type Endpoint = CommandShell;
    fn body(&self) -> &Shell {
        self
    }
    fn operation(&self) -> Operation {
        Operation::Shell(self.clone())
    }
}

impl Sendable for Facts {
    type Endpoint = NodeGet;
    fn body(&self) -> &() {
        &()
    }
    fn operation(&self) -> Operation {
        Operation::Facts
    }
}

impl Surrounded for Exec {
    fn surroundings(&mut self) -> SurroundingsMut<'_> {
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
        SurroundingsMut { cwd, env, timeout, stdin, user, umask, limits, keep_children }
    }
}

impl Surrounded for Shell {
    fn surroundings(&mut self) -> SurroundingsMut<'_> {
        let Self { command: _, cwd, env, timeout, stdin, user, umask, limits, keep_children } =
            self;
        SurroundingsMut { cwd, env, timeout, stdin, user, umask, limits, keep_children }
    }
}

impl<O> Command<O> {
    pub(crate) fn new(client: Client, target: Result<Target, InvalidTarget>, operation: O) -> Self {
        Self { making: Making::new(client), target, operation }
    }

    /// Makes the job under this key, 1 to 255 visible ASCII characters, instead of a random one: the same request under the same key
    /// makes one job, however often and by how many programs it is sent.
    pub fn idempotency_key(self, key: impl Into<String>) -> Self {
        Self { making: self.making.under(key.into()), ..self }
    }

    /// Waits so long for hosts that are down, 1 s to 24 h, instead of leaving them out: each runs it once if it is back in time, and
    /// certainly never later. The API counts in whole seconds; a part of one counts as one. Not with [`Target::Any`], which means a host
    /// that is up.
    pub fn queue_for(self, time: Duration) -> Self {
        Self { making: self.making.waiting_for_hosts(time), ..self }
    }
}

impl Command<Exec> {
    /// Adds an argument, which arrives as it is.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.operation.args.push(arg.into());
        self
    }

    /// Adds arguments, each of which arrives as it is.
    pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.operation.args.extend(args.into_iter().map(Into::into));
        self
    }
}

impl<O: Surrounded> Command<O> {
    /// Runs it in this directory, an absolute path; `/` by default.
    pub fn cwd(mut self, cwd: impl Into<String>) -> Self {
        *self.operation.surroundings().cwd = Some(cwd.into());
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.operation.surroundings().env.insert(name.into(), value.into());
        self
    }

    /// Sets variables of its environment.
    pub fn envs<K: Into<String>, V: Into<String>>(
        self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        variables.into_iter().fold(self, |command, (name, value)| command.env(name, value))
    }

    /// Gives it these bytes on standard input, at most 256 KiB; by default there are none. They are part of the job: who may see its
    /// arguments may see them, and a retry gives them again.
    pub fn stdin(mut self, bytes: impl Into<Stdin>) -> Self {
        *self.operation.surroundings().stdin = Some(bytes.into());
        self
    }

    /// Runs it as this user of the host, by default as the agent's own. A host where the agent may not do that, or has no such user,
    /// rejects it.
    ///
    /// ```
    /// # fn example(command: osapi_client::Command<osapi_client::Exec>) -> Result<(), Box<dyn std::error::Error>> {
    /// let command = command.user("www-data".parse()?).umask("0027".parse()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn user(mut self, user: UserName) -> Self {
        *self.operation.surroundings().user = Some(user);
        self
    }

    /// Runs it with this umask, by default with `0022`.
    pub fn umask(mut self, umask: Umask) -> Self {
        *self.operation.surroundings().umask = Some(umask);
        self
    }

    /// Lets it use so much of the host at most. A host that cannot hold to one of them, or allows less, rejects it.
    ///
    /// ```
    /// use osapi_client::ResourceLimits;
    ///
    /// # fn example(command: osapi_client::Command<osapi_client::Exec>) -> Result<(), Box<dyn std::error::Error>> {
    /// let command = command.limits(ResourceLimits::of(["open-files=256".parse()?, "core=0".parse()?]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn limits(mut self, limits: ResourceLimits) -> Self {
        *self.operation.surroundings().limits = limits;
        self
    }

    /// Lets what it leaves in the background go on when it has ended, instead of ending that too. A timeout and a cancel still end
    /// everything.
    pub fn keep_children(mut self) -> Self {
        *self.operation.surroundings().keep_children = true;
        self
    }

    /// Ends the whole process tree after this time: 1 s to 300 s, 30 s by default. The API counts in whole seconds; a part of one
    /// counts as one.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        let seconds = timeout.as_secs().saturating_add(u64::from(timeout.subsec_nanos() > 0));
        *self.operation.surroundings().timeout = u32::try_from(seconds).unwrap_or(u32::MAX);
        self
    }
}

impl<O: Sendable> Command<O> {
    /// Runs it and waits until every host is settled. A host that failed is not an error but a row of the outcome.
    ///
    /// The request carries an idempotency key, so a connection that breaks is no harm: it is sent again and finds the job that the first
    /// attempt made. Once the job is known, a broken connection only interrupts the waiting for it. It takes at most as long as the
    /// server may need to be sure of every host: start deadline (or [`queue_for`](Self::queue_for)), the command's timeout, the grace of
    /// its end, and what a server needs after a restart.
    ///
    /// # Cancel safety
    /// Dropping the future ends the waiting, not the job. To be able to cancel it, use [`submit`](Self::submit).
    ///
    /// # Errors
    /// When the request is outside its bounds or refused, and no job was made; [`ErrorKind::OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) when it cannot be told
    /// whether one was made; with [`Error::job_id`], when the outcome of that job could not be learned.
    pub async fn send(self) -> Result<JobOutcome, Error> {
        let timeout = Duration::from_secs(self.operation.operation().timeout_s().into());
        let Self { making, target, operation } = self;
        let client = making.client().clone();
        making.send(timeout, |query| request(&client, target, &operation, query)).await
    }

    /// Makes the job and returns at once. It can be waited for, looked at and cancelled by the handle.
    ///
    /// # Errors
    /// When the request is outside its bounds or refused, and no job was made; [`ErrorKind::OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) when it cannot be told
    /// whether one was made.
    pub async fn submit(self) -> Result<Job, Error> {
        let Self { making, target, operation } = self;
        let client = making.client().clone();
        making.submit(|query| request(&client, target, &operation, query)).await
    }
}

fn request<O: Sendable>(
    client: &Client,
    target: Result<Target, InvalidTarget>,
    operation: &O,
    query: RunQuery,
) -> Result<Outgoing, Error> {
    let target = target?;
    operation.operation().validate()?;
    query.queue_for.map_or(Ok(()), |time| time.check_target(&target))?;
    client.request::<O::Endpoint>(&TargetPath { target }, &query, operation.body())
}
