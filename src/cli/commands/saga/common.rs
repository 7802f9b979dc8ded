//! What the commands on sagas and their messages share.

use futures_util::StreamExt as _;
use sen_core::error::{Error, Result};
use sen_core::model::listing::{Filter, Part};
use sen_core::model::verdict::Severity;
use sen_core::systems::saga::{self, verdict::State};

use crate::output::Format;
use crate::session::Session;
use crate::views::{CommandOutput, Batch, ListView, View};

/// How severe a verdict on a saga is.
pub fn severity(state: &str) -> Severity {
    State::parse(state).map_or(Severity::Ok, State::severity)
}

/// How a list is shown.
pub struct Shown {
    /// What they are called.
    pub nouns: &'static str,
    /// The column whose value tells how severe it is.
    pub tone: (&'static str, fn(&str) -> Severity),
    /// The column that holds payloads.
    pub payload: &'static str,
    /// Whether an empty list is a failure.
    pub fail_if_empty: bool,
}

/// Lists what matches.
pub async fn listed(mut filter: Filter, shown: Shown, session: &Session) -> Result<CommandOutput> {
    let globals = &session.globals;
    if filter.kind.is_empty() && filter.reverse && filter.limit.is_none() && filter.sort.is_none() {
        return Err(Error::usage("--reverse needs --sort when everything is streamed in stored order"));
    }
    let asked = globals.fields.iter().any(|field| field == shown.payload);
    filter.payloads = asked || (globals.fields.is_empty() && globals.output != Format::Table);
    let database = session.read().await?;
    let listing = database.system(saga::NAME)?.list(&filter).await?;
    let (limit, nouns) = (filter.limit.unwrap_or_default(), shown.nouns);
    let batches = listing.parts.map(move |part| {
        // The connection lives as long as its rows are read.
        let _open = &database;
        let Part { rows, more } = part?;
        let note = more.then(|| format!("more {nouns} match; these are the first {limit} (--limit 0 lists all)"));
        Ok(Batch { rows, note })
    });
    Ok(CommandOutput::new(View::List(ListView {
        columns: listing.columns,
        batches: Box::pin(batches),
        now: listing.now,
        tone: Some(shown.tone),
        empty: format!("no {nouns} match"),
        fail_if_empty: shown.fail_if_empty,
    })))
}
