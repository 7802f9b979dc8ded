//! Questions to the operator: whether to apply a plan, and what the outcome was. They go to stderr and are asked only where stdin
//! and stderr are terminals; without them nothing is assumed.
//!
//! One rule: whatever can run work twice, acts on work that may be alive, or destroys something ([`Risk::Dangerous`], which
//! the systems decide) shows its plan and asks, also for a single target; without a terminal it needs `--yes`. One exception,
//! because runbooks and the original tools use it: [`by_whole_id`].

use dialoguer::{Confirm, Input, Select};
use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::plan::{self, Plan, Risk, Set, Step};
use sen_core::model::prepared::PreparedAction;
use sen_core::model::record::StatedResult;
use sen_core::model::report::Item;
use sen_core::model::verdict::shell_word;
use sen_core::permit::Consent;
use sen_core::systems::sentinel::request::Decision;
use sen_core::time::Timestamp;

use crate::clean::clean;
use crate::edits;
use crate::session::Session;
use crate::times::{Precision, Times};

/// How many targets of a bulk act are shown before the question.
const SAMPLE: usize = 5;

/// Whether the plan is for exactly the one thing that was named by its whole id, where nobody can be asked: `sen dlq replay ID`
/// in a script. The id is the consent.
pub fn by_whole_id(session: &Session, action: &dyn PreparedAction, ids: &[String]) -> bool {
    let [id] = ids else { return false };
    let plan = action.plan();
    !session.can_ask() && plan.targets() == 1 && plan.set.as_ref().and_then(|set| set.single_id.as_ref()) == Some(id)
}

/// Whether the rules of the context allow an act: how much it changes, and whether its reason is told.
///
/// # Errors
/// `Refused`.
pub fn heed(session: &Session, plan: &Plan, reason: Option<&str>) -> Result<()> {
    let Some(context) = session.context()?.filter(|_| plan.targets() > 0) else { return Ok(()) };
    let refused = |what: String| Error::new(ErrorKind::Refused, format!("{what}; nothing was written"));
    if context.rules.require_reason && reason.is_none_or(|reason| reason.trim().is_empty()) {
        return Err(refused(format!("context {} wants a reason for every act", context.name))
            .with_hint("give one with --reason TEXT"));
    }
    if let Some(most) = context.rules.max_targets.filter(|most| plan.targets() > *most) {
        let text = format!("context {} allows {most} targets at most, and this is {}", context.name, plan.targets());
        return Err(refused(text).with_hint("narrow the filter, or have max_targets raised"));
    }
    Ok(())
}

/// Consent to an act on a production database, by its name: `--yes` alone is typed too easily.
fn by_name(session: &Session, action: &dyn PreparedAction, name: &str, confirmed: Option<&str>) -> Result<Consent> {
    let refused = |what: String| Error::new(ErrorKind::Refused, format!("{what}; nothing was written"));
    match confirmed {
        Some(told) if told == name => return Ok(Consent::InAdvance),
        Some(told) => return Err(refused(format!("--confirm says {told:?}, and the production database is {name:?}"))),
        None if !session.can_ask() => {
            return Err(refused(format!("{name} is a production database, which --yes is not enough for"))
                .with_hint(format!("look at the plan with --dry-run, then pass --confirm {}", shell_word(name))));
        }
        None => {}
    }
    session.say(&describe(action));
    let asked = Input::<String>::new()
        .with_prompt(format!("This is production. Type {} to proceed", clean(name)))
        .allow_empty(true);
    match asked.interact_text() {
        Ok(typed) if typed.trim() == name => Ok(Consent::Confirmed),
        Ok(_) => Err(Error::new(ErrorKind::Refused, "not confirmed; nothing was written")),
        Err(error) => Err(unasked(error)),
    }
}

