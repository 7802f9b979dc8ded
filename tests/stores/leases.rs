//! The contract of Sentinel's port, on SQLite and on PostgreSQL in each shape of the tables.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use sen_core::error::ErrorKind;
use sen_core::model::plan::{Plan, Risk};
use sen_core::model::report::Outcome;
use sen_core::permit::{Consent, WritePermit};
use sen_core::stores::sqlite::{Access, Sqlite};
use sen_core::stores::url::Target;
use sen_core::systems::sentinel::port::{LeaseAct, LeaseQuery, LeaseStore, Order, Typed, Verb};
use sen_core::systems::sentinel::postgres::PostgresLeases;
use sen_core::systems::sentinel::record::{Lease, Status, namespace};
use sen_core::systems::sentinel::sqlite::SqliteLeases;
use sen_core::systems::sentinel::verdict::{State, state};
use sen_core::time::When;

use crate::block_on;
use crate::harness::postgres::{Database, Server};

/// A lease to be put in; times are seconds from now.
#[derive(Clone, Copy)]
pub(crate) struct Seed<'a> {
    pub(crate) key: &'a str,
    pub(crate) status: &'a str,
    pub(crate) expires: i64,
    pub(crate) hard: Option<i64>,
    pub(crate) token: i64,
    pub(crate) owner: &'a str,
    pub(crate) updated: i64,
    pub(crate) result: Option<&'a str>,
}

/// A real cell: a store, and a way to put rows in that does not pass through it.
pub(crate) trait Cell {
    fn store(&self) -> Box<dyn LeaseStore>;
    /// Inserts a lease; offsets are seconds from now.
    fn seed(&self, seed: &Seed<'_>);
    fn event(&self, key: &str, event: &str, token: i64, seconds: i64);
    /// A store that may write.
    fn store_for_writing(&self) -> Box<dyn LeaseStore>;
    /// The library's batch heartbeat (`core.py`): matches the key alone. Whether it matched.
    fn worker_beats(&self, key: &str, token: i64) -> bool;
    /// The library's `complete` (`core.py`): guarded by owner and token, not by status. Whether it matched.
    fn worker_completes(&self, key: &str, token: i64) -> bool;
}

pub(crate) struct OnPostgres<'a>(pub(crate) Database<'a>);

async fn connect(url: &str) -> PostgresLeases {
    let Target::Postgres(info) = Target::resolve(Some(url), &|_| None).unwrap() else {
        panic!("not PostgreSQL: {url}")
    };
    let db = sen_core::stores::postgres::Postgres::connect(&info).await.unwrap();
    PostgresLeases::new(Arc::new(sen_core::stores::postgres::shared::SharedConnection::new(
        db,
        Some(Duration::from_secs(30)),
        *info,
        &[sen_core::systems::sentinel::port::MARKS],
    )))
}

fn text(value: Option<&str>) -> String {
    value.map_or_else(|| "NULL".into(), |value| format!("'{}'", value.replace('\'', "''")))
}

impl Cell for OnPostgres<'_> {
    fn store(&self) -> Box<dyn LeaseStore> {
        Box::new(on_one_runtime(connect(&self.0.url())))
    }

    fn store_for_writing(&self) -> Box<dyn LeaseStore> {
        self.store()
    }

    fn worker_beats(&self, key: &str, _token: i64) -> bool {
        // The owner's beat would be this one; its lease stays expired so that the operators' rules are what is tested.
        let sql = "UPDATE sentinel_leases SET lease_updated_at = now() WHERE key = ANY(ARRAY[KEY])
            AND hard_expires_at > now() AND status = 'executing' RETURNING 1";
        !self.0.psql(&sql.replace("KEY", &text(Some(key)))).is_empty()
    }

    fn worker_completes(&self, key: &str, token: i64) -> bool {
        let sql = r#"UPDATE sentinel_leases SET status = 'completed', execution_result = '{"by": "worker"}', lease_updated_at = now()
            WHERE key = KEY AND owner_id = 'w:1-1' AND fencing_token = TOKEN RETURNING 1"#;
        !self.0.psql(&sql.replace("KEY", &text(Some(key))).replace("TOKEN", &token.to_string())).is_empty()
    }

    fn seed(&self, seed: &Seed<'_>) {
        let Seed { key, status, expires, hard, token, owner, updated, result } = *seed;
        let hard = hard.map_or_else(|| "NULL".into(), |hard| format!("now() + interval '{hard} seconds'"));
        self.0.psql(&format!(
            "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, lease_updated_at, hard_expires_at, execution_result, status, fencing_token)
             VALUES ({}, {}, now() + interval '{expires} seconds', now() + interval '{updated} seconds', {hard}, {}, '{status}', {token})",
            text(Some(key)), text(Some(owner)), text(result),
        ));
    }

    fn event(&self, key: &str, event: &str, token: i64, seconds: i64) {
        self.0.psql(&format!(
            "INSERT INTO sentinel_events (key, event, occurred_at, fencing_token, owner_id)
             VALUES ({}, '{event}', now() + interval '{seconds} seconds', {token}, 'w:1-1')",
            text(Some(key)),
        ));
    }
}

