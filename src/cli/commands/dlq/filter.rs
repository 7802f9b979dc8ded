//! Selects dead letters, and the systems that have them.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use clap::builder::PossibleValuesParser;
use sen_core::error::{Error, ErrorKind, Result};
use sen_core::letters::{DeadLetters, LetterFilter};
use sen_core::model::plan::Plan;
use sen_core::model::prepared::PreparedAction;
use sen_core::registry::Database;
use sen_core::text::named;
use sen_core::time::When;

use crate::completion::live::{Completes, Live};
use crate::args::{span, when};

/// The systems that keep dead letters.
pub const SYSTEMS: [&str; 3] = ["stent", "saga", "node"];
/// The kinds of dead letters.
const KINDS: [&str; 5] = ["orchestrator", "activity", "outbox", "inbox", "agent_task"];

/// Above the options that choose dead letters.
pub const SELECTION: &str = "Selection";

/// Which letters.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct DeadLetterFilter {
    /// Only of this system
    #[arg(long, help_heading = SELECTION, value_name = "NAME", value_parser = PossibleValuesParser::new(SYSTEMS))]
    pub system: Option<String>,

    /// Only of these groups, as `sen dlq groups` names them
    #[arg(long, help_heading = SELECTION, value_delimiter = ',', value_name = "GROUP,…", add = Completes(Live::Group))]
    pub group: Vec<String>,

    /// Only of these kinds
    #[arg(long, help_heading = SELECTION, value_delimiter = ',', value_name = "KIND,…", value_parser = PossibleValuesParser::new(KINDS))]
    pub kind: Vec<String>,

    /// Only of this step: module:name, or the name alone
    #[arg(long, help_heading = SELECTION, value_name = "NAME")]
    pub step: Option<String>,

    /// Only those whose error contains this text
    #[arg(long, help_heading = SELECTION, value_name = "TEXT")]
    pub where_error: Option<String>,

    /// Worker prefix: only those dead-lettered by these workers
    #[arg(long, help_heading = SELECTION, value_name = "TEXT", add = Completes(Live::Worker))]
    pub worker: Option<String>,

    /// Only dead for longer than this
    #[arg(long, help_heading = SELECTION, value_parser = span, value_name = "SPAN")]
    pub older_than: Option<Duration>,

    /// Only died at or after this: 2026-11-20T20:16:00Z, 2026-11-20, or 2h for two hours ago
    #[arg(long, help_heading = SELECTION, value_parser = when, value_name = "TIME")]
    pub since: Option<When>,

    /// Only died before this
    #[arg(long, help_heading = SELECTION, value_parser = when, value_name = "TIME")]
    pub until: Option<When>,
}

impl DeadLetterFilter {
    /// Whether it says which letters at all.
    pub fn is_empty(&self, queue: Option<&String>) -> bool {
        let Self { system: _, group, kind, step, where_error, worker, older_than, since, until } = self;
        let texts = [step, where_error, worker];
        group.is_empty()
            && kind.is_empty()
            && texts.iter().all(|text| text.is_none())
            && queue.is_none()
            && older_than.is_none()
            && since.is_none()
            && until.is_none()
    }

    pub fn filter(&self, ids: &[String], queue: Option<&String>) -> Result<LetterFilter> {
        let mut unique: Vec<String> = Vec::new();
        for id in ids {
            let id = crate::keys::checked_key(id.clone())?;
            if !unique.contains(&id) {
                unique.push(id);
            }
        }
        Ok(LetterFilter {
            ids: unique,
            groups: self.group.clone(),
            kinds: self.kind.clone(),
            queue: queue.cloned(),
            step: self.step.clone(),
            error: self.where_error.clone(),
            worker: self.worker.clone(),
            older_than: self.older_than,
            since: self.since,
            until: self.until,
            ..LetterFilter::default()
        })
    }

    /// Refuses an act on letters that nobody named.
    pub fn named(&self, ids: &[String], queue: Option<&String>, all: bool) -> Result<()> {
        if ids.is_empty() && !all && self.is_empty(queue) {
            return Err(Error::usage("no dead letters selected")
                .with_hint("give ids, --group or another filter, or --all; `sen dlq groups` shows what there is"));
        }
        Ok(())
    }
}

/// How dead letters of several systems are chosen apart: by their ids, where those were given.
async fn apart(systems: &[DeadLetterSystem<'_>], filter: &LetterFilter, names: &[&str]) -> Result<String> {
    if filter.ids.is_empty() {
        return Ok(format!("choose with --system {}", names.join(" or --system ")));
    }
    let mut of = Vec::new();
    for (name, letters) in systems {
        let mut ids = Vec::new();
        for id in &filter.ids {
            if any(*letters, &LetterFilter { ids: vec![id.clone()], ..LetterFilter::default() }).await? {
                ids.push(named(id).to_string());
            }
        }
        if !ids.is_empty() {
            of.push(format!("{name}: {}", ids.join(", ")));
        }
    }
    Ok(format!("give those of one system only: {}", of.join("; ")))
}

/// The dead letters of a system, and its name.
pub type DeadLetterSystem<'a> = (&'static str, &'a dyn DeadLetters);

/// Every system here that keeps dead letters, or the one that is named.
pub async fn dead_letter_systems<'a>(database: &'a Database, only: Option<&str>) -> Result<Vec<DeadLetterSystem<'a>>> {
    let keeping: Vec<_> =
        database.systems().filter_map(|system| Some((system, system.letters()?))).collect();
    let known: Vec<&str> = keeping.iter().map(|(system, _)| system.name()).collect();
    let wanted: Vec<_> =
        keeping.iter().copied().filter(|(system, _)| only.is_none_or(|name| name == system.name())).collect();
    let present = database.together(join_all(wanted.iter().map(|(system, _)| system.present()))).await;
    let mut dead_letter_systems = Vec::new();
    for ((system, letters), present) in wanted.into_iter().zip(present) {
        if database.seen(system.name(), present)? == Some(true) {
            dead_letter_systems.push((system.name(), letters));
        }
    }
    if dead_letter_systems.is_empty() {
        database.saw_all()?;
        return Err(Error::new(ErrorKind::NoSystem, "no system that keeps dead letters is in this database")
            .with_hint(format!("looked for {}; `sen status` shows what is there", known.join(", "))));
    }
    Ok(dead_letter_systems)
}

