//! What a role may not see is told, and never passed off as "nothing there".

use rustix::process::Signal;
use serde_json::json;

use crate::harness::peers::{self, Peer, SAGA_073, STENT_112};
use crate::harness::postgres::{Options, Server};
use crate::harness::pty::terminal;
use crate::harness::sen::sen;
use crate::scene::{Scene, TODAY};

fn as_role(url: &str, role: &str) -> String {
    let (head, tail) = url.split_once("user=").unwrap();
    let rest = tail.split_once('&').map_or("", |(_, rest)| rest);
    format!("{head}user={role}&{rest}")
}

#[test]
fn rows_hidden_by_row_level_security_are_told_of() {
    let database = Server::shared().fresh_database();
    let url = database.url();
    sen(["init"]).database(&url).run().expect_code(0);
    let role = format!("hidden_from_{}", database.name);
    database.psql(&format!(
        "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, hard_expires_at, status, fencing_token)
            VALUES ('u', 'w:1-1', now() - interval '1 hour', now() - interval '30 minutes', 'executing', 7);
        CREATE ROLE {role} LOGIN"
    ));
    database.psql(&sen(["grants", "--role", "ro", "--to", &role]).database(&url).run().expect_code(0).stdout);
    let reader = as_role(&url, &role);
    let run = |args: &[&str]| sen(args).database(&reader).run();
    assert!(!run(&["status"]).expect_code(0).stdout.contains("row-level security"));
    database.psql("ALTER TABLE sentinel_leases ENABLE ROW LEVEL SECURITY");
    let status = run(&["status"]).expect_code(0).stdout;
    assert!(status.contains("row-level security can hide rows of sentinel_leases"), "{status}");
    assert!(!status.contains("nothing needs"), "{status}");
    run(&["status", "--check"]).expect_code(10);
    let listed = run(&["list"]).expect_code(0);
    assert!(listed.stderr.contains("row-level security can hide rows of sentinel_leases"), "{}", listed.stderr);
    let metrics = run(&["metrics"]).expect_code(0).stdout;
    assert!(metrics.contains(r#"sen_attention{system="sentinel",severity="warning"} 1"#), "{metrics}");
    let doctor = run(&["doctor", "--check"]).expect_code(10).stdout;
    assert!(doctor.contains("row-level security can hide rows of sentinel_leases"), "{doctor}");
    // The owner sees everything.
    let owner = sen(["list"]).database(&url).run().expect_code(0);
    assert!(!owner.stderr.contains("row-level"), "{}", owner.stderr);
    database.psql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

/// Sagas are in tables of any name.
#[test]
fn hidden_rows_of_sagas_are_told_of_whatever_their_tables_are_called() {
    let database = Server::shared().fresh_database();
    let url = database.url();
    let names = json!({"state": "my_sagas", "history": "my_steps"}).to_string();
    let mut library = Peer::start(&SAGA_073, "saga/peer.py", &[&url, &names]);
    library.send(&json!({"do": "init"}));
    library.send(&json!({"do": "start", "order": "o-1", "saga": "order"}));
    drop(library);
    let role = format!("sagas_hidden_from_{}", database.name);
    database.psql(&format!("CREATE ROLE {role} LOGIN"));
    database.psql(&sen(["grants", "--role", "ro", "--to", &role]).database(&url).run().expect_code(0).stdout);
    let reader = as_role(&url, &role);
    let run = |args: &[&str]| sen(args).database(&reader).run().expect_code(0);
    assert!(!run(&["saga", "list"]).stderr.contains("row-level"));
    database.psql("ALTER TABLE my_sagas ENABLE ROW LEVEL SECURITY; ALTER TABLE my_steps ENABLE ROW LEVEL SECURITY");
    let told = "row-level security can hide rows of my_sagas, my_steps";
    let (listed, status, doctor) = (run(&["saga", "list"]), run(&["status"]), run(&["doctor"]));
    assert!(listed.stderr.contains(told), "{}", listed.stderr);
    assert!(status.stdout.contains(told), "{}", status.stdout);
    assert!(
        doctor.stdout.contains("rows of my_sagas") && doctor.stdout.contains("rows of my_steps"),
        "{}",
        doctor.stdout
    );
    database.psql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn where_nothing_is_found_the_schemas_that_hold_such_tables_are_named() {
    let database = Server::shared().fresh_database();
    let run = |args: &[&str]| sen(args).database(&database.url()).run().expect_code(2).stderr;
    for args in [&["doctor"][..], &["status"]] {
        let told = run(args);
        assert!(told.contains("no supported tables in the search path (public)"), "{told}");
    }
    database.psql("CREATE SCHEMA \"my work\"; CREATE TABLE \"my work\".sentinel_leases (key text)");
    for args in [&["doctor"][..], &["status"]] {
        let told = run(args);
        assert!(told.contains("such tables are in my work"), "{told}");
    }
}

#[test]
fn doctor_warns_of_a_superuser_and_of_schemas_that_others_can_create_in() {
    let server = Server::shared();
    let database = server.fresh_database();
    let url = database.url();
    sen(["init"]).database(&url).run().expect_code(0);
    let role = format!("guest_of_{}", database.name);
    let doctor = || sen(["doctor"]).database(&url).run().expect_code(0).stdout;
    let told = doctor();
    assert!(told.contains("is a superuser") && !told.contains("objects can be created in it"), "{told}");
    database.psql(&format!("CREATE ROLE {role} LOGIN; CREATE SCHEMA first AUTHORIZATION {role}"));
    database.psql(&format!("ALTER DATABASE {} SET search_path = first, public", database.name));
    let told = doctor();
    assert!(told.contains("schema first of the search path") && told.contains(&role), "{told}");
    let guest = as_role(&url, &role);
    crate::harness::psql::run(&guest, "CREATE VIEW first.sentinel_leases AS SELECT 'x'::text AS key");
    let told = sen(["doctor"]).database(&url).run().stdout;
    assert!(told.contains("first.sentinel_leases is a view") && told.contains("public.sentinel_leases"), "{told}");
    database.psql("ALTER SCHEMA public OWNER TO CURRENT_USER; GRANT CREATE ON SCHEMA public TO PUBLIC");
    let told = sen(["doctor"]).database(&url).run().stdout;
    assert!(told.contains("created in it by every role"), "{told}");
    database.psql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

/// A policy or a trigger that keeps an UPDATE from the row: nothing has changed, so nothing else is claimed.
#[test]
fn an_act_that_the_database_suppresses_is_told_so() {
    let database = Server::shared().fresh_database();
    let url = database.url();
    sen(["init"]).database(&url).run().expect_code(0);
    database.psql(
        "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, lease_updated_at, hard_expires_at, status, fencing_token)
            VALUES ('u', 'w:1-1', now() - interval '1 hour', now() - interval '1 hour', now() - interval '30 minutes', 'executing', 7);
        SELECT setval('sentinel_token_seq', 100);
        CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER keep BEFORE UPDATE ON sentinel_leases FOR EACH ROW EXECUTE FUNCTION keep()",
    );
    let told = sen(["reconcile", "u", "--reset", "--yes"]).database(&url).run();
    let said = format!("{}{}", told.stdout, told.stderr);
    assert!(said.contains("a row-level security policy or a trigger on sentinel_leases"), "{said}");
    assert!(!said.contains("it has changed") && told.code == 5, "{} {said}", told.code);
}

/// What must still be shown of a step when one table may not be read: pieces of stdout, and whether the table and what to do
/// are named.
enum Shown {
    /// The table has no part in it.
    Whole,
    /// Everything but what is in the table: these words are there, and the table is named.
    Rest(&'static [&'static str]),
    /// What was asked for, and a warning that names the table.
    Beside,
    /// Nothing can be said without it; the error names the table.
    Refused,
}

/// Which of the reading commands a table has a part in, by their first words; what is left out is shown whole.
fn expected(table: &str, words: &str, letter: &str) -> Shown {
    use Shown::{Beside, Refused, Rest, Whole};
    let begins = |these: &[&str]| these.iter().any(|begin| words.starts_with(begin));
    let all = begins(&["status", "metrics"]);
    let dead = begins(&["dlq list", "dlq groups", "dlq export"]);
    let of_letter = words == format!("dlq show {letter}");
    let by_id = begins(&["inspect", "why"]);
    let sagas = begins(&["saga list", "saga show"]);
    let of_other_systems = !["sentinel_leases", "sentinel_events", "idempotency", "cache"].contains(&table);
    match table {
        _ if of_other_systems && words == "wait u:9" => Refused,
        _ if of_other_systems && begins(&["wait"]) => Beside,
        "sentinel_leases" => match () {
            () if all => Rest(&["stent"]),
            () if words == "stats" => Rest(&["executions_total"]),
            () if begins(&["wait", "once"]) => Refused,
            () if begins(&["list", "history"]) || by_id && words.contains(" u:") => Refused,
            () if by_id => Rest(&[]),
            () => Whole,
        },
        "sentinel_events" => match () {
            () if all => Rest(&["sentinel", "uncertain"]),
            () if words == "stats" => Rest(&["leases_total", "executions_total"]),
            () if begins(&["history"]) => Refused,
            () if words == "wait u:9" => Refused,
            () if begins(&["wait"]) => Beside,
            () if begins(&["once"]) => Rest(&[]),
            () if words == "inspect u:9" => Refused,
            () if by_id && words.contains(" u:") => Rest(&["u:1"]),
            () if by_id => Rest(&[]),
            () => Whole,
        },
        "executions" | "tasks" | "dead_tasks" => match () {
            () if all => Rest(&["sentinel", "saga"]),
            () if words == "stats" => Rest(&["leases_total"]),
            () if dead => Rest(&["saga"]),
            () if of_letter || begins(&["exec show", "task show"]) => Refused,
            () if words == "inspect u:9" => Refused,
            () if by_id && words.contains(" u:") => Rest(&["u:1"]),
            () if words.starts_with("exec list") && table != "dead_tasks" => Refused,
            () if words.starts_with("task list") && table == "tasks" => Refused,
            () if by_id => Rest(&[]),
            () => Whole,
        },
        "signals" => match () {
            () if all => Rest(&["sentinel", "saga"]),
            () if begins(&["exec show", "task show"]) || words == "inspect u:9" => Refused,
            () if by_id && words.contains(" u:") => Rest(&["u:1"]),
            () if by_id => Rest(&[]),
            () => Whole,
        },
        "execution_progress" | "execution_counters" | "execution_state" => match () {
            () if all => Rest(&["sentinel", "saga"]),
            () if words == "inspect u:9" => Refused,
            () if begins(&["exec show", "task show"]) => Rest(&["why:"]),
            () if by_id && words.contains(" u:") => Rest(&["u:1"]),
            () if by_id => Rest(&[]),
            () => Whole,
        },
        "idempotency" | "cache" if all => Rest(&["sentinel", "saga"]),
        "idempotency" | "cache" if of_letter => Rest(&["flows:"]),
        "idempotency" | "cache" => Whole,
        "order_saga" if begins(&["saga show"]) => Refused,
        _ if words == "inspect u:9" => Refused,
        _ if words.starts_with("saga outbox show") && table == "order_outbox" => Refused,
        _ if all => Rest(&["sentinel", "stent"]),
        _ if by_id || sagas || dead || begins(&["saga ", "dlq show", "grants"]) => Rest(&[]),
        _ => Whole,
    }
}

/// SELECT is taken away from one table after the other: what does not need it is shown, the table is named with what to do
/// about it, and no hole ends with 0 or says that all is well.
#[test]
fn a_table_that_may_not_be_read_hides_nothing_else_and_is_named() {
    let server = Server::start(&Options::new());
    let scene = Scene::new(&server, &TODAY);
    scene.database.psql("CREATE ROLE reader LOGIN");
    let url = scene.database.url();
    let grants = sen(["grants", "--role", "ro", "--to", "reader"]).database(&url).run().expect_code(0).stdout;
    scene.database.psql(&grants);
    let (steps, mut wrong, mut tables) = (scene.reading(), Vec::new(), 0);
    let letter = scene.letter().to_owned();
    for grant in grants.lines().filter(|line| line.starts_with("GRANT SELECT")) {
        tables += 1;
        let object = grant.split(' ').nth(4).unwrap();
        let table = object.rsplit('.').next().unwrap().trim_matches('"');
        scene.database.psql(&format!("REVOKE SELECT ON {object} FROM reader"));
        for step in &steps {
            let words = step.words.join(" ");
            // Nobody wants an error in the middle of typing; doctor tells in its own way.
            if words.starts_with("__complete") || words == "doctor" {
                continue;
            }
            let output = scene.run("reader", step);
            let (told, all) = (&output.stderr, format!("{}{}", output.stdout, output.stderr));
            let named = told.contains("permission denied for table")
                && told.replace('"', "").contains(table)
                && told.contains("sen grants");
            let good = match expected(table, &words, &letter) {
                Shown::Whole => step.codes.contains(&output.code) && !told.contains("permission denied"),
                Shown::Beside => step.codes.contains(&output.code) && named && told.contains("warning: "),
                Shown::Refused => [1, 125].contains(&output.code) && named && output.stdout.is_empty(),
                Shown::Rest(pieces) => {
                    output.code == 1 && named && pieces.iter().all(|piece| output.stdout.contains(piece))
                }
            };
            if !good || all.contains("nothing needs a person") {
                wrong.push(format!("without {table}: sen {words} ended with {}:\n{all}", output.code));
            }
        }
        let doctor = scene.run("reader", &scene.doctor());
        if doctor.code != 0 || !doctor.stdout.replace('"', "").contains(table) || !doctor.stdout.contains("sen grants")
        {
            wrong.push(format!("without {table}: doctor:\n{}{}", doctor.stdout, doctor.stderr));
        }
        scene.database.psql(&format!("GRANT SELECT ON {object} TO reader"));
    }
    assert!(tables >= 15, "{grants}");
    assert!(wrong.is_empty(), "{}\n{} in all", wrong.join("\n"), wrong.len());
}

/// Where nothing else would need a person, what may not be read could.
#[test]
fn nothing_is_called_well_that_was_not_seen() {
    let database = Server::shared().fresh_database();
    let url = database.url();
    sen(["init"]).database(&url).run().expect_code(0);
    let role = format!("kept_from_{}", database.name);
    database.psql(&format!("CREATE ROLE {role} LOGIN; GRANT SELECT ON sentinel_leases, sentinel_events TO {role}"));
    let reader = as_role(&url, &role);
    let run = |args: &[&str], code| sen(args).database(&reader).run().expect_code(code);
    assert!(run(&["status"], 0).stdout.contains("nothing needs a person"));
    assert!(run(&["metrics"], 0).stdout.contains("\nsen_unread_systems 0\n"));
    database.psql(&format!("REVOKE SELECT ON sentinel_events FROM {role}"));
    for args in [&["status"][..], &["status", "--check"], &["metrics"]] {
        let output = run(args, 1);
        assert!(!output.stdout.contains("nothing needs a person"), "{}", output.stdout);
        assert!(output.stderr.contains("permission denied for table sentinel_events"), "{}", output.stderr);
    }
    assert!(run(&["metrics"], 1).stdout.contains("\nsen_unread_systems 1\n"));
    database.psql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

/// The same for every table of durable executions, those among them of which `status` counts nothing.
#[test]
fn no_table_of_executions_that_may_not_be_read_is_called_well() {
    let database = Server::shared().fresh_database();
    let url = database.url();
    peers::ask(&STENT_112, "stent/make.py", &[&url, "--only-finished"]);
    let tables = [
        "signals",
        "execution_progress",
        "execution_counters",
        "execution_state",
        "cache",
        "idempotency",
        "dead_tasks",
        "tasks",
        "executions",
    ];
    database.psql(&format!("TRUNCATE {}", tables.join(", ")));
    let role = format!("executions_kept_from_{}", database.name);
    database.psql(&format!("CREATE ROLE {role} LOGIN"));
    database.psql(&sen(["grants", "--role", "ro", "--to", &role]).database(&url).run().expect_code(0).stdout);
    let reader = as_role(&url, &role);
    let run = |args: &[&str], code| sen(args).database(&reader).run().expect_code(code);
    assert!(run(&["status", "--check"], 0).stdout.contains("nothing needs a person"));
    for table in tables {
        database.psql(&format!("REVOKE ALL ON {table} FROM {role}"));
        for args in [&["status"][..], &["status", "--check"], &["metrics"]] {
            let output = run(args, 1);
            let told = output.stderr.contains(&format!("permission denied for table {table}"));
            assert!(told && output.stderr.contains("sen grants"), "{table}: {args:?}: {}", output.stderr);
            assert!(!output.stdout.contains("nothing needs a person"), "{table}: {args:?}: {}", output.stdout);
        }
        database.psql(&format!("GRANT SELECT ON {table} TO {role}"));
    }
    // Whoever follows it sees it, too: in the terminal, and as lines.
    database.psql(&format!("REVOKE ALL ON signals FROM {role}"));
    let mut live = terminal(["watch", "--interval", "200ms"]).database(&reader).size(30, 160).start();
    live.wait_for("permission denied for table signals");
    live.type_keys("q");
    let shown = live.finish();
    assert!(!shown.screen.contains("nothing needs a person"), "{}", shown.screen);
    let followed = sen(["watch", "--interval", "200ms", "-o", "jsonl"]).database(&reader).start();
    followed.wait_until("a line", |told| told.contains('\n'));
    followed.signal(Signal::INT);
    let told = followed.finish().stdout;
    assert!(told.contains("permission denied for table signals") && told.contains(r#""warning":1"#), "{told}");
    database.psql(&format!("GRANT SELECT ON signals TO {role}"));
    // Some of its columns are enough to know of it.
    database.psql(&format!("REVOKE ALL ON cache FROM {role}; GRANT SELECT (key) ON cache TO {role}"));
    run(&["status", "--check"], 0);
    database.psql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}
