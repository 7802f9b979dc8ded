//! Putting rows back as they were, each only if it is still exactly as an act left it: one statement for a batch of targets,
//! each of which is put back whole or not at all.
//!
//! Rows travel as the JSON that `row_to_json` makes of them, and are read back with the types of their own table, so that no
//! statement needs to know its columns. Whether a row is as it was left is asked of its image, byte for byte.
//!
//! Parameters: $1 places of the targets, $2 how many rows each has, $3 a note for each; from $4 on three for each part: places,
//! rows as they were, rows as they were left.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::decode::Cells;
use super::write::Changed;
use crate::sql::Sql;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::ident::Ident;
use sen_model::journal::Changes;
use sen_model::rows::{KeptTable, RowChange, Seen, changes};
use sen_model::undo::{Standing, otherwise};

/// A table as statements name it.
pub struct Target<'a> {
    /// What changes of its rows call it.
    pub name: &'a str,
    /// How a statement names it.
    pub sql: Sql,
    /// Its primary key.
    pub key: &'a [&'static str],
    /// What an operator is told when the database keeps rows of it out.
    pub shown: &'static str,
}

/// How a row is put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// It is gone, and comes back.
    Insert,
    /// It is there, and goes.
    Delete,
    /// Its columns get back what they held.
    Update,
}

/// Rows of one table that are put back in the same way.
#[derive(Default)]
struct Part {
    places: Vec<i64>,
    before: Vec<Option<String>>,
    after: Vec<Option<String>>,
    columns: BTreeSet<String>,
}

/// A batch of targets, by their rows.
pub struct Batch<'a> {
    tables: &'a [Target<'a>],
    parts: BTreeMap<(usize, Way), Part>,
    places: Vec<i64>,
    needs: Vec<i64>,
    notes: Vec<String>,
}

/// The rows of each part as they are bound. No act changes rows of more tables in more ways.
const WANTED: [&str; 9] = [
    "unnest($4::int8[], $5::text[], $6::text[]) AS w (place, before, after)",
    "unnest($7::int8[], $8::text[], $9::text[]) AS w (place, before, after)",
    "unnest($10::int8[], $11::text[], $12::text[]) AS w (place, before, after)",
    "unnest($13::int8[], $14::text[], $15::text[]) AS w (place, before, after)",
    "unnest($16::int8[], $17::text[], $18::text[]) AS w (place, before, after)",
    "unnest($19::int8[], $20::text[], $21::text[]) AS w (place, before, after)",
    "unnest($22::int8[], $23::text[], $24::text[]) AS w (place, before, after)",
    "unnest($25::int8[], $26::text[], $27::text[]) AS w (place, before, after)",
    "unnest($28::int8[], $29::text[], $30::text[]) AS w (place, before, after)",
];
const HELD: [&str; 9] = ["h0", "h1", "h2", "h3", "h4", "h5", "h6", "h7", "h8"];
const MADE: [&str; 9] = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8"];

/// What a change did to the rows that were asked for before and after it, by the places of its targets. The rows of an answer
/// are: place, table, row.
pub fn kept(tables: &[KeptTable], changed: &Changed) -> Changes {
    let mut looks: BTreeMap<usize, [Seen; 2]> = BTreeMap::new();
    for (at, rows) in changed.seen.iter().enumerate() {
        for row in rows {
            let mut cells = Cells::new(row);
            if let (Some(place), Some(table), Some(row)) = (cells.int(0), cells.text(1), cells.text(2)) {
                looks.entry(usize::try_from(place).unwrap_or(usize::MAX)).or_default()[at].push((table, row));
            }
        }
    }
    let told = looks.into_iter().map(|(place, [before, after])| (place, changes(tables, before, after)));
    told.filter(|(_, changes)| !changes.is_empty()).collect()
}

/// The same of a change of one thing.
pub fn kept_of_one(tables: &[KeptTable], changed: &Changed) -> Changes {
    Changes::from([(0, kept(tables, changed).remove(&0).unwrap_or_default())])
}

/// What was done to the rows of the targets that were put back: the opposite of what they were kept for.
pub fn reversed<'a>(changed: &Changed, rows: impl Fn(usize) -> Option<&'a [RowChange]>) -> Changes {
    let one = |place: usize| Some((place, rows(place)?.iter().map(RowChange::reversed).collect()));
    put_back(changed).into_iter().filter_map(one).collect()
}

