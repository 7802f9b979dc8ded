//! What `sen once` says is so, whatever the command, the machine and the person at it do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::daemon;
use crate::harness::patience::{longer, shown, until as wait_for};
use crate::harness::postgres::Server;
use crate::harness::psql;
use crate::harness::sen::{Output, SEN, sen};
use crate::place::Place;

/// A shell line with `sen` as `$0`.
fn shell(place: &Place, line: &str) -> std::process::Output {
    Command::new("sh").args(["-c", line, SEN]).env("DATABASE_URL", place.url()).output().unwrap()
}

fn is_running(pid: &str) -> bool {
    daemon::is_running(pid.trim().parse().unwrap())
}

fn why(place: &Place, key: &str) -> String {
    place.sen(&["why", key, "-o", "json"]).run().expect_code(0).stdout
}

#[test]
fn how_a_command_failed_is_kept_with_its_event() {
    for place in [Place::sqlite(), Place::postgres()] {
        let script = "echo 'card declined' >&2; exit 7";
        place.sen(&["once", "k", "--", "sh", "-c", script]).run().expect_code(7);
        for told in [why(&place, "k"), place.sen(&["inspect", "k", "-o", "json"]).run().stdout] {
            assert!(told.contains("exit code 7") && told.contains("card declined"), "{told}");
            assert!(!told.contains("raised an exception"), "{told}");
        }
        place.sen(&["once", "s", "--", "sh", "-c", "kill -TERM $$"]).run().expect_code(143);
        assert!(why(&place, "s").contains("signal 15"));
    }
}

#[test]
fn output_that_cannot_be_written_fails_the_run_and_a_closed_pipe_does_not() {
    for place in [Place::sqlite(), Place::postgres()] {
        let full = shell(&place, "\"$0\" once full -- echo receipt > /dev/full");
        let said = String::from_utf8_lossy(&full.stderr).into_owned();
        assert_eq!(full.status.code(), Some(76), "{said}");
        assert!(
            said.contains("standard output could not be written") && said.contains("the key is uncertain"),
            "{said}"
        );
        assert_eq!(place.status("full"), "executing");
        assert!(why(&place, "full").contains("could not be written"));
        place.sen(&["once", "full", "--", "true"]).run().expect_code(76);

        shell(&place, "\"$0\" once pipe -- seq 1 200000 | head -n 1");
        wait_for("the completion", || place.status("pipe") == "completed");
    }
}

#[test]
fn what_was_ignored_at_the_start_stays_ignored_in_the_command_too() {
    let place = Place::sqlite();
    for (number, name) in [(1, "HUP"), (2, "INT"), (3, "QUIT"), (15, "TERM")] {
        let line = format!(
            "trap '' {name}; exec \"$0\" once k{number} -- sh -c 'kill -{name} $PPID; kill -{name} $$; sleep 0.3; echo lives'"
        );
        let output = shell(&place, &line);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "lives\n", "{name}: {output:?}");
        assert_eq!(
            (output.status.code(), place.status(&format!("k{number}"))),
            (Some(0), "completed".into()),
            "{name}"
        );
    }
}

#[test]
fn signals_that_can_be_caught_are_passed_on_and_do_not_end_sen() {
    let place = Place::sqlite();
    // ALRM, VTALRM, PROF, XCPU, XFSZ, ABRT, and two real-time ones.
    for number in [14, 26, 27, 24, 25, 6, 35, 60] {
        let (key, folder) = (format!("s{number}"), tempfile::tempdir().unwrap());
        let ready = folder.path().join("ready");
        let script = format!("trap 'echo heard; exit 0' {number}; : > \"$0\"; while :; do sleep 0.05; done");
        let args = ["once", &key, "--", "bash", "-c", &script, ready.to_str().unwrap()];
        let running = place.sen(&args).start();
        wait_for("the trap", || ready.exists());
        let kill = format!("kill -{number} {}", running.pid());
        assert!(Command::new("bash").args(["-c", &kill]).status().unwrap().success());
        let output = running.finish().expect_code(0);
        assert_eq!((output.stdout.as_str(), place.status(&key)), ("heard\n", "completed".into()), "{number}");
    }
}

