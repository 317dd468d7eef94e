//! Step 2: which endpoint a request is for. The routes come from the endpoint table; a router that does not fit it is not built.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{Response, header};
use osapi_core::api::{Access, Code, Endpoint, Entry, Info};
use osapi_core::auth::authorize::Permit;

use crate::answer::{Answer, Body};
use crate::failure::Failure;
use crate::handler::{Admitted, Call};
use crate::pipeline;

/// Runs the steps of one endpoint that need its types.
type Run<S> =
    Arc<dyn Fn(S, Admitted) -> BoxFuture<'static, Result<Response<Body>, Failure>> + Send + Sync>;

/// An endpoint with its handler.
pub(crate) struct Mounted<S> {
    /// Its declaration.
    pub(crate) info: Info,
    /// Its steps.
    pub(crate) run: Run<S>,
}

/// What is wrong with a router, by the ids of endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Declared, and without a handler.
    Unmounted(&'static str),
    /// With more than one handler.
    MountedTwice(&'static str),
    /// With a handler, and not declared.
    Undeclared(&'static str),
    /// Open with a handler that asks for a permit, or the other way round.
    Access(&'static str),
    /// Its path cannot be told from another's, or is none.
    Path(&'static str),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmounted(id) => write!(f, "{id} has no handler"),
            Self::MountedTwice(id) => write!(f, "{id} has two handlers"),
            Self::Undeclared(id) => write!(f, "{id} is not declared"),
            Self::Access(id) => write!(f, "{id} is mounted with another access than declared"),
            Self::Path(id) => write!(f, "{id} has a path that clashes with another"),
        }
    }
}

/// A router that does not fit the endpoint table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("build a router: {}", self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
pub struct RouterError(pub Vec<Fault>);

/// A router that is being put together. `S` is what every handler gets.
pub(crate) struct Builder<S> {
    mounted: Vec<Mounted<S>>,
    faults: Vec<Fault>,
}

impl<S: Send + 'static> Builder<S> {
    /// Nothing mounted.
    pub(crate) fn new() -> Self {
        Self { mounted: Vec::new(), faults: Vec::new() }
    }

    /// Mounts an endpoint that needs a permit.
    pub(crate) fn mount<E, F>(
        self,
        handler: impl Fn(S, Permit, Call<E>) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        E: Endpoint,
        F: Future<Output = Result<Answer<E::Answer>, Failure>> + Send + 'static,
    {
        let run: Run<S> = Arc::new(move |state, admitted| {
            let handler = handler.clone();
            Box::pin(pipeline::typed::<E, _>(admitted, async move |permit, call| {
                let permit = permit.ok_or_else(|| Failure::internal("no permit was made"))?;
                handler(state, permit, call).await
            }))
        });
        self.add::<E>(run, E::INFO.access != Access::Open)
    }

    /// Mounts an endpoint that is open to anybody.
    pub(crate) fn mount_open<E, F>(
        self,
        handler: impl Fn(S, Call<E>) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        E: Endpoint,
        F: Future<Output = Result<Answer<E::Answer>, Failure>> + Send + 'static,
    {
        let run: Run<S> = Arc::new(move |state, admitted| {
            let handler = handler.clone();
            Box::pin(pipeline::typed::<E, _>(admitted, move |_, call| handler(state, call)))
        });
        self.add::<E>(run, E::INFO.access == Access::Open)
    }

    fn add<E: Endpoint>(mut self, run: Run<S>, fits: bool) -> Self {
        if !fits {
            self.faults.push(Fault::Access(E::INFO.id));
        }
        self.mounted.push(Mounted { info: E::INFO, run });
        self
    }

    /// The router, if exactly the endpoints of `table` are mounted, each once.
    pub(crate) fn build(mut self, table: &[Entry]) -> Result<Router<S>, RouterError> {
        for Entry { info, .. } in table {
            match self.mounted.iter().filter(|mounted| mounted.info.id == info.id).count() {
                0 => self.faults.push(Fault::Unmounted(info.id)),
                1 => {}
                _ => self.faults.push(Fault::MountedTwice(info.id)),
            }
        }
        let declared = |id| table.iter().any(|entry| entry.info.id == id);
        let undeclared = self.mounted.iter().map(|m| m.info.id).filter(|id| !declared(*id));
        self.faults.extend(undeclared.map(Fault::Undeclared));

        let mut by_path: BTreeMap<&'static str, Vec<Mounted<S>>> = BTreeMap::new();
        for mounted in self.mounted {
            by_path.entry(mounted.info.path).or_default().push(mounted);
        }
        let mut paths = matchit::Router::new();
        for (path, mounted) in by_path {
            let id = mounted[0].info.id;
            if paths.insert(path, mounted).is_err() {
                self.faults.push(Fault::Path(id));
            }
        }
        if self.faults.is_empty() { Ok(Router { paths }) } else { Err(RouterError(self.faults)) }
    }
}

/// Every endpoint by path and method.
pub(crate) struct Router<S> {
    paths: matchit::Router<Vec<Mounted<S>>>,
}

/// An endpoint that was found, and the raw segments of the path that fill its parameters.
pub(crate) type Found<'a, S> = (&'a Mounted<S>, Vec<(String, String)>);

impl<S> Router<S> {
    /// The endpoint for `method` and the raw, still encoded `path`.
    pub(crate) fn find(&self, method: &http::Method, path: &str) -> Result<Found<'_, S>, Failure> {
        let Ok(found) = self.paths.at(path) else {
            let detail = "there is nothing at this path; the contract lists those that there are";
            return Err(Failure::new(Code::NotFound, detail));
        };
        let of_method = |mounted: &&Mounted<S>| mounted.info.method.as_str() == method.as_str();
        match found.value.iter().find(of_method) {
            Some(mounted) => {
                let segments = found.params.iter();
                Ok((mounted, segments.map(|(name, text)| (name.into(), text.into())).collect()))
            }
            None => {
                let allow: Vec<_> = found.value.iter().map(|m| m.info.method.as_str()).collect();
                let allow = allow.join(", ");
                let detail = format!("this path takes {allow}");
                Err(Failure::new(Code::MethodNotAllowed, detail).with(header::ALLOW, &allow))
            }
        }
    }
}
