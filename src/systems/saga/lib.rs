//! python-saga-orchestrator: sagas with their recorded steps, outboxes and inboxes, in tables that their users name.
//!
//! This file is the system: it looks through a [`port::SagaStore`], judges with [`verdict`], and shapes what it says. Which
//! tables belong to which sagas is decided by [`shape`]; what may be done, by `rules.rs`; SQL lives in the store implementations.

#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub mod found;
pub mod message;
pub mod port;
pub mod record;
pub mod request;
pub mod shape;
mod state;
pub mod verdict;

#[cfg(feature = "sqlite")]
pub mod demo;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;

mod act;
mod activity;
mod again;
mod course;
mod diagnostics;
#[cfg(test)]
mod examples;
mod handle;
mod letters;
mod list;
mod names;
mod plan;
mod results;
mod rules;
mod story;
mod timeline;
mod undo;
mod view;
mod why;

pub use handle::Sagas;
pub use list::{MessageFilter, SagaFilter};
pub use names::{MessageState, SagaOrder, SagaState};
pub use record::NAME;
pub use view::{MESSAGE_COLUMNS, SAGA_COLUMNS, STEP_COLUMNS, message_severity};

use async_trait::async_trait;
use futures_util::future::{join, join_all};

use sen_model::activity::Activity;
use sen_model::cause::Explanation;
use sen_model::course::{Act, Followed, Now};
use sen_model::diagnostics::Diagnostics;
use sen_model::error::Result;
use sen_model::letters::DeadLetters;
use sen_model::live::Live;
use sen_model::prepared::{self, Action as _, Prepared, PreparedAction, SavedPlan};
use sen_model::record::{History, Record, StatedResult};
use sen_model::rows::RowChange;
use sen_model::subject::{Kind, Subject};
use sen_model::summary::{Counting, Summary};
use sen_model::system::{Mentions, System};
use sen_model::time::Timestamp;
use sen_model::timeline::Told;
use sen_model::undo::{UndoAction, UndoRequest};

use handle::STEPS;
use port::SagaSelector;
use record::uuid_range;
use shape::{Models, Table};

/// The tables of sagas.
fn sagas(models: &Models) -> Vec<Table> {
    models.models.iter().map(|model| model.state.clone()).collect()
}