/// The store keeps its connection task on the runtime it was opened on, so each test stays on one runtime.
pub(crate) fn on_one_runtime<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.with(|runtime| runtime.block_on(future))
}

thread_local! {
    static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
}

pub(crate) struct OnSqlite {
    _folder: tempfile::TempDir,
    path: std::path::PathBuf,
}

impl OnSqlite {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases.db");
        let cell = Self { _folder: folder, path };
        block_on(async {
            let store = SqliteLeases::new(Arc::new(Sqlite::open(&cell.path, Access::Create).await.unwrap()));
            store.init(&permit()).await.unwrap();
        });
        cell
    }

    pub(crate) fn execute(&self, sql: &str) {
        rusqlite::Connection::open(&self.path).unwrap().execute_batch(sql).unwrap();
    }
}

const SQLITE_NOW: &str = "CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000";

impl Cell for OnSqlite {
    fn store(&self) -> Box<dyn LeaseStore> {
        let db = on_one_runtime(Sqlite::open(&self.path, Access::Read)).unwrap();
        Box::new(SqliteLeases::new(Arc::new(db)))
    }

    fn store_for_writing(&self) -> Box<dyn LeaseStore> {
        let db = on_one_runtime(Sqlite::open(&self.path, Access::Write)).unwrap();
        Box::new(SqliteLeases::new(Arc::new(db)))
    }

    fn worker_beats(&self, key: &str, _token: i64) -> bool {
        let sql = format!(
            "UPDATE sentinel_leases SET lease_updated_at = {SQLITE_NOW}
             WHERE key = ?1 AND hard_expires_at > {SQLITE_NOW} AND status = 'executing'"
        );
        rusqlite::Connection::open(&self.path).unwrap().execute(&sql, [key]).unwrap() > 0
    }

    fn worker_completes(&self, key: &str, token: i64) -> bool {
        let sql = r#"UPDATE sentinel_leases SET status = 'completed', execution_result = '{"by": "worker"}'
            WHERE key = ?1 AND owner_id = 'w:1-1' AND fencing_token = ?2"#;
        rusqlite::Connection::open(&self.path).unwrap().execute(sql, rusqlite::params![key, token]).unwrap() > 0
    }

    fn seed(&self, seed: &Seed<'_>) {
        let Seed { key, status, expires, hard, token, owner, updated, result } = *seed;
        let hard = hard.map_or_else(|| "NULL".into(), |hard| format!("{SQLITE_NOW} + {hard} * 1000000"));
        self.execute(&format!(
            "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, lease_updated_at, hard_expires_at, execution_result, status, fencing_token)
             VALUES ({}, {}, {SQLITE_NOW} + {expires} * 1000000, {SQLITE_NOW} + {updated} * 1000000, {hard}, {}, '{status}', {token})",
            text(Some(key)), text(Some(owner)), text(result),
        ));
    }

    fn event(&self, key: &str, event: &str, token: i64, seconds: i64) {
        self.execute(&format!(
            "INSERT INTO sentinel_events (key, event, occurred_at, fencing_token, owner_id)
             VALUES ({}, '{event}', {SQLITE_NOW} + {seconds} * 1000000, {token}, 'w:1-1')",
            text(Some(key)),
        ));
    }
}

