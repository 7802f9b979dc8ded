//! What `sen doctor` and `sen grants` should know of Sentinel's tables. Pure.

use super::port::{DiagnosticFacts, LEASES, TOKENS};
use sen_model::diagnostics::{Check, Diagnostics, RecommendedIndex, RequiredPrivilege};
use sen_model::verdict::Severity;

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

fn full<'a>(facts: &'a DiagnosticFacts, name: &'a str) -> &'a str {
    facts.objects.iter().find(|(bare, ..)| bare == name).map_or(name, |(_, full, _)| full)
}

/// Whether the next token is above every one in use: else it fences nobody out.
fn tokens(facts: &DiagnosticFacts) -> Option<Check> {
    let sequence = full(facts, TOKENS);
    if facts.no_sequence {
        let text = format!("the sequence {TOKENS} is missing: no key can be claimed or taken over");
        return Some(Check::new(Severity::Critical, "tokens", text).with_remedy("sen init"));
    }
    let (last, largest) = (facts.last_token?, facts.largest_token?);
    if largest <= last {
        return None;
    }
    let text = format!(
        "the sequence {sequence} stands at {last}, and a lease has fencing token {largest}: tokens given out before come again, and a late worker is not fenced out"
    );
    let leases = full(facts, LEASES);
    let repair = format!("SELECT setval('{sequence}', (SELECT max(fencing_token) FROM {leases}));");
    Some(Check::new(Severity::Critical, "tokens", text).with_remedy(repair))
}

/// Versions of the library that cannot work on these tables.
fn library(facts: &DiagnosticFacts) -> Vec<Check> {
    let column = |relation: &str, name: &str| {
        facts.columns.iter().find(|(table, column, _)| table == relation && column == name).map(|(.., free)| *free)
    };
    let events = "sentinel_events";
    let mut checks = Vec::new();
    if facts.columns.iter().any(|(table, ..)| table == events) && column(events, "metadata").is_none() {
        let text = "sentinel-coordination 0.5.0 cannot work on these tables: its statements name sentinel_events.metadata, \
                    which is missing, so that no worker of it can acquire a key (its Django migrations leave the column out)";
        let repair = format!("ALTER TABLE {} ADD COLUMN metadata jsonb;", full(facts, events));
        checks.push(Check::new(Severity::Critical, "library", text).with_remedy(repair));
    }
    if column(LEASES, "ttl_ms") == Some(false) {
        let text = "the async clients of sentinel-coordination 0.4.2 and 0.5.0 cannot work on these tables: their INSERT omits \
                    ttl_ms, which is NOT NULL without a default (Django's migrations drop it)";
        let repair = format!("ALTER TABLE {} ALTER COLUMN ttl_ms SET DEFAULT 3000;", full(facts, LEASES));
        checks.push(Check::new(Severity::Warning, "library", text).with_remedy(repair));
    }
    checks
}

/// What two looks at leases say of the zones their workers write in; `moved` changed in between.
pub(super) fn zones(moved: &[(String, i64)], ahead: usize) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some((key, offset)) = moved.first() {
        let text = format!(
            "{} of the leases that read as expired were extended while they were looked at twice ({key:?} is one): their workers live, and their sessions write times {} behind the server's zone",
            moved.len(),
            sen_model::time::age(*offset)
        );
        checks.push(Check::new(Severity::Critical, "time zones", text).with_remedy(ZONES));
    }
    if ahead > 0 {
        let verb = if ahead == 1 { "open lease was" } else { "open leases were" };
        let text = format!(
            "{ahead} {verb} last changed in the future: a session in another time zone writes such times, and its lease looks alive long after its worker has ended"
        );
        checks.push(Check::new(Severity::Critical, "time zones", text).with_remedy(ZONES));
    }
    checks
}

/// Workers must use the zone that the server gives their role.
const ZONES: &str = "remove PGTZ, SET TIME ZONE and options=-c timezone from the workers' connections";

pub(super) fn diagnostics(facts: &DiagnosticFacts) -> Diagnostics {
    let needs = facts.objects.iter().map(|(name, full, sequence)| RequiredPrivilege {
        object: full.clone(),
        sequence: *sequence,
        acts: acts(name, *sequence),
    });
    let mut checks = Vec::new();
    checks.extend(tokens(facts));
    checks.extend(library(facts));
    let events = facts.objects.iter().find(|(name, ..)| name == "sentinel_events").map(|(_, full, _)| full);
    if let (Some(events), Some(bytes), Some(rows), Some(dead)) =
        (events, facts.events_bytes, facts.events_rows, facts.events_dead)
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
    let indexes = events.map(|events| RecommendedIndex {
        table: events.clone(),
        first: "occurred_at",
        // Events are only added, in the order of their time: a range of blocks each is enough.
        columns: "USING brin (occurred_at)",
        used_by: "`sen stats`, which counts the events of the last hour",
        worth: "",
        severity: Severity::Ok,
    });
    Diagnostics { needs: needs.collect(), indexes: indexes.into_iter().collect(), checks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_and_bloated_events_are_told_apart() {
        let facts = |bytes, rows, dead| DiagnosticFacts {
            objects: vec![("sentinel_events".into(), "public.sentinel_events".into(), false)],
            events_bytes: Some(bytes),
            events_rows: Some(rows),
            events_dead: Some(dead),
            ..DiagnosticFacts::default()
        };
        let remedy = |facts: &DiagnosticFacts| diagnostics(facts).checks[0].remedy.clone().unwrap_or_default();
        assert!(remedy(&facts(1 << 20, 10, 0)).is_empty());
        assert!(remedy(&facts(1 << 31, 1_000_000, 10)).starts_with("DELETE"));
        assert!(remedy(&facts(1 << 31, 1_000_000, 600_000)).starts_with("VACUUM"));
        assert_eq!(diagnostics(&facts(0, 0, 0)).needs[0].acts, ["INSERT"]);
    }
}
