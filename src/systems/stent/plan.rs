//! What acts on executions and dead letters fix when they are planned: all that applying them needs.

use std::time::Duration;

use sen_model::error::Result;
use sen_model::letters::ReplayOptions;
use sen_model::plan::{FollowUp, Input, Step};
use sen_model::prepared::Action;
use sen_model::time::wall::Wall;
use sen_model::value::Value;
use serde::{Deserialize, Serialize};

use crate::codec::Codec;
use crate::letters::edit::{self, Edited};
use crate::letters::targets::TargetSet;
use crate::names;
use crate::record::ExecutionState;

/// An act on executions, with what is the same for all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionAct {
    /// End them.
    Cancel {
        /// How long to watch that no worker overwrites it.
        verify: Option<Duration>,
    },
    /// End them with the results of their root tasks.
    Complete,
    /// Send a signal.
    Signal {
        /// Its name.
        name: String,
        /// Its payload: JSON text.
        payload: String,
        /// Whether it replaces an unread signal of that name.
        replace: bool,
    },
}

impl ExecutionAct {
    /// The act's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Cancel { .. } => "cancel",
            Self::Complete => "complete",
            Self::Signal { .. } => "signal",
        }
    }
}

/// What an act needs to know of one execution beside its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed {
    /// For a cancel.
    Cancel {
        /// The codec of its payloads: the error of what is stopped is written in it.
        codec: Codec,
        /// Whether it has an expiry that is still to come.
        expires: bool,
    },
    /// For a completion: the root task that has completed.
    Complete {
        /// Its id.
        task: String,
    },
    /// For a signal.
    Signal {
        /// Whether something in it may begin to wait just now.
        lingers: bool,
    },
}

/// One execution as seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionTarget {
    /// The execution.
    pub id: String,
    /// Its state.
    pub state: String,
    /// What else was seen.
    pub seen: Observed,
    /// What the operator must know before consenting.
    pub warnings: Vec<String>,
}

/// An act on executions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionAction {
    /// The act.
    pub act: ExecutionAct,
    /// The executions.
    pub targets: Vec<ExecutionTarget>,
}

impl ExecutionTarget {
    /// For people.
    fn shown(&self, act: &ExecutionAct) -> Step {
        let mut step = Step::new(names::execution(&self.id), act.name());
        step.follow_up = FollowUp::CheckRelated;
        step.guard = vec![("state", Value::Name(ExecutionState::parse(&self.state).name().unwrap_or("other")))];
        if let Observed::Complete { task } = &self.seen {
            step.guard.push(("root_task_id", Value::Text(task.clone())));
        }
        if let ExecutionAct::Signal { payload, .. } = act {
            step.input = Some(Input::Value(payload.clone()));
        }
        step.warnings.clone_from(&self.warnings);
        step
    }
}

impl Action for ExecutionAction {
    const KIND: &'static str = "stent.executions";
    type Head = ExecutionAct;
    type Target = ExecutionTarget;

    fn head(&self) -> ExecutionAct {
        self.act.clone()
    }

    fn targets(&self) -> impl Iterator<Item = ExecutionTarget> + '_ {
        self.targets.iter().cloned()
    }

    fn build(act: ExecutionAct, targets: impl Iterator<Item = Result<ExecutionTarget>>) -> Result<Self> {
        Ok(Self { act, targets: targets.collect::<Result<_>>()? })
    }

    fn steps(&self) -> impl Iterator<Item = Step> + Send + '_ {
        self.targets.iter().map(|target| target.shown(&self.act))
    }

    fn unfollowed(&self) -> Option<&'static str> {
        None
    }
}

/// One of a set: its id, and when it died or ended, as seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetTarget {
    id: String,
    /// Microseconds on the workers' wall clock.
    at: Option<i64>,
    /// Of a dead letter that runs again with other arguments: those that were seen, and those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    edit: Option<Edited>,
}

/// The set as targets of a plan.
fn set_targets(chosen: &TargetSet) -> impl Iterator<Item = SetTarget> + '_ {
    let target = |wanted: crate::letters::targets::DeadLetterRef| SetTarget {
        id: wanted.id,
        at: wanted.moved_at.map(Wall::as_micros),
        edit: wanted.edit.map(|edit| (*edit).clone()),
    };
    (0..chosen.len()).filter_map(|at| chosen.get(at)).map(target)
}

/// The set of these targets.
fn set_of(targets: impl Iterator<Item = Result<SetTarget>>) -> Result<TargetSet> {
    let mut chosen = TargetSet::default();
    for target in targets {
        let SetTarget { id, at, edit } = target?;
        match edit {
            None => chosen.push(&id, at.map(Wall::from_micros)),
            Some(edit) => chosen.push_edited(&id, at.map(Wall::from_micros), edit),
        }
    }
    Ok(chosen)
}

/// Executions that ended long ago and are removed.
#[derive(Debug, Clone, PartialEq)]
pub struct CleanupAction(pub TargetSet);

