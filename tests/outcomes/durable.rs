//! Where the server's setting is `synchronous_commit = off`, a crash must not take back what `once` was told it has.

use std::fs;

use serde_json::Value;

use super::stage::{At, forgetful, scale};
use crate::harness::patience::until;
use crate::harness::postgres::{Options, Server};
use crate::harness::proxy::{Proxy, Target, Trap};
use crate::harness::psql;
use crate::harness::sen::{Sen, sen};

struct Scene {
    server: Server,
    base: String,
    folder: tempfile::TempDir,
}

impl Scene {
    fn set(options: &Options) -> Self {
        let server = Server::start(options);
        let base = server.fresh_database().name;
        let scene = Self { server, base, folder: tempfile::tempdir().unwrap() };
        sen(["init"]).database(&scene.url()).run().expect_code(0);
        scene.psql("CHECKPOINT");
        scene
    }

    fn url(&self) -> String {
        self.server.url_of(&self.base)
    }

    fn psql(&self, sql: &str) -> String {
        psql::run(&self.url(), sql)
    }

    /// A command that notes each of its runs under its key.
    fn once(&self, key: &str, url: &str) -> Sen {
        let line = format!("echo run >> '{}'", self.path(key));
        sen(["once", key, "--ttl", "600s", "--", "sh", "-c", &line])
            .database(url)
            .env("SEN_CONNECT_RETRY", "60s")
            .env("SEN_SPOOL_DIR", self.path("spool"))
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn runs(&self, key: &str) -> usize {
        fs::read_to_string(self.path(key)).unwrap_or_default().lines().count()
    }
}

#[test]
fn a_key_that_was_claimed_or_completed_stays_so_after_a_crash() {
    let mut scene = Scene::set(&forgetful());
    for round in 0..(scale() as usize).clamp(1, 15) {
        let (done, begun) = (format!("done-{round}"), format!("begun-{round}"));
        scene.once(&done, &scene.url()).run().expect_code(0);
        let started = scene.path(&format!("started-{round}"));
        let line = format!("echo run >> '{}'; sleep 600", started);
        let words = ["once", &begun, "--ttl", "600s", "--", "sh", "-c", &line];
        let running = sen(words).database(&scene.url()).env("SEN_SPOOL_DIR", scene.path("spool")).start();
        until("the command runs", || std::path::Path::new(&started).exists());
        scene.server.kill();
        scene.server.resume();
        drop(running);
        scene.once(&done, &scene.url()).run().expect_code(0);
        assert_eq!(scene.runs(&done), 1, "a completed key ran again");
        scene.once(&begun, &scene.url()).run().expect_code(75);
        assert_eq!(scene.runs(&begun), 0, "a key that is held ran again");
    }
}

/// What is above off is the administrator's: it is not lowered, and not raised either.
#[test]
fn only_off_is_raised() {
    let server = Server::shared();
    for (set, seen) in [("off", "on"), ("local", "local"), ("remote_apply", "remote_apply")] {
        let setting = format!("synchronous_commit = {set}");
        let database = server.fresh_database_with(&[&setting]);
        sen(["init"]).database(&database.url()).run().expect_code(0);
        database.psql(
            "CREATE TABLE seen (setting text);
            CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON sentinel_leases
                DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note()",
        );
        sen(["once", "k", "--", "true"]).database(&database.url()).run().expect_code(0);
        sen(["forget", "k", "--yes"]).database(&database.url()).run().expect_code(0);
        let told = database.psql("SELECT setting, count(*) FROM seen GROUP BY 1");
        assert_eq!(told, format!("{seen}|3"), "the claim, the completion and the act of an operator");
    }
}

/// `once` at each of its statements, before and after the server has it, through crashes and failovers that lose it.
#[test]
fn once_tells_the_truth_and_starts_once() {
    let mut scene = Scene::set(&forgetful());
    let mut counts = [0, 0];
    for round in 0..scale().ceil() as usize {
        for (at, statement) in [
            (At::Request, "INSERT INTO sentinel_leases"),
            (At::Answer, "INSERT INTO sentinel_leases"),
            (At::Request, "execution_result = $5"),
            (At::Answer, "execution_result = $5"),
        ] {
            for fails_over in [false, true].into_iter().take(if round % 4 == 0 { 2 } else { 1 }) {
                let key = format!("k-{round}-{at:?}-{}-{fails_over}", statement.len());
                let standby = fails_over.then(|| scene.server.standby("one"));
                let proxy = Proxy::unix(&scene.server);
                let bytes = statement.as_bytes().to_vec();
                proxy.trap(if at == At::Request { Trap::Hold(bytes) } else { Trap::Keep(bytes) });
                if fails_over {
                    until("it streams", || {
                        scene.psql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") != "0"
                    });
                    let sender = scene.server.process("walsender").expect("there is a walsender");
                    crate::harness::daemon::send(sender, rustix::process::Signal::STOP);
                }
                let running = scene.once(&key, &proxy.url_of(&scene.base)).start();
                proxy.wait_for_hold();
                if at == At::Answer {
                    let open = "SELECT count(*) FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()";
                    until("it is committed", || scene.psql(open) == "0");
                }
                scene.server.kill();
                match standby {
                    Some(standby) => {
                        standby.promote();
                        scene.server = standby;
                    }
                    None => scene.server.resume(),
                }
                scene.psql("DO $$ BEGIN FOR i IN 1..40 LOOP PERFORM txid_current(); COMMIT; END LOOP; END $$");
                proxy.lead_to(Target::Unix(scene.server.socket()));
                proxy.cut();
                proxy.stall(false);
                let output = running.finish();
                let row = scene.psql(&format!(
                    "SELECT status, execution_result ->> 'exit_code' FROM sentinel_leases WHERE key = '{key}'"
                ));
                assert_eq!(scene.runs(&key), 1, "{key}: {output:?}");
                assert_eq!(output.code == 0, row == "completed|0", "{key}: {row}: {output:?}");
                counts[usize::from(output.code == 0)] += 1;
                // A key that is there is never run again; one that a failover has lost is out of anybody's knowledge.
                if !row.is_empty() {
                    let again = scene.once(&key, &scene.url()).run();
                    assert_eq!((scene.runs(&key), again.code == 0), (1, output.code == 0), "{key}: {again:?}");
                }
            }
        }
    }
    report(counts);
}

#[expect(clippy::print_stdout, reason = "the numbers of a large run are read by a person")]
fn report([other, done]: [usize; 2]) {
    println!("once: {} faults, {done} ended 0, {other} otherwise, 0 false, 0 second starts", done + other);
}

#[test]
fn doctor_warns_of_settings_that_lose_commits() {
    let server = Server::start(&Options::new().durable());
    let database = server.fresh_database();
    sen(["init"]).database(&database.url()).run().expect_code(0);
    let topics = |database: &str| -> Vec<String> {
        let told: Value = sen(["doctor", "-o", "json"]).database(database).run().json();
        let checks = told["checks"].as_array().unwrap_or_else(|| panic!("{told}")).iter();
        let bad = checks.filter(|check| check["severity"] != "ok" && check["topic"] == "durability");
        bad.map(|check| check["summary"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(topics(&database.url()), Vec::<String>::new());
    database.psql(&format!("ALTER DATABASE {} SET synchronous_commit = off", database.name));
    let told = topics(&database.url());
    assert!(told.len() == 1 && told[0].contains("synchronous_commit is off"), "{told:?}");
    let careless = Server::shared().fresh_database();
    sen(["init"]).database(&careless.url()).run().expect_code(0);
    let told = topics(&careless.url());
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        assert!(told.iter().any(|text| text.contains(setting)), "{setting}: {told:?}");
    }
}
