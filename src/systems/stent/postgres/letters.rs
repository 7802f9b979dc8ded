//! Dead letters in PostgreSQL: reading and changing them, by the statements of `statements.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio_postgres::types::{ToSql, Type};

use super::reading::{Answers, CLOCK, Stamp, all, is_other, kept_of_batch, places, settled, some, texts};
use super::statements::{
    AROUND, COPIES, DEATHS, LEFT, NEWEST_FIRST, NEWEST_PAGE, OLDEST_FIRST, OLDEST_PAGE, READY, RECORDED, REMOVE,
    REMOVE_WITHOUT_RECORD, REMOVED, REMOVED_WITHOUT_RECORD, REPLAY, REPLAY_EDITED, REPLAY_WITHOUT_RECORD, REPLAYED,
    REPLAYED_WITHOUT_RECORD, SIGNED, TASKS_AMONG, TWINS, UNORDERED, UNUSUAL,
};
use super::undo::{REMOVAL_ROWS, REPLAY_ROWS};
use crate::letters::edit::{Edited, base64};
use crate::letters::note::mark;
use crate::letters::port::{Batch, Death, Fact, Facts, LetterQuery, LetterStore, deaths};
use crate::letters::steps::Around;
use crate::letters::targets::{DeadLetterRef, Places};
use crate::port::Chunks;
use crate::rows;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::ident::OperationId;
use sen_model::permit::WritePermit;
use sen_model::time::Timestamp;
use sen_stores::postgres::Postgres;
use sen_stores::postgres::decode::Cells;
use sen_stores::postgres::outcome::{Proof, Written};
use sen_stores::postgres::read::{Query, chunks};
use sen_stores::postgres::shared::SharedConnection;
use sen_stores::postgres::write::{Keep, Left};
use sen_stores::sql::Sql;

/// Stent's dead letters in one PostgreSQL database.
pub struct PostgresLetters {
    link: Arc<SharedConnection>,
    /// Whether `execution_progress` is there, to keep the record of an act.
    records: AtomicBool,
    /// Names the transactions of this connection where another one works for the same operation.
    mark: Option<OperationId>,
}

impl PostgresLetters {
    /// Over a shared connection.
    pub fn new(link: Arc<SharedConnection>) -> Self {
        Self { link, records: AtomicBool::new(true), mark: None }
    }
}

/// How a batch shows once it is committed. The record names the operation of the plan, whichever connection wrote it.
fn proof<'a>(
    letters: &'a [DeadLetterRef],
    sql: &'static Sql,
    permit: &'a WritePermit,
) -> impl Fn(&Written<'_>) -> Proof + Send + Sync + 'a {
    move |written| {
        let taken: Vec<DeadLetterRef> =
            places(written.rows).into_iter().filter_map(|at| letters.get(at)).cloned().collect();
        let Bundle { ids, moved, fresh } = Bundle::of(&taken);
        Proof::new(sql.clone())
            .with(ids, Type::TEXT_ARRAY)
            .with(moved, Type::TIMESTAMP_ARRAY)
            .with(fresh, Type::TEXT_ARRAY)
            .with(mark(permit), Type::TEXT)
    }
}

/// The conditions of a query as they are bound.
struct Bound {
    kinds: Option<Vec<String>>,
    since: Option<Stamp>,
    until: Option<Stamp>,
}

impl Bound {
    fn of(query: &LetterQuery) -> Self {
        Self {
            kinds: (!query.kinds.is_empty()).then(|| query.kinds.clone()),
            since: query.since.map(Stamp),
            until: query.until.map(Stamp),
        }
    }

    fn params<'a>(&'a self, query: &'a LetterQuery) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
        vec![
            (&query.ids, Type::TEXT_ARRAY),
            (&self.kinds, Type::TEXT_ARRAY),
            (&query.queue, Type::TEXT),
            (&query.step, Type::TEXT),
            (&query.error, Type::TEXT),
            (&query.worker, Type::TEXT),
            (&self.since, Type::TIMESTAMP),
            (&self.until, Type::TIMESTAMP),
            (&query.ahead, Type::INT8),
        ]
    }

    /// The same for a statement that tells everything of letters.
    fn told<'a>(&'a self, query: &'a LetterQuery) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
        let mut params = self.params(query);
        params.extend([
            (&query.texts as &(dyn ToSql + Sync), Type::BOOL),
            (&query.dump, Type::BOOL),
            (&query.limit, Type::INT8),
        ]);
        params
    }
}

