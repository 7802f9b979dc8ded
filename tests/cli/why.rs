//! `sen why` on the demo's incident.

use crate::harness::sen::sen;

#[test]
fn each_key_of_the_incident_is_told_its_cause_and_healthy_ones_have_none() {
    let folder = tempfile::tempdir().unwrap();
    sen(["demo"]).cwd(folder.path()).run().expect_code(0);
    let why = |args: &[&str]| {
        let args: Vec<&str> = ["why"].iter().chain(args).copied().collect();
        sen(args).cwd(folder.path()).database("sqlite:sen-demo.db").run()
    };
    for (key, rules, command) in [
        ("payments:order-7731", &["holder_gone"][..], "sen reconcile payments:order-7731"),
        ("reports:daily-settlement", &["async_holder"], "sen wait reports:daily-settlement"),
        ("emails:receipt-7701", &[], ""),
    ] {
        let told = why(&["-o", "json", key]).expect_code(0).json();
        let found: Vec<&str> = told["chain"][0]["causes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|cause| cause["rule"].as_str().unwrap())
            .collect();
        assert_eq!(found, rules, "{told}");
        assert_eq!(told["next"][0]["command"].as_str().unwrap_or_default(), command, "{told}");
        why(&["--check", key]).expect_code(if rules.is_empty() { 0 } else { 10 });
    }
    let healthy = why(&["emails:receipt-7701"]).expect_code(0).stdout;
    assert!(healthy.contains("needs no attention"), "{healthy}");
    let missing = why(&["payments:order-7732x"]).expect_code(4).stderr;
    assert!(missing.contains("did you mean"), "{missing}");
    // Ages can pass a second between the two.
    let both = || {
        [&["-n", "payments", "order-7731"][..], &["payments:order-7731"]].map(|args| why(args).expect_code(0).stdout)
    };
    let pairs: Vec<[String; 2]> = std::iter::repeat_with(both).take(5).collect();
    assert!(pairs.iter().any(|[named, whole]| named == whole), "{pairs:?}");
}

#[test]
fn a_chain_leads_from_an_execution_to_the_key_its_arguments_name() {
    let folder = tempfile::tempdir().unwrap();
    sen(["demo"]).cwd(folder.path()).run().expect_code(0);
    let why = |id: &str| {
        sen(["why", "-o", "json", id]).cwd(folder.path()).database("sqlite:sen-demo.db").run().expect_code(0).json()
    };
    let told = why("77310000-c4a6-4000-8000-000000000000");
    let chain = told["chain"].as_array().unwrap();
    let link = |subject: &str| chain.iter().find(|link| link["subject"] == subject).unwrap_or_else(|| panic!("{told}"));
    assert_eq!(chain[0]["subject"], "stent:execution:77310000-c4a6-4000-8000-000000000000");
    let task = link("stent:task:77310000-c4a6-4000-8000-000000000002");
    assert_eq!((&task["relation"], &task["relation_certainty"]), (&"its task".into(), &"proven".into()));
    let lease = link("sentinel:lease:payments:order-7731");
    assert_eq!(
        (&lease["relation"], &lease["relation_certainty"]),
        (&"named in its arguments".into(), &"likely".into())
    );
    assert_eq!(told["worst"], "critical");
    assert_eq!(told["next"][0]["command"], "sen reconcile payments:order-7731");
    // A completed execution has no causes, whatever hangs together with it.
    assert!(why("77010000-c4a6-4000-8000-000000000000")["chain"][0]["causes"].as_array().unwrap().is_empty());
}

/// Of many things that name a key a few are looked at, and that there are more is said.
#[test]
fn that_more_name_a_key_than_are_looked_at_is_said() {
    let folder = tempfile::tempdir().unwrap();
    sen(["demo"]).cwd(folder.path()).run().expect_code(0);
    let db = rusqlite::Connection::open(folder.path().join("sen-demo.db")).unwrap();
    let why = || sen(["why", "-o", "json", "order-many"]).cwd(folder.path()).database("sqlite:sen-demo.db").run();
    for (count, cut) in [(5, false), (6, true)] {
        while db
            .query_row("SELECT count(*) FROM executions WHERE id LIKE 'many-%'", [], |row| row.get::<_, i64>(0))
            .unwrap()
            < count
        {
            db.execute(
                "INSERT INTO executions (id, root_function, state, args, kwargs, retries, created_at, tags)
                SELECT 'many-' || count(*), 'f', 'failed', CAST('[\"order-many\"]' AS BLOB), CAST('{}' AS BLOB), 0,
                    '2026-11-20T10:00:00', '[]' FROM executions",
                [],
            )
            .unwrap();
        }
        let told = why().expect_code(0).json();
        assert_eq!((told["chain"].as_array().unwrap().len(), &told["chain_cut"]), (5, &cut.into()), "{told}");
    }
}

#[test]
fn what_a_replay_left_and_made_is_named_where_its_records_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    sen(["demo"]).cwd(folder.path()).run().expect_code(0);
    let run = |args: &[&str]| sen(args).cwd(folder.path()).database("sqlite:sen-demo.db").run().expect_code(0);
    let [execution, root, step] = [0, 1, 2].map(|place| format!("77380000-c4a6-4000-8000-00000000000{place}"));
    let replayed = run(&["dlq", "replay", &root, "--yes"]).stdout;
    let fresh = replayed.split("replayed as task ").nth(1).unwrap().split_whitespace().next().unwrap();
    // What was made is waited for.
    assert!(replayed.contains(&format!("sen wait {fresh}")), "{replayed}");
    // The letter of its step waits for nothing any more, and why is said.
    let left = run(&["dlq", "show", &step, "-o", "json"]).json();
    assert_eq!(left["verdict"]["state"], "orchestrator_replaced", "{left:#}");
    let first = left["verdict"]["next"][0]["command"].as_str().unwrap();
    assert!(first.starts_with("sen dlq discard"), "{left:#}");
    for args in [&["task", "show", &root][..], &["why", &root], &["exec", "show", &execution], &["why", &execution]] {
        let told = run(args).stdout;
        assert!(told.contains(&format!("replayed as task {fresh}")), "{args:?}: {told}");
        assert!(!told.contains("its worker died"), "{args:?}: {told}");
    }
}

