//! What `sen doctor` and `sen grants` should know of saga tables. Pure.

use super::port::Census;
use super::shape::{Models, Table};
use sen_model::diagnostics::{Check, Diagnostics, RecommendedIndex, RequiredPrivilege};
use sen_model::verdict::Severity;

/// What would serve `sen saga list --stuck`: without it the server reads every running saga, which is what the index on the
/// status alone leaves it to do. `sen` only reports it; it never creates indexes.
const STUCK: &str = "(updated_at)";

pub(super) fn diagnostics(models: &Models, census: &Census, privileges: Option<&[(i64, String)]>) -> Diagnostics {
    let mut diagnostics = Diagnostics { checks: fit(models, census), ..Diagnostics::default() };
    if let Some(sequences) = privileges {
        let need = |table: &Table, acts: &'static [&'static str]| RequiredPrivilege {
            object: table.full(),
            sequence: false,
            acts,
        };
        for model in &models.models {
            diagnostics.needs.push(need(&model.state, &["UPDATE"]));
            if let Some(history) = &model.history {
                diagnostics.needs.push(need(history, &["INSERT"]));
                let own = sequences.iter().filter(|(table, _)| *table == history.number);
                let numbers =
                    |name: &String| RequiredPrivilege { object: name.clone(), sequence: true, acts: &["USAGE"] };
                diagnostics.needs.extend(own.map(|(_, name)| numbers(name)));
            }
            diagnostics.indexes.push(RecommendedIndex {
                table: model.state.full(),
                first: "updated_at",
                columns: STUCK,
                used_by: "`sen saga list`, newest change first",
                worth: "",
                severity: Severity::Warning,
            });
        }
        diagnostics.needs.extend(models.outboxes.iter().map(|table| need(table, &["UPDATE"])));
        diagnostics.needs.extend(models.inboxes.iter().map(|table| need(table, &["INSERT", "UPDATE", "DELETE"])));
    }
    for model in &models.models {
        let shown = model.state.shown();
        if !model.writable() {
            let text = format!("the history table of {shown} is not known: sagas there can be read, not acted on");
            diagnostics.checks.push(Check::new(Severity::Warning, "sagas", text));
        }
        diagnostics
            .checks
            .extend(model.doubts.iter().map(|doubt| Check::new(Severity::Warning, "sagas", doubt.clone())));
    }
    diagnostics
}

/// Enum types without labels that the library needs: `create_all` leaves a type that is there as it is, and migrations that
/// are generated do not add labels.
fn fit(models: &Models, census: &Census) -> Vec<Check> {
    let mut checks = Vec::new();
    for model in &models.models {
        let (shown, version) = (model.state.shown(), model.version());
        let late = census.unwritable.iter().any(|(table, ..)| *table == model.state.number);
        for lack in model.lacks() {
            let labels = lack.labels.join(" and ");
            let (severity, text) = if lack.labels.contains(&"COMPENSATING_SUSPENDED") {
                let text = format!(
                    "this library version cannot work on these tables: {shown} fits library {version}, which can neither start \
                     nor poll sagas while its type {} lacks {labels}",
                    lack.kind
                );
                (Severity::Critical, text)
            } else if lack.every {
                let now =
                    if late { "each poll fails now, and no saga goes on" } else { "from then on each poll fails" };
                let text = format!(
                    "this library version cannot work on these tables: {shown} fits library {version}, which cannot record that \
                     a wait for an event is over while type {} lacks {labels}: {now}",
                    lack.kind
                );
                (if late { Severity::Critical } else { Severity::Warning }, text)
            } else if lack.labels.contains(&"TIMEOUT") && late {
                let text = format!(
                    "waits of {shown} are over for long and type {} lacks {labels}: if the library is 0.4.0 or later, each poll \
                     fails at that, and no saga goes on",
                    lack.kind
                );
                (Severity::Critical, text)
            } else {
                continue;
            };
            checks.push(Check::new(severity, "sagas", text).with_remedy(lack.statements()));
        }
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Model;

    #[test]
    fn what_acts_need_and_what_is_doubtful_is_said() {
        let table = |number, name: &str| Table {
            number,
            schema: Some("Od d".into()),
            name: name.into(),
            fields: Vec::new(),
            references: None,
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
        let diagnostics = diagnostics(&models, &Census::default(), Some(&[]));
        assert_eq!(diagnostics.needs[0].object, "\"Od d\".\"s\"");
        assert_eq!(diagnostics.checks.iter().filter(|check| check.severity == Severity::Warning).count(), 2);
    }
}
