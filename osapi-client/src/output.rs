//! Reading back all that was kept of an output stream.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::header::{CONTENT_RANGE, HeaderValue, RANGE};
use osapi_core::api::Code;
use osapi_core::api::endpoints::JobOutput;
use osapi_core::api::params::OutputPath;
use osapi_core::id::{AgentName, JobId};
use osapi_core::job::report::Stream;

use crate::answer::Reply;
use crate::client::Client;
use crate::error::{Error, ErrorKind};
use crate::request::Place;

/// Bytes of one piece.
const PIECE: u64 = 1024 * 1024;

/// Reads all that was kept of one output stream of one host, in pieces of at most 1 MiB, each asked for (RFC 9110 §14) when it is
/// wanted: only one is in memory, and a connection that breaks costs only the piece that was on its way. Made by [`Client::output`].
#[derive(Debug, Clone)]
pub struct OutputReader {
    client: Client,
    path: OutputPath,
    progress: Progress,
}

impl OutputReader {
    pub(crate) fn new(client: Client, id: JobId, host: AgentName, stream: Stream) -> Self {
        let path = OutputPath { id, host, stream };
        Self { client, path, progress: Progress::of(0..u64::MAX) }
    }

    /// Only these of the kept bytes, counted from 0. What is behind the end is not there.
    #[must_use]
    pub fn range(self, range: Range<u64>) -> Self {
        Self { progress: Progress::of(range), ..self }
    }

    /// The next piece; `None` at the end. After an error the same piece is asked for again.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such job, host or output; [`ErrorKind::InvalidRequest`] when the range begins behind the
    /// end; [`ErrorKind::Protocol`] when the pieces do not fit together; when it may not be seen, or the server cannot be asked.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(range) = self.progress.wanted() else { return Ok(None) };
        let outgoing = self.client.request::<JobOutput>(&self.path, &(), &())?;
        let outgoing = outgoing.header(RANGE, range);
        let reply = match self.client.deliver(&outgoing).await {
            Ok(reply) => reply,
            // Of nothing there is no first byte.
            Err(err) if self.progress.is_at_start() && is_beyond_end(&err) => {
                self.progress.end();
                return Ok(None);
            }
            Err(err) => return Err(err.about(self.path.id)),
        };
        let piece = self.progress.take(&outgoing.place, reply);
        let piece = piece.map_err(|err| err.about(self.path.id))?;
        Ok((!piece.is_empty()).then_some(piece))
    }

    /// Everything that is left, in memory.
    ///
    /// # Errors
    /// As for [`OutputReader::chunk`]; [`ErrorKind::Protocol`] when it is more than
    /// [`Builder::answer_limit`](crate::Builder::answer_limit) allows.
    pub async fn bytes(mut self) -> Result<Bytes, Error> {
        let size_max = self.client.settings().answer_max;
        let mut all = BytesMut::new();
        while let Some(piece) = self.chunk().await? {
            if all.len() + piece.len() > size_max {
                let what = format!(
                    "the output has more than {size_max} bytes, which is the limit of this client: read it in pieces"
                );
                return Err(Error::new(ErrorKind::Protocol, what).about(self.path.id));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }
}

fn is_beyond_end(err: &Error) -> bool {
    err.problem().is_some_and(|problem| problem.code == Code::RangeNotSatisfiable)
}

/// How much was read. Pure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    /// The byte to go on with.
    read: u64,
    /// The byte before which to stop.
    stop: u64,
    /// How much there is, once the server has said so.
    total: Option<u64>,
}

impl Progress {
    fn of(range: Range<u64>) -> Self {
        Self { read: range.start, stop: range.end, total: None }
    }

    fn is_at_start(&self) -> bool {
        self.read == 0
    }

    fn end(&mut self) {
        self.total = Some(self.read);
    }

    /// The range to ask for; `None` if everything was read.
    fn wanted(&self) -> Option<HeaderValue> {
        if self.read >= self.total.map_or(self.stop, |total| total.min(self.stop)) {
            return None;
        }
        let last = self.read.saturating_add(PIECE).min(self.stop) - 1;
        let range = format!("bytes={}-{last}", self.read);
        Some(HeaderValue::from_str(&range).expect("digits are a header value"))
    }

