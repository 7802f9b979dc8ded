//! `-o table`, lists: columns two blanks apart under upper-case headings, without borders. comfy-table lays out the lines. This
//! file does the rest: it chooses the columns that fit, measures widths on the first rows and keeps them, cuts with `…` instead
//! of wrapping, and streams: rows are collected into small tables of the same widths, so that a list of any length needs
//! constant memory. Coloured text and ids wider than their column replace placeholders at the end. Also used for the small
//! tables in details.

use comfy_table::{ColumnConstraint, ContentArrangement, Width, presets};
use owo_colors::Style;
use sen_core::model::value::{Column, Show, Value};

use crate::clean::{shorten, shorten_middle, width};
use crate::mask;
use crate::output::row::{Look, RowWriter};
use crate::output::text::{self, styled, tint};
use crate::times::Precision;
use crate::views::Tone;

/// Rows that are measured before the widths are fixed.
const MEASURED: usize = 1000;
/// Rows that are laid out at once afterwards.
const CHUNK: usize = 256;
/// Bytes of text after which neither is waited for.
const HEAVY: usize = 1 << 22;
/// What a shortened column gets where there is no terminal to fit into: a pipe has no edge, but a payload of a
/// megabyte would push every other column out of sight.
const PIPED: usize = 60;
/// An id that is cut in its middle keeps at least this much: eight characters on both sides.
const LEAST_ID: usize = 17;
/// The same where texts would be left with less than [`TELLING`]: four characters on both sides, of which the first are enough
/// to name it.
const LEAST_ID_BESIDE_TEXTS: usize = 9;
/// What a text needs to tell something.
const TELLING: usize = 12;
/// A squeezed column keeps at least this much, even if the line then is longer than the terminal.
const LEAST: usize = 8;
/// No line is padded beyond this for the sake of one long id; longer ones stick out.
const MOST: usize = 1000;
const GAP: u16 = 2;
/// A placeholder for one column of text that is inserted later: comfy-table would measure colour codes as text, drop its own
/// colours where `NO_COLOR` is set regardless of `--color`, and wrap long ids. No filtered text contains it.
const STAND_IN: &str = "\0";

/// Writes a list as a table.
pub struct Table {
    shown: Vec<Shown>,
    tone: Tone,
    look: Look,
    reveal: bool,
    held: Vec<Vec<Cell>>,
    weight: usize,
    fixed: bool,
    indent: u16,
}

struct Shown {
    position: usize,
    column: &'static Column,
    /// Never cut: ids, and what was asked for by name and goes into a pipe.
    whole: bool,
    /// Shown only if there is room.
    optional: bool,
    /// Left out where it holds nothing.
    spare: bool,
    heading: String,
    width: usize,
    /// What its values are, as far as they have been seen.
    kinds: Kinds,
    /// How many rows have a value in it, as far as they have been seen.
    filled: usize,
    /// Whether it got less room than it needs.
    squeezed: bool,
}

impl Shown {
    /// Whether it may be cut in its middle: a terminal has an edge, and `sen` takes the beginning of an id.
    fn cuts_middle(&self, terminal: bool) -> bool {
        terminal && self.whole && self.kinds == Kinds::Texts && self.column.show == Show::Whole
    }
}

/// What a column holds. Nulls say nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kinds {
    Nothing,
    /// Set to the right.
    Numbers,
    /// Keys, ids and names that are not the library's or `sen`'s own: may be cut in their middle.
    Texts,
    Others,
}

