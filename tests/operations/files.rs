//! Plans in files: written, reviewed, applied once, and refused when they are not what was reviewed.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::machine::{Machine, balanced, letters, replay_plan, results, stored, text};
use super::place::Place;
use crate::harness::peers::STENT_112;

#[test]
fn a_plan_is_written_reviewed_and_applied_once() {
    for place in Place::both() {
        letters(&place, 20);
        let (machine, folder) = (Machine::new(), tempfile::tempdir().unwrap());
        let (url, file) = (place.url(), folder.path().join("replay.plan"));
        let path = file.to_str().unwrap();
        let before = stored(&place);
        let planned = replay_plan(&machine, &place, &file);
        assert_eq!((&planned["planned"], &planned["dry_run"]), (&20.into(), &true.into()));
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        // There is one already: it stays as it is.
        let content = std::fs::read(&file).unwrap();
        let refused = machine.run(&url, &["dlq", "replay", "--all", "--plan-out", path], 1).stderr;
        assert!(refused.contains("name a file that is not there yet"), "{refused}");
        assert_eq!(std::fs::read(&file).unwrap(), content);
        // What has nothing to apply is no plan.
        let none = folder.path().join("none.plan");
        let said = machine.run(&url, &["dlq", "replay", "nosuch", "--plan-out", none.to_str().unwrap()], 4).stderr;
        assert!(said.contains("was not written") && !none.exists(), "{said}");
        let braked = machine.run(&url, &["apply", path, "--check", "--canary", "1"], 2).stderr;
        assert!(braked.contains("cannot be used with"), "{braked}");
        // What is reviewed is what was planned, and nothing is asked of the journal.
        let reviewed = machine.json(&url, &["apply", path, "--dry-run"], 0);
        for name in ["operation", "planned", "plan"] {
            assert_eq!(reviewed[name], planned[name], "{name}");
        }
        let shown = machine.run(&url, &["apply", path, "--dry-run"], 0).stdout;
        assert!(shown.contains("replay 20 dead letters"), "{shown}");
        // Without consent, and with another number than expected.
        machine.run(&url, &["apply", path], 7);
        machine.run(&url, &["apply", path, "--yes", "--expect", "19"], 5);
        machine.run(&url, &["apply", path, "--yes", "--read-only"], 7);
        assert_eq!((stored(&place), machine.journals().len()), (before, 0));

        let done = machine.json(&url, &["apply", path, "--yes"], 0);
        assert_eq!((&done["applied"], &done["operation"]), (&20.into(), &planned["operation"]));
        assert_eq!(balanced(&place, 20), 20);
        let record = format!("%INC-7 (sen operation {})%", text(&planned["operation"]));
        assert_eq!(place.count(&format!("execution_progress WHERE detail LIKE '{record}'")), 20);
        let after = stored(&place);
        let again = machine.run(&url, &["apply", path, "--yes"], 7).stderr;
        assert!(again.contains("was applied before") && again.contains("sen op show"), "{again}");
        // Elsewhere nobody knows, and nothing is done twice: the records tell.
        let elsewhere = Machine::new().json(&url, &["apply", path, "--yes"], 0);
        assert_eq!(
            (&elsewhere["applied"], results(&elsewhere, "already_done", "this operation did it before")),
            (&0.into(), 20)
        );
        assert_eq!(stored(&place), after);
    }
}

#[test]
fn letters_of_the_real_library_are_replayed_from_a_file() {
    for place in [Place::empty_postgres(), Place::empty_sqlite()] {
        place.letters(&STENT_112, 7, &[]);
        let (machine, folder) = (Machine::new(), tempfile::tempdir().unwrap());
        let file = folder.path().join("replay.plan");
        replay_plan(&machine, &place, &file);
        let done = machine.json(&place.url(), &["apply", file.to_str().unwrap(), "--yes"], 0);
        assert_eq!((&done["applied"], balanced(&place, 7)), (&7.into(), 7));
    }
}

