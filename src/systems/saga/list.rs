//! Lists of sagas and of messages, over one table or several: pages are merged, streams follow one another.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};

use super::handle::Sagas;
use super::names::{STATES, flag, kind};
use super::port::{MessageQuery, Messages, Order, SagaQuery, SagaStore, Sagas as Rows};
use super::record::{Mailbox, Message, Saga, Status};
use super::rules::LEFT;
use super::shape::{Model, Models, Table};
use super::state::State;
use super::view;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::listing::{Filter, Listing, Part};
use sen_model::record::Record;
use sen_model::system::MENTIONS;
use sen_model::time::Timestamp;

fn order(filter: &Filter) -> Result<(Order, bool)> {
    let (order, newest_first) = match filter.sort.as_deref() {
        None if filter.limit.is_none() => (Order::Stored, false),
        None | Some("updated") => (Order::Updated, true),
        Some("created") => (Order::Created, true),
        Some("deadline") => (Order::Deadline, false),
        Some(other) => {
            return Err(
                Error::usage(format!("cannot sort by {other:?}")).with_hint("known orders: updated, created, deadline")
            );
        }
    };
    Ok((order, newest_first != filter.reverse))
}

/// One more than the limit, so that it is known whether more match.
fn one_more(limit: Option<u64>) -> Option<i64> {
    limit.map(|limit| i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX))
}

/// The stored statuses and judged states that the names given mean. A name can be both: then the wider one counts.
fn states(names: &[String]) -> Result<(Vec<String>, Vec<&'static str>)> {
    let (mut stored, mut judged) = (Vec::new(), Vec::new());
    for name in names {
        if !STATES.contains(&name.as_str()) {
            return Err(Error::usage(format!("no saga is ever {name:?}"))
                .with_hint(format!("known states: {}", STATES.join(", "))));
        }
        let status = Status::parse(&name.to_ascii_uppercase());
        if let Some(known) = status.name() {
            debug_assert_eq!(known, name);
            stored.push(status.as_str().to_owned());
        }
        // Rolled back sagas were FAILED in the versions that do not know COMPENSATED.
        if let Some(state) = State::parse(name)
            && (status.name().is_none() || state == State::Compensated)
        {
            judged.push(state.name());
        }
    }
    Ok((stored, judged))
}

/// The statuses of messages that the names given mean.
pub(super) fn statuses(kind: Mailbox, names: &[String]) -> Result<Vec<String>> {
    let known: &[&str] = match kind {
        Mailbox::Out => &["PENDING", "DISPATCHING", "SENT", "FAILED"],
        Mailbox::In => &["PENDING", "PROCESSING", "APPLIED", "IGNORED", "FAILED"],
    };
    let mut out = Vec::new();
    for name in names {
        let status = name.to_ascii_uppercase();
        if !known.contains(&status.as_str()) {
            return Err(Error::usage(format!("no {} message is ever {name:?}", kind.name()))
                .with_hint(format!("known states: {}", known.join(", ").to_ascii_lowercase())));
        }
        out.push(status);
    }
    Ok(out)
}

impl Sagas {
    pub(super) async fn list_kind(&self, filter: &Filter) -> Result<Listing> {
        match filter.kind {
            "" => self.list_sagas(filter).await,
            kind::OUTBOX => self.list_messages(Mailbox::Out, filter).await,
            kind::INBOX => self.list_messages(Mailbox::In, filter).await,
            other => Err(Error::new(ErrorKind::Internal, format!("sagas have no list of {other}"))),
        }
    }

    async fn list_sagas(&self, filter: &Filter) -> Result<Listing> {
        let (stored, judged) = states(&filter.states)?;
        let (order, descending) = order(filter)?;
        let query = SagaQuery {
            stored,
            judged,
            stuck: filter.flags.contains(&flag::STUCK),
            due: filter.flags.contains(&flag::DUE),
            name: filter.function.clone(),
            aggregation: filter.parent.clone(),
            error: filter.error.clone(),
            older_than: filter.older_than,
            since: filter.since,
            until: filter.until,
            order,
            descending,
            limit: one_more(filter.limit),
            payloads: filter.payloads,
        };
        let models = self.models().await?;
        let picked: VecDeque<Model> = models.picked(filter.namespace.as_deref())?.into_iter().cloned().collect();
        let (now, parts) = match filter.limit {
            Some(limit) => self.page_of_sagas(picked, query, limit).await?,
            None => self.stream_of_sagas(picked, query).await?,
        };
        Ok(Listing { columns: view::SAGA_COLUMNS, now, parts })
    }

