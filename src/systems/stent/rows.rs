//! Rows as the stores return them, by the order of their columns: the same for every store, whatever its types are.

use sen_model::time::wall::Wall;

#[cfg(feature = "postgres")]
use crate::letters::port::Death;
use crate::letters::port::Fact;
use crate::letters::rules::ReplayFacts;
use crate::letters::steps::Around;
use crate::port::{Activity, Group, Listed, Orphans, Passed, Step, TaskGroup, Worker};
use crate::record::{DeadTask, Execution, ExecutionState, Progress, Signal, Task, TaskKind, TaskState, parse_tags};
use crate::state::Leaves;
use crate::verdict::failure::allowed_tries;

/// The columns of one row. What cannot be read is `None` and noted; the other columns are still read.
pub(crate) trait Columns {
    /// Text.
    fn text(&mut self, at: usize) -> Option<String>;
    /// A whole number.
    fn int(&mut self, at: usize) -> Option<i64>;
    /// A number.
    fn float(&mut self, at: usize) -> Option<f64>;
    /// A truth value.
    fn flag(&mut self, at: usize) -> Option<bool>;
    /// A reading of the workers' clock.
    fn wall(&mut self, at: usize) -> Option<Wall>;
    /// Bytes.
    fn bytes(&mut self, at: usize) -> Option<Vec<u8>>;
    /// What could not be read, in words.
    fn unreadable(&mut self) -> &mut Vec<String>;
}

/// One row, of which the order of the columns is known.
pub(crate) type Cells<'a> = &'a mut dyn Columns;

fn text(cells: Cells<'_>, at: usize) -> String {
    cells.text(at).unwrap_or_default()
}

fn flag(cells: Cells<'_>, at: usize) -> bool {
    cells.flag(at).unwrap_or_default()
}

/// A number that is nothing where it is not there.
pub(crate) fn count(cells: Cells<'_>, at: usize) -> i64 {
    cells.int(at).unwrap_or_default()
}

fn tags(cells: Cells<'_>, at: usize) -> Vec<String> {
    let text = text(cells, at);
    if text.is_empty() {
        return Vec::new();
    }
    parse_tags(&text).unwrap_or_else(|what| {
        cells.unreadable().push(what);
        Vec::new()
    })
}

/// An execution from the columns of `execution_columns!`.
pub(crate) fn execution(cells: Cells<'_>) -> Execution {
    Execution {
        id: text(cells, 0),
        root_function: cells.text(1),
        state: ExecutionState::parse(&text(cells, 2)),
        retries: cells.int(3),
        created_at: cells.wall(4),
        started_at: cells.wall(5),
        completed_at: cells.wall(6),
        expiry_at: cells.wall(7),
        tags: tags(cells, 8),
        priority: cells.int(9),
        queue: cells.text(10),
        error: cells.bytes(11),
        args: cells.bytes(12),
        kwargs: cells.bytes(13),
        result: cells.bytes(14),
        unreadable: std::mem::take(cells.unreadable()),
    }
}

/// An execution of a list: its own columns, then facts about its tasks.
pub(crate) fn listed(cells: Cells<'_>) -> Listed {
    Listed {
        execution: execution(cells),
        live: cells.flag(15),
        lost: cells.flag(16),
        settling: cells.flag(17),
        leaves: Leaves::parse(&text(cells, 18)),
    }
}

/// A task from the columns of `task_columns!`.
pub(crate) fn task(cells: Cells<'_>) -> Task {
    Task {
        id: text(cells, 0),
        execution_id: cells.text(1),
        step_name: cells.text(2),
        kind: TaskKind::parse(&text(cells, 3)),
        parent_task_id: cells.text(4),
        state: TaskState::parse(&text(cells, 5)),
        retries: cells.int(6),
        created_at: cells.wall(7),
        started_at: cells.wall(8),
        completed_at: cells.wall(9),
        worker_id: cells.text(10),
        lease_expires_at: cells.wall(11),
        tags: tags(cells, 12),
        priority: cells.int(13),
        queue: cells.text(14),
        idempotency_key: cells.text(15),
        retry_policy: cells.text(16),
        scheduled_for: cells.wall(17),
        error: cells.bytes(18),
        args: cells.bytes(19),
        kwargs: cells.bytes(20),
        result: cells.bytes(21),
        has_result: flag(cells, 22),
        unreadable: std::mem::take(cells.unreadable()),
    }
}

/// A step of a progress.
pub(crate) fn progress(cells: Cells<'_>) -> Progress {
    Progress {
        ordinal: count(cells, 0),
        step: cells.text(1),
        status: cells.text(2),
        started_at: cells.wall(3),
        completed_at: cells.wall(4),
        detail: cells.text(5),
    }
}

/// A dead letter beside its execution or task.
pub(crate) fn dead_task(cells: Cells<'_>) -> DeadTask {
    DeadTask {
        id: text(cells, 0),
        reason: cells.text(1),
        moved_at: cells.wall(2),
        data: cells.text(3),
        readable: flag(cells, 4),
        unreadable: std::mem::take(cells.unreadable()),
    }
}

/// A signal.
pub(crate) fn signal(cells: Cells<'_>) -> Signal {
    Signal {
        name: text(cells, 0),
        payload: cells.bytes(1),
        created_at: cells.wall(2),
        consumed: cells.flag(3),
        consumed_at: cells.wall(4),
    }
}

/// A counter: its name and what it stands at.
pub(crate) fn counter(cells: Cells<'_>) -> (String, f64) {
    (text(cells, 0), cells.float(1).unwrap_or(f64::NAN))
}

/// A piece of custom state: its key and its payload.
pub(crate) fn custom_state(cells: Cells<'_>) -> (String, Option<Vec<u8>>) {
    (text(cells, 0), cells.bytes(1))
}