impl Kinds {
    fn see(self, value: &Value) -> Self {
        let this = match value {
            Value::Null => return self,
            Value::Int(_) | Value::About(_) | Value::Big(_) | Value::Millis(_) => Self::Numbers,
            Value::Json(text) if text.parse::<f64>().is_ok() => Self::Numbers,
            Value::Text(_) => Self::Texts,
            _ => Self::Others,
        };
        if self == Self::Nothing || self == this { this } else { Self::Others }
    }
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
                spare: matches!(column.show, Show::Wide | Show::Short) && !asked,
                heading: match look.times.zone(look.now).filter(|_| column.show == Show::Moment) {
                    Some(zone) => format!("{} ({zone})", column.heading),
                    None => column.heading.to_owned(),
                },
                width: 0,
                kinds: Kinds::Nothing,
                filled: 0,
                squeezed: false,
            })
            .map(|shown| Shown { width: width(&shown.heading), ..shown })
            .collect();
        Self { shown, tone, look, reveal, held: Vec::new(), weight: 0, fixed: false, indent: 0 }
    }

    /// The same, moved to the right.
    #[must_use]
    pub fn indented(mut self, indent: u16) -> Self {
        self.indent = indent;
        self
    }

    /// Whether it names the zone of its times.
    pub fn names_zone(&self) -> bool {
        self.look.times.zone(self.look.now).is_some()
            && self.shown.iter().any(|shown| shown.column.show == Show::Moment)
    }

    /// The same without the zone, which is named already.
    #[must_use]
    pub fn without_zone(mut self) -> Self {
        for shown in &mut self.shown {
            shown.heading = shown.column.heading.to_owned();
            shown.width = width(&shown.heading);
        }
        self
    }

    fn cells(&self, row: &[Value]) -> Vec<Cell> {
        self.shown
            .iter()
            .map(|shown| {
                let value = row.get(shown.position).unwrap_or(&Value::Null);
                // Only as much of a large value is filtered and measured as could be visible; combining characters take
                // bytes but no columns, hence the large factor.
                let limit = if shown.whole { usize::MAX } else { self.look.width.unwrap_or(PIPED) };
                let bytes = limit.saturating_mul(8);
                let text = match value {
                    Value::Time(moment) if shown.column.show == Show::Moment => {
                        self.look.times.text(*moment, self.look.now, Precision::Millis)
                    }
                    Value::NotBefore(moment) if shown.column.show == Show::Moment => {
                        format!("≥ {}", self.look.times.text(*moment, self.look.now, Precision::Millis))
                    }
                    _ => text::cell(value, self.look.now, self.reveal || mask::exact(shown.column.name), bytes.max(64)),
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

    /// Leaves out what says nothing: on a terminal, columns without any value in a table whose rows are all there.
    fn leave_out_empty(&mut self) {
        let all = !self.held.is_empty() && self.held.len() < MEASURED && self.weight < HEAVY;
        if !all || !self.look.terminal {
            return;
        }
        let keep: Vec<bool> = self.shown.iter().map(|shown| !shown.spare || shown.kinds != Kinds::Nothing).collect();
        for row in &mut self.held {
            let mut keep = keep.iter();
            row.retain(|_| keep.next().is_none_or(|keep| *keep));
        }
        let mut keep = keep.into_iter();
        self.shown.retain(|_| keep.next().unwrap_or(true));
    }

    /// Fixes the widths to what the held rows need and the terminal has, and returns the headings.
    fn fix(&mut self) -> Vec<Cell> {
        self.leave_out_empty();
        self.fixed = true;
        for row in &self.held {
            for (shown, cell) in self.shown.iter_mut().zip(row) {
                shown.width = shown.width.max(cell.width);
            }
        }
        let room = self.look.width.map_or(usize::MAX, |room| room.saturating_sub(self.indent.into()));
        let keep = fit(&mut self.shown, room, self.look.terminal, self.held.len());
        for row in &mut self.held {
            let mut keep = keep.iter();
            row.retain(|_| keep.next().is_none_or(|keep| *keep));
        }
        let style = self.look.color.then(|| Style::new().bold());
        let heading = |shown: &mut Shown| {
            shown.width = shown.width.min(MOST);
            let text = shown.heading.clone();
            Cell { width: width(&text), text, style }
        };
        self.shown.iter_mut().map(heading).collect()
    }

    /// Lays out what is held, under the headings the first time.
    fn lay(&mut self, out: &mut Vec<u8>) {
        // Without `force_no_tty` comfy-table would query the terminal for its width.
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).force_no_tty();
        let mut heads = (!self.fixed).then(|| self.fix());
        let mut rows = std::mem::take(&mut self.held);
        self.weight = 0;
        for row in heads.iter_mut().chain(&mut rows) {
            self.align(row);
        }
        if let Some(heads) = &mut heads {
            table.set_header(self.stand_in(heads));
        }
        for row in &mut rows {
            table.add_row(self.stand_in(row));
        }
        for (at, (column, shown)) in table.column_iter_mut().zip(&self.shown).enumerate() {
            let indent = if at == 0 { self.indent } else { 0 };
            let width = u16::try_from(shown.width).unwrap_or(u16::MAX).saturating_add(indent + GAP);
            column.set_padding((indent, GAP)).set_constraint(ColumnConstraint::Absolute(Width::Fixed(width)));
        }
        for (line, row) in table.lines().zip(heads.iter().chain(&rows)) {
            self.put(&line, row, out);
        }
    }

    /// Numbers and their heading at the right of their column.
    fn align(&self, row: &mut [Cell]) {
        let numbers = self.shown.iter().zip(row).filter(|(shown, _)| shown.kinds == Kinds::Numbers);
        for (shown, cell) in numbers {
            let pad = shown.width.saturating_sub(cell.width);
            cell.text.insert_str(0, &" ".repeat(pad));
            cell.width += pad;
        }
    }

    /// The cells for comfy-table, none wider than its column. Of those with a stand-in the text stays in `row`.
    fn stand_in(&self, row: &mut [Cell]) -> Vec<comfy_table::Cell> {
        let fill = |(shown, cell): (&Shown, &mut Cell)| {
            if (!shown.whole || shown.squeezed) && cell.width > shown.width {
                let cut = if shown.whole { shorten_middle } else { shorten };
                cell.text = cut(&cell.text, shown.width).into_owned();
                cell.width = width(&cell.text);
            }
            let colored = cell.style.is_some() && cell.width > 0;
            comfy_table::Cell::new_owned(if colored || cell.width > shown.width {
                STAND_IN.repeat(cell.width.min(shown.width))
            } else {
                std::mem::take(&mut cell.text)
            })
        };
        self.shown.iter().zip(row).map(fill).collect()
    }

    /// Appends a line with the texts for its stand-ins and without the padding of the last column. Blanks of its
    /// text stay, so they are counted rather than trimmed.
    fn put(&self, line: &str, row: &[Cell], out: &mut Vec<u8>) {
        let mut rest = line;
        for (shown, cell) in self.shown.iter().zip(row) {
            if !cell.text.is_empty()
                && let Some(at) = rest.find(STAND_IN)
            {
                out.extend_from_slice(&rest.as_bytes()[..at]);
                styled(out, &cell.text, cell.style);
                rest = &rest[at + cell.width.min(shown.width)..];
            }
        }
        let last = self.shown.last().zip(row.last());
        let padding = last.map_or(0, |(shown, cell)| shown.width.saturating_sub(cell.width) + usize::from(GAP));
        out.extend_from_slice(&rest.as_bytes()[..rest.len().saturating_sub(padding)]);
        out.push(b'\n');
    }
}

/// Drops optional columns there is no room for, then squeezes the ones that may be cut, the widest first; one that is empty in
/// many of the `rows` counts for wider than it is. Returns which ones are kept.
fn fit(shown: &mut Vec<Shown>, room: usize, terminal: bool, rows: usize) -> Vec<bool> {
    let gap = usize::from(GAP);
    let needed = |shown: &[Shown], keep: &[bool]| -> usize {
        shown
            .iter()
            .zip(keep)
            .filter(|(_, keep)| **keep)
            .map(|(shown, _)| shown.width + gap)
            .sum::<usize>()
            .saturating_sub(gap)
    };
    let mut keep: Vec<bool> = shown.iter().map(|shown| !shown.optional).collect();
    for at in 0..shown.len() {
        if !keep[at] {
            keep[at] = true;
            keep[at] = needed(shown, &keep) <= room;
        }
    }
    let mut excess = needed(shown, &keep).saturating_sub(room);
    let mut kept = keep.iter();
    shown.retain(|_| kept.next().is_none_or(|keep| *keep));
    for (least_id, least_text) in
        [(LEAST_ID, TELLING), (LEAST_ID_BESIDE_TEXTS, TELLING), (LEAST_ID_BESIDE_TEXTS, LEAST)]
    {
        let least = |shown: &Shown| if shown.whole { least_id } else { least_text }.max(width(&shown.heading));
        let cut = |shown: &Shown| !shown.whole || shown.cuts_middle(terminal);
        while excess > 0 {
            let wide = shown.iter_mut().filter(|shown| cut(shown) && shown.width > least(shown));
            let Some(widest) = wide.max_by_key(|shown| shown.width * (2 * rows).saturating_sub(shown.filled)) else {
                break;
            };
            widest.width -= 1;
            widest.squeezed = true;
            excess -= 1;
        }
    }
    keep
}

impl RowWriter for Table {
    fn row(&mut self, row: &[Value], out: &mut Vec<u8>) {
        if !self.fixed {
            for shown in &mut self.shown {
                let value = row.get(shown.position).unwrap_or(&Value::Null);
                shown.kinds = shown.kinds.see(value);
                shown.filled += usize::from(*value != Value::Null);
            }
        }
        let cells = self.cells(row);
        self.weight += cells.iter().map(|cell| cell.text.len()).sum::<usize>();
        self.held.push(cells);
        if self.held.len() >= if self.fixed { CHUNK } else { MEASURED } || self.weight >= HEAVY {
            self.lay(out);
        }
    }

    fn settle(&mut self, out: &mut Vec<u8>) {
        if !self.held.is_empty() {
            self.lay(out);
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.settle(out);
    }
}
