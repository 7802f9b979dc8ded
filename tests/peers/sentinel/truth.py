"""Prints as JSON what the library itself says of every key: inspect() of all, and history() where there is one.

Usage: truth.py URL [--django]     (--django: events through the migrations' own model, as history() needs a column it lacks)

Times become UTC: a plain TIMESTAMP is read as the server's session reads it, which is what the library relies on.
"""

import json
import sys
from importlib.metadata import version

import psycopg
from sentinel import core

INSPECTED = ("lease_expires_at", "lease_updated_at", "hard_expires_at")


def utc(conn, moment):
    """The moment as RFC 3339 with microseconds; the server does the sum, with its own zone rules."""
    if moment is None:
        return None
    kind = "timestamp" if moment.tzinfo is None else "timestamptz"
    query = f"""SELECT to_char(%s::{kind}::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
    return conn.execute(query, (moment,)).fetchone()[0]


def state(conn, lease):
    """What a caller may conclude, in the words of the command line; the server compares, in its zone."""
    if lease.status == "claimed":
        return "held" if lease.lease_alive else "free"
    if lease.status != "executing":
        return lease.status
    if lease.lease_alive:
        return "alive"
    entitled = conn.execute("SELECT %s > NOW()", (lease.hard_expires_at,)).fetchone()[0]
    return "stalled" if entitled else "uncertain"


def inspected(conn, key):
    lease = core.inspect(conn, key)
    facts = dict(vars(lease))
    for name in INSPECTED:
        facts[name] = utc(conn, facts[name])
    facts["state"] = state(conn, lease)
    facts["ttl_ms"] = conn.execute("SELECT ttl_ms FROM sentinel_leases WHERE key = %s", (key,)).fetchone()[0]
    return facts


def library_events(conn, key):
    from sentinel.events import history

    return [dict(vars(event), occurred_at=utc(conn, event.occurred_at)) for event in history(conn, key, limit=1_000_000)]


def django_events(conn, key):
    from sentinel.integrations.models import SentinelEvent

    names = ("id", "key", "event", "fencing_token", "owner_id", "occurred_at")
    rows = SentinelEvent.objects.filter(key=key).values(*names)
    return [dict(row, metadata=None, occurred_at=utc(conn, row["occurred_at"])) for row in rows]


def main():
    url, *flags = sys.argv[1:]
    with psycopg.connect(url) as conn:
        keys = [row[0] for row in conn.execute("SELECT key FROM sentinel_leases ORDER BY key COLLATE \"C\"")]
        if "--django" in flags:
            from django_tables import configure

            configure(url)
            read_events = django_events
        else:
            read_events = library_events if version("sentinel-coordination") >= "0.5" else None
        history = None
        if read_events:
            known = conn.execute("SELECT DISTINCT key FROM sentinel_events").fetchall()
            history = {key: read_events(conn, key) for (key,) in known}
        timezone = conn.execute("SHOW timezone").fetchone()[0]
        leases = {key: inspected(conn, key) for key in keys}
    print(json.dumps({"timezone": timezone, "leases": leases, "history": history}))


if __name__ == "__main__":
    main()
