//! The journal in PostgreSQL: schema `sen` with `operation` and `operation_item`. Entries are only added, so that who applies a
//! plan on two connections waits for nobody.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::Postgres;
use super::again::Again;
use super::decode::Cells;
use super::limits::{BEGIN, STATEMENT};
use super::outcome::{DURABLE, Mark, Proof};
use super::read::Query;
use super::shared::SharedConnection;
use crate::catalogue::Marks;
use crate::sql::Sql;
use sen_model::diagnostics::RequiredPrivilege;
use sen_model::error::{ErrorKind, Result};
use sen_model::journal::{
    Begun, CHUNK, Current, Entered, EntryKind, Head, JournalStore, Running, Targets, gone_on_with, tables,
};
use sen_model::permit::WritePermit;
use sen_model::report::Item;

/// What the tables are known by.
pub const MARKS: Marks = Marks { tables: &[], others: &["operation", "operation_item"], columns: &[] };

const TABLES: [&str; 2] = ["sen.operation", "sen.operation_item"];

/// No table refers to the other: the check of a reference would lock the operation's row once for each entry.
const CREATE: [&str; 2] = [
    "CREATE TABLE sen.operation (
    operation text PRIMARY KEY,
    began timestamptz NOT NULL DEFAULT pg_catalog.now(),
    ended timestamptz,
    what text NOT NULL,
    who text NOT NULL,
    reason text,
    targets bigint NOT NULL,
    run text NOT NULL,
    plan text NOT NULL
);
CREATE INDEX operation_began ON sen.operation (began);
",
    "CREATE TABLE sen.operation_item (
    operation text NOT NULL,
    number bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    kind text NOT NULL,
    place bigint,
    subject text,
    outcome text,
    line text,
    rows text,
    PRIMARY KEY (operation, number)
);
",
];

static INIT_LOCK: Sql = Sql::new("SELECT pg_advisory_xact_lock(hashtext('sen init journal'))");
static HAVE: Sql = Sql::new("SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NOT NULL");
/// $4 what was made: the catalogue says by which transaction.
static MADE: Sql = Sql::new(
    "CASE WHEN (SELECT count(*) FROM unnest($4::text[]) AS name JOIN pg_class AS c ON c.oid = to_regclass(name)
            WHERE c.xmin::text::int8 = $1::int8 % 4294967296) = cardinality($4::text[]) THEN 'landed'
        WHEN NOT EXISTS (SELECT 1 FROM unnest($4::text[]) AS name WHERE to_regclass(name) IS NOT NULL) THEN 'absent' END",
);

/// Whether nobody has resumed the operation meanwhile; who wants to waits for the end of this transaction.
static HOLD: Sql = Sql::new("SELECT 1 FROM sen.operation WHERE operation = $1 AND run = $2 FOR SHARE");

static ENTER: Sql = Sql::new(
    "INSERT INTO sen.operation_item (operation, kind, place, subject, outcome, line, rows)
    SELECT $1, i.kind, i.place, i.subject, i.outcome, i.line, i.rows
    FROM unnest($2::text[], $3::int8[], $4::text[], $5::text[], $6::text[], $7::text[])
        AS i (kind, place, subject, outcome, line, rows)",
);

/// $8 the run.
static END: Sql = Sql::new(
    "WITH ended AS (UPDATE sen.operation SET ended = now() WHERE operation = $1 AND run = $8 RETURNING operation)
    INSERT INTO sen.operation_item (operation, kind, place, subject, outcome, line, rows)
    SELECT e.operation, i.kind, i.place, i.subject, i.outcome, i.line, i.rows
    FROM ended AS e, unnest($2::text[], $3::int8[], $4::text[], $5::text[], $6::text[], $7::text[])
        AS i (kind, place, subject, outcome, line, rows)",
);

static OPERATION: Sql = Sql::new(
    "INSERT INTO sen.operation (operation, what, who, reason, targets, run, plan) VALUES ($1, $2, $3, $4, $5, $6, $7)",
);

