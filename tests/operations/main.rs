//! Operations as a whole: plans in files, the journal, and going on where one was stopped.

#![cfg(all(feature = "postgres", feature = "sqlite"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "seeds and counts are shown with --nocapture")]

#[path = "../harness/mod.rs"]
mod harness;

#[cfg(feature = "redis")]
mod agents;
mod checks;
mod contexts;
mod files;
mod follow;
mod journal;
mod kills;
mod leases;
mod machine;
mod parallel;
#[path = "../dlq/place.rs"]
#[expect(dead_code, reason = "each folder of tests uses its own part")]
mod place;
mod resumed;
#[path = "../saga/place.rs"]
#[expect(dead_code, reason = "each folder of tests uses its own part")]
mod sagas_place;
mod shared;
mod undo;
