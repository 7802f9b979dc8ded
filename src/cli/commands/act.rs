//! What every writing command shares: its options, and the road from a request to a report.

use std::collections::BTreeMap;

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::plan::{Beyond, Plan};
use sen_core::model::report::{Ending, Item, Outcome, Report};
use sen_core::model::request::Request;
use sen_core::model::value::Value;
use sen_core::observe::Observer;
use sen_core::ops::act::{self, Author};
use sen_core::permit::WritePermit;
use sen_core::registry::Access;
use sen_core::system::System;
use sen_core::systems::sentinel;
use sen_core::time::Timestamp;

use super::inspect::stored_key;
use crate::consent;
use crate::exit::Exit;
use crate::progress::Progress;
use crate::session::Session;
use crate::views::{Answer, Block, Detail, DetailsView, View};

/// Options of every command that changes something.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Acting {
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Consent in advance to what would be asked
    #[arg(short, long)]
    pub yes: bool,

    /// Why, for the record kept beside the rows
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,

    /// Do nothing unless exactly so many would be changed
    #[arg(long, value_name = "N")]
    pub expect: Option<u64>,
}

/// The keys an act is about, and its options.
#[derive(Debug, Clone, clap::Args)]
pub struct Targets {
    /// The key as stored; its namespace is part of it
    #[arg(required = true, value_name = "KEY")]
    pub keys: Vec<String>,

    /// Put this namespace before every key, as the library does
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,

    #[command(flatten)]
    acting: Acting,
}

/// Carries out `request` on the named leases.
pub async fn on_leases(targets: Targets, session: &Session, request: fn(Vec<String>) -> Request) -> Result<Answer> {
    let keys = targets.keys.iter().map(|key| super::checked_key(stored_key(targets.namespace.as_deref(), key)));
    let ids = keys.collect::<Result<Vec<_>>>()?;
    let database = if targets.acting.dry_run { session.read().await? } else { session.write(Access::Write).await? };
    carry_out(database.system(sentinel::NAME)?, &request(ids), &targets.acting, session).await
}

/// Plans, asks, applies, reports.
pub async fn carry_out(system: &dyn System, request: &Request, acting: &Acting, session: &Session) -> Result<Answer> {
    let plan = act::plan(system, request).await?;
    follow(&plan, acting, session, async |permit, observer| system.apply(&plan, permit, observer).await).await
}

/// The road from a plan to a report: expectation, dry run, consent, permit, and then `apply`.
pub async fn follow(
    plan: &Plan,
    acting: &Acting,
    session: &Session,
    apply: impl AsyncFnOnce(&WritePermit, &dyn Observer) -> Result<Report>,
) -> Result<Answer> {
    Ok(match walk(plan, acting, session, apply).await? {
        Walked::Planned(answer) => answer,
        Walked::Applied(report) => finished(reported(&report, plan), session),
    })
}

/// How far an act came.
pub enum Walked {
    /// It was a dry run; this is what it would have done.
    Planned(Answer),
    /// It was carried out.
    Applied(Report),
}

/// The answer with the exit code of an interrupt, where one was heard.
pub fn finished(answer: Answer, session: &Session) -> Answer {
    if session.interrupt.revocation().is_revoked() { answer.ending(Exit::Interrupted) } else { answer }
}

/// The same road, with the report left to the caller.
pub async fn walk(
    plan: &Plan,
    acting: &Acting,
    session: &Session,
    apply: impl AsyncFnOnce(&WritePermit, &dyn Observer) -> Result<Report>,
) -> Result<Walked> {
    let targets = plan.targets();
    if let Some(expected) = acting.expect
        && expected != targets
    {
        let message = format!("{targets} would be changed, not {expected} as expected; nothing was written");
        return Err(Error::new(ErrorKind::Changed, message).with_hint("--dry-run shows which"));
    }
    if acting.dry_run {
        return Ok(Walked::Planned(planned(plan)));
    }
    let consent = consent::consent(session, plan, acting.yes || targets == 0)?;
    let author = Author { who: Some(session.operator()), why: acting.reason.clone() };
    let permit = act::permit(plan, consent, author, session.interrupt.revocation())?;
    let progress = Progress::new(session.shows_progress());
    let report = session.interrupt.protect(apply(&permit, &progress)).await;
    session.announce(progress.announced());
    progress.finish().into_iter().for_each(|line| session.warn(line));
    Ok(Walked::Applied(report?))
}

