//! Lists of sagas and of messages, over one table or several: pages are merged, streams follow one another.

use std::cmp::Reverse;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};

use super::handle::Sagas;
use super::message::{Mailbox, Message, MessageStatus};
use super::names::{MessageState, SagaOrder, SagaState};
use super::port::{MessageQuery, Messages, Order, SagaQuery, SagaStore, Sagas as Rows};
use super::record::{Saga, Status};
use super::rules::LEFT;
use super::shape::{Model, Models, Table};
use super::state::State;
use super::view;
use sen_model::error::{Error, Result};
use sen_model::listing::{Choice as _, Listing, Page, Part, Parts, Period, one_part, parts};
use sen_model::record::Record;
use sen_model::system::MENTIONS;
use sen_model::time::Timestamp;

/// How many sagas of a table are looked at for the names of definitions.
const LOOKED_AT: i64 = 1000;

/// Which sagas.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SagaFilter {
    /// In one of these states; empty: all.
    pub states: Vec<SagaState>,
    /// In this table: its name, or schema.name.
    pub table: Option<String>,
    /// Of this definition.
    pub name: Option<String>,
    /// About this.
    pub aggregation: Option<String>,
    /// Only active ones without a deadline, unchanged for a while.
    pub stuck: bool,
    /// Only active ones whose deadline has passed.
    pub due: bool,
    /// Whose last error contains this text.
    pub error: Option<String>,
    /// When they last changed.
    pub period: Period,
    /// Which part of them.
    pub page: Page<SagaOrder>,
}

impl SagaFilter {
    fn order(&self) -> (Order, bool) {
        let (order, largest_first) = match self.page.order {
            None if self.page.limit.is_none() => (Order::Stored, false),
            None | Some(SagaOrder::Updated) => (Order::Updated, true),
            Some(SagaOrder::Created) => (Order::Created, true),
            Some(SagaOrder::Deadline) => (Order::Deadline, false),
        };
        (order, largest_first != self.page.reverse)
    }

    pub(crate) fn query(&self) -> SagaQuery {
        let (stored, judged) = states(&self.states);
        let (order, descending) = self.order();
        SagaQuery {
            stored,
            judged,
            stuck: self.stuck,
            due: self.due,
            ids: None,
            name: self.name.clone(),
            aggregation: self.aggregation.clone(),
            error: self.error.clone(),
            older_than: self.period.older_than,
            since: self.period.since,
            until: self.period.until,
            order,
            descending,
            limit: self.page.one_more(),
            payloads: self.page.payloads,
        }
    }
}

/// Which messages.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MessageFilter {
    /// In one of these states; empty: all.
    pub states: Vec<MessageState>,
    /// Of mailboxes of the sagas in this table.
    pub table: Option<String>,
    /// Only what failed, or was taken long ago and never finished.
    pub stuck: bool,
    /// Of this saga.
    pub saga: Option<String>,
    /// Of this topic, event type or step.
    pub topic: Option<String>,
    /// Whose last error contains this text.
    pub error: Option<String>,
    /// When they last changed.
    pub period: Period,
    /// Which part of them; they have one order, the one changed last first.
    pub page: Page<std::convert::Infallible>,
}

/// The stored statuses and judged states that the names given mean. A name can be both: then the wider one counts, but for
/// `failed`, which is what `status` counts under that name.
fn states(wanted: &[SagaState]) -> (Vec<String>, Vec<&'static str>) {
    let (mut stored, mut judged) = (Vec::new(), Vec::new());
    for name in wanted.iter().map(|state| state.name()) {
        let status = Status::parse(&name.to_ascii_uppercase());
        if let Some(known) = status.name().filter(|known| *known != State::Failed.name()) {
            debug_assert_eq!(known, name);
            stored.push(status.as_str().to_owned());
        }
        // Rolled back sagas were FAILED in the versions that do not know COMPENSATED.
        if let Some(state) = State::parse(name)
            && (status.name().is_none() || matches!(state, State::Compensated | State::Failed))
        {
            judged.push(state.name());
        }
    }
    (stored, judged)
}

/// The statuses of messages that the names given mean.
///
/// # Errors
/// `Usage` for one that this kind of mailbox does not have.
pub(super) fn statuses(kind: Mailbox, wanted: &[MessageState]) -> Result<Vec<MessageStatus>> {
    use MessageState::{Applied, Dispatching, Failed, Ignored, Pending, Processing, Sent};
    let known: &[MessageState] = match kind {
        Mailbox::Out => &[Pending, Dispatching, Sent, Failed],
        Mailbox::In => &[Pending, Processing, Applied, Ignored, Failed],
    };
    if let Some(odd) = wanted.iter().find(|state| !known.contains(state)) {
        let names: Vec<&str> = known.iter().map(|state| state.name()).collect();
        return Err(Error::usage(format!("invalid state {:?} of an {} message", odd.name(), kind.name()))
            .with_hint(format!("possible: {}", names.join(", "))));
    }
    Ok(wanted.iter().map(|state| MessageStatus::parse(state.name().to_ascii_uppercase())).collect())
}

impl Sagas {
    /// The sagas that match.
    ///
    /// # Errors
    /// What the store reports; `NoSystem` when there are no sagas here.
    pub async fn list(&self, filter: &SagaFilter) -> Result<Listing> {
        let query = filter.query();
        let models = self.models().await?;
        let picked: VecDeque<Model> = models.picked(filter.table.as_deref())?.into_iter().cloned().collect();
        let (now, parts) = match filter.page.limit {
            Some(limit) => {
                let (now, sagas) = self.page_of_sagas(picked, query).await?;
                (now, page(sagas, limit, view::saga_row))
            }
            None => self.stream_of_sagas(picked, query).await?,
        };
        Ok(Listing { columns: view::SAGA_COLUMNS, now, parts })
    }

