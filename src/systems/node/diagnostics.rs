//! What `sen doctor` finds about a Redis with agent tasks. Pure.

use super::port::Upkeep;
use sen_model::checkup::{Check, Checkup};
use sen_model::verdict::Severity;

/// Workers add events without ever cutting the stream; only the watcher and `sen` do.
const MANY_EVENTS: i64 = 100_000;

/// What the queue says of the workers.
pub(super) fn unattended(text: String) -> Check {
    Check::new(Severity::Warning, "workers", text).with_remedy("sen agent workers")
}

/// Judges the server.
pub(super) fn checkup(upkeep: &Upkeep) -> Checkup {
    let mut checks = Vec::new();
    let limited = upkeep.max_memory.is_some_and(|most| most > 0);
    match upkeep.eviction.as_deref() {
        Some("noeviction") | None => {}
        Some(policy) => {
            let severity = if limited { Severity::Critical } else { Severity::Warning };
            let when = if limited { "when memory is full" } else { "once maxmemory is set" };
            // Tasks have no time to live; checkpoints, locks of side effects and heartbeats have.
            let what = if policy.starts_with("volatile") { "checkpoints, locks and heartbeats" } else { "tasks" };
            checks.push(
                Check::new(severity, "eviction", format!("Redis throws {what} away {when} ({policy})"))
                    .with_remedy("CONFIG SET maxmemory-policy noeviction"),
            );
        }
    }
    if let (true, Some(most), Some(used)) = (limited, upkeep.max_memory, upkeep.used_memory)
        && used.saturating_mul(10) > most.saturating_mul(9)
    {
        let text =
            format!("{} of {} MiB of memory are used; without room nothing can be written", used >> 20, most >> 20);
        checks.push(Check::new(Severity::Warning, "memory", text));
    }
    if upkeep.save_failed {
        checks.push(Check::new(Severity::Critical, "persistence", "the last save to disk failed"));
    }
    match (upkeep.append_only, upkeep.append_sync.as_deref()) {
        (Some(true), Some("no")) => checks.push(
            Check::new(
                Severity::Warning,
                "persistence",
                "the append-only log is written when the system likes (appendfsync no): a crash of the machine loses tasks",
            )
            .with_remedy("CONFIG SET appendfsync everysec"),
        ),
        (Some(true), _) => {
            checks.push(Check::new(Severity::Ok, "persistence", "every change is logged (appendonly)"));
        }
        (Some(false), _) => {
            let unsaved = match upkeep.unsaved {
                Some(unsaved) if unsaved > 0 => format!("the {unsaved} changes"),
                _ => "what changed".to_owned(),
            };
            let text = format!("a crash of Redis loses {unsaved} since its last save: no append-only log is kept");
            checks.push(
                Check::new(Severity::Warning, "persistence", text).with_remedy("CONFIG SET appendonly yes"),
            );
        }
        (None, _) => {}
    }
    if let Some(events) = upkeep.events.filter(|events| *events > MANY_EVENTS) {
        checks.push(
            Check::new(
                Severity::Warning,
                "events",
                format!("stream:events holds {events} events; workers never cut it"),
            )
            .with_remedy("XTRIM stream:events MAXLEN ~ 10000"),
        );
    }
    if upkeep.replica {
        checks.push(Check::new(
            Severity::Warning,
            "replica",
            "this Redis is a replica: it may lag, and nothing can be written",
        ));
    }
    if upkeep.encryption == "not encrypted" {
        let text = "connected to Redis without TLS, over a network: its password and its data can be read or altered on the way";
        checks.push(Check::new(Severity::Warning, "tls", text).with_remedy("rediss://… in SEN_REDIS_URL"));
    }
    if upkeep.encryption.ends_with("not verified") {
        checks.push(Check::new(
            Severity::Warning,
            "tls",
            "the server's certificate is not verified: it could be anybody",
        ));
    }
    Checkup { needs: Vec::new(), indexes: Vec::new(), checks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_loses_tasks_is_named() {
        let bad = Upkeep {
            eviction: Some("allkeys-lru".into()),
            max_memory: Some(100 << 20),
            used_memory: Some(95 << 20),
            append_only: Some(false),
            append_sync: None,
            unsaved: Some(7),
            last_save: Some(1),
            save_failed: true,
            replica: true,
            events: Some(1_000_000),
            encryption: "TLS, certificate not verified",
        };
        let topics: Vec<_> = checkup(&bad).checks.iter().map(|check| check.topic).collect();
        assert_eq!(topics, ["eviction", "memory", "persistence", "persistence", "events", "replica", "tls"]);
        for (encryption, found) in [
            ("not encrypted", true),
            ("not encrypted, on this machine", false),
            ("TLS, certificate verified", false),
            ("Unix socket", false),
        ] {
            let checks = checkup(&Upkeep { encryption, ..Upkeep::default() }).checks;
            assert_eq!(checks.iter().any(|check| check.topic == "tls"), found, "{encryption}");
        }
        let lax = Upkeep { append_only: Some(true), append_sync: Some("no".into()), ..Upkeep::default() };
        let told = checkup(&lax).checks;
        assert!(told.iter().any(|check| check.text.contains("appendfsync no")), "{told:?}");
        let good = Upkeep { eviction: Some("noeviction".into()), append_only: Some(true), ..Upkeep::default() };
        assert!(checkup(&good).checks.iter().all(|check| check.severity == Severity::Ok));
    }
}
