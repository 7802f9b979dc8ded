//! `-o table`, details: the verdict and its age in one line, why, the commands to type next, then labels with their values in one
//! column. Scripts for the original `sen` read eight of these ([`ORIGINAL`]): a label begins its line, and its value stays on it
//! when stdout is not a terminal.

use owo_colors::Style;
use sen_core::model::steps;
use sen_core::model::value::{Row, Value};
use sen_core::model::verdict::{NextCommand, Severity, Verdict};

use crate::clean::{clean, width};
use crate::mask;
use crate::output::fields::Picked;
use crate::output::pretty::pretty;
use crate::output::row::{Look, RowWriter as _};
use crate::output::table::Table;
use crate::output::text::{MARGIN, head, labelled, original, payload, relative, shown, styled, tint, weight, wrap};
use crate::views::{Block, Detail, Headline};

/// The labels of the original `sen inspect`, whose values stay spelled as it did: `True`, `False`, `None`, whole times.
const ORIGINAL: [&str; 8] = [
    "status",
    "lease_alive",
    "owner_id",
    "fencing_token",
    "lease_expires_at",
    "lease_updated_at",
    "hard_expires_at",
    "execution_result",
];

/// Where values begin: behind the longest of the original's labels, `lease_expires_at:`, and a blank; further to the right where
/// a label is longer, up to a bound.
const VALUES: (usize, usize) = (18, 26);
/// How much of a payload a terminal is shown.
const LINES: usize = 40;
const BYTES: usize = 4096;
/// How much of a value is shown, on a terminal and elsewhere: for what is larger there is `-o json`.
const SEEN: usize = 64 << 10;
const PIPED: usize = 1 << 20;

/// Appends details, a blank line between them.
pub fn details(details: &[Detail], look: Look, reveal: bool, out: &mut Vec<u8>) {
    let mut page = Page { look, reveal, zone: look.times.zone(look.now), values: VALUES.0, out };
    for (at, detail) in details.iter().enumerate() {
        let labels = detail.blocks.iter().filter_map(|block| match block {
            Block::Field(label, value) => Some(named(label, value).len() + 2),
            _ => None,
        });
        page.values = labels.max().unwrap_or(0).clamp(VALUES.0, VALUES.1);
        if at > 0 {
            page.out.push(b'\n');
        }
        for (position, block) in detail.blocks.iter().enumerate() {
            page.block(block, position == 0);
        }
    }
}

/// Appends `field: value` lines for `--fields`.
pub fn picked(details: &[Picked<'_>], look: Look, reveal: bool, out: &mut Vec<u8>) {
    let mut page = Page { look, reveal, zone: None, values: VALUES.0, out };
    for (at, detail) in details.iter().enumerate() {
        if at > 0 {
            page.out.push(b'\n');
        }
        for (name, value) in detail {
            page.field(name, value);
        }
    }
}

/// A label as people read it: JSON names the unit, which here stands beside the number.
fn named<'a>(label: &'a str, value: &Value) -> &'a str {
    if matches!(value, Value::Millis(_)) { label.strip_suffix("_ms").unwrap_or(label) } else { label }
}

struct Page<'a> {
    look: Look,
    reveal: bool,
    /// The zone of the times, until it has been named.
    zone: Option<String>,
    /// Where values begin.
    values: usize,
    out: &'a mut Vec<u8>,
}

