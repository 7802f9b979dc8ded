//! What `sen grants` prints is what the commands need: with it every command works, without any one of it some does not.

use std::collections::BTreeSet;

use crate::harness::postgres::{Options, Server};
use crate::harness::sen::sen;
use crate::scene::{DJANGO, Made, OLDER, Scene, TODAY};

/// Makes a role and gives it what `sen grants` prints for it; the statements.
fn granted(scene: &Scene<'_>, kind: &str, role: &str) -> Vec<String> {
    scene.database.psql(&format!("CREATE ROLE {role} LOGIN"));
    let sql = sen(["grants", "--role", kind, "--to", role]).database(&scene.database.url()).run().expect_code(0).stdout;
    scene.database.psql(&sql);
    sql.lines().map(str::to_owned).collect()
}

/// `GRANT a, b ON x` as one revocation each.
fn revocations(grants: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for grant in grants {
        let (privileges, rest) = grant.strip_prefix("GRANT ").unwrap().split_once(" ON ").unwrap();
        let (object, role) = rest.strip_suffix(';').unwrap().rsplit_once(" TO ").unwrap();
        found.extend(privileges.split(", ").map(|one| format!("REVOKE {one} ON {object} FROM {role}")));
    }
    found
}

#[test]
fn a_reader_can_run_every_reading_command_and_needs_each_grant() {
    let server = Server::start(&Options::new());
    let scene = Scene::new(&server, &TODAY);
    let grants = granted(&scene, "ro", "reader");
    assert!(
        grants
            .iter()
            .all(|grant| grant.starts_with("GRANT SELECT ON TABLE") || grant.starts_with("GRANT USAGE ON SCHEMA"))
    );
    let wrong: Vec<String> = scene.reading().iter().filter_map(|step| scene.wrong("reader", step)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let doctor = scene.run("reader", &scene.doctor());
    assert!(!doctor.stdout.contains("may not read"), "{}", doctor.stdout);
    // Without one of them doctor names the table, whatever else it can tell.
    for revoke in revocations(&grants).into_iter().filter(|revoke| revoke.starts_with("REVOKE SELECT")) {
        scene.database.psql(&revoke);
        let table = revoke.split(' ').nth(4).unwrap().replace('"', "");
        let doctor = scene.run("reader", &scene.doctor());
        assert!(
            doctor.stdout.contains("may not read") && doctor.stdout.replace('"', "").contains(&table),
            "{revoke}: {}{}",
            doctor.stdout,
            doctor.stderr
        );
        let fails = scene.reading().iter().any(|step| scene.wrong("reader", step).is_some());
        // A table of a saga that cannot be read is left out of what is found, so that the rest is shown.
        assert!(fails || table.starts_with("public.order_"), "nothing needs this: {revoke}");
        scene.database.psql(&revoke.replacen("REVOKE", "GRANT", 1).replacen(" FROM ", " TO ", 1));
    }
}

#[test]
fn an_operator_can_run_every_command() {
    an_operator_suffices(&TODAY);
}

#[test]
fn an_operator_can_run_every_command_on_older_tables() {
    an_operator_suffices(&OLDER);
}

#[test]
fn an_operator_can_run_every_command_on_djangos_tables() {
    an_operator_suffices(&DJANGO);
}

fn an_operator_suffices(made: &'static Made) {
    let server = Server::start(&Options::new());
    let scene = Scene::new(&server, made);
    granted(&scene, "operator", "operator");
    let doctor = scene.run("operator", &scene.doctor()).stdout;
    assert!(doctor.contains("operator may read and act on everything found"), "{doctor}");
    let steps: Vec<_> = scene.reading().into_iter().chain(scene.acting()).chain(scene.running()).collect();
    let wrong: Vec<String> = steps.iter().filter_map(|step| scene.wrong("operator", step)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each privilege beyond reading is taken away alone, from an operator on data of its own; some act must then be denied.
#[test]
fn an_operator_needs_each_grant() {
    let server = Server::start(&Options::new());
    let first = Scene::new(&server, &TODAY);
    let name = first.database.name.clone();
    let grants = granted(&first, "operator", "operator");
    let revocations: Vec<String> = revocations(&grants)
        .into_iter()
        .filter(|revoke| !revoke.starts_with("REVOKE SELECT") && !revoke.contains(" ON SCHEMA "))
        .collect();
    assert!(revocations.len() > 15, "{revocations:?}");
    let mut needless = BTreeSet::new();
    for revoke in revocations {
        // The same data anew, and all grants but one.
        let copy = first.copy_of(&name);
        copy.database.psql(&revoke);
        let denied = |output: &crate::harness::sen::Output| {
            output.stdout.contains("permission denied") || output.stderr.contains("permission denied")
        };
        if !copy.acting().iter().any(|step| denied(&copy.run("operator", step))) {
            needless.insert(revoke);
        }
        copy.drop_it();
    }
    assert!(needless.is_empty(), "nothing needs these: {needless:#?}");
}
