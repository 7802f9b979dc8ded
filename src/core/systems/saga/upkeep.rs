//! What `sen doctor` and `sen grants` should know of saga tables. Pure.

use super::shape::{Models, Table};
use crate::model::checkup::{Check, Checkup, IndexWish, Need};
use crate::model::verdict::Severity;

/// What would serve `sen saga list --stuck`: without it the server reads every running saga, which is what the index on the
/// status alone leaves it to do. `sen` only says so; it never creates anything in somebody's tables.
const STUCK: &str = "(updated_at)";

pub(super) fn checkup(models: &Models, privileges: bool) -> Checkup {
    let mut checkup = Checkup::default();
    if privileges {
        let need = |table: &Table, acts: &'static [&'static str]| Need { object: table.full(), sequence: false, acts };
        for model in &models.models {
            checkup.needs.push(need(&model.state, &["UPDATE"]));
            if let Some(history) = &model.history {
                checkup.needs.push(need(history, &["INSERT"]));
                let numbers = |name: &String| Need { object: name.clone(), sequence: true, acts: &["USAGE"] };
                checkup.needs.extend(history.sequence.as_ref().map(numbers));
            }
            checkup.indexes.push(IndexWish {
                table: model.state.full(),
                first: "updated_at",
                columns: STUCK,
                used_by: "`sen saga list`, newest change first",
            });
        }
        checkup.needs.extend(models.outboxes.iter().map(|table| need(table, &["UPDATE"])));
        checkup.needs.extend(models.inboxes.iter().map(|table| need(table, &["INSERT", "UPDATE"])));
    }
    for model in &models.models {
        let shown = model.state.shown();
        if !model.writable() {
            let text = format!("the history table of {shown} is not known: sagas there can be read, not acted on");
            checkup.checks.push(Check::new(Severity::Warning, "sagas", text));
        }
        checkup.checks.extend(model.doubts.iter().map(|doubt| Check::new(Severity::Warning, "sagas", doubt.clone())));
    }
    checkup
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::systems::saga::shape::Model;

    #[test]
    fn what_acts_need_and_what_is_doubtful_is_said() {
        let table = |number, name: &str| Table {
            number,
            schema: Some("Od d".into()),
            name: name.into(),
            fields: Vec::new(),
            references: None,
            sequence: None,
            rows: None,
        };
        let model = Model {
            state: table(1, "s"),
            history: None,
            outbox: None,
            inbox: None,
            doubts: vec!["which outbox".into()],
        };
        let models = Models { models: vec![model], outboxes: vec![table(2, "o")], inboxes: Vec::new() };
        let checkup = checkup(&models, true);
        assert_eq!(checkup.needs[0].object, "\"Od d\".\"s\"");
        assert_eq!(checkup.checks.len(), 2);
    }
}
