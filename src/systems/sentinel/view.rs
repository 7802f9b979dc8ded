//! How Sentinel's records become the neutral columns, fields and surveys that every front end shows. Pure.

use std::time::Duration;

use super::liveness::process_here;
use super::port::{Census, Events};
use super::record::{Lease, LeaseEvent, namespace};
use super::record::{NAME, Status};
use super::shape::Zone;
use super::verdict::{State, judge, state};
use sen_model::columns;
use sen_model::record::{Event, History, Record, Section};
use sen_model::subject::{Kind, Subject};
use sen_model::summary::{Attention, Count, Counted, Statistics, Summary, per_minute};
use sen_model::time::Timestamp;
use sen_model::value::Value;
use sen_model::verdict::{NextCommand, Purpose, Severity};

fn token(token: Option<i64>) -> Value {
    token.map_or(Value::Null, Value::Big)
}

fn status(status: Status) -> Value {
    match status {
        Status::Claimed => Value::Name("claimed"),
        Status::Executing => Value::Name("executing"),
        Status::Reconciling => Value::Name("reconciling"),
        Status::Completed => Value::Name("completed"),
        Status::Other(text) => Value::Text(text),
    }
}

fn json(text: Option<String>) -> Value {
    text.map_or(Value::Null, Value::Json)
}

fn flag(flag: Option<bool>) -> Value {
    flag.map_or(Value::Null, Value::Bool)
}

columns! {
    /// The columns of a list of leases.
    pub LEASE_COLUMNS,
    /// A lease under [`LEASE_COLUMNS`].
    pub(super) fn lease_row(lease: Lease) {
        let verdict = state(&lease.status, lease.alive, lease.hard_alive);
        let namespace = Value::text(namespace(&lease.key).map(str::to_owned));
    }
    "key", "KEY", Whole => Value::Text(lease.key);
    "namespace", "NAMESPACE", Asked => namespace;
    "state", "STATE", Whole => Value::Name(verdict.name());
    "status", "STATUS", Asked => status(lease.status);
    "lease_alive", "ALIVE", Asked => flag(lease.alive);
    "owner_id", "OWNER", Short => Value::text(lease.owner_id);
    "fencing_token", "TOKEN", Whole => token(lease.fencing_token);
    "lease_expires_at", "EXPIRES", Whole => Value::time(lease.lease_expires_at);
    "lease_updated_at", "UPDATED", Wide => Value::time(lease.lease_updated_at);
    "hard_expires_at", "HARD LIMIT", Wide => Value::time(lease.hard_expires_at);
    "ttl_ms", "TTL", Wide => lease.ttl_ms.map_or(Value::Null, Value::Millis);
    "execution_result", "RESULT", Asked => json(lease.execution_result);
}

columns! {
    /// The columns of a history.
    pub EVENT_COLUMNS,
    fn event_row(event: LeaseEvent) {
        let [who, why] = event.author();
        let puts_back = event.puts_back();
    }
    "id", "ID", Asked => Value::Big(event.id);
    "key", "KEY", Asked => Value::Text(event.key);
    "at", "TIME", Moment => Value::Time(event.occurred_at);
    "event", "EVENT", Whole => Value::Text(event.event.clone());
    "meaning", "MEANING", Wide => meaning(puts_back, &event.event).map_or(Value::Null, Value::Name);
    "fencing_token", "TOKEN", Whole => token(event.fencing_token);
    "owner_id", "OWNER", Short => Value::text(event.owner_id);
    "who", "BY", Short => Value::text(who);
    "why", "WHY", Short => Value::text(why);
    "metadata", "METADATA", Wide => json(event.metadata);
}

/// What an event of the library says, in words.
fn meaning(puts_back: bool, event: &str) -> Option<&'static str> {
    Some(match event {
        _ if puts_back => "put back as it was",
        "acquired" => "claimed",
        "executing" => "the work began",
        // Its owner is the holder, not the caller.
        "rejected" => "another caller was turned away",
        "completed" => "done, the result is stored",
        "expired" => "the work ended with an error",
        "reconciling" => "taken over by an operator",
        "released" => "the claim was removed",
        "reset" => "the next caller may run it",
        _ => return None,
    })
}

fn event(event: LeaseEvent) -> Event {
    Event { id: event.id, at: event.occurred_at, row: event_row(event) }
}

/// Events as a neutral history.
pub(super) fn history(events: Events, older: bool) -> History {
    History { columns: EVENT_COLUMNS, now: events.now, older, events: events.rows.into_iter().map(event).collect() }
}

/// The eight of the original `sen inspect`, in its order.
const KEY_FIELDS: &[&str] = &[
    "status",
    "lease_alive",
    "owner_id",
    "fencing_token",
    "lease_expires_at",
    "lease_updated_at",
    "hard_expires_at",
    "execution_result",
];

