//! Passwords that a program prints: for every connection anew, for nobody else, and never shown.

use std::time::Duration;

use crate::fake::{CLEARTEXT, Fake};
use crate::harness::daemon::wait_for_the_end_of;
use crate::harness::patience::until;
use crate::harness::postgres::{Options, Server};
use crate::harness::redis::Options as RedisOptions;
use crate::harness::sen::{Output, sen};
use crate::harness::{proxy, psql, pty};
use crate::programs::Programs;

const SECRET: &str = "s3cr3t-hunter2";

/// A server that wants this password of role `app` over TCP, and takes everybody on its socket.
fn server() -> Server {
    let server = Server::start(
        &Options::new().tcp().conf("password_encryption = 'scram-sha-256'").hba("host all all all scram-sha-256"),
    );
    psql::run(&server.url_of("postgres"), &format!("CREATE ROLE app SUPERUSER LOGIN PASSWORD '{SECRET}'"));
    server
}

fn silent(output: Output) -> Output {
    assert!(!output.stdout.contains(SECRET) && !output.stderr.contains(SECRET), "{output:?}");
    output
}

#[test]
fn a_program_prints_the_password_of_postgresql() {
    let (server, programs) = (server(), Programs::new());
    let url = format!("postgresql://app@127.0.0.1:{}/postgres", server.port());
    let token = programs.script(
        "token",
        &format!(
            "env | grep ^SEN_PASSWORD_ | sort >> {0}/asked\ntest -t 0 && exit 9\ncat >> {0}/asked\necho progress >&2\necho {SECRET}",
            programs.folder().display()
        ),
    );
    sen(["init"]).database(&url).run().expect_code(6);
    let run = |args: &[&str]| silent(sen(args).database(&url).env("SEN_PASSWORD_COMMAND", &token).run());
    run(&["init"]).expect_code(0);
    let asked = format!(
        "SEN_PASSWORD_COMMAND={token}\nSEN_PASSWORD_DATABASE=postgres\nSEN_PASSWORD_HOST=127.0.0.1\nSEN_PASSWORD_PORT={}\nSEN_PASSWORD_USER=app\n",
        server.port()
    );
    assert_eq!(programs.read("asked"), asked, "once, with what it is for and nothing to read");
    // What it says on stderr is passed on only where it failed.
    assert!(!run(&["list"]).expect_code(0).stderr.contains("progress"));
    assert_eq!(programs.read("asked"), asked.repeat(2), "every command asks anew");
    // The flag, through words with quotes; `once` runs it, and what it runs does not learn of it.
    let typed = format!("sh -c 'exec {token}'");
    let args = ["--password-command", &typed, "once", "k", "--", "sh", "-c", "env; true"];
    let said = silent(sen(args).database(&url).run().expect_code(0));
    assert!(!said.stdout.contains("SEN_PASSWORD"), "{}", said.stdout);
    // Suggested commands connect as this one did.
    let said = silent(sen(["--password-command", &token, "list", "--database-url", &url]).run().expect_code(0));
    assert!(said.stdout.contains("k") && said.stderr.is_empty(), "{said:?}");
}

#[test]
fn the_program_is_asked_again_for_every_connection() {
    let (server, programs) = (server(), Programs::new());
    let proxy = proxy::Proxy::tcp(&server);
    let url = format!("postgresql://app@{}", proxy.url_of("postgres").split_once('@').unwrap().1);
    let count = programs.path("count");
    let token = programs.script("token", &format!("echo x >> {}\necho {SECRET}", count.display()));
    let times = || programs.read("count").lines().count();
    let run = |args: &[&str]| silent(sen(args).database(&url).env("SEN_PASSWORD_COMMAND", &token).run());
    run(&["init"]).expect_code(0);
    let before = times();
    // Where nobody listens nothing is asked of the program.
    let nobody = format!("postgresql://app@127.0.0.1:{}/postgres", crate::harness::postgres::free_port());
    silent(sen(["list"]).database(&nobody).env("SEN_PASSWORD_COMMAND", &token).run().expect_code(6));
    assert_eq!(times(), before);
    proxy.refuse(true);
    let mut waiting =
        sen(["list", "--connect-retry", "10m"]).database(&url).env("SEN_PASSWORD_COMMAND", &token).start();
    std::thread::sleep(Duration::from_millis(300));
    assert!(waiting.is_running());
    proxy.refuse(false);
    silent(waiting.finish().expect_code(0));
    assert!(times() > before);
    let before = times();
    // `watch` looks over one connection, and over another one when that is lost.
    let mut live = pty::terminal(["watch"]).database(&url).env("SEN_PASSWORD_COMMAND", &token).start();
    live.wait_for("app@");
    assert!(times() > before);
    let before = times();
    proxy.cut();
    until("another connection", || times() > before);
    live.type_keys("q");
    let shown = live.finish();
    assert!(!String::from_utf8_lossy(&shown.raw).contains(SECRET), "{}", shown.screen);
}

