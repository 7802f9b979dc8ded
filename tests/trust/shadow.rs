//! Functions and operators that somebody else planted in a schema of the search path (CVE-2018-1058) are never called, whatever
//! command a superuser runs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;

use crate::harness::postgres::{Options, Server};
use crate::harness::psql;
use crate::scene::{DJANGO, Made, OLDER, Scene, TODAY};

const PLANT: &str = include_str!("plant.sql");
const OPERATORS: [&str; 20] = [
    "=", "<>", "<", ">", "<=", ">=", "+", "-", "*", "/", "||", "->", "->>", "?", "@>", "~~", "!~~", "~~*", "!~~*", "~",
];

/// Every word that stands before a bracket in a source that speaks SQL.
fn called(folder: &Path, found: &mut BTreeSet<String>) {
    let call = Regex::new(r"\b([a-z][a-z0-9_]*)\(").unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            called(&path, found);
        } else if path.to_string_lossy().contains("postgres") {
            let text = fs::read_to_string(&path).unwrap();
            found.extend(call.captures_iter(&text).map(|call| call[1].to_owned()));
        }
    }
}

fn array(items: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| format!("'{}'", item.as_ref())).collect();
    format!("ARRAY[{}]::text[]", items.join(", "))
}

#[test]
fn what_others_planted_in_the_search_path_is_never_called_on_todays_tables() {
    nothing_planted_is_called(&TODAY);
}

#[test]
fn what_others_planted_in_the_search_path_is_never_called_on_older_tables() {
    nothing_planted_is_called(&OLDER);
}

#[test]
fn what_others_planted_in_the_search_path_is_never_called_on_djangos_tables() {
    nothing_planted_is_called(&DJANGO);
}

fn nothing_planted_is_called(made: &'static Made) {
    let server = Server::start(&Options::new().conf("log_min_messages = log"));
    let scene = Scene::new(&server, made);
    let database = &scene.database;
    let mut names = BTreeSet::new();
    called(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut names);
    assert!(names.contains("has_table_privilege") && names.contains("jsonb_build_object"), "{names:?}");
    let owner = database.psql("SELECT current_user");
    let enums = database.psql(
        "SELECT string_agg('public.' || quote_ident(typname), ' ') FROM pg_type WHERE typtype = 'e' AND typnamespace = 'public'::regnamespace",
    );
    database.psql("CREATE ROLE mallory LOGIN; GRANT CREATE ON SCHEMA public TO mallory");
    let url = database.url().replace(&format!("user={owner}"), "user=mallory");
    psql::run(&url, PLANT);
    psql::run(
        &url,
        &format!(
            "SELECT public.zz_plant({}, {}, {})",
            array(&names),
            array(OPERATORS),
            array(enums.split_whitespace())
        ),
    );

    // The trap works: a statement as anybody would write it falls into it.
    let planted = |server: &Server| server.log().lines().filter(|line| line.contains("LOG:  PLANTED")).count();
    assert_eq!(planted(&server), 0);
    for careless in [
        "SELECT has_table_privilege(to_regclass('tasks'), 'SELECT')",
        "SELECT jsonb_build_object('db_user', session_user)",
        "SELECT '{}'::jsonb ->> '1'",
        "SELECT 2::int8 * interval '1 second' IS NULL",
    ] {
        let before = planted(&server);
        let _ = psql::try_run(&database.url(), careless);
        assert!(planted(&server) > before, "not shadowed: {careless}");
    }
    let before = planted(&server);

    let last = scene.copy_of(&database.name);
    let mut wrong: Vec<String> = Vec::new();
    wrong.extend(scene.watched());
    for step in scene.reading().iter().chain(&scene.acting()).chain(&scene.running()) {
        wrong.extend(scene.wrong(&owner, step));
    }
    // Worse still: what others planted comes before the system's own, tables and types among it; and a column is of a type
    // for which what they planted fits better than what is built in.
    let (database, url) = (&last.database, url.replace(&database.name, &last.database.name));
    database.psql("ALTER TABLE dead_tasks ALTER COLUMN id TYPE varchar");
    for table in ["pg_class", "pg_attribute", "pg_namespace", "pg_stat_activity", "pg_locks", "pg_database"] {
        psql::run(&url, &format!("CREATE TABLE public.{table} ()"));
    }
    for domain in ["text", "int8", "bool", "timestamptz", "jsonb", "regclass", "float8", "bytea"] {
        psql::run(&url, &format!("CREATE DOMAIN public.{domain} AS pg_catalog.{domain}"));
    }
    database.psql(&format!("ALTER DATABASE {} SET search_path = public, pg_catalog", database.name));
    for step in last.reading().iter().chain(&last.acting()).chain(&last.running()) {
        wrong.extend(last.wrong(&owner, step).map(|text| format!("with the system's schema last: {text}")));
    }
    let log = server.log();
    let called: BTreeSet<&str> =
        log.lines().filter_map(|line| line.split_once("LOG:  PLANTED ")).map(|(_, what)| what).collect();
    let after = planted(&server);
    assert!(wrong.is_empty() && after == before, "{}\ncalled: {called:#?}", wrong.join("\n"));
}
