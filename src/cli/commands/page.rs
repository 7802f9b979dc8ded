//! What lists of one system's things have in common: the payloads that are wanted, the note that more match, the next page.

use futures_util::StreamExt as _;
use sen_core::error::{Error, Result};
use sen_core::model::listing::{Filter, Part};
use sen_core::model::value::Value;
use sen_core::model::verdict::Severity;

use crate::output::Format;
use crate::session::Session;
use crate::views::{Batch, CommandOutput, ListView, View};

/// How a list is shown.
pub struct Page {
    /// The system.
    pub system: &'static str,
    /// Its things: `executions`.
    pub nouns: &'static str,
    /// How severe each state is.
    pub tone: fn(&str) -> Severity,
    /// The columns that cost reading payloads.
    pub payloads: &'static [&'static str],
    /// Whether an empty list ends with exit code 4.
    pub fail_if_empty: bool,
}

/// Lists what matches. The first column of the system's list is the id.
pub async fn list(mut filter: Filter, page: Page, session: &Session) -> Result<CommandOutput> {
    let globals = &session.globals;
    if filter.reverse && filter.limit.is_none() && filter.sort.is_none() {
        return Err(Error::usage("--reverse needs --sort when everything is streamed in stored order"));
    }
    let asked = globals.fields.iter().any(|field| page.payloads.contains(&field.as_str()));
    filter.payloads = asked || (globals.fields.is_empty() && globals.output != Format::Table);
    let database = session.read().await?;
    let listing = database.system(page.system)?.list(&filter).await?;
    let (limit, nouns) = (filter.limit.unwrap_or_default(), page.nouns);
    let mut last = None;
    let batches = listing.parts.map(move |part| {
        // The connection lives as long as its rows are read.
        let _open = &database;
        let Part { rows, more } = part?;
        if let Some(Value::Text(id)) = rows.last().and_then(|row| row.first()) {
            last = Some(id.clone());
        }
        let note = more.then(|| {
            let next = last.as_ref().map_or_else(String::new, |id| format!("--after {id} goes on, "));
            format!("more {nouns} match; these are the first {limit} ({next}--limit 0 lists all)")
        });
        Ok(Batch { rows, note })
    });
    Ok(CommandOutput::new(View::List(ListView {
        columns: listing.columns,
        batches: Box::pin(batches),
        now: listing.now,
        tone: Some(("verdict", page.tone)),
        empty: format!("no {nouns} match"),
        fail_if_empty: page.fail_if_empty,
    })))
}
