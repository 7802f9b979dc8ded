//! What the statements share: names, the clock, the columns of a saga, and its recorded steps.

use rusqlite::{Connection, Params, Row};

use super::cells;
use crate::record::Entry;
use crate::shape::{Model, Table};
use sen_model::error::Result;
use sen_model::ident::Ident;
use sen_model::rows::Seen;
use sen_model::time::Timestamp;
use sen_stores::sql::Sql;
use sen_stores::sqlite::{error_from, restore};

/// SQLAlchemy reads six digits of a second, and no other number of them right.
const NOW: &str = "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'";

/// What `read` makes of every row.
pub(super) fn rows<T>(
    db: &Connection,
    sql: &Sql,
    bound: impl Params,
    mut read: impl FnMut(&Row<'_>) -> T,
) -> Result<Vec<T>> {
    let mut statement = db.prepare(sql.as_str()).map_err(error_from)?;
    let rows = statement.query_map(bound, |row| Ok(read(row))).map_err(error_from)?;
    rows.collect::<rusqlite::Result<_>>().map_err(error_from)
}

/// `"table"`.
pub(super) fn table(sql: Sql, table: &Table) -> Result<Sql> {
    Ok(sql.then_ident(&Ident::new(table.name.as_str())?))
}

/// The clock as it is written and as a moment.
pub(super) fn now(db: &Connection) -> Result<(String, Timestamp)> {
    let text: String = db.query_row(NOW, [], |row| row.get(0)).map_err(error_from)?;
    let moment = cells::moment(&text).unwrap_or_else(Timestamp::here);
    Ok((text, moment))
}

/// The columns of a saga, read by [`cells::saga`].
pub(super) fn select(model: &Model) -> Sql {
    let named = model.state.has("saga_name");
    Sql::new(
        "SELECT s.id, s.aggregation_id, s.trace_id, s.status, s.current_step_index, s.step_execution_token, s.deadline_at,
            s.retry_counter, s.last_error, s.created_at, s.updated_at, s.context, ",
    )
    .then(if named { "s.saga_name" } else { "NULL" })
    .then(if model.keeps_history() { ", s.step_history" } else { ", NULL" })
}

/// The steps of one saga (?1 its id as stored), newest first.
fn steps(history: &Table) -> Result<Sql> {
    let skipped = if history.has("skipped") { "h.skipped" } else { "0" };
    let sql = Sql::new(
        "SELECT h.\"timestamp\", h.phase, h.status, h.step_id, h.step_name, h.attempt, h.token, h.input, h.output, h.error, ",
    );
    Ok(table(sql.then(skipped).then(" FROM "), history)?.then(" AS h WHERE h.saga_id = ?1 ORDER BY h.id DESC"))
}

/// The recorded steps of one saga, oldest first.
pub(super) fn entries(db: &Connection, history: &Table, stored: &str) -> Result<Vec<Entry>> {
    let mut steps = rows(db, &steps(history)?, [stored], cells::entry)?;
    steps.reverse();
    Ok(steps)
}

/// The row of a table with this id as it is stored, for an undo.
pub(super) fn row(db: &Connection, kind: &str, of: &Table, stored: &str) -> Result<Seen> {
    let sql = table(Sql::new("SELECT * FROM "), of)?.then(" WHERE id = ?1");
    let mut seen = Seen::new();
    restore::look(db, kind, sql.as_str(), &[&stored], &mut seen)?;
    Ok(seen)
}
