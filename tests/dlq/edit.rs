//! Dead letters that run again with other arguments: what is written, what is refused, and that a worker of the real library
//! reads it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use super::place::{Place, Seed, hex};
use crate::harness::patience::until;
use crate::harness::peers::{self, SENPUKI_030, STENT_112};
use crate::harness::pty::terminal;
use crate::harness::python::Environment;
use crate::harness::sen::{Sen, sen};

fn letters(place: &Place) -> String {
    place.sql("SELECT id, reason, moved_at, data FROM dead_tasks ORDER BY id")
}

fn task_of(place: &Place, report: &Value) -> [String; 2] {
    let fresh = report["results"][0]["new_id"].as_str().unwrap();
    let columns = ["args", "kwargs"].map(|column| place.hex_of(column)).join(", ");
    let row = place.sql(&format!("SELECT {columns} FROM tasks WHERE id = '{fresh}'"));
    let (args, kwargs) = row.split_once('|').unwrap();
    [args, kwargs].map(|hex| {
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        String::from_utf8((0..hex.len()).step_by(2).map(byte).collect()).unwrap()
    })
}

fn run_by_a_worker(library: &'static Environment, place: &Place) {
    let url = place.for_library();
    let dead = peers::ask(library, "stent/flow.py", &[&url, "die", "1", "--codec", "json"]);
    let execution = dead["executions"][0].as_str().unwrap();
    let root = place.json(&["dlq", "list", "--kind", "orchestrator"], 0)[0]["id"].as_str().unwrap().to_owned();
    let before = letters(place);
    let options = ["dlq", "replay", &root, "--set", "[0]=order-\u{e9}dited", "--reason", "wrong order"];
    let plan = place.json(&[&options[..], &["--dry-run"]].concat(), 0);
    assert_eq!(plan["edits"][0]["path"], ".args[0]", "{plan}");
    assert_eq!(letters(place), before);
    let home = tempfile::tempdir().unwrap();
    let act = |words: &[&str], code| {
        let words = [words, &["-o", "json"]].concat();
        place.command(&words).env("XDG_STATE_HOME", home.path().to_str().unwrap()).run().expect_code(code).json()
    };
    // The id alone is consent to a replay, not to other arguments.
    place.act(&options, 7);
    let report = act(&[&options[..], &["--yes"]].concat(), 0);
    assert_eq!(report["applied"], 1);
    assert_eq!(task_of(place, &report)[0], "[\"order-\u{e9}dited\"]");
    // The record names what was changed, and where the arguments of before are.
    let note = place.sql("SELECT detail FROM execution_progress WHERE detail LIKE '%replayed as%'");
    assert!(
        note.contains(&format!(", with edited arguments: .args[0] (the original ones are with task {root})")),
        "{note}"
    );
    let told = place.json(&["timeline", execution], 0);
    let told = told.as_array().unwrap().iter().find(|entry| entry["operation"] == report["operation"]).unwrap();
    assert!(told["what"].as_str().unwrap().contains("with edited arguments: .args[0]"), "{told}");
    assert_eq!(told["why"], "wrong order");
    // Taken back it is the letter that it was, and then replayed and run as edited.
    act(&["undo", report["operation"].as_str().unwrap(), "--yes"], 0);
    assert_eq!(letters(place), before);
    let report = place.json(&[&options[..], &["--yes"]].concat(), 0);
    assert_eq!(report["applied"], 1);
    peers::ask(library, "stent/flow.py", &[&url, "heal", "--codec", "json"]);
    let truth = peers::ask(library, "stent/truth.py", &[&url, "--codec", "json"]);
    let ended = &truth["executions"][execution];
    assert_eq!(ended["state"], "completed", "{ended}");
    assert!(ended["result"].to_string().contains("charged order-\u{e9}dited"), "{ended}");
}

#[test]
fn stent_in_postgres() {
    run_by_a_worker(&STENT_112, &Place::empty_postgres());
}

#[test]
fn senpuki_in_sqlite() {
    run_by_a_worker(&SENPUKI_030, &Place::empty_sqlite());
}

