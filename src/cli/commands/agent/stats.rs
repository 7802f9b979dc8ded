//! `sen agent stats`.

use sen_core::error::Result;
use sen_core::model::value::Value;
use sen_core::system::Survey;

use super::agents;
use crate::commands::status::{data, layout};
use crate::session::Session;
use crate::views::{Answer, Block, Detail, DetailsView, View};

/// Count agent tasks: by verdict, by stored status as the controller does, by tenant
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen agent stats
  sen agent stats -o json | jq .by_status")]
pub struct Args {}

/// Runs it.
pub async fn run(_: Args, session: &Session) -> Result<Answer> {
    let database = session.read_agents().await?;
    let system = agents(&database)?;
    let survey = system.survey().await?;
    let now = survey.now;
    let mut blocks = vec![Block::Field("database", Value::Text(system.database().to_owned()))];
    blocks.extend(layout(&survey));
    let Value::Map(mut map) = data(&survey) else { return Ok(Answer::new(View::Nothing)) };
    map.push(("total_tasks", Value::Int(survey.counts.iter().map(|count| count.count).sum())));
    map.push(("by_status", by_status(&survey)));
    map.push(("observed_at", Value::Time(now)));
    let details = vec![Detail { value: Value::Map(map), blocks }];
    Ok(Answer::new(View::Details(DetailsView { details, single: true, now })))
}

/// The controller's own shape: one number per stored status.
fn by_status(survey: &Survey) -> Value {
    let rows = survey.sections.iter().filter(|section| section.name == "statuses").flat_map(|section| &section.rows);
    Value::Map(
        rows.filter_map(|row| match row.as_slice() {
            [Value::Name(status), count] => Some((*status, count.clone())),
            _ => None,
        })
        .collect(),
    )
}