pub(crate) fn permit() -> WritePermit {
    WritePermit::grant(&Plan::new("test", Risk::Safe), Consent::Unasked, None).unwrap()
}

fn any() -> LeaseQuery {
    LeaseQuery {
        states: Vec::new(),
        prefix: None,
        owner: None,
        expired: false,
        alive: false,
        older_than: None,
        since: None,
        until: None,
        order: Order::Key,
        descending: false,
        limit: None,
        payloads: true,
    }
}

async fn rows(store: &dyn LeaseStore, query: LeaseQuery) -> Vec<Lease> {
    let mut leases = store.list(&query).await.unwrap();
    let mut out = Vec::new();
    while let Some(chunk) = leases.chunks.next().await {
        out.extend(chunk.unwrap());
    }
    out
}

async fn keys(store: &dyn LeaseStore, query: LeaseQuery) -> Vec<String> {
    rows(store, query).await.into_iter().map(|lease| lease.key).collect()
}

fn contract(cell: &dyn Cell, has_events: bool) {
    // Every combination of status, lease and hard limit. The server's clock moves on, so nothing sits near now.
    for status in ["claimed", "executing", "reconciling", "completed"] {
        for (lease, expires) in [("live", 600), ("over", -600)] {
            for (hard, limit) in [("ahead", Some(900)), ("past", Some(-300)), ("none", None)] {
                let key = format!("combo:{status}-{lease}-{hard}");
                cell.seed(&Seed {
                    key: &key,
                    status,
                    expires,
                    hard: limit,
                    token: 5,
                    owner: "host-a:10-1",
                    updated: -60,
                    result: (status == "completed").then_some(r#"{"a": 1}"#),
                });
            }
        }
    }
    let done = Seed {
        key: "pay:1",
        status: "completed",
        expires: -500,
        hard: None,
        token: 77,
        owner: "host-b:11-2",
        updated: -7200,
        result: Some("null"),
    };
    cell.seed(&done);
    let big = 9_007_199_254_740_993;
    cell.seed(&Seed {
        key: "payments:2",
        status: "claimed",
        expires: 500,
        hard: Some(500),
        token: big,
        owner: "host-bb:11-2",
        updated: -10,
        result: None,
    });
    let odd = r#"{"text": "x\u202e"}"#;
    cell.seed(&Seed {
        key: "päy:ü'\"%_",
        expires: -100,
        token: 3,
        owner: "o",
        updated: -20,
        result: Some(odd),
        ..done
    });
    if has_events {
        for (event, token, seconds) in
            [("acquired", 1, -7100), ("executing", 1, -7000), ("rejected", 1, -40), ("completed", 1, -30)]
        {
            cell.event("pay:1", event, token, seconds);
        }
    }
    on_one_runtime(reading(cell.store().as_ref(), has_events));
}

async fn reading(store: &dyn LeaseStore, has_events: bool) {
    let all = rows(store, any()).await;
    assert_eq!(all.len(), 27);
    assert!(all.iter().all(|lease| lease.unreadable.is_empty()), "{all:?}");

    // The filter's idea of a state is the verdict's.
    for wanted in State::ALL {
        let expected: BTreeSet<&str> = all
            .iter()
            .filter(|lease| state(&lease.status, lease.alive, lease.hard_alive) == wanted)
            .map(|lease| lease.key.as_str())
            .collect();
        let filtered = keys(store, LeaseQuery { states: vec![wanted.name().into()], ..any() }).await;
        assert_eq!(filtered.iter().map(String::as_str).collect::<BTreeSet<_>>(), expected, "{wanted:?}");
    }
    let executing = keys(store, LeaseQuery { states: vec!["executing".into()], ..any() }).await;
    assert_eq!(executing.len(), 6);

    // A namespace is a prefix and no pattern.
    assert_eq!(keys(store, LeaseQuery { prefix: Some("pay:".into()), ..any() }).await, ["pay:1"]);
    assert_eq!(keys(store, LeaseQuery { prefix: Some("päy:ü'\"%".into()), ..any() }).await, ["päy:ü'\"%_"]);
    assert!(keys(store, LeaseQuery { prefix: Some("%".into()), ..any() }).await.is_empty());
    assert_eq!(keys(store, LeaseQuery { owner: Some("host-b:".into()), ..any() }).await, ["pay:1"]);
    assert_eq!(keys(store, LeaseQuery { owner: Some("host-b".into()), ..any() }).await.len(), 2);
    assert_eq!(keys(store, LeaseQuery { expired: true, ..any() }).await.len(), 14);
    let alive: Vec<&str> =
        all.iter().filter(|lease| lease.alive == Some(true)).map(|lease| lease.key.as_str()).collect();
    assert_eq!(keys(store, LeaseQuery { alive: true, ..any() }).await, alive);

    // What somebody begins to type.
    for prefix in ["", "pay", "pay:", "p", "päy:ü'", "zzz", "%"] {
        let begun = |key: &&str| key.starts_with(prefix);
        let expected: BTreeSet<&str> = all.iter().map(|lease| lease.key.as_str()).filter(begun).collect();
        let offered = store.complete(Typed::Key, prefix, 50).await.unwrap();
        assert_eq!(offered.iter().map(String::as_str).collect::<BTreeSet<_>>(), expected, "{prefix:?}");
        let expected: BTreeSet<&str> = expected.into_iter().filter_map(namespace).collect();
        let offered = store.complete(Typed::Namespace, prefix, 50).await.unwrap();
        assert_eq!(offered.iter().map(String::as_str).collect::<BTreeSet<_>>(), expected, "{prefix:?}");
    }
    assert_eq!(store.complete(Typed::Key, "", 3).await.unwrap().len(), 3);
    assert_eq!(store.complete(Typed::Namespace, "", 1).await.unwrap().len(), 1);

    let hour = Duration::from_secs(3600);
    assert_eq!(keys(store, LeaseQuery { older_than: Some(hour), ..any() }).await, ["pay:1"]);
    assert_eq!(keys(store, LeaseQuery { until: Some(When::Ago(hour)), ..any() }).await, ["pay:1"]);
    assert_eq!(keys(store, LeaseQuery { since: Some(When::Ago(hour)), ..any() }).await.len(), 26);
    let now = store.look("pay:1", 0).await.unwrap().now;
    assert_eq!(keys(store, LeaseQuery { since: Some(When::At(now.minus(hour))), ..any() }).await.len(), 26);
    assert_eq!(keys(store, LeaseQuery { until: Some(When::At(now.minus(hour))), ..any() }).await, ["pay:1"]);

    // Orders and limits.
    let top = |order, descending| LeaseQuery { order, descending, limit: Some(1), ..any() };
    assert_eq!(keys(store, top(Order::Token, true)).await, ["payments:2"]);
    assert_eq!(keys(store, top(Order::Token, false)).await, ["päy:ü'\"%_"]);
    assert_eq!(keys(store, top(Order::Updated, false)).await, ["pay:1"]);
    let by_expiry = rows(store, LeaseQuery { order: Order::Expires, descending: true, ..any() }).await;
    assert!(by_expiry.is_sorted_by_key(|lease| std::cmp::Reverse(lease.lease_expires_at)));
    assert_eq!(rows(store, LeaseQuery { order: Order::Stored, ..any() }).await.len(), 27);
    assert!(
        rows(store, LeaseQuery { payloads: false, ..any() }).await.iter().all(|lease| lease.execution_result.is_none())
    );

    // One lease with its history.
    let look = store.look("pay:1", 2).await.unwrap();
    let lease = look.lease.unwrap();
    assert_eq!(
        (lease.fencing_token, lease.execution_result.as_deref(), lease.alive),
        (Some(77), Some("null"), Some(false))
    );
    let moved = look.now.micros_since(lease.lease_updated_at.unwrap()) - 7_200_000_000;
    assert!((0..600_000_000).contains(&moved), "off by {moved} µs");
    let names = |events: &[sen_core::systems::sentinel::record::LeaseEvent]| {
        events.iter().map(|event| event.event.clone()).collect::<Vec<_>>()
    };
    if has_events {
        assert_eq!(names(&look.events.unwrap().rows), ["rejected", "completed"]);
        assert_eq!(
            names(&store.events("pay:1", None).await.unwrap().rows),
            ["acquired", "executing", "rejected", "completed"]
        );
        let since = store.events_since("pay:1", Some(now.minus(hour))).await.unwrap();
        assert_eq!(names(&since.rows), ["rejected", "completed"]);
        assert!(store.events("nobody", None).await.unwrap().rows.is_empty());
    } else {
        assert!(look.events.is_none());
        assert_eq!(store.events("pay:1", None).await.unwrap_err().kind(), ErrorKind::NoSystem);
    }
    assert!(store.look("nobody", 5).await.unwrap().lease.is_none());

    // Neighbours and candidates.
    let near = store.probe_keys("payments:3", &["pay:1".into(), "no".into()]).await.unwrap();
    assert!(near.contains(&"pay:1".into()) && near.contains(&"payments:2".into()), "{near:?}");

    // Names with and without a namespace.
    let wanted: Vec<String> = ["1", "2", "pay:1", "pay:2", "nothing"].map(str::to_owned).into();
    let named = store.named(&wanted, false).await.unwrap();
    assert!(named.contains(&"pay:1".into()) && named.contains(&"payments:2".into()), "{named:?}");
    let mut completed = Vec::new();
    for key in named {
        let lease = store.look(&key, 0).await.unwrap().lease.unwrap();
        completed.extend((lease.status == Status::Completed).then_some(key));
    }
    assert!(!completed.is_empty());
    assert_eq!(store.named(&wanted, true).await.unwrap(), completed);

    // Whether earlier results are objects: those of `pay:` are null.
    for (prefix, objects) in [("combo:", Some(true)), ("päy:", Some(true)), ("pay:", None), ("nothing:", None)] {
        assert_eq!(store.storable("1", prefix).await.unwrap(), objects, "{prefix}");
    }

    // The census counts everything once.
    let census = store.census().await.unwrap();
    assert_eq!(census.groups.iter().map(|group| group.count).sum::<i64>(), 27);
    assert_eq!(census.shape.has_events(), has_events);
    assert_eq!(census.last_event.is_some(), has_events);
}

#[test]
fn sqlite_keeps_the_contract() {
    contract(&OnSqlite::new(), true);
}

#[test]
fn postgres_keeps_the_contract_on_tables_of_init() {
    let cell = OnPostgres(Server::shared().fresh_database());
    let store = cell.store();
    let (first, again) =
        on_one_runtime(async { (store.init(&permit()).await.unwrap(), store.init(&permit()).await.unwrap()) });
    assert!(first.iter().all(|item| item.outcome == Outcome::Applied), "{first:?}");
    assert!(again.iter().all(|item| item.outcome == Outcome::AlreadyDone), "{again:?}");
    contract(&cell, true);
}

/// The leases of 0.4.2: plain TIMESTAMP, no events (`schema.py` of 0.4.2, column for column).
pub(crate) const V042: &str = "CREATE SEQUENCE sentinel_token_seq;
    CREATE TABLE sentinel_leases (key TEXT PRIMARY KEY, owner_id TEXT NOT NULL, lease_expires_at TIMESTAMP NOT NULL,
        lease_updated_at TIMESTAMP, hard_expires_at TIMESTAMP, execution_result JSONB, status TEXT NOT NULL DEFAULT 'claimed',
        fencing_token BIGINT NOT NULL DEFAULT 1, ttl_ms INTEGER NOT NULL DEFAULT 3000);
    CREATE INDEX idx_sentinel_expiry ON sentinel_leases (lease_expires_at)";

/// The tables of 0.5.0's Django migrations: no CHECK, events without `metadata`.
pub(crate) const V050_DJANGO: &str = "CREATE SEQUENCE sentinel_token_seq;
    CREATE TABLE sentinel_leases (key text PRIMARY KEY, owner_id text NOT NULL, lease_expires_at timestamptz NOT NULL,
        lease_updated_at timestamptz, hard_expires_at timestamptz, execution_result jsonb,
        status varchar(32) NOT NULL DEFAULT 'claimed', fencing_token bigint NOT NULL, ttl_ms integer NOT NULL DEFAULT 3000);
    CREATE TABLE sentinel_events (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, key text NOT NULL,
        event varchar(32) NOT NULL, occurred_at timestamptz NOT NULL DEFAULT now(), fencing_token bigint, owner_id text)";

#[test]
fn postgres_keeps_the_contract_on_plain_timestamps_far_from_utc() {
    let cell = OnPostgres(Server::shared().fresh_database_with(&["timezone = 'Asia/Kathmandu'"]));
    cell.0.psql(V042);
    contract(&cell, false);
}

#[test]
fn leases_of_0_1_3_are_read_although_columns_are_missing() {
    let cell = OnPostgres(Server::shared().fresh_database());
    cell.0.psql(
        "CREATE TABLE sentinel_leases (key TEXT PRIMARY KEY, owner_id TEXT NOT NULL, lease_expires_at TIMESTAMP NOT NULL,
            lease_updated_at TIMESTAMP, response JSONB, response_code INTEGER, status TEXT NOT NULL DEFAULT 'claimed',
            fencing_token BIGINT NOT NULL DEFAULT 1);
         INSERT INTO sentinel_leases VALUES ('k', 'o', now() - interval '1 minute', now(), '{\"ok\": true}', 200, 'completed', 4),
            ('u', 'o', now() - interval '1 minute', now(), NULL, NULL, 'executing', 5)",
    );
    let store = cell.store();
    on_one_runtime(async {
        let lease = store.look("k", 1).await.unwrap().lease.unwrap();
        assert_eq!(
            (lease.execution_result.as_deref(), lease.ttl_ms, lease.hard_expires_at),
            (Some("{\"ok\": true}"), None, None)
        );
        let uncertain = keys(store.as_ref(), LeaseQuery { states: vec!["uncertain".into()], ..any() }).await;
        assert_eq!(uncertain, ["u"]);
        let verb = Verb::TakeOver { before_hard_limit: false };
        let act = LeaseAct { key: "u".into(), verb, token: 5, updated: None, note: "{}".into() };
        assert_eq!(store.act(&act, &permit()).await.unwrap_err().kind(), ErrorKind::Refused);
        let census = store.census().await.unwrap();
        assert!(census.shape.version().starts_with("0.1.x") && !census.shape.fully_served());
    });
}

