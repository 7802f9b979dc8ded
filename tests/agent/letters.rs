//! Failed agent tasks as dead letters: lists, groups, replay, export, and why none is discarded.

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use sen_core::error::ErrorKind;
use sen_core::letters::{DeadLetters, LetterFilter, ReplayOptions};
use sen_core::model::prepared::Applying;
use sen_core::model::report::Outcome;
use sen_core::observe::Silent;
use sen_core::permit::{Consent, WritePermit};
use sen_core::registry::{self, Access, Database};
use sen_core::stores::url::Target;
use sen_core::systems::node;

use crate::harness::patience::PATIENCE;
use crate::place::{Place, check_model};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn open(place: &Place) -> Database {
    let target = Target::resolve(Some(&place.server.url()), &|_| None).unwrap();
    registry::open(&target, Access::Write, Some(PATIENCE)).await.unwrap()
}

fn letters(database: &Database) -> &dyn DeadLetters {
    database.system(node::NAME).unwrap().letters().unwrap()
}

async fn ids(letters: &dyn DeadLetters, filter: &LetterFilter) -> Vec<String> {
    let mut parts = letters.list(filter).await.unwrap().parts;
    let mut out = Vec::new();
    while let Some(part) = parts.next().await {
        out.extend(part.unwrap().into_iter().map(|letter| letter.id));
    }
    out
}

#[test]
fn failed_tasks_are_listed_and_grouped() {
    let place = Place::loaded();
    place.make("left", "leased", "worker-gone", &[("attempts", "3")]);
    block_on(async {
        let database = open(&place).await;
        let letters = letters(&database);
        let all = ids(letters, &LetterFilter::default()).await;
        assert_eq!(all.len(), 6, "{all:?}");
        let newest = LetterFilter { limit: Some(3), newest_first: true, payloads: true, ..LetterFilter::default() };
        let mut parts = letters.list(&newest).await.unwrap().parts;
        let part = parts.next().await.unwrap().unwrap();
        assert!(part.windows(2).all(|pair| pair[0].died_at >= pair[1].died_at));
        assert!(
            part.iter()
                .all(|letter| serde_json::from_str::<serde_json::Value>(letter.payload.as_ref().unwrap()).is_ok())
        );
        let oldest = LetterFilter { newest_first: false, ..newest.clone() };
        assert_ne!(ids(letters, &oldest).await, ids(letters, &newest).await);

        let groups = letters.groups(&LetterFilter::default()).await.unwrap();
        let counts: Vec<u64> = groups.iter().map(|group| group.count).collect();
        assert_eq!(counts, [3, 2, 1]);
        assert_eq!(groups[0].replayable, Some(3));
        assert_eq!(groups[1].replayable, Some(0), "cancelled ones are not replayed unasked");
        let group = LetterFilter { groups: vec![groups[0].id.clone()], ..LetterFilter::default() };
        assert_eq!(ids(letters, &group).await.len(), 3);
        for (filter, count) in [
            (LetterFilter { error: Some("no-such-agent".into()), ..LetterFilter::default() }, 3),
            (LetterFilter { step: Some("research".into()), ..LetterFilter::default() }, 6),
            (LetterFilter { worker: Some("worker-1".into()), ..LetterFilter::default() }, 3),
            (LetterFilter { kinds: vec!["orchestrator".into()], ..LetterFilter::default() }, 0),
            (LetterFilter { kinds: vec!["agent_task".into()], ..LetterFilter::default() }, 6),
            (LetterFilter { queue: Some("q".into()), ..LetterFilter::default() }, 0),
        ] {
            assert_eq!(ids(letters, &filter).await.len(), count, "{filter:?}");
        }
        assert_eq!(letters.show("task_f770cd25c8f6").await.unwrap().len(), 1);
        assert!(letters.show("task_086afa9f5fe8").await.unwrap().is_empty());
        let mut lines = Vec::new();
        let mut sink = |line: &str| {
            lines.push(serde_json::from_str::<serde_json::Value>(line).unwrap());
            Ok(())
        };
        assert_eq!(letters.export(&LetterFilter::default(), &mut sink).await.unwrap(), 6);
        assert!(
            lines.iter().any(|line| line["task_id"] == "task_f770cd25c8f6" && line["task_params"]["query"].is_string())
        );
        assert_eq!(letters.plan_discard(&LetterFilter::default()).await.unwrap_err().kind(), ErrorKind::Refused);
        let none = LetterFilter { queue: Some("q".into()), ..LetterFilter::default() };
        assert_eq!(letters.plan_discard(&none).await.unwrap().plan().targets(), 0);
    });
}

