//! The stores: how to reach a database. What lies in it is the business of `systems`, which this floor does not know.

pub mod conninfo;
pub mod url;
