//! Planning acts and applying them. Rules are in `rules.rs`, SQL in the stores.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use sen_model::batch::{Pace, Targets, run_batch};
use sen_model::error::{Error, Result};
use sen_model::permit::WritePermit;
use sen_model::plan::{Plan, Risk};
use sen_model::prepared::{Apply, Applying, Prepared, PreparedAction};
use sen_model::report::{Item, Outcome, Report};
use sen_model::subject::Subject;
use sen_model::text::many;
use sen_model::time::{Timestamp, Uptime, humane};

use super::handle::{STEPS, Sagas};
use super::plan::{SagaAction, SagaHead, SagaTarget, Verb, Write};
use super::port::{Change, Event, Observed, Order, SagaQuery, SagaSelector, micros};
use super::record::{Entry, Saga, subject, uuid};
use super::rules::{self, Ruling};
use super::shape::{Model, Models, Table};
use super::state::State;
use super::story;
use crate::request::{SagaAct, SagaEvent, SagaRequest};

/// Steps that were looked up, by table, name of the definition, index and the step before.
type Places = HashMap<(i64, String, i64, Option<String>), Option<(String, String)>>;

/// How often a saga is looked at while it is watched.
const LOOK: Duration = Duration::from_millis(250);

const fn verb(act: &SagaAct) -> Verb {
    match act {
        SagaAct::Retry { .. } => Verb::Retry,
        SagaAct::Skip { .. } => Verb::Skip,
        SagaAct::Compensate => Verb::Compensate,
        SagaAct::Abort => Verb::Abort,
        SagaAct::Unstick { .. } => Verb::Unstick,
        SagaAct::Notify { .. } => Verb::Notify,
    }
}

/// A retried or unstuck saga executes a step that may have had its effect; skipping and aborting cannot be taken back, and
/// compensating undoes what was done.
const fn risk(act: &SagaAct) -> Risk {
    match act {
        SagaAct::Retry { .. }
        | SagaAct::Unstick { .. }
        | SagaAct::Skip { .. }
        | SagaAct::Abort
        | SagaAct::Compensate => Risk::Dangerous,
        SagaAct::Notify { .. } => Risk::Safe,
    }
}

