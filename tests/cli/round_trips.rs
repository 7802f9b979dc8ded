//! What a command costs the database, counted in protocol messages.

use serde_json::json;

use crate::harness::peers::{Peer, SAGA_073, STENT_112, ask};
use crate::harness::postgres::{Database, Options, Server};
use crate::harness::proxy::Proxy;
use crate::harness::sen::sen;

/// A command, and what it costs after the log-in: round trips, transactions and statements in them, where there are leases
/// alone, and where all systems are.
struct Cost(&'static str, [usize; 3], [usize; 3]);

/// What every reading command costs. A look at the catalogue is a statement of these.
///
/// Where leases are alone, one transaction is all there is: what needs no catalogue travels with the look at it. Where other
/// systems are, their questions follow that look, those of all of them in a second transaction. What was found leads on: `why` takes
/// a round trip for each step away from the key, `timeline` one more for what happened, `report` one more for the verdict, and a third one is what could be meant where nothing was found, or whose message
/// an id is that nothing else has. What mentions the key is looked at last, also where it has ended. A page of a list is read row by row, in a transaction of its own for each table.
const COSTS: &[Cost] = &[
    Cost("inspect payments:order-1", [1, 1, 4], [2, 2, 20]),
    Cost("inspect nothing:at-all", [2, 2, 6], [3, 3, 23]),
    Cost("why payments:order-1", [4, 4, 15], [9, 10, 109]),
    Cost("timeline payments:order-1", [5, 5, 18], [10, 11, 128]),
    Cost("report payments:order-1", [6, 6, 21], [11, 12, 147]),
    Cost("status", [1, 1, 4], [2, 2, 17]),
    Cost("status --exact", [1, 1, 4], [2, 2, 17]),
    Cost("stats", [2, 2, 5], [2, 2, 16]),
    Cost("doctor", [5, 5, 14], [5, 5, 35]),
    Cost("grants --role operator", [2, 2, 3], [2, 2, 11]),
    Cost("wait payments:order-1 --for completed --timeout 5s", [1, 1, 4], [2, 2, 20]),
    Cost("metrics", [1, 1, 4], [2, 2, 17]),
    Cost("history payments:order-1", [1, 1, 3], [1, 1, 3]),
    // What needs attention is a question of its own beside the page of everything, asked at the same time.
    Cost("list", [1, 3, 5], [1, 3, 5]),
    Cost("list --limit 0 -o jsonl", [1, 1, 3], [1, 1, 3]),
];

/// The same for what only the other systems have.
const OTHERS: &[(&str, [usize; 3])] = &[
    ("inspect EXECUTION", [3, 3, 24]),
    ("inspect SAGA", [2, 2, 20]),
    ("inspect order-1", [2, 2, 20]),
    ("inspect MESSAGE", [3, 3, 24]),
    ("why SAGA", [7, 8, 114]),
    ("timeline SAGA", [8, 9, 136]),
    ("why EXECUTION", [8, 9, 135]),
    ("timeline EXECUTION", [9, 10, 157]),
    ("stats --exact", [2, 2, 16]),
    ("dlq list --limit 0 -o jsonl", [5, 5, 8]),
    ("dlq list", [5, 5, 8]),
    ("dlq groups", [5, 5, 8]),
    ("dlq show LETTER", [5, 6, 8]),
    ("exec list", [1, 3, 5]),
    ("exec list --stuck", [1, 1, 3]),
    ("exec list --limit 0 -o jsonl", [1, 1, 3]),
    ("exec show EXECUTION", [1, 1, 12]),
    ("task list", [1, 3, 5]),
    ("task list --limit 0 -o jsonl", [1, 1, 3]),
    ("task show TASK", [1, 1, 12]),
    ("saga list", [2, 3, 5]),
    ("saga list --limit 0 -o jsonl", [2, 2, 3]),
    ("saga show SAGA", [2, 2, 6]),
    ("saga outbox list", [2, 3, 5]),
    ("saga outbox show MESSAGE", [2, 3, 5]),
    ("saga inbox list", [2, 3, 5]),
];

const SAGA: &str = "0b1d8f5e-6f0e-4d0a-9d38-2f6f5a1c7e11";
const MESSAGE: &str = "5e1a4c1e-0f0a-4a43-8a52-1d2b3c4d5e6f";

fn leases(server: &Server) -> Database<'_> {
    let database = server.fresh_database();
    sen(["init"]).database(&database.url()).run().expect_code(0);
    database.psql(
        "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, hard_expires_at, status)
            VALUES ('payments:order-1', 'o', now(), now(), 'completed');
        INSERT INTO sentinel_events (key, event, fencing_token) VALUES ('payments:order-1', 'completed', 1)",
    );
    database
}

