//! Settings that are missing, wrong, or lead nowhere: one clear message, the documented exit code, never a password.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use crate::harness::postgres::{Options, Server, free_port};
use crate::harness::redact::redact;
use crate::harness::sen::{Output, sen};
use crate::harness::snapshot::assert_snapshot;

const PASSWORD: &str = "s3cr3t-hunter2";

#[track_caller]
fn check(name: &str, code: i32, output: Output) {
    assert!(
        !output.stderr.contains(PASSWORD) && !output.stdout.contains(PASSWORD),
        "{name} shows the password: {output:?}"
    );
    let output = output.expect_code(code);
    assert!(output.stderr.contains("hint:"), "{name} gives no hint: {}", output.stderr);
    assert_eq!(output.stderr.lines().filter(|line| line.starts_with("error:")).count(), 1, "{name}: {}", output.stderr);
    assert_snapshot(&format!("configuration/{name}"), &redact(&output.transcript()));
}

#[test]
fn no_database_is_named() {
    check("unset", 2, sen(["inspect", "k"]).run());
    check("empty", 2, sen(["inspect", "k"]).database("").run());
}

#[test]
fn urls_that_cannot_be_understood() {
    for (name, url) in [
        ("scheme", format!("mysql://root:{PASSWORD}@db/x")),
        ("port", format!("postgres://u:{PASSWORD}@db:notaport/x")),
        ("parameter", format!("postgres://u:{PASSWORD}@db/x?ssl_mode=require")),
        ("sslmode", format!("postgres://u:{PASSWORD}@db/x?sslmode=maybe")),
        ("escape", format!("postgres://u:{PASSWORD}%zz@db/x")),
        ("redis", format!("redis://:{PASSWORD}@db/x")),
        ("memory", "sqlite::memory:".to_owned()),
    ] {
        check(&format!("url-{name}"), 2, sen(["list"]).database(&url).run());
    }
}

#[test]
fn servers_that_refuse_or_do_not_answer() {
    let server = Server::start(
        &Options::new()
            .tcp()
            .hba("host all secured 127.0.0.1/32 scram-sha-256")
            .hba("host all rejected 127.0.0.1/32 reject"),
    );
    let database = server.fresh_database();
    database.psql("CREATE ROLE secured LOGIN PASSWORD 'right'; CREATE ROLE rejected LOGIN");
    let (port, name) = (server.port(), database.name.as_str());
    let at = |user: &str, rest: &str| {
        sen(["status"]).database(&format!("postgres://{user}:{PASSWORD}@127.0.0.1:{port}/{rest}")).run()
    };
    check("wrong-password", 6, at("secured", name));
    check("rejected-by-hba", 6, at("rejected", name));
    check("no-such-role", 6, at("nobody", name));
    check("no-such-database", 6, at("postgres", "nowhere"));
    check("tls-refused", 6, at("postgres", &format!("{name}?sslmode=require")));
    check("no-tables", 2, at("postgres", name));
    let closed = free_port();
    check("host-down", 6, sen(["status"]).database(&format!("postgres://u:{PASSWORD}@127.0.0.1:{closed}/x")).run());
    check("no-socket", 6, sen(["status"]).database("postgresql:///x?host=/nonexistent&user=u").run());
}

#[test]
fn a_host_that_never_answers_is_given_up_within_the_connect_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let url = format!("postgres://u:{PASSWORD}@127.0.0.1:{port}/x?connect_timeout=2");
    let output = sen(["status"]).database(&url).run();
    assert!(output.took < Duration::from_secs(60), "{:?}", output.took);
    check("silent-host", 6, output);
}

#[test]
fn the_env_file_is_found_upward_and_changes_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a/b");
    fs::create_dir_all(&deep).unwrap();
    fs::create_dir(folder.path().join(".git")).unwrap();
    sen(["demo", "d.db"]).cwd(folder.path()).run().expect_code(0);
    let file = folder.path().join(".env");
    let write = |text: &str, mode: u32| {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    };
    let url = format!("sqlite:{}", folder.path().join("d.db").display());
    write(&format!("DATABASE_URL='{url}'\nHOME=/nowhere\n"), 0o600);
    sen(["list"]).cwd(&deep).run().expect_code(0);
    // The environment wins, and the flag over both.
    sen(["list"]).cwd(&deep).database("sqlite:missing.db").run().expect_code(6);
    sen(["list", "--database-url", &url]).cwd(&deep).database("sqlite:missing.db").run().expect_code(0);
    write(&format!("DATABASE_URL='{url}'\n"), 0o666);
    let refused = sen(["list"]).cwd(&deep).run().expect_code(2);
    assert!(refused.stderr.contains(".env"), "{}", refused.stderr);
    write(&format!("DATABASE_URL='postgres://u:{PASSWORD}@h/x\n"), 0o600);
    let broken = sen(["list"]).cwd(&deep).run().expect_code(2);
    assert!(broken.stderr.contains(".env") && !broken.stderr.contains(PASSWORD), "{}", broken.stderr);
    sen(["list", "--env-file", "nope.env"]).cwd(&deep).run().expect_code(2);
}
