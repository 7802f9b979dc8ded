//! SQLite files that are not what was hoped for: a clear error, the documented exit code, and nothing made.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rusqlite::Connection;

use crate::Place;
use crate::harness::daemon::unprivileged;
use crate::harness::peers::{self, STENT_112};
use crate::harness::sen::{SEN, sen};

const READERS: [&[&str]; 6] = [
    &["exec", "list"],
    &["exec", "list", "--limit", "0", "-o", "jsonl"],
    &["exec", "show", "x"],
    &["task", "list"],
    &["stats"],
    &["status"],
];

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A file made by the real library and closed by all.
fn made(folder: &Path) -> std::path::PathBuf {
    let file = folder.join("work.db");
    peers::ask(&STENT_112, "stent/make.py", &[file.to_str().unwrap(), "--only-finished"]);
    // The peer leaves without closing; the last one to close tidies up.
    Connection::open(&file).unwrap().query_row("SELECT count(*) FROM executions", [], |_| Ok(())).unwrap();
    assert_eq!(names(folder), ["work.db"]);
    file
}

#[test]
fn a_mistyped_path_creates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for args in READERS {
        let url = format!("sqlite:{}", folder.path().join("typo.db").display());
        let output = sen(args).database(&url).run().expect_code(6);
        assert!(output.stderr.contains("there is no file"), "{}", output.stderr);
    }
    assert!(names(folder.path()).is_empty());
}

#[test]
fn reading_leaves_the_file_and_its_folder_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let file = made(folder.path());
    let before = std::fs::read(&file).unwrap();
    let url = format!("sqlite:{}", file.display());
    for args in READERS {
        let code = if args.contains(&"show") { 4 } else { 0 };
        sen(args).database(&url).run().expect_code(code);
        assert_eq!(names(folder.path()), ["work.db"], "{args:?}");
    }
    assert!(before == std::fs::read(&file).unwrap(), "the file was changed");
}

#[test]
fn damaged_locked_and_unreadable_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = made(folder.path());
    let whole = std::fs::read(&file).unwrap();
    let run = |name: &str, code: i32, text: &str| {
        let url = format!("sqlite:{}", folder.path().join(name).display());
        for args in READERS {
            let output = sen(args).database(&url).run().expect_code(code);
            assert!(output.stderr.contains(text), "{name} {args:?}: {}", output.stderr);
            assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
        }
    };
    std::fs::write(folder.path().join("short.db"), &whole[..60]).unwrap();
    run("short.db", 6, "cannot open");
    std::fs::write(folder.path().join("cut.db"), &whole[..whole.len() / 2 / 4096 * 4096]).unwrap();
    run("cut.db", 6, "damaged or cut short");
    std::fs::write(folder.path().join("text.db"), "# a shell script that is certainly no database\n".repeat(10))
        .unwrap();
    run("text.db", 6, "not an SQLite database");
    std::fs::write(folder.path().join("empty.db"), "").unwrap();
    run("empty.db", 2, "no ");
    run(".", 6, "is a directory");
    for name in names(folder.path()) {
        assert!(!name.contains("-wal") && !name.contains("-shm") && !name.contains("-journal"), "{name} was made");
    }

    // Tables of the same names that are something else's.
    let other = Connection::open(folder.path().join("other.db")).unwrap();
    other
        .execute_batch(
            "CREATE TABLE tasks (id, title, done); CREATE TABLE executions (id, state); CREATE TABLE signals (x)",
        )
        .unwrap();
    run("other.db", 2, "no ");

    // A database in the older journal mode, locked by a writer.
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    let url = format!("sqlite:{}", folder.path().join("other.db").display());
    let output = sen(["exec", "list"]).database(&url).run().expect_code(1);
    assert!(output.stderr.contains("locked by another process"), "{}", output.stderr);
}

/// Another user may read and leaves nothing; where he may not read he is told so. Needs two users, so a root to switch.
#[test]
fn a_file_of_another_user() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // A folder everybody can reach: temporary folders are private.
    let folder = tempfile::Builder::new().prefix("sen-foreign-").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let file = made(folder.path());
    let program = folder.path().join("sen");
    std::fs::copy(SEN, &program).unwrap();
    let run = |args: &[&str]| {
        let output = unprivileged(&program)
            .args(args)
            .env_clear()
            .env("HOME", "/nonexistent")
            .env("DATABASE_URL", format!("sqlite:{}", file.display()))
            .current_dir(folder.path())
            .output()
            .unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for mode in [0o777, 0o755] {
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        for args in READERS {
            let (code, errors) = run(args);
            assert_eq!(code, if args.contains(&"show") { 4 } else { 0 }, "{args:?}: {errors}");
            assert_eq!(names(folder.path()), ["sen", "work.db"], "{args:?}");
        }
    }
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    for args in READERS {
        let (code, errors) = run(args);
        assert_eq!(code, 6, "{errors}");
        assert!(errors.contains("cannot open the file"), "{errors}");
    }
}

/// The library goes on writing while sen reads, and sen sees what it has committed.
#[test]
fn reading_beside_a_living_worker() {
    let place = Place::sqlite();
    let peer = peers::Peer::start(&STENT_112, "stent/make.py", &[&place.for_library()]);
    let before = place.json(&["exec", "list", "--limit", "0"]).as_array().unwrap().len();
    peers::ask(&STENT_112, "stent/letters.py", &[&place.for_library(), "5"]);
    let after = place.json(&["exec", "list", "--limit", "0"]).as_array().unwrap().len();
    assert_eq!(after, before + 5);
    drop(peer);
}
