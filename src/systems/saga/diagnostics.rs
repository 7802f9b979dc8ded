//! What `sen doctor` and `sen grants` should know of saga tables. Pure.

use super::port::Census;
use super::record::Mailbox;
use super::shape::{Models, Table};
use super::state::State;
use sen_model::diagnostics::{Check, Diagnostics, RecommendedIndex, RequiredPrivilege};
use sen_model::verdict::Severity;

/// What would serve `sen saga list --stuck`: without it the server reads every running saga, which is what the index on the
/// status alone leaves it to do. `sen` only reports it; it never creates indexes.
const STUCK: &str = "(updated_at)";

pub(super) fn diagnostics(models: &Models, census: &Census, privileges: Option<&[(i64, String)]>) -> Diagnostics {
    let mut diagnostics = Diagnostics { checks: fit(models, census), ..Diagnostics::default() };
    diagnostics.checks.extend(orphans(census));
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

/// What does not progress by itself (python-saga-orchestrator 0.1.1 and 0.7.3: `run_due` needs a deadline that has passed; a
/// message in DISPATCHING or PROCESSING is not claimed again).
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
        "saga is active but has no deadline, so no poll picks it up",
        "sagas are active but have no deadline, so no poll picks them up",
        "sen saga list --stuck   # sen saga unstick ID makes one due",
    );
    say(
        census.dead,
        "message of an outbox or inbox failed, or was claimed over 10m ago and is not finished",
        "messages of outboxes and inboxes failed, or were claimed over 10m ago and are not finished",
        "sen dlq groups --system saga   # sen dlq replay --group GROUP makes them due",
    );
    let late = |kind| census.late.iter().filter(|(known, ..)| *known == kind).map(|(_, count, _)| *count).sum();
    say(
        late(Mailbox::Out),
        "outbox message is due for over 5m and was not claimed: probably no outbox dispatcher runs, or it is far behind",
        "outbox messages are due for over 5m and were not claimed: probably no outbox dispatcher runs, or it is far behind",
        "sen saga outbox list --state pending   # check the process that runs the outbox dispatcher",
    );
    say(
        late(Mailbox::In),
        "inbox message is due for over 5m and was not claimed: probably no worker calls run_inbox_due, or it is far behind",
        "inbox messages are due for over 5m and were not claimed: probably no worker calls run_inbox_due, or it is far behind",
        "sen saga inbox list --state pending   # check the workers that call run_inbox_due",
    );
    say(
        census.ignored.0,
        "saga waits for an event that came and was ignored",
        "sagas wait for events that came and were ignored",
        "sen saga inbox list --state ignored   # sen saga inbox requeue ID has one applied again",
    );
    if checks.is_empty() {
        checks.push(Check::new(
            Severity::Ok,
            topic,
            "every active saga has a deadline, and no message is left unfinished",
        ));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Group;
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
