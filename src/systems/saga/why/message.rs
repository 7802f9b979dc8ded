//! Why a message does not go on. Pure.

use crate::message::{Mailbox, Message, MessageStatus};
use crate::record::Status;
use crate::rules::{TROUBLE, old_claim, rolled_back};
use crate::verdict::words::first_line;
use sen_model::cause::Cause;
use sen_model::verdict::{NextCommand, Purpose, Severity};

/// The causes of a message's state.
pub(crate) fn of_message(message: &Message) -> Vec<Cause> {
    let Some(cause) = trouble(message) else {
        return ignored(message).into_iter().collect();
    };
    let mut causes = vec![cause];
    let over = message.saga_status.as_ref().filter(|status| {
        use Status::{Compensated, Completed, Failed, TimedOut};
        message.kind == Mailbox::In && matches!(status, Completed | Compensated | Failed | TimedOut)
    });
    if let Some(text) = rolled_back(message) {
        let columns = &["outbox.saga_id", "saga.status"];
        causes.push(Cause::stated("saga_rolled_back", columns, Severity::Warning, text));
    }
    if let Some(status) = over {
        let text =
            format!("the saga it is for is {}: applied now, the event would be ignored and lost", status.words());
        causes.push(Cause::stated("saga_over", &["inbox.saga_id", "saga.status"], Severity::Warning, text));
    }
    causes
}

/// What is wrong with a message that does not go on: it failed, its claim is old, or it is due for long.
pub(crate) fn trouble(message: &Message) -> Option<Cause> {
    let (stuck, waiting, columns): (_, _, &'static [&'static str]) = match message.kind {
        Mailbox::Out => {
            ("outbox_stuck", "outbox_waiting", &["outbox.status", "outbox.next_attempt_at", "outbox.last_error"])
        }
        Mailbox::In => ("inbox_stuck", "inbox_waiting", &["inbox.status", "inbox.next_attempt_at", "inbox.last_error"]),
    };
    let (what, done) = match message.kind {
        Mailbox::Out => ("could not be sent", "SENT"),
        Mailbox::In => ("could not be applied", "APPLIED"),
    };
    let topic = message.topic.as_deref().unwrap_or("without a name");
    let kind = message.kind.name();
    let late = message.late();
    if message.status == MessageStatus::Failed {
        let tries = if message.attempts == 1 { "1 try".into() } else { format!("{} tries", message.attempts) };
        let error = message.error.as_deref().map(|error| format!(": {}", first_line(error))).unwrap_or_default();
        let next = late
            .map(|over| format!("; its next try has been due for {}", sen_model::time::age(over)))
            .unwrap_or_default();
        let text = format!("{kind} message {topic} {what} in {tries}{error}{next}");
        return Some(Cause::stated(stuck, columns, TROUBLE, text));
    }
    if let Some(over) = late {
        let text = format!("{kind} message {topic} is PENDING and has been due for {}", sen_model::time::age(over));
        return Some(Cause::stated(waiting, columns, TROUBLE, text));
    }
    old_claim(message).then(|| {
        let text = format!(
            "{kind} message {topic} was claimed {} ago and is not marked {done}: probably its process ended, or it is still \
             working through its batch; no other process claims it",
            sen_model::time::age(message.idle)
        );
        Cause::likely(stuck, TROUBLE, text)
    })
}

/// What to type about a message in trouble; one that is only due needs a dispatcher, not an act.
pub(crate) fn requeue(message: &Message, why: &str) -> Vec<NextCommand> {
    if message.status == MessageStatus::Pending {
        let list = ["sen", "saga", message.kind.name(), "list", "--state", "pending"];
        return vec![NextCommand::new(&list, "what else is due; check the process that dispatches")];
    }
    vec![NextCommand::new(&["sen", "saga", message.kind.name(), "requeue"], why).id(&message.id).purpose(Purpose::Run)]
}

/// The event came, and was not what the saga waited for.
pub(crate) fn ignored(message: &Message) -> Option<Cause> {
    if message.status != MessageStatus::Ignored {
        return None;
    }
    let topic = message.topic.as_deref().unwrap_or("without a type");
    let why = message.error.as_deref().map(|why| format!(" ({})", first_line(why))).unwrap_or_default();
    let text =
        format!("event {topic} came {} ago, was ignored{why} and is consumed", sen_model::time::age(message.idle));
    Some(Cause::stated("event_ignored", &["inbox.status", "inbox.last_error"], Severity::Warning, text))
}
