//! `sen why`: the chain of causes behind a key or id, through every system.

use sen_core::error::Result;
use sen_core::model::cause::Cause;
use sen_core::model::value::Value;
use sen_core::model::verdict::{NextCommand, Severity};
use sen_core::ops::inspect;
use sen_core::ops::why::{Chain, Link, why};
use sen_core::time::Timestamp;

use super::inspect::stored_key;
use crate::completion::live::{Completes, Live};
use crate::exit::Exit;
use crate::session::Session;
use crate::views::{CommandOutput, Block, Detail, DetailsView, View};

/// Tell why a key or id is as it is, across all systems, and what to type next
///
/// Follows related records (a key, its execution, its tasks, its dead letter, its saga) by shared ids and by ids
/// that payloads name. Every cause and every connection is marked proven or likely.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen why payments:order-789
  sen why -o json 7c9e6679-7425-40de-944b-e07fc1f90ae7 | jq '.chain[].causes[]'
  sen why --check payments:order-789 || echo \"something is wrong\"")]
pub struct Args {
    /// The key as stored, or any id
    #[arg(value_name = "KEY|ID", add = Completes(Live::Any))]
    pub id: String,

    /// Put this namespace before the key, as the library does
    #[arg(short, long, value_name = "NAME", add = Completes(Live::Namespace))]
    pub namespace: Option<String>,

    /// End with exit code 10 when a cause needs attention
    #[arg(long)]
    pub check: bool,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let database = session.read().await?;
    let id = crate::keys::checked_key(stored_key(args.namespace.as_deref(), &args.id))?;
    let chain = why(&database, &id).await?;
    if chain.links.is_empty() {
        return Err(match inspect::inspect(&database, &id, 0).await? {
            inspect::Lookup::Missing { key, similar } => inspect::missing("key or id", &key, &similar),
            // It was created in the meantime.
            inspect::Lookup::Record(_) => inspect::missing("key or id", &id, &[]),
        });
    }
    let worst = causes(&chain).map(|cause| cause.severity).max().unwrap_or(Severity::Ok);
    let detail = Detail { value: data(&id, &chain, worst), blocks: layout(&chain) };
    let view = DetailsView { details: vec![detail], single: true, now: Timestamp::here() };
    let exit = if args.check && worst >= Severity::Warning { Exit::Attention } else { Exit::Done };
    Ok(CommandOutput::new(View::Details(view)).ending(exit))
}

fn causes(chain: &Chain) -> impl Iterator<Item = &Cause> {
    chain.links.iter().flat_map(|link| &link.explanation.causes)
}

fn data(id: &str, chain: &Chain, worst: Severity) -> Value {
    let link = |link: &Link| link.explanation.value(link.hop.as_ref());
    Value::Map(vec![
        ("id", Value::Text(id.to_owned())),
        ("worst", Value::Name(worst.name())),
        ("chain", Value::List(chain.links.iter().map(link).collect())),
        ("chain_cut", Value::Bool(chain.cut)),
        ("search_cut", Value::Bool(chain.unsearched)),
        ("next", Value::List(chain.steps().iter().map(NextCommand::value).collect())),
    ])
}

fn layout(chain: &Chain) -> Vec<Block> {
    let mut blocks = Vec::new();
    for link in &chain.links {
        let explained = &link.explanation;
        let subject = &explained.subject;
        let state = explained.state.replace('_', " ");
        blocks.push(Block::Heading(format!("{} — {}, {state}", subject.id, subject.described())));
        if let Some(hop) = &link.hop {
            let (relation, certainty) = (hop.relation.words(), hop.certainty.name());
            blocks.push(Block::Note(format!("  {relation}, of {} ({certainty})", hop.from.id)));
        }
        if explained.causes.is_empty() {
            blocks.push(Block::Note(format!("  nothing is wrong with it: {}", explained.summary)));
        }
        blocks.extend(explained.causes.iter().cloned().map(Block::Cause));
    }
    if chain.cut {
        blocks.push(Block::Note(String::new()));
        blocks.push(Block::Note("more related records exist (limit reached)".into()));
    }
    if chain.unsearched {
        blocks.push(Block::Note(String::new()));
        blocks.push(Block::Note("there was too much to search through for what names it".into()));
    }
    let mut steps = chain.steps();
    if steps.len() > 1 {
        // Several steps are numbered: in this order they are safe.
        for (at, step) in steps.iter_mut().enumerate() {
            step.why = format!("{}. {}", at + 1, step.why);
        }
    }
    if !steps.is_empty() {
        blocks.push(Block::Next(steps));
    }
    blocks
}