/// Writes a file and checks that applying it ends with this code, says this, and writes nothing.
#[track_caller]
fn refused(place: &Place, file: &Path, content: &[u8], code: i32, says: &str) {
    std::fs::write(file, content).unwrap();
    let before = stored(place);
    let machine = Machine::new();
    for more in [&["--yes"][..], &["--dry-run"], &["--check"]] {
        let words = [&["apply", file.to_str().unwrap()], more].concat();
        let output = machine.run(&place.url(), &words, code);
        assert!(output.stderr.contains(says), "{says:?} is not in {}", output.stderr);
        assert!(!output.stderr.contains('\u{1b}'), "{:?}", output.stderr);
    }
    assert_eq!((stored(place), machine.journals().len()), (before, 0));
}

/// The same plan with another first line, its checksum made anew.
fn forged(plan: &str, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let (first, rest) = plan.split_once('\n').unwrap();
    let mut head: Value = serde_json::from_str(first).unwrap();
    change(&mut head);
    let (targets, _) = rest.trim_end().rsplit_once('\n').unwrap();
    let body = format!("{head}\n{targets}\n");
    let sum: String = Sha256::digest(body.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{body}{{\"sha256\":\"{sum}\"}}\n").into_bytes()
}

#[test]
fn what_is_not_the_plan_that_was_reviewed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (at, place) in Place::both().iter().enumerate() {
        letters(place, 5);
        let file = folder.path().join(format!("{at}.plan"));
        let machine = Machine::new();
        replay_plan(&machine, place, &file);
        let plan = std::fs::read_to_string(&file).unwrap();
        let bytes = plan.as_bytes();
        let lines: Vec<&str> = plan.split_inclusive('\n').collect();
        // Edited: a target, a word of the head, a line more, two lines in another order.
        refused(place, &file, plan.replace("t-3", "t-4").as_bytes(), 7, "was changed or cut");
        refused(place, &file, plan.replace("dangerous", "safe").as_bytes(), 7, "was changed or cut");
        refused(place, &file, [&lines[..2], &lines[1..]].concat().concat().as_bytes(), 7, "was changed or cut");
        let order = [&lines[..1], &[lines[2], lines[1]], &lines[3..]].concat();
        refused(place, &file, order.concat().as_bytes(), 7, "was changed or cut");
        // More behind its end: a target, or another plan, which would not be applied.
        refused(place, &file, format!("{plan}{}", lines[1]).as_bytes(), 7, "was changed or cut");
        refused(place, &file, plan.repeat(2).as_bytes(), 7, "was changed or cut");
        // Cut: at every line, and in the middle of one.
        for end in 1..lines.len() {
            refused(place, &file, lines[..end].concat().as_bytes(), 7, "was changed or cut");
        }
        refused(place, &file, &bytes[..bytes.len() - 5], 7, "was changed or cut");
        // No plan: text, nothing, a program, brackets without end, a number of lines without end.
        for odd in [
            &b"hello\n"[..],
            b"",
            b"\n",
            b"\x7fELF\x02\x01\x01\0\0",
            b"{}",
            b"[1]",
            b"\xff\xfe{\"lines\":1}\n",
            b"\x1b[2J",
        ] {
            refused(place, &file, odd, 2, "is not a plan");
        }
        refused(place, &file, "[".repeat(1 << 20).as_bytes(), 2, "is not a plan");
        refused(place, &file, b"{\"lines\":18446744073709551615}\n", 7, "was changed or cut");
        // Made up, with a checksum that fits.
        let kind = |kind: &'static str| forged(&plan, move |head| head["kind"] = kind.into());
        refused(place, &file, &kind("stent.nosuch"), 2, "is not one of this system");
        refused(place, &file, &kind("stent.executions"), 2, "is not a plan");
        refused(place, &file, &kind("\u{1b}[2Jevil.\u{7}kind"), 2, "cannot hold");
        refused(place, &file, &forged(&plan, |head| head["format"] = "sen-plan/9".into()), 2, "of this version");
        refused(
            place,
            &file,
            &forged(&plan, |head| head["plan"]["targets"] = 1.into()),
            2,
            "another number of targets",
        );
        refused(place, &file, &forged(&plan, |head| head["plan"]["operation"] = "../../x".into()), 2, "is not a plan");
        // Not there, and no file.
        machine.run(&place.url(), &["apply", "nosuch.plan", "--yes"], 2);
        machine.run(&place.url(), &["apply", folder.path().to_str().unwrap(), "--yes"], 2);
        machine.run(&place.url(), &["apply", "/dev/zero", "--yes"], 2);
        // As it was, it is applied.
        std::fs::write(&file, &plan).unwrap();
        machine.run(&place.url(), &["apply", file.to_str().unwrap(), "--yes"], 0);
        assert_eq!(balanced(place, 5), 5);
    }
}

#[test]
fn a_plan_ends() {
    let [place, _] = Place::both();
    letters(&place, 3);
    let (machine, folder) = (Machine::new(), tempfile::tempdir().unwrap());
    let file = folder.path().join("replay.plan");
    let path = file.to_str().unwrap();
    machine.run(&place.url(), &["dlq", "replay", "--all", "--plan-out", path, "--plan-expires", "1s"], 0);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let plan = std::fs::read(&file).unwrap();
    refused(&place, &file, &plan, 7, "the plan expired");
}

#[test]
fn a_plan_is_for_one_database() {
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (Place::both(), Place::both());
    for (at, (place, other)) in here.iter().zip(&there).enumerate() {
        letters(place, 3);
        letters(other, 3);
        let file = folder.path().join(format!("{at}.plan"));
        replay_plan(&Machine::new(), place, &file);
        let plan = std::fs::read(&file).unwrap();
        refused(other, &file, &plan, 7, "the plan is for");
    }
    // A plan of one kind of database is none of the other.
    let plan = std::fs::read(folder.path().join("0.plan")).unwrap();
    refused(&there[1], &folder.path().join("0.plan"), &plan, 7, "the plan is for");
    // Files are told apart wherever they are named from, and are the same wherever they are named from.
    let Place::Sqlite(data) = &here[1] else { unreachable!() };
    let Place::Sqlite(elsewhere) = &there[1] else { unreachable!() };
    let (machine, file) = (Machine::new(), folder.path().join("relative.plan"));
    let path = file.to_str().unwrap();
    let words = ["dlq", "replay", "--all", "--plan-out", path];
    machine.sen("sqlite:work.db", &words).cwd(data.path()).run().expect_code(0);
    let output = machine.sen("sqlite:work.db", &["apply", path, "--yes"]).cwd(elsewhere.path()).run().expect_code(7);
    assert!(output.stderr.contains("the plan is for"), "{}", output.stderr);
    machine.run(&here[1].url(), &["apply", path, "--yes"], 0);
    assert_eq!((balanced(&here[1], 3), balanced(&there[1], 3)), (3, 0));
}

#[test]
fn what_changed_since_is_told_and_the_rest_is_applied() {
    for place in Place::both() {
        letters(&place, 10);
        let (machine, folder) = (Machine::new(), tempfile::tempdir().unwrap());
        let file = folder.path().join("replay.plan");
        replay_plan(&machine, &place, &file);
        place.sql("UPDATE dead_tasks SET moved_at = '2026-11-21T10:00:00' WHERE id IN ('t-1', 't-2')");
        place.sql("DELETE FROM dead_tasks WHERE id = 't-3'");
        let report = machine.json(&place.url(), &["apply", file.to_str().unwrap(), "--yes"], 3);
        assert_eq!((&report["applied"], &report["changed"], &report["missing"]), (&7.into(), &2.into(), &1.into()));
        // The records would tell, so nobody guesses.
        assert_eq!(results(&report, "changed", "perhaps"), 0);
        assert_eq!(results(&report, "missing", "perhaps"), 0);
        assert_eq!((place.count("tasks WHERE state = 'pending'"), place.count("dead_tasks")), (7, 2));
        assert_eq!(machine.only().1, "partial");
    }
}
