//! The clean environment of a command. Nothing of the agent's own is inherited.

use std::collections::BTreeMap;
use std::fs;

use super::Execution;
use super::procfs::{HOST_VARIABLE, JOB_VARIABLE};

/// Where programs are looked up, unless the request says otherwise.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The user as whom commands run: the agent's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    name: String,
    home: String,
}

impl User {
    /// The effective user of this process, by /etc/passwd (passwd(5)). One that is not in it goes by number and lives in `/`.
    pub(super) fn current() -> Self {
        let passwd = fs::read(PASSWD).unwrap_or_default();
        Self::of(rustix::process::geteuid().as_raw(), &String::from_utf8_lossy(&passwd))
    }

    fn of(uid: u32, passwd: &str) -> Self {
        let entry = passwd.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let is_it = fields.get(2)?.parse() == Ok(uid);
            is_it.then_some((*fields.first()?, *fields.get(5)?))
        });
        let number = uid.to_string();
        let (name, home) = match (entry, uid) {
            (Some(entry), _) => entry,
            (None, 0) => ("root", "/root"),
            (None, _) => (number.as_str(), "/"),
        };
        Self { name: name.to_owned(), home: home.to_owned() }
    }
}

const PASSWD: &str = "/etc/passwd";

/// The whole environment of a command: the clean one, and over it what the request gives. Whose it is stands above both.
pub(super) fn environment(
    user: &User,
    execution: &Execution,
    given: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let clean = [("PATH", PATH), ("LANG", "C.UTF-8"), ("HOME", &user.home), ("USER", &user.name)];
    let mut variables: BTreeMap<String, String> =
        clean.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    variables.extend(given.clone());
    variables.insert(JOB_VARIABLE.to_owned(), execution.job.to_string());
    variables.insert(HOST_VARIABLE.to_owned(), execution.host.to_string());
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_found_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:33:web:/var/www:/bin/false\n";
        let user = |name: &str, home: &str| User { name: name.into(), home: home.into() };
        assert_eq!(User::of(33, passwd), user("web", "/var/www"));
        assert_eq!(User::of(4711, passwd), user("4711", "/"));
        assert_eq!(User::of(0, ""), user("root", "/root"));
    }

    #[test]
    fn the_request_may_set_everything_but_whose_it_is() {
        let job = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        let execution = Execution { job, host: "web-01".parse().unwrap() };
        let user = User { name: "web".into(), home: "/var/www".into() };
        let given = [("LANG", "C"), ("X", "1"), ("OSAPI_JOB_ID", "mine"), ("OSAPI_HOST", "mine")];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let expected = [
            ("HOME", "/var/www"),
            ("LANG", "C"),
            ("OSAPI_HOST", "web-01"),
            ("OSAPI_JOB_ID", "01890a5d-ac96-774b-bcce-b302099a8057"),
            ("PATH", PATH),
            ("USER", "web"),
            ("X", "1"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(environment(&user, &execution, &given), expected.into());
    }
}
