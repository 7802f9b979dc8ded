//! One module per coordinated system. Systems never import each other.

pub mod sentinel;
pub mod stent;
