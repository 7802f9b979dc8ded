//! An incident in Markdown.

use sen_core::model::cause::{Cause, Explanation};
use sen_core::model::record::{Age, Record};
use sen_core::model::report::Item;
use sen_core::model::steps;
use sen_core::model::subject::Subject;
use sen_core::model::timeline::{TimeBasis, TimelineEntry};
use sen_core::model::value::Value;
use sen_core::model::verdict::{NextCommand, Severity};
use sen_core::time::Timestamp;

use super::incident::Incident;
use super::operation::Operation;
use crate::commands::inspect::{LONG, facts};
use crate::journal::State;
use crate::mask;
use crate::operator::operator;
use crate::output::markdown::{block, code, table, text, value};
use crate::output::pretty::pretty;
use crate::output::row::Look;
use crate::output::text::{labelled, payload};
use crate::times::{Precision, Times};

/// How much of a long value is shown.
const LINES: usize = 40;
const BYTES: usize = 8 << 10;

/// The whole report.
pub fn markdown(incident: &Incident, reveal: bool) -> String {
    let mut page = Page { reveal, now: incident.now, out: String::new() };
    page.head(incident);
    page.states(incident);
    page.causes(incident);
    page.happened(incident);
    page.operations(&incident.operations);
    page.left(incident);
    page.out
}

struct Page {
    reveal: bool,
    now: Timestamp,
    out: String,
}

impl Page {
    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn heading(&mut self, level: usize, text: &str) {
        let end = self.out.trim_end().len();
        self.out.truncate(end);
        self.out += &format!("\n\n{} {text}\n\n", "#".repeat(level));
    }

    fn text(&self, of: &str) -> String {
        text(of, self.reveal)
    }

    fn value(&self, of: &str) -> String {
        value(of, self.reveal)
    }

    /// A ticket is read later and elsewhere: UTC, and no distance to now.
    fn time(&self, at: Timestamp) -> String {
        Times::Rfc3339.text(at, self.now, Precision::Seconds)
    }

    fn age(&self, age: Age) -> String {
        age.at.filter(|at| at.is_finite()).map_or_else(String::new, |at| format!(", {} {}", age.what, self.time(at)))
    }

    fn head(&mut self, incident: &Incident) {
        let what = if incident.title.is_empty() { "what needs attention".into() } else { self.text(&incident.title) };
        self.line(&format!("# Incident report: {what}\n"));
        let (seen, who) = (self.time(incident.now), value(&operator(), true));
        let database = self.value(&incident.database);
        self.line(&format!("Database {database}, as seen at {seen} by {who}. All times are UTC."));
        let bounds = [("from", incident.happened.since), ("until", incident.happened.until)];
        let bounds: Vec<String> = bounds
            .into_iter()
            .filter_map(|(word, when)| Some(format!("{word} {}", self.time(when?.resolve(self.now)))))
            .collect();
        if !bounds.is_empty() {
            self.line(&format!("What happened and what was done: {}.", bounds.join(" ")));
        }
    }

    fn states(&mut self, incident: &Incident) {
        if let Some(attention) = &incident.attention {
            self.heading(2, "What needs attention");
            if attention.is_empty() {
                self.line("Nothing needs a person.");
            }
            for (system, item) in attention {
                let said = self.text(&item.text);
                self.line(&format!("- **{}** ({system}): {said}", item.severity.name()));
            }
        }
        if !incident.records.is_empty() {
            self.heading(2, "State");
        }
        for record in &incident.records {
            self.record(record);
        }
        for id in &incident.gone {
            self.line(&format!("- {} is no longer there", code(id)));
        }
        if incident.passed_over > 0 {
            self.line(&format!("\n{} more targets are not described here.", incident.passed_over));
        }
        if incident.more {
            self.line("\nMore needs attention than is described here: the list above counts all, `sen inspect` describes each.");
        }
    }

