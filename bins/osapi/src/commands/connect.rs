//! Which server is asked, and with which token.

use std::env;
use std::ffi::OsString;

use osapi_core::auth::token::AccessToken;
use osapi_service::config;
use osapi_service::credential::{Credential, CredentialError};

use crate::args::Global;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::local::node::local_url;

/// A server, and what to show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// Its base URL.
    pub(crate) url: String,
    /// The token; none if there is none for this server.
    pub(crate) token: Option<AccessToken>,
}

/// The server that the environment names, else the one that `osapi start` left a credential for.
///
/// # Errors
/// When a variable or the credential cannot be used.
pub(crate) fn server(global: &Global) -> Result<Server> {
    let url = variable("OSAPI_URL", env::var_os("OSAPI_URL"))?;
    let token = variable("OSAPI_TOKEN", env::var_os("OSAPI_TOKEN"))?.map(AccessToken::from_text);
    if let (Some(url), Some(token)) = (&url, &token) {
        return Ok(Server { url: url.clone(), token: Some(token.clone()) });
    }
    let configured = || configured_url(global);
    choose(url, token, credential(global)?, configured)
}

/// Where a server with the configuration of this machine listens. An unreadable file counts only if it was named.
fn configured_url(global: &Global) -> Result<String> {
    let address = match super::start::load(global) {
        Ok(loaded) => loaded.config.api.server.address(),
        Err(error) if global.osapi_file.is_some() => return Err(error),
        Err(_) => config::Server::default().address(),
    };
    Ok(local_url(address))
}

fn credential(global: &Global) -> Result<Option<Credential>> {
    let layout = super::layout(global)?;
    Credential::load(&layout).map_err(|error: CredentialError| {
        CliError::because("cannot use the credential that 'osapi start' left", &error)
    })
}

/// The token of a credential goes to the server that it was made for, and to no other.
fn choose(
    url: Option<String>,
    token: Option<AccessToken>,
    credential: Option<Credential>,
    configured: impl FnOnce() -> Result<String>,
) -> Result<Server> {
    let (known_url, known_token) = match credential {
        Some(credential) => (Some(credential.url), Some(credential.token)),
        None => (None, None),
    };
    let is_known = url.is_none() || url == known_url;
    let token = token.or(known_token.filter(|_| is_known));
    let url = url.or(known_url).map_or_else(configured, Ok)?;
    Ok(Server { url, token })
}

/// The value of a variable; an empty one is unset. A value that is no text is not repeated: it may be a token.
fn variable(name: &str, value: Option<OsString>) -> Result<Option<String>> {
    match value.map(OsString::into_string) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Some(Err(_)) => Err(CliError::new(format!("{name} is not text")).exit(Exit::USAGE)),
    }
}

/// The error for a call that needs a token where there is none.
pub(crate) fn no_token(server: &Server) -> CliError {
    if env::var_os("OSAPI_URL").is_some() {
        return CliError::new(format!("there is no token for {}", server.url))
            .hint("set OSAPI_TOKEN; 'osapi token generate' makes a token in the data directory of that server");
    }
    CliError::new("no server is running on this machine, or it runs in another data directory")
        .hint("start one with 'osapi start', or give --data-dir, or set OSAPI_URL and OSAPI_TOKEN, or use 'exec --local'")
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use osapi_core::clock::Timestamp;

    use super::*;

    const LOCAL: &str = "http://127.0.0.1:4711";
    const CONFIGURED: &str = "http://127.0.0.1:8080";

    fn token(text: &str) -> AccessToken {
        AccessToken::from_text(text.into())
    }

    fn chosen(
        url: Option<&str>,
        given: Option<&str>,
        is_running: bool,
    ) -> (String, Option<String>) {
        let credential = is_running.then(|| Credential {
            url: LOCAL.into(),
            token: token("local"),
            expires_at: Timestamp::MAX,
        });
        let configured = || Ok(CONFIGURED.to_owned());
        let server = choose(url.map(Into::into), given.map(token), credential, configured).unwrap();
        (server.url, server.token.map(|token| token.as_str().to_owned()))
    }

    #[test]
    fn without_variables_it_is_the_local_server() {
        assert_eq!(chosen(None, None, true), (LOCAL.into(), Some("local".into())));
        assert_eq!(chosen(None, None, false), (CONFIGURED.into(), None));
    }

    #[test]
    fn a_token_of_the_environment_goes_first() {
        assert_eq!(chosen(None, Some("mine"), true), (LOCAL.into(), Some("mine".into())));
        assert_eq!(chosen(None, Some("mine"), false), (CONFIGURED.into(), Some("mine".into())));
    }

    #[test]
    fn the_local_token_never_goes_to_another_server() {
        let other = "https://osapi.example.com";
        assert_eq!(chosen(Some(other), None, true), (other.into(), None));
        assert_eq!(chosen(Some(LOCAL), None, true), (LOCAL.into(), Some("local".into())));
    }

    #[test]
    fn an_empty_variable_is_unset_and_a_broken_one_is_not_repeated() {
        assert_eq!(variable("OSAPI_URL", Some(" ".into())).unwrap(), None);
        assert_eq!(variable("OSAPI_TOKEN", Some("a\n".into())).unwrap().as_deref(), Some("a"));
        let error = variable("OSAPI_TOKEN", Some(OsString::from_vec(b"secret\xff".into())));
        assert!(!error.unwrap_err().report().contains("secret"));
    }
}
