//! The endpoint that gives all of an output stream, in pieces: it is never in memory as a whole.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use futures_util::stream;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use osapi_core::api::Code;
use osapi_core::api::endpoints::JobOutput;
use osapi_core::api::params::OutputPath;
use osapi_core::auth::authorize::Permit;
use osapi_core::controller::{self, Controller};

use super::Outcome;
use crate::answer::{Answer, Body};
use crate::failure::Failure;
use crate::handler::Call;
use crate::range::{self, Ranged};

/// Bytes that are asked of the controller at once.
const PIECE: u64 = 256 * 1024;

pub(super) async fn get(
    controller: Controller,
    permit: Permit,
    call: Call<JobOutput>,
) -> Outcome<()> {
    let source = Source { controller, permit, path: call.path };
    // Whether it may be seen, and how much there is, must be known before the first header field is.
    let size = source.read(0..0).await?.kept;
    let (status, part) = match range::of(&call.head.headers, size) {
        Ranged::Whole => (StatusCode::OK, 0..size),
        Ranged::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        Ranged::Unsatisfiable => return Err(unsatisfiable(size)),
    };
    let mut response = Response::new(pieces(source, part.clone()));
    *response.status_mut() = status;
    describe(response.headers_mut(), status, &part, size)?;
    Ok(Answer::Bytes(response))
}

fn describe(
    headers: &mut HeaderMap,
    status: StatusCode,
    part: &Range<u64>,
    size: u64,
) -> Result<(), Failure> {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, (part.end - part.start).into());
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
        let range = HeaderValue::from_str(&range).map_err(Failure::internal)?;
        headers.insert(header::CONTENT_RANGE, range);
    }
    Ok(())
}

fn unsatisfiable(size: u64) -> Failure {
    let detail = format!("the range begins behind the end: there are {size} bytes");
    Failure::new(Code::RangeNotSatisfiable, detail)
        .with(header::CONTENT_RANGE, &format!("bytes */{size}"))
}

/// Where the bytes are.
struct Source {
    controller: Controller,
    permit: Permit,
    path: OutputPath,
}

impl Source {
    async fn read(&self, range: Range<u64>) -> Result<controller::Output, controller::Error> {
        let OutputPath { id, host, stream } = &self.path;
        self.controller.output(&self.permit, *id, host, *stream, range).await
    }
}

/// The bytes of `part`, each piece asked for once the one before it was taken. What fails in between ends the connection, so that
/// the client sees fewer bytes than it was told and knows.
fn pieces(source: Source, part: Range<u64>) -> Body {
    let body = stream::try_unfold((source, part), async |(source, left)| {
        if left.is_empty() {
            return Ok(None);
        }
        let end = left.end.min(left.start + PIECE);
        let piece: Bytes = source.read(left.start..end).await.map_err(io::Error::other)?.bytes;
        if piece.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "output was removed"));
        }
        let read = left.start + piece.len() as u64;
        Ok(Some((Frame::data(piece), (source, read..left.end))))
    });
    StreamBody::new(body).boxed_unsync()
}