    fn record(&mut self, record: &Record) {
        let verdict = &record.verdict;
        let state = verdict.state.replace('_', " ");
        let name = subject(&record.subject);
        self.heading(3, &format!("{name}: {state}"));
        let (summary, age) = (self.text(&verdict.summary), self.age(record.age));
        self.line(&format!("**{}**: {summary}{age}\n", verdict.severity.name()));
        for line in &verdict.evidence {
            let line = self.text(line);
            self.line(&format!("- {line}"));
        }
        let (fields, _) = facts(record, false);
        let is_long = |value: &Value| match value {
            Value::Lines(_) => true,
            Value::Json(text) => text.len() > LONG,
            Value::List(_) | Value::Map(_) => payload(value, true).len() > LONG,
            _ => false,
        };
        let (long, short): (Vec<_>, Vec<_>) = fields.into_iter().partition(|(_, value)| is_long(value));
        let look = Look { color: false, terminal: false, times: Times::Rfc3339, width: None, now: Timestamp::NEG_INFINITY };
        let cell = |(name, field): &&(&'static str, Value)| {
            let reveal = self.reveal || mask::exact(name);
            let shown = match field {
                Value::Null => "-".into(),
                Value::Time(at) if at.is_finite() => self.time(*at),
                Value::Text(text) => value(text, reveal),
                other => value(&labelled(other, look, reveal), true),
            };
            vec![text(name, true), shown]
        };
        let rows: Vec<Vec<String>> = short.iter().map(cell).collect();
        if !rows.is_empty() {
            self.out.push('\n');
        }
        table(&["field", "value"], rows, &mut self.out);
        for (name, field) in long {
            self.long(name, field);
        }
    }

    /// A payload or a traceback in a block of its own.
    fn long(&mut self, name: &str, field: &Value) {
        let reveal = self.reveal || mask::exact(name);
        self.out += &format!("\n{}:\n\n", text(name, true));
        let (language, lines, cut) = match field {
            Value::Lines(of) => {
                let of = mask::sentence(of);
                let masked = if reveal { of.into() } else { mask::text(of) };
                let lines: Vec<String> = masked.lines().take(LINES).map(str::to_owned).collect();
                (String::new(), lines, masked.lines().count() > LINES)
            }
            other => {
                let laid = pretty(&payload(other, reveal), LINES, BYTES);
                ("json".to_owned(), laid.lines, laid.cut)
            }
        };
        block(&language, &lines, &mut self.out);
        if cut {
            self.line("\n(cut; `-o json` has everything)");
        }
    }

    fn causes(&mut self, incident: &Incident) {
        if incident.chain.links.is_empty() {
            return;
        }
        self.heading(2, "Causes");
        for link in &incident.chain.links {
            let Explanation { subject: of, state, age, summary, causes, .. } = &link.explanation;
            let hop = link.hop.as_ref().map_or_else(String::new, |hop| {
                format!(" ({}, of {}; {})", hop.relation.words(), code(&hop.from.id), hop.certainty.name())
            });
            let (state, age) = (state.replace('_', " "), self.age(*age));
            self.line(&format!("- {}: {state}{age}{hop}", subject(of)));
            if causes.is_empty() {
                let summary = self.text(summary);
                self.line(&format!("  - needs no attention: {summary}"));
            }
            for Cause { severity, certainty, text, .. } in causes {
                let text = self.text(text);
                self.line(&format!("  - **{}**, {}: {text}", severity.name(), certainty.name()));
            }
        }
        if incident.chain.cut {
            self.line("\nMore related records exist (limit reached).");
        }
        if incident.chain.unsearched {
            self.line("\nThere was too much to search through for what mentions it.");
        }
    }

    /// An entry as cells: time, record, what, who, why or error.
    fn entry(&self, entry: &TimelineEntry) -> Vec<String> {
        let at = Times::Rfc3339.text(entry.at, self.now, Precision::Millis);
        let at = if entry.basis == TimeBasis::After { format!("≥ {at}") } else { at };
        let reason: Vec<String> = [&entry.why, &entry.error].into_iter().flatten().map(|of| self.text(of)).collect();
        let who = entry.who.as_ref().map_or_else(String::new, |who| self.value(who));
        vec![at, subject(&entry.subject), self.text(&entry.what), who, reason.join("; ")]
    }

    fn happened(&mut self, incident: &Incident) {
        if incident.entries.is_empty() {
            return;
        }
        self.heading(2, "What happened");
        let mut rows: Vec<Vec<String>> = incident.entries.iter().map(|entry| self.entry(entry)).collect();
        if let Some((more, before)) = incident.left_out {
            let left_out = if more == 1 { "1 entry is".to_owned() } else { format!("{more} entries are") };
            let newest = incident.entries.len() - before;
            self.line(&format!("The first {before} and the newest {newest}; {left_out} left out between them (--limit 0 has all).\n"));
            rows.insert(before, ["…"; 5].map(str::to_owned).to_vec());
        }
        if incident.entries.iter().any(|entry| entry.basis == TimeBasis::After) {
            self.line("`≥`: no time is recorded; then or later.\n");
        }
        table(&["time", "record", "what", "who", "why or error"], rows, &mut self.out);
    }

