//! A server with the real libraries' tables, and acts that are ripe on it, each held at its COMMIT by a proxy of its own.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::harness::peers::{
    Peer, SAGA_011, SAGA_073, SENTINEL_042, SENTINEL_050, SENTINEL_050_DJANGO, STENT_112, ask,
};
use crate::harness::postgres::{Options, Server};
use crate::harness::proxy::{Proxy, Target, Trap};
use crate::harness::psql;
use crate::harness::python::Environment;
use crate::harness::sen::{Output, Running, sen};

/// How large these runs are.
pub(crate) fn scale() -> f64 {
    crate::harness::scale::scale()
}

/// An act, from something that is ripe for it. `ID` stands for what it is about.
pub(crate) struct Verb {
    pub(crate) name: &'static str,
    /// The database it works in.
    pub(crate) base: usize,
    words: &'static [&'static str],
    /// Makes it ripe; nothing where the library has made it.
    seed: &'static str,
    /// Finds what the library has made, where that is it.
    pool: Option<&'static str>,
    /// Bytes of its statement that no other message holds.
    statement: &'static str,
    /// Whether it is done.
    done: &'static str,
}

/// The databases: 0.5.0 with everything else, 0.4.2, and 0.4.2 with Django's events.
const BASES: [&str; 3] = ["new", "old", "django"];

macro_rules! lease {
    ($status:literal) => {
        concat!(
            "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, lease_updated_at, hard_expires_at, status, fencing_token,
                ttl_ms)
            VALUES ('ID', 'web-1:42-7', now() - interval '1h', now() - interval '2h', now() - interval '1h', '",
            $status,
            "', 1, 3000)"
        )
    };
}

macro_rules! leases {
    ($($base:literal $prefix:literal),*) => {
        [$(
            Verb {
                name: concat!($prefix, "take-over"), base: $base, words: &["reconcile", "ID"], seed: lease!("executing"), pool: None,
                statement: "SET status = 'reconciling'", done: "SELECT status = 'reconciling' FROM sentinel_leases WHERE key = 'ID'",
            },
            Verb {
                name: concat!($prefix, "complete"), base: $base,
                words: &["reconcile", "ID", "--token", "1", "--complete", "{\"ok\":1}", "--yes"], seed: lease!("reconciling"), pool: None,
                statement: "SET status = 'completed'", done: "SELECT status = 'completed' FROM sentinel_leases WHERE key = 'ID'",
            },
            Verb {
                name: concat!($prefix, "reset"), base: $base, words: &["reconcile", "ID", "--token", "1", "--reset", "--yes"],
                seed: lease!("reconciling"), pool: None, statement: "SET status = 'claimed'",
                done: "SELECT status = 'claimed' FROM sentinel_leases WHERE key = 'ID'",
            },
            Verb {
                name: concat!($prefix, "release"), base: $base, words: &["release", "ID"], seed: lease!("claimed"), pool: None,
                statement: "DELETE FROM sentinel_leases", done: "SELECT count(*) = 0 FROM sentinel_leases WHERE key = 'ID'",
            },
            Verb {
                name: concat!($prefix, "forget"), base: $base, words: &["forget", "ID", "--yes"], seed: lease!("completed"), pool: None,
                statement: "DELETE FROM sentinel_leases", done: "SELECT count(*) = 0 FROM sentinel_leases WHERE key = 'ID'",
            },
        )*]
    };
}

const LEASES: [Verb; 15] = leases!(0 "", 1 "0.4.2 ", 2 "django ");

macro_rules! execution {
    ($state:literal, $ended:literal) => {
        concat!(
            "INSERT INTO executions (id, root_function, state, args, kwargs, retries, created_at, started_at, completed_at, tags,
                priority, queue) VALUES ('ID', 'flows:root', '",
            $state,
            "', '{}', '{}', 0, now() - interval '9d', now() - interval '9d', ",
            $ended,
            ", '[]', 0, 'main')"
        )
    };
}