#[test]
fn what_is_not_edited_is_the_same_bytes() {
    for place in Place::both() {
        let args =
            br#"["order-7", 1.10, 123456789012345678901234567890, {"__type__": "bytes", "data": "AP8="}, "caf\u00e9"]"#;
        Seed { args, ..Seed::default() }.plant(&place);
        let report = place.json(&["dlq", "replay", "letter", "--set", "[3].data=AAAA", "--yes"], 0);
        let wanted = String::from_utf8(args.to_vec()).unwrap().replace("AP8=", "AAAA");
        assert_eq!(task_of(&place, &report), [wanted, "{}".to_owned()]);
        assert_eq!(place.count("dead_tasks"), 0);
        let rest = "SELECT step_name, kind, queue, priority, tags, idempotency_key FROM tasks WHERE state = 'pending'";
        assert_eq!(place.sql(rest), "flows:step|orchestrator|main|3|[\"t\"]|key-7");
    }
}

#[test]
fn a_letter_that_is_no_longer_as_it_was_edited_is_left_alone() {
    for place in Place::both() {
        Seed::default().plant(&place);
        let folder = tempfile::tempdir().unwrap();
        let plan = folder.path().join("edit.plan");
        let plan = plan.to_str().unwrap();
        place.act(&["dlq", "replay", "letter", "--set", "[0]=order-8", "--plan-out", plan], 0);
        place.act(&["apply", plan, "--check"], 0);
        // The same letter, of the same death, with other arguments: somebody has edited them in the table.
        let dump = place.sql("SELECT data FROM dead_tasks");
        let other = dump.replace("WyJvcmRlci03Il0=", "WyJvcmRlci05Il0=");
        assert_ne!(dump, other);
        place.sql(&format!("UPDATE dead_tasks SET data = '{other}'"));
        place.act(&["apply", plan, "--check"], 5);
        let report = place.json(&["apply", plan, "--yes"], 5);
        let why = report["results"][0]["detail"].as_str().unwrap();
        assert_eq!(why, "its arguments are no longer those that were edited");
        assert_eq!((place.count("dead_tasks"), place.count("tasks WHERE state = 'pending'")), (1, 0));
        // With the arguments as seen the same edit is made.
        place.sql(&format!("UPDATE dead_tasks SET data = '{dump}'"));
        let report = place.json(&["dlq", "replay", "letter", "--set", "[0]=order-8", "--yes"], 0);
        assert_eq!(task_of(&place, &report)[0], "[\"order-8\"]");
    }
}

#[test]
fn what_cannot_be_edited_is_refused_by_name() {
    for place in Place::both() {
        Seed { id: "pickle", args: b"\x80\x04]\x94.", ..Seed::default() }.plant(&place);
        Seed { id: "odd", args: b"\xff\xfe", ..Seed::default() }.plant(&place);
        Seed { id: "text", data: Some("TaskRecord(id='text')"), ..Seed::default() }.plant(&place);
        Seed { id: "keyed", kind: "activity", execution: Some("running"), ..Seed::default() }.plant(&place);
        let before = letters(&place);
        for (id, why) in [
            ("pickle", "its args are a pickle, which cannot be edited"),
            ("odd", "its args are neither JSON nor a pickle"),
            ("text", "written by senpuki 0.1.x as text"),
            ("keyed", "it has an idempotency key that was made of the arguments of before"),
        ] {
            let report = place.json(&["dlq", "replay", id, "--set", "[0]=1", "--yes"], 5);
            let said = report["results"][0]["detail"].as_str().unwrap();
            assert!(said.contains(why), "{said}");
        }
        assert_eq!(letters(&place), before);
        let plan = place.json(&["dlq", "replay", "keyed", "--set", "[0]=1", "--force", "--dry-run"], 0);
        assert!(plan["warnings"].to_string().contains("forced: it has an idempotency key"), "{plan}");
        let report = place.json(&["dlq", "replay", "keyed", "--set", "[0]=1", "--force", "--yes"], 0);
        assert_eq!(task_of(&place, &report)[0], "[1]");
        // Without a place for its record an edit is not made.
        Seed { id: "plain", ..Seed::default() }.plant(&place);
        place.sql("DROP TABLE execution_progress");
        let said = place.command(&["dlq", "replay", "plain", "--set", "[0]=1", "--yes"]).run().expect_code(7).stderr;
        assert!(said.contains("no place for a record of an edit"), "{said}");
        for words in [
            &["--all", "--set", "[0]=1"][..],
            &["plain", "odd", "--set", "[0]=1"],
            &["--group", "ab12", "--args", "{}"],
        ] {
            place.act(&[&["dlq", "replay"], words].concat(), 2);
        }
    }
}

