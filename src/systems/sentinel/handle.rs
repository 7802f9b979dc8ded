//! Sentinel in one database: the store and what is known of it.

use std::sync::atomic::AtomicBool;

use crate::port::LeaseStore;

/// Sentinel in one database.
pub struct Sentinel {
    pub(crate) store: Box<dyn LeaseStore>,
    /// Whether the tables were missing when last asked: then the catalogue is asked first, because every look in vain leaves
    /// lines in the server's log, and some look every two seconds.
    pub(crate) missing: AtomicBool,
}

impl Sentinel {
    /// Sentinel over `store`.
    pub fn new(store: Box<dyn LeaseStore>) -> Self {
        Self { store, missing: AtomicBool::new(false) }
    }
}