impl Sagas {
    /// Looks, judges, and says what would be written.
    ///
    /// # Errors
    /// What the store reports, and `Usage` for input that could never be stored.
    pub async fn plan(&self, request: &SagaRequest) -> Result<Box<dyn PreparedAction + '_>> {
        let SagaRequest { table, ids, act } = request;
        if let SagaAct::Notify { event, .. } = act {
            storable(event.payload.as_deref(), "payload")?;
        }
        if let SagaAct::Skip { output, .. } = act {
            storable(output.as_deref(), "output")?;
        }
        let mut plan = Plan::new(self.store.database(), risk(act).of(ids.len()));
        let models = self.models().await?;
        let picked = models.picked(table.as_deref())?;
        let mut targets: Vec<SagaTarget> = Vec::new();
        let mut known: Vec<String> = Vec::new();
        let mut places = Places::new();
        for id in ids {
            let look =
                self.store.look(&models, &SagaSelector { id, exact: false, steps: STEPS, messages: false }).await?;
            let (now, mut seen) = (look.now, look.sagas);
            seen.retain(|seen| picked.iter().any(|model| model.state.number == seen.model));
            let mut seen = match one(id, seen) {
                Ok(seen) => seen,
                Err(item) => {
                    plan.refused.push(*item);
                    continue;
                }
            };
            if known.contains(&seen.saga.id) {
                continue;
            }
            known.push(seen.saga.id.clone());
            let Some(model) = picked.iter().copied().find(|model| model.state.number == seen.model) else { continue };
            if matches!(act, SagaAct::Unstick { .. }) {
                seen.holders = self.store.holders(model, &seen.saga.id).await?;
            }
            match self.judge(model, &seen, act, now, &mut places).await? {
                Ok((write, notes)) => targets.push(SagaTarget {
                    id: seen.saga.id.clone(),
                    table: model.state.shown(),
                    write,
                    newest: story::newest(&seen.steps).cloned(),
                    warnings: std::iter::once(described(&seen.saga)).chain(notes).collect(),
                }),
                Err(why) => {
                    plan.refused.push(Item::new(subject(&seen.saga.id), Outcome::Changed, why));
                }
            }
        }
        let verify = if let SagaAct::Unstick { verify, .. } = act { *verify } else { None };
        let verb = verb(act);
        let action = SagaAction { head: SagaHead { verb, verify }, targets };
        Ok(Prepared::boxed(self, plan, action, |count| format!("{} {}", verb.name(), many(count, "saga"))))
    }

    async fn judge(
        &self,
        model: &Model,
        seen: &Observed,
        act: &SagaAct,
        now: Timestamp,
        places: &mut Places,
    ) -> Result<Result<(Write, Vec<String>), String>> {
        let elsewhere = self.elsewhere(model, seen, places).await?;
        let whole = rules::Subject { seen, model, fresh: fresh(), elsewhere };
        let ruling: Ruling = match act {
            SagaAct::Retry { force } => rules::retry(&whole, *force),
            SagaAct::Compensate => rules::compensate(&whole),
            SagaAct::Abort => rules::abort(&whole),
            SagaAct::Unstick { unchanged_for, .. } => rules::unstick(&whole, *unchanged_for),
            SagaAct::Skip { output, force } => {
                let earlier = match whole.current() {
                    Some(entry) => self.store.output_of(model, seen.saga.name.as_deref(), &entry.step_id).await?,
                    None => None,
                };
                rules::skip(&whole, output.as_deref(), *force, earlier.as_deref())
            }
            SagaAct::Notify { event, inbox } => {
                let event = wanted(event, &seen.saga);
                if *inbox {
                    let notes = vec!["a worker applies it when it next polls its inbox".to_owned()];
                    return Ok(ingested(model, &whole, &event, now)
                        .map(|table| (Write::Ingest(table.shown(), Box::new(event)), notes)));
                }
                rules::notify(&whole, &event, now)
            }
        };
        Ok(ruling.map(|(change, notes)| (Write::Change(Box::new(change)), notes)))
    }

    /// The id and class of the step a saga stands at, as other sagas of its name have recorded them, where its own record does
    /// not say: definitions are in the workers' programs alone.
    async fn elsewhere(&self, model: &Model, seen: &Observed, places: &mut Places) -> Result<Option<(String, String)>> {
        let (saga, done) = (&seen.saga, story::newest_done(&seen.steps));
        let Some(name) = saga.name.clone().filter(|_| story::current(&seen.steps).is_none()) else { return Ok(None) };
        let done = done.map(|entry| entry.step_id.clone());
        let place = (model.state.number, name, saga.step, done);
        if let Some(known) = places.get(&place) {
            return Ok(known.clone());
        }
        let models = Models { models: vec![model.clone()], ..Models::default() };
        let mut found = None;
        // A completed saga is certain; of the others a few are worth reading.
        'search: for stored in [&["COMPLETED"][..], &["SUSPENDED", "FAILED", "COMPENSATED", "TIMEOUT"]] {
            let query = SagaQuery {
                stored: stored.iter().map(ToString::to_string).collect(),
                judged: Vec::new(),
                stuck: false,
                due: false,
                ids: None,
                name: Some(place.1.clone()),
                aggregation: None,
                error: None,
                older_than: None,
                since: None,
                until: None,
                order: Order::Updated,
                descending: true,
                limit: Some(5),
                payloads: false,
            };
            let others: Vec<Vec<Saga>> = self.store.list(model, &query).await?.chunks.try_collect().await?;
            for other in others.iter().flatten() {
                let wanted = SagaSelector { id: &other.id, exact: true, steps: STEPS, messages: false };
                let look = self.store.look(&models, &wanted).await?;
                let whole = |seen: &&Observed| i64::try_from(seen.steps.len()).is_ok_and(|read| read >= seen.recorded);
                let steps = look.sagas.first().filter(whole).map(|seen| seen.steps.as_slice()).unwrap_or_default();
                if let Some(entry) = story::step_behind(steps, place.3.as_deref(), place.2) {
                    found = Some((entry.step_id.clone(), entry.step_name.clone()));
                    break 'search;
                }
            }
        }
        places.insert(place, found.clone());
        Ok(found)
    }

    async fn apply_one(&self, models: &Models, head: SagaHead, target: &SagaTarget, permit: &WritePermit) -> Item {
        let subject = subject(&target.id);
        match &target.write {
            Write::Change(change) => {
                let Some(model) = models.models.iter().find(|model| model.state.shown() == target.table) else {
                    let why = format!("its table {} is no longer there; nothing was written", target.table);
                    return Item::new(subject, Outcome::Missing, why);
                };
                let signed = rules::signed(change, permit.operation(), permit.operator(), permit.reason());
                match self.store.change(model, &signed, permit).await {
                    Ok(Some(changes)) => match head.verify {
                        Some(limit) => {
                            let (outcome, told) = self.watched(model, change, target.newest.as_ref(), limit).await;
                            Item::new(subject, outcome, told).changing(changes)
                        }
                        None => Item::new(subject, Outcome::Applied, head.verb.done()).changing(changes),
                    },
                    Ok(None) => {
                        let own = self.own_record(model, change, permit).await;
                        let (outcome, now) = self.what_is_there(model, change).await;
                        Item::new(subject, outcome, now + "; nothing was written").own(own)
                    }
                    Err(error) => Item::failed(subject, &error),
                }
            }
            Write::Ingest(inbox, event) => {
                let Some(table) = models.inboxes.iter().find(|table| table.shown() == *inbox) else {
                    let why = format!("the inbox {inbox} is no longer there; nothing was written");
                    return Item::new(subject, Outcome::Missing, why);
                };
                match self.store.ingest(table, event, permit).await {
                    Ok(Some(changes)) => {
                        Item::new(subject, Outcome::Applied, format!("the event is in {inbox}")).changing(changes)
                    }
                    Ok(None) => {
                        let why = format!("{inbox} has an event with this id already; nothing was written");
                        Item::new(subject, Outcome::AlreadyDone, why)
                    }
                    Err(error) => Item::failed(subject, &error),
                }
            }
        }
    }

    /// Watches whether a saga that was made due progresses: a poll claims it, and a result is recorded.
    async fn watched(
        &self,
        model: &Model,
        change: &Change,
        last: Option<&Entry>,
        limit: Duration,
    ) -> (Outcome, String) {
        let models = Models { models: vec![model.clone()], ..Models::default() };
        let wanted = SagaSelector { id: &change.id, exact: true, steps: 5, messages: false };
        let end = Uptime::now().plus(limit);
        let span = humane(micros(limit));
        let mut claims: Vec<Option<String>> = vec![Some(change.fresh.clone())];
        loop {
            let seen = match self.store.look(&models, &wanted).await {
                Ok(look) => look.sagas.into_iter().next(),
                Err(error) => return (Outcome::Applied, format!("due again; not verified: {error}")),
            };
            let Some(seen) = seen else { return (Outcome::Missing, "it was made due, and no longer exists".into()) };
            let saga = &seen.saga;
            let over = State::of(saga);
            let moved =
                saga.step != change.step || saga.status.as_str() != change.to || story::newest(&seen.steps) != last;
            if moved {
                let state = over.name().replace('_', " ");
                return (Outcome::Applied, format!("due again; verified: it goes on, now {state}, step {}", saga.step));
            }
            if claims.last() != Some(&saga.token) {
                claims.push(saga.token.clone());
            }
            let why = "probably building the step's input fails, the worker has no definition of this name, or another saga fails the poll";
            if claims.len() > 2 {
                return (
                    Outcome::Changed,
                    format!("it was made due, but is claimed again and again without a result: {why}"),
                );
            }
            if Uptime::now() >= end {
                let told = if claims.len() > 1 {
                    format!("due again; claimed, but without a result within {span}: the step takes longer, or {why}")
                } else {
                    format!("due again; no poll has claimed it within {span}")
                };
                return (Outcome::Applied, told);
            }
            tokio::time::sleep(LOOK.min(Uptime::now().until(end))).await;
        }
    }

    /// Re-reads a saga whose guard did not match, to say what it is now.
    async fn what_is_there(&self, model: &Model, change: &Change) -> (Outcome, String) {
        let id = change.id.as_str();
        let models = Models { models: vec![model.clone()], ..Models::default() };
        match self.store.look(&models, &SagaSelector { id, exact: true, steps: 1, messages: false }).await {
            Ok(look) => match look.sagas.first() {
                None => (Outcome::Missing, "it no longer exists".into()),
                Some(seen) => {
                    let state = State::of(&seen.saga).name().replace('_', " ");
                    (
                        Outcome::Changed,
                        format!("it has changed since it was looked at: now {state}, step {}", seen.saga.step),
                    )
                }
            },
            Err(error) => {
                (Outcome::Changed, format!("it has changed since it was looked at, and cannot be read now: {error}"))
            }
        }
    }
}

