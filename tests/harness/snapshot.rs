//! Compares a text with a file under `tests/snapshots`; `SEN_TEST_ACCEPT=1` writes what is new instead.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

/// Lines of agreement shown around a difference.
const CONTEXT: usize = 3;

/// Compares (redacted text, please: see [`super::redact`]) with the snapshot of this name; it may hold slashes.
#[track_caller]
pub fn assert_snapshot(name: &str, actual: &str) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(format!("{name}.txt"));
    if std::env::var_os("SEN_TEST_ACCEPT").is_some_and(|value| value == "1") {
        fs::create_dir_all(file.parent().expect("the file is in a folder")).expect("the snapshot folder can be made");
        fs::write(&file, actual).expect("the snapshot can be written");
        return;
    }
    let Ok(expected) = fs::read_to_string(&file) else {
        panic!("no snapshot {name} yet; SEN_TEST_ACCEPT=1 writes it. It would be:\n{actual}");
    };
    assert!(
        expected == actual,
        "snapshot {name} differs (- expected, + actual); SEN_TEST_ACCEPT=1 accepts it\n{}",
        difference(&expected, actual)
    );
}

/// What differs, between the common beginning and the common end.
pub fn difference(expected: &str, actual: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (expected.split('\n').collect(), actual.split('\n').collect());
    let shorter = old.len().min(new.len());
    let head = old.iter().zip(&new).take_while(|(left, right)| left == right).count();
    let tail =
        old.iter().rev().zip(new.iter().rev()).take(shorter - head).take_while(|(left, right)| left == right).count();
    let mut text = String::new();
    let mut show = |sign: char, lines: &[&str]| {
        for line in lines {
            let _ = writeln!(text, "{sign} {}", line.escape_debug());
        }
    };
    show(' ', &old[head.saturating_sub(CONTEXT)..head]);
    show('-', &old[head..old.len() - tail]);
    show('+', &new[head..new.len() - tail]);
    show(' ', &old[old.len() - tail..(old.len() - tail + CONTEXT).min(old.len())]);
    text
}
