//! Plans actions on leases and applies them. Rules are in `rules.rs`, SQL in the store implementations.

use std::time::Duration;

use async_trait::async_trait;
use sen_model::batch::{Pace, Targets, run_batch};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::permit::WritePermit;
use sen_model::plan::{Plan, Risk};
use sen_model::prepared::{Apply, Applying, Prepared, PreparedAction};
use sen_model::report::{Item, Outcome, Report, suppressed};
use sen_model::rows::{RowChange, both};
use sen_model::subject::{Kind, Subject};
use sen_model::text::many;

use crate::handle::Sentinel;
use crate::liveness::{Worker, process_here};
use crate::plan::{InitAction, LeaseAction, LeaseStep, LeaseTarget, Relation};
use crate::port::{LeaseAct, Look, RELATIONS, Verb};
use crate::record::{Lease, NAME, offset_behind};
use crate::request::{Decision, LeaseRequest};
use crate::rules;
use crate::verdict::{state, taken_over};

/// How many events are read to tell who took a key over.
const RECENT: u32 = 20;

/// How many events are read to find the record of an operation that was begun before.
const RECORDS: i64 = 1000;

/// How many leases are looked at at once.
const LOOKED_AT: usize = 500;

/// No plan takes longer than this for its second look.
const LONGEST_LOOK: Duration = Duration::from_secs(20);

type Judgement = Result<Vec<LeaseStep>, Box<Item>>;

