//! Why a key or id is as it is: the chain of causes through every system of a database.

use std::collections::{HashSet, VecDeque};

use futures_util::future::join_all;

use crate::error::{Error, ErrorKind, Result};
use crate::model::cause::{Certainty, Explanation};
use crate::model::subject::Subject;
use crate::registry::Database;

/// How far from the key asked for a connection is followed.
const HOPS: u32 = 3;
/// How many ids are looked up at most: each costs the database a query per system.
const LOOKED_UP: usize = 40;

/// One thing in the chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// What it is and why it is so.
    pub explanation: Explanation,
    /// What led to it: the relation, how sure it is, and from where. `None` for what was asked for.
    pub hop: Option<(&'static str, Certainty, Subject)>,
    /// How many hops away it is.
    pub distance: u32,
}

/// The chain, what was asked for first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chain {
    /// The things in it.
    pub links: Vec<Link>,
    /// Whether more was connected than was looked up.
    pub cut: bool,
}

/// Follows `id` through every system.
///
/// # Errors
/// What the stores report; `NoSystem` when the database holds none of the systems.
pub async fn why(database: &Database, id: &str) -> Result<Chain> {
    let mut chain = Chain::default();
    let mut asked = HashSet::from([id.to_owned()]);
    let mut seen = HashSet::new();
    let mut queue = VecDeque::from([(id.to_owned(), None, 0)]);
    let mut looked_up = 0;
    while let Some((id, hop, distance)) = queue.pop_front() {
        if looked_up == LOOKED_UP {
            chain.cut = true;
            break;
        }
        looked_up += 1;
        for explanation in everywhere(database, &id).await? {
            if !seen.insert(explanation.subject.clone()) {
                continue;
            }
            for related in &explanation.related {
                if distance < HOPS && asked.insert(related.id.clone()) {
                    let hop = Some((related.relation, related.certainty, explanation.subject.clone()));
                    queue.push_back((related.id.clone(), hop, distance + 1));
                }
            }
            chain.links.push(Link { explanation, hop: hop.clone(), distance });
        }
    }
    Ok(chain)
}

async fn everywhere(database: &Database, id: &str) -> Result<Vec<Explanation>> {
    let mut found = Vec::new();
    let mut absent: Option<Error> = None;
    let mut present = false;
    for answer in join_all(database.systems().map(|system| system.explain(id))).await {
        match answer {
            Ok(explained) => {
                present = true;
                found.extend(explained);
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
