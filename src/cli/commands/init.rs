//! `sen init`: the tables for an empty database.

use sen_core::error::Result;
use sen_core::model::report::{Outcome, Report};
use sen_core::model::value::Value;
use sen_core::ops::init;
use sen_core::registry::Access;
use sen_core::systems::sentinel;

use crate::session::Session;
use crate::views::{Answer, Block, Detail, DetailsView, View};

/// Create the Sentinel tables (as version 0.5.0 does) where they are missing
///
/// Nothing that exists is altered. Running it again does nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sen init --dry-run\n  sen init\n  sen --database-url sqlite:jobs.db init")]
pub struct Args {
    /// Say what would be created, and create nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<Answer> {
    if args.dry_run {
        let database = match session.read().await {
            Ok(database) => database,
            // A file that is still to be made holds nothing yet.
            Err(error) if session.makes_file()? => {
                return Ok(Answer::new(View::Text(format!("would be created: {error}\n"))));
            }
            Err(error) => return Err(error),
        };
        let system = database.system(sentinel::NAME)?;
        let plan = init::plan(system).await?;
        let items = plan.steps.iter().map(|step| (step.subject.to_string(), step.act.to_owned(), String::new()));
        return Ok(view(system.database(), true, items.collect(), None));
    }
    let database = session.write(Access::Create).await?;
    let system = database.system(sentinel::NAME)?;
    let plan = init::plan(system).await?;
    let report = init::apply(system, &plan, None).await?;
    let items =
        report.items.iter().map(|item| (item.subject.to_string(), item.outcome.name().to_owned(), item.detail.clone()));
    Ok(view(system.database(), false, items.collect(), Some(&report)))
}

fn view(database: &str, dry_run: bool, items: Vec<(String, String, String)>, report: Option<&Report>) -> Answer {
    let results = items.iter().map(|(subject, outcome, detail)| {
        Value::Map(vec![
            ("subject", Value::Text(subject.clone())),
            ("outcome", Value::Text(outcome.clone())),
            ("detail", Value::Text(detail.clone())),
        ])
    });
    let count = |outcome| Value::Int(report.map_or(0, |report| report.count(outcome)) as i64);
    let value = Value::Map(vec![
        ("dry_run", Value::Bool(dry_run)),
        ("planned", Value::Int(items.len() as i64)),
        ("applied", count(Outcome::Applied)),
        ("already_done", count(Outcome::AlreadyDone)),
        ("changed", count(Outcome::Changed)),
        ("skipped", count(Outcome::Skipped)),
        ("failed", count(Outcome::Failed)),
        ("unknown", count(Outcome::Unknown)),
        ("results", Value::List(results.collect())),
    ]);
    let mut blocks = vec![Block::Field("database", Value::Text(database.to_owned()))];
    blocks.extend(items.into_iter().map(|(subject, outcome, detail)| {
        let name = subject.rsplit(':').next().unwrap_or_default().to_owned();
        let act = match (outcome.as_str(), dry_run) {
            ("create", true) => "would be created".into(),
            ("keep", true) => "already there".into(),
            _ => detail,
        };
        Block::Note(format!("{name}: {act}"))
    }));
    let now = sen_core::time::Timestamp::here();
    Answer::new(View::Details(DetailsView { details: vec![Detail { value, blocks }], single: true, now }))
}
