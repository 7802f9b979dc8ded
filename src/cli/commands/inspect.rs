//! `sen inspect`: everything known about a key.

use std::time::Duration;

use sen_core::error::{ErrorKind, Result};
use sen_core::model::record::Record;
use sen_core::model::subject::Kind;
use sen_core::model::value::Value;
use sen_core::model::verdict::{Severity, Verdict};
use sen_core::ops::inspect::{self, Lookup as Known};
use sen_core::time::{Timestamp, humane};

use super::pick;
use crate::args::Facts;
use crate::completion::live::{Completes, Live};
use crate::exit::Exit;
use crate::session::Session;
use crate::views::{CommandOutput, Block, Detail, DetailsView, Headline, View};

/// Show everything known of a key or id, with a verdict and the next command
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen inspect                                     # choose from what needs attention
  sen inspect payments:order-789
  sen inspect -n payments order-789 order-790
  sen inspect -o json order-789 | jq .verdict.state
  sen inspect --observe 15s order-789             # does its worker still send heartbeats?
  sen inspect --check order-789 || echo \"not settled\"
  sen inspect -- -key-that-begins-with-a-dash

With --check the exit code is the worst of: 0 free or completed, 8 held or alive or stalled (still pending), \
10 uncertain, reconciling or unreadable (needs a person). A missing key is 4.")]
pub struct Args {
    /// The key as stored, its namespace included, or any id; without one, on a terminal, what needs attention is offered
    #[arg(value_name = "KEY", add = Completes(Live::Any))]
    pub keys: Vec<String>,

    /// Put this namespace before every key, as the library does
    #[arg(short, long, value_name = "NAME", add = Completes(Live::Namespace))]
    pub namespace: Option<String>,

    /// How many of the newest events to show
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub events: u32,

    /// Look twice, so far apart, and say what changed in between: a row that moves has a living worker
    #[arg(long, value_parser = crate::args::span, value_name = "SPAN")]
    pub observe: Option<Duration>,

    /// Turn the verdict into the exit code
    #[arg(long)]
    pub check: bool,

    #[command(flatten)]
    pub facts: Facts,
}

/// A JSON document with more bytes than this would push the verdict off the screen.
pub(super) const LONG: usize = 300;

/// A key as stored.
pub fn stored_key(namespace: Option<&str>, key: &str) -> String {
    namespace.map_or_else(|| key.to_owned(), |namespace| format!("{namespace}:{key}"))
}

/// Runs it.
pub async fn run(mut args: Args, session: &Session) -> Result<CommandOutput> {
    let question =
        args.keys.is_empty().then(|| pick::question(session, "Inspect which", "KEY")).transpose()?;
    let database = session.read().await?;
    if let Some(question) = question {
        args.keys.push(pick::of_all(&database, args.namespace.take().as_deref(), question).await?);
    }
    let single = args.keys.len() == 1;
    let (mut details, mut errors) = (Vec::new(), Vec::new());
    let mut now = Timestamp::NEG_INFINITY;
    let mut watch = Watch::default();
    for key in &args.keys {
        let key = crate::keys::checked_key(stored_key(args.namespace.as_deref(), key))?;
        let first = match inspect::inspect(&database, &key, args.events).await {
            // The other keys are shown; this is reported at the end.
            Err(error) if !single && error.kind() == ErrorKind::Denied => {
                database.hidden().deny(error);
                continue;
            }
            first => first?,
        };
        let known = match (args.observe, first) {
            (Some(span), Known::Record(before)) => {
                tokio::time::sleep(span).await;
                compared(inspect::inspect(&database, &key, args.events).await?, &before, span)
            }
            (_, known) => known,
        };
        match known {
            Known::Record(all) => {
                for found in all {
                    now = found.now;
                    if args.check {
                        watch.see(&found.verdict);
                    }
                    details.push(detail(found, args.facts.all_fields));
                }
            }
            Known::Missing { key, similar } => errors.push(inspect::missing("key or id", &key, &similar)),
        }
    }
    if single && let Some(error) = errors.pop() {
        return Err(error);
    }
    let exit = watch.exit(!errors.is_empty());
    // Two systems may have the same id; then the output is an array, as for several keys.
    let single = single && details.len() == 1;
    let view = View::Details(DetailsView { details, single, now });
    Ok(CommandOutput::new(view).ending(exit).with_errors(errors))
}

/// What changed between two looks, as evidence of the second.
fn compared(after: Known, before: &[Record], span: Duration) -> Known {
    let Known::Record(mut all) = after else { return after };
    let span = humane(i64::try_from(span.as_micros()).unwrap_or(i64::MAX));
    for found in &mut all {
        let Some(earlier) = before.iter().find(|earlier| earlier.subject == found.subject) else { continue };
        let changed = found.fields.iter().filter(|field| !earlier.fields.contains(field));
        let changed: Vec<&str> = changed.map(|(name, _)| *name).collect();
        let same_state = earlier.verdict.state == found.verdict.state;
        found.verdict.evidence.push(match changed.as_slice() {
            [] => format!("looked at twice, {span} apart: nothing changed"),
            names if same_state => format!(
                "looked at twice, {span} apart: {} changed, so something still writes it: its worker lives",
                names.join(", ")
            ),
            names => format!(
                "looked at twice, {span} apart: it was {} before; {} changed",
                earlier.verdict.state,
                names.join(", ")
            ),
        });
    }
    Known::Record(all)
}

