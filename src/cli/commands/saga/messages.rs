//! `sen saga outbox` and `sen saga inbox`.

use clap::Subcommand;
use sen_core::error::{Error, Result};
use sen_core::letters::{LetterFilter, ReplayOptions};
use sen_core::model::listing::Page;
use sen_core::model::subject::Kind;
use sen_core::systems::saga::message::Mailbox;
use sen_core::systems::saga::{self, MessageState, message_severity};

use crate::args::{Changed, Facts, Paging, choice};
use crate::commands::dlq::filter::{asked, known_groups};
use crate::commands::act::{ActionOptions, apply_braked};
use crate::commands::brakes::BrakeOptions;
use crate::commands::page::{self, AttentionFirst, Shown, Which};
use crate::commands::show::{self, ShowRequest};
use crate::completion::live::{Completes, Live};
use crate::session::Session;
use crate::views::CommandOutput;

/// Messages that sagas send
#[derive(Debug, clap::Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Examples:\n  sen saga outbox list --stuck\n  sen saga outbox requeue --all --topic orders.charged --dry-run"
)]
pub struct OutboxArgs {
    /// What to do
    #[command(subcommand)]
    verb: OutboxVerb,
}

/// Events that sagas are sent
#[derive(Debug, clap::Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Examples:\n  sen saga inbox list --state failed,ignored\n  sen saga inbox requeue evt_17 --yes"
)]
pub struct InboxArgs {
    /// What to do
    #[command(subcommand)]
    verb: InboxVerb,
}

#[derive(Debug, Subcommand)]
enum OutboxVerb {
    /// List outbox messages: what needs attention, then the one that changed last first
    #[command(
        after_help = "Examples:\n  sen saga outbox list --stuck\n  sen saga outbox list --state failed --topic orders.charged"
    )]
    List(Box<List>),
    /// Show everything known of an outbox message, with a verdict
    #[command(after_help = "Examples:\n  sen saga outbox show 0dca9cf6-36b3-445f-a2c0-35878dd39b4b")]
    Show(Show),
    /// Make outbox messages due again that failed, or that a publisher took and never finished
    ///
    /// Receivers get them at least once: a publisher that still lives may have sent them already.
    #[command(
        after_help = "Examples:\n  sen saga outbox requeue 0dca9cf6-36b3-445f-a2c0-35878dd39b4b --yes\n  sen saga outbox requeue --all --topic orders.charged --dry-run"
    )]
    Requeue(Box<Requeue>),
}

#[derive(Debug, Subcommand)]
enum InboxVerb {
    /// List inbox messages: what needs attention, then the one that changed last first
    #[command(after_help = "Examples:\n  sen saga inbox list --state failed,ignored\n  sen saga inbox list --stuck")]
    List(Box<List>),
    /// Show everything known of an inbox message, with a verdict
    #[command(after_help = "Examples:\n  sen saga inbox show evt_17")]
    Show(Show),
    /// Make inbox messages due again that failed, or that a worker took and never finished
    ///
    /// An event the saga does not wait for would be ignored, and so consumed: such messages are left alone unless --force.
    /// A message that was ignored is requeued only when it is named.
    #[command(
        after_help = "Examples:\n  sen saga inbox requeue evt_17 --yes\n  sen saga inbox requeue --all --dry-run"
    )]
    Requeue(Box<Requeue>),
}

#[derive(Debug, Clone, clap::Args)]
struct MessageFilter {
    /// Only of this topic, event type or step
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,

    /// Only those whose last error contains this text
    #[arg(long, value_name = "TEXT")]
    where_error: Option<String>,

    #[command(flatten)]
    changed: Changed,
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only in these states
    #[arg(long, value_delimiter = ',', value_name = "STATE,…", value_parser = choice::<MessageState>())]
    state: Vec<MessageState>,

    /// Only what failed, or was claimed over ten minutes ago and never finished
    #[arg(long)]
    stuck: bool,

    /// Only those of this saga or aggregation id
    #[arg(long, value_name = "ID")]
    saga: Option<String>,

    #[command(flatten)]
    which: MessageFilter,

    /// Only those in this table, or in that of the sagas in this table
    #[arg(long, value_name = "TABLE", add = Completes(Live::SagaTable))]
    saga_table: Option<String>,

    #[command(flatten)]
    paging: Paging,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// The message's id; in an inbox also the event's
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,

    /// Turn the verdict into the exit code
    #[arg(long)]
    check: bool,

    #[command(flatten)]
    facts: Facts,
}

#[derive(Debug, clap::Args)]
struct Requeue {
    /// The message's id; in an inbox also the event's
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<String>,

    /// Every dead message that matches the filters
    #[arg(long)]
    all: bool,

    /// With --all: only those that failed, or were taken and never finished, alike (see `sen dlq groups`)
    #[arg(long, value_delimiter = ',', value_name = "GROUP,…", requires = "all", add = Completes(Live::Group))]
    group: Vec<String>,