#[test]
fn what_a_program_does_wrong_is_told_and_nothing_it_printed() {
    let (server, programs) = (server(), Programs::new());
    let url = format!("postgresql://app@127.0.0.1:{}/postgres", server.port());
    let run = |command: &str, more: &[&str]| {
        let args = [&["list", "--password-command", command], more].concat();
        silent(sen(args).database(&url).run())
    };
    let failing = programs.script("failing", &format!("echo {SECRET}\necho 'no session for {SECRET}' >&2\nexit 3"));
    let said = run(&failing, &[]).expect_code(6).stderr;
    assert!(
        said.contains("error: the program for the log-in: ") && said.contains("failing ended with exit code 3"),
        "{said}"
    );
    assert!(said.contains("no session for ***"), "{said}");
    let said = run("/nowhere/at/all", &[]).expect_code(2).stderr;
    assert!(said.contains("/nowhere/at/all was not found"), "{said}");
    let said = run("true", &[]).expect_code(6).stderr;
    assert!(said.contains("true printed no password"), "{said}");
    let said = run(&format!("printf '{SECRET}\\n{SECRET}2\\n'"), &[]).expect_code(2).stderr;
    assert!(said.contains("printed more than one line"), "{said}");
    let slow = programs.script("slow", "echo waiting for a person >&2\nsleep 600");
    let said = run(&slow, &["--timeout", "1s"]).expect_code(6).stderr;
    assert!(said.contains("slow did not end within 1s") && said.contains("was killed"), "{said}");
    let said = run("echo 'open", &[]).expect_code(2).stderr;
    assert!(said.contains("--password-command: a quotation mark"), "{said}");
    let wrong = programs.script("wrong", "echo wrong-password");
    let said = run(&wrong, &[]).expect_code(6).stderr;
    assert!(said.contains("password authentication failed") && !said.contains("wrong-password"), "{said}");
    // A server's own word, `once`: before its command nothing ran.
    let args = ["--password-command", &failing, "once", "k", "--", "true"];
    silent(sen(args).database(&url).run()).expect_code(125);
}

