//! `sen agent stats`.

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::summary::Statistics;
use sen_core::model::value::Value;

use super::common::agents;
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
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let database = session.read_agents().await?;
    let system = agents(&database)?;
    let Some(statistics) = system.stats(args.window.span()?).await? else {
        return Err(Error::new(ErrorKind::Internal, "agent tasks were not counted"));
    };
    let now = statistics.now;
    let place = Value::Text(system.database().to_owned());
    let mut blocks = vec![Block::Field("database", place.clone())];
    blocks.extend(statistics.facts.iter().map(|(name, value)| Block::Field(name, value.clone())));
    blocks.extend(section_blocks(&statistics.sections));
    let mut map = vec![("database", place), ("observed_at", Value::Time(now)), ("by_status", by_status(&statistics))];
    map.extend(statistics.facts.iter().cloned());
    map.extend(section_values(&statistics.sections));
    let details = vec![Detail { value: Value::Map(map), blocks }];
    Ok(CommandOutput::new(View::Details(DetailsView { details, single: true, now })))
}

/// The controller's own shape: one number per stored status.
fn by_status(statistics: &Statistics) -> Value {
    let sections = statistics.sections.iter().filter(|section| section.name == "statuses");
    let pairs = sections.flat_map(|section| &section.rows).filter_map(|row| match row.as_slice() {
        [Value::Name(status), count] => Some((*status, count.clone())),
        _ => None,
    });
    Value::Map(pairs.collect())
}
