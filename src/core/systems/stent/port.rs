//! What the reading side of Stent needs of a store: rows in, rows out. No judgement, no presentation.

use async_trait::async_trait;

use super::shape::Shape;
use crate::error::Result;

/// Stent's tables in one real store. Every method is one round trip where the store has such a thing.
#[async_trait]
pub trait ExecutionStore: Send + Sync {
    /// The database for people, without secrets.
    fn database(&self) -> &str;

    /// What the tables look like: the catalogue only, without an error where they are missing.
    async fn shape(&self) -> Result<Shape>;
}