/// What the command line says of consent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Given<'a> {
    /// It was given in advance (`--yes`), or there is nothing to consent to.
    pub in_advance: bool,
    /// The name that a production database wants (`--confirm`).
    pub confirmed: Option<&'a str>,
    /// An id was given by its beginning only.
    pub by_prefix: bool,
}

/// Consent to a plan: given in advance with `--yes`, not needed, or asked for; also of a harmless one where an id was given by its
/// beginning only. Production wants its name.
///
/// # Errors
/// `Refused` when the answer is no. Without a terminal the permit refuses and names `--yes`.
pub fn consent(session: &Session, action: &dyn PreparedAction, given: &Given<'_>) -> Result<Consent> {
    let plan = action.plan();
    let asks = (plan.risk != Risk::Safe || session.always_asks || given.by_prefix) && plan.targets() > 0;
    if let Some(name) = session.production()?.filter(|_| asks) {
        return by_name(session, action, &name, given.confirmed);
    }
    if given.in_advance {
        return Ok(Consent::InAdvance);
    }
    if given.by_prefix && !session.can_ask() {
        return Err(Error::new(ErrorKind::Refused, "an id was given by its beginning only; nothing was written")
            .with_hint("give the whole id, or --yes"));
    }
    if !asks || !session.can_ask() {
        return Ok(Consent::Unasked);
    }
    session.say(&describe(action));
    // Enter is waited for: one key that was pressed in passing changes nothing.
    match Confirm::new().with_prompt("Proceed?").default(false).wait_for_newline(true).interact_opt() {
        Ok(Some(true)) => Ok(Consent::Confirmed),
        Ok(_) => Err(Error::new(ErrorKind::Refused, "not confirmed; nothing was written")),
        Err(error) => Err(unasked(error)),
    }
}

fn unasked(error: dialoguer::Error) -> Error {
    let dialoguer::Error::IO(error) = error;
    if error.kind() == std::io::ErrorKind::Interrupted {
        // The cursor is still on the line of the question.
        return Error::new(ErrorKind::Interrupted, "interrupted; nothing was written");
    }
    Error::new(ErrorKind::Refused, "the question could not be asked; nothing was written").with_source(error)
}

/// A plan for people: database, acts, guards, warnings; the first few of many.
pub fn describe(action: &dyn PreparedAction) -> Vec<String> {
    let plan = action.plan();
    let mut lines = vec![format!("{} in {}{}", plan.summary(), plan.database, beside(plan))];
    let mut shown = 0;
    let mut last = None;
    for step in action.steps() {
        if last.as_ref() != Some(&step.subject) {
            shown += 1;
            last = Some(step.subject.clone());
        }
        if shown > SAMPLE {
            break;
        }
        lines.extend(described_step(&step));
    }
    if shown > SAMPLE {
        lines.push(format!("  … and {} more", plan.targets().saturating_sub(SAMPLE as u64)));
    }
    if let Some(set) = &plan.set {
        lines.extend(described(set, plan.targets()));
    }
    lines.extend(plan.warnings.iter().map(|warning| format!("  note: {warning}")));
    lines.extend(
        plan.refused.iter().take(SAMPLE).map(|item| format!("  not {}: {}", shell_word(&item.subject.id), item.detail)),
    );
    lines
}

/// What was asked for and will not be done, counted: ` (2 refused, 7 skipped)`.
fn beside(plan: &Plan) -> String {
    let counts = [(plan.refused.len() as u64, "refused"), (plan.skipped(), "skipped")];
    let counts: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if counts.is_empty() { String::new() } else { format!(" ({})", counts.join(", ")) }
}

