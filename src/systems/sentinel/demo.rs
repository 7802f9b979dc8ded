//! A believable incident for `sen demo`: a payment service some minutes after its provider went away. Written straight
//! into the embedded SQLite form; times are relative to the moment of making.

use rusqlite::{Transaction, params};

use sen_model::error::Result;
use sen_stores::sqlite::{Sqlite, error_from};

/// The key the demo points at first.
pub const UNCERTAIN_KEY: &str = "payments:order-7731";

/// SQLite's `application_id` of a demo file ("send"), so that no other file is ever overwritten.
const APPLICATION_ID: i32 = 0x7365_6e64;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// Whether a file was made by `sen demo`.
///
/// # Errors
/// What SQLite reports.
pub async fn is_demo(db: &Sqlite) -> Result<bool> {
    db.run(|db| {
        db.query_row("PRAGMA application_id", [], |row| row.get::<_, i32>(0))
            .map(|id| id == APPLICATION_ID)
            .map_err(error_from)
    })
    .await
}

/// One lease of the story. Spans are microseconds, relative to now; negative is past.
struct Tale {
    key: &'static str,
    owner: &'static str,
    status: &'static str,
    began: i64,
    updated: i64,
    expires: i64,
    hard: i64,
    ttl_ms: i64,
    result: Option<&'static str>,
    events: &'static [(&'static str, i64)],
    note: Option<&'static str>,
}

const WEB1: &str = "pay-web-1:2114-140217";
const WEB2: &str = "pay-web-2:1987-139954";
const BATCH: &str = "batch-1:877-139640";

