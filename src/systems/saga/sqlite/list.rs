//! Lists and counts: rows are read in order, judged, and those that match go through a channel, so that memory stays flat.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use rusqlite::{Connection, Row, params};
use tokio::sync::mpsc;

use super::cells;
use super::sql::{entries, now, rows, select, table};
use crate::message::{Mailbox, Message, MessageStatus};
use crate::port::{Census, Group, MessageQuery, Messages, Order, SagaQuery, Sagas, micros};
use crate::record::{Entry, Saga, Status, uuid};
use crate::shape::{Model, Models, Table};
use crate::state::{BETWEEN, State};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::time::{Timestamp, When};
use sen_stores::sql::Sql;
use sen_stores::sqlite::{Sqlite, error_from};

/// Rows per chunk.
const CHUNK: usize = 256;

const fn order_by(order: Order, descending: bool) -> &'static str {
    match (order, descending) {
        (Order::Stored, _) => "",
        (Order::Updated, false) => " ORDER BY s.updated_at, s.id",
        (Order::Updated, true) => " ORDER BY s.updated_at DESC, s.id DESC",
        (Order::Created, false) => " ORDER BY s.created_at, s.id",
        (Order::Created, true) => " ORDER BY s.created_at DESC, s.id DESC",
        (Order::Deadline, false) => " ORDER BY s.deadline_at IS NULL, s.deadline_at, s.id",
        (Order::Deadline, true) => " ORDER BY s.deadline_at IS NULL, s.deadline_at DESC, s.id DESC",
    }
}

/// A span of last changes.
struct Times {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    before: Option<Timestamp>,
}

impl Times {
    fn of(since: Option<When>, until: Option<When>, older_than: Option<Duration>, now: Timestamp) -> Self {
        let at = |when: Option<When>| when.map(|when| when.resolve(now));
        Self { since: at(since), until: at(until), before: older_than.map(|span| now.minus(span)) }
    }

    fn hold(&self, updated: Option<Timestamp>) -> bool {
        let is = |bound: Option<Timestamp>, fits: fn(Timestamp, Timestamp) -> bool| {
            bound.is_none_or(|bound| updated.is_some_and(|updated| fits(updated, bound)))
        };
        is(self.since, |updated, bound| updated >= bound)
            && is(self.until, |updated, bound| updated < bound)
            && is(self.before, |updated, bound| updated < bound)
    }
}

fn matches(saga: &Saga, query: &SagaQuery, times: &Times) -> bool {
    let active = matches!(
        saga.status,
        Status::Running | Status::Suspended | Status::Compensating | Status::CompensatingSuspended
    );
    let stuck =
        matches!(saga.status, Status::Running | Status::Compensating) && saga.deadline.is_none() && saga.idle > BETWEEN;
    let none = query.stored.is_empty() && query.judged.is_empty();
    let contains = |text: &String| saga.error.as_ref().is_some_and(|error| error.contains(text.as_str()));
    (none
        || query.stored.iter().any(|stored| stored == saga.status.as_str())
        || query.judged.contains(&State::of(saga).name()))
        && (!query.stuck || stuck)
        && (!query.due || (active && saga.due == Some(true)))
        && query.name.as_ref().is_none_or(|name| saga.name.as_ref() == Some(name))
        && query.aggregation.as_ref().is_none_or(|about| saga.aggregation == *about)
        && query.error.as_ref().is_none_or(contains)
        && times.hold(saga.updated)
}

/// Whether a compensation is on record, in the row itself or in the history table; asked of what failed alone, as the other
/// store's lists do.
fn compensated(db: &Connection, model: &Model, saga: &Saga, stored: &str, kept: Option<&str>) -> Result<Option<bool>> {
    if saga.status != Status::Failed {
        return Ok(None);
    }
    let steps = match (kept, &model.history) {
        (Some(kept), _) => Entry::list(kept).unwrap_or_default(),
        (None, Some(history)) => entries(db, history, stored)?,
        (None, None) => return Ok(None),
    };
    Ok(Some(steps.iter().any(Entry::compensates)))
}

pub(super) async fn list(db: &Arc<Sqlite>, model: &Model, query: &SagaQuery) -> Result<Sagas> {
    let (model, query) = (model.clone(), query.clone());
    let sql =
        table(select(&model).then(" FROM "), &model.state)?.then(" AS s").then(order_by(query.order, query.descending));
    let shown = model.state.shown();
    let mut times = None;
    let (now, rows) = streamed(db, sql, query.limit, move |db, row, now| {
        let times = times.get_or_insert_with(|| Times::of(query.since, query.until, query.older_than, now));
        let (mut saga, stored, kept) = cells::saga(row, &shown, now);
        if query.ids.as_ref().is_some_and(|ids| !ids.contains(&saga.id)) {
            return Ok(None);
        }
        saga.compensated = compensated(db, &model, &saga, &stored, kept.as_deref())?;
        saga.context = saga.context.filter(|_| query.payloads);
        Ok(matches(&saga, &query, times).then_some(saga))
    })
    .await?;
    Ok(Sagas { now, chunks: Box::pin(rows) })
}

