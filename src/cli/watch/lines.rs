//! `sen watch` where there is no terminal: one row for every change, for pipes and logs.

use std::time::Duration;

use futures_util::stream;
use sen_core::model::value::{Column, Row, Show, Value};
use sen_core::model::verdict::Severity;
use sen_core::ops::snapshot::Snapshot;
use sen_core::ops::summary::{Front, summary};
use sen_core::registry::Database;
use sen_core::time::{Timestamp, Uptime};
use tokio::time::Instant;

use super::live::{SHARE, Source, is_loss, told};
use super::pace::Pace;
use super::picture::Picture;
use crate::views::{Batch, Batches, ListView};

const fn column(name: &'static str, heading: &'static str, show: Show) -> Column {
    Column { name, heading, show }
}

const COLUMNS: &[Column] = &[
    column("observed_at", "TIME", Show::Moment),
    column("event", "EVENT", Show::Whole),
    column("critical", "CRITICAL", Show::Whole),
    column("warning", "WARNING", Show::Whole),
    column("dead_letters", "DEAD LETTERS", Show::Asked),
    column("summary", "SUMMARY", Show::Short),
    column("attention", "ATTENTION", Show::Asked),
    column("query_ms", "QUERY", Show::Asked),
];

struct Follow {
    source: Source,
    database: Option<Database>,
    pace: Pace,
    next: Instant,
    /// What was last said.
    said: Option<Row>,
    away: bool,
}

/// The rows, without end.
pub fn list(source: Source, database: Database, interval: Duration, now: Timestamp) -> ListView {
    let follow = Follow {
        source,
        database: Some(database),
        pace: Pace::new(interval, SHARE),
        next: Instant::now(),
        said: None,
        away: false,
    };
    let batches: Batches = Box::pin(stream::unfold(follow, |mut follow| async {
        let row = follow.next_row().await;
        Some((row.map(|row| Batch { rows: vec![row], note: None }), follow))
    }));
    ListView { columns: COLUMNS, batches, now, tone: None, empty: String::new(), fail_if_empty: false }
}

impl Follow {
    /// The next row that differs from the last one.
    async fn next_row(&mut self) -> sen_core::error::Result<Row> {
        loop {
            tokio::time::sleep_until(self.next).await;
            let row = match self.look().await {
                Ok((front, took)) => {
                    let event = if std::mem::take(&mut self.away) { "connected" } else { "state" };
                    state_row(front, event, took)
                }
                Err(error) => {
                    // The first look is where a wrong database shows.
                    if self.said.is_none() {
                        return Err(error);
                    }
                    let lost = is_loss(&error);
                    if lost {
                        self.database = None;
                    }
                    self.next = Instant::now() + self.pace.interval().max(Duration::from_secs(1));
                    if std::mem::replace(&mut self.away, true) {
                        continue;
                    }
                    let mut row = vec![Value::Null; COLUMNS.len()];
                    row[0] = Value::Time(Timestamp::here());
                    row[1] = Value::Name(if lost { "disconnected" } else { "no_answer" });
                    row[5] = Value::Text(told(&error));
                    row
                }
            };
            if self.said.as_ref().is_none_or(|said| differs(said, &row)) {
                self.said = Some(row.clone());
                return Ok(row);
            }
        }
    }

    async fn look(&mut self) -> sen_core::error::Result<(Front, Duration)> {
        let database = match self.database.take() {
            Some(database) => database,
            None => self.source.open().await?,
        };
        let start = (Instant::now(), Uptime::now());
        let answer = self.source.within(summary(&database)).await;
        let took = start.1.until(Uptime::now());
        self.database = Some(database);
        self.pace.took(took);
        self.next = start.0 + self.pace.interval();
        answer.map(|front| (front, took))
    }
}

/// Whether there is something to say: the time it was seen and how long that took are not.
fn differs(said: &Row, now: &Row) -> bool {
    (1..COLUMNS.len() - 2).any(|at| said[at] != now[at])
}

fn state_row(front: Front, event: &'static str, took: Duration) -> Row {
    let attention = front.attention();
    let severe =
        |severity: Severity| Value::Int(attention.iter().filter(|(_, item)| item.severity == severity).count() as i64);
    let items = attention.iter().map(|(system, item)| {
        Value::Map(vec![
            ("system", Value::Name(system)),
            ("severity", Value::Name(item.severity.name())),
            ("text", Value::Text(item.text.clone())),
            ("command", Value::Text(item.next.command.clone())),
        ])
    });
    // What could not be looked at may need somebody, too.
    let unread: Vec<String> = front.unreachable.iter().map(ToString::to_string).collect();
    let items = items.chain(unread.iter().map(|text| {
        Value::Map(vec![
            ("system", Value::Null),
            ("severity", Value::Name(Severity::Warning.name())),
            ("text", Value::Text(text.clone())),
            ("command", Value::Text("sen doctor".to_owned())),
        ])
    }));
    let warnings = attention.iter().filter(|(_, item)| item.severity == Severity::Warning).count() + unread.len();
    let letters = front.surveys.iter().filter_map(|summary| summary.dead_letters).reduce(|sum, more| sum + more);
    let row = [
        Value::Time(front.now),
        Value::Name(event),
        severe(Severity::Critical),
        Value::Int(warnings as i64),
        letters.map_or(Value::Null, Value::Int),
        Value::Null,
        Value::List(items.collect()),
        Value::Millis(i64::try_from(took.as_millis()).unwrap_or(i64::MAX)),
    ];
    let mut row = Vec::from(row);
    let mut picture = Picture::default();
    picture.absorb(&Snapshot { front, running: Vec::new() });
    let mut summary = picture.summary();
    for text in unread {
        summary += &format!("; {text}");
    }
    row[5] = Value::Text(summary);
    row
}
