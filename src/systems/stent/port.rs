//! What the reading side of Stent needs of a store: rows in, rows out. No judgement, no presentation.

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::Stream;

use crate::record::{DeadTask, Execution, Progress, Signal, Task, TaskKind, TaskState};
use crate::shape::{Library, Shape};
use crate::state::Leaves;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::summary::Counting;
use sen_model::system::Mentions;
use sen_model::time::wall::{Wall, Zone};
use sen_model::time::{Timestamp, When};

/// How many tasks of an execution are read with it.
pub const TASKS: i64 = 1000;
/// The length of an error that is read for a list.
pub const ERROR_BYTES: i64 = 65_536;

/// Whose ids are completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// Executions.
    Executions,
    /// Tasks.
    Tasks,
    /// Dead letters.
    Letters,
}

/// Stent's tables in one real store. Every method is one round trip where the store has such a thing.
#[async_trait]
pub trait ExecutionStore: Send + Sync {
    /// The database for people, without secrets.
    fn database(&self) -> &str;

    /// What the tables look like: the catalogue only, without an error where they are missing.
    async fn shape(&self) -> Result<Shape>;

    /// Everything that has this id, in one snapshot, with at most `progress` progress entries. With `known`, the
    /// tables are assumed to exist and the catalogue is not queried.
    async fn find(&self, id: &str, progress: i64, known: bool) -> Result<Look>;

    /// The executions that match.
    async fn executions(&self, query: &ExecutionQuery) -> Result<Rows<Listed>>;

    /// The tasks that match.
    async fn tasks(&self, query: &ExecutionQuery) -> Result<Rows<Task>>;

    /// Ids of executions and tasks that stand next to `id` in the index.
    async fn neighbours(&self, id: &str) -> Result<Vec<String>>;

    /// Executions whose arguments or tags contain one of `names`: at most `limit` that have not ended well, then at most
    /// `limit` of the others, the newest found. A scan, given up after [`sen_model::system::SEARCH`]; what was found until
    /// then counts.
    async fn naming(&self, names: &[String], limit: u32) -> Result<Mentions>;

    /// At most `limit` ids that begin with `prefix`: a range of the primary key.
    async fn ids(&self, of: Ids, prefix: &str, limit: u32) -> Result<Vec<String>>;

    /// Activity around a task: in its queue, and of its step. Without a queue, in all of them, since every worker takes such
    /// tasks.
    async fn activity(&self, task: &str, zone: &Zone) -> Result<Activity>;

    /// The sequences behind the tables, as SQL names them; none where a store has no such thing.
    async fn sequences(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// What should not be there; `None` where a table that shows it is missing.
    async fn orphans(&self) -> Result<Option<Orphans>>;

    /// What is in the tables, counted.
    async fn census(&self, zone: &Zone, counting: Counting) -> Result<Census>;

    /// What happened within `window`, and who works.
    async fn stats(&self, zone: &Zone, window: Duration, counting: Counting) -> Result<Stats>;
}

/// Those of `names` that contain no other of them: where a longer one stands, they do, too.
pub fn telling(names: &[String]) -> Vec<String> {
    let holds = |long: &String, other: &String| long != other && long.contains(other.as_str());
    names.iter().filter(|name| !names.iter().any(|other| holds(name, other))).cloned().collect()
}

/// How many [`needles`] there are of a name.
pub const NEEDLES: usize = 3;

/// The bytes that `names` leave in payloads and tags, with what ends them there, so that a longer name is not taken for one:
/// the quote of JSON, and in a pickle the opcode that remembers a text (MEMOIZE of protocol 4 and later, BINPUT before).
pub fn needles(names: &[String]) -> Vec<Vec<u8>> {
    const ENDS: [u8; NEEDLES] = [b'"', 0x94, b'q'];
    let ended = |name: &String| ENDS.map(|end| [name.as_bytes(), &[end]].concat());
    names.iter().flat_map(ended).collect()
}

/// Activity around a task that waits for a worker: in its queue, and of its step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Activity {
    /// Tasks a worker could claim now.
    pub ready: i64,
    /// Tasks that run under a living lease.
    pub running: i64,
    /// When a task of it was begun last.
    pub last_begun: Option<Wall>,
    /// Tasks of the same step that run under a living lease, in any queue.
    pub of_step: i64,
    /// Tasks of the queue that stand behind it in the order workers take them (by priority, then by age) and were begun since
    /// it has been due.
    pub passed: i64,
    /// Tasks of the queue with the very same tags that were begun since it has been due.
    pub alike: i64,
}

/// What should not be there, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Orphans {
    /// Failed tasks of failed executions without a dead letter: their worker died between two commits, or the dead letter was
    /// replayed or discarded.
    pub failed_without_letter: i64,
    /// Dead letters whose execution no longer exists.
    pub letters_without_execution: i64,
    /// Tasks that are not over and whose execution no longer exists.
    pub tasks_without_execution: i64,
    /// Whether there are more failed tasks than were looked at.
    pub more_failed: bool,
    /// Whether there are more letters than were looked at.
    pub more_letters: bool,
}