/// Whether any letter matches.
pub async fn any(letters: &dyn DeadLetters, filter: &LetterFilter) -> Result<bool> {
    let mut parts = letters.list(&LetterFilter { limit: Some(1), ..filter.clone() }).await?.parts;
    while let Some(part) = parts.next().await {
        if !part?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Refuses a group that no dead letter is in: probably mistyped, or done with. `plan` is what was planned for it.
///
/// # Errors
/// `NotFound` naming the group.
pub async fn known_groups(systems: &[DeadLetterSystem<'_>], filter: &LetterFilter, plan: &Plan) -> Result<()> {
    let found = plan.targets() > 0 || plan.skipped() > 0;
    if found && filter.groups.len() == 1 {
        return Ok(());
    }
    'groups: for group in &filter.groups {
        let only =
            LetterFilter { groups: vec![group.clone()], kinds: filter.kinds.clone(), ..LetterFilter::default() };
        for (_, letters) in systems {
            if any(*letters, &only).await? {
                continue 'groups;
            }
        }
        return Err(Error::new(ErrorKind::NotFound, format!("no dead letters in group {}", named(group)))
            .with_hint("`sen dlq groups` lists the groups"));
    }
    Ok(())
}

/// Notes that what is planned was asked for by id or group: then what is skipped counts as not done.
pub fn asked(plan: &mut Plan, filter: &LetterFilter) {
    if let Some(set) = &mut plan.set {
        set.asked = !filter.ids.is_empty() || !filter.groups.is_empty();
    }
}

/// The plan of an act, with the system that is to apply it: the only one that has such letters.
pub async fn planned<'a>(
    dead_letter_systems: &[DeadLetterSystem<'a>],
    filter: &LetterFilter,
    plan: impl AsyncFn(&'a dyn DeadLetters, &LetterFilter) -> Result<Box<dyn PreparedAction + 'a>>,
) -> Result<(Box<dyn PreparedAction + 'a>, &'a dyn DeadLetters)> {
    let mut candidates = dead_letter_systems.to_vec();
    if dead_letter_systems.len() > 1 && !filter.ids.is_empty() {
        let mut having = Vec::new();
        for keeper in dead_letter_systems {
            if any(keeper.1, &LetterFilter { ids: filter.ids.clone(), ..LetterFilter::default() }).await? {
                having.push(*keeper);
            }
        }
        if having.is_empty() {
            having.extend(dead_letter_systems.first().copied());
        }
        candidates = having;
    }
    let mut plans = Vec::new();
    let mut refused = Vec::new();
    let several = candidates.len() > 1;
    for (name, letters) in candidates {
        match plan(letters, filter).await {
            Ok(plan) => plans.push((name, plan, letters)),
            // A system without such an act matters only if its dead letters were selected.
            Err(error) if several && error.kind() == ErrorKind::Refused => {
                if any(letters, filter).await? {
                    refused.push((name, error));
                }
            }
            Err(error) => return Err(error),
        }
    }
    if plans.len() > 1 {
        // A system without matches is skipped.
        let matches = |action: &dyn PreparedAction| {
            let plan = action.plan();
            plan.targets() > 0 || plan.skipped() > 0
        };
        let some = plans.iter().any(|(_, action, _)| matches(&**action));
        let mut first = true;
        plans.retain(|(_, action, _)| matches(&**action) || (!some && std::mem::take(&mut first)));
    }
    let nothing = plans.iter().all(|(_, action, _)| action.plan().targets() == 0);
    if nothing && let Some((_, error)) = refused.pop() {
        return Err(error);
    }
    if plans.len() + refused.len() > 1 {
        let names: Vec<&str> =
            plans.iter().map(|(name, ..)| *name).chain(refused.iter().map(|(name, _)| *name)).collect();
        return Err(Error::usage(format!(
            "dead letters of {} match; acts are on one system at a time",
            names.join(" and ")
        ))
        .with_hint(apart(dead_letter_systems, filter, &names).await?));
    }
    let (_, mut action, letters) =
        plans.pop().ok_or_else(|| Error::new(ErrorKind::Internal, "no system was asked"))?;
    known_groups(dead_letter_systems, filter, action.plan()).await?;
    asked(action.plan_mut(), filter);
    Ok((action, letters))
}
