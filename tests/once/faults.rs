//! The database goes away, hangs, or hands the key to somebody else while a command runs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::harness::daemon::is_running;
use crate::harness::patience::{shown, until};
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
        self.started(options, prologue).expect("its time is not over before it begins")
    }

    /// The same; nothing when its time to live was over before the command had begun.
    fn started(&self, options: &[&str], prologue: &str) -> Option<Running> {
        let script = format!(
            "{prologue} echo $$ > '{}'; while :; do date +%s.%N >> '{}'; sleep 0.02; done",
            self.path("pid"),
            self.path("alive")
        );
        let mut args = vec!["once", "k"];
        args.extend_from_slice(options);
        args.extend_from_slice(&["--", "sh", "-c", &script]);
        let url = self.proxy.url_of(&self.database.name);
        let mut running = sen(&args).database(&url).env("SEN_SPOOL_DIR", self.path("spool")).start();
        let alive = self.path("alive");
        until("the command", || Path::new(&alive).exists() || !running.is_running());
        Path::new(&alive).exists().then_some(running)
    }

    fn is_alive(&self) -> bool {
        is_running(fs::read_to_string(self.path("pid")).unwrap().trim().parse().unwrap())
    }

    /// Waits until the command has ended or the lease is over by the database's clock, and says whether it is certain that the
    /// end came first.
    fn dead_before_the_lease_is_free(&self) -> bool {
        let mut session = self.database.session();
        let over = "SELECT lease_expires_at <= clock_timestamp() FROM sentinel_leases WHERE key = 'k'";
        loop {
            // Asked in this order: what was dead before the answer was dead before the lease was over.
            let alive = self.is_alive();
            let is_over = session.run(over) == "t";
            if is_over || !alive {
                return !is_over;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Until when the lease is extended, which each heartbeat moves.
    fn expiry(&self) -> String {
        self.database.psql("SELECT lease_expires_at FROM sentinel_leases WHERE key = 'k'")
    }

    fn status(&self) -> String {
        self.database.psql("SELECT status FROM sentinel_leases WHERE key = 'k'")
    }
}

/// A longer time to live the more often it was too short. What `sen` needs to end a command in time is a share of it, and a
/// machine that stood still for longer than that shows nothing.
fn ttl(run: u32) -> String {
    format!("{}s", 3 * 2_u32.pow(run))
}

#[test]
fn the_command_is_dead_before_the_lease_is_free_when_traffic_stalls() {
    let server = Server::start(&Options::new());
    for prologue in ["", "trap '' TERM INT;"] {
        shown(&format!("dead before its lease is over, with {prologue:?}"), |run| {
            let scene = Scene::set(&server);
            let running = scene.started(&["--ttl", &ttl(run)], prologue)?;
            // After a heartbeat: its connection is the one that falls silent.
            let claimed = scene.expiry();
            until("a heartbeat", || scene.expiry() != claimed || !scene.is_alive());
            scene.proxy.stall(true);
            let dead = scene.dead_before_the_lease_is_free();
            running.finish().expect_code(76);
            assert_eq!(scene.status(), "executing");
            dead.then_some(())
        });
    }
}

#[test]
fn the_command_is_dead_before_the_lease_is_free_when_connections_are_cut() {
    let server = Server::start(&Options::new());
    shown("dead before its lease is over", |run| {
        let scene = Scene::set(&server);
        let running = scene.started(&["--ttl", &ttl(run)], "trap '' TERM;")?;
        scene.proxy.refuse(true);
        scene.proxy.cut();
        let dead = scene.dead_before_the_lease_is_free();
        let output = running.finish().expect_code(76);
        assert!(output.stderr.contains("no heartbeat was acknowledged in time"), "{}", output.stderr);
        dead.then_some(())
    });
}

#[test]
fn a_short_interruption_is_survived() {
    let server = Server::start(&Options::new());
    let scene = Scene::set(&server);
    // A heartbeat comes every five seconds and has ten more to get through.
    let mut running = scene.start(&["--ttl", "15s"], "trap 'exit 0' TERM;");
    for _ in 0..2 {
        scene.proxy.cut();
        let before = scene.expiry();
        until("a heartbeat on a new connection", || scene.expiry() != before || !running.is_running());
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
    let running = scene.start(&["--ttl", "6s"], "trap 'exit 0' TERM;");
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
    // It would go on for ever, and its heartbeats are answered.
    scene.start(&["--ttl", "6s", "--hard-ttl", "8s"], "trap '' TERM;").finish().expect_code(76);
    assert!(!scene.is_alive());
}

#[test]
fn a_result_that_cannot_be_stored_is_spooled_for_its_owner_only() {
    let server = Server::start(&Options::new());
    let scene = Scene::set(&server);
    let running = scene.start(&["--ttl", "12s"], "trap 'echo paid; exit 0' TERM;");
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
    let running = scene.start(&["--ttl", "300s"], "trap 'echo paid; exit 0' TERM;");
    scene.proxy.refuse(true);
    scene.proxy.cut();
    running.signal(rustix::process::Signal::TERM);
    until("the spool file", || fs::read_dir(scene.path("spool")).is_ok_and(|mut files| files.next().is_some()));
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
