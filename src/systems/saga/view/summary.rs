//! A census as a neutral summary. Pure.

use super::rows::message_status;
use crate::message::{Mailbox, MessageStatus};
use crate::port::{Census, Group};
use crate::record::NAME;
use crate::rules::TROUBLE;
use crate::shape::{Model, Models, Table};
use crate::state::State;
use sen_model::columns;
use sen_model::record::Section;
use sen_model::subject::Kind;
use sen_model::summary::{Attention, Count, Summary};
use sen_model::text::many;
use sen_model::time::Timestamp;
use sen_model::value::Value;
use sen_model::verdict::{NextCommand, Severity};

columns! {
    TABLE_COLUMNS,
    fn table_row(table: &Table, kind: &'static str, version: Option<&str>, owner: Option<String>) {}
    "table", "TABLE", Whole => Value::Text(table.shown());
    "kind", "KIND", Whole => Value::Name(kind);
    "version", "VERSION", Short => Value::text(version);
    "rows_estimate", "ROWS (EST.)", Wide => table.rows.map_or(Value::Null, Value::Int);
    "belongs_to", "BELONGS TO", Short => Value::text(owner);
}

columns! {
    BOX_COLUMNS,
    fn box_row(table: &Table, kind: Mailbox, group: &Group) {}
    "table", "TABLE", Whole => Value::Text(table.shown());
    "box", "BOX", Whole => Value::Name(kind.name());
    "status", "STATUS", Whole => message_status(&MessageStatus::parse(group.state.clone()));
    "count", "COUNT", Whole => Value::Int(group.count);
    "oldest", "OLDEST", Whole => Value::time(group.oldest);
}

/// A census as a neutral summary.
pub(crate) fn summary(models: &Models, census: &Census) -> Summary {
    let now = census.now.unwrap_or_else(Timestamp::here);
    let counts: Vec<(State, Count)> = State::ALL
        .into_iter()
        .map(|state| {
            let groups = || census.sagas.iter().filter(move |group| State::parse(&group.state) == Some(state));
            let count = Count {
                state: state.name(),
                severity: state.severity(),
                count: groups().map(|group| group.count).sum(),
                estimated: false,
                oldest: groups().filter_map(|group| group.oldest).min(),
            };
            (state, count)
        })
        .collect();
    let mut attention = unfit(models, census, now);
    attention.extend(counts.iter().filter_map(|(state, count)| attention_of(*state, count, now)));
    if census.dead > 0 {
        let messages = if census.dead == 1 { "message" } else { "messages" };
        let text = format!(
            "{}: saga {messages} failed, or claimed and not finished for over 10m{}",
            many(census.dead, "dead letter"),
            age(census.oldest_dead, now)
        );
        let next = NextCommand::new(&["sen", "dlq", "groups", "--system", NAME], "grouped by error");
        let item = Attention::new(TROUBLE, text, next);
        attention.push(item.of(Kind::DeadLetter, "dead", census.dead, census.oldest_dead));
    }
    for (kind, count, since) in &census.late {
        let messages = if *count == 1 { "message" } else { "messages" };
        let dispatcher =
            if *kind == Mailbox::Out { "no outbox dispatcher" } else { "no worker that calls run_inbox_due" };
        let text = format!(
            "{count} {} {messages} due and not claimed{}: probably {dispatcher} runs, or it is far behind",
            kind.name(),
            age(*since, now)
        );
        let next = NextCommand::new(&["sen", "saga", kind.name(), "list", "--state", "pending"], "which ones");
        attention.push(Attention::new(TROUBLE, text, next).of(kind.subject(), "pending", *count, *since));
    }
    let (ignored, since) = census.ignored;
    if ignored > 0 {
        let sagas = if ignored == 1 { "saga waits" } else { "sagas wait" };
        let text = format!("{ignored} {sagas} for an event that came and was ignored{}", age(since, now));
        let next = NextCommand::new(&["sen", "saga", "inbox", "list", "--state", "ignored"], "which events");
        let item = Attention::new(Severity::Warning, text, next);
        attention.push(item.of(Kind::Saga, State::WaitingEvent.name(), ignored, since));
    }
    let mut versions: Vec<&str> = models.models.iter().map(Model::version).collect();
    versions.sort_unstable();
    versions.dedup();
    Summary {
        queues: None,
        unread: Vec::new(),
        estimated: false,
        system: NAME,
        version: if versions.is_empty() { "(messages only)".into() } else { versions.join(" and ") },
        writable: models.models.iter().all(Model::writable),
        now,
        counted: "sagas",
        stored_states: false,
        list: &["sen", "saga", "list"],
        counts: counts.into_iter().map(|(_, count)| count).collect(),
        attention,
        facts: facts(models),
        sections: vec![tables(models), boxes(models, census)],
        dead_letters: Some(census.dead),
    }
}

fn facts(models: &Models) -> Vec<(&'static str, Value)> {
    let mut doubts: Vec<String> = models.models.iter().flat_map(|model| model.doubts.iter().cloned()).collect();
    doubts.dedup();
    let value = if doubts.is_empty() { Value::Null } else { Value::Text(doubts.join("; ")) };
    vec![("uncertain", value)]
}

/// Which table is what, and of whom.
fn tables(models: &Models) -> Section {
    let mut rows = Vec::new();
    for model in &models.models {
        rows.push(table_row(&model.state, "sagas", Some(model.version()), None));
        if let Some(history) = &model.history {
            rows.push(table_row(history, "history", None, Some(model.state.shown())));
        }
    }
    for (kind, table) in models.mailboxes() {
        let own = |model: &&Model| {
            let own = if kind == Mailbox::Out { &model.outbox } else { &model.inbox };
            own.as_ref().is_some_and(|own| own.number == table.number)
        };
        let owners: Vec<String> = models.models.iter().filter(own).map(|model| model.state.shown()).collect();
        let owner = (!owners.is_empty()).then(|| owners.join(", "));
        rows.push(table_row(table, kind.name(), None, owner));
    }
    Section { name: "tables", heading: "saga tables", columns: TABLE_COLUMNS, rows }
}

fn boxes(models: &Models, census: &Census) -> Section {
    let row = |group: &Group| {
        let (kind, table) = models.mailboxes().find(|(_, table)| table.number == group.table)?;
        Some(box_row(table, kind, group))
    };
    let rows = census.messages.iter().filter_map(row).collect();
    Section { name: "messages", heading: "messages of sagas", columns: BOX_COLUMNS, rows }
}

fn age(oldest: Option<Timestamp>, now: Timestamp) -> String {
    let oldest = oldest.filter(|oldest| oldest.is_finite());
    oldest
        .map(|oldest| format!(", oldest {}", sen_model::time::coarse_age(now.micros_since(oldest))))
        .unwrap_or_default()
}

/// Tables whose types do not fit the library that their columns fit: it cannot work on them.
fn unfit(models: &Models, census: &Census, now: Timestamp) -> Vec<Attention> {
    let mut all = Vec::new();
    let mut say = |text: String| {
        let next = NextCommand::new(&["sen", "doctor"], "the statements an administrator has to run");
        all.push(Attention::new(Severity::Critical, text, next));
    };
    for model in &models.models {
        let shown = model.state.shown();
        let lacks = model.lacks();
        let suspended = lacks.iter().any(|lack| lack.labels.contains(&"COMPENSATING_SUSPENDED"));
        let unwritable = census.unwritable.iter().find(|(table, ..)| *table == model.state.number);
        if suspended {
            say(format!(
                "{shown}: its status type lacks COMPENSATING_SUSPENDED: library {} can neither start nor poll sagas here",
                model.version()
            ));
        } else if let Some((_, count, since)) = unwritable {
            let surely = lacks.iter().any(|lack| lack.every && lack.labels.contains(&"TIMEOUT"));
            let polls = if surely { "each poll fails" } else { "each poll of library 0.4.0 and later fails" };
            let waits = if *count == 1 { "wait is" } else { "waits are" };
            say(format!("{shown}: {count} {waits} over and its types lack TIMEOUT: {polls}{}", age(*since, now)));
        }
    }
    all
}

fn attention_of(state: State, count: &Count, now: Timestamp) -> Option<Attention> {
    if count.count == 0 || state.severity() < Severity::Warning {
        return None;
    }
    let one = count.count == 1;
    let text = match state {
        State::Stuck if one => "active but has no deadline, so no worker will ever poll it",
        State::Stuck => "active but have no deadline, so no worker will ever poll them",
        State::PartlyCompensated if one => "its roll-back was given up",
        State::PartlyCompensated => "their roll-backs were given up",
        State::Overdue => "due for over 5m and not picked up",
        State::TimedOut => "the wait for an event was over first",
        State::Failed => "failed permanently",
        State::LeaseExpired if one => "its worker is probably lost; the next poll runs its step again",
        State::LeaseExpired => "their workers are probably lost; the next poll runs their steps again",
        _ if one => "the row cannot be judged",
        _ => "the rows cannot be judged",
    };
    let sagas = if one { "saga" } else { "sagas" };
    let text = format!("{} {sagas} {}: {text}{}", count.count, state.name().replace('_', " "), age(count.oldest, now));
    let next = NextCommand::new(&["sen", "saga", "list", "--state", state.name()], "which ones");
    Some(Attention::new(state.severity(), text, next).of(Kind::Saga, state.name(), count.count, count.oldest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_and_several_agree_in_number() {
        let told = |state: State, count| {
            let count =
                Count { state: state.name(), severity: state.severity(), count, estimated: false, oldest: None };
            attention_of(state, &count, Timestamp::from_micros(0)).unwrap().text
        };
        assert_eq!(told(State::Stuck, 1), "1 saga stuck: active but has no deadline, so no worker will ever poll it");
        assert_eq!(
            told(State::Stuck, 2),
            "2 sagas stuck: active but have no deadline, so no worker will ever poll them"
        );
        assert_eq!(told(State::PartlyCompensated, 2), "2 sagas partly compensated: their roll-backs were given up");
    }
}
