//! The operations that are known: those begun from here, and where the database keeps a journal those of every operator. What both
//! have is one operation.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::journal::Journal;
use sen_core::model::ident::OperationId;
use sen_core::model::journal::{Entered, Head};
use sen_core::model::report::Outcome;
use sen_core::model::subject::Subject;

use super::entry::{Entry, in_order, journals, own};
use super::line::{applied_before, folder, not_from_here};
use crate::session::Session;

/// What the database's journal has.
type Shared = Option<(Arc<Journal>, Vec<Head>)>;

/// The newest operations in the journal of the database that is named. What cannot be asked is told, and this machine's own journal serves.
async fn shared(session: &Session, limit: Option<i64>) -> Shared {
    let journal = match session.shared_journal().await {
        Ok(journal) => journal?,
        // No database is named.
        Err(error) if error.kind() == ErrorKind::Usage => return None,
        Err(error) => {
            session.warn(format!("what other operators did is not known: {}", error.in_full()));
            return None;
        }
    };
    match journal.store().operations(limit).await {
        Ok(heads) => Some((journal, heads)),
        Err(error) => {
            session.warn(format!("what other operators did is not known: {}", error.in_full()));
            None
        }
    }
}

/// What was entered of each of these, without rows.
async fn entered(journal: &Journal, heads: &[Head]) -> Result<BTreeMap<String, Vec<Entered>>> {
    let operations: Vec<String> = heads.iter().map(|head| head.operation.clone()).collect();
    let mut entered: BTreeMap<String, Vec<Entered>> = BTreeMap::new();
    let mut behind = None;
    loop {
        let page = journal.store().page(&operations, behind.as_ref(), false).await?;
        let Some((operation, number, _)) = page.last() else { return Ok(entered) };
        behind = Some((operation.clone(), *number));
        for (operation, _, entry) in page {
            entered.entry(operation).or_default().push(entry);
        }
    }
}

async fn all(session: &Session, limit: Option<i64>) -> (Vec<Entry>, Vec<Error>, Shared) {
    let (mut entries, mut errors) = own();
    let mut shared = shared(session, limit).await;
    if let Some((journal, heads)) = &shared {
        match entered(journal, heads).await {
            Ok(mut entered) => {
                let folder = folder();
                for head in heads {
                    let of_it = entered.remove(&head.operation).unwrap_or_default();
                    match Entry::shared(head, of_it, folder.as_deref()) {
                        Ok(entry) => {
                            entries.retain(|own| own.plan.operation != entry.plan.operation);
                            entries.push(entry);
                        }
                        Err(error) => errors.push(error),
                    }
                }
            }
            Err(error) => {
                errors.push(error.with_context("what other operators did is not known"));
                shared = None;
            }
        }
    }
    in_order(&mut entries);
    (entries, errors, shared)
}

/// The operations that are known, the newest first, and what of them cannot be read. Of those that only the database's journal has
/// the newest so many, where there is a limit.
pub async fn entries(session: &Session, limit: Option<u64>) -> (Vec<Entry>, Vec<Error>) {
    let (entries, errors, _) = all(session, limit.and_then(|limit| i64::try_from(limit).ok())).await;
    (entries, errors)
}

/// The targets of this operation that others took back, as far as that stands.
pub async fn taken_back(operation: OperationId, session: &Session) -> HashSet<Subject> {
    let undoes = entries(session, None).await.0.into_iter().filter(|entry| entry.takes_back(operation));
    let done = |entry: Entry| {
        let done = entry.settled.values().filter(|item| item.outcome == Outcome::Applied);
        done.map(|item| item.subject).collect::<Vec<_>>()
    };
    undoes.flat_map(done).collect()
}

/// The operation with this id, or the only one whose id begins so (and ends so, where its middle was left out, as lists do);
/// `last` is the newest that was begun from here.
///
/// # Errors
/// `NotFound`; `Usage` where several begin so.
pub async fn entry(id: &str, session: &Session) -> Result<Entry> {
    let (entries, _, shared) = all(session, None).await;
    damaged(id, &entries)?;
    let absent =
        |what: String| Error::new(ErrorKind::NotFound, what).with_hint("sen op list   # the operations that are known");
    let found = if id == "last" {
        let last = entries.into_iter().find(Entry::is_here);
        last.ok_or_else(|| absent("no operation is in this user's journal".into()))?
    } else {
        let (begin, end) = id.split_once('…').unwrap_or((id, ""));
        let is_meant = |known: &str| known.starts_with(begin) && known.ends_with(end);
        let mut matching = entries.into_iter().filter(|entry| is_meant(&entry.plan.operation.to_string()));
        let place = if shared.is_some() { "the journal" } else { "this user's journal" };
        let first = matching.next().ok_or_else(|| absent(format!("no operation {id:?} is in {place}")))?;
        match matching.next() {
            Some(other) if other.plan.operation.to_string() != id && first.plan.operation.to_string() != id => {
                let message = format!(
                    "{id:?} begins the ids of several operations: {}, {}",
                    first.plan.operation, other.plan.operation
                );
                return Err(Error::usage(message).with_hint("give more of the id"));
            }
            _ => first,
        }
    };
    let operation = found.plan.operation.to_string();
    let head = shared
        .as_ref()
        .and_then(|(journal, heads)| Some((journal, heads.iter().find(|head| head.operation == operation)?)));
    match head {
        Some((journal, head)) => found.gathered(journal.store(), head).await,
        None => Ok(found),
    }
}

/// Refuses an operation whose journal is there and cannot be read, and to take an older one for the last.
fn damaged(id: &str, entries: &[Entry]) -> Result<()> {
    let changed = |path: &Path| std::fs::metadata(path).and_then(|file| file.modified()).ok();
    let known: HashSet<String> = entries.iter().map(|entry| entry.plan.operation.to_string()).collect();
    let newest = entries.iter().filter(|entry| entry.is_here()).filter_map(|entry| changed(&entry.path)).max();
    for path in journals() {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if known.contains(&name) {
            continue;
        }
        let meant = if id == "last" { changed(&path) >= newest } else { name.starts_with(id) };
        if let (true, Err(error)) = (meant, Entry::read(path)) {
            let last = if id == "last" { ", and it may be the last one" } else { "" };
            return Err(error
                .with_context(format!("the journal of operation {name} cannot be read{last}"))
                .with_hint("sen op list   # the others: name one by its id"));
        }
    }
    Ok(())
}

/// Refuses a plan that was applied before, here or wherever the database's journal knows of.
///
/// # Errors
/// `Refused`; what the store reports.
pub async fn must_be_new(operation: OperationId, session: &Session) -> Result<()> {
    not_from_here(operation)?;
    let Some(journal) = session.shared_journal().await? else { return Ok(()) };
    let known = journal.store().page(&[operation.to_string()], None, true).await;
    // Who may not read it is told so when the plan is applied.
    if known.is_ok_and(|known| !known.is_empty()) { Err(applied_before(&operation.to_string())) } else { Ok(()) }
}
