//! The contract as an OpenAPI 3.1 document (<https://spec.openapis.org/oas/v3.1.1>), made from the endpoint table.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::endpoint::{Access, Entry, Media};
use super::header::{
    IDEMPOTENCY_KEY, IDEMPOTENCY_KEY_MAX, PREFER, PROBLEM_JSON, REQUEST_ID, RESPOND_ASYNC,
};
use super::params::Param;
use super::problem::{Code, Problem};

/// The document for the endpoints of `table`. The same table gives the same document.
#[must_use]
pub fn document(table: &[Entry]) -> Value {
    let mut generator = generator();
    generator.subschema_for::<Problem>();
    let mut paths = Map::new();
    for entry in table {
        let path = paths.entry(entry.info.path).or_insert_with(|| json!({}));
        path[entry.info.method.as_str().to_ascii_lowercase()] = operation(entry, &mut generator);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "OSAPI",
            "summary": "Run a command on some Linux hosts, and know for every one of them what happened",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "PASETO v4.public",
                    "description": "An access token, as `osapi token generate` makes it.",
                },
            },
        },
    })
}

fn generator() -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    settings.into_generator()
}

fn operation(entry: &Entry, generator: &mut SchemaGenerator) -> Value {
    let info = &entry.info;
    let mut operation = json!({
        "operationId": info.id,
        "summary": info.summary,
        "parameters": parameters(entry),
        "responses": responses(entry, generator),
        "security": match info.access {
            Access::Open => json!([]),
            Access::Permission(_) | Access::Operation | Access::OwnOr(_) => {
                json!([{ "bearer": [] }])
            }
        },
    });
    if let Some(permission) = permission(&info.access) {
        operation["x-permission"] = permission.into();
    }
    if let Access::OwnOr(_) = info.access {
        let own = "For one's own job the permission of the job's operation is enough.";
        operation["description"] = own.into();
    }
    if let Some(body) = entry.body {
        let schema = body(generator);
        operation["requestBody"] = json!({ "required": true, "content": { (Media::Json.as_str()): { "schema": schema } } });
    }
    operation
}

/// What `x-permission` says: a permission, or `operation` where it is that of the job's own operation.
fn permission(access: &Access) -> Option<String> {
    match access {
        Access::Open => None,
        Access::Permission(permission) | Access::OwnOr(permission) => Some(permission.to_string()),
        Access::Operation => Some("operation".into()),
    }
}