/// So many failed tasks are looked at for [`Orphans`] where looking at more takes long.
pub const FAILED_LOOKED_AT: i64 = 10_000;
/// So many letters, likewise.
pub const LETTERS_LOOKED_AT: i64 = 1000;

/// What an id names.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// The database's clock.
    pub now: Timestamp,
    /// The execution, with what belongs to it.
    pub execution: Option<Whole>,
    /// The task.
    pub task: Option<Task>,
    /// The task's execution, without payloads.
    pub owner: Option<Execution>,
    /// The dead letter.
    pub letter: Option<DeadTask>,
    /// What only further rows tell.
    pub more: More,
}

/// What is told of a record only by further rows, which are read where it matters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct More {
    /// Of a stranded execution: the result of its completed root task, in one line.
    pub root_result: Option<String>,
    /// Of a failed task without a dead letter: the task that its dead letter was replayed as.
    pub replayed_as: Option<String>,
}

/// An execution and what belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Whole {
    /// The execution.
    pub execution: Execution,
    /// Its tasks by time of creation, the first [`TASKS`] of them; of their payloads only the errors.
    pub tasks: Vec<Task>,
    /// How many tasks there are.
    pub task_count: i64,
    /// Its newest progress, in order.
    pub progress: Vec<Progress>,
    /// How much progress there is.
    pub progress_count: i64,
    /// Its dead letters, without their dumps.
    pub letters: Vec<DeadTask>,
    /// Signals sent to it.
    pub signals: Vec<Signal>,
    /// Its counters by name.
    pub counters: Vec<(String, f64)>,
    /// Its custom state by key.
    pub state: Vec<(String, Option<Vec<u8>>)>,
}

impl Whole {
    /// The root task where it is completed with a result: what the execution would have been ended with.
    pub fn completed_root(&self) -> Option<&Task> {
        let root = |task: &&Task| {
            task.kind == TaskKind::Orchestrator && task.parent_task_id.as_deref().is_none_or(str::is_empty)
        };
        let newest = self.tasks.iter().filter(root).max_by_key(|task| (task.created_at, task.completed_at))?;
        (newest.state == TaskState::Completed && newest.has_result).then_some(newest)
    }
}

/// One execution of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// The execution.
    pub execution: Execution,
    /// Whether tasks of it are pending or running; `None` where that was not queried, because it has ended.
    pub live: Option<bool>,
    /// Whether the lease of one of its running tasks has ended.
    pub lost: Option<bool>,
    /// Whether anything of it changed a moment ago ([`GRACE`](super::state::GRACE)).
    pub settling: Option<bool>,
    /// What its open tasks are at that wait for no other one.
    pub leaves: Leaves,
}

/// Rows that come in chunks.
pub type Chunks<T> = Pin<Box<dyn Stream<Item = Result<Vec<T>>> + Send>>;

/// The rows that match a query.
pub struct Rows<T> {
    /// The database's clock.
    pub now: Timestamp,
    /// The rows in chunks.
    pub chunks: Chunks<T>,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As stored: no sorting, the fastest for everything.
    Stored,
    /// By time of creation.
    Created,
    /// By when it was begun.
    Started,
    /// By when it ended.
    Completed,
}

/// Which executions or tasks, and in what order. What does not apply to one of them is left empty.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecutionQuery {
    /// Stored or judged states (`stranded`, `overdue`, `lost`; of tasks `ready`, `scheduled`, `waiting`, `lost`).
    pub states: Vec<String>,
    /// Of this queue; `default` is also what has none.
    pub queue: Option<String>,
    /// Of this function, with or without its module.
    pub function: Option<String>,
    /// With one of these texts in the column of tags.
    pub tag: Vec<String>,
    /// Of workers with this name prefix.
    pub worker: Option<String>,
    /// With one of these texts in the error.
    pub error: Vec<String>,
    /// Of this execution.
    pub execution: Option<String>,
    /// With one of these ids.
    pub ids: Option<Vec<String>>,
    /// Created at or after this.
    pub since: Bound,
    /// Created before both of these.
    pub until: [Bound; 2],
    /// Only what follows this id in the order.
    pub after: Option<String>,
    /// The order.
    pub order: Order,
    /// Largest first.
    pub descending: bool,
    /// The maximum number of rows.
    pub limit: Option<i64>,
    /// Whether arguments and results are fetched.
    pub payloads: bool,
    /// By how many microseconds the workers' clock is ahead of UTC.
    pub ahead: i64,
}

/// A bound in time on the workers' clock: a reading of it, or microseconds before the database's now. At most one is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bound {
    /// What the workers' clock showed, in microseconds since its 1970.
    pub at: Option<i64>,
    /// Microseconds before now.
    pub ago: Option<i64>,
}

impl Bound {
    /// A point in time, as the workers' clock has it.
    pub fn of(when: Option<When>, zone: &Zone) -> Self {
        match when {
            None => Self::default(),
            Some(When::At(moment)) => Self { at: Some(zone.wall(moment).as_micros()), ago: None },
            Some(When::Ago(span)) => Self { at: None, ago: Some(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)) },
        }
    }

    /// The bound as a reading of the workers' clock, given what it shows now.
    pub fn wall(self, now: Wall) -> Option<Wall> {
        let before = |ago: i64| Wall::from_micros(now.as_micros().saturating_sub(ago));
        self.at.map(Wall::from_micros).or_else(|| self.ago.map(before))
    }
}

