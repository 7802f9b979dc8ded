//! A key whose outcome is uncertain and that a dead letter names is settled before the dead letter is replayed.

use crate::harness::sen::sen;

/// The demo's incident: a payment is uncertain, and the execution that called it is dead.
#[test]
fn a_replay_warns_of_an_uncertain_key_and_why_puts_it_first() {
    let folder = tempfile::tempdir().unwrap();
    sen(["demo"]).cwd(folder.path()).run().expect_code(0);
    let here = |words: &[&str]| sen(words).cwd(folder.path()).database("sqlite:sen-demo.db").run();
    let letters = here(&["dlq", "list", "--system", "stent", "-o", "json"]).expect_code(0).json();
    let named = |letter: &&serde_json::Value| letter["payload"].to_string().contains("order-7731");
    let id =
        letters.as_array().unwrap().iter().find(named).expect("a dead letter of order-7731")["id"].as_str().unwrap();

    let words = "related key payments:order-7731 is uncertain";
    let plan = here(&["dlq", "replay", id, "--dry-run", "--force"]).expect_code(0);
    assert!(
        plan.stdout.contains(words) && plan.stdout.contains("sen reconcile payments:order-7731"),
        "{}",
        plan.stdout
    );

    let told = here(&["why", id, "-o", "json"]).expect_code(0).json();
    let next: Vec<&str> =
        told["next"].as_array().unwrap().iter().map(|next| next["command"].as_str().unwrap()).collect();
    assert_eq!(next[0], "sen reconcile payments:order-7731", "{next:?}");
    let step = |command: &str| {
        let mut all = told["next"].as_array().unwrap().iter();
        all.find(|next| next["command"].as_str().unwrap().starts_with(command)).and_then(|next| next["step"].as_i64())
    };
    assert_eq!(step("sen reconcile "), Some(1), "{next:?}");
    assert!(step("sen dlq replay ").is_none_or(|step| step > 1), "{next:?}");
    let page = here(&["why", id]).expect_code(0).stdout;
    assert!(page.contains("# 1. ") && page.contains("# 2. "), "{page}");

    let done = here(&["dlq", "replay", id, "--force", "--yes"]).expect_code(0);
    assert!(done.stderr.contains(words), "{}", done.stderr);
    // Once it is settled, nothing is left to say.
    let other = letters.as_array().unwrap().iter().find(|letter| !named(letter)).unwrap()["id"].as_str().unwrap();
    let plan = here(&["dlq", "replay", other, "--dry-run", "--force"]).stdout;
    assert!(!plan.contains("related key payments:order-7731"), "{plan}");
}

/// What is completed would be done twice: a plan that runs work again names the key.
#[test]
fn work_whose_key_is_completed_is_warned_of_before_it_runs_again() {
    let folder = tempfile::tempdir().unwrap();
    sen(["demo"]).cwd(folder.path()).run().expect_code(0);
    let db = rusqlite::Connection::open(folder.path().join("sen-demo.db")).unwrap();
    let here = |words: &[&str]| sen(words).cwd(folder.path()).database("sqlite:sen-demo.db").run();
    let (dead, failed, stuck) = (
        "77380000-c4a6-4000-8000-000000000001",
        "00001e38-d001-4e4e-a000-1e38fadedcab",
        "00001e33-d001-4e4e-a000-1e33fadedcab",
    );
    let word = "is completed: its work is done";
    let acts = [
        (&["dlq", "replay", dead][..], "payments:order-7738"),
        (&["saga", "retry", failed], "payments:order-7736"),
        (&["saga", "unstick", stuck], "payments:order-7731"),
    ];
    let planned = |words: &[&str]| here(&[words, &["--dry-run", "-o", "json"]].concat()).expect_code(0).json();
    for (words, key) in acts {
        let before = planned(words);
        assert!(!before["warnings"].to_string().contains(word), "{words:?}: {before}");
        db.execute(
            "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, status) VALUES (?1, 'web-1:1-1', 0, 'completed')
                ON CONFLICT (key) DO UPDATE SET status = 'completed'",
            [key],
        )
        .unwrap();
        let plan = planned(words);
        assert!(plan["warnings"].to_string().contains(&format!("related key {key} {word}")), "{words:?}: {plan}");
        assert!(here(&[words, &["--yes"]].concat()).stderr.contains(word), "{words:?}");
    }
    // A message is handed on, and does no work again.
    let outbox = planned(&["dlq", "replay", "00001e16-d002-4e4e-a000-1e16fadedcab"]);
    assert!(!outbox["warnings"].to_string().contains(word), "{outbox}");
}
