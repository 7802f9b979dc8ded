//! Values as SQLite stores them: of any type in any column.

use rusqlite::Row;
use rusqlite::types::ValueRef;

use crate::message::{Mailbox, Message, MessageStatus};
use crate::record::{Awaiting, Entry, Saga, Status, uuid};
use sen_model::time::{Timestamp, When};

/// Reads the columns of one row.
pub(super) struct Cells<'row> {
    row: &'row Row<'row>,
}

impl<'row> Cells<'row> {
    pub(super) fn new(row: &'row Row<'row>) -> Self {
        Self { row }
    }

    pub(super) fn text(&mut self, at: usize) -> Option<String> {
        match self.row.get_ref(at).ok()? {
            ValueRef::Null => None,
            ValueRef::Integer(number) => Some(number.to_string()),
            ValueRef::Real(number) => Some(number.to_string()),
            ValueRef::Text(raw) | ValueRef::Blob(raw) => Some(String::from_utf8_lossy(raw).into_owned()),
        }
    }

    pub(super) fn int(&mut self, at: usize) -> Option<i64> {
        match self.row.get_ref(at).ok()? {
            ValueRef::Integer(number) => Some(number),
            _ => self.text(at)?.parse().ok(),
        }
    }

    pub(super) fn time(&mut self, at: usize) -> Option<Timestamp> {
        moment(&self.text(at)?)
    }

    /// A UUID as people write it.
    pub(super) fn uuid(&mut self, at: usize) -> Option<String> {
        let text = self.text(at)?;
        Some(uuid(&text).unwrap_or(text))
    }

    /// JSON; Python's None in a JSON column is the JSON null.
    fn json(&mut self, at: usize) -> Option<String> {
        self.text(at).filter(|text| text != "null")
    }
}

/// `2026-11-25 17:04:17.936232`, which is UTC without saying so.
pub(super) fn moment(text: &str) -> Option<Timestamp> {
    let (date, time) = text.trim().split_once([' ', 'T'])?;
    let zoned = if time.contains(['Z', '+']) { format!("{date}T{time}") } else { format!("{date}T{time}Z") };
    match When::parse(&zoned) {
        Ok(When::At(moment)) => Some(moment),
        _ => None,
    }
}

/// A UUID as SQLAlchemy stores it.
pub(super) fn hex(id: &str) -> String {
    id.chars().filter(|c| *c != '-').collect()
}

/// A UUID in the form of another stored one.
pub(super) fn like(id: &str, stored: &str) -> String {
    if stored.contains('-') { id.to_owned() } else { hex(id) }
}

/// A saga, its id as it is stored, and the steps that stand in the row itself.
pub(super) fn saga(row: &Row<'_>, shown: &str, now: Timestamp) -> (Saga, String, Option<String>) {
    let mut cells = Cells::new(row);
    let stored = cells.text(0).unwrap_or_default();
    let context = cells.text(11);
    let json: Option<serde_json::Value> = context.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let status = Status::parse(&cells.text(3).unwrap_or_default());
    let suspended = matches!(status, Status::Suspended | Status::CompensatingSuspended);
    let named = || json.as_ref()?.get("saga_name")?.as_str().map(str::to_owned);
    let deadline = cells.time(6);
    let updated = cells.time(10);
    let saga = Saga {
        table: shown.to_owned(),
        id: uuid(&stored).unwrap_or_else(|| stored.clone()),
        aggregation: cells.text(1).unwrap_or_default(),
        trace: cells.text(2).unwrap_or_default(),
        name: cells.text(12).or_else(named),
        status,
        step: cells.int(4).unwrap_or_default(),
        token: cells.uuid(5),
        deadline,
        retries: cells.int(7).unwrap_or_default(),
        error: cells.text(8),
        created: cells.time(9),
        updated,
        due: deadline.map(|deadline| deadline <= now),
        idle: updated.map_or(0, |updated| now.micros_since(updated)),
        over: deadline.map(|deadline| now.micros_since(deadline)),
        handed: deadline.is_some() && deadline == updated,
        later: None,
        awaiting: json.as_ref().filter(|_| suspended).and_then(Awaiting::of),
        compensated: None,
        unreadable: if json.is_none() { vec!["column context is no JSON".into()] } else { Vec::new() },
        context,
    };
    (saga, stored, cells.text(13))
}

/// A recorded step.
pub(super) fn entry(row: &Row<'_>) -> Entry {
    let mut cells = Cells::new(row);
    Entry {
        at: cells.time(0),
        phase: cells.text(1).unwrap_or_default(),
        status: cells.text(2).unwrap_or_default(),
        step_id: cells.text(3).unwrap_or_default(),
        step_name: cells.text(4).unwrap_or_default(),
        attempt: cells.int(5).unwrap_or_default(),
        token: cells.uuid(6),
        input: cells.json(7),
        output: cells.json(8),
        error: cells.text(9),
        skipped: cells.int(10) == Some(1),
    }
}

/// A message. CURRENT_TIMESTAMP counts whole seconds, so what a guard names is more than the last change.
pub(super) fn message(row: &Row<'_>, kind: Mailbox, shown: &str, now: Timestamp) -> Message {
    let mut cells = Cells::new(row);
    let (updated, next) = (cells.time(13), cells.time(9));
    Message {
        kind,
        table: shown.to_owned(),
        id: cells.uuid(0).unwrap_or_default(),
        event: cells.text(1),
        saga: cells.uuid(2),
        aggregation: cells.text(3),
        step: cells.text(4),
        topic: cells.text(5),
        key: cells.text(6),
        status: MessageStatus::parse(cells.text(7).unwrap_or_default()),
        attempts: cells.int(8).unwrap_or_default(),
        next,
        error: cells.text(10),
        done: cells.time(11),
        created: cells.time(12),
        updated,
        seen: cells.text(14).unwrap_or_default(),
        idle: updated.map_or(0, |updated| now.micros_since(updated)),
        over: next.filter(|next| next.is_finite()).map(|next| now.micros_since(next)),
        payload: cells.text(15),
        saga_status: cells.text(16).as_deref().map(Status::parse),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_with_or_without_a_fraction() {
        let at = |text| moment(text).unwrap().to_string();
        assert_eq!(at("2026-11-25 17:04:17.936232"), "2026-11-25T17:04:17.936232Z");
        assert_eq!(at("2026-11-25 17:04:17"), "2026-11-25T17:04:17.000000Z");
        assert!(moment("soon").is_none());
    }

    #[test]
    fn ids_keep_the_form_that_stands_there() {
        let id = "73277b4b-da5d-49ab-b7d1-76bbaee5575a";
        assert_eq!(like(id, "73277b4bda5d49abb7d176bbaee5575a"), "73277b4bda5d49abb7d176bbaee5575a");
        assert_eq!(like(id, id), id);
    }
}
