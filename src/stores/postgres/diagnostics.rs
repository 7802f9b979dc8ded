//! Examining a PostgreSQL server for `sen doctor`: what stands between it and a reliable answer. Reads the catalogue and the
//! activity views only.

use std::net::IpAddr;

use tokio_postgres::types::Type;

use super::Wire;
use super::decode::Cells;
use super::read::Query;
use super::shared::SharedConnection;
use crate::sql::Sql;
use crate::tls::Trust;
use sen_model::diagnostics::{Check, RecommendedIndex, RequiredPrivilege};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::ident::Ident;
use sen_model::time::{Timestamp, humane};
use sen_model::verdict::Severity;

static SERVER: Sql = Sql::new(
    "SELECT current_setting('server_version'), current_setting('server_version_num')::int8, current_setting('TimeZone'),
        pg_is_in_recovery(), current_setting('default_transaction_read_only') = 'on', clock_timestamp(), current_user::text,
        host(inet_server_addr()), current_setting('synchronous_commit') = 'off', current_setting('fsync') = 'off',
        current_setting('full_page_writes') = 'off', current_setting('is_superuser') = 'on'",
);

/// Schemas of the search path in which roles that are no superusers may create, and which: what they put there can stand
/// before a table of the same name, and is called by whoever names a function without its schema.
static PATH: Sql = Sql::new(
    "SELECT n.nspname::text, string_agg(DISTINCT CASE WHEN a.grantee = 0 THEN 'every role' ELSE r.rolname::text END, ', ')
    FROM unnest(current_schemas(false)) AS s (name) JOIN pg_namespace AS n ON n.nspname = s.name
        JOIN pg_database AS d ON d.datname = current_database()
        CROSS JOIN LATERAL aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a
        LEFT JOIN pg_roles AS g ON g.oid = a.grantee
        LEFT JOIN pg_roles AS r ON r.oid = CASE WHEN g.rolname = 'pg_database_owner' THEN d.datdba ELSE a.grantee END
    WHERE a.privilege_type = 'CREATE' AND (a.grantee = 0 OR (NOT r.rolsuper AND r.rolname <> current_user)) GROUP BY 1 ORDER BY 1",
);

/// Of the tables that are used: what is none but a view, and what there is another of further on in the search path.
static TWINS: Sql = Sql::new(
    "SELECT format('%I.%I', n.nspname, c.relname), c.relkind IN ('v', 'm'), o.rolname::text,
        (SELECT string_agg(format('%I.%I', tn.nspname, t.relname), ', ') FROM pg_class AS t
            JOIN pg_namespace AS tn ON tn.oid = t.relnamespace
            WHERE t.relname = c.relname AND t.oid <> c.oid AND t.relkind IN ('r', 'p', 'v', 'm', 'f')
                AND tn.nspname = ANY (current_schemas(false)) AND n.nspname = ANY (current_schemas(false)))
    FROM (SELECT DISTINCT to_regclass(w.name) AS oid FROM unnest($1::text[]) AS w (name)) AS wanted
        JOIN pg_class AS c ON c.oid = wanted.oid JOIN pg_namespace AS n ON n.oid = c.relnamespace
        LEFT JOIN pg_roles AS o ON o.oid = c.relowner
    WHERE c.relkind <> 'S'",
);

/// Tables by whose columns sagas are known and that this role may not read: they look as if they were not there.
static UNREADABLE: Sql = Sql::new(
    "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND c.oid IN (SELECT a.attrelid FROM pg_attribute AS a WHERE NOT a.attisdropped AND (
            a.attname IN ('step_execution_token', 'next_attempt_at') OR (a.attname = 'step_name' AND EXISTS (SELECT FROM pg_attribute AS b
                WHERE b.attrelid = a.attrelid AND b.attname = 'saga_id'))))
        AND NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))
    ORDER BY 1 LIMIT 20",
);

/// Where tables of the supported systems are that the search path does not lead to.
static ELSEWHERE: Sql = Sql::new(
    "SELECT DISTINCT n.nspname::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname <> ALL (current_schemas(false))
        AND (c.relname = 'sentinel_leases' OR (c.relname = 'executions' AND EXISTS (SELECT FROM pg_attribute AS a
            WHERE a.attrelid = c.oid AND a.attname = 'root_function')))
    ORDER BY 1 LIMIT 10",
);

static SEARCHED: Sql = Sql::new("SELECT array_to_string(current_schemas(false), ', ')");

