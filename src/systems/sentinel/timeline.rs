//! What happened to a lease: its events, and what its row says of itself. Pure.

use super::port::Look;
use super::record::{Lease, LeaseEvent, NAME, Status};
use sen_model::subject::{Kind, Subject};
use sen_model::time::Timestamp;
use sen_model::timeline::{OperatorAct, TimeBasis, TimelineEntry};

/// The entries of a key. Its events outlive its lease.
pub(super) fn entries(key: &str, look: &Look) -> Vec<TimelineEntry> {
    let subject = Subject::new(NAME, Kind::Lease, key);
    let events = look.events.as_ref().map_or(&[][..], |events| &events.rows);
    let mut entries: Vec<TimelineEntry> = events.iter().map(|event| told(event, &subject)).collect();
    if let Some(lease) = &look.lease {
        entries.extend(of_row(lease, events, look.now, &subject));
    }
    entries.retain(|entry| entry.at.is_finite());
    entries
}

fn of_row(lease: &Lease, events: &[LeaseEvent], now: Timestamp, subject: &Subject) -> Vec<TimelineEntry> {
    let mut entries = Vec::new();
    let at = |at: Timestamp, what: &str| TimelineEntry::new(at, TimeBasis::Database, subject, what);
    let newest = events.last().map(|event| event.occurred_at);
    // Heartbeats leave no event, and tables before 0.5.0 keep none at all.
    if let Some(updated) = lease.lease_updated_at.filter(|updated| Some(*updated) > newest) {
        let what =
            if lease.status == Status::Executing { "last heartbeat or change" } else { "last change of its row" };
        entries.push(at(updated, what).state(lease.status.as_str()).who(lease.owner_id.as_deref()));
    }
    entries.extend(ended(lease, now).map(|(moment, what)| at(moment, what).who(lease.owner_id.as_deref())));
    entries
}

/// When its lease and its hard limit ended, where that is past and means something: a completed lease needs none.
fn ended(lease: &Lease, now: Timestamp) -> impl Iterator<Item = (Timestamp, &'static str)> {
    let open = matches!(lease.status, Status::Claimed | Status::Executing);
    let ends = [
        (lease.lease_expires_at.filter(|_| lease.alive == Some(false)), "lease expired"),
        (lease.hard_expires_at.filter(|_| lease.hard_alive == Some(false)), "hard limit reached"),
    ];
    let past = move |at: Option<Timestamp>| at.filter(|at| open && *at <= now);
    ends.into_iter().filter_map(move |(at, what)| Some((past(at)?, what)))
}

fn told(event: &LeaseEvent, subject: &Subject) -> TimelineEntry {
    let what = match event.event.as_str() {
        // The row's owner is the holder, not the caller that was turned away.
        "rejected" => "another claim rejected".to_owned(),
        name => format!("lease {}", name.replace('_', " ")),
    };
    let note: Option<serde_json::Value> = event.metadata.as_deref().and_then(|note| serde_json::from_str(note).ok());
    let act = note.as_ref().and_then(OperatorAct::of);
    let named = note.as_ref().and_then(|note| note.get("act")?.as_str());
    let what = match (&act, named) {
        (Some(_), Some(named)) => format!("{} by an operator", done(named)),
        _ => what,
    };
    let text = |name: &str| note.as_ref().and_then(|note| note.get(name)?.as_str());
    let entry = TimelineEntry::new(event.occurred_at, TimeBasis::Database, subject, what)
        .state(&event.event)
        .who(event.owner_id.as_deref().filter(|_| event.event != "rejected"))
        .error(text("error").or_else(|| text("reason")));
    match act {
        Some(act) => entry.act(act),
        None => entry,
    }
}

fn done(act: &str) -> String {
    match act {
        "take_over" => "taken over".into(),
        "complete" => "completed".into(),
        "reset" => "reset".into(),
        "release" => "released".into(),
        "forget" => "forgotten".into(),
        "undo" => "put back".into(),
        other => other.replace('_', " "),
    }
}