#[test]
fn infinite_times_foreign_statuses_and_nulls_are_shown_and_never_fatal() {
    let cell = OnPostgres(Server::shared().fresh_database());
    cell.0.psql(V042);
    cell.0.psql(
        "ALTER TABLE sentinel_leases ALTER COLUMN owner_id DROP NOT NULL, ALTER COLUMN fencing_token DROP NOT NULL,
            ALTER COLUMN lease_expires_at DROP NOT NULL, ALTER COLUMN status DROP NOT NULL;
         INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, status, fencing_token) VALUES
            ('inf', 'o', 'infinity', 'executing', 1), ('odd', 'o', now(), 'paused', 1), ('null', NULL, NULL, NULL, NULL)",
    );
    let store = cell.store();
    on_one_runtime(async {
        let all = rows(store.as_ref(), any()).await;
        let states: Vec<State> = all.iter().map(|lease| state(&lease.status, lease.alive, lease.hard_alive)).collect();
        assert_eq!(states, [State::Alive, State::Unreadable, State::Unreadable]);
        assert_eq!(all[0].lease_expires_at.unwrap().to_string(), "infinity");
    });
}

#[test]
fn a_reader_is_refused_by_the_server_when_it_would_write() {
    let cell = OnPostgres(Server::shared().fresh_database());
    cell.0.psql(&format!(
        "{V042}; ALTER TABLE sentinel_leases RENAME TO hidden;
         CREATE FUNCTION sneaky() RETURNS timestamp LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO hidden (key, owner_id, lease_expires_at) VALUES ('x', 'o', now()); RETURN now(); END $$;
         CREATE VIEW sentinel_leases AS SELECT key, owner_id, sneaky() AS lease_expires_at, lease_updated_at, status,
            fencing_token FROM hidden;
         INSERT INTO hidden (key, owner_id, lease_expires_at) VALUES ('k', 'o', now())"
    ));
    let error = on_one_runtime(cell.store().look("k", 1)).unwrap_err();
    assert_eq!((error.kind(), error.sqlstate()), (ErrorKind::Refused, Some("25006")), "{error} {:?}", error.causes());
    assert_eq!(cell.0.psql("SELECT count(*) FROM hidden"), "1");
}
