//! The database goes away, hangs, or hands the key to somebody else while a command runs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::postgres::{Database, Options, Server};
use crate::harness::proxy::{Proxy, Trap};
use crate::harness::sen::{Running, sen};

struct Scene<'a> {
    database: Database<'a>,
    proxy: Proxy,
    folder: tempfile::TempDir,
}

impl<'a> Scene<'a> {
    fn set(server: &'a Server) -> Self {
        let database = server.fresh_database();
        sen(["init"]).database(&database.url()).run().expect_code(0);
        Self { database, proxy: Proxy::unix(server), folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A command that writes its process id, then a line every 20 ms for as long as it lives.
    fn start(&self, options: &[&str], prologue: &str) -> Running {
        let script = format!(
            "{prologue} echo $$ > '{}'; while :; do date +%s.%N >> '{}'; sleep 0.02; done",
            self.path("pid"),
            self.path("alive")
        );
        let mut args = vec!["once", "k"];
        args.extend_from_slice(options);
        args.extend_from_slice(&["--", "sh", "-c", &script]);
        let url = self.proxy.url_of(&self.database.name);
        let running = sen(&args).database(&url).env("SEN_SPOOL_DIR", self.path("spool")).start();
        wait_until(|| Path::new(&self.path("alive")).exists());
        running
    }

    fn is_alive(&self) -> bool {
        let pid = fs::read_to_string(self.path("pid")).unwrap();
        // A killed process nobody has waited for yet is dead all the same.
        fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| !stat.contains(") Z "))
    }

    /// Waits until the lease is over by the database's clock, and says whether the command was dead by then.
    fn dead_before_the_lease_is_free(&self) -> bool {
        let mut session = self.database.session();
        let mut dead = false;
        loop {
            let alive = self.is_alive();
            let over = session.run("SELECT lease_expires_at <= clock_timestamp() FROM sentinel_leases WHERE key = 'k'");
            if over == "t" {
                return dead || !alive;
            }
            dead = !alive;
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn status(&self) -> String {
        self.database.psql("SELECT status FROM sentinel_leases WHERE key = 'k'")
    }
}

fn wait_until(done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "it never came");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_command_is_dead_before_the_lease_is_free_when_traffic_stalls() {
    let server = Server::start(&Options::new());
    for prologue in ["", "trap '' TERM INT;"] {
        let scene = Scene::set(&server);
        let running = scene.start(&["--ttl", "2s"], prologue);
        std::thread::sleep(Duration::from_millis(900));
        scene.proxy.stall(true);
        assert!(scene.dead_before_the_lease_is_free(), "alive after its lease, with {prologue:?}");
        running.finish().expect_code(76);
        assert_eq!(scene.status(), "executing");
    }
}

#[test]
fn the_command_is_dead_before_the_lease_is_free_when_connections_are_cut() {
    let server = Server::start(&Options::new());
    let scene = Scene::set(&server);
    let running = scene.start(&["--ttl", "2s"], "trap '' TERM;");
    scene.proxy.refuse(true);
    scene.proxy.cut();
    assert!(scene.dead_before_the_lease_is_free());
    let output = running.finish().expect_code(76);
    assert!(output.stderr.contains("no heartbeat was acknowledged in time"), "{}", output.stderr);
}

#[test]
fn a_short_interruption_is_survived() {
    let server = Server::start(&Options::new());
    let scene = Scene::set(&server);
    let mut running = scene.start(&["--ttl", "3s"], "trap 'exit 0' TERM;");
    for _ in 0..3 {
        scene.proxy.cut();
        std::thread::sleep(Duration::from_millis(1500));
    }
    assert!(running.is_running());
    running.signal(rustix::process::Signal::TERM);
    running.finish().expect_code(0);
    assert_eq!(scene.status(), "completed");
}

#[test]
fn a_key_that_was_taken_over_ends_the_command_and_nothing_late_is_written() {
    let server = Server::start(&Options::new());
    let scene = Scene::set(&server);
    let running = scene.start(&["--ttl", "2s"], "trap 'exit 0' TERM;");
    scene.database.psql(
        "UPDATE sentinel_leases SET status = 'completed', fencing_token = nextval('sentinel_token_seq'),
            execution_result = '{\"by\": \"operator\"}'",
    );
    let before = scene.database.psql("SELECT * FROM sentinel_leases");
    running.finish().expect_code(76);
    assert!(!scene.is_alive());
    assert_eq!(scene.database.psql("SELECT * FROM sentinel_leases"), before);
}

#[test]
fn the_hard_limit_ends_the_command() {
    let server = Server::start(&Options::new());
    let scene = Scene::set(&server);
    let start = Instant::now();
    scene.start(&["--ttl", "1500ms", "--hard-ttl", "2s"], "trap '' TERM;").finish().expect_code(76);
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    assert!(!scene.is_alive());
}

#[test]
fn a_result_that_cannot_be_stored_is_spooled_for_its_owner_only() {
    let server = Server::start(&Options::new());
    let scene = Scene::set(&server);
    let running = scene.start(&["--ttl", "2s"], "trap 'echo paid; exit 0' TERM;");
    scene.proxy.refuse(true);
    scene.proxy.cut();
    running.signal(rustix::process::Signal::TERM);
    let output = running.finish().expect_code(9);
    for said in ["ended with exit code 0", "its result is kept in", "sen reconcile k --complete @"] {
        assert!(output.stderr.contains(said), "{said}: {}", output.stderr);
    }
    let file = fs::read_dir(scene.path("spool")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let kept: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!((&kept["exit_code"], &kept["stdout"]), (&0.into(), &"paid\n".into()));
    assert_eq!(scene.status(), "executing");
}

#[test]
fn a_result_is_stored_late_when_the_database_comes_back() {
    let server = Server::start(&Options::new());
    let scene = Scene::set(&server);
    let running = scene.start(&["--ttl", "8s"], "trap 'echo paid; exit 0' TERM;");
    scene.proxy.refuse(true);
    scene.proxy.cut();
    running.signal(rustix::process::Signal::TERM);
    wait_until(|| fs::read_dir(scene.path("spool")).is_ok_and(|mut files| files.next().is_some()));
    scene.proxy.refuse(false);
    running.finish().expect_code(0);
    assert_eq!(scene.status(), "completed");
    assert!(fs::read_dir(scene.path("spool")).unwrap().next().is_none(), "the spool file stayed");
}

/// The connection dies at each message of the claim and of the completion: the command runs once and its result is stored.
#[test]
fn connections_lost_while_committing_do_not_decide_anything() {
    let server = Server::start(&Options::new());
    for (number, trap) in [
        Trap::Request(b"INSERT INTO sentinel_leases".to_vec()),
        Trap::Answer(b"INSERT INTO sentinel_leases".to_vec()),
        Trap::Request(b"execution_result = $5".to_vec()),
        Trap::Answer(b"execution_result = $5".to_vec()),
    ]
    .into_iter()
    .enumerate()
    {
        let scene = Scene::set(&server);
        scene.proxy.trap(trap);
        let url = scene.proxy.url_of(&scene.database.name);
        let line = format!("echo run >> '{}'", scene.path("log"));
        sen(["once", "k", "--", "sh", "-c", &line]).database(&url).run().expect_code(0);
        sen(["once", "k", "--", "sh", "-c", &line]).database(&url).run().expect_code(0);
        assert_eq!(fs::read_to_string(scene.path("log")).unwrap(), "run\n", "trap {number}");
        assert_eq!(scene.status(), "completed", "trap {number}");
    }
}
