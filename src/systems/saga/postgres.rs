//! Sagas in PostgreSQL, whatever their tables, schemas and enum types are called. SQL and row mapping, nothing else.
//!
//! Every name comes from the catalogue and goes through [`Ident`]; values travel as text and are cast to the column's own
//! type. Enum columns are compared in their own type where an index may help, and read as text.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OnceCell;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

mod act;
mod census;
mod list;
mod messages;

use super::port::{
    Census, Change, Event, Holder, Look, MessageQuery, Messages, Requeued, SagaQuery, SagaStore, Sagas, Seen,
    SeenMessage, Wanted,
};
use super::record::{Awaiting, Entry, Later, Mailbox, Message, Saga, Status, uuid, uuid_range};
use super::shape::{Field, Model, Models, Table};
use super::verdict::{BETWEEN, OVERDUE};
use sen_model::checkup::UNPRIVILEGED;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::ident::Ident;
use sen_model::permit::WritePermit;
use sen_model::time::Timestamp;
use sen_stores::postgres::decode::Cells;
use sen_stores::postgres::link::Link;
use sen_stores::postgres::read::Ask;
use sen_stores::sql::Sql;

/// Sagas in one PostgreSQL database.
pub struct PostgresSagas {
    link: Arc<Link>,
    /// What is there, and the names of tables that belong to it and that this role may not read.
    models: OnceCell<(Arc<Models>, Vec<String>)>,
}

impl PostgresSagas {
    /// Over a shared connection.
    pub fn new(link: Arc<Link>) -> Self {
        Self { link, models: OnceCell::new() }
    }
}

