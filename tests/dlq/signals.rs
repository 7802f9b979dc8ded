//! Signals: guards, a real waiter woken, the moment between looking and waiting, and Redis listeners.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;

use serde_json::Value;

use super::acts::until;
use super::place::{Place, Seed};
use crate::harness::peers::{self, Peer, SENPUKI_030, STENT_112};
use crate::harness::redis::Redis;
use crate::harness::scale::sized;

/// A listener on every topic, in Redis' own words.
struct Ears(BufReader<UnixStream>);

impl Ears {
    fn open(redis: &Redis) -> Self {
        let path = redis.url().trim_start_matches("redis+unix://").to_owned();
        let mut stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(crate::harness::patience::PATIENCE)).unwrap();
        stream.write_all(b"PSUBSCRIBE *\r\n").unwrap();
        let mut ears = Self(BufReader::new(stream));
        assert_eq!(ears.parts(), ["psubscribe", "*", "1"]);
        ears
    }

    /// An array of texts or numbers.
    fn parts(&mut self) -> Vec<String> {
        let line = |ears: &mut Self| {
            let mut line = String::new();
            ears.0.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        };
        let count: usize = line(self)[1..].parse().unwrap();
        let part = |_| {
            let head = line(self);
            let Some(length) = head.strip_prefix('$') else { return head[1..].to_owned() };
            let mut bytes = vec![0; length.parse::<usize>().unwrap() + 2];
            self.0.read_exact(&mut bytes).unwrap();
            String::from_utf8(bytes).unwrap().trim_end().to_owned()
        };
        (0..count).map(part).collect()
    }

    /// The next message: topic and text.
    fn next(&mut self) -> (String, String) {
        let mut parts = self.parts();
        let message = parts.pop().unwrap();
        (parts.pop().unwrap(), message)
    }
}

fn waiting(place: &Place) {
    Seed { id: "x", execution: Some("running"), ..Seed::default() }.plant(place);
    place.sql("DELETE FROM dead_tasks");
    place.sql("UPDATE tasks SET state = 'pending', kind = 'signal', step_name = 'signal:go'");
}

#[test]
fn a_signal_wakes_its_waiter() {
    for place in Place::both() {
        waiting(&place);
        let report = place.json(&["exec", "signal", "e-x", "go", "{\"by\": \"maria\"}"], 0);
        assert!(report["results"][0]["detail"].as_str().unwrap().contains("waiting task x is woken"), "{report}");
        let row = format!("SELECT state, {} FROM tasks", place.hex_of("result"));
        assert_eq!(place.sql(&row), "completed|7b226279223a20226d61726961227d");
        let consumed = place.sql("SELECT name FROM signals WHERE NOT consumed");
        assert_eq!(consumed, "go", "the waiter itself marks it as read");
    }
}

#[test]
fn guards_of_a_signal() {
    for place in Place::both() {
        waiting(&place);
        place.act(&["exec", "signal", "nosuch", "go"], 4);
        place.act(&["exec", "signal", "e-x", "go", "not json"], 2);
        place.act(&["exec", "signal", "e-x", ""], 2);
        for state in ["completed", "failed", "timed_out", "cancelled", "cancelling"] {
            place.sql(&format!("UPDATE executions SET state = '{state}'"));
            place.act(&["exec", "signal", "e-x", "go"], 5);
            assert_eq!(place.count("signals"), 0, "{state}");
        }
        place.sql("UPDATE executions SET state = 'running'");
        place.json(&["exec", "signal", "e-x", "other", "1"], 0);
        place.act(&["exec", "signal", "e-x", "other", "2"], 5);
        let payload = format!("SELECT {} FROM signals", place.hex_of("payload"));
        assert_eq!(place.sql(&payload), "31");
        place.json(&["exec", "signal", "e-x", "other", "2", "--replace", "--yes"], 0);
        assert_eq!(place.sql(&payload), "32");
        place.sql(if matches!(place, Place::Sqlite(_)) {
            "UPDATE signals SET consumed = 1"
        } else {
            "UPDATE signals SET consumed = true"
        });
        place.json(&["exec", "signal", "e-x", "other", "3"], 0);
        assert_eq!(place.sql(&payload), "33");
        place.sql(&format!("UPDATE executions SET args = {}", place.bytes(b"\x80\x04).")));
        let refused = place.json(&["exec", "signal", "e-x", "go"], 5);
        assert!(refused["results"][0]["detail"].as_str().unwrap().contains("pickle"), "{refused}");
    }
}