const OTHERS: [Verb; 14] = [
    Verb {
        name: "dlq replay",
        base: 0,
        words: &["dlq", "replay", "ID", "--yes"],
        seed: "",
        pool: Some("SELECT id FROM dead_tasks"),
        statement: "opened AS (",
        done: "SELECT count(*) = 0 FROM dead_tasks WHERE id = 'ID'",
    },
    Verb {
        name: "dlq discard",
        base: 0,
        words: &["dlq", "discard", "ID", "--export", "gone.jsonl", "--yes"],
        seed: "",
        pool: Some("SELECT id FROM dead_tasks"),
        statement: "DELETE FROM dead_tasks AS d USING taken",
        done: "SELECT count(*) = 0 FROM dead_tasks WHERE id = 'ID'",
    },
    Verb {
        name: "exec cancel",
        base: 0,
        words: &["exec", "cancel", "ID", "--yes"],
        seed: execution!("running", "NULL"),
        pool: None,
        statement: "ended AS (UPDATE executions",
        done: "SELECT state = 'cancelled' FROM executions WHERE id = 'ID'",
    },
    Verb {
        name: "exec signal",
        base: 0,
        words: &["exec", "signal", "ID", "go", "{\"by\":1}", "--yes"],
        seed: execution!("running", "NULL"),
        pool: None,
        statement: "INSERT INTO signals",
        done: "SELECT count(*) = 1 FROM signals WHERE execution_id = 'ID'",
    },
    Verb {
        name: "exec cleanup",
        base: 0,
        words: &["exec", "cleanup", "--older-than", "1d", "--state", "completed", "--yes"],
        seed: execution!("completed", "now() - interval '8d'"),
        pool: None,
        statement: "DELETE FROM executions",
        done: "SELECT count(*) = 0 FROM executions WHERE id = 'ID'",
    },
    Verb {
        name: "saga retry",
        base: 0,
        words: &["saga", "retry", "ID", "--yes"],
        seed: "",
        pool: Some("SELECT id FROM order_saga WHERE status::text = 'FAILED'"),
        statement: "WITH changed AS (UPDATE",
        done: "SELECT status::text = 'RUNNING' FROM order_saga WHERE id = 'ID'",
    },
    Verb {
        name: "saga retry 0.1.1",
        base: 0,
        words: &["saga", "retry", "ID", "--yes"],
        seed: "",
        pool: Some("SELECT id FROM old_saga WHERE status::text = 'FAILED'"),
        statement: "WITH changed AS (UPDATE",
        done: "SELECT status::text = 'RUNNING' FROM old_saga WHERE id = 'ID'",
    },
    Verb {
        name: "saga requeue",
        base: 0,
        words: &["saga", "outbox", "requeue", "ID", "--yes"],
        seed: "",
        pool: Some("SELECT id FROM order_outbox WHERE status::text = 'FAILED'"),
        statement: "WITH wanted AS (SELECT",
        done: "SELECT status::text = 'PENDING' FROM order_outbox WHERE id = 'ID'",
    },
    Verb {
        name: "exec signal, woken",
        base: 0,
        words: &["exec", "signal", "ID", "go", "{\"by\":1}", "--yes"],
        seed: concat!(
            execution!("running", "NULL"),
            "; INSERT INTO tasks (id, execution_id, step_name, kind, parent_task_id, state, args, kwargs, retries, created_at, tags,
                priority, retry_policy) VALUES
                ('r-ID', 'ID', 'flows:root', 'orchestrator', NULL, 'running', '{}', '{}', 0, now(), '[]', 0, '{}'),
                ('s-ID', 'ID', 'signal:go', 'signal', 'r-ID', 'pending', '{}', '{}', 0, now(), '[]', 0, '{}')"
        ),
        pool: None,
        statement: "INSERT INTO signals",
        done: "SELECT state = 'completed' FROM tasks WHERE id = 's-ID'",
    },
    Verb {
        name: "saga compensate",
        base: 0,
        words: &["saga", "compensate", "ID", "--yes"],
        seed: "",
        pool: Some("SELECT id FROM order_saga WHERE status::text = 'FAILED'"),
        statement: "WITH changed AS (UPDATE",
        done: "SELECT status::text = 'COMPENSATING' FROM order_saga WHERE id = 'ID'",
    },
    Verb {
        name: "saga skip",
        base: 0,
        words: &["saga", "skip", "ID", "--result", "{\"charge\":\"x\",\"amount\":1.5}", "--yes", "--force"],
        seed: "",
        pool: Some(WAITING),
        statement: "WITH changed AS (UPDATE",
        done: "SELECT status::text = 'RUNNING' FROM order_saga WHERE id = 'ID'",
    },
    Verb {
        name: "saga abort",
        base: 0,
        words: &["saga", "abort", "ID", "--yes"],
        seed: "",
        pool: Some(WAITING),
        statement: "WITH changed AS (UPDATE",
        done: "SELECT status::text = 'FAILED' FROM order_saga WHERE id = 'ID'",
    },
    Verb {
        name: "saga unstick",
        base: 0,
        words: &["saga", "unstick", "ID", "--yes"],
        seed: "UPDATE order_saga SET status = 'RUNNING', deadline_at = NULL, updated_at = now() - interval '1 hour' WHERE id = 'ID'",
        pool: Some(WAITING),
        statement: "WITH changed AS (UPDATE",
        done: "SELECT deadline_at IS NOT NULL FROM order_saga WHERE id = 'ID'",
    },
    Verb {
        name: "saga notify, inbox",
        base: 0,
        words: &[
            "saga", "notify", "ID", "--inbox", "--event-id", "ID", "--payload", "{}", "--type", "charge.confirmed",
            "--correlation", "ID",
        ],
        seed: "",
        pool: Some("SELECT aggregation_id FROM order_saga WHERE aggregation_id LIKE 'event%'"),
        statement: "correlation_id, payload, source",
        done: "SELECT count(*) = 1 FROM order_inbox WHERE event_id = 'ID'",
    },
];

