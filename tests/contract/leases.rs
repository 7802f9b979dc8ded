//! Leases: PostgreSQL and SQLite, in the tables that `sen init` makes.

use std::collections::BTreeMap;

use sen_core::registry::{Access, open};
use sen_core::stores::url::Target;
use sen_core::systems::sentinel::LeaseState;

use crate::harness::postgres::Server;
use crate::harness::sen::sen;
use crate::judged::{Kind, List, Status, active_agrees, grouped, names};
use crate::moment;

const HOUR: i64 = 3600;

/// A time of a row.
#[derive(Debug, Clone, Copy)]
enum Time {
    Null,
    /// Seconds from now.
    In(i64),
    /// SQL that only this store takes.
    Odd(&'static str),
}
use Time::{In, Null, Odd};

/// The stored status (none: NULL), lease and hard limit, and what the row is.
type Row = (Option<&'static str>, Time, Time, &'static str);

const ROWS: &[Row] = &[
    (Some("claimed"), In(HOUR), In(2 * HOUR), "held"),
    (Some("claimed"), In(HOUR), Null, "held"),
    (Some("claimed"), In(-1), In(HOUR), "free"),
    (Some("claimed"), In(-HOUR), Null, "free"),
    (Some("claimed"), Null, In(HOUR), "unreadable"),
    (Some("executing"), In(HOUR), In(2 * HOUR), "alive"),
    (Some("executing"), In(HOUR), In(-HOUR), "alive"),
    (Some("executing"), In(HOUR), Null, "alive"),
    (Some("executing"), In(-1), In(HOUR), "stalled"),
    (Some("executing"), In(-HOUR), In(-1), "uncertain"),
    (Some("executing"), In(-HOUR), Null, "uncertain"),
    (Some("executing"), Null, In(HOUR), "unreadable"),
    (Some("executing"), Null, Null, "unreadable"),
    (Some("reconciling"), In(HOUR), In(HOUR), "reconciling"),
    (Some("reconciling"), In(-HOUR), Null, "reconciling"),
    (Some("reconciling"), Null, Null, "reconciling"),
    (Some("completed"), In(HOUR), In(HOUR), "completed"),
    (Some("completed"), In(-HOUR), In(-HOUR), "completed"),
    (Some("completed"), Null, Null, "completed"),
    (Some("paused"), In(HOUR), In(HOUR), "unreadable"),
    (Some("paused"), In(-HOUR), Null, "unreadable"),
    (Some(""), Null, Null, "unreadable"),
    (None, In(HOUR), In(HOUR), "unreadable"),
    (None, In(-HOUR), Null, "unreadable"),
];

/// PostgreSQL has times without end.
const POSTGRES: &[Row] = &[
    (Some("claimed"), Odd("'infinity'"), Null, "held"),
    (Some("claimed"), Odd("'-infinity'"), Null, "free"),
    (Some("executing"), Odd("'infinity'"), Odd("'-infinity'"), "alive"),
    (Some("executing"), Odd("'-infinity'"), Odd("'infinity'"), "stalled"),
    (Some("executing"), Odd("'-infinity'"), Odd("'-infinity'"), "uncertain"),
];

/// SQLite takes any value in any column.
const SQLITE: &[Row] = &[
    (Some("claimed"), Odd("'soon'"), Null, "unreadable"),
    (Some("executing"), Odd("'soon'"), In(HOUR), "unreadable"),
    (Some("executing"), Odd("1.5"), In(HOUR), "unreadable"),
    (Some("executing"), Odd("x'00'"), Null, "unreadable"),
    (Some("executing"), In(-HOUR), Odd("'soon'"), "uncertain"),
    (Some("completed"), Odd("'soon'"), Odd("'soon'"), "completed"),
];

/// The statements that put the rows in, and the state of each key. `time` is a moment so many seconds from now.
fn plant(rows: &[&[Row]], time: impl Fn(i64) -> String) -> (String, BTreeMap<String, String>) {
    let mut sql = String::new();
    let mut expected = BTreeMap::new();
    for (at, (status, lease, hard, state)) in rows.concat().into_iter().enumerate() {
        let text = |of: Time| match of {
            Null => "NULL".to_owned(),
            In(seconds) => time(seconds),
            Odd(text) => text.to_owned(),
        };
        let key = format!("k:{at:02}-{state}");
        let status = status.map_or_else(|| "NULL".to_owned(), |status| format!("'{status}'"));
        sql += &format!(
            "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, lease_updated_at, hard_expires_at, status, fencing_token, ttl_ms)
            VALUES ('{key}', 'web-1:42-7', {}, {}, {}, {status}, {at}, 60000);\n",
            text(lease),
            time(-2 * HOUR),
            text(hard),
        );
        expected.insert(key, state.to_owned());
    }
    (sql, expected)
}

/// What is to be settled before anything runs again is what the list shows as such.
fn unsettled_agrees(url: &str, list: &List) {
    let target = Target::resolve(Some(url), &|_| None).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let found = runtime.block_on(async {
        let database = open(&target, Access::Read, None).await.unwrap();
        database.leases().unwrap().unsettled(1000).await.unwrap()
    });
    let found: BTreeMap<&str, &str> = found.iter().map(|one| (&*one.key, one.state.name())).collect();
    let unsettled = list.iter().filter(|(_, row)| matches!(&*row.shown, "uncertain" | "stalled" | "reconciling"));
    assert_eq!(found, unsettled.map(|(key, row)| (&**key, &*row.shown)).collect());
}

fn agree(url: &str, expected: &BTreeMap<String, String>) {
    let kind = Kind {
        url,
        list: &["list"],
        show: &["inspect"],
        id: "key",
        stored: "status",
        states: &names::<LeaseState>(),
        never: &[],
        as_shown: &[],
        only_in_details: &[],
    };
    let list = kind.agrees(expected);
    let status = Status::of(url, "sentinel");
    assert_eq!(status.counts("counts"), grouped(list.values().map(|row| &*row.shown)));
    status.attention_agrees(url);
    active_agrees(url, "sentinel", &list, |row| matches!(&*row.shown, "held" | "alive"));
    unsettled_agrees(url, &list);
}

#[test]
fn leases_in_postgresql() {
    let database = Server::shared().fresh_database();
    sen(["init"]).database(&database.url()).run().expect_code(0);
    // Rows that no released version writes, so that what cannot be judged occurs, too.
    database.psql(
        "ALTER TABLE sentinel_leases DROP CONSTRAINT sentinel_leases_status_check, ALTER status DROP NOT NULL,
            ALTER lease_expires_at DROP NOT NULL",
    );
    let (sql, expected) =
        plant(&[ROWS, POSTGRES], |seconds| format!("'{}'", moment(seconds, "%Y-%m-%dT%H:%M:%S%.6fZ")));
    database.psql(&sql);
    agree(&database.url(), &expected);
    // Tables of the oldest versions have no hard limit at all.
    database.psql("ALTER TABLE sentinel_leases DROP hard_expires_at, DROP ttl_ms");
    let without = |state: String| if state == "stalled" { "uncertain".to_owned() } else { state };
    let kind = Kind {
        url: &database.url(),
        list: &["list"],
        show: &["inspect"],
        id: "key",
        stored: "status",
        states: &names::<LeaseState>(),
        never: &["stalled"],
        as_shown: &[],
        only_in_details: &[],
    };
    kind.agrees(&expected.into_iter().map(|(key, state)| (key, without(state))).collect());
}

#[test]
fn leases_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("leases.db");
    let url = format!("sqlite:{}", file.display());
    sen(["init"]).database(&url).run().expect_code(0);
    let (sql, expected) = plant(&[ROWS, SQLITE], |seconds| moment(seconds, "%s000000"));
    {
        let db = rusqlite::Connection::open(&file).unwrap();
        let made: String =
            db.query_row("SELECT sql FROM sqlite_schema WHERE name = 'sentinel_leases'", [], |row| row.get(0)).unwrap();
        // SQLite drops no constraints: the table is made again without them.
        db.execute_batch(&format!("DROP TABLE sentinel_leases; {}", made.replace(" NOT NULL", ""))).unwrap();
        db.execute_batch("PRAGMA ignore_check_constraints = ON").unwrap();
        db.execute_batch(&sql).unwrap();
    }
    agree(&url, &expected);
}