#[test]
fn the_command_ends_when_sen_is_killed() {
    for prologue in ["", "trap '' TERM;"] {
        let place = Place::sqlite();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pids");
        // A child of the command, too.
        let script =
            format!("{prologue} sleep 600 & echo $$ > \"$0\"; echo $! >> \"$0\"; while :; do sleep 0.05; done");
        // Longer than it may take until the command is there.
        let args = ["once", "--ttl", "60s", "k", "--", "sh", "-c", &script, file.to_str().unwrap()];
        let running = place.sen(&args).start();
        wait_for("the command", || fs::read_to_string(&file).is_ok_and(|text| text.lines().count() == 2));
        let pids: Vec<String> = fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect();
        kill_process(Pid::from_raw(i32::try_from(running.pid()).unwrap()).unwrap(), Signal::KILL).unwrap();
        wait_for("the end of the command and its child", || !pids.iter().any(|pid| is_running(pid)));
        assert_eq!(place.status("k"), "executing");
    }
}

#[test]
fn a_command_that_ignores_term_is_dead_at_the_hard_limit() {
    for start in [Place::sqlite, Place::postgres] {
        // A machine that stood still for longer than the margin, which is a second, shows nothing of `sen`.
        shown("dead before its hard limit", |_| dies_before_its_hard_limit(&start()));
    }
}