type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// Tables that have one of the columns nobody else has, and whether this role may read them.
static CATALOGUE: Sql = Sql::new(
    "SELECT c.oid::int8, n.nspname::text, c.relname::text,
        (SELECT jsonb_agg(jsonb_build_array(a.attname, tn.nspname, t.typname,
                (SELECT jsonb_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum AS e WHERE e.enumtypid = t.oid))
                ORDER BY a.attnum)
            FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid JOIN pg_namespace AS tn ON tn.oid = t.typnamespace
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
        (SELECT k.confrelid::int8 FROM pg_constraint AS k
            JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
            WHERE k.conrelid = c.oid AND k.contype = 'f' AND cardinality(k.conkey) = 1 AND a.attname = 'saga_id' LIMIT 1),
        greatest(c.reltuples, 0)::int8,
        (SELECT format('%I.%I', sn.nspname, sc.relname) FROM pg_depend AS d JOIN pg_class AS sc ON sc.oid = d.objid
            JOIN pg_namespace AS sn ON sn.oid = sc.relnamespace
            WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = c.oid
                AND d.deptype IN ('a', 'i') AND sc.relkind = 'S' LIMIT 1),
        c.relrowsecurity AND row_security_active(c.oid),
        has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND n.nspname NOT LIKE 'pg\\_temp%'
        AND c.oid IN (SELECT a.attrelid FROM pg_attribute AS a WHERE NOT a.attisdropped
            AND a.attname IN ('step_execution_token', 'step_name', 'next_attempt_at'))",
);

static CLOCK: Sql = Sql::new("SELECT now()");

/// The same rules as `verdict::state`, for filters and counts. What follows FAILED differs by version.
const JUDGE: &str = "CASE s.status::text WHEN 'COMPLETED' THEN 'completed' WHEN 'COMPENSATED' THEN 'compensated'
    WHEN 'TIMEOUT' THEN 'timed_out'
    WHEN 'FAILED' THEN CASE WHEN starts_with(s.last_error, 'Compensation failed for step')
        OR starts_with(s.last_error, 'Missing successful execution entry for step') THEN 'partly_compensated'";
const JUDGE_ROLLED_BACK: &str =
    " THEN CASE WHEN s.current_step_index <= 0 THEN 'compensated' ELSE 'partly_compensated' END";
const JUDGE_REST: &str = " ELSE 'failed' END
    ELSE CASE WHEN s.status::text NOT IN ('RUNNING', 'COMPENSATING', 'SUSPENDED', 'COMPENSATING_SUSPENDED') THEN 'unreadable'
        WHEN s.deadline_at <= now() - interval '5 minutes' THEN 'overdue'
        WHEN s.status::text IN ('RUNNING', 'COMPENSATING') THEN
            CASE WHEN s.deadline_at IS NULL AND s.updated_at > now() - interval '1 minute' THEN 'between_steps'
                WHEN s.deadline_at IS NULL THEN 'stuck'
                WHEN s.deadline_at <= now() AND s.deadline_at = s.updated_at THEN 'due'
                WHEN s.deadline_at <= now() THEN 'lease_expired'
                WHEN s.status::text = 'RUNNING' THEN 'running' ELSE 'compensating' END
        WHEN s.deadline_at <= now() THEN 'due' WHEN s.deadline_at IS NULL THEN 'waiting_event'
        WHEN (jsonb_typeof(s.context::jsonb -> 'awaiting_event_types') = 'array' AND s.context::jsonb -> 'awaiting_event_types' <> '[]')
            OR jsonb_typeof(s.context::jsonb -> 'awaiting_correlation_id') = 'string'
            OR jsonb_typeof(s.context::jsonb -> 'awaiting_until') = 'string' THEN 'waiting_event'
        ELSE 'waiting_retry' END END";
const _: () = assert!(OVERDUE == 5 * 60_000_000 && BETWEEN == 60_000_000);

fn judge(sql: Sql, model: &Model) -> Result<Sql> {
    let sql = sql.then(JUDGE);
    let sql = if model.writable() { rolled_back(sql.then(" WHEN "), model)?.then(JUDGE_ROLLED_BACK) } else { sql };
    Ok(sql.then(JUDGE_REST))
}

/// Whether a compensation is on record: in the row itself, or in the history table.
fn rolled_back(sql: Sql, model: &Model) -> Result<Sql> {
    match &model.history {
        Some(history) if !model.keeps_history() => Ok(table(sql.then("EXISTS (SELECT 1 FROM "), history)?
            .then(" AS h WHERE h.saga_id = s.id AND h.phase::text = 'COMPENSATE')")),
        _ => Ok(sql.then("s.step_history::jsonb @> '[{\"phase\": \"compensate\"}]'")),
    }
}

/// `"schema"."table"`.
fn table(sql: Sql, table: &Table) -> Result<Sql> {
    let sql = match &table.schema {
        Some(schema) => sql.then_ident(&Ident::new(schema.as_str())?).then("."),
        None => sql,
    };
    Ok(sql.then_ident(&Ident::new(table.name.as_str())?))
}

/// `::"schema"."type"` of a column.
fn cast(sql: Sql, table: &Table, column: &str) -> Result<Sql> {
    let field = table.field(column).ok_or_else(|| Error::new(ErrorKind::Internal, format!("no column {column}")))?;
    Ok(sql
        .then("::")
        .then_ident(&Ident::new(field.type_schema.as_str())?)
        .then(".")
        .then_ident(&Ident::new(field.type_name.as_str())?))
}

/// The newest saga of the same aggregation that began after this one, of those that are over without success.
fn later(sql: Sql, model: &Model) -> Result<Sql> {
    let sql = sql.then(
        "CASE WHEN s.status::text IN ('FAILED', 'TIMEOUT') THEN (SELECT jsonb_build_object('id', o.id::text,
            'status', o.status::text)::text FROM ",
    );
    Ok(table(sql, &model.state)?.then(
        " AS o WHERE o.aggregation_id = s.aggregation_id AND o.created_at > s.created_at
            ORDER BY o.created_at DESC, o.id LIMIT 1) END",
    ))
}

