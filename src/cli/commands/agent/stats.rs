//! `sen agent stats`.

use sen_core::error::Result;
use sen_core::model::value::Value;
use sen_core::system::System as _;

use super::common::Reading;
use crate::args::Window;
use crate::sections::{section_blocks, section_values};
use crate::session::Session;
use crate::views::{CommandOutput, Block, Detail, DetailsView, View};

/// Count agent tasks: by verdict, by stored status as the controller does, by tenant
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen agent stats
  sen agent stats --window 24h
  sen agent stats -o json | jq .by_status")]
pub struct Args {
    #[command(flatten)]
    pub window: Window,

    #[command(flatten)]
    pub reading: Reading,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let database = session.read_agents_from(args.reading.prefer_replica).await?;
    let system = database.agents()?;
    let (statistics, by_status) = system.statistics(args.window.span()?).await?;
    let now = statistics.now;
    let place = Value::Text(system.database().to_owned());
    let mut blocks = vec![Block::Field("database", place.clone())];
    blocks.extend(statistics.facts.iter().map(|(name, value)| Block::Field(name, value.clone())));
    blocks.extend(section_blocks(&statistics.sections));
    // The controller's own shape: one number for each stored status.
    let by_status = by_status.into_iter().map(|(status, count)| (status.name(), Value::Int(count))).collect();
    let mut map = vec![("database", place), ("observed_at", Value::Time(now)), ("by_status", Value::Map(by_status))];
    map.extend(statistics.facts.iter().cloned());
    map.extend(section_values(&statistics.sections));
    let details = vec![Detail { value: Value::Map(map), blocks }];
    Ok(CommandOutput::new(View::Details(DetailsView { details, single: true, now })))
}
