//! `token generate` and `token validate`: with the key in the data directory, and no server.

use std::io::Read as _;
use std::time::Duration;

use osapi_core::auth::permission::Permissions;
use osapi_core::auth::role::{RoleName, Roles};
use osapi_core::auth::token::{
    self, AccessToken, Claims, NewToken, NoneRevoked, TEXT_MAX, TokenError, Verifier,
};
use osapi_core::clock::{Clock as _, SystemClock, Timestamp};
use osapi_service::config;
use osapi_service::keystore::{KeyError, TokenKey};
use serde::Serialize;

use crate::args::Global;
use crate::args::token::{GenerateArgs, TokenCommand, ValidateArgs};
use crate::error::{CliError, Result, chain};
use crate::exit::Exit;
use crate::render::{Screen, Side, table, time};

/// Runs one of the commands.
pub(crate) fn run(command: TokenCommand, global: &Global, screen: &mut Screen) -> Result<Exit> {
    let layout = super::layout(global)?;
    let key = TokenKey::open(&layout).map_err(no_key)?;
    let roles = configured_roles(global, screen)?;
    match command {
        TokenCommand::Generate(args) => generate(&args, &key, &roles, screen),
        TokenCommand::Validate(args) => validate(&args, &key, &roles, screen),
    }
}

fn no_key(error: KeyError) -> CliError {
    let told = CliError::because("no key to sign or check tokens with", &error);
    match error {
        KeyError::None(_) => told
            .hint("'osapi start' makes the keys; --data-dir points to those of another directory"),
        _ => told,
    }
}

/// What roles grant here. Servers expand roles by their own configuration, so that an unreadable one is worth a word and no more.
fn configured_roles(global: &Global, screen: &mut Screen) -> Result<Roles> {
    let source = config::Source::new(global.osapi_file.clone(), config::DEFAULT_FILE);
    match config::load(&source, std::env::vars_os(), Permissions::built_in()) {
        Ok(loaded) => Ok(loaded.roles),
        Err(error) if global.osapi_file.is_some() => Err(CliError::lines(&error).exit(Exit::USAGE)),
        Err(error) => {
            let text = format!("note: custom roles are not known here: {}", chain(&error));
            screen.line(Side::Err, &text)?;
            Ok(Roles::default())
        }
    }
}

/// What is printed of a token with `--json`.
#[derive(Serialize)]
struct Document<'a> {
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(flatten)]
    claims: Option<&'a Claims>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grants: Option<Vec<String>>,
}

fn generate(
    args: &GenerateArgs,
    key: &TokenKey,
    roles: &Roles,
    screen: &mut Screen,
) -> Result<Exit> {
    let now = SystemClock.wall();
    let new = NewToken {
        subject: args.user.clone(),
        roles: args.roles.clone(),
        permissions: args.permissions.clone(),
        expires_in: args.expires_in.0,
        now,
    };
    let token = token::issue(&key.key, key.fleet(), new)?;
    let claims = verify(key, token.as_str(), now)
        .map_err(|error| CliError::because("the new token does not verify", &error))?;
    for warning in warnings(&claims, roles) {
        screen.line(Side::Err, &warning)?;
    }
    if args.json {
        let token = Some(token.as_str());
        let grants = Some(grants(&claims, roles));
        screen.json(&Document {
            valid: true,
            token,
            error: None,
            claims: Some(&claims),
            grants,
        })?;
    } else {
        screen.block(Side::Err, &described(&claims, roles, now))?;
        screen.block(Side::Out, &format!("{}\n", token.as_str()))?;
    }
    Ok(Exit::SUCCESS)
}

fn validate(
    args: &ValidateArgs,
    key: &TokenKey,
    roles: &Roles,
    screen: &mut Screen,
) -> Result<Exit> {
    let token = given(&args.token)?;
    let now = SystemClock.wall();
    match verify(key, token.as_str(), now) {
        Ok(claims) if args.json => {
            let grants = Some(grants(&claims, roles));
            let claims = Some(&claims);
            screen.json(&Document { valid: true, token: None, error: None, claims, grants })?;
            Ok(Exit::SUCCESS)
        }
        Ok(claims) => {
            screen.block(Side::Out, &described(&claims, roles, now))?;
            Ok(Exit::SUCCESS)
        }
        Err(error) if args.json => {
            let error = Some(error.to_string());
            screen.json(&Document {
                valid: false,
                token: None,
                error,
                claims: None,
                grants: None,
            })?;
            Ok(Exit::NO)
        }
        Err(error) => Err(CliError::new(error.to_string()).exit(Exit::NO)),
    }
}

fn verify(key: &TokenKey, text: &str, now: Timestamp) -> Result<Claims, TokenError> {
    let keys = key.key.public();
    Verifier { keys: &keys, fleet: key.fleet(), revocations: &NoneRevoked }.verify(text, now)
}

/// The token on the command line, or on standard input for `-`.
fn given(text: &str) -> Result<AccessToken> {
    if text != "-" {
        return Ok(AccessToken::from_text(text.trim().to_owned()));
    }
    let mut text = String::new();
    // One byte more than a token may have, and a line end, so that a longer one is refused and not cut.
    let most = TEXT_MAX as u64 + 3;
    std::io::stdin()
        .lock()
        .take(most)
        .read_to_string(&mut text)
        .map_err(|error| CliError::because("cannot read the token from standard input", &error))?;
    text.truncate(text.trim_end().len());
    Ok(AccessToken::from_text(text))
}

