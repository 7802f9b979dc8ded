//! Who may do what: users of an access list, a server that repeats what it hears, and a network without TLS.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, UdpSocket};

use crate::harness::redis::{Answer, Options};
use crate::harness::sen::{Output, sen};
use crate::place::{Place, keys, load};

const SECRET: &str = "s3cr3t-hunter2";

/// Every agent command that reads, with the codes it may end with.
const READING: &[(&[&str], &[i32])] = &[
    (&["status"], &[0]),
    (&["doctor"], &[0]),
    (&["metrics"], &[0]),
    (&["stats"], &[0]),
    (&["inspect", "task_inprogress01"], &[0]),
    (&["why", "task_inprogress01"], &[0]),
    (&["dlq", "list"], &[0]),
    (&["dlq", "groups"], &[0]),
    (&["agent", "list"], &[0]),
    (&["agent", "show", "task_inprogress01"], &[0]),
    (&["agent", "stats"], &[0]),
    (&["agent", "costs"], &[0]),
    (&["agent", "workers"], &[0]),
    (&["agent", "events", "--limit", "5"], &[0]),
    (&["agent", "rate-limit", "get", "acme"], &[0]),
    (&["agent", "rate-limit", "get"], &[0]),
];

/// Every act, each on a task of its own.
const ACTING: &[(&[&str], &[i32])] = &[
    (&["agent", "submit", "--tenant", "acme", "--type", "research", "--agent", "lab", "--params", "{}"], &[0]),
    (&["agent", "cancel", "a-cancel", "--yes"], &[0]),
    (&["agent", "requeue", "a-requeue", "--yes"], &[0]),
    (&["dlq", "replay", "a-replay", "--yes"], &[0]),
    (&["agent", "rate-limit", "set", "acme", "--capacity", "5", "--yes"], &[0]),
    (&["agent", "rate-limit", "reset", "acme", "--yes"], &[0]),
];

fn place() -> Place {
    let place = Place::empty();
    let mut client = place.server.client();
    // In another database than the first, so that choosing one is a right that is needed.
    client.run(&["SELECT", "1"]);
    keys().iter().for_each(|key| load(&mut client, key));
    client.run(&["HSET", "ratelimit:tenant:acme", "tokens", "1", "last_refill", "1"]);
    client.run(&["HSET", "cost:tenant:acme:2026-11-20", "total", "1.5"]);
    client.run(&["SET", "effects:task_inprogress01:mail:result", "\"sent\""]);
    for (id, status, owner, attempts) in
        [("a-cancel", "queued", "", "0"), ("a-requeue", "leased", "gone", "1"), ("a-replay", "failed", "", "3")]
    {
        client.run(&[
            "HSET",
            &format!("task:{id}:meta"),
            "task_id",
            id,
            "status",
            status,
            "tenant_id",
            "acme",
            "task_type",
            "research",
            "agent_type",
            "lab",
            "owner",
            owner,
            "lease_expires",
            "",
            "attempts",
            attempts,
            "max_attempts",
            "3",
            "cost_so_far",
            "0.0",
            "cost_limit",
            "10.0",
            "task_params",
            "{}",
            "created_at",
            "2026-11-20T21:38:48.000001",
            "updated_at",
            "2026-11-20T21:38:48.000001",
        ]);
    }
    place
}

/// Every key with what is in it.
fn everything(place: &Place) -> Vec<(String, Answer)> {
    let mut client = place.server.client();
    client.run(&["SELECT", "1"]);
    let mut names: Vec<String> = client.run(&["KEYS", "*"]).list().iter().map(|key| key.text().to_owned()).collect();
    names.sort();
    names.into_iter().map(|name| (name.clone(), client.run(&["DUMP", &name]))).collect()
}

/// What `sen grants` prints, given to the server word by word.
fn grant(place: &Place, role: &str, user: &str) -> Vec<String> {
    let printed =
        sen(["grants", "--role", role, "--to", user]).database(&place.server.url()).run().expect_code(0).stdout;
    let words: Vec<String> = printed.split_whitespace().map(str::to_owned).collect();
    place.server.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
    place.server.run(&["ACL", "SETUSER", user, &format!(">{SECRET}")]);
    words
}

