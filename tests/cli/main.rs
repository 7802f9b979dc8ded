//! The real binary as people and scripts meet it: screens, errors, exit codes, formats, terminals, pipes.

#![cfg(all(feature = "postgres", feature = "sqlite"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../harness/mod.rs"]
mod harness;

mod acts;
mod completion;
mod configuration;
mod demo;
mod doctor;
mod dotenv;
#[path = "../connect/fake.rs"]
mod fake;
mod generated;
mod hostile;
mod json;
mod leases;
mod numbers;
mod pick;
mod pipes;
mod prefix;
mod pydotenv;
mod readme;
mod recording;
mod report;
mod round_trips;
mod runbooks;
mod screens;
mod secrets;
mod suggestions;
mod timeline;
mod usage;
mod watch;
mod why;
