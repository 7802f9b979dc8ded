//! Dead letters of Stent: what they need of a store.

use async_trait::async_trait;

/// Stent's dead letters in one real store.
#[async_trait]
pub trait LetterStore: Send + Sync {}
