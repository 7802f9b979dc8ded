//! The guards of each act's statement, asked of the cells themselves: whatever a plan has seen, this is what holds.

use std::sync::Arc;

use sen_core::model::plan::{Plan, Risk};
use sen_core::permit::{Consent, WritePermit};
use sen_core::stores::postgres::Postgres;
use sen_core::stores::postgres::shared::SharedConnection;
use sen_core::stores::sqlite::{Access, Sqlite};
use sen_core::stores::url::Target;
use sen_core::systems::stent::acts::port::{ActStore, Cancel, Complete, Signal};
use sen_core::systems::stent::letters::targets::{DeadLetterRef, Places};
use sen_core::systems::stent::letters::{Batch, LetterStore};
use sen_core::systems::stent::postgres::acts::PostgresActs;
use sen_core::systems::stent::postgres::letters::PostgresLetters;
use sen_core::systems::stent::shape::MARKS;
use sen_core::systems::stent::sqlite::acts::SqliteActs;
use sen_core::systems::stent::sqlite::letters::SqliteLetters;
use sen_core::time::wall::Wall;

use super::place::{Place, Seed};

/// Runs a test on a store of each kind.
fn on_both(test: impl AsyncFn(&Place, &dyn ActStore, &dyn LetterStore)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for place in Place::both() {
        runtime.block_on(async {
            match Target::resolve(Some(&place.url()), &|_| None).unwrap() {
                Target::Postgres(info) => {
                    let db = Postgres::connect(&info).await.unwrap();
                    let shared = Arc::new(SharedConnection::new(db, None, (*info).clone(), &[MARKS]));
                    test(&place, &PostgresActs::new(Arc::clone(&shared)), &PostgresLetters::new(shared)).await;
                }
                Target::Sqlite(path) => {
                    let db = Arc::new(Sqlite::open(&path, Access::Write).await.unwrap());
                    test(&place, &SqliteActs::new(Arc::clone(&db)), &SqliteLetters::new(db)).await;
                }
                _ => unreachable!("places are databases or files"),
            }
        });
    }
}

fn permit() -> WritePermit {
    WritePermit::grant(&Plan::new("test", Risk::Dangerous), Consent::InAdvance, None).unwrap()
}

fn cancel<'a>(seen: &'a str) -> Cancel<'a> {
    Cancel { id: "e-letter", seen, error: None, ahead: 0, note: "by a test" }
}

#[test]
fn guard_a_cancel_needs_the_state_as_seen() {
    on_both(async |place, acts, _| {
        Seed { execution: Some("running"), live: true, ..Seed::default() }.plant(place);
        assert_eq!(acts.cancel(&cancel("pending"), &permit()).await.unwrap(), None);
        for state in ["completed", "failed", "timed_out", "cancelled"] {
            place.sql(&format!("UPDATE executions SET state = '{state}'"));
            assert_eq!(acts.cancel(&cancel(state), &permit()).await.unwrap(), None, "{state}");
            assert_eq!(acts.cancel(&cancel("running"), &permit()).await.unwrap(), None, "{state}");
        }
        assert_eq!(place.count("tasks WHERE state = 'pending'"), 1);
        place.sql("UPDATE executions SET state = 'running'");
        assert_eq!(acts.cancel(&cancel("running"), &permit()).await.unwrap().unwrap().0.len(), 1);
        assert_eq!(place.count("tasks WHERE state = 'pending'"), 0);
    });
}

