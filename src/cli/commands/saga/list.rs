//! `sen saga list`.

use sen_core::error::Result;
use sen_core::model::listing::Page;
use sen_core::systems::saga::{SagaFilter, SagaOrder, SagaState};

use super::common::severity;
use crate::args::{Changed, Paging, choice};
use crate::commands::page::{self, AttentionFirst, Shown};
use crate::completion::live::{Completes, Live};
use crate::session::Session;
use crate::views::CommandOutput;

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

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let page = args.paging.page(args.sort, &["context"], &session.globals)?;
    let filter = SagaFilter { page, ..args.matching.filter() };
    let database = session.read().await?;
    if filter.states.is_empty() && page::is_for_attention(&filter.page, session) {
        let shown = AttentionFirst {
            command: &["sen", "saga", "list"],
            look: &["sen", "saga", "show"],
            nouns: "sagas",
            tone: ("state", severity),
            narrowed: SagaFilter { page: Page::default(), ..filter.clone() } != SagaFilter::default(),
        };
        let sagas = database.sagas()?;
        let ask = async |which| {
            let states = page::states_for(which, severity);
            sagas.list(&SagaFilter { states, ..filter.clone() }).await
        };
        return page::attention_first(shown, &args.paging, ask).await;
    }
    let listing = database.sagas()?.list(&filter).await?;
    let shown = Shown { nouns: "sagas", tone: Some(("state", severity)), pages: false };
    Ok(page::list(listing, database, &args.paging, shown))
}
