//! `sen_core`: what really happened to work that must not run twice.
//!
//! This file is the map of the crate. Floors import downwards only:
//!
//! 0. [`error`], [`time`], [`ident`], [`secret`], [`sql`], [`text`]: kinds of error, clocks, quoted identifiers, secrets,
//!    static SQL, text for people and shells
//! 1. [`model`]: subjects, values, verdicts, plans, reports (plain data, no I/O); [`permit`]; [`observe`]
//! 2. [`system`] and [`letters`]: the neutral, object-safe traits every coordinated system implements
//! 3. [`stores`]: connecting to PostgreSQL and SQLite; knows no system
//! 4. [`systems`]: one folder per system: what its states mean, what is wrong, what may be done
//! 5. [`registry`]: which systems exist in a database
//! 6. [`ops`]: use cases over `dyn System`

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