/// The columns that differ between two images of a row.
fn different(before: &str, after: &str) -> Result<BTreeSet<String>> {
    let fields = |text| {
        serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(text)
            .map_err(|error| Error::new(ErrorKind::Unreadable, "a row that was kept cannot be read").with_source(error))
    };
    let (before, after) = (fields(before)?, fields(after)?);
    let other = |(name, value): (String, Box<RawValue>)| {
        (after.get(&name).map(|value| value.get()) != Some(value.get())).then_some(name)
    };
    Ok(before.into_iter().filter_map(other).collect())
}

impl<'a> Batch<'a> {
    /// The rows of these targets, each with its note.
    ///
    /// # Errors
    /// `Unreadable` when a row is no JSON object, or of a table that is not among `tables`.
    pub fn new<'b>(
        tables: &'a [Target<'a>],
        targets: impl IntoIterator<Item = (&'b [RowChange], String)>,
    ) -> Result<Self> {
        let mut batch =
            Self { tables, parts: BTreeMap::new(), places: Vec::new(), needs: Vec::new(), notes: Vec::new() };
        for (place, (rows, note)) in targets.into_iter().enumerate() {
            let place = i64::try_from(place).unwrap_or(i64::MAX);
            batch.places.push(place);
            batch.needs.push(i64::try_from(rows.len()).unwrap_or(i64::MAX));
            batch.notes.push(note);
            for row in rows {
                batch.push(place, row)?;
            }
        }
        if batch.parts.len() > WANTED.len() {
            return Err(Error::new(ErrorKind::Internal, "too many kinds of rows to put back at once"));
        }
        Ok(batch)
    }

    fn push(&mut self, place: i64, row: &RowChange) -> Result<()> {
        let unknown =
            || Error::new(ErrorKind::Unreadable, format!("rows of {} are not here to be put back", row.table));
        let table = self.tables.iter().position(|table| table.name == row.table).ok_or_else(unknown)?;
        let (way, columns) = match (&row.before, &row.after) {
            (Some(_), None) => (Way::Insert, BTreeSet::new()),
            (None, Some(_)) => (Way::Delete, BTreeSet::new()),
            (Some(before), Some(after)) => (Way::Update, different(before, after)?),
            (None, None) => return Err(unknown()),
        };
        let part = self.parts.entry((table, way)).or_default();
        part.places.push(place);
        part.before.push(row.before.clone());
        part.after.push(row.after.clone());
        part.columns.extend(columns);
        Ok(())
    }

    /// The parameters of both statements.
    pub fn params(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        let mut params: Vec<(&(dyn ToSql + Sync), Type)> =
            vec![(&self.places, Type::INT8_ARRAY), (&self.needs, Type::INT8_ARRAY), (&self.notes, Type::TEXT_ARRAY)];
        for part in self.parts.values() {
            params.extend([
                (&part.places as &(dyn ToSql + Sync), Type::INT8_ARRAY),
                (&part.before, Type::TEXT_ARRAY),
                (&part.after, Type::TEXT_ARRAY),
            ]);
        }
        params
    }

    /// Puts back what is as it was left: it returns the places of what was put back. `guard` is a further condition on a
    /// target `p (place, needs, note)`, `record` is a further part of the statement that writes the record of each target in
    /// `fit (place, note)`.
    ///
    /// # Errors
    /// `Usage` for a column that no SQL can name.
    pub fn statement(&self, guard: &'static str, record: &Sql) -> Result<Sql> {
        let mut sql = Sql::new("WITH ");
        let mut kept = Sql::new("");
        for (at, ((table, way), part)) in self.parts.iter().enumerate() {
            sql = self.held(sql.then(HELD[at]), at, *table, *way, part)?.then(", ");
        }
        sql = sql.then("had AS (SELECT all_held.place, count(*) AS number FROM (");
        for (at, held) in HELD.iter().enumerate().take(self.parts.len()) {
            sql =
                sql.then(if at == 0 { "SELECT sen_place AS place FROM " } else { " UNION ALL SELECT sen_place FROM " });
            sql = sql.then(held);
        }
        sql = sql
            .then(
                ") AS all_held GROUP BY 1), fit AS MATERIALIZED (SELECT p.place, p.note
                FROM unnest($1::int8[], $2::int8[], $3::text[]) AS p (place, needs, note)
                JOIN had ON had.place = p.place AND had.number = p.needs WHERE true",
            )
            .then(guard)
            .then(")");
        for (at, ((table, way), part)) in self.parts.iter().enumerate() {
            let target = &self.tables[*table];
            sql = self.made(sql.then(", ").then(MADE[at]), at, target, *way, part)?;
            kept = kept
                .then(" WHEN (SELECT count(*) FROM ")
                .then(MADE[at])
                .then(") < (SELECT count(*) FROM ")
                .then(HELD[at])
                .then(" AS h JOIN fit AS g ON g.place = h.sen_place) THEN '")
                .then(target.shown)
                .then("'");
        }
        Ok(sql
            .then_sql(record)
            .then(" SELECT f.place::int8, CASE")
            .then_sql(&kept)
            .then(" END AS kept_out FROM fit AS f"))
    }

    /// The rows of a part that are as they were left, locked; of what is gone, that nothing is in its place.
    fn held(&self, sql: Sql, at: usize, table: usize, way: Way, part: &Part) -> Result<Sql> {
        let table = &self.tables[table];
        let mut sql = sql.then(" AS MATERIALIZED (SELECT w.place AS sen_place");
        if way == Way::Insert {
            sql =
                sql.then(", w.before AS sen_row FROM ").then(WANTED[at]).then(" LEFT JOIN ").then_sql(&table.sql).then(
                    " AS n ON false CROSS JOIN LATERAL json_populate_record(n, w.before::json) AS b
                    WHERE NOT EXISTS (SELECT 1 FROM ",
                );
            return Ok(keyed(sql.then_sql(&table.sql).then(" AS x WHERE "), table, "x.", "b.")?.then("))"));
        }
        for key in table.key {
            sql = sql.then(", x.").then_ident(&Ident::new(*key)?);
        }
        if way == Way::Update {
            for column in &part.columns {
                sql = sql.then(", b.").then_ident(&Ident::new(column)?);
            }
        }
        sql = sql.then(" FROM ").then(WANTED[at]).then(" LEFT JOIN ").then_sql(&table.sql);
        sql = sql.then(" AS n ON false CROSS JOIN LATERAL json_populate_record(n, w.after::json) AS a");
        if way == Way::Update {
            sql = sql.then(" CROSS JOIN LATERAL json_populate_record(n, w.before::json) AS b");
        }
        sql = sql.then(" JOIN ").then_sql(&table.sql).then(" AS x ON ");
        Ok(keyed(sql, table, "x.", "a.")?.then(" WHERE record_image_eq(x, a) FOR UPDATE OF x)"))
    }

    /// Puts the rows of a part back.
    fn made(&self, sql: Sql, at: usize, table: &Target<'_>, way: Way, part: &Part) -> Result<Sql> {
        let sql = match way {
            Way::Insert => {
                return Ok(sql
                    .then(" AS (INSERT INTO ")
                    .then_sql(&table.sql)
                    .then(" SELECT b.* FROM ")
                    .then(HELD[at])
                    .then(" AS h JOIN fit AS f ON f.place = h.sen_place LEFT JOIN ")
                    .then_sql(&table.sql)
                    .then(
                        " AS n ON false CROSS JOIN LATERAL json_populate_record(n, h.sen_row::json) AS b RETURNING 1)",
                    ));
            }
            Way::Delete => sql.then(" AS (DELETE FROM ").then_sql(&table.sql).then(" AS x USING "),
            Way::Update => {
                let mut sql = sql.then(" AS (UPDATE ").then_sql(&table.sql).then(" AS x SET ");
                for (number, column) in part.columns.iter().enumerate() {
                    let column = Ident::new(column)?;
                    sql = sql
                        .then(if number == 0 { "" } else { ", " })
                        .then_ident(&column)
                        .then(" = h.")
                        .then_ident(&column);
                }
                sql.then(" FROM ")
            }
        };
        let sql = sql.then(HELD[at]).then(" AS h, fit AS f WHERE f.place = h.sen_place AND ");
        Ok(keyed(sql, table, "x.", "h.")?.then(" RETURNING 1)"))
    }

    /// How each row stands: place, its table's number, `after`, `before` or `other`, and what its state or status is; no state
    /// where it is not there.
    ///
    /// # Errors
    /// As [`Self::statement`].
    pub fn standing(&self) -> Result<Sql> {
        // Parameters that nothing names have no type.
        let mut sql = Sql::new(
            "SELECT NULL::int8, NULL::int8, NULL::text, NULL::text WHERE $1::int8[] IS NULL AND $2::int8[] IS NULL AND $3::text[] IS NULL",
        );
        for (at, ((table, way), _)) in self.parts.iter().enumerate() {
            let number = NUMBERS.get(*table).copied().unwrap_or("0");
            let table = &self.tables[*table];
            sql = sql
                .then(" UNION ALL SELECT w.place, ")
                .then(number)
                .then(
                    ", CASE WHEN w.after IS NULL AND x IS NULL OR record_image_eq(x, a) THEN 'after'
                        WHEN w.before IS NULL AND x IS NULL OR record_image_eq(x, b) THEN 'before' ELSE 'other' END,
                    CASE WHEN x IS NULL THEN NULL ELSE coalesce(row_to_json(x) ->> 'state', row_to_json(x) ->> 'status', '') END FROM ",
                )
                .then(WANTED[at])
                .then(" LEFT JOIN ")
                .then_sql(&table.sql)
                .then(
                    " AS n ON false CROSS JOIN LATERAL json_populate_record(n, w.after::json) AS a
                    CROSS JOIN LATERAL json_populate_record(n, w.before::json) AS b LEFT JOIN ",
                )
                .then_sql(&table.sql)
                .then(" AS x ON ");
            sql = keyed(sql, table, "x.", if *way == Way::Insert { "b." } else { "a." })?;
        }
        Ok(sql)
    }

    /// The table of this number.
    pub fn table(&self, number: i64) -> Option<&Target<'a>> {
        usize::try_from(number).ok().and_then(|number| self.tables.get(number))
    }
}

