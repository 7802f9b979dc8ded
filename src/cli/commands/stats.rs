//! `sen stats`: workers, waiting work, and what was completed.

mod chart;

use futures_util::future::join_all;
use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::summary::Statistics;
use sen_core::model::value::Value;
use sen_core::time::Timestamp;

use self::chart::{Blocks, chart};
use crate::args::{HowCounted, Window};
use crate::session::Session;
use crate::views::{CommandOutput, Block, Detail, DetailsView, View};

/// Show counts by state, queue depths, workers, dead letters, and what got done within a window of time
///
/// What happened in the window is counted from the rows and events that are still there: what was cleaned up, replayed or
/// discarded since is not among it. Leases have events since sentinel-coordination 0.5.0.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen stats
  sen stats --window 10m
  sen stats --chart                   counts as bars, with ages and rates
  sen stats -o json | jq '.systems[].queues'")]
pub struct Args {
    #[command(flatten)]
    pub window: Window,

    #[command(flatten)]
    pub counting: HowCounted,

    /// Draw counts as bars in the terminal, with the age of the oldest or the rate; -o json has the same figures
    #[arg(long)]
    pub chart: bool,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let window = args.window.span()?;
    let database = session.read().await?;
    // All systems at once: on a shared connection their queries are pipelined.
    let systems: Vec<_> = database.systems().collect();
    let answers = database.together(join_all(systems.iter().map(|system| system.stats(window, args.counting.counting())))).await;
    let mut all = Vec::new();
    let mut absent = None;
    for (system, answer) in systems.iter().zip(answers) {
        match database.seen(system.name(), answer) {
            Ok(statistics) => all.extend(statistics.flatten()),
            Err(error) if error.kind() == ErrorKind::NoSystem => absent = Some(error),
            Err(error) => return Err(error),
        }
    }
    if all.is_empty() {
        database.saw_all()?;
    }
    let Some(now) = all.iter().map(|statistics| statistics.now).max() else {
        return Err(absent.unwrap_or_else(|| {
            Error::new(ErrorKind::NoSystem, "no system in this database keeps statistics").with_hint("sen status")
        }));
    };
    let name = systems.first().map_or_else(String::new, |system| system.database().to_owned());
    let view = DetailsView { details: vec![detail(&name, now, &all, args.chart)], single: true, now };
    Ok(CommandOutput::new(View::Details(view)))
}

fn detail(database: &str, now: Timestamp, all: &[Statistics], charts: bool) -> Detail {
    let shapes = Blocks::of_locale(|name| std::env::var(name).ok());
    let mut blocks = vec![Block::Field("database", Value::Text(database.to_owned()))];
    for one in all {
        if all.len() > 1 {
            blocks.push(Block::Heading(one.system.into()));
        }
        let facts = one.facts.iter().filter(|(_, value)| *value != Value::Null);
        blocks.extend(facts.map(|(name, value)| Block::Field(name, value.clone())));
        if one.estimated {
            blocks.push(Block::Note(super::status::ESTIMATED.into()));
        }
        for section in &one.sections {
            match chart(section, now, shapes).filter(|_| charts) {
                Some(lines) => {
                    blocks.push(Block::Heading(section.heading.into()));
                    blocks.extend(lines.into_iter().map(Block::Note));
                }
                None => blocks.extend(crate::sections::section_blocks(std::slice::from_ref(section))),
            }
        }
    }
    let systems = all.iter().map(|one| {
        let mut map = vec![("system", Value::Name(one.system)), ("counts_estimated", Value::Bool(one.estimated))];
        map.extend(one.facts.iter().cloned());
        map.extend(crate::sections::section_values(&one.sections));
        Value::Map(map)
    });
    let value = Value::Map(vec![
        ("database", Value::Text(database.to_owned())),
        ("observed_at", Value::Time(now)),
        ("systems", Value::List(systems.collect())),
    ]);
    Detail { value, blocks }
}