/// Whether it is certain that the command was dead before its hard limit came.
fn dies_before_its_hard_limit(place: &Place) -> Option<()> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let script = "trap '' TERM; echo $$ > \"$0\"; while :; do sleep 0.02; done";
    let args = ["once", "--ttl", "10s", "--hard-ttl", "10s", "k", "--", "sh", "-c", script, file.to_str().unwrap()];
    let mut running = place.sen(&args).start();
    let begun = || fs::read_to_string(&file).ok().filter(|text| text.ends_with('\n'));
    wait_for("the command", || begun().is_some() || !running.is_running());
    let pid = begun()?;
    let over = match place {
        Place::Postgres(_) => "SELECT CAST(hard_expires_at <= clock_timestamp() AS text) FROM sentinel_leases",
        Place::Sqlite(_) => {
            "SELECT CAST(hard_expires_at <= unixepoch('subsec') * 1000000 AS text) FROM sentinel_leases"
        }
    };
    let in_time = loop {
        // Asked in this order: what was dead before the answer was dead before its limit.
        let alive = is_running(&pid);
        let is_over = ["true", "1"].contains(&place.sql(over).as_str());
        if is_over || !alive {
            break !is_over;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let output = running.finish().expect_code(76);
    (in_time && output.stderr.contains("it reached its hard TTL")).then_some(())
}

#[test]
fn a_key_that_was_lost_is_said_to_be_what_it_is() {
    let place = Place::postgres();
    let run = |key: &str, change: &str| -> Output {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ready");
        let script = ": > \"$0\"; while :; do sleep 0.05; done";
        let running =
            place.sen(&["once", "--ttl", "9s", key, "--", "sh", "-c", script, file.to_str().unwrap()]).start();
        wait_for("the command", || file.exists());
        place.sql(change);
        running.finish().expect_code(76)
    };
    let deleted = run("deleted", "DELETE FROM sentinel_leases WHERE key = 'deleted'").stderr;
    assert!(
        deleted.contains("the key is free now: its row was deleted") && !deleted.contains("uncertain"),
        "{deleted}"
    );
    let taken = "UPDATE sentinel_leases SET owner_id = 'web-2:7-7', fencing_token = nextval('sentinel_token_seq'),
        lease_expires_at = now() + interval '1 hour', hard_expires_at = now() + interval '1 hour' WHERE key = 'taken'";
    let taken = run("taken", taken).stderr;
    assert!(taken.contains("taken by another of web-2:7-7") && !taken.contains("uncertain"), "{taken}");
}

#[test]
fn a_token_is_never_given_twice() {
    let place = Place::postgres();
    let claimed =
        "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, lease_updated_at, status, fencing_token)
        VALUES ('k', 'web:1-1', now() - interval '1 minute', now() - interval '2 minutes', 'claimed', 241)";
    place.sql(claimed);
    place.sql("INSERT INTO sentinel_events (key, event, fencing_token) VALUES ('gone', 'released', 241)");
    for key in ["k", "gone"] {
        place.sql("SELECT setval('sentinel_token_seq', 100)");
        let output = place.sen(&["once", key, "--", "echo", "ran"]).run().expect_code(125);
        assert!(output.stderr.contains("is behind") && output.stderr.contains("setval("), "{}", output.stderr);
        assert_eq!(output.stdout, "");
        // A few below it is only drawn again.
        place.sql("SELECT setval('sentinel_token_seq', 238)");
        place.sen(&["once", key, "--", "true"]).run().expect_code(0);
        let token: i64 =
            place.sql(&format!("SELECT fencing_token FROM sentinel_leases WHERE key = '{key}'")).parse().unwrap();
        assert!(token > 241, "{key}: {token}");
    }
    // In SQLite the draw itself begins above.
    let place = Place::sqlite();
    place.sql(
        "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, lease_updated_at, status, fencing_token)
            VALUES ('k', 'web:1-1', 1, 1, 'claimed', 241) RETURNING 1",
    );
    place.sen(&["once", "k", "--", "true"]).run().expect_code(0);
    assert_eq!(place.sql("SELECT CAST(fencing_token AS text) FROM sentinel_leases"), "242");
}

#[test]
fn output_that_the_encoding_cannot_hold_is_kept_as_base64() {
    let server = Server::shared();
    let name = format!("latin1_{}", std::process::id());
    psql::run(
        &server.url_of("postgres"),
        &format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"),
    );
    let url = server.url_of(&name);
    let run = |args: &[&str]| sen(args).database(&url).run();
    run(&["init"]).expect_code(0);
    run(&["once", "k", "--", "printf", "10 € für Ω"]).expect_code(0);
    assert_eq!(run(&["once", "--print-cached", "k", "--", "true"]).expect_code(0).stdout, "10 € für Ω");
    // A failure's note is kept as far as it can be.
    run(&["once", "f", "--", "sh", "-c", "echo 'Ω declined' >&2; exit 7"]).expect_code(7);
    let told = run(&["why", "f", "-o", "json"]).expect_code(0).stdout;
    assert!(told.contains("exit code 7") && told.contains("? declined"), "{told}");
    // A result that cannot be held is refused before anything is taken over.
    run(&["reconcile", "f", "--complete", "\"Ω\"", "--yes"]).expect_code(2);
    let status = psql::run(&url, "SELECT status FROM sentinel_leases WHERE key = 'f'");
    assert_eq!(status.trim(), "executing");
}

/// Copies a program that is to be run at once. Another process does it: a file that this one has open for writing, any other
/// test may hold open in a child that it starts just then, and what is open for writing cannot be run.
fn copy_program(from: impl AsRef<std::ffi::OsStr>, to: &Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
}

/// Runs `sen` as a user without rights, on a file that is theirs; `None` where the tests do not run as root.
fn as_nobody(place: &Place, args: &[&str]) -> Option<Output> {
    let Place::Sqlite(folder) = place else { panic!("a file is needed") };
    if !rustix::process::geteuid().is_root() {
        println!("not root: skipped");
        return None;
    }
    let path = folder.path();
    for file in [path.to_path_buf(), path.join("once.db"), path.join("sen")] {
        if file.ends_with("sen") {
            copy_program(SEN, &file);
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::chown(&file, Some(65534), Some(65534)).unwrap();
    }
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(path.join("sen"))
        .args(args)
        .env("DATABASE_URL", place.url())
        .env("HOME", path)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let code = output.status.code().unwrap_or(-1);
    Some(Output { stdout: text(output.stdout), stderr: text(output.stderr), code, took: Duration::ZERO })
}

/// A command that runs as another user, as `sudo` makes them, cannot be ended: that is said, and nothing else.
#[test]
fn a_privileged_command_that_cannot_be_ended_is_said_so() {
    shown("sen looks between the time to end it and its end", cannot_be_ended);
}

fn cannot_be_ended(run: u32) -> Option<()> {
    let place = Place::sqlite();
    let Place::Sqlite(folder) = &place else { return None };
    let elevate = folder.path().join("elevate");
    let setpriv = ["/usr/bin/setpriv", "/bin/setpriv"].into_iter().find(|path| Path::new(path).exists()).unwrap();
    copy_program(setpriv, &elevate);
    fs::set_permissions(&elevate, fs::Permissions::from_mode(0o4755)).unwrap();
    let elevate = elevate.to_str().unwrap();
    // It ends some seconds after the limit, the later the more often that was too early.
    let seconds = (4 + longer(run) / 1000).to_string();
    let args = ["once", "--ttl", "2s", "--hard-ttl", "2s", "k", "--", elevate, "--reuid=0", "sleep", &seconds];
    // Where the tests do not run as root there is nothing to see.
    let Some(output) = as_nobody(&place, &args) else { return Some(()) };
    if !output.stderr.contains("cannot be ended") {
        return None;
    }
    assert_eq!(output.code, 76, "{}", output.stderr);
    for said in ["the command could not be ended", "it ended by itself with exit code 0"] {
        assert!(output.stderr.contains(said), "{said}: {}", output.stderr);
    }
    assert!(!output.stderr.contains("the command was ended"), "{}", output.stderr);
    Some(())
}

#[test]
fn a_command_cannot_read_the_credentials_of_its_parent() {
    let place = Place::sqlite();
    let args = ["once", "k", "--", "sh", "-c", "cat /proc/$PPID/environ && echo leaked; ulimit -c; sleep 0.1"];
    let Some(output) = as_nobody(&place, &args) else { return };
    assert!(!output.stdout.contains("leaked") && !output.stdout.contains("DATABASE_URL"), "{}", output.stdout);
    assert!(output.stderr.contains("Permission denied"), "{}", output.stderr);
}

/// What a crash leaves behind holds no password, whatever the shell allows; and the command keeps the limit of the shell.
#[cfg(target_os = "linux")]
#[test]
fn a_crash_writes_no_core_file() {
    use std::os::unix::process::ExitStatusExt as _;
    let place = Place::sqlite();
    let folder = tempfile::tempdir().unwrap();
    let started = |line: &str, file: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -c unlimited; exec {line}"), SEN]).env("DATABASE_URL", place.url());
        let child = command.current_dir(folder.path()).spawn().unwrap();
        let file = folder.path().join(file);
        wait_for("the command", || fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')));
        (child, fs::read_to_string(&file).unwrap())
    };
    let crash = |child: &mut std::process::Child| {
        kill_process(Pid::from_child(child), Signal::ILL).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(4), "{status}");
        status.core_dumped()
    };
    let (mut plain, limit) = started("sh -c 'ulimit -c > plain; exec sleep 600'", "plain");
    // Where the machine keeps no core files at all there is nothing to compare with.
    let kept = crash(&mut plain);
    let (mut run, own) = started("\"$0\" once k -- sh -c 'ulimit -c > own; exec sleep 600'", "own");
    assert_eq!(own, limit, "the command has the limit it would have without sen");
    assert!(!crash(&mut run), "a core file was written (as of any other program: {kept})");
}

#[test]
fn a_pipe_is_no_database() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for args in [["status"].as_slice(), &["once", "k", "--", "true"], &["init"], &["list"]] {
        let output = sen(args).database(&format!("sqlite:{}", pipe.display())).timeout(Duration::from_secs(30)).run();
        assert_ne!(output.code, 0, "{args:?}");
        assert!(output.stderr.contains("is not a regular file"), "{args:?}: {}", output.stderr);
    }
}
