use std::error::Error as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use osapi_core::auth::token::TokenKeys as _;

use nkeys::XKey;
use osapi_core::auth::keys::{KeyRing, KeyUse};
use osapi_core::clock::Timestamp;

use super::*;
use crate::datadir::Layout;

const AT: Timestamp = Timestamp::from_unix_millis(1_800_000_000_000);

struct Place {
    dir: tempfile::TempDir,
    layout: Layout,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::at(dir.path());
    Place { dir, layout }
}

fn setup(root: PublicKey) -> AgentSetup<'static> {
    AgentSetup { root, name: None, hostname: "web-01.example.com" }
}

#[test]
fn keys_are_made_once_and_found_again() {
    let place = place();
    let made = Keys::open_or_create(&place.layout, AT).unwrap();
    let found = Keys::open_or_create(&place.layout, AT).unwrap();
    let publics = |keys: &Keys| [&keys.root, &keys.token, &keys.job].map(SigningKey::public);
    assert_eq!(publics(&made), publics(&found));
    let [root, token, job] = publics(&made);
    assert!(root != token && token != job && job != root);
    assert_eq!(made.fleet(), root.fleet());
}

#[test]
fn every_file_is_private() {
    let place = place();
    let keys = Keys::open_or_create(&place.layout, AT).unwrap();
    AgentKeys::open_or_create(&place.layout, setup(keys.root.public())).unwrap();
    let mut files = 0;
    for dir in [place.layout.keys(), place.layout.agent()] {
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o7777, 0o700);
        for entry in fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().mode() & 0o7777, 0o600, "{:?}", entry.path());
            files += 1;
        }
    }
    assert_eq!(files, 8);
}

#[test]
fn the_first_ring_says_what_each_key_is_for() {
    let keys = Keys::open_or_create(&place().layout, AT).unwrap();
    let ring = KeyRing::open(&keys.ring, &keys.root.public()).unwrap();
    assert_eq!((ring.serial, ring.at, ring.keys.len()), (1, AT, 2));
    assert_eq!(ring.find(&keys.job.id(), KeyUse::Job), Some(&keys.job.public()));
    assert_eq!(ring.token_key(&keys.token.id()), Some(keys.token.public()));
}

#[test]
fn a_ring_that_is_not_there_is_signed_again_and_one_of_another_fleet_is_refused() {
    let (place, other) = (place(), super::tests::place());
    let made = Keys::open_or_create(&place.layout, AT).unwrap();
    let path = place.layout.keys().join("ring");
    fs::remove_file(&path).unwrap();
    let signed = Keys::open_or_create(&place.layout, AT).unwrap();
    let open = |keys: &Keys| KeyRing::open(&keys.ring, &made.root.public()).unwrap();
    assert_eq!(open(&signed), open(&made));
    assert_eq!(Keys::open_or_create(&place.layout, AT).unwrap().ring, signed.ring);

    let foreign = Keys::open_or_create(&other.layout, AT).unwrap();
    fs::write(&path, foreign.ring.as_str()).unwrap();
    let error = Keys::open_or_create(&place.layout, AT).unwrap_err();
    let text = format!("'{}' is not a key ring of this fleet", path.display());
    assert_eq!(error.to_string(), text);
}

#[test]
fn an_api_server_has_what_it_needs_and_no_secret_of_the_fleet() {
    let (place, server) = (place(), super::tests::place());
    let dir = server.layout.keys();
    assert!(matches!(ServerKeys::open(&dir), Err(KeyError::None(at)) if at == dir));
    let keys = Keys::open_or_create(&place.layout, AT).unwrap();
    private_file::create_dir(&dir, &keys.for_server()).unwrap();
    let found = ServerKeys::open(&dir).unwrap();
    assert_eq!((found.job.public(), found.root), (keys.job.public(), keys.root.public()));
    assert_eq!(found.ring, keys.ring);
    assert!(!ServerKeys::has_root_secret(&dir).unwrap());
    assert!(ServerKeys::has_root_secret(&place.layout.keys()).unwrap());
    for entry in fs::read_dir(&dir).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for secret in [&keys.root, &keys.token] {
            assert!(!text.contains(secret.to_paserk().as_str()));
        }
    }
    for name in ["job.key", "root.pub", "ring"] {
        let path = dir.join(name);
        let text = fs::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(matches!(ServerKeys::open(&dir), Err(KeyError::Missing(at)) if at == path));
        private_file::replace(&path, &text).unwrap();
    }
    ServerKeys::open(&dir).unwrap();
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let place = place();
    Keys::open_or_create(&place.layout, AT).unwrap();
    let job = place.layout.keys().join("job.key");
    fs::set_permissions(&job, fs::Permissions::from_mode(0o640)).unwrap();
    let error = Keys::open_or_create(&place.layout, AT).unwrap_err();
    let path = job.display();
    let text = format!("'{path}' is open to others (mode 0640): run chmod 600 '{path}'");
    assert_eq!(error.to_string(), text);
    TokenKey::open(&place.layout).expect("it does not read the job key");
}

