//! `sen grants`: the least privileges a role needs, as SQL to read and run.

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::ident::Ident;
use sen_core::model::checkup::{Role, grants};

use crate::session::Session;
use crate::views::{Answer, View};

/// Print the SQL that lets a role use sen, and no more
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen grants --role ro --to oncall_reader
  sen grants --role operator --to oncall | psql \"$ADMIN_URL\"

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
pub async fn run(args: Args, session: &Session) -> Result<Answer> {
    let grantee = Ident::new(&args.to)?.quoted();
    let needs = session.read().await?.checkup().await?.needs;
    if needs.is_empty() {
        return Err(Error::new(ErrorKind::NoSystem, "nothing here is guarded by SQL privileges")
            .with_hint("in SQLite and Redis the file's permissions and the server's ACL decide"));
    }
    let role = match args.role {
        Kind::Ro => Role::ReadOnly,
        Kind::Operator => Role::Operator,
    };
    let mut text = grants(&needs, role, &grantee).join("\n");
    text.push('\n');
    Ok(Answer::new(View::Text(text)))
}