#[test]
fn whose_password_goes_where() {
    let (fake, programs) = (Fake::start(CLEARTEXT), Programs::new());
    let token = programs.script("token", &format!("touch {}/ran\necho {SECRET}", programs.folder().display()));
    let ran = || programs.path("ran").exists();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join(".git")).unwrap();
    let env = folder.path().join(".env");
    let write = |content: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(&env, content).unwrap();
        std::fs::set_permissions(&env, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    let named = format!("DATABASE_URL=postgresql://me@127.0.0.1:{}/d\n", fake.port);
    // A found file names no program to run, and gets no password of the operator's.
    write(&format!("{named}SEN_PASSWORD_COMMAND={token}\nSEN_HOOK={token}\n"));
    let said = sen(["list"]).cwd(folder.path()).run().expect_code(6);
    assert!(said.stderr.contains("SEN_PASSWORD_COMMAND") && said.stderr.contains("--env-file"), "{}", said.stderr);
    sen(["list"]).cwd(folder.path()).env("SEN_PASSWORD_COMMAND", &token).run().expect_code(6);
    let said = sen(["list", "--password-command", &token]).cwd(folder.path()).run().expect_code(2);
    assert!(said.stderr.contains("only found"), "{}", said.stderr);
    write("SEN_REDIS_URL=redis://127.0.0.1:1/0\n");
    sen(["agent", "list"]).cwd(folder.path()).env("SEN_REDIS_PASSWORD_COMMAND", &token).run().expect_code(6);
    assert!(!ran() && !fake.heard().contains(SECRET), "{}", fake.heard());
    // A URL with a password of its own needs none; both at once is a mistake.
    let own = format!("postgresql://me:other@127.0.0.1:{}/d", fake.port);
    sen(["list"]).database(&own).env("SEN_PASSWORD_COMMAND", &token).run().expect_code(6);
    let said = sen(["list", "--password-command", &token]).database(&own).run().expect_code(2);
    assert!(said.stderr.contains("the URL holds a password"), "{}", said.stderr);
    let said = sen(["list", "--password-command", &token]).database("sqlite:x.db").run().expect_code(2);
    assert!(said.stderr.contains("SQLite file has no password"), "{}", said.stderr);
    // The one of the database is not sent to the Redis beside it.
    let redis = RedisOptions::new().tcp().conf(&format!("requirepass {SECRET}")).start();
    let beside = format!("redis://127.0.0.1:{}/0", redis.port());
    sen(["agent", "list"]).env("SEN_REDIS_URL", &beside).env("SEN_PASSWORD_COMMAND", &token).run().expect_code(6);
    // Nor does TAB run anything.
    let words = ["__complete", "bash", "2", "--", "sen", "show", ""];
    let url = format!("postgresql://me@127.0.0.1:{}/d", fake.port);
    sen(words).database(&url).env("SEN_PASSWORD_COMMAND", &token).run().expect_code(0);
    assert!(!ran() && !fake.heard().contains(SECRET), "{}", fake.heard());
    // A file that is named is the operator's word: so the test would have seen it.
    write(&format!("{named}SEN_PASSWORD_COMMAND={token}\n"));
    sen(["list", "--env-file", ".env"]).cwd(folder.path()).run().expect_code(6);
    assert!(ran() && fake.heard().contains(SECRET), "{}", fake.heard());
}

#[test]
fn a_program_prints_the_password_of_redis() {
    let programs = Programs::new();
    let redis = RedisOptions::new()
        .tcp()
        .conf(&format!("requirepass {SECRET}"))
        .conf(&format!("user maria on >{SECRET}2 ~* &* +@all"))
        .start();
    let token = programs.script(
        "token",
        &format!(
            "echo \"$SEN_PASSWORD_USER:$SEN_PASSWORD_DATABASE\" >> {}/asked\ntest -z \"$SEN_PASSWORD_USER\" && echo {SECRET} || echo {SECRET}2",
            programs.folder().display()
        ),
    );
    let at = format!("127.0.0.1:{}", redis.port());
    let list = |url: &str, option: &str| {
        silent(
            sen([
                "agent",
                "list",
                option,
                &token,
                if option.contains("redis") { "--redis-url" } else { "--database-url" },
                url,
            ])
            .run(),
        )
    };
    list(&format!("redis://{at}/0"), "--redis-password-command").expect_code(0);
    list(&format!("redis://{at}/0"), "--password-command").expect_code(0);
    list(&format!("redis://maria:@{at}/1"), "--redis-password-command").expect_code(0);
    assert_eq!(programs.read("asked"), ":0\n:0\nmaria:1\n", "each has logged in and found no tasks");
    let submit = ["agent", "submit", "--tenant", "acme", "--type", "t", "--yes"];
    let url = format!("redis://maria:@{at}/0");
    silent(sen(submit).env("SEN_REDIS_URL", &url).env("SEN_REDIS_PASSWORD_COMMAND", &token).run()).expect_code(0);
    let said = sen(submit).env("SEN_REDIS_URL", &url).run().expect_code(2);
    assert!(said.stderr.contains("a user and no password"), "{}", said.stderr);
}

#[test]
fn an_interrupt_ends_the_program_with_sen() {
    let (server, programs) = (server(), Programs::new());
    let url = format!("postgresql://app@127.0.0.1:{}/postgres", server.port());
    let slow = programs.script("slow", &format!("echo $$ > {}/pid\nexec sleep 600", programs.folder().display()));
    let running = sen(["list", "--password-command", &slow]).database(&url).start();
    until("the program runs", || !programs.read("pid").trim().is_empty());
    running.signal(rustix::process::Signal::INT);
    assert_eq!(running.finish().code, 130);
    let pid = programs.read("pid").trim().parse().unwrap();
    wait_for_the_end_of(&[pid]);
}
