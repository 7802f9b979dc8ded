//! `sen watch` without a terminal: one row for each change, for pipes and logs.

use std::time::Duration;

use futures_util::stream;
use sen_core::model::columns;
use sen_core::model::summary::Attention;
use sen_core::model::summary::Counting;
use sen_core::model::value::{Row, Value};
use sen_core::model::verdict::{NextCommand, Severity};
use sen_core::ops::snapshot::Snapshot;
use sen_core::ops::summary::{Front, summary};
use sen_core::registry::Database;
use sen_core::time::{Timestamp, Uptime};
use tokio::time::Instant;

use super::live::{SHARE, Source, is_loss, told};
use super::pace::Pace;
use super::picture::Picture;
use crate::views::{Batch, Batches, ListView};

/// One line of output for a snapshot.
#[derive(Debug, Clone, Default)]
struct Line {
    event: &'static str,
    /// What tells it from another: all but ages, which change with the time alone.
    marks: Vec<String>,
    critical: Option<i64>,
    warning: Option<i64>,
    dead_letters: Option<i64>,
    summary: String,
    attention: Option<Vec<Value>>,
}

columns! {
    COLUMNS,
    fn line_row(line: Line, observed: Timestamp, took: Option<Duration>) {
        let number = |number: Option<i64>| number.map_or(Value::Null, Value::Int);
    }
    "observed_at", "TIME", Moment => Value::Time(observed);
    "event", "EVENT", Whole => Value::Name(line.event);
    "critical", "CRITICAL", Whole => number(line.critical);
    "warning", "WARNING", Whole => number(line.warning);
    "dead_letters", "DEAD LETTERS", Asked => number(line.dead_letters);
    // Whole: a row is printed for what changed in it, and a pipe has no edge.
    "summary", "SUMMARY", Whole => Value::Text(line.summary);
    "attention", "ATTENTION", Asked => line.attention.map_or(Value::Null, Value::List);
    "query_ms", "QUERY", Asked =>
        took.map_or(Value::Null, |took| Value::Millis(i64::try_from(took.as_millis()).unwrap_or(i64::MAX)));
}

struct Follow {
    source: Source,
    database: Option<Database>,
    pace: Pace,
    next: Instant,
    /// The last line.
    said: Option<(&'static str, Vec<String>)>,
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
            let (line, at, took) = match self.look().await {
                Ok((front, took)) => {
                    let event = if std::mem::take(&mut self.away) { "connected" } else { "state" };
                    let at = front.now;
                    (state_line(front, event), at, Some(took))
                }
                Err(error) => {
                    // Only the first snapshot ends the command: a wrong database shows there.
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
                    let event = if lost { "disconnected" } else { "no_answer" };
                    (Line { event, summary: told(&error), ..Line::default() }, Timestamp::here(), None)
                }
            };
            let mark = (line.event, line.marks.clone());
            if self.said.as_ref() != Some(&mark) {
                self.said = Some(mark);
                return Ok(line_row(line, at, took));
            }
        }
    }

    async fn look(&mut self) -> sen_core::error::Result<(Front, Duration)> {
        let database = match self.database.take() {
            Some(database) => database,
            None => self.source.open().await?,
        };
        let start = (Instant::now(), Uptime::now());
        let answer = self.source.within(summary(&database, Counting::Exact)).await;
        let took = start.1.until(Uptime::now());
        self.database = Some(database);
        self.pace.took(took);
        self.next = start.0 + self.pace.interval();
        answer.map(|front| (front, took))
    }
}

fn state_line(front: Front, event: &'static str) -> Line {
    let attention = front.attention();
    let mark = |(system, item): &(&'static str, &Attention)| match item.counted {
        Some(counted) => format!("{system} {:?} {:?} {} {}", item.severity, counted.kind, counted.state, counted.count),
        None => format!("{system} {:?} {}", item.severity, item.text),
    };
    let mut marks: Vec<String> = attention.iter().map(mark).collect();
    let severe = |severity: Severity| attention.iter().filter(|(_, item)| item.severity == severity).count() as i64;
    let items = attention.iter().map(|(system, item)| item.value(*system));
    // A database that could not be reached may need attention, too.
    let unread: Vec<String> = front.unreachable.iter().map(ToString::to_string).collect();
    let examine = |text: &String| {
        let next = NextCommand::new(&["sen", "doctor"], "what could be the matter");
        Attention::new(Severity::Warning, text.clone(), next).value(None)
    };
    let items = items.chain(unread.iter().map(examine));
    let letters = front.surveys.iter().filter_map(|summary| summary.dead_letters).reduce(|sum, more| sum + more);
    let mut line = Line {
        event,
        marks: Vec::new(),
        critical: Some(severe(Severity::Critical)),
        warning: Some(severe(Severity::Warning) + unread.len() as i64),
        dead_letters: letters,
        summary: String::new(),
        attention: Some(items.collect()),
    };
    let mut picture = Picture::default();
    picture.absorb(&Snapshot { front, active: Vec::new() });
    line.summary = picture.summary();
    for text in unread {
        line.summary += &format!("; {text}");
    }
    marks.extend([line.summary.clone(), format!("{:?}", line.dead_letters)]);
    line.marks = marks;
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::row::Look;
    use crate::output::{self, Options};
    use crate::times::Times;

    #[test]
    fn a_pipe_gets_the_whole_of_what_changed() {
        let now = Timestamp::from_micros(0);
        let look = Look { color: false, terminal: false, times: Times::Rfc3339, width: None, now };
        let summary = format!("{}, dead letters 7", "uncertain 1, ".repeat(30));
        let row = line_row(Line { event: "state", summary: summary.clone(), ..Line::default() }, now, None);
        let mut writer = output::rows(COLUMNS, None, look, &Options::default()).unwrap();
        let mut bytes = Vec::new();
        writer.row(&row, &mut bytes);
        writer.finish(&mut bytes);
        assert!(String::from_utf8(bytes).unwrap().contains(&summary));
    }
}
