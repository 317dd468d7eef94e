//! What to do about a problem that the API answered.

use osapi_core::api::{Code, Problem};

/// The next step, where there is one.
pub(crate) fn of(problem: &Problem) -> Option<String> {
    let job = problem.job_id;
    let text = match problem.code {
        Code::TokenMissing => "set OSAPI_TOKEN; 'osapi token generate' makes a token".into(),
        Code::TokenExpired => {
            "make a new token with 'osapi token generate'; the local credential is renewed by 'osapi start'".into()
        }
        Code::TokenMalformed | Code::TokenTooLong => {
            "check OSAPI_TOKEN: it has to be the whole token and nothing else".into()
        }
        Code::TokenUnknownKey | Code::TokenBadSignature | Code::TokenOtherFleet => {
            "the token was made for another fleet: make one in the data directory of this one".into()
        }
        Code::PermissionDenied => permission(problem.missing_permission.as_deref()?),
        Code::HostNotFound | Code::HostAmbiguous | Code::NoMatch | Code::AgentNotFound => {
            "'osapi agent list' shows the known hosts".into()
        }
        Code::NoLiveHost => "'osapi agent list' shows the agents and their states".into(),
        Code::JobNotFound => "'osapi job list' shows the jobs that are kept".into(),
        Code::JobUnfinished => {
            format!("'osapi job get {0} --wait 5m' waits for it, 'osapi job cancel {0}' ends it", job?)
        }
        Code::NothingToRetry => {
            "--include-unknown also takes hosts where it may have succeeded (lost, no_answer), --all every host".into()
        }
        Code::OutcomeUnknown => format!("look for it before you try again: 'osapi job get {}'", job?),
        Code::TooManyJobs => "delete jobs that are no longer needed: 'osapi job delete'".into(),
        Code::StoreRolledBack => {
            "docs/operations.md, \"Restore\", says what that means and what to do".into()
        }
        Code::NotReady => {
            "the server is starting: try again in a moment; 'osapi health ready' says what it waits for".into()
        }
        Code::KeyRingConflict => "keys were changed elsewhere meanwhile: 'osapi key list' shows what is valid now".into(),
        Code::Internal => {
            format!("the server's log says more about request {}", problem.request_id.as_ref()?)
        }
        Code::TokenNotYetValid
        | Code::TokenRevoked
        | Code::NotFound
        | Code::MethodNotAllowed
        | Code::OutputNotFound
        | Code::InvalidParameter
        | Code::InvalidHeader
        | Code::BodyNotJson
        | Code::BodyInvalid
        | Code::InvalidValue
        | Code::BodyTooLarge
        | Code::BodyTimeout
        | Code::UnsupportedMediaType
        | Code::RangeNotSatisfiable
        | Code::OrderTooLarge
        | Code::TooManyHosts
        | Code::IdempotencyConflict
        | Code::IdempotencyExpired
        | Code::IdempotencyDamaged
        | Code::JobKeyNotValid
        | Code::JobSettled
        | Code::KeyRingInvalid
        | Code::JobDamaged
        | Code::BackendUnavailable
        | Code::ShuttingDown
        | Code::Unknown => return None,
    };
    Some(text)
}

fn permission(missing: &str) -> String {
    format!(
        "the token lacks '{missing}': make one that has it with 'osapi token generate -p {missing} -u ..', or with a role that grants it"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_names_what_is_missing_and_how_to_get_it() {
        let problem = Problem {
            missing_permission: Some("command:execute".into()),
            ..Problem::new(Code::PermissionDenied, "no")
        };
        let hint = of(&problem).unwrap();
        assert!(hint.contains("lacks 'command:execute'") && hint.contains("-p command:execute"));
    }

    #[test]
    fn an_unknown_outcome_names_the_job() {
        let job = "01a0c4c0-9c00-7000-8000-000000000001".parse().unwrap();
        let hint = of(&Problem::new(Code::OutcomeUnknown, "?").about(job)).unwrap();
        assert!(hint.contains(&format!("job get {job}")));
    }

    #[test]
    fn what_the_detail_says_in_full_needs_no_hint() {
        assert_eq!(of(&Problem::new(Code::InvalidValue, "timeout must be ..")), None);
    }
}
