//! Servers that fall silent, and servers that never stop talking: every command ends, in its time, with the truth.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::harness::patience::{longer, shown};
use crate::harness::postgres::{Database, Server};
use crate::harness::proxy::{Proxy, Trap};
use crate::harness::sen::{Output, Running, sen};

fn filled(server: &Server, count: u32) -> Database<'_> {
    let database = server.fresh_database();
    sen(["init"]).database(&database.url()).run().expect_code(0);
    database.psql(&format!(
        "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, lease_updated_at, hard_expires_at, status, fencing_token)
        SELECT 'k' || n, repeat('o', 200), now() - interval '1h', now() - interval '2h', now() - interval '1h', 'executing', n
        FROM generate_series(1, {count}) AS n;
        SELECT setval('sentinel_token_seq', {count} + 1)"
    ));
    database
}

fn start(words: &[&str], url: &str) -> Running {
    sen(words.iter().copied()).database(url).start()
}

/// Runs a command with a short time limit, and with longer ones for as long as that is over before it is let in.
#[track_caller]
fn let_in(what: &str, mut run: impl FnMut(&str) -> Output) -> Output {
    shown(what, |number| {
        let output = run(&format!("{}ms", longer(number)));
        (!output.stderr.contains("no answer within")).then_some(output)
    })
}

#[test]
fn a_server_that_falls_silent_ends_every_reading_command() {
    let server = Server::shared();
    let database = filled(server, 3);
    let proxy = Proxy::tcp(server);
    let url = proxy.url_of(&database.name);
    let commands: [(&[&str], i32); 14] = [
        (&["status"], 6),
        (&["list"], 6),
        (&["list", "--limit", "0"], 6),
        (&["inspect", "k1"], 6),
        (&["history", "k1"], 6),
        (&["why", "k1"], 6),
        (&["stats"], 6),
        (&["doctor"], 6),
        (&["metrics"], 6),
        (&["exec", "list"], 6),
        (&["dlq", "list"], 6),
        (&["saga", "list"], 6),
        (&["reconcile", "--all", "--dry-run"], 6),
        (&["wait", "k1", "--for", "completed"], 8),
    ];
    // Each is let in and then never answered.
    let begin = |words: &[&str], limit: &str| {
        proxy.trap(Trap::Mute(b"BEGIN".to_vec()));
        start(&[words, &["--timeout", limit]].concat(), &url)
    };
    let running: Vec<_> = commands.iter().map(|(words, code)| (*words, *code, begin(words, "1s"))).collect();
    for (words, code, running) in running {
        let mut first = Some(running);
        let output = let_in(&words.join(" "), |limit| first.take().unwrap_or_else(|| begin(words, limit)).finish());
        let words = words.join(" ");
        // Where only the look at the catalogue was lost it is asked again, on a connection that answers: there are leases alone.
        let again = match words.as_str() {
            "doctor" => Some((0, "database:")),
            "stats" => Some((0, "leases_total:")),
            "history k1" => Some((0, "no events of")),
            "exec list" => Some((2, "no Stent or Senpuki tables")),
            "saga list" => Some((2, "no saga tables")),
            "dlq list" => Some((2, "no system that keeps dead letters")),
            _ => None,
        };
        let told = format!("{}{}", output.stdout, output.stderr);
        if let Some((code, says)) = again.filter(|(code, _)| *code == output.code) {
            assert!(told.contains(says), "{words}, {code}: {told}");
        } else {
            assert_eq!(output.code, code, "{words}: {told}");
            assert!(told.contains("has not answered for ") || told.contains("did not answer"), "{words}: {told}");
        }
    }
}

#[test]
fn a_server_that_accepts_and_says_nothing_is_no_connection() {
    let server = Server::shared();
    let database = filled(server, 1);
    let proxy = Proxy::tcp(server);
    proxy.stall(true);
    let url = format!("{}?connect_timeout=2", proxy.url_of(&database.name));
    let with_tls = format!("{url}&sslmode=require");
    let wait = ["wait", "k1", "--timeout", "1s"];
    let running = [
        (start(&["status"], &url), 6, "2s"),
        (start(&["status", "--timeout", "20s"], &url), 6, "2s"),
        (start(&["status"], &with_tls), 6, "2s"),
        (start(&wait, &url), 6, "1s"),
        (start(&["once", "k2", "--", "true"], &url), 125, "2s"),
        (start(&["__complete", "bash", "2", "--", "sen", "inspect", ""], &url), 0, ""),
    ];
    for (running, code, limit) in running {
        let output = running.finish().expect_code(code);
        assert!(code == 0 || output.stderr.contains(&format!("no answer within {limit}")), "{}", output.stderr);
    }
}

/// `--timeout` is what the operator typed: it bounds the log-in, too, to PostgreSQL and to Redis.
#[test]
fn a_time_limit_bounds_the_log_in() {
    // Lets everybody in and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let (postgres, redis) = (format!("postgresql://u:p@127.0.0.1:{port}/d"), format!("redis://127.0.0.1:{port}/0"));
    let own = format!("{postgres}?connect_timeout=0");
    let commands: [(&[&str], &str, i32); 8] = [
        (&["status"], &postgres, 6),
        (&["status"], &own, 6),
        (&["list"], &postgres, 6),
        (&["wait", "k"], &postgres, 6),
        (&["once", "k", "--", "true"], &postgres, 125),
        (&["reconcile", "k", "--reset", "--yes"], &postgres, 6),
        (&["status"], &redis, 6),
        (&["agent", "list"], &redis, 6),
    ];
    for (words, url, code) in commands {
        let begun = std::time::Instant::now();
        let output = start(&[&["--timeout", "2s"], words].concat(), url).finish().expect_code(code);
        let took = begun.elapsed();
        assert!(output.stderr.contains("no answer within 2s"), "{words:?} {url}: {}", output.stderr);
        assert!(took > Duration::from_millis(1900) && took < Duration::from_secs(60), "{words:?} {url}: {took:?}");
    }
}

