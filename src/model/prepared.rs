//! A plan together with the system it is for: what is shown, written to a file, read back and applied.

use std::fmt;
use std::io::{BufRead, Write};

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::brakes::Brakes;
use crate::course::Act;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::Observer;
use crate::permit::WritePermit;
use crate::plan::{Plan, Risk, Step};
use crate::report::{Item, Report};
use crate::saved::optional_micros;
use crate::time::Timestamp;

/// Takes a whole record as one JSON object, and has stored it when it returns.
pub type Sink<'a> = &'a mut (dyn FnMut(&str) -> Result<()> + Send);

/// The targets of one kind of act of one system, each with what was seen of it and what will be written.
pub trait Action: Send + Sync + Sized {
    /// What the file says it is: `sentinel.leases`, `stent.dead_letters`, …
    const KIND: &'static str;
    /// The act and what is the same for all targets.
    type Head: Serialize + DeserializeOwned;
    /// One target.
    type Target: Serialize + DeserializeOwned;

    /// The act and what is the same for all targets.
    fn head(&self) -> Self::Head;

    /// The targets, in the order they are taken.
    fn targets(&self) -> impl Iterator<Item = Self::Target> + '_;

    /// How many things it would change: what the plan announces.
    fn count(&self) -> u64 {
        self.targets().count() as u64
    }

    /// How many targets there are, those included that need no change.
    fn lines(&self) -> u64 {
        self.targets().count() as u64
    }

    /// The action of this head and these targets.
    ///
    /// # Errors
    /// `Usage` for targets that this act does not take.
    fn build(head: Self::Head, targets: impl Iterator<Item = Result<Self::Target>>) -> Result<Self>;

    /// The targets as steps, for people; none where the plan names a set.
    fn steps(&self) -> impl Iterator<Item = Step> + Send + '_;

    /// Whether what is removed is stored first.
    fn stores_first(&self) -> bool {
        false
    }

    /// Why the work of its targets cannot be followed afterwards; `None` where it can.
    fn unfollowed(&self) -> Option<&'static str> {
        Some("nothing of it goes on")
    }
}

/// What applying needs beside the plan.
pub struct Applying<'a> {
    /// Consent to the plan.
    pub permit: &'a WritePermit,
    /// Receives its progress.
    pub observer: &'a dyn Observer,
    /// When it pauses and stops.
    pub brakes: Option<&'a Brakes<'a>>,
    /// Where what is removed is stored first.
    pub export: Option<Sink<'a>>,
}

/// A system, or a part of one, that applies actions of one kind. Nothing is kept between planning and applying.
#[async_trait]
pub trait Apply<A: Action>: Send + Sync {
    /// Writes what the plan says, each target guarded by what was seen. The permit is for this plan.
    async fn apply(&self, plan: &Plan, action: A, applying: Applying<'_>) -> Result<Report>;

    /// Looks at each target again, in their order, and says whether it still is as the plan saw it ([`Item::still`]) or what it is
    /// now. Nothing is written.
    async fn check(&self, action: &A) -> Result<Vec<Item>>;
}

/// A plan with what it is for.
#[async_trait]
pub trait PreparedAction: Send + Sync {
    /// What the plan says.
    fn plan(&self) -> &Plan;

    /// The same, for a caller that adds what the operator must know before consenting.
    fn plan_mut(&mut self) -> &mut Plan;

    /// What is done.
    ///
    /// # Errors
    /// As [`Self::save`].
    fn act(&self) -> Result<Act>;

    /// The targets as steps, for people; none where the plan names a set.
    fn steps(&self) -> Box<dyn Iterator<Item = Step> + Send + '_>;

    /// Whether what is removed is stored first: applying needs [`Applying::export`] then.
    fn stores_first(&self) -> bool;

    /// Writes it as JSON lines: a header, then each target.
    ///
    /// # Errors
    /// `Io` when it cannot be written.
    fn save(&self, origin: Option<&Origin>, to: &mut dyn Write) -> Result<()>;

