//! A server on a free port of the loopback device, and a client that speaks plain HTTP/1.1 to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use osapi_core::api::{Endpoint, Entry, Problem};
use osapi_core::auth::envelope::Signed;
use osapi_core::auth::keys::{KeyRing, KeyUse, RingKey, SigningKey};
use osapi_core::auth::permission::Permission;
use osapi_core::auth::role::Roles;
use osapi_core::auth::token::{EXPIRES_IN_DEFAULT, NewToken, issue};
use osapi_core::clock::{Clock as _, SystemClock};
use osapi_core::controller::Controller;
use osapi_core::id::FleetId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::gate::Gate;
use crate::limits::Limits;
use crate::listen::bind;
use crate::pipeline::{Life, Pipeline};
use crate::router::Builder;
use crate::serve::{Ended, Server, run, serve};

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The keys of a fleet.
pub(crate) struct Keys {
    pub(crate) root: SigningKey,
    pub(crate) token: SigningKey,
    pub(crate) job: SigningKey,
}

impl Keys {
    pub(crate) fn generate() -> Self {
        let new = SigningKey::generate;
        Self { root: new(), token: new(), job: new() }
    }

    pub(crate) fn fleet(&self) -> FleetId {
        self.root.public().fleet()
    }

    /// The ring in which the token key and the job key are valid.
    pub(crate) fn ring(&self) -> Signed<KeyRing> {
        let keys = vec![
            RingKey { key: self.token.public(), usage: KeyUse::Token },
            RingKey { key: self.job.public(), usage: KeyUse::Job },
        ];
        KeyRing::issue(&self.root, 1, SystemClock.wall(), keys).unwrap()
    }
}

/// A running server.
pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) keys: Keys,
    /// The keys that the server sees.
    pub(crate) ring: watch::Sender<Option<Arc<KeyRing>>>,
    server: JoinSet<Ended>,
}

impl World {
    /// A server for the endpoints that `router` mounts.
    pub(crate) async fn start<S: Clone + Send + Sync + 'static>(
        state: S,
        limits: Limits,
        router: impl FnOnce(Builder<S>) -> (Builder<S>, Vec<Entry>),
    ) -> Self {
        let keys = Keys::generate();
        let ring = KeyRing::open(&keys.ring(), &keys.root.public()).unwrap();
        let ring = watch::Sender::new(Some(Arc::new(ring)));
        let (builder, table) = router(Builder::new());
        let shutdown = CancellationToken::new();
        let pipeline = Pipeline {
            router: builder.build(&table).unwrap(),
            gate: Gate {
                keys: ring.subscribe(),
                fleet: keys.fleet(),
                roles: Roles::default(),
                clock: Arc::new(SystemClock),
            },
            state,
            limits,
            life: Life {
                shutdown: shutdown.clone(),
                cut: CancellationToken::new(),
                requests: TaskTracker::new(),
            },
        };
        Self::launch(keys, ring, shutdown, |listener| run(listener, Arc::new(pipeline))).await
    }

    /// The real server over `controller`, whose fleet has `keys`.
    pub(crate) async fn over(controller: Controller, keys: Keys, limits: Limits) -> Self {
        let clock = Arc::new(SystemClock);
        let server = Server { controller, roles: Roles::default(), clock, limits };
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let run = move |listener| async move { serve(listener, server, stop).await.unwrap() };
        Self::launch(keys, watch::Sender::new(None), shutdown, run).await
    }

    async fn launch<F: Future<Output = Ended> + Send + 'static>(
        keys: Keys,
        ring: watch::Sender<Option<Arc<KeyRing>>>,
        shutdown: CancellationToken,
        run: impl FnOnce(TcpListener) -> F,
    ) -> Self {
        let listener = bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = JoinSet::new();
        server.spawn(run(listener));
        Self { address, shutdown, keys, ring, server }
    }

    /// What a valid token would be issued with.
    pub(crate) fn new_token(permissions: &[Permission]) -> NewToken {
        NewToken {
            subject: "user@example.com".into(),
            roles: Vec::new(),
            permissions: permissions.to_vec(),
            expires_in: EXPIRES_IN_DEFAULT,
            now: SystemClock.wall(),
        }
    }

    /// A valid token with `permissions`.
    pub(crate) fn token(&self, permissions: &[Permission]) -> String {
        let token =
            issue(&self.keys.token, self.keys.fleet(), Self::new_token(permissions)).unwrap();
        token.as_str().to_owned()
    }

    /// The same for another subject.
    pub(crate) fn token_of(&self, subject: &str, permissions: &[Permission]) -> String {
        let new = NewToken { subject: subject.into(), ..Self::new_token(permissions) };
        issue(&self.keys.token, self.keys.fleet(), new).unwrap().as_str().to_owned()
    }

    /// A token with every permission.
    pub(crate) fn admin(&self) -> String {
        let all: Vec<_> = Roles::default().permissions().all().iter().cloned().collect();
        self.token(&all)
    }

    /// A new connection.
    pub(crate) async fn connect(&self) -> Wire {
        let stream = TcpStream::connect(self.address).await.unwrap();
        Wire { stream, unread: Vec::new() }
    }

    /// Sends one request on a connection of its own, and reads the answer.
    pub(crate) async fn ask(&self, request: &Ask<'_>) -> Reply {
        let mut wire = self.connect().await;
        wire.send(request).await;
        wire.reply().await
    }

    /// Waits until the server has ended.
    pub(crate) async fn ended(&mut self) -> Ended {
        let ended = tokio::time::timeout(PATIENCE, self.server.join_next()).await;
        ended.expect("the server ends").unwrap().unwrap()
    }
}