#[test]
fn messages_and_agent_tasks_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    sen(["demo"]).cwd(folder.path()).run().expect_code(0);
    let outbox = "00001e3e-d002-4e4e-a000-1e3efadedcab";
    for edit in [&["--set", ".a=1"][..], &["--edit"]] {
        let words = [&["dlq", "replay", outbox, "--system", "saga", "--yes"], edit].concat();
        let said = sen(words).cwd(folder.path()).database("sqlite:sen-demo.db").run().expect_code(7).stderr;
        assert!(said.contains("only dead letters of Stent and Senpuki can be edited"), "{said}");
    }
}

#[test]
fn a_group_gets_the_same_value_where_it_has_that_place() {
    for place in Place::both() {
        let args = br#"["order-7", {"password": "hunter22", "amount": 10}]"#;
        for id in ["one", "two"] {
            Seed { id, args, ..Seed::default() }.plant(&place);
        }
        Seed { id: "bare", ..Seed::default() }.plant(&place);
        let group = place.json(&["dlq", "list"], 0)[0]["group"].as_str().unwrap().to_owned();
        let words = ["dlq", "replay", "--group", &group, "--set", "[1].amount=12.5", "--set", "[1].password=hunter33"];
        let shown = place.command(&[&words[..], &["--dry-run"]].concat()).run().expect_code(3);
        assert!(shown.stdout.contains(".args[1].amount: 10 → 12.5"), "{shown:?}");
        assert!(shown.stdout.contains(".args[1].password: \"***\" → \"***\""), "{shown:?}");
        let data = place.act(&[&words[..], &["--dry-run"]].concat(), 3);
        for secret in ["hunter22", "hunter33"] {
            assert!(!data.stdout.contains(secret) && !shown.stdout.contains(secret), "{data:?}");
        }
        let report = place.json(&[&words[..], &["--yes"]].concat(), 3);
        assert_eq!((&report["applied"], &report["changed"]), (&2.into(), &1.into()), "{report}");
        assert_eq!(task_of(&place, &report)[0], r#"["order-7", {"password": "hunter33", "amount": 12.5}]"#);
        assert_eq!(place.sql("SELECT id FROM dead_tasks"), "bare");
    }
}

#[test]
fn one_that_was_changed_holds_up_none_of_its_group() {
    for place in Place::both() {
        for id in ["one", "two"] {
            Seed { id, ..Seed::default() }.plant(&place);
        }
        let group = place.json(&["dlq", "list"], 0)[0]["group"].as_str().unwrap().to_owned();
        let folder = tempfile::tempdir().unwrap();
        let plan = folder.path().join("edit.plan");
        let plan = plan.to_str().unwrap();
        place.act(&["dlq", "replay", "--group", &group, "--set", "[0]=order-8", "--plan-out", plan], 0);
        let dump =
            place.sql("SELECT data FROM dead_tasks WHERE id = 'one'").replace("WyJvcmRlci03Il0=", "WyJvcmRlci05Il0=");
        place.sql(&format!("UPDATE dead_tasks SET data = '{dump}' WHERE id = 'one'"));
        let report = place.json(&["apply", plan, "--yes"], 3);
        assert_eq!((&report["applied"], &report["changed"]), (&1.into(), &1.into()), "{report}");
        assert_eq!(place.sql("SELECT id FROM dead_tasks"), "one");
    }
}

/// What another operation has replayed ran with the arguments it had: an edit, or another queue, was not done.
#[test]
fn a_letter_that_another_operation_has_replayed_was_not_edited() {
    for place in Place::both() {
        for (words, code, outcome) in [
            (&["--set", "[0]=order-8"][..], 5, "changed"),
            (&["--queue", "slow"], 5, "changed"),
            (&[], 0, "already_done"),
        ] {
            Seed::default().plant(&place);
            let folder = tempfile::tempdir().unwrap();
            let plan = folder.path().join("a.plan");
            let plan = plan.to_str().unwrap();
            place.act(&[&["dlq", "replay", "letter"], words, &["--plan-out", plan]].concat(), 0);
            place.act(&["dlq", "replay", "letter"], 0);
            let report = place.json(&["apply", plan, "--yes"], code);
            assert_eq!(report["results"][0]["outcome"], outcome, "{words:?} {report}");
            place.sql("DELETE FROM tasks");
            place.sql("DELETE FROM executions");
            place.sql("DELETE FROM execution_progress");
        }
    }
}

/// `sen` with an editor that runs this script on the file (`$1`).
fn with_editor(place: &Place, folder: &Path, script: &str, words: &[&str]) -> Sen {
    let editor = folder.join("editor");
    std::fs::write(&editor, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o700)).unwrap();
    let editor = editor.to_str().unwrap();
    place
        .command(&[&["dlq", "replay", "letter", "--edit", "--yes", "-o", "json"], words].concat())
        .env("VISUAL", editor)
        .env("TMPDIR", folder.to_str().unwrap())
}

