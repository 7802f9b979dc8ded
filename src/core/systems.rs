//! One module per coordinated system. Systems never import each other.

pub mod node;
pub mod saga;
pub mod sentinel;
pub mod stent;
