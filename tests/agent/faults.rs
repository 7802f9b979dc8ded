//! Servers that refuse, fall silent or vanish in the middle of a change: clear errors, documented codes, and the truth.

use std::time::Duration;

use rustix::process::Signal;

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
    let told = place.run(&["agent", "cancel", id], 1).stdout;
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
    while on(&["agent", "show", id]).run().code != 0 {
        std::thread::sleep(Duration::from_millis(50));
    }
    let status = on(&["status"]).run().expect_code(0).stdout;
    assert!(status.contains("on a replica (reading only)"), "{status}");
    let told = on(&["agent", "cancel", id]).run().expect_code(5);
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
    let told = sen(["agent", "cancel", id]).database(&url).run().expect_code(1);
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
    sen(["agent", "cancel", id]).database(&url).run().expect_code(1);
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

/// The server stops while a script is on its way. When it goes on too late the script writes nothing, and sen knows; when
/// it never answers the outcome is unknown, and sen says so.
#[test]
fn a_silent_server_is_asked_afterwards() {
    let place = Place::empty();
    let silent = |id: &str, pause: Option<Duration>| {
        place.make(id, "queued", "", &[]);
        // The pause comes between TIME and the script: `sen` waits for its answer to the first.
        let running = place.sen(&["agent", "cancel", id, "--timeout", "1s", "-o", "json"]).start();
        let output = match pause {
            None => running.finish(),
            Some(pause) => {
                std::thread::sleep(pause);
                place.server.signal(Signal::CONT);
                running.finish()
            }
        };
        place.server.signal(Signal::CONT);
        output
    };
    // Stopped from the start: the look already fails, and nothing was sent that could write.
    place.server.signal(Signal::STOP);
    let running = place_sen_while_stopped(&place);
    place.server.signal(Signal::CONT);
    assert!(running.contains("no answer within"), "{running}");
    let done = silent("plain", None).expect_code(0);
    assert_eq!(done.json()["applied"], 1);
}

fn place_sen_while_stopped(place: &Place) -> String {
    let url = format!("redis://127.0.0.1:{}?socket_connect_timeout=0.3", place.server.port());
    sen(["agent", "cancel", "x"]).database(&url).run().expect_code(6).stderr
}
