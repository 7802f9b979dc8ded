//! Sagas: the real library makes them, `sen` shows them and acts on them, and the real library goes on as promised.

#![cfg(all(feature = "postgres", feature = "sqlite"))]
#![expect(clippy::print_stdout, reason = "counts are shown with --nocapture")]

#[path = "../harness/mod.rs"]
mod harness;

mod guards;
mod healthy;
mod letters;
mod library;
mod names;
mod place;
mod races;
mod runbook;
mod scale;
mod sqlite;
mod truth;
mod why;