    fn operations(&mut self, operations: &[Operation]) {
        if operations.is_empty() {
            return;
        }
        self.heading(2, "What operators did");
        for operation in operations {
            self.operation(operation);
        }
    }

    fn operation(&mut self, operation: &Operation) {
        let at = operation.at.map_or_else(|| "at an unknown time".into(), |at| self.time(at));
        let who = operation.who.as_ref().map_or_else(|| "somebody".into(), |who| self.value(who));
        let what = operation.what.as_ref().map_or_else(String::new, |what| format!(": {}", self.text(what)));
        self.line(&format!("- {at}, by {who}, operation {}{what}", code(&operation.id)));
        if let Some(reason) = &operation.reason {
            let reason = self.text(reason);
            self.line(&format!("  - why: {reason}"));
        }
        match (operation.state, operation.done, operation.targets) {
            (Some(state), Some(done), Some(targets)) => {
                let by = operation.undone_by.as_ref().map_or_else(String::new, |by| format!(" by operation {}", code(by)));
                let done = if state == State::Undone { String::new() } else { format!("; {done} of {targets} done") };
                let untold = operation.untold.filter(|count| *count > 0);
                let untold = untold.map_or_else(String::new, |count| format!(", of {count} not told whether they were"));
                self.line(&format!("  - {}{by}{done}{untold}", state.name()));
            }
            _ => self.line("  - known from the records in the tables only; the journal of who did it has more"),
        }
        for (item, now) in &operation.results {
            // What was taken back is not how its targets stand now.
            let now = now.filter(|_| operation.state != Some(State::Undone));
            let line = self.result(item, now);
            self.line(&line);
        }
        // What the records say stands in the results, too, where there is a journal.
        if operation.results.is_empty() {
            for entry in &operation.records {
                let (name, what) = (subject(&entry.subject), self.text(&entry.what));
                self.line(&format!("  - {name}: {what}"));
            }
        }
        for entry in &operation.followed_by {
            let at = Times::Rfc3339.text(entry.at, self.now, Precision::Seconds);
            let (name, what) = (subject(&entry.subject), self.text(&entry.what));
            self.line(&format!("  - afterwards, {at}: {name}: {what}"));
        }
    }

    fn result(&self, item: &Item, now: Option<&str>) -> String {
        let detail = if item.detail.is_empty() { String::new() } else { format!(": {}", self.text(&item.detail)) };
        let now = now.map_or_else(String::new, |state| format!("; now {}", state.replace('_', " ")));
        format!("  - {} {}{detail}{now}", subject(&item.subject), item.outcome.words())
    }

    fn left(&mut self, incident: &Incident) {
        self.heading(2, "What is left");
        let links = &incident.chain.links;
        let open = links.iter().filter(|link| link.explanation.causes.iter().any(|cause| cause.severity >= Severity::Warning));
        let next: Vec<NextCommand> = incident.next();
        match open.count() {
            0 if incident.worst() < Severity::Warning => self.line("Nothing of this needs a person now."),
            0 => {}
            1 => self.line("One of the records above has a cause to look at."),
            count => self.line(&format!("{count} of the records above have a cause to look at.")),
        }
        if next.is_empty() {
            return;
        }
        let next = steps::numbered(&next);
        let lines: Vec<Vec<String>> = next
            .iter()
            .zip(steps::reasons(&next))
            .map(|(next, why)| {
                let why = (!why.is_empty()).then(|| format!("# {}", mask::message(&why)));
                why.into_iter().chain([next.command.clone()]).collect()
            })
            .collect();
        let acts = next.iter().filter(|next| next.step.is_some()).count();
        let (acts, looks) = lines.split_at(acts);
        for (heading, lines) in [("Next, in this order:", acts), ("To see more:", looks)] {
            if !lines.is_empty() {
                self.line(&format!("\n{heading}\n"));
                block("sh", &lines.concat(), &mut self.out);
            }
        }
    }
}

/// A record by its kind and its id.
fn subject(of: &Subject) -> String {
    format!("{} {}", of.kind.words(), code(&of.id))
}
