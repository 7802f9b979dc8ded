//! Lists of records: what is wanted, and rows in batches.

use std::pin::Pin;
use std::time::Duration;

use futures_util::Stream;

use crate::error::Result;
use crate::time::{Timestamp, When};
use crate::value::{Column, Row};

/// Which records a list holds, and in what order. Times are about the last change of a record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// What is listed, where a system has several kinds of things; empty: its primary one.
    pub kind: &'static str,
    /// States by name; a record matches when its stored status or its verdict is among them. Empty: all.
    pub states: Vec<String>,
    /// Keys of this namespace only (`payments` matches `payments:order-1`).
    pub namespace: Option<String>,
    /// Owners with this prefix.
    pub owner: Option<String>,
    /// Of this queue.
    pub queue: Option<String>,
    /// Of this function, step, saga or task type.
    pub function: Option<String>,
    /// With this tag.
    pub tag: Option<String>,
    /// Held by this worker.
    pub worker: Option<String>,
    /// Whose error contains this text.
    pub error: Option<String>,
    /// What they belong to: an execution, an aggregation, a tenant.
    pub parent: Option<String>,
    /// Only what follows the record with this id in the order of the list: the next page.
    pub after: Option<String>,
    /// Further conditions by name, as the system knows them: `stuck`, `due`, …
    pub flags: Vec<&'static str>,
    /// Only records whose lease has expired.
    pub expired: bool,
    /// Changed longer ago than this.
    pub older_than: Option<Duration>,
    /// Changed at or after this.
    pub since: Option<When>,
    /// Changed before this.
    pub until: Option<When>,
    /// The order; `None` is the system's own: newest first for a page, stored order for everything.
    pub sort: Option<String>,
    /// The order reversed.
    pub reverse: bool,
    /// The maximum number; `None`: all, streamed.
    pub limit: Option<u64>,
    /// Whether payloads (results) are wanted.
    pub payloads: bool,
}

/// The answer to a list.
pub struct Listing {
    /// The columns of every row.
    pub columns: &'static [Column],
    /// The database's clock when the rows were read.
    pub now: Timestamp,
    /// The rows in batches; memory stays flat however many there are.
    pub parts: Pin<Box<dyn Stream<Item = Result<Part>> + Send>>,
}

/// A part of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Rows, in order.
    pub rows: Vec<Row>,
    /// Whether the limit was reached after them and more records match.
    pub more: bool,
}
