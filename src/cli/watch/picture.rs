//! The content of the dashboard: rows of five panes with a command for each, counts with their change per minute, durations as
//! bars. All text has passed the control-character filter. Pure.

use std::collections::VecDeque;

use sen_core::model::activity::Activity;
use sen_core::model::letter::LetterGroup;
use sen_core::model::record::Section;
use sen_core::model::summary::Summary;
use sen_core::model::value::Value;
use sen_core::model::verdict::{NextCommand, Severity};
use sen_core::ops::snapshot::Snapshot;
use sen_core::time::{Timestamp, humane};

use super::page::acts_on_group;
use crate::clean::clean;
use crate::output::text;

/// How many snapshots a sparkline shows.
const SPARK: usize = 12;
/// Changes are measured over this span.
const WINDOW: i64 = 60_000_000;

/// The panes, in the order of Tab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pane {
    /// What needs a person.
    Attention,
    /// Counts by state.
    States,
    /// What is under way.
    Running,
    /// Dead letters in groups.
    Letters,
    /// Further tables: depths of queues.
    Queues,
}

impl Pane {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Attention, Self::States, Self::Running, Self::Letters, Self::Queues];

    /// Its title.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Attention => "attention",
            Self::States => "states",
            Self::Running => "in progress",
            Self::Letters => "dead letters",
            Self::Queues => "queues",
        }
    }

    /// The orders its rows can have; the first is the one it begins with.
    pub const fn orders(self) -> &'static [&'static str] {
        match self {
            Self::Attention => &["severity", "system", "text"],
            Self::States => &["system", "count", "change", "state"],
            Self::Running => &["age", "system", "state", "id"],
            Self::Letters => &["count", "newest", "step"],
            Self::Queues => &["name", "numbers"],
        }
    }
}

/// What Enter opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Open {
    /// What the row says.
    Words(Vec<String>),
    /// What a command shows.
    Command(NextCommand),
}

/// One row of a pane. What it sorts by stands in `ranks`, one for each of the pane's orders.
#[derive(Debug, Clone)]
pub struct Line {
    /// How much attention it needs; its colour.
    pub severity: Severity,
    /// The cells, clean, in the pane's own columns.
    pub cells: Vec<String>,
    /// How much of its duration has passed, 0 to 1.
    pub share: Option<f64>,
    /// The command that belongs to it.
    pub command: String,
    /// What Enter opens.
    pub open: Open,
    /// The id of the record it is, where it is one.
    pub id: Option<String>,
    /// The acts on all that it stands for.
    pub acts: Vec<NextCommand>,
    /// Names the row over time, so that the selection stays on it.
    pub name: String,
    ranks: Vec<Rank>,
}

#[derive(Debug, Clone, PartialEq, PartialOrd)]
enum Rank {
    Number(f64),
    Text(String),
}

/// What was found, over the last minute.
#[derive(Default)]
pub struct Picture {
    /// The database, for people.
    pub database: String,
    /// Its clock at the last snapshot.
    pub now: Option<Timestamp>,
    /// Systems and their versions.
    pub systems: Vec<String>,
    lines: [Vec<Line>; 5],
    past: VecDeque<(Timestamp, Vec<(String, i64)>)>,
    busy: i64,
    dead: u64,
}

fn ordering(left: &Rank, right: &Rank) -> std::cmp::Ordering {
    left.partial_cmp(right).unwrap_or(std::cmp::Ordering::Equal)
}

/// A text as it may be seen.
fn shown(text: &str) -> String {
    clean(&crate::mask::message(text)).into_owned()
}

fn command(head: &[&str], rest: &[&str]) -> String {
    NextCommand::new(head, "").with(rest).command
}

fn age(moment: Option<Timestamp>, now: Timestamp) -> String {
    let passed = moment.filter(|moment| moment.is_finite()).map(|moment| now.micros_since(moment).max(0));
    let shown = passed.map(|passed| if passed < 1_000_000 { "0s".to_owned() } else { humane(passed) });
    // One unit is precise enough.
    shown.map_or_else(|| "-".to_owned(), |shown| shown.split(' ').next().unwrap_or_default().to_owned())
}