#[test]
fn a_missing_or_damaged_key_is_never_replaced() {
    for name in ["root.key", "token.key", "job.key", "root.pub"] {
        let place = place();
        Keys::open_or_create(&place.layout, AT).unwrap();
        let path = place.layout.keys().join(name);
        fs::write(&path, "k4.secret.x\n").unwrap();
        let error = Keys::open_or_create(&place.layout, AT).unwrap_err();
        let said = match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        let expected = if name == "root.pub" {
            "is not a public key file: it must hold a PASERK k4.public key"
        } else {
            "is not a key file: must be a PASERK k4.secret key"
        };
        assert_eq!(said, format!("'{}' {expected}", path.display()));

        fs::remove_file(&path).unwrap();
        let error = Keys::open_or_create(&place.layout, AT).unwrap_err();
        let text = format!("'{}' is missing: restore it from a backup", path.display());
        assert_eq!(error.to_string(), text);
        assert!(!path.exists());
    }
}

#[test]
fn the_halves_of_the_root_key_belong_together() {
    let place = place();
    Keys::open_or_create(&place.layout, AT).unwrap();
    let path = place.layout.keys().join("root.pub");
    fs::write(&path, SigningKey::generate().public().to_string()).unwrap();
    assert!(
        matches!(Keys::open_or_create(&place.layout, AT), Err(KeyError::OtherHalf(at)) if at == path)
    );
}

#[test]
fn issuing_tokens_takes_no_root_secret() {
    let place = place();
    assert!(matches!(TokenKey::open(&place.layout), Err(KeyError::None(_))));
    let keys = Keys::open_or_create(&place.layout, AT).unwrap();
    fs::remove_file(place.layout.keys().join("root.key")).unwrap();
    fs::remove_file(place.layout.keys().join("job.key")).unwrap();
    let token = TokenKey::open(&place.layout).unwrap();
    assert_eq!((token.key.public(), token.fleet()), (keys.token.public(), keys.fleet()));
}

#[test]
fn an_agent_is_made_once_and_keeps_its_name() {
    let place = place();
    let root = SigningKey::generate().public();
    let made = AgentKeys::open_or_create(&place.layout, setup(root)).unwrap();
    assert_eq!(made.identity, AgentIdentity { name: "web-01".parse().unwrap(), root });
    let renamed = AgentSetup { hostname: "db-01", ..setup(root) };
    let found = AgentKeys::open_or_create(&place.layout, renamed).unwrap();
    assert_eq!((found.key.public(), found.identity), (made.key.public(), made.identity));
}

#[test]
fn an_agent_keeps_its_sealing_key() {
    let place = place();
    let setup = setup(SigningKey::generate().public());
    let made = AgentKeys::open_or_create(&place.layout, setup).unwrap();
    let found = AgentKeys::open_or_create(&place.layout, setup).unwrap();
    assert_eq!(found.sealing, made.sealing);

    let path = place.layout.agent().join("sealing.key");
    let seed = fs::read_to_string(&path).unwrap();
    let pair = XKey::from_seed(seed.trim_ascii_end()).unwrap();
    assert_eq!(pair.public_key(), made.sealing.to_string());
    let stranger = XKey::new();
    let sealed =
        stranger.seal(b"secret", &XKey::from_public_key(&made.sealing.to_string()).unwrap());
    assert_eq!(pair.open(&sealed.unwrap(), &stranger).unwrap(), b"secret");
}

#[test]
fn an_agent_without_a_sealing_key_gets_one_and_a_damaged_one_is_never_replaced() {
    let place = place();
    let setup = setup(SigningKey::generate().public());
    let made = AgentKeys::open_or_create(&place.layout, setup).unwrap();
    let path = place.layout.agent().join("sealing.key");
    fs::remove_file(&path).unwrap();
    let again = AgentKeys::open_or_create(&place.layout, setup).unwrap();
    assert_ne!(again.sealing, made.sealing);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    let kept = AgentKeys::open_or_create(&place.layout, setup).unwrap();
    assert_eq!(kept.sealing, again.sealing);

    fs::write(&path, "SXnothing\n").unwrap();
    let error = AgentKeys::open_or_create(&place.layout, setup).unwrap_err();
    let text = format!(
        "'{}' is not a sealing key file: it must hold the seed of an nkey, which begins with SX",
        path.display()
    );
    assert_eq!(error.to_string(), text);
    assert_eq!(fs::read_to_string(&path).unwrap(), "SXnothing\n");
}

#[test]
fn an_agent_takes_the_configured_name() {
    let (place, name) = (place(), "build-7".parse().unwrap());
    let named = AgentSetup { name: Some(&name), ..setup(SigningKey::generate().public()) };
    let agent = AgentKeys::open_or_create(&place.layout, named).unwrap();
    assert_eq!(agent.identity.name, name);
    AgentKeys::open_or_create(&place.layout, named).unwrap();
}

