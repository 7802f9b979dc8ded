//! An operation as a report tells it.

use sen_core::model::report::Item;
use sen_core::model::timeline::TimelineEntry;
use sen_core::model::value::{Row, Value};
use sen_core::model::verdict::NextCommand;
use sen_core::time::Timestamp;

use crate::commands::op::{RESULTS, item_row};
use crate::commands::timeline::{COLUMNS, entry_row};
use crate::journal::State;
use crate::sections::objects;

/// One operation.
pub struct Operation {
    /// Its id.
    pub id: String,
    /// When, and by which clock: this machine's for the journal, otherwise that of the record.
    pub at: Option<Timestamp>,
    /// By whom.
    pub who: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// What it was to do, where the journal says so.
    pub what: Option<String>,
    /// How it stands; `None` where only records in the tables tell of it.
    pub state: Option<State>,
    /// How many targets its plan has.
    pub targets: Option<u64>,
    /// How many were done.
    pub done: Option<u64>,
    /// Of how many it is not told.
    pub untold: Option<u64>,
    /// What took it back.
    pub undone_by: Option<String>,
    /// What became of targets: of those that are reported here, and of those that were not done.
    pub results: Vec<(Item, Option<&'static str>)>,
    /// What its records say that it did.
    pub records: Vec<TimelineEntry>,
    /// What happened to the same records afterwards.
    pub followed_by: Vec<TimelineEntry>,
    /// Whether something of it can be gone on with.
    pub open: bool,
}

impl Operation {
    /// What goes on with it.
    pub fn next(&self) -> Option<NextCommand> {
        let resume = || NextCommand::new(&["sen", "op", "resume"], "apply what is left of the operation").id(&self.id);
        self.open.then(resume)
    }

    /// As data.
    pub fn value(&self) -> Value {
        let count = |count: Option<u64>| count.map_or(Value::Null, |n| Value::Int(i64::try_from(n).unwrap_or(i64::MAX)));
        let entries = |entries: &[TimelineEntry]| {
            let rows: Vec<Row> = entries.iter().cloned().map(entry_row).collect();
            objects(COLUMNS, &rows)
        };
        let results = self.results.iter().map(|(item, now)| {
            let mut fields: Vec<(&'static str, Value)> =
                RESULTS.iter().map(|column| column.name).zip(item_row(item)).collect();
            fields.push(("state_now", now.map_or(Value::Null, Value::Name)));
            Value::Map(fields)
        });
        Value::Map(vec![
            ("operation", Value::Text(self.id.clone())),
            ("at", Value::time(self.at)),
            ("who", Value::text(self.who.clone())),
            ("reason", Value::text(self.reason.clone())),
            ("what", Value::text(self.what.clone())),
            ("known_from", Value::Name(if self.state.is_some() { "journal" } else { "records" })),
            ("state", self.state.map_or(Value::Null, |state| Value::Name(state.name()))),
            ("targets", count(self.targets)),
            ("applied", count(self.done)),
            ("untold", count(self.untold)),
            ("undone_by", Value::text(self.undone_by.clone())),
            ("results", Value::List(results.collect())),
            ("records", entries(&self.records)),
            ("followed_by", entries(&self.followed_by)),
        ])
    }
}
