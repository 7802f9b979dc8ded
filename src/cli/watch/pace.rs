//! How often the database is queried: never for more than a small share of the time, however large it is. Pure.

use std::time::Duration;

/// An answer that took so long is called slow.
pub const SLOW: Duration = Duration::from_millis(250);

/// The pace of one kind of question.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    interval: Duration,
    factor: u32,
    took: Option<Duration>,
}

impl Pace {
    /// Every `interval`, and after an answer that took long only when `factor` times as long has passed.
    pub fn new(interval: Duration, factor: u32) -> Self {
        Self { interval, factor, took: None }
    }

    /// Remembers how long the last answer took.
    pub fn took(&mut self, took: Duration) {
        self.took = Some(took);
    }

    /// How long the last answer took.
    pub fn last(&self) -> Option<Duration> {
        self.took
    }

    /// From the beginning of one question to that of the next.
    pub fn interval(&self) -> Duration {
        self.interval.max(self.took.unwrap_or_default().saturating_mul(self.factor))
    }

    /// Whether answers take so long that the interval is longer than requested.
    pub fn stretched(&self) -> bool {
        self.interval() > self.interval
    }

    /// Whether the last answer was slow.
    pub fn is_slow(&self) -> bool {
        self.took.is_some_and(|took| took >= SLOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quick_answers_keep_the_pace_asked_for() {
        let mut pace = Pace::new(Duration::from_secs(2), 50);
        assert!(!pace.stretched());
        pace.took(Duration::from_millis(40));
        assert_eq!(pace.interval(), Duration::from_secs(2));
        pace.took(Duration::from_millis(300));
        assert!(pace.stretched() && pace.is_slow());
        assert_eq!(pace.interval(), Duration::from_secs(15));
    }

    proptest! {
        #[test]
        fn answers_never_take_more_than_their_share(interval in 1_u64..100_000, took in 0_u64..1_000_000) {
            let mut pace = Pace::new(Duration::from_millis(interval), 64);
            pace.took(Duration::from_millis(took));
            prop_assert!(pace.interval() >= Duration::from_millis(interval));
            prop_assert!(pace.interval().as_millis() >= u128::from(took) * 64);
        }
    }
}
