//! The SDK's client as a person at a terminal wants it, and its errors as they are told.

use std::time::Duration;

use osapi_client::{Client, Error, ErrorKind};

use super::connect::{self, Server};
use super::hint;
use crate::args::Global;
use crate::error::{CliError, Result};
use crate::exit::Exit;

/// How long a request is repeated: long enough for a server that is starting, short enough for who waits for the word that there is
/// none.
const RETRY_FOR: Duration = Duration::from_secs(2);

/// A client of the server that is meant, for calls that need a token.
///
/// # Errors
/// When there is no token for it, or the URL or the token cannot be used.
pub(crate) fn with_token(global: &Global) -> Result<Client> {
    let server = connect::server(global)?;
    if server.token.is_none() {
        return Err(connect::no_token(&server));
    }
    of(&server)
}

/// A client of the server that is meant, for calls that anybody may make.
///
/// # Errors
/// When the URL cannot be used.
pub(crate) fn without_token(global: &Global) -> Result<(Client, String)> {
    let server = connect::server(global)?;
    Ok((of(&server)?, server.url))
}

/// A client of `server`.
///
/// # Errors
/// When its URL or token cannot be used.
pub(crate) fn of(server: &Server) -> Result<Client> {
    let builder = Client::builder(&server.url).retry_for(RETRY_FOR);
    let builder = match &server.token {
        Some(token) => builder.token(token.as_str()),
        None => builder,
    };
    builder.build().map_err(|error| match error.kind() {
        ErrorKind::InvalidRequest => CliError::because("cannot ask a server", &error)
            .exit(Exit::USAGE)
            .hint("check OSAPI_URL and OSAPI_TOKEN"),
        _ => CliError::because("cannot ask a server", &error),
    })
}

/// What went wrong with a call, and what to do about it.
impl From<Error> for CliError {
    fn from(error: Error) -> Self {
        let told = Self::new(crate::error::chain(&error));
        match error.problem().and_then(hint::of).or_else(|| hint_of(&error)) {
            Some(hint) => told.hint(hint),
            None => told,
        }
    }
}

fn hint_of(error: &Error) -> Option<String> {
    match (error.kind(), error.job_id()) {
        (_, Some(job)) => Some(format!("'osapi job get {job}' shows what became of it")),
        (ErrorKind::Connect, None) => {
            Some("is the server running? 'osapi start' runs one on this machine".into())
        }
        (ErrorKind::OutcomeUnknown, None) => {
            Some("look before you try again: 'osapi job list' shows the newest jobs".into())
        }
        (_, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_is_not_there_is_told_with_what_to_do() {
        // A port that was free a moment ago, and that nobody listens on.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let client = Client::builder(format!("http://{free}")).retry_for(Duration::ZERO).build();
        let error = CliError::from(client.unwrap().health().await.unwrap_err());
        let report = error.report();
        assert!(report.contains(&free.to_string()), "{report}");
        assert!(report.contains("hint: is the server running? 'osapi start'"), "{report}");
        assert_eq!(error.code(), Exit::OSAPI);
    }

    #[test]
    fn a_url_that_is_none_is_a_mistake_of_usage() {
        let server = Server { url: "nowhere".into(), token: None };
        assert_eq!(of(&server).unwrap_err().code(), Exit::USAGE);
    }
}