    #[command(flatten)]
    which: MessageFilter,

    /// Only those in this message table
    #[arg(long, value_name = "TABLE")]
    table: Option<String>,

    /// With --all: maximum number of messages, oldest change first
    #[arg(long, value_name = "N", requires = "all")]
    limit: Option<u64>,

    /// Also inbox messages whose saga waits for no event
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    brakes: BrakeOptions,

    #[command(flatten)]
    options: ActionOptions,
}

/// Runs `sen saga outbox`.
pub async fn outbox(args: OutboxArgs, session: &Session) -> Result<CommandOutput> {
    match args.verb {
        OutboxVerb::List(args) => list(*args, Mailbox::Out, session).await,
        OutboxVerb::Show(args) => show(&args, Kind::Outbox, session).await,
        OutboxVerb::Requeue(args) => requeue(*args, Mailbox::Out, session).await,
    }
}

/// Runs `sen saga inbox`.
pub async fn inbox(args: InboxArgs, session: &Session) -> Result<CommandOutput> {
    match args.verb {
        InboxVerb::List(args) => list(*args, Mailbox::In, session).await,
        InboxVerb::Show(args) => show(&args, Kind::Inbox, session).await,
        InboxVerb::Requeue(args) => requeue(*args, Mailbox::In, session).await,
    }
}

async fn list(args: List, kind: Mailbox, session: &Session) -> Result<CommandOutput> {
    let filter = saga::MessageFilter {
        states: args.state,
        table: args.saga_table,
        stuck: args.stuck,
        saga: args.saga,
        topic: args.which.topic,
        error: args.which.where_error,
        period: args.which.changed.into(),
        page: args.paging.page_of_one_order(&["payload"], &session.globals),
    };
    let database = session.read().await?;
    let (nouns, command, look): (_, &[_], &[_]) = match kind {
        Mailbox::Out => ("outbox messages", &["sen", "saga", "outbox", "list"], &["sen", "saga", "outbox", "show"]),
        Mailbox::In => ("inbox messages", &["sen", "saga", "inbox", "list"], &["sen", "saga", "inbox", "show"]),
    };
    if filter.states.is_empty() && !filter.stuck && page::is_for_attention(&filter.page, session) {
        let shown = AttentionFirst {
            command,
            look,
            nouns,
            tone: ("status", message_severity),
            narrowed: saga::MessageFilter { page: Page::default(), ..filter.clone() } != saga::MessageFilter::default(),
            urgent: Some("--stuck"),
        };
        let sagas = database.sagas()?;
        let ask = async |which| {
            // None is critical: those that failed stand first.
            let states = if which == Which::Critical { vec![MessageState::Failed] } else { Vec::new() };
            sagas.messages(kind, &saga::MessageFilter { states, stuck: which == Which::InNeed, ..filter.clone() }).await
        };
        return page::attention_first(&database, shown, &args.paging, ask).await;
    }
    let listing = database.sagas()?.messages(kind, &filter).await?;
    Ok(page::list(listing, database, &args.paging, Shown { nouns, tone: Some(("status", message_severity)), pages: false, look }, session))
}

async fn show(args: &Show, kind: Kind, session: &Session) -> Result<CommandOutput> {
    let list = if kind == Kind::Outbox { "sen saga outbox list" } else { "sen saga inbox list" };
    let wanted = ShowRequest { system: saga::NAME, kind, list, ids: &args.ids, events: 0, check: args.check, facts: args.facts };
    show::show(wanted, session).await
}

async fn requeue(args: Requeue, kind: Mailbox, session: &Session) -> Result<CommandOutput> {
    let mut acting = args.options;
    acting.brakes = args.brakes;
    let database = acting.database(session).await?;
    let of = if kind == Mailbox::Out { Kind::Outbox } else { Kind::Inbox };
    let ids = acting.whole_ids(&database, Some(saga::NAME), &[of], args.ids).await?;
    let filter = LetterFilter {
        ids,
        groups: args.group,
        kinds: vec![kind.name().to_owned()],
        queue: args.table,
        step: args.which.topic,
        error: args.which.where_error,
        older_than: args.which.changed.older_than,
        since: args.which.changed.since,
        until: args.which.changed.until,
        limit: args.limit,
        ..LetterFilter::default()
    };
    let options = ReplayOptions { force: args.force, ..ReplayOptions::default() };
    let system = database.system(saga::NAME)?;
    let letters = system.letters().ok_or_else(|| Error::usage("no messages are kept here"))?;
    let mut action = letters.plan_replay(&filter, &options).await?;
    known_groups(&[(saga::NAME, letters)], &filter, action.plan()).await?;
    asked(action.plan_mut(), &filter);
    apply_braked(&database, action, &acting, session).await
}
