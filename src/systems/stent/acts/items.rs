//! Items of the acts on executions, and what is announced of them.

use sen_model::observe::Observer;
use sen_model::report::{Item, Outcome};

use crate::names;

/// Both names of a channel: the tables do not show whether Stent or Senpuki listens.
pub(super) fn announce(observer: &dyn Observer, kind: &str, id: &str, state: &str) {
    let message = serde_json::json!({ format!("{kind}_id"): id, "state": state }).to_string();
    for library in ["stent", "senpuki"] {
        observer.announce(&format!("{library}:{kind}:{id}"), &message);
    }
}

/// An item about an execution.
pub(super) fn item(id: &str, outcome: Outcome, why: impl Into<String>) -> Item {
    Item::new(names::execution(id), outcome, why)
}