impl Picture {
    /// Takes in a new snapshot.
    pub fn absorb(&mut self, snapshot: &Snapshot) {
        let front = &snapshot.front;
        self.database = clean(&front.database).into_owned();
        self.now = Some(front.now);
        self.systems = front
            .surveys
            .iter()
            .map(|summary| clean(&format!("{} {}", summary.system, summary.version)).into_owned())
            .collect();
        self.remember(front.now, &front.surveys);
        let attention = front.attention().into_iter().map(|(system, item)| {
            let (text, command) = (shown(&item.text), clean(&item.next.command).into_owned());
            Line {
                severity: item.severity,
                cells: vec![item.severity.name().to_owned(), text.clone(), system.to_owned()],
                share: None,
                open: Open::Command(item.next.clone()),
                id: None,
                acts: Vec::new(),
                // Without its age, which changes with every snapshot.
                name: format!("{system} {command}"),
                ranks: vec![
                    Rank::Number(-f64::from(item.severity as u8)),
                    Rank::Text(system.to_owned()),
                    Rank::Text(text),
                ],
                command,
            }
        });
        let away = front.unreachable.iter().map(|error| {
            let text = shown(&error.to_string());
            let hint = shown(error.hint().unwrap_or_default());
            Line {
                severity: Severity::Warning,
                cells: vec![Severity::Warning.name().to_owned(), text.clone(), String::new()],
                share: None,
                command: command(&["sen", "status"], &[]),
                open: Open::Words(vec!["what is kept there is not shown".into(), String::new(), text.clone(), hint]),
                id: None,
                acts: Vec::new(),
                name: "unreachable".to_owned(),
                ranks: vec![
                    Rank::Number(-f64::from(Severity::Warning as u8)),
                    Rank::Text(String::new()),
                    Rank::Text(text),
                ],
            }
        });
        self.lines[0] = attention.chain(away).collect();
        let several =
            front.surveys.iter().filter(|summary| summary.counts.iter().any(|count| count.count > 0)).count() > 1;
        self.lines[1] = front.surveys.iter().flat_map(|summary| self.states(summary, several)).collect();
        let counts = front.surveys.iter().flat_map(|summary| &summary.counts);
        self.busy = counts.filter(|count| count.severity == Severity::Pending).map(|count| count.count).sum();
        let dead = front.surveys.iter().filter_map(|summary| summary.dead_letters);
        self.dead = dead.map(|dead| u64::try_from(dead).unwrap_or(0)).sum();
        self.lines[2] = running(&snapshot.active, front.now);
        self.lines[4] = front.surveys.iter().flat_map(queues(front.now)).collect();
    }

    /// Takes in the groups of dead letters.
    pub fn absorb_letters(&mut self, groups: &[LetterGroup], now: Timestamp) {
        let line = |group: &LetterGroup| {
            let (step, error) = (shown(&group.step), shown(&group.error));
            let count = group.count;
            let list = NextCommand::new(&["sen", "dlq", "list"], "").option("--group", &group.id);
            Line {
                severity: Severity::Warning,
                cells: vec![
                    count.to_string(),
                    step.clone(),
                    error,
                    age(group.last, now),
                    clean(&group.id).into_owned(),
                ],
                share: None,
                command: list.command.clone(),
                open: Open::Command(list),
                id: None,
                acts: acts_on_group(&group.id),
                name: format!("{} {}", group.system, group.id),
                ranks: vec![
                    Rank::Number(-(count as f64)),
                    Rank::Number(-(group.last.map_or(0, Timestamp::as_micros) as f64)),
                    Rank::Text(step),
                ],
            }
        };
        self.lines[3] = groups.iter().map(line).collect();
    }

    /// How many are under way in all, where not all of them are shown.
    pub fn busy(&self) -> Option<i64> {
        usize::try_from(self.busy).is_ok_and(|busy| busy > self.lines[2].len()).then_some(self.busy)
    }

    /// How many dead letters the last snapshot counted.
    pub fn dead(&self) -> u64 {
        self.dead
    }

    /// Shows that there are too many of them to be grouped repeatedly.
    pub fn too_many_letters(&mut self, count: u64) {
        let (text, command) =
            ("too many to be grouped while watching".to_owned(), command(&["sen", "dlq", "groups"], &[]));
        self.lines[3] = vec![Line {
            severity: Severity::Warning,
            cells: vec![count.to_string(), String::new(), format!("{text}; {command}"), String::new(), String::new()],
            share: None,
            open: Open::Words(vec![format!("{count} dead letters: {text}"), String::new(), format!("next: {command}")]),
            id: None,
            acts: Vec::new(),
            command,
            name: "too many".to_owned(),
            ranks: Vec::new(),
        }];
    }