fn run(place: &Place, user: &str, words: &[&str]) -> Output {
    let url = format!("redis://{user}:{SECRET}@127.0.0.1:{}/1", place.server.port());
    let output = sen(words).database(&url).env("USER", "maria").run();
    assert!(!format!("{}{}", output.stdout, output.stderr).contains(SECRET), "{output:?}");
    output
}

fn wrong(place: &Place, user: &str, steps: &[(&[&str], &[i32])]) -> Vec<String> {
    let tell = |(words, codes): &(&[&str], &[i32])| {
        let output = run(place, user, words);
        (!codes.contains(&output.code)).then(|| {
            format!("sen {} as {user} ended with {}:\n{}{}", words.join(" "), output.code, output.stdout, output.stderr)
        })
    };
    steps.iter().filter_map(tell).collect()
}

#[test]
fn a_viewer_can_run_every_reading_command_and_needs_each_right() {
    let place = place();
    let rule = grant(&place, "ro", "viewer");
    let failed = wrong(&place, "viewer", READING);
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    let doctor = run(&place, "viewer", &["doctor"]).stdout;
    assert!(!doctor.contains("may not run") && doctor.contains("may not act: it lacks EVAL"), "{doctor}");
    // It writes nothing.
    let before = everything(&place);
    for (words, _) in ACTING {
        let output = run(&place, "viewer", words);
        assert!(output.code == 1 || output.code == 3, "{words:?}: {output:?}");
        let told = format!("{}{}", output.stdout, output.stderr);
        assert!(told.contains("this Redis user may not do that"), "{words:?}: {told}");
    }
    assert_eq!(everything(&place), before);
    // What gives facts of the server, bounds a walk over very many keys or follows events is missed by doctor alone.
    let mut told_by_doctor = Vec::new();
    for right in rule.iter().filter(|word| word.starts_with('+')) {
        let denied = format!("-{}", &right[1..]);
        place.server.run(&["ACL", "SETUSER", "viewer", &denied]);
        let failed = wrong(&place, "viewer", READING);
        let doctor = run(&place, "viewer", &["doctor"]);
        if right == "+select" {
            // Nothing works there; in the first database, which is not chosen, all does, and doctor says so.
            assert!(doctor.code == 6 && doctor.stderr.contains("database 1 needs SELECT"), "{doctor:?}");
            let first = format!("redis://viewer:{SECRET}@127.0.0.1:{}/0", place.server.port());
            let doctor = sen(["doctor"]).database(&first).run().expect_code(0).stdout;
            assert!(doctor.contains("may not run SELECT: it works in database 0 alone"), "{doctor}");
        } else {
            let name = right[1..].to_ascii_uppercase();
            assert!(doctor.code == 0 && doctor.stdout.contains("may not run"), "{right}: {doctor:?}");
            assert!(doctor.stdout.contains(&name) && doctor.stdout.contains("sen grants"), "{right}: {doctor:?}");
            if failed.is_empty() {
                told_by_doctor.push(right.clone());
            }
            assert!(failed.iter().all(|told| told.contains("NOPERM") && told.contains(&name)), "{right}: {failed:?}");
        }
        place.server.run(&["ACL", "SETUSER", "viewer", right]);
    }
    assert_eq!(told_by_doctor, ["+dbsize", "+info", "+xrange"]);
    let keys: Vec<&String> = rule.iter().filter(|word| word.starts_with('~')).collect();
    assert_eq!(keys.len(), 6);
    for missing in &keys {
        let mut words = vec!["ACL", "SETUSER", "viewer", "resetkeys"];
        words.extend(keys.iter().filter(|key| *key != missing).map(|key| key.as_str()));
        place.server.run(&words);
        let failed = wrong(&place, "viewer", READING);
        let begin = missing[1..].split(['*', ':']).next().unwrap();
        assert!(!failed.is_empty(), "nothing needs {missing}");
        assert!(failed.iter().all(|told| told.contains("refused: ") && told.contains(begin)), "{missing}: {failed:?}");
        let doctor = run(&place, "viewer", &["doctor"]).stdout;
        assert!(doctor.contains("may not run") && doctor.contains(begin), "{missing}: {doctor}");
    }
}

