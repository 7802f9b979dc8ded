//! What else a saga or a message leads to. Pure.

use super::message::trouble;
use crate::port::Observed;
use crate::record::{Mailbox, Message};
use sen_model::cause::{Certainty, Related, candidates};

/// How many ids named in a context or payload are looked up elsewhere, and how many messages.
const CANDIDATES: usize = 10;

const MESSAGES: usize = 5;

/// What a saga is related to.
pub(crate) fn related_to_saga(seen: &Observed) -> Vec<Related> {
    let saga = &seen.saga;
    let mut out = vec![
        related(&saga.aggregation, "what it is about", Certainty::Proven),
        related(&saga.trace, "its trace", Certainty::Proven),
    ];
    if let Some(id) = saga.awaiting.as_ref().and_then(|awaiting| awaiting.correlation.as_deref()) {
        out.push(related(id, "the correlation id it waits for", Certainty::Proven));
    }
    let open = seen.messages.iter().filter(|message| trouble(message).is_some() || message.status == "IGNORED");
    out.extend(open.take(MESSAGES).map(|message| related(&message.id, "its message", Certainty::Proven)));
    let named = saga.context.as_deref().map(|json| candidates(json, 2 * CANDIDATES)).unwrap_or_default();
    let own = |id: &String| *id == saga.id || Some(id) == saga.name.as_ref();
    let named = named.into_iter().filter(|id| !own(id)).take(CANDIDATES);
    out.extend(named.map(|id| related(&id, "named in its context", Certainty::Likely)));
    once_each(out)
}

/// What a message is related to.
pub(crate) fn related_to_message(message: &Message) -> Vec<Related> {
    let mut out = Vec::new();
    out.extend(message.saga.as_deref().map(|id| related(id, "its saga", Certainty::Proven)));
    out.extend(message.aggregation.as_deref().map(|id| related(id, "what it is about", Certainty::Proven)));
    let key = message.key.as_deref();
    out.extend(key.map(|id| match message.kind {
        Mailbox::Out => related(id, "its message key", Certainty::Likely),
        Mailbox::In => related(id, "its correlation id", Certainty::Proven),
    }));
    let named = message.payload.as_deref().map(|json| candidates(json, CANDIDATES)).unwrap_or_default();
    out.extend(named.into_iter().map(|id| related(&id, "named in its payload", Certainty::Likely)));
    once_each(out)
}

fn related(id: &str, relation: &'static str, certainty: Certainty) -> Related {
    Related { id: id.to_owned(), relation, certainty }
}

/// The first connection to each id is the surest.
fn once_each(all: Vec<Related>) -> Vec<Related> {
    let mut out: Vec<Related> = Vec::new();
    for one in all {
        if !one.id.is_empty() && out.iter().all(|known| known.id != one.id) {
            out.push(one);
        }
    }
    out
}
