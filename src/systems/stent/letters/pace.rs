//! How fast a replay goes: the size of its batches, and a rate that it keeps to.

use sen_model::batch::keep_rate;
use sen_model::letters::ReplayOptions;
use sen_model::permit::WritePermit;
use sen_model::time::Uptime;

/// So many letters go into one transaction unless told otherwise.
pub(super) const BATCH: u32 = 500;
/// More than this would hold locks for too long.
const LARGEST: u32 = 1000;

/// Keeps to a rate.
pub(super) struct Pace {
    rate: Option<f64>,
    begun: Uptime,
    done: u64,
}

impl Pace {
    /// At the rate that was asked for, from now on.
    pub(super) fn of(options: &ReplayOptions) -> Self {
        Self { rate: options.rate, begun: Uptime::now(), done: 0 }
    }

    /// Counts letters that were begun.
    pub(super) fn count(&mut self, letters: usize) {
        self.done += letters as u64;
    }

    /// Waits until more may be begun, or the act is interrupted.
    pub(super) async fn wait(&self, permit: &WritePermit) {
        let Some(rate) = self.rate else { return };
        keep_rate(self.begun, self.done, rate, permit).await;
    }
}

/// How many letters go into one transaction.
pub(super) fn batch_size(options: &ReplayOptions) -> usize {
    let size = options.batch.unwrap_or(BATCH).clamp(1, LARGEST);
    // A slow rate is kept by small batches rather than by bursts.
    let by_rate = options.rate.map_or(LARGEST, |rate| (rate / 4.0).clamp(1.0, f64::from(LARGEST)) as u32);
    size.min(by_rate) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_to_their_bounds_and_to_a_rate() {
        let options = |batch, rate| ReplayOptions { batch, rate, ..ReplayOptions::default() };
        assert_eq!(batch_size(&options(None, None)), 500);
        assert_eq!(batch_size(&options(Some(0), None)), 1);
        assert_eq!(batch_size(&options(Some(100_000), None)), 1000);
        assert_eq!(batch_size(&options(None, Some(50.0))), 12);
        assert_eq!(batch_size(&options(None, Some(0.1))), 1);
    }
}