#[test]
fn an_operator_can_run_every_command_and_needs_each_right() {
    let first = place();
    let rule = grant(&first, "operator", "ops");
    let doctor = run(&first, "ops", &["doctor"]).stdout;
    assert!(doctor.contains("may read and act on everything here"), "{doctor}");
    let failed = [wrong(&first, "ops", READING), wrong(&first, "ops", ACTING)].concat();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    let reader: BTreeSet<String> = grant(&first, "ro", "viewer").into_iter().collect();
    let acts: Vec<&String> = rule.iter().filter(|word| word.starts_with('+') && !reader.contains(*word)).collect();
    assert_eq!(acts.len(), 7, "{acts:?}");
    for right in acts {
        // The same data anew, and all rights but one.
        let copy = place();
        grant(&copy, "operator", "ops");
        let (name, denied) = (right[1..].to_ascii_uppercase(), format!("-{}", &right[1..]));
        copy.server.run(&["ACL", "SETUSER", "ops", &denied]);
        let doctor = run(&copy, "ops", &["doctor"]).stdout;
        assert!(doctor.contains("may not act: it lacks") && doctor.contains(&name), "{right}: {doctor}");
        let failed = wrong(&copy, "ops", ACTING);
        assert!(!failed.is_empty(), "nothing needs {right}");
        assert!(failed.iter().all(|told| told.contains("this Redis user may not do that")), "{right}: {failed:?}");
    }
}

/// A server that answers a log-in with what it was told: the password comes back in its words.
#[test]
fn a_server_that_repeats_the_password_does_not_bring_it_to_a_screen() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut answers = stream.try_clone().unwrap();
                let (mut words, mut wanted) = (Vec::new(), 0);
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    match line.split_at_checked(1) {
                        Some(("*", count)) => wanted = count.parse().unwrap_or(0),
                        Some(("$", _)) => {}
                        _ => words.push(line),
                    }
                    if !words.is_empty() && words.len() == wanted {
                        let told = format!("-ERR unknown command, with args beginning with: {}\r\n", words.join(" "));
                        words.clear();
                        if answers.write_all(told.as_bytes()).is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    for url in [
        format!("redis://:{SECRET}@127.0.0.1:{port}/0"),
        format!("redis://worker:{SECRET}@127.0.0.1:{port}"),
        format!("redis://127.0.0.1:{port}/0?password={SECRET}"),
    ] {
        for words in [
            &["agent", "list"][..],
            &["status", "-v"],
            &["doctor", "-o", "json"],
            &["agent", "stats", "-v", "--reveal"],
        ] {
            let output = sen(words).database(&url).run().expect_code(6);
            let told = format!("{}{}", output.stdout, output.stderr);
            assert!(told.contains("unknown command") && told.contains("AUTH"), "the server was heard: {told}");
            assert!(!told.contains(SECRET), "{words:?}: {told}");
        }
    }
}

/// An address of this machine that is none of its loopback: packets to it stay here, and `sen` cannot know.
fn own_address() -> std::net::IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent: this chooses the address that would be sent from.
    socket.connect("192.0.2.1:9").expect("a network besides the loopback");
    socket.local_addr().unwrap().ip()
}

#[test]
fn doctor_warns_of_a_redis_without_tls_over_a_network() {
    let server = Options::new().tcp().conf("bind 0.0.0.0").conf("protected-mode no").start();
    server.run(&["XADD", "stream:events", "*", "event", "x"]);
    let doctor = |host: &str, words: &[&str]| {
        sen([&["doctor"][..], words].concat()).database(&format!("redis://{host}:{}/0", server.port())).run()
    };
    let told = doctor(&own_address().to_string(), &[]).expect_code(0).stdout;
    assert!(told.contains("connected to Redis without TLS, over a network") && told.contains("rediss://"), "{told}");
    let told = doctor(&own_address().to_string(), &["-o", "json"]).expect_code(0).json();
    let check = told["checks"].as_array().unwrap().iter().find(|check| check["topic"] == "tls").unwrap().clone();
    assert_eq!(check["severity"], "warning", "{check}");
    let told = doctor("127.0.0.1", &[]).expect_code(0).stdout;
    assert!(!told.contains("without TLS"), "{told}");
}
