//! Transactions that are lost with their WAL, or that survive it, for every act.

use rustix::process::Signal;

use super::stage::{At, Held, Stage, Told, forgetful, scale, truthful};
use crate::harness::daemon;
use crate::harness::patience::until;
use crate::harness::postgres::{Options, Server};

/// How many copies of each act go at once, and how often.
fn size() -> (usize, usize) {
    let copies = (scale() as usize).clamp(1, 4);
    (copies, (scale() / copies as f64).ceil() as usize)
}

#[expect(clippy::print_stdout, reason = "the numbers of a large run are read by a person")]
fn report(what: &str, told: &[Told]) {
    let [done, not, unknown] = truthful(told);
    println!("{what}: {} faults, {done} done, {not} not done, {unknown} unknown, 0 false", told.len());
}

/// Whether it was said that nothing was written. A replay tries again by itself, and may then say that it is done.
fn undone(told: &Told) -> bool {
    let again = told.verb == "dlq replay" && told.outcome == "applied" && told.done;
    again || (told.outcome == "failed" && !told.done)
}

/// All of them, but for what a busy machine was too slow for: the server ends a transaction whose COMMIT does not come.
fn most(count: usize, all: &[Told]) -> bool {
    2 * count > all.len()
}

/// Acts of which nothing is left when they are done: no events in 0.4.2, and the progress goes with the execution.
const WITHOUT_RECORD: [&str; 3] = ["0.4.2 release", "0.4.2 forget", "exec cleanup"];

/// Kills the server with all its processes and starts it again; ids that were lost are then given out anew.
fn crash(stage: &mut Stage) -> u64 {
    let newest = stage.newest_open();
    stage.server.kill();
    stage.server.resume();
    stage.give_out(newest.max(2));
    newest
}

#[test]
fn a_crash_that_loses_the_transaction_is_nothing_written() {
    let (copies, rounds) = size();
    let mut stage = Stage::set(&forgetful(), copies * rounds);
    let mut all = Vec::new();
    let mut reused = 0;
    for _ in 0..rounds {
        let held = stage.hold(At::Request, copies);
        let newest = crash(&mut stage);
        let status = stage.psql(0, &format!("SELECT txid_status({newest})"));
        reused += usize::from(status == "committed");
        all.extend(stage.settle(held));
    }
    assert!(reused > 0, "no id of a lost transaction was given to another one that committed");
    assert!(all.iter().all(undone), "{all:#?}");
    report("crash before the COMMIT", &all);
}

#[test]
fn an_act_that_was_committed_survives_a_crash_and_is_seen_to_be_done() {
    let (copies, rounds) = size();
    let mut stage = Stage::set(&forgetful(), copies * rounds);
    let mut all = Vec::new();
    for _ in 0..rounds {
        let held = stage.hold(At::Answer, copies);
        wait_for_commits(&stage);
        crash(&mut stage);
        all.extend(stage.settle(held));
    }
    // The server's own setting is `synchronous_commit = off`: without one of their own these would be lost.
    // What leaves no record of its own is not called done, because its rows are gone: others could have removed them.
    let (unseen, all): (Vec<Told>, Vec<Told>) = all.into_iter().partition(|told| WITHOUT_RECORD.contains(&told.verb));
    truthful(&unseen);
    assert!(unseen.iter().all(|told| told.outcome == if told.done { "unknown" } else { "failed" }), "{unseen:#?}");
    let [done, _, unknown] = truthful(&all);
    assert!(unknown == 0 && most(done, &all), "{all:#?}");
    report("crash after the COMMIT", &all);
}

/// Waits until no act has a transaction open: the answers are what is held back.
fn wait_for_commits(stage: &Stage) {
    let open = "SELECT count(*) FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()";
    until("the COMMITs are done", || stage.psql(0, open) == "0");
}

/// Waits until the standby streams.
fn streams(stage: &Stage) {
    let streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
    until("the standby streams", || stage.psql(0, streaming) != "0");
}

/// A primary whose standby is cut off from its WAL, and the acts that are held on it.
fn cut_off(stage: &mut Stage, at: At, copies: usize) -> (Server, Vec<Held>) {
    let standby = stage.server.standby("one");
    streams(stage);
    (standby, stage.hold_without_standby(at, copies))
}

impl Stage {
    /// Lets the acts come to their COMMITs once the standby has what was there before, and stops its stream.
    fn hold_without_standby(&mut self, at: At, copies: usize) -> Vec<Held> {
        self.hold_after(at, copies, |stage| {
            let behind = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn IS DISTINCT FROM pg_current_wal_insert_lsn()";
            until("the standby has everything", || stage.psql(0, behind) == "0");
            let sender = stage.server.process("walsender").expect("there is a walsender");
            daemon::send(sender, Signal::STOP);
        })
    }

    /// The primary is lost, the standby is promoted, and gives the ids that it never saw to others.
    fn fail_over(&mut self, standby: Server) {
        let newest = self.newest_open();
        self.server.kill();
        standby.promote();
        self.server = standby;
        self.give_out(newest.max(2) + 200);
    }
}

#[test]
fn what_an_asynchronous_standby_never_got_is_not_called_done() {
    let (copies, rounds) = size();
    let mut stage = Stage::set(&Options::new(), 2 * copies * rounds);
    let mut all = Vec::new();
    for round in 0..2 * rounds {
        let at = if round % 2 == 0 { At::Request } else { At::Answer };
        let (standby, held) = cut_off(&mut stage, at, copies);
        if at == At::Answer {
            wait_for_commits(&stage);
        }
        stage.fail_over(standby);
        all.extend(stage.settle(held));
    }
    assert!(all.iter().all(undone), "{all:#?}");
    report("failover without the COMMIT", &all);
}

/// The primary has committed and waits for its synchronous standby; the waiting is broken off, so that the commit shows. It
/// can still be lost by a failover, and is.
#[test]
fn what_waits_for_a_synchronous_standby_is_unknown_until_it_has_arrived() {
    let mut stage = Stage::set(&Options::new().conf("synchronous_commit = on"), 1);
    stage.retry = "0s";
    let standby = stage.server.standby("one");
    streams(&stage);
    let held = stage.hold_after(At::Answer, 1, |stage| {
        stage.psql(0, "ALTER SYSTEM SET synchronous_standby_names = 'one'");
        stage.psql(0, "SELECT pg_reload_conf()");
        until("the standby is synchronous", || {
            stage.psql(0, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") != "0"
        });
        daemon::send(stage.server.process("walsender").expect("there is a walsender"), Signal::STOP);
    });
    let committing = "SELECT count(*) FROM pg_stat_activity
        WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() AND wait_event IS DISTINCT FROM 'SyncRep'";
    until("what commits waits for the standby", || stage.psql(0, committing) == "0");
    stage.psql(0, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
    let all = stage.settle(held);
    // What shows there is not called done, because the primary would not confirm it.
    let [done, _, unknown] = truthful(&all);
    assert!(done == 0 && most(unknown, &all), "{all:#?}");
    stage.fail_over(standby);
    report("synchronous standby cut off", &all);
}
