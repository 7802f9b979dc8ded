//! How an argument declares the values that complete it.

pub use sen_core::model::live::Live;

/// Attached to an argument: values of this kind complete it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completes(pub Live);

impl clap::builder::ArgExt for Completes {}
