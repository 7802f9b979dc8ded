//! Tasks that wait while a worker polls: for others' tags, at a limit of their step, or with nobody there at all. Workers of the
//! real libraries, in both stores; times are moved where minutes have to pass.

use crate::harness::patience::until;
use crate::harness::peers::{self, Peer};
use crate::harness::python::Environment;
use crate::why::rules;
use crate::{Place, cells};

/// Dispatches a function of `flows.py`.
fn dispatched(library: &Environment, place: &Place<'_>, words: &[&str]) -> String {
    let made = peers::ask(library, "stent/flow.py", &[&[&place.for_library(), "dispatch"], words].concat());
    made["id"].as_str().unwrap().to_owned()
}

fn worker(library: &Environment, place: &Place<'_>, words: &[&str]) -> Peer {
    Peer::start(library, "stent/worker.py", &[&[&place.for_library(), "--ready"], words].concat())
}

fn ended(place: &Place<'_>, id: &str) {
    until("an execution completes", || {
        place.count(&format!("executions WHERE id = '{id}' AND state = 'completed'")) == 1
    });
}

/// An execution and its task were made so many minutes ago.
fn aged(place: &Place<'_>, id: &str, minutes: u64) {
    place.dated("executions", "created_at", id, minutes);
    place.dated("tasks", "created_at", id, minutes);
}

fn cause(place: &Place<'_>, id: &str) -> String {
    place.json(&["why", id])["chain"][0]["causes"][0]["summary"].as_str().unwrap().to_owned()
}

#[test]
fn a_worker_that_takes_other_tags_passes_over() {
    for (library, place) in cells() {
        let id = dispatched(library, &place, &["echo", "1", "--tags", "batch", "--queue", "desk"]);
        let _worker = worker(library, &place, &["--queue", "desk", "--tag", "orders"]);
        // It polls and finds nothing for it: no row says that it is there, so nobody is said not to be.
        aged(&place, &id, 10);
        assert_eq!(rules(&place, &[], &id), ["likely no_worker"]);
        let told = cause(&place, &id);
        assert!(
            told.ends_with("probably no worker polls it, or only workers that do not take its tags (batch) do"),
            "{told}"
        );
        for words in [&["status", "--check"][..], &["doctor"]] {
            let told = place.sen(words).stdout;
            assert!(told.contains("or only workers that do not take the tags of its tasks do"), "{told}");
        }
        // What it takes it begins, later ones before the one that waits.
        ended(&place, &dispatched(library, &place, &["echo", "2", "--tags", "orders", "--queue", "desk"]));
        assert_eq!(rules(&place, &[], &id), ["likely passed_over"]);
        let told = cause(&place, &id);
        assert!(
            told.contains("later tasks of queue \"desk\" were begun meanwhile (1), and none with its tags"),
            "{told}"
        );
        assert!(!told.contains("no worker"), "{told}");
        for words in [&["status", "--check"][..], &["doctor"]] {
            let told = place.sen(words).stdout;
            assert!(told.contains("the workers that poll it probably do not take the tags \"batch\""), "{told}");
            assert!(!told.contains("no worker polls"), "{told}");
        }
        place.sen(&["status", "--check"]).expect_code(10);
        // One that takes its tags runs it, and nothing is left to say.
        let _other = worker(library, &place, &["--queue", "desk", "--tag", "batch", "--id", "other"]);
        ended(&place, &id);
        assert!(rules(&place, &[], &id).is_empty());
        place.sen(&["status", "--check"]).expect_code(0);
    }
}

#[test]
fn a_limit_of_the_step_holds_back() {
    for (library, place) in cells() {
        let _worker = worker(library, &place, &["--queue", "desk"]);
        let first = dispatched(library, &place, &["narrow", "3600", "--queue", "desk"]);
        until("the first one runs", || place.count("tasks WHERE state = 'running'") == 1);
        let id = dispatched(library, &place, &["narrow", "3600", "--queue", "desk"]);
        aged(&place, &first, 11);
        aged(&place, &id, 10);
        assert_eq!(rules(&place, &[], &id), ["likely queue_behind"]);
        let told = cause(&place, &id);
        assert!(told.contains("its workers are busy, or a limit of the step"), "{told}");
        assert!(told.contains("1 task of this step running") && told.contains("(max_concurrent)"), "{told}");
        // Others of the queue run meanwhile: its workers are not busy.
        ended(&place, &dispatched(library, &place, &["echo", "2", "--queue", "desk"]));
        assert_eq!(rules(&place, &[], &id), ["likely queue_behind"]);
        let told = cause(&place, &id);
        assert!(told.contains("probably a limit of the step (max_concurrent) holds it back"), "{told}");
        // The limit holds across queues, so one that nobody seems to poll may wait for it all the same.
        let elsewhere = dispatched(library, &place, &["narrow", "3600", "--queue", "side"]);
        aged(&place, &elsewhere, 10);
        assert_eq!(rules(&place, &[], &elsewhere), ["likely queue_behind"]);
        assert!(cause(&place, &elsewhere).contains("(max_concurrent)"), "{}", cause(&place, &elsewhere));
        // That is how it is meant to be: no alarm for the queue whose worker works.
        let status = place.sen(&["status"]).stdout;
        assert!(!status.contains("of queue \"desk\""), "{status}");
        assert!(status.contains("1 task of queue \"side\" ready") && status.contains("(max_concurrent)"), "{status}");
    }
}

#[test]
fn without_a_worker_nobody_polls() {
    for (library, place) in cells() {
        let id = dispatched(library, &place, &["echo", "1", "--queue", "desk"]);
        assert!(rules(&place, &[], &id).is_empty());
        aged(&place, &id, 10);
        assert_eq!(rules(&place, &[], &id), ["likely no_worker"]);
        let told = cause(&place, &id);
        assert!(
            told.ends_with("none runs, and no row says that one was ever begun; probably no worker polls it"),
            "{told}"
        );
        let status = place.sen(&["status", "--check"]).expect_code(10).stdout;
        assert!(status.contains("1 task of queue \"desk\" ready"), "{status}");
        assert!(status.contains("probably no worker polls it") && !status.contains("tags"), "{status}");
    }
}
