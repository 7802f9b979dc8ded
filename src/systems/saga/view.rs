//! How sagas, steps and messages become the neutral columns, fields and surveys that every front end shows. Pure.

use super::port::{Census, Group, Look, Seen};
use super::record::{Entry, Mailbox, Message, Saga, Status};
use super::record::{NAME, subject};
use super::rules::{self, LEFT, Standing, TROUBLE};
use super::shape::{Model, Models};
use super::verdict::{self, State};
use super::why;
use sen_model::record::{Event, Found, History, Section};
use sen_model::subject::Subject;
use sen_model::summary::{Attention, Count, Survey};
use sen_model::time::{Timestamp, humane};
use sen_model::value::{Column, Row, Show, Value};
use sen_model::verdict::{NextCommand, Severity, Verdict};

const fn column(name: &'static str, heading: &'static str, show: Show) -> Column {
    Column { name, heading, show }
}

/// The columns of a list of sagas.
pub const SAGA_COLUMNS: &[Column] = &[
    column("id", "ID", Show::Whole),
    column("verdict", "VERDICT", Show::Whole),
    column("saga_name", "SAGA", Show::Wide),
    column("aggregation_id", "AGGREGATION", Show::Short),
    column("current_step_index", "STEP", Show::Wide),
    column("updated_at", "UPDATED", Show::Whole),
    column("deadline_at", "DEADLINE", Show::Wide),
    column("last_error", "ERROR", Show::Wide),
    column("retry_counter", "TRIES", Show::Wide),
    column("table", "TABLE", Show::Wide),
    column("status", "STATUS", Show::Asked),
    column("due", "DUE", Show::Asked),
    column("trace_id", "TRACE", Show::Asked),
    column("step_execution_token", "TOKEN", Show::Asked),
    column("created_at", "CREATED", Show::Asked),
    column("context", "CONTEXT", Show::Asked),
];

/// The columns of the recorded steps of a saga.
pub const STEP_COLUMNS: &[Column] = &[
    column("timestamp", "TIME", Show::Moment),
    column("phase", "PHASE", Show::Whole),
    column("step_id", "STEP", Show::Whole),
    column("status", "RESULT", Show::Whole),
    column("attempt", "TRY", Show::Whole),
    column("error", "ERROR", Show::Short),
    column("output", "OUTPUT", Show::Wide),
    column("step_name", "CLASS", Show::Wide),
    column("input", "INPUT", Show::Wide),
    column("act", "ACT", Show::Wide),
    column("who", "WHO", Show::Wide),
    column("why", "WHY", Show::Wide),
    column("token", "TOKEN", Show::Asked),
];

/// The columns of a list of messages.
pub const MESSAGE_COLUMNS: &[Column] = &[
    column("id", "ID", Show::Whole),
    column("box", "BOX", Show::Wide),
    column("status", "STATUS", Show::Whole),
    column("topic", "TOPIC", Show::Short),
    column("error", "ERROR", Show::Short),
    column("updated_at", "UPDATED", Show::Whole),
    column("attempts", "TRIES", Show::Wide),
    column("next_attempt_at", "NEXT", Show::Wide),
    column("aggregation_id", "AGGREGATION", Show::Wide),
    column("saga_id", "SAGA", Show::Wide),
    column("step_id", "STEP", Show::Wide),
    column("key", "KEY", Show::Wide),
    column("standing", "STANDING", Show::Wide),
    column("table", "TABLE", Show::Wide),
    column("event_id", "EVENT", Show::Asked),
    column("settled_at", "SETTLED", Show::Asked),
    column("created_at", "CREATED", Show::Asked),
    column("payload", "PAYLOAD", Show::Asked),
];

fn status(status: &Status) -> Value {
    status.name().map_or_else(|| Value::Text(status.as_str().to_owned()), Value::Name)
}

