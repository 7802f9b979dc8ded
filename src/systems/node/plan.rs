//! What acts on agent tasks fix when they are planned: all that applying them needs.

use std::time::Duration;

use crate::request::Submission;
use sen_model::error::{Error, Result};
use sen_model::plan::{Input, Step};
use sen_model::prepared::Action;
use sen_model::subject::{Kind, Subject};
use sen_model::value::Value;
use serde::{Deserialize, Serialize};

use crate::port::{Act, Verb};
use crate::record::{NAME, Status};

/// A task with what is to be done to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskTarget {
    /// The change, with what was seen.
    #[serde(flatten)]
    pub act: Act,
    /// What the operator must know before consenting.
    pub warnings: Vec<String>,
}

impl TaskTarget {
    /// For people.
    fn shown(&self) -> Step {
        let Act { id, verb, seen } = &self.act;
        let mut step = Step::new(Subject::new(NAME, Kind::AgentTask, id.as_str()), verb.name());
        let status = Status::parse(&seen.status)
            .map_or_else(|| Value::Text(seen.status.clone()), |status| Value::Name(status.name()));
        step.guard = vec![
            ("status", status),
            ("owner", Value::Text(seen.owner.clone())),
            ("lease_expires", Value::Text(seen.lease.clone())),
        ];
        if *verb != Verb::Cancel {
            step.guard.push(("updated_at", Value::Text(seen.updated.clone())));
        }
        step.warnings.clone_from(&self.warnings);
        step
    }
}

/// What is the same for all tasks of an act.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TaskHead {
    /// How long to watch that no worker undoes it.
    pub verify: Option<Duration>,
    /// So many at once.
    pub batch: usize,
    /// Not more than so many in a second.
    pub rate: Option<f64>,
    /// Whether the plan names a set instead of each task.
    pub set: bool,
}

/// An act on agent tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskAction {
    /// What is the same for all.
    pub head: TaskHead,
    /// The tasks.
    pub targets: Vec<TaskTarget>,
}

impl Action for TaskAction {
    const KIND: &'static str = "node.agent_tasks";
    type Head = TaskHead;
    type Target = TaskTarget;

    fn head(&self) -> TaskHead {
        self.head
    }

    fn targets(&self) -> impl Iterator<Item = TaskTarget> + '_ {
        self.targets.iter().cloned()
    }

    fn build(head: TaskHead, targets: impl Iterator<Item = Result<TaskTarget>>) -> Result<Self> {
        Ok(Self { head, targets: targets.collect::<Result<_>>()? })
    }

    fn steps(&self) -> impl Iterator<Item = Step> + Send + '_ {
        self.targets.iter().filter(|_| !self.head.set).map(TaskTarget::shown)
    }

    fn unfollowed(&self) -> Option<&'static str> {
        None
    }
}

/// A new task, or the rate limit of a tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Single {
    /// A task is queued under this id.
    Submit {
        /// Its id.
        id: String,
        /// What it is.
        submission: Box<Submission>,
    },
    /// A tenant's bucket is filled.
    FillBucket {
        /// The tenant.
        tenant: String,
        /// The tokens in it.
        tokens: serde_json::Number,
        /// The tokens a second to be stored with it.
        refill_rate: Option<serde_json::Number>,
    },
    /// A tenant's bucket is removed.
    EmptyBucket {
        /// The tenant.
        tenant: String,
    },
}

impl Single {
    /// What it is about.
    pub fn subject(&self) -> Subject {
        match self {
            Self::Submit { id, .. } => Subject::new(NAME, Kind::AgentTask, id.as_str()),
            Self::FillBucket { tenant, .. } | Self::EmptyBucket { tenant } => {
                Subject::new(NAME, Kind::RateLimit, tenant.as_str())
            }
        }
    }

    /// For people.
    fn shown(&self) -> Step {
        let (act, input) = match self {
            Self::Submit { submission: new, .. } => {
                let input = serde_json::json!({
                    "tenant_id": new.tenant, "task_type": new.task_type, "agent_type": new.agent_type,
                    "task_params": new.params, "cost_limit": new.cost_limit, "max_attempts": new.max_attempts,
                });
                ("submit", Some(input))
            }
            Self::FillBucket { tokens, refill_rate, .. } => {
                ("set_rate_limit", Some(serde_json::json!({ "tokens": tokens, "refill_rate": refill_rate })))
            }
            Self::EmptyBucket { .. } => ("reset_rate_limit", None),
        };
        let mut step = Step::new(self.subject(), act);
        step.input = input.map(|input| Input::Value(input.to_string()));
        step
    }
}

/// A change of one thing that is not guarded by what was seen of it.
#[derive(Debug, Clone, PartialEq)]
pub struct SingleAction(pub Single);

impl Action for SingleAction {
    const KIND: &'static str = "node.single";
    type Head = ();
    type Target = Single;

    fn head(&self) {}

    fn targets(&self) -> impl Iterator<Item = Single> + '_ {
        std::iter::once(self.0.clone())
    }

    fn build((): (), mut targets: impl Iterator<Item = Result<Single>>) -> Result<Self> {
        match (targets.next(), targets.next()) {
            (Some(target), None) => target.map(Self),
            _ => Err(Error::usage("the plan should have one target")),
        }
    }

    fn steps(&self) -> impl Iterator<Item = Step> + Send + '_ {
        std::iter::once(self.0.shown())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sen_model::prepared::is_a_value;

    use super::*;
    use crate::record::Observed;

    proptest! {
        #[test]
        fn acts_on_tasks_are_values(
            tasks in prop::collection::vec((any::<String>(), prop::array::uniform4(any::<String>()), 0_usize..3, any::<Option<String>>()), 1..6),
            verify in any::<Option<u32>>(), rate in prop::option::of(0.001_f64..1e6), set in any::<bool>(),
        ) {
            let head = TaskHead { verify: verify.map(|span| Duration::from_millis(span.into())), batch: 50, rate, set };
            let target = |(id, [status, owner, lease, updated], verb, warning): (String, [String; 4], usize, Option<String>)| {
                let verb = [Verb::Cancel, Verb::Requeue, Verb::Replay][verb];
                let seen = Observed { status, owner, lease, updated };
                TaskTarget { act: Act { id, verb, seen }, warnings: warning.into_iter().collect() }
            };
            is_a_value(&TaskAction { head, targets: tasks.into_iter().map(target).collect() })?;
        }

        #[test]
        fn single_acts_are_values(id in any::<String>(), number in any::<f64>(), rate in any::<Option<i64>>()) {
            let tokens = serde_json::Number::from_f64(number).unwrap_or_else(|| 7.into());
            let submission = Box::new(Submission {
                id: None, tenant: id.clone(), task_type: id.clone(), agent_type: "a".into(), params: "{}".into(),
                cost_limit: Some(tokens.clone()), max_attempts: 3,
            });
            is_a_value(&SingleAction(Single::Submit { id: id.clone(), submission }))?;
            is_a_value(&SingleAction(Single::FillBucket { tenant: id.clone(), tokens, refill_rate: rate.map(Into::into) }))?;
            is_a_value(&SingleAction(Single::EmptyBucket { tenant: id }))?;
        }
    }
}