/// The columns of a saga, read by [`saga`]: `context` is SQL. With `alone` later sagas of its aggregation are not looked for.
fn select(model: &Model, alone: bool, context: &'static str) -> Result<Sql> {
    let sql = Sql::new("SELECT s.id::text, s.aggregation_id::text, s.trace_id::text, ");
    let named = model.state.has("saga_name");
    let sql = sql.then(if named { "s.saga_name::text" } else { "s.context::jsonb ->> 'saga_name'" }).then(
        ", s.status::text, s.current_step_index::int8, s.step_execution_token::text, s.deadline_at::timestamptz,
            s.retry_counter::int8, s.last_error::text, s.created_at::timestamptz, s.updated_at::timestamptz,
            s.deadline_at <= now(), (extract(epoch FROM now() - s.updated_at) * 1000000)::int8,
            CASE WHEN isfinite(s.deadline_at) THEN (extract(epoch FROM now() - s.deadline_at) * 1000000)::int8 END,
            coalesce(s.deadline_at = s.updated_at, false),
            CASE WHEN s.status::text IN ('SUSPENDED', 'COMPENSATING_SUSPENDED') THEN jsonb_build_object(
                'awaiting_event_types', s.context::jsonb -> 'awaiting_event_types',
                'awaiting_correlation_id', s.context::jsonb -> 'awaiting_correlation_id',
                'awaiting_until', s.context::jsonb -> 'awaiting_until')::text END, ",
    );
    let sql = if alone { sql.then("NULL::text") } else { later(sql, model)? };
    // Of a saga alone its steps are asked for, too, and tell.
    let sql = if model.keeps_history() || (alone && model.history.is_some()) {
        rolled_back(sql.then(", CASE WHEN s.status::text = 'FAILED' THEN "), model)?.then(" END, ")
    } else {
        sql.then(", NULL::bool, ")
    };
    Ok(sql.then(context))
}

fn saga(row: &Row, shown: &str) -> Saga {
    let mut cells = Cells::new(row);
    let mut text = |at| cells.text(at).unwrap_or_default();
    let (id, aggregation, trace) = (text(0), text(1), text(2));
    let status = Status::parse(&text(4));
    let awaiting = cells.text(16).and_then(|json| Awaiting::of(&serde_json::from_str(&json).ok()?));
    Saga {
        table: shown.to_owned(),
        id,
        aggregation,
        trace,
        name: cells.text(3),
        status,
        step: cells.int(5).unwrap_or_default(),
        token: cells.text(6),
        deadline: cells.time(7),
        retries: cells.int(8).unwrap_or_default(),
        error: cells.text(9),
        created: cells.time(10),
        updated: cells.time(11),
        due: cells.flag(12),
        idle: cells.int(13).unwrap_or_default(),
        over: cells.int(14),
        handed: cells.flag(15).unwrap_or_default(),
        awaiting,
        later: cells.text(17).as_deref().and_then(Later::of),
        compensated: cells.flag(18),
        context: cells.text(19),
        unreadable: cells.unreadable,
    }
}

fn clock(rows: &[Row]) -> Timestamp {
    rows.first().and_then(|row| Cells::new(row).time(0)).unwrap_or(Timestamp::NEG_INFINITY)
}

/// At most so many sagas of one aggregation or trace are looked at.
const SAME: &str = " ORDER BY s.updated_at DESC LIMIT 20";

/// Parameters: $1 the id as a UUID or NULL, $2 the id as typed, $3 whether only the id counts.
fn wanted(sql: Sql, model: &Model) -> Result<Sql> {
    let sql = table(sql.then(" FROM "), &model.state)?.then(" AS s WHERE (s.id = $1::text");
    Ok(cast(sql, &model.state, "id")?
        .then(" OR (NOT $3::bool AND (s.aggregation_id = $2 OR s.trace_id = $2)))")
        .then(SAME))
}