/// $4 the run.
static BEGAN: Sql = Sql::new(
    "CASE WHEN EXISTS (SELECT FROM sen.operation WHERE operation = $2 AND run = $4) THEN 'landed' ELSE 'absent' END",
);

static RESUME: Sql =
    Sql::new("UPDATE sen.operation SET run = $3, ended = NULL WHERE operation = $1 AND run = $2 RETURNING operation");

static OPERATIONS: Sql = Sql::new(
    "SELECT operation, run, plan, ended IS NOT NULL FROM sen.operation ORDER BY began DESC, operation LIMIT $1",
);

/// $1 operations, $2 and $3 what was had last, $4 whether plans and rows are wanted, $5 how many.
static PAGE: Sql = Sql::new(
    "SELECT i.operation, i.number, i.kind, i.place, i.subject, i.outcome, i.line, CASE WHEN $4 THEN i.rows END
    FROM sen.operation_item AS i
    WHERE i.operation = ANY ($1) AND (i.operation > $2 OR i.operation = $2 AND i.number > $3) AND ($4 OR i.kind <> 'planned')
    ORDER BY i.operation, i.number LIMIT $5",
);

/// Entries as columns.
#[derive(Default)]
struct Columns<'a> {
    kinds: Vec<&'a str>,
    places: Vec<Option<i64>>,
    texts: [Vec<Option<&'a str>>; 4],
}

impl<'a> Columns<'a> {
    fn of(entries: &'a [Entered]) -> Self {
        let mut columns = Self::default();
        for entry in entries {
            columns.kinds.push(entry.kind.name());
            columns.places.push(entry.place);
            let texts = [&entry.subject, &entry.outcome, &entry.line, &entry.rows];
            columns.texts.iter_mut().zip(texts).for_each(|(column, text)| column.push(text.as_deref()));
        }
        columns
    }

    fn params<'b>(&'b self, operation: &'b (dyn ToSql + Sync)) -> Vec<(&'b (dyn ToSql + Sync), Type)> {
        let mut params: Vec<(&(dyn ToSql + Sync), Type)> = vec![(operation, Type::TEXT)];
        params.extend([(&self.kinds as &(dyn ToSql + Sync), Type::TEXT_ARRAY), (&self.places, Type::INT8_ARRAY)]);
        params.extend(self.texts.iter().map(|column| (column as &(dyn ToSql + Sync), Type::TEXT_ARRAY)));
        params
    }
}

impl Postgres {
    /// Whether the operation that runs is still this run's; `true` where no journal is kept here.
    pub(super) async fn hold(&self, current: Option<&Current>) -> Result<bool, tokio_postgres::Error> {
        let Some(Current { running, .. }) = current else { return Ok(true) };
        let operation = running.operation.to_string();
        let params: [(&(dyn ToSql + Sync), Type); 2] = [(&operation, Type::TEXT), (&running.run, Type::TEXT)];
        Ok(!self.client().query_typed(HOLD.for_postgres(), &params).await?.is_empty())
    }

    /// Enters this and commits, in one round trip: either both are there afterwards or nothing.
    pub(super) async fn commit_with(
        &self,
        mark: &Mark,
        again: &Again,
        (running, entries): (&Running, Vec<Entered>),
        proof: impl FnOnce() -> Proof,
    ) -> Result<()> {
        let operation = running.operation.to_string();
        let columns = Columns::of(&entries);
        let params = columns.params(&operation);
        let ending = async {
            let client = self.client();
            let (entered, committed) = tokio::join!(
                biased;
                client.query_typed(ENTER.for_postgres(), &params),
                // Where the statement before it has failed, this takes everything back.
                client.batch_execute("COMMIT"),
            );
            entered.map(drop).and(committed)
        };
        let done = self.finish(mark, again, ending, proof).await;
        if done.is_err() {
            running.keep(entries);
        }
        done
    }
}

/// The journal over a shared connection.
pub struct PostgresJournal(Arc<SharedConnection>);

impl PostgresJournal {
    /// Over this one.
    pub fn new(link: Arc<SharedConnection>) -> Self {
        Self(link)
    }