/// A stored name in lower case; one no version knows stays as it is.
fn lower(name: &str, known: &'static [&'static str]) -> Value {
    match known.iter().find(|known| known.eq_ignore_ascii_case(name)) {
        Some(known) => Value::Name(known),
        None => Value::Text(name.to_owned()),
    }
}

const BOX_STATUSES: &[&str] = &["pending", "dispatching", "sent", "failed", "processing", "applied", "ignored"];
const PHASES: &[&str] = &["execute", "compensate", "success"];
const RESULTS: &[&str] = &["success", "error", "waiting", "timeout"];

fn json(text: Option<String>) -> Value {
    Value::json(text)
}

/// A saga under [`SAGA_COLUMNS`].
pub(super) fn saga_row(saga: Saga) -> Row {
    let verdict = verdict::state(&saga);
    vec![
        Value::Text(saga.id),
        Value::Name(verdict.name()),
        Value::text(saga.name),
        Value::Text(saga.aggregation),
        Value::Int(saga.step),
        Value::time(saga.updated),
        Value::time(saga.deadline),
        Value::text(saga.error),
        Value::Int(saga.retries),
        Value::Text(saga.table),
        status(&saga.status),
        saga.due.map_or(Value::Null, Value::Bool),
        Value::Text(saga.trace),
        Value::text(saga.token),
        Value::time(saga.created),
        json(saga.context),
    ]
}

/// A recorded step under [`STEP_COLUMNS`].
fn step_row(entry: Entry) -> Row {
    let (who, why) = entry.author();
    vec![
        Value::time(entry.at),
        lower(&entry.phase, PHASES),
        Value::Text(entry.step_id.clone()),
        lower(&entry.status, RESULTS),
        Value::Int(entry.attempt),
        Value::text(entry.error.clone()),
        json(entry.output.clone()),
        Value::Text(entry.step_name.clone()),
        json(entry.input.clone()),
        Value::text(entry.act()),
        Value::text(who),
        Value::text(why),
        Value::text(entry.token),
    ]
}

/// A message under [`MESSAGE_COLUMNS`].
pub(super) fn message_row(message: Message) -> Row {
    let standing = rules::standing(&message, LEFT);
    vec![
        Value::Text(message.id),
        Value::Name(message.kind.name()),
        lower(&message.status, BOX_STATUSES),
        Value::text(message.topic),
        Value::text(message.error),
        Value::time(message.updated),
        Value::Int(message.attempts),
        Value::time(message.next),
        Value::text(message.aggregation),
        Value::text(message.saga),
        Value::text(message.step),
        Value::text(message.key),
        Value::Name(standing.name()),
        Value::Text(message.table),
        Value::text(message.event),
        Value::time(message.done),
        Value::time(message.created),
        json(message.payload),
    ]
}

/// How much attention a message in this status needs.
pub fn message_severity(status: &str) -> Severity {
    match status {
        "failed" => Severity::Warning,
        "pending" | "dispatching" | "processing" => Severity::Pending,
        _ => Severity::Ok,
    }
}

