//! Servers that fall silent or talk for ever, servers of another kind, and a cluster: every command ends, with the reason.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use crate::harness::patience::{longer, shown};
use crate::harness::proxy::{Proxy, Target, Trap};
use crate::harness::redis::Options;
use crate::harness::sen::{Running, sen};
use crate::place::Place;

fn start(words: &[&str], url: &str) -> Running {
    sen(words.iter().copied().chain(["--timeout", "1s"])).database(url).start()
}

fn between(place: &Place) -> Proxy {
    Proxy::tcp_to(Target::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, place.server.port()))))
}

#[test]
fn a_server_that_falls_silent_ends_every_reading_command() {
    let place = Place::loaded();
    let commands: [&[&str]; 11] = [
        &["status"],
        &["doctor"],
        &["metrics"],
        &["agent", "list"],
        &["agent", "list", "--limit", "0"],
        &["agent", "show", "task_086afa9f5fe8"],
        &["agent", "stats"],
        &["agent", "workers"],
        &["agent", "costs"],
        &["why", "task_086afa9f5fe8"],
        &["inspect", "task_086afa9f5fe8"],
    ];
    let proxy = between(&place);
    let url = format!("redis://127.0.0.1:{}?socket_connect_timeout=2", proxy.port());
    let mut running = Vec::new();
    for words in commands {
        proxy.trap(Trap::Mute(b"TIME".to_vec()));
        proxy.trap(Trap::Mute(b"SCAN".to_vec()));
        running.push((words, start(words, &url)));
    }
    for (words, running) in running {
        let output = running.finish();
        let told = format!("{words:?}: {} {}", output.stdout, output.stderr);
        assert!(output.code == 1 || output.code == 6, "{} {told}", output.code);
        assert!(told.contains("no answer within") || told.contains("not begun"), "{told}");
    }
}

#[test]
fn a_black_hole_ends_a_bulk_act_within_one_budget() {
    let place = Place::empty();
    let ids: Vec<String> = (0..400).map(|number| format!("t{number}")).collect();
    ids.iter().for_each(|id| place.make(id, "queued", "", &[]));
    let proxy = between(&place);
    proxy.trap(Trap::Hold(b"EVAL".to_vec()));
    let url = format!("redis://127.0.0.1:{}?socket_connect_timeout=4", proxy.port());
    let words: Vec<&str> =
        ["agent", "cancel"].into_iter().chain(ids.iter().map(String::as_str)).chain(["--yes", "-o", "json"]).collect();
    let output = shown("a bulk act that is let in", |run| {
        let limit = format!("{}ms", longer(run));
        let output = sen(words.iter().copied().chain(["--timeout", &limit])).database(&url).run();
        (output.code != 6).then_some(output)
    });
    let report = output.expect_code(9).json();
    let results = report["results"].as_array().unwrap();
    let left = results.iter().filter(|item| item["detail"].as_str().unwrap().contains("not begun")).count();
    // The first batch is unknown; some of the rest were tried for as long as there was time, the others not at all.
    assert!(results.len() == 400 && left >= 50, "{left} of 400 were not begun: {report}");
    assert_eq!((&report["unknown"], &report["failed"]), (&50.into(), &350.into()), "{report}");
    drop(proxy);
    for id in &ids {
        assert_eq!(place.hash(id)["status"], "queued");
    }
}

#[test]
fn a_server_that_accepts_and_says_nothing_is_no_connection() {
    let place = Place::empty();
    let proxy = between(&place);
    proxy.stall(true);
    for scheme in ["redis", "rediss"] {
        let url = format!("{scheme}://localhost:{}?socket_connect_timeout=1", proxy.port());
        let output = start(&["agent", "list"], &url).finish().expect_code(6);
        assert!(output.stderr.contains("no answer within 1s"), "{}", output.stderr);
    }
}

/// A server that answers each command with what `answer` gives for its name, and what it says when somebody connects.
fn fake(greeting: Vec<u8>, answer: fn(&str) -> Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut client, _)) = listener.accept() {
            let greeting = greeting.clone();
            std::thread::spawn(move || {
                let _ = serve(&mut client, &greeting, answer);
            });
        }
    });
    format!("redis://127.0.0.1:{port}?socket_connect_timeout=100")
}