#[async_trait]
impl System for Sagas {
    fn name(&self) -> &'static str {
        NAME
    }

    fn database(&self) -> &str {
        self.store.database()
    }

    async fn present(&self) -> Result<bool> {
        Ok(!self.store.models().await?.is_empty())
    }

    async fn find(&self, id: &str, events: u32) -> Result<Vec<Record>> {
        let models = self.models().await?;
        // A page of steps is little; `events` asks for more where there are more.
        let wanted = SagaSelector { id, exact: false, steps: i64::from(events).max(50), messages: true };
        let mut look = self.store.look(&models, &wanted).await?;
        self.find_holders(&models, &mut look).await?;
        let mut found: Vec<Record> = look.sagas.into_iter().map(|seen| view::found(seen, &models, look.now)).collect();
        // A message's own id is looked for only where no saga has it: its tables have no other index for it.
        if found.is_empty() && record::uuid(id).is_some() {
            found = self.find_messages(&models, id).await?;
        }
        Ok(found)
    }

    async fn stated_results(&self, id: &str) -> Result<Vec<StatedResult>> {
        let models = self.models().await?;
        let wanted = SagaSelector { id, exact: false, steps: STEPS, messages: false };
        Ok(self.store.look(&models, &wanted).await?.sagas.iter().flat_map(results::of).collect())
    }

    async fn explain(&self, id: &str) -> Result<Vec<Explanation>> {
        let models = self.models().await?;
        let mut look =
            self.store.look(&models, &SagaSelector { id, exact: false, steps: STEPS, messages: true }).await?;
        self.find_holders(&models, &mut look).await?;
        if look.sagas.is_empty() && record::uuid(id).is_some() {
            let messages = self.messages_of(&models, id).await?;
            let explain = |(message, now): (message::Message, Timestamp)| {
                let (causes, related) = (why::of_message(&message), why::related_to_message(&message));
                view::found_message(message, now).because(causes, related)
            };
            return Ok(messages.into_iter().map(explain).collect());
        }
        let explain = |seen: port::Observed| {
            let model = models.models.iter().find(|model| model.state.number == seen.model);
            let (causes, related) = (why::of_saga(&seen, model), why::related_to_saga(&seen));
            view::found(seen, &models, look.now).because(causes, related)
        };
        Ok(look.sagas.into_iter().map(explain).collect())
    }

    async fn show(&self, kind: Kind, id: &str, events: u32) -> Result<Vec<Record>> {
        // A message is also known by its event's id, which `find` does not look for: it may be anything.
        let mut found = match kind {
            Kind::Outbox | Kind::Inbox => self.find_messages(&*self.models().await?, id).await?,
            _ => self.find(id, events).await?,
        };
        found.retain(|one| one.subject.kind == kind);
        Ok(found)
    }

    async fn mentions(&self, names: &[String]) -> Result<Mentions> {
        let ids = self.messages_about(&*self.models().await?, names).await?;
        Ok(Mentions { ids, cut: false })
    }

    async fn courses(&self, act: &Act, targets: &[Followed]) -> Result<Vec<Now>> {
        self.courses_of(act, targets).await
    }

    fn failed_with(&self, changes: &[RowChange]) -> Option<String> {
        course::failed_with(changes)
    }

    async fn alike(&self, subjects: &[Subject]) -> Result<Vec<String>> {
        if subjects.iter().all(|subject| subject.kind == Kind::Saga) {
            return self.alike_sagas(subjects).await;
        }
        self.alike_letters(subjects).await
    }

    async fn suggest(&self, id: &str) -> Result<Vec<String>> {
        let models = self.models().await?;
        let digits = id.chars().filter(char::is_ascii_hexdigit).count();
        if digits < 6 || digits != id.chars().filter(|c| *c != '-').count() {
            return Ok(Vec::new());
        }
        // What happens is that the end of an id is lost or wrong.
        let begin: String = id.chars().take(13).collect();
        self.store.begins(&sagas(&models), &begin, 3).await
    }

    async fn begin_with(&self, kind: Kind, prefix: &str, limit: u32) -> Result<Vec<String>> {
        if uuid_range(prefix).is_none() {
            return Ok(Vec::new());
        }
        let models = self.models().await?;
        let tables = match kind {
            Kind::Saga => sagas(&models),
            Kind::Outbox => models.outboxes.clone(),
            Kind::Inbox => models.inboxes.clone(),
            _ => return Ok(Vec::new()),
        };
        self.store.begins(&tables, prefix, limit).await
    }

    async fn history(&self, id: &str, limit: Option<u64>) -> Result<History> {
        let models = self.models().await?;
        let steps = limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(i64::MAX);
        let look = self.store.look(&models, &SagaSelector { id, exact: false, steps, messages: false }).await?;
        Ok(view::history(look, limit))
    }

    async fn history_since(&self, id: &str, since: Option<Timestamp>) -> Result<History> {
        let mut history = self.history(id, None).await?;
        history.events.retain(|event| since.is_none_or(|since| event.at >= since));
        Ok(history)
    }

    async fn timeline(&self, subjects: &[Subject], most: u32) -> Result<Told> {
        let models = self.models().await?;
        let (sagas, messages): (Vec<_>, Vec<_>) = subjects.iter().partition(|subject| subject.kind == Kind::Saga);
        let selector = |id| SagaSelector { id, exact: true, steps: i64::from(most), messages: true };
        let sagas = join_all(sagas.into_iter().map(|saga| {
            let (store, models) = (&self.store, &models);
            async move { store.look(models, &selector(&saga.id)).await }
        }));
        let messages = join_all(messages.into_iter().map(|message| self.messages_of(&models, &message.id)));
        let (sagas, messages) = join(sagas, messages).await;
        let mut told = Told::default();
        for look in sagas {
            let look = look?;
            told.add(look.now, look.sagas.iter().flat_map(timeline::of_saga));
        }
        for found in messages {
            for (message, now) in found? {
                told.add(now, timeline::of_message(&message));
            }
        }
        Ok(told)
    }

    async fn summary(&self, _counting: Counting) -> Result<Summary> {
        let models = self.models().await?;
        Ok(view::summary(&models, &self.store.census(&models).await?))
    }

    async fn active(&self, limit: u64) -> Result<Vec<Activity>> {
        self.activities(limit).await
    }

    async fn diagnostics(&self) -> Result<Diagnostics> {
        let models = self.models().await?;
        let both = join(self.store.census(&models), self.store.sequences(&models));
        let (census, sequences) = both.await;
        Ok(diagnostics::diagnostics(&models, &census?, sequences?.as_deref()))
    }

    async fn complete(&self, kind: Live, prefix: &str, limit: u32) -> Result<Vec<String>> {
        match kind {
            Live::Saga | Live::Any if prefix.chars().all(|c| c.is_ascii_hexdigit() || c == '-') => {
                let models = self.store.models().await?;
                self.store.begins(&sagas(&models), prefix, limit).await
            }
            Live::SagaTable => {
                let models = self.store.models().await?;
                let names = models.models.iter().map(|model| model.state.shown());
                Ok(names.filter(|name| name.starts_with(prefix)).take(limit as usize).collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    async fn plan_undo(&self, undo: UndoRequest) -> Result<Box<dyn PreparedAction + '_>> {
        sen_model::undo::plan(self, undo).await
    }

    fn restore(&self, saved: SavedPlan<'_>) -> Result<Box<dyn PreparedAction + '_>> {
        match saved.kind() {
            plan::SagaAction::KIND => Prepared::<_, plan::SagaAction>::restore(self, saved),
            UndoAction::<Self>::KIND => Prepared::<_, UndoAction<Self>>::restore(self, saved),
            plan::RequeueAction::KIND => Prepared::<_, plan::RequeueAction>::restore(self, saved),
            other => Err(prepared::foreign(other)),
        }
    }

    fn letters(&self) -> Option<&dyn DeadLetters> {
        Some(self)
    }
}
