//! The stores: how to reach a database. What lies in it is the business of `systems`, which this floor does not know.

#[cfg(any(feature = "postgres", feature = "redis"))]
pub mod budget;
pub mod catalogue;
pub mod conninfo;
pub mod password;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod program;
#[cfg(feature = "redis")]
pub mod redis;
pub mod sql;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(any(feature = "postgres", feature = "redis"))]
pub mod tls;
pub mod url;