/// Sagas whose step is to be tried again.
const WAITING: &str = "SELECT id FROM order_saga WHERE status::text = 'SUSPENDED' AND aggregation_id LIKE 'wait%'";

pub(crate) fn verbs() -> impl Iterator<Item = &'static Verb> {
    LEASES.iter().chain(&OTHERS)
}

/// A server and what is on it.
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) names: [String; 3],
    used: Vec<String>,
    /// `SEN_CONNECT_RETRY` of the acts.
    pub(crate) retry: &'static str,
}

/// An act that has come to its COMMIT.
pub(crate) struct Held {
    verb: &'static Verb,
    ids: Vec<String>,
    proxy: Proxy,
    running: Running,
    _folder: tempfile::TempDir,
}

/// Where an act is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// Its COMMIT has not reached the server.
    Request,
    /// The server has got it, and its answer is held back.
    Answer,
}

/// What became of one item: what was said, and what is there.
pub(crate) struct Told {
    pub(crate) verb: &'static str,
    pub(crate) outcome: String,
    pub(crate) detail: String,
    pub(crate) code: i32,
    pub(crate) done: bool,
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, outcome, detail, code, done } = self;
        write!(
            f,
            "{verb}: {outcome} ({detail}), exit code {code}; in truth {}",
            if *done { "done" } else { "not done" }
        )
    }
}

/// A server that commits without waiting and writes WAL late, so that what it was not told to flush is lost by a crash.
pub(crate) fn forgetful() -> Options {
    Options::new().conf("wal_writer_delay = 10s").conf("bgwriter_lru_maxpages = 0").conf("checkpoint_timeout = 1d")
}