#[test]
fn signals_race_waiters_and_none_hangs() {
    for (place, library) in [(Place::empty_postgres(), &STENT_112), (Place::empty_sqlite(), &SENPUKI_030)] {
        let count = sized(30, 1000);
        let url = place.for_library();
        // Each dispatched execution begins to wait when it likes; the signal is sent at that very moment.
        let mut peer = Peer::start(library, "stent/flow.py", &[&url, "wait-for-signals", &count.to_string()]);
        let ids: Vec<String> =
            peer.made["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
        for some in ids.chunks(6) {
            let running: Vec<_> = some
                .iter()
                .map(|id| place.command(&["exec", "signal", id, "approve", "{\"n\": 1}", "-o", "json"]).start())
                .collect();
            for one in running {
                one.finish().expect_code(0);
            }
        }
        until("every waiter's end", || place.count("executions WHERE state = 'completed'") == count as u64);
        let truth: Value = peer.tell();
        assert_eq!(truth["answers"], count as u64, "every one got the payload");
    }
}

#[test]
fn listeners_on_redis_hear_what_the_library_would_say() {
    let redis = Redis::start();
    for place in Place::both() {
        waiting(&place);
        let mut ears = Ears::open(&redis);
        place.json(&["exec", "signal", "e-x", "go", "1", "--notify", &redis.url()], 0);
        let heard: Vec<(String, String)> = (0..2).map(|_| ears.next()).collect();
        assert!(heard.contains(&("stent:task:x".into(), r#"{"task_id":"x","state":"completed"}"#.into())), "{heard:?}");
        assert!(heard.iter().any(|(topic, _)| topic == "senpuki:task:x"), "{heard:?}");
        place.command(&["exec", "cancel", "e-x", "--yes"]).env("SEN_NOTIFY_URL", redis.url()).run().expect_code(0);
        let heard: Vec<(String, String)> = (0..2).map(|_| ears.next()).collect();
        let cancelled = ("stent:execution:e-x".to_owned(), r#"{"execution_id":"e-x","state":"cancelled"}"#.to_owned());
        assert!(heard.contains(&cancelled), "{heard:?}");
    }
}

/// A wait that was answered keeps its answer, in the libraries as well: a further signal of the name is never read.
#[test]
fn a_signal_that_would_never_be_read_is_refused() {
    for (library, place) in [
        (&STENT_112, Place::empty_postgres()),
        (&SENPUKI_030, Place::empty_sqlite()),
        (&STENT_112, Place::empty_sqlite()),
        (&SENPUKI_030, Place::empty_postgres()),
    ] {
        let url = place.for_library();
        let made = peers::ask(library, "stent/flow.py", &[&url, "dispatch", "ask_twice", "1"]);
        let id = made["id"].as_str().unwrap();
        let _worker = Peer::start(library, "stent/worker.py", &[&url, "--ready"]);
        let waits = |name: &str| {
            place.count(&format!("tasks WHERE kind = 'signal' AND state = 'pending' AND step_name = 'signal:{name}'"))
                == 1
        };
        until("the first wait", || waits("approve"));
        place.json(&["exec", "signal", id, "approve", "1"], 0);
        until("the second wait", || waits("go"));
        for more in [&[][..], &["--replace"]] {
            let report = place.json(&[&["exec", "signal", id, "approve", "2"], more].concat(), 5);
            let detail = report["results"][0]["detail"].as_str().unwrap();
            assert!(detail.contains("has waited for signal \"approve\" and keeps that answer"), "{report}");
        }
        let payload = format!("SELECT {} FROM signals WHERE name = 'approve'", place.hex_of("payload"));
        assert_eq!(place.sql(&payload), "31", "nothing was written");
        // What the library itself sends then is kept and never read, and that is what is said of it.
        peers::ask(library, "stent/flow.py", &[&url, "signal", id, "approve", "3"]);
        let shown = place.json(&["exec", "show", id], 0)["verdict"]["evidence"].to_string();
        assert!(shown.contains("never read") && !shown.contains("not consumed yet"), "{shown}");
        place.json(&["exec", "signal", id, "go", "0"], 0);
        until("the end", || place.count("executions WHERE state = 'completed'") == 1);
        let truth = peers::ask(library, "stent/truth.py", &[&url]);
        assert_eq!(
            truth["executions"][id]["result"],
            serde_json::json!([1, 1]),
            "the library answers with the old payload"
        );
    }
}

/// What is offered ready to paste sends nothing before its payload is filled in.
#[test]
fn a_suggested_signal_is_refused_until_it_is_filled_in() {
    for place in Place::both() {
        waiting(&place);
        let suggested = |page: Value| {
            let next = page["verdict"]["next"].as_array().unwrap().clone();
            let command = next.iter().filter_map(|one| one["command"].as_str()).find(|one| one.contains("signal"));
            command.unwrap_or_else(|| panic!("{page:#}")).to_owned()
        };
        for page in [place.json(&["exec", "show", "e-x"], 0), place.json(&["task", "show", "x"], 0)] {
            let command = suggested(page);
            let (_, words) = command.split_once("exec signal ").unwrap_or_else(|| panic!("{command}"));
            let words: Vec<&str> = ["exec", "signal"].into_iter().chain(words.split(' ')).collect();
            assert_eq!(words[2..], ["e-x", "go", "‹json›"], "{command}");
            let refused = place.command(&words).run().expect_code(2);
            assert!(refused.stderr.contains("‹json› is a mark"), "{}", refused.stderr);
            assert_eq!((place.count("signals"), place.count("tasks WHERE state = 'pending'")), (0, 1));
        }
    }
}