#[test]
fn once_does_not_wait_for_ever_for_the_catalogue() {
    let server = Server::shared();
    let database = filled(server, 1);
    let proxy = Proxy::tcp(server);
    proxy.trap(Trap::Mute(b"to_regclass".to_vec()));
    let output = start(&["once", "k2", "--", "true"], &proxy.url_of(&database.name)).finish().expect_code(125);
    assert!(output.stderr.contains("has not answered"), "{}", output.stderr);
}

#[test]
fn a_stream_that_stalls_midway_ends() {
    let server = Server::shared();
    let database = filled(server, 5000);
    let proxy = Proxy::tcp(server);
    let url = proxy.url_of(&database.name);
    let list = |limit: &str| start(&["list", "--limit", "0", "-o", "jsonl", "--timeout", limit], &url).finish();
    let output = let_in("a stream stalls midway", |limit| {
        proxy.trap(Trap::Stop(b"sentinel_leases".to_vec(), 300_000));
        list(limit)
    });
    let output = output.expect_code(6);
    let rows = output.stdout.lines().count();
    assert!(rows > 100 && rows < 5000, "{rows} rows");
    assert!(output.stderr.contains("has not answered for "), "{}", output.stderr);
    // One that is read slowly is no such case: its pauses are the reader's.
    proxy.latency(Duration::from_millis(50));
    let output = shown("a stream that is slow", |run| {
        Some(list(&format!("{}ms", longer(run)))).filter(|output| output.code == 0)
    });
    assert_eq!(output.stdout.lines().count(), 5000);
}

/// What is left of a bulk act when the server vanishes behind an open port: it is told that it was not begun.
#[test]
fn a_black_hole_ends_a_bulk_act_within_one_budget() {
    let server = Server::shared();
    let database = filled(server, 100);
    let stored = || database.psql("SELECT count(*) FROM sentinel_leases WHERE status = 'executing'");
    let words = ["reconcile", "--all", "--reset", "--yes", "-o", "json", "--timeout"];
    // Before the first change is sent, and while it is being committed.
    for (commit, code) in [(false, 6), (true, 9)] {
        let proxy = Proxy::tcp(server);
        if commit {
            proxy.trap_after("SET status = 'reconciling'", Trap::Hold(b"COMMIT".to_vec()));
        } else {
            proxy.trap(Trap::Hold(b"SET status = 'reconciling'".to_vec()));
        }
        let url = format!("{}?connect_timeout=4", proxy.url_of(&database.name));
        let output = let_in("a bulk act begins", |limit| start(&[&words[..], &[limit]].concat(), &url).finish());
        let output = output.expect_code(code);
        let report = output.json();
        let results = report["results"].as_array().unwrap();
        let begun = |item: &&serde_json::Value| item["detail"].as_str().unwrap().contains("not begun");
        let left = results.iter().filter(begun).count();
        assert_eq!(results.len(), 100);
        assert!(left >= 85, "{left} of 100 were not begun: {report}");
        assert_eq!(report["unknown"], u64::from(commit), "{report}");
        assert_eq!(report["failed"], 100 - u64::from(commit), "{report}");
        drop(proxy);
        assert_eq!(stored(), "100", "nothing was written");
    }
}

/// A server that lets everybody in and then answers with `flood`, for ever.
fn flooding(login: bool, flood: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        while let Ok((mut client, _)) = listener.accept() {
            let flood = flood.clone();
            std::thread::spawn(move || {
                let _ = serve(&mut client, login, &flood);
            });
        }
    });
    format!("postgresql://x@127.0.0.1:{port}/x?sslmode=disable&connect_timeout=100")
}

fn serve(client: &mut TcpStream, login: bool, flood: &[u8]) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    let _ = client.read(&mut buffer)?;
    client.write_all(b"R\0\0\0\x08\0\0\0\0")?;
    if login {
        client.write_all(b"Z\0\0\0\x05I")?;
        let _ = client.read(&mut buffer)?;
    }
    loop {
        client.write_all(flood)?;
    }
}

fn notice() -> Vec<u8> {
    let fields = b"SNOTICE\0C00000\0Mflood\0\0";
    [b"N".as_slice(), &u32::try_from(fields.len() + 4).expect("it is short").to_be_bytes(), fields].concat()
}

#[test]
fn floods_end() {
    let ends = |url: &str, says: &str| {
        let output = let_in(says, |limit| start(&["status", "--timeout", limit], url).finish()).expect_code(6);
        assert!(output.stderr.contains(says), "{says:?} is not in {}", output.stderr);
    };
    ends(&flooding(false, notice().repeat(100)), "more than 64 KiB before the log-in was over");
    ends(&flooding(true, notice().repeat(100)), "has not answered for ");
    let long = [b"D".as_slice(), &(600_u32 << 20).to_be_bytes(), &[0; 60_000]].concat();
    ends(&flooding(true, long), "more than 512 MiB is not read");
}