/// The one saga that is meant: by its id, else the only one with this aggregation or trace id.
fn one(id: &str, mut seen: Vec<Observed>) -> Result<Observed, Box<Item>> {
    let refusal = |outcome, why: String| Err(Box::new(Item::new(subject(id), outcome, why)));
    if let Some(wanted) = uuid(id)
        && let Some(at) = seen.iter().position(|seen| uuid(&seen.saga.id).as_deref() == Some(&wanted))
    {
        return Ok(seen.swap_remove(at));
    }
    match seen.len() {
        0 => refusal(Outcome::Missing, "no such saga".into()),
        1 => Ok(seen.swap_remove(0)),
        count => {
            let ids: Vec<&str> = seen.iter().take(3).map(|seen| seen.saga.id.as_str()).collect();
            refusal(
                Outcome::Changed,
                format!("{count} sagas go by this name: give an id, such as {}", ids.join(" or ")),
            )
        }
    }
}

/// A new token or id. SQLite takes what looks like a number for one, and a UUID without dashes can look so.
pub(crate) fn fresh() -> String {
    loop {
        let id = uuid::Uuid::new_v4().to_string();
        if id.contains(['a', 'b', 'c', 'd', 'f']) {
            return id;
        }
    }
}

/// What the saga is, for the operator who consents.
fn described(saga: &Saga) -> String {
    let name = saga.name.as_deref().unwrap_or("a saga");
    let mut text = format!("{name} of {}, step {}", saga.aggregation, saga.step);
    if let Some(error) = saga.error.as_deref().and_then(|error| error.lines().next()) {
        text += &format!(": {}", error.chars().take(120).collect::<String>());
    }
    text
}

