//! `sen forget`: erase a cached result.

use sen_core::error::Result;
use sen_core::registry::Access;
use sen_core::system::Request;
use sen_core::systems::sentinel;

use super::act::{Acting, carry_out};
use super::inspect::stored_key;
use crate::session::Session;
use crate::views::Answer;

/// Erase a cached result, so that the key can run again
///
/// This permits a second execution and destroys the result, so it asks first. Keys that are not completed are left
/// alone.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sen forget emails:receipt-7701 --yes --reason INC-482")]
pub struct Args {
    /// The key as stored; its namespace is part of it
    #[arg(required = true, value_name = "KEY")]
    pub keys: Vec<String>,

    /// Put this namespace before every key, as the library does
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,

    #[command(flatten)]
    acting: Acting,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<Answer> {
    let keys = args.keys.iter().map(|key| super::checked_key(stored_key(args.namespace.as_deref(), key)));
    let ids = keys.collect::<Result<Vec<_>>>()?;
    let database = if args.acting.dry_run { session.read().await? } else { session.write(Access::Write).await? };
    carry_out(database.system(sentinel::NAME)?, &Request::Forget { ids }, &args.acting, session).await
}