impl Page<'_> {
    fn block(&mut self, block: &Block, first: bool) {
        match block {
            Block::Field(label, value) => self.field(label, value),
            Block::Headline(headline) => self.headline(headline),
            Block::Verdict(verdict) => self.verdict(verdict),
            Block::Hint(text) => self.hint(text),
            Block::Heading(text) => {
                if !first {
                    self.out.push(b'\n');
                }
                styled(self.out, &clean(text), self.bold());
                self.out.push(b'\n');
            }
            Block::Table(columns, rows) => self.table(columns, rows),
            Block::Note(text) => self.prose("", text, None, 0),
            Block::Attention(item) => self.finding(item.severity, &item.text, Some(&item.next.command)),
            Block::Cause(cause) => {
                let text = format!("{} ({})", cause.text, cause.certainty.name());
                self.finding(cause.severity, &text, None);
            }
            Block::Check(check) => self.finding(check.severity, &check.text, check.remedy.as_deref()),
            Block::Next(commands) => {
                self.out.push(b'\n');
                self.next(commands);
            }
        }
    }

    /// What was found, and what to type about it underneath.
    fn finding(&mut self, severity: Severity, text: &str, remedy: Option<&str>) {
        let (name, column) = (severity.name(), 12);
        self.out.extend_from_slice(b"  ");
        styled(self.out, name, self.look.color.then(|| tint(severity)));
        self.out.resize(self.out.len() + column - 2 - name.len(), b' ');
        self.prose("", text, None, column);
        if let Some(remedy) = remedy {
            self.out.resize(self.out.len() + column, b' ');
            self.out.extend_from_slice(clean(remedy).as_bytes());
            self.out.push(b'\n');
        }
    }

    fn bold(&self) -> Option<Style> {
        self.look.color.then(|| Style::new().bold())
    }

    /// `label:` and blanks up to the column of values.
    fn label(&mut self, label: &str) {
        let label = clean(label);
        self.out.extend_from_slice(label.as_bytes());
        self.out.push(b':');
        let pad = self.values.saturating_sub(width(&label) + 1).max(1);
        self.out.resize(self.out.len() + pad, b' ');
    }

    fn field(&mut self, label: &str, value: &Value) {
        let reveal = self.reveal || mask::exact(label);
        let most = if self.look.terminal { SEEN } else { PIPED };
        let whole = weight(value);
        let value = &*shown(value, most + MARGIN);
        if let Value::Lines(text) = value {
            let text = if reveal { text.into() } else { mask::text(text) };
            self.out.extend_from_slice(clean(label).as_bytes());
            self.out.extend_from_slice(b":\n");
            for line in head(&text, most).lines() {
                self.out.extend_from_slice(b"  ");
                self.out.extend_from_slice(clean(line).as_bytes());
                self.out.push(b'\n');
            }
            if whole > most {
                self.rest(whole);
            }
            return;
        }
        let nested = matches!(value, Value::Json(_) | Value::Map(_) | Value::List(_));
        let mut text = if ORIGINAL.contains(&label) {
            original(value, self.look, reveal)
        } else {
            labelled(value, self.look, reveal)
        };
        if let Value::Time(moment) = value
            && moment.is_finite()
            && let Some(zone) = self.zone.take()
            && let Some(at) = text.find(" (")
        {
            text.insert_str(at, &format!(" {zone}"));
        }
        let room = self.look.width.unwrap_or(usize::MAX).saturating_sub(self.values);
        if nested && self.look.terminal && width(&text) > room {
            self.payload(label, &payload(value, self.reveal), whole);
            return;
        }
        self.label(named(label, value));
        // A script finds a value on the line of its label; on a terminal it stays in its column.
        let text = head(&text, most);
        let whole_line = !self.look.terminal || room < 20 || width(&text) <= room;
        let lines = if whole_line { vec![text] } else { wrap(&text, room) };
        for (at, line) in lines.iter().enumerate() {
            if at > 0 {
                self.out.resize(self.out.len() + self.values, b' ');
            }
            self.out.extend_from_slice(line.as_bytes());
            self.out.push(b'\n');
        }
        if whole > most {
            self.rest(whole);
        }
    }

    fn rest(&mut self, whole: usize) {
        let note = format!("  … ({whole} bytes in all; -o json shows everything)\n");
        self.out.extend_from_slice(note.as_bytes());
    }

    /// A payload over several lines, cut where it gets long.
    fn payload(&mut self, label: &str, json: &str, whole: usize) {
        self.out.extend_from_slice(clean(label).as_bytes());
        self.out.extend_from_slice(b":\n");
        let laid = pretty(json, LINES, BYTES);
        for line in &laid.lines {
            self.out.extend_from_slice(b"  ");
            self.out.extend_from_slice(line.as_bytes());
            self.out.push(b'\n');
        }
        if laid.cut || whole > json.len() {
            self.rest(whole.max(json.len()));
        }
    }

    fn headline(&mut self, headline: &Headline) {
        let state = clean(headline.state).to_uppercase().replace('_', " ");
        let age = match headline.age.at.map(|at| relative(at, headline.now, true)) {
            Some(age) if age == "now" => format!(", {} just now", headline.age.what),
            Some(age) if !age.is_empty() => format!(", {} {age}", headline.age.what),
            _ => String::new(),
        };
        let style = self.look.color.then(|| tint(headline.severity));
        let subject = &headline.subject;
        self.prose(&state, &format!("{age} — {} {}", subject.kind.words(), subject.id), style, 0);
    }

    fn verdict(&mut self, verdict: &Verdict) {
        self.out.extend_from_slice(b"why:\n");
        if !verdict.summary.is_empty() {
            self.out.extend_from_slice(b"  ");
            self.prose("", &verdict.summary, None, 2);
        }
        for line in &verdict.evidence {
            self.out.extend_from_slice(b"  - ");
            self.prose("", line, None, 4);
        }
        self.next(&verdict.next);
        self.out.push(b'\n');
    }

    fn hint(&mut self, text: &str) {
        if self.look.terminal {
            styled(self.out, &clean(text), self.look.color.then(|| Style::new().dimmed()));
            self.out.push(b'\n');
        }
    }

    /// `lead` in its style and `text` behind it, wrapped with following lines moved to column `hang`, where the
    /// first one is taken to stand already.
    fn prose(&mut self, lead: &str, text: &str, style: Option<Style>, hang: usize) {
        let text = mask::sentence(text);
        let text = if self.reveal { text.into() } else { mask::text(text) };
        let text = clean(&text);
        let words = text.trim_start_matches(' ');
        let indent = if lead.is_empty() { text.len() - words.len() } else { 0 };
        let whole = format!("{lead}{}", if lead.is_empty() { words } else { &text });
        let hang = hang + indent;
        let room = self.look.width.filter(|_| self.look.terminal).unwrap_or(usize::MAX).saturating_sub(hang).max(20);
        for (at, line) in wrap(&whole, room).iter().enumerate() {
            if at == 0 {
                self.out.resize(self.out.len() + indent, b' ');
                let lead = if line.starts_with(lead) { lead } else { "" };
                styled(self.out, lead, style.filter(|_| !lead.is_empty()));
                self.out.extend_from_slice(&line.as_bytes()[lead.len()..]);
            } else {
                self.out.resize(self.out.len() + hang, b' ');
                self.out.extend_from_slice(line.as_bytes());
            }
            self.out.push(b'\n');
        }
    }

    /// What to do, step by step with its alternatives, and apart from that what only shows more.
    fn next(&mut self, commands: &[NextCommand]) {
        let commands = steps::numbered(commands);
        let reasons = steps::reasons(&commands);
        let lines: Vec<(String, String)> = commands
            .iter()
            .zip(reasons)
            .map(|(next, why)| (clean(&next.command).into_owned(), clean(&mask::message(&why)).into_owned()))
            .collect();
        let acts = commands.iter().filter(|command| command.step.is_some()).count();
        let (acts, looks) = lines.split_at(acts);
        self.commands("next:", acts);
        self.commands(if acts.is_empty() { "next:" } else { "see more:" }, looks);
    }

    /// Commands each on a line of their own, never wrapped: they are there to be copied. The reasons stand behind them, or
    /// all of them above, where a line would get too long.
    fn commands(&mut self, heading: &str, lines: &[(String, String)]) {
        if lines.is_empty() {
            return;
        }
        self.out.extend_from_slice(heading.as_bytes());
        self.out.push(b'\n');
        let room = self.look.width.unwrap_or(usize::MAX);
        let faint = self.look.color.then(|| Style::new().dimmed());
        let fits = |(command, why): &(String, String)| why.is_empty() || 2 + width(command) + 5 + width(why) <= room;
        let behind = lines.iter().all(fits);
        for (command, why) in lines {
            let behind = behind || why.is_empty();
            self.out.extend_from_slice(b"  ");
            if !behind {
                for (at, line) in wrap(why, room.saturating_sub(7).max(20)).iter().enumerate() {
                    let line = if at == 0 { format!("# {line}") } else { format!("  #    {line}") };
                    styled(self.out, &line, faint);
                    self.out.push(b'\n');
                }
                self.out.extend_from_slice(b"  ");
            }
            self.out.extend_from_slice(command.as_bytes());
            if behind && !why.is_empty() {
                self.out.extend_from_slice(b"   ");
                styled(self.out, &format!("# {why}"), faint);
            }
            self.out.push(b'\n');
        }
    }

    fn table(&mut self, columns: &'static [sen_core::model::value::Column], rows: &[Row]) {
        let every: Vec<usize> = (0..columns.len()).collect();
        let mut table = Table::new(columns, &every, false, None, self.look, self.reveal).indented(2);
        if self.zone.is_none() {
            table = table.without_zone();
        } else if table.names_zone() {
            self.zone = None;
        }
        for row in rows {
            table.row(row, self.out);
        }
        table.finish(self.out);
    }
}
