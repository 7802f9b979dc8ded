//! What lists of one system's things have in common: what needs attention stands first, and a footer says what is there and what
//! to type next.

use std::collections::HashSet;

use futures_util::future::try_join;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sen_core::error::Result;
use sen_core::model::listing::{Choice, Listing, Page, Part};
use sen_core::model::value::{Column, Row, Value};
use sen_core::model::verdict::{NextCommand, Severity};
use sen_core::registry::Database;

use crate::args::Paging;
use crate::output::Format;
use crate::session::Session;
use crate::views::{Batch, CommandOutput, ListView, Tone, View};

/// How a list is shown.
pub struct Shown {
    /// Its things: `executions`.
    pub nouns: &'static str,
    /// How its rows are coloured.
    pub tone: Tone,
    /// Whether `--after` with the id of the last row goes on; the first column is the id.
    pub pages: bool,
    /// The words that tell why one is as it is: what to type next, of the first row of a page that is whole.
    pub look: &'static [&'static str],
}

/// A listing as a command's output. The database stays open as long as its rows are read.
pub fn list(listing: Listing, database: Database, paging: &Paging, shown: Shown, session: &Session) -> CommandOutput {
    let Shown { nouns, tone, pages, look } = shown;
    let limit = paging.limit;
    let mut last = None;
    // One of a million says nothing of the rest.
    let mut untold = limit > 0 && session.globals.output == Format::Table;
    let batches = listing.parts.map(move |part| {
        let _open = &database;
        let Part { rows, more } = part?;
        if let Some(Value::Text(id)) = rows.last().and_then(|row| row.first()).filter(|_| pages) {
            last = Some(id.clone());
        }
        let note = more.then(|| {
            let next = last.as_ref().map_or_else(String::new, |id| format!("--after {id} goes on, "));
            format!("more {nouns} match; these are the first {limit} ({next}--limit 0 lists all)")
        });
        let first = rows.first().and_then(|row| row.first()).filter(|_| std::mem::take(&mut untold) && !more);
        let note = note.or_else(|| match first {
            Some(Value::Text(id)) => Some(format!("next: {}", NextCommand::new(look, "").id(id).command)),
            _ => None,
        });
        Ok(Batch { rows, note })
    });
    CommandOutput::new(View::List(ListView {
        columns: listing.columns,
        batches: Box::pin(batches),
        now: listing.now,
        tone,
        empty: format!("no {nouns} match"),
        fail_if_empty: paging.fail_if_empty,
    }))
}

/// Whether a page lists nothing; what was read of it stays in it.
pub async fn lists_nothing(page: &mut Listing) -> Result<bool> {
    let first = page.parts.try_next().await?;
    let nothing = first.as_ref().is_none_or(|part| part.rows.is_empty());
    let rest = std::mem::replace(&mut page.parts, Box::pin(stream::empty()));
    page.parts = Box::pin(stream::iter(first.map(Ok)).chain(rest));
    Ok(nothing)
}

/// Whether what needs attention stands first: on a page for people in no order that was asked for. Scripts get the order in which
/// `--after` goes on.
pub fn is_for_attention<O>(page: &Page<O>, session: &Session) -> bool {
    session.globals.output == Format::Table
        && page.order.is_none()
        && page.limit.is_some()
        && page.after.is_none()
        && !page.reverse
}

/// A list whose page begins with what needs attention.
pub struct AttentionFirst {
    /// The words that list its things: `sen exec list`.
    pub command: &'static [&'static str],
    /// The words that tell why one is as it is.
    pub look: &'static [&'static str],
    /// Its things: `executions`.
    pub nouns: &'static str,
    /// How severe the state in this column is.
    pub tone: (&'static str, fn(&str) -> Severity),
    /// Whether more than the state was chosen, so that [`Self::command`] alone lists something else.
    pub narrowed: bool,
    /// The option with which [`Self::command`] lists what needs attention; `None`: `--state` with the gravest.
    pub urgent: Option<&'static str>,
}

