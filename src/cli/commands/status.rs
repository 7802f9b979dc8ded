//! `sen status`: what is in this database.

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::value::{Column, Show, Value};
use sen_core::model::verdict::Severity;
use sen_core::registry::Database;
use sen_core::system::Survey;

use crate::exit::Exit;
use crate::fault;
use crate::session::Session;
use crate::views::{Answer, Block, Detail, DetailsView, View};

/// Show what is in this database: systems, counts by state, what needs attention
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sen status\n  sen status --check && echo nothing needs a person")]
pub struct Args {
    /// End with exit code 10 when something needs attention
    #[arg(long)]
    pub check: bool,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<Answer> {
    let database = session.read().await?;
    let Surveyed { detail, now, worst, unreachable } = survey(&database).await?;
    let attention = args.check && worst >= Severity::Warning;
    let view = View::Details(DetailsView { details: vec![detail], single: true, now });
    let exit = match unreachable.first() {
        Some(error) => fault::exit(error.kind()),
        None if attention => Exit::Attention,
        None => Exit::Done,
    };
    Ok(Answer::new(view).ending(exit).with_errors(unreachable))
}

const COUNTS: &[Column] = &[
    Column { name: "state", heading: "STATE", show: Show::Whole },
    Column { name: "count", heading: "COUNT", show: Show::Whole },
    Column { name: "oldest", heading: "OLDEST CHANGE", show: Show::Whole },
];

/// What is known of all systems of a database.
pub struct Surveyed {
    /// Their surveys.
    pub detail: Detail,
    /// The clock of the first one's database.
    pub now: sen_core::time::Timestamp,
    /// What needs most attention.
    pub worst: Severity,
    /// Why a database beside the first one could not be asked.
    pub unreachable: Vec<Error>,
}

/// Surveys every system of a database.
pub async fn survey(database: &Database) -> Result<Surveyed> {
    let mut surveys = Vec::new();
    let mut absent = None;
    let mut unreachable = Vec::new();
    for system in database.systems() {
        match system.survey().await {
            Ok(survey) => surveys.push((system.database().to_owned(), survey)),
            Err(error) if error.kind() == ErrorKind::NoSystem => absent = Some(error),
            Err(error) if error.kind() == ErrorKind::Connect => unreachable.push(error),
            Err(error) => return Err(error),
        }
    }
    if surveys.is_empty()
        && let Some(error) = unreachable.pop()
    {
        return Err(error);
    }
    let Some((name, first)) = surveys.first() else {
        return Err(absent.unwrap_or_else(|| Error::new(ErrorKind::NoSystem, "no system was found")));
    };
    let now = first.now;
    let worst = surveys.iter().flat_map(|(_, survey)| &survey.attention).map(|item| item.severity).max();
    let mut blocks = vec![Block::Field("database", Value::Text(name.clone()))];
    for (place, survey) in &surveys {
        if place != name {
            blocks.push(Block::Heading(place.clone()));
        }
        blocks.extend(layout(survey));
    }
    let value = Value::Map(vec![
        ("database", Value::Text(name.clone())),
        ("observed_at", Value::Time(now)),
        ("systems", Value::List(surveys.iter().map(|(place, survey)| placed(place, survey)).collect())),
    ]);
    let worst = worst.unwrap_or(Severity::Ok);
    Ok(Surveyed { detail: Detail { value, blocks }, now, worst, unreachable })
}

/// A survey as data, with the database it is of.
fn placed(place: &str, survey: &Survey) -> Value {
    let mut value = data(survey);
    if let Value::Map(map) = &mut value {
        map.push(("database", Value::Text(place.to_owned())));
    }
    value
}

/// A survey for people.
pub(super) fn layout(survey: &Survey) -> Vec<Block> {
    let version = if survey.writable { survey.version.clone() } else { format!("{} (reading only)", survey.version) };
    let mut blocks = vec![Block::Field(survey.system, Value::Text(version))];
    blocks.extend(
        survey
            .facts
            .iter()
            .filter(|(_, value)| *value != Value::Null)
            .map(|(name, value)| Block::Field(name, value.clone())),
    );
    blocks.push(Block::Heading(survey.counted.into()));
    let rows: Vec<_> = survey
        .counts
        .iter()
        .filter(|count| count.count > 0)
        .map(|count| vec![Value::Name(count.state), Value::Int(count.count), Value::time(count.oldest)])
        .collect();
    blocks.push(if rows.is_empty() { Block::Note("none yet".into()) } else { Block::Table(COUNTS, rows) });
    blocks.extend(super::section_blocks(&survey.sections));
    blocks.push(Block::Heading("attention".into()));
    if survey.attention.is_empty() {
        blocks.push(Block::Note("nothing needs a person".into()));
    }
    blocks.extend(survey.attention.iter().map(|item| Block::Attention(item.clone())));
    blocks
}

/// A survey as data.
pub(super) fn data(survey: &Survey) -> Value {
    let counts = survey.counts.iter().map(|count| {
        Value::Map(vec![
            ("state", Value::Name(count.state)),
            ("severity", Value::Name(count.severity.name())),
            ("count", Value::Int(count.count)),
            ("oldest", Value::time(count.oldest)),
        ])
    });
    let attention = survey.attention.iter().map(|item| {
        Value::Map(vec![
            ("severity", Value::Name(item.severity.name())),
            ("text", Value::Text(item.text.clone())),
            ("command", Value::Text(item.next.command.clone())),
        ])
    });
    let mut map = vec![
        ("system", Value::Name(survey.system)),
        ("version", Value::Text(survey.version.clone())),
        ("writable", Value::Bool(survey.writable)),
        ("counts", Value::List(counts.collect())),
        ("attention", Value::List(attention.collect())),
        ("facts", Value::Map(survey.facts.clone())),
    ];
    map.extend(super::section_values(&survey.sections));
    Value::Map(map)
}
