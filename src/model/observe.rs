//! Progress of a long act, for display only.

use crate::report::Item;

/// Receives the progress of an act.
pub trait Observer: Send + Sync {
    /// `what` begins, with `total` items where that is known.
    fn begin(&self, what: &str, total: Option<u64>);

    /// `done` further items are settled, whatever became of them.
    fn advance(&self, done: u64);

    /// What became of the target at this place of the plan; told before [`Self::advance`] counts it.
    fn settled(&self, _place: usize, _item: &Item) {}

    /// What is waited for at this moment.
    fn waiting(&self, _what: &str) {}

    /// A message that a person should see at once.
    fn say(&self, line: &str);

    /// A message for programs that listen on `topic`, once it is committed; delivered where they can be reached.
    fn announce(&self, _topic: &str, _message: &str) {}
}

/// Ignores everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn begin(&self, _: &str, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
    fn say(&self, _: &str) {}
}