static HELD: Sql = Sql::new(
    "SELECT a.pid::int8, coalesce(a.application_name, ''), a.usename::text,
        (extract(epoch FROM clock_timestamp() - a.xact_start) * 1000000)::int8,
        (SELECT count(*) FROM pg_stat_activity AS w WHERE a.pid = ANY (pg_blocking_pids(w.pid)) AND w.wait_event_type = 'Lock'), a.state
    FROM pg_stat_activity AS a
    WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.xact_start < clock_timestamp() - interval '1 minute'
    ORDER BY a.xact_start LIMIT 5",
);

static LACKING: Sql = Sql::new(
    "SELECT wanted.object, wanted.privilege FROM unnest($1::text[], $2::text[], $3::bool[]) AS wanted (object, privilege, sequence)
    WHERE to_regclass(wanted.object) IS NOT NULL AND NOT CASE WHEN wanted.sequence
        THEN has_sequence_privilege(to_regclass(wanted.object), wanted.privilege)
        ELSE has_table_privilege(to_regclass(wanted.object), wanted.privilege) END",
);

/// An index whose first column is the wanted one, whatever follows.
static UNINDEXED: Sql = Sql::new(
    "SELECT wanted.at, greatest(c.reltuples, 0)::int8
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS wanted (relation, first, at)
    JOIN pg_class AS c ON c.oid = to_regclass(wanted.relation)
    WHERE NOT EXISTS (SELECT FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
        WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND a.attname = wanted.first)",
);

/// From so many rows on a missing index is felt.
const MANY: i64 = 100_000;

impl SharedConnection {
    /// Examines the server, the connection, the privileges behind `needs` and the indexes in `wishes`.
    ///
    /// # Errors
    /// What the server reports of the catalogue itself.
    pub async fn examine(&self, needs: &[RequiredPrivilege], wishes: &[RecommendedIndex]) -> Result<Vec<Check>> {
        let db = self.live().await?;
        let mut wanted: (Vec<&str>, Vec<&str>, Vec<bool>) = Default::default();
        for need in needs {
            let read: &[&str] = if need.sequence { &[] } else { &["SELECT"] };
            for privilege in read.iter().chain(need.acts) {
                wanted.0.push(&need.object);
                wanted.1.push(privilege);
                wanted.2.push(need.sequence);
            }
        }
        let objects: Vec<&str> = needs.iter().map(|need| need.object.as_str()).collect();
        let tables: Vec<&str> = wishes.iter().map(|wish| wish.table.as_str()).collect();
        let firsts: Vec<&str> = wishes.iter().map(|wish| wish.first).collect();
        let before = Timestamp::here();
        let server = self.ask(Query::new(&SERVER, [])).await?;
        let after = Timestamp::here();
        let asks = [
            Query::new(&HELD, []),
            Query::new(
                &LACKING,
                [
                    (&wanted.0 as _, Type::TEXT_ARRAY),
                    (&wanted.1 as _, Type::TEXT_ARRAY),
                    (&wanted.2 as _, Type::BOOL_ARRAY),
                ],
            ),
            Query::new(&UNINDEXED, [(&tables as _, Type::TEXT_ARRAY), (&firsts as _, Type::TEXT_ARRAY)]),
            Query::new(&PATH, []),
            Query::new(&TWINS, [(&objects as _, Type::TEXT_ARRAY)]),
            Query::new(&UNREADABLE, []),
        ];
        let (direct, answers) = tokio::join!(db.is_direct(), self.snapshot(&asks));
        let mut checks = Vec::new();
        if let Some(row) = server.first() {
            let mut cells = Cells::new(row);
            let (version, number) = (cells.text(0).unwrap_or_default(), cells.int(1).unwrap_or_default());
            checks.push(version_check(&version, number));
            checks.push(Check::new(
                Severity::Ok,
                "time_zone",
                format!("the session's zone is {}; sen never changes it", cells.text(2).unwrap_or_default()),
            ));
            if cells.flag(3) == Some(true) {
                let words = db.as_standby().await.words();
                let text = format!("this server is {words}; acts need the primary");
                checks.push(Check::new(Severity::Warning, "standby", text));
            } else if cells.flag(4) == Some(true) {
                let text =
                    "default_transaction_read_only is on for this role, database or server: acts will be refused";
                checks.push(Check::new(Severity::Warning, "read_only", text));
            }
            if let Some(now) = cells.time(5) {
                checks.push(clock_check(before, now, after));
            }
            let user = cells.text(6).unwrap_or_default();
            // What we connected to counts: behind a pooler the server's own address says nothing of the way to it.
            let address = db.peer().or_else(|| cells.text(7).and_then(|text| text.parse::<IpAddr>().ok()));
            checks.push(wire_check(db.wire(), address));
            let mut is_off = |at| cells.flag(at) == Some(true);
            checks.extend(durability_checks(is_off(8), is_off(9), is_off(10)));
            let mut answers = answers?.into_iter();
            let mut next = || answers.next().and_then(Result::ok).unwrap_or_default();
            let (held, lacking, unindexed) = (next(), next(), next());
            let (path, twins, unreadable) = (next(), next(), next());
            checks.extend(role_check(&user, cells.flag(11) == Some(true)));
            checks.extend(path.iter().map(|row| path_check(&mut Cells::new(row))));
            checks.extend(twins.iter().flat_map(|row| twin_checks(&mut Cells::new(row))));
            checks.extend(unreadable.iter().map(|row| {
                let text = format!("{user} may not read {}", Cells::new(row).text(0).unwrap_or_default());
                Check::new(Severity::Critical, "privileges", text).with_remedy("sen grants --role ro   # as its owner")
            }));
            checks.extend(db.hidden().tables().iter().map(|table| hidden_check(&user, table)));
            checks.extend(held.iter().map(|row| held_check(&mut Cells::new(row))));
            let lacking: Vec<(String, String)> = lacking
                .iter()
                .map(|row| {
                    let mut cells = Cells::new(row);
                    (cells.text(0).unwrap_or_default(), cells.text(1).unwrap_or_default())
                })
                .collect();
            checks.extend(privilege_checks(&user, &lacking));
            for row in &unindexed {
                let mut cells = Cells::new(row);
                let wish = cells.int(0).and_then(|at| wishes.get(usize::try_from(at - 1).ok()?));
                checks.extend(wish.and_then(|wish| index_check(wish, cells.int(1).unwrap_or_default())));
            }
        }
        checks.push(if direct {
            Check::new(Severity::Ok, "pooler", "the connection has a server process to itself: no pooler shares it out")
        } else {
            Check::new(
                Severity::Ok,
                "pooler",
                "a pooler stands between; sen keeps nothing in a session, so transaction mode is fine",
            )
        });
        Ok(checks)
    }
}

