//! What acts on leases fix when they are planned: all that applying them needs.

use sen_model::error::Result;
use sen_model::plan::{FollowUp, Input, Step};
use sen_model::prepared::Action;
use sen_model::saved::{optional_big, optional_micros};
use sen_model::subject::{Kind, Subject};
use sen_model::time::Timestamp;
use sen_model::value::Value;
use serde::{Deserialize, Serialize};

use crate::port::Verb;
use crate::record::NAME;

/// One guarded change of one lease.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeaseStep {
    /// The change. The stored status that it requires is part of it.
    pub verb: Verb,
    /// The token as seen; `None`: the one that the take-over before it draws.
    #[serde(rename = "fencing_token", with = "optional_big")]
    pub token: Option<i64>,
    /// When the row was last changed, as seen: a take-over is guarded by it, too.
    #[serde(with = "optional_micros")]
    pub updated: Option<Timestamp>,
    /// What the operator must know before consenting.
    pub warnings: Vec<String>,
}

impl LeaseStep {
    /// A change of a lease with this token.
    pub const fn new(verb: Verb, token: Option<i64>) -> Self {
        Self { verb, token, updated: None, warnings: Vec::new() }
    }

    /// The same with what the operator must know.
    #[must_use]
    pub fn warning(mut self, warning: impl Into<String>) -> Self {
        self.warnings.push(warning.into());
        self
    }

    /// For people.
    fn shown(&self, key: &str) -> Step {
        let mut step = Step::new(Subject::new(NAME, Kind::Lease, key), self.verb.name());
        step.follow_up = match self.verb {
            Verb::TakeOver { .. } => FollowUp::Settle,
            Verb::Complete(_) | Verb::Reset => FollowUp::CheckRelated,
            Verb::Release | Verb::Forget => FollowUp::Nothing,
        };
        step.guard.push(("status", Value::Name(self.verb.required())));
        step.guard.push(("fencing_token", self.token.map_or(Value::Null, Value::Big)));
        if matches!(self.verb, Verb::TakeOver { .. } | Verb::Release) {
            step.guard.push(("lease_expired", Value::Bool(true)));
        }
        if let Verb::TakeOver { before_hard_limit } = self.verb {
            step.guard.push(("lease_updated_at", Value::time(self.updated)));
            step.guard.push(("hard_limit_passed", Value::Bool(!before_hard_limit)));
        }
        if let Verb::Complete(result) = &self.verb {
            step.input = Some(Input::Result(result.clone()));
        }
        step.warnings.clone_from(&self.warnings);
        step
    }
}

/// One lease, and its changes in order, each in a transaction of its own, until one does not apply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeaseTarget {
    /// The key.
    pub key: String,
    /// The changes.
    pub steps: Vec<LeaseStep>,
}

impl LeaseTarget {
    /// Whether it is taken over, rather than only settled.
    pub fn takes_over(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.verb, Verb::TakeOver { .. }))
    }
}

/// An act on leases.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LeaseAction(pub Vec<LeaseTarget>);

impl Action for LeaseAction {
    const KIND: &'static str = "sentinel.leases";
    type Head = ();
    type Target = LeaseTarget;

    fn head(&self) {}

    fn targets(&self) -> impl Iterator<Item = LeaseTarget> + '_ {
        self.0.iter().cloned()
    }

    fn build((): (), targets: impl Iterator<Item = Result<LeaseTarget>>) -> Result<Self> {
        targets.collect::<Result<_>>().map(Self)
    }

    fn steps(&self) -> impl Iterator<Item = Step> + Send + '_ {
        self.0.iter().flat_map(|target| target.steps.iter().map(|step| step.shown(&target.key)))
    }

    fn unfollowed(&self) -> Option<&'static str> {
        None
    }
}

/// Creating the tables.
#[derive(Debug, Clone, PartialEq)]
pub struct InitAction(pub Vec<Relation>);

/// A table or sequence that is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relation {
    /// Its name.
    pub name: String,
    /// Whether it is there.
    pub exists: bool,
}

impl Action for InitAction {
    const KIND: &'static str = "sentinel.init";
    type Head = ();
    type Target = Relation;

    fn head(&self) {}

    fn targets(&self) -> impl Iterator<Item = Relation> + '_ {
        self.0.iter().cloned()
    }

    fn count(&self) -> u64 {
        self.0.iter().filter(|relation| !relation.exists).count() as u64
    }

    fn build((): (), targets: impl Iterator<Item = Result<Relation>>) -> Result<Self> {
        targets.collect::<Result<_>>().map(Self)
    }

    fn steps(&self) -> impl Iterator<Item = Step> + Send + '_ {
        self.0.iter().map(|relation| {
            let act = if relation.exists { "keep" } else { "create" };
            Step::new(Subject::new(NAME, Kind::Relation, relation.name.as_str()), act)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sen_model::prepared::is_a_value;

    use super::*;

    proptest! {
        #[test]
        fn acts_on_leases_are_values(
            leases in prop::collection::vec((any::<String>(), 0_usize..6, any::<Option<i64>>(), any::<Option<i64>>(), any::<String>()), 1..6),
        ) {
            let target = |(key, verb, token, updated, text): (String, usize, Option<i64>, Option<i64>, String)| {
                let verb = [
                    Verb::TakeOver { before_hard_limit: true },
                    Verb::TakeOver { before_hard_limit: false },
                    Verb::Complete(text.clone()),
                    Verb::Reset,
                    Verb::Release,
                    Verb::Forget,
                ][verb].clone();
                let step = LeaseStep { verb, token, updated: updated.map(Timestamp::from_micros), warnings: vec![text] };
                LeaseTarget { key, steps: vec![step.clone(), step] }
            };
            is_a_value(&LeaseAction(leases.into_iter().map(target).collect()))?;
        }

        #[test]
        fn the_creation_of_tables_is_a_value(name in any::<String>(), exists in any::<bool>()) {
            is_a_value(&InitAction(vec![Relation { name, exists }]))?;
        }
    }
}