    async fn write_plan(
        &self,
        db: &Postgres,
        running: &Running,
        begun: &Begun<'_>,
        targets: Targets<'_>,
    ) -> Result<()> {
        let operation = running.operation.to_string();
        let client = db.client();
        let count = i64::try_from(begun.targets).unwrap_or(i64::MAX);
        let head: [(&(dyn ToSql + Sync), Type); 7] = [
            (&operation, Type::TEXT),
            (&begun.what, Type::TEXT),
            (&begun.who, Type::TEXT),
            (&begun.reason, Type::TEXT),
            (&count, Type::INT8),
            (&running.run, Type::TEXT),
            (&begun.plan, Type::TEXT),
        ];
        let held: [(&(dyn ToSql + Sync), Type); 2] = [(&operation, Type::TEXT), (&running.run, Type::TEXT)];
        let begin = async {
            let (begun, durable, marked, head, held) = tokio::join!(
                biased;
                client.batch_execute(BEGIN),
                client.batch_execute(DURABLE.for_postgres()),
                db.mark(&operation),
                client.query_typed(OPERATION.for_postgres(), &head),
                // Who may not ask this could enter nothing with a change.
                client.query_typed(HOLD.for_postgres(), &held),
            );
            begun.and(durable).and(head).and(held)?;
            marked
        };
        let mark = match db.answer(Some(STATEMENT), begin.boxed()).await? {
            Ok(mark) => mark,
            Err(error) => {
                let error = db.explain(error).await;
                let _ = client.batch_execute("ROLLBACK").await;
                // The primary key of operations.
                let before = error.sqlstate() == Some("23505");
                return Err(if before { error.with_kind(ErrorKind::Refused) } else { error });
            }
        };
        let mut place = 0;
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            for line in Iterator::take(&mut *targets, CHUNK) {
                match line {
                    Ok(line) => chunk.push(Entered::planned(place, &line)),
                    Err(error) => {
                        let _ = client.batch_execute("ROLLBACK").await;
                        return Err(error);
                    }
                }
                place += 1;
            }
            let columns = Columns::of(&chunk);
            let params = columns.params(&operation);
            if chunk.len() == CHUNK {
                let entering = client.query_typed(ENTER.for_postgres(), &params);
                if let Err(error) = db.answer(Some(STATEMENT), entering.boxed()).await? {
                    let error = db.explain(error).await;
                    let _ = client.batch_execute("ROLLBACK").await;
                    return Err(error);
                }
                continue;
            }
            let run = running.run.clone();
            let proof = || Proof::new(BEGAN.clone()).with(run, Type::TEXT);
            return db.commit_with(&mark, self.0.again(), (running, chunk), proof).await;
        }
    }

    async fn one(&self, sql: &Sql, params: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<Row>> {
        self.0.live().await?.write_one(sql, params).await
    }
}

#[async_trait]
impl JournalStore for PostgresJournal {
    fn named(&self) -> &str {
        self.0.describe()
    }

    async fn relations(&self) -> Result<Vec<(&'static str, bool)>> {
        let catalogue = self.0.catalogue().await?;
        let there = |name: &str| {
            catalogue.relations.iter().any(|known| {
                known.schema.as_deref() == Some("sen") && name.strip_prefix("sen.") == Some(&known.name) && known.stored
            })
        };
        Ok(TABLES.into_iter().map(|name| (name, there(name))).collect())
    }

    fn needs(&self) -> Vec<RequiredPrivilege> {
        let need = |object: &str, acts| RequiredPrivilege { object: object.to_owned(), sequence: false, acts };
        vec![need(TABLES[0], &["INSERT", "UPDATE"]), need(TABLES[1], &["INSERT"])]
    }

    fn definition(&self) -> String {
        format!("CREATE SCHEMA IF NOT EXISTS sen;\n{}", CREATE.concat())
    }

