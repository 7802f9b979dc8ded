//! What became of each item of a plan. Counting is pure, so that exit codes can be tested without a database.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::ident::OperationId;
use crate::rows::RowChange;
use crate::subject::Subject;

/// What became of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Written and committed.
    Applied,
    /// It already was as wanted.
    AlreadyDone,
    /// It no longer was as seen; nothing was written.
    Changed,
    /// It no longer exists; nothing was written.
    Missing,
    /// Skipped on purpose.
    Skipped,
    /// The database refused; nothing was written.
    Failed,
    /// The connection was lost while committing and the truth could not be had.
    Unknown,
}

impl Outcome {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::AlreadyDone => "already_done",
            Self::Changed => "changed",
            Self::Missing => "missing",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }

    /// The same for people: `already done`.
    pub const fn words(self) -> &'static str {
        match self {
            Self::AlreadyDone => "already done",
            other => other.name(),
        }
    }
}

/// One item's outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What it is about.
    pub subject: Subject,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, or what it is now.
    pub detail: String,
    /// The fencing token now in force, where the act drew one.
    pub fencing_token: Option<i64>,
    /// The id under which its work goes on, where the act gave it a new one.
    #[serde(default)]
    pub new_id: Option<String>,
    /// Whether an earlier step of it was written although it ended otherwise: a take-over whose settlement failed.
    pub partly: bool,
    /// Whether it failed because the connection was lost or could not be made.
    pub lost: bool,
    /// Whether this operation itself had done it before, or may have.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub before: bool,
    /// How often it is worth trying again before this is what became of it: another transaction may only be in the way.
    #[serde(skip)]
    pub retries: u32,
    /// The rows that were changed, as they were and as they were left: for the journal. A report does not keep them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<RowChange>,
    /// Why it cannot be taken back, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasting: Option<String>,
}

impl Item {
    /// An outcome without a token.
    pub fn new(subject: Subject, outcome: Outcome, detail: impl Into<String>) -> Self {
        Self {
            subject,
            outcome,
            detail: detail.into(),
            fencing_token: None,
            new_id: None,
            partly: false,
            lost: false,
            before: false,
            retries: 0,
            changes: Vec::new(),
            lasting: None,
        }
    }

    /// What an error of one item comes to: unknown when its outcome is, failed otherwise, or changed where the state or the
    /// server refuses.
    pub fn failed(subject: Subject, error: &Error) -> Self {
        let outcome = match error.kind() {
            ErrorKind::OutcomeUnknown => Outcome::Unknown,
            ErrorKind::Changed | ErrorKind::KeptOut | ErrorKind::Refused => Outcome::Changed,
            _ => Outcome::Failed,
        };
        let mut why = error.in_full();
        // Where there is no connection, nothing was sent.
        if error.kind() == ErrorKind::Connect {
            why.insert_str(0, "not begun: ");
        }
        Self::new(subject, outcome, why).lost(error.is_of_the_connection())
    }

    /// A target that is still as its plan saw it.
    pub fn still(subject: Subject) -> Self {
        Self::new(subject, Outcome::Skipped, "still applies")
    }

    /// What was not done because it is no longer as the plan saw it, once the records of an operation that may have been begun
    /// before were asked: whether they show that it was changed by this operation itself, `None` where they cannot tell.
    #[must_use]
    pub fn own(mut self, shown: Option<bool>) -> Self {
        self.before = shown != Some(false);
        match (self.outcome, shown) {
            (Outcome::Changed | Outcome::Missing | Outcome::AlreadyDone, Some(true)) => {
                self.outcome = Outcome::AlreadyDone;
                self.detail = "this operation did it before".into();
            }
            (Outcome::Changed | Outcome::Missing, None) => self.detail += "; perhaps by this operation itself",
            // Whoever found it done does not know who did it.
            (Outcome::AlreadyDone, None) => self.detail = "it was done before, perhaps by this operation itself".into(),
            _ => {}
        }
        self
    }

    /// The same, an earlier step of it having been written or not.
    #[must_use]
    pub fn partly(mut self, partly: bool) -> Self {
        self.partly = partly;
        self
    }

    /// The same, the connection having been lost or not.
    #[must_use]
    pub fn lost(mut self, lost: bool) -> Self {
        self.lost = lost;
        self
    }

    /// The same with the rows that were changed.
    #[must_use]
    pub fn changing(mut self, changes: Vec<RowChange>) -> Self {
        self.changes = changes;
        self
    }

    /// The same, which cannot be taken back.
    #[must_use]
    pub fn lasting(mut self, why: impl Into<String>) -> Self {
        self.lasting = Some(why.into());
        self
    }

    /// The same, to be tried again so often.
    #[must_use]
    pub fn again(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// The same with the id under which its work goes on.
    #[must_use]
    pub fn with_new_id(mut self, id: impl Into<String>) -> Self {
        self.new_id = Some(id.into());
        self
    }

    /// The same with the token now in force.
    #[must_use]
    pub fn with_token(mut self, token: Option<i64>) -> Self {
        self.fencing_token = token;
        self
    }
}

/// How a report ends as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Everything is as wanted.
    Done,
    /// Some items were written and some not.
    Partial,
    /// Nothing was written: the state is not what the act requires.
    Changed,
    /// Nothing was written: nothing was found.
    Missing,
    /// Nothing was written: the database refused.
    Failed,
    /// Nothing was written: the connection was lost or could not be made.
    Lost,
    /// At least one item may or may not have been written.
    Unknown,
    /// The brakes stopped it, as it cannot be told how what was begun goes.
    Pending,
}