#[test]
fn guard_a_completion_needs_the_state_as_seen_and_a_completed_root() {
    on_both(async |place, acts, _| {
        Seed { execution: Some("running"), ..Seed::default() }.plant(place);
        let complete = async |seen: &str, task: &str| {
            let complete = Complete { id: "e-letter", seen, task, ahead: 0, note: "by a test" };
            acts.complete(&complete, &permit()).await.unwrap().is_some()
        };
        place.sql("UPDATE tasks SET state = 'completed'");
        assert!(!complete("running", "letter").await, "its root task has no result");
        place.sql(&format!("UPDATE tasks SET result = {}", place.bytes(b"7")));
        for state in ["failed", "timed_out"] {
            place.sql(&format!("UPDATE tasks SET state = '{state}'"));
            assert!(!complete("running", "letter").await, "its root task is {state}");
        }
        place.sql("UPDATE tasks SET state = 'completed'");
        assert!(!complete("running", "other").await, "that is no task of it");
        assert!(!complete("pending", "letter").await, "it is not as seen");
        for state in ["completed", "failed", "timed_out", "cancelled", "cancelling"] {
            place.sql(&format!("UPDATE executions SET state = '{state}'"));
            assert!(!complete(state, "letter").await, "{state}");
        }
        place.sql("UPDATE executions SET state = 'running'");
        place.sql("UPDATE tasks SET kind = 'activity'");
        assert!(!complete("running", "letter").await, "it is no orchestrator");
        place.sql("UPDATE tasks SET kind = 'orchestrator', execution_id = 'other'");
        assert!(!complete("running", "letter").await, "it belongs to another execution");
        place.sql("UPDATE tasks SET execution_id = 'e-letter'");
        place.sql("INSERT INTO tasks (id, execution_id, kind, step_name, state) VALUES ('l-x', 'e-letter', 'orchestrator', 's', 'pending')");
        assert!(!complete("running", "letter").await, "an orchestrator is queued");
        place.sql("UPDATE tasks SET state = 'running' WHERE id = 'l-x'");
        assert!(!complete("running", "letter").await, "an orchestrator runs");
        assert_eq!(place.sql("SELECT state FROM executions"), "running");
        // What is open of another execution, or is no orchestrator, is in nobody's way.
        place.sql("UPDATE tasks SET execution_id = 'other' WHERE id = 'l-x'");
        place.sql("INSERT INTO tasks (id, execution_id, kind, step_name, state) VALUES ('a-x', 'e-letter', 'activity', 's', 'pending')");
        assert!(complete("running", "letter").await);
        let row = place.sql(&format!("SELECT state, {} FROM executions", place.hex_of("result")));
        assert_eq!(row, "completed|37");
    });
}

/// A wait for a signal and what runs above it are left; a wait that nothing runs above, and all else that is open, is not.
#[test]
fn guard_a_cancel_leaves_waits_for_signals_alone() {
    on_both(async |place, acts, _| {
        Seed { execution: Some("running"), ..Seed::default() }.plant(place);
        let rows = [
            ("root", "e-letter", "orchestrator", "NULL", "running"),
            ("child", "e-letter", "orchestrator", "'root'", "running"),
            ("wait", "e-letter", "signal", "'child'", "pending"),
            ("beside", "e-letter", "activity", "'child'", "pending"),
            ("old", "e-letter", "orchestrator", "NULL", "failed"),
            ("stale", "e-letter", "signal", "'old'", "pending"),
            ("foreign", "other", "activity", "NULL", "pending"),
        ];
        for (id, execution, kind, parent, state) in rows {
            place.sql(&format!(
                "INSERT INTO tasks (id, execution_id, kind, parent_task_id, step_name, state)
                VALUES ('{id}', '{execution}', '{kind}', {parent}, 'signal:go', '{state}')"
            ));
        }
        let (stopped, _) = acts.cancel(&cancel("running"), &permit()).await.unwrap().unwrap();
        let mut told: Vec<(&str, bool)> = stopped.iter().map(|task| (task.id.as_str(), task.left.is_some())).collect();
        told.sort_unstable();
        assert_eq!(told, [("beside", false), ("child", true), ("root", true), ("stale", false), ("wait", true)]);
        let left = place.sql("SELECT id, state FROM tasks WHERE state IN ('pending', 'running') ORDER BY id");
        assert_eq!(left, "child|running\nforeign|pending\nroot|running\nwait|pending");
    });
}

fn signal(payload: &[u8], replace: bool) -> Signal<'_> {
    Signal { id: "e-letter", name: "go", payload, waiter: Some("letter"), replace, ahead: 0, note: "by a test" }
}

