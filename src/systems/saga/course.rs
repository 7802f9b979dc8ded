//! What became of sagas and messages that were acted on.

use std::collections::HashMap;

use futures_util::TryStreamExt as _;
use sen_model::course::{Act, Course, Followed, Now, error_group};
use sen_model::error::Result;
use sen_model::prepared::Action as _;
use sen_model::rows::RowChange;
use sen_model::subject::{Kind, Subject};

use crate::handle::Sagas;
use crate::list::SagaFilter;
use crate::message::{Mailbox, Message, MessageStatus};
use crate::plan::RequeueAction;
use crate::port::{MessageQuery, SagaQuery};
use crate::record::{Saga, uuid};
use crate::shape::Table;
use crate::state::State;

/// The error of the row that was changed.
pub(crate) fn failed_with(changes: &[RowChange]) -> Option<String> {
    changes.first()?.was("last_error")
}

/// How a saga stands after this act.
fn of_saga(saga: &Saga, verb: &str) -> Now {
    let state = State::of(saga);
    let course = match (verb, state) {
        ("abort", State::Failed | State::TimedOut | State::PartlyCompensated | State::Compensated)
        | ("compensate", State::Compensated) => Course::Succeeded,
        ("abort" | "compensate", State::Completed) => Course::EndedOtherwise,
        (_, State::Completed) => Course::Succeeded,
        (_, State::Failed | State::TimedOut | State::PartlyCompensated | State::Compensated) => Course::DiedAgain,
        (_, State::Stuck) => Course::Stuck,
        (_, State::Unreadable) => Course::Unknown,
        (_, State::Running | State::Compensating | State::BetweenSteps) => Course::Running,
        (_, State::Overdue | State::LeaseExpired | State::Due | State::WaitingRetry | State::WaitingEvent) => {
            Course::Waiting
        }
    };
    let told = Now::new(course, state.name());
    match state {
        State::Stuck => told.noting("active but has no deadline, so no worker will ever poll it"),
        State::Unreadable => told.noting("its row cannot be judged"),
        State::Overdue => told.noting("due for long, and no worker has polled it"),
        State::Compensated if course == Course::DiedAgain => {
            told.noting("it failed and was rolled back").failing(saga.error.clone())
        }
        _ if course == Course::DiedAgain => told.failing(saga.error.clone()),
        _ => told,
    }
}

fn of_message(message: &Message) -> Now {
    let status = &message.status;
    let course = match status {
        MessageStatus::Sent | MessageStatus::Applied => Course::Succeeded,
        MessageStatus::Ignored => Course::EndedOtherwise,
        MessageStatus::Failed => Course::DiedAgain,
        MessageStatus::Pending => Course::Waiting,
        MessageStatus::Dispatching | MessageStatus::Processing => Course::Running,
        MessageStatus::Other(_) => Course::Unknown,
    };
    let told = Now::new(course, status.name().unwrap_or(""));
    match status {
        MessageStatus::Ignored => told.noting("its saga did not take it"),
        MessageStatus::Failed => told.failing(message.error.clone()),
        MessageStatus::Other(_) => told.noting("its row cannot be judged"),
        _ => told,
    }
}

impl Sagas {
    /// The sagas with these ids, of all models.
    async fn with_ids<'a>(&self, ids: impl Iterator<Item = &'a str>) -> Result<HashMap<String, Saga>> {
        let ids = ids.filter_map(uuid).collect();
        let query = SagaQuery { ids: Some(ids), ..SagaFilter::default().query() };
        let mut found = HashMap::new();
        for model in &self.models().await?.models {
            let mut chunks = self.store.list(model, &query).await?.chunks;
            while let Some(sagas) = chunks.try_next().await? {
                found.extend(sagas.into_iter().map(|saga| (saga.id.clone(), saga)));
            }
        }
        Ok(found)
    }

    /// How these stand after this act.
    pub(crate) async fn courses_of(&self, act: &Act, targets: &[Followed]) -> Result<Vec<Now>> {
        if act.kind == RequeueAction::KIND {
            return self.of_messages(targets).await;
        }
        let sagas = self.with_ids(targets.iter().map(Followed::id)).await?;
        let verb = act.verb().unwrap_or_default();
        let now = |target: &Followed| match sagas.get(target.id()) {
            Some(saga) => of_saga(saga, verb),
            None => Now::unknown("the saga no longer exists"),
        };
        Ok(targets.iter().map(now).collect())
    }

    async fn of_messages(&self, targets: &[Followed]) -> Result<Vec<Now>> {
        let models = self.models().await?;
        let mut found: HashMap<(Kind, String), Now> = HashMap::new();
        for (mailbox, kind) in [(Mailbox::Out, Kind::Outbox), (Mailbox::In, Kind::Inbox)] {
            let of_kind = targets.iter().filter(|target| target.subject.kind == kind);
            let ids: Vec<String> = of_kind.map(|target| target.id().to_owned()).collect();
            if ids.is_empty() {
                continue;
            }
            let tables: Vec<(Mailbox, Table)> =
                models.boxes(mailbox, None)?.into_iter().map(|table| (mailbox, table.clone())).collect();
            let query = MessageQuery { ids, ..MessageQuery::default() };
            let messages = self.page_of_messages(&models, &tables, &query).await?.1;
            found.extend(messages.into_iter().map(|message| ((kind, message.id.clone()), of_message(&message))));
        }
        let gone = || Now::unknown("the message no longer exists");
        let key = |target: &Followed| (target.subject.kind, target.id().to_owned());
        Ok(targets.iter().map(|target| found.remove(&key(target)).unwrap_or_else(gone)).collect())
    }

    /// Which of these sagas failed alike, in the same step of the same definition.
    pub(crate) async fn alike_sagas(&self, subjects: &[Subject]) -> Result<Vec<String>> {
        let sagas = self.with_ids(subjects.iter().map(|subject| subject.id.as_str())).await?;
        let group = |saga: &Saga| {
            let error = error_group(saga.error.as_deref().unwrap_or_default());
            format!("{} {} {error}", saga.name.as_deref().unwrap_or_default(), saga.step)
        };
        Ok(subjects.iter().map(|subject| sagas.get(&subject.id).map(group).unwrap_or_default()).collect())
    }
}
