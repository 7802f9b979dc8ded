//! `sen doctor`: checks what could make answers about this database unreliable.

use sen_core::error::{Error, Result};
use sen_core::model::diagnostics::Check;
use sen_core::model::summary::{Attention, Counting};
use sen_core::model::value::Value;
use sen_core::model::verdict::Severity;
use sen_core::ops::summary::{Front, summary};
use sen_core::time::Timestamp;

use crate::exit::Exit;
use crate::session::Session;
use crate::views::{Block, CommandOutput, Detail, DetailsView, View};

/// Examine the database: server, clock, TLS, pooler, locks, privileges, indexes, orphans, and what needs a person
///
/// Looks only. What could be done about a finding is printed as a command or as SQL; sen never runs it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sen doctor\n  sen doctor --check || page-the-on-call\n  sen doctor -o json | jq '.checks[] | select(.severity != \"ok\")'"
)]
pub struct Args {
    /// End with exit code 10 when something is worth a warning
    #[arg(long)]
    pub check: bool,
}

/// What `sen status` says of the records, a check for each, in the same words and numbers. What it leaves to `sen doctor` to
/// explain is among the checks of the systems already.
fn attention(front: Result<Front>) -> Vec<Check> {
    let unread = |error: &Error| {
        let text = format!("what needs a person could not be counted everywhere: {error}");
        Check::new(Severity::Warning, "attention", text).with_remedy("sen status")
    };
    let front = match front {
        Ok(front) => front,
        Err(error) => return vec![unread(&error)],
    };
    let items = front.attention();
    let own = |item: &Attention| item.next.words().get(1).is_some_and(|word| word == "doctor");
    let found = items.iter().filter(|(_, item)| !own(item)).map(|(_, item)| {
        Check::new(item.severity, "attention", item.text.clone()).with_remedy(item.next.command.clone())
    });
    let mut checks: Vec<Check> = front.unreachable.iter().map(unread).chain(found).collect();
    if items.is_empty() {
        checks.push(Check::new(Severity::Ok, "attention", "no record that was counted needs a person"));
    }
    checks
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let database = session.read().await?;
    let mut checks = database.examine().await?;
    checks.extend(attention(summary(&database, Counting::Estimated).await));
    // Each of them is reported as a check.
    drop(session.denied());
    checks.sort_by_key(|check| std::cmp::Reverse(check.severity));
    let name = database.systems().next().map_or("", |system| system.database()).to_owned();
    let worst = checks.first().map_or(Severity::Ok, |check| check.severity);
    let mut blocks = vec![Block::Field("database", Value::Text(name.clone())), Block::Note(String::new())];
    let findings = checks.iter().filter(|check| check.severity > Severity::Ok).count();
    blocks.extend(checks.iter().cloned().map(Block::Check));
    if findings == 0 {
        blocks.push(Block::Note(String::new()));
        blocks.push(Block::Note("no finding in what is listed above".into()));
    }
    let value = Value::Map(vec![
        ("database", Value::Text(name)),
        ("worst", Value::Name(worst.name())),
        ("checks", Value::List(checks.iter().map(Check::value).collect())),
    ]);
    let view = DetailsView { details: vec![Detail { value, blocks }], single: true, now: Timestamp::here() };
    let exit = if args.check && worst >= Severity::Warning { Exit::Attention } else { Exit::Done };
    Ok(CommandOutput::new(View::Details(view)).ending(exit))
}
