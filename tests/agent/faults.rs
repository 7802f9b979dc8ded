//! Servers that refuse, fall silent or vanish in the middle of a change: clear errors, documented codes, and the truth.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::json;

use crate::harness::patience::{longer, shown, until};
use crate::harness::proxy::{Proxy, Target, Trap};
use crate::harness::redis::Options;
use crate::harness::sen::sen;
use crate::place::Place;

#[test]
fn servers_that_refuse() {
    let place = Place::loaded();
    let id = "task_086afa9f5fe8";
    // Out of memory: reads go on.
    place.server.run(&["CONFIG", "SET", "maxmemory", "1"]);
    let before = place.everything();
    let told = place.run(&["agent", "cancel", id, "--yes"], 1).stdout;
    assert!(told.contains("out of memory") && told.contains("nothing was written"), "{told}");
    let told = place.run(&["agent", "submit", "--tenant", "a", "--type", "b"], 1).stdout;
    assert!(told.contains("out of memory"), "{told}");
    place.run(&["agent", "list"], 0);
    assert_eq!(place.everything(), before);
    place.server.run(&["CONFIG", "SET", "maxmemory", "0"]);
    // A replica.
    let replica = Options::new()
        .tcp()
        .conf(&format!("replicaof 127.0.0.1 {}", place.server.port()))
        .conf("repl-diskless-sync-delay 0")
        .start();
    let on = |words: &[&str]| sen(words.iter().copied()).database(&replica.url());
    until("the replica has the task", || on(&["agent", "show", id]).run().code == 0);
    let status = on(&["status"]).run().expect_code(0).stdout;
    assert!(status.contains("on a replica; reading only"), "{status}");
    let told = on(&["agent", "cancel", id, "--yes"]).run().expect_code(5);
    assert!(told.stdout.contains("read-only replica; nothing was written"), "{}", told.stdout);
    on(&["agent", "rate-limit", "set", "acme", "--capacity", "1"]).run().expect_code(5);
    assert_eq!(place.everything(), before);
    // A user that may read only.
    place.server.run(&[
        "ACL",
        "SETUSER",
        "reader",
        "on",
        ">pw",
        "~*",
        "+@read",
        "+@connection",
        "+time",
        "+info",
        "+select",
    ]);
    let url = format!("redis://reader:pw@127.0.0.1:{}", place.server.port());
    sen(["agent", "list"]).database(&url).run().expect_code(0);
    let told = sen(["agent", "cancel", id, "--yes"]).database(&url).run().expect_code(1);
    assert!(told.stdout.contains("may not do that") && !told.stdout.contains("pw@"), "{}", told.stdout);
    // One that may run scripts and write the stream, but not the hash: no record is left of what did not happen.
    place.server.run(&[
        "ACL",
        "SETUSER",
        "half",
        "on",
        ">pw",
        "~*",
        "+@read",
        "+@connection",
        "+time",
        "+select",
        "+eval",
        "+xadd",
    ]);
    let url = format!("redis://half:pw@127.0.0.1:{}", place.server.port());
    sen(["agent", "cancel", id, "--yes"]).database(&url).run().expect_code(1);
    assert_eq!(place.everything(), before);
}

#[test]
fn servers_that_are_not_there() {
    let down = sen(["agent", "list"]).database("redis://127.0.0.1:1").run().expect_code(6);
    assert!(down.stderr.contains("cannot connect to redis://127.0.0.1:1/0"), "{}", down.stderr);
    let server = Options::new().tcp().conf("requirepass s3cret").start();
    for (url, word) in [
        (format!("redis://:wrong@127.0.0.1:{}", server.port()), "refuses the user or the password"),
        (format!("redis://127.0.0.1:{}", server.port()), "wants a password"),
    ] {
        let output = sen(["agent", "list", "-o", "json"]).database(&url).run().expect_code(6);
        assert!(output.stderr.contains(word) && !output.stderr.contains("wrong@"), "{}", output.stderr);
    }
}

/// A task, and a proxy between `sen` and its server.
struct Between {
    place: Place,
    proxy: Proxy,
}

