//! Servers that lack a part of what `sen` stands on (lookalikes of PostgreSQL, or a function that was taken away): what is missing is
//! named, nothing is written that could not be proven, and no error hides behind another.

use crate::harness::postgres::{Options, Server};
use crate::scene::{Scene, TODAY};

/// What reading, writing and proving a write stand on: whether it is a standby, locks that hold, the id of a transaction.
const FUNCTIONS: [&str; 3] = ["pg_is_in_recovery()", "pg_advisory_xact_lock(bigint)", "txid_current()"];

#[test]
fn a_function_that_is_missing_is_named_and_nothing_is_written_without_it() {
    let server = Server::start(&Options::new());
    let first = Scene::new(&server, &TODAY);
    let name = first.database.name.clone();
    first.database.psql("CREATE ROLE anyone LOGIN; GRANT pg_read_all_data, pg_write_all_data TO anyone");
    let mut named = Vec::new();
    for function in FUNCTIONS {
        let copy = first.copy_of(&name);
        copy.database.psql(&format!("REVOKE EXECUTE ON FUNCTION pg_catalog.{function} FROM PUBLIC"));
        let short = function.split('(').next().unwrap();
        for step in copy.reading().iter().chain(&copy.acting()) {
            let output = copy.run("anyone", step);
            let told = format!("{}{}", output.stdout, output.stderr);
            assert!(
                !told.contains("transaction is aborted"),
                "sen {} without {function}:\n{told}",
                step.words.join(" ")
            );
            if told.contains(&format!("permission denied for function {short}")) {
                named.push(short);
            } else {
                assert!(
                    step.codes.contains(&output.code),
                    "sen {} without {function}: {}\n{told}",
                    step.words.join(" "),
                    output.code
                );
            }
        }
        copy.drop_it();
    }
    for function in FUNCTIONS {
        let short = function.split('(').next().unwrap();
        assert!(named.contains(&short), "nothing asks for {function}: {named:?}");
    }
}
