//! Bulk acts while processes of the server are killed: of every item what is said is what is there.

use std::collections::BTreeMap;

use rustix::process::Signal;

use super::stage::{Stage, scale};
use crate::harness::daemon;
use crate::harness::postgres::Options;
use crate::harness::proxy::{Proxy, Trap};
use crate::harness::psql;
use crate::harness::sen::sen;

const KEYS: usize = 40;

/// When a process of the server is killed.
enum Moment<'a> {
    /// When so many looks have found a change under way.
    Looks(usize),
    /// When the first COMMIT after these bytes of a statement has come to the proxy, whatever the machine is doing.
    Commit(&'a str),
}

/// Runs a bulk act and kills its server process in the middle of it; then everything it said is compared.
fn crashed(stage: &Stage, words: &[&str], moment: Moment<'_>, done: &str) -> BTreeMap<String, usize> {
    let proxy = Proxy::unix(&stage.server);
    if let Moment::Commit(statement) = moment {
        proxy.trap_after(statement, Trap::Hold(b"COMMIT".to_vec()));
    }
    let mut running = sen(words.iter().copied().chain(["-o", "json"]))
        .database(&proxy.url_of(&stage.names[0]))
        .env("SEN_CONNECT_RETRY", "60s")
        .start();
    let backend = "SELECT pid FROM pg_stat_activity WHERE application_name = 'sen' AND backend_xid IS NOT NULL LIMIT 1";
    let mut told = BTreeMap::new();
    let mut kill = |pid: String| {
        let found = pid.parse().map(|pid| daemon::send(pid, Signal::KILL));
        told.extend(found.map(|()| ("killed".to_owned(), 1)));
    };
    match moment {
        Moment::Commit(_) => {
            proxy.wait_for_hold();
            kill(stage.psql(0, backend));
            proxy.stall(false);
        }
        Moment::Looks(at) => {
            let mut session = psql::Session::open(&stage.url(0));
            let mut seen = 0;
            while running.is_running() {
                let pid = session.run(backend);
                seen += usize::from(!pid.is_empty());
                if seen > at && !pid.is_empty() {
                    kill(pid);
                    break;
                }
            }
        }
    }
    let output = running.finish();
    assert!([0, 3, 6, 9].contains(&output.code), "{output:?}");
    let report = output.json();
    // The server takes everybody's connections away when one of its processes is killed.
    let ask = |sql: &str| loop {
        match psql::try_run(&stage.url(0), sql) {
            Ok(rows) => return rows,
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(50)),
        }
    };
    let there = ask(done);
    let there: Vec<&str> = there.lines().collect();
    for item in report["results"].as_array().unwrap() {
        let id = item["subject"].as_str().unwrap().rsplit(':').next().unwrap();
        let outcome = item["outcome"].as_str().unwrap().to_owned();
        match outcome.as_str() {
            "applied" => assert!(there.contains(&id), "said to be done and is not: {item}"),
            "failed" | "skipped" => assert!(!there.contains(&id), "said not to be done and is: {item}"),
            "unknown" => {}
            _ => panic!("that is no answer: {item}"),
        }
        *told.entry(outcome).or_default() += 1;
    }
    told
}

#[expect(clippy::print_stdout, reason = "the numbers of a large run are read by a person")]
#[test]
fn processes_of_the_server_killed_during_bulk_acts() {
    let rounds = (scale() as usize).clamp(1, 12);
    let stage = Stage::set(
        &Options::new().durable().conf("commit_delay = 30000").conf("commit_siblings = 0"),
        KEYS * rounds / 2,
    );
    stage.psql(
        0,
        "CREATE SEQUENCE rounds; CREATE FUNCTION fill(keys int) RETURNS void LANGUAGE sql AS $$
            INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, hard_expires_at, status, fencing_token)
            SELECT 'r' || nextval('rounds') || '-' || i, 'o', now() - interval '1h', now() - interval '1h', 'executing',
                nextval('sentinel_token_seq') FROM generate_series(1, keys) AS i $$",
    );
    let mut total: BTreeMap<String, usize> = BTreeMap::new();
    for round in 0..rounds {
        stage.psql(0, &format!("DELETE FROM sentinel_leases; SELECT fill({KEYS}); CHECKPOINT"));
        let at = round * 7 % 20;
        let mut add = |what: &str, told: BTreeMap<String, usize>| {
            told.into_iter()
                .for_each(|(outcome, count)| *total.entry(format!("{what} {outcome}")).or_default() += count);
        };
        let reconciled = "SELECT key FROM sentinel_leases WHERE status = 'reconciling'";
        add("reconcile", crashed(&stage, &["reconcile", "--all", "--yes"], Moment::Looks(at), reconciled));
        let limit = (KEYS / 2).to_string();
        let before = stage.psql(0, "SELECT id FROM dead_tasks ORDER BY id");
        let replay = ["dlq", "replay", "--all", "--system", "stent", "--batch", "2", "--limit", &limit, "--yes"];
        let gone = format!(
            "SELECT id FROM unnest(ARRAY['{}']) AS id WHERE id NOT IN (SELECT id FROM dead_tasks)",
            before.replace('\n', "','")
        );
        let moment = if round % 2 == 0 { Moment::Commit("opened AS (") } else { Moment::Looks(at / 4) };
        add("replay", crashed(&stage, &replay, moment, &gone));
        let retried = "SELECT id FROM order_saga WHERE status::text = 'RUNNING'";
        let retry = ["saga", "retry", "--all", "--saga-table", "order_saga", "--limit", &limit, "--yes"];
        let moment = if round % 2 == 0 { Moment::Commit("WITH changed AS (UPDATE") } else { Moment::Looks(at) };
        add("retry", crashed(&stage, &retry, moment, retried));
        // What was retried is out of the next round's way.
        stage.psql(0, "UPDATE order_saga SET status = 'COMPLETED' WHERE status::text = 'RUNNING'");
    }
    let killed = total.iter().filter(|(what, _)| what.ends_with("killed")).map(|(_, count)| count).sum::<usize>();
    assert!(killed >= 2, "the acts were over before a process could be killed: {total:?}");
    println!("bulk acts, a process of the server killed in each: {total:?}");
}
