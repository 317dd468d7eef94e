//! An HTTP server that does what the test says, one request after another, and remembers what it was asked.

use std::sync::{Arc, Mutex};

use osapi_core::api::{Code, Problem};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::builder::Builder;
use crate::client::Client;
use crate::retry::Pace;

/// What the server does with a request that it has read.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Answers.
    Answer { status: u16, fields: Vec<(&'static str, String)>, body: Vec<u8> },
    /// Resets the connection.
    Reset,
    /// Promises a body and closes the connection within it.
    Stop,
    /// Never answers.
    Hang,
}

impl Act {
    pub(crate) fn json(status: u16, body: &impl Serialize) -> Self {
        Self::bytes(status, serde_json::to_vec(body).unwrap())
    }

    pub(crate) fn bytes(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Answer { status, fields: Vec::new(), body: body.into() }
    }

    pub(crate) fn problem(code: Code) -> Self {
        Self::json(code.status(), &Problem::new(code, "what is wrong here"))
    }

    pub(crate) fn field(self, name: &'static str, value: impl Into<String>) -> Self {
        match self {
            Self::Answer { status, mut fields, body } => {
                fields.push((name, value.into()));
                Self::Answer { status, fields, body }
            }
            other => other,
        }
    }
}

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) uri: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Seen {
    /// The value of a field that is there once, or never.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert_eq!(values.next(), None, "{name} is there twice");
        value
    }

    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap()
    }

    async fn read(socket: &mut TcpStream) -> Option<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let mut first = lines.next()?.split(' ').map(str::to_owned);
        let (method, uri) = (first.next()?, first.next()?);
        let fields = lines.filter_map(|line| line.split_once(": "));
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut seen = Self { method, uri, fields, body: Vec::new() };
        let size = seen.field("content-length").map_or(0, |size| size.parse().unwrap());
        seen.body = vec![0; size];
        socket.read_exact(&mut seen.body).await.ok()?;
        Some(seen)
    }
}

/// The server. Its end is the end of the test.
pub(crate) struct Server {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// A server that does `script`; after its end, it answers 418.
    pub(crate) async fn start(script: impl IntoIterator<Item = Act>) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), script)
    }

    /// The same on what listens already.
    pub(crate) fn on(listener: TcpListener, script: impl IntoIterator<Item = Act>) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::default();
        let mut tasks = JoinSet::new();
        let script: Vec<_> = script.into_iter().collect();
        tasks.spawn(serve(listener, script, Arc::clone(&seen)));
        Self { url, seen, _tasks: tasks }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What it was asked so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn builder(&self) -> Builder {
        quick(&self.url)
    }

    pub(crate) fn client(&self) -> Client {
        self.builder().build().unwrap()
    }
}

/// A builder of a client that does not dawdle.
pub(crate) fn quick(url: &str) -> Builder {
    let moment = std::time::Duration::from_millis(1);
    Client::builder(url).token("v4.public.secret").settings(|settings| {
        settings.pace = Pace { first: moment, longest: moment };
        settings.look_every = moment;
    })
}

async fn serve(listener: TcpListener, script: Vec<Act>, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut script = script.into_iter();
    let mut hanging = Vec::new();
    loop {
        let (mut socket, _) = listener.accept().await.unwrap();
        let Some(request) = Seen::read(&mut socket).await else { continue };
        seen.lock().unwrap().push(request);
        match script.next().unwrap_or_else(|| Act::bytes(418, "the script is over")) {
            Act::Answer { status, fields, body } => answer(socket, status, &fields, &body).await,
            Act::Reset => socket.set_zero_linger().unwrap(),
            Act::Stop => {
                let head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"";
                socket.write_all(head.as_bytes()).await.unwrap();
            }
            Act::Hang => hanging.push(socket),
        }
    }
}

async fn answer(mut socket: TcpStream, status: u16, fields: &[(&str, String)], body: &[u8]) {
    let mut head = format!("HTTP/1.1 {status} Status\r\nconnection: close\r\n");
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if status != 204 {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let bytes = [head.as_bytes(), body].concat();
    // A client that has seen enough closes the connection, which is not this server's concern.
    drop(socket.write_all(&bytes).await);
    drop(socket.shutdown().await);
}
