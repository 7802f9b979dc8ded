//! What becomes of each step when orchestrators start anew. Pure: tasks from the stores in, steps grouped by effect out.

use std::collections::{BTreeMap, HashMap};

use super::rules::Effect;
use crate::record::{TaskKind, TaskState};

/// The maximum number of tasks that are read.
pub const TASKS: usize = 20_000;

/// A task of an execution whose orchestrator is to start anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Around {
    /// The orchestrator that died.
    pub root: String,
    /// The task.
    pub id: String,
    /// The task that waited for it.
    pub parent: Option<String>,
    /// The step.
    pub step: String,
    /// What it is.
    pub kind: TaskKind,
    /// How it stands.
    pub state: TaskState,
    /// Whether its result is still in `idempotency` or `cache`.
    pub kept: bool,
    /// Whether a cancel ended it.
    pub stopped: bool,
    /// Whether it failed with tries left: its policy does not cover the error.
    pub not_retried: bool,
}

impl Around {
    fn effect(&self) -> Effect {
        match (&self.kind, &self.state) {
            (TaskKind::Signal, TaskState::Pending) => Effect::SignalAwaited,
            (TaskKind::Signal, _) => Effect::SignalAnswered,
            (_, TaskState::Pending | TaskState::Running) => Effect::StillOpen,
            (_, TaskState::Completed) if self.kept => Effect::Answered,
            (_, TaskState::Completed) => Effect::RunsAgain,
            _ if self.stopped => Effect::StoppedByCancel,
            _ if self.not_retried => Effect::NotRetried,
            _ => Effect::TriedAgain,
        }
    }
}

/// Steps alike of executions that are to be started anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepFact {
    /// The step.
    pub step: String,
    /// What becomes of it.
    pub effect: Effect,
    /// How many of them there are.
    pub count: u64,
}

/// What a replay does with the steps, as far as they were looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Foresight {
    /// The steps.
    pub steps: Vec<StepFact>,
    /// Whether there are more tasks than were looked at.
    pub more: bool,
}

impl Foresight {
    /// A step that failed with an error that the library itself did not try again.
    pub fn not_retried(&self) -> Option<&str> {
        self.steps.iter().find(|fact| fact.effect == Effect::NotRetried).map(|fact| fact.step.as_str())
    }
}

/// Of at most `bound` tasks: those of the dead orchestrator's own round with all that is below them, as far down as they run
/// again (below a step whose result is kept nothing does), signals of any round (there is one wait of a name in an
/// execution), and what is open of any round.
pub fn foresee(mut tasks: Vec<Around>, bound: usize) -> Foresight {
    let more = tasks.len() > bound;
    tasks.truncate(bound);
    let mut below: HashMap<(&str, &str), Vec<usize>> = HashMap::new();
    for (at, task) in tasks.iter().enumerate() {
        if let Some(parent) = &task.parent {
            below.entry((&task.root, parent)).or_default().push(at);
        }
    }
    let mut reached = vec![false; tasks.len()];
    for root in tasks.iter().map(|task| task.root.as_str()) {
        let mut open = vec![root];
        while let Some(parent) = open.pop() {
            // Taken out: however the rows name one another, each is reached once.
            for at in below.remove(&(root, parent)).unwrap_or_default() {
                reached[at] = true;
                if tasks[at].effect() != Effect::Answered {
                    open.push(&tasks[at].id);
                }
            }
        }
    }
    let mut counts: BTreeMap<(Effect, &str), u64> = BTreeMap::new();
    for (task, reached) in tasks.iter().zip(reached) {
        let signalled = task.kind == TaskKind::Signal && task.state == TaskState::Completed;
        if reached || signalled || !task.state.is_terminal() {
            *counts.entry((task.effect(), &task.step)).or_default() += 1;
        }
    }
    let told = |((effect, step), count): ((Effect, &str), u64)| StepFact { step: step.to_owned(), effect, count };
    Foresight { steps: counts.into_iter().map(told).collect(), more }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(id: &str, parent: &str, state: &str) -> Around {
        Around {
            root: "x".into(),
            id: id.into(),
            parent: Some(parent.into()),
            step: id.trim_end_matches(char::is_numeric).into(),
            kind: TaskKind::parse("activity"),
            state: TaskState::parse(state),
            kept: false,
            stopped: false,
            not_retried: false,
        }
    }

    fn told(tasks: Vec<Around>, bound: usize) -> (Vec<(String, &'static str, u64)>, bool) {
        let Foresight { steps, more } = foresee(tasks, bound);
        (steps.into_iter().map(|fact| (fact.step, fact.effect.name(), fact.count)).collect(), more)
    }

    #[test]
    fn what_is_below_a_step_goes_with_it() {
        let kept = Around { kept: true, ..task("settle", "x", "completed") };
        let tasks = vec![
            task("charge1", "pack", "completed"),
            task("pack", "x", "completed"),
            kept,
            task("charge2", "settle", "completed"),
            task("mail", "settle", "pending"),
            task("ship", "x", "failed"),
            task("label", "ship", "completed"),
            task("print", "label", "completed"),
            // Of an earlier round.
            task("charge3", "y", "completed"),
            task("hang", "y", "running"),
        ];
        let expected = [
            ("charge", "runs_again", 1),
            ("label", "runs_again", 1),
            ("pack", "runs_again", 1),
            ("print", "runs_again", 1),
            ("ship", "tried_again", 1),
            ("hang", "still_open", 1),
            ("mail", "still_open", 1),
            ("settle", "answered", 1),
        ];
        let expected = expected.map(|(step, effect, count)| (step.to_owned(), effect, count)).to_vec();
        assert_eq!(told(tasks, 10), (expected, false));
    }

    #[test]
    fn it_is_bounded_and_rows_that_name_one_another_end() {
        let ring = vec![task("a1", "x", "completed"), task("a2", "a1", "completed"), task("a1", "a2", "completed")];
        assert_eq!(told(ring, 3), (vec![("a".into(), "runs_again", 3)], false));
        let many = (0..9).map(|number| task(&format!("a{number}"), "x", "completed")).collect();
        assert_eq!(told(many, 4), (vec![("a".into(), "runs_again", 4)], true));
    }
}