fn planned(plan: &Plan) -> Answer {
    let mut items: Vec<Item> = Vec::new();
    for step in &plan.steps {
        let act = step.act.replace('_', " ");
        match items.last_mut() {
            Some(item) if item.subject == step.subject => item.detail += &format!(" and {act}"),
            _ => items.push(Item::new(step.subject.clone(), Outcome::Skipped, format!("would {act}"))),
        }
    }
    let lines = consent::describe(plan);
    items.extend(plan.refused.iter().cloned());
    let mut report = Report { items, ..Report::new(plan.operation) };
    for (_, count) in plan.set.iter().flat_map(|set| &set.skipped) {
        report.add_unlisted(Outcome::Skipped, *count);
    }
    let blocks = lines.into_iter().map(Block::Note).collect();
    let mut answer = view(&report, plan.targets(), true, blocks).ending(exit(&report));
    if let View::Details(view) = &mut answer.view
        && let Some(Value::Map(fields)) = view.details.first_mut().map(|detail| &mut detail.value)
    {
        fields.extend(foreseen(plan));
    }
    answer
}

/// What a plan says beyond its items: what to know first, and what becomes of the steps of what is started anew.
fn foreseen(plan: &Plan) -> [(&'static str, Value); 3] {
    let set = plan.set.iter();
    let beyond = plan.set.as_ref().map(|set| set.beyond).unwrap_or_default();
    let int = |count: u64| Value::Int(i64::try_from(count).unwrap_or(i64::MAX));
    let unshown = if beyond == Beyond::default() {
        Value::Null
    } else {
        Value::Map(vec![("targets", int(beyond.targets)), ("tasks_beyond", beyond.tasks.map_or(Value::Null, int))])
    };
    let warnings = plan.steps.iter().flat_map(|step| &step.warnings).chain(set.clone().flat_map(|set| &set.warnings));
    let preview = set.flat_map(|set| &set.preview).map(|step| {
        Value::Map(vec![
            ("step", Value::Text(step.step.clone())),
            ("effect", Value::Name(step.effect)),
            ("count", int(step.count)),
            ("text", Value::Text(step.text.to_owned())),
        ])
    });
    [
        ("warnings", Value::List(warnings.cloned().map(Value::Text).collect())),
        ("replay_steps", Value::List(preview.collect())),
        ("replay_steps_not_shown", unshown),
    ]
}

/// A report in lines, for people: of a large one the first items of each outcome, and the totals.
pub fn lines(report: &Report, plan: &Plan) -> Vec<String> {
    const SHOWN: u64 = 20;
    let mut shown: BTreeMap<Outcome, u64> = BTreeMap::new();
    let mut lines = Vec::new();
    for item in &report.items {
        let count = shown.entry(item.outcome).or_default();
        *count += 1;
        if plan.set.is_none() || *count <= SHOWN || report.items.len() as u64 <= 2 * SHOWN {
            lines.push(consent::line(item));
        }
    }
    if plan.set.is_some()
        && (lines.len() < report.items.len() || !report.unlisted.is_empty() || report.items.is_empty())
    {
        if lines.len() < report.items.len() {
            lines.push("…".into());
        }
        let all = [
            Outcome::Applied,
            Outcome::AlreadyDone,
            Outcome::Changed,
            Outcome::Missing,
            Outcome::Skipped,
            Outcome::Failed,
            Outcome::Unknown,
        ];
        let totals = all.into_iter().map(|outcome| (outcome, report.count(outcome))).filter(|(_, count)| *count > 0);
        let totals: Vec<String> = totals.map(|(outcome, count)| format!("{count} {}", outcome.words())).collect();
        lines.push(if totals.is_empty() { "nothing matched".into() } else { totals.join(", ") });
        let skipped = plan.set.iter().flat_map(|set| &set.skipped);
        lines.extend(skipped.map(|(why, count)| format!("left alone: {count}, {why}")));
    } else {
        lines.extend(report.unlisted.iter().map(|(outcome, count)| format!("{count} {}", outcome.words())));
    }
    lines
}

fn reported(report: &Report, plan: &Plan) -> Answer {
    let first_act = plan.steps.first().map(|step| step.act);
    let mut blocks: Vec<Block> = lines(report, plan).into_iter().map(Block::Note).collect();
    if let (Some("take_over"), [item]) = (first_act, report.items.as_slice())
        && let (Outcome::Applied, "taken over", Some(token)) = (item.outcome, item.detail.as_str(), item.fencing_token)
    {
        let (key, token) = (item.subject.id.as_str(), token.to_string());
        let next =
            |rest: &[&str], why| super::keyed(&[&["sen", "reconcile", "--token", &token], rest].concat(), key, why);
        blocks.push(Block::Next(vec![
            next(&["--complete", "JSON"], "it completed, with this result"),
            next(&["--reset"], "it never happened: the next caller runs it"),
        ]));
    }
    if let [item] = report.items.as_slice()
        && item.outcome == Outcome::Applied
        && blocks.len() == 1
        && (item.subject.kind != "lease" || matches!(first_act, Some("take_over" | "complete" | "reset")))
        && ["lease", "saga", "execution"].contains(&item.subject.kind)
    {
        let next = super::keyed(&["sen", "why"], &item.subject.id, "whether anything else hangs on it");
        blocks.push(Block::Next(vec![next]));
    }
    view(report, plan.targets() + plan.refused.len() as u64, false, blocks).ending(exit(report))
}

/// The exit code of a report as a whole.
pub fn exit(report: &Report) -> Exit {
    match report.ending() {
        Ending::Done => Exit::Done,
        Ending::Partial => Exit::Partial,
        Ending::Changed => Exit::Changed,
        Ending::Missing => Exit::NotFound,
        Ending::Failed => Exit::Error,
        Ending::Lost => Exit::Connect,
        Ending::Unknown => Exit::Unknown,
    }
}

/// A report as data and as lines.
pub fn view(report: &Report, planned: u64, dry_run: bool, blocks: Vec<Block>) -> Answer {
    let result = |item: &Item| {
        Value::Map(vec![
            ("subject", Value::Text(item.subject.to_string())),
            (
                "outcome",
                if dry_run && item.outcome == Outcome::Skipped {
                    Value::Name("planned")
                } else {
                    Value::Name(item.outcome.name())
                },
            ),
            ("detail", Value::Text(item.detail.clone())),
            ("fencing_token", item.fencing_token.map_or(Value::Null, Value::Big)),
        ])
    };
    let int = |count: u64| Value::Int(i64::try_from(count).unwrap_or(i64::MAX));
    // The planned items of a dry run stand in the report as skipped.
    let count = |outcome| {
        let listed = report.items.iter().filter(|item| dry_run && item.outcome == outcome).count() as u64;
        int(if outcome == Outcome::Skipped { report.count(outcome) - listed } else { report.count(outcome) })
    };
    let value = Value::Map(vec![
        ("operation", Value::Text(report.operation.to_string())),
        ("dry_run", Value::Bool(dry_run)),
        ("planned", int(planned)),
        ("applied", count(Outcome::Applied)),
        ("already_done", count(Outcome::AlreadyDone)),
        ("changed", count(Outcome::Changed)),
        ("missing", count(Outcome::Missing)),
        ("skipped", count(Outcome::Skipped)),
        ("failed", count(Outcome::Failed)),
        ("unknown", count(Outcome::Unknown)),
        ("results", Value::List(report.items.iter().map(result).collect())),
        ("results_cut", Value::Bool(!report.unlisted.is_empty())),
    ]);
    let details = vec![Detail { value, blocks }];
    Answer::new(View::Details(DetailsView { details, single: true, now: Timestamp::here() }))
}
