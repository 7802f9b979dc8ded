//! `sen init`: creates the tables in an empty database.

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::journal::Journal;
use sen_core::model::plan::Risk;
use sen_core::registry::{Access, Database};
use sen_core::systems::sentinel::request::LeaseRequest;

use super::act::{ActionOptions, apply};
use crate::session::Session;
use crate::views::{CommandOutput, View};

/// Create the Sentinel tables (as version 0.5.0 does), or those of the journal, where they are missing
///
/// `sen init journal` makes the tables in which every act enters its plan and, in the transaction of each change, the rows as they
/// were: every operator of the database then sees every operation, and can resume it or take it back. In PostgreSQL they are
/// operation and operation_item in schema sen, in SQLite sen_operation and sen_operation_item. Nothing that exists is altered. Running
/// it again does nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sen init --dry-run\n  sen init\n  sen init journal\n  sen init journal --print-sql | psql \"$ADMIN_URL\"\n  sen --database-url sqlite:jobs.db init")]
pub struct Args {
    /// Which tables [default: sentinel]
    #[arg(value_enum, value_name = "TABLES", hide_default_value = true, default_value_t = Tables::Sentinel)]
    tables: Tables,

    /// Print the SQL that makes the tables of the journal, and do nothing
    #[arg(long, conflicts_with_all = ["dry_run", "plan_out", "yes"])]
    print_sql: bool,

    #[command(flatten)]
    options: ActionOptions,
}

/// What is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Tables {
    /// Leases, their events and the sequence of tokens
    Sentinel,
    /// The journal of what operators do
    Journal,
}

/// The journal of a database.
///
/// # Errors
/// `NoSystem` where none can be kept in it.
fn journal(database: &Database) -> Result<&Journal> {
    let none = || Error::new(ErrorKind::NoSystem, "the journal is kept in PostgreSQL or SQLite");
    database.journal().map(|journal| &**journal).ok_or_else(none)
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let Args { tables, print_sql, options } = args;
    if print_sql && tables != Tables::Journal {
        return Err(Error::usage("--print-sql is for the tables of the journal").with_hint("sen init journal --print-sql"));
    }
    if (options.dry_run || print_sql) && session.makes_file()? {
        let whose = if tables == Tables::Journal { "of the journal" } else { "of Sentinel" };
        return Ok(CommandOutput::new(View::Text(format!("the file and the tables {whose} would be created\n"))));
    }
    let reads = options.only_plans() || print_sql;
    let database = if reads { session.read().await? } else { session.write(Access::Create).await? };
    if print_sql {
        return Ok(CommandOutput::new(View::Text(journal(&database)?.store().definition())));
    }
    if !options.dry_run {
        session.identify(&database).await?;
    }
    let mut action = match tables {
        Tables::Sentinel => database.leases()?.plan(&LeaseRequest::Init).await?,
        Tables::Journal => journal(&database)?.plan_init().await?,
    };
    if session.production()?.is_some() {
        // No act takes tables away again.
        action.plan_mut().risk = Risk::Dangerous;
    }
    apply(action, &options, session).await
}