impl Stage {
    /// With at least `count` things that each act can be done to, made by the real libraries where they must be.
    pub(crate) fn set(options: &Options, count: usize) -> Self {
        let server = Server::start(options);
        let names = BASES.map(|_| server.fresh_database().name);
        let stage = Self { server, names, used: Vec::new(), retry: "60s" };
        let lease = |at: usize, library: &Environment| ask(library, "sentinel/act.py", &[&stage.url(at), "init"]);
        lease(0, &SENTINEL_050);
        lease(1, &SENTINEL_042);
        ask(&SENTINEL_050_DJANGO, "sentinel/django_tables.py", &["migrate", &stage.url(2)]);
        ask(&STENT_112, "stent/letters.py", &[&stage.url(0), &(2 * count + 2).to_string()]);
        let tables = [
            "SELECT to_regclass('sentinel_events') IS NULL",
            "SELECT count(*) = 0 FROM pg_attribute
            WHERE attrelid = 'sentinel_events'::regclass AND attname = 'metadata'",
        ];
        assert_eq!(
            (&*stage.psql(1, tables[0]), &*stage.psql(2, tables[1])),
            ("t", "t"),
            "each keeps its records elsewhere"
        );
        for (library, names) in [(&SAGA_073, json!({})), (&SAGA_011, json!({"state": "old_saga"}))] {
            let mut peer = Peer::start(library, "saga/peer.py", &[&stage.url(0), &names.to_string()]);
            let mut send = |command: Value| {
                let answer = peer.send(&command);
                assert!(answer.get("ok").is_some(), "{command}: {answer}");
            };
            send(json!({"do": "init"}));
            let failing = json!({"charge": "fail"});
            let version = library.name;
            let twice = 2 * count + 1;
            send(json!({"do": "start_many", "order": version, "count": twice, "saga": "order-once", "plan": failing}));
            if std::ptr::eq(library, &SAGA_073) {
                send(
                    json!({"do": "start_many", "order": "wait", "count": 3 * count + 1, "saga": "order", "plan": failing}),
                );
                let events = json!({"charge": "await"});
                send(json!({"do": "start_many", "order": "event", "count": count, "saga": "order", "plan": events}));
                send(json!({"do": "start_many", "order": "sent", "count": count, "plan": {}}));
                while stage.psql(0, "SELECT count(*) > 0 FROM order_outbox WHERE status::text = 'PENDING'") == "t" {
                    send(json!({"do": "dispatch", "how": "fail"}));
                }
            }
        }
        stage.psql(0, "CHECKPOINT");
        stage
    }

    pub(crate) fn url(&self, base: usize) -> String {
        self.server.url_of(&self.names[base])
    }

    #[track_caller]
    pub(crate) fn psql(&self, base: usize, sql: &str) -> String {
        psql::run(&self.url(base), sql)
    }