fn wanted(event: &SagaEvent, saga: &Saga) -> Event {
    Event {
        id: event.id.clone(),
        kind: event.kind.clone(),
        correlation: event.correlation.clone(),
        payload: event.payload.clone().unwrap_or_else(|| "null".into()),
        saga: Some(saga.id.clone()),
        row: fresh(),
    }
}

/// The inbox for an event, if the saga would accept it: a wrong event is ignored there, and so consumed silently.
fn ingested(model: &Model, whole: &rules::Subject<'_>, event: &Event, now: Timestamp) -> Result<Table, String> {
    let Some(inbox) = &model.inbox else {
        let why = model.doubts.iter().find(|doubt| doubt.contains("inbox"));
        return Err(why.cloned().unwrap_or_else(|| "these sagas have no inbox".into()));
    };
    if event.id.is_none() {
        return Err("an event for the inbox needs an id: say --event-id".into());
    }
    let is_object = serde_json::from_str::<serde_json::Value>(&event.payload).is_ok_and(|payload| payload.is_object());
    if !is_object {
        return Err("the payload of an inbox event must be a JSON object".into());
    }
    rules::takes(whole, event, now)?;
    Ok(inbox.clone())
}

/// Refuses what jsonb cannot hold, before anything is written.
fn storable(json: Option<&str>, what: &str) -> Result<()> {
    let Some(text) = json else { return Ok(()) };
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| {
        Error::usage(format!("the {what} is not valid JSON")).with_source(error).with_hint("quote text: '\"done\"'")
    })?;
    if holds_nul(&value) {
        return Err(Error::usage(format!("the {what} holds \\u0000, which PostgreSQL's jsonb cannot store")));
    }
    Ok(())
}

fn holds_nul(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::String(text) => text.contains('\0'),
        serde_json::Value::Array(items) => items.iter().any(holds_nul),
        serde_json::Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        _ => false,
    }
}

/// Sagas that are acted on one after the other, each in a transaction of its own.
struct Each<'a> {
    sagas: &'a Sagas,
    models: Arc<Models>,
    action: &'a SagaAction,
    permit: &'a WritePermit,
}

#[async_trait]
impl Targets for Each<'_> {
    fn subject(&self, place: usize) -> Subject {
        subject(&self.action.targets[place].id)
    }

    async fn apply(&mut self, places: &[usize]) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        for place in places {
            let target = &self.action.targets[*place];
            items.push(self.sagas.apply_one(&self.models, self.action.head, target, self.permit).await);
        }
        Ok(items)
    }
}

#[async_trait]
impl Apply<SagaAction> for Sagas {
    async fn apply(&self, plan: &Plan, action: SagaAction, applying: Applying<'_>) -> Result<Report> {
        let Applying { permit, observer, brakes, .. } = applying;
        let models = self.models().await?;
        let mut each = Each { sagas: self, models, action: &action, permit };
        Ok(run_batch(&mut [&mut each], plan, action.targets.len(), Pace::SINGLE.braked(brakes), permit, observer).await)
    }

    async fn check(&self, action: &SagaAction) -> Result<Vec<Item>> {
        let models = self.models().await?;
        let mut items = Vec::with_capacity(action.targets.len());
        for target in &action.targets {
            items.push(self.check_one(&models, target).await?);
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_stored_is_refused_first() {
        assert!(storable(None, "x").is_ok() && storable(Some(r#"{"a":"\\u0000"}"#), "x").is_ok());
        assert!(storable(Some(r#"["\u0000"]"#), "x").is_err() && storable(Some("{a:1}"), "x").is_err());
    }
}
