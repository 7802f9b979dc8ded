//! A Redis whose primary is told by sentinels: real servers, real sentinels, and failovers while `sen` is at work.

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::patience::until;
use crate::harness::redis::{Options, Redis};
use crate::harness::sen::{Output, sen};

const SECRET: &str = "s3cret-of-data";
const WATCHERS: &str = "s3cret-of-sentinels";

/// A sentinel that watches over primaries of these names at these ports.
fn sentinel(watched: &[(&str, u16)], quorum: usize) -> Redis {
    let mut options = Options::new().tcp().sentinel().conf(&format!("requirepass {WATCHERS}"));
    for (name, port) in watched {
        options = options
            .conf(&format!("sentinel monitor {name} 127.0.0.1 {port} {quorum}"))
            .conf(&format!("sentinel down-after-milliseconds {name} 2000"))
            .conf(&format!("sentinel failover-timeout {name} 6000"))
            .conf(&format!("sentinel auth-pass {name} {SECRET}"));
    }
    options.start()
}

/// A primary, a replica of it, and three sentinels that know of each other.
struct Watched {
    primary: Redis,
    replica: Redis,
    sentinels: Vec<Redis>,
}

fn member(more: &str) -> Redis {
    Options::new()
        .tcp()
        .conf(&format!("requirepass {SECRET}"))
        .conf(&format!("masterauth {SECRET}"))
        .conf("repl-diskless-sync-delay 0")
        .conf(more)
        .start()
}

fn info(server: &Redis, line: &str) -> bool {
    let mut client = server.client();
    client.run(&["AUTH", SECRET]);
    client.run(&["INFO", "replication"]).text().lines().any(|found| found == line)
}

fn has(server: &Redis, id: &str) -> bool {
    let mut client = server.client();
    client.run(&["AUTH", SECRET]);
    client.run(&["EXISTS", &format!("task:{id}:meta")]).int() == 1
}

impl Watched {
    fn start() -> Self {
        let primary = member("");
        let replica = member(&format!("replicaof 127.0.0.1 {}", primary.port()));
        until("the replica follows", || info(&replica, "master_link_status:up"));
        let sentinels: Vec<Redis> = (0..3).map(|_| sentinel(&[("my-primary", primary.port())], 2)).collect();
        let this = Self { primary, replica, sentinels };
        until("the sentinels know each other and the replica", || {
            this.sentinels.iter().all(|sentinel| {
                let mut client = sentinel.client();
                client.run(&["AUTH", WATCHERS]);
                let known = client.run(&["SENTINEL", "MASTER", "my-primary"]).map();
                known["num-other-sentinels"] == "2" && known["num-slaves"] == "1"
            })
        });
        this
    }

    fn url(&self) -> String {
        let hosts: Vec<String> = self.sentinels.iter().map(|one| format!("127.0.0.1:{}", one.port())).collect();
        format!("redis+sentinel://:{SECRET}@{}/my-primary/0?sentinel_password={WATCHERS}", hosts.join(","))
    }

    fn run(&self, url: &str, args: &[&str]) -> Output {
        silent(sen(args).env("SEN_REDIS_URL", url).run())
    }
}

fn silent(output: Output) -> Output {
    for secret in [SECRET, WATCHERS] {
        assert!(!output.stdout.contains(secret) && !output.stderr.contains(secret), "{output:?}");
    }
    output
}

/// Queues a task with this id.
fn submit<'a>(id: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["agent", "submit", "--tenant", "acme", "--type", "t", "--yes", "--id", id], more].concat()
}

#[test]
fn the_sentinels_say_where_the_primary_is() {
    let watched = Watched::start();
    let url = watched.url();
    watched.run(&url, &submit("task_one", &[])).expect_code(0);
    assert!(has(&watched.primary, "task_one"));
    let said = watched.run(&url, &["agent", "list", "-v", "-o", "json"]).expect_code(0);
    assert_eq!(said.json()[0]["id"], "task_one");
    assert!(said.stderr.contains("connected to redis+sentinel://127.0.0.1:"), "{}", said.stderr);
    let primary = format!("primary 127.0.0.1:{}", watched.primary.port());
    assert!(said.stderr.contains(&primary), "{}", said.stderr);
    // Two of three that are away, a name that nobody knows, passwords, and what is no sentinel.
    let port = watched.sentinels[2].port();
    let one = |rest: &str| format!("redis+sentinel://:{SECRET}@127.0.0.1:1,127.0.0.1:2,127.0.0.1:{port}/{rest}");
    watched.run(&one(&format!("my-primary?sentinel_password={WATCHERS}")), &["agent", "list"]).expect_code(0);
    for (url, code, says) in [
        (one(&format!("other?sentinel_password={WATCHERS}")), 2, "it watches over no primary of that name"),
        (one("my-primary"), 2, "it wants a password"),
        (one("my-primary?sentinel_password=wrong"), 2, "it refuses the password"),
        (format!("redis+sentinel://127.0.0.1:{}/my-primary", watched.primary.port()), 2, "sentinel"),
        ("redis+sentinel://127.0.0.1:1/my-primary".into(), 6, "no sentinel says where the primary"),
        (format!("redis://:{WATCHERS}@127.0.0.1:{port}/0"), 2, "write redis+sentinel://"),
    ] {
        let said = watched.run(&url, &["agent", "list"]).expect_code(code);
        assert!(said.stderr.contains(says), "{url}: {}", said.stderr);
    }
}

