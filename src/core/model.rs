//! Plain data that every system speaks: no I/O, no driver, no terminal.

pub mod cause;
pub mod checkup;
pub mod letter;
pub mod plan;
pub mod report;
pub mod subject;
pub mod value;
pub mod verdict;