/// The letters of a batch as they are bound.
struct Bundle {
    ids: Vec<String>,
    moved: Vec<Option<Stamp>>,
    fresh: Vec<String>,
}

impl Bundle {
    fn of(letters: &[DeadLetterRef]) -> Self {
        Self {
            ids: letters.iter().map(|letter| letter.id.clone()).collect(),
            moved: letters.iter().map(|letter| letter.moved_at.map(Stamp)).collect(),
            fresh: letters.iter().map(|letter| letter.fresh.clone()).collect(),
        }
    }

    fn params(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        vec![(&self.ids, Type::TEXT_ARRAY), (&self.moved, Type::TIMESTAMP_ARRAY), (&self.fresh, Type::TEXT_ARRAY)]
    }

    /// The query for where a statement changed only some of them.
    fn left(&self) -> Left<'_> {
        let params: [(&(dyn ToSql + Sync), Type); 2] =
            [(&self.ids, Type::TEXT_ARRAY), (&self.moved, Type::TIMESTAMP_ARRAY)];
        Left { wanted: self.ids.len(), ask: Query::new(&LEFT, params) }
    }
}

/// The edits of a batch as they are bound: args and kwargs as seen and as they become, and what is recorded of them.
#[derive(Default)]
struct Edits {
    columns: [Vec<String>; 5],
}

impl Edits {
    /// `None` where nothing is edited.
    ///
    /// # Errors
    /// `Internal` where some are edited and others are not: one statement either edits all or none.
    fn of(letters: &[DeadLetterRef]) -> Result<Option<Self>> {
        let mut edits = Self::default();
        let all: Vec<&Edited> = letters.iter().filter_map(|letter| letter.edit.as_deref()).collect();
        if all.is_empty() {
            return Ok(None);
        }
        if all.len() < letters.len() {
            return Err(Error::new(ErrorKind::Internal, "a plan edits some of its dead letters and not others"));
        }
        for edit in all {
            let Edited { seen, to } = edit;
            let cells = [base64(&seen.args), base64(&seen.kwargs), base64(&to.args), base64(&to.kwargs), edit.record()];
            edits.columns.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell));
        }
        Ok(Some(edits))
    }

    fn params(&self) -> impl Iterator<Item = (&(dyn ToSql + Sync), Type)> {
        self.columns.iter().map(|column| (column as &(dyn ToSql + Sync), Type::TEXT_ARRAY))
    }
}

#[async_trait]
impl LetterStore for PostgresLetters {
    fn database(&self) -> &str {
        self.link.describe()
    }

    fn keeps_records(&self) -> bool {
        self.records.load(Ordering::Relaxed)
    }

    async fn ready(&self) -> Result<(Timestamp, bool)> {
        let rows = self.link.ask(Query::new(&READY, [])).await?;
        let Some(row) = rows.first() else { return Ok((Timestamp::NEG_INFINITY, false)) };
        let mut cells = Cells::new(row);
        self.records.store(cells.flag(2).unwrap_or(false), Ordering::Relaxed);
        Ok((cells.time(0).unwrap_or(Timestamp::NEG_INFINITY), cells.flag(1).unwrap_or(false)))
    }

    async fn look(&self, query: &LetterQuery) -> Result<Facts> {
        let bound = Bound::of(query);
        let sql = match (query.unordered, query.newest_first, query.limit.is_some()) {
            (true, ..) => &UNORDERED,
            (false, true, true) => &NEWEST_PAGE,
            (false, true, false) => &NEWEST_FIRST,
            (false, false, true) => &OLDEST_PAGE,
            (false, false, false) => &OLDEST_FIRST,
        };
        let ask = Query::new(sql, bound.told(query));
        if query.ids.is_some() {
            let facts = all(&self.link.ask(ask).await?, rows::fact);
            return Ok(Facts { chunks: Box::pin(stream::iter([Ok(facts)])) });
        }
        let (_, rows) = self.link.snapshot_stream(&Query::new(&CLOCK, []), &ask).await?;
        Ok(Facts { chunks: Box::pin(chunks(rows, |row| rows::fact(&mut Cells::new(row)))) })
    }