    /// Writes what the plan says.
    ///
    /// # Errors
    /// `Internal` when the permit is for another plan; what goes wrong with a target is in the report.
    async fn apply(self: Box<Self>, applying: Applying<'_>) -> Result<Report>;

    /// Says of each target whether it still is as the plan saw it, and writes nothing.
    ///
    /// # Errors
    /// What the store reports.
    async fn check(&self) -> Result<Vec<Item>>;
}

impl fmt::Debug for dyn PreparedAction + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan().fmt(f)
    }
}

/// A plan, its action, and who applies it.
pub struct Prepared<'a, S: ?Sized, A> {
    system: &'a S,
    plan: Plan,
    action: A,
}

impl<'a, S: Apply<A> + ?Sized, A: Action + 'a> Prepared<'a, S, A> {
    /// Puts them together. The plan announces the targets of the action; `summary` makes the clause for that number.
    pub fn boxed(
        system: &'a S,
        plan: Plan,
        action: A,
        summary: impl FnOnce(u64) -> String,
    ) -> Box<dyn PreparedAction + 'a> {
        let mut plan = plan.announcing(action.count(), summary);
        plan.unfollowed = action.unfollowed().map(str::to_owned);
        Box::new(Self { system, plan, action })
    }

    /// Reads the targets of a saved plan.
    ///
    /// # Errors
    /// As [`SavedPlan::action`].
    pub fn restore(system: &'a S, saved: SavedPlan<'_>) -> Result<Box<dyn PreparedAction + 'a>> {
        let (plan, action) = saved.action()?;
        Ok(Box::new(Self { system, plan, action }))
    }
}

#[async_trait]
impl<S: Apply<A> + ?Sized, A: Action> PreparedAction for Prepared<'_, S, A> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn plan_mut(&mut self) -> &mut Plan {
        &mut self.plan
    }

    fn act(&self) -> Result<Act> {
        let head = serde_json::to_value(self.action.head()).map_err(unsaved)?;
        let first = self.action.targets().next().map(serde_json::to_value).transpose().map_err(unsaved)?;
        Ok(Act { kind: A::KIND.to_owned(), head, first: first.unwrap_or_default() })
    }

    fn steps(&self) -> Box<dyn Iterator<Item = Step> + Send + '_> {
        Box::new(self.action.steps())
    }

    fn stores_first(&self) -> bool {
        self.action.stores_first()
    }

    fn save(&self, origin: Option<&Origin>, to: &mut dyn Write) -> Result<()> {
        save(&self.plan, origin, &self.action, to)
    }

    async fn apply(self: Box<Self>, applying: Applying<'_>) -> Result<Report> {
        applying.permit.must_be_for(&self.plan)?;
        self.system.apply(&self.plan, self.action, applying).await
    }

    async fn check(&self) -> Result<Vec<Item>> {
        self.system.check(&self.action).await
    }
}

/// Writes a plan as JSON lines: a header, then each target.
///
/// # Errors
/// `Io` when it cannot be written.
pub fn save<A: Action>(plan: &Plan, origin: Option<&Origin>, action: &A, to: &mut dyn Write) -> Result<()> {
    let head = serde_json::value::to_raw_value(&action.head()).map_err(unsaved)?;
    let lines = action.lines();
    let (format, kind, plan) = (FORMAT.to_owned(), A::KIND.to_owned(), plan.clone());
    line(to, &Header { format, kind, plan, origin: origin.cloned(), action: head, lines })?;
    let mut written = 0;
    action.targets().try_for_each(|target| {
        written += 1;
        line(to, &target)
    })?;
    if written == lines { Ok(()) } else { Err(unsaved("some of its targets cannot be read")) }
}

