//! `sen why`: the chain of causes behind a key or id, through every system.

use sen_core::error::Result;
use sen_core::model::cause::{Cause, Explanation};
use sen_core::model::value::Value;
use sen_core::model::verdict::Severity;
use sen_core::ops::{inspect, prefix};
use sen_core::ops::why::{Chain, Link, why};
use sen_core::time::Timestamp;

use super::inspect::stored_key;
use super::pick;
use crate::completion::live::{Completes, Live};
use crate::exit::Exit;
use crate::session::Session;
use crate::views::{CommandOutput, Block, Detail, DetailsView, Headline, View};

/// Tell why a key or id is as it is, across all systems, and what to type next
///
/// Follows related records (a key, its execution, its tasks, its dead letter, its saga) by shared ids and by ids
/// that payloads name. Every cause and every connection is marked proven or likely.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen why                             choose from what needs attention
  sen why payments:order-789
  sen why -o json 7c9e6679-7425-40de-944b-e07fc1f90ae7 | jq '.chain[].causes[]'
  sen why --check payments:order-789 || echo \"something is wrong\"")]
pub struct Args {
    /// The key as stored, or any id; without one, on a terminal, what needs attention is offered
    #[arg(value_name = "KEY|ID", add = Completes(Live::Any))]
    pub id: Option<String>,

    /// Put this namespace before the key, as the library does
    #[arg(short, long, value_name = "NAME", add = Completes(Live::Namespace))]
    pub namespace: Option<String>,

    /// End with exit code 10 when a cause needs attention
    #[arg(long)]
    pub check: bool,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let namespace = args.namespace.as_deref();
    let asked = || pick::question(session, "Why is which as it is", "KEY or ID");
    let question = args.id.is_none().then(asked).transpose()?;
    let database = session.read().await?;
    let mut id = match (&args.id, question) {
        (None, Some(question)) => pick::of_all(&database, namespace, question).await?,
        (id, _) => crate::keys::checked_key(stored_key(namespace, id.as_deref().unwrap_or_default()))?,
    };
    let mut chain = why(&database, &id).await?;
    if chain.links.is_empty()
        && let Some(whole) = prefix::resolve(&database, None, prefix::ANY, &id).await?
    {
        chain = why(&database, &whole).await?;
        id = whole;
    }
    if chain.links.is_empty() {
        let missing = match inspect::inspect(&database, &id, 0).await? {
            inspect::Lookup::Missing { key, similar } => inspect::missing("key or id", &key, &similar),
            // It was created in the meantime.
            inspect::Lookup::Record(_) => inspect::missing("key or id", &id, &[]),
        };
        let cut = "not everything that could mention it was searched within the time there is for that";
        return Err(if chain.unsearched { missing.with_context(cut) } else { missing });
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
        ("next", sen_core::model::steps::values(&chain.steps())),
    ])
}

fn layout(chain: &Chain) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut steps = chain.steps();
    for link in &chain.links {
        let explained = &link.explanation;
        blocks.push(Block::Note(String::new()));
        blocks.push(headline(explained));
        if let Some(hop) = &link.hop {
            let (relation, certainty) = (hop.relation.words(), hop.certainty.name());
            blocks.push(Block::Note(format!("  {relation}, of {} ({certainty})", hop.from.id)));
        }
        if explained.causes.is_empty() {
            blocks.push(Block::Note(format!("  needs no attention: {}", explained.summary)));
        }
        blocks.extend(explained.causes.iter().cloned().map(Block::Cause));
        // What to do stands with what was asked about; what else hangs together is below.
        if !steps.is_empty() {
            blocks.push(Block::Next(std::mem::take(&mut steps)));
        }
    }
    blocks.remove(0);
    if chain.cut {
        blocks.push(Block::Note(String::new()));
        blocks.push(Block::Note("more related records exist (limit reached)".into()));
    }
    if chain.unsearched {
        blocks.push(Block::Note(String::new()));
        blocks.push(Block::Note("there was too much to search through for what names it".into()));
    }
    blocks
}

fn headline(explained: &Explanation) -> Block {
    Block::Headline(Headline {
        state: explained.state,
        severity: explained.severity,
        age: explained.age,
        now: explained.now,
        subject: explained.subject.clone(),
    })
}