/// One lease in depth. The first eight fields and their order are those of the original `sen inspect`.
pub(super) fn found(lease: Lease, events: Option<Events>, now: Timestamp, zoneless: bool) -> Record {
    let here = process_here(&lease);
    let verdict = judge(&lease, events.as_ref().map_or(&[], |events| &events.rows), now, zoneless, here);
    let namespace = Value::text(namespace(&lease.key).map(str::to_owned));
    let age = lease.age();
    let key = lease.key;
    let fields = vec![
        ("status", status(lease.status)),
        ("lease_alive", flag(lease.alive)),
        ("owner_id", Value::text(lease.owner_id)),
        ("fencing_token", token(lease.fencing_token)),
        ("lease_expires_at", Value::time(lease.lease_expires_at)),
        ("lease_updated_at", Value::time(lease.lease_updated_at)),
        ("hard_expires_at", Value::time(lease.hard_expires_at)),
        ("execution_result", json(lease.execution_result)),
        ("key", Value::Text(key.clone())),
        ("namespace", namespace),
        ("ttl_ms", lease.ttl_ms.map_or(Value::Null, Value::Millis)),
    ];
    Record {
        subject: Subject::new(NAME, Kind::Lease, key),
        now,
        fields,
        key_fields: KEY_FIELDS,
        age,
        verdict,
        history: events.map(|events| history(events, false)),
        sections: Vec::new(),
    }
}

