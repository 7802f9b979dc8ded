//! Plans and their application: the road from a wish to a report. Rules are in `remedy.rs`, SQL in the cells.

use std::time::Duration;

use super::port::{LeaseAct, Look, RELATIONS, Verb};
use super::record::{Lease, offset_behind};
use super::remedy::{self, PAST_LIMIT, TOKEN, UPDATED};
use super::verdict::{state, taken_over};
use super::{NAME, Sentinel};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::observe::Observer;
use sen_model::permit::WritePermit;
use sen_model::plan::{Gravity, Plan, Step};
use sen_model::report::{Item, Outcome, Report};
use sen_model::request::{Decision, Request};
use sen_model::subject::Subject;
use sen_model::time::humane;
use sen_model::value::Value;

/// How many events are read to tell who took a key over.
const RECENT: u32 = 20;

/// No plan takes longer than this for its second look.
const LONGEST_LOOK: Duration = Duration::from_secs(20);

type Judgement = Result<Vec<Step>, Box<Item>>;

impl Sentinel {
    /// Looks at what a request is about and says what would be written.
    pub(super) async fn make_plan(&self, request: &Request) -> Result<Plan> {
        match request {
            Request::Init => self.plan_init().await,
            Request::Reconcile { ids, token, before_hard_limit, decision } => {
                let decision = decision.as_ref();
                let (what, grave) = match decision {
                    None => ("take over", false),
                    Some(Decision::Completed(result)) => {
                        storable(result)?;
                        self.store.storable(result).await?;
                        ("take over and complete", true)
                    }
                    Some(Decision::NeverHappened) => ("take over and reset", true),
                };
                let judge = |lease: &Lease| remedy::reconcile(lease, *token, *before_hard_limit, decision);
                self.plan_leases(what, grave, ids, judge).await
            }
            Request::Release { ids } => self.plan_leases("release", false, ids, remedy::release).await,
            Request::Forget { ids } => self.plan_leases("forget the result of", true, ids, remedy::forget).await,
            _ => Err(Error::usage("leases know no such act")),
        }
    }

    async fn plan_init(&self) -> Result<Plan> {
        let mut plan = Plan::new("create the Sentinel tables", self.store.database(), Gravity::Harmless);
        let seen = self.store.relations().await?;
        let act = |name: &str| if seen.iter().any(|have| have == name) { "keep" } else { "create" };
        plan.steps = RELATIONS.iter().map(|name| Step::new(Subject::new(NAME, "relation", *name), act(name))).collect();
        Ok(plan)
    }

