//! What `sen` says of an act whose connection was lost, against servers that crash, lose WAL, fail over and give a lost
//! transaction's id to another one: never that it was done when it was not, nor that it was not when it was.
//!
//! The size in everyday runs is small; `SEN_TEST_SCALE=100` is the full one: 400 faults of each act.

#![cfg(all(feature = "postgres", feature = "sqlite"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../harness/mod.rs"]
mod harness;

mod bulk;
mod cluster;
mod disk;
mod durable;
mod kept;
mod losses;
mod retry;
mod stage;