/// What would surprise whoever uses the token.
fn warnings(claims: &Claims, roles: &Roles) -> Vec<String> {
    let unknown = claims.roles.iter().filter(|role| !roles.contains(role));
    let mut warnings: Vec<_> = unknown
        .map(|role| {
            format!("note: role '{role}' is not built in and not in the configuration read here; a server that does not know it grants nothing for it")
        })
        .collect();
    let known = roles.permissions();
    let unknown = claims.permissions.iter().filter(|permission| !known.contains(permission));
    warnings.extend(unknown.map(|permission| {
        format!("note: permission '{permission}' is not built in; only a program that registers it knows it")
    }));
    warnings
}

fn grants(claims: &Claims, roles: &Roles) -> Vec<String> {
    roles.expand(&claims.roles, &claims.permissions).iter().map(ToString::to_string).collect()
}

fn described(claims: &Claims, roles: &Roles, now: Timestamp) -> String {
    let left = claims.exp.since(now);
    // A token that was just made shows its life as it was asked for.
    let left = time::duration(left + Duration::from_millis(500));
    table::pairs([
        ("subject", claims.sub.clone()),
        ("roles", list(claims.roles.iter().map(RoleName::as_str))),
        ("permissions", list(claims.permissions.iter().map(|permission| permission.as_str()))),
        ("grants", list(grants(claims, roles).iter().map(String::as_str))),
        ("issued", time::moment(claims.iat)),
        ("expires", format!("{} (in {left})", time::moment(claims.exp))),
        ("id", claims.jti.to_string()),
        ("fleet", claims.fleet.to_string()),
    ])
}

fn list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.collect();
    if words.is_empty() { "none".into() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use osapi_core::auth::keys::SigningKey;
    use osapi_core::auth::permission::Permission;

    use super::*;
    use crate::args::duration::Life;
    use crate::render::screen::testing::Paper;

    fn key() -> TokenKey {
        TokenKey { key: SigningKey::generate(), root: SigningKey::generate().public() }
    }

    fn generate_args(json: bool) -> GenerateArgs {
        GenerateArgs {
            roles: vec![RoleName::READ],
            user: "user@example.com".into(),
            permissions: vec![Permission::COMMAND_EXECUTE],
            expires_in: Life(Duration::from_secs(90 * 86_400)),
            json,
        }
    }

    fn generated(key: &TokenKey, args: &GenerateArgs) -> (String, String) {
        let paper = Paper::default();
        let roles = Roles::default();
        generate(args, key, &roles, &mut paper.screen(false, false)).unwrap();
        (paper.out_text(), paper.err_text())
    }

    #[test]
    fn the_token_is_alone_on_standard_output() {
        let key = key();
        let (out, err) = generated(&key, &generate_args(false));
        assert_eq!(out.lines().count(), 1);
        let claims = verify(&key, out.trim_end(), SystemClock.wall()).unwrap();
        assert_eq!(claims.sub, "user@example.com");
        assert_eq!(claims.exp.since(claims.iat), Duration::from_secs(90 * 86_400));
        assert!(err.contains("user@example.com") && err.contains("(in 90d 0h)"), "{err}");
        assert!(!err.contains("v4.public"), "{err}");
    }

    #[test]
    fn json_carries_the_token_and_what_it_grants() {
        let (out, _) = generated(&key(), &generate_args(true));
        let document: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(document["sub"], "user@example.com");
        assert!(document["token"].as_str().unwrap().starts_with("v4.public."));
        assert!(document["grants"].as_array().unwrap().contains(&"command:execute".into()));
    }

    #[test]
    fn a_role_that_nobody_knows_is_told() {
        let mut args = generate_args(false);
        args.roles = vec!["opps".parse().unwrap()];
        let (_, err) = generated(&key(), &args);
        assert!(err.contains("role 'opps' is not built in"), "{err}");
    }

    #[test]
    fn a_token_of_another_key_is_not_valid() {
        let (out, _) = generated(&key(), &generate_args(false));
        let token = out.trim_end().to_owned();
        for json in [false, true] {
            let args = ValidateArgs { token: token.clone(), json };
            let paper = Paper::default();
            let answer =
                validate(&args, &key(), &Roles::default(), &mut paper.screen(false, false));
            let code = answer.unwrap_or_else(|error| error.code());
            assert_eq!(code, Exit::NO);
            assert!(!paper.out_text().contains("v4.public"));
        }
    }

    #[test]
    fn a_valid_token_is_described() {
        let key = key();
        let (out, _) = generated(&key, &generate_args(false));
        let args = ValidateArgs { token: format!("{}\n", out.trim_end()), json: false };
        let paper = Paper::default();
        let exit =
            validate(&args, &key, &Roles::default(), &mut paper.screen(false, false)).unwrap();
        assert_eq!(exit, Exit::SUCCESS);
        assert!(paper.out_text().starts_with("subject      user@example.com\n"));
    }
}
