//! The journal that every operator of a database reads and writes: its tables, and making them.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use sen_model::error::Result;
use sen_model::journal::JournalStore;
use sen_model::plan::{Plan, Risk, Step};
use sen_model::prepared::{Action, Apply, Applying, Prepared, PreparedAction};
use sen_model::report::{Item, Outcome, Report};
use sen_model::subject::{Kind, Subject};

/// The journal of a database.
pub struct Journal(Box<dyn JournalStore>);

/// A table that is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Whether it is there.
    pub exists: bool,
}

impl Table {
    fn subject(&self) -> Subject {
        Subject::new("journal", Kind::Relation, self.name.as_str())
    }
}

/// Making its tables.
#[derive(Debug, Clone, PartialEq)]
pub struct InitJournal(Vec<Table>);

impl Action for InitJournal {
    const KIND: &'static str = "journal.init";
    type Head = ();
    type Target = Table;

    fn head(&self) {}

    fn targets(&self) -> impl Iterator<Item = Table> + '_ {
        self.0.iter().cloned()
    }

    fn count(&self) -> u64 {
        self.0.iter().filter(|table| !table.exists).count() as u64
    }

    fn build((): (), targets: impl Iterator<Item = Result<Table>>) -> Result<Self> {
        targets.collect::<Result<_>>().map(Self)
    }

    fn steps(&self) -> impl Iterator<Item = Step> + Send + '_ {
        self.0.iter().map(|table| Step::new(table.subject(), if table.exists { "keep" } else { "create" }))
    }
}

impl Journal {
    /// Over its tables.
    pub fn new(store: Box<dyn JournalStore>) -> Self {
        Self(store)
    }

    /// Its tables.
    pub fn store(&self) -> &dyn JournalStore {
        &*self.0
    }

    /// Whether its tables are there.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn is_there(&self) -> Result<bool> {
        Ok(self.0.relations().await?.iter().all(|(_, there)| *there))
    }

    /// The plan that makes its tables.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn plan_init(&self) -> Result<Box<dyn PreparedAction + '_>> {
        let table = |(name, exists): (&str, bool)| Table { name: name.to_owned(), exists };
        let tables = self.0.relations().await?.into_iter().map(table).collect();
        let plan = Plan::new(self.0.named(), Risk::Safe);
        Ok(Prepared::boxed(self, plan, InitJournal(tables), |_| "create the tables of the journal".into()))
    }
}

#[async_trait]
impl Apply<InitJournal> for Journal {
    async fn apply(&self, plan: &Plan, _: InitJournal, applying: Applying<'_>) -> Result<Report> {
        let mut report = Report::new(plan.operation);
        report.items = self.0.init(applying.permit).await?;
        report.items.iter().enumerate().for_each(|(place, item)| applying.observer.settled(place, item));
        Ok(report)
    }

    async fn check(&self, action: &InitJournal) -> Result<Vec<Item>> {
        let seen = self.0.relations().await?;
        let item = |table: &Table| match (table.exists, seen.contains(&(table.name.as_str(), true))) {
            (false, true) => Item::new(table.subject(), Outcome::AlreadyDone, "it is there by now"),
            (true, false) => Item::new(table.subject(), Outcome::Changed, "it was there and is gone"),
            _ => Item::still(table.subject()),
        };
        Ok(action.0.iter().map(item).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_making_of_the_tables_is_a_value() {
        let table = |exists| Table { name: "sen.operation".into(), exists };
        assert!(sen_model::prepared::is_a_value(&InitJournal(vec![table(true), table(false)])).is_ok());
    }
}
