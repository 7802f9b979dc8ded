//! Sentinel in one database: the store and what is known of it.

use crate::port::LeaseStore;

/// Sentinel in one database.
pub struct Sentinel {
    pub(crate) store: Box<dyn LeaseStore>,
}

impl Sentinel {
    /// Sentinel over `store`.
    pub fn new(store: Box<dyn LeaseStore>) -> Self {
        Self { store }
    }
}
