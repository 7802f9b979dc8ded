//! A tenant's rate limit: a bucket of tokens as the system's limiter fills it. Pure.
//!
//! The limiter takes capacity and rate from its own settings and stores neither: a refill rate that was set is stored and
//! ignored, and a capacity that was set is the number of tokens at that moment and no more.

use sen_model::time::Timestamp;

use crate::port::Bucket;

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

/// A tenant's bucket of tokens, as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenBucket {
    /// The tenant.
    pub tenant_id: String,
    /// The tokens at the last refill.
    pub tokens: Option<f64>,
    /// When it was last filled up.
    pub last_refill: Option<Timestamp>,
    /// Tokens a second, which the limiter does not read.
    pub refill_rate: Option<f64>,
    /// How long it will be kept, in milliseconds.
    pub ttl_ms: Option<i64>,
    /// What cannot be understood.
    pub findings: Vec<String>,
}

impl TokenBucket {
    /// From the fields of its hash.
    pub(crate) fn read(bucket: Bucket) -> Self {
        let number = |name: &str| {
            let text = bucket.fields.get(name)?;
            text.parse::<f64>().ok().filter(|number| number.is_finite())
        };
        let last_refill = number("last_refill").map(|seconds| {
            // The fraction apart: multiplied as a whole the number has no bit left for half a microsecond.
            let (whole, part) = (seconds.trunc(), seconds.fract());
            Timestamp::from_micros((whole as i64).saturating_mul(1_000_000).saturating_add((part * 1e6).round() as i64))
        });
        let mut findings = bucket.findings.clone();
        for name in ["tokens", "last_refill", "refill_rate", "capacity"] {
            if let Some(text) = bucket.fields.get(name).filter(|_| number(name).is_none()) {
                findings.push(format!("{name} is {text:?}, not a number"));
            }
        }
        let (tokens, refill_rate) = (number("tokens"), number("refill_rate"));
        Self { tenant_id: bucket.tenant_id, tokens, last_refill, refill_rate, ttl_ms: bucket.ttl_ms, findings }
    }
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