/// A step for people.
fn described_step(step: &Step) -> Vec<String> {
    let guard: Vec<String> = step.guard.iter().filter_map(|(name, value)| guard(name, value)).collect();
    let guard = if guard.is_empty() { String::new() } else { format!(", if {}", guard.join(" and ")) };
    let mut lines = vec![format!("  {} {}{guard}", step.act.replace('_', " "), shell_word(&step.subject.id))];
    match &step.input {
        Some(plan::Input::Result(json)) => lines.push(format!("    with the result {json}")),
        Some(plan::Input::Value(json)) => lines.push(format!("    with {json}")),
        Some(plan::Input::Edit { from, to }) => {
            lines.extend(edits::shown(from, to).iter().map(|one| format!("    {}", one.line())));
        }
        None => {}
    }
    lines.extend(step.warnings.iter().map(|warning| format!("    note: {warning}")));
    lines
}

/// A moment of a plan, in UTC: the plan may be read elsewhere.
fn moment(at: Timestamp) -> String {
    Times::Rfc3339.text(at, at, Precision::Seconds)
}

/// A set for people: its size, its time range, a few of its items, and what is skipped.
fn described(set: &Set, count: u64) -> Vec<String> {
    let mut lines = vec![match (set.oldest, set.newest) {
        _ if count == 0 => "  none".to_owned(),
        (Some(oldest), Some(newest)) if oldest == newest => format!("  {} of them, of {}", count, moment(oldest)),
        (Some(oldest), Some(newest)) => format!("  {} of them, from {} to {}", count, moment(oldest), moment(newest)),
        _ => format!("  {} of them", count),
    }];
    lines.extend(set.sample.iter().take(SAMPLE).map(|line| format!("    {line}")));
    let shown = set.sample.len().min(SAMPLE) as u64;
    if shown > 0 && count > shown {
        lines.push(format!("    … and {} more", count - shown));
    }
    lines.extend(set.preview.iter().map(|step| format!("  step {} ({}): {}", step.step, step.count, step.text)));
    if set.beyond.targets > 0 {
        lines.push(format!("  … the steps of {} more are not shown", set.beyond.targets));
    }
    if let Some(tasks) = set.beyond.tasks {
        lines.push(format!("  … there are more than {tasks} tasks; what becomes of the rest is not shown"));
    }
    lines.extend(set.warnings.iter().map(|warning| format!("  note: {warning}")));
    lines.extend(set.skipped.iter().map(|(why, count)| format!("  {count} skipped: {why}")));
    lines
}

fn guard(name: &str, value: &sen_core::model::value::Value) -> Option<String> {
    use sen_core::model::value::Value;
    match (name, value) {
        ("fencing_token", Value::Big(token)) => Some(format!("its token is still {token}")),
        ("fencing_token", _) => Some("its token is the new one".into()),
        ("lease_expired", Value::Bool(true)) => Some("its lease is over".into()),
        ("hard_limit_passed", Value::Bool(true)) => Some("its hard limit has passed".into()),
        ("hard_limit_passed", _) => None,
        ("step_execution_token", Value::Text(token)) => Some(format!("its token is still {token}")),
        ("step_execution_token", _) => Some("it still has no token".into()),
        ("current_step_index", Value::Int(step)) => Some(format!("it still stands at step {step}")),
        ("unchanged_for", Value::Millis(0)) => None,
        ("unchanged_for", Value::Millis(span)) => {
            Some(format!("it is unchanged for {}", sen_core::time::humane(span.saturating_mul(1000))))
        }
        ("owner", Value::Text(owner)) if !owner.is_empty() => Some(format!("it is {owner}'s")),
        (_, Value::Name(word)) => Some(format!("it is {word}")),
        _ => None,
    }
}

/// What an operator knows of an uncertain key.
pub enum Knowledge {
    /// It is known what happened.
    Known(Decision),
    /// Not yet: take it over and decide later.
    NotYet,
}