/// The columns of a message up to its payload; what follows is the status of its saga.
pub(super) const fn message_columns(kind: Mailbox) -> &'static str {
    match kind {
        Mailbox::Out => {
            "SELECT m.id, NULL, m.saga_id, m.aggregation_id, m.step_id, m.topic, m.message_key, m.status, m.attempts,
                m.next_attempt_at, m.last_error, m.sent_at, m.created_at, m.updated_at,
                m.updated_at || ' ' || m.attempts || ' ' || m.next_attempt_at, m.payload"
        }
        Mailbox::In => {
            "SELECT m.id, m.event_id, m.saga_id, m.aggregation_id, NULL, m.event_type, m.correlation_id, m.status,
                m.attempts, m.next_attempt_at, m.last_error, m.processed_at, m.created_at, m.updated_at,
                m.updated_at || ' ' || m.attempts || ' ' || m.next_attempt_at, m.payload"
        }
    }
}

fn wants(message: &Message, query: &MessageQuery, times: &Times) -> bool {
    let dead = |bound| message.status == MessageStatus::Failed || (message.is_taken() && message.idle > micros(bound));
    let named = |id: &String| uuid(id).as_ref() == Some(&message.id) || message.event.as_ref() == Some(id);
    let about =
        |id: &String| (uuid(id).is_some() && uuid(id) == message.saga) || message.aggregation.as_ref() == Some(id);
    let contains = |text: &String| message.error.as_ref().is_some_and(|error| error.contains(text.as_str()));
    (query.ids.is_empty() || query.ids.iter().any(named))
        && (query.statuses.is_empty() || query.statuses.contains(&message.status))
        && query.dead.is_none_or(dead)
        && query.saga.as_ref().is_none_or(about)
        && query.topic.as_ref().is_none_or(|topic| [&message.topic, &message.step].contains(&&Some(topic.clone())))
        && query.error.as_ref().is_none_or(contains)
        && times.hold(message.updated)
}

pub(super) async fn messages(
    db: &Arc<Sqlite>,
    models: &Models,
    kind: Mailbox,
    box_: &Table,
    query: &MessageQuery,
) -> Result<Messages> {
    let mut sql = Sql::new(message_columns(kind)).then(", ");
    let senders = models.senders(kind, box_);
    // With NULL behind it, so that one sub-query is enough for coalesce().
    sql = sql.then("coalesce(");
    for model in &senders {
        sql = table(sql.then("(SELECT s.status FROM "), &model.state)?.then(" AS s WHERE s.id = m.saga_id), ");
    }
    sql = table(sql.then("NULL, NULL) FROM "), box_)?.then(" AS m");
    let sql = sql.then(if query.oldest_first {
        " ORDER BY m.updated_at, m.id"
    } else {
        " ORDER BY m.updated_at DESC, m.id DESC"
    });
    let (query, shown) = (query.clone(), box_.shown());
    let mut times = None;
    let (now, rows) = streamed(db, sql, query.limit, move |_, row, now| {
        let times = times.get_or_insert_with(|| Times::of(query.since, query.until, query.older_than, now));
        let mut message = cells::message(row, kind, &shown, now);
        message.payload = message.payload.filter(|_| query.payloads);
        Ok(wants(&message, &query, times).then_some(message))
    })
    .await?;
    Ok(Messages { now, chunks: Box::pin(rows) })
}

type Chunks<T> = std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<Vec<T>>> + Send>>;

/// Reads rows on the connection's thread and sends what `read` keeps, up to a limit and as long as the stream is
/// open.
async fn streamed<T: Send + 'static>(
    db: &Arc<Sqlite>,
    sql: Sql,
    limit: Option<i64>,
    mut read: impl FnMut(&Connection, &Row<'_>, Timestamp) -> Result<Option<T>> + Send + 'static,
) -> Result<(Timestamp, Chunks<T>)> {
    let (send, mut receive) = mpsc::channel::<Result<Vec<T>>>(4);
    let (clock, told) = tokio::sync::oneshot::channel();
    let complaints = send.clone();
    db.start(
        move |connection| {
            let snapshot = connection.transaction().map_err(error_from)?;
            let (_, at) = now(&snapshot)?;
            let _ = clock.send(at);
            let mut chunk = Vec::new();
            let mut statement = snapshot.prepare(sql.as_str()).map_err(error_from)?;
            let mut rows = statement.query([]).map_err(error_from)?;
            let mut left = limit.unwrap_or(i64::MAX);
            while left > 0
                && let Some(row) = rows.next().map_err(error_from)?
            {
                let Some(kept) = read(&snapshot, row, at)? else { continue };
                left -= 1;
                chunk.push(kept);
                if chunk.len() == CHUNK && send.blocking_send(Ok(std::mem::take(&mut chunk))).is_err() {
                    break;
                }
            }
            if !chunk.is_empty() {
                drop(send.blocking_send(Ok(chunk)));
            }
            Ok(())
        },
        move |error| drop(complaints.blocking_send(Err(error))),
    )?;
    match told.await {
        Ok(now) => {
            let chunks = stream::poll_fn(move |context| receive.poll_recv(context));
            Ok((now, Box::pin(chunks)))
        }
        Err(_) => match receive.recv().await {
            Some(Err(error)) => Err(error),
            _ => Err(Error::new(ErrorKind::Internal, "the SQLite thread ended early")),
        },
    }
}

