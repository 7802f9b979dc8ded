//! Connecting to a database and speaking its protocol. Nothing here knows a system or its tables.

#[cfg(feature = "sqlite")]
pub mod sqlite;
