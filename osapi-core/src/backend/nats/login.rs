//! Who connects, checked once and shown to the server at each connect.

use async_nats::{Auth, AuthError};
use nkeys::{KeyPair, KeyPairType};
use zeroize::Zeroizing;

use super::options::Login;

/// Why a login cannot be used. No secret is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidLogin {
    /// A credentials file without its first part.
    #[error("the credentials hold no user JWT: give the text of a .creds file as it was made")]
    NoJwt,
    /// A credentials file without its second part.
    #[error("the credentials hold no seed: give the text of a .creds file as it was made")]
    NoSeed,
    /// A seed with a wrong checksum, or of another kind of key.
    #[error("the seed is not that of a user's key: it begins with SU")]
    NotAUser,
    /// An empty user or password.
    #[error("user and password must not be empty")]
    Empty,
}

/// A login that can be used.
pub(super) enum Proof {
    None,
    Key { jwt: Option<Zeroizing<String>>, key: Box<KeyPair> },
    Password { user: String, password: Zeroizing<String> },
}

impl Proof {
    /// Checks a login.
    pub(super) fn of(login: &Login) -> Result<Self, InvalidLogin> {
        match login {
            Login::None => Ok(Self::None),
            Login::Credentials(text) => {
                let jwt = section(text, "USER JWT").ok_or(InvalidLogin::NoJwt)?;
                let seed = section(text, "USER NKEY SEED").ok_or(InvalidLogin::NoSeed)?;
                Ok(Self::Key { jwt: Some(Zeroizing::new(jwt.to_owned())), key: user_key(seed)? })
            }
            Login::Nkey(seed) => Ok(Self::Key { jwt: None, key: user_key(seed.trim())? }),
            Login::Password { user, password } if user.is_empty() || password.is_empty() => {
                Err(InvalidLogin::Empty)
            }
            Login::Password { user, password } => {
                Ok(Self::Password { user: user.clone(), password: password.clone() })
            }
        }
    }

    /// What is sent to a server that asks by `nonce`.
    pub(super) fn answer(&self, nonce: &[u8]) -> Result<Auth, AuthError> {
        let mut auth = Auth::new();
        match self {
            Self::None => {}
            Self::Key { jwt, key } => {
                auth.signature = Some(key.sign(nonce).map_err(AuthError::new)?);
                match jwt {
                    Some(jwt) => auth.jwt = Some(jwt.as_str().to_owned()),
                    None => auth.nkey = Some(key.public_key()),
                }
            }
            Self::Password { user, password } => {
                auth.username = Some(user.clone());
                auth.password = Some(password.as_str().to_owned());
            }
        }
        Ok(auth)
    }
}

fn user_key(seed: &str) -> Result<Box<KeyPair>, InvalidLogin> {
    let key = KeyPair::from_seed(seed).map_err(|_| InvalidLogin::NotAUser)?;
    match key.key_pair_type() {
        KeyPairType::User => Ok(Box::new(key)),
        _ => Err(InvalidLogin::NotAUser),
    }
}

/// The line after `-----BEGIN NATS <name>-----` or `-----BEGIN <name>-----`.
fn section<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let is_begin =
        |line: &&str| line.starts_with("---") && line.contains("BEGIN") && line.contains(name);
    let mut lines = text.lines().map(str::trim).skip_while(|line| !is_begin(line)).skip(1);
    lines.find(|line| !line.is_empty()).filter(|line| !line.starts_with("---"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(jwt: &str, seed: &str) -> Login {
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             ************************* IMPORTANT *************************\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        Login::Credentials(Zeroizing::new(text))
    }

    #[test]
    fn credentials_answer_with_their_jwt_and_a_signature() {
        let key = KeyPair::new_user();
        let proof = Proof::of(&credentials("eyJ0.eyJq.c2ln", &key.seed().unwrap())).unwrap();
        let auth = proof.answer(b"nonce").unwrap();
        assert_eq!((auth.jwt.as_deref(), auth.nkey), (Some("eyJ0.eyJq.c2ln"), None));
        key.verify(b"nonce", &auth.signature.unwrap()).unwrap();
    }

    #[test]
    fn a_seed_answers_with_its_public_key() {
        let key = KeyPair::new_user();
        let seed = format!("{}\n", key.seed().unwrap());
        let auth = Proof::of(&Login::Nkey(seed.into())).unwrap().answer(b"nonce").unwrap();
        assert_eq!((auth.jwt, auth.nkey), (None, Some(key.public_key())));
    }

    #[test]
    fn what_cannot_be_used_is_told_without_its_secret() {
        let account = KeyPair::new_account().seed().unwrap();
        let password =
            Login::Password { user: "ann".into(), password: Zeroizing::new(String::new()) };
        for (login, expected) in [
            (Login::Credentials(Zeroizing::new("hello".into())), InvalidLogin::NoJwt),
            (credentials("", &account), InvalidLogin::NoJwt),
            (credentials("eyJ0.eyJq.c2ln", ""), InvalidLogin::NoSeed),
            (credentials("eyJ0.eyJq.c2ln", &account), InvalidLogin::NotAUser),
            (Login::Nkey(account.clone().into()), InvalidLogin::NotAUser),
            (Login::Nkey(Zeroizing::new("SUAAA".into())), InvalidLogin::NotAUser),
            (password, InvalidLogin::Empty),
        ] {
            let error = Proof::of(&login).err().unwrap();
            assert_eq!(error, expected);
            assert!(!format!("{error:?} {error} {login:?}").contains(&account));
        }
    }
}