/// A request to an endpoint.
#[derive(Clone, Default)]
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: String,
    pub(crate) token: Option<&'a str>,
    pub(crate) headers: Vec<(&'a str, &'a str)>,
    pub(crate) body: Option<&'a [u8]>,
}

impl<'a> Ask<'a> {
    /// `E` with `path` filled in.
    pub(crate) fn of<E: Endpoint>(path: &E::Path) -> Self {
        let path = osapi_core::api::path_of::<E>(path);
        Self { method: E::INFO.method.as_str(), path, ..Self::default() }
    }

    pub(crate) fn query(mut self, query: &str) -> Self {
        self.path = format!("{}?{query}", self.path);
        self
    }

    pub(crate) fn token(self, token: &'a str) -> Self {
        Self { token: Some(token), ..self }
    }

    pub(crate) fn header(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// A body as it is, which the header calls JSON.
    pub(crate) fn json(self, body: &'a str) -> Self {
        Self { body: Some(body.as_bytes()), ..self.header("content-type", "application/json") }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nhost: test\r\n", self.method, self.path);
        if let Some(token) = self.token {
            text += &format!("authorization: Bearer {token}\r\n");
        }
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        if let Some(body) = self.body {
            text += &format!("content-length: {}\r\n", body.len());
        }
        [text.as_bytes(), b"\r\n", self.body.unwrap_or_default()].concat()
    }
}

/// A connection to the server.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    unread: Vec<u8>,
}

impl Wire {
    pub(crate) async fn send(&mut self, request: &Ask<'_>) {
        self.write(&request.bytes()).await;
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next answer. It must say how long it is, unless it has no body.
    pub(crate) async fn reply(&mut self) -> Reply {
        let end = loop {
            if let Some(at) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.more().await > 0, "no answer: {:?}", self.text());
        };
        let head: Vec<u8> = self.unread.drain(..end).collect();
        let mut reply = Reply::head(std::str::from_utf8(&head).unwrap());
        let length = reply.headers.get("content-length");
        let length = length.map_or(0, |text| text.to_str().unwrap().parse().unwrap());
        while self.unread.len() < length {
            assert!(self.more().await > 0, "the answer breaks off: {:?}", self.text());
        }
        reply.body = self.unread.drain(..length).collect();
        reply
    }

    /// Waits until the server closes the connection, and says nothing before that.
    pub(crate) async fn closed(&mut self) {
        let count = self.more().await;
        assert_eq!(count, 0, "the server says more: {:?}", self.text());
    }

    /// Everything that the server says until it closes the connection.
    pub(crate) async fn all(mut self) -> Vec<u8> {
        while self.more().await > 0 {}
        self.unread.to_vec()
    }

    async fn more(&mut self) -> usize {
        let read = self.stream.read_buf(&mut self.unread);
        tokio::time::timeout(PATIENCE, read).await.expect("the server answers").unwrap()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.unread).into_owned()
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    fn head(text: &str) -> Self {
        let mut lines = text.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let field = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())
        };
        Self { status, headers: lines.map(field).collect(), body: Vec::new() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|err| panic!("{err}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The problem document, which agrees with the status and names the request.
    pub(crate) fn problem(&self) -> Problem {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem: Problem = self.json();
        assert_eq!((problem.status, problem.code.status()), (self.status, self.status));
        assert_eq!(problem.request_id.as_deref(), self.header("x-request-id"));
        problem
    }
}
