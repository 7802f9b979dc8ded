//! Use cases of a front end over `dyn System`, for every system and store.

pub mod act;
pub mod complete;
pub mod course;
pub mod follow;
pub mod inspect;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub mod once;
pub mod prefix;
pub mod related;
pub mod results;
pub mod snapshot;
pub mod summary;
pub mod timeline;

pub mod wait;
pub mod why;
