//! Dead letters and the acts on executions of Stent and Senpuki: guards, real workers, several operators at once, faults.

#![cfg(all(feature = "postgres", feature = "sqlite"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "seeds and counts are shown with --nocapture")]

#[path = "../harness/mod.rs"]
mod harness;

mod acts;
mod cancelled;
mod commands;
mod edit;
mod guards;
mod held;
mod pages;
mod place;
mod preview;
mod races;
mod related;
mod runbook;
mod signals;
mod statements;
mod waits;
mod workers;
