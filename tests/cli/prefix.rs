//! Ids by their beginning: taken where one thing begins so, never a guess, and never enough to act without consent.

use crate::harness::sen::{Sen, sen};

fn demo() -> (tempfile::TempDir, impl Fn(&[&str]) -> Sen) {
    let folder = tempfile::tempdir().unwrap();
    sen(["demo"]).cwd(folder.path()).run().expect_code(0);
    let path = folder.path().to_owned();
    (folder, move |args: &[&str]| sen(args).cwd(&path).database("sqlite:sen-demo.db"))
}

#[test]
fn the_beginning_of_an_id_is_enough_to_look() {
    let (_folder, sen) = demo();
    for (args, whole) in [
        (&["exec", "show", "7747"][..], "77470000-c4a6-4000-8000-000000000000"),
        (&["task", "show", "7747"], ""),
        (&["saga", "show", "00001e33"], "00001e33-d001-4e4e-a000-1e33fadedcab"),
        (&["saga", "show", "00001e33-d001-4e"], "00001e33-d001-4e4e-a000-1e33fadedcab"),
        (&["saga", "outbox", "show", "00001e26"], "00001e26-d002-4e4e-a000-1e26fadedcab"),
        (&["saga", "inbox", "show", "00001e0a"], "00001e0a-d003-4e4e-a000-1e0afadedcab"),
        (&["dlq", "show", "00001e0a"], "00001e0a-d003-4e4e-a000-1e0afadedcab"),
        (&["inspect", "00001e33"], "00001e33-d001-4e4e-a000-1e33fadedcab"),
        (&["why", "00001e33"], "00001e33-d001-4e4e-a000-1e33fadedcab"),
        (&["inspect", "77470000-c4a6-4000-8000-00000000000"], ""),
        (&["dlq", "show", "7747"], ""),
    ] {
        if whole.is_empty() {
            let output = sen(args).run().expect_code(2);
            assert!(output.stderr.contains("several ids begin with \"7747"), "{args:?}: {}", output.stderr);
            assert!(output.stderr.contains("77470000-c4a6-4000-8000-000000000002 ("), "{args:?}: {}", output.stderr);
        } else {
            let output = sen(args).run().expect_code(0);
            assert!(output.stdout.lines().next().unwrap().ends_with(whole), "{args:?}: {}", output.stdout);
        }
    }
    // Three characters are a slip, and what is not there is not there.
    sen(&["exec", "show", "774"]).run().expect_code(4);
    sen(&["inspect", "7747ffff"]).run().expect_code(4);
    // What is there as something else is named as that.
    for (args, what) in [
        (["dlq", "show", "77310000-c4a6-4000-8000-000000000000"], "it is an execution: `sen inspect 7731"),
        (["saga", "show", "77310000-c4a6-4000-8000-000000000000"], "it is an execution: `sen inspect 7731"),
        (["exec", "show", "00001e3e-d002-4e4e-a000-1e3efadedcab"], "it is an outbox message: `sen inspect 00001e3e"),
    ] {
        let missing = sen(&args).run().expect_code(4).stderr;
        assert!(missing.contains(what), "{args:?}: {missing}");
    }
    sen(&["saga", "show", "7731"]).run().expect_code(4);
    // A key that exists is meant, whatever begins so.
    sen(&["inspect", "payments:order-7731"]).run().expect_code(0);
    sen(&["inspect", "payments:order-77"]).run().expect_code(4);
}

#[test]
fn the_beginning_of_an_id_alone_is_no_consent() {
    let (_folder, sen) = demo();
    for args in [&["saga", "unstick", "00001e33"][..], &["dlq", "replay", "00001e0a"], &["exec", "cancel", "7733"]] {
        let refused = sen(args).run().expect_code(7);
        assert!(refused.stderr.contains("an id was given by its beginning only"), "{args:?}: {}", refused.stderr);
        let planned = sen(&[args, &["--dry-run"]].concat()).run().expect_code(0);
        assert!(!planned.stdout.is_empty(), "{args:?}");
        sen(&[args, &["--yes"]].concat()).run().expect_code(0);
    }
    // With several that begin so nothing is done, not even with --yes.
    sen(&["dlq", "replay", "7738", "--yes"]).run().expect_code(2);
}