/// Whether an action is a value: written out and read back it is the same, and so has the same effect, as applying takes
/// nothing else; and a text without its last target is refused. The tests of every kind of action ask this.
///
/// # Errors
/// `Internal` when it is none; else as [`save`] and [`SavedPlan::action`].
pub fn is_a_value<A: Action + PartialEq>(action: &A) -> Result<()> {
    let plan = Plan::new("db", Risk::Dangerous).announcing(action.count(), |count| format!("test {count}"));
    let mut text = Vec::new();
    save(&plan, None, action, &mut text)?;
    let (read, back): (Plan, A) = SavedPlan::read(&mut text.as_slice())?.action()?;
    let last = text.iter().rev().skip(1).position(|byte| *byte == b'\n').unwrap_or_default() + 1;
    let mut cut = &text[..text.len() - last];
    let refused = SavedPlan::read(&mut cut).and_then(SavedPlan::action::<A>).is_err();
    if read == plan && back == *action && refused {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Internal, "this action is not the same when it is read back"))
}

/// Where a plan that is kept in a file comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The database as its server names itself, where it does: the guard of each target does the rest.
    pub identity: Option<String>,
    /// Who made it: `maria@ops-3`.
    pub who: String,
    /// Why (`--reason`).
    pub reason: Option<String>,
    /// When, by the clock of the machine it was made on.
    #[serde(with = "optional_micros")]
    pub at: Option<Timestamp>,
    /// Until when it may be applied, by the same clock.
    #[serde(with = "optional_micros")]
    pub expires: Option<Timestamp>,
}

/// What the first line says it is.
const FORMAT: &str = "sen-plan/1";

/// The first line of a saved plan.
#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    kind: String,
    plan: Plan,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<Origin>,
    action: Box<RawValue>,
    lines: u64,
}

/// A plan that is being read back: its header is, its targets are not yet.
pub struct SavedPlan<'a> {
    header: Header,
    from: &'a mut dyn BufRead,
}

impl<'a> SavedPlan<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// `Usage` when it is not one.
    pub fn read(from: &'a mut dyn BufRead) -> Result<Self> {
        let mut first = String::new();
        from.read_line(&mut first).map_err(|error| unreadable().with_source(error))?;
        let header: Header = serde_json::from_str(&first).map_err(odd)?;
        if header.format != FORMAT {
            return Err(Error::usage(format!("this is no plan of this version of sen: {:?}", header.format)));
        }
        Ok(Self { header, from })
    }

    /// What the plan says.
    pub fn plan(&self) -> &Plan {
        &self.header.plan
    }

    /// Where it comes from.
    pub fn origin(&self) -> Option<&Origin> {
        self.header.origin.as_ref()
    }

    /// How many targets it has.
    pub fn targets(&self) -> u64 {
        self.header.lines
    }

    /// The whole plan.
    ///
    /// # Errors
    /// `Usage` when the text is not what [`save`] writes for such an action.
    pub fn action<A: Action>(self) -> Result<(Plan, A)> {
        let Self { header, from } = self;
        if header.kind != A::KIND {
            return Err(foreign(&header.kind));
        }
        let head = serde_json::from_str(header.action.get()).map_err(odd)?;
        let mut count = 0_u64;
        let lines = usize::try_from(header.lines).unwrap_or(usize::MAX);
        let targets = from.lines().take(lines).map(|line| {
            count += 1;
            serde_json::from_str(&line.map_err(|error| unreadable().with_source(error))?).map_err(odd)
        });
        let action = A::build(head, targets)?;
        if count != header.lines {
            return Err(Error::usage(format!("the plan should have {} targets and has {count}", header.lines)));
        }
        if action.count() != header.plan.targets() {
            let (said, has) = (header.plan.targets(), action.count());
            return Err(Error::usage(format!("the plan says that it changes {said} and has {has} to change")));
        }
        Ok((header.plan, action))
    }

    /// Its targets, each as this, without what the action needs to be applied.
    pub fn rows<T: serde::de::DeserializeOwned>(self) -> impl Iterator<Item = Result<T>> {
        let lines = usize::try_from(self.header.lines).unwrap_or(usize::MAX);
        let lines = self.from.lines().take(lines);
        lines.map(|line| serde_json::from_str(&line.map_err(|error| unreadable().with_source(error))?).map_err(odd))
    }

    /// What is the same for all its targets, where it is this.
    pub fn head<H: serde::de::DeserializeOwned>(&self) -> Option<H> {
        serde_json::from_str(self.header.action.get()).ok()
    }

    /// What was done; the first of its targets is read.
    pub fn act(self) -> Act {
        let head = serde_json::from_str(self.header.action.get()).unwrap_or_default();
        let kind = self.header.kind.clone();
        Act { kind, head, first: self.rows().next().and_then(Result::ok).unwrap_or_default() }
    }

    /// What it holds: the [`Action::KIND`] it was saved with.
    pub fn kind(&self) -> &str {
        &self.header.kind
    }
}