impl AttentionFirst {
    /// The state of a row.
    fn state(&self, columns: &[Column], row: &Row) -> String {
        text_of(columns, row, self.tone.0)
    }
}

/// The value of a row under the column of this name.
pub fn value_of<'a>(columns: &[Column], row: &'a Row, name: &str) -> Option<&'a Value> {
    columns.iter().position(|column| column.name == name).and_then(|at| row.get(at))
}

/// The same where it is a text or a name; empty otherwise.
pub fn text_of(columns: &[Column], row: &Row, name: &str) -> String {
    match value_of(columns, row, name) {
        Some(Value::Name(name)) => (*name).to_owned(),
        Some(Value::Text(text)) => text.clone(),
        _ => String::new(),
    }
}

/// Which rows are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// What needs attention.
    InNeed,
    /// What is critical.
    Critical,
    /// Everything that matches.
    All,
}

/// The states of which these rows are; none for all of them.
pub fn states_for<S: Choice>(which: Which, severity: fn(&str) -> Severity) -> Vec<S> {
    let least = match which {
        Which::All => return Vec::new(),
        Which::InNeed => Severity::Warning,
        Which::Critical => Severity::Critical,
    };
    S::ALL.iter().copied().filter(|state| severity(state.name()) >= least).collect()
}

/// A page that begins with what needs attention, the gravest first and then the newest, from bounded questions: the page of what
/// needs attention, of which there is little as a rule, and the page of everything. `ask` lists one of them.
pub async fn attention_first(
    database: &Database,
    shown: AttentionFirst,
    paging: &Paging,
    ask: impl AsyncFn(Which) -> Result<Listing>,
) -> Result<CommandOutput> {
    let pages = database.together(both(&ask)).await?;
    attention_page(shown, paging, pages, ask).await
}

/// What needs attention, and everything, at the same time: one transaction where the store can.
async fn both(ask: &impl AsyncFn(Which) -> Result<Listing>) -> Result<(Asked, Asked)> {
    let page = async |which| Asked::of(ask(which).await?, |_| 0).await;
    try_join(page(Which::InNeed), page(Which::All)).await
}

async fn attention_page(
    shown: AttentionFirst,
    paging: &Paging,
    (urgent, all): (Asked, Asked),
    ask: impl AsyncFn(Which) -> Result<Listing>,
) -> Result<CommandOutput> {
    let limit = usize::try_from(paging.limit).unwrap_or(usize::MAX);
    let (columns, now) = (urgent.columns, urgent.now.max(all.now));
    let severity = |row: &Row| (shown.tone.1)(&shown.state(columns, row));
    let mut picked = Picked::default();
    if urgent.more {
        // Not all of it is on one page: what is critical must not be missing there.
        picked.add(Asked::of(ask(Which::Critical).await?, |_| 0).await?.rows);
    }
    let mut rows = urgent.rows;
    rows.sort_by_key(|row| std::cmp::Reverse(severity(row)));
    picked.add(rows);
    picked.rows.truncate(limit);
    let need = picked.rows.len();
    let mut more = urgent.more;
    if !urgent.more {
        picked.add(all.rows);
        more |= all.more || picked.rows.len() > limit;
        picked.rows.truncate(limit);
    }
    Ok(page_of(shown, paging, Asked { columns, now, rows: picked.rows, need, more }))
}

/// The same of a listing that is in this order already.
pub async fn in_order_of_attention(shown: AttentionFirst, paging: &Paging, listing: Listing) -> Result<CommandOutput> {
    let columns = listing.columns;
    let in_need = |row: &&Row| (shown.tone.1)(&shown.state(columns, row)) >= Severity::Warning;
    let page = Asked::of(listing, |rows| rows.iter().take_while(in_need).count()).await?;
    Ok(page_of(shown, paging, page))
}