fn parameters(entry: &Entry) -> Vec<Value> {
    let in_path = entry.path.iter().map(|param| parameter(param, "path", true));
    let in_query = entry.query.iter().map(|param| parameter(param, "query", false));
    let mut all: Vec<_> = in_path.chain(in_query).collect();
    if entry.info.creates_job {
        all.push(json!({
            "name": IDEMPOTENCY_KEY,
            "in": "header",
            "description": "makes the request safe to repeat: the same key and request find the same job",
            "schema": { "type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_MAX, "pattern": "^[!-~]+$" },
        }));
        all.push(json!({
            "name": PREFER,
            "in": "header",
            "description": format!("`{RESPOND_ASYNC}` asks for a 202 at once"),
            "schema": { "type": "string" },
        }));
    }
    if entry.info.media == Media::Bytes {
        all.push(json!({
            "name": "range",
            "in": "header",
            "description": "one range of bytes; anything else is ignored",
            "schema": { "type": "string" },
            "example": "bytes=0-1023",
        }));
    }
    all
}

fn parameter(param: &Param, place: &str, required: bool) -> Value {
    let mut schema = json!({ "type": param.kind });
    if !param.values.is_empty() {
        schema["enum"] = json!(param.values);
    }
    json!({
        "name": param.name,
        "in": place,
        "required": required,
        "description": param.about,
        "schema": schema,
    })
}

fn responses(entry: &Entry, generator: &mut SchemaGenerator) -> Map<String, Value> {
    let mut responses = Map::new();
    match (entry.info.media, entry.answer) {
        (Media::Bytes, _) => {
            let content = json!({ (Media::Bytes.as_str()): {} });
            responses.insert("200".into(), response("All bytes.", Some(content.clone()), &[]));
            let ranged = response("The bytes of the range.", Some(content), &["content-range"]);
            responses.insert("206".into(), ranged);
        }
        (Media::OpenMetrics, _) => {
            let content = json!({ (Media::OpenMetrics.as_str()): {} });
            responses.insert("200".into(), response("The figures.", Some(content), &[]));
        }
        (Media::Json, None) => {
            responses.insert("204".into(), response("Done.", None, &[]));
        }
        (Media::Json, Some(answer)) => {
            let content = json!({ (Media::Json.as_str()): { "schema": answer(generator) } });
            if entry.info.creates_job {
                let accepted = "The job is made and not settled yet: it is at `location`.";
                let headers = ["location", "preference-applied"];
                let accepted = response(accepted, Some(content.clone()), &headers);
                responses.insert("202".into(), accepted);
            }
            responses.insert("200".into(), response("The answer.", Some(content), &[]));
        }
    }
    for status in problem_statuses(entry) {
        responses.insert(status.to_string(), problem_response(entry, status));
    }
    responses
}

fn response(description: &str, content: Option<Value>, headers: &[&str]) -> Value {
    let headers: Map<_, _> = headers
        .iter()
        .chain(&[REQUEST_ID])
        .map(|name| ((*name).to_owned(), json!({ "schema": { "type": "string" } })))
        .collect();
    let mut response = json!({ "description": description, "headers": headers });
    if let Some(content) = content {
        response["content"] = content;
    }
    response
}

/// Every code that an endpoint may answer: its own, and those that come with what it takes.
#[must_use]
pub fn problems(entry: &Entry) -> Vec<Code> {
    let info = &entry.info;
    let mut codes = info.problems.to_vec();
    codes.extend([Code::InvalidParameter, Code::BodyInvalid, Code::ShuttingDown, Code::Internal]);
    if info.access != Access::Open {
        codes.extend([
            Code::TokenMissing,
            Code::TokenMalformed,
            Code::TokenTooLong,
            Code::TokenUnknownKey,
            Code::TokenBadSignature,
            Code::TokenExpired,
            Code::TokenNotYetValid,
            Code::TokenOtherFleet,
            Code::TokenRevoked,
            Code::PermissionDenied,
            Code::NotReady,
            Code::BackendUnavailable,
        ]);
    }
    if entry.body.is_some() {
        codes.extend([
            Code::BodyNotJson,
            Code::BodyTooLarge,
            Code::BodyTimeout,
            Code::UnsupportedMediaType,
            Code::InvalidValue,
        ]);
    }
    if info.creates_job {
        codes.push(Code::InvalidHeader);
    }
    let declared = |code: &&Code| codes.contains(code);
    Code::ALL.iter().filter(declared).copied().collect()
}

fn problem_statuses(entry: &Entry) -> Vec<u16> {
    let mut statuses: Vec<_> = problems(entry).into_iter().map(Code::status).collect();
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

fn problem_response(entry: &Entry, status: u16) -> Value {
    let codes: Vec<_> =
        problems(entry).into_iter().filter(|code| code.status() == status).collect();
    let lines: Vec<_> = codes.iter().map(|code| format!("- `{code}`: {}", code.title())).collect();
    let schema = json!({
        "$ref": "#/components/schemas/Problem",
        "properties": { "code": { "enum": codes } },
    });
    let mut response =
        response(&lines.join("\n"), Some(json!({ PROBLEM_JSON: { "schema": schema } })), &[]);
    let extra = match status {
        401 => Some("www-authenticate"),
        416 => Some("content-range"),
        _ => None,
    };
    if let Some(name) = extra {
        response["headers"][name] = json!({ "schema": { "type": "string" } });
    }
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::api::endpoints::table;

    const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    const BLESS: &str = "OSAPI_TEST_BLESS";

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn the_document_in_docs_is_the_one_that_is_served() {
        let text = format!("{:#}\n", document(&table()));
        if std::env::var_os(BLESS).is_some() {
            std::fs::create_dir_all(Path::new(GOLDEN).parent().unwrap()).unwrap();
            std::fs::write(GOLDEN, &text).unwrap();
        }
        let golden = std::fs::read_to_string(GOLDEN).unwrap_or_default();
        assert!(golden == text, "docs/openapi.json is stale: run this test with {BLESS}=1");
    }

    #[test]
    fn every_reference_has_a_definition() {
        let document = document(&table());
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 10, "{found:?}");
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_endpoint_is_an_operation_with_its_security_and_answers() {
        let document = document(&table());
        for entry in table() {
            let method = entry.info.method.as_str().to_ascii_lowercase();
            let operation = &document["paths"][entry.info.path][method];
            assert_eq!(operation["operationId"], entry.info.id);
            let open = entry.info.access == Access::Open;
            assert_eq!(operation["security"].as_array().unwrap().is_empty(), open);
            assert_eq!(operation["responses"].get("401").is_none(), open, "{}", entry.info.id);
            assert_eq!(operation["responses"].get("202").is_some(), entry.info.creates_job);
            assert_eq!(operation.get("requestBody").is_some(), entry.body.is_some());
        }
    }

    #[test]
    fn every_code_that_a_known_path_can_answer_is_documented() {
        let documented: Vec<_> = table().iter().flat_map(problems).collect();
        let elsewhere = [Code::NotFound, Code::MethodNotAllowed];
        for code in Code::ALL {
            assert_eq!(documented.contains(code), !elsewhere.contains(code), "{code}");
        }
    }
}