    /// Names of definitions, as far as a bounded look finds them: of the first rows of each table as they are stored.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn definitions(&self) -> Result<BTreeSet<String>> {
        let query = SagaQuery { limit: Some(LOOKED_AT), ..SagaFilter::default().query() };
        let query = SagaQuery { order: Order::Stored, descending: false, ..query };
        let models = self.models().await?;
        let (_, sagas) = self.page_of_sagas(models.models.iter().cloned().collect(), query).await?;
        Ok(sagas.into_iter().filter_map(|saga| saga.name).collect())
    }

    /// The ids of the sagas that match: the set of a bulk act, fixed before anything is written.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn ids(&self, filter: &SagaFilter) -> Result<Vec<String>> {
        let models = self.models().await?;
        let picked = models.picked(filter.table.as_deref())?.into_iter().cloned().collect();
        let (_, sagas) = self.page_of_sagas(picked, filter.query()).await?;
        let limit = filter.page.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(sagas.into_iter().map(|saga| saga.id).take(limit).collect())
    }

    async fn page_of_sagas(&self, models: VecDeque<Model>, query: SagaQuery) -> Result<(Timestamp, Vec<Saga>)> {
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
        Ok((now, all))
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

    /// The messages that match.
    ///
    /// # Errors
    /// As [`Self::list`]; `Usage` for a state that this kind of mailbox does not have.
    pub async fn messages(&self, kind: Mailbox, filter: &MessageFilter) -> Result<Listing> {
        let query = MessageQuery {
            statuses: statuses(kind, &filter.states)?,
            dead: filter.stuck.then_some(LEFT),
            saga: filter.saga.clone(),
            topic: filter.topic.clone(),
            error: filter.error.clone(),
            older_than: filter.period.older_than,
            since: filter.period.since,
            until: filter.period.until,
            oldest_first: filter.page.reverse,
            limit: filter.page.one_more(),
            payloads: filter.page.payloads,
            ..MessageQuery::default()
        };
        let models = self.models().await?;
        let tables: Vec<(Mailbox, Table)> =
            models.boxes(kind, filter.table.as_deref())?.into_iter().map(|table| (kind, table.clone())).collect();
        let (now, parts) = match filter.page.limit {
            Some(limit) => {
                let (now, all) = self.page_of_messages(&models, &tables, &query).await?;
                (now, page(all, limit, view::message_row))
            }
            None => {
                let (now, messages) = stream_of_messages(&self.store, &models, tables, query).await?;
                (now, parts(messages, None, view::message_row))
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
        let ask = |at: usize| {
            let (kind, table) = &tables[at];
            self.store.messages(models, *kind, table, query)
        };
        // What is read in one piece is asked at once; of what is read row by row one follows the other.
        let mut asked = match query.names_one() {
            true => join_all((0..tables.len()).map(ask)).await.into(),
            false => VecDeque::new(),
        };
        for at in 0..tables.len() {
            let mut rows = match asked.pop_front() {
                Some(rows) => rows?,
                None => ask(at).await?,
            };
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
        let mut asked = Vec::new();
        for (kind, tables) in [(Mailbox::Out, &models.outboxes), (Mailbox::In, &models.inboxes)] {
            let tables: Vec<(Mailbox, Table)> = tables.iter().map(|table| (kind, table.clone())).collect();
            for name in names.iter().filter(|_| !tables.is_empty()) {
                let query = MessageQuery {
                    saga: Some(name.clone()),
                    statuses: vec![MessageStatus::Pending, kind.taken(), MessageStatus::Failed, MessageStatus::Ignored],
                    limit: i64::try_from(MENTIONS + 1).ok(),
                    ..MessageQuery::default()
                };
                let tables = tables.clone();
                asked.push(async move { self.page_of_messages(models, &tables, &query).await });
            }
        }
        let mut found = Vec::new();
        for messages in join_all(asked).await {
            found.extend(messages?.1.into_iter().map(|message| message.id));
        }
        Ok(found)
    }

    /// The messages with this id in either kind of table, and the database's clock.
    pub(super) async fn messages_of(&self, models: &Models, id: &str) -> Result<Vec<(Message, Timestamp)>> {
        let query = MessageQuery { ids: vec![id.to_owned()], payloads: true, ..MessageQuery::default() };
        let tables: Vec<(Mailbox, Table)> = models.mailboxes().map(|(kind, table)| (kind, table.clone())).collect();
        let (now, messages) = self.page_of_messages(models, &tables, &query).await?;
        Ok(messages.into_iter().map(|message| (message, now)).collect())
    }
}

fn page<T>(mut all: Vec<T>, limit: u64, row: impl Fn(T) -> sen_model::value::Row) -> Parts {
    let keep = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = all.len() > keep;
    all.truncate(keep);
    one_part(all.into_iter().map(row).collect(), more)
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
        assert_eq!(states(&[SagaState::Running, SagaState::Stuck]), (vec!["RUNNING".into()], vec!["stuck"]));
        assert_eq!(states(&[SagaState::Compensated]), (vec!["COMPENSATED".into()], vec!["compensated"]));
        assert_eq!(states(&[SagaState::Failed]), (vec![], vec!["failed"]));
        for state in SagaState::ALL {
            let (stored, judged) = states(&[*state]);
            assert!(stored.len() + judged.len() > 0, "{state:?}");
        }
        assert_eq!(statuses(Mailbox::In, &[MessageState::Ignored]).unwrap(), [MessageStatus::Ignored]);
        assert!(statuses(Mailbox::Out, &[MessageState::Ignored]).is_err());
    }
}
