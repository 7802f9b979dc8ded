//! What became of the work after an act: whether what was replayed has succeeded, has died again, or is still open. Pure.

use serde_json::Value;

use crate::letter::{group_id, normalize_error};
use crate::subject::Subject;

/// How many targets are followed with one query.
pub const CHUNK: usize = 500;

/// What was done, as its plan says it.
#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    /// The kind of the plan: `stent.dead_letters`, `saga.sagas`, …
    pub kind: String,
    /// What is the same for all its targets.
    pub head: Value,
    /// The first of its targets.
    pub first: Value,
}

impl Act {
    /// The verb: the name of the head where that is a choice, or what head or target say of it.
    pub fn verb(&self) -> Option<&str> {
        let named = [&self.head, &self.first].into_iter().find_map(|part| part.get("verb")?.as_str());
        let choice = || match &self.head {
            Value::String(name) => Some(name.as_str()),
            Value::Object(fields) if fields.len() == 1 => fields.keys().next().map(String::as_str),
            _ => None,
        };
        named.or_else(choice)
    }
}

/// A target that was changed and is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// What the act was about.
    pub subject: Subject,
    /// The id under which its work goes on, where the act gave it a new one.
    pub new_id: Option<String>,
    /// The group of the error it had failed with before the act; see [`error_group`].
    pub before: Option<String>,
}

impl Followed {
    /// The id that is looked for.
    pub fn id(&self) -> &str {
        self.new_id.as_deref().unwrap_or(&self.subject.id)
    }
}

/// The group of an error: the same for errors that differ only in ids, numbers and quoted values.
pub fn error_group(error: &str) -> String {
    group_id("", &normalize_error(error))
}

/// What became of a target's work. The order is that in which a person reads them: the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Course {
    /// It failed permanently, after the act.
    DiedAgain,
    /// It has not ended, and no worker goes on with it by itself.
    Stuck,
    /// It cannot be told.
    Unknown,
    /// No worker has it at this moment.
    Waiting,
    /// A worker has it.
    Running,
    /// It ended in another way than the act was for: an operator has stopped it since.
    EndedOtherwise,
    /// The act was taken back.
    TakenBack,
    /// It has come to what the act was for.
    Succeeded,
}

impl Course {
    /// All of them, the worst first.
    pub const ALL: [Self; 8] = [
        Self::DiedAgain,
        Self::Stuck,
        Self::Unknown,
        Self::Waiting,
        Self::Running,
        Self::EndedOtherwise,
        Self::TakenBack,
        Self::Succeeded,
    ];

    /// The name in data.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DiedAgain => "died_again",
            Self::Stuck => "stuck",
            Self::Unknown => "unknown",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::EndedOtherwise => "ended_otherwise",
            Self::TakenBack => "taken_back",
            Self::Succeeded => "succeeded",
        }
    }

    /// The same for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::DiedAgain => "died again",
            Self::TakenBack => "taken back",
            Self::EndedOtherwise => "ended otherwise",
            other => other.name(),
        }
    }

    /// Whether it may yet come to something else without an operator.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Running)
    }

    /// Whether an operator has to look at it.
    pub const fn is_bad(self) -> bool {
        matches!(self, Self::DiedAgain | Self::Stuck)
    }
}

/// How a followed target stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Now {
    /// What became of its work.
    pub course: Course,
    /// Its state as lists name it; empty where it is not there.
    pub state: &'static str,
    /// Why it cannot be told, or what to know of it.
    pub detail: String,
    /// The error it has failed with.
    pub error: Option<String>,
}

impl Now {
    /// In this state, with nothing to add.
    pub fn new(course: Course, state: &'static str) -> Self {
        Self { course, state, detail: String::new(), error: None }
    }

    /// What cannot be told, and why.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self { detail: why.into(), ..Self::new(Course::Unknown, "") }
    }

    /// The same with what to know of it.
    #[must_use]
    pub fn noting(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// The same with the error it has failed with.
    #[must_use]
    pub fn failing(mut self, error: Option<String>) -> Self {
        self.error = error;
        self
    }

    /// Of what has died again: whether it was of the same error as before; `None` where one of both is not known.
    pub fn same_error(&self, before: Option<&str>) -> Option<bool> {
        let error = self.error.as_deref().filter(|_| self.course == Course::DiedAgain)?;
        Some(error_group(error) == before?)
    }
}

/// How many targets stand how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally([u64; Course::ALL.len()]);

impl Tally {
    /// Counts one.
    pub fn add(&mut self, course: Course) {
        self.0[course as usize] += 1;
    }

    /// These and those.
    #[must_use]
    pub fn with(mut self, others: Self) -> Self {
        self.0.iter_mut().zip(others.0).for_each(|(count, other)| *count += other);
        self
    }

    /// How many stand so.
    pub fn of(&self, course: Course) -> u64 {
        self.0[course as usize]
    }

    /// How many of those for which this holds.
    pub fn sum(&self, which: impl Fn(Course) -> bool) -> u64 {
        Course::ALL.into_iter().filter(|course| which(*course)).map(|course| self.of(course)).sum()
    }

    /// For people: `3 died again, 40 succeeded`.
    pub fn words(&self) -> String {
        let there = Course::ALL.into_iter().filter(|course| self.of(*course) > 0);
        let words: Vec<String> = there.map(|course| format!("{} {}", self.of(course), course.words())).collect();
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_the_same_but_for_its_numbers() {
        let before = error_group("order 17 lost");
        let died = |error: &str| Now::new(Course::DiedAgain, "failed").failing(Some(error.into()));
        assert_eq!(died("order 18 lost").same_error(Some(&before)), Some(true));
        assert_eq!(died("disk full").same_error(Some(&before)), Some(false));
        assert_eq!(died("disk full").same_error(None), None);
        assert_eq!(Now::new(Course::Succeeded, "completed").same_error(Some(&before)), None);
    }

    #[test]
    fn what_is_counted_is_told_the_worst_first() {
        let mut tally = Tally::default();
        let all = [Course::Succeeded, Course::Running, Course::Succeeded, Course::DiedAgain];
        all.into_iter().for_each(|course| tally.add(course));
        assert_eq!(tally.words(), "1 died again, 1 running, 2 succeeded");
        assert_eq!((tally.sum(Course::is_open), tally.sum(Course::is_bad), tally.sum(|_| true)), (1, 1, 4));
        assert!(Course::ALL.iter().enumerate().all(|(place, course)| *course as usize == place));
    }
}
