//! Sagas: PostgreSQL in the oldest and the newest tables of the library, and SQLite.

use std::collections::BTreeMap;

use sen_core::model::verdict::Severity;
use sen_core::systems::saga::SagaState;
use sen_core::systems::saga::verdict::State;

use crate::harness::peers::{SAGA_011, SAGA_073};
use crate::judged::{Kind, Status, active_agrees, grouped, names};
use crate::moment;
use crate::sagas_place::{Base, Place};

const HOUR: i64 = 3600;
/// What has just changed; a bit ahead, so that it stays so however slow the machine is.
const JUST: i64 = 600;
/// Over, and not for so long that it counts as overdue.
const SOON: i64 = -10;

/// When a saga is due.
#[derive(Debug, Clone, Copy)]
enum Due {
    Never,
    /// Seconds from now.
    In(i64),
    /// At the moment of its last change, as an act leaves it.
    AsChanged,
    /// SQL that only PostgreSQL takes.
    Odd(&'static str),
}
use Due::{AsChanged, In, Never, Odd};

/// A saga by hand.
#[derive(Debug, Clone, Copy)]
struct Saga {
    status: &'static str,
    due: Due,
    /// Seconds from now.
    changed: i64,
    step: i64,
    error: Option<&'static str>,
    context: &'static str,
    /// Whether a compensation is on record.
    rolled_back: bool,
    is: &'static str,
}

const fn saga(status: &'static str, due: Due, is: &'static str) -> Saga {
    Saga { status, due, changed: -2 * HOUR, step: 1, error: None, context: "{}", rolled_back: false, is }
}

impl Saga {
    const fn changed(self, changed: i64) -> Self {
        Self { changed, ..self }
    }

    const fn waits(self, context: &'static str) -> Self {
        Self { context, ..self }
    }