/// The words of commands as names, and what they stand for.
type Names = Vec<(&'static str, String)>;

fn everything(server: &Server) -> (Database<'_>, Names) {
    let database = leases(server);
    let url = database.url();
    let made = ask(&STENT_112, "stent/make.py", &[&url, "--only-finished"]);
    let mut library = Peer::start(&SAGA_073, "saga/peer.py", &[&url, "{}"]);
    library.send(&json!({"do": "init"}));
    drop(library);
    database.psql(&format!(
        "INSERT INTO order_saga (id, aggregation_id, trace_id, saga_name, status, current_step_index, context, retry_counter)
            VALUES ('{SAGA}', 'order-1', 't-1', 'shop', 'COMPLETED', 2, '{{}}', 0);
        INSERT INTO order_outbox (id, saga_id, aggregation_id, step_id, trace_id, topic, payload, headers, status, attempts)
            VALUES ('{MESSAGE}', '{SAGA}', 'order-1', 's', 't-1', 'orders', '{{}}', '{{}}', 'SENT', 1)"
    ));
    let letter = made["letters"]["failing/activity"].as_str().unwrap().to_owned();
    let execution = made["executions"]["checkout"].as_str().unwrap().to_owned();
    let task = database.psql(&format!("SELECT min(id) FROM tasks WHERE execution_id = '{execution}'"));
    let names = vec![
        ("EXECUTION", execution),
        ("TASK", task.trim().to_owned()),
        ("LETTER", letter),
        ("SAGA", SAGA.to_owned()),
        ("MESSAGE", MESSAGE.to_owned()),
    ];
    (database, names)
}

/// Runs a command and counts.
fn cost(server: &Server, database: &Database<'_>, command: &str, names: &Names) -> [usize; 3] {
    let proxy = Proxy::unix(server);
    proxy.whole_answers();
    let words = command.split(' ').map(|word| {
        names.iter().find(|(name, _)| *name == word).map_or_else(|| word.to_owned(), |(_, value)| value.clone())
    });
    let output = sen(words).database(&proxy.url_of(&database.name)).run();
    assert!(matches!(output.code, 0 | 4), "{command}: {}", output.transcript());
    let seen = proxy.seen_to_the_end();
    assert_eq!(seen.len(), 1, "{command}: one connection: {seen:?}");
    let seen = &seen[0];
    let of = |name: &str| seen.messages.iter().filter(|message| **message == name).count();
    let begun = seen.plain.iter().filter(|word| *word == "BEGIN").count();
    let ended = seen.plain.iter().filter(|word| *word == "COMMIT").count();
    assert_eq!((begun, ended), (seen.plain.len() / 2, seen.plain.len() / 2), "{command}: {seen:?}");
    // Unnamed statements only: a named one would break behind a pooler, and preparing costs a trip.
    assert_eq!(of("Close"), 0, "{command}: {seen:?}");
    [seen.flights, begun, of("Execute")]
}

#[test]
fn every_reading_command_costs_what_the_table_says() {
    let server = Server::start(&Options::new().tcp());
    let (alone, (all, names)) = (leases(&server), everything(&server));
    let found: Vec<String> = COSTS
        .iter()
        .map(|Cost(command, ..)| {
            let [alone, all] = [&alone, &all].map(|database| cost(&server, database, command, &names));
            format!("{command}: {alone:?} {all:?}")
        })
        .collect();
    let expected: Vec<String> =
        COSTS.iter().map(|Cost(command, alone, all)| format!("{command}: {alone:?} {all:?}")).collect();
    let first = (found, expected);
    let found: Vec<String> =
        OTHERS.iter().map(|(command, _)| format!("{command}: {:?}", cost(&server, &all, command, &names))).collect();
    let expected: Vec<String> = OTHERS.iter().map(|(command, all)| format!("{command}: {all:?}")).collect();
    assert_eq!((first.0, found), (first.1, expected), "round trips, transactions, statements");
}

#[test]
fn tables_of_other_versions_and_other_schemas_cost_no_further_trip() {
    let server = Server::start(&Options::new().tcp());
    let database = leases(&server);
    // Before 0.5.0 there is no events table; that costs no further trip.
    database.psql("DROP TABLE sentinel_events");
    let [trips, transactions, _] = cost(&server, &database, "inspect payments:order-1", &Names::new());
    assert_eq!((trips, transactions), (1, 1));
}

/// Questions of all systems are one transaction, and one that fails ends it.
#[test]
fn what_one_system_is_denied_takes_nothing_from_the_others() {
    let server = Server::start(&Options::new());
    let (database, _) = everything(&server);
    database.psql(
        "CREATE ROLE reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;
        REVOKE SELECT ON dead_tasks FROM reader",
    );
    let url = database.url().replace("user=postgres", "user=reader");
    let output = sen(["inspect", SAGA, "-o", "json"]).database(&url).run();
    assert!(output.stdout.contains("all steps are done") && output.stdout.contains(SAGA), "{}", output.transcript());
    assert!(output.stderr.contains("dead_tasks") && output.code != 0, "{}", output.transcript());
    // The server has logged what failed, and what was then asked in the same transaction, once.
    let log = server.log();
    assert_eq!(log.matches("permission denied for table dead_tasks").count(), 1, "{log}");
}

/// Its plan and its end are a transaction each; what is entered of a change travels with it.
#[test]
fn the_journal_costs_an_act_its_beginning_and_its_end() {
    let server = Server::start(&Options::new().tcp());
    let database = leases(&server);
    let forget = || {
        database.psql(
            "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, status) VALUES ('k', 'o', now(), 'completed')",
        );
        let proxy = Proxy::unix(&server);
        sen(["forget", "k", "--yes"]).database(&proxy.url_of(&database.name)).run().expect_code(0);
        let seen = proxy.seen_to_the_end();
        assert_eq!(seen.len(), 1, "one connection: {seen:?}");
        let executed = seen[0].messages.iter().filter(|message| **message == "Execute").count();
        let begun = seen[0].plain.iter().filter(|word| *word == "BEGIN").count();
        [begun, executed]
    };
    let without = forget();
    sen(["init", "journal", "--yes"]).database(&database.url()).run().expect_code(0);
    let with = forget();
    // Two of the statements beside its change are those that travel with it.
    assert_eq!((without, with), ([3, 10], [4, 17]), "transactions, statements");
}
