//! What a command offers on a terminal where it was given no KEY: what needs attention, the gravest first, from the bounded
//! questions that the lists ask.

use futures_util::TryStreamExt as _;
use sen_core::error::{Error, ErrorKind, Result};
use sen_core::letters::LetterFilter;
use sen_core::model::listing::{Listing, Page, Part};
use sen_core::model::subject::Kind;
use sen_core::model::value::{Column, Row, Value};
use sen_core::model::verdict::Severity;
use sen_core::registry::Database;
use sen_core::system::System;
use sen_core::systems::node::{self, TaskFilter, TaskOrder};
use sen_core::systems::saga::SagaFilter;
use sen_core::systems::sentinel::{LeaseFilter, LeaseState};
use sen_core::systems::stent::ListFilter;
use sen_core::systems::{saga, sentinel, stent};
use sen_core::text::named;
use sen_core::time::Timestamp;

use super::page::{Which, states_for, text_of, value_of};
use crate::clean::{clean, shorten_middle, width};
use crate::consent;
use crate::output::Format;
use crate::output::text::relative;
use crate::session::Session;

/// How many are offered.
const OFFERED: usize = 20;
/// Where a record says since when it is as it is: the first of these that it has.
const SINCE: [&str; 4] = ["lease_updated_at", "updated_at", "completed_at", "created_at"];
/// A line is never cut below this.
const LEAST: usize = 40;

/// How it is asked.
pub struct Question<'a> {
    prompt: &'a str,
    columns: usize,
}

/// Asks with these words, where something can be offered.
///
/// # Errors
/// `Usage` where nobody can choose: without a terminal, with `--no-input`, in a data format, again and again.
pub fn question<'a>(session: &Session, prompt: &'a str, wanted: &str) -> Result<Question<'a>> {
    let globals = &session.globals;
    if session.can_ask() && globals.output == Format::Table && globals.watch.is_none() {
        return Ok(Question { prompt, columns: session.columns_of_an_entry() });
    }
    Err(unnamed(wanted))
}

/// The error where something has to be named and is not.
pub fn unnamed(wanted: &str) -> Error {
    Error::usage(format!("no {wanted} is given")).with_hint("`sen status` says what needs attention")
}

/// One of them.
struct Offer {
    severity: Severity,
    state: String,
    since: Option<Timestamp>,
    kind: &'static str,
    id: String,
}

/// What was read of one system.
struct Offers {
    now: Timestamp,
    offers: Vec<Offer>,
}

/// The key or id that was chosen of everything that needs attention, or of the leases of a namespace.
///
/// # Errors
/// `Refused` where none was chosen; `NotFound` where nothing needs attention; what the stores report.
pub async fn of_all(database: &Database, namespace: Option<&str>, question: Question<'_>) -> Result<String> {
    let all = everything(database, namespace).await?;
    let none = match namespace {
        None => "nothing needs attention".into(),
        Some(namespace) => format!("no key of namespace {} needs attention", named(namespace)),
    };
    choose(all, question, none)
}

/// The keys and ids that need attention most, at most so many, without asking.
///
/// # Errors
/// What the stores report.
pub async fn gravest(database: &Database, most: usize) -> Result<Vec<String>> {
    let all = everything(database, None).await?;
    let mut offers: Vec<Offer> = all.into_iter().flatten().flat_map(|part| part.offers).collect();
    offers.sort_by_key(|offer| std::cmp::Reverse(offer.severity));
    Ok(offers.into_iter().take(most).map(|offer| offer.id).collect())
}

/// Everything that needs attention, or the leases of a namespace that do.
async fn everything(database: &Database, namespace: Option<&str>) -> Result<Vec<Option<Offers>>> {
    let mut all = vec![seen(database, sentinel::NAME, leases(database, namespace).await)?];
    if namespace.is_none() {
        all.push(seen(database, stent::NAME, executions(database).await)?);
        all.push(seen(database, saga::NAME, sagas(database).await)?);
        all.push(seen(database, node::NAME, agent_tasks(database).await)?);
        // The dead ones among agent tasks are listed with the others.
        for system in database.systems().filter(|system| system.name() != node::NAME) {
            all.push(seen(database, system.name(), letters(system).await)?);
        }
    }
    Ok(all)
}