    fn remember(&mut self, now: Timestamp, surveys: &[Summary]) {
        let counts = surveys.iter().flat_map(|summary| {
            summary.counts.iter().map(|count| (format!("{} {}", summary.system, count.state), count.count))
        });
        // After the clock was set back, earlier counts cannot be compared.
        if self.past.back().is_some_and(|(last, _)| *last > now) {
            self.past.clear();
        }
        self.past.push_back((now, counts.collect()));
        while self.past.len() > 2 && self.past.get(1).is_some_and(|(at, _)| now.micros_since(*at) >= WINDOW) {
            self.past.pop_front();
        }
    }

    /// The change of a count per minute; `None` before the second snapshot.
    fn change(&self, name: &str) -> Option<f64> {
        let ((then, old), (now, new)) = (self.past.front()?, self.past.back()?);
        let passed = now.micros_since(*then);
        let find = |counts: &[(String, i64)]| counts.iter().find(|(known, _)| known == name).map(|(_, count)| *count);
        (passed > 0).then_some(())?;
        Some((find(new)? - find(old).unwrap_or(0)) as f64 * 60e6 / passed as f64)
    }

    /// How much a count changed from each snapshot to the next, over the last minute.
    fn changes(&self, name: &str) -> Vec<f64> {
        let find =
            |counts: &[(String, i64)]| counts.iter().find(|(known, _)| known == name).map_or(0, |(_, count)| *count);
        let counts: Vec<i64> = self.past.iter().map(|(_, counts)| find(counts)).collect();
        counts.windows(2).map(|pair| (pair[1] - pair[0]).abs() as f64).collect()
    }

    /// The counts of a system. Systems share names of states: with `several` each row names what it counts.
    fn states(&self, summary: &Summary, several: bool) -> Vec<Line> {
        let moves =
            |state: &str| self.change(&format!("{} {state}", summary.system)).is_some_and(|change| change != 0.0);
        let counts = summary.counts.iter().filter(|count| count.count > 0 || moves(count.state));
        counts
            .map(|count| {
                let name = format!("{} {}", summary.system, count.state);
                let change = self.change(&name);
                let list = NextCommand::new(summary.list, "").with(&["--state", count.state]);
                let command = list.command.clone();
                let oldest = age(count.oldest.filter(|_| count.count > 0), summary.now);
                let shown = change.map_or_else(String::new, rate);
                Line {
                    severity: if count.count > 0 { count.severity } else { Severity::Ok },
                    cells: vec![
                        if several { format!("{} {}", summary.counted, count.state) } else { count.state.to_owned() },
                        count.count.to_string(),
                        shown.clone(),
                        oldest.clone(),
                        summary.system.to_owned(),
                        sparkline(&self.changes(&name), SPARK),
                    ],
                    share: None,
                    open: Open::Command(list),
                    id: None,
                    acts: Vec::new(),
                    command,
                    ranks: vec![
                        // The system's own order: what needs attention first.
                        Rank::Number(0.0),
                        Rank::Number(-(count.count as f64)),
                        Rank::Number(-change.unwrap_or(0.0).abs()),
                        Rank::Text(count.state.to_owned()),
                    ],
                    name,
                }
            })
            .collect()
    }

    /// The rows of a pane in the order of this number that hold `filter` (in lower case).
    pub fn rows(&self, pane: Pane, order: usize, filter: &str) -> Vec<&Line> {
        let holds = |line: &&Line| {
            filter.is_empty()
                || line.cells.iter().any(|cell| cell.to_lowercase().contains(filter))
                || line.command.to_lowercase().contains(filter)
        };
        let mut rows: Vec<&Line> = self.lines[pane as usize].iter().filter(holds).collect();
        rows.sort_by(|left, right| match (left.ranks.get(order), right.ranks.get(order)) {
            (Some(left), Some(right)) => ordering(left, right),
            _ => std::cmp::Ordering::Equal,
        });
        rows
    }

    /// How many of what needs attention are this severe.
    pub fn severe(&self, severity: Severity) -> usize {
        self.lines[0].iter().filter(|line| line.severity == severity).count()
    }

    /// Whether a pane has, or may come to have, anything in it.
    pub fn has(&self, pane: Pane) -> bool {
        match pane {
            Pane::Attention | Pane::States | Pane::Running => true,
            Pane::Letters => !self.lines[3].is_empty(),
            Pane::Queues => !self.lines[4].is_empty(),
        }
    }

