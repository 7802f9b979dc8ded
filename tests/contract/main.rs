//! States are judged once: what lists, details, filters and counts say of the same rows is the same.
//!
//! A state is judged in Rust (`verdict.rs` of each system) and again in SQL, where a filter or a count must not fetch every
//! row. Here rows of every state, made by hand, are asked for in each way.

#![cfg(all(feature = "postgres", feature = "sqlite", feature = "redis"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../harness/mod.rs"]
mod harness;

#[path = "../dlq/place.rs"]
#[expect(dead_code, reason = "only its empty tables are used")]
mod executions_place;

#[path = "../saga/place.rs"]
#[expect(dead_code, reason = "only its empty tables are used")]
mod sagas_place;

mod agents;
mod executions;
mod judged;
mod leases;
mod sagas;

use sen_core::time::Timestamp;

/// The moment so many seconds from now, in this format.
fn moment(seconds: i64, format: &str) -> String {
    let micros = Timestamp::here().as_micros() + seconds * 1_000_000;
    jiff::Timestamp::from_microsecond(micros).unwrap().strftime(format).to_string()
}
