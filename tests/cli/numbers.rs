//! A number that `status` says of something is the number that the command beside it lists.

use serde_json::Value;

use crate::harness::sen::{Sen, sen};

/// How many things a command lists; dead letters that are listed in groups are counted one by one.
fn listed(run: impl Fn(&[&str]) -> Sen, words: &[&str]) -> u64 {
    let rows = run(&[words, &["-o", "json"]].concat()).run().expect_code(0).json();
    let rows = rows.as_array().unwrap_or_else(|| panic!("{words:?} lists nothing: {rows}"));
    rows.iter().map(|row| if words.contains(&"groups") { row["count"].as_u64().unwrap() } else { 1 }).sum()
}

#[test]
fn every_number_of_status_is_what_its_command_lists() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| sen(args).cwd(folder.path()).database("sqlite:sen-demo.db");
    sen(["demo"]).cwd(folder.path()).run().expect_code(0);
    let status = run(&["status", "-o", "json"]).run().expect_code(0).json();
    let mut compared = 0;
    for item in status["attention"].as_array().unwrap() {
        let (text, command) = (item["summary"].as_str().unwrap(), item["next"][0]["command"].as_str().unwrap());
        let Some(said) = item["count"].as_u64() else { continue };
        assert!(text.starts_with(&format!("{said} ")), "{item}");
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        assert_eq!(listed(run, &words), said, "{command} against: {text}");
        compared += 1;
    }
    assert!(compared >= 10, "{compared} of {}", status["attention"]);
    for (system, list) in [("sentinel", &["list"][..]), ("stent", &["exec", "list"]), ("saga", &["saga", "list"])] {
        let systems = status["systems"].as_array().unwrap();
        let counts = &systems.iter().find(|one| one["system"] == system).unwrap()["counts"];
        for count in counts.as_array().unwrap().iter().filter(|count| count["count"].as_u64() > Some(0)) {
            let state = count["state"].as_str().unwrap();
            if ["warning", "critical"].contains(&count["severity"].as_str().unwrap()) {
                let words = [list, &["--state", state]].concat();
                assert_eq!(Value::from(listed(run, &words)), count["count"], "{words:?}");
            }
        }
    }
}

/// A number of the table of executions goes by the stored state, says so, and is found by that state.
#[test]
fn every_stored_state_of_status_is_listed_under_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| sen(args).cwd(folder.path()).database("sqlite:sen-demo.db");
    sen(["demo"]).cwd(folder.path()).run().expect_code(0);
    let page = run(&["status"]).run().expect_code(0).stdout;
    assert_eq!(page.matches("STORED STATE").count(), 1, "{page}");
    let status = run(&["status", "-o", "json"]).run().expect_code(0).json();
    let systems = status["systems"].as_array().unwrap();
    let counts = &systems.iter().find(|one| one["system"] == "stent").unwrap()["counts"];
    for count in counts.as_array().unwrap().iter().filter(|count| count["count"].as_u64() > Some(0)) {
        let rows = run(&["exec", "list", "-o", "json", "--limit", "0", "--state", count["state"].as_str().unwrap()]);
        let rows = rows.run().expect_code(0).json();
        assert!(rows.as_array().unwrap().iter().all(|row| row["status"] == count["state"]), "{rows}");
        assert_eq!(Value::from(rows.as_array().unwrap().len()), count["count"], "{count}");
    }
}

/// A message that must not be sent cannot be dropped either, and a group says how many of it are such.
#[test]
fn messages_of_a_saga_that_was_rolled_back_are_told_in_their_group() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| sen(args).cwd(folder.path()).database("sqlite:sen-demo.db");
    sen(["demo"]).cwd(folder.path()).run().expect_code(0);
    let groups = run(&["dlq", "groups", "-o", "json"]).run().expect_code(0).json();
    let noted: Vec<&Value> = groups.as_array().unwrap().iter().filter(|group| !group["note"].is_null()).collect();
    assert_eq!(noted.len(), 1, "{groups}");
    assert_eq!((&noted[0]["note"], &noted[0]["count"]), (&"1 of a rolled back saga".into(), &2.into()), "{groups}");
    let said = run(&["saga", "outbox", "show", "00001e3e-d002-4e4e-a000-1e3efadedcab"]).run().expect_code(0).stdout;
    assert!(said.contains("the library has no way to drop it"), "{said}");
    let other = run(&["saga", "outbox", "show", "00001e16-d002-4e4e-a000-1e16fadedcab"]).run().expect_code(0).stdout;
    assert!(!other.contains("no way to drop it"), "{other}");
}