/// The key that was chosen of those that can be settled; with `stalled` also where the worker may be alive.
///
/// # Errors
/// As [`of_all`].
pub async fn of_unsettled(
    database: &Database,
    namespace: Option<&str>,
    stalled: bool,
    question: Question<'_>,
) -> Result<String> {
    let mut states = vec![LeaseState::Uncertain];
    states.extend(stalled.then_some(LeaseState::Stalled));
    let filter = LeaseFilter { states, ..leases_of(namespace) };
    let all = Rows::of(database.leases()?.list(&filter).await?).await?.offers(Kind::Lease, lease);
    let of = namespace.map_or_else(String::new, |namespace| format!(" of namespace {}", named(namespace)));
    let or_stalled = if stalled { " or stalled" } else { "" };
    choose(vec![Some(all)], question, format!("no key{of} is uncertain{or_stalled}"))
}

/// What a system offers; `None` where it is not there or may not be read.
fn seen(database: &Database, system: &str, answer: Result<Offers>) -> Result<Option<Offers>> {
    match database.seen(system, answer) {
        Err(error) if error.kind() == ErrorKind::NoSystem => Ok(None),
        answer => answer,
    }
}

/// One more than is offered, so that it is known whether there are more.
const READ: u64 = OFFERED as u64 + 1;

fn first<O>() -> Page<O> {
    Page::first(READ)
}

fn lease(state: &str) -> Severity {
    sentinel::verdict::State::parse(state).map_or(Severity::Ok, sentinel::verdict::State::severity)
}

fn leases_of(namespace: Option<&str>) -> LeaseFilter {
    LeaseFilter { namespace: namespace.map(str::to_owned), page: first(), ..LeaseFilter::default() }
}

async fn leases(database: &Database, namespace: Option<&str>) -> Result<Offers> {
    let (system, all) = (database.leases()?, leases_of(namespace));
    let ask = async |which| system.list(&LeaseFilter { states: states_for(which, lease), ..all.clone() }).await;
    in_need(ask, Kind::Lease, lease).await
}

async fn executions(database: &Database) -> Result<Offers> {
    let severity =
        |state: &str| stent::verdict::State::parse(state).map_or(Severity::Ok, stent::verdict::State::severity);
    let (system, page) = (database.executions()?, first());
    let ask = async |which| {
        let states = states_for(which, severity);
        system.executions(&ListFilter { states, page: page.clone(), ..ListFilter::default() }).await
    };
    in_need(ask, Kind::Execution, severity).await
}

async fn sagas(database: &Database) -> Result<Offers> {
    let severity =
        |state: &str| saga::verdict::State::parse(state).map_or(Severity::Ok, saga::verdict::State::severity);
    let (system, page) = (database.sagas()?, first());
    let ask = async |which| {
        let states = states_for(which, severity);
        system.list(&SagaFilter { states, page: page.clone(), ..SagaFilter::default() }).await
    };
    in_need(ask, Kind::Saga, severity).await
}

/// Every question walks over all of them, so this is one.
async fn agent_tasks(database: &Database) -> Result<Offers> {
    let severity =
        |state: &str| node::verdict::State::parse(state).map_or(Severity::Ok, node::verdict::State::severity);
    let filter = TaskFilter { page: first().ordered(Some(TaskOrder::Attention)), ..TaskFilter::default() };
    Ok(Rows::of(database.agents()?.list(&filter).await?).await?.offers(Kind::AgentTask, severity))
}

/// What needs attention; where that is not all on one page, also what is critical, which must not be missing.
async fn in_need(
    ask: impl AsyncFn(Which) -> Result<Listing>,
    kind: Kind,
    severity: fn(&str) -> Severity,
) -> Result<Offers> {
    let all = Rows::of(ask(Which::InNeed).await?).await?;
    let more = all.more;
    let mut offers = all.offers(kind, severity);
    if more {
        let critical = Rows::of(ask(Which::Critical).await?).await?.offers(kind, severity);
        offers.offers.retain(|offer| offer.severity < Severity::Critical);
        offers.offers.extend(critical.offers);
    }
    Ok(offers)
}

/// Rows that were read.
struct Rows {
    columns: &'static [Column],
    now: Timestamp,
    rows: Vec<Row>,
    more: bool,
}

impl Rows {
    async fn of(listing: Listing) -> Result<Self> {
        let Listing { columns, now, parts } = listing;
        let parts: Vec<Part> = parts.try_collect().await?;
        let more = parts.iter().any(|part| part.more);
        Ok(Self { columns, now, rows: parts.into_iter().flat_map(|part| part.rows).collect(), more })
    }