/// Why its brakes let nothing more of an act be begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halt {
    /// Whether too much died again; otherwise it could not be told how it goes.
    pub failed: bool,
    /// For people.
    pub why: String,
}

impl Halt {
    /// It cannot be told how it goes.
    pub(crate) fn blind(why: String) -> Self {
        Self { failed: false, why }
    }
}

/// The outcome of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The plan's operation id.
    pub operation: OperationId,
    /// One entry per item looked at.
    pub items: Vec<Item>,
    /// How many further items had which outcome: of a large set not every item is listed.
    pub unlisted: BTreeMap<Outcome, u64>,
    /// Whether items failed because the connection was lost or could not be made, where the items themselves do not say.
    pub lost: bool,
    /// Whether its targets were asked for by id or group: then what is skipped counts as not done.
    pub asked: bool,
    /// Why its brakes let nothing more be begun.
    pub halt: Option<Halt>,
    /// How many of those skipped were not begun, or not tried again, as the act was stopped.
    pub not_begun: u64,
}

impl Report {
    /// A report without items.
    pub fn new(operation: OperationId) -> Self {
        Self {
            operation,
            items: Vec::new(),
            unlisted: BTreeMap::new(),
            lost: false,
            asked: false,
            halt: None,
            not_begun: 0,
        }
    }

    /// How many items had `outcome`, listed or not.
    pub fn count(&self, outcome: Outcome) -> u64 {
        let listed = self.items.iter().filter(|item| item.outcome == outcome).count() as u64;
        listed + self.unlisted.get(&outcome).copied().unwrap_or(0)
    }

    /// Counts `count` items that are not listed.
    pub fn add_unlisted(&mut self, outcome: Outcome, count: u64) {
        if count > 0 {
            *self.unlisted.entry(outcome).or_default() += count;
        }
    }

    /// How it ends as a whole. What was skipped by a rule counts as not done where it was asked for by id or group, and
    /// neither way where a filter chose it.
    pub fn ending(&self) -> Ending {
        let any = |outcome| self.count(outcome) > 0;
        let skipped = self.asked && any(Outcome::Skipped);
        let undone = any(Outcome::Changed) || any(Outcome::Missing) || any(Outcome::Failed) || skipped;
        if any(Outcome::Unknown) {
            Ending::Unknown
        } else if let Some(halt) = &self.halt {
            if halt.failed { Ending::Partial } else { Ending::Pending }
        } else if !undone {
            Ending::Done
        } else if any(Outcome::Applied) || any(Outcome::AlreadyDone) || self.items.iter().any(|item| item.partly) {
            Ending::Partial
        } else if any(Outcome::Failed) && (self.lost || self.items.iter().any(|item| item.lost)) {
            Ending::Lost
        } else if any(Outcome::Failed) {
            Ending::Failed
        } else if any(Outcome::Changed) || skipped {
            Ending::Changed
        } else {
            Ending::Missing
        }
    }
}

/// What to say of an act that changed no row although the row is as it was seen and as the act requires.
pub fn suppressed(table: &str) -> String {
    crate::error::Error::kept_out(table).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::Kind;

    #[test]
    fn endings() {
        use Outcome::{AlreadyDone, Applied, Changed, Failed, Missing, Skipped, Unknown};
        let cases: [(&[Outcome], Ending); 9] = [
            (&[], Ending::Done),
            (&[Applied, AlreadyDone, Skipped], Ending::Done),
            (&[Applied, Changed], Ending::Partial),
            (&[AlreadyDone, Missing], Ending::Partial),
            (&[Changed, Missing], Ending::Changed),
            (&[Missing], Ending::Missing),
            (&[Failed, Changed], Ending::Failed),
            (&[Applied, Changed, Unknown], Ending::Unknown),
            (&[Skipped, Changed], Ending::Changed),
        ];
        for (outcomes, ending) in cases {
            let item = |outcome: &Outcome| Item::new(Subject::new("s", Kind::Lease, "i"), *outcome, "");
            let report = Report { items: outcomes.iter().map(item).collect(), ..Report::new(OperationId::fresh()) };
            assert_eq!(report.ending(), ending, "{outcomes:?}");
        }
        let lost = Item::new(Subject::new("s", Kind::Lease, "i"), Failed, "").lost(true);
        assert_eq!(Report { items: vec![lost], ..Report::new(OperationId::fresh()) }.ending(), Ending::Lost);
        let half = Item::new(Subject::new("s", Kind::Lease, "i"), Failed, "").partly(true);
        assert_eq!(Report { items: vec![half], ..Report::new(OperationId::fresh()) }.ending(), Ending::Partial);
        for (outcomes, ending) in [
            (&[(Applied, 2), (Skipped, 1)][..], Ending::Partial),
            (&[(Skipped, 1)], Ending::Changed),
            (&[(Applied, 2)], Ending::Done),
        ] {
            let mut asked = Report { asked: true, ..Report::new(OperationId::fresh()) };
            outcomes.iter().for_each(|(outcome, count)| asked.add_unlisted(*outcome, *count));
            assert_eq!(asked.ending(), ending, "{outcomes:?}");
        }
        let mut many = Report::new(OperationId::fresh());
        many.add_unlisted(Applied, 100_000);
        many.add_unlisted(Failed, 0);
        assert_eq!((many.count(Applied), many.ending()), (100_000, Ending::Done));
    }
}
