//! The dead letters of this system: messages that failed, and messages that were claimed and not finished for long. The library
//! tries the former again by itself, for ever; the latter are not claimed again.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};

use super::handle::Sagas;
use super::list::stream_of_messages;
use super::message::{Mailbox, Message, MessageStatus};
use super::plan::{Part, RequeueAction, RequeueHead};
use super::port::{MessageQuery, SeenMessage};
use super::record::NAME;
use super::record::uuid;
use super::rules::{self, LEFT, Replayability};
use super::shape::{Models, Table};
use super::view;
use sen_model::batch::{Pace, Targets, run_batch};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::journal;
use sen_model::letter::{Letter, LetterGroup, Parent, group_id, normalize_error};
use sen_model::letters::{DeadLetters, LetterFilter, Letters, ReplayOptions};
use sen_model::permit::WritePermit;
use sen_model::plan::{Plan, Risk, Set};
use sen_model::prepared::{Apply, Applying, Prepared, PreparedAction, Sink};
use sen_model::record::Record;
use sen_model::report::{Item, Outcome, Report, suppressed};
use sen_model::subject::Subject;
use sen_model::text::many;
use sen_model::time::Timestamp;

/// How many are made due in one statement by default.
const BATCH: usize = 200;
/// How many messages are looked at at once.
const LOOKED_AT: usize = 500;
/// How many lines of a plan's sample.
const SAMPLE: usize = 5;

fn subject(kind: Mailbox, id: &str) -> Subject {
    Subject::new(NAME, kind.subject(), id)
}

fn step(message: &Message) -> &str {
    message.topic.as_deref().or(message.step.as_deref()).unwrap_or_default()
}

/// Why it is dead, in the library's words or ours.
fn error(message: &Message) -> String {
    if message.is_taken() {
        let (who, done) = if message.kind == Mailbox::Out { ("publisher", "sent") } else { ("worker", "applied") };
        return format!("claimed by a {who} and not marked {done}");
    }
    message.error.clone().unwrap_or_else(|| "(no error was recorded)".into())
}

fn group_of(message: &Message) -> (String, String) {
    let folded = normalize_error(&error(message));
    (group_id(step(message), &folded), folded)
}

fn bound(filter: &LetterFilter) -> Duration {
    // A given age applies to claimed messages, too.
    filter.older_than.unwrap_or(LEFT)
}

fn letter(message: Message, bound: Duration) -> Letter {
    let replayability = rules::replayability(&message, bound);
    let again = message.next.filter(|_| message.status == MessageStatus::Failed);
    Letter {
        system: NAME,
        kind: message.kind.name(),
        step: step(&message).to_owned(),
        error: Some(error(&message)),
        died_at: message.updated,
        queue: Some(message.table.clone()),
        parent: message.saga.clone().map(Parent::Saga).or_else(|| message.aggregation.clone().map(Parent::Aggregation)),
        group: group_of(&message).0,
        attempts: Some(message.attempts),
        replayability: replayability.name(),
        note: [
            again.map(|at| format!("the library retries it automatically at {at}")),
            rules::rolled_back(&message).map(str::to_owned),
        ]
        .into_iter()
        .flatten()
        .reduce(|left, right| format!("{left}; {right}")),
        payload: message.payload,
        id: message.id,
    }
}

/// A whole letter as one JSON object, under the names of its columns.
fn document(message: &Message) -> String {
    // What is no JSON is exported as the text it is: nothing is lost.
    let payload: serde_json::Value = message.payload.as_deref().map_or(serde_json::Value::Null, |text| {
        serde_json::from_str(text).unwrap_or_else(|_| serde_json::Value::from(text))
    });
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
    serde_json::json!({
        "system": NAME, "kind": message.kind.name(), "table": message.table, "id": message.id, "event_id": message.event,
        "saga_id": message.saga, "aggregation_id": message.aggregation, "step_id": message.step, "topic": message.topic,
        "key": message.key, "status": message.status.as_str(), "attempts": message.attempts, "last_error": message.error,
        "next_attempt_at": time(message.next), "created_at": time(message.created), "updated_at": time(message.updated),
        "payload": payload,
    })
    .to_string()
}

