//! What else a saga or a message leads to. Pure.

use super::message::trouble;
use crate::message::{Mailbox, Message, MessageStatus};
use crate::port::Observed;
use sen_model::cause::{Place, Related, Relation, candidates};

/// How many ids named in a context or payload are looked up elsewhere, and how many messages.
const CANDIDATES: usize = 10;

const MESSAGES: usize = 5;

/// What a saga is related to.
pub(crate) fn related_to_saga(seen: &Observed) -> Vec<Related> {
    let saga = &seen.saga;
    let mut out =
        vec![Related::proven(&saga.aggregation, Relation::Subject), Related::proven(&saga.trace, Relation::Trace)];
    if let Some(id) = saga.awaiting.as_ref().and_then(|awaiting| awaiting.correlation.as_deref()) {
        out.push(Related::proven(id, Relation::AwaitedCorrelationId));
    }
    let open =
        seen.messages.iter().filter(|message| trouble(message).is_some() || message.status == MessageStatus::Ignored);
    out.extend(open.take(MESSAGES).map(|message| Related::proven(&message.id, Relation::Message)));
    let named = saga.context.as_deref().map(|json| candidates(json, 2 * CANDIDATES)).unwrap_or_default();
    let own = |id: &String| *id == saga.id || Some(id) == saga.name.as_ref();
    let named = named.into_iter().filter(|id| !own(id)).take(CANDIDATES);
    out.extend(named.map(|id| Related::likely(&id, Relation::MentionedIn(Place::Context))));
    once_each(out)
}

/// What a message is related to.
pub(crate) fn related_to_message(message: &Message) -> Vec<Related> {
    let mut out = Vec::new();
    out.extend(message.saga.as_deref().map(|id| Related::proven(id, Relation::Saga)));
    out.extend(message.aggregation.as_deref().map(|id| Related::proven(id, Relation::Subject)));
    let key = message.key.as_deref();
    out.extend(key.map(|id| match message.kind {
        Mailbox::Out => Related::likely(id, Relation::MessageKey),
        Mailbox::In => Related::proven(id, Relation::CorrelationId),
    }));
    let named = message.payload.as_deref().map(|json| candidates(json, CANDIDATES)).unwrap_or_default();
    out.extend(named.into_iter().map(|id| Related::likely(&id, Relation::MentionedIn(Place::Payload))));
    once_each(out)
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
