//! Parameters that the driver's own types do not carry: moments, infinite ones included.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_postgres::types;

use sen_model::time::Timestamp;

/// A moment as a `timestamptz`.
pub fn stamp(moment: Timestamp) -> types::Timestamp<SystemTime> {
    match moment {
        Timestamp::INFINITY => types::Timestamp::PosInfinity,
        Timestamp::NEG_INFINITY => types::Timestamp::NegInfinity,
        finite => {
            let span = Duration::from_micros(finite.as_micros().unsigned_abs());
            types::Timestamp::Value(if finite.as_micros() < 0 { UNIX_EPOCH - span } else { UNIX_EPOCH + span })
        }
    }
}
