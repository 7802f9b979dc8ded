//! Agent tasks in one Redis database.

use crate::port::TaskStore;

/// Agent tasks in one Redis database.
pub struct Node {
    pub(crate) store: Box<dyn TaskStore>,
}

impl Node {
    /// Over `store`.
    pub fn new(store: Box<dyn TaskStore>) -> Self {
        Self { store }
    }
}