#[test]
fn an_editor_is_given_the_arguments_and_what_it_leaves_is_replayed() {
    for place in Place::both() {
        Seed { args: br#"["caf\u00e9", 1.10]"#, ..Seed::default() }.plant(&place);
        let folder = tempfile::tempdir().unwrap();
        let before = letters(&place);
        let seen = folder.path().join("seen");
        let seen = seen.to_str().unwrap();
        for (script, code, why) in [
            ("true", 7, "the arguments are unchanged"),
            (": > \"$1\"", 7, "the arguments are unchanged"),
            ("sed -i 's/1.10/1,,10/' \"$1\"", 2, "no JSON: line 4, column 7"),
            ("sed -i 's/\\[$/{/; s/\\],$/},/' \"$1\"", 2, "no JSON: line 3"),
            ("exit 3", 7, "failed: exit status: 3"),
            ("echo '{\"args\": 5}' > \"$1\"", 5, "arguments are kept"),
        ] {
            let said = with_editor(&place, folder.path(), script, &[]).run().expect_code(code).stderr;
            assert!(said.contains(why), "{said}");
            assert_eq!(letters(&place), before);
            // What could not be used is kept for its author, and nothing else is.
            let kept = |file: &std::fs::DirEntry| file.path().extension().is_some_and(|name| name == "json");
            let kept = std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap).find(kept);
            assert_eq!(kept.is_some(), ["no JSON", "are kept"].iter().any(|kept| why.contains(kept)), "{said}");
            if let Some(kept) = kept.map(|file| file.path()) {
                assert!(said.contains(&format!("pass it with --args @{}", kept.display())), "{said}");
                assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
                std::fs::remove_file(kept).unwrap();
            }
        }
        let script = format!("cat \"$1\" > {seen}; stat -c %a \"$1\" >> {seen}; sed -i 's/1.10/2.50/' \"$1\"");
        let report = with_editor(&place, folder.path(), &script, &[]).run().expect_code(0).json();
        assert_eq!(task_of(&place, &report)[0], r#"["caf\u00e9", 2.50]"#);
        let seen = std::fs::read_to_string(seen).unwrap();
        assert_eq!(seen, "{\n  \"args\": [\n    \"caf\u{e9}\",\n    1.10\n  ],\n  \"kwargs\": {}\n}\n600\n");
        // Nothing of it is left on the disk.
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }
}

#[test]
fn on_a_terminal_what_is_no_json_can_be_edited_again() {
    let [_, place] = Place::both();
    Seed::default().plant(&place);
    let folder = tempfile::tempdir().unwrap();
    let editor = folder.path().join("editor");
    // Broken at first, and what the first run has left is there in the second.
    let script = "#!/bin/sh\nif grep -q oops \"$1\"; then sed -i 's/oops//' \"$1\"; else sed -i 's/order-7\"/order-8\"oops/' \"$1\"; fi\n";
    std::fs::write(&editor, script).unwrap();
    std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o700)).unwrap();
    let start = || {
        terminal(["dlq", "replay", "letter", "--edit"])
            .database(&place.url())
            .env("EDITOR", editor.to_str().unwrap())
            .env("TMPDIR", folder.path().to_str().unwrap())
            .start()
    };
    let mut left = start();
    left.wait_for("Edit it again?");
    left.type_keys("n\r");
    assert_eq!(left.finish().code, 7);
    assert_eq!(place.count("dead_tasks"), 1);
    let mut asked = start();
    asked.wait_for("line 3, column");
    asked.type_keys("\r");
    asked.wait_for("[0]: \"order-7\" → \"order-8\"");
    asked.wait_for("Proceed?");
    asked.type_keys("y\r");
    assert_eq!(asked.finish().code, 0);
    let args = place.sql(&format!("SELECT {} FROM tasks WHERE state = 'pending'", place.hex_of("args")));
    assert_eq!(args, hex(b"[\"order-8\"]"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn no_editor_is_run_that_nobody_sits_at() {
    let [_, place] = Place::both();
    Seed::default().plant(&place);
    let folder = tempfile::tempdir().unwrap();
    let ran = folder.path().join("ran");
    let marked = format!("touch {}", ran.display());
    let words = ["dlq", "replay", "letter", "--edit"];
    let command = |more: &[&str]| place.command(&[&words[..], more].concat());
    let said = command(&["--yes", "--no-input"]).env("VISUAL", &marked).run().expect_code(2).stderr;
    assert!(said.contains("--no-input forbids"), "{said}");
    let said = command(&[]).env("VISUAL", &marked).run().expect_code(7).stderr;
    assert!(said.contains("nobody can be asked without a terminal"), "{said}");
    let said = command(&["--yes"]).run().expect_code(7).stderr;
    assert!(said.contains("no editor is named"), "{said}");
    assert!(!ran.exists());
    // A plan asks nothing, so that it can be edited and looked at.
    let said = command(&["--dry-run"]).env("VISUAL", &marked).run().expect_code(7).stderr;
    assert!(said.contains("the arguments are unchanged") && ran.exists(), "{said}");
    assert_eq!(place.count("dead_tasks"), 1);
}

#[test]
fn what_is_edited_goes_with_a_program_that_is_ended() {
    let [_, place] = Place::both();
    Seed::default().plant(&place);
    let folder = tempfile::tempdir().unwrap();
    let files = || {
        let names = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
        names.filter(|file| file.extension().is_some_and(|name| name == "json")).count()
    };
    let running = with_editor(&place, folder.path(), "while test -e \"$1\"; do sleep 0.05; done", &[]).start();
    until("the file is there", || files() == 1);
    running.signal(Signal::TERM);
    until("the file is gone", || files() == 0);
    assert_eq!(running.finish().code, 143);
    assert_eq!(place.count("dead_tasks"), 1);
}

#[test]
fn the_record_names_the_task_of_before_only_where_it_is() {
    for place in Place::both() {
        Seed::default().plant(&place);
        place.sql("DELETE FROM tasks");
        place.json(&["dlq", "replay", "letter", "--set", "[0]=order-8", "--force", "--yes"], 0);
        let note = place.sql("SELECT detail FROM execution_progress WHERE detail LIKE '%replayed as%'");
        assert!(note.contains(", with edited arguments: .args[0]") && !note.contains("original"), "{note}");
    }
}

#[test]
fn what_is_no_value_or_never_ends_is_refused_by_name() {
    let [_, place] = Place::both();
    Seed::default().plant(&place);
    let deep = format!("[0]={}{}", "[".repeat(65), "]".repeat(65));
    for (options, code, why) in [
        (["--set", deep.as_str()], 2, "nested deeper than 64 levels"),
        (["--set", "[0]=1e400"], 5, "1e400, which is no finite number"),
        (["--args", "@/dev/zero"], 2, "neither a file nor a pipe"),
        (["--args", r#"{"args": [1], "args": [2]}"#], 5, "stands twice"),
    ] {
        let words = [&["dlq", "replay", "letter", "--yes"], &options[..]].concat();
        let run = place.command(&words).run().expect_code(code);
        let said = run.stdout + &run.stderr;
        assert!(said.contains(why) && !said.contains("taken as a text"), "{said}");
    }
    assert_eq!(place.count("dead_tasks"), 1);
}

#[test]
fn arguments_come_from_a_file() {
    let [place, _] = Place::both();
    Seed::default().plant(&place);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("arguments.json");
    let given = format!("@{}", file.to_str().unwrap());
    std::fs::write(&file, "{\"kwargs\": {\"amount\": 12.5},\n \"args\": [}").unwrap();
    let report = place.json(&["dlq", "replay", "letter", "--args", &given, "--yes"], 5);
    assert!(report.to_string().contains("no JSON: line 2, column 11"), "{report}");
    std::fs::write(&file, "{\"kwargs\": {\"amount\": 12.5}}").unwrap();
    let report = place.json(&["dlq", "replay", "letter", "--args", &given, "--yes"], 0);
    assert_eq!(task_of(&place, &report), ["[\"order-7\"]", "{\"amount\": 12.5}"]);
}
