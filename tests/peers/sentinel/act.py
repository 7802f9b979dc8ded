"""Single acts of the real library, one process each; what came of it is printed as one document of JSON.

Usage: act.py URL init                   the tables of this version
       act.py URL killed KEY...          workers killed inside their function, their hard limits passed (their times are moved)
       act.py URL claim KEY              a claim whose holder vanished before it began
       act.py URL causes                 what needs no worker of the table in tests/acts/why.rs, under the keys named there
       act.py URL once KEY               a caller: what once() says, and whether its function ran
       act.py URL attempt KEY            the same; an error of the database is named
       act.py URL async_once KEY         the same by an async client
       act.py URL late KEY OWNER TOKEN   everything a worker can do that comes back after others have acted
"""

import asyncio
import json
import os
import subprocess
import sys
import time

import psycopg
from sentinel import AsyncSentinel, Sentinel, core, init_db

WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "worker.py")
# Long enough for a worker to begin on a machine that stands still for a while.
TTL_MS, HARD_MS = 60_000, 120_000


def init(url):
    with psycopg.connect(url) as conn:
        init_db(conn)
    return {}


def over(url, key):
    # Autocommit, because NOW() stands still within a transaction.
    with psycopg.connect(url, autocommit=True) as conn:
        query = "SELECT lease_expires_at < NOW() AND coalesce(hard_expires_at < NOW(), true) FROM sentinel_leases WHERE key = %s"
        while not conn.execute(query, (key,)).fetchone()[0]:
            time.sleep(0.02)


def pass_limits(url, keys):
    """Lets it be later: all times of these keys are moved back until their hard limits are over."""
    with psycopg.connect(url) as conn:
        spans = conn.execute("SELECT key, hard_expires_at - NOW() + INTERVAL '1 second' FROM sentinel_leases WHERE key = ANY(%s)", (list(keys),))
        events = conn.execute("SELECT to_regclass('sentinel_events')").fetchone()[0]
        for key, span in spans.fetchall():
            conn.execute(
                "UPDATE sentinel_leases SET lease_expires_at = lease_expires_at - %(span)s, hard_expires_at = hard_expires_at - %(span)s, "
                "lease_updated_at = lease_updated_at - %(span)s WHERE key = %(key)s",
                {"span": span, "key": key},
            )
            if events:
                conn.execute("UPDATE sentinel_events SET occurred_at = occurred_at - %s WHERE key = %s", (span, key))


def killed(url, *keys):
    command = [sys.executable, "-B", WORKER, url, "alive"]
    limits = [str(TTL_MS), str(HARD_MS)]
    workers = [
        subprocess.Popen([*command, key, *limits], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for key in keys
    ]
    try:
        for worker in workers:
            assert worker.stdout.readline() == '"started"\n'
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    pass_limits(url, keys)
    with psycopg.connect(url) as conn:
        leases = {key: core.inspect(conn, key) for key in keys}
    return {key: {"owner_id": lease.owner_id, "fencing_token": lease.fencing_token} for key, lease in leases.items()}


def claim(url, key):
    with psycopg.connect(url) as conn:
        assert core.acquire(conn, key, ttl_ms=1).acquired
    over(url, key)
    return {}


def causes(url):
    once(url, "completed")
    claim(url, "free")
    killed(url, "killed", "away", "taken")

    def job():
        raise RuntimeError("the card was declined, or was it")

    client = Sentinel(get_conn=lambda: psycopg.connect(url))
    assert client.once("raised", job, ttl_ms=600_000).uncertain
    assert client.reconcile.reconcile("taken").success
    with psycopg.connect(url) as conn:
        assert core.acquire(conn, "claimed", ttl_ms=600_000).acquired
    return {}


def once(url, key):
    runs = []

    def job():
        runs.append(key)
        return {"ran": len(runs)}

    result = Sentinel(get_conn=lambda: psycopg.connect(url), default_ttl_ms=60_000).once(key, job)
    return {
        "success": result.success,
        "status": result.status,
        "cached": result.cached,
        "uncertain": result.uncertain,
        "response": result.response,
        "runs": len(runs),
    }


def async_once(url, key):
    async def run():
        async def job():
            return {"ran": 1}

        client = AsyncSentinel(lambda: psycopg.AsyncConnection.connect(url))
        return await client.once(key, job, ttl_ms=60_000)

    try:
        result = asyncio.run(run())
        return {"success": result.success, "status": result.status}
    except psycopg.Error as error:
        return {"error": type(error).__name__}


def attempt(url, key):
    try:
        return once(url, key)
    except psycopg.Error as error:
        return {"error": type(error).__name__}


def late(url, key, owner, token):
    mine = {"owner_id": owner, "fencing_token": int(token)}
    with psycopg.connect(url) as conn:
        # Release last: it deletes the row of whoever matches.
        return {
            "batch_heartbeat": core.batch_heartbeat(conn, [key]),
            "heartbeat": core.heartbeat(conn, key, **mine).success,
            "start_execution": core.start_execution(conn, key, **mine).success,
            "expire_lease": core.expire_lease(conn, key, **mine).success,
            "complete": core.complete(conn, key, **mine, execution_result={"late": True}).success,
            "release": core.release(conn, key, **mine).success,
        }


def main():
    url, act, *rest = sys.argv[1:]
    acts = [init, killed, claim, causes, once, async_once, attempt, late]
    print(json.dumps({each.__name__: each for each in acts}[act](url, *rest)))


if __name__ == "__main__":
    main()