impl Sagas {
    /// The tables a filter is about.
    fn boxes(models: &Models, filter: &LetterFilter) -> Result<Vec<(Mailbox, Table)>> {
        // There are no workers' names here.
        if filter.worker.is_some() {
            return Ok(Vec::new());
        }
        let mut out = Vec::new();
        for kind in [Mailbox::Out, Mailbox::In] {
            if filter.kinds.is_empty() || filter.kinds.iter().any(|wanted| wanted == kind.name()) {
                let named = |table: &&&Table| filter.queue.as_deref().is_none_or(|name| table.named(name));
                out.extend(models.boxes(kind, None)?.iter().filter(named).map(|table| (kind, (*table).clone())));
            }
        }
        Ok(out)
    }

    fn query(filter: &LetterFilter, limit: Option<u64>) -> MessageQuery {
        MessageQuery {
            ids: filter.ids.clone(),
            dead: Some(bound(filter)),
            topic: filter.step.clone(),
            error: filter.error.clone(),
            older_than: filter.older_than,
            since: filter.since,
            until: filter.until,
            oldest_first: !filter.newest_first,
            limit: limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX)),
            payloads: filter.payloads,
            ..MessageQuery::default()
        }
    }

    /// The letters that match, in order; with groups named more are read than are returned.
    async fn chosen(&self, models: &Models, filter: &LetterFilter) -> Result<(Timestamp, Vec<Message>)> {
        let tables = Self::boxes(models, filter)?;
        let limit = filter.limit.filter(|_| filter.groups.is_empty());
        let (now, mut messages) = self.page_of_messages(models, &tables, &Self::query(filter, limit)).await?;
        if !filter.groups.is_empty() {
            messages.retain(|message| filter.groups.contains(&group_of(message).0));
            messages.truncate(filter.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX));
        }
        Ok((now, messages))
    }

    /// The messages named by id, whatever they are now, so that it can be said why one is no dead letter.
    async fn named(&self, models: &Models, filter: &LetterFilter) -> Result<Vec<Message>> {
        let query = MessageQuery { ids: filter.ids.clone(), ..MessageQuery::default() };
        Ok(self.page_of_messages(models, &Self::boxes(models, filter)?, &query).await?.1)
    }
}

#[async_trait]
impl DeadLetters for Sagas {
    async fn list(&self, filter: &LetterFilter) -> Result<Letters> {
        let models = self.models().await?;
        let bound = bound(filter);
        if filter.limit.is_some() || !filter.ids.is_empty() {
            let (now, messages) = self.chosen(&models, filter).await?;
            let letters = messages.into_iter().map(|message| letter(message, bound)).collect();
            return Ok(Letters { now, parts: Box::pin(stream::iter([Ok(letters)])) });
        }
        let tables = Self::boxes(&models, filter)?;
        let (now, messages) = stream_of_messages(&self.store, &models, tables, Self::query(filter, None)).await?;
        let groups = filter.groups.clone();
        let parts = messages.map(move |chunk| {
            let wanted = |message: &Message| groups.is_empty() || groups.contains(&group_of(message).0);
            chunk.map(|chunk| chunk.into_iter().filter(wanted).map(|message| letter(message, bound)).collect())
        });
        Ok(Letters { now, parts: Box::pin(parts) })
    }

