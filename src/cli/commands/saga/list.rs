//! `sen saga list`.

use std::cell::Cell;

use sen_core::error::Result;
use sen_core::model::listing::Page;
use sen_core::model::verdict::shell_word;
use sen_core::systems::saga::{SagaFilter, SagaOrder, SagaState, Sagas};
use sen_core::systems::sentinel::similar::closest;

use super::common::severity;
use crate::args::{Changed, Paging, choice};
use crate::commands::page::{self, AttentionFirst, Shown, Which};
use crate::completion::live::{Completes, Live};
use crate::output::Format;
use crate::session::Session;
use crate::views::{CommandOutput, View};

/// List sagas, the one that changed last first
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen saga list                                    the 100 that changed last
  sen saga list --stuck                            active without a deadline: no worker ever picks them up
  sen saga list --state failed,timed_out --name checkout --since 1h
  sen saga list --aggregation order-789
  sen saga list --limit 0 -o jsonl > sagas.jsonl   everything, streamed in stored order")]
pub struct Args {
    #[command(flatten)]
    pub matching: Matching,

    /// Order: updated, created (newest first) or deadline (earliest first) [default: updated; stored order with --limit 0]
    #[arg(long, value_name = "ORDER", value_parser = choice::<SagaOrder>())]
    pub sort: Option<SagaOrder>,

    #[command(flatten)]
    pub paging: Paging,
}

/// Which sagas.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Matching {
    /// Only in these states
    #[arg(long, value_delimiter = ',', value_name = "STATE,…", value_parser = choice::<SagaState>())]
    pub state: Vec<SagaState>,

    /// Only those of this saga definition
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Only those about this
    #[arg(long, value_name = "ID")]
    pub aggregation: Option<String>,

    /// Only active ones without a deadline, unchanged for a minute: no worker picks them up
    #[arg(long)]
    pub stuck: bool,

    /// Only those whose deadline has passed: the next poll picks them up
    #[arg(long)]
    pub due: bool,

    /// Only those whose last error contains this text
    #[arg(long, value_name = "TEXT")]
    pub where_error: Option<String>,

    #[command(flatten)]
    pub changed: Changed,

    /// Only those in this table: its name, or schema.name
    #[arg(long, value_name = "TABLE", add = Completes(Live::SagaTable))]
    pub saga_table: Option<String>,
}

impl Matching {
    /// As a filter, of everything.
    pub fn filter(self) -> SagaFilter {
        SagaFilter {
            states: self.state,
            table: self.saga_table,
            name: self.name,
            aggregation: self.aggregation,
            stuck: self.stuck,
            due: self.due,
            error: self.where_error,
            period: self.changed.into(),
            page: Page::default(),
        }
    }
}

/// What to say of an empty page if its definition is one that there is not: which one was probably meant.
async fn meant(sagas: &Sagas, name: Option<&str>) -> Result<Option<String>> {
    let Some(name) = name else { return Ok(None) };
    let known = sagas.definitions().await?;
    if known.contains(name) {
        return Ok(None);
    }
    let near = closest(name, known.into_iter().collect());
    Ok(near.first().map(|near| format!("no sagas match: did you mean --name {}?", shell_word(near))))
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let page = args.paging.page(args.sort, &["context"], &session.globals)?;
    let filter = SagaFilter { page, ..args.matching.filter() };
    // Only a table says in words that it is empty, and a stream is read as it is shown.
    let told = filter.page.limit.is_some() && session.globals.output == Format::Table;
    let name = filter.name.as_deref().filter(|_| told);
    let database = session.read().await?;
    let sagas = database.sagas()?;
    let (mut output, meant) = if filter.states.is_empty() && page::is_for_attention(&filter.page, session) {
        let shown = AttentionFirst {
            command: &["sen", "saga", "list"],
            look: &["sen", "saga", "show"],
            nouns: "sagas",
            tone: ("state", severity),
            narrowed: SagaFilter { page: Page::default(), ..filter.clone() } != SagaFilter::default(),
            urgent: None,
        };
        let nothing = Cell::new(false);
        let ask = async |which| {
            let states = page::states_for(which, severity);
            let mut listing = sagas.list(&SagaFilter { states, ..filter.clone() }).await?;
            if which == Which::All {
                nothing.set(page::lists_nothing(&mut listing).await?);
            }
            Ok(listing)
        };
        let output = page::attention_first(&database, shown, &args.paging, ask).await?;
        (output, meant(sagas, name.filter(|_| nothing.get())).await?)
    } else {
        let mut listing = sagas.list(&filter).await?;
        let meant = match name {
            Some(name) if page::lists_nothing(&mut listing).await? => meant(sagas, Some(name)).await?,
            _ => None,
        };
        let shown = Shown { nouns: "sagas", tone: Some(("state", severity)), pages: false, look: &["sen", "saga", "show"] };
        (page::list(listing, database, &args.paging, shown, session), meant)
    };
    if let (View::List(view), Some(meant)) = (&mut output.view, meant) {
        view.empty = meant;
    }
    Ok(output)
}