/// A list leaves the middle of an id out where there is no room; what is copied from it is taken.
#[test]
fn what_a_list_has_shortened_can_be_pasted() {
    let (folder, sen) = demo();
    let saga = "00001e33-d001-4e4e-a000-1e33fadedcab";
    for (args, whole) in [
        (&["exec", "show", "77470000…0000"][..], "77470000-c4a6-4000-8000-000000000000"),
        (&["task", "show", "77470000-c…0000000002"], "77470000-c4a6-4000-8000-000000000002"),
        (&["saga", "show", "00001e33…dcab"], saga),
        (&["saga", "outbox", "show", "00001e26-d…"], "00001e26-d002-4e4e-a000-1e26fadedcab"),
        (&["dlq", "show", "00001e0a…edcab"], "00001e0a-d003-4e4e-a000-1e0afadedcab"),
        (&["inspect", "00001e33-d0…cab"], saga),
        (&["why", "00001e33…cab"], saga),
        (&["inspect", "payments:or…-7731"], "payments:order-7731"),
        (&["why", "payments:order-7731…"], "payments:order-7731"),
    ] {
        let output = sen(args).run().expect_code(0);
        assert!(output.stdout.lines().next().unwrap().ends_with(whole), "{args:?}: {}", output.stdout);
    }
    let told = sen(&["timeline", "payments:or…-7731", "-o", "json"]).run().expect_code(0).json();
    assert!(told.as_array().unwrap().iter().any(|entry| entry["id"] == "payments:order-7731"), "{told}");
    let history = sen(&["history", "payments:or…-7731"]).run().expect_code(0).stdout;
    assert!(history.contains("acquired"), "{history}");
    for id in ["00001e0a…edcab", "00001e0a"] {
        let exported = sen(&["dlq", "export", id]).run().expect_code(0).stdout;
        assert!(exported.contains("00001e0a-d003-4e4e-a000-1e0afadedcab"), "{exported}");
    }
    let several = sen(&["inspect", "payments:order…"]).run().expect_code(2);
    assert!(several.stderr.contains("several ids match \"payments:order…\""), "{}", several.stderr);
    sen(&["inspect", "payments:or…-nothing"]).run().expect_code(4);
    for args in [&["saga", "unstick", "00001e33…cab"][..], &["reconcile", "payments:or…-7731", "--reset"]] {
        let refused = sen(args).run().expect_code(7);
        assert!(refused.stderr.contains("an id was given by its beginning only"), "{args:?}: {}", refused.stderr);
        let state = folder.path().join("state");
        let words = [args, &["--yes", "-o", "json"]].concat();
        let done = sen(&words).env("XDG_STATE_HOME", &state).run().expect_code(0).json();
        let operation = done["operation"].as_str().unwrap();
        let short = format!("{}…{}", &operation[..8], &operation[30..]);
        let shown = sen(&["op", "show", &short, "-o", "json"]).env("XDG_STATE_HOME", &state).run();
        assert_eq!(shown.json()["operation"], operation, "{short}");
    }
}

/// A key is often asked for without its namespace.
#[test]
fn a_key_in_a_namespace_is_offered_for_its_bare_name() {
    let (_folder, sen) = demo();
    for typed in ["order-7731", "emails:order-7731"] {
        let missing = sen(&["history", typed]).run().expect_code(4);
        assert!(missing.stderr.contains("did you mean \"payments:order-7731\"?"), "{}", missing.stderr);
    }
    let missing = sen(&["inspect", "daily-settlement"]).run().expect_code(4);
    assert!(missing.stderr.contains("did you mean \"reports:daily-settlement\"?"), "{}", missing.stderr);
    assert!(missing.stderr.contains("`sen inspect reports:daily-settlement` shows it"), "{}", missing.stderr);
}