fn serve(client: &mut TcpStream, greeting: &[u8], answer: fn(&str) -> Vec<u8>) -> std::io::Result<()> {
    let mut buffer = [0; 65536];
    while !greeting.is_empty() {
        client.write_all(greeting)?;
    }
    loop {
        let size = client.read(&mut buffer)?;
        if size == 0 {
            return Ok(());
        }
        // Commands are small here and come whole: an array of words each, whose first is the name.
        let text = String::from_utf8_lossy(&buffer[..size]).into_owned();
        let mut lines = text.split("\r\n");
        while let Some(line) = lines.next() {
            if line.starts_with('*') {
                let name = lines.nth(1).unwrap_or_default().to_owned();
                client.write_all(&answer(&name))?;
            }
        }
    }
}

#[test]
fn floods_and_endless_walks_end() {
    let ends = |url: &str, words: &[&str], says: &str| {
        let output = sen(words.iter().copied()).database(url).run();
        assert!(output.code == 1 || output.code == 6, "{} {}{}", output.code, output.stdout, output.stderr);
        assert!(output.stderr.contains(says), "{says:?} is not in {}", output.stderr);
    };
    // Before the log-in is over.
    let url = fake([&b"$90000000\r\n"[..], &[b'x'; 8000]].concat(), |_| Vec::new());
    ends(&url, &["agent", "list"], "longer than 64 KiB");
    // SCAN goes on for ever: each page names another.
    let url = fake(Vec::new(), |name| match name {
        "SCAN" => b"*2\r\n$1\r\n7\r\n*0\r\n".to_vec(),
        "TIME" => b"*2\r\n$10\r\n1795205760\r\n$1\r\n0\r\n".to_vec(),
        "DBSIZE" | "XLEN" | "EXISTS" => b":5\r\n".to_vec(),
        "INFO" | "HELLO" => b"$0\r\n\r\n".to_vec(),
        _ => b"+OK\r\n".to_vec(),
    });
    for words in [&["agent", "list"][..], &["agent", "workers"], &["status"]] {
        ends(&url, words, "SCAN does not end");
    }
}

#[test]
fn a_cluster_is_refused_with_the_reason() {
    let server = Options::new().tcp().conf("cluster-enabled yes").conf("cluster-config-file nodes.conf").start();
    let url = format!("redis://127.0.0.1:{}", server.port());
    let commands: [&[&str]; 9] = [
        &["status"],
        &["doctor"],
        &["agent", "list"],
        &["agent", "stats"],
        &["agent", "submit", "--tenant", "a", "--type", "b"],
        &["agent", "cancel", "t", "--yes"],
        &["agent", "requeue", "--all", "--yes"],
        &["dlq", "list"],
        &["why", "t"],
    ];
    for words in commands {
        let output = sen(words.iter().copied()).database(&url).run().expect_code(2);
        assert!(output.stderr.contains("is a Redis Cluster, which is not supported"), "{words:?}: {}", output.stderr);
    }
    // Also for one that may not ask.
    server.run(&["ACL", "SETUSER", "few", "on", ">pw", "~*", "+@read", "+select", "-info", "-hello"]);
    let few = format!("redis://few:pw@127.0.0.1:{}", server.port());
    let output = sen(["agent", "show", "t"]).database(&few).run();
    assert!(output.code != 0 && !output.stderr.contains("no agent task"), "{}", output.stderr);
}

#[test]
fn redis_url_is_named_where_it_is_all_there_is() {
    for words in [&["status"][..], &["agent", "list"]] {
        let output = sen(words.iter().copied()).env("REDIS_URL", "redis://:s3cret@nowhere/0").run().expect_code(2);
        assert!(output.stderr.contains("REDIS_URL is set"), "{}", output.stderr);
        assert!(!output.stderr.contains("s3cret"), "{}", output.stderr);
    }
}