#[test]
fn nothing_is_written_to_a_replica_that_is_taken_for_a_primary() {
    let primary = member("");
    let replica = member(&format!("replicaof 127.0.0.1 {}\nreplica-read-only no", primary.port()));
    until("the replica follows", || info(&replica, "master_link_status:up"));
    // What this sentinel watches over as a primary is none.
    let wrong = sentinel(&[("wrong", replica.port())], 1);
    let url = format!("redis+sentinel://:{SECRET}@127.0.0.1:{}/wrong?sentinel_password={WATCHERS}", wrong.port());
    let said = silent(sen(submit("task_lost", &[])).env("SEN_REDIS_URL", &url).run()).expect_code(6);
    assert!(said.stderr.contains("and it is a replica"), "{}", said.stderr);
    assert!(!has(&replica, "task_lost") && !has(&primary, "task_lost"));
    // The server takes writes, so it was not the server that kept this one out.
    let direct = format!("redis://:{SECRET}@127.0.0.1:{}/0", replica.port());
    silent(sen(submit("task_here", &[])).env("SEN_REDIS_URL", &direct).run()).expect_code(0);
    assert!(has(&replica, "task_here"));
}

#[test]
fn an_act_goes_on_at_the_promoted_primary() {
    let watched = Watched::start();
    let url = watched.url();
    watched.run(&url, &submit("task_before", &[])).expect_code(0);
    until("the replica has it", || has(&watched.replica, "task_before"));
    watched.primary.signal(Signal::STOP);
    // Begun while nobody is the primary: it waits for the next one.
    let acts: Vec<_> = ["task_during1", "task_during2"]
        .map(|id| {
            sen(submit(id, &["--connect-retry", "10m", "--timeout", "2s", "-o", "json"]))
                .env("SEN_REDIS_URL", &url)
                .start()
        })
        .into_iter()
        .collect();
    // Without patience it is told that nothing was written, and by whom not.
    let said = watched.run(&url, &submit("task_hasty", &["--timeout", "1s"])).expect_code(6);
    assert!(said.stderr.contains("cannot connect to redis+sentinel://"), "{}", said.stderr);
    for act in acts {
        let report: Value = silent(act.finish().expect_code(0)).json();
        assert_eq!(report["applied"], 1, "{report}");
    }
    for id in ["task_before", "task_during1", "task_during2"] {
        assert!(has(&watched.replica, id), "{id}");
    }
    assert!(!has(&watched.replica, "task_hasty") && info(&watched.replica, "role:master"));
    // The old one comes back as a replica, and what was done is done there as well.
    watched.primary.signal(Signal::CONT);
    until("the old primary follows", || info(&watched.primary, "role:slave") && has(&watched.primary, "task_during2"));
    watched.run(&url, &submit("task_after", &[])).expect_code(0);
    assert!(has(&watched.replica, "task_after"));
}

#[test]
fn what_was_under_way_when_the_primary_died_is_told_as_it_is() {
    let watched = Watched::start();
    let url = watched.url();
    // One after the other, until one of them meets the failover; every answer is then compared with what is there.
    let mut said: Vec<(String, i32)> = Vec::new();
    let mut killed = false;
    for number in 0..1000 {
        let id = format!("task_run{number}");
        let act = sen(submit(&id, &["--connect-retry", "5m", "--timeout", "2s"])).env("SEN_REDIS_URL", &url).start();
        if number == 3 {
            // So that what was acknowledged is not lost with the primary: what replication loses no client can know.
            until("the replica has what was done", || has(&watched.replica, "task_run2"));
            watched.primary.signal(Signal::KILL);
            killed = true;
        }
        let code = silent(act.finish()).code;
        said.push((id, code));
        if killed && number > 4 {
            break;
        }
    }
    assert!(info(&watched.replica, "role:master"));
    for (at, (id, code)) in said.iter().enumerate() {
        // The one that was under way may have been acknowledged by the primary in its last moment.
        match (code, has(&watched.replica, id)) {
            (0, true) | (6, false) | (9, _) => {}
            (0, false) if at == 3 => {}
            (code, there) => panic!("{id}: exit code {code}, and there: {there}; {said:?}"),
        }
    }
    assert_eq!(said.last().unwrap().1, 0, "{said:?}");
}
