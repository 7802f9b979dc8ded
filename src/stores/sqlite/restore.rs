//! Rows as they are stored, and putting them back as they were. A row travels as a JSON object of its columns; what JSON has no
//! name for is told by its storage class, so that it comes back as the very value it was.

use std::fmt::Write as _;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};
use serde_json::{Map, Value as Json, json};

use super::{error_from, written};
use crate::sql::Sql;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::ident::Ident;
use sen_model::rows::{RowChange, Seen};
use sen_model::undo::Standing;

/// A table as statements name it.
pub struct Target<'a> {
    /// What changes of its rows call it.
    pub name: &'a str,
    /// How a statement names it.
    pub sql: Sql,
    /// Its primary key.
    pub key: &'a [&'static str],
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    (digits.len().is_multiple_of(2)).then(|| digits.chunks(2).map(byte).collect()).flatten()
}

fn to_json(value: ValueRef<'_>) -> Json {
    match value {
        ValueRef::Null => Json::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => json!({ "real": format!("{number:?}") }),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => json!({ "text": hex(bytes) }),
        },
        ValueRef::Blob(bytes) => json!({ "blob": hex(bytes) }),
    }
}

/// The value that a column held; `None` for what [`to_json`] does not write. Text that is no UTF-8 cannot be bound as such.
fn from_json(value: &Json) -> Option<Value> {
    Some(match value {
        Json::Null => Value::Null,
        Json::Number(number) => Value::Integer(number.as_i64()?),
        Json::String(text) => Value::Text(text.clone()),
        Json::Object(fields) => match fields.iter().next()? {
            (kind, Json::String(text)) if kind == "real" => Value::Real(text.parse().ok()?),
            (kind, Json::String(text)) if kind == "blob" => Value::Blob(unhex(text)?),
            _ => return None,
        },
        _ => return None,
    })
}

/// A row of a result as it is stored.
///
/// # Errors
/// What SQLite reports.
pub fn image(row: &rusqlite::Row<'_>) -> rusqlite::Result<String> {
    let names: &rusqlite::Statement<'_> = row.as_ref();
    let mut fields = Map::new();
    for (at, name) in names.column_names().enumerate() {
        fields.insert(name.to_owned(), to_json(row.get_ref(at)?));
    }
    Ok(Json::Object(fields).to_string())
}

/// Adds the rows of `table` that a query of whole rows finds.
///
/// # Errors
/// What SQLite reports.
pub fn look(db: &Connection, table: &str, sql: &str, bound: &[&dyn ToSql], seen: &mut Seen) -> Result<()> {
    let mut statement = db.prepare_cached(sql).map_err(error_from)?;
    let rows = statement.query_map(bound, image).map_err(error_from)?;
    for row in rows {
        seen.push((table.to_owned(), row.map_err(error_from)?));
    }
    Ok(())
}

fn unreadable() -> Error {
    Error::new(ErrorKind::Unreadable, "a row that was kept cannot be read")
}

fn fields(image: &str) -> Result<Map<String, Json>> {
    serde_json::from_str(image).map_err(|error| unreadable().with_source(error))
}

/// The table of a change, and the key of its row.
fn place<'a>(tables: &'a [Target<'a>], change: &RowChange) -> Result<(&'a Target<'a>, Vec<Value>)> {
    let unknown = || Error::new(ErrorKind::Unreadable, format!("rows of {} are not here to be put back", change.table));
    let table = tables.iter().find(|table| table.name == change.table).ok_or_else(unknown)?;
    let image = fields(change.after.as_ref().or(change.before.as_ref()).ok_or_else(unknown)?)?;
    let key = table.key.iter().map(|column| image.get(*column).and_then(from_json)).collect::<Option<_>>();
    Ok((table, key.ok_or_else(unreadable)?))
}

fn keyed(mut sql: Sql, table: &Target<'_>) -> Result<Sql> {
    for (at, key) in table.key.iter().enumerate() {
        sql = sql.then(if at == 0 { " WHERE " } else { " AND " }).then_ident(&Ident::new(*key)?).then(" IS ?");
    }
    Ok(sql)
}

fn now(db: &Connection, table: &Target<'_>, key: &[Value]) -> Result<Option<String>> {
    let sql = keyed(Sql::new("SELECT * FROM ").then_sql(&table.sql), table)?;
    let mut statement = db.prepare_cached(sql.as_str()).map_err(error_from)?;
    let mut rows = statement.query_map(params_from_iter(key), image).map_err(error_from)?;
    rows.next().transpose().map_err(error_from)
}