#[test]
fn the_result_that_a_stranded_execution_would_end_with_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    sen(["demo"]).cwd(folder.path()).run().expect_code(0);
    let id = "77290000-c4a6-4000-8000-000000000000";
    for args in [&["exec", "show", id][..], &["why", id], &["exec", "complete", id, "--dry-run"]] {
        let told = sen(args).cwd(folder.path()).database("sqlite:sen-demo.db").run().expect_code(0).stdout;
        assert!(told.contains("ch_7729") && told.contains("receipt"), "{args:?}: {told}");
    }
}

/// Whether a worker may still act is one judgement: no screen calls it gone while another says that it may act.
#[test]
fn every_screen_says_the_same_of_the_worker() {
    let folder = tempfile::tempdir().unwrap();
    sen(["demo"]).cwd(folder.path()).run().expect_code(0);
    let db = rusqlite::Connection::open(folder.path().join("sen-demo.db")).unwrap();
    let host = rustix::system::uname().nodename().to_str().unwrap().to_owned();
    // No kernel gives a process this number: the number of one that has just ended may be in use again.
    let gone = 1 << 22;
    let key = "payments:order-7731";
    for (owner, word, other) in [
        (format!("{host}:{gone}-1"), "no such process runs", "may still act"),
        (format!("{host}:{}-1", std::process::id()), "still runs", "is gone"),
        ("elsewhere:1-1".to_owned(), "may still be acting", "no such process"),
    ] {
        db.execute("UPDATE sentinel_leases SET owner_id = ?1 WHERE key = ?2", [&owner, key]).unwrap();
        for args in [&["why", key][..], &["inspect", key], &["reconcile", key, "--dry-run"]] {
            let told = sen(args).cwd(folder.path()).database("sqlite:sen-demo.db").run().expect_code(0).stdout;
            let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
            // Of a worker elsewhere `why` names what it did, not what it may do.
            assert!(
                told.contains(word) || (args[0] == "why" && owner.starts_with("elsewhere")),
                "{args:?} {owner}: {told}"
            );
            assert!(!told.contains(other), "{args:?} {owner}: {told}");
        }
    }
}