    /// Takes the answer to what was wanted.
    fn take(&mut self, place: &Place, reply: Reply) -> Result<Bytes, Error> {
        let misfit = |what: &str| {
            let read = self.read;
            Error::new(ErrorKind::Protocol, format!("{place} {what} after {read} bytes were read"))
        };
        let size = reply.body.len() as u64;
        let (first, total) = match reply.status {
            // Who does not know ranges sends everything.
            StatusCode::OK => (0, size),
            StatusCode::PARTIAL_CONTENT => {
                let field = reply.headers.get(CONTENT_RANGE).and_then(|field| field.to_str().ok());
                let (first, last, total) = field
                    .and_then(content_range)
                    .ok_or_else(|| misfit("sent a part without saying which"))?;
                if last.checked_sub(first).and_then(|more| more.checked_add(1)) != Some(size) {
                    return Err(misfit("sent another number of bytes than it said"));
                }
                (first, total)
            }
            _ => return Err(misfit("sent an answer that is neither all nor a part of the output")),
        };
        if first != self.read {
            return Err(misfit("sent another part than the one that was asked for"));
        }
        if self.total.is_some_and(|known| known != total) {
            return Err(misfit("sent a part of an output that has changed"));
        }
        if first.checked_add(size).is_none_or(|end| end > total) {
            return Err(misfit("sent more bytes than there are"));
        }
        self.read += size;
        self.total = Some(total);
        Ok(reply.body)
    }
}

/// First byte, last byte and size of the whole: `bytes 0-9/100` (RFC 9110 §14.4).
fn content_range(field: &str) -> Option<(u64, u64, u64)> {
    let (range, total) = field.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?, total.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use osapi_core::api::endpoints::HealthGet;

    use super::*;
    use crate::request::Outgoing;

    fn take(
        progress: &mut Progress,
        status: u16,
        range: &str,
        body: &'static str,
    ) -> Option<Bytes> {
        let base = "http://127.0.0.1:1".parse().unwrap();
        let place = Outgoing::to::<HealthGet>(&base, None, &(), &(), &()).unwrap().place;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_RANGE, range.parse().unwrap());
        let status = StatusCode::from_u16(status).unwrap();
        let before = *progress;
        match progress.take(&place, Reply { status, headers, body: body.into() }) {
            Ok(piece) => Some(piece),
            Err(err) => {
                assert_eq!(err.kind(), ErrorKind::Protocol);
                assert_eq!(*progress, before, "the same piece is asked for again");
                None
            }
        }
    }

    fn all() -> Progress {
        Progress::of(0..u64::MAX)
    }

    #[test]
    fn pieces_follow_each_other_to_the_end() {
        let mut progress = all();
        assert_eq!(progress.wanted().unwrap(), "bytes=0-1048575");
        assert_eq!(take(&mut progress, 206, "bytes 0-2/5", "abc").unwrap(), "abc");
        assert_eq!(progress.wanted().unwrap(), "bytes=3-1048578");
        assert_eq!(take(&mut progress, 206, "bytes 3-4/5", "de").unwrap(), "de");
        assert_eq!(progress.wanted(), None);
    }

    #[test]
    fn who_does_not_know_ranges_sends_everything_at_once() {
        let mut progress = all();
        assert_eq!(take(&mut progress, 200, "", "abcde").unwrap(), "abcde");
        assert_eq!(progress.wanted(), None);
    }

    #[test]
    fn a_range_is_all_that_is_asked_for() {
        let mut progress = Progress::of(2..4);
        assert_eq!(progress.wanted().unwrap(), "bytes=2-3");
        assert_eq!(take(&mut progress, 206, "bytes 2-3/5", "cd").unwrap(), "cd");
        assert_eq!(progress.wanted(), None);

        let mut beyond = Progress::of(4..9);
        assert_eq!(beyond.wanted().unwrap(), "bytes=4-8");
        assert_eq!(take(&mut beyond, 206, "bytes 4-4/5", "e").unwrap(), "e");
        assert_eq!(beyond.wanted(), None);

        assert_eq!(Progress::of(2..2).wanted(), None);
        assert_eq!(Progress::of(3..3 + PIECE + 1).wanted().unwrap(), "bytes=3-1048578");
    }

    #[test]
    fn pieces_that_do_not_fit_are_refused() {
        let begun = || Progress { read: 3, total: Some(5), ..all() };
        for (status, range, body) in [
            (200, "", "abcde"),
            (206, "", "de"),
            (206, "bytes 3-4/*", "de"),
            (206, "bytes 0-1/5", "de"),
            (206, "bytes 3-4/6", "de"),
            (206, "bytes 3-4/5", "d"),
            (206, "bytes 3-5/5", "def"),
            (206, "bytes 4-3/5", ""),
            (204, "", ""),
        ] {
            assert_eq!(take(&mut begun(), status, range, body), None, "{status} {range}");
        }
    }
}
