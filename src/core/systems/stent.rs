//! Stent and Senpuki (Stent is Senpuki renamed): durable functions, kept in `executions`, `tasks` and their neighbours.
//!
//! This file is the system: it looks through a [`port::ExecutionStore`] and, for dead letters and acts, a
//! [`letters::LetterStore`]. SQL lives in the cells (`postgres.rs`, `sqlite.rs`).

pub mod codec;
pub mod dump;
pub mod letters;
pub mod pickle;
pub mod port;
pub mod record;
pub mod shape;
pub mod verdict;

#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use async_trait::async_trait;

use crate::error::{Error, ErrorKind, Result};
use crate::model::plan::Plan;
use crate::model::report::Report;
use crate::observe::Observer;
use crate::permit::WritePermit;
use crate::system::{Filter, Found, History, Listing, Request, Survey, System};
use crate::time::Timestamp;
use crate::time::wall::Zone;

use letters::LetterStore;
use port::ExecutionStore;

/// The system's name.
pub const NAME: &str = "stent";

/// Stent in one database.
pub struct Stent {
    store: Box<dyn ExecutionStore>,
    letters: Option<Box<dyn LetterStore>>,
    zone: Zone,
}

impl Stent {
    /// Stent over `store`; `zone` is the one whose wall clock the workers write.
    pub fn new(store: Box<dyn ExecutionStore>, zone: Zone) -> Self {
        Self { store, letters: None, zone }
    }

    /// The same with its dead letters and acts.
    #[must_use]
    pub fn with_letters(mut self, letters: Box<dyn LetterStore>) -> Self {
        self.letters = Some(letters);
        self
    }

    /// The zone whose wall clock the workers write.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    fn absent(&self) -> Error {
        absent(self.database())
    }
}

/// The error that says that a database holds none of these tables.
fn absent(database: &str) -> Error {
    Error::new(ErrorKind::NoSystem, format!("no Stent or Senpuki tables (executions, tasks) in {database}"))
        .with_hint("is this the right database, and does the role's search_path name the schema?")
}

#[async_trait]
impl System for Stent {
    fn name(&self) -> &'static str {
        NAME
    }

    fn database(&self) -> &str {
        self.store.database()
    }

    async fn present(&self) -> Result<bool> {
        Ok(self.store.shape().await?.present())
    }

    async fn find(&self, _id: &str, _events: u32) -> Result<Vec<Found>> {
        Err(self.absent())
    }

    async fn nearby(&self, _id: &str) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn list(&self, _filter: &Filter) -> Result<Listing> {
        Err(self.absent())
    }

    async fn history(&self, _id: &str, _limit: Option<u64>) -> Result<History> {
        Err(self.absent())
    }

    async fn history_since(&self, _id: &str, _since: Option<Timestamp>) -> Result<History> {
        Err(self.absent())
    }

    async fn survey(&self) -> Result<Survey> {
        Err(self.absent())
    }

    async fn plan(&self, _request: &Request) -> Result<Plan> {
        Err(self.absent())
    }

    async fn apply(&self, plan: &Plan, permit: &WritePermit, _observer: &dyn Observer) -> Result<Report> {
        permit.must_be_for(plan)?;
        Err(self.absent())
    }
}
