//! What lists of one system's things have in common: the note that more match, and the next page.

use futures_util::StreamExt as _;
use sen_core::model::listing::{Listing, Part};
use sen_core::model::value::Value;
use sen_core::registry::Database;

use crate::args::Paging;
use crate::views::{Batch, CommandOutput, ListView, Tone, View};

/// How a list is shown.
pub struct Shown {
    /// Its things: `executions`.
    pub nouns: &'static str,
    /// How its rows are coloured.
    pub tone: Tone,
    /// Whether `--after` with the id of the last row goes on; the first column is the id.
    pub pages: bool,
}

/// A listing as a command's output. The database stays open as long as its rows are read.
pub fn list(listing: Listing, database: Database, paging: &Paging, shown: Shown) -> CommandOutput {
    let Shown { nouns, tone, pages } = shown;
    let limit = paging.limit;
    let mut last = None;
    let batches = listing.parts.map(move |part| {
        let _open = &database;
        let Part { rows, more } = part?;
        if let Some(Value::Text(id)) = rows.last().and_then(|row| row.first()).filter(|_| pages) {
            last = Some(id.clone());
        }
        let note = more.then(|| {
            let next = last.as_ref().map_or_else(String::new, |id| format!("--after {id} goes on, "));
            format!("more {nouns} match; these are the first {limit} ({next}--limit 0 lists all)")
        });
        Ok(Batch { rows, note })
    });
    CommandOutput::new(View::List(ListView {
        columns: listing.columns,
        batches: Box::pin(batches),
        now: listing.now,
        tone,
        empty: format!("no {nouns} match"),
        fail_if_empty: paging.fail_if_empty,
    }))
}