#[cfg(feature = "sqlite")]
/// A name and how many there are of it.
pub(crate) fn counted(cells: Cells<'_>) -> (String, i64) {
    (text(cells, 0), count(cells, 1))
}

/// Two ids.
pub(crate) fn pair(cells: Cells<'_>) -> Option<(String, String)> {
    Some((cells.text(0)?, cells.text(1)?))
}

/// What is known of a dead letter.
pub(crate) fn fact(cells: Cells<'_>) -> Fact {
    let (kind, readable) = (TaskKind::parse(&text(cells, 2)), flag(cells, 7));
    let stopped = flag(cells, 15);
    Fact {
        id: text(cells, 0),
        moved_at: cells.wall(1),
        replay_facts: ReplayFacts { stopped, ..replay_facts(cells, 3, kind, readable) },
        execution_id: cells.text(8),
        step: cells.text(9),
        reason: cells.text(10),
        queue: cells.text(11),
        worker: cells.text(12),
        retries: cells.int(13),
        dump: cells.text(14),
    }
}

#[cfg(feature = "postgres")]
/// What makes a dead letter one of a group.
pub(crate) fn death(cells: Cells<'_>) -> Death {
    Death {
        id: text(cells, 0),
        moved_at: cells.wall(1),
        step: cells.text(2),
        reason: cells.text(3),
        replayable: flag(cells, 4),
    }
}

/// What replayability is judged by: from column `from` on the execution's state, whether it has expired, the state of the task
/// that waited, and whether an orchestrator continues.
pub(crate) fn replay_facts(cells: Cells<'_>, from: usize, kind: TaskKind, readable: bool) -> ReplayFacts {
    ReplayFacts {
        kind,
        execution: cells.text(from).map(|state| ExecutionState::parse(&state)),
        expired: flag(cells, from + 1),
        parent: cells.text(from + 2).map(|state| TaskState::parse(&state)),
        live: flag(cells, from + 3),
        stopped: false,
        readable,
    }
}

/// A task around an orchestrator that is to start anew.
pub(crate) fn around(cells: Cells<'_>) -> Option<Around> {
    Some(Around {
        root: cells.text(0)?,
        id: cells.text(1)?,
        parent: cells.text(2),
        step: text(cells, 3),
        kind: TaskKind::parse(&text(cells, 4)),
        state: TaskState::parse(&text(cells, 5)),
        kept: flag(cells, 6),
        stopped: flag(cells, 7),
        not_retried: allowed_tries(cells.int(8), cells.text(9).as_deref()).is_some(),
    })
}

/// Activity around a task.
pub(crate) fn activity(cells: Cells<'_>) -> Activity {
    Activity {
        ready: count(cells, 0),
        running: count(cells, 1),
        last_begun: cells.wall(2),
        of_step: count(cells, 3),
        passed: count(cells, 4),
        alike: count(cells, 5),
    }
}

/// What should not be there.
pub(crate) fn orphans(cells: Cells<'_>) -> Orphans {
    Orphans {
        failed_without_letter: count(cells, 0),
        letters_without_execution: count(cells, 1),
        tasks_without_execution: count(cells, 2),
        more_failed: flag(cells, 3),
        more_letters: flag(cells, 4),
    }
}

fn group_at(cells: Cells<'_>, from: usize) -> Group {
    Group { count: count(cells, from), estimated: false, oldest: cells.wall(from + 1), newest: cells.wall(from + 2) }
}

/// A number of rows and their times, alone in the row.
pub(crate) fn group(cells: Cells<'_>) -> Group {
    group_at(cells, 0)
}

#[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "only the statements of PostgreSQL count them"))]
/// Executions, counted.
pub(crate) struct ExecutionCount {
    /// Which of them; what the numbers mean is the statement's affair.
    pub(crate) which: i64,
    /// Their state.
    pub(crate) state: String,
    /// How many.
    pub(crate) group: Group,
    /// How many of them ended within a window.
    pub(crate) ended: i64,
}

/// Executions, counted.
pub(crate) fn execution_count(cells: Cells<'_>) -> ExecutionCount {
    ExecutionCount { which: count(cells, 0), state: text(cells, 1), group: group_at(cells, 2), ended: count(cells, 5) }
}

/// Tasks alike.
pub(crate) fn task_group(cells: Cells<'_>) -> TaskGroup {
    let estimated = flag(cells, 13);
    TaskGroup {
        state: text(cells, 0),
        kind: text(cells, 1),
        queue: cells.text(2),
        off: flag(cells, 3),
        group: Group { estimated, ..group_at(cells, 4) },
        lease: cells.wall(7),
        due: cells.wall(8),
        begun: cells.wall(9),
        lead: cells.int(10),
        tagged: flag(cells, 11),
        held: flag(cells, 12),
    }
}

/// Tasks that workers pass over.
pub(crate) fn passed(cells: Cells<'_>) -> Passed {
    Passed { queue: cells.text(0), tags: text(cells, 1), count: count(cells, 2), due: cells.wall(3) }
}

/// A worker.
pub(crate) fn worker(cells: Cells<'_>) -> Worker {
    Worker {
        name: cells.text(0),
        running: count(cells, 1),
        lost: count(cells, 2),
        since: cells.wall(3),
        lease: cells.wall(4),
    }
}

/// A step.
pub(crate) fn step(cells: Cells<'_>) -> Step {
    let cancelled = count(cells, 6);
    Step {
        name: cells.text(0),
        completed: count(cells, 1),
        // A cancel is stored as a failure with an error of its own.
        failed: count(cells, 2) - cancelled,
        cancelled,
        mean: cells.float(3),
        longest: cells.float(4),
        retries: count(cells, 5),
    }
}
