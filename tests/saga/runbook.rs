//! The runbook for a saga that does not move, on sagas of the real library in PostgreSQL.

use serde_json::json;

use super::place::Place;
use crate::harness::peers::SAGA_073;
use crate::harness::runbook::{run, run_in_vain};

#[test]
fn a_saga_that_does_not_move_is_freed_or_left_to_a_person() {
    let mut place = Place::new(&SAGA_073);
    let url = place.url();
    let runbook = |id: &str, code| run("stuck-saga.sh", &[id, "INC-3"], &url).expect_code(code);
    let waited = |place: &Place, words: &[&str], code| -> String {
        let told = place.act(&[&["wait"][..], words].concat(), code).json();
        told["outcome"].as_str().unwrap().to_owned()
    };

    let failed = place.start("failed", "order-once", json!({"charge": "fail"}));
    assert_eq!(waited(&place, &[&failed], 10), "needs_attention");
    assert_eq!(waited(&place, &[&failed, "--for", "failed"], 0), "reached");
    place.mode("failed", "charge", "ok");
    runbook(&failed, 0);
    place.run_due();
    assert_eq!(place.status(&failed), "COMPLETED");
    runbook(&failed, 0);
    assert_eq!(waited(&place, &["failed"], 0), "reached", "by what it is about");
    assert_eq!(waited(&place, &[&failed, "--for", "stuck"], 10), "ended_otherwise");

    let waiting = place.start("waiting", "order", json!({"charge": "fail"}));
    runbook(&waiting, 8);
    assert_eq!(place.status(&waiting), "SUSPENDED");
    assert_eq!(waited(&place, &[&waiting, "--timeout", "5s"], 8), "timed_out");
    // The status as it is stored will do, too.
    assert_eq!(waited(&place, &[&waiting, "--for", "suspended"], 0), "reached");

    let half = place.start("half", "order-rollback", json!({"charge": "fail", "undo-reserve": "fail"}));
    runbook(&half, 10);
    run("stuck-saga.sh", &["00000000-0000-4000-8000-000000000000"], &url).expect_code(4);
    // Two sagas about the same: which of them is meant is not guessed.
    place.start("failed", "order", json!({}));
    let which = place.act(&["wait", "failed"], 2);
    assert!(which.stderr.contains("name one by its own id"), "{}", which.stderr);
}

#[test]
fn sagas_that_no_poll_picks_up_are_made_due_and_waited_for() {
    let mut place = Place::new(&SAGA_073);
    let url = place.url();
    assert_eq!(run("unstick-old-sagas.sh", &["1h"], &url).expect_code(0).said, "");
    let stuck = place.start("stuck", "order", json!({}));
    let fresh = place.start("fresh", "order", json!({}));
    let orphan = |id: &str, age: &str| {
        format!(
            "UPDATE order_saga SET status = 'RUNNING', deadline_at = NULL, updated_at = now() - interval '{age}' WHERE id = '{id}'"
        )
    };
    place.psql(&orphan(&stuck, "3 hours"));
    place.psql(&orphan(&fresh, "10 minutes"));
    let said = run_in_vain("unstick-old-sagas.sh", &["1h", "INC-3"], &url).expect_code(8).said;
    assert!(said.contains(&format!("{stuck}\tdue\ttimed_out")) && !said.contains(&fresh), "{said}");
    place.run_due();
    assert_eq!(place.act(&["wait", &stuck], 0).json()["state"], "completed");
    assert_eq!(place.verdict(&fresh), "stuck");
}
