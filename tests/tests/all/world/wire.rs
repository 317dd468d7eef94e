//! The protocol of NATS by hand (docs.nats.io, client protocol): whatever a credential is used for, the server answers in order, so that
//! after its PONG it is known what it denied.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use osapi_tests::wait::PATIENCE;
use serde_json::{Value, json};

/// A connection.
pub(crate) struct Wire {
    reader: BufReader<TcpStream>,
    subscriptions: u32,
    arrived: Vec<Arrived>,
}

/// A message that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) subject: String,
    pub(crate) payload: Vec<u8>,
}

impl Wire {
    /// Connects to the server at `address` with the text of a credentials file.
    pub(crate) fn connect(address: &str, credentials: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("it is not zero");
        let mut wire =
            Self { reader: BufReader::new(stream), subscriptions: 0, arrived: Vec::new() };
        let greeting = wire.line();
        let info = greeting.strip_prefix("INFO ").expect("the server greets");
        let info: Value = serde_json::from_str(info).expect("it is a document");
        let nonce = info["nonce"].as_str().expect("the server asks for a signature");
        let lines: Vec<_> = credentials.lines().collect();
        let after = |what: &str| {
            let at = lines
                .iter()
                .position(|line| line.contains(what))
                .expect("it is a credentials file");
            lines[at + 1]
        };
        let key = KeyPair::from_seed(after("BEGIN USER NKEY SEED")).expect("it is a seed");
        let signature = URL_SAFE_NO_PAD.encode(key.sign(nonce.as_bytes()).expect("it has a seed"));
        let connect = json!({
            "jwt": after("BEGIN NATS USER JWT"), "sig": signature, "verbose": false, "pedantic": false, "headers": true,
            "no_responders": true, "lang": "test", "version": "0", "protocol": 1,
        });
        let refusals = wire.send(format!("CONNECT {connect}\r\n").as_bytes());
        assert!(refusals.is_empty(), "the server refuses the credential: {refusals:?}");
        wire
    }

    /// Publishes a message, with a subject for replies and a header, and returns what the server says against it.
    pub(crate) fn publish(&mut self, subject: &str, reply: &str, header: &str) -> Vec<String> {
        const PAYLOAD: &str = "{}";
        let bytes = match header {
            "" => format!("PUB {subject} {reply} {}\r\n{PAYLOAD}\r\n", PAYLOAD.len()),
            header => {
                let head = format!("NATS/1.0\r\n{header}\r\n\r\n");
                let (head_size, size) = (head.len(), head.len() + PAYLOAD.len());
                format!("HPUB {subject} {reply} {head_size} {size}\r\n{head}{PAYLOAD}\r\n")
            }
        };
        self.send(bytes.as_bytes())
    }

    /// Subscribes, and returns what the server says against it.
    pub(crate) fn subscribe(&mut self, subject: &str, group: &str) -> Vec<String> {
        self.subscriptions += 1;
        let number = self.subscriptions;
        self.send(format!("SUB {subject} {group} {number}\r\n").as_bytes())
    }

    /// Ends the newest subscription.
    pub(crate) fn unsubscribe(&mut self) {
        let number = self.subscriptions;
        assert!(self.send(format!("UNSUB {number}\r\n").as_bytes()).is_empty());
    }

    /// What arrived since the last time.
    pub(crate) fn arrived(&mut self) -> Vec<Arrived> {
        let refusals = self.send(b"");
        assert!(refusals.is_empty(), "{refusals:?}");
        std::mem::take(&mut self.arrived)
    }

    /// The answer to a request.
    pub(crate) fn request(&mut self, subject: &str) -> Value {
        self.arrived.clear();
        assert!(self.publish(subject, "_INBOX.wire", "").is_empty(), "{subject}");
        loop {
            if let Some(answer) = self.arrived.pop() {
                return serde_json::from_slice(&answer.payload).expect("it is a document");
            }
            self.take();
        }
    }

    /// Sends bytes, and returns what the server says against them before it answers what comes after them.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Vec<String> {
        let stream = self.reader.get_mut();
        stream.write_all(&[bytes, b"PING\r\n"].concat()).expect("the server reads");
        let mut refusals = Vec::new();
        loop {
            match self.take() {
                Taken::Pong => return refusals,
                Taken::Refusal(text) => refusals.push(text),
                Taken::Other => {}
            }
        }
    }

    fn take(&mut self) -> Taken {
        let line = self.line();
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        match words.first().copied() {
            Some("PONG") => Taken::Pong,
            Some("-ERR") => Taken::Refusal(line),
            Some("PING") => {
                self.reader.get_mut().write_all(b"PONG\r\n").expect("the server reads");
                Taken::Other
            }
            Some("MSG" | "HMSG") => {
                let size: usize =
                    words[words.len() - 1].parse().expect("the last word is the size");
                let mut payload = vec![0; size + 2];
                self.reader.read_exact(&mut payload).expect("the server sends it whole");
                payload.truncate(size);
                self.arrived.push(Arrived { subject: words[1].to_owned(), payload });
                Taken::Other
            }
            _ => Taken::Other,
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line).expect("the server says something");
        assert!(read > 0, "the server closed the connection");
        line.trim_end().to_owned()
    }
}

/// What the server sent.
enum Taken {
    Pong,
    Refusal(String),
    Other,
}
