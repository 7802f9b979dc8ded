//! `sen status`: what is in this database.

use sen_core::error::Result;
use sen_core::model::columns;
use sen_core::model::summary::{Count, Summary};
use sen_core::model::value::Value;
use sen_core::model::verdict::Severity;
use sen_core::ops::summary::{Front, summary};

use crate::args::HowCounted;
use crate::exit::Exit;
use crate::fault;
use crate::session::Session;
use crate::views::{CommandOutput, Block, Detail, DetailsView, View};

/// Show what needs attention, and what is in this database: systems, counts by state
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sen status\n  sen status --check && echo nothing needs a person\n  sen status --check -q --severity critical      one line, for a monitor")]
pub struct Args {
    /// End with exit code 10 when something needs attention; with -q print one line
    #[arg(long)]
    pub check: bool,

    #[command(flatten)]
    pub counting: HowCounted,

    /// With --check: the least severity that counts
    #[arg(long, value_name = "SEVERITY", requires = "check", value_parser = ["warning", "critical"], default_value = "warning")]
    pub severity: String,
}

/// What needs attention in one line: `critical: 1 critical, 2 warnings: 3 keys uncertain: …`.
fn line(front: &Front) -> String {
    let attention = front.attention();
    let count = |severity| attention.iter().filter(|(_, item)| item.severity == severity).count();
    let worst = match attention.first() {
        Some((_, item)) => item,
        None if front.unreachable.is_empty() => return "ok: nothing needs a person".into(),
        None => return "unknown: not everything could be read".into(),
    };
    let warnings = count(Severity::Warning);
    let plural = if warnings == 1 { "" } else { "s" };
    let counts = format!("{} critical, {warnings} warning{plural}", count(Severity::Critical));
    format!("{}: {counts}: {}", worst.severity.name(), worst.text)
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let database = session.read().await?;
    let front = summary(&database, args.counting.counting()).await?;
    let mut detail = detail(&front);
    if args.check && session.globals.quiet {
        detail.blocks = vec![Block::Note(line(&front))];
    }
    let view = View::Details(DetailsView { details: vec![detail], single: true, now: front.now });
    let least = if args.severity == "critical" { Severity::Critical } else { Severity::Warning };
    let exit = match front.unreachable.first() {
        Some(error) => fault::exit(error.kind()),
        None if args.check && front.worst() >= least => Exit::Attention,
        None => Exit::Done,
    };
    Ok(CommandOutput::new(view).ending(exit).with_errors(front.unreachable))
}

columns! {
    COUNTS,
    fn count_row(count: &Count) {}
    "state", "STATE", Whole => Value::Name(count.state);
    "count", "COUNT", Whole => Value::count(count.count, count.estimated);
    "oldest", "OLDEST", Whole => Value::time(count.oldest);
}

columns! {
    STORED_COUNTS,
    fn stored_count_row(count: &Count) {}
    "state", "STORED STATE", Whole => Value::Name(count.state);
    "count", "COUNT", Whole => Value::count(count.count, count.estimated);
    "oldest", "OLDEST", Whole => Value::time(count.oldest);
}

/// A survey for people and as data.
pub fn detail(front: &Front) -> Detail {
    let mut blocks = vec![Block::Field("database", Value::Text(front.database.clone()))];
    blocks.push(Block::Heading("attention".into()));
    let attention = front.attention();
    if attention.is_empty() {
        let all = front.unreachable.is_empty();
        let note = if all { "nothing needs a person" } else { "nothing in what could be read; not everything could" };
        blocks.push(Block::Note(note.into()));
    }
    blocks.extend(attention.iter().map(|(_, item)| Block::Attention((*item).clone())));
    for (summary, place) in front.surveys.iter().zip(&front.places) {
        blocks.extend(layout(summary));
        if *place != front.database {
            blocks.push(Block::Field("database", Value::Text(place.clone())));
        }
    }
    let attention = attention.into_iter().map(|(system, item)| item.value(system));
    let value = Value::Map(vec![
        ("database", Value::Text(front.database.clone())),
        ("observed_at", Value::Time(front.now)),
        ("attention", Value::List(attention.collect())),
        (
            "systems",
            Value::List(front.surveys.iter().zip(&front.places).map(|(summary, place)| placed(place, summary)).collect()),
        ),
    ]);
    Detail { value, blocks }
}

/// A survey as data, with the database it is of.
fn placed(place: &str, summary: &Summary) -> Value {
    let mut value = data(summary);
    if let Value::Map(map) = &mut value {
        map.push(("database", Value::Text(place.to_owned())));
    }
    value
}

/// What stands below counts of which some are estimates.
pub(super) const ESTIMATED: &str = "~ is an estimate from the statistics of the server's last ANALYZE; --exact counts";

/// A survey for people.
pub(super) fn layout(summary: &Summary) -> Vec<Block> {
    let reading = if summary.writable { "" } else { "; reading only" };
    let mut blocks = vec![Block::Heading(format!("{} {}{reading}: {}", summary.system, summary.version, summary.counted))];
    let counts = summary.counts.iter().filter(|count| count.count > 0);
    let (columns, rows): (_, Vec<_>) = match summary.stored_states {
        true => (STORED_COUNTS, counts.map(stored_count_row).collect()),
        false => (COUNTS, counts.map(count_row).collect()),
    };
    blocks.push(if rows.is_empty() { Block::Note("none yet".into()) } else { Block::Table(columns, rows) });
    blocks.extend(crate::sections::section_blocks(&summary.sections));
    if summary.estimated {
        blocks.extend([Block::Note(String::new()), Block::Note(ESTIMATED.into())]);
    }
    let facts: Vec<_> = summary.facts.iter().filter(|(_, value)| *value != Value::Null).collect();
    if !facts.is_empty() {
        blocks.push(Block::Note(String::new()));
    }
    blocks.extend(facts.into_iter().map(|(name, value)| Block::Field(name, value.clone())));
    blocks
}

/// A survey as data.
pub(super) fn data(summary: &Summary) -> Value {
    let counts = summary.counts.iter().map(|count| {
        Value::Map(vec![
            ("state", Value::Name(count.state)),
            ("severity", Value::Name(count.severity.name())),
            ("count", Value::Int(count.count)),
            ("estimated", Value::Bool(count.estimated)),
            ("oldest", Value::time(count.oldest)),
        ])
    });
    let attention = summary.attention.iter().map(|item| item.value(summary.system));
    let mut map = vec![
        ("system", Value::Name(summary.system)),
        ("version", Value::Text(summary.version.clone())),
        ("writable", Value::Bool(summary.writable)),
        ("counted", Value::Name(summary.counted)),
        ("counts_estimated", Value::Bool(summary.estimated)),
        ("counts", Value::List(counts.collect())),
        ("attention", Value::List(attention.collect())),
        ("dead_letters", summary.dead_letters.map_or(Value::Null, Value::Int)),
        ("facts", Value::Map(summary.facts.clone())),
    ];
    map.extend(crate::sections::section_values(&summary.sections));
    Value::Map(map)
}