    async fn deaths(&self, query: &LetterQuery) -> Result<Chunks<Death>> {
        if query.ids.is_some() || query.queue.is_some() || query.worker.is_some() {
            return Ok(deaths(self.look(query).await?));
        }
        let bound = Bound::of(query);
        let ask = Query::new(&DEATHS, bound.params(query));
        let (_, rows) = self.link.snapshot_stream(&Query::new(&CLOCK, []), &ask).await?;
        let unusual = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&unusual);
        let usual = chunks(rows, move |row| {
            let mut cells = Cells::new(row);
            let usual = cells.flag(5) == Some(true);
            seen.fetch_or(!usual, Ordering::Relaxed);
            usual.then(|| rows::death(&mut cells))
        });
        let usual = usual.map_ok(|deaths| deaths.into_iter().flatten().collect());
        // In a snapshot of their own: no letter becomes another kind of dump.
        let (link, query) = (Arc::clone(&self.link), query.clone());
        let rest = async move {
            if !unusual.load(Ordering::Relaxed) {
                return Ok(stream::empty().boxed());
            }
            let bound = Bound::of(&query);
            let ask = Query::new(&UNUSUAL, bound.told(&query));
            let (_, rows) = link.snapshot_stream(&Query::new(&CLOCK, []), &ask).await?;
            let facts = chunks(rows, |row| rows::fact(&mut Cells::new(row)));
            Ok(deaths(Facts { chunks: Box::pin(facts) }))
        };
        Ok(Box::pin(usual.chain(stream::once(rest).try_flatten())))
    }

    async fn replay(&self, batch: &Batch<'_>, permit: &WritePermit) -> Result<Places> {
        let bundle = Bundle::of(batch.letters);
        let mut params = bundle.params();
        params.extend([
            (&batch.queue as &(dyn ToSql + Sync), Type::TEXT),
            (&batch.force, Type::BOOL),
            (&batch.ahead, Type::INT8),
            (&batch.note, Type::TEXT),
        ]);
        let records = self.records.load(Ordering::Relaxed);
        let edits = Edits::of(batch.letters)?;
        params.extend(edits.iter().flat_map(Edits::params));
        let sql = match (&edits, records) {
            (Some(_), _) => &REPLAY_EDITED,
            (None, true) => &REPLAY,
            (None, false) => &REPLAY_WITHOUT_RECORD,
        };
        let change = Query::new(sql, params);
        let proof = proof(batch.letters, if records { &REPLAYED } else { &REPLAYED_WITHOUT_RECORD }, permit);
        let operation = self.mark.unwrap_or(permit.operation());
        let (left, rows) = (bundle.left(), Query::new(&REPLAY_ROWS, bundle.params()));
        let keep = Keep { ask: Some(rows), of: &kept_of_batch };
        Ok(settled(self.link.change_keeping(&change, Some(&left), Some(&keep), &proof, operation).await?))
    }

    async fn remove(&self, batch: &Batch<'_>, permit: &WritePermit) -> Result<Places> {
        let bundle = Bundle::of(batch.letters);
        let mut params = bundle.params();
        params.push((&batch.note, Type::TEXT));
        let records = self.records.load(Ordering::Relaxed);
        let change = Query::new(if records { &REMOVE } else { &REMOVE_WITHOUT_RECORD }, params);
        let proof = proof(batch.letters, if records { &REMOVED } else { &REMOVED_WITHOUT_RECORD }, permit);
        let operation = self.mark.unwrap_or(permit.operation());
        let (left, rows) = (bundle.left(), Query::new(&REMOVAL_ROWS, bundle.params().into_iter().take(2)));
        let keep = Keep { ask: Some(rows), of: &kept_of_batch };
        Ok(settled(self.link.change_keeping(&change, Some(&left), Some(&keep), &proof, operation).await?))
    }

    async fn lane(&self) -> Option<Box<dyn LetterStore>> {
        let again = self.link.again().info().clone();
        let db = Postgres::connect(&again).await.ok()?;
        let records = AtomicBool::new(self.records.load(Ordering::Relaxed));
        let link = Arc::new(SharedConnection::new(db, None, again, &[]));
        Some(Box::new(Self { link, records, mark: Some(OperationId::fresh()) }))
    }

    async fn whereabouts(&self, letters: &[DeadLetterRef], ahead: i64) -> Result<(Vec<Fact>, Vec<String>)> {
        let bundle = Bundle::of(letters);
        let dump = letters.iter().any(|letter| letter.edit.is_some());
        let query = LetterQuery { ids: Some(bundle.ids.clone()), dump, ahead, ..LetterQuery::default() };
        let bound = Bound::of(&query);
        let asks = [
            Query::new(&UNORDERED, bound.told(&query)),
            Query::new(&TASKS_AMONG, [(&bundle.fresh as _, Type::TEXT_ARRAY)]),
        ];
        let mut answers = Answers::of(&self.link, &asks).await?;
        let (facts, made) = (answers.take()?, answers.take()?);
        Ok((all(&facts, rows::fact), texts(&made)))
    }

    async fn around(&self, letters: &[String], ahead: i64, limit: usize) -> Result<Vec<Around>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let params: [(&(dyn ToSql + Sync), Type); 3] =
            [(&letters, Type::TEXT_ARRAY), (&ahead, Type::INT8), (&limit, Type::INT8)];
        let rows = match self.link.ask(Query::new(&AROUND, params).or_nothing()).await {
            // Tables of another version: nothing is known about their columns.
            Err(error) if is_other(&error) => return Ok(Vec::new()),
            other => other?,
        };
        Ok(some(&rows, rows::around))
    }

    async fn copies(&self, letters: &[DeadLetterRef]) -> Result<Vec<(String, String)>> {
        let bundle = Bundle::of(letters);
        let params: [(&(dyn ToSql + Sync), Type); 2] =
            [(&bundle.ids, Type::TEXT_ARRAY), (&bundle.fresh, Type::TEXT_ARRAY)];
        Ok(some(&self.link.ask(Query::new(&COPIES, params)).await?, rows::pair))
    }

    async fn recorded(&self, tasks: &[String]) -> Result<Vec<String>> {
        if tasks.is_empty() || !self.records.load(Ordering::Relaxed) {
            return Ok(Vec::new());
        }
        let rows = self.link.ask(Query::new(&RECORDED, [(&tasks as _, Type::TEXT_ARRAY)])).await?;
        Ok(texts(&rows))
    }

    async fn signed(&self, letters: &[DeadLetterRef], mark: &str) -> Result<Option<Vec<String>>> {
        if !self.records.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let Bundle { ids, fresh, .. } = Bundle::of(letters);
        let params: [(&(dyn ToSql + Sync), Type); 3] =
            [(&ids, Type::TEXT_ARRAY), (&fresh, Type::TEXT_ARRAY), (&mark, Type::TEXT)];
        Ok(Some(texts(&self.link.ask(Query::new(&SIGNED, params)).await?)))
    }

    async fn twins(&self) -> Result<Vec<(String, String)>> {
        Ok(some(&self.link.ask(Query::new(&TWINS, [])).await?, rows::pair))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sen_model::letters::Arguments;

    #[test]
    fn a_batch_is_edited_whole_or_not_at_all() {
        let plain = DeadLetterRef::new("a", None);
        let arguments = |args: &str| Arguments { args: args.into(), kwargs: "{}".into() };
        let edit = Edited { seen: arguments("[1]"), to: arguments("[2]") };
        let edited = DeadLetterRef { edit: Some(Arc::new(edit)), ..DeadLetterRef::new("b", None) };
        assert!(Edits::of(std::slice::from_ref(&plain)).unwrap().is_none());
        assert!(Edits::of(std::slice::from_ref(&edited)).unwrap().is_some());
        assert!(Edits::of(&[edited, plain]).is_err(), "nothing runs with arguments that nobody consented to");
    }
}
