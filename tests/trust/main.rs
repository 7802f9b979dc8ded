//! What others have put into the database, and what this role may not see or do: it leads `sen` nowhere, and is told.

#![cfg(feature = "postgres")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../harness/mod.rs"]
mod harness;

mod functions;
mod grants;
mod scene;
mod shadow;
mod unseen;