/// The steps of the wanted sagas: the newest $4 of each, with how many there are and whether one rolled back.
fn steps(model: &Model, history: &Table) -> Result<Sql> {
    let skipped = if history.has("skipped") { "h.skipped" } else { "false" };
    let sql = Sql::new(
        "SELECT w.saga, w.recorded, w.compensated, w.at, w.phase, w.status, w.step_id, w.step_name, w.attempt, w.token,
            w.input, w.output, w.error, w.skipped
        FROM (SELECT h.saga_id::text AS saga, h.id, count(*) OVER (PARTITION BY h.saga_id) AS recorded,
            bool_or(h.phase::text = 'COMPENSATE') OVER (PARTITION BY h.saga_id) AS compensated,
            row_number() OVER (PARTITION BY h.saga_id ORDER BY h.id DESC) AS newest,
            h.\"timestamp\"::timestamptz AS at, h.phase::text, h.status::text, h.step_id::text, h.step_name::text,
            h.attempt::int8, h.token::text, h.input::text, h.output::text, h.error::text, ",
    )
    .then(skipped)
    .then(" AS skipped FROM ");
    let sql = table(sql, history)?.then(" AS h WHERE h.saga_id IN (SELECT s.id");
    Ok(wanted(sql, model)?.then(")) AS w WHERE w.newest <= $4 OR w.newest = 1 ORDER BY w.saga, w.id"))
}

fn entry(cells: &mut Cells<'_>) -> Entry {
    // Python's None in a JSON column is the JSON null.
    let mut json = |at| cells.text(at).filter(|text| text != "null");
    let (input, output) = (json(10), json(11));
    Entry {
        at: cells.time(3),
        phase: cells.text(4).unwrap_or_default(),
        status: cells.text(5).unwrap_or_default(),
        step_id: cells.text(6).unwrap_or_default(),
        step_name: cells.text(7).unwrap_or_default(),
        attempt: cells.int(8).unwrap_or_default(),
        token: cells.text(9),
        input,
        output,
        error: cells.text(12),
        skipped: cells.flag(13).unwrap_or_default(),
    }
}

/// Which question an answer of [`PostgresSagas::look`] is to.
enum About<'a> {
    Clock,
    Sagas(&'a Model),
    Steps,
    Messages(Mailbox, &'a Table),
}

#[async_trait]
impl SagaStore for PostgresSagas {
    fn database(&self) -> &str {
        self.link.describe()
    }

    async fn models(&self) -> Result<Arc<Models>> {
        let found = self.models.get_or_try_init(|| async {
            let rows = self.link.ask(Ask::new(&CATALOGUE, [])).await?;
            let hidden = rows.iter().filter(|row| Cells::new(row).flag(7) == Some(true));
            let hidden: Vec<String> = hidden.filter_map(|row| Cells::new(row).text(2)).collect();
            self.link.hidden().note(hidden.iter().map(String::as_str));
            let (readable, others): (Vec<&Row>, Vec<&Row>) =
                rows.iter().partition(|row| Cells::new(row).flag(8) == Some(true));
            let others = others.into_iter().map(found_table).filter(Models::knows);
            let unread = others.map(|table| table.full()).collect();
            Ok::<_, Error>((Arc::new(Models::of(readable.into_iter().map(found_table).collect())), unread))
        });
        let (models, unread) = found.await?;
        if unread.is_empty() {
            return Ok(Arc::clone(models));
        }
        let denied = Error::new(ErrorKind::Denied, format!("permission denied for table {}", unread.join(", ")))
            .with_hint(UNPRIVILEGED);
        if models.is_empty() {
            return Err(denied);
        }
        self.link.hidden().deny(denied.with_context("not all sagas are shown"));
        Ok(Arc::clone(models))
    }

    async fn look(&self, models: &Models, what: &Wanted<'_>) -> Result<Look> {
        let mut questions = vec![(About::Clock, CLOCK.clone())];
        for model in &models.models {
            let context =
                if model.keeps_history() { "s.context::text, s.step_history::text" } else { "s.context::text" };
            let sql = wanted(select(model, false, context)?, model)?;
            questions.push((About::Sagas(model), sql));
            if let Some(history) = &model.history {
                questions.push((About::Steps, steps(model, history)?));
            }
            if what.messages {
                for outbox in &models.outboxes {
                    questions.push((
                        About::Messages(Mailbox::Out, outbox),
                        messages::of_sagas(Mailbox::Out, outbox, model)?,
                    ));
                }
                for inbox in &models.inboxes {
                    questions
                        .push((About::Messages(Mailbox::In, inbox), messages::of_sagas(Mailbox::In, inbox, model)?));
                }
            }
        }
        let id = uuid(what.id);
        let params: [Param<'_>; 4] =
            [(&id, Type::TEXT), (&what.id, Type::TEXT), (&what.exact, Type::BOOL), (&what.steps, Type::INT8)];
        let asks = questions.iter().map(|(about, sql)| {
            let used = match about {
                About::Clock => 0,
                About::Sagas(_) | About::Messages(..) => 3,
                About::Steps => 4,
            };
            Ask::new(sql, params[..used].iter().cloned())
        });
        let answers = self.link.snapshot(&asks.collect::<Vec<_>>()).await?;
        let mut look = Look { now: Timestamp::NEG_INFINITY, sagas: Vec::new() };
        for ((about, _), answer) in questions.iter().zip(answers) {
            let rows = answer?;
            match about {
                About::Clock => look.now = clock(&rows),
                About::Sagas(model) => look.sagas.extend(rows.iter().map(|row| seen(row, model))),
                About::Steps => add_steps(&mut look.sagas, &rows),
                About::Messages(kind, table) => {
                    for message in rows.iter().map(|row| messages::message(row, *kind, &table.shown())) {
                        add_message(&mut look.sagas, message);
                    }
                }
            }
        }
        look.sagas.sort_by_key(|seen| std::cmp::Reverse(seen.saga.updated));
        Ok(look)
    }

    async fn list(&self, model: &Model, query: &SagaQuery) -> Result<Sagas> {
        list::list(&self.link, model, query).await
    }

    async fn messages(&self, models: &Models, kind: Mailbox, table: &Table, query: &MessageQuery) -> Result<Messages> {
        messages::list(&self.link, models, kind, table, query).await
    }

    async fn begins(&self, models: &Models, prefix: &str, limit: u32) -> Result<Vec<String>> {
        let Some((low, high)) = uuid_range(prefix) else { return Ok(Vec::new()) };
        let limit = i64::from(limit);
        let mut found = Vec::new();
        for model in &models.models {
            let sql =
                table(Sql::new("SELECT s.id::text FROM "), &model.state)?.then(" AS s WHERE s.id BETWEEN $1::text");
            let sql = cast(cast(sql, &model.state, "id")?.then(" AND $2::text"), &model.state, "id")?;
            let sql = sql.then(" ORDER BY s.id LIMIT $3");
            let params: [Param<'_>; 3] = [(&low, Type::TEXT), (&high, Type::TEXT), (&limit, Type::INT8)];
            let rows = self.link.ask(Ask::new(&sql, params)).await?;
            found.extend(rows.iter().filter_map(|row| Cells::new(row).text(0)));
        }
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    fn keeps_privileges(&self) -> bool {
        true
    }

    async fn holders(&self, model: &Model, id: &str) -> Result<Vec<Holder>> {
        let sql = table(
            Sql::new(
                "SELECT l.pid::int8, coalesce(a.application_name, ''),
                    (extract(epoch FROM clock_timestamp() - a.xact_start) * 1000000)::int8
                FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
                WHERE l.granted AND l.locktype = 'transactionid' AND l.pid <> pg_backend_pid()
                    AND l.transactionid = (SELECT s.xmax FROM ",
            ),
            &model.state,
        )?;
        let sql = cast(sql.then(" AS s WHERE s.id = $1::text"), &model.state, "id")?;
        let sql = sql.then(") ORDER BY a.xact_start, l.pid LIMIT 5");
        let params: [Param<'_>; 1] = [(&id, Type::TEXT)];
        let rows = self.link.ask(Ask::new(&sql, params)).await?;
        let holder = |row: &Row| {
            let mut cells = Cells::new(row);
            Holder {
                pid: cells.int(0).unwrap_or_default(),
                application: cells.text(1).unwrap_or_default(),
                open: cells.int(2),
            }
        };
        Ok(rows.iter().map(holder).collect())
    }

    async fn census(&self, models: &Models) -> Result<Census> {
        census::census(&self.link, models).await
    }

    async fn output_of(&self, model: &Model, saga: Option<&str>, step: &str) -> Result<Option<String>> {
        let sql = act::output_of(model)?;
        let params: [Param<'_>; 2] = [(&step, Type::TEXT), (&saga, Type::TEXT)];
        let rows = self.link.ask(Ask::new(&sql, params)).await?;
        Ok(rows.first().and_then(|row| Cells::new(row).text(0)))
    }

    async fn change(&self, model: &Model, change: &Change, permit: &WritePermit) -> Result<bool> {
        act::change(&self.link, model, change, permit).await
    }

    async fn ingest(&self, inbox: &Table, event: &Event, permit: &WritePermit) -> Result<bool> {
        act::ingest(&self.link, inbox, event, permit).await
    }

    async fn requeue(
        &self,
        models: &Models,
        kind: Mailbox,
        table: &Table,
        seen: &[SeenMessage],
        permit: &WritePermit,
    ) -> Result<Requeued> {
        messages::requeue(&self.link, models, kind, table, seen, permit).await
    }
}

fn found_table(row: &Row) -> Table {
    let mut cells = Cells::new(row);
    let (number, references, rows) = (cells.int(0).unwrap_or_default(), cells.int(4), cells.int(5));
    let json = cells.json(3).and_then(|json| serde_json::from_str(&json).ok()).unwrap_or(serde_json::Value::Null);
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let fields = json.as_array().into_iter().flatten().map(|field| Field {
        name: text(&field[0]),
        type_schema: text(&field[1]),
        type_name: text(&field[2]),
        labels: field[3].as_array().into_iter().flatten().map(text).collect(),
    });
    Table {
        number,
        schema: cells.text(1),
        name: cells.text(2).unwrap_or_default(),
        fields: fields.collect(),
        references,
        sequence: cells.text(6),
        rows,
    }
}

fn seen(row: &Row, model: &Model) -> Seen {
    let mut saga = saga(row, &model.state.shown());
    let mut steps = Vec::new();
    if model.keeps_history() {
        match Cells::new(row).text(20).as_deref().and_then(Entry::list) {
            Some(all) => steps = all,
            None => saga.unreadable.push("column step_history is no list".into()),
        }
        saga.compensated = Some(steps.iter().any(Entry::compensates));
    } else {
        saga.compensated = model.history.as_ref().map(|_| false);
    }
    let recorded = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    Seen { saga, model: model.state.number, steps, recorded, messages: Vec::new(), holders: Vec::new() }
}

fn add_steps(sagas: &mut [Seen], rows: &[Row]) {
    let at: HashMap<String, usize> = sagas.iter().enumerate().map(|(at, seen)| (seen.saga.id.clone(), at)).collect();
    for row in rows {
        let mut cells = Cells::new(row);
        let Some(at) = cells.text(0).and_then(|id| at.get(&id).copied()) else { continue };
        let seen = &mut sagas[at];
        seen.recorded = cells.int(1).unwrap_or_default();
        seen.saga.compensated = cells.flag(2);
        seen.steps.push(entry(&mut cells));
        seen.saga.unreadable.extend(cells.unreadable);
    }
}

/// Where a message belongs: to its saga, or to the newest of its aggregation.
fn add_message(sagas: &mut [Seen], message: Message) {
    let own = sagas.iter().position(|seen| message.saga.as_ref() == Some(&seen.saga.id));
    let about = || {
        let same = |seen: &Seen| message.aggregation.as_ref() == Some(&seen.saga.aggregation);
        if message.saga.is_some() { None } else { sagas.iter().position(same) }
    };
    if let Some(at) = own.or_else(about)
        && !sagas[at].messages.iter().any(|known| known.id == message.id && known.table == message.table)
    {
        sagas[at].messages.push(message);
    }
}
