//! What the rows say of the zone that the workers' times are read in. Pure.

use sen_model::time::wall::Wall;

/// A sign that the times are in another zone than assumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZoneDoubt {
    /// The newest row lies this many microseconds in the future: the workers' clock is ahead of what was assumed.
    Ahead(i64),
    /// A task was started this many microseconds before it was created: the worker's clock is behind that of its creator.
    Behind(i64),
}

const MINUTE: i64 = 60_000_000;

/// Doubts the zone: `newest` is the newest time any row holds that is not meant to lie in the future, `lead` the longest
/// time by which a task was begun before it was made. That rows are old says nothing: it is what an outage leaves, too.
pub fn zone_doubt(newest: Option<Wall>, now: Wall, lead: Option<i64>) -> Option<ZoneDoubt> {
    let ahead = newest.map_or(0, |newest| newest.as_micros().saturating_sub(now.as_micros()));
    if ahead > 2 * MINUTE {
        return Some(ZoneDoubt::Ahead(ahead));
    }
    // Two machines' clocks may differ by minutes, zones differ by quarters of an hour.
    lead.filter(|lead| *lead > 14 * MINUTE).map(ZoneDoubt::Behind)
}

/// The offset that would make the newest rows present ones, as it is given to `--worker-timezone`.
pub fn likely_ahead(doubt: ZoneDoubt, assumed: i64) -> i64 {
    let (quarter, half) = (15 * MINUTE, 30 * MINUTE);
    match doubt {
        // Some time may have passed since the newest row: up to the next quarter, or a little less.
        ZoneDoubt::Ahead(ahead) => assumed + (ahead + quarter - 1 - MINUTE) / quarter * quarter,
        // It waited for some time before it was begun.
        ZoneDoubt::Behind(lead) => assumed - (lead + half - 1 - MINUTE) / half * half,
    }
}
