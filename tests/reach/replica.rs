//! `--prefer-replica`: what walks over all tasks does so on a replica that hears from its primary, and says where it read.

use rustix::process::Signal;

use crate::harness::patience::until;
use crate::harness::redis::{Options, Redis};
use crate::harness::sen::{Output, sen};

/// How often this server has walked over its keys.
fn walks(server: &Redis) -> usize {
    let told = server.client().run(&["INFO", "commandstats"]);
    let calls =
        told.text().lines().find_map(|line| line.strip_prefix("cmdstat_scan:calls=")?.split(',').next()?.parse().ok());
    calls.unwrap_or(0)
}

fn follows(server: &Redis) -> bool {
    server.client().run(&["INFO", "replication"]).text().contains("master_link_status:up")
}

fn run(url: &str, words: &[&str]) -> Output {
    sen(words).env("SEN_REDIS_URL", url).run()
}

#[test]
fn walks_go_to_a_replica_and_say_so() {
    let primary = Options::new().tcp().conf("repl-diskless-sync-delay 0").start();
    let url = format!("redis://127.0.0.1:{}/0?socket_connect_timeout=3", primary.port());
    let here = format!("127.0.0.1:{}", primary.port());
    for id in ["task_a", "task_b"] {
        let words = ["agent", "submit", "--tenant", "acme", "--type", "t", "--yes", "--id", id];
        run(&url, &words).expect_code(0);
    }
    let list = ["agent", "list", "--prefer-replica", "-o", "json"];
    let alone = run(&url, &list).expect_code(0);
    assert_eq!(alone.json().as_array().unwrap().len(), 2);
    assert!(alone.stderr.contains(&format!("read from the primary {here}: it has no replica")), "{}", alone.stderr);

    let replica = Options::new().tcp().conf(&format!("replicaof 127.0.0.1 {}", primary.port())).start();
    let there = format!("127.0.0.1:{}", replica.port());
    until("the replica follows", || follows(&replica));
    // The primary names it once it has answered.
    until("the primary knows it", || primary.client().run(&["INFO", "replication"]).text().contains("state=online"));
    let before = walks(&primary);
    let said = format!("read from the replica {there} of {here}, ");
    let read = run(&url, &list).expect_code(0);
    assert_eq!(read.json().as_array().unwrap().len(), 2);
    assert!(read.stderr.contains(&said), "{}", read.stderr);
    for words in [["agent", "stats", "--prefer-replica"], ["agent", "costs", "--prefer-replica"]] {
        let read = run(&url, &words).expect_code(0);
        assert!(read.stderr.contains(&said), "{words:?}: {}", read.stderr);
    }
    assert_eq!(walks(&primary), before, "the primary was left alone");
    assert!(walks(&replica) >= 3);
    run(&url, &["agent", "list"]).expect_code(0);
    assert!(walks(&primary) > before, "only who asks for it reads a replica");

    // The replica itself, a user who may not ask, a replica that does not answer.
    let itself = run(&format!("redis://{there}/0"), &list).expect_code(0);
    assert!(itself.stderr.contains(&format!("read from {there}, a replica of {here}")), "{}", itself.stderr);
    primary.client().run(&["ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@all", "-role"]);
    let reader = url.replace("redis://", "redis://reader:pw@");
    let told = run(&reader, &list).expect_code(0);
    assert!(told.stderr.contains(&format!("read from {here}: it does not tell its replicas")), "{}", told.stderr);
    replica.signal(Signal::STOP);
    let silent = run(&url, &list).expect_code(0);
    replica.signal(Signal::CONT);
    let none = format!("read from the primary {here}: no replica can be read from ({there}: no answer within 3s)");
    assert!(silent.stderr.contains(&none), "{}", silent.stderr);
    assert_eq!(silent.json().as_array().unwrap().len(), 2);
}

#[test]
fn a_replica_that_lost_its_primary_says_that_it_may_be_old_and_acts_know_no_replica() {
    let primary = Options::new().tcp().conf("repl-diskless-sync-delay 0").start();
    let replica = Options::new().tcp().conf(&format!("replicaof 127.0.0.1 {}", primary.port())).start();
    until("the replica follows", || follows(&replica));
    primary.signal(Signal::KILL);
    until("the replica has noticed", || !follows(&replica));
    let url = format!("redis://127.0.0.1:{}/0", replica.port());
    let read = run(&url, &["agent", "list", "--prefer-replica"]).expect_code(0);
    assert!(read.stderr.contains("what it shows may be old"), "{}", read.stderr);
    for act in [["agent", "cancel", "task_a"], ["agent", "requeue", "task_a"]] {
        let refused = run(&url, &[&act[..], &["--prefer-replica", "--yes"]].concat()).expect_code(2);
        assert!(refused.stderr.contains("--prefer-replica"), "{}", refused.stderr);
    }
}