    const fn failed(step: i64, error: Option<&'static str>, rolled_back: bool, is: &'static str) -> Self {
        Self { step, error, rolled_back, ..saga("FAILED", Never, is) }
    }
}

const GAVE_UP: Option<&str> = Some("Compensation failed for step 'charge': no");
const NO_ENTRY: Option<&str> = Some("Missing successful execution entry for step 'charge'");
const RAISED: Option<&str> = Some("ValueError: Compensation failed for step");

/// Of every version.
const ALWAYS: &[Saga] = &[
    saga("RUNNING", Never, "stuck"),
    saga("COMPENSATING", Never, "stuck"),
    saga("RUNNING", Never, "between_steps").changed(JUST),
    saga("COMPENSATING", Never, "between_steps").changed(JUST),
    saga("RUNNING", In(HOUR), "running"),
    saga("COMPENSATING", In(HOUR), "compensating"),
    saga("RUNNING", In(SOON), "lease_expired"),
    saga("COMPENSATING", In(SOON), "lease_expired"),
    saga("RUNNING", AsChanged, "due").changed(SOON),
    saga("COMPENSATING", AsChanged, "due").changed(SOON),
    saga("RUNNING", AsChanged, "overdue"),
    saga("RUNNING", In(-HOUR), "overdue"),
    saga("COMPENSATING", In(-HOUR), "overdue"),
    saga("SUSPENDED", In(-HOUR), "overdue"),
    saga("SUSPENDED", In(-HOUR), "overdue").waits(r#"{"awaiting_event_types": ["paid"]}"#),
    saga("SUSPENDED", In(SOON), "due"),
    saga("SUSPENDED", In(SOON), "due").waits(r#"{"awaiting_event_types": ["paid"]}"#),
    saga("SUSPENDED", In(HOUR), "waiting_retry"),
    saga("SUSPENDED", In(HOUR), "waiting_retry").waits(r#"{"awaiting_event_types": [], "awaiting_until": null}"#),
    saga("SUSPENDED", In(HOUR), "waiting_retry")
        .waits(r#"{"awaiting_event_types": null, "awaiting_correlation_id": null, "awaiting_until": null}"#),
    saga("SUSPENDED", In(HOUR), "waiting_event").waits(r#"{"awaiting_event_types": ["paid"]}"#),
    saga("SUSPENDED", In(HOUR), "waiting_event")
        .waits(r#"{"awaiting_event_types": [], "awaiting_correlation_id": "o-1"}"#),
    saga("SUSPENDED", In(HOUR), "waiting_event").waits(r#"{"awaiting_until": "2030-01-01T00:00:00+00:00"}"#),
    saga("SUSPENDED", Never, "waiting_event"),
    saga("SUSPENDED", Never, "waiting_event").changed(JUST),
    Saga::failed(1, None, false, "failed"),
    Saga::failed(0, RAISED, false, "failed"),
    Saga::failed(1, GAVE_UP, false, "partly_compensated"),
    Saga::failed(0, GAVE_UP, true, "partly_compensated"),
    Saga::failed(0, NO_ENTRY, false, "partly_compensated"),
    Saga::failed(1, None, true, "partly_compensated"),
    Saga::failed(1, RAISED, true, "partly_compensated"),
    Saga::failed(0, None, true, "compensated"),
    Saga::failed(-1, RAISED, true, "compensated"),
    saga("COMPLETED", Never, "completed"),
    saga("COMPLETED", In(-HOUR), "completed"),
    saga("PAUSED", Never, "unreadable"),
    saga("PAUSED", In(-HOUR), "unreadable"),
];

/// With the statuses of newer versions.
const NEWER: &[Saga] = &[
    saga("COMPENSATING_SUSPENDED", In(-HOUR), "overdue"),
    saga("COMPENSATING_SUSPENDED", In(SOON), "due"),
    saga("COMPENSATING_SUSPENDED", In(HOUR), "waiting_retry"),
    saga("COMPENSATING_SUSPENDED", Never, "waiting_event"),
    saga("COMPENSATING_SUSPENDED", In(HOUR), "waiting_event").waits(r#"{"awaiting_event_types": ["paid"]}"#),
    saga("COMPENSATED", Never, "compensated"),
    saga("COMPENSATED", In(-HOUR), "compensated"),
    saga("TIMEOUT", Never, "timed_out"),
    saga("TIMEOUT", In(-HOUR), "timed_out"),
];

/// PostgreSQL has times without end.
const ENDLESS: &[Saga] = &[
    saga("RUNNING", Odd("'infinity'"), "running"),
    saga("SUSPENDED", Odd("'infinity'"), "waiting_retry"),
    saga("RUNNING", Odd("'-infinity'"), "overdue"),
    saga("SUSPENDED", Odd("'-infinity'"), "overdue"),
];

fn number(at: usize) -> String {
    format!("a0000000-0000-4000-8000-{at:012}")
}

/// The statements that put the sagas in, and the state of each id.
fn plant(place: &Place, sets: &[&[Saga]]) -> BTreeMap<String, String> {
    let sqlite = matches!(place.base, Base::Sqlite(_));
    let format = if sqlite { "%Y-%m-%d %H:%M:%S%.6f" } else { "%Y-%m-%dT%H:%M:%S%.6fZ" };
    let stored = |id: &str| if sqlite { id.replace('-', "") } else { id.to_owned() };
    let mut sql = String::new();
    let mut expected = BTreeMap::new();
    for (at, saga) in sets.concat().into_iter().enumerate() {
        let id = number(at);
        let changed = format!("'{}'", moment(saga.changed, format));
        let due = match saga.due {
            Never => "NULL".to_owned(),
            In(seconds) => format!("'{}'", moment(seconds, format)),
            AsChanged => changed.clone(),
            Odd(text) => text.to_owned(),
        };
        let error = saga.error.map_or_else(|| "NULL".to_owned(), |error| format!("'{}'", error.replace('\'', "''")));
        let (more, values) = if place.is_new() {
            ("saga_name", "'order'".to_owned())
        } else {
            let entry = r#"[{"phase": "execute", "status": "SUCCESS"}, {"phase": "compensate", "status": "SUCCESS"}]"#;
            ("step_history", format!("'{}'", if saga.rolled_back { entry } else { "[]" }))
        };
        sql += &format!(
            "INSERT INTO order_saga (id, aggregation_id, trace_id, status, current_step_index, context, deadline_at, retry_counter,
                last_error, created_at, updated_at, {more})
            VALUES ('{}', 'o-{at}', 't-{at}', '{}', {}, '{}', {due}, 0, {error}, {changed}, {changed}, {values});\n",
            stored(&id),
            saga.status,
            saga.step,
            saga.context,
        );
        if place.is_new() && saga.rolled_back {
            sql += &format!(
                "INSERT INTO order_saga_history (saga_id, \"timestamp\", phase, status, step_id, step_name, attempt, token, skipped,
                    created_at, updated_at)
                VALUES ('{0}', {changed}, 'COMPENSATE', 'SUCCESS', 'charge', 'Charge', 0, '{0}', false, {changed}, {changed});\n",
                stored(&id),
            );
        }
        expected.insert(id, saga.is.to_owned());
    }
    match &place.base {
        Base::Postgres(database) => {
            database.psql("ALTER TYPE sagastatus ADD VALUE 'PAUSED'");
            database.psql(&sql);
        }
        Base::Sqlite(folder) => {
            let db = rusqlite::Connection::open(folder.path().join("sagas.db")).unwrap();
            db.busy_timeout(crate::harness::patience::PATIENCE).unwrap();
            db.execute_batch(&sql).unwrap();
        }
    }
    expected
}

fn agree(place: &Place, sets: &[&[Saga]], never: &[&str]) {
    let expected = plant(place, sets);
    let url = place.url();
    let kind = Kind {
        url: &url,
        list: &["saga", "list"],
        show: &["saga", "show"],
        id: "id",
        stored: "status",
        states: &names::<SagaState>(),
        never,
        as_shown: &["failed"],
        only_in_details: &[],
    };
    let list = kind.agrees(&expected);
    let status = Status::of(&url, "saga");
    assert_eq!(status.counts("counts"), grouped(list.values().map(|row| &*row.shown)));
    status.attention_agrees(&url);
    active_agrees(&url, "saga", &list, |row| State::parse(&row.shown).unwrap().severity() == Severity::Pending);
}

#[test]
fn sagas_of_the_oldest_version_in_postgresql() {
    // Its type has no such labels.
    agree(&Place::new(&SAGA_011), &[ALWAYS, ENDLESS], &["compensating_suspended", "timeout", "timed_out"]);
}

#[test]
fn sagas_of_the_newest_version_in_postgresql() {
    agree(&Place::new(&SAGA_073), &[ALWAYS, NEWER, ENDLESS], &[]);
}

#[test]
fn sagas_in_sqlite() {
    agree(&Place::sqlite(&SAGA_073), &[ALWAYS, NEWER], &[]);
}

#[test]
fn sagas_of_the_oldest_version_in_sqlite() {
    agree(&Place::sqlite(&SAGA_011), &[ALWAYS], &["compensating_suspended", "timeout", "timed_out"]);
}
