//! What became of an act: in lines, as data, and as an exit code.

use std::collections::BTreeMap;

use sen_core::model::plan::{FollowUp, Plan};
use sen_core::model::report::{Ending, Item, Outcome, Report};
use sen_core::model::value::Value;
use sen_core::model::verdict::{NextCommand, Purpose};
use sen_core::time::Timestamp;

use super::brakes::resuming;
use crate::consent;
use crate::exit::Exit;
use crate::views::{Block, CommandOutput, Detail, DetailsView, View};

/// What is remembered of a plan that was applied.
pub struct Outline {
    /// What it said.
    pub plan: Plan,
    /// What to do after its first steps: two at most.
    pub(super) follow_ups: Vec<FollowUp>,
    /// The brakes it had, as they are given again.
    pub(super) brakes: Vec<String>,
    /// Whether it has a journal, in which it can go on.
    pub(super) kept: bool,
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
        let totals = totals.map(|(outcome, count)| match outcome {
            Outcome::Skipped => (count - report.not_begun.min(count), outcome.words()),
            _ => (count, outcome.words()),
        });
        let totals = totals.chain([(report.not_begun, "not begun")]).filter(|(count, _)| *count > 0);
        let totals: Vec<String> = totals.map(|(count, what)| format!("{count} {what}")).collect();
        lines.push(if totals.is_empty() { "nothing matched".into() } else { totals.join(", ") });
        let skipped = plan.set.iter().flat_map(|set| &set.skipped);
        lines.extend(skipped.map(|(why, count)| format!("{count} skipped: {why}")));
    } else {
        lines.extend(report.unlisted.iter().map(|(outcome, count)| format!("{count} {}", outcome.words())));
    }
    lines.extend(report.halt.as_ref().map(|halt| format!("stopped: {}", halt.why)));
    if lines.is_empty() {
        lines.push("there was nothing to do".into());
    }
    lines
}

/// The answer of an act that was applied.
pub fn reported(report: &Report, outline: &Outline) -> CommandOutput {
    let plan = &outline.plan;
    let mut blocks: Vec<Block> = lines(report, plan).into_iter().map(Block::Note).collect();
    if let ([FollowUp::Settle], [item]) = (outline.follow_ups.as_slice(), report.items.as_slice())
        && let (Outcome::Applied, Some(token)) = (item.outcome, item.fencing_token)
    {
        let (key, token) = (item.subject.id.as_str(), token.to_string());
        let next = |why| NextCommand::new(&["sen", "reconcile", "--token", &token], why).purpose(Purpose::Settle);
        blocks.push(Block::Next(vec![
            next("it completed, with this result").option_mark("--complete", "json").id(key),
            next("it never happened: the next caller runs it").with(&["--reset"]).id(key),
        ]));
    }
    if outline.kept && (report.halt.is_some() || report.not_begun > 0) {
        let id = report.operation.to_string();
        let show = NextCommand::new(&["sen", "op", "show"], "how what was begun stands now").id(&id);
        blocks.push(Block::Next(vec![show, resuming(&id, &outline.brakes)]));
    } else if let [item] = report.items.as_slice()
        && let (Outcome::Applied, Some(fresh)) = (item.outcome, &item.new_id)
    {
        let next = NextCommand::new(&["sen", "wait"], "until what was replayed has ended");
        blocks.push(Block::Next(std::iter::once(next.id(fresh)).chain(left_over(plan)).collect()));
    } else if let [item] = report.items.as_slice()
        && matches!(item.outcome, Outcome::Skipped | Outcome::Changed | Outcome::Failed)
    {
        let next =
            crate::keys::keyed(&["sen", "inspect"], &item.subject.id, "how it stands, and what can be done with it");
        blocks.push(Block::Next(vec![next]));
    } else if outline.kept && report.items.iter().filter(|item| item.new_id.is_some()).count() > 1 {
        let id = report.operation.to_string();
        let next = [
            NextCommand::new(&["sen", "wait", "op"], "until all that was replayed has ended").id(&id),
            NextCommand::new(&["sen", "op", "show"], "how each of them stands now").id(&id),
        ];
        blocks.push(Block::Next(next.into_iter().chain(left_over(plan)).collect()));
    } else if let [item] = report.items.as_slice()
        && item.outcome == Outcome::Applied
        && blocks.len() == 1
        && outline.follow_ups.first().is_some_and(|first| *first != FollowUp::Nothing)
    {
        let next = crate::keys::keyed(&["sen", "why"], &item.subject.id, "check related records");
        blocks.push(Block::Next(vec![next]));
    }
    view(report, plan.targets(), false, blocks).ending(exit(report))
}

/// Where the dead letters of the steps are that failed below what was replayed: they stay.
fn left_over(plan: &Plan) -> Option<NextCommand> {
    let failed = |effect: &str| matches!(effect, "tried_again" | "not_retried");
    let left = plan.set.as_ref().is_some_and(|set| set.preview.iter().any(|step| failed(&step.effect)));
    let why = "the dead letters of the failed steps, which stay and can be discarded now";
    left.then(|| NextCommand::new(&["sen", "dlq", "list", "--kind", "activity"], why))
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
        Ending::Pending => Exit::Pending,
    }
}

/// A report as data and as lines.
pub fn view(report: &Report, planned: u64, dry_run: bool, blocks: Vec<Block>) -> CommandOutput {
    let details = vec![Detail { value: data(report, planned, dry_run), blocks }];
    CommandOutput::new(View::Details(DetailsView { details, single: true, now: Timestamp::here() }))
}

/// A report as data.
pub fn data(report: &Report, planned: u64, dry_run: bool) -> Value {
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
            ("new_id", Value::text(item.new_id.clone())),
        ])
    };
    let int = |count: u64| Value::Int(i64::try_from(count).unwrap_or(i64::MAX));
    // A dry run reports planned items as skipped.
    let count = |outcome| {
        let listed = report.items.iter().filter(|item| dry_run && item.outcome == outcome).count() as u64;
        int(if outcome == Outcome::Skipped { report.count(outcome) - listed } else { report.count(outcome) })
    };
    Value::Map(vec![
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
        ("not_begun", int(report.not_begun)),
        ("stopped", Value::text(report.halt.as_ref().map(|halt| halt.why.clone()))),
        ("results", Value::List(report.items.iter().map(result).collect())),
        ("results_cut", Value::Bool(!report.unlisted.is_empty())),
    ])
}
