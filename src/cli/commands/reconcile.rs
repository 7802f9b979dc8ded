//! `sen reconcile`: settle executions without a live owner.

use std::path::Path;
use std::io::Read as _;
use std::time::Duration;

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::listing::{Page, Period};
use sen_core::model::record::Record;
use sen_core::model::subject::Kind;
use sen_core::model::verdict::NextCommand;
use sen_core::ops::{inspect, results};
use sen_core::registry::Database;
use sen_core::system::System;
use sen_core::systems::sentinel::{self, LeaseFilter, LeaseOrder, LeaseState, Sentinel};
use sen_core::systems::sentinel::request::{Decision, LeaseRequest};
use sen_core::text::named;

use super::act::{ActionOptions, apply};
use super::inspect::stored_key;
use super::pick;
use crate::completion::live::{Completes, Live};
use crate::args::span;
use crate::consent::{self, Knowledge};
use crate::session::Session;
use crate::views::CommandOutput;
use crate::files;

/// Settle an uncertain execution: take it over and record the outcome
///
/// Taking over fences the worker out: it draws a new token, so a late result is not accepted. Then either --complete
/// caches a result that later callers get without running, or --reset lets the next caller run it. With neither, the
/// key stays taken over until an operator settles it with its token. On a terminal sen shows the evidence and asks.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen reconcile                                        on a terminal: choose from the uncertain keys
  sen reconcile payments:order-789                     take over, or on a terminal: look and decide
  sen reconcile payments:order-789 --complete '{\"charge\":\"ch_1\"}' --yes --reason INC-482
  sen reconcile payments:order-789 --complete @result.json --yes
  sen reconcile payments:order-789 --token 126 --reset --yes
  sen reconcile --all --namespace emails --uncertain-for 1h --reset --dry-run

A worker inside its hard limit may be alive and is left alone unless --before-hard-ttl and --reason are given. \
If another operator was faster the exit code is 5, nothing is overwritten, and the present state is shown.")]
pub struct Args {
    /// The key as stored, its namespace included; without one, on a terminal, the uncertain ones are offered
    #[arg(value_name = "KEY", conflicts_with = "all", add = Completes(Live::Lease))]
    pub keys: Vec<String>,

    /// It completed: cache this result (JSON, @FILE, or - for stdin)
    #[arg(long, value_name = "JSON", conflicts_with = "reset", allow_hyphen_values = true)]
    pub complete: Option<String>,

    /// It never happened: let the next caller run it
    #[arg(long)]
    pub reset: bool,

    /// The token that was seen; needed for a key that is taken over already
    #[arg(long, value_name = "N", conflicts_with = "all")]
    pub token: Option<i64>,

    /// Also where the hard limit is still ahead and the worker may be alive
    #[arg(long)]
    pub before_hard_ttl: bool,

    /// Every uncertain key that matches the filters
    #[arg(long)]
    pub all: bool,

    /// Put this namespace before every key; with --all: only keys of this namespace
    #[arg(short, long, value_name = "NAME", add = Completes(Live::Namespace))]
    pub namespace: Option<String>,

    /// With --all: only keys unchanged for longer than this
    #[arg(long, value_parser = span, value_name = "SPAN", requires = "all")]
    pub uncertain_for: Option<Duration>,

    /// With --all: owner prefix (a host, or host:pid)
    #[arg(long, value_name = "TEXT", requires = "all")]
    pub owner: Option<String>,

    /// With --all: maximum number of keys, oldest change first
    #[arg(long, value_name = "N", requires = "all")]
    pub limit: Option<u64>,

    #[command(flatten)]
    options: ActionOptions,
}

/// Runs it.
pub async fn run(mut args: Args, session: &Session) -> Result<CommandOutput> {
    let question = match !args.all && args.keys.is_empty() {
        // Consent in advance, and a token that was seen, are for a key that was named.
        true if args.options.yes || args.token.is_some() => return Err(pick::unnamed("KEY")),
        true => Some(pick::question(session, "Settle which", "KEY")?),
        false => None,
    };
    // On a terminal the reason is asked for.
    let asks = !args.all && !args.reset && args.complete.is_none() && session.can_ask();
    if !asks || args.options.yes || args.options.only_plans() {
        explained(args.before_hard_ttl, &args.options)?;
    }
    let mut decision = match &args.complete {
        Some(source) => Some(Decision::Completed(read_json(source, "result")?)),
        None => args.reset.then_some(Decision::NeverHappened),
    };
    let database = args.options.database(session).await?;
    let system = database.leases()?;
    let ids = match question {
        Some(question) => {
            let namespace = args.namespace.as_deref();
            vec![pick::of_unsettled(&database, namespace, args.before_hard_ttl, question).await?]
        }
        None if args.all => uncertain(system, &args).await?,
        None => {
            let keys = keys(&args)?;
            args.options.whole_ids(&database, Some(sentinel::NAME), &[Kind::Lease], keys).await?
        }
    };
    let alone = !args.all && ids.len() == 1;
    if alone && let Some(other) = elsewhere(&database, &ids[0]).await? {
        return Err(other);
    }
    if alone && decision.is_none() && !args.options.yes && !args.options.only_plans() && session.can_ask() {
        let mut options = args.options;
        if let Some(knowledge) = ask(&database, system, &ids[0], args.token, args.before_hard_ttl, session).await? {
            if let Knowledge::Known(known) = knowledge {
                decision = Some(known);
            }
            if options.reason.is_none() {
                options.reason = consent::reason()?;
            }
            explained(args.before_hard_ttl, &options)?;
        }
        let request = LeaseRequest::Reconcile { ids, token: args.token, before_hard_limit: args.before_hard_ttl, decision };
        return apply(system.plan(&request).await?, &options, session).await;
    }
    explained(args.before_hard_ttl, &args.options)?;
    let request = LeaseRequest::Reconcile { ids, token: args.token, before_hard_limit: args.before_hard_ttl, decision };
    apply(system.plan(&request).await?, &args.options, session).await
}