impl Sentinel {
    /// Looks, judges, and says what would be written.
    ///
    /// # Errors
    /// What the store reports, and `Usage` for input that could never be stored.
    pub async fn plan(&self, request: &LeaseRequest) -> Result<Box<dyn PreparedAction + '_>> {
        match request {
            LeaseRequest::Init => self.plan_init().await,
            LeaseRequest::Reconcile { ids, token, before_hard_limit, decision } => {
                let decision = decision.as_ref();
                let mut warning = None;
                let (what, risk) = match decision {
                    // The worker that is overruled inside its hard limit may be alive.
                    None if *before_hard_limit => ("take over", Risk::Dangerous),
                    None => ("take over", Risk::Safe),
                    Some(Decision::Completed(result)) => {
                        storable(result)?;
                        let prefix = namespace_of(ids);
                        let objects = self.store.storable(result, prefix.unwrap_or_default()).await?;
                        warning = prefix.zip(objects).and_then(|(prefix, objects)| unlike(result, prefix, objects));
                        ("take over and complete", Risk::Dangerous)
                    }
                    Some(Decision::NeverHappened) => ("take over and reset", Risk::Dangerous),
                };
                let judge = |lease: &Lease| rules::reconcile(lease, *token, *before_hard_limit, decision);
                let mut action = self.plan_leases(what, risk, ids, judge).await?;
                if action.plan().targets() > 0 {
                    action.plan_mut().warnings.extend(warning);
                }
                Ok(action)
            }
            LeaseRequest::Release { ids } => self.plan_leases("release", Risk::Safe, ids, rules::release).await,
            LeaseRequest::Forget { ids } => {
                self.plan_leases("forget the result of", Risk::Dangerous, ids, rules::forget).await
            }
        }
    }

    async fn plan_init(&self) -> Result<Box<dyn PreparedAction + '_>> {
        let plan = Plan::new(self.store.database(), Risk::Safe);
        let seen = self.store.relations().await?;
        let relation = |name: &str| Relation { name: name.to_owned(), exists: seen.iter().any(|have| have == name) };
        let action = InitAction(RELATIONS.into_iter().map(relation).collect());
        Ok(Prepared::boxed(self, plan, action, |_| "create the Sentinel tables".into()))
    }

    async fn plan_leases(
        &self,
        what: &str,
        risk: Risk,
        ids: &[String],
        judge: impl Fn(&Lease) -> Judgement,
    ) -> Result<Box<dyn PreparedAction + '_>> {
        let mut plan = Plan::new(self.store.database(), risk.of(ids.len()));
        let mut action = LeaseAction::default();
        let mut suspects: Vec<Look> = Vec::new();
        for (id, look) in ids.iter().zip(self.store.look_all(ids, RECENT).await?) {
            match look.lease {
                None => {
                    let subject = Subject::new(NAME, Kind::Lease, id);
                    plan.refused.push(Item::new(subject, Outcome::Missing, "no such lease"));
                }
                Some(lease) => match judge(&lease) {
                    Ok(steps) if steps.is_empty() => {
                        let subject = Subject::new(NAME, Kind::Lease, id);
                        plan.refused.push(Item::new(subject, Outcome::AlreadyDone, "it is taken over already"));
                    }
                    Ok(mut steps) => {
                        let events = look.events.as_ref().map_or(&[][..], |events| &events.rows);
                        let worker = Worker::of(&lease, events, process_here(&lease));
                        for step in steps.iter_mut().filter(|step| matches!(step.verb, Verb::TakeOver { .. })) {
                            step.warnings.push(worker.overruled(&lease));
                        }
                        // Whoever holds the key is named before they are overruled.
                        if let (Some(first), Some(holder)) = (steps.first_mut(), taken_over(&lease, events, look.now)) {
                            first.warnings.insert(0, holder);
                        }
                        action.0.push(LeaseTarget { key: lease.key.clone(), steps });
                        let taken = action.0.last().is_some_and(LeaseTarget::takes_over);
                        if taken && offset_behind(&lease, look.now).is_some() {
                            suspects.push(Look { lease: Some(lease), ..look });
                        }
                    }
                    Err(mut refusal) => {
                        let events = look.events.as_ref().map_or(&[][..], |events| &events.rows);
                        let other = taken_over(&lease, events, look.now);
                        refusal.detail.extend(other.map(|other| format!(" ({other})")));
                        plan.refused.push(*refusal);
                    }
                },
            }
        }
        for (key, offset) in self.moving(&suspects).await? {
            action.0.retain(|target| target.key != key);
            let why = format!(
                "its row was extended while it was looked at twice: its worker lives, and writes times {} behind the server's zone (`sen doctor`)",
                sen_model::time::age(offset)
            );
            plan.refused.push(Item::new(Subject::new(NAME, Kind::Lease, key), Outcome::Changed, why));
        }
        // What was taken over before is only settled.
        let anew = action.0.is_empty() || action.0.iter().any(LeaseTarget::takes_over);
        let what = if anew { what } else { what.trim_start_matches("take over and ") };
        Ok(Prepared::boxed(self, plan, action, |count| format!("{what} {}", many(count, "key"))))
    }

    /// Which of these leases, that may have been written in a zone behind, are still extended: their keys, and how far behind.
    ///
    /// A plain TIMESTAMP says nothing of its zone, so a living worker's row can read as expired for hours. A second look, a
    /// heartbeat's interval later, tells: a row that moves is a worker that lives.
    pub(super) async fn moving(&self, suspects: &[Look]) -> Result<Vec<(String, i64)>> {
        if suspects.is_empty() || !self.store.zoneless().await? {
            return Ok(Vec::new());
        }
        let leases: Vec<&Lease> = suspects.iter().filter_map(|look| look.lease.as_ref()).collect();
        let longest = leases.iter().filter_map(|lease| lease.ttl_ms).max().unwrap_or_default();
        // The library's heartbeats come every third of the time to live, or more often.
        let beat = Duration::from_millis(u64::try_from(longest / 3).unwrap_or_default()) + Duration::from_secs(1);
        tokio::time::sleep(beat.min(LONGEST_LOOK)).await;
        let keys: Vec<String> = leases.iter().map(|lease| lease.key.clone()).collect();
        let again = self.store.look_all(&keys, 0).await?;
        let moved = suspects.iter().zip(again).filter_map(|(first, second)| {
            let (before, after) = (first.lease.as_ref()?, second.lease?);
            let offset = offset_behind(before, first.now)?;
            let same_run = before.fencing_token == after.fencing_token && before.status == after.status;
            (same_run && before.lease_updated_at != after.lease_updated_at).then_some((after.key, offset))
        });
        Ok(moved.collect())
    }

    /// Makes the changes of one lease, until one does not apply.
    async fn apply_one(&self, target: &LeaseTarget, permit: &WritePermit) -> Item {
        let subject = || Subject::new(NAME, Kind::Lease, target.key.as_str());
        let mut token = None;
        let mut done = Vec::new();
        let mut before = 0;
        let mut changes: Vec<RowChange> = Vec::new();
        for step in &target.steps {
            let act = match lease_act(&target.key, step, token, permit) {
                Ok(act) => act,
                Err(error) => return Item::new(subject(), Outcome::Failed, error.to_string()),
            };
            match self.store.act(&act, permit).await {
                Ok(Some(acted)) => {
                    token = Some(acted.token);
                    changes = both(changes, acted.changes);
                    done.push(act.verb.done());
                }
                Ok(None) => {
                    let own = self.own_record(&act, permit).await;
                    if let Some(Some(drawn)) = own {
                        token = drawn;
                        done.push(act.verb.done());
                        before += 1;
                        continue;
                    }
                    let (outcome, now) = self.what_is_there(&act).await;
                    let nothing = if done.is_empty() { "; nothing was written" } else { "" };
                    return Item::new(subject(), outcome, after(&done, &now) + nothing)
                        .own(own.map(|_| false))
                        .with_token(token)
                        .partly(!done.is_empty())
                        .changing(changes);
                }
                Err(error) => {
                    let mut item = Item::failed(subject(), &error);
                    item.detail = after(&done, &item.detail);
                    return item.with_token(token).partly(!done.is_empty()).changing(changes);
                }
            }
        }
        let done = done.join(" and ");
        if before == target.steps.len() {
            return Item::new(subject(), Outcome::AlreadyDone, done + " by this operation before").with_token(token);
        }
        // Of what was done before by this operation only a part of the rows is known.
        let changes = if before == 0 { changes } else { Vec::new() };
        Item::new(subject(), Outcome::Applied, done).with_token(token).changing(changes)
    }

    /// Of an operation that may have been begun before: the token that its own record of this change names. `Some(None)`: there is
    /// no such record, and there would be; `None`: none is kept that would tell.
    async fn own_record(&self, act: &LeaseAct, permit: &WritePermit) -> Option<Option<Option<i64>>> {
        if !permit.may_have_begun() {
            return Some(None);
        }
        let events = self.store.events(&act.key, Some(RECORDS)).await.ok()?.rows;
        let operation = permit.operation().to_string();
        let own = events.iter().rev().find(|event| {
            let note = event.metadata.as_deref().and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
            note.is_some_and(|note| note["operation"] == operation && note["act"] == act.verb.name())
        });
        if let Some(own) = own {
            return Some(Some(own.fencing_token));
        }
        // An event without a note says what was done, and not by whom.
        let untold = events.iter().any(|event| event.event == act.verb.event() && event.metadata.is_none());
        (!untold && (events.len() as i64) < RECORDS).then_some(None)
    }

    /// Whether a lease is what the first step of a target requires.
    fn still(target: &LeaseTarget, look: Look) -> Item {
        let subject = Subject::new(NAME, Kind::Lease, target.key.as_str());
        let Some(step) = target.steps.first() else { return Item::still(subject) };
        let Some(lease) = look.lease else { return Item::new(subject, Outcome::Missing, "it is gone") };
        let moved = matches!(step.verb, Verb::TakeOver { .. }) && lease.lease_updated_at != step.updated;
        if !moved && step.token.is_some() && unchanged(&step.verb, step.token, &lease) {
            return Item::still(subject);
        }
        Item::new(subject, Outcome::Changed, is_now(&lease))
    }

    /// Re-reads a lease whose guard did not match, to say what it is now.
    async fn what_is_there(&self, act: &LeaseAct) -> (Outcome, String) {
        match self.store.look(&act.key, 0).await {
            Ok(look) => match look.lease {
                None => (Outcome::Missing, "it no longer exists".into()),
                Some(lease)
                    if matches!(act.verb, Verb::TakeOver { .. })
                        && lease.fencing_token == Some(act.token)
                        && lease.status.as_str() == act.verb.required()
                        && lease.lease_updated_at != act.updated =>
                {
                    (Outcome::Changed, "its row was extended since it was looked at: its worker lives".into())
                }
                Some(lease) if unchanged(&act.verb, Some(act.token), &lease) => {
                    (Outcome::Changed, suppressed("sentinel_leases"))
                }
                Some(lease) => (Outcome::Changed, is_now(&lease)),
            },
            Err(error) => {
                (Outcome::Changed, format!("it has changed since it was looked at, and cannot be read now: {error}"))
            }
        }
    }
}