    async fn page_of_sagas(&self, models: VecDeque<Model>, query: SagaQuery, limit: u64) -> Result<(Timestamp, Parts)> {
        let mut now = Timestamp::NEG_INFINITY;
        let mut all: Vec<Saga> = Vec::new();
        let several = models.len() > 1;
        for model in models {
            let mut rows = self.store.list(&model, &query).await?;
            now = now.max(rows.now);
            while let Some(chunk) = rows.chunks.next().await {
                all.extend(chunk?);
            }
        }
        if several {
            merge(&mut all, query.order, query.descending);
        }
        Ok((now, page(all, limit, view::saga_row)))
    }

    async fn stream_of_sagas(&self, mut models: VecDeque<Model>, query: SagaQuery) -> Result<(Timestamp, Parts)> {
        let Some(first) = models.pop_front() else { return Ok((Timestamp::here(), Box::pin(stream::empty()))) };
        let rows = self.store.list(&first, &query).await?;
        let now = rows.now;
        // A connection holds one stream at a time: the next table is queried when the previous one is read.
        let state = (Arc::clone(&self.store), models, query, rows);
        let parts = stream::unfold(state, |(store, mut models, query, mut rows)| async move {
            loop {
                if let Some(chunk) = rows.chunks.next().await {
                    let part =
                        chunk.map(|sagas| Part { rows: sagas.into_iter().map(view::saga_row).collect(), more: false });
                    return Some((part, (store, models, query, rows)));
                }
                let model = models.pop_front()?;
                match store.list(&model, &query).await {
                    Ok(next) => rows = next,
                    Err(error) => {
                        models.clear();
                        rows = Rows { now: rows.now, chunks: Box::pin(stream::empty()) };
                        return Some((Err(error), (store, models, query, rows)));
                    }
                }
            }
        });
        Ok((now, Box::pin(parts)))
    }

    async fn list_messages(&self, kind: Mailbox, filter: &Filter) -> Result<Listing> {
        let query = MessageQuery {
            statuses: statuses(kind, &filter.states)?,
            dead: filter.flags.contains(&flag::STUCK).then_some(LEFT),
            saga: filter.parent.clone(),
            topic: filter.function.clone(),
            error: filter.error.clone(),
            older_than: filter.older_than,
            since: filter.since,
            until: filter.until,
            oldest_first: filter.reverse,
            limit: one_more(filter.limit),
            payloads: filter.payloads,
            ..MessageQuery::default()
        };
        let models = self.models().await?;
        let tables: Vec<(Mailbox, Table)> =
            models.boxes(kind, filter.namespace.as_deref())?.into_iter().map(|table| (kind, table.clone())).collect();
        let (now, parts) = match filter.limit {
            Some(limit) => {
                let (now, all) = self.page_of_messages(&models, &tables, &query).await?;
                (now, page(all, limit, view::message_row))
            }
            None => {
                let (now, messages) = stream_of_messages(&self.store, &models, tables, query).await?;
                let parts = messages.map(|chunk| {
                    chunk.map(|messages| Part {
                        rows: messages.into_iter().map(view::message_row).collect(),
                        more: false,
                    })
                });
                (now, Box::pin(parts) as Parts)
            }
        };
        Ok(Listing { columns: view::MESSAGE_COLUMNS, now, parts })
    }

    /// Messages of several tables in one order.
    pub(super) async fn page_of_messages(
        &self,
        models: &Models,
        tables: &[(Mailbox, Table)],
        query: &MessageQuery,
    ) -> Result<(Timestamp, Vec<Message>)> {
        let mut now = Timestamp::NEG_INFINITY;
        let mut all = Vec::new();
        for (kind, table) in tables {
            let mut rows = self.store.messages(models, *kind, table, query).await?;
            now = now.max(rows.now);
            while let Some(chunk) = rows.chunks.next().await {
                all.extend(chunk?);
            }
        }
        if tables.len() > 1 {
            if query.oldest_first {
                all.sort_by_key(|message: &Message| message.updated);
            } else {
                all.sort_by_key(|message| Reverse(message.updated));
            }
        }
        if let Some(limit) = query.limit.and_then(|limit| usize::try_from(limit).ok()) {
            all.truncate(limit);
        }
        Ok((now, all))
    }

    /// Messages with this id, each in depth.
    pub(super) async fn find_messages(&self, models: &Models, id: &str) -> Result<Vec<Record>> {
        let messages = self.messages_of(models, id).await?;
        Ok(messages.into_iter().map(|(message, now)| view::found_message(message, now)).collect())
    }

