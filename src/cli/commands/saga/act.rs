//! The acts on sagas: `sen saga retry`, `skip`, `compensate`, `abort`, `unstick` and `notify`.

use std::time::Duration;

use sen_core::error::{Error, Result};
use sen_core::model::listing::Page;
use sen_core::model::subject::Kind;
use sen_core::ops::related as related_keys;
use sen_core::registry::Database;
use sen_core::systems::saga;
use sen_core::systems::saga::request::{SagaAct, SagaEvent, SagaRequest};
use sen_core::systems::saga::SagaState::{self, Compensating, CompensatingSuspended, Failed, PartlyCompensated, Running, Suspended, Timeout};
use sen_core::systems::saga::{SagaFilter, SagaOrder};

use super::list::Matching;
use crate::completion::live::{Completes, Live};
use crate::args::span;
use crate::commands::act::{ActionOptions, apply_braked};
use crate::commands::brakes::BrakeOptions;
use crate::commands::reconcile::read_json;
use crate::commands::related;
use crate::session::Session;
use crate::views::CommandOutput;

/// Execute the current step of failed, suspended or timed out sagas again
///
/// Tries are counted anew and what was awaited is awaited no more, as with the library's retry_step. Refused once a
/// compensation has begun; --force is needed where a roll-back was under way when the saga was aborted.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen saga retry 7f3c9a1e-52fd-4d0e-b5d3-0f8a4c11d9ab
  sen saga retry order-789                             the only saga about it
  sen saga retry --all --state failed --name checkout --dry-run")]
pub struct RetryArgs {
    /// Also retry where a roll-back was under way when the saga was aborted
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    targets: Targets,
}

/// Count the current step of a suspended saga as done, with an output you give
///
/// The output becomes the step's, for the steps that need it and for a later compensation. It must look like an earlier
/// output of the same step unless --force: one the next step cannot read stops the workers' whole poll. If it is the last
/// step the saga ends, and its hooks do not fire.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen saga skip order-789 --result '{\"charge\":\"ch_1\",\"amount\":12.5,\"currency\":\"EUR\"}' --yes
  sen saga skip order-789 --result @charge.json --yes")]
pub struct SkipArgs {
    /// The step's output: a JSON object, @FILE, or - for stdin [default: {}]
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    result: Option<String>,

    /// Also where the output cannot be compared with earlier ones or is not like them
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    targets: Targets,
}

/// Roll back the steps of failed, suspended or timed out sagas that are done
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen saga compensate order-789 --yes
  sen saga compensate --all --state timed_out --older-than 1d --dry-run

A saga whose roll-back a worker is at, under a live lease, is left alone.")]
pub struct CompensateArgs {
    #[command(flatten)]
    targets: Targets,
}

/// Give up sagas that are active or timed out: they become failed, and nothing is rolled back
///
/// A step in flight cannot be stopped from outside; its late result is ignored. Completed, compensated and failed sagas are
/// never touched (the library's own abort turns a completed saga into a failed one).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen saga abort order-789 --reason 'cancelled by the customer' --yes
  sen saga abort --all --state waiting_event --older-than 30d --dry-run")]
pub struct AbortArgs {
    #[command(flatten)]
    targets: Targets,
}

/// Make stuck sagas due: active but without a deadline, so no worker will ever poll them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen saga unstick 7f3c9a1e-52fd-4d0e-b5d3-0f8a4c11d9ab --reason 'web-2 was killed'
  sen saga unstick --all --dry-run                     every stuck saga

A worker between two steps looks the same for a moment, and one whose event loop is blocked for longer: --unchanged-for \
says how long is too long. Where building the step's input fails, every poll claims the saga and fails: --verify shows it.")]
pub struct UnstickArgs {
    /// How long a saga must have been unchanged
    #[arg(long, value_parser = span, default_value = "1m", value_name = "SPAN")]
    unchanged_for: Duration,

    /// Watch whether the saga goes on, for at most this long [default: 30s]
    #[arg(long, value_parser = span, value_name = "SPAN", num_args = 0..=1, require_equals = true, default_missing_value = "30s")]
    verify: Option<Duration>,

    #[command(flatten)]
    targets: Targets,
}

/// Hand a suspended saga the event it waits for
///
/// Accepted only if the event is of an awaited type and has the awaited correlation id. With --inbox the event is put into
/// the sagas' inbox under its id, where a worker applies it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen saga notify order-789 --type payment.confirmed --correlation order-789 --payload '{\"ok\":true}'
  sen saga notify order-789 --inbox --event-id evt_17 --type payment.confirmed --payload @event.json")]
pub struct NotifyArgs {
    /// The saga's id, or the aggregation or trace id of the only one it can be
    #[arg(value_name = "ID", add = Completes(Live::Saga))]
    id: String,

    /// The event's type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,

    /// The event's correlation id
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,

    /// What the event carries: JSON, @FILE, or - for stdin
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    payload: Option<String>,

    /// The event's own id: one with the id of an earlier event is not taken again
    #[arg(long, value_name = "ID")]
    event_id: Option<String>,

    /// Through the inbox, where a worker applies it
    #[arg(long, requires = "event_id")]
    inbox: bool,