fn page_of(shown: AttentionFirst, paging: &Paging, page: Asked) -> CommandOutput {
    let note = footer(&shown, &page);
    let Asked { columns, now, rows, .. } = page;
    CommandOutput::new(View::List(ListView {
        columns,
        batches: Box::pin(stream::iter([Ok(Batch { rows, note })])),
        now,
        tone: Some(shown.tone),
        empty: format!("no {} match", shown.nouns),
        fail_if_empty: paging.fail_if_empty,
    }))
}

/// A page that was read.
struct Asked {
    columns: &'static [Column],
    now: sen_core::time::Timestamp,
    rows: Vec<Row>,
    /// How many of them, at the beginning, need attention.
    need: usize,
    more: bool,
}

impl Asked {
    async fn of(listing: Listing, need: impl FnOnce(&[Row]) -> usize) -> Result<Self> {
        let Listing { columns, now, parts } = listing;
        let parts: Vec<Part> = parts.try_collect().await?;
        let more = parts.iter().any(|part| part.more);
        let rows: Vec<Row> = parts.into_iter().flat_map(|part| part.rows).collect();
        Ok(Self { columns, now, need: need(&rows), rows, more })
    }
}

/// Rows, each once: they are told apart by their first column, the key or id.
#[derive(Default)]
struct Picked {
    rows: Vec<Row>,
    ids: HashSet<String>,
}

impl Picked {
    fn add(&mut self, rows: Vec<Row>) {
        for row in rows {
            let fresh = match row.first() {
                Some(Value::Text(id)) => self.ids.insert(id.clone()),
                _ => true,
            };
            if fresh {
                self.rows.push(row);
            }
        }
    }
}

