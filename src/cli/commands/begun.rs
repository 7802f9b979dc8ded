//! An operation that begins or is resumed, entered in the operator's own journal and in the database's.

use std::io::{BufRead, BufReader};
use std::sync::Arc;

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::journal::{Begun, Running, ascii};
use sen_core::model::prepared::{Origin, PreparedAction, SavedPlan};

use crate::journal::{self, Entry, Journal, Kept};
use crate::session::Session;

/// The journal of an act about to begin; without one, where it cannot be written, the act goes on, and that is said.
///
/// # Errors
/// `Refused` when it was applied before; what the store reports of the plan.
pub async fn begun(action: &dyn PreparedAction, origin: &Origin, session: &Session) -> Result<Kept> {
    let mut file = match Journal::begin(action, origin) {
        Ok(journal) => Some(journal),
        Err(error) if error.kind() == ErrorKind::Refused => return Err(error),
        Err(error) => {
            session.warn(format!("this operation is not in the journal (`sen op list`): {}", error.in_full()));
            None
        }
    };
    let running = match entered(action, origin, file.as_ref(), session).await {
        Ok(running) => running,
        Err(error) if error.kind() == ErrorKind::Refused => {
            if let Some(file) = file {
                file.abandon();
            }
            return Err(error);
        }
        Err(error) => {
            session.warn(format!(
                "this operation is not in the database's journal, so that other operators do not see it: {}",
                error.in_full()
            ));
            None
        }
    };
    if let (Some(file), Some(running)) = (&mut file, &running) {
        file.runs(running);
    }
    Ok(Kept { file, running })
}

/// The operation in the journal of the database, if that is kept there: its plan is entered before anything is changed.
async fn entered(
    action: &dyn PreparedAction,
    origin: &Origin,
    file: Option<&Journal>,
    session: &Session,
) -> Result<Option<Arc<Running>>> {
    // Tasks of agents are not in the database that the journal is in.
    let elsewhere = action.act()?.kind.starts_with("node.");
    let Some(journal) = (if elsewhere { None } else { session.journal().await? }) else { return Ok(None) };
    let plan = action.plan();
    let mut saved = Vec::new();
    // The file has it already: a large plan is not held a second time.
    let mut from: Box<dyn BufRead + Send + '_> = match file {
        Some(file) => Box::new(BufReader::new(file.reader()?)),
        None => {
            action.save(Some(origin), &mut saved)?;
            Box::new(saved.as_slice())
        }
    };
    let unreadable = |error| Error::new(ErrorKind::Io, "the plan cannot be read").with_source(error);
    let mut header = String::new();
    from.read_line(&mut header).map_err(unreadable)?;
    let count = SavedPlan::read(&mut header.as_bytes())?.targets();
    let header = ascii(header.trim_end());
    let running = Running::new(plan.operation, None);
    let begun = Begun {
        plan: &header,
        what: plan.summary(),
        who: &origin.who,
        reason: origin.reason.as_deref(),
        targets: plan.targets(),
    };
    let applied_before = |error: Error| match error.kind() {
        ErrorKind::Refused => journal::applied_before(&plan.operation.to_string()),
        _ => error,
    };
    let lines = from.lines().take(usize::try_from(count).unwrap_or(usize::MAX));
    let mut targets = lines.map(|line| line.map_err(unreadable));
    journal.store().begin(&running, &begun, &mut targets).await.map_err(applied_before)?;
    Ok(Some(running))
}

/// Where the journal of an operation is kept that is resumed.
///
/// # Errors
/// `Changed` when somebody else has resumed it meanwhile; `Io`; what the store reports.
pub async fn resumed(entry: &Entry, places: &[usize], session: &Session) -> Result<Kept> {
    let mut file = Journal::resume(entry)?;
    let running = match &entry.run {
        Some(seen) => match session.journal().await? {
            Some(journal) => {
                let running = Running::new(entry.plan.operation, Some(places.to_vec()));
                journal.store().resume(&running, seen).await?;
                file.runs(&running);
                Some(running)
            }
            None => None,
        },
        None => None,
    };
    Ok(Kept { file: Some(file), running })
}