    /// Ids of messages about one of `names` that are neither sent nor applied.
    pub(super) async fn messages_about(&self, models: &Models, names: &[String]) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for (kind, tables) in [(Mailbox::Out, &models.outboxes), (Mailbox::In, &models.inboxes)] {
            let tables: Vec<(Mailbox, Table)> = tables.iter().map(|table| (kind, table.clone())).collect();
            for name in names.iter().filter(|_| !tables.is_empty()) {
                let query = MessageQuery {
                    saga: Some(name.clone()),
                    statuses: ["PENDING", kind.taken(), "FAILED", "IGNORED"].map(str::to_owned).to_vec(),
                    limit: i64::try_from(MENTIONS + 1).ok(),
                    ..MessageQuery::default()
                };
                let (_, messages) = self.page_of_messages(models, &tables, &query).await?;
                found.extend(messages.into_iter().map(|message| message.id));
            }
        }
        Ok(found)
    }

    /// The messages with this id in either kind of table, and the database's clock.
    pub(super) async fn messages_of(&self, models: &Models, id: &str) -> Result<Vec<(Message, Timestamp)>> {
        let query = MessageQuery { ids: vec![id.to_owned()], payloads: true, ..MessageQuery::default() };
        let mut found = Vec::new();
        for (kind, tables) in [(Mailbox::Out, &models.outboxes), (Mailbox::In, &models.inboxes)] {
            let tables: Vec<(Mailbox, Table)> = tables.iter().map(|table| (kind, table.clone())).collect();
            let (now, messages) = self.page_of_messages(models, &tables, &query).await?;
            found.extend(messages.into_iter().map(|message| (message, now)));
        }
        Ok(found)
    }
}

type Parts = std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<Part>> + Send>>;

fn page<T>(mut all: Vec<T>, limit: u64, row: impl Fn(T) -> sen_model::value::Row) -> Parts {
    let keep = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = all.len() > keep;
    all.truncate(keep);
    let rows = all.into_iter().map(row).collect();
    Box::pin(stream::iter([Ok(Part { rows, more })]))
}

fn merge(sagas: &mut [Saga], order: Order, descending: bool) {
    match order {
        Order::Stored => return,
        Order::Updated => sagas.sort_by_key(|saga| saga.updated),
        Order::Created => sagas.sort_by_key(|saga| saga.created),
        // As the database has it: what has none stands last.
        Order::Deadline => sagas.sort_by_key(|saga| (saga.deadline.is_none() != descending, saga.deadline)),
    }
    if descending {
        sagas.reverse();
    }
}

/// Messages of several tables, one table after the other.
pub(super) async fn stream_of_messages(
    store: &Arc<dyn SagaStore>,
    models: &Arc<Models>,
    tables: Vec<(Mailbox, Table)>,
    query: MessageQuery,
) -> Result<(Timestamp, impl futures_util::Stream<Item = Result<Vec<Message>>> + Send + use<>)> {
    let mut tables: VecDeque<(Mailbox, Table)> = tables.into();
    let rows = match tables.pop_front() {
        Some((kind, table)) => store.messages(models, kind, &table, &query).await?,
        None => Messages { now: Timestamp::here(), chunks: Box::pin(stream::empty()) },
    };
    let now = rows.now;
    let state = (Arc::clone(store), Arc::clone(models), tables, query, rows);
    let parts = stream::unfold(state, |(store, models, mut tables, query, mut rows)| async move {
        loop {
            if let Some(chunk) = rows.chunks.next().await {
                return Some((chunk, (store, models, tables, query, rows)));
            }
            let (kind, table) = tables.pop_front()?;
            match store.messages(&models, kind, &table, &query).await {
                Ok(next) => rows = next,
                Err(error) => {
                    tables.clear();
                    rows = Messages { now: rows.now, chunks: Box::pin(stream::empty()) };
                    return Some((Err(error), (store, models, tables, query, rows)));
                }
            }
        }
    });
    Ok((now, parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_stored_or_judged() {
        let names = |names: &[&str]| states(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(names(&["running", "stuck"]).unwrap(), (vec!["RUNNING".into()], vec!["stuck"]));
        assert_eq!(names(&["compensated"]).unwrap(), (vec!["COMPENSATED".into()], vec!["compensated"]));
        assert_eq!(names(&["failed"]).unwrap(), (vec!["FAILED".into()], vec![]));
        assert!(names(&["lost"]).unwrap_err().hint().unwrap().contains("waiting_event"));
        for name in STATES {
            assert!(names(&[name]).is_ok(), "{name}");
        }
        assert_eq!(statuses(Mailbox::In, &["ignored".into()]).unwrap(), ["IGNORED"]);
        assert!(statuses(Mailbox::Out, &["ignored".into()]).is_err());
    }
}