/// Refuses to act on work that may be alive without a reason.
fn explained(before_hard_ttl: bool, options: &ActionOptions) -> Result<()> {
    if !before_hard_ttl || options.reason.as_ref().is_some_and(|reason| !reason.trim().is_empty()) {
        return Ok(());
    }
    Err(Error::usage("--before-hard-ttl acts on work that may be alive, and nothing is done without a reason")
        .with_hint("say why with --reason TEXT"))
}

/// What to do instead where the key is no lease but something else's: a saga, an execution. Asked only where it is no lease.
async fn elsewhere(database: &Database, id: &str) -> Result<Option<Error>> {
    for system in database.systems() {
        let found = match system.find(id, 0).await {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NoSystem => continue,
            Err(error) => return Err(error),
        };
        let Some(first) = found.into_iter().next() else { continue };
        if system.name() == sentinel::NAME {
            return Ok(None);
        }
        let Record { subject, verdict, .. } = first;
        let message = format!(
            "{} is no lease but a {}: {} — {}",
            named(id),
            subject.described(),
            verdict.state.replace('_', " "),
            verdict.summary
        );
        let error = Error::new(ErrorKind::Changed, message);
        return Ok(Some(match verdict.next.first() {
            Some(next) => error.with_hint(format!("{}   # {}", next.command, next.why)),
            None => error.with_hint(NextCommand::new(&["sen", "inspect"], "").id(id).command),
        }));
    }
    Ok(None)
}

fn keys(args: &Args) -> Result<Vec<String>> {
    args.keys.iter().map(|key| crate::keys::checked_key(stored_key(args.namespace.as_deref(), key))).collect()
}

/// The set of a bulk act: fixed before anything is written.
async fn uncertain(leases: &Sentinel, args: &Args) -> Result<Vec<String>> {
    let filter = LeaseFilter {
        states: vec![LeaseState::Uncertain],
        namespace: args.namespace.clone(),
        owner: args.owner.clone(),
        period: Period { older_than: args.uncertain_for, ..Period::default() },
        page: Page { order: Some(LeaseOrder::Updated), reverse: true, limit: args.limit, ..Page::default() },
        ..LeaseFilter::default()
    };
    leases.keys(&filter).await
}

async fn ask(
    database: &Database,
    system: &dyn System,
    key: &str,
    token: Option<i64>,
    before_hard_limit: bool,
    session: &Session,
) -> Result<Option<Knowledge>> {
    let Some(found) = system.find(key, 5).await?.into_iter().next() else {
        return Err(inspect::missing_lease(key, &system.suggest(key).await?));
    };
    let open = match found.verdict.state {
        "uncertain" => true,
        // Its worker may be alive: it may be settled only if the operator says that it is not.
        "stalled" => before_hard_limit,
        // Another operator has taken it over: only with that token may it be settled.
        "reconciling" => token.is_some(),
        _ => false,
    };
    if !open {
        // The plan says why not.
        return Ok(None);
    }
    let mut lines = vec![format!("{key}: {} — {}", found.verdict.state.to_uppercase(), found.verdict.summary)];
    lines.extend(found.verdict.evidence.iter().map(|line| format!("  - {line}")));
    let example = results::example(database, key).await?;
    let stated = results::stated(database, key, example.as_ref()).await?;
    let shown = |json: &str| crate::mask::text(json).into_owned();
    lines.extend(
        example.iter().map(|one| format!("  - a result of this kind, that of {}: {}", one.source, shown(&one.json))),
    );
    lines.extend(stated.iter().map(|one| {
        format!("  - rows of related work state a result, that of {}: {}", one.source, shown(&one.json))
    }));
    if stated.is_empty() {
        lines.push("  - no row of related work states a result of this kind: only the other side of the call can tell".into());
    }
    consent::what_happened(session, &lines, &stated).map(Some)
}

/// The JSON itself, a file (`@path`) or standard input (`-`).
pub(super) fn read_json(source: &str, what: &str) -> Result<String> {
    if source == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(|error| {
            Error::new(ErrorKind::Usage, format!("cannot read the {what} from standard input")).with_source(error)
        })?;
        return Ok(text.trim().to_owned());
    }
    match source.strip_prefix('@') {
        Some(path) => {
            let text = std::fs::read_to_string(path);
            let failed = |error| files::cannot("read", Path::new(path))(error).with_kind(ErrorKind::Usage);
            text.map(|text| text.trim().to_owned()).map_err(failed)
        }
        None => Ok(source.to_owned()),
    }
}