/// Shows the evidence and asks for the outcome. The first choice changes nothing.
///
/// # Errors
/// `Refused` when the key is left as it is.
pub fn what_happened(session: &Session, evidence: &[String], stated: &[StatedResult]) -> Result<Knowledge> {
    session.say(evidence);
    let choices = [
        "Leave it as it is",
        "It completed: store the result for later callers",
        "It never happened: reset it, the next caller runs it (may act twice)",
        "Not known yet: take it over, decide later",
    ];
    let left = || Error::new(ErrorKind::Refused, "no outcome was chosen: the key was not changed");
    match Select::new().with_prompt("What really happened").items(choices).default(0).interact_opt() {
        Ok(Some(1)) => {
            let json = |text: &String| match text.trim() {
                "" => Ok(()),
                text => serde_json::from_str::<serde_json::Value>(text).map(drop),
            };
            let result = match stated_result(stated)? {
                Some(known) => known.to_owned(),
                None => line_of("The result, as JSON (empty: leave it as it is)", json)?.ok_or_else(left)?,
            };
            Ok(Knowledge::Known(Decision::Completed(result)))
        }
        Ok(Some(2)) => Ok(Knowledge::Known(Decision::NeverHappened)),
        Ok(Some(3)) => Ok(Knowledge::NotYet),
        Ok(_) => Err(left()),
        Err(error) => Err(unasked(error)),
    }
}

/// Asks whether one of the results that rows of related work state is the one; none where it is to be typed.
fn stated_result(stated: &[StatedResult]) -> Result<Option<&str>> {
    if stated.is_empty() {
        return Ok(None);
    }
    let shown = |one: &StatedResult| clean(&crate::mask::text(&one.json)).into_owned();
    let lines = stated.iter().map(|one| format!("{}, as of {}", shown(one), clean(&one.source)));
    let entries = std::iter::once("Type it".to_owned()).chain(lines);
    let chosen = Select::new().with_prompt("Its result").items(entries).default(0).interact_opt().map_err(unasked)?;
    match chosen {
        Some(at) => Ok(at.checked_sub(1).map(|at| stated[at].json.as_str())),
        None => Err(Error::new(ErrorKind::Refused, "no result was chosen: the key was not changed")),
    }
}

/// Asks which of these lines is meant; none where the first entry is chosen, which leaves everything as it is, or Esc.
///
/// # Errors
/// `Interrupted`, or `Refused` when it could not be asked.
pub fn which(prompt: &str, lines: &[String]) -> Result<Option<usize>> {
    let entries = std::iter::once("Leave everything as it is").chain(lines.iter().map(String::as_str));
    let chosen = Select::new().with_prompt(prompt).items(entries).default(0).interact_opt().map_err(unasked)?;
    Ok(chosen.and_then(|at| at.checked_sub(1)))
}

/// Asks for the reason that is kept with the change.
///
/// # Errors
/// `Interrupted`, or `Refused` when it could not be asked.
pub fn reason() -> Result<Option<String>> {
    line_of("Reason, kept in the history (empty: none)", |_| Ok::<(), String>(()))
}

/// Asks a question that is answered with yes or no; Enter alone is `default`.
///
/// # Errors
/// `Interrupted`, or `Refused` when it could not be asked.
pub fn confirmed(prompt: &str, default: bool) -> Result<bool> {
    let prompt = crate::mask::message(prompt);
    let asked = Confirm::new().with_prompt(clean(&prompt)).default(default).wait_for_newline(true).interact_opt();
    Ok(asked.map_err(unasked)?.unwrap_or(false))
}

/// A line that is typed, if anything is.
fn line_of<E: ToString>(
    prompt: &str,
    valid: impl FnMut(&String) -> std::result::Result<(), E>,
) -> Result<Option<String>> {
    let line = Input::new().with_prompt(prompt).allow_empty(true).validate_with(valid).interact_text();
    let line: String = line.map_err(unasked)?;
    Ok(Some(line.trim().to_owned()).filter(|line| !line.is_empty()))
}

/// An item of a report in one line.
pub fn line(item: &Item) -> String {
    let token = item.fencing_token.map(|token| format!(" (fencing token {token})")).unwrap_or_default();
    format!("{}: {}{token}", shell_word(&item.subject.id), item.detail)
}
