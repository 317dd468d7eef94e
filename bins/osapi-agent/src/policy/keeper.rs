//! Reads the policy again when it is told to. What cannot be read changes nothing.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use osapi_core::executor::process::{Rules, RulesInForce};
use osapi_service::fault::chain;
use tokio::signal::unix::Signal;
use tokio::sync::watch;

use super::{Policy, PolicyError, about, load, rules};

/// The policy in force, and where it comes from.
#[derive(Debug)]
pub(crate) struct Keeper {
    named: Option<PathBuf>,
    rules: watch::Sender<Option<Arc<dyn Rules>>>,
}

impl Keeper {
    /// The policy in the file that was `named`, or in the usual one if that exists, and the rules in force. Blocks.
    ///
    /// # Errors
    /// When there is a policy that is not taken.
    pub(crate) fn new(named: Option<PathBuf>) -> Result<(Self, RulesInForce), PolicyError> {
        let policy = load(named.as_deref())?;
        match &policy {
            Some(policy) => announce(policy),
            None => tracing::info!("{NONE}"),
        }
        let (rules, in_force) = watch::channel(rules(policy));
        Ok((Self { named, rules }, in_force))
    }

    /// Reads the policy again whenever `asked`.
    pub(crate) async fn follow(self, mut asked: Signal) -> Infallible {
        while asked.recv().await.is_some() {
            let named = self.named.clone();
            match tokio::task::spawn_blocking(move || load(named.as_deref())).await {
                Ok(read) => self.change(read),
                Err(panic) => tracing::error!(error = %panic, "{KEPT}"),
            }
        }
        std::future::pending().await
    }

    /// Takes what was `read`, unless it would be a policy less by mistake.
    fn change(&self, read: Result<Option<Policy>, PolicyError>) {
        match read {
            Ok(Some(policy)) => {
                announce(&policy);
                self.rules.send_replace(rules(Some(policy)));
            }
            Ok(None) if self.rules.borrow().is_some() => {
                tracing::error!("the policy is gone: {KEPT}; without one only after a restart");
            }
            Ok(None) => tracing::info!("{NONE}"),
            Err(error) => tracing::error!(error = chain(&error), "{KEPT}"),
        }
    }
}

/// What is said when the policy cannot be read again.
const KEPT: &str = "what was in force before stays in force";

/// What is said when there is none.
const NONE: &str = "there is no local policy";

fn announce(policy: &Policy) {
    tracing::info!(
        rules = policy.rules().len(),
        "under a local policy: what no rule allows is refused"
    );
    about(policy).iter().for_each(|advice| tracing::warn!("local policy: {advice}"));
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    fn policy(name: &str) -> Policy {
        let text = format!("rules: [{{name: {name}, operations: [facts]}}]");
        file::parse(&text, "policy.yaml".as_ref()).unwrap()
    }

    fn shown(rules: &RulesInForce) -> String {
        format!("{:?}", *rules.borrow())
    }

    #[test]
    fn what_cannot_be_read_or_is_gone_changes_nothing() {
        let (rules, in_force) = watch::channel(None);
        let keeper = Keeper { named: None, rules };
        keeper.change(Ok(None));
        assert!(in_force.borrow().is_none());
        keeper.change(Ok(Some(policy("first"))));
        assert!(shown(&in_force).contains("first"));
        keeper.change(Err(PolicyError::NotAFile("policy.yaml".into())));
        keeper.change(Ok(None));
        assert!(shown(&in_force).contains("first"));
        keeper.change(Ok(Some(policy("second"))));
        assert!(shown(&in_force).contains("second"));
    }
}
