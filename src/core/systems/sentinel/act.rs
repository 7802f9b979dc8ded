//! Plans and their application: the road from a wish to a report. Rules are in `remedy.rs`, SQL in the cells.

use super::port::{LeaseAct, RELATIONS, Verb};
use super::record::Lease;
use super::remedy::{self, PAST_LIMIT, TOKEN};
use super::verdict::{state, taken_over};
use super::{NAME, Sentinel};
use crate::error::{Error, ErrorKind, Result};
use crate::model::plan::{Gravity, Plan, Step};
use crate::model::report::{Item, Outcome, Report};
use crate::model::subject::Subject;
use crate::model::value::Value;
use crate::observe::Observer;
use crate::permit::WritePermit;
use crate::system::{Decision, Request};

/// How many events are read to tell who took a key over.
const RECENT: u32 = 20;

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
        for id in ids {
            let look = self.store.look(id, RECENT).await?;
            match look.lease {
                None => {
                    let subject = Subject::new(NAME, "lease", id);
                    plan.refused.push(Item::new(subject, Outcome::Missing, "there is no such lease"));
                }
                Some(lease) => match judge(&lease) {
                    Ok(steps) => plan.steps.extend(steps),
                    Err(mut refusal) => {
                        let events = look.events.as_ref().map_or(&[][..], |events| &events.rows);
                        let other = taken_over(&lease, events, look.now);
                        refusal.detail.extend(other.map(|other| format!(" ({other})")));
                        plan.refused.push(*refusal);
                    }
                },
            }
        }
        // What was taken over before is only settled.
        let anew = plan.steps.is_empty() || plan.steps.iter().any(|step| step.act == "take_over");
        let what = if anew { what } else { what.trim_start_matches("take over and ") };
        plan.summary = format!("{what} {} {noun}", ids.len());
        Ok(plan)
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
                    let (outcome, now) = self.what_is_there(&act.key).await;
                    let nothing = if done.is_empty() { "; nothing was written" } else { "" };
                    return Item::new(subject, outcome, after(&done, &now) + nothing)
                        .with_token(token)
                        .partly(!done.is_empty());
                }
                Err(error) => {
                    let outcome = match error.kind() {
                        ErrorKind::OutcomeUnknown => Outcome::Unknown,
                        ErrorKind::Changed | ErrorKind::Refused => Outcome::Changed,
                        _ => Outcome::Failed,
                    };
                    let mut why = error.to_string();
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
    async fn what_is_there(&self, key: &str) -> (Outcome, String) {
        match self.store.look(key, 0).await {
            Ok(look) => match look.lease {
                None => (Outcome::Missing, "it is gone".into()),
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
    Ok(LeaseAct { key: step.subject.id.clone(), verb, token: seen, note: note.to_string() })
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