impl SharedConnection {
    /// What to say where none of the supported systems was found: where was looked, and where such tables are.
    pub async fn nothing_found(&self) -> Error {
        let asks = [Query::new(&SEARCHED, []), Query::new(&ELSEWHERE, [])];
        let answers = self.snapshot(&asks).await.unwrap_or_default();
        let mut texts = answers.into_iter().map(|rows| -> Vec<String> {
            rows.unwrap_or_default().iter().filter_map(|row| Cells::new(row).text(0)).collect()
        });
        let path = texts.next().and_then(|rows| rows.into_iter().next()).unwrap_or_default();
        let schemas = texts.next().unwrap_or_default();
        let path = if path.is_empty() { "which is empty".to_owned() } else { path };
        let message = format!("no supported tables in the search path ({path}) of {}", self.describe());
        let error = Error::new(ErrorKind::NoSystem, message);
        match schemas.first() {
            Some(first) => {
                let quoted = Ident::new(first.as_str()).map(|name| name.quoted()).unwrap_or_default();
                error.with_hint(format!(
                    "such tables are in {}: ALTER ROLE … SET search_path = {quoted}, or PGOPTIONS='-c search_path={first}'",
                    schemas.join(", ")
                ))
            }
            None => {
                error.with_hint("check that this is the right database; `sen init` creates empty tables for leases")
            }
        }
    }
}

/// A superuser runs what others left in tables (triggers, views, defaults) with every right there is.
fn role_check(user: &str, superuser: bool) -> Option<Check> {
    superuser.then(|| {
        let text = format!(
            "{user} is a superuser: triggers and views that others attach to these tables run with all its rights"
        );
        Check::new(Severity::Warning, "role", text)
            .with_remedy("sen grants --role operator --to ROLE   # then connect as it")
    })
}

