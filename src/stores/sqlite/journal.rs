//! The journal in an SQLite file: two tables, as those of PostgreSQL's schema `sen`.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::{Sqlite, commit, error_from};
use sen_model::error::{ErrorKind, Result};
use sen_model::journal::{Begun, CHUNK, Entered, EntryKind, Head, JournalStore, Running, Targets, gone_on_with};

use sen_model::permit::WritePermit;
use sen_model::report::Item;
use sen_model::time::Timestamp;

const TABLES: [&str; 2] = ["sen_operation", "sen_operation_item"];
const CREATE: [&str; 2] = [
    "CREATE TABLE sen_operation (
    operation TEXT PRIMARY KEY,
    began INTEGER NOT NULL,
    ended INTEGER,
    what TEXT NOT NULL,
    who TEXT NOT NULL,
    reason TEXT,
    targets INTEGER NOT NULL,
    run TEXT NOT NULL,
    plan TEXT NOT NULL
);
CREATE INDEX sen_operation_began ON sen_operation (began);
",
    "CREATE TABLE sen_operation_item (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    operation TEXT NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    place INTEGER,
    subject TEXT,
    outcome TEXT,
    line TEXT,
    rows TEXT
);
CREATE INDEX sen_operation_item_of ON sen_operation_item (operation, number);
",
];

const HOLD: &str = "SELECT 1 FROM sen_operation WHERE operation = ?1 AND run = ?2";
const ENTER: &str = "INSERT INTO sen_operation_item (operation, at, kind, place, subject, outcome, line, rows)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
const OPERATION: &str = "INSERT INTO sen_operation (operation, began, what, who, reason, targets, run, plan)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
const RESUME: &str = "UPDATE sen_operation SET run = ?3, ended = NULL WHERE operation = ?1 AND run = ?2";
const END: &str = "UPDATE sen_operation SET ended = ?3 WHERE operation = ?1 AND run = ?2";
const OPERATIONS: &str = "SELECT operation, run, plan, ended IS NOT NULL FROM sen_operation ORDER BY began DESC, operation LIMIT coalesce(?1, -1)";
const PAGE: &str = "SELECT operation, number, kind, place, subject, outcome, line, CASE WHEN ?4 THEN rows END
    FROM sen_operation_item WHERE operation IN (SELECT value FROM json_each(?1)) AND (operation, number) > (?2, ?3)
        AND (?4 OR kind <> 'planned')
    ORDER BY operation, number LIMIT ?5";

fn now() -> i64 {
    Timestamp::here().as_micros()
}

fn write(db: &Connection, operation: &str, entry: &Entered) -> Result<()> {
    let Entered { kind, place, subject, outcome, line, rows } = entry;
    let mut enter = db.prepare_cached(ENTER).map_err(error_from)?;
    let bound = params![operation, now(), kind.name(), place, subject, outcome, line, rows];
    enter.execute(bound).map(drop).map_err(error_from)
}

/// Enters this in the transaction of a change, if the operation is still this run's.
pub(super) fn enter(db: &Connection, running: &Running, entries: &[Entered]) -> Result<()> {
    let operation = running.operation.to_string();
    let held = db.query_row(HOLD, params![operation, running.run], |_| Ok(())).optional().map_err(error_from)?;
    if held.is_none() {
        return Err(gone_on_with(ErrorKind::Refused));
    }
    entries.iter().try_for_each(|entry| write(db, &operation, entry))
}

/// The journal in a file.
pub struct SqliteJournal(Arc<Sqlite>);

impl SqliteJournal {
    /// Over a shared connection.
    pub fn new(db: Arc<Sqlite>) -> Self {
        Self(db)
    }
}

#[async_trait]
impl JournalStore for SqliteJournal {
    fn named(&self) -> &str {
        self.0.describe()
    }

    async fn relations(&self) -> Result<Vec<(&'static str, bool)>> {
        let tables = self.0.tables();
        let seen = self.0.run(move |db| tables.look(db)).await?;
        Ok(TABLES.into_iter().map(|name| (name, seen.named(name).is_some())).collect())
    }

    fn definition(&self) -> String {
        CREATE.concat()
    }