impl Action for CleanupAction {
    const KIND: &'static str = "stent.cleanup";
    type Head = ();
    type Target = SetTarget;

    fn head(&self) {}

    fn targets(&self) -> impl Iterator<Item = SetTarget> + '_ {
        set_targets(&self.0)
    }

    fn count(&self) -> u64 {
        self.0.len() as u64
    }

    fn build((): (), targets: impl Iterator<Item = Result<SetTarget>>) -> Result<Self> {
        set_of(targets).map(Self)
    }

    fn steps(&self) -> impl Iterator<Item = Step> + Send + '_ {
        std::iter::empty()
    }
}

/// What is done with dead letters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterAct {
    /// They run again.
    Replay {
        /// How.
        options: ReplayOptions,
        /// Whether activities are among them.
        activities: bool,
    },
    /// They are removed, each after it was stored elsewhere.
    Discard,
}

/// An act on dead letters.
#[derive(Debug, Clone, PartialEq)]
pub struct LetterAction {
    /// The act.
    pub act: LetterAct,
    /// The letters.
    pub chosen: TargetSet,
}

impl Action for LetterAction {
    const KIND: &'static str = "stent.dead_letters";
    type Head = LetterAct;
    type Target = SetTarget;

    fn head(&self) -> LetterAct {
        self.act.clone()
    }

    fn targets(&self) -> impl Iterator<Item = SetTarget> + '_ {
        set_targets(&self.chosen)
    }

    fn count(&self) -> u64 {
        self.chosen.len() as u64
    }

    fn build(act: LetterAct, targets: impl Iterator<Item = Result<SetTarget>>) -> Result<Self> {
        Ok(Self { act, chosen: set_of(targets)? })
    }

    fn stores_first(&self) -> bool {
        matches!(self.act, LetterAct::Discard)
    }

    fn steps(&self) -> impl Iterator<Item = Step> + Send + '_ {
        // What is changed is shown of each; the rest is a set.
        self.chosen.edited().filter_map(|place| self.chosen.get(place)).filter_map(|letter| {
            let edit = letter.edit?;
            let (from, to) = edit.documents();
            let mut step = Step::new(names::dead_letter(&letter.id), "replay");
            step.input = Some(Input::Edit { from, to });
            step.warnings = edit::warnings(&edit);
            Some(step)
        })
    }

    fn unfollowed(&self) -> Option<&'static str> {
        match self.act {
            LetterAct::Replay { .. } => None,
            LetterAct::Discard => Some("what is discarded is gone"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sen_model::letters::Arguments;
    use sen_model::prepared::is_a_value;

    use super::*;

    proptest! {
        #[test]
        fn acts_on_executions_are_values(
            executions in prop::collection::vec((prop::array::uniform3(any::<String>()), any::<[bool; 2]>()), 1..5),
            act in 0_usize..3, verify in any::<Option<u32>>(), texts in prop::array::uniform2(any::<String>()), replace in any::<bool>(),
        ) {
            let [name, payload] = texts;
            let acts = [
                ExecutionAct::Cancel { verify: verify.map(|span| Duration::from_millis(span.into())) },
                ExecutionAct::Complete,
                ExecutionAct::Signal { name, payload, replace },
            ];
            let target = |([id, state, task], [expires, lingers]): ([String; 3], [bool; 2])| {
                let codec = if lingers { Codec::Json } else { Codec::Pickle };
                let seen = [Observed::Cancel { codec, expires }, Observed::Complete { task: task.clone() }, Observed::Signal { lingers }][act].clone();
                ExecutionTarget { id, state, seen, warnings: vec![task] }
            };
            is_a_value(&ExecutionAction { act: acts[act].clone(), targets: executions.into_iter().map(target).collect() })?;
        }

        #[test]
        fn acts_on_sets_are_values(
            ids in prop::collection::vec(("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|.{0,9}", any::<Option<i64>>()), 1..9),
            rate in prop::option::of(0.001_f64..1e6), queue in any::<Option<String>>(), batch in any::<Option<u32>>(), force in any::<bool>(),
        ) {
            let mut chosen = TargetSet::default();
            ids.iter().for_each(|(id, at)| chosen.push(id, at.map(Wall::from_micros)));
            is_a_value(&CleanupAction(chosen.clone()))?;
            is_a_value(&LetterAction { act: LetterAct::Discard, chosen: chosen.clone() })?;
            let act = LetterAct::Replay { options: ReplayOptions { queue, batch, rate, force }, activities: force };
            is_a_value(&LetterAction { act: act.clone(), chosen: chosen.clone() })?;
            let payload = |text: &str| Arguments { args: text.to_owned(), kwargs: "{\n}".into() };
            let edit = Edited { seen: payload(&ids[0].0), to: payload("[]") };
            chosen.push_edited("edited", None, edit);
            is_a_value(&LetterAction { act, chosen })?;
        }
    }
}
