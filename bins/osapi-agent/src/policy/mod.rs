//! The local policy: what this host performs, whoever orders it. Nothing remote changes it.
//!
//! A [`Policy`] decides, and does nothing else: by its `rule`s, whose texts are `pattern`s. The `file` that it is in has to be root's
//! alone; `keeper` reads it again when it is told to. `advice` says where a policy does not do what somebody may think that it does.

mod advice;
mod file;
mod keeper;
mod pattern;
mod rule;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use osapi_core::executor::process::{Resolved, Rules, RulesInForce, Terms};
use osapi_core::job::{Failure, Operation, Submitter};
use tokio::sync::watch;

pub use file::{DEFAULT_FILE, PolicyError, load};

pub(crate) use advice::{about, about_rule};
pub(crate) use keeper::Keeper;
pub(crate) use rule::{Mismatch, Rule};

/// What is refused by it has this code.
const CODE: &str = "policy";

/// Rules, in order. What none of them allows is refused.
#[derive(Debug)]
pub struct Policy {
    rules: Vec<Rule>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) operation: &'a Operation,
    pub(crate) submitter: &'a Submitter,
    /// What it would be on this host; none while that is not known.
    pub(crate) resolved: Option<&'a Resolved>,
}

/// What one rule says of a request.
pub(crate) type Trial<'a> = (&'a Rule, Result<(), Mismatch>);

impl Policy {
    /// Its rules.
    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What each rule says of `request`, in order.
    pub(crate) fn trials(&self, request: Request<'_>) -> Vec<Trial<'_>> {
        self.rules.iter().map(|rule| (rule, rule.allows(request))).collect()
    }

    /// The first rule that allows `request`.
    ///
    /// # Errors
    /// The refusal, with the name of the rule that came nearest to it, if one is about the very thing.
    pub(crate) fn decide(&self, request: Request<'_>) -> Result<&Rule, Failure> {
        let mut nearest: Option<(&Rule, Mismatch)> = None;
        for (rule, said) in self.trials(request) {
            let Err(mismatch) = said else { return Ok(rule) };
            let is_nearer =
                nearest.as_ref().is_none_or(|(_, known)| mismatch.rank() > known.rank());
            if mismatch.is_about_how() && is_nearer {
                nearest = Some((rule, mismatch));
            }
        }
        let message = match nearest {
            Some((rule, mismatch)) => {
                format!("the local policy refuses it: rule '{}': {mismatch}", rule.name())
            }
            None => "the local policy refuses it: no rule allows it".to_owned(),
        };
        Err(Failure::new(CODE, message))
    }
}

impl Rules for Policy {
    fn admit(
        &self,
        operation: &Operation,
        submitter: &Submitter,
        resolved: Option<&Resolved>,
    ) -> Result<Terms, Failure> {
        self.decide(Request { operation, submitter, resolved }).map(Rule::terms)
    }
}

/// A policy, or none, that stays as it is.
#[must_use]
pub fn for_good(policy: Option<Policy>) -> RulesInForce {
    watch::channel(rules(policy)).1
}

/// The policy as an executor takes it.
fn rules(policy: Option<Policy>) -> Option<Arc<dyn Rules>> {
    policy.map(|policy| Arc::new(policy) as Arc<dyn Rules>)
}
