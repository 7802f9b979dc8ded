//! Ending an execution with the result of its root task, where its worker did not.

use std::collections::HashMap;

use super::one::failed;
use super::{Complete, EXECUTION, Kept, announce, refused, rules};
use crate::letters::act_note;
use crate::{NAME, Stent};
use sen_model::error::Result;
use sen_model::observe::Observer;
use sen_model::permit::WritePermit;
use sen_model::plan::{Gravity, Plan, Step};
use sen_model::report::{Outcome, Report};
use sen_model::subject::Subject;
use sen_model::time::Timestamp;
use sen_model::value::Value;

impl Stent {
    pub(super) async fn plan_complete(&self, ids: &[String]) -> Result<Plan> {
        let noun = if ids.len() == 1 { "execution" } else { "executions" };
        let gravity = if ids.len() > 1 { Gravity::Grave } else { Gravity::Harmless };
        let mut plan = Plan::new(format!("complete {} {noun}", ids.len()), self.store.database(), gravity);
        let mut executions = HashMap::new();
        for id in ids {
            let look = self.store.find(id, 0, false).await?;
            let Some(whole) = look.execution else {
                plan.refused.push(refused(id, Outcome::Missing, "there is no such execution"));
                continue;
            };
            match rules::complete(&whole, self.zone.wall(look.now)) {
                Ok(root) => {
                    let mut step = Step::new(Subject::new(NAME, EXECUTION, id), "complete");
                    step.guard = vec![
                        ("state", Value::Name(whole.execution.state.name().unwrap_or("other"))),
                        ("root_task_id", Value::Text(root.id.clone())),
                    ];
                    step.warnings = vec![format!("it ends with the stored result of its root task {}", root.id)];
                    plan.steps.push(step);
                    executions.insert(id.clone(), (whole.execution.state.as_str().to_owned(), root.id.clone()));
                }
                Err((outcome, why)) => plan.refused.push(refused(id, outcome, why)),
            }
        }
        self.acts()?.keep(&plan, Kept::Complete(executions));
        Ok(plan)
    }

    pub(super) async fn complete_all(
        &self,
        plan: &Plan,
        executions: &HashMap<String, (String, String)>,
        permit: &WritePermit,
        observer: &dyn Observer,
    ) -> Result<Report> {
        let mut report = Report::new(plan.operation);
        let note = act_note(permit);
        observer.begin(&plan.summary, Some(plan.targets()));
        for step in &plan.steps {
            let id = step.subject.id.as_str();
            let Some((seen, task)) = executions.get(id) else { continue };
            if permit.is_revoked() {
                report.items.push(refused(id, Outcome::Skipped, "interrupted before it was begun"));
                continue;
            }
            let ahead = self.zone.ahead_at(Timestamp::here());
            let complete = Complete { id, seen, task, ahead, note: &note };
            report.items.push(match self.acts()?.store.complete(&complete, permit).await {
                Ok(true) => {
                    announce(observer, "execution", id, "completed");
                    refused(id, Outcome::Applied, format!("completed with the result of its root task {task}"))
                }
                Ok(false) => self.what_is_there(id, None, "completed").await,
                Err(error) => failed(id, &error),
            });
            observer.advance(1);
        }
        report.items.extend(plan.refused.iter().cloned());
        Ok(report)
    }
}