/// What a system says of a plan of another.
pub fn foreign(kind: &str) -> Error {
    Error::usage(format!("a plan of {kind:?} is not one of this system"))
}

fn line(to: &mut dyn Write, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec(value).map_err(unsaved)?;
    text.push(b'\n');
    to.write_all(&text).map_err(unsaved)
}

fn unsaved(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Io, "the plan cannot be written").with_source(error)
}

fn unreadable() -> Error {
    Error::usage("the plan cannot be read")
}

fn odd(error: serde_json::Error) -> Error {
    Error::usage("this is not a plan that sen has written").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::Subject;

    /// Numbers, of which those below ten need no change.
    #[derive(PartialEq)]
    struct Numbers(Vec<u32>);

    impl Action for Numbers {
        const KIND: &'static str = "test.numbers";
        type Head = ();
        type Target = u32;

        fn head(&self) {}

        fn targets(&self) -> impl Iterator<Item = u32> + '_ {
            self.0.iter().copied()
        }

        fn count(&self) -> u64 {
            self.0.iter().filter(|number| **number >= 10).count() as u64
        }

        fn build((): (), targets: impl Iterator<Item = Result<u32>>) -> Result<Self> {
            targets.collect::<Result<_>>().map(Self)
        }

        fn steps(&self) -> impl Iterator<Item = Step> + Send + '_ {
            self.0.iter().map(|number| {
                Step::new(Subject::new("test", crate::subject::Kind::Lease, number.to_string()), "change")
            })
        }
    }

    struct System;

    #[async_trait]
    impl Apply<Numbers> for System {
        async fn apply(&self, plan: &Plan, _: Numbers, _: Applying<'_>) -> Result<Report> {
            Ok(Report::new(plan.operation))
        }

        async fn check(&self, _: &Numbers) -> Result<Vec<Item>> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn a_plan_announces_what_its_action_would_change() {
        let plan = Plan::new("db", Risk::Safe);
        let action = Numbers(vec![7, 10, 11]);
        let action = Prepared::boxed(&System, plan, action, |count| format!("change {count} numbers"));
        assert_eq!((action.plan().targets(), action.plan().summary()), (2, "change 2 numbers"));
        let mut saved = Vec::new();
        action.save(None, &mut saved).unwrap();
        let restored =
            SavedPlan::read(&mut saved.as_slice()).and_then(|saved| Prepared::restore(&System, saved)).unwrap();
        assert_eq!(restored.plan(), action.plan());
    }

    #[test]
    fn a_saved_plan_that_announces_another_number_is_refused() {
        let mut saved = Vec::new();
        let plan = Plan::new("db", Risk::Safe).announcing(3, |count| format!("change {count} numbers"));
        save(&plan, None, &Numbers(vec![7, 10, 11]), &mut saved).unwrap();
        let error = SavedPlan::read(&mut saved.as_slice()).and_then(SavedPlan::action::<Numbers>).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(is_a_value(&Numbers(vec![7, 10, 11])).is_ok());
    }
}
