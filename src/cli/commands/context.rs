//! `sen context`: databases by name, and what acts on them have to heed.

use clap::Subcommand;
use futures_util::stream;
use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::columns;
use sen_core::model::value::{Row, Value};
use sen_core::stores::url::redact;
use sen_core::time::Timestamp;

use crate::contexts::{self, Context};
use crate::session::Session;
use crate::views::{Batch, Block, CommandOutput, Detail, DetailsView, ListView, View};

/// List, show and choose databases that have a name
///
/// Contexts are kept in ~/.config/sen/config.toml, and in the .sen.toml of a project:
///
///   [context.prod]
///   database_url = "postgresql://sen@db.internal/payments"   # no password
///   production = true        # its name is asked; scripts: --confirm prod
///   require_reason = true    # acts need --reason
///   max_targets = 500        # no act changes more
///   read_only = false
///
/// Further settings: redis_url, worker_timezone, password_command,
/// redis_password_command. A .sen.toml names no programs, and the database it
/// names gets no password of yours; where both files have a context, the
/// restrictions of both count. A database is also known as production by
/// `ALTER DATABASE payments SET sen.production = on`, which nothing here lifts.
#[derive(Debug, clap::Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    verbatim_doc_comment,
    after_help = "Examples:\n  sen context list\n  sen --context prod status\n  sen context use staging"
)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the contexts there are
    #[command(after_help = "Examples:\n  sen context list\n  sen context list -o json | jq -r '.[] | select(.production) | .context'")]
    List,
    /// Show a context: the one in use, or the named one
    #[command(after_help = "Examples:\n  sen context show\n  sen context show prod")]
    Show {
        /// Its name
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Choose the context of reading commands where nothing else names a database
    ///
    /// Acts never follow it: they need --context, SEN_CONTEXT or a database by name.
    #[command(after_help = "Examples:\n  sen context use staging\n  sen context use --none")]
    Use {
        /// Its name
        #[arg(value_name = "NAME", required_unless_present = "none")]
        name: Option<String>,

        /// Forget the chosen one
        #[arg(long, conflicts_with = "name")]
        none: bool,
    },
}

columns! {
    COLUMNS,
    fn row(context: &Context, current: Option<&str>) {}
    "context", "CONTEXT", Whole => Value::Text(context.name.clone());
    "chosen", "CHOSEN", Whole => Value::Bool(current == Some(context.name.as_str()));
    "production", "PRODUCTION", Whole => Value::Bool(context.rules.production);
    "read_only", "READ ONLY", Whole => Value::Bool(context.rules.read_only);
    "require_reason", "REASON NEEDED", Wide => Value::Bool(context.rules.require_reason);
    "max_targets", "MAX TARGETS", Wide => context.rules.max_targets.map_or(Value::Null, |most| Value::Int(i64::try_from(most).unwrap_or(i64::MAX)));
    "database_url", "DATABASE", Short => Value::text(context.database_url.as_deref().map(redact));
    "redis_url", "REDIS", Asked => Value::text(context.redis_url.as_deref().map(redact));
    "worker_timezone", "ZONE", Asked => Value::text(context.worker_timezone.clone());
    "file", "FILE", Asked => Value::Text(context.file.display().to_string());
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let current = contexts::current();
    match args.verb {
        Verb::List => {
            let rows: Vec<Row> = contexts::all()?.iter().map(|context| row(context, current.as_deref())).collect();
            Ok(CommandOutput::new(View::List(ListView {
                columns: COLUMNS,
                batches: Box::pin(stream::iter([Ok(Batch { rows, note: None })])),
                now: Timestamp::here(),
                tone: None,
                empty: format!("no contexts: {} has none", contexts::shown_own_file()),
                fail_if_empty: false,
            })))
        }
        Verb::Show { name } => {
            let context = match name {
                Some(name) => contexts::named(&name)?,
                None => session.context()?.ok_or_else(|| {
                    Error::new(ErrorKind::NotFound, "no context is in use")
                        .with_hint("sen context list shows them; --context, SEN_CONTEXT or `sen context use` choose one")
                })?,
            };
            let fields: Vec<(&'static str, Value)> =
                COLUMNS.iter().map(|column| column.name).zip(row(&context, current.as_deref())).collect();
            let known = fields.iter().filter(|(_, value)| *value != Value::Null);
            let blocks = known.map(|(name, value)| Block::Field(name, value.clone())).collect();
            let details = vec![Detail { value: Value::Map(fields), blocks }];
            Ok(CommandOutput::new(View::Details(DetailsView { details, single: true, now: Timestamp::here() })))
        }
        Verb::Use { name, .. } => {
            if let Some(name) = &name {
                contexts::named(name)?;
            }
            contexts::keep(name.as_deref())?;
            session.note(match name {
                Some(name) => format!("reading commands use context {name} where nothing else names a database; acts need --context"),
                None => "no context is chosen".into(),
            });
            Ok(CommandOutput::new(View::Nothing))
        }
    }
}