    async fn init(&self, _: &WritePermit) -> Result<Vec<Item>> {
        let tables = self.0.tables();
        let made = self.0.run(move |db| {
            let writing = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error_from)?;
            let seen = tables.look(&writing)?;
            let mut made = Vec::new();
            for (name, create) in TABLES.into_iter().zip(CREATE).filter(|(name, _)| seen.named(name).is_none()) {
                writing.execute_batch(create).map_err(error_from)?;
                made.push(name);
            }
            commit(writing)?;
            Ok(made)
        });
        let made = made.await?;
        Ok(sen_model::journal::tables(&TABLES, &made))
    }

    async fn begin(&self, running: &Running, begun: &Begun<'_>, targets: Targets<'_>) -> Result<()> {
        let (operation, run) = (running.operation.to_string(), running.run.clone());
        let (what, who, plan) = (begun.what.to_owned(), begun.who.to_owned(), begun.plan.to_owned());
        let (reason, count) = (begun.reason.map(str::to_owned), i64::try_from(begun.targets).unwrap_or(i64::MAX));
        let of = operation.clone();
        let work = move |db: &mut Connection| {
            db.execute_batch("BEGIN IMMEDIATE").map_err(error_from)?;
            let bound = params![of, now(), what, who, reason, count, run, plan];
            db.execute(OPERATION, bound).map(drop).map_err(|error| {
                let before = error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation);
                let error = error_from(error);
                if before { error.with_kind(ErrorKind::Refused) } else { error }
            })
        };
        let written = async {
            self.0.run(work).await?;
            let mut place = 0;
            loop {
                let lines = Iterator::take(&mut *targets, CHUNK).collect::<Result<Vec<String>>>()?;
                let (first, of, last) = (place, operation.clone(), lines.len() < CHUNK);
                place += lines.len();
                let enter = move |db: &mut Connection| {
                    for (at, line) in lines.iter().enumerate() {
                        write(db, &of, &Entered::planned(first + at, line))?;
                    }
                    if last { db.execute_batch("COMMIT").map_err(error_from) } else { Ok(()) }
                };
                self.0.run(enter).await?;
                if last {
                    return Ok(());
                }
            }
        };
        let written = written.await;
        if written.is_err() {
            let back = |db: &mut Connection| match db.is_autocommit() {
                true => Ok(()),
                false => db.execute_batch("ROLLBACK").map_err(error_from),
            };
            self.0.run(back).await?;
        }
        written
    }

    async fn resume(&self, running: &Running, seen: &str) -> Result<()> {
        let (operation, run, seen) = (running.operation.to_string(), running.run.clone(), seen.to_owned());
        let work = move |db: &mut Connection| db.execute(RESUME, params![operation, seen, run]).map_err(error_from);
        if self.0.run(work).await? == 0 { Err(gone_on_with(ErrorKind::Changed)) } else { Ok(()) }
    }

    async fn end(&self, running: &Running) -> Result<()> {
        let (operation, run, entries) = (running.operation.to_string(), running.run.clone(), running.take());
        let work = move |db: &mut Connection| {
            let writing = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error_from)?;
            if writing.execute(END, params![operation, run, now()]).map_err(error_from)? == 0 {
                return Ok(());
            }
            entries.iter().try_for_each(|entry| write(&writing, &operation, entry))?;
            commit(writing)
        };
        self.0.run(work).await
    }

    async fn operations(&self, limit: Option<i64>) -> Result<Vec<Head>> {
        let work = move |db: &mut Connection| {
            let mut statement = db.prepare(OPERATIONS).map_err(error_from)?;
            let head = |row: &rusqlite::Row<'_>| {
                Ok(Head { operation: row.get(0)?, run: row.get(1)?, plan: row.get(2)?, ended: row.get(3)? })
            };
            let heads = statement.query_map([limit], head).map_err(error_from)?;
            heads.collect::<rusqlite::Result<Vec<Head>>>().map_err(error_from)
        };
        self.0.run(work).await
    }

    async fn page(
        &self,
        operations: &[String],
        behind: Option<&(String, i64)>,
        whole: bool,
    ) -> Result<Vec<(String, i64, Entered)>> {
        let (operation, number) = behind.cloned().unwrap_or_default();
        let operations = serde_json::Value::from(operations).to_string();
        let work = move |db: &mut Connection| {
            let mut statement = db.prepare_cached(PAGE).map_err(error_from)?;
            let entry = |row: &rusqlite::Row<'_>| {
                let Some(kind) = EntryKind::named(&row.get::<_, String>(2)?) else { return Ok(None) };
                let (place, subject, outcome) = (row.get(3)?, row.get(4)?, row.get(5)?);
                let entry = Entered { kind, place, subject, outcome, line: row.get(6)?, rows: row.get(7)? };
                Ok(Some((row.get(0)?, row.get(1)?, entry)))
            };
            let bound = params![operations, operation, number, whole, i64::try_from(CHUNK).unwrap_or(i64::MAX)];
            let entries = statement.query_map(bound, entry).map_err(error_from)?;
            // Of another version's kinds nothing is known.
            entries.filter_map(Result::transpose).collect::<rusqlite::Result<Vec<_>>>().map_err(error_from)
        };
        self.0.run(work).await
    }
}