    async fn groups(&self, filter: &LetterFilter) -> Result<Vec<LetterGroup>> {
        let models = self.models().await?;
        let bound = bound(filter);
        let tables = Self::boxes(&models, filter)?;
        let (_, messages) = stream_of_messages(&self.store, &models, tables, Self::query(filter, None)).await?;
        let mut messages = Box::pin(messages);
        let mut groups: BTreeMap<String, (LetterGroup, i64)> = BTreeMap::new();
        while let Some(chunk) = messages.next().await {
            for message in chunk? {
                let (id, folded) = group_of(&message);
                if !filter.groups.is_empty() && !filter.groups.contains(&id) {
                    continue;
                }
                let died = message.updated;
                let (group, undone) = groups.entry(id.clone()).or_insert_with(|| {
                    let group = LetterGroup {
                        system: NAME,
                        id,
                        step: step(&message).to_owned(),
                        error: folded,
                        count: 0,
                        first: died,
                        last: died,
                        sample: message.id.clone(),
                        replayable: Some(0),
                        note: None,
                    };
                    (group, 0)
                });
                *undone += i64::from(rules::rolled_back(&message).is_some());
                group.count += 1;
                group.first = [group.first, died].into_iter().flatten().min();
                group.last = group.last.max(died);
                if rules::replayability(&message, bound) == Replayability::Replayable {
                    group.replayable = group.replayable.map(|count| count + 1);
                }
            }
        }
        let noted = |(mut group, undone): (LetterGroup, i64)| {
            // Sent, they may tell receivers of work that was undone.
            group.note = (undone > 0).then(|| format!("{undone} of a rolled back saga"));
            group
        };
        let mut groups: Vec<LetterGroup> = groups.into_values().map(noted).collect();
        groups.sort_by(|left, right| right.count.cmp(&left.count).then_with(|| left.id.cmp(&right.id)));
        Ok(groups)
    }

    async fn show(&self, id: &str) -> Result<Vec<Record>> {
        let models = self.models().await?;
        let filter = LetterFilter { ids: vec![id.to_owned()], payloads: true, ..LetterFilter::default() };
        let (now, messages) = self.chosen(&models, &filter).await?;
        Ok(messages.into_iter().map(|message| view::found_message(message, now)).collect())
    }

    async fn plan_replay(
        &self,
        filter: &LetterFilter,
        options: &ReplayOptions,
    ) -> Result<Box<dyn PreparedAction + '_>> {
        if options.queue.is_some() {
            return Err(Error::usage("messages of sagas cannot be put into another queue"));
        }
        let models = self.models().await?;
        let bound = bound(filter);
        let named = !filter.ids.is_empty();
        let messages = if named { self.named(&models, filter).await? } else { self.chosen(&models, filter).await?.1 };
        let mut plan = Plan::new(self.store.database(), Risk::Dangerous);
        let mut set = Set::default();
        let mut skipped: BTreeMap<&'static str, u64> = BTreeMap::new();
        let batch = options.batch.map_or(BATCH, |batch| usize::try_from(batch).unwrap_or(BATCH)).clamp(1, 500);
        let head = RequeueHead { batch, rate: options.rate.filter(|rate| *rate > 0.0) };
        let mut action = RequeueAction { head, parts: Vec::new() };
        for id in &filter.ids {
            let wanted = uuid(id);
            let is = |message: &Message| uuid(&message.id) == wanted || message.event.as_deref() == Some(id);
            if !messages.iter().any(is) {
                let kind = if filter.kinds.iter().any(|kind| kind == "inbox") { Mailbox::In } else { Mailbox::Out };
                plan.refused.push(Item::new(subject(kind, id), Outcome::Missing, "no such message"));
            }
        }
        let mut undone = 0_usize;
        for message in messages {
            let replayability = rules::replayability(&message, bound);
            if !replayability.may(options.force) {
                if named {
                    let refusal = Item::new(
                        subject(message.kind, &message.id),
                        replayability.outcome(),
                        replayability.why(&message),
                    );
                    plan.refused.push(refusal);
                } else {
                    *skipped.entry(replayability.name()).or_default() += 1;
                }
                continue;
            }
            set.oldest = [set.oldest, message.updated].into_iter().flatten().min();
            set.newest = set.newest.max(message.updated);
            if set.sample.len() < SAMPLE {
                let short: String = error(&message).lines().next().unwrap_or_default().chars().take(80).collect();
                set.sample.push(format!("{} ({}): {short}", message.id, step(&message)));
            }
            undone += usize::from(rules::rolled_back(&message).is_some());
            let seen = SeenMessage { id: message.id, status: message.status.as_str().to_owned(), seen: message.seen };
            action.push(message.kind, &message.table, seen);
        }
        let claimed = |kind: Mailbox| -> usize {
            let own = action.parts.iter().filter(|part| part.kind == kind).flat_map(|part| &part.messages);
            own.filter(|message| message.status == kind.taken().as_str()).count()
        };
        let (sending, applying) = (claimed(Mailbox::Out), claimed(Mailbox::In));
        if sending > 0 {
            set.warnings.push(format!(
                "{sending} of them {} claimed and not finished: a publisher that is only slow sends what it has claimed all the \
                 same, so each may be sent twice",
                if sending == 1 { "is" } else { "are" }
            ));
        } else if action.parts.iter().any(|part| part.kind == Mailbox::Out) {
            set.warnings.push("receivers may get a message again that was sent although it counts as failed".into());
        }
        if undone > 0 {
            set.warnings.push(format!(
                "the {} of {undone} of them {} rolled back, or about to be: sent now, receivers may be told of work that was undone",
                if undone == 1 { "saga" } else { "sagas" },
                if undone == 1 { "was" } else { "were" }
            ));
        }
        if applying > 0 {
            set.warnings.push(format!(
                "{applying} of them {} claimed and not finished: a worker that is only slow applies what it has claimed all the same",
                if applying == 1 { "is" } else { "are" }
            ));
        }
        if action.parts.iter().any(|part| part.kind == Mailbox::In) {
            set.warnings.push("an event the saga does not wait for is ignored, and so consumed".into());
        }
        let named = |(replayability, count): (&'static str, u64)| (replayability.replace('_', " "), count);
        set.skipped = skipped.into_iter().map(named).collect();
        if let [Part { messages, .. }] = action.parts.as_slice()
            && let [message] = messages.as_slice()
        {
            set.single_id = Some(message.id.clone());
        }
        plan.set = Some(set);
        Ok(Prepared::boxed(self, plan, action, |count| format!("make {} due again", many(count, "message"))))
    }