/// What is on the page, and what to type next. Counted are the rows that were read, which is known without another question;
/// where there are more, that is said.
fn footer(shown: &AttentionFirst, page: &Asked) -> Option<String> {
    let AttentionFirst { command, look, nouns, narrowed, urgent, .. } = shown;
    let Asked { columns, rows, need, more, .. } = page;
    let (length, need) = (rows.len(), *need);
    let states: Vec<String> = rows[..need].iter().map(|row| shown.state(columns, row)).collect();
    let more_in_need = *more && need == length;
    let Some(first) = rows.first().filter(|_| need > 0) else {
        return more.then(|| format!("more {nouns} match; these are the first {length} (--limit 0 lists all)"));
    };
    let mut counts: Vec<(String, usize)> = Vec::new();
    for name in &states {
        match counts.iter_mut().find(|(known, _)| known == name) {
            Some((_, count)) => *count += 1,
            None => counts.push((name.clone(), 1)),
        }
    }
    let least = if more_in_need { "at least " } else { "" };
    // What is under way as a rule is in need only where it has been so for too long.
    let since_long = |name: &str| if (shown.tone.1)(name) < Severity::Warning { " for too long" } else { "" };
    let mut parts: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{least}{count} {}{}", name.replace('_', " "), since_long(name)))
        .collect();
    if length > need {
        let others = if length - need == 1 { "other" } else { "others" };
        parts.push(format!("{} {others}", length - need));
    }
    if *more {
        parts.push(format!("the first {length} shown, more match (--limit 0 lists all)"));
    }
    let worst = &counts[0].0;
    let next = match first.first() {
        Some(Value::Text(id)) if !more => NextCommand::new(look, "").id(id).command,
        _ if *narrowed => format!("add {}", urgent.map_or_else(|| format!("--state {worst}"), str::to_owned)),
        _ => match urgent {
            Some(option) => NextCommand::new(command, "").with(&[option]).command,
            None => NextCommand::new(command, "").option("--state", worst).command,
        },
    };
    // On a line of its own, which is not wrapped: it is there to be copied.
    Some(format!("{}\nnext: {next}", parts.join(" · ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sen_core::model::listing::one_part;
    use sen_core::model::value::Show;
    use sen_core::time::Timestamp;

    const COLUMNS: &[Column] = &[
        Column { name: "id", heading: "ID", show: Show::Whole },
        Column { name: "state", heading: "STATE", show: Show::Whole },
    ];

    fn severity(state: &str) -> Severity {
        match state {
            "lost" => Severity::Critical,
            "failed" => Severity::Warning,
            _ => Severity::Ok,
        }
    }

    /// The ids of the page of this limit over things in these states, newest first, and its footer.
    fn page(states: &[&'static str], limit: u64) -> (Vec<String>, Option<String>) {
        let shown = AttentionFirst {
            command: &["sen", "exec", "list"],
            look: &["sen", "why"],
            nouns: "executions",
            tone: ("state", severity),
            narrowed: false,
            urgent: None,
        };
        let ask = async |which| {
            let wanted = |state: &str| match which {
                Which::InNeed => severity(state) >= Severity::Warning,
                Which::Critical => severity(state) == Severity::Critical,
                Which::All => true,
            };
            let matching: Vec<Row> = states
                .iter()
                .enumerate()
                .filter(|(_, state)| wanted(state))
                .map(|(at, state)| vec![Value::Text(format!("e{at}")), Value::Name(state)])
                .collect();
            let more = matching.len() as u64 > limit;
            let rows = matching.into_iter().take(limit as usize).collect();
            Ok(Listing { columns: COLUMNS, now: Timestamp::from_micros(0), parts: one_part(rows, more) })
        };
        let paging = Paging { reverse: false, limit, fail_if_empty: false };
        futures_util::future::FutureExt::now_or_never(async {
            let pages = both(&ask).await.unwrap();
            let output = attention_page(shown, &paging, pages, ask).await.unwrap();
            let View::List(list) = output.view else { panic!("a list") };
            let batches: Vec<Batch> = list.batches.try_collect().await.unwrap();
            let ids = batches.iter().flat_map(|batch| &batch.rows).map(|row| match &row[0] {
                Value::Text(id) => id.clone(),
                _ => String::new(),
            });
            (ids.collect(), batches.iter().find_map(|batch| batch.note.clone()))
        })
        .unwrap()
    }

    #[test]
    fn the_gravest_come_first_then_the_newest_and_nothing_twice() {
        let (ids, note) = page(&["running", "failed", "done", "lost", "done"], 10);
        assert_eq!(ids, ["e3", "e1", "e0", "e2", "e4"]);
        assert_eq!(note.as_deref(), Some("1 lost · 1 failed · 3 others\nnext: sen why e3"));
        let (ids, note) = page(&["running", "failed", "done", "lost", "done"], 3);
        assert_eq!(ids, ["e3", "e1", "e0"]);
        let text = "1 lost · 1 failed · 1 other · the first 3 shown, more match (--limit 0 lists all)\nnext: sen exec list --state lost";
        assert_eq!(note.as_deref(), Some(text));
    }

    #[test]
    fn a_flood_of_warnings_hides_nothing_critical() {
        let (ids, note) = page(&["failed", "failed", "failed", "failed", "lost", "done"], 3);
        assert_eq!(ids, ["e4", "e0", "e1"]);
        assert!(note.unwrap().starts_with("at least 1 lost · at least 2 failed · the first 3 shown, more match"));
        // Everything in need fits exactly: that others match is still said.
        let (ids, note) = page(&["failed", "done", "lost"], 2);
        assert_eq!(ids, ["e2", "e0"]);
        assert!(note.unwrap().contains("more match"));
    }

    #[test]
    fn where_nothing_is_wrong_the_page_is_as_it_was() {
        assert_eq!(page(&["done", "running"], 5), (vec!["e0".into(), "e1".into()], None));
        let note = page(&["done", "running"], 1).1;
        assert_eq!(note.as_deref(), Some("more executions match; these are the first 1 (--limit 0 lists all)"));
        assert_eq!(page(&[], 5), (Vec::new(), None));
    }
}