/// One saga in depth.
pub(super) fn found(seen: Seen, models: &Models, now: Timestamp) -> Found {
    let Seen { saga, model, steps, recorded, messages, holders } = seen;
    let model = models.models.iter().find(|known| known.state.number == model);
    let mut verdict = verdict::judge(&saga, &steps, model);
    if let Some(model) = model {
        verdict.evidence.extend(model.doubts.iter().cloned());
        if !model.writable() {
            // Every act would be refused.
            verdict.next.clear();
        }
    }
    if let Some(holder) = holders.first() {
        verdict.evidence.push(format!("its row is locked by {}: a worker may be at it", holder.words()));
        verdict.next.retain(|next| !next.begins(&["sen", "saga", "unstick"]));
    }
    if let Some(event) = why::pending_event(&saga, &messages) {
        let event = event.event.as_deref().unwrap_or(&event.id);
        verdict.evidence.push(format!("the event it waits for stands PENDING in the inbox: {event}"));
        verdict.next.retain(|next| !next.begins(&["sen", "saga", "notify"]));
    }
    let dead = messages.iter().filter(|message| is_dead(message)).count();
    if dead > 0 {
        let are = if dead == 1 { "message of it is a dead letter" } else { "messages of it are dead letters" };
        verdict.evidence.push(format!("{dead} {are}: see below, and `sen dlq list`"));
    }
    if recorded > i64::try_from(steps.len()).unwrap_or(i64::MAX) {
        let more = recorded - i64::try_from(steps.len()).unwrap_or_default();
        verdict.evidence.push(format!("{more} older recorded steps are not shown (--steps N)"));
    }
    let awaiting = saga.awaiting.as_ref();
    let fields = vec![
        ("saga_name", Value::text(saga.name)),
        ("aggregation_id", Value::Text(saga.aggregation)),
        ("status", status(&saga.status)),
        ("current_step_index", Value::Int(saga.step)),
        ("deadline_at", Value::time(saga.deadline)),
        ("retry_counter", Value::Int(saga.retries)),
        ("updated_at", Value::time(saga.updated)),
        ("id", Value::Text(saga.id.clone())),
        ("table", Value::Text(saga.table)),
        ("trace_id", Value::Text(saga.trace)),
        ("step_execution_token", Value::text(saga.token)),
        ("created_at", Value::time(saga.created)),
        ("awaiting", awaiting.map_or(Value::Null, |awaiting| Value::Text(awaiting.words()))),
        ("awaiting_until", awaiting.map_or(Value::Null, |awaiting| Value::text(awaiting.until.clone()))),
        ("last_error", Value::text(saga.error)),
        ("context", json(saga.context)),
    ];
    let steps = Section {
        name: "steps",
        heading: "steps",
        columns: STEP_COLUMNS,
        rows: steps.into_iter().map(step_row).collect(),
    };
    let messages = Section {
        name: "messages",
        heading: "messages",
        columns: MESSAGE_COLUMNS,
        rows: messages.into_iter().map(message_row).collect(),
    };
    Found { subject: subject(&saga.id), now, lead: 7, fields, verdict, history: None, sections: vec![steps, messages] }
}

fn is_dead(message: &Message) -> bool {
    message.status == "FAILED"
        || (message.status == message.kind.taken()
            && message.idle >= i64::try_from(LEFT.as_micros()).unwrap_or(i64::MAX))
}

/// One message in depth.
pub(super) fn found_message(message: Message, now: Timestamp) -> Found {
    let verdict = judge_message(&message);
    let fields = vec![
        ("box", Value::Name(message.kind.name())),
        ("topic", Value::text(message.topic)),
        ("status", lower(&message.status, BOX_STATUSES)),
        ("attempts", Value::Int(message.attempts)),
        ("next_attempt_at", Value::time(message.next)),
        ("updated_at", Value::time(message.updated)),
        ("id", Value::Text(message.id.clone())),
        ("table", Value::Text(message.table)),
        ("event_id", Value::text(message.event)),
        ("saga_id", Value::text(message.saga)),
        ("saga_status", Value::text(message.saga_status.map(|status| status.to_ascii_lowercase()))),
        ("aggregation_id", Value::text(message.aggregation)),
        ("step_id", Value::text(message.step)),
        ("message_key", Value::text(message.key)),
        ("created_at", Value::time(message.created)),
        ("settled_at", Value::time(message.done)),
        ("last_error", Value::text(message.error)),
        ("payload", json(message.payload)),
    ];
    Found {
        subject: Subject::new(NAME, message.kind.name(), message.id),
        now,
        lead: 6,
        fields,
        verdict,
        history: None,
        sections: Vec::new(),
    }
}

