//! The same models in SQLite: the same acts, by the same rules.

use rusqlite::Connection;
use serde_json::json;

use super::library::{all_acts, all_events, all_records};
use super::place::{Base, Place, VERSIONS, item};

#[test]
fn acts_lead_where_the_librarys_own_lead() {
    VERSIONS.into_iter().for_each(|version| all_acts(&mut Place::sqlite(version)));
}

#[test]
fn events_are_taken_as_by_notify() {
    all_events(Place::sqlite(VERSIONS[1]), Place::sqlite(VERSIONS[0]));
}

#[test]
fn records_name_the_step_the_saga_stands_at() {
    VERSIONS.into_iter().for_each(|version| all_records(&mut Place::sqlite(version)));
}

fn sql(place: &Place, sql: &str) {
    let Base::Sqlite(folder) = &place.base else { panic!("SQLite only") };
    let db = Connection::open(folder.path().join("sagas.db")).expect("the file can be opened");
    db.busy_timeout(crate::harness::patience::PATIENCE).expect("a time can be set");
    db.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// A poll that fails may change the row and leave the deadline: what is overdue is so since its deadline.
#[test]
fn what_is_overdue_is_as_old_as_its_deadline() {
    for mut place in [Place::new(VERSIONS[1]), Place::sqlite(VERSIONS[1])] {
        place.start("o-1", "order", json!({"charge": "fail"}));
        match &place.base {
            Base::Postgres(_) => {
                place.psql("UPDATE order_saga SET deadline_at = now() - interval '2 hours', updated_at = now() - interval '4 minutes'");
            }
            Base::Sqlite(_) => sql(
                &place,
                "UPDATE order_saga SET deadline_at = strftime('%Y-%m-%d %H:%M:%f000', 'now', '-2 hours'),
                updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now', '-4 minutes')",
            ),
        }
        let told = place.act(&["status"], 0).stdout;
        assert!(told.contains("due for over 5m and not picked up, oldest 2h"), "{told}");
    }
}

#[test]
fn orphans_letters_and_refusals() {
    let mut place = Place::sqlite(VERSIONS[1]);
    let done = place.start("o-1", "order", json!({}));
    for act in ["abort", "retry", "compensate", "skip", "unstick"] {
        let mut words = vec!["saga", act, &done];
        words.extend((act != "retry" && act != "unstick").then_some("--yes"));
        place.act(&words, 5);
    }
    place.killed(json!({"do": "die_between", "order": "o-2"}));
    let orphan = place.id_of("o-2");
    place.act(&["saga", "unstick", &orphan, "--yes"], 5);
    sql(&place, "UPDATE order_saga SET updated_at = '2026-01-01 00:00:00' WHERE aggregation_id = 'o-2'");
    assert_eq!(place.verdict(&orphan), "stuck");
    place.act(&["saga", "unstick", "--all", "--yes"], 0);
    assert_eq!(place.run_due(), 1);
    assert_eq!(place.status(&orphan), "COMPLETED");

    place.ask(json!({"do": "dispatch", "how": "fail"}));
    assert_eq!(place.act(&["saga", "outbox", "list", "--stuck"], 0).json().as_array().map(Vec::len), Some(2));
    let id = place.act(&["saga", "outbox", "list"], 0).json()[0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(item(&place.act(&["saga", "outbox", "requeue", &id, "--yes"], 0))["outcome"], "applied");
    place.act(&["saga", "outbox", "requeue", &id, "--yes"], 0);
    place.act(&["saga", "outbox", "requeue", "--all", "--yes"], 0);
    assert_eq!(place.ask(json!({"do": "dispatch"})).as_array().map(Vec::len), Some(2));
    let status = place.act(&["status"], 0).json();
    let counts = |state: &str| {
        let systems = status["systems"].as_array().expect("a list");
        let saga = systems.iter().find(|system| system["system"] == "saga").expect("sagas are found");
        let counts = saga["counts"].as_array().expect("a list");
        counts.iter().find(|count| count["state"] == state).expect("it is counted")["count"].clone()
    };
    assert_eq!((counts("completed"), counts("stuck")), (json!(2), json!(0)));
}
