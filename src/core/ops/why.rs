//! Why a key or id is as it is: the chain of causes through every system of a database.

use std::collections::{HashSet, VecDeque};

use futures_util::future::join_all;

use crate::registry::Database;
use sen_model::cause::{Cause, Certainty, Explanation, Hop, Related, Relation};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::steps::of_systems;
use sen_model::subject::{Kind, Subject};
use sen_model::system::{MENTIONS, Mentions};
use sen_model::verdict::{NextCommand, Severity};

/// How many relations are followed from the key.
const HOPS: u32 = 3;
/// How many ids are looked up at most: each costs the database a query per system.
const LOOKED_UP: usize = 40;
/// A shorter name occurs in too many texts by chance.
const SHORTEST: usize = 4;

/// One record in the chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// What it is and why it is in its state.
    pub explanation: Explanation,
    /// How the chain came to it; `None` for the key itself.
    pub hop: Option<Hop>,
    /// How many relations it is away from the key.
    pub distance: u32,
}

/// The chain, beginning with the key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chain {
    /// The records in it.
    pub links: Vec<Link>,
    /// Whether there are more related records than were looked up.
    pub cut: bool,
    /// Whether the search for records that mention the key was given up.
    pub unsearched: bool,
}

impl Chain {
    /// The commands that help, without duplicates, in a safe order and with their steps (see [`sen_model::steps`]). Within a
    /// purpose the most severe cause comes first.
    pub fn steps(&self) -> Vec<NextCommand> {
        let of = |link: &'_ Link| link.explanation.subject.system;
        let mut causes: Vec<(&str, &Cause)> = self
            .links
            .iter()
            .flat_map(|link| link.explanation.causes.iter().map(move |cause| (of(link), cause)))
            .collect();
        causes.sort_by_key(|(_, cause)| std::cmp::Reverse(cause.severity));
        of_systems(causes.into_iter().flat_map(|(system, cause)| cause.next.iter().map(move |next| (system, next))))
    }
}

/// Follows `id` through every system: from record to record by the ids in them, then to the records that mention the key.
///
/// # Errors
/// What the stores report; `NoSystem` when the database holds none of the systems.
pub async fn why(database: &Database, id: &str) -> Result<Chain> {
    let mut chain = Chain::default();
    let mut names = names(id);
    let mut asked = HashSet::from([id.to_owned()]);
    let mut seen = HashSet::new();
    let mut queue = VecDeque::from([(id.to_owned(), None, 0)]);
    let (mut looked_up, mut searched) = (0, false);
    loop {
        if queue.is_empty() {
            if std::mem::replace(&mut searched, true) {
                break;
            }
            // The relations of the key itself come first.
            let about = chain.links.iter().filter(|link| link.distance == 0).flat_map(|link| &link.explanation.related);
            names.extend(
                about.filter(|related| related.relation == Relation::Subject).map(|related| related.id.clone()),
            );
            let (mut naming, whole) = naming(database, &names).await?;
            chain.unsearched = !whole;
            naming.retain(|id| !asked.contains(id));
            chain.cut |= naming.len() > MENTIONS;
            naming.truncate(MENTIONS);
            let from = chain.links.first().map_or_else(
                || Subject::new("sen", Kind::Name, names.first().map_or("", String::as_str)),
                |link| link.explanation.subject.clone(),
            );
            for id in naming.into_iter().filter(|id| asked.insert(id.clone())) {
                let hop = Hop { relation: Relation::Mentions, certainty: Certainty::Likely, from: from.clone() };
                queue.push_back((id, Some(hop), 1));
            }
            continue;
        }
        // Everything at the same distance is queried at once.
        let step: Vec<_> = queue.drain(..queue.len().min(LOOKED_UP - looked_up)).collect();
        if step.is_empty() {
            chain.cut = true;
            break;
        }
        looked_up += step.len();
        let answers = database.together(join_all(step.iter().map(|(id, ..)| everywhere(database, id)))).await;
        for ((_, hop, distance), explained) in step.into_iter().zip(answers) {
            for explanation in explained? {
                // It was found by a part of a text; the whole name must match.
                let found_by_text = hop.as_ref().is_some_and(|hop: &Hop| hop.relation == Relation::Mentions);
                if found_by_text && !explanation.related.iter().any(|related| names.contains(&related.id)) {
                    continue;
                }
                if !seen.insert(explanation.subject.clone()) {
                    continue;
                }
                // What has ended well and only mentions the key is no cause: what else it names leads away.
                let leads = distance < HOPS && !(found_by_text && explanation.severity == Severity::Ok);
                for related in &explanation.related {
                    if leads && asked.insert(related.id.clone()) {
                        let Related { id, relation, certainty } = related.clone();
                        let hop = Hop { relation, certainty, from: explanation.subject.clone() };
                        queue.push_back((id, Some(hop), distance + 1));
                    }
                }
                chain.links.push(Link { explanation, hop: hop.clone(), distance });
            }
        }
    }
    note_done_already(&mut chain.links);
    Ok(chain)
}

