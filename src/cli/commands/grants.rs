//! `sen grants`: the least privileges that a role needs, as SQL statements or a Redis ACL rule.

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::ident::Ident;
use sen_core::model::diagnostics::{Role, grants};
use sen_core::stores::url::Target;
use sen_core::systems::node::rights;

use crate::session::Session;
use crate::views::{CommandOutput, View};

/// Print the SQL (or the ACL rule of a Redis) that lets a role use sen, and no more
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen grants --role ro --to oncall_reader
  sen grants --role operator --to oncall | psql \"$ADMIN_URL\"
  sen grants --role ro --to viewer --database-url \"$SEN_REDIS_URL\"

Nothing is executed. Run it as the owner of the tables; what new systems need is printed once they are there.")]
pub struct Args {
    /// What the role is to be able to do: ro (every reading command) or operator (every act, too)
    #[arg(long, value_enum)]
    pub role: Kind,

    /// The role's name
    #[arg(long, value_name = "NAME", default_value = "sen")]
    pub to: String,
}

/// What a role is to be able to do.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Kind {
    /// Every reading command
    Ro,
    /// Every act, too
    Operator,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let role = match args.role {
        Kind::Ro => Role::ReadOnly,
        Kind::Operator => Role::Operator,
    };
    let (target, beside) = session.targets()?;
    if matches!(target, Target::Redis(_)) {
        session.note("the rule leaves passwords as they are: a new user has none yet, and cannot log in");
        return Ok(CommandOutput::new(View::Text(rights::rule(role, &args.to)? + "\n")));
    }
    if beside.is_some() {
        session.note("this is about SQL; for the Redis that holds agent tasks give its URL as --database-url");
    }
    let grantee = Ident::new(&args.to)?.quoted();
    let database = session.read().await?;
    let mut needs = database.diagnostics().await?.needs;
    if let Some(journal) = session.journal().await? {
        needs.extend(journal.store().needs());
    }
    if needs.is_empty() {
        return Err(Error::new(ErrorKind::NoSystem, "nothing here is guarded by SQL privileges")
            .with_hint("in SQLite the permissions of the file decide"));
    }
    let mut text = grants(&needs, role, &grantee).join("\n");
    text.push('\n');
    Ok(CommandOutput::new(View::Text(text)))
}