/// What became of a lease that is not as it was seen.
fn is_now(lease: &Lease) -> String {
    let state = state(&lease.status, lease.alive, lease.hard_alive).name();
    let token = lease.fencing_token.map_or_else(|| "unreadable".into(), |token| token.to_string());
    format!("it has changed since it was looked at: now {state}, token {token}")
}

/// Whether a lease is all that an act requires: then it was not its guard that kept the row from being changed.
fn unchanged(verb: &Verb, token: Option<i64>, lease: &Lease) -> bool {
    let over = lease.alive == Some(false);
    let in_time = match *verb {
        Verb::TakeOver { before_hard_limit } => over && (before_hard_limit || lease.hard_alive != Some(true)),
        Verb::Release => over,
        Verb::Complete(_) | Verb::Reset | Verb::Forget => true,
    };
    in_time && lease.fencing_token == token && lease.status.as_str() == verb.required()
}

/// Why a step came to nothing, after what the steps before it did: that stays.
fn after(done: &[&str], why: &str) -> String {
    if done.is_empty() { why.to_owned() } else { format!("{}, but then {why}", done.join(" and ")) }
}

fn lease_act(key: &str, step: &LeaseStep, drawn: Option<i64>, permit: &WritePermit) -> Result<LeaseAct> {
    // A settlement right after a take-over is guarded by the token that one drew.
    let defect = || Error::new(ErrorKind::Internal, "no token is known that the row must have");
    let token = step.token.or(drawn).ok_or_else(defect)?;
    let note = serde_json::json!({
        "tool": "sen",
        "act": step.verb.name(),
        "operation": permit.operation().to_string(),
        "who": permit.operator(),
        "why": permit.reason(),
        "before": { "status": step.verb.required(), "fencing_token": token.to_string() },
    });
    Ok(LeaseAct { key: key.to_owned(), verb: step.verb.clone(), token, updated: step.updated, note: note.to_string() })
}

