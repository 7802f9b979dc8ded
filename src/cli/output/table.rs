//! `-o table`, lists: columns two blanks apart under upper-case headings, without borders. Widths are measured over
//! the first rows and then kept, so that a list of any length streams in constant memory. Laid out by hand because
//! table crates want all rows at once and wrap where we cut. Also used for the small tables inside details.

use owo_colors::Style;
use sen_core::model::value::{Column, Show, Value};

use crate::clean::{shorten, width};
use crate::output::text::{self, styled, tint};
use crate::output::{Look, RowWriter};
use crate::views::Tone;

/// Rows that are measured before the widths are fixed.
const MEASURED: usize = 1000;
/// What a shortened column gets where there is no terminal to fit into: a pipe has no edge, but a payload of a
/// megabyte would push every other column out of sight.
const PIPED: usize = 60;
/// A squeezed column keeps at least this much, even if the line then is longer than the terminal.
const LEAST: usize = 8;
const GAP: usize = 2;

/// Writes a list as a table.
pub struct Table {
    shown: Vec<Shown>,
    tone: Tone,
    look: Look,
    reveal: bool,
    held: Vec<Vec<Cell>>,
    fixed: bool,
    indent: usize,
}

struct Shown {
    position: usize,
    column: &'static Column,
    /// Never cut: ids, and what was asked for by name and goes into a pipe.
    whole: bool,
    /// Shown only if there is room.
    optional: bool,
    width: usize,
}

struct Cell {
    text: String,
    width: usize,
    style: Option<Style>,
}

impl Table {
    /// A table of the `picked` columns; `asked` when they were picked by name.
    pub fn new(
        columns: &'static [Column],
        picked: &[usize],
        asked: bool,
        tone: Tone,
        look: Look,
        reveal: bool,
    ) -> Self {
        let shown = picked
            .iter()
            .map(|at| (*at, &columns[*at]))
            .filter(|(_, column)| asked || column.show != Show::Asked)
            .map(|(position, column)| Shown {
                position,
                column,
                whole: matches!(column.show, Show::Whole | Show::Moment) || (asked && look.width.is_none()),
                optional: column.show == Show::Wide && !asked,
                width: width(column.heading),
            })
            .collect();
        Self { shown, tone, look, reveal, held: Vec::new(), fixed: false, indent: 0 }
    }

    /// The same, moved to the right.
    #[must_use]
    pub fn indented(mut self, indent: usize) -> Self {
        self.indent = indent;
        self
    }

    fn cells(&self, row: &[Value]) -> Vec<Cell> {
        self.shown
            .iter()
            .map(|shown| {
                let value = row.get(shown.position).unwrap_or(&Value::Null);
                // Not more of a large value is filtered and measured than could be seen; combining characters take
                // bytes without taking room, hence the generous factor.
                let limit = if shown.whole { usize::MAX } else { self.look.width.unwrap_or(PIPED) };
                let bytes = limit.saturating_mul(8);
                let text = match value {
                    Value::Time(moment) if shown.column.show == Show::Moment => moment.to_string(),
                    _ => text::cell(value, self.look.now, self.reveal, bytes.max(64)),
                };
                let text = if shown.whole { text } else { shorten(&text, limit).into_owned() };
                Cell { width: width(&text), style: self.style(shown, value), text }
            })
            .collect()
    }

    fn style(&self, shown: &Shown, value: &Value) -> Option<Style> {
        let (_, severity) = self.tone.filter(|(name, _)| self.look.color && *name == shown.column.name)?;
        match value {
            Value::Name(state) => Some(tint(severity(state))),
            Value::Text(state) => Some(tint(severity(state))),
            _ => None,
        }
    }

    /// Fixes the widths to what the held rows need and the terminal has, and appends heading and rows.
    fn fix(&mut self, out: &mut Vec<u8>) {
        self.fixed = true;
        let held = std::mem::take(&mut self.held);
        for row in &held {
            for (shown, cell) in self.shown.iter_mut().zip(row) {
                shown.width = shown.width.max(cell.width);
            }
        }
        let dropped =
            self.look.width.map(|room| fit(&mut self.shown, room.saturating_sub(self.indent))).unwrap_or_default();
        let heading = self.look.color.then(|| Style::new().bold());
        let heads = self.shown.iter().map(|shown| Cell {
            text: shown.column.heading.to_owned(),
            width: width(shown.column.heading),
            style: heading,
        });
        let heads: Vec<Cell> = heads.collect();
        self.line(&heads, out);
        for mut row in held {
            let mut at = 0;
            row.retain(|_| {
                at += 1;
                !dropped.contains(&(at - 1))
            });
            self.line(&row, out);
        }
    }

    fn line(&self, cells: &[Cell], out: &mut Vec<u8>) {
        out.resize(out.len() + self.indent, b' ');
        let mut pad = 0;
        for (shown, cell) in self.shown.iter().zip(cells) {
            out.resize(out.len() + pad, b' ');
            let (text, taken) = if shown.whole || cell.width <= shown.width {
                (cell.text.as_str().into(), cell.width)
            } else {
                let short = shorten(&cell.text, shown.width);
                let taken = width(&short);
                (short, taken)
            };
            styled(out, &text, cell.style);
            pad = shown.width.saturating_sub(taken) + GAP;
        }
        out.push(b'\n');
    }
}

/// Drops optional columns there is no room for, then squeezes the ones that may be cut, the widest first.
/// Returns the indices of the dropped ones.
fn fit(shown: &mut Vec<Shown>, room: usize) -> Vec<usize> {
    let needed = |shown: &[Shown], keep: &[bool]| -> usize {
        shown
            .iter()
            .zip(keep)
            .filter(|(_, keep)| **keep)
            .map(|(shown, _)| shown.width + GAP)
            .sum::<usize>()
            .saturating_sub(GAP)
    };
    let mut keep: Vec<bool> = shown.iter().map(|shown| !shown.optional).collect();
    for at in 0..shown.len() {
        if !keep[at] {
            keep[at] = true;
            keep[at] = needed(shown, &keep) <= room;
        }
    }
    let dropped = (0..shown.len()).filter(|at| !keep[*at]).collect();
    let mut at = 0;
    shown.retain(|_| {
        at += 1;
        keep[at - 1]
    });
    let keep = vec![true; shown.len()];
    let mut excess = needed(shown, &keep).saturating_sub(room);
    while excess > 0 {
        let least = |shown: &Shown| LEAST.max(width(shown.column.heading));
        let widest =
            shown.iter_mut().filter(|shown| !shown.whole && shown.width > least(shown)).max_by_key(|shown| shown.width);
        let Some(widest) = widest else { break };
        widest.width -= 1;
        excess -= 1;
    }
    dropped
}

impl RowWriter for Table {
    fn row(&mut self, row: &[Value], out: &mut Vec<u8>) {
        let cells = self.cells(row);
        if self.fixed {
            self.line(&cells, out);
            return;
        }
        self.held.push(cells);
        if self.held.len() >= MEASURED {
            self.fix(out);
        }
    }

    fn settle(&mut self, out: &mut Vec<u8>) {
        if !self.held.is_empty() {
            self.fix(out);
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.settle(out);
    }
}
