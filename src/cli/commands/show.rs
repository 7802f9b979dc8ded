//! Shared by commands like `exec show`: records of one kind of one system, by id.

use sen_core::error::{Error, Result};
use sen_core::model::subject::Kind;
use sen_core::ops::{inspect, prefix};
use sen_core::registry::Database;
use sen_core::system::System;
use sen_core::time::Timestamp;

use super::inspect::{Watch, detail};
use crate::args::Facts;
use crate::session::Session;
use crate::views::{CommandOutput, DetailsView, View};

/// What is asked for.
pub struct ShowRequest<'a> {
    /// The system.
    pub system: &'static str,
    /// The kind of its things.
    pub kind: Kind,
    /// The command that lists them, for those who mistyped an id.
    pub list: &'static str,
    /// Which.
    pub ids: &'a [String],
    /// How much of what happened to each comes along.
    pub events: u32,
    /// Whether the verdict becomes the exit code.
    pub check: bool,
    /// How much of each.
    pub facts: Facts,
}

/// Shows them.
pub async fn show(wanted: ShowRequest<'_>, session: &Session) -> Result<CommandOutput> {
    let database = session.read().await?;
    let system = database.system(wanted.system)?;
    let single = wanted.ids.len() == 1;
    let (mut details, mut errors, mut now) = (Vec::new(), Vec::new(), Timestamp::NEG_INFINITY);
    let mut watch = Watch::default();
    for id in wanted.ids {
        let id = crate::keys::checked_key(id.clone())?;
        let mut found = system.show(wanted.kind, &id, wanted.events).await?;
        if found.is_empty()
            && let Some(whole) = prefix::resolve(&database, Some(wanted.system), &[wanted.kind], &id).await?
        {
            found = system.show(wanted.kind, &whole, wanted.events).await?;
        }
        if found.is_empty() && database.saw_all_of(single)? {
            errors.push(missing(&wanted, &database, system, &id).await?);
        }
        for one in found {
            now = one.now;
            if wanted.check {
                watch.see(&one.verdict);
            }
            details.push(detail(one, wanted.facts.all_fields));
        }
    }
    if single && let Some(error) = errors.pop() {
        return Err(error);
    }
    let exit = watch.exit(!errors.is_empty());
    let view = View::Details(DetailsView { details, single, now });
    Ok(CommandOutput::new(view).ending(exit).with_errors(errors))
}

/// The error for an id that is not there, or is something else's.
async fn missing(wanted: &ShowRequest<'_>, database: &Database, system: &dyn System, id: &str) -> Result<Error> {
    if let Some(other) = inspect::something_else(database, id).await? {
        return Ok(inspect::missing(wanted.kind.words(), id, &[]).with_hint(other));
    }
    // A similar id may be of another kind.
    let mut similar = Vec::new();
    for near in system.suggest(id).await? {
        if !system.show(wanted.kind, &near, 0).await?.is_empty() {
            similar.push(near);
        }
    }
    let error = inspect::missing(wanted.kind.words(), id, &similar);
    Ok(if similar.is_empty() { error.with_hint(format!("`{}` shows them", wanted.list)) } else { error })
}