/// Tasks, as far as queues are judged by them.
#[derive(Debug, Clone, PartialEq)]
pub struct Queues {
    /// The database's clock.
    pub now: Timestamp,
    /// Tasks by state, kind and due-ness. Of those that are over, times may be left out.
    pub tasks: Vec<TaskGroup>,
    /// Tasks with tags that wait for long while workers take others, the oldest few.
    pub passed: Vec<Passed>,
}

/// What the tables look like and what is in them.
#[derive(Debug, Clone, PartialEq)]
pub struct Census {
    /// The tables.
    pub shape: Shape,
    /// Who wrote them.
    pub library: Library,
    /// Executions by stored state.
    pub executions: Vec<(String, Group)>,
    /// Executions that go on although their expiry has passed.
    pub overdue: Group,
    /// Executions that have not ended and have no runnable task.
    pub stranded: Group,
    /// Tasks.
    pub queues: Queues,
    /// Dead letters.
    pub letters: Group,
    /// Further facts: server version, time zone.
    pub facts: Vec<(&'static str, String)>,
}

/// A number of rows and the times between which they were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Group {
    /// How many.
    pub count: i64,
    /// Whether that is an estimate; the times are not known then.
    pub estimated: bool,
    /// The oldest.
    pub oldest: Option<Wall>,
    /// The newest.
    pub newest: Option<Wall>,
}

/// Tasks alike.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskGroup {
    /// The stored state.
    pub state: String,
    /// The stored kind.
    pub kind: String,
    /// The queue.
    pub queue: Option<String>,
    /// Pending: whether it is to begin later. Running: whether its lease has ended.
    pub off: bool,
    /// How many, by creation.
    pub group: Group,
    /// The latest end of a lease among them.
    pub lease: Option<Wall>,
    /// Pending: since when the first of them has been due. Running: the earliest end of a lease.
    pub due: Option<Wall>,
    /// When one of them was begun last.
    pub begun: Option<Wall>,
    /// The longest time in microseconds by which one was begun before it was made.
    pub lead: Option<i64>,
    /// Whether one of them has tags, so that not every worker takes it.
    pub tagged: bool,
    /// Pending: whether one of them is of a step of which tasks run, in any queue, so that a limit may hold it back.
    pub held: bool,
}

/// How long in microseconds tasks may be due, and a queue see none begun, before its workers count as probably gone.
pub const SILENT: i64 = 60_000_000;

/// How long [`Passed`] tasks have been due, and how much later the tasks that were taken instead were created. Microseconds.
pub const PASSED: i64 = 300_000_000;

/// Tasks alike that have been due for [`PASSED`], of which none was begun within that time and none of whose step runs, while
/// others of the queue were begun that were made so much later and are not more urgent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// The queue.
    pub queue: Option<String>,
    /// Their tags, as stored: a list in JSON.
    pub tags: String,
    /// How many there are.
    pub count: i64,
    /// Since when the first of them has been due.
    pub due: Option<Wall>,
}

/// Who works, and what got done.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// What is there altogether.
    pub census: Census,
    /// Running tasks by worker.
    pub workers: Vec<Worker>,
    /// Executions that ended within the window, by state.
    pub ended: Vec<(String, i64)>,
    /// Steps whose tasks ended within the window.
    pub steps: Vec<Step>,
    /// Dead letters that were made within the window and are still there; `None` without their table.
    pub died: Option<i64>,
}

/// A worker, by its running tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct Worker {
    /// Its name.
    pub name: Option<String>,
    /// Tasks it runs.
    pub running: i64,
    /// Of these, whose lease has ended.
    pub lost: i64,
    /// When it began the oldest of them.
    pub since: Option<Wall>,
    /// The latest end of a lease it holds.
    pub lease: Option<Wall>,
}

/// A step, by its ended tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its name.
    pub name: Option<String>,
    /// Tasks completed.
    pub completed: i64,
    /// Tasks failed, but for those that a cancel ended.
    pub failed: i64,
    /// Tasks that a cancel ended.
    pub cancelled: i64,
    /// Their mean duration in microseconds.
    pub mean: Option<f64>,
    /// Their longest duration in microseconds.
    pub longest: Option<f64>,
    /// How often they were tried again.
    pub retries: i64,
}

/// The error that says that a database holds none of these tables.
pub fn absent(database: &str) -> Error {
    Error::new(ErrorKind::NoSystem, format!("no Stent or Senpuki tables (executions, tasks) in {database}"))
        .with_hint("is this the right database, and does the role's search_path name the schema?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_names_within_names_only_the_shortest_are_sought() {
        let names = ["payments:order-7", "order-7", "cust-9"].map(str::to_owned);
        assert_eq!(telling(&names), ["order-7", "cust-9"]);
        assert_eq!(needles(&telling(&names)).len(), 2 * NEEDLES);
        assert_eq!(telling(&names[..1]), ["payments:order-7"]);
    }
}