/// The exit code of several things seen with `--check`.
#[derive(Debug, Default)]
pub(super) struct Watch(Option<Exit>);

impl Watch {
    /// Takes a verdict into account.
    pub(super) fn see(&mut self, verdict: &Verdict) {
        self.0 = Some(worse(self.0.unwrap_or(Exit::Done), verdict_exit(verdict)));
    }

    /// The exit code; `missing` when something asked for was not there.
    pub(super) fn exit(self, missing: bool) -> Exit {
        let seen = self.0.unwrap_or(Exit::Done);
        if missing { worse(seen, Exit::NotFound) } else { seen }
    }
}

pub(super) fn verdict_exit(verdict: &Verdict) -> Exit {
    match (verdict.state, verdict.severity) {
        // The worker may well be alive: waiting is right, an alarm is not.
        ("stalled", _) | (_, Severity::Pending) => Exit::Pending,
        (_, Severity::Ok) => Exit::Done,
        (_, Severity::Warning | Severity::Critical) => Exit::Attention,
    }
}

/// The exit code that matters more when several keys were asked for.
pub(super) fn worse(left: Exit, right: Exit) -> Exit {
    let rank =
        |exit| [Exit::Done, Exit::Pending, Exit::NotFound, Exit::Attention].iter().position(|known| *known == exit);
    if rank(right) > rank(left) { right } else { left }
}

/// The fields to show, and how many more have a value: those that matter first, or all of them. Where the original `sen` had
/// a line for it, a field without a value has one, too.
pub(super) fn facts(found: &Record, all: bool) -> (Vec<&(&'static str, Value)>, usize) {
    let said = |value: &Value| match value {
        Value::Null => false,
        Value::List(items) => !items.is_empty(),
        Value::Json(text) => !matches!(text.as_str(), "{}" | "[]" | "null"),
        _ => true,
    };
    let lease = found.subject.kind == Kind::Lease;
    let matters = |name: &&str| found.key_fields.contains(name);
    let named = |name: &&str| found.fields.iter().find(|(known, _)| known == name);
    let first = found.key_fields.iter().filter_map(named).filter(|(_, value)| lease || said(value));
    let rest: Vec<_> =
        found.fields.iter().filter(|(name, value)| !matters(name) && *value != Value::Null).collect();
    if all { (first.chain(rest).collect(), 0) } else { (first.collect(), rest.len()) }
}

/// One thing in depth, for people and as data: with all its fields, or for people with those that matter first.
pub fn detail(found: Record, all: bool) -> Detail {
    let mut map = vec![
        ("subject", Value::Text(found.subject.to_string())),
        ("system", Value::Name(found.subject.system)),
        ("id", Value::Text(found.subject.id.clone())),
        ("state", Value::Name(found.verdict.state)),
    ];
    map.extend(found.fields.iter().filter(|(name, _)| *name != "id").cloned());
    map.push(("verdict", found.verdict.value()));
    map.push((
        "events",
        found.history.as_ref().map_or(Value::Null, |history| {
            crate::sections::objects(history.columns, history.events.iter().map(|event| &event.row))
        }),
    ));
    map.extend(crate::sections::section_values(&found.sections));
    map.push(("observed_at", Value::Time(found.now)));

    let (fields, hidden) = facts(&found, all);
    let field = |(name, value): &(&'static str, Value)| Block::Field(name, value.clone());
    // Long texts come last, so that nothing stands below a traceback.
    let (long, short): (Vec<_>, Vec<_>) = fields.into_iter().partition(|(_, value)| {
        matches!(value, Value::Lines(_)) || matches!(value, Value::Json(text) if text.len() > LONG)
    });
    let long: Vec<Block> = long.into_iter().flat_map(|item| [Block::Note(String::new()), field(item)]).collect();
    let short: Vec<Block> = short.into_iter().map(field).collect();
    let headline = Headline {
        state: found.verdict.state,
        severity: found.verdict.severity,
        age: found.age,
        now: found.now,
        subject: found.subject,
    };
    let mut blocks = vec![Block::Headline(headline), Block::Verdict(found.verdict)];
    blocks.extend(short);
    if hidden > 0 {
        let fields = if hidden == 1 { "field" } else { "fields" };
        blocks.push(Block::Hint(format!("({hidden} more {fields}: --all-fields)")));
    }
    if let Some(history) = found.history
        && !history.events.is_empty()
    {
        blocks.push(Block::Heading("latest events".into()));
        blocks.push(Block::Table(history.columns, history.events.into_iter().map(|event| event.row).collect()));
    }
    blocks.extend(crate::sections::section_blocks(&found.sections));
    blocks.extend(long);
    Detail { value: Value::Map(map), blocks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_several_keys_decides() {
        assert_eq!(worse(Exit::Done, Exit::Pending), Exit::Pending);
        assert_eq!(worse(Exit::Attention, Exit::Pending), Exit::Attention);
        assert_eq!(worse(Exit::NotFound, Exit::Attention), Exit::Attention);
    }
}
