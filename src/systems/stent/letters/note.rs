//! The record of an act.

use sen_model::permit::WritePermit;

/// Who, why and which operation: the record beside the execution.
pub fn note(permit: &WritePermit) -> String {
    let who = permit.operator().unwrap_or("an unnamed operator");
    let why = permit.reason().map(|why| format!(": {why}")).unwrap_or_default();
    format!("by {who}{why} {}", mark(permit))
}

/// How a record names its operation.
pub fn mark(permit: &WritePermit) -> String {
    format!("(sen operation {})", permit.operation())
}