    async fn plan_discard(&self, _: &LetterFilter) -> Result<Box<dyn PreparedAction + '_>> {
        Err(no_discard())
    }

    async fn export(&self, filter: &LetterFilter, sink: Sink<'_>) -> Result<u64> {
        let models = self.models().await?;
        let tables = Self::boxes(&models, filter)?;
        let query = MessageQuery { payloads: true, ..Self::query(filter, filter.limit) };
        let (_, messages) = stream_of_messages(&self.store, &models, tables, query).await?;
        let mut messages = Box::pin(messages);
        let mut count = 0;
        while let Some(chunk) = messages.next().await {
            for message in chunk? {
                if filter.limit.is_some_and(|limit| count >= limit) {
                    return Ok(count);
                }
                if filter.groups.is_empty() || filter.groups.contains(&group_of(&message).0) {
                    sink(&document(&message))?;
                    count += 1;
                }
            }
        }
        Ok(count)
    }
}

/// Messages that are made due again, one table after the other.
struct Messages<'a> {
    sagas: &'a Sagas,
    models: &'a Models,
    messages: Vec<(&'a Part, &'a SeenMessage)>,
    permit: &'a WritePermit,
}

impl Messages<'_> {
    /// Makes messages of one table due again.
    async fn requeue(&self, part: &Part, messages: &[SeenMessage]) -> Result<Vec<Item>> {
        let subject = |message: &SeenMessage| subject(part.kind, &message.id);
        let boxes = self.models.boxes(part.kind, None)?;
        let Some(table) = boxes.into_iter().find(|table| table.shown() == part.table) else {
            let why = format!("the table {} is no longer there; nothing was written", part.table);
            return Ok(messages.iter().map(|one| Item::new(subject(one), Outcome::Missing, why.as_str())).collect());
        };
        let written = self.sagas.store.requeue(self.models, part.kind, table, messages, self.permit).await;
        let item = |message: &SeenMessage| match &written {
            Ok(ids) if ids.done.contains(&message.id) => {
                let changes = ids.changes.get(&message.id).cloned().unwrap_or_default();
                Item::new(subject(message), Outcome::Applied, "due again").changing(changes)
            }
            Ok(ids) if ids.kept.contains(&message.id) => {
                Item::new(subject(message), Outcome::Changed, suppressed(&table.shown()))
            }
            Ok(_) => {
                let why = "it has changed since it was looked at, or a worker has just claimed it; nothing was written";
                // The record of a requeue names no message.
                let own = if self.permit.may_have_begun() { None } else { Some(false) };
                Item::new(subject(message), Outcome::Changed, why).own(own)
            }
            Err(error) => Item::failed(subject(message), error),
        };
        Ok(messages.iter().map(item).collect())
    }
}