    /// Those that need attention.
    fn offers(self, kind: Kind, severity: impl Fn(&str) -> Severity) -> Offers {
        let offer = |row: &Row| {
            let text = |name: &str| text_of(self.columns, row, name);
            let since = SINCE.iter().find_map(|name| match value_of(self.columns, row, name) {
                Some(Value::Time(at)) => Some(*at),
                _ => None,
            });
            let (state, id) = (text("state"), text(if kind == Kind::Lease { "key" } else { "id" }));
            Offer { severity: severity(&state), state, since, kind: kind.words(), id }
        };
        let offers = self.rows.iter().map(offer).filter(|offer| offer.severity >= Severity::Warning).collect();
        Offers { now: self.now, offers }
    }
}

/// The newest dead letters of a system.
async fn letters(system: &dyn System) -> Result<Offers> {
    let Some(letters) = system.letters() else {
        return Ok(Offers { now: Timestamp::NEG_INFINITY, offers: Vec::new() });
    };
    let filter = LetterFilter { newest_first: true, limit: Some(READ), ..LetterFilter::default() };
    let listed = letters.list(&filter).await?;
    let all: Vec<_> = listed.parts.try_collect().await?;
    let offer = |letter: sen_core::model::letter::Letter| Offer {
        severity: super::dlq::list::severity(letter.replayability),
        state: if letter.is_replayable() { "dead, replayable" } else { "dead" }.to_owned(),
        since: letter.died_at,
        kind: match letter.kind {
            "outbox" => Kind::Outbox.words(),
            "inbox" => Kind::Inbox.words(),
            _ => Kind::DeadLetter.words(),
        },
        id: letter.id,
    };
    Ok(Offers { now: listed.now, offers: all.into_iter().flatten().map(offer).collect() })
}

/// Asks which.
fn choose(all: Vec<Option<Offers>>, question: Question<'_>, none: String) -> Result<String> {
    let Question { prompt, columns } = question;
    let (mut offers, mut now) = (Vec::new(), Timestamp::NEG_INFINITY);
    for part in all.into_iter().flatten() {
        now = now.max(part.now);
        offers.extend(part.offers);
    }
    // Of one severity they stay as their lists have them.
    offers.sort_by_key(|offer| std::cmp::Reverse(offer.severity));
    let more = offers.len() > OFFERED;
    offers.truncate(OFFERED);
    if offers.is_empty() {
        let hint = "give a key or id; `sen status` says what there is";
        return Err(Error::new(ErrorKind::NotFound, none).with_hint(hint));
    }
    let prompt =
        if more { format!("{prompt} (the gravest {OFFERED}; `sen status` counts all)") } else { prompt.to_owned() };
    match consent::which(&prompt, &lines(&offers, now, columns))? {
        Some(at) => Ok(offers.swap_remove(at).id),
        None => Err(Error::new(ErrorKind::Refused, "nothing was chosen, and nothing was changed")),
    }
}

/// A line for each: state, age, kind, id. None is wider than the terminal, which the question could not redraw.
fn lines(offers: &[Offer], now: Timestamp, columns: usize) -> Vec<String> {
    let state = |offer: &Offer| offer.state.replace('_', " ");
    let age = |offer: &Offer| {
        let since = offer.since.filter(|since| since.is_finite());
        since.map_or_else(String::new, |since| relative(since, now, false))
    };
    let widest = |of: &dyn Fn(&Offer) -> usize| offers.iter().map(of).max().unwrap_or(0);
    let states = widest(&|offer| width(&state(offer)));
    let ages = widest(&|offer| width(&age(offer)));
    let kinds = widest(&|offer| width(offer.kind));
    let room = columns.max(LEAST).saturating_sub(states + ages + kinds + 6);
    let line = |offer: &Offer| {
        let id = clean(&offer.id);
        format!(
            "{:states$}  {:>ages$}  {:kinds$}  {}",
            clean(&state(offer)),
            age(offer),
            offer.kind,
            shorten_middle(&id, room.max(9))
        )
    };
    offers.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_show_no_control_characters() {
        let now = Timestamp::from_micros(3_600_000_000);
        let offer = |state: &str, kind, id: &str| Offer {
            severity: Severity::Warning,
            state: state.to_owned(),
            since: Some(Timestamp::from_micros(0)),
            kind,
            id: id.to_owned(),
        };
        let long = "payments:".to_owned() + &"x".repeat(200) + "end";
        let offers = [offer("uncertain", "lease", &long), offer("partly_compensated", "saga", "a\u{1b}[2Jb")];
        let lines = lines(&offers, now, 60);
        assert!(lines.iter().all(|line| width(line) <= 60 && !line.contains('\u{1b}')), "{lines:?}");
        assert!(lines[0].starts_with("uncertain           1h ago  lease  ") && lines[0].ends_with("end"), "{lines:?}");
    }
}