fn judge_message(message: &Message) -> Verdict {
    let taken = message.status == message.kind.taken();
    let dead = is_dead(message);
    let out = message.kind == Mailbox::Out;
    let (sent, dispatcher) =
        if out { ("sent", "outbox dispatcher") } else { ("applied", "worker that calls run_inbox_due") };
    let late = message.late();
    let (state, severity, summary) = match message.status.as_str() {
        "FAILED" => {
            let again = match (late, message.over) {
                (Some(over), _) => format!(
                    "its next try has been due for {}: probably no {dispatcher} runs, or it is far behind",
                    humane(over)
                ),
                (None, Some(over)) if over < 0 => format!("the library tries again in {}", humane(over)),
                _ => "the library tries again at the next dispatch".into(),
            };
            ("failed", TROUBLE, format!("it could not be {sent}; {again}"))
        }
        _ if taken && dead => (
            "left",
            TROUBLE,
            format!(
                "claimed {} ago and not marked {sent}: probably its process ended, or it is still working through its batch; \
                 no other process claims it",
                humane(message.idle)
            ),
        ),
        _ if taken => ("taken", Severity::Pending, format!("claimed {} ago, being {sent}", humane(message.idle))),
        "PENDING" => match (late, message.over) {
            (Some(over), _) => (
                "pending",
                TROUBLE,
                format!("due for {}: probably no {dispatcher} runs, or it is far behind", humane(over)),
            ),
            (None, Some(over)) if over < 0 => ("pending", Severity::Pending, format!("due in {}", humane(over))),
            _ => ("pending", Severity::Pending, "it is due".to_owned()),
        },
        "SENT" => ("sent", Severity::Ok, "it is sent".to_owned()),
        "APPLIED" => ("applied", Severity::Ok, "its saga has taken it".to_owned()),
        "IGNORED" => ("ignored", Severity::Warning, "its saga did not take it, and it is consumed".to_owned()),
        _ => ("unreadable", Severity::Critical, "no version of the library writes this status".to_owned()),
    };
    let mut evidence = Vec::new();
    if let (Some(error), true) = (&message.error, message.status != "SENT") {
        evidence.push(format!("last error: {}", error.lines().next().unwrap_or_default()));
    }
    if taken && dead && out {
        evidence.push("whether it was sent already is not stored: requeued, it may be sent twice".into());
    }
    let standing = rules::standing(message, LEFT);
    let mut next = Vec::new();
    if dead || message.status == "IGNORED" {
        if standing == Standing::Replayable {
            let why = "make it due now";
            next.push(NextCommand::new(&["sen", "saga", message.kind.name(), "requeue"], why).id(&message.id));
        } else {
            evidence.push(standing.why(message));
        }
    }
    if let Some(saga) = &message.saga {
        next.push(NextCommand::new(&["sen", "saga", "show"], "its saga").id(saga));
    }
    Verdict { state, severity, summary, evidence, next }
}

/// The recorded steps as a history: the newest `limit` of the first saga found.
pub(super) fn history(look: Look, limit: Option<u64>) -> History {
    let now = look.now;
    let (mut steps, mut recorded) = (Vec::new(), 0);
    if let Some(seen) = look.sagas.into_iter().next() {
        recorded = seen.recorded;
        steps = seen.steps;
    }
    let keep = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let cut = steps.len().saturating_sub(keep);
    steps.drain(..cut);
    let older = recorded > i64::try_from(steps.len()).unwrap_or(i64::MAX);
    let mut last = Timestamp::NEG_INFINITY;
    let events = steps.into_iter().enumerate().map(|(at, entry)| {
        // Some versions record no time with what an operator skipped: it came after what stands before it.
        last = entry.at.unwrap_or(last);
        Event { id: i64::try_from(at).unwrap_or(i64::MAX), at: last, row: step_row(entry) }
    });
    History { columns: STEP_COLUMNS, events: events.collect(), older, now }
}

const TABLE_COLUMNS: &[Column] = &[
    column("table", "TABLE", Show::Whole),
    column("kind", "KIND", Show::Whole),
    column("version", "VERSION", Show::Short),
    column("rows_estimate", "ROWS (EST.)", Show::Whole),
    column("belongs_to", "BELONGS TO", Show::Short),
];