/// Leases that are acted on one after the other.
struct Leases<'a> {
    sentinel: &'a Sentinel,
    targets: &'a [LeaseTarget],
    permit: &'a WritePermit,
}

#[async_trait]
impl Targets for Leases<'_> {
    fn subject(&self, place: usize) -> Subject {
        Subject::new(NAME, Kind::Lease, self.targets[place].key.as_str())
    }

    async fn apply(&mut self, places: &[usize]) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        for place in places {
            items.push(self.sentinel.apply_one(&self.targets[*place], self.permit).await);
        }
        Ok(items)
    }
}

#[async_trait]
impl Apply<LeaseAction> for Sentinel {
    async fn apply(&self, plan: &Plan, action: LeaseAction, applying: Applying<'_>) -> Result<Report> {
        let Applying { permit, observer, brakes, .. } = applying;
        let mut leases = Leases { sentinel: self, targets: &action.0, permit };
        Ok(run_batch(&mut [&mut leases], plan, action.0.len(), Pace::SINGLE.braked(brakes), permit, observer).await)
    }

    async fn check(&self, action: &LeaseAction) -> Result<Vec<Item>> {
        let mut items = Vec::with_capacity(action.0.len());
        for part in action.0.chunks(LOOKED_AT) {
            let keys: Vec<String> = part.iter().map(|target| target.key.clone()).collect();
            let looks = self.store.look_all(&keys, 0).await?;
            items.extend(part.iter().zip(looks).map(|(target, look)| Self::still(target, look)));
        }
        Ok(items)
    }
}

