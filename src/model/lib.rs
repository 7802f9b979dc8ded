//! The plain data that every system speaks, and the traits it implements: no driver, no terminal, no runtime.

pub mod activity;
pub mod batch;
pub mod cause;
pub mod diagnostics;
pub mod error;
pub mod ident;
pub mod letter;
pub mod letters;
pub mod listing;
pub mod live;
pub mod observe;
pub mod permit;
pub mod plan;
pub mod prepared;
pub mod record;
pub mod report;
pub mod saved;
pub mod secret;
pub mod subject;
pub mod summary;
pub mod system;
pub mod text;
pub mod time;
pub mod timeline;
pub mod value;
pub mod verdict;
