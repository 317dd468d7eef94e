//! Step 6: the body, read within its bounds and parsed strictly.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap};
use http_body::Body as HttpBody;
use http_body_util::BodyExt as _;
use osapi_core::api::{Code, Problem};
use serde::de::DeserializeOwned;

use crate::failure::{Failure, chain};
use crate::limits::Limits;

/// Longest text of a parse error that is repeated to the client, in characters: it may quote the body.
const DETAIL_MAX: usize = 300;

/// Reads all of `body`.
///
/// # Errors
/// When it is too large, too slow, or breaks off.
pub(crate) async fn read<B>(body: B, limits: &Limits) -> Result<Bytes, Failure>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let max = limits.body_bytes;
    if body.size_hint().lower() > u64::try_from(max).unwrap_or(u64::MAX) {
        return Err(too_large(max)); // it says so itself: nothing needs to be read
    }
    let deadline = limits.body_time;
    tokio::time::timeout(deadline, collect(body, max)).await.unwrap_or_else(|_| {
        let detail =
            format!("the body must be there {} s after the header", deadline.as_secs_f32());
        Err(Failure::new(Code::BodyTimeout, detail))
    })
}

/// Makes sure that there is no body.
///
/// # Errors
/// When there is one, or it stays open whether there is.
pub(crate) async fn none<B>(body: B, limits: &Limits) -> Result<(), Failure>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let nothing = Limits { body_bytes: 0, ..*limits };
    read(body, &nothing).await.map(|_| ()).map_err(|failure| match failure.problem().code {
        Code::BodyTooLarge => Failure::new(Code::BodyInvalid, "this endpoint takes no body"),
        _ => failure,
    })
}

async fn collect<B>(mut body: B, max: usize) -> Result<Bytes, Failure>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|err| {
            Failure::new(Code::BodyNotJson, "the body did not arrive whole").because(err)
        })?;
        let Ok(data) = frame.into_data() else { continue }; // trailers mean nothing here
        if all.len() + data.len() > max {
            return Err(too_large(max));
        }
        all.extend_from_slice(&data);
    }
    Ok(all.freeze())
}

fn too_large(max: usize) -> Failure {
    Failure::new(Code::BodyTooLarge, format!("the body must have at most {max} bytes"))
}

/// Checks that the header names JSON. Parameters such as a charset are ignored: JSON is UTF-8 (RFC 8259 §8.1).
pub(crate) fn check_type(headers: &HeaderMap) -> Result<(), Failure> {
    let given = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("unreadable"));
    let essence = given.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let found = given.map_or("absent".to_owned(), |text| format!("'{}'", cut(text)));
    let detail = format!("content-type must be application/json, and is {found}");
    Err(Failure::new(Code::UnsupportedMediaType, detail))
}

/// The value in `bytes`: one JSON object and nothing after it. An error names the field.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|err| {
        let path = err.path().to_string();
        malformed(err.inner(), Some(path).filter(|path| path != "."))
    })?;
    json.end().map_err(|err| malformed(&err, None))?;
    // serde also takes the fields of a struct from an array, in their order: nobody means that.
    if bytes.trim_ascii_start().starts_with(b"{") {
        Ok(value)
    } else {
        Err(Failure::new(Code::BodyInvalid, "the body must be a JSON object"))
    }
}

fn malformed(error: &serde_json::Error, path: Option<String>) -> Failure {
    let detail = cut(&chain(error));
    match error.classify() {
        serde_json::error::Category::Data => {
            let field = path.or_else(|| absent_or_twice(&detail).map(str::to_owned));
            Problem { field, ..Problem::new(Code::BodyInvalid, detail) }.into()
        }
        serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof
        | serde_json::error::Category::Io => Failure::new(Code::BodyNotJson, detail),
    }
}

/// The field that is absent or given twice: serde names it in its text and leaves it out of the path.
fn absent_or_twice(detail: &str) -> Option<&str> {
    let rest =
        detail.strip_prefix("missing field `").or(detail.strip_prefix("duplicate field `"))?;
    rest.split_once('`').map(|(field, _)| field)
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(DETAIL_MAX) {
        Some((at, _)) => format!("{}..", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use osapi_core::job::Exec;

    use super::*;

    fn refused(text: &str) -> Problem {
        parse::<Exec>(text.as_bytes()).unwrap_err().problem().clone()
    }

    #[test]
    fn a_body_is_one_json_document() {
        for text in ["", "{", "nonsense", r#"{"command":"ls"} x"#, r#"{"command":"ls"}{}"#] {
            assert_eq!(refused(text).code, Code::BodyNotJson, "{text}");
        }
        assert!(refused("{\n  x").detail.contains("line 2"));
        assert!(parse::<Exec>(b"\xff\xfe").is_err());
        assert_eq!(parse::<Exec>(b" {\"command\":\"ls\"}\n").unwrap(), Exec::new("ls"));
    }

    #[test]
    fn another_shape_names_the_field() {
        for (text, field, part) in [
            (r#"{"command":7}"#, "command", "invalid type: integer `7`, expected a string"),
            (r#"{"command":"ls","args":["a",1]}"#, "args[1]", "expected a string"),
            (r#"{"command":"ls","env":{"A":1}}"#, "env.A", "expected a string"),
            (r#"{"command":"ls","timeout":"abc"}"#, "timeout", "expected u32"),
            (r#"{"command":"ls","timeout":-1}"#, "timeout", "expected u32"),
            (
                r#"{"command":"ls","arg":[]}"#,
                "arg",
                "unknown field `arg`, expected one of `command`",
            ),
            (r#"{"command":"ls","command":"rm"}"#, "command", "duplicate field `command`"),
            (r#"{}"#, "command", "missing field `command`"),
            (r#"{"command":"ls","env":{"A":"1","A":"2"}}"#, "env", "duplicate key `A`"),
            (r#"{"command":"ls","limits":{"pids":1,"pids":2}}"#, "limits", "duplicate key `pids`"),
        ] {
            let problem = refused(text);
            assert_eq!(problem.code, Code::BodyInvalid, "{text}");
            assert!(problem.detail.contains(part), "{}", problem.detail);
            assert_eq!(problem.field.as_deref(), Some(field), "{text}");
        }
        for text in ["7", "null", "[]", r#"["ls"]"#, r#"["ls",[],null,{},30]"#] {
            assert_eq!(refused(text).code, Code::BodyInvalid, "{text}");
        }
    }

    #[test]
    fn an_error_does_not_repeat_a_whole_body() {
        let text = format!(r#"{{"command":"ls","timeout":"{}"}}"#, "é".repeat(100_000));
        assert!(refused(&text).detail.chars().count() <= DETAIL_MAX + 2);
    }

    #[test]
    fn only_json_is_taken() {
        let with = |value: Option<&str>| {
            let headers = value.map(|value| (CONTENT_TYPE, value.parse().unwrap()));
            check_type(&headers.into_iter().collect())
        };
        assert!(with(Some("application/json")).is_ok());
        assert!(with(Some("Application/JSON ; charset=utf-8")).is_ok());
        for other in [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("")]
        {
            let failure = with(other).unwrap_err();
            assert_eq!(failure.problem().code, Code::UnsupportedMediaType, "{other:?}");
        }
    }
}