    async fn plan_leases(
        &self,
        what: &str,
        grave: bool,
        ids: &[String],
        judge: impl Fn(&Lease) -> Judgement,
    ) -> Result<Plan> {
        let noun = if ids.len() == 1 { "key" } else { "keys" };
        let gravity = if grave || ids.len() > 1 { Gravity::Grave } else { Gravity::Harmless };
        let mut plan = Plan::new(String::new(), self.store.database(), gravity);
        let mut suspects: Vec<Look> = Vec::new();
        for (id, look) in ids.iter().zip(self.store.look_all(ids, RECENT).await?) {
            match look.lease {
                None => {
                    let subject = Subject::new(NAME, "lease", id);
                    plan.refused.push(Item::new(subject, Outcome::Missing, "there is no such lease"));
                }
                Some(lease) => match judge(&lease) {
                    Ok(steps) => {
                        let taken = steps.iter().any(|step| step.act == "take_over");
                        if taken && offset_behind(&lease, look.now).is_some() {
                            suspects.push(Look { lease: Some(lease), ..look });
                        }
                        plan.steps.extend(steps);
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
            plan.steps.retain(|step| step.subject.id != key);
            let why = format!(
                "its row was extended while it was looked at twice: its worker lives, and writes times {} behind the server's zone (`sen doctor`)",
                humane(offset)
            );
            plan.refused.push(Item::new(Subject::new(NAME, "lease", key), Outcome::Changed, why));
        }
        // What was taken over before is only settled.
        let anew = plan.steps.is_empty() || plan.steps.iter().any(|step| step.act == "take_over");
        let what = if anew { what } else { what.trim_start_matches("take over and ") };
        plan.summary = format!("{what} {} {noun}", ids.len());
        Ok(plan)
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

    /// Writes what a plan says: per subject its steps in order, each in a transaction of its own, until one does not apply.
    pub(super) async fn carry_out(&self, plan: &Plan, permit: &WritePermit, observer: &dyn Observer) -> Result<Report> {
        let mut report = Report::new(plan.operation);
        if plan.steps.iter().any(|step| step.subject.kind == "relation") {
            report.items = self.store.init(permit).await?;
            return Ok(report);
        }
        observer.begin(&plan.summary, Some(plan.targets()));
        let mut rest = plan.steps.as_slice();
        while let Some(first) = rest.first() {
            let count = rest.iter().take_while(|step| step.subject == first.subject).count();
            let (steps, others) = rest.split_at(count);
            rest = others;
            if permit.is_revoked() {
                report.items.push(Item::new(
                    first.subject.clone(),
                    Outcome::Skipped,
                    "interrupted before it was begun",
                ));
                continue;
            }
            let item = self.carry_out_subject(steps, permit).await;
            report.items.push(item);
            observer.advance(1);
        }
        report.items.extend(plan.refused.iter().cloned());
        Ok(report)
    }

    async fn carry_out_subject(&self, steps: &[Step], permit: &WritePermit) -> Item {
        let mut token = None;
        let mut done = Vec::new();
        for step in steps {
            let subject = step.subject.clone();
            let act = match lease_act(step, token, permit) {
                Ok(act) => act,
                Err(error) => return Item::new(subject, Outcome::Failed, error.to_string()),
            };
            match self.store.act(&act, permit).await {
                Ok(Some(acted)) => {
                    token = Some(acted.token);
                    done.push(past_tense(&act.verb));
                }
                Ok(None) => {
                    let (outcome, now) = self.what_is_there(&act).await;
                    let nothing = if done.is_empty() { "; nothing was written" } else { "" };
                    return Item::new(subject, outcome, after(&done, &now) + nothing)
                        .with_token(token)
                        .partly(!done.is_empty());
                }
                Err(error) => {
                    let outcome = match error.kind() {
                        ErrorKind::OutcomeUnknown => Outcome::Unknown,
                        ErrorKind::Changed | ErrorKind::KeptOut | ErrorKind::Refused => Outcome::Changed,
                        _ => Outcome::Failed,
                    };
                    let mut why = error.to_string();
                    // Where there is no connection, nothing was sent.
                    if error.kind() == ErrorKind::Connect {
                        why.insert_str(0, "not begun: ");
                    }
                    why.extend(error.causes().iter().map(|cause| format!(": {cause}")));
                    why.extend(error.hint().map(|hint| format!(" ({hint})")));
                    return Item::new(subject, outcome, after(&done, &why))
                        .with_token(token)
                        .partly(!done.is_empty())
                        .lost(error.is_of_the_connection());
                }
            }
        }
        let Some(step) = steps.first() else {
            return Item::new(Subject::new(NAME, "lease", ""), Outcome::Skipped, "nothing to do");
        };
        Item::new(step.subject.clone(), Outcome::Applied, done.join(" and ")).with_token(token)
    }

    /// Re-reads a lease whose guard did not match, to say what it is now.
    async fn what_is_there(&self, act: &LeaseAct) -> (Outcome, String) {
        match self.store.look(&act.key, 0).await {
            Ok(look) => match look.lease {
                None => (Outcome::Missing, "it is gone".into()),
                Some(lease)
                    if matches!(act.verb, Verb::TakeOver { .. })
                        && lease.fencing_token == Some(act.token)
                        && lease.status.as_str() == act.verb.required()
                        && lease.lease_updated_at != act.updated =>
                {
                    (Outcome::Changed, "its row was extended since it was looked at: its worker lives".into())
                }
                Some(lease) if unchanged(act, &lease) => {
                    (Outcome::Changed, sen_model::report::suppressed("sentinel_leases"))
                }
                Some(lease) => {
                    let state = state(&lease.status, lease.alive, lease.hard_alive).name();
                    let token = lease.fencing_token.map_or_else(|| "unreadable".into(), |token| token.to_string());
                    (Outcome::Changed, format!("it has changed since it was looked at: now {state}, token {token}"))
                }
            },
            Err(error) => {
                (Outcome::Changed, format!("it has changed since it was looked at, and cannot be read now: {error}"))
            }
        }
    }
}

/// Whether a lease is all that an act requires: then it was not its guard that kept the row from being changed.
fn unchanged(act: &LeaseAct, lease: &Lease) -> bool {
    let over = lease.alive == Some(false);
    let in_time = match act.verb {
        Verb::TakeOver { before_hard_limit } => over && (before_hard_limit || lease.hard_alive != Some(true)),
        Verb::Release => over,
        Verb::Complete(_) | Verb::Reset | Verb::Forget => true,
    };
    in_time && lease.fencing_token == Some(act.token) && lease.status.as_str() == act.verb.required()
}

/// Why a step came to nothing, after what the steps before it did: that stays.
fn after(done: &[&str], why: &str) -> String {
    if done.is_empty() { why.to_owned() } else { format!("{}, but then {why}", done.join(" and ")) }
}

const fn past_tense(verb: &Verb) -> &'static str {
    match verb {
        Verb::TakeOver { .. } => "taken over",
        Verb::Complete(_) => "completed",
        Verb::Reset => "reset",
        Verb::Release => "released",
        Verb::Forget => "forgotten",
    }
}

fn lease_act(step: &Step, drawn: Option<i64>, permit: &WritePermit) -> Result<LeaseAct> {
    let defect = || Error::new(ErrorKind::Internal, format!("the step {:?} is not one of a lease", step.act));
    let verb = match step.act {
        "take_over" => Verb::TakeOver { before_hard_limit: step.guarded(PAST_LIMIT) == Some(&Value::Bool(false)) },
        "complete" => Verb::Complete(step.input.clone().ok_or_else(defect)?),
        "reset" => Verb::Reset,
        "release" => Verb::Release,
        "forget" => Verb::Forget,
        _ => return Err(defect()),
    };
    let seen = match step.guarded(TOKEN) {
        Some(Value::Big(token)) => *token,
        // A settlement right after a take-over is guarded by the token that one drew.
        Some(Value::Null) => drawn.ok_or_else(defect)?,
        _ => return Err(defect()),
    };
    let before = serde_json::json!({
        "status": step.guarded("status").and_then(|value| if let Value::Name(name) = value { Some(*name) } else { None }),
        "fencing_token": seen.to_string(),
    });
    let note = serde_json::json!({
        "tool": "sen",
        "act": verb.name(),
        "operation": permit.operation().to_string(),
        "who": permit.operator(),
        "why": permit.reason(),
        "before": before,
    });
    let updated = match step.guarded(UPDATED) {
        Some(Value::Time(updated)) => Some(*updated),
        _ => None,
    };
    Ok(LeaseAct { key: step.subject.id.clone(), verb, token: seen, updated, note: note.to_string() })
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
