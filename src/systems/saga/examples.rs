//! A saga and a message for the tests.

use crate::message::{Mailbox, Message, MessageStatus};
use crate::record::{Saga, Status};

pub(crate) fn saga(status: Status, over: Option<i64>) -> Saga {
    Saga {
        table: "sagas".into(),
        id: "73277b4b-da5d-49ab-b7d1-76bbaee5575a".into(),
        aggregation: "order-1".into(),
        trace: "t".into(),
        name: Some("order".into()),
        status,
        step: 1,
        token: Some("edd4bcab-3b16-4733-9126-d878ad4ffd87".into()),
        deadline: None,
        retries: 0,
        error: None,
        created: None,
        updated: None,
        due: over.map(|over| over >= 0),
        idle: 10 * crate::state::BETWEEN,
        over,
        handed: false,
        awaiting: None,
        later: None,
        compensated: None,
        context: None,
        unreadable: Vec::new(),
    }
}

pub(crate) fn message(kind: Mailbox, status: &str, idle: i64) -> Message {
    Message {
        kind,
        table: "box".into(),
        id: "m-1".into(),
        event: None,
        saga: Some("73277b4b-da5d-49ab-b7d1-76bbaee5575a".into()),
        aggregation: Some("order-1".into()),
        step: Some("charge".into()),
        topic: Some("orders.charged".into()),
        key: Some("order-1".into()),
        status: MessageStatus::parse(status.into()),
        attempts: 3,
        next: None,
        error: Some("CORRELATION_MISMATCH".into()),
        done: None,
        created: None,
        updated: None,
        seen: String::new(),
        idle,
        over: None,
        saga_status: Some(Status::Completed),
        payload: Some(r#"{"charge": "ch-77"}"#.into()),
    }
}
