//! How long the tests wait: no test may depend on how fast the machine is, so there is one patience for all of them, and it is
//! far longer than anything should take on a machine that is busy or stands still for seconds.

use std::time::{Duration, Instant};

/// How long is waited for what has to come.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// How often a run is repeated that may have been held up.
const RUNS: u32 = 6;

/// Waits until something holds.
#[track_caller]
pub fn until(what: &str, is: impl FnMut() -> bool) {
    until_within(PATIENCE, what, is);
}

/// The same with another patience, for what is large.
#[track_caller]
pub fn until_within(patience: Duration, what: &str, mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    let mut pause = Duration::from_millis(5);
    while !is() {
        assert!(start.elapsed() < patience, "within {patience:?} this did not come: {what}");
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Runs what shows something only if nothing was held up meanwhile, until it has shown it.
///
/// `run` gets the number of the run, from 0: a later one can give itself more time. It returns nothing when it may have been
/// held up; what is wrong in any case it asserts itself.
#[track_caller]
pub fn shown<T>(what: &str, run: impl FnMut(u32) -> Option<T>) -> T {
    (0..RUNS).find_map(run).unwrap_or_else(|| panic!("not shown in any of {RUNS} runs: {what}"))
}

/// A short time, in milliseconds, that is longer the more often it was too short: one second, then three and so on.
pub fn longer(run: u32) -> u64 {
    1000 * 3_u64.pow(run)
}
