//! An execution's tasks as a tree: each below the one that waits for it, in the order they were made.

use std::collections::HashMap;

use super::values::{Clock, attempts, error_line, state_name};
use crate::record::Task;
use crate::verdict;
use sen_model::columns;
use sen_model::record::Section;
use sen_model::value::Value;

pub(super) fn section(tasks: &[Task], count: i64, clock: &Clock<'_>) -> Section {
    let rows = order(tasks).into_iter().map(|place| row(&tasks[place.task], &place, clock)).collect();
    let heading = if count > tasks.len() as i64 {
        "tasks (the first 1000; sen task list --execution shows all)"
    } else {
        "tasks"
    };
    Section { name: "tasks", heading, columns: COLUMNS, rows }
}

/// Where a task stands in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    task: usize,
    depth: usize,
    /// What is drawn before its name.
    lines: String,
}

/// Every task once, parents before children. A parent that is not there, or comes round to its own child, makes a root.
fn order(tasks: &[Task]) -> Vec<Place> {
    let ids: HashMap<&str, usize> = tasks.iter().enumerate().map(|(at, task)| (task.id.as_str(), at)).collect();
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); tasks.len()];
    let mut roots = Vec::new();
    for (at, task) in tasks.iter().enumerate() {
        let parent = task.parent_task_id.as_deref().and_then(|parent| ids.get(parent).copied());
        match parent.filter(|parent| *parent != at) {
            Some(parent) => children[parent].push(at),
            None => roots.push(at),
        }
    }
    let mut placed = vec![false; tasks.len()];
    let mut places = Vec::new();
    descend(roots, &children, &mut placed, &mut places);
    // What is left is a cycle: its first task serves as the root.
    for at in 0..tasks.len() {
        if !placed[at] {
            descend(vec![at], &children, &mut placed, &mut places);
        }
    }
    places
}

fn descend(roots: Vec<usize>, children: &[Vec<usize>], placed: &mut [bool], places: &mut Vec<Place>) {
    // (task, depth, lines of the ancestors, whether it is the last of its siblings)
    let mut open: Vec<(usize, usize, String, bool)> =
        roots.into_iter().rev().map(|at| (at, 0, String::new(), true)).collect();
    while let Some((task, depth, above, last)) = open.pop() {
        if std::mem::replace(&mut placed[task], true) {
            continue;
        }
        let lines =
            if depth == 0 { String::new() } else { format!("{above}{}", if last { "└─ " } else { "├─ " }) };
        // Deep chains are drawn no further to the right than a screen is wide.
        let below = match depth {
            0 => String::new(),
            1..12 => format!("{above}{}", if last { "   " } else { "│  " }),
            _ => above,
        };
        let own = &children[task];
        open.extend(
            own.iter().enumerate().rev().map(|(at, child)| (*child, depth + 1, below.clone(), at + 1 == own.len())),
        );
        places.push(Place { task, depth, lines });
    }
}

columns! {
    COLUMNS,
    fn row(task: &Task, place: &Place, clock: &Clock<'_>) {
        let step = task.step_name.as_deref().unwrap_or("(unnamed)");
    }
    "tree", "TASK", Whole => Value::Text(format!("{}{step}", place.lines));
    "state", "STATE", Whole => Value::Name(verdict::task(task, clock.wall).name());
    "took_ms", "TOOK", Whole => clock.took(task.started_at, task.completed_at, task.state.is_terminal());
    "attempts", "TRIES", Wide => attempts(task);
    "id", "ID", Wide => Value::Text(task.id.clone());
    "worker", "WORKER", Wide => Value::text(task.worker_id.clone());
    "error", "ERROR", Wide => error_line(task.error.as_deref());
    "step", "STEP", Asked => Value::text(task.step_name.clone());
    "kind", "KIND", Asked => state_name(task.kind.name(), task.kind.as_str());
    "status", "STORED", Asked => state_name(task.state.name(), task.state.as_str());
    "depth", "DEPTH", Asked => Value::Int(place.depth as i64);
    "parent_task_id", "PARENT", Asked => Value::text(task.parent_task_id.clone());
    "created_at", "CREATED", Asked => clock.time(task.created_at);
    "started_at", "STARTED", Asked => clock.time(task.started_at);
    "completed_at", "COMPLETED", Asked => clock.time(task.completed_at);
    "lease_expires_at", "LEASE ENDS", Asked => clock.time(task.lease_expires_at);
    "scheduled_for", "DUE", Asked => clock.time(task.scheduled_for);
    "queue", "QUEUE", Asked => Value::text(task.queue.clone());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{TaskKind, TaskState};

    fn task(id: &str, parent: Option<&str>) -> Task {
        Task {
            id: id.into(),
            execution_id: None,
            step_name: Some(id.into()),
            kind: TaskKind::Activity,
            parent_task_id: parent.map(str::to_owned),
            state: TaskState::Completed,
            args: None,
            kwargs: None,
            result: None,
            error: None,
            retries: None,
            created_at: None,
            started_at: None,
            completed_at: None,
            worker_id: None,
            lease_expires_at: None,
            tags: Vec::new(),
            priority: None,
            queue: None,
            idempotency_key: None,
            retry_policy: None,
            scheduled_for: None,
            has_result: false,
            unreadable: Vec::new(),
        }
    }

    fn drawn(tasks: &[Task]) -> Vec<String> {
        order(tasks).iter().map(|place| format!("{}{}", place.lines, tasks[place.task].id)).collect()
    }

    #[test]
    fn children_stand_below_their_parents() {
        let tasks = [
            task("b", Some("root")),
            task("root", None),
            task("c", Some("root")),
            task("d", Some("b")),
            task("x", Some("gone")),
        ];
        assert_eq!(drawn(&tasks), ["root", "├─ b", "│  └─ d", "└─ c", "x"]);
    }

    #[test]
    fn circles_and_deep_chains_end() {
        assert_eq!(drawn(&[task("a", Some("b")), task("b", Some("a")), task("c", Some("c"))]), ["c", "a", "└─ b"]);
        let names: Vec<String> = (0..50_000).map(|at| at.to_string()).collect();
        let chain: Vec<Task> =
            (0..names.len()).map(|at| task(&names[at], at.checked_sub(1).map(|up| names[up].as_str()))).collect();
        let drawn = drawn(&chain);
        assert_eq!(drawn.len(), 50_000);
        assert!(drawn.iter().all(|line| line.chars().count() < 60));
    }
}
