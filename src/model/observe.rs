//! How a long act tells what it is doing. A front end shows it; nothing depends on it.

use crate::report::Item;

/// Hears how far an act has come.
pub trait Observer: Send + Sync {
    /// `what` begins, with so many items to come where that is known.
    fn begin(&self, what: &str, total: Option<u64>);

    /// `done` further items are settled, whatever became of them.
    fn advance(&self, done: u64);

    /// What became of the target at this place of the plan; told before [`Self::advance`] counts it.
    fn settled(&self, _place: usize, _item: &Item) {}

    /// Something a person should hear at once.
    fn say(&self, line: &str);

    /// Something that programs listening on `topic` want to hear once it is committed; whoever can reach them passes it on.
    fn announce(&self, _topic: &str, _message: &str) {}
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn begin(&self, _: &str, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
    fn say(&self, _: &str) {}
}