#[test]
fn an_agent_of_another_name_or_fleet_is_refused() {
    let place = place();
    let root = SigningKey::generate().public();
    AgentKeys::open_or_create(&place.layout, setup(root)).unwrap();
    let dir = place.dir.path().join("agent");

    let name = "db-01".parse().unwrap();
    let error =
        AgentKeys::open_or_create(&place.layout, AgentSetup { name: Some(&name), ..setup(root) });
    let text = format!(
        "the agent in '{}' is named 'web-01', not 'db-01': its name is fixed when it is made",
        dir.display()
    );
    assert_eq!(error.unwrap_err().to_string(), text);

    let other = SigningKey::generate().public();
    let error = AgentKeys::open_or_create(&place.layout, setup(other)).unwrap_err();
    assert!(matches!(error, KeyError::OtherFleet { root: at, .. } if at == root));
}

#[test]
fn an_agent_is_made_with_all_that_belongs_to_it_and_never_over_another() {
    let place = place();
    let identity = |name: &str, root| AgentIdentity { name: name.parse().unwrap(), root };
    let root = SigningKey::generate().public();
    let missing = AgentKeys::open(&place.layout).unwrap_err();
    assert_eq!(
        missing.to_string(),
        format!("there is no agent in '{}'", place.dir.path().display())
    );
    let more = vec![("more", Zeroizing::new("text".to_owned()))];
    let made = AgentKeys::create(&place.layout, identity("web-01", root), more).unwrap();
    assert_eq!(fs::read_to_string(place.layout.agent().join("more")).unwrap(), "text\n");
    let found = AgentKeys::open(&place.layout).unwrap();
    assert_eq!((found.key.public(), found.sealing), (made.key.public(), made.sealing));
    for (root, words) in [(root, "already: 'web-01'"), (found.key.public(), "of another fleet")] {
        let error = AgentKeys::create(&place.layout, identity("web-02", root), Vec::new());
        let error = error.unwrap_err().to_string();
        assert!(error.ends_with(words), "{error}");
    }
    assert_eq!(AgentKeys::open(&place.layout).unwrap().identity, made.identity);
}

#[test]
fn a_damaged_identity_is_refused() {
    let place = place();
    let root = SigningKey::generate().public();
    AgentKeys::open_or_create(&place.layout, setup(root)).unwrap();
    let path = place.layout.agent().join("identity.json");
    fs::write(&path, "{").unwrap();
    let error = AgentKeys::open_or_create(&place.layout, setup(root)).unwrap_err();
    assert_eq!(error.to_string(), format!("'{}' is damaged", path.display()));
}

#[test]
fn a_key_is_followed_by_the_one_beside_it_and_steps_can_be_done_again() {
    let place = place();
    let made = Keys::open_or_create(&place.layout, AT).unwrap();
    let mut root = RootKey::open(&place.layout).unwrap();
    let next = root.successor(KeyUse::Job).unwrap();
    assert_eq!(root.successor(KeyUse::Job).unwrap().id(), next.id(), "it is made once");
    assert_eq!(root.present(KeyUse::Job).unwrap().id(), made.job.id());
    let published = made.ring.clone();
    let mut keys = root.latest(&published).unwrap().keys;
    keys.push(osapi_core::auth::keys::RingKey { key: next.public(), usage: KeyUse::Job });
    root.issue(2, AT, keys).unwrap();
    drop(root);
    // What could not be published is not forgotten.
    let root = RootKey::open(&place.layout).unwrap();
    assert_eq!(root.latest(&published).unwrap().serial, 2);
    root.succeed(KeyUse::Job).unwrap();
    assert_eq!(Keys::job_key(&place.layout).unwrap().id(), next.id());
    assert_ne!(root.successor(KeyUse::Job).unwrap().id(), next.id());
    drop(root);
    let again = Keys::open_or_create(&place.layout, AT).unwrap();
    assert_eq!(KeyRing::open(&again.ring, &again.root.public()).unwrap().serial, 2);
}

#[test]
fn an_unknown_successor_takes_the_place_of_one_that_may_be_known() {
    let place = place();
    Keys::open_or_create(&place.layout, AT).unwrap();
    let root = RootKey::open(&place.layout).unwrap();
    let left = root.successor(KeyUse::Job).unwrap();
    let unknown = root.unknown_successor(KeyUse::Job).unwrap();
    assert_ne!(unknown.id(), left.id());
    assert_ne!(root.unknown_successor(KeyUse::Job).unwrap().id(), unknown.id());
    root.succeed(KeyUse::Job).unwrap();
    assert_ne!(Keys::job_key(&place.layout).unwrap().id(), left.id());
}

#[test]
fn keys_are_changed_by_one_at_a_time_and_for_their_own_fleet() {
    let (place, elsewhere) = (place(), place());
    Keys::open_or_create(&place.layout, AT).unwrap();
    let foreign = Keys::open_or_create(&elsewhere.layout, AT).unwrap();
    let root = RootKey::open(&place.layout).unwrap();
    assert!(matches!(RootKey::open(&place.layout), Err(KeyError::Busy(_))));
    assert!(matches!(root.latest(&foreign.ring), Err(KeyError::OtherRing(_))));
    drop(root);
    RootKey::open(&place.layout).unwrap();
}
