//! Answers as values.

use tokio_postgres::Row;

use crate::port::{Census, EVENTS, Group};
use crate::record::{Lease, LeaseEvent, Status};
use crate::shape::Shape;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::time::Timestamp;
use sen_stores::catalogue::Catalogue;
use sen_stores::postgres::decode::Cells;
use sen_stores::sql::Sql;

/// The moment of the snapshot, read by [`clock`].
pub(super) static CLOCK: Sql = Sql::new("SELECT now()");

/// A lease, in the order of `sql.rs`.
pub(crate) fn lease(row: &Row) -> Lease {
    let mut cells = Cells::new(row);
    Lease {
        key: cells.text(0).unwrap_or_default(),
        owner_id: cells.text(1),
        status: Status::parse(&cells.text(2).unwrap_or_default()),
        fencing_token: cells.int(3),
        lease_expires_at: cells.time(4),
        lease_updated_at: cells.time(5),
        hard_expires_at: cells.time(6),
        alive: cells.flag(7),
        hard_alive: cells.flag(8),
        ttl_ms: cells.int(9),
        execution_result: cells.json(10),
        unreadable: cells.unreadable,
    }
}

pub(super) fn event(row: &Row) -> LeaseEvent {
    let mut cells = Cells::new(row);
    LeaseEvent {
        id: cells.int(0).unwrap_or_default(),
        key: cells.text(1).unwrap_or_default(),
        event: cells.text(2).unwrap_or_default(),
        occurred_at: cells.time(3).unwrap_or(Timestamp::NEG_INFINITY),
        fencing_token: cells.int(4),
        owner_id: cells.text(5),
        metadata: cells.text(6),
    }
}

pub(super) fn in_time_order(rows: &[Row]) -> Vec<LeaseEvent> {
    rows.iter().rev().map(event).collect()
}

pub(super) fn clock(rows: &[Row]) -> Timestamp {
    rows.first().and_then(|row| Cells::new(row).time(0)).unwrap_or(Timestamp::NEG_INFINITY)
}

/// As many answers as there were questions.
pub(super) fn each<const N: usize, T>(answers: Vec<Result<T>>) -> [Result<T>; N] {
    let mut answers = answers.into_iter();
    let missing = || Err(Error::new(ErrorKind::Internal, "an answer is missing"));
    std::array::from_fn(|_| answers.next().unwrap_or_else(missing))
}

/// What was counted, with what the server says of itself and the columns, which tell the version.
pub(super) fn census(catalogue: &Catalogue, server: &[Row], groups: &[Row], last_event: Option<Timestamp>) -> Census {
    let mut facts = Vec::new();
    let mut now = Timestamp::NEG_INFINITY;
    if let Some(row) = server.first() {
        let mut cells = Cells::new(row);
        now = cells.time(0).unwrap_or(now);
        let mut text = |at| cells.text(at).unwrap_or_default();
        facts = vec![("server", format!("PostgreSQL {}", text(1))), ("server_time_zone", text(2))];
        if cells.flag(3) == Some(true) {
            facts.push(("standby", "yes: reading only".into()));
        }
    }
    let shape = Shape::of(catalogue);
    let events = catalogue.named(EVENTS).and_then(|events| events.rows);
    let groups = groups
        .iter()
        .map(|row| {
            let mut cells = Cells::new(row);
            Group {
                status: cells.text(0).unwrap_or_default(),
                alive: cells.flag(1),
                hard_alive: cells.flag(2),
                count: cells.int(3).unwrap_or_default(),
                oldest: cells.time(4),
                newest: cells.time(5),
                ahead: cells.int(6).unwrap_or_default(),
                no_heartbeat: cells.flag(7) == Some(true),
                behind: cells.int(8).unwrap_or_default(),
                behind_key: cells.text(9),
            }
        })
        .collect();
    Census { now, shape, groups, events, last_event, facts }
}
