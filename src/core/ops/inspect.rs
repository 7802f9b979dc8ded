//! Looking up keys and ids in every system of a database.

use futures_util::future::join_all;

use crate::ops::prefix;
use crate::registry::Database;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::record::Record;
use sen_model::text::named;
use sen_model::verdict::NextCommand;

/// What is known of one key.
pub enum Lookup {
    /// What was found, once per system that has it.
    Record(Vec<Record>),
    /// It was not found; similar keys.
    Missing {
        /// The key asked for.
        key: String,
        /// The most similar keys that exist.
        similar: Vec<String>,
    },
}

/// Looks `key` up in every system, with its newest `events` events; where nothing has it, what it is the only beginning of.
///
/// # Errors
/// What the store reports; `NoSystem` when the database holds none of the systems; `Denied` when it was not found and not
/// everything could be read.
pub async fn inspect(database: &Database, key: &str, events: u32) -> Result<Lookup> {
    let mut found = Vec::new();
    let mut absent: Option<Error> = None;
    let mut present = Vec::new();
    // All systems at once: on a shared connection their queries are one transaction.
    let systems: Vec<_> = database.systems().collect();
    let answers = database.together(join_all(systems.iter().map(|system| system.find(key, events)))).await;
    for (system, answer) in systems.into_iter().zip(answers) {
        match database.seen(system.name(), answer) {
            Ok(Some(these)) => {
                found.extend(these);
                present.push(system);
            }
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::NoSystem => absent = Some(error),
            Err(error) => return Err(error),
        }
    }
    if !found.is_empty() {
        return Ok(Lookup::Record(found));
    }
    database.saw_all()?;
    if let (true, Some(error)) = (present.is_empty(), absent) {
        return Err(error);
    }
    if let Some(whole) = prefix::resolve(database, None, prefix::ANY, key).await? {
        return Box::pin(inspect(database, &whole, events)).await;
    }
    let mut similar = Vec::new();
    for near in database.together(join_all(present.into_iter().map(|system| system.suggest(key)))).await {
        similar.extend(near?);
    }
    Ok(Lookup::Missing { key: key.to_owned(), similar })
}

/// Says what an id is, where it is not what was asked for: `it is an outbox message: …`, with the command that shows it.
///
/// # Errors
/// As [`inspect`], but for an id that nothing has.
pub async fn something_else(database: &Database, id: &str) -> Result<Option<String>> {
    let found = match inspect(database, id, 0).await {
        Ok(Lookup::Record(found)) => found,
        Ok(Lookup::Missing { .. }) => return Ok(None),
        // The beginning of several ids, none of which was asked for.
        Err(error) if error.kind() == ErrorKind::Usage => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(found.first().map(|other| {
        let show = NextCommand::new(&["sen", "inspect"], "").id(&other.subject.id).command;
        format!("it is {}: `{show}` shows it and what can be done", other.subject.kind.with_article())
    }))
}

/// The error that says that there is no such lease, with the keys that may have been meant.
pub fn missing_lease(key: &str, similar: &[String]) -> Error {
    let error = missing("lease", key, similar);
    match similar {
        [_, ..] => error,
        [] => error.with_hint("keys are matched exactly, namespace included (payments:order-1); `sen list` shows them"),
    }
}

/// The error that says that an id is missing, with what may have been meant.
pub fn missing(noun: &str, key: &str, similar: &[String]) -> Error {
    let mut message = format!("no {noun} {}", named(key));
    if let [best, ..] = similar {
        message += &format!("; did you mean {}?", named(best));
    }
    let error = Error::new(ErrorKind::NotFound, message);
    match similar {
        [best, others @ ..] => {
            let mut hint = format!("`{}` shows it", NextCommand::new(&["sen", "inspect"], "").id(best).command);
            if !others.is_empty() {
                let others: Vec<String> = others.iter().map(|key| named(key).to_string()).collect();
                hint += &format!("; also similar: {}", others.join(", "));
            }
            error.with_hint(hint)
        }
        [] => error.with_hint("give the whole key, or at least 4 characters of the beginning of an id"),
    }
}
