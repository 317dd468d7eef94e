//! HTTP/1.1 by hand, so that what is sent can be as wrong as it has to be.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use osapi_tests::wait::PATIENCE;

/// An API to be asked with a token.
#[derive(Clone)]
pub(crate) struct Api {
    address: String,
    authorization: Option<String>,
}

/// What it answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Api {
    pub(crate) fn new(url: &str, token: &str) -> Self {
        let address = url.strip_prefix("http://").expect("it listens in the clear").to_owned();
        Self { address, authorization: Some(format!("Bearer {token}")) }
    }

    /// The same API with another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { authorization: Some(format!("Bearer {token}")), ..self.clone() }
    }

    /// The same API without a token.
    pub(crate) fn without_token(&self) -> Self {
        Self { authorization: None, ..self.clone() }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_raw(path, body.to_string().as_bytes())
    }

    pub(crate) fn post_raw(&self, path: &str, body: &[u8]) -> Answer {
        self.send("POST", path, &[("Content-Type", "application/json")], body)
    }

    /// Runs an operation on any host and waits for its outcome.
    pub(crate) fn shell(&self, script: &str) -> Answer {
        self.post("/v1/node/_any/command/shell", &serde_json::json!({ "command": script }))
    }

    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut stream = self.open(method, path, headers, body.len());
        // A server that refuses may close before it has read everything; its answer is what counts.
        stream.write_all(body).ok();
        answer(stream)
    }

    /// The same where the server may go away meanwhile: none if no whole answer came.
    pub(crate) fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Answer> {
        let mut stream = self.try_open(method, path, headers, body.len()).ok()?;
        stream.write_all(body).ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok()?;
        let answer = parsed(bytes)?;
        answer.is_whole().then_some(answer)
    }

    /// Sends the head of a request for a body of `length` bytes.
    pub(crate) fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        length: usize,
    ) -> TcpStream {
        self.try_open(method, path, headers, length).expect("the server listens and reads heads")
    }

    fn try_open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        length: usize,
    ) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(PATIENCE)).expect("it is not zero");
        stream.set_write_timeout(Some(PATIENCE)).expect("it is not zero");
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        head.push_str(&format!("Content-Length: {length}\r\nConnection: close\r\n"));
        if let Some(authorization) = &self.authorization {
            head.push_str(&format!("Authorization: {authorization}\r\n"));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        Ok(stream)
    }

    /// Asks that `job` be cancelled.
    #[track_caller]
    pub(crate) fn cancel(&self, job: &str) -> Answer {
        self.send("POST", &format!("/v1/jobs/{job}/cancel"), &[], b"")
    }

    /// The ids of all jobs, newest first.
    pub(crate) fn jobs(&self) -> Vec<String> {
        let (mut jobs, mut page) = (Vec::new(), "/v1/jobs?limit=500".to_owned());
        loop {
            let list = self.get(&page).is(200).json();
            let listed = list["jobs"].as_array().expect("a list of jobs").iter();
            jobs.extend(listed.map(|job| job["job_id"].as_str().expect("a text").to_owned()));
            match list["next"].as_str() {
                Some(next) => page = format!("/v1/jobs?limit=500&cursor={next}"),
                None => return jobs,
            }
        }
    }
}

/// Reads an answer to its end.
pub(crate) fn answer(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        // The rest of a body that nobody read makes the kernel reset the connection after the answer.
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "no answer");
    }
    parsed(bytes).expect("a head with an end")
}

/// None if the end of the head did not come.
fn parsed(mut bytes: Vec<u8>) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let body = bytes.split_off(end + 4);
    let head = String::from_utf8(bytes).expect("a head is text");
    assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "bodies have a length");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Some(Answer { status: status.expect("a status"), head, body })
}

impl Answer {
    /// Whether the body is as long as it was said to be.
    fn is_whole(&self) -> bool {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let length = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        length.and_then(|(_, value)| value.trim().parse().ok()) == Some(self.body.len())
    }

    /// Asserts its status.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// Asserts that it is a problem with this status and code.
    #[track_caller]
    pub(crate) fn refuses(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, &self.json()["code"]), (status, &Value::from(code)), "{self}");
        let head = self.head.to_ascii_lowercase();
        assert!(head.contains("content-type: application/problem+json"), "{self}");
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {self}"))
    }

    /// The row of the only host.
    #[track_caller]
    pub(crate) fn host(&self) -> Value {
        let rows = self.json()["results"].as_array().cloned().unwrap_or_default();
        assert_eq!(rows.len(), 1, "{self}");
        rows.into_iter().next().expect("there is one")
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        write!(f, "{}{}", self.head, body.chars().take(4_000).collect::<String>())
    }
}