    /// Only a saga in this table: its name, or schema.name
    #[arg(long, value_name = "TABLE", add = Completes(Live::SagaTable))]
    saga_table: Option<String>,

    #[command(flatten)]
    options: ActionOptions,
}

/// Which sagas, and how.
#[derive(Debug, clap::Args)]
pub struct Targets {
    /// The saga's id, or the aggregation or trace id of the only one it can be
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all", add = Completes(Live::Saga))]
    pub ids: Vec<String>,

    /// Every saga that matches the filters
    #[arg(long)]
    pub all: bool,

    #[command(flatten)]
    pub matching: Matching,

    /// With --all: maximum number of sagas, oldest change first
    #[arg(long, value_name = "N", requires = "all")]
    pub limit: Option<u64>,

    #[command(flatten)]
    brakes: BrakeOptions,

    #[command(flatten)]
    options: ActionOptions,
}

/// Retries.
pub async fn retry(args: RetryArgs, session: &Session) -> Result<CommandOutput> {
    act(args.targets, session, &[Failed, PartlyCompensated, Timeout], false, SagaAct::Retry { force: args.force }).await
}

/// Skips.
pub async fn skip(args: SkipArgs, session: &Session) -> Result<CommandOutput> {
    let output = args.result.as_deref().map(|source| read_json(source, "output")).transpose()?;
    act(args.targets, session, &[Suspended], false, SagaAct::Skip { output, force: args.force }).await
}

/// Compensates.
pub async fn compensate(args: CompensateArgs, session: &Session) -> Result<CommandOutput> {
    act(args.targets, session, &[Failed, PartlyCompensated, Timeout], false, SagaAct::Compensate).await
}

/// Aborts.
pub async fn abort(args: AbortArgs, session: &Session) -> Result<CommandOutput> {
    let targets = args.targets;
    if targets.all && targets.matching.clone().filter() == SagaFilter::default() {
        return Err(Error::usage("--all without a filter would abort every active saga")
            .with_hint("say which: --state, --name, --older-than, …"));
    }
    let active = [Running, Suspended, Compensating, CompensatingSuspended, Timeout];
    act(targets, session, &active, false, SagaAct::Abort).await
}

/// Makes due.
pub async fn unstick(args: UnstickArgs, session: &Session) -> Result<CommandOutput> {
    let act_ = SagaAct::Unstick { unchanged_for: args.unchanged_for, verify: args.verify };
    act(args.targets, session, &[], true, act_).await
}

/// Notifies.
pub async fn notify(args: NotifyArgs, session: &Session) -> Result<CommandOutput> {
    let payload = args.payload.as_deref().map(|source| read_json(source, "payload")).transpose()?;
    let event = SagaEvent { id: args.event_id, kind: args.kind, correlation: args.correlation, payload };
    let act = SagaAct::Notify { event, inbox: args.inbox };
    carry(args.saga_table, vec![args.id], act, args.options, session).await
}

async fn carry(
    table: Option<String>,
    ids: Vec<String>,
    act: SagaAct,
    mut options: ActionOptions,
    session: &Session,
) -> Result<CommandOutput> {
    let database = options.database(session).await?;
    let ids = options.whole_ids(&database, Some(saga::NAME), &[Kind::Saga], ids).await?;
    carried(&database, SagaRequest { table, ids, act }, &options, session).await
}

/// Plans and applies; before steps run again, keys are named that are not settled or completed.
async fn carried(
    database: &Database,
    request: SagaRequest,
    options: &ActionOptions,
    session: &Session,
) -> Result<CommandOutput> {
    let system = database.sagas()?;
    let runs = matches!(request.act, SagaAct::Retry { .. } | SagaAct::Unstick { .. });
    let mut action = system.plan(&request).await?;
    if runs {
        let ids: Vec<String> = action.steps().map(|step| step.subject.id).collect();
        let keys = related_keys::of_things(database, system, &ids, true).await?;
        related::warn(action.plan_mut(), keys, options, session);
    }
    apply_braked(database, action, options, session).await
}

async fn act(
    targets: Targets,
    session: &Session,
    states: &[SagaState],
    stuck: bool,
    act: SagaAct,
) -> Result<CommandOutput> {
    let table = targets.matching.saga_table.clone();
    let options = ActionOptions { brakes: targets.brakes, ..targets.options };
    if !targets.all {
        let narrowed = SagaFilter { table: None, ..targets.matching.filter() };
        if narrowed != SagaFilter::default() {
            return Err(Error::usage("filters choose among all sagas: they need --all instead of an id"));
        }
        return carry(table, targets.ids, act, options, session).await;
    }
    let database = options.database(session).await?;
    let mut filter = targets.matching.filter();
    if filter.states.is_empty() {
        filter.states = states.to_vec();
    }
    filter.stuck |= stuck;
    let order = targets.limit.map(|_| SagaOrder::Updated);
    filter.page = Page { limit: targets.limit, reverse: order.is_some(), order, ..Page::default() };
    let ids = database.sagas()?.ids(&filter).await?;
    carried(&database, SagaRequest { table, ids, act }, &options, session).await
}
