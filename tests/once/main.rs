//! `sen once` and `sen_core::once`: the guards, the command as a person uses it, faults, contention, and the real Python
//! library on the same keys.

#![cfg(all(feature = "postgres", feature = "sqlite"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "seeds and measurements are shown with --nocapture")]

#[path = "../harness/mod.rs"]
mod harness;

mod command;
mod contention;
mod faults;
mod guards;
mod library;
mod peers;
mod place;
mod trust;

/// Runs a future to its end on a runtime of its own.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
