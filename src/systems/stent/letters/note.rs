//! The record of an act.

use crate::record::ExecutionState;
use sen_model::permit::WritePermit;
use sen_model::timeline::OperatorAct;

/// What is recorded of a replay, and read back by [`replayed_as`]. PostgreSQL writes it in the statement that replays.
pub fn replayed(id: &str, fresh: &str) -> String {
    format!("dead letter {id} replayed as task {fresh}")
}

/// The task that a dead letter was replayed as, where `detail` is the record of that.
pub fn replayed_as(detail: &str, id: &str) -> Option<String> {
    let read = read(Some(detail))?;
    let fresh = read.fresh_task()?;
    (read.what == replayed(id, fresh)).then(|| fresh.to_owned())
}

/// Who, why and which operation: the record beside the execution.
pub fn note(permit: &WritePermit) -> String {
    let who = permit.operator().unwrap_or("an unnamed operator");
    let why = permit.reason().map(|why| format!(": {why}")).unwrap_or_default();
    format!("by {who}{why} {}", mark(permit))
}

/// How a record names its operation.
pub fn mark(permit: &WritePermit) -> String {
    format!("(sen operation {})", permit.operation())
}

/// A record as it was read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// What was done: `execution cancelled`, `dead letter … replayed as task …`.
    pub what: String,
    /// Who, why and which operation.
    pub act: OperatorAct,
    /// Of a replay with other arguments: which, in a clause.
    pub edited: Option<String>,
}

const BY: &str = " by ";
const OPERATION: &str = " (sen operation ";

/// Reads the record of an act out of the detail of a progress entry; `None` where that is none.
pub fn read(detail: Option<&str>) -> Option<Read> {
    let (told, rest) = detail?.rsplit_once(OPERATION)?;
    let (operation, behind) = rest.split_once(')')?;
    let operation = Some(operation.to_owned());
    let edited = behind.strip_prefix(", with edited arguments: ").map(|edited| {
        let end = edited.rfind(", database role ").unwrap_or(edited.len());
        format!("with edited arguments: {}", &edited[..end])
    });
    let (what, author) = told.split_once(BY)?;
    let (who, why) = match author.split_once(": ") {
        Some((who, why)) => (who, Some(why.to_owned())),
        None => (author, None),
    };
    Some(Read { what: what.to_owned(), act: OperatorAct { who: Some(who.to_owned()), why, operation }, edited })
}

impl Read {
    /// The task that a replay made.
    pub fn fresh_task(&self) -> Option<&str> {
        self.what.rsplit_once(" replayed as task ").map(|(_, task)| task)
    }

    /// Whether it is a signal that was sent.
    pub fn is_signal(&self) -> bool {
        self.what == "signal sent"
    }

    /// The state in which it left the execution.
    pub fn ended(&self) -> Option<ExecutionState> {
        match self.what.as_str() {
            "execution cancelled" => Some(ExecutionState::Cancelled),
            what if what.starts_with("execution completed with the result of task ") => Some(ExecutionState::Completed),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_again() {
        let detail =
            "dead letter a replayed as task b by maria@ops-3: INC-7: again (sen operation 12), database role ops";
        let found = read(Some(detail)).unwrap();
        assert_eq!(found.fresh_task(), Some("b"));
        let act = OperatorAct {
            who: Some("maria@ops-3".into()),
            why: Some("INC-7: again".into()),
            operation: Some("12".into()),
        };
        assert_eq!((found.act, found.edited), (act, None));
        let edited = detail
            .replace("12)", "12), with edited arguments: .kwargs.a, .args[0] (the original ones are with task a)");
        let found = read(Some(&edited)).unwrap();
        assert_eq!(found.fresh_task(), Some("b"));
        assert_eq!(
            found.edited.as_deref(),
            Some("with edited arguments: .kwargs.a, .args[0] (the original ones are with task a)")
        );
        let found = read(Some("execution cancelled by maria (sen operation 12)")).unwrap();
        assert_eq!((found.ended(), found.act.why), (Some(ExecutionState::Cancelled), None));
        for other in [None, Some("Execution cancelled"), Some("card declined by the bank"), Some("x (sen operation 1)")]
        {
            assert_eq!(read(other), None);
        }
    }

    #[test]
    fn a_replay_is_read_back_from_its_record() {
        let detail = format!("{} by ops: INC-1 (sen operation 7)", replayed("t-1", "t-2"));
        assert_eq!(replayed_as(&detail, "t-1").as_deref(), Some("t-2"));
        assert_eq!(replayed_as(&detail, "t"), None);
        assert_eq!(replayed_as("dead letter t-1 discarded by ops", "t-1"), None);
    }
}
