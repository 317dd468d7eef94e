//! The clean environment of a command. Nothing of the agent's own is inherited.

use std::collections::BTreeMap;

use super::Execution;
use super::account::Account;
use super::procfs::{HOST_VARIABLE, JOB_VARIABLE};

/// Where programs are looked up, unless the request says otherwise.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The whole environment of a command of `account`: the clean one, and over it what the request gives. Whose it is stands above both.
pub(super) fn environment(
    account: &Account,
    execution: &Execution,
    given: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let clean = [
        ("PATH", PATH),
        ("LANG", "C.UTF-8"),
        ("HOME", &account.home),
        ("USER", &account.name),
        ("LOGNAME", &account.name),
    ];
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
    fn the_request_may_set_everything_but_whose_it_is() {
        let job = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        let execution = Execution { job, host: "web-01".parse().unwrap() };
        let (name, home) = ("web".into(), "/var/www".into());
        let account = Account { uid: 33, name, home, credentials: None };
        let given = [("LANG", "C"), ("X", "1"), ("OSAPI_JOB_ID", "mine"), ("OSAPI_HOST", "mine")];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let expected = [
            ("HOME", "/var/www"),
            ("LANG", "C"),
            ("LOGNAME", "web"),
            ("OSAPI_HOST", "web-01"),
            ("OSAPI_JOB_ID", "01890a5d-ac96-774b-bcce-b302099a8057"),
            ("PATH", PATH),
            ("USER", "web"),
            ("X", "1"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(environment(&account, &execution, &given), expected.into());
    }
}
