//! A tenant's rate limit: a bucket of tokens as the system's limiter fills it. Pure.
//!
//! The limiter takes capacity and rate from its own settings and stores neither: a refill rate that was set is stored and
//! ignored, and a capacity that was set is the number of tokens at that moment and no more.

use sen_model::time::Timestamp;

/// The capacity of the system's own settings, unless they were changed.
pub const CAPACITY: f64 = 100.0;
/// The tokens a second of the system's own settings, unless they were changed.
pub const REFILL_RATE: f64 = 10.0;

/// How many tokens there are now, as the controller reckons.
pub fn tokens(stored: Option<f64>, last_refill: Option<Timestamp>, now: Timestamp, capacity: f64, rate: f64) -> f64 {
    let Some(stored) = stored else { return capacity };
    let elapsed = last_refill.map_or(0.0, |last| now.micros_since(last) as f64 / 1e6);
    capacity.min(stored + elapsed * rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_fill_up() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        assert_eq!(tokens(None, None, at(0), 100.0, 10.0), 100.0);
        assert_eq!(tokens(Some(5.0), Some(at(0)), at(2), 100.0, 10.0), 25.0);
        assert_eq!(tokens(Some(5.0), Some(at(0)), at(60), 100.0, 10.0), 100.0);
    }
}