    async fn init(&self, permit: &WritePermit) -> Result<Vec<Item>> {
        let db = self.0.live().await?;
        let client = db.client();
        let mark = db.begin(permit.operation()).await?;
        let made = async {
            client.batch_execute(INIT_LOCK.for_postgres()).await?;
            let have = client.query_typed(HAVE.for_postgres(), &[(&TABLES.as_slice(), Type::TEXT_ARRAY)]).await?;
            let have: Vec<String> = have.iter().filter_map(|row| Cells::new(row).text(0)).collect();
            let missing = |name: &&str| !have.iter().any(|known| known == *name);
            let made: Vec<&'static str> = TABLES.into_iter().filter(missing).collect();
            if !made.is_empty() {
                client.batch_execute("CREATE SCHEMA IF NOT EXISTS sen").await?;
            }
            for (name, ddl) in TABLES.iter().zip(CREATE) {
                if made.contains(name) {
                    client.batch_execute(ddl).await?;
                }
            }
            Ok(made)
        };
        let made: Result<Vec<&'static str>, tokio_postgres::Error> = db.answer(Some(STATEMENT), made.boxed()).await?;
        let made = match made {
            Ok(made) => made,
            Err(error) => {
                let error = db.explain(error).await;
                let _ = client.batch_execute("ROLLBACK").await;
                return Err(error);
            }
        };
        let names: Vec<String> = made.iter().map(|name| (*name).to_owned()).collect();
        db.commit(&mark, self.0.again(), || Proof::new(MADE.clone()).with(names, Type::TEXT_ARRAY)).await?;
        self.0.forget_catalogue();
        Ok(tables(&TABLES, &made))
    }

    async fn begin(&self, running: &Running, begun: &Begun<'_>, targets: Targets<'_>) -> Result<()> {
        let db = self.0.live().await?;
        self.write_plan(&db, running, begun, targets).await
    }

    async fn resume(&self, running: &Running, seen: &str) -> Result<()> {
        let operation = running.operation.to_string();
        let params: [(&(dyn ToSql + Sync), Type); 3] =
            [(&operation, Type::TEXT), (&seen, Type::TEXT), (&running.run, Type::TEXT)];
        if self.one(&RESUME, &params).await?.is_empty() { Err(gone_on_with(ErrorKind::Changed)) } else { Ok(()) }
    }

    async fn end(&self, running: &Running) -> Result<()> {
        let entries = running.take();
        let operation = running.operation.to_string();
        let columns = Columns::of(&entries);
        let mut params = columns.params(&operation);
        params.push((&running.run, Type::TEXT));
        self.one(&END, &params).await.map(drop)
    }

    async fn operations(&self, limit: Option<i64>) -> Result<Vec<Head>> {
        let rows = self.0.ask(Query::new(&OPERATIONS, [(&limit as _, Type::INT8)])).await?;
        let head = |row: &Row| {
            let mut cells = Cells::new(row);
            let (operation, run, plan) = (cells.text(0)?, cells.text(1)?, cells.text(2)?);
            Some(Head { operation, run, plan, ended: cells.flag(3) == Some(true) })
        };
        Ok(rows.iter().filter_map(head).collect())
    }

    async fn page(
        &self,
        operations: &[String],
        behind: Option<&(String, i64)>,
        whole: bool,
    ) -> Result<Vec<(String, i64, Entered)>> {
        let (operation, number) = behind.map_or(("", 0), |(operation, number)| (operation.as_str(), *number));
        let most = i64::try_from(CHUNK).unwrap_or(i64::MAX);
        let params: [(&(dyn ToSql + Sync), Type); 5] = [
            (&operations, Type::TEXT_ARRAY),
            (&operation, Type::TEXT),
            (&number, Type::INT8),
            (&whole, Type::BOOL),
            (&most, Type::INT8),
        ];
        let rows = self.0.ask(Query::new(&PAGE, params)).await?;
        let entry = |row: &Row| {
            let mut cells = Cells::new(row);
            let (operation, number) = (cells.text(0)?, cells.int(1)?);
            let kind = EntryKind::named(&cells.text(2)?)?;
            let (place, subject, outcome) = (cells.int(3), cells.text(4), cells.text(5));
            let (line, rows) = (cells.text(6), cells.text(7));
            Some((operation, number, Entered { kind, place, subject, outcome, line, rows }))
        };
        Ok(rows.iter().filter_map(entry).collect())
    }
}