#[async_trait]
impl Targets for Messages<'_> {
    fn subject(&self, place: usize) -> Subject {
        let (part, message) = self.messages[place];
        subject(part.kind, &message.id)
    }

    async fn apply(&mut self, places: &[usize]) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        let part = |place: usize| self.messages[place].0;
        for batch in places.chunk_by(|left, right| std::ptr::eq(part(*left), part(*right))) {
            let messages: Vec<SeenMessage> = batch.iter().map(|place| self.messages[*place].1.clone()).collect();
            let among: Vec<usize> = (items.len()..items.len() + batch.len()).collect();
            items.extend(journal::among(&among, self.requeue(part(batch[0]), &messages)).await?);
        }
        Ok(items)
    }
}

#[async_trait]
impl Apply<RequeueAction> for Sagas {
    async fn apply(&self, plan: &Plan, action: RequeueAction, applying: Applying<'_>) -> Result<Report> {
        let Applying { permit, observer, brakes, .. } = applying;
        let models = self.models().await?;
        let pace = Pace::bulk(action.head.batch, action.head.rate).braked(brakes);
        let messages: Vec<_> =
            action.parts.iter().flat_map(|part| part.messages.iter().map(move |message| (part, message))).collect();
        let count = messages.len();
        let mut messages = Messages { sagas: self, models: &models, messages, permit };
        Ok(run_batch(&mut [&mut messages], plan, count, pace, permit, observer).await)
    }

    async fn check(&self, action: &RequeueAction) -> Result<Vec<Item>> {
        let models = self.models().await?;
        let mut items = Vec::new();
        for part in &action.parts {
            for messages in part.messages.chunks(LOOKED_AT) {
                let kinds = vec![part.kind.name().to_owned()];
                let ids = messages.iter().map(|message| message.id.clone()).collect();
                let filter = LetterFilter { ids, kinds, ..LetterFilter::default() };
                let found = self.named(&models, &filter).await?;
                items.extend(messages.iter().map(|message| {
                    let same = |known: &&Message| known.table == part.table && known.id == message.id;
                    let subject = subject(part.kind, &message.id);
                    match found.iter().find(same) {
                        None => Item::new(subject, Outcome::Missing, "it is gone"),
                        Some(known) if known.status.as_str() == message.status && known.seen == message.seen => {
                            Item::still(subject)
                        }
                        Some(known) => {
                            let why = format!("it has changed since it was looked at: now {}", known.status.as_str());
                            Item::new(subject, Outcome::Changed, why)
                        }
                    }
                }));
            }
        }
        Ok(items)
    }
}

/// A message is the only record that something was to be sent or has come, and the library never removes one.
fn no_discard() -> Error {
    Error::new(
        ErrorKind::Refused,
        "messages of sagas are not discarded: a row of an outbox or inbox is the only record of it",
    )
    .with_hint(
        "`sen saga outbox list` and `sen saga inbox list` show them with what can be done; `sen dlq export` copies them; what \
         failed the library tries again automatically, what was claimed and left only after `sen dlq replay`",
    )
}