fn path_check(cells: &mut Cells<'_>) -> Check {
    let (schema, roles) = (cells.text(0).unwrap_or_default(), cells.text(1).unwrap_or_default());
    let quoted = Ident::new(schema.as_str()).map(|name| name.quoted()).unwrap_or_default();
    let text = format!(
        "schema {schema} of the search path: objects can be created in it by {roles}; a table or view there can take the place of one further on"
    );
    let whom = if roles.contains("every role") { "PUBLIC" } else { "ROLE" };
    Check::new(Severity::Warning, "search_path", text)
        .with_remedy(format!("REVOKE CREATE ON SCHEMA {quoted} FROM {whom};"))
}

fn twin_checks(cells: &mut Cells<'_>) -> Vec<Check> {
    let (object, owner) = (cells.text(0).unwrap_or_default(), cells.text(2).unwrap_or_default());
    let mut checks = Vec::new();
    if cells.flag(1) == Some(true) {
        let text = format!("{object} is a view (owner {owner}), not the table that the library makes");
        checks.push(Check::new(Severity::Warning, "search_path", text));
    }
    if let Some(others) = cells.text(3) {
        let text = format!("{object} (owner {owner}) is used; there is also {others} further on in the search path");
        checks.push(Check::new(Severity::Warning, "search_path", text));
    }
    checks
}

fn hidden_check(user: &str, table: &str) -> Check {
    let text = format!("row-level security can hide rows of {table} from {user}: counts and lists may lack some");
    Check::new(Severity::Warning, "row_security", text)
        .with_remedy("ALTER ROLE … BYPASSRLS, or a policy that lets this role see every row")
}

fn version_check(version: &str, number: i64) -> Check {
    if number < 120_000 {
        let text = format!("PostgreSQL {version} is older than any that sen is tried with");
        return Check::new(Severity::Warning, "server", text);
    }
    Check::new(Severity::Ok, "server", format!("PostgreSQL {version}"))
}

/// The server's clock lies between two readings of ours, if both are right.
fn clock_check(before: Timestamp, server: Timestamp, after: Timestamp) -> Check {
    let (ahead, behind) = (server.micros_since(after), before.micros_since(server));
    let off = ahead.max(behind).max(0);
    let which = if ahead > behind { "ahead of" } else { "behind" };
    if off > 1_000_000 {
        let text = format!(
            "the server's clock is {} {which} this machine's; sen goes by the server's alone, workers may not",
            humane(off)
        );
        return Check::new(Severity::Warning, "clock", text);
    }
    Check::new(Severity::Ok, "clock", "the server's clock agrees with this machine's to within a second")
}

fn wire_check(wire: Wire, address: Option<IpAddr>) -> Check {
    let near = address.is_some_and(|address| address.is_loopback());
    match wire {
        Wire::Plain | Wire::Tls(Trust::Unverified) if !near => Check::new(
            Severity::Warning,
            "tls",
            format!("connected over {wire}: the password and the data can be read or altered on the way"),
        )
        .with_remedy("sslmode=verify-full and sslrootcert=… in DATABASE_URL"),
        _ => Check::new(Severity::Ok, "tls", format!("connected over {wire}")),
    }
}

/// What a crash of the server takes back although it was confirmed.
fn durability_checks(asynchronous: bool, unsynced: bool, torn: bool) -> Vec<Check> {
    let warning = |text: &str, remedy: &str| Check::new(Severity::Warning, "durability", text).with_remedy(remedy);
    let mut checks = Vec::new();
    if asynchronous {
        let text = "synchronous_commit is off for this role, database or server: a crash loses what workers committed last, so \
            that finished work runs again (sen turns it on for its own changes)";
        checks.push(warning(text, "ALTER SYSTEM SET synchronous_commit = on; SELECT pg_reload_conf();"));
    }
    if unsynced {
        let text = "fsync is off: a crash of the machine can lose committed changes and corrupt the database";
        checks.push(warning(text, "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf();"));
    }
    if torn {
        let text = "full_page_writes is off: a crash of the machine can corrupt the database";
        checks.push(warning(text, "ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf();"));
    }
    if checks.is_empty() {
        checks.push(Check::new(Severity::Ok, "durability", "what is committed survives a crash"));
    }
    checks
}

