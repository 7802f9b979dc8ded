//! Reading columns that may hold what the driver's own types refuse: infinite times, text that is no UTF-8.

use std::error::Error as StdError;

use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

use sen_model::time::Timestamp;
use sen_model::time::wall::Wall;

/// 2000-01-01T00:00:00Z, PostgreSQL's epoch, in microseconds since 1970.
const EPOCH: i64 = 946_684_800_000_000;

/// A `timestamptz` as it travels: microseconds since 2000, the extremes being the infinities.
struct Stamp(Timestamp);

impl<'a> FromSql<'a> for Stamp {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        Ok(Self(match micros {
            i64::MAX => Timestamp::INFINITY,
            i64::MIN => Timestamp::NEG_INFINITY,
            // The last millennia that the server knows are beyond ours: the last finite moment, not infinity.
            finite => Timestamp::from_micros(finite.saturating_add(EPOCH).min(i64::MAX - 1)),
        }))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::TIMESTAMPTZ
    }
}

/// A plain `timestamp` as it travels: the same without a zone.
struct Plain(Wall);

impl<'a> FromSql<'a> for Plain {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        Ok(Self(match micros {
            i64::MAX => Wall::INFINITY,
            i64::MIN => Wall::NEG_INFINITY,
            finite => Wall::from_micros(finite.saturating_add(EPOCH).min(i64::MAX - 1)),
        }))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::TIMESTAMP
    }
}

/// Text as bytes: a database in SQL_ASCII can hold anything.
struct Bytes<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Bytes<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::TEXT | Type::VARCHAR | Type::NAME | Type::UNKNOWN)
    }
}

/// JSON as bytes. A `jsonb` travels as text behind a version number: sent so it costs the server less than cast to text.
struct JsonBytes<'a>(&'a [u8]);

impl<'a> FromSql<'a> for JsonBytes<'a> {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        match raw {
            [1, text @ ..] if *kind == Type::JSONB => Ok(Self(text)),
            _ if *kind == Type::JSONB => Err("jsonb in an unknown version".into()),
            text => Ok(Self(text)),
        }
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::JSONB | Type::JSON) || Bytes::accepts(kind)
    }
}

/// Reads the columns of one row and collects what could not be read, instead of failing the row.
pub struct Cells<'row> {
    row: &'row Row,
    /// What could not be read, in words.
    pub unreadable: Vec<String>,
}

impl<'row> Cells<'row> {
    /// Over a row.
    pub fn new(row: &'row Row) -> Self {
        Self { row, unreadable: Vec::new() }
    }

    fn get<T: FromSql<'row>>(&mut self, at: usize) -> Option<T> {
        match self.row.try_get::<_, Option<T>>(at) {
            Ok(value) => value,
            Err(error) => {
                let name = self.row.columns().get(at).map_or("?", |column| column.name());
                let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
                self.unreadable.push(format!("column {name}: {cause}"));
                None
            }
        }
    }

    /// A bigint.
    pub fn int(&mut self, at: usize) -> Option<i64> {
        self.get(at)
    }

    /// A boolean.
    pub fn flag(&mut self, at: usize) -> Option<bool> {
        self.get(at)
    }

    /// A timestamptz.
    pub fn time(&mut self, at: usize) -> Option<Timestamp> {
        self.get::<Stamp>(at).map(|stamp| stamp.0)
    }

    /// A timestamp without time zone.
    pub fn wall(&mut self, at: usize) -> Option<Wall> {
        self.get::<Plain>(at).map(|plain| plain.0)
    }

    /// A double.
    pub fn float(&mut self, at: usize) -> Option<f64> {
        self.get(at)
    }

    /// A bytea.
    pub fn bytes(&mut self, at: usize) -> Option<Vec<u8>> {
        self.get(at)
    }

    /// Text; bytes that are no UTF-8 are replaced and reported.
    pub fn text(&mut self, at: usize) -> Option<String> {
        let Bytes(raw) = self.get(at)?;
        Some(self.utf8(at, raw))
    }

    /// JSON as text, read like other text.
    pub fn json(&mut self, at: usize) -> Option<String> {
        let JsonBytes(raw) = self.get(at)?;
        Some(self.utf8(at, raw))
    }

    fn utf8(&mut self, at: usize, raw: &[u8]) -> String {
        match std::str::from_utf8(raw) {
            Ok(text) => text.to_owned(),
            Err(_) => {
                let name = self.row.columns().get(at).map_or("?", |column| column.name());
                self.unreadable.push(format!("column {name} is not UTF-8"));
                String::from_utf8_lossy(raw).into_owned()
            }
        }
    }
}
