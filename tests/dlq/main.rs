//! Dead letters and the acts on executions of Stent and Senpuki: guards, real workers, several operators at once, faults.

#[path = "../harness/mod.rs"]
mod harness;

mod acts;
mod commands;
mod guards;
mod place;
mod races;
mod signals;
mod workers;