/// How the rows of a target stand.
///
/// # Errors
/// `Unreadable` for a row that was not kept by this; what SQLite reports.
pub fn standing(db: &Connection, tables: &[Target<'_>], changes: &[RowChange]) -> Result<Standing> {
    let (mut as_left, mut as_before) = (true, true);
    let mut other = String::new();
    for change in changes {
        let (table, key) = place(tables, change)?;
        let now = now(db, table, &key)?;
        as_left &= now == change.after;
        as_before &= now == change.before;
        if now != change.after && other.is_empty() {
            let state = match &now {
                None => "gone".to_owned(),
                Some(now) => {
                    let now = fields(now)?;
                    let state = ["state", "status"].into_iter().find_map(|name| now.get(name)?.as_str());
                    state.unwrap_or("another").to_owned()
                }
            };
            other = sen_model::undo::otherwise(&change.table, &state);
        }
    }
    Ok(match (as_left, as_before) {
        (true, _) => Standing::AsLeft,
        (false, true) => Standing::AsBefore,
        (false, false) => Standing::Changed(other),
    })
}

/// Puts the rows of a target back, which are as they were left.
///
/// # Errors
/// `KeptOut` when a trigger keeps some of it out; what SQLite reports.
pub fn put_back(db: &Connection, tables: &[Target<'_>], changes: &[RowChange]) -> Result<()> {
    for change in changes {
        let (table, key) = place(tables, change)?;
        let (sql, bound): (Sql, Vec<Value>) = match (&change.before, &change.after) {
            (None, _) => (keyed(Sql::new("DELETE FROM ").then_sql(&table.sql), table)?, key),
            (Some(before), None) => {
                let row = fields(before)?;
                let mut sql = Sql::new("INSERT INTO ").then_sql(&table.sql).then(" (");
                for (at, column) in row.keys().enumerate() {
                    sql = sql.then(if at == 0 { "" } else { ", " }).then_ident(&Ident::new(column)?);
                }
                sql = sql.then(") VALUES (");
                for at in 0..row.len() {
                    sql = sql.then(if at == 0 { "?" } else { ", ?" });
                }
                let values = row.values().map(from_json).collect::<Option<Vec<_>>>().ok_or_else(unreadable)?;
                (sql.then(")"), values)
            }
            (Some(before), Some(after)) => {
                let (before, after) = (fields(before)?, fields(after)?);
                let mut sql = Sql::new("UPDATE ").then_sql(&table.sql).then(" SET ");
                let mut values = Vec::new();
                for (column, value) in before.iter().filter(|(column, value)| after.get(*column) != Some(value)) {
                    sql = sql.then(if values.is_empty() { "" } else { ", " });
                    sql = sql.then_ident(&Ident::new(column)?).then(" = ?");
                    values.push(from_json(value).ok_or_else(unreadable)?);
                }
                values.extend(key);
                (keyed(sql, table)?, values)
            }
        };
        let done = db.prepare_cached(sql.as_str()).and_then(|mut one| one.execute(params_from_iter(&bound)));
        written(done.map_err(error_from)?, 1, &change.table)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_were_stored() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(
            "CREATE TABLE t (id PRIMARY KEY, a, b, c, d);
            INSERT INTO t VALUES ('x', 1.5, x'00ff', 9007199254740993, NULL), ('y', '1', 0.1, '{\"n\": 1}', 3)",
        )
        .unwrap();
        let all = || {
            let mut seen = Seen::new();
            look(&db, "t", "SELECT *, typeof(a) || typeof(b) || typeof(c) AS kinds FROM t ORDER BY id", &[], &mut seen)
                .unwrap();
            seen
        };
        let before = all();
        let image = |id: &str| now(&db, &tables()[0], &[Value::Text(id.into())]).unwrap();
        let (x, y) = (image("x"), image("y"));
        db.execute_batch("DELETE FROM t WHERE id = 'x'; UPDATE t SET b = x'01', d = 4 WHERE id = 'y'; INSERT INTO t VALUES ('z', 1, 2, 3, 4)")
            .unwrap();
        let change = |id: &str, before: Option<String>| RowChange { table: "t".into(), before, after: image(id) };
        let changes = [change("x", x), change("y", y), change("z", None)];
        assert_eq!(standing(&db, &tables(), &changes).unwrap(), Standing::AsLeft);
        put_back(&db, &tables(), &changes).unwrap();
        assert_eq!((all(), standing(&db, &tables(), &changes).unwrap()), (before, Standing::AsBefore));
        db.execute_batch("UPDATE t SET d = 5 WHERE id = 'y'").unwrap();
        assert!(matches!(standing(&db, &tables(), &changes).unwrap(), Standing::Changed(_)));
    }

    fn tables() -> [Target<'static>; 1] {
        [Target { name: "t", sql: Sql::new("t"), key: &["id"] }]
    }
}
