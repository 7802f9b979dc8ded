//! What is known of the worker behind a lease. Pure but for the look at this machine's processes: verdicts, causes and plans all say
//! what [`Worker`] says, so that no two screens differ.

use super::record::{Lease, LeaseEvent, held_by_sen, owner_parts};
use super::zones;
use sen_model::cause::Certainty;
use sen_model::time::Timestamp;

/// What is known of the worker that took a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worker {
    /// Its function raised an exception at this moment: it does not act any more.
    Raised(Timestamp, Certainty),
    /// This machine has the name of its host, and no such process runs here.
    Gone,
    /// This machine has the name of its host, and a process of its number runs here.
    Here,
    /// It cannot be seen from here.
    Unseen,
}

impl Worker {
    /// What is known of the worker of a lease, by its newest events and by whether its process runs here.
    pub(super) fn of(lease: &Lease, events: &[LeaseEvent], here: Option<bool>) -> Self {
        match (ended_by_exception(lease, events), here) {
            (Some((when, certainty)), _) => Self::Raised(when, certainty),
            (None, Some(false)) => Self::Gone,
            (None, Some(true)) => Self::Here,
            (None, None) => Self::Unseen,
        }
    }

    /// What to expect of it where it is overruled.
    pub(super) fn overruled(self, lease: &Lease) -> String {
        let place = place(lease);
        match self {
            // A command of `sen once` may have ended and left what it started.
            Self::Raised(..) if held_by_sen(lease) => {
                format!("the command failed ({place}) and is not under way any more, unless it left something running")
            }
            Self::Raised(_, Certainty::Proven) => {
                format!("the function of the worker ({place}) ended with an exception: it does not act any more")
            }
            Self::Raised(..) => format!("the function of the worker ({place}) probably ended with an exception"),
            Self::Gone => {
                format!(
                    "the worker ({place}) is probably gone: no such process runs on this machine, which has its host's name"
                )
            }
            Self::Here => format!(
                "the worker ({place}) may still act: a process of this number still runs on this machine, which has its host's name; from now on its result is not accepted"
            ),
            Self::Unseen => {
                format!("the worker ({place}) may still be acting; from now on its result is not accepted")
            }
        }
    }

    /// Evidence beside an outcome that is unknown: whether it may still act.
    pub(super) fn evidence(self) -> Option<&'static str> {
        Some(match self {
            // When and how is told beside.
            Self::Raised(..) => return None,
            Self::Gone => {
                "no such process runs on this machine, which has the name of its host: the worker is probably gone; look at the other side of the call"
            }
            Self::Here => {
                "a process of its number still runs on this machine, which has the name of its host: it may still act"
            }
            Self::Unseen => {
                "after the hard limit no worker is entitled to finish, but a slow one may still be acting: look at its host and at the other side of the call"
            }
        })
    }
}

/// The owner of a lease, for people.
pub(super) fn place(lease: &Lease) -> String {
    let owner = lease.owner_id.as_deref().unwrap_or("unknown");
    owner_parts(owner).map_or_else(|| owner.to_owned(), |(host, pid, _)| format!("process {pid} on {host}"))
}

/// When the lease was ended because the function raised, and whether an event says so. `expire_lease` (`sentinel/core.py`)
/// sets lease and hard limit to one and the same moment. A claim sets them alike only where both may last equally long; then
/// the lease ends its whole time to live after the last change.
fn ended_by_exception(lease: &Lease, events: &[LeaseEvent]) -> Option<(Timestamp, Certainty)> {
    if let Some(event) = zones::of_this_run(lease, events, "expired") {
        return Some((event.occurred_at, Certainty::Proven));
    }
    let (end, hard) = (lease.lease_expires_at?, lease.hard_expires_at?);
    let (updated, ttl) = (lease.lease_updated_at?, lease.ttl_ms?);
    // The time to live of an async client is not in its row: where its work lasted longer than that default it is not seen.
    let early = end.micros_since(updated) < ttl.saturating_mul(1000) / 2;
    (end == hard && end.is_finite() && early).then_some((end, Certainty::Likely))
}

/// Whether an owner's process runs, if this is its machine by name.
#[cfg(unix)]
pub(super) fn process_here(lease: &Lease) -> Option<bool> {
    let (host, pid, _) = owner_parts(lease.owner_id.as_deref()?)?;
    if rustix::system::uname().nodename().to_str() != Ok(host) {
        return None;
    }
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)?;
    Some(rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

#[cfg(not(unix))]
pub(super) fn process_here(_: &Lease) -> Option<bool> {
    None
}
