//! The look at what tables a file has, once for all systems, and again only when the file says that it has changed.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use super::error_from;
use crate::catalogue::{Catalogue, Column, Relation};
use sen_model::error::Result;

const COLUMNS: &str = "SELECT m.rowid, m.name, c.name, c.type, c.\"notnull\" = 0 OR c.dflt_value IS NOT NULL
    FROM sqlite_schema AS m, pragma_table_info(m.name) AS c
    WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY m.rowid, c.cid";

const KEYS: &str = "SELECT m.rowid, k.\"from\", k.\"table\"
    FROM sqlite_schema AS m, pragma_foreign_key_list(m.name) AS k WHERE m.type = 'table' AND k.\"from\" IS NOT NULL";

/// What was seen of the tables, and at which version of them.
#[derive(Debug, Default)]
pub struct Tables(Mutex<Option<(i64, Arc<Catalogue>)>>);

impl Tables {
    /// The tables as they are now. SQLite counts their changes in the header of the file.
    ///
    /// # Errors
    /// What SQLite reports.
    pub fn look(&self, db: &Connection) -> Result<Arc<Catalogue>> {
        let version = db.query_row("PRAGMA schema_version", [], |row| row.get(0)).map_err(error_from)?;
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, catalogue)) = &*seen
            && *at == version
        {
            return Ok(Arc::clone(catalogue));
        }
        let catalogue = Arc::new(read(db)?);
        *seen = Some((version, Arc::clone(&catalogue)));
        Ok(catalogue)
    }

    /// Another file may stand where the one stood.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn read(db: &Connection) -> Result<Catalogue> {
    let mut statement = db.prepare(COLUMNS).map_err(error_from)?;
    let mut rows = statement.query([]).map_err(error_from)?;
    let mut relations: Vec<Relation> = Vec::new();
    while let Some(row) = rows.next().map_err(error_from)? {
        let number = row.get(0).map_err(error_from)?;
        let column = Column {
            name: row.get(2).unwrap_or_default(),
            type_schema: String::new(),
            type_name: row.get(3).unwrap_or_default(),
            labels: Vec::new(),
            optional: row.get(4).unwrap_or_default(),
        };
        match relations.last_mut().filter(|last| last.number == number) {
            Some(last) => last.columns.push(column),
            None => relations.push(Relation {
                number,
                schema: None,
                name: row.get(1).unwrap_or_default(),
                visible: true,
                stored: true,
                sequence: false,
                columns: vec![column],
                references: Vec::new(),
                rows: None,
                hides_rows: false,
                readable: true,
                wholly_readable: true,
            }),
        }
    }
    let mut statement = db.prepare(KEYS).map_err(error_from)?;
    let keys = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).map_err(error_from)?;
    let keys: Vec<(i64, String, String)> = keys.filter_map(rusqlite::Result::ok).collect();
    for (from, column, to) in keys {
        let to = relations.iter().find(|known| known.name.eq_ignore_ascii_case(&to)).map(|known| known.number);
        if let (Some(to), Some(from)) = (to, relations.iter_mut().find(|known| known.number == from)) {
            from.references.push((column, to));
        }
    }
    Ok(Catalogue { relations })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_looked_at_once_and_again_when_they_change() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE one (id INTEGER PRIMARY KEY, name TEXT NOT NULL)").unwrap();
        let tables = Tables::default();
        let first = tables.look(&db).unwrap();
        db.execute_batch("INSERT INTO one VALUES (1, 'x')").unwrap();
        assert!(Arc::ptr_eq(&first, &tables.look(&db).unwrap()), "rows are no change of the tables");
        db.execute_batch("CREATE TABLE two (one_id INTEGER REFERENCES ONE (id))").unwrap();
        let second = tables.look(&db).unwrap();
        assert!(first.named("two").is_none());
        let two = second.named("two").unwrap();
        assert_eq!(two.references, [("one_id".to_owned(), second.named("one").unwrap().number)]);
        assert!(!first.relations[0].columns[1].optional && two.columns[0].optional);
        db.execute_batch("DROP TABLE two").unwrap();
        assert!(tables.look(&db).unwrap().named("two").is_none());
    }
}
