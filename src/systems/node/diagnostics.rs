//! What `sen doctor` finds about a Redis with agent tasks. Pure.

use super::port::DiagnosticFacts;
use sen_model::diagnostics::{Check, Diagnostics};
use sen_model::verdict::Severity;

/// Workers add events without ever cutting the stream; only the watcher and `sen` do.
const MANY_EVENTS: i64 = 100_000;

/// Judges the server.
pub(super) fn diagnostics(diagnostics: &DiagnosticFacts) -> Diagnostics {
    let mut checks = Vec::new();
    let limited = diagnostics.max_memory.is_some_and(|most| most > 0);
    match diagnostics.eviction.as_deref() {
        Some("noeviction") | None => {}
        Some(policy) => {
            let severity = if limited { Severity::Critical } else { Severity::Warning };
            let when = if limited { "when memory is full" } else { "once maxmemory is set" };
            // Tasks have no time to live; checkpoints, locks of side effects and heartbeats have.
            let what = if policy.starts_with("volatile") { "checkpoints, locks and heartbeats" } else { "tasks" };
            checks.push(
                Check::new(severity, "eviction", format!("Redis evicts {what} {when} ({policy})"))
                    .with_remedy("CONFIG SET maxmemory-policy noeviction"),
            );
        }
    }
    if let (true, Some(most), Some(used)) = (limited, diagnostics.max_memory, diagnostics.used_memory)
        && used.saturating_mul(10) > most.saturating_mul(9)
    {
        let text =
            format!("{} of {} MiB of memory are used; without room nothing can be written", used >> 20, most >> 20);
        checks.push(Check::new(Severity::Warning, "memory", text));
    }
    if diagnostics.save_failed {
        checks.push(Check::new(Severity::Critical, "persistence", "the last save to disk failed"));
    }
    match (diagnostics.append_only, diagnostics.append_sync.as_deref()) {
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
            let unsaved = match diagnostics.unsaved {
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
    if let Some(events) = diagnostics.events.filter(|events| *events > MANY_EVENTS) {
        checks.push(
            Check::new(
                Severity::Warning,
                "events",
                format!("stream:events holds {events} events; workers never cut it"),
            )
            .with_remedy("XTRIM stream:events MAXLEN ~ 10000"),
        );
    }
    if diagnostics.replica {
        checks.push(Check::new(
            Severity::Warning,
            "replica",
            "this Redis is a replica: it may lag, and nothing can be written",
        ));
    }
    if diagnostics.encryption == "not encrypted" {
        let text = "connected to Redis without TLS, over a network: its password and its data can be read or altered on the way";
        checks.push(Check::new(Severity::Warning, "tls", text).with_remedy("rediss://… in SEN_REDIS_URL"));
    }
    if diagnostics.encryption.ends_with("not verified") {
        checks.push(Check::new(
            Severity::Warning,
            "tls",
            "the server's certificate is not verified: it could be anybody",
        ));
    }
    Diagnostics { needs: Vec::new(), indexes: Vec::new(), checks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_loses_tasks_is_named() {
        let bad = DiagnosticFacts {
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
        let topics: Vec<_> = diagnostics(&bad).checks.iter().map(|check| check.topic).collect();
        assert_eq!(topics, ["eviction", "memory", "persistence", "persistence", "events", "replica", "tls"]);
        for (encryption, found) in [
            ("not encrypted", true),
            ("not encrypted, on this machine", false),
            ("TLS, certificate verified", false),
            ("Unix socket", false),
        ] {
            let checks = diagnostics(&DiagnosticFacts { encryption, ..DiagnosticFacts::default() }).checks;
            assert_eq!(checks.iter().any(|check| check.topic == "tls"), found, "{encryption}");
        }
        let lax =
            DiagnosticFacts { append_only: Some(true), append_sync: Some("no".into()), ..DiagnosticFacts::default() };
        let told = diagnostics(&lax).checks;
        assert!(told.iter().any(|check| check.text.contains("appendfsync no")), "{told:?}");
        let good = DiagnosticFacts {
            eviction: Some("noeviction".into()),
            append_only: Some(true),
            ..DiagnosticFacts::default()
        };
        assert!(diagnostics(&good).checks.iter().all(|check| check.severity == Severity::Ok));
    }
}
