//! What a search finds, as rows: the records that have a key or id, and those that mention it.

use sen_core::model::columns;
use sen_core::model::value::Value;
use sen_core::model::verdict::NextCommand;
use sen_core::ops::why::Link;
use sen_core::time::Timestamp;

use super::page::{Page, Rows};

columns! {
    FOUND,
    fn found_row(link: &Link) {
        let explained = &link.explanation;
        let relation = link.hop.as_ref().map_or(Value::Null, |hop| Value::Name(hop.relation.words()));
    }
    "id", "ID", Whole => Value::Text(explained.subject.id.clone());
    "kind", "KIND", Whole => Value::Text(explained.subject.described());
    "state", "STATE", Whole => Value::Name(explained.state);
    "relation", "FOUND BY", Short => relation;
}

/// The records of a chain of causes.
pub fn page(text: &str, links: &[Link]) -> Page {
    let ids = links.iter().map(|link| link.explanation.subject.id.clone());
    let details = ids.map(|id| (id.clone(), NextCommand::new(&["sen", "inspect"], "").id(&id))).collect();
    let rows = links.iter().map(found_row).collect();
    let now = Timestamp::here();
    let mut found = Rows::new(format!("found: {text}"), FOUND, rows, details, None, now);
    found.command = NextCommand::new(&["sen", "why"], "").id(text).command;
    Page::Rows(found)
}
