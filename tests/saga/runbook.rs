//! The runbook for a saga that does not move, on sagas of the real library in PostgreSQL.

use serde_json::json;

use super::place::Place;
use crate::harness::peers::SAGA_073;
use crate::harness::runbook::run;

#[test]
fn a_saga_that_does_not_move_is_freed_or_left_to_a_person() {
    let mut place = Place::new(&SAGA_073);
    let url = place.url();
    let runbook = |id: &str, code| run("stuck-saga.sh", &[id, "INC-3"], &url).expect_code(code);

    let failed = place.start("failed", "order-once", json!({"charge": "fail"}));
    place.mode("failed", "charge", "ok");
    runbook(&failed, 0);
    place.run_due();
    assert_eq!(place.status(&failed), "COMPLETED");
    runbook(&failed, 0);

    let waiting = place.start("waiting", "order", json!({"charge": "fail"}));
    runbook(&waiting, 8);
    assert_eq!(place.status(&waiting), "SUSPENDED");

    let half = place.start("half", "order-rollback", json!({"charge": "fail", "undo-reserve": "fail"}));
    runbook(&half, 10);
    run("stuck-saga.sh", &["00000000-0000-4000-8000-000000000000"], &url).expect_code(4);
}
