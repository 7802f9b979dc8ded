//! What the times of a lease say of the clock and the time zone they were written in. Pure.

use super::record::{Lease, LeaseEvent, async_ttl, offset_behind};
use sen_model::time::Timestamp;
use sen_model::verdict::{NextCommand, Purpose};

/// A clock this far off is no drift. Microseconds.
const OFF: i64 = 60_000_000;

/// The newest event of this name in the run that holds the lease.
pub(super) fn of_this_run<'a>(lease: &Lease, events: &'a [LeaseEvent], name: &str) -> Option<&'a LeaseEvent> {
    events.iter().rev().find(|event| {
        event.event == name
            && event.occurred_at.is_finite()
            && !event.puts_back()
            && (event.fencing_token.is_none() || event.fencing_token == lease.fencing_token)
    })
}

/// How far in the future the last change of a lease lies, if that is more than clocks drift.
pub(super) fn ahead(lease: &Lease, now: Timestamp) -> Option<i64> {
    let updated = lease.lease_updated_at.filter(|updated| updated.is_finite())?;
    Some(updated.micros_since(now)).filter(|ahead| *ahead > OFF)
}

/// How far the times of a lease are off, if they are: its last change lies in the future, or before the events of its own run.
pub(super) fn off(lease: &Lease, events: &[LeaseEvent], now: Timestamp) -> Option<(i64, &'static str)> {
    if let Some(ahead) = ahead(lease, now) {
        return Some((ahead, "in the future"));
    }
    let updated = lease.lease_updated_at.filter(|updated| updated.is_finite())?;
    let begun = of_this_run(lease, events, "executing").or_else(|| of_this_run(lease, events, "acquired"));
    let behind = begun.map_or(0, |begun| begun.occurred_at.micros_since(updated));
    (behind > OFF).then_some((behind, "before its own beginning"))
}

/// How far behind a session's zone may be that wrote this lease, where no event tells: a last change about a whole offset old
/// fits a living worker whose session is behind, and a worker that died so long ago. `zoneless`: its times are stored without a
/// zone.
pub(super) fn behind(lease: &Lease, events: &[LeaseEvent], now: Timestamp, zoneless: bool) -> Option<i64> {
    // Events are written in the server's time: where this run has one, it tells.
    let told = of_this_run(lease, events, "executing").or_else(|| of_this_run(lease, events, "acquired")).is_some();
    if told || !zoneless || off(lease, events, now).is_some() {
        return None;
    }
    offset_behind(lease, now)
}

/// Looks twice, so long that a worker's heartbeat must show.
pub(super) fn observe(lease: &Lease) -> NextCommand {
    let ttl = async_ttl(lease).or(lease.ttl_ms.map(|ms| ms.saturating_mul(1000))).unwrap_or_default();
    let span = format!("{}s", (ttl / 3_000_000 + 2).clamp(2, 60));
    let look = NextCommand::new(&["sen", "inspect"], "whether its row still moves").purpose(Purpose::Observe);
    look.option("--observe", &span).id(&lease.key)
}

/// A moment seen from `now`: `5m ago`, `in 5m`.
pub(super) fn when(moment: Timestamp, now: Timestamp) -> String {
    let age = now.micros_since(moment);
    if age < 0 { format!("in {}", sen_model::time::age(age)) } else { format!("{} ago", sen_model::time::age(age)) }
}
