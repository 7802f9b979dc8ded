//! What `sen` does to leases, with the two things a double cannot stand in for: the real library's workers, before and
//! after, and a connection that breaks at the worst moment.

#![cfg(all(feature = "postgres", feature = "sqlite"))]

mod busy;
mod faults;
#[path = "../harness/mod.rs"]
mod harness;
mod library;
mod proof;
mod silent;
mod why;
