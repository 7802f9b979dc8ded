//! What all reading and writing of these tables in PostgreSQL shares: the catalogue, the rows of an answer, times.

use std::error::Error as StdError;

use tokio_postgres::Row;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::letters::targets::Places;
use crate::port;
use crate::rows::{self, Columns};
use crate::shape::Shape;
use crate::undo::KEPT;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::journal::Changes;
use sen_model::time::Timestamp;
use sen_model::time::wall::Wall;
use sen_stores::postgres::decode::Cells;
use sen_stores::postgres::read::Query;
use sen_stores::postgres::restore;
use sen_stores::postgres::shared::SharedConnection;
use sen_stores::postgres::write::Changed;
use sen_stores::sql::Sql;

impl Columns for Cells<'_> {
    fn text(&mut self, at: usize) -> Option<String> {
        Cells::text(self, at)
    }

    fn int(&mut self, at: usize) -> Option<i64> {
        Cells::int(self, at)
    }

    fn float(&mut self, at: usize) -> Option<f64> {
        Cells::float(self, at)
    }

    fn flag(&mut self, at: usize) -> Option<bool> {
        Cells::flag(self, at)
    }

    fn wall(&mut self, at: usize) -> Option<Wall> {
        Cells::wall(self, at)
    }

    fn bytes(&mut self, at: usize) -> Option<Vec<u8>> {
        Cells::bytes(self, at)
    }

    fn unreadable(&mut self) -> &mut Vec<String> {
        &mut self.unreadable
    }
}

/// Every row of an answer.
pub(super) fn all<T>(rows: &[Row], make: impl Fn(rows::Cells<'_>) -> T) -> Vec<T> {
    rows.iter().map(|row| make(&mut Cells::new(row))).collect()
}

/// The first row of an answer.
pub(super) fn one<T>(rows: &[Row], make: impl Fn(rows::Cells<'_>) -> T) -> Option<T> {
    rows.first().map(|row| make(&mut Cells::new(row)))
}

/// The rows of an answer that say something.
pub(super) fn some<T>(rows: &[Row], make: impl Fn(rows::Cells<'_>) -> Option<T>) -> Vec<T> {
    rows.iter().filter_map(|row| make(&mut Cells::new(row))).collect()
}

/// The first column of every row.
pub(super) fn texts(rows: &[Row]) -> Vec<String> {
    some(rows, |cells| cells.text(0))
}

/// The database's clock.
pub(super) static CLOCK: Sql = Sql::new("SELECT now()");

/// The clock in the first column.
pub(super) fn clock(rows: &[Row]) -> Timestamp {
    rows.first().and_then(|row| Cells::new(row).time(0)).unwrap_or(Timestamp::NEG_INFINITY)
}

/// The answers of a snapshot, one after the other.
pub(super) struct Answers(std::vec::IntoIter<Result<Vec<Row>>>);

impl Answers {
    pub(super) async fn of(link: &SharedConnection, asks: &[Query<'_>]) -> Result<Self> {
        Ok(Self(link.snapshot(asks).await?.into_iter()))
    }

    pub(super) fn take(&mut self) -> Result<Vec<Row>> {
        self.0.next().unwrap_or_else(|| Err(missing()))
    }
}

/// The error where a statement that always returns a row returned none.
pub(super) fn missing() -> Error {
    Error::new(ErrorKind::Internal, "an answer is missing")
}

/// Whether a statement failed because tables, columns or their types are not those of this system.
pub(super) fn is_other(error: &Error) -> bool {
    const UNDEFINED: [&str; 4] = ["42P01", "42703", "42883", "42804"];
    error.sqlstate().is_some_and(|code| UNDEFINED.contains(&code))
}

/// What a statement that failed says: that only the tables are missing, or others of the same name are there.
pub(super) fn absent(link: &SharedConnection, error: Error) -> Error {
    if is_other(&error) { port::absent(link.describe()) } else { error }
}

/// The tables as the catalogue has them.
pub(super) async fn shape(link: &SharedConnection) -> Result<Shape> {
    Ok(Shape::of(&*link.catalogue().await?))
}

/// The tables, which are those of this system.
pub(super) async fn present(link: &SharedConnection) -> Result<Shape> {
    let shape = shape(link).await?;
    if shape.present() { Ok(shape) } else { Err(port::absent(link.describe())) }
}

/// A plain TIMESTAMP as it is bound: microseconds since 2000.
#[derive(Debug)]
pub(super) struct Stamp(pub(super) Wall);

impl ToSql for Stamp {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> std::result::Result<IsNull, Box<dyn StdError + Sync + Send>> {
        const EPOCH: i64 = 946_684_800_000_000;
        let micros = self.0.as_micros();
        let micros = if self.0.is_finite() { micros.saturating_sub(EPOCH) } else { micros };
        out.extend_from_slice(&micros.to_be_bytes());
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::TIMESTAMP
    }

    to_sql_checked!();
}

/// What a change of a batch came to.
pub(super) fn settled(changed: Changed) -> Places {
    Places { done: places(&changed.rows), kept: places(&changed.left), changes: changed.kept }
}

/// The rows of those of a batch that were changed.
pub(super) fn kept_of_batch(changed: &Changed) -> Changes {
    let mut kept = restore::kept(&KEPT, changed);
    places(&changed.rows).into_iter().map(|place| (place, kept.remove(&place).unwrap_or_default())).collect()
}

/// The places that a statement returned: it counts from one.
pub(super) fn places(rows: &[Row]) -> Vec<usize> {
    let place = |row: &Row| usize::try_from(Cells::new(row).int(0)?).ok()?.checked_sub(1);
    rows.iter().filter_map(place).collect()
}