    /// The last snapshot in one line, equal for equal states.
    pub fn summary(&self) -> String {
        let states: Vec<String> = self.lines[1]
            .iter()
            .filter(|line| line.cells[1] != "0")
            .map(|line| format!("{} {}", line.cells[0], line.cells[1]))
            .collect();
        if states.is_empty() { "nothing in it".to_owned() } else { states.join(", ") }
    }
}

/// `+3/min`; empty without a change, so that changes are conspicuous.
fn rate(change: f64) -> String {
    if change.abs() < 0.05 {
        return String::new();
    }
    let digits = usize::from(change.abs() < 10.0 && (change.round() - change).abs() > 0.05);
    format!("{change:+.digits$}/min")
}

fn running(all: &[Activity], now: Timestamp) -> Vec<Line> {
    let passed = |one: &Activity| one.since.map(|since| now.micros_since(since).max(0));
    let longest = all.iter().filter_map(passed).max().unwrap_or(0).max(1);
    let line = |one: &Activity| {
        let share = match (one.since, one.until) {
            (Some(since), Some(until)) if until > since => {
                now.micros_since(since) as f64 / until.micros_since(since) as f64
            }
            _ => passed(one).unwrap_or(0) as f64 / longest as f64,
        };
        let id = clean(&one.id).into_owned();
        let state = one.state.to_owned();
        let rest = [&one.what, &one.worker].into_iter().flatten().map(|text| shown(text));
        let more = rest.collect::<Vec<_>>().join("  ");
        let inspect = NextCommand::new(&["sen", "inspect"], "").id(&one.id);
        Line {
            // A lease that is nearly over: its worker has stopped its heartbeats, or they are late.
            severity: if one.until.is_some() && share > 0.9 { Severity::Warning } else { Severity::Pending },
            cells: vec![id.clone(), state.clone(), age(one.since, now), more],
            share: Some(share.clamp(0.0, 1.0)),
            command: inspect.command.clone(),
            open: Open::Command(inspect),
            id: Some(one.id.clone()),
            acts: Vec::new(),
            name: format!("{} {}", one.system, one.id),
            ranks: vec![
                // Waiting work comes after running work, however long it has waited.
                Rank::Number(if one.begun { 0.0 } else { i64::MAX as f64 } - passed(one).unwrap_or(0) as f64),
                Rank::Text(one.system.to_owned()),
                Rank::Text(state),
                Rank::Text(id),
            ],
        }
    };
    all.iter().map(line).collect()
}

/// The depths of a system's queues.
fn queues(now: Timestamp) -> impl Fn(&Summary) -> Vec<Line> {
    move |summary| {
        let line = |section: &Section, row: &[Value]| {
            let cells: Vec<String> = row.iter().map(|value| text::cell(value, now, false, 200)).collect();
            let named: Vec<String> = section
                .columns
                .iter()
                .zip(&cells)
                .map(|(column, cell)| format!("{}: {cell}", column.heading.to_lowercase()))
                .collect();
            let name = cells.first().cloned().unwrap_or_default();
            let there = row.iter().zip(&named).skip(1).filter(|(value, _)| !matches!(value, Value::Null));
            let figures: Vec<&str> = there.map(|(_, named)| named.as_str()).collect();
            let numbers: i64 =
                row.iter().filter_map(|value| if let Value::Int(n) = value { Some(*n) } else { None }).sum();
            let mut words = vec![format!("{} in {}", section.heading, summary.system), String::new()];
            words.extend(named.iter().cloned());
            Line {
                severity: Severity::Ok,
                cells: vec![name.clone(), figures.join("  ")],
                share: None,
                command: command(&["sen", "status"], &[]),
                open: Open::Words(words),
                id: None,
                acts: Vec::new(),
                name: format!("{} {name}", summary.system),
                ranks: vec![Rank::Text(name), Rank::Number(-(numbers as f64))],
            }
        };
        let queues = summary.queues.and_then(|at| summary.sections.get(at));
        queues.into_iter().flat_map(|section| section.rows.iter().map(|row| line(section, row))).collect()
    }
}

/// A line of blocks for these values, the largest the highest: `▁▃█`. Nothing where there is nothing to compare.
pub fn sparkline(values: &[f64], columns: usize) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let values = &values[values.len().saturating_sub(columns)..];
    let most = values.iter().copied().fold(0.0, f64::max);
    if most <= 0.0 {
        return String::new();
    }
    let block = |value: &f64| BLOCKS[((value / most * 7.0).round().clamp(0.0, 7.0)) as usize];
    values.iter().map(block).collect()
}
