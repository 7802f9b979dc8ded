//! A busy healthy system raises no alarm, and a worker that is killed in a step raises one.

use serde_json::json;

use super::place::{Place, VERSIONS};
use crate::harness::scale::sized;

#[test]
fn a_busy_system_is_quiet_and_a_dead_worker_is_not() {
    for version in VERSIONS {
        let place = Place::new(version);
        let mut worker = place.peer();
        assert!(worker.send(&json!({"do": "busy", "at_once": 4})).get("ok").is_some());
        let (mut alarms, mut looks, mut begun) = (Vec::new(), 0, 0);
        // As often as is wanted, and as long as it takes until the worker has done something meanwhile.
        while looks < sized(20, 200) || (begun < 20 && looks < 20_000) {
            let output = place.sen(&["status", "--check"]).run();
            if output.code != 0 {
                alarms.push(output.stdout);
            }
            looks += 1;
            let alive = worker.send(&json!({"do": "alive"}));
            begun = alive["ok"].as_i64().unwrap_or_else(|| panic!("the worker went on to the end: {alive}"));
        }
        println!("{}: {looks} polls, {begun} sagas, {} alarms", version.name, alarms.len());
        assert!(begun >= 20, "it was busy: {begun}");
        assert!(alarms.is_empty(), "{}", alarms[0]);
        worker.kill();
        // A worker is killed in the middle of a step; its lease and the polls that do not come pass by.
        place.killed(json!({"do": "start", "order": "o-hang", "plan": {"charge": "hang"}}));
        assert_eq!(place.verdict(&place.id_of("o-hang")), "running");
        place.shift("11 minutes");
        let told: Vec<i32> = (0..2).map(|_| place.sen(&["status", "--check"]).run().code).collect();
        assert!(told.iter().any(|code| *code != 0), "{told:?}");
    }
}
