//! Where `sen` runs and what it reaches from there: programs that print passwords, hooks, sentinels, packages, what is shipped for
//! monitoring. The real binary with real servers.

#![cfg(all(feature = "postgres", feature = "sqlite", feature = "redis"))]
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

#[path = "../connect/fake.rs"]
mod fake;
#[path = "../harness/mod.rs"]
mod harness;

mod hook;
mod metrics;
mod package;
mod password;
mod programs;
mod replica;
mod sentinels;
mod standby;