const TALES: &[Tale] = &[
    Tale {
        key: UNCERTAIN_KEY,
        owner: WEB2,
        status: "executing",
        began: -19 * MINUTE,
        updated: -18 * MINUTE,
        expires: -17 * MINUTE - 30 * SECOND,
        hard: -14 * MINUTE,
        ttl_ms: 30_000,
        result: None,
        events: &[("acquired", 0), ("executing", 12_000), ("rejected", 6 * MINUTE), ("rejected", 9 * MINUTE)],
        note: None,
    },
    Tale {
        key: "payments:order-7735",
        owner: WEB2,
        status: "executing",
        began: -18 * MINUTE - 40 * SECOND,
        updated: -18 * MINUTE,
        expires: -17 * MINUTE - 31 * SECOND,
        hard: -13 * MINUTE - 40 * SECOND,
        ttl_ms: 30_000,
        result: None,
        events: &[("acquired", 0), ("executing", 9_000)],
        note: None,
    },
    Tale {
        key: "payments:order-7736",
        owner: WEB1,
        status: "executing",
        began: -16 * MINUTE,
        updated: -15 * MINUTE - 58 * SECOND,
        expires: -15 * MINUTE - 58 * SECOND,
        hard: -15 * MINUTE - 58 * SECOND,
        ttl_ms: 30_000,
        result: None,
        events: &[("acquired", 0), ("executing", 10_000), ("expired", 2 * SECOND), ("rejected", 3 * MINUTE)],
        note: None,
    },
    Tale {
        key: "payments:order-7729",
        owner: WEB2,
        status: "reconciling",
        began: -25 * MINUTE,
        updated: -4 * MINUTE,
        expires: -23 * MINUTE,
        hard: -20 * MINUTE,
        ttl_ms: 30_000,
        result: None,
        events: &[("acquired", 0), ("executing", 11_000), ("reconciling", 21 * MINUTE)],
        note: Some(
            r#"{"who":"maria@ops-3","why":"INC-482: asking the provider","operation":"7f3c9a1e-52fd-4d0e-b5d3-0f8a4c11d9ab","act":"take_over"}"#,
        ),
    },
    Tale {
        key: "reports:daily-settlement",
        owner: BATCH,
        status: "executing",
        began: -22 * MINUTE,
        // The beginning of the work is what changed it last: an async client sends no heartbeats.
        updated: -22 * MINUTE + 15_000,
        expires: -21 * MINUTE,
        hard: 11 * HOUR,
        ttl_ms: 60_000,
        result: None,
        events: &[("acquired", 0), ("executing", 15_000)],
        note: None,
    },
    Tale {
        key: "reports:export-2026-q3",
        owner: BATCH,
        status: "executing",
        began: -3 * HOUR,
        updated: -2 * MINUTE,
        expires: 6 * HOUR,
        hard: 12 * HOUR,
        ttl_ms: 21_600_000,
        result: None,
        events: &[("acquired", 0), ("executing", 14_000)],
        note: None,
    },
    Tale {
        key: "webhooks:evt_1Qm8c2",
        owner: WEB1,
        status: "claimed",
        began: -10 * SECOND,
        updated: -10 * SECOND,
        expires: 2 * HOUR,
        hard: 4 * HOUR,
        ttl_ms: 7_200_000,
        result: None,
        events: &[("acquired", 0)],
        note: None,
    },
    Tale {
        key: "webhooks:evt_1Qm7aa",
        owner: WEB1,
        status: "claimed",
        began: -40 * MINUTE,
        updated: -9 * MINUTE,
        expires: -39 * MINUTE,
        hard: -38 * MINUTE,
        ttl_ms: 30_000,
        result: None,
        events: &[("acquired", 0), ("executing", 8_000), ("reconciling", 20 * MINUTE), ("reset", 31 * MINUTE)],
        note: None,
    },
    Tale {
        key: "payments:order-7718",
        owner: WEB1,
        status: "completed",
        began: -55 * MINUTE,
        updated: -31 * MINUTE,
        expires: -54 * MINUTE,
        hard: -50 * MINUTE,
        ttl_ms: 30_000,
        result: Some(r#"{"charge": "ch_7718", "amount": 42.5, "currency": "EUR", "settled_by": "operator"}"#),
        events: &[("acquired", 0), ("executing", 9_000), ("reconciling", 20 * MINUTE), ("completed", 24 * MINUTE)],
        note: None,
    },
];

const SETTLED: &[(&str, &str, i64, &str)] = &[
    ("payments:order-7701", WEB1, 95, r#"{"charge": "ch_7701", "amount": 42.5, "currency": "EUR"}"#),
    ("payments:order-7702", WEB2, 93, r#"{"charge": "ch_7702", "amount": 42.5, "currency": "EUR"}"#),
    ("payments:order-7705", WEB1, 88, r#"{"charge": "ch_7705", "amount": 5.5, "currency": "USD"}"#),
    ("payments:order-7709", WEB2, 81, r#"{"charge": "ch_7709", "amount": 74.0, "currency": "EUR"}"#),
    ("payments:order-7712", WEB1, 74, r#"{"charge": "ch_7712", "amount": 23.5, "currency": "GBP"}"#),
    ("payments:order-7715", WEB2, 62, r#"{"charge": "ch_7715", "amount": 999.0, "currency": "EUR"}"#),
    ("webhooks:evt_1Qm5x0", WEB1, 90, r#"{"handled": true}"#),
    ("webhooks:evt_1Qm5x7", WEB2, 71, r#"{"handled": true}"#),
    ("webhooks:evt_1Qm6b3", WEB1, 52, r#"{"handled": false, "reason": "duplicate"}"#),
    ("emails:receipt-7701", BATCH, 94, "null"),
    ("emails:receipt-7702", BATCH, 92, "null"),
    ("reports:daily-settlement-2026-11-19", BATCH, 1440, r#"{"rows": 18211, "file": "s3://reports/2026-11-19.csv"}"#),
];

/// Fills empty tables with the story, in one transaction, and marks the file as a demo.
///
/// # Errors
/// What SQLite reports.
pub async fn fill(db: &Sqlite) -> Result<()> {
    db.run(|db| {
        let writing = db.transaction().map_err(error_from)?;
        tell(&writing).map_err(error_from)?;
        writing.pragma_update(None, "application_id", APPLICATION_ID).map_err(error_from)?;
        writing.commit().map_err(error_from)
    })
    .await
}

/// When, key, event, token, owner, note.
type Happening = (i64, &'static str, &'static str, i64, Option<&'static str>, Option<&'static str>);

fn tell(db: &Transaction<'_>) -> rusqlite::Result<()> {
    let now: i64 = db.query_row("SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000", [], |row| row.get(0))?;
    let mut token = 100;
    let mut events: Vec<Happening> = Vec::new();
    for (key, owner, minutes, result) in SETTLED {
        token += 1;
        let began = now - minutes * MINUTE;
        let tale = Tale {
            key,
            owner,
            status: "completed",
            began: began - now,
            updated: began - now + SECOND,
            expires: began - now + 30 * SECOND,
            hard: began - now + 5 * MINUTE,
            ttl_ms: 30_000,
            result: Some(result),
            events: &[],
            note: None,
        };
        lease(db, &tale, now, token)?;
        let steps = [("acquired", 0), ("executing", 10_000), ("completed", SECOND)];
        events.extend(steps.map(|(event, after)| (began + after, *key, event, token, Some(*owner), None)));
    }
    for tale in TALES {
        token += 1;
        for (event, after) in tale.events {
            // As 0.5.0 does, a take-over draws a new token, and operators' events name no owner and no token.
            let operator =
                matches!(*event, "reconciling" | "reset") || (*event == "completed" && tale.events.len() == 4);
            let (owner, note) = if operator { (None, tale.note) } else { (Some(tale.owner), None) };
            events.push((now + tale.began + after, tale.key, event, token, owner, note));
        }
        if tale.events.iter().any(|(event, _)| *event == "reconciling") {
            token += 1;
        }
        lease(db, tale, now, token)?;
    }
    events.sort_by_key(|(at, ..)| *at);
    let mut insert = db.prepare(
        "INSERT INTO sentinel_events (occurred_at, key, event, fencing_token, owner_id, metadata) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (at, key, event, token, owner, note) in events {
        insert.execute(params![at, key, event, owner.map(|_| token), owner, note])?;
    }
    db.execute("UPDATE sentinel_token_seq SET last_value = ?1", [token])?;
    Ok(())
}

fn lease(db: &Transaction<'_>, tale: &Tale, now: i64, token: i64) -> rusqlite::Result<usize> {
    db.execute(
        "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, lease_updated_at, hard_expires_at, execution_result,
            status, fencing_token, ttl_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            tale.key, tale.owner, now + tale.expires, now + tale.updated, now + tale.hard, tale.result, tale.status, token, tale.ttl_ms
        ],
    )
}
