//! What `sen doctor` and `sen grants` should know of Sentinel's tables. Pure.

use super::port::Upkeep;
use crate::model::checkup::{Check, Checkup, Need};
use crate::model::verdict::Severity;

/// Dead rows are worth a word when there are so many, and so large a share.
const MANY_DEAD: i64 = 100_000;
/// So many bytes of events are worth a word: every cached call adds a row.
const LARGE: i64 = 1 << 30;

/// What the acts (`reconcile`, `release`, `forget`, `once`) need of an object.
fn acts(name: &str, sequence: bool) -> &'static [&'static str] {
    match (name, sequence) {
        (_, true) => &["USAGE"],
        ("sentinel_leases", _) => &["INSERT", "UPDATE", "DELETE"],
        _ => &["INSERT"],
    }
}

pub(super) fn checkup(upkeep: &Upkeep) -> Checkup {
    let needs = upkeep.objects.iter().map(|(name, full, sequence)| Need {
        object: full.clone(),
        sequence: *sequence,
        acts: acts(name, *sequence),
    });
    let mut checks = Vec::new();
    let events = upkeep.objects.iter().find(|(name, ..)| name == "sentinel_events").map(|(_, full, _)| full);
    if let (Some(events), Some(bytes), Some(rows), Some(dead)) =
        (events, upkeep.events_bytes, upkeep.events_rows, upkeep.events_dead)
    {
        let size = format!("{events} takes {} MiB for about {rows} events", bytes >> 20);
        checks.push(if dead >= MANY_DEAD && dead > rows / 4 {
            Check::new(Severity::Warning, "events", format!("{size}, with {dead} dead rows between them"))
                .with_remedy(format!("VACUUM (ANALYZE) {events};"))
        } else if bytes >= LARGE {
            let text = format!("{size}; every cached call adds a row, and the library never removes any");
            Check::new(Severity::Warning, "events", text)
                .with_remedy(format!("DELETE FROM {events} WHERE occurred_at < now() - interval '90 days';"))
        } else {
            Check::new(Severity::Ok, "events", size)
        });
    }
    Checkup { needs: needs.collect(), indexes: Vec::new(), checks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_and_bloated_events_are_told_apart() {
        let upkeep = |bytes, rows, dead| Upkeep {
            objects: vec![("sentinel_events".into(), "public.sentinel_events".into(), false)],
            events_bytes: Some(bytes),
            events_rows: Some(rows),
            events_dead: Some(dead),
        };
        let remedy = |upkeep: &Upkeep| checkup(upkeep).checks[0].remedy.clone().unwrap_or_default();
        assert!(remedy(&upkeep(1 << 20, 10, 0)).is_empty());
        assert!(remedy(&upkeep(1 << 31, 1_000_000, 10)).starts_with("DELETE"));
        assert!(remedy(&upkeep(1 << 31, 1_000_000, 600_000)).starts_with("VACUUM"));
        assert_eq!(checkup(&upkeep(0, 0, 0)).needs[0].acts, ["INSERT"]);
    }
}