/// Of dead letters and of messages, too; a claim that is old needs attention although its status alone does not say so.
#[test]
fn dead_letters_and_messages_have_an_order_and_a_footer() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| sen(args).cwd(folder.path()).database("sqlite:sen-demo.db");
    sen(["demo"]).cwd(folder.path()).run().expect_code(0);
    let column = |args: &[&str], name: &str| -> Vec<String> {
        let shown = run(&[args, &["--fields", name]].concat()).run().expect_code(0).stdout;
        shown.lines().skip(1).map(|line| line.trim().to_owned()).collect()
    };
    let outbox = &["saga", "outbox", "list"];
    assert_eq!(column(outbox, "status"), ["failed", "failed", "dispatching", "sent"]);
    let said = run(outbox).run().expect_code(0).stderr;
    assert!(said.starts_with("2 failed · 1 dispatching for too long · 1 other\nnext: sen saga outbox show "), "{said}");
    let said = run(&["saga", "outbox", "list", "--limit", "2"]).run().expect_code(0).stderr;
    let text =
        "at least 2 failed · the first 2 shown, more match (--limit 0 lists all)\nnext: sen saga outbox list --stuck";
    assert_eq!(said.trim_end(), text);
    let said =
        run(&["saga", "outbox", "list", "--limit", "2", "--topic", "orders.charged"]).run().expect_code(0).stderr;
    assert!(said.contains("next: add --stuck"), "{said}");
    let said = run(&["saga", "inbox", "list"]).run().expect_code(0).stderr;
    assert!(said.starts_with("1 failed\nnext: sen saga inbox show "), "{said}");

    let states = column(&["dlq", "list"], "state");
    let replayable = states.iter().filter(|state| *state == "replayable").count();
    assert_eq!((replayable, states.len()), (8, 12));
    assert!(states[..8].iter().all(|state| state == "replayable"), "{states:?}");
    let said = run(&["dlq", "list"]).run().expect_code(0).stderr;
    assert_eq!(said.trim_end(), "8 replayable · 4 not replayable (STATE says why)\nnext: sen dlq groups");
    let said = run(&["dlq", "list", "--limit", "2"]).run().expect_code(0).stderr;
    assert!(said.contains(" · the first 2 shown, more match (--limit 0 lists all)\nnext: sen dlq groups"), "{said}");
    let rows = run(&["dlq", "list", "-o", "json"]).run().expect_code(0).json();
    let group =
        rows.as_array().unwrap().iter().find(|row| row["state"] == "replayable").unwrap()["group"].as_str().unwrap();
    let said = run(&["dlq", "list", "--group", group]).run().expect_code(0).stderr;
    assert!(said.contains(&format!("next: sen dlq replay --group {group} --dry-run")), "{said}");
    // Across systems the newest is on the page, whichever has it.
    let newest =
        rows.as_array().unwrap().iter().max_by_key(|row| row["died_at"].as_str().unwrap()).unwrap()["id"].as_str();
    assert_eq!(column(&["dlq", "list", "--limit", "1"], "id"), [newest.unwrap()]);
    for list in [&["dlq", "list"][..], outbox, &["dlq", "list", "-o", "jsonl"]] {
        assert!(run(&[list, &["-q"]].concat()).run().expect_code(0).stderr.is_empty(), "{list:?}");
    }
}

#[test]
fn what_needs_attention_stands_first_in_every_list_and_scripts_keep_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| sen(args).cwd(folder.path()).database("sqlite:sen-demo.db");
    sen(["demo"]).cwd(folder.path()).run().expect_code(0);
    for (list, states, footer) in [
        (
            &["list"][..],
            &["uncertain", "uncertain", "uncertain", "stalled", "reconciling"][..],
            "3 uncertain · 1 stalled · 1 reconciling · 16 others\nnext: sen why payments:order-7736",
        ),
        (&["exec", "list"], &["stranded"], "next: sen exec show "),
        (&["task", "list"], &[], "next: sen task show "),
        (
            &["saga", "list"],
            &["partly_compensated", "stuck", "failed"],
            "1 partly compensated · 1 stuck · 1 failed · 6 others\nnext: sen saga show ",
        ),
    ] {
        let shown = run(list).run().expect_code(0);
        for (at, state) in states.iter().enumerate() {
            let line = shown.stdout.lines().nth(at + 1).unwrap();
            assert!(line.contains(&format!("  {state}  ")), "{list:?}: {}", shown.stdout);
        }
        assert!(shown.stderr.contains(footer), "{list:?}: {}", shown.stderr);
        assert!(run(&[list, &["-q"]].concat()).run().expect_code(0).stderr.is_empty(), "{list:?}");
        // Paging goes on behind an id only in an order that one row does not leave.
        let sorted = |args: &[&str]| run(&[list, args].concat()).run().expect_code(0);
        let default = match list {
            ["list"] => "expires",
            ["saga", ..] => "updated",
            _ => "created",
        };
        let id = if list == ["list"] { "key" } else { "id" };
        let ids = ["-o", "json", "--fields", id];
        assert_eq!(sorted(&ids).stdout, sorted(&[&ids[..], &["--sort", default]].concat()).stdout, "{list:?}");
    }
    let short = run(&["list", "--limit", "4"]).run().expect_code(0);
    let text = "· the first 4 shown, more match (--limit 0 lists all)\nnext: sen list --state uncertain";
    assert!(short.stderr.contains(text), "{}", short.stderr);
    let narrowed = run(&["list", "-n", "payments", "--limit", "4"]).run().expect_code(0);
    assert!(narrowed.stderr.contains("next: add --state uncertain"), "{}", narrowed.stderr);
}
