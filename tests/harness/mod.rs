//! What the test crates share: real servers, a recording proxy, the real binary, a terminal, snapshots, Python peers.
//!
//! Included by each test crate with `#[path = "../harness/mod.rs"] mod harness;`. Nothing here skips: what is missing fails
//! the test and says what to install (`scripts/test --only-install` does it).

#![allow(dead_code, unreachable_pub, reason = "every test crate uses its own part of the harness")]

pub mod clock;
pub mod daemon;
pub mod node;
pub mod patience;
pub mod patroni;
pub mod peers;
pub mod pgbouncer;
pub mod postgres;
pub mod proxy;
pub mod psql;
pub mod pty;
pub mod python;
pub mod redact;
pub mod redis;
pub mod runbook;
pub mod scale;
pub mod sen;
pub mod snapshot;
pub mod wire;

/// What to type when something the tests need is not there.
pub const INSTALL: &str = "run `scripts/test --only-install`";
