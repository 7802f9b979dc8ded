//! Lists: the names people choose from, which part of a list is wanted, and rows in batches.

use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};

use crate::error::Result;
use crate::time::{Timestamp, When};
use crate::value::{Column, Row};

/// A closed set of names that people type: the states and orders of a list. Help, errors with suggestions and completion are
/// made from [`Self::ALL`].
pub trait Choice: Copy + PartialEq + Send + Sync + 'static {
    /// All of them, in the order of the help.
    const ALL: &'static [Self];

    /// Its name: lower snake case.
    fn name(self) -> &'static str;

    /// The one with this name.
    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|choice| choice.name() == name)
    }
}

/// An enum that is a [`Choice`](crate::listing::Choice): each variant with its name.
#[macro_export]
macro_rules! choices {
    ($(#[$about:meta])* $visibility:vis enum $choice:ident { $($(#[$says:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $visibility enum $choice { $($(#[$says])* $variant),+ }

        impl $crate::listing::Choice for $choice {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

/// When a record last changed; of executions and their tasks, when it was made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Period {
    /// Longer ago than this.
    pub older_than: Option<Duration>,
    /// At or after this.
    pub since: Option<When>,
    /// Before this.
    pub until: Option<When>,
}

/// Which part of a list, in which of the orders `O`.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<O> {
    /// The order; `None` is the system's own: newest first for a page, stored order for everything.
    pub order: Option<O>,
    /// The order reversed.
    pub reverse: bool,
    /// Only what follows the record with this id in the order of the list: the next page.
    pub after: Option<String>,
    /// The maximum number; `None`: all, streamed.
    pub limit: Option<u64>,
    /// Whether payloads (arguments, results, contexts) are read.
    pub payloads: bool,
}

impl<O> Default for Page<O> {
    fn default() -> Self {
        Self { order: None, reverse: false, after: None, limit: None, payloads: false }
    }
}

impl<O> Page<O> {
    /// The first `limit` in the system's own order.
    pub fn first(limit: u64) -> Self {
        Self { limit: Some(limit), ..Self::default() }
    }

    /// The same in this order.
    #[must_use]
    pub fn ordered(mut self, order: Option<O>) -> Self {
        self.order = order;
        self
    }

    /// One more than the limit, so that it is known whether more match.
    pub fn one_more(&self) -> Option<i64> {
        self.limit.map(|limit| i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX))
    }
}

/// Rows in batches, as a stream.
pub type Parts = Pin<Box<dyn Stream<Item = Result<Part>> + Send>>;

/// The answer to a list.
pub struct Listing {
    /// The columns of every row.
    pub columns: &'static [Column],
    /// The database's clock when the rows were read.
    pub now: Timestamp,
    /// The rows in batches; memory stays flat however many there are.
    pub parts: Parts,
}

impl Listing {
    /// Rows that are all at hand.
    pub fn of(columns: &'static [Column], now: Timestamp, rows: Vec<Row>) -> Self {
        Self { columns, now, parts: one_part(rows, false) }
    }
}

/// A part of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Rows, in order.
    pub rows: Vec<Row>,
    /// Whether the limit was reached after them and more records match.
    pub more: bool,
}

/// Rows that are all at hand, and whether more match.
pub fn one_part(rows: Vec<Row>, more: bool) -> Parts {
    Box::pin(stream::iter([Ok(Part { rows, more })]))
}

/// At most `limit` records of a stream that was asked for one more, as rows.
pub fn parts<T: Send + 'static>(
    chunks: impl Stream<Item = Result<Vec<T>>> + Send + 'static,
    limit: Option<u64>,
    row: impl Fn(T) -> Row + Send + 'static,
) -> Parts {
    let mut left = limit.unwrap_or(u64::MAX);
    Box::pin(chunks.map(move |chunk| {
        let mut chunk = chunk?;
        let keep = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
        let more = chunk.len() > keep;
        chunk.truncate(keep);
        left -= keep as u64;
        Ok(Part { rows: chunk.into_iter().map(&row).collect(), more })
    }))
}