/// How each of `targets` stands, by the answer to [`Batch::standing`].
pub fn standings(batch: &Batch<'_>, rows: &[Row]) -> Vec<Standing> {
    let mut found: Vec<(bool, bool, Option<String>)> = vec![(true, true, None); batch.places.len()];
    for row in rows {
        let mut cells = Cells::new(row);
        let place = cells.int(0).and_then(|place| usize::try_from(place).ok());
        let table = cells.int(1).and_then(|number| batch.table(number));
        let (how, state) = (cells.text(2), cells.text(3));
        let Some((as_left, as_before, other)) = place.and_then(|place| found.get_mut(place)) else { continue };
        *as_left &= how.as_deref() == Some("after");
        *as_before &= how.as_deref() == Some("before");
        if how.as_deref() != Some("after") {
            let name = table.map_or("", |table| table.name);
            other.get_or_insert_with(|| otherwise(name, state.as_deref().unwrap_or("gone")));
        }
    }
    let standing = |(as_left, as_before, other): (bool, bool, Option<String>)| match (as_left, as_before) {
        (true, _) => Standing::AsLeft,
        (false, true) => Standing::AsBefore,
        (false, false) => Standing::Changed(other.unwrap_or_default()),
    };
    found.into_iter().map(standing).collect()
}

/// The places of the targets that were put back.
pub fn put_back(changed: &Changed) -> BTreeSet<usize> {
    let place = |row: &Row| usize::try_from(Cells::new(row).int(0)?).ok();
    changed.rows.iter().filter_map(place).collect()
}

const NUMBERS: [&str; 9] = ["0", "1", "2", "3", "4", "5", "6", "7", "8"];

/// That two rows have the same key.
fn keyed(mut sql: Sql, table: &Target<'_>, left: &'static str, right: &'static str) -> Result<Sql> {
    for (at, key) in table.key.iter().enumerate() {
        let key = Ident::new(*key)?;
        sql = sql.then(if at == 0 { "" } else { " AND " }).then(left).then_ident(&key).then(" = ");
        sql = sql.then(right).then_ident(&key);
    }
    Ok(sql)
}
