//! What `sen doctor` and `sen grants` should know of saga tables. Pure.

use super::port::Census;
use super::shape::{Models, Table};
use super::verdict::State;
use crate::model::checkup::{Check, Checkup, IndexWish, Need};
use crate::model::verdict::Severity;

/// What would serve `sen saga list --stuck`: without it the server reads every running saga, which is what the index on the
/// status alone leaves it to do. `sen` only says so; it never creates anything in somebody's tables.
const STUCK: &str = "(updated_at)";

pub(super) fn checkup(models: &Models, census: &Census, privileges: bool) -> Checkup {
    let mut checkup = Checkup { checks: orphans(census), ..Checkup::default() };
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

/// What nobody will bring further by itself (python-saga-orchestrator 0.1.1 and 0.7.3: `run_due` asks for a deadline that has
/// passed; a message in DISPATCHING or PROCESSING is never claimed again).
fn orphans(census: &Census) -> Vec<Check> {
    let topic = "orphans";
    let of = |state: State| -> i64 {
        census.sagas.iter().filter(|group| State::parse(&group.state) == Some(state)).map(|group| group.count).sum()
    };
    let mut checks = Vec::new();
    let mut say = |count: i64, one: &str, many: &str, remedy: &str| {
        if count > 0 {
            let text = format!("{count} {}", if count == 1 { one } else { many });
            checks.push(Check::new(Severity::Warning, topic, text).with_remedy(remedy));
        }
    };
    say(
        of(State::Stuck),
        "saga is active and has no deadline: no poll picks it up",
        "sagas are active and have no deadline: no poll picks them up",
        "sen saga list --stuck   # sen saga unstick ID makes one due",
    );
    say(
        census.dead,
        "message of an outbox or inbox failed, or was left in the hands of a process that is gone",
        "messages of outboxes and inboxes failed, or were left in the hands of processes that are gone",
        "sen dlq groups --system saga   # sen dlq replay --group GROUP makes them due",
    );
    if checks.is_empty() {
        checks.push(Check::new(Severity::Ok, topic, "every active saga has a deadline, and no message is left behind"));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::systems::saga::port::Group;
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
        let checkup = checkup(&models, &Census::default(), true);
        assert_eq!(checkup.needs[0].object, "\"Od d\".\"s\"");
        assert_eq!(checkup.checks.iter().filter(|check| check.severity == Severity::Warning).count(), 2);
    }

    #[test]
    fn what_nobody_picks_up_is_told_with_what_to_type() {
        let group = |state: State, count| Group { table: 1, state: state.name().into(), count, oldest: None };
        let census =
            Census { sagas: vec![group(State::Stuck, 1), group(State::Completed, 9)], dead: 3, ..Census::default() };
        let told = orphans(&census);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].text.starts_with("1 saga is active"), "{told:?}");
        assert!(told[1].text.starts_with("3 messages"), "{told:?}");
        assert!(told.iter().all(|check| check.severity == Severity::Warning && check.remedy.is_some()));
        assert_eq!(orphans(&Census::default())[0].severity, Severity::Ok);
    }
}
