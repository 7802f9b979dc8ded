//! Agent tasks on Redis: real redis-servers, the fixtures that the real controller and workers wrote, the real binary.

#![cfg(all(feature = "postgres", feature = "redis"))]
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

#[path = "../connect/certificates.rs"]
mod certificates;
#[path = "../harness/mod.rs"]
mod harness;

mod access;
mod acts;
mod busy;
mod connect;
mod faults;
mod hostile;
mod letters;
mod place;
mod race;
mod reading;
mod scale;
mod silent;
mod why;