#[test]
fn guard_a_signal_needs_a_living_execution_and_no_unread_one() {
    on_both(async |place, acts, _| {
        Seed { execution: Some("running"), ..Seed::default() }.plant(place);
        for state in ["completed", "failed", "timed_out", "cancelled", "cancelling"] {
            place.sql(&format!("UPDATE executions SET state = '{state}'"));
            assert_eq!(acts.send(&signal(b"1", true), &permit()).await.unwrap(), None, "{state}");
        }
        place.sql("UPDATE executions SET state = 'running'");
        assert!(acts.send(&signal(b"1", false), &permit()).await.unwrap().unwrap().unread);
        assert_eq!(acts.send(&signal(b"2", false), &permit()).await.unwrap(), None);
        assert_eq!(place.sql(&format!("SELECT {} FROM signals", place.hex_of("payload"))), "31");
        assert!(acts.send(&signal(b"2", true), &permit()).await.unwrap().is_some());
        // Somebody else's payload wakes nobody in our name; a task that has ended is not written.
        place.sql("UPDATE tasks SET kind = 'signal', step_name = 'signal:go', state = 'pending'");
        assert!(!acts.wake(&signal(b"1", false), &permit()).await.unwrap().unread);
        place.sql("UPDATE tasks SET state = 'failed'");
        assert_eq!(acts.wake(&signal(b"2", false), &permit()).await.unwrap().woken, None);
        // The wait has ended, and what it holds answers every further one; another task of that end hinders nothing.
        for (id, state, goes) in
            [("letter", "completed", false), ("letter", "failed", false), ("other", "completed", true)]
        {
            place.sql(&format!("UPDATE tasks SET state = '{state}', id = '{id}'"));
            let sent = acts.send(&signal(b"2", true), &permit()).await.unwrap();
            assert_eq!(sent.is_some(), goes, "{id} {state}");
        }
        place.sql("UPDATE tasks SET id = 'letter'");
        place.sql("UPDATE tasks SET state = 'pending'");
        assert_eq!(acts.wake(&signal(b"2", false), &permit()).await.unwrap().woken.as_deref(), Some("letter"));
    });
}

#[test]
fn guard_a_cleanup_needs_an_end_as_seen_and_nothing_left_to_do() {
    let end = Wall::parse("2026-11-20T10:00:00");
    let wanted = [DeadLetterRef::new("e-letter", end)];
    on_both(async |place, acts, _| {
        Seed { execution: Some("completed"), ..Seed::default() }.plant(place);
        let clean = async || acts.clean(&wanted, &permit()).await.unwrap();
        assert!(clean().await == Places::default(), "it has a dead letter");
        place.sql("UPDATE tasks SET id = 'other'");
        assert!(clean().await == Places::default(), "it has a dead letter whose task is gone");
        place.sql("DELETE FROM dead_tasks");
        for state in ["pending", "running"] {
            place.sql(&format!("UPDATE tasks SET state = '{state}'"));
            assert!(clean().await == Places::default(), "it has a task that is {state}");
        }
        place.sql("UPDATE tasks SET state = 'failed'");
        for state in ["pending", "running", "cancelling"] {
            place.sql(&format!("UPDATE executions SET state = '{state}'"));
            assert!(clean().await == Places::default(), "{state}");
        }
        place.sql("UPDATE executions SET state = 'completed', completed_at = '2026-11-20T11:00:00'");
        assert!(clean().await == Places::default(), "it ended at another time");
        place.sql("UPDATE executions SET completed_at = '2026-11-20T10:00:00'");
        assert_eq!(clean().await.done, [0]);
        assert_eq!(place.count("executions") + place.count("tasks"), 0);
    });
}

#[test]
fn guard_a_discard_needs_the_letter_as_seen() {
    on_both(async |place, _, letters| {
        Seed::default().plant(place);
        let removed = async |moved_at: &str| {
            let wanted = [DeadLetterRef::new("letter", Wall::parse(moved_at))];
            let batch = Batch { letters: &wanted, queue: None, force: false, ahead: 0, note: "by a test" };
            letters.remove(&batch, &permit()).await.unwrap()
        };
        assert!(removed("2026-11-20T10:00:00").await == Places::default());
        assert_eq!(removed("2026-11-20T10:00:00.123456").await.done, [0]);
        assert_eq!(place.count("dead_tasks"), 0);
    });
}