fn held_check(cells: &mut Cells<'_>) -> Check {
    let pid = cells.int(0).unwrap_or_default();
    let (name, user) = (cells.text(1).unwrap_or_default(), cells.text(2).unwrap_or_default());
    let age = humane(cells.int(3).unwrap_or_default());
    let waiting = cells.int(4).unwrap_or_default();
    let idle = cells.text(5).is_some_and(|state| state.starts_with("idle"));
    let doing = if idle { "idle in a transaction" } else { "in a transaction" };
    let name = if name.is_empty() { String::new() } else { format!(" ({name})") };
    let severity = if waiting > 0 { Severity::Critical } else { Severity::Warning };
    let wait = if waiting > 0 { format!(", and {waiting} wait for its locks") } else { String::new() };
    Check::new(severity, "transactions", format!("process {pid} of {user}{name} has been {doing} for {age}{wait}"))
        .with_remedy(format!("SELECT pg_terminate_backend({pid});"))
}

/// What the role lacks for reading, and what it lacks for acts only: two different things to be told of.
fn privilege_checks(user: &str, lacking: &[(String, String)]) -> Vec<Check> {
    if lacking.is_empty() {
        return vec![Check::new(Severity::Ok, "privileges", format!("{user} may read and act on everything found"))];
    }
    let (reads, acts): (Vec<_>, Vec<_>) = lacking.iter().partition(|(_, privilege)| privilege == "SELECT");
    let mut checks = Vec::new();
    if !reads.is_empty() {
        let objects: Vec<&str> = reads.iter().map(|(object, _)| object.as_str()).collect();
        let text = format!("{user} may not read {}", objects.join(", "));
        checks.push(Check::new(Severity::Critical, "privileges", text).with_remedy("sen grants --role ro"));
    }
    let mut objects: Vec<(&str, Vec<&str>)> = Vec::new();
    for (object, privilege) in acts {
        match objects.last_mut().filter(|(last, _)| last == object) {
            Some((_, privileges)) => privileges.push(privilege),
            None => objects.push((object, vec![privilege])),
        }
    }
    if !objects.is_empty() {
        let each: Vec<String> =
            objects.iter().map(|(object, privileges)| format!("{} on {object}", privileges.join(", "))).collect();
        // A role that only reads is a good thing to have: no reason to worry.
        let text = format!("{user} may not act: it lacks {}", each.join("; "));
        checks.push(Check::new(Severity::Ok, "privileges", text).with_remedy("sen grants --role operator"));
    }
    checks
}

fn index_check(wish: &RecommendedIndex, rows: i64) -> Option<Check> {
    if rows < MANY {
        return None;
    }
    let RecommendedIndex { table, columns, used_by, worth, severity, .. } = wish;
    let worth = if worth.is_empty() { String::new() } else { format!(": {worth}") };
    let text = format!("{table} has about {rows} rows and no index for {used_by}{worth}");
    let sql = format!("CREATE INDEX CONCURRENTLY ON {table} {columns};");
    Some(Check::new(*severity, "indexes", text).with_remedy(sql))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_compared_within_the_round_trip() {
        let at = Timestamp::from_micros;
        assert_eq!(clock_check(at(0), at(5), at(10)).severity, Severity::Ok);
        assert_eq!(clock_check(at(0), at(900_000), at(10)).severity, Severity::Ok);
        let ahead = clock_check(at(0), at(3_000_000), at(10));
        assert!(ahead.severity == Severity::Warning && ahead.text.contains("ahead of"), "{ahead:?}");
        let behind = clock_check(at(9_000_000), at(3_000_000), at(9_000_010));
        assert!(behind.severity == Severity::Warning && behind.text.contains("behind"), "{behind:?}");
    }

    #[test]
    fn settings_that_lose_commits_are_named() {
        let named = |a, b, c| durability_checks(a, b, c).iter().map(|check| check.severity).collect::<Vec<_>>();
        assert_eq!(named(false, false, false), [Severity::Ok]);
        assert_eq!(named(true, false, false), [Severity::Warning]);
        assert_eq!(named(true, true, true), [Severity::Warning; 3]);
    }

    #[test]
    fn unverified_tls_matters_off_this_machine() {
        let far = Some("10.0.0.7".parse().unwrap());
        let near = Some("127.0.0.1".parse().unwrap());
        assert_eq!(wire_check(Wire::Plain, far).severity, Severity::Warning);
        assert_eq!(wire_check(Wire::Tls(Trust::Unverified), far).severity, Severity::Warning);
        assert_eq!(wire_check(Wire::Plain, near).severity, Severity::Ok);
        assert_eq!(wire_check(Wire::Tls(Trust::Full), far).severity, Severity::Ok);
        assert_eq!(wire_check(Wire::Socket, None).severity, Severity::Ok);
    }
}
