//! A server in operator mode, and users of it.

use osapi_core::backend::nats::jwt::{
    self, Account, Bounds, Kind, Nkey, Permissions, Streams, User,
};
use osapi_core::backend::nats::{Login, Namespace, names};
use osapi_core::clock::{Clock as _, SystemClock};
use osapi_tests::NatsServer;

/// A server that knows whom its operator's account vouches for.
pub(super) struct OperatorServer {
    pub(super) server: NatsServer,
    signer: Nkey,
    account: String,
}

impl OperatorServer {
    pub(super) fn start() -> Self {
        let now = SystemClock.wall();
        let (operator, signer) = (Nkey::generate(Kind::Operator), Nkey::generate(Kind::Account));
        let ours = Nkey::generate(Kind::Account).public();
        let system = Nkey::generate(Kind::Account).public();
        let document = |name, id: &String, streams| {
            let account = Account { name, id, signer: &signer.public(), streams };
            jwt::account(&operator, &account, now)
        };
        let config = format!(
            "jetstream {{ sync_interval: always }}\noperator: {}\nsystem_account: {system}\nresolver: MEMORY\n\
             resolver_preload: {{\n{ours}: {}\n{system}: {}\n}}\n",
            jwt::operator(&operator, "test", &system, now),
            document("ours", &ours, Streams::Allowed),
            document("system", &system, Streams::Refused),
        );
        Self { server: NatsServer::with(&config), signer, account: ours }
    }

    /// The credentials of a new user who may do this.
    pub(super) fn user(&self, publish: &[&str], subscribe: &[&str]) -> Login {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let permissions = Permissions { publish: owned(publish), subscribe: owned(subscribe) };
        self.credentials(permissions, Bounds::Unlimited)
    }

    /// The credentials of an agent: its two lines and nothing else.
    pub(super) fn agent(&self, name: &str) -> Login {
        let permissions = names::agent_permissions(&Namespace::default(), &name.parse().unwrap());
        self.credentials(permissions, Bounds::Limited)
    }

    /// The credentials of an API server.
    pub(super) fn api_server(&self) -> Login {
        self.credentials(names::server_permissions(&Namespace::default()), Bounds::Unlimited)
    }

    fn credentials(&self, permissions: Permissions, bounds: Bounds) -> Login {
        let key = Nkey::generate(Kind::User);
        let (name, account) = ("a user", &self.account);
        let user = User { name, key: &key.public(), account, permissions, bounds };
        let document = jwt::user(&self.signer, &user, SystemClock.wall());
        Login::Credentials(jwt::credentials(&document, &key))
    }
}
