//! Use cases over `dyn System`: what a front end asks for, whatever the system and the store.

pub mod follow;
pub mod init;
pub mod inspect;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub mod once;