    /// Something that is ripe for this act and that no other act is about.
    fn ripe(&mut self, verb: &Verb) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Some(pool) = verb.pool else {
            let id = format!("{}-{}", verb.name.replace([' ', '.'], "-"), COUNT.fetch_add(1, Ordering::Relaxed));
            self.psql(verb.base, &verb.seed.replace("ID", &id));
            return id;
        };
        let found = self.psql(verb.base, pool);
        let id = found.lines().find(|id| !self.used.iter().any(|used| used == id));
        let id = id.unwrap_or_else(|| panic!("nothing is left for {}", verb.name)).to_owned();
        self.used.push(id.clone());
        if !verb.seed.is_empty() {
            self.psql(verb.base, &verb.seed.replace("ID", &id));
        }
        id
    }

    /// Lets `copies` of every act come to their COMMITs, at once.
    pub(crate) fn hold(&mut self, at: At, copies: usize) -> Vec<Held> {
        self.hold_after(at, copies, |_| ())
    }

    /// The same; `before` comes between what makes them ripe and the acts.
    pub(crate) fn hold_after(&mut self, at: At, copies: usize, before: impl FnOnce(&Self)) -> Vec<Held> {
        let mut ripe = Vec::new();
        for verb in verbs() {
            if verb.name == "exec cleanup" {
                // One act cleans up all that is old.
                ripe.push((verb, (0..copies).map(|_| self.ripe(verb)).collect()));
            } else {
                ripe.extend((0..copies).map(|_| (verb, vec![self.ripe(verb)])));
            }
        }
        self.psql(0, "CHECKPOINT");
        before(self);
        let start = |(verb, ids): (&'static Verb, Vec<String>)| {
            let proxy = Proxy::unix(&self.server);
            let commit = b"COMMIT".to_vec();
            let trap = if at == At::Request { Trap::Hold(commit) } else { Trap::Keep(commit) };
            proxy.trap_after(verb.statement, trap);
            let folder = tempfile::tempdir().unwrap();
            let words = verb.words.iter().map(|word| if *word == "ID" { ids[0].as_str() } else { *word });
            let running = sen(words.chain(["-o", "json"]))
                .database(&proxy.url_of(&self.names[verb.base]))
                .env("SEN_CONNECT_RETRY", self.retry)
                .cwd(folder.path())
                .start();
            Held { verb, ids, proxy, running, _folder: folder }
        };
        let held: Vec<Held> = ripe.into_iter().map(start).collect();
        held.iter().for_each(|held| held.proxy.wait_for_hold());
        held
    }

    /// The largest id of a transaction that is open.
    pub(crate) fn newest_open(&self) -> u64 {
        let open = "SELECT coalesce(max(transactionid::text::int8), 0) FROM pg_locks WHERE locktype = 'transactionid'";
        self.psql(0, open).parse().unwrap()
    }

    /// Writes transactions until ids up to this one have been given out.
    pub(crate) fn give_out(&self, id: u64) {
        self.psql(
            0,
            &format!(
                "DO $$ BEGIN WHILE txid_current() <= {id} LOOP COMMIT; END LOOP; END $$;
                SELECT 1"
            ),
        );
    }

    /// Lets the acts find the server as it is now, and says what each of them said and what is there.
    pub(crate) fn settle(&mut self, held: Vec<Held>) -> Vec<Told> {
        for held in &held {
            held.proxy.lead_to(Target::Unix(self.server.socket()));
            held.proxy.cut();
            held.proxy.stall(false);
        }
        held.into_iter().flat_map(|held| self.told(held.verb, &held.ids, held.running.finish())).collect()
    }

    fn told(&self, verb: &'static Verb, ids: &[String], output: Output) -> Vec<Told> {
        let results = output.json()["results"].clone();
        let items = results.as_array().unwrap_or_else(|| panic!("{}: {output:?}", verb.name));
        let of = |id: &String| {
            let about = |item: &&Value| item["subject"].as_str().is_some_and(|subject| subject.ends_with(id.as_str()));
            // A saga that is named by what it is about has an id of its own.
            let item = items
                .iter()
                .find(about)
                .or(items.first())
                .unwrap_or_else(|| panic!("{}: nothing of {id}: {output:?}", verb.name));
            let text = |field: &str| item[field].as_str().unwrap().to_owned();
            let done = self.psql(verb.base, &verb.done.replace("ID", id)) == "t";
            Told { verb: verb.name, outcome: text("outcome"), detail: text("detail"), code: output.code, done }
        };
        ids.iter().map(of).collect()
    }
}

/// Checks that nothing false was said, and returns how many were said to be done, not done and unknown.
#[track_caller]
pub(crate) fn truthful(told: &[Told]) -> [usize; 3] {
    let mut counts = [0; 3];
    for item in told {
        match item.outcome.as_str() {
            "applied" => {
                assert!(item.done, "it was said to be done and is not: {item:?}");
                assert_eq!(item.code, 0, "{item:?}");
                counts[0] += 1;
            }
            "failed" => {
                assert!(!item.done, "it was said not to be done and is: {item:?}");
                assert_eq!(item.code, 6, "{item:?}");
                counts[1] += 1;
            }
            "unknown" => {
                assert_eq!(item.code, 9, "{item:?}");
                counts[2] += 1;
            }
            _ => panic!("that is no answer: {item:?}"),
        }
    }
    counts
}