pub(super) fn census(db: &Connection, models: &Models) -> Result<Census> {
    let (_, now) = now(db)?;
    let mut census = Census { now: Some(now), ..Census::default() };
    let mut waiting: Vec<Saga> = Vec::new();
    let mut ignored: Vec<(String, Option<Timestamp>)> = Vec::new();
    for model in &models.models {
        let sql = table(select(model).then(" FROM "), &model.state)?.then(" AS s");
        let mut trouble = None;
        rows(db, &sql, [], |row| {
            let (mut saga, stored, kept) = cells::saga(row, "", now);
            match compensated(db, model, &saga, &stored, kept.as_deref()) {
                Ok(compensated) => saga.compensated = compensated,
                Err(error) => trouble = Some(error),
            }
            let state = State::of(&saga);
            let since = if state.since_deadline() { saga.deadline } else { saga.updated };
            count(&mut census.sagas, model.state.number, state.name(), since);
            waiting.extend(Some(saga).filter(|saga| saga.awaiting.is_some()));
        })?;
        trouble.map_or(Ok(()), Err)?;
    }
    for (kind, box_) in models.mailboxes() {
        let sql = table(Sql::new(message_columns(kind)).then(", NULL FROM "), box_)?.then(" AS m");
        rows(db, &sql, [], |row| {
            let message = cells::message(row, kind, "", now);
            let left = micros(crate::rules::LEFT);
            if message.status == MessageStatus::Failed || (message.is_taken() && message.idle > left) {
                census.dead += 1;
                census.oldest_dead = [census.oldest_dead, message.updated].into_iter().flatten().min();
            }
            if message.status == MessageStatus::Pending && message.late().is_some() {
                census.add_late(kind, 1, message.next);
            }
            if message.status == MessageStatus::Ignored {
                let unheard = waiting.iter().find(|saga| missed(saga, &message));
                ignored.extend(unheard.map(|saga| (saga.id.clone(), message.updated)));
            }
            count(&mut census.messages, box_.number, message.status.as_str(), message.updated);
        })?;
    }
    let oldest = ignored.iter().filter_map(|(_, at)| *at).min();
    ignored.sort();
    ignored.dedup_by(|left, right| left.0 == right.0);
    census.ignored = (i64::try_from(ignored.len()).unwrap_or(i64::MAX), oldest);
    Ok(census)
}

/// Whether an ignored event is for this saga and fits what it waits for by its type or correlation id.
fn missed(saga: &Saga, message: &Message) -> bool {
    let own = match &message.saga {
        Some(id) => *id == saga.id,
        None => message.aggregation.as_ref() == Some(&saga.aggregation),
    };
    own && saga.awaiting.as_ref().is_some_and(|awaiting| {
        message.topic.as_ref().is_some_and(|topic| awaiting.types.contains(topic))
            || (awaiting.correlation.is_some() && awaiting.correlation == message.key)
    })
}

fn count(groups: &mut Vec<Group>, table: i64, state: &str, since: Option<Timestamp>) {
    match groups.iter_mut().find(|group| group.table == table && group.state == state) {
        Some(group) => {
            group.count += 1;
            group.oldest = [group.oldest, since].into_iter().flatten().min();
        }
        None => groups.push(Group { table, state: state.to_owned(), count: 1, oldest: since }),
    }
}

/// The output of the newest real success of a step, among the sagas that changed last.
pub(super) fn output_of(db: &Connection, model: &Model, saga: Option<&str>, step: &str) -> Result<Option<String>> {
    let sql = table(select(model).then(" FROM "), &model.state)?.then(" AS s ORDER BY s.updated_at DESC LIMIT ?1");
    let mut statement = db.prepare(sql.as_str()).map_err(error_from)?;
    let mut rows = statement.query(params![2000]).map_err(error_from)?;
    while let Some(row) = rows.next().map_err(error_from)? {
        let (found, stored, kept) = cells::saga(row, "", Timestamp::NEG_INFINITY);
        if saga.is_some() && found.name.as_deref() != saga {
            continue;
        }
        let steps = match (&model.history, kept) {
            (Some(history), _) => entries(db, history, &stored)?,
            (None, Some(kept)) => Entry::list(&kept).unwrap_or_default(),
            (None, None) => Vec::new(),
        };
        let success =
            |entry: &&Entry| entry.executes() && entry.is("SUCCESS") && entry.step_id == step && !entry.skipped;
        if let Some(entry) = steps.iter().rev().find(success) {
            return Ok(entry.output.clone());
        }
    }
    Ok(None)
}