#[async_trait]
impl Apply<InitAction> for Sentinel {
    async fn apply(&self, plan: &Plan, _: InitAction, applying: Applying<'_>) -> Result<Report> {
        let mut report = Report::new(plan.operation);
        report.items = self.store.init(applying.permit).await?;
        report.items.iter().enumerate().for_each(|(place, item)| applying.observer.settled(place, item));
        Ok(report)
    }

    async fn check(&self, action: &InitAction) -> Result<Vec<Item>> {
        let seen = self.store.relations().await?;
        let item = |relation: &Relation| {
            let subject = Subject::new(NAME, Kind::Relation, relation.name.as_str());
            match (relation.exists, seen.contains(&relation.name)) {
                (false, true) => Item::new(subject, Outcome::AlreadyDone, "it is there by now"),
                (true, false) => Item::new(subject, Outcome::Changed, "it was there and is gone"),
                _ => Item::still(subject),
            }
        };
        Ok(action.0.iter().map(item).collect())
    }
}

/// The namespace that all of these keys have, with its colon.
fn namespace_of(keys: &[String]) -> Option<&str> {
    let of = |key: &str| key.find(':').map(|at| at + 1);
    let first = keys.first()?;
    let prefix = &first[..of(first)?];
    keys.iter().all(|key| of(key) == Some(prefix.len()) && key.starts_with(prefix)).then_some(prefix)
}

/// That a result is unlike those that later callers get of other keys: an object where those are none, or the other way.
fn unlike(result: &str, prefix: &str, objects: bool) -> Option<String> {
    let object = result.trim_start().starts_with('{');
    (object != objects).then(|| {
        let (this, others) = if object { ("an object", "are not") } else { ("no JSON object", "are objects") };
        format!(
            "the result is {this}, and those of other completed keys of {} {others}: callers get it as the return value",
            prefix.trim_end_matches(':')
        )
    })
}

/// Refuses a result that jsonb cannot hold, before anything is written.
fn storable(result: &str) -> Result<()> {
    if let Err(error) = super::record::parse_json(result) {
        return Err(Error::usage("the result is not valid JSON")
            .with_source(error)
            .with_hint("quote text: '\"done\"'"));
    }
    if holds_nul(result) {
        return Err(Error::usage("the result holds \\u0000, which PostgreSQL's jsonb cannot store"));
    }
    Ok(())
}

/// Whether a JSON text escapes a NUL somewhere: an odd number of backslashes before `u0000`.
fn holds_nul(json: &str) -> bool {
    json.match_indices("u0000").any(|(at, _)| {
        let slashes = json[..at].bytes().rev().take_while(|byte| *byte == b'\\').count();
        slashes % 2 == 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_that_cannot_be_stored_are_refused_first() {
        assert!(storable(r#"{"ok":true}"#).is_ok() && storable("null").is_ok() && storable(r#""\\u0000""#).is_ok());
        assert!(storable("{ok:true}").is_err() && storable("").is_err() && storable("1 2").is_err());
        assert!(storable(r#"["\u0000"]"#).is_err() && storable(r#""\\\u0000""#).is_err());
    }
}