const BOX_COLUMNS: &[Column] = &[
    column("table", "TABLE", Show::Whole),
    column("box", "BOX", Show::Whole),
    column("status", "STATUS", Show::Whole),
    column("count", "COUNT", Show::Whole),
    column("oldest", "OLDEST CHANGE", Show::Whole),
];

/// A census as a neutral survey.
pub(super) fn survey(models: &Models, census: &Census) -> Survey {
    let now = census.now.unwrap_or_else(Timestamp::here);
    let counts: Vec<(State, Count)> = State::ALL
        .into_iter()
        .map(|state| {
            let groups = || census.sagas.iter().filter(move |group| State::parse(&group.state) == Some(state));
            let count = Count {
                state: state.name(),
                severity: state.severity(),
                count: groups().map(|group| group.count).sum(),
                oldest: groups().filter_map(|group| group.oldest).min(),
            };
            (state, count)
        })
        .collect();
    let mut attention = unfit(models, census, now);
    attention.extend(counts.iter().filter_map(|(state, count)| attention_of(*state, count, now)));
    if census.dead > 0 {
        let messages = if census.dead == 1 { "message" } else { "messages" };
        attention.push(Attention {
            severity: TROUBLE,
            text: format!(
                "{} saga {messages} failed or claimed and not finished for over 10m{}",
                census.dead,
                age(census.oldest_dead, now)
            ),
            next: NextCommand::new(&["sen", "dlq", "groups", "--system", NAME], "grouped by error"),
        });
    }
    for (kind, count, since) in &census.late {
        let messages = if *count == 1 { "message" } else { "messages" };
        let dispatcher =
            if *kind == Mailbox::Out { "no outbox dispatcher" } else { "no worker that calls run_inbox_due" };
        attention.push(Attention {
            severity: TROUBLE,
            text: format!(
                "{count} {} {messages} due and not claimed{}: probably {dispatcher} runs, or it is far behind",
                kind.name(),
                age(*since, now)
            ),
            next: NextCommand::new(&["sen", "saga", kind.name(), "list", "--state", "pending"], "which ones"),
        });
    }
    let (ignored, since) = census.ignored;
    if ignored > 0 {
        let sagas = if ignored == 1 { "saga waits" } else { "sagas wait" };
        attention.push(Attention {
            severity: Severity::Warning,
            text: format!("{ignored} {sagas} for an event that came and was ignored{}", age(since, now)),
            next: NextCommand::new(&["sen", "saga", "inbox", "list", "--state", "ignored"], "which events"),
        });
    }
    let mut versions: Vec<&str> = models.models.iter().map(Model::version).collect();
    versions.sort_unstable();
    versions.dedup();
    Survey {
        system: NAME,
        version: if versions.is_empty() { "(messages only)".into() } else { versions.join(" and ") },
        writable: models.models.iter().all(Model::writable),
        now,
        counted: "sagas",
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
    let mut add = |table: &super::shape::Table, kind, version: Value, owner: Value| {
        let estimate = table.rows.map_or(Value::Null, Value::Int);
        rows.push(vec![Value::Text(table.shown()), Value::Name(kind), version, estimate, owner]);
    };
    for model in &models.models {
        add(&model.state, "sagas", Value::Text(model.version().into()), Value::Null);
        if let Some(history) = &model.history {
            add(history, "history", Value::Null, Value::Text(model.state.shown()));
        }
    }
    for (kind, tables) in [(Mailbox::Out, &models.outboxes), (Mailbox::In, &models.inboxes)] {
        for table in tables {
            let own = |model: &&Model| {
                let own = if kind == Mailbox::Out { &model.outbox } else { &model.inbox };
                own.as_ref().is_some_and(|own| own.number == table.number)
            };
            let owners: Vec<String> = models.models.iter().filter(own).map(|model| model.state.shown()).collect();
            let owner = if owners.is_empty() { Value::Null } else { Value::Text(owners.join(", ")) };
            add(table, kind.name(), Value::Null, owner);
        }
    }
    Section { name: "tables", heading: "saga tables", columns: TABLE_COLUMNS, rows }
}

fn boxes(models: &Models, census: &Census) -> Section {
    let row = |group: &Group| {
        let all = [(Mailbox::Out, &models.outboxes), (Mailbox::In, &models.inboxes)];
        let (kind, table) = all
            .into_iter()
            .find_map(|(kind, tables)| Some((kind, tables.iter().find(|table| table.number == group.table)?)))?;
        Some(vec![
            Value::Text(table.shown()),
            Value::Name(kind.name()),
            lower(&group.state, BOX_STATUSES),
            Value::Int(group.count),
            Value::time(group.oldest),
        ])
    };
    let rows = census.messages.iter().filter_map(row).collect();
    Section { name: "messages", heading: "messages of sagas", columns: BOX_COLUMNS, rows }
}

fn age(oldest: Option<Timestamp>, now: Timestamp) -> String {
    let oldest = oldest.filter(|oldest| oldest.is_finite());
    oldest.map(|oldest| format!(", oldest {}", humane(now.micros_since(oldest)))).unwrap_or_default()
}

/// Tables whose types do not fit the library that their columns fit: it cannot work on them.
fn unfit(models: &Models, census: &Census, now: Timestamp) -> Vec<Attention> {
    let mut all = Vec::new();
    let mut say = |text: String| {
        let next = NextCommand::new(&["sen", "doctor"], "the statements an administrator has to run");
        all.push(Attention { severity: Severity::Critical, text, next });
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
    let text = match state {
        State::Stuck => "active but without a deadline, so no poll picks them up",
        State::PartlyCompensated => "the roll-back was given up",
        State::Overdue => "due for over 5m and not picked up",
        State::TimedOut => "the wait for an event was over first",
        State::Failed => "failed permanently",
        _ => "the row cannot be judged",
    };
    let sagas = if count.count == 1 { "saga" } else { "sagas" };
    Some(Attention {
        severity: state.severity(),
        text: format!("{} {sagas} {}: {text}{}", count.count, state.name().replace('_', " "), age(count.oldest, now)),
        next: NextCommand::new(&["sen", "saga", "list", "--state", state.name()], "which ones"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(status: &str, idle: i64) -> Message {
        Message {
            kind: Mailbox::Out,
            table: "outbox".into(),
            id: "73277b4b-da5d-49ab-b7d1-76bbaee5575a".into(),
            event: None,
            saga: None,
            aggregation: None,
            step: None,
            topic: Some("orders".into()),
            key: None,
            status: status.into(),
            attempts: 1,
            next: None,
            error: None,
            done: None,
            created: None,
            updated: None,
            seen: "0".into(),
            idle,
            over: None,
            saga_status: None,
            payload: Some("{}".into()),
        }
    }

    #[test]
    fn rows_stand_under_their_columns() {
        assert_eq!(saga_row(verdict::tests::saga(Status::Running, None)).len(), SAGA_COLUMNS.len());
        assert_eq!(step_row(Entry::default()).len(), STEP_COLUMNS.len());
        let row = message_row(message("FAILED", 0));
        assert_eq!(row.len(), MESSAGE_COLUMNS.len());
        assert_eq!(row[2], Value::Name("failed"));
        assert_eq!(row[12], Value::Name("replayable"));
    }

    #[test]
    fn claimed_messages_are_dead_letters_after_a_while() {
        let long = i64::try_from(LEFT.as_micros()).unwrap();
        assert_eq!(judge_message(&message("DISPATCHING", 5)).state, "taken");
        let left = judge_message(&message("DISPATCHING", long));
        assert!(left.state == "left" && left.next[0].command.starts_with("sen saga outbox requeue 7327"));
        assert_eq!(judge_message(&message("SENT", long)).severity, Severity::Ok);
    }
}