/// A saga whose next step a poll runs, or would run once it is unstuck, beside a key that says that work of the same name is done.
fn note_done_already(links: &mut [Link]) {
    let done = |link: &&Link| link.explanation.subject.kind == Kind::Lease && link.explanation.state == "completed";
    let keys: Vec<(String, u32)> =
        links.iter().filter(done).map(|link| (link.explanation.subject.id.clone(), link.distance)).collect();
    for link in links {
        let Explanation { subject, state, causes, .. } = &mut link.explanation;
        let runs = matches!(*state, "stuck" | "due" | "overdue" | "lease_expired" | "waiting_retry");
        let beside = keys.iter().find(|(_, distance)| *distance + link.distance <= 1);
        if let Some((key, _)) = beside.filter(|_| subject.kind == Kind::Saga && runs) {
            let text = format!(
                "key {key} is completed: where that is the work of the step that runs next, it is done already and would be done again"
            );
            causes.push(Cause::likely("done_already", Severity::Warning, text));
        }
    }
}

/// A key, with and without its namespace.
fn names(id: &str) -> Vec<String> {
    let bare = id.split_once(':').map(|(_, bare)| bare);
    [Some(id), bare].into_iter().flatten().filter(|name| name.chars().count() >= SHORTEST).map(str::to_owned).collect()
}

/// Ids of records that mention one of `names`, and whether everything was searched.
async fn naming(database: &Database, names: &[String]) -> Result<(Vec<String>, bool)> {
    let (mut found, mut whole) = (Vec::new(), true);
    if names.is_empty() {
        return Ok((found, whole));
    }
    let answers = database.together(join_all(database.systems().map(|system| system.mentions(names)))).await;
    for (system, answer) in database.systems().zip(answers) {
        match database.seen(system.name(), answer).map(Option::unwrap_or_default) {
            Ok(Mentions { ids, cut }) => {
                whole &= !cut;
                for id in ids {
                    if !found.contains(&id) {
                        found.push(id);
                    }
                }
            }
            Err(error) if error.kind() == ErrorKind::Timeout => whole = false,
            Err(error) if error.kind() == ErrorKind::NoSystem => {}
            Err(error) => return Err(error),
        }
    }
    Ok((found, whole))
}

async fn everywhere(database: &Database, id: &str) -> Result<Vec<Explanation>> {
    let mut found = Vec::new();
    let mut absent: Option<Error> = None;
    let mut present = false;
    let answers = join_all(database.systems().map(|system| system.explain(id))).await;
    for (system, answer) in database.systems().zip(answers) {
        match database.seen(system.name(), answer) {
            Ok(explained) => {
                present = true;
                found.extend(explained.into_iter().flatten());
            }
            Err(error) if error.kind() == ErrorKind::NoSystem => absent = Some(error),
            Err(error) => return Err(error),
        }
    }
    match absent {
        Some(error) if !present => Err(error),
        _ => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sen_model::verdict::Purpose;

    #[test]
    fn a_key_is_known_by_its_bare_name_too() {
        assert_eq!(names("payments:order-7"), ["payments:order-7", "order-7"]);
        assert_eq!(names("order-7"), ["order-7"]);
        assert_eq!(names("jobs:a:1"), ["jobs:a:1"]);
        assert!(names("a:1").is_empty());
    }

    #[test]
    fn a_key_that_is_completed_warns_of_the_step_that_runs_next() {
        let link = |kind, state, distance| Link {
            explanation: Explanation {
                subject: Subject::new("s", kind, "i"),
                state,
                age: sen_model::record::Age::of("last change", None),
                now: sen_model::time::Timestamp::NEG_INFINITY,
                summary: String::new(),
                severity: Severity::Warning,
                causes: Vec::new(),
                related: Vec::new(),
            },
            hop: None,
            distance,
        };
        for (key, saga, near, warned) in [
            ("completed", "stuck", 1, true),
            ("completed", "due", 0, true),
            ("executing", "due", 1, false),
            ("completed", "compensated", 1, false),
            ("completed", "due", 2, false),
        ] {
            let mut links = [link(Kind::Saga, saga, 0), link(Kind::Lease, key, near)];
            note_done_already(&mut links);
            let found = links[0].explanation.causes.iter().any(|cause| cause.rule == "done_already");
            assert_eq!((found, links[1].explanation.causes.len()), (warned, 0), "{key} {saga} {near}");
        }
    }

    #[test]
    fn what_is_uncertain_is_settled_before_what_calls_it_runs_again() {
        let cause = |severity, commands: [(&[&str], Purpose); 2]| {
            let next = commands.map(|(words, purpose)| NextCommand::new(words, "").purpose(purpose));
            Cause::likely("r", severity, "t").with_next(next.into())
        };
        let show: (&[&str], _) = (&["sen", "dlq", "show", "a"], Purpose::Look);
        let explanation = |causes| Explanation {
            subject: Subject::new("s", Kind::Lease, "i"),
            state: "x",
            age: sen_model::record::Age::of("last change", None),
            now: sen_model::time::Timestamp::NEG_INFINITY,
            summary: String::new(),
            severity: Severity::Warning,
            causes,
            related: Vec::new(),
        };
        let replay = cause(Severity::Critical, [(&["sen", "dlq", "replay", "a"], Purpose::Run), show]);
        let settle = cause(Severity::Warning, [(&["sen", "reconcile", "k"], Purpose::Settle), show]);
        let links =
            [replay, settle].map(|cause| Link { explanation: explanation(vec![cause]), hop: None, distance: 0 });
        let chain = Chain { links: links.into(), cut: false, unsearched: false };
        let steps: Vec<String> = chain.steps().into_iter().map(|step| step.command).collect();
        assert_eq!(steps, ["sen reconcile k", "sen dlq replay a", "sen dlq show a"]);
    }
}