impl Between {
    fn new() -> Self {
        let place = Place::empty();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, place.server.port()));
        Self { proxy: Proxy::tcp_to(Target::Tcp(address)), place }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}?socket_connect_timeout=60", self.proxy.port())
    }

    fn cancel(&self, id: &str, limit: &str) -> crate::harness::sen::Running {
        self.place.make(id, "queued", "", &[]);
        sen(["agent", "cancel", id, "--timeout", limit, "-o", "json", "--yes"]).database(&self.url()).start()
    }

    fn status(&self, id: &str) -> String {
        self.place.hash(id)["status"].clone()
    }
}

#[test]
fn a_lost_answer_is_looked_up() {
    let between = Between::new();
    between.proxy.trap(Trap::Answer(b"EVAL".to_vec()));
    let report = between.cancel("t", "60s").finish().expect_code(0).json();
    assert_eq!((&report["applied"], between.status("t").as_str()), (&json!(1), "failed"));
    assert_eq!(between.place.events().len(), 1, "it was not made twice");
}

#[test]
fn a_lost_request_is_known_to_have_done_nothing() {
    let between = Between::new();
    between.proxy.trap(Trap::Request(b"EVAL".to_vec()));
    let report = between.cancel("t", "60s").finish().expect_code(6).json();
    let detail = report["results"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("nothing was written"), "{detail}");
    assert_eq!(between.status("t"), "queued");
}

/// The other changes, cut before Redis has the script and after it has run it.
#[test]
fn every_change_that_is_cut_is_told_as_it_is() {
    let between = Between::new();
    let rate = |server: &Between| server.place.server.run(&["EXISTS", "ratelimit:tenant:acme"]).int() == 1;
    let queued = |server: &Between| server.status("last") == "queued";
    type Done<'a> = &'a dyn Fn(&Between) -> bool;
    let changes: [(&[&str], Done<'_>); 2] = [
        (&["agent", "requeue", "last", "--yes"], &queued),
        (&["agent", "rate-limit", "set", "acme", "--capacity", "5"], &rate),
    ];
    for (words, done) in changes {
        for (trap, code, outcome) in
            [(Trap::Request(b"EVAL".to_vec()), 6, "failed"), (Trap::Answer(b"EVAL".to_vec()), 0, "applied")]
        {
            between.place.make("last", "in_progress", "gone", &[("attempts", "1")]);
            between.proxy.trap(trap);
            let words = words.iter().copied().chain(["--timeout", "60s", "-o", "json"]);
            let output = sen(words).database(&between.url()).run().expect_code(code);
            assert_eq!(output.json()["results"][0]["outcome"], outcome, "{output:?}");
            assert_eq!(done(&between), code == 0, "{output:?}");
        }
    }
    assert_eq!(between.place.events().len(), 2, "neither was made twice");
}

/// What is held up on the way may arrive when `sen` has long gone. Then it is too late, and writes nothing.
#[test]
fn a_script_that_arrives_too_late_writes_nothing() {
    shown("a script that is too late", |run| {
        let between = Between::new();
        between.proxy.trap(Trap::Hold(b"EVAL".to_vec()));
        let mut running = between.cancel("t", &format!("{}ms", longer(run)));
        until("it is sent", || between.proxy.is_stalled() || !running.is_running());
        std::thread::sleep(Duration::from_millis(longer(run) + 1500));
        between.proxy.stall(false);
        let output = running.finish();
        // Its time was over before it was let in, or this test came too late for it to look.
        if [6, 9].contains(&output.code) {
            return None;
        }
        let output = output.expect_code(1);
        assert!(output.stdout.contains("nothing was written"), "{}", output.stdout);
        let server = &between.place.server;
        until("the script has arrived", || server.run(&["INFO", "commandstats"]).text().contains("cmdstat_eval:"));
        assert_eq!((between.status("t").as_str(), server.run(&["EXISTS", "stream:events"]).int()), ("queued", 0));
        Some(())
    });
}

#[test]
fn what_nobody_can_tell_is_unknown() {
    let output = shown("an act of which nobody can tell", |run| {
        let between = Between::new();
        between.proxy.refuse_when_sprung();
        between.proxy.trap(Trap::Mute(b"EVAL".to_vec()));
        let output = between.cancel("t", &format!("{}ms", longer(run))).finish();
        (output.code != 6).then_some(output)
    });
    let report = output.expect_code(9).json();
    let detail = report["results"][0]["detail"].as_str().unwrap();
    assert!(detail.contains(report["operation"].as_str().unwrap()), "{detail}");
    assert_eq!((&report["unknown"], &report["results"][0]["outcome"]), (&json!(1), &json!("unknown")));
}