#[test]
fn replay_resets_the_attempts() {
    let place = Place::loaded();
    place.make("left", "leased", "worker-gone", &[("attempts", "3")]);
    block_on(async {
        let database = open(&place).await;
        let letters = letters(&database);
        let action = letters.plan_replay(&LetterFilter::default(), &ReplayOptions::default()).await.unwrap();
        let plan = action.plan();
        let set = plan.set.clone().unwrap();
        assert_eq!(plan.targets(), 4);
        assert_eq!(set.skipped.iter().map(|(_, count)| count).sum::<u64>(), 2);
        let before = place.everything();
        assert!(WritePermit::grant(plan, Consent::Unasked, None).is_err());
        assert_eq!(place.everything(), before);
        let permit = WritePermit::grant(plan, Consent::InAdvance, Some("fixed".into())).unwrap();
        let report =
            action.apply(Applying { permit: &permit, observer: &Silent, brakes: None, export: None }).await.unwrap();
        assert_eq!((report.count(Outcome::Applied), report.items.len()), (4, 4));
        for item in &report.items {
            let hash = place.hash(&item.subject.id);
            check_model(&hash).unwrap();
            assert_eq!(
                (hash["status"].as_str(), hash["attempts"].as_str(), hash["owner"].as_str()),
                ("queued", "0", "")
            );
            assert!(!hash.contains_key("error") && !hash.contains_key("result") && !hash.contains_key("completed_at"));
        }
        assert_eq!(place.events().iter().filter(|event| event.get("why").is_some_and(|why| why == "fixed")).count(), 4);
        // The cancelled ones, named.
        let named = LetterFilter {
            ids: vec!["task_122c768051e0".into(), "nope".into(), "task_086afa9f5fe8".into()],
            ..LetterFilter::default()
        };
        let action = letters.plan_replay(&named, &ReplayOptions::default()).await.unwrap();
        let plan = action.plan();
        assert_eq!((plan.targets(), plan.refused.len()), (1, 2));
        // What changes between the plan and the act is left alone.
        place.set("task_122c768051e0", &[("updated_at", "2026-11-21T00:00:00.000001")]);
        let permit = WritePermit::grant(plan, Consent::InAdvance, None).unwrap();
        let report =
            action.apply(Applying { permit: &permit, observer: &Silent, brakes: None, export: None }).await.unwrap();
        assert_eq!(report.count(Outcome::Changed), 2, "{:?}", report.items);
        assert_eq!(place.hash("task_122c768051e0")["status"], "failed");
    });
}

/// Two operators replay the same letters: each is queued once.
#[test]
fn two_operators_replay_each_letter_once() {
    let place = Place::empty();
    let made: BTreeSet<String> = (0..300).map(|number| format!("t{number}")).collect();
    for id in &made {
        place.make(id, "failed", "", &[("error", "boom"), ("attempts", "3")]);
    }
    block_on(async {
        let databases = [open(&place).await, open(&place).await];
        let work = |database: &'static Database| async move {
            let letters = letters(database);
            let options = ReplayOptions { batch: Some(7), ..ReplayOptions::default() };
            let action = letters.plan_replay(&LetterFilter::default(), &options).await.unwrap();
            let plan = action.plan();
            let permit = WritePermit::grant(plan, Consent::InAdvance, None).unwrap();
            tokio::task::yield_now().await;
            action.apply(Applying { permit: &permit, observer: &Silent, brakes: None, export: None }).await.unwrap()
        };
        let [first, second] = databases.map(|database| &*Box::leak(Box::new(database)));
        let (first, second) = tokio::join!(work(first), work(second));
        assert_eq!(first.count(Outcome::Applied) + second.count(Outcome::Applied), 300);
    });
    let events = place.events();
    let told: BTreeSet<&String> = events.iter().map(|event| &event["task_id"]).collect();
    assert_eq!((events.len(), told.len()), (300, 300));
}

/// The same from the command line.
#[test]
fn dlq_on_redis() {
    let place = Place::loaded();
    assert_eq!(place.json(&["dlq", "list"], 0).as_array().unwrap().len(), 6);
    assert_eq!(place.json(&["dlq", "groups"], 0)[0]["count"], 3);
    let id = "task_4b206064b737";
    assert_eq!(place.json(&["dlq", "replay", id, "--dry-run"], 0)["planned"], 1);
    assert_eq!(place.json(&["dlq", "replay", id, "--yes"], 0)["applied"], 1);
    check_model(&place.hash(id)).unwrap();
    place.run(&["dlq", "replay", "--all"], 7);
    assert_eq!(place.json(&["dlq", "replay", "--all", "--yes"], 0)["applied"], 3);
    place.run(&["dlq", "discard", "--all", "--yes"], 7);
    assert_eq!(place.json(&["dlq", "list"], 0).as_array().unwrap().len(), 2);
}
