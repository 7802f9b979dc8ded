//! Stent in one database: the stores, and the zone of its workers.

use sen_model::error::{Error, ErrorKind, Result};
use sen_model::letters::{DeadLetters as _, LetterFilter};
use sen_model::time::wall::Zone;

use crate::acts::port::ActStore;
use crate::letters::StentLetters;
use crate::letters::port::LetterStore;
use crate::port::{ExecutionStore, absent};

/// Stent in one database.
pub struct Stent {
    pub(crate) store: Box<dyn ExecutionStore>,
    pub(crate) letters: Option<StentLetters>,
    acts: Option<Box<dyn ActStore>>,
    pub(crate) zone: Zone,
}

impl Stent {
    /// Stent over `store`; `zone` is the one whose wall clock the workers write.
    pub fn new(store: Box<dyn ExecutionStore>, zone: Zone) -> Self {
        Self { store, letters: None, acts: None, zone }
    }

    /// The same with its dead letters.
    #[must_use]
    pub fn with_letters(mut self, letters: Box<dyn LetterStore>) -> Self {
        self.letters = Some(StentLetters::new(letters, self.zone.clone()));
        self
    }

    /// The same with the acts on executions.
    #[must_use]
    pub fn with_acts(mut self, acts: Box<dyn ActStore>) -> Self {
        self.acts = Some(acts);
        self
    }

    /// The zone whose wall clock the workers write.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// How many other dead letters have the same error; `None` where that cannot be counted, so that the rest is still shown.
    pub(crate) async fn alike(&self, id: &str) -> Option<u64> {
        let letters = self.letters.as_ref()?;
        let of_it = LetterFilter { ids: vec![id.to_owned()], ..LetterFilter::default() };
        let group = letters.groups(&of_it).await.ok()?.into_iter().next()?;
        let same = LetterFilter { groups: vec![group.id], step: Some(group.step), ..LetterFilter::default() };
        let all = letters.groups(&same).await.ok()?;
        Some(all.iter().map(|group| group.count).sum::<u64>().saturating_sub(1))
    }

    /// What is said where its tables are not.
    pub(crate) fn absent(&self) -> Error {
        absent(self.store.database())
    }

    /// The writing side.
    ///
    /// # Errors
    /// `Internal` where this was opened for reading only.
    pub(crate) fn acts(&self) -> Result<&dyn ActStore> {
        let acts = self.acts.as_deref();
        acts.ok_or_else(|| Error::new(ErrorKind::Internal, "this Stent was opened for reading only"))
    }
}
