//! The demo's executions are what the real library would have left: it opens the file and goes on.

use crate::harness::peers::{self, STENT_112};
use crate::harness::sen::sen;

#[test]
fn the_library_goes_on_with_the_demo() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("demo.db");
    let file = file.to_str().unwrap();
    sen(["demo", file]).run().expect_code(0);
    let url = format!("sqlite:{file}");
    let json = |args: &[&str]| sen([&["-o", "json"], args].concat()).database(&url).run().expect_code(0).json();
    let states = |rows: &serde_json::Value| {
        let mut states: Vec<String> =
            rows.as_array().unwrap().iter().map(|row| row["state"].as_str().unwrap().to_owned()).collect();
        states.sort();
        states.dedup();
        states
    };
    let before = json(&["exec", "list"]);
    assert_eq!(states(&before), ["completed", "failed", "lost", "pending", "sleeping", "stranded", "waiting"]);
    let stats = json(&["stats"]);
    let stent = stats["systems"].as_array().unwrap().iter().find(|system| system["system"] == "stent").unwrap();
    assert_eq!(stent["dead_letters"], 8);

    let after = peers::ask(&STENT_112, "stent/continue_demo.py", &[file]);
    assert_eq!(after["letters"].as_array().unwrap().len(), 8, "the library reads every letter");
    let settled = after["executions"].as_object().unwrap().values().filter(|state| *state == "completed").count();
    assert_eq!(settled, 9, "six were done, two waited, one was lost: {after:#}");
    assert_eq!(states(&json(&["exec", "list"])), ["completed", "failed", "sleeping", "stranded", "waiting"]);
    let lost = json(&["exec", "show", "77360000-c4a6-4000-8000-000000000000"]);
    assert_eq!(lost["result"]["charge"], "ch_order-7736");

    // The demo is made anew over its own file, and over no other.
    sen(["demo", file]).run().expect_code(0);
}
