//! `sen_core`: the state and repair of work that must not run twice.
//!
//! The one crate a Rust program depends on: [`once`] runs work at most once per key; [`registry`] opens a database and the systems
//! it may hold; [`ops`] are use cases over all of them. Their data types are in [`model`], the database connections in [`stores`],
//! the meaning of each library's rows in [`systems`]: separate crates, re-exported here.

pub mod journal;
pub mod ops;
pub mod registry;

pub use sen_model::{self as model, error, ident, letters, observe, permit, secret, system, text, time};
pub use sen_stores::{self as stores, sql};

/// One crate per system. Systems never import each other.
pub mod systems {
    pub use sen_node as node;
    pub use sen_saga as saga;
    pub use sen_sentinel as sentinel;
    pub use sen_stent as stent;
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use ops::once;