/// A census as a neutral survey.
pub(super) fn summary(census: Census) -> Summary {
    let judged = |group: &super::port::Group| state(&Status::parse(&group.status), group.alive, group.hard_alive);
    let counts: Vec<(State, Count)> = State::ALL
        .into_iter()
        .map(|wanted| {
            let groups = || census.groups.iter().filter(|group| judged(group) == wanted);
            let count = Count {
                state: wanted.name(),
                severity: wanted.severity(),
                count: groups().map(|group| group.count).sum(),
                estimated: false,
                oldest: groups().filter_map(|group| group.oldest).min(),
            };
            (wanted, count)
        })
        .collect();
    // Async clients send no heartbeats: their expired leases say nothing before the hard limit.
    let quiet: i64 = census
        .groups
        .iter()
        .filter(|group| judged(group) == State::Stalled && group.no_heartbeat)
        .map(|group| group.count)
        .sum();
    // Only times without a zone can have been written in another.
    let zoneless = census.shape.lease_zone() == Some(Zone::Naive);
    let mut attention: Vec<Attention> = counts
        .iter()
        .filter_map(|(state, count)| {
            let quiet = if *state == State::Stalled { quiet } else { 0 };
            let told = attention(*state, &Count { count: count.count - quiet, ..count.clone() }, census.now)?;
            let suspects = || census.groups.iter().filter(|group| zoneless && judged(group) == *state);
            Some(behind(
                told,
                suspects().map(|group| group.behind).sum(),
                suspects().find_map(|group| group.behind_key.as_deref()),
            ))
        })
        .collect();
    attention.extend(ahead(&census));
    let mut facts: Vec<(&'static str, Value)> = Vec::new();
    facts.push(("schema", Value::text(census.shape.schema().map(str::to_owned))));
    let zone = census.shape.lease_zone().map(|zone| match zone {
        Zone::Aware => "with time zone",
        Zone::Naive => "without time zone: read in the database's own",
        Zone::Epoch => "microseconds since 1970",
    });
    facts.push(("lease_times", zone.map_or(Value::Null, Value::Name)));
    facts.push(("events_estimate", census.events.map_or(Value::Null, Value::Int)));
    facts.push(("last_event_at", Value::time(census.last_event)));
    facts.extend(census.facts.into_iter().map(|(name, text)| (name, Value::Text(text))));
    Summary {
        queues: None,
        unread: Vec::new(),
        estimated: false,
        system: NAME,
        version: census.shape.version(),
        writable: census.shape.fully_served(),
        now: census.now,
        counted: "leases",
        stored_states: false,
        list: &["sen", "list"],
        counts: counts.into_iter().map(|(_, count)| count).collect(),
        attention,
        facts,
        sections: Vec::new(),
        dead_letters: None,
    }
}

columns! {
    BY_STATE,
    fn by_state(count: &Count) {}
    "state", "STATE", Whole => Value::Name(count.state);
    "count", "COUNT", Whole => Value::Int(count.count);
    "oldest", "OLDEST", Whole => Value::time(count.oldest);
}

columns! {
    BY_EVENT,
    fn by_event(event: String, count: i64, window: Duration) {}
    "event", "EVENT", Whole => Value::Text(event);
    "count", "COUNT", Whole => Value::Int(count);
    "per_minute", "PER MINUTE", Whole => per_minute(count, window);
}

/// What there is, and how often what happened to it within the window.
pub(super) fn statistics(census: Census, told: Option<Vec<(String, i64)>>, window: Duration) -> Statistics {
    let Summary { now, counts, .. } = summary(census);
    let leases = counts.iter().filter(|count| count.count > 0).map(by_state).collect();
    let mut sections = vec![Section { name: "leases", heading: "leases", columns: BY_STATE, rows: leases }];
    sections.extend(told.map(|told| Section {
        name: "events",
        heading: "lease events in the window",
        columns: BY_EVENT,
        rows: told.into_iter().map(|(event, count)| by_event(event, count, window)).collect(),
    }));
    let total = Value::Int(counts.iter().map(|count| count.count).sum());
    let window = Value::Millis(i64::try_from(window.as_millis()).unwrap_or(i64::MAX));
    Statistics {
        system: NAME,
        now,
        estimated: false,
        facts: vec![("leases_total", total), ("window_ms", window)],
        sections,
    }
}

/// Leases changed in the future: a session in another zone writes such times on plain TIMESTAMP columns.
fn ahead(census: &Census) -> Option<Attention> {
    let open =
        || census.groups.iter().filter(|group| group.ahead > 0 && matches!(&*group.status, "claimed" | "executing"));
    let count: i64 = open().map(|group| group.ahead).sum();
    let newest = open().filter_map(|group| group.newest).filter(|newest| newest.is_finite()).max()?;
    let (keys, verb) = if count == 1 { ("lease", "was") } else { ("leases", "were") };
    let text = format!(
        "{count} {keys} {verb} last changed in the future (up to {} ahead): a session in another time zone writes such times, and its lease looks alive long after its worker has ended",
        sen_model::time::age(newest.micros_since(census.now))
    );
    Some(Attention::new(Severity::Critical, text, NextCommand::new(&["sen", "doctor"], "time zones and clocks")))
}

/// Names what a session behind the server's zone may have to do with it, and how to find out.
fn behind(told: Attention, count: i64, key: Option<&str>) -> Attention {
    let Some(key) = key.filter(|_| count > 0) else { return told };
    let whose = match (told.counted, count) {
        (Some(Counted { count: 1, .. }), _) => "its last change is".to_owned(),
        (_, 1) => "the last change of 1 of them is".to_owned(),
        _ => format!("the last changes of {count} of them are"),
    };
    let text = format!(
        "{}; {whose} about a whole time-zone offset old: probably a session behind the server's zone, whose worker may live",
        told.text
    );
    let look = NextCommand::new(&["sen", "inspect"], "whether its row still moves").purpose(Purpose::Observe);
    Attention { text, next: look.option("--observe", OBSERVED).id(key), ..told }
}

/// How long to look at a key whose time to live is not at hand.
const OBSERVED: &str = "20s";

fn attention(state: State, count: &Count, now: Timestamp) -> Option<Attention> {
    if count.count == 0 {
        return None;
    }
    let one = count.count == 1;
    let text = match state {
        State::Uncertain => "started, no live owner: outcome unknown",
        State::Stalled if one => "lease expired before its hard limit; the worker may be alive",
        State::Stalled => "leases expired before their hard limits; the workers may be alive",
        State::Reconciling => "taken over by an operator and not settled",
        State::Unreadable if one => "the row cannot be judged",
        State::Unreadable => "the rows cannot be judged",
        State::Free | State::Held | State::Alive | State::Completed => return None,
    };
    let age = count.oldest.filter(|oldest| oldest.is_finite());
    let age = age
        .map(|oldest| format!(", oldest {}", sen_model::time::coarse_age(now.micros_since(oldest))))
        .unwrap_or_default();
    let keys = if one { "key" } else { "keys" };
    let text = format!("{} {keys} {}: {text}{age}", count.count, state.name());
    let next = NextCommand::new(&["sen", "list", "--state", state.name()], "which ones");
    Some(Attention::new(state.severity(), text, next).of(Kind::Lease, state.name(), count.count, count.oldest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_and_several_agree_in_number() {
        let told = |state: State, count| {
            let count =
                Count { state: state.name(), severity: state.severity(), count, estimated: false, oldest: None };
            attention(state, &count, Timestamp::from_micros(0)).unwrap().text
        };
        let one = "1 key stalled: lease expired before its hard limit; the worker may be alive";
        assert_eq!(told(State::Stalled, 1), one);
        let several = "2 keys stalled: leases expired before their hard limits; the workers may be alive";
        assert_eq!(told(State::Stalled, 2), several);
        assert_eq!(told(State::Unreadable, 2), "2 keys unreadable: the rows cannot be judged");
    }

    #[test]
    fn rows_stand_under_their_columns() {
        let lease = Lease {
            key: "pay:1".into(),
            owner_id: None,
            status: Status::Completed,
            fencing_token: Some(1),
            lease_expires_at: None,
            lease_updated_at: None,
            hard_expires_at: None,
            alive: Some(false),
            hard_alive: None,
            ttl_ms: Some(10),
            execution_result: Some("{}".into()),
            unreadable: Vec::new(),
        };
        let row = lease_row(lease);
        assert_eq!(row.len(), LEASE_COLUMNS.len());
        assert_eq!(row[0], Value::Text("pay:1".into()));
        assert_eq!(row[1], Value::Text("pay".into()));
        assert_eq!(row[2], Value::Name("completed"));
    }
}
