"""Makes keys in every state with the real library, prints one line of JSON about them, and stays while workers live.

Usage: make.py URL [--existing-tables] [--sync-only] [--only-finished] [--prefix TEXT]

--existing-tables  does not call init_db (the tables come from Django's migrations)
--sync-only        no async client: it leaves `ttl_ms` to a column default that Django's table does not have
--only-finished    only keys that need no living worker, then ends
--prefix           put before every key

How a *stalled* key (executing, lease expired, hard limit not reached) really comes about: the async client registers with
the heartbeat manager, but the manager's thread calls the async `get_conn` without awaiting it, fails twice on the coroutine
and gives up, in 0.4.2 and 0.5.0 alike. So every async job longer than its ttl looks stalled while it is healthy. A sync
client stalls when its heartbeat thread ends while the job goes on. Both are made here.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version

import psycopg
from sentinel import Sentinel, core, init_db


WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "worker.py")

# Short: over before the first comparison. Long: not over before the last.
SHORT_MS, LONG_MS = 300, 600_000
# A living worker beats every third of its ttl, so this survives seconds without a turn on a busy machine.
BEATING_MS = 30_000

RESULTS = {
    "completed-dict": {"charged": True, "amount": 12.5, "ids": [1, 2], "big": 9007199254740993, "nested": {"none": None}},
    "completed-none": None,
    "completed-list": [1, "two", None, {"three": 3}],
    "completed-text": "pa\u00efd \u2713 \u65e5\u672c\u8a9e \U0001f5dd \" \\ \n \u202e",
    "completed-false": False,
    "completed-empty": {},
}

ODD_KEYS = [
    "-dash",
    "--all",
    "it's \"quoted\" `$HOME` \\",
    "\u043a\u043b\u044e\u0447-\u65e5\u672c\u8a9e-\U0001f5dd",
    "line\nbreak\ttab",
    " spaces ",
    "100%_like",
    "; DROP TABLE sentinel_leases; --",
    "a:b:c",
    "long-" + "k" * 500,
]


class Maker:
    """Collects what it makes: every key with the state a person should be told."""

    def __init__(self, url, prefix):
        self.url = url
        self.prefix = prefix
        self.client = Sentinel(self.connect)
        self.keys = []
        self.gone = []
        self.workers = []
        self.notes = {}

    def connect(self):
        return psycopg.connect(self.url)

    def name(self, key, state):
        key = self.prefix + key
        self.keys.append({"key": key, "state": state})
        return key

    def once(self, key, result=None, state="completed", client=None):
        stored = self.name(key, state)
        done = (client or self.client).once(stored, lambda: result, ttl_ms=LONG_MS)
        assert done.success and not done.cached, (stored, vars(done))
        return stored

    def start(self, role, key, ttl, hard):
        """Starts a worker and returns once it is inside its job."""
        command = [sys.executable, "-B", WORKER, self.url, role, key, str(ttl), str(hard)]
        worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.workers.append(worker)
        line = worker.stdout.readline()
        assert line == '"started"\n', (role, key, line)
        return worker

    def wait_expired(self, *keys):
        # Autocommit, because the library compares with NOW(), which stands still within a transaction.
        with psycopg.connect(self.url, autocommit=True) as conn:
            for key in keys:
                while core.inspect(conn, key).lease_alive:
                    time.sleep(0.02)

    def finished(self):
        for key, result in RESULTS.items():
            self.once(key, result)
        for key in ODD_KEYS:
            self.once(key, {"odd": key})

        namespaced = Sentinel(self.connect, namespace=self.prefix + "payments")
        self.keys.append({"key": self.prefix + "payments:order-1", "state": "completed"})
        assert namespaced.once("order-1", lambda: {"paid": 1}).success

        rejected = self.once("rejected", {"first": True})
        for _ in range(3):
            again = self.client.once(rejected, lambda: {"first": False})
            assert again.cached and again.response == {"first": True}, vars(again)

    def claims(self):
        held = self.name("held", "held")
        abandoned = self.name("abandoned", "free")
        released = self.prefix + "released"
        self.gone.append(released)
        with self.connect() as conn:
            assert core.acquire(conn, held, ttl_ms=LONG_MS).acquired
            assert core.acquire(conn, abandoned, ttl_ms=1).acquired
            lease = core.acquire(conn, released, ttl_ms=LONG_MS)
            assert core.release(conn, released, owner_id=lease.owner_id, fencing_token=lease.fencing_token).success

    def executions(self, with_async):
        alive = self.name("payments:alive", "alive")
        self.start("alive", alive, BEATING_MS, LONG_MS)
        assert self.client.once(alive, lambda: None).execution_alive

        stalled = [self.name("stalled-silent", "stalled")]
        self.start("silent", stalled[0], SHORT_MS, LONG_MS)
        if with_async:
            stalled.append(self.name("stalled-async", "stalled"))
            self.start("async", stalled[1], SHORT_MS, LONG_MS)

        uncertain = [self.name("uncertain", "uncertain")]
        reconciling = self.name("reconciling", "reconciling")
        reset = self.name("reset", "free")
        forced = self.name("forced", "completed")
        retaken = self.name("retaken", "completed")
        killed = [uncertain[0], reconciling, reset, forced, retaken]
        for worker in [self.start("alive", key, SHORT_MS, SHORT_MS * 2) for key in killed]:
            worker.kill()
            worker.wait()

        late = self.name("late", "completed")
        late_worker = self.start("silent", late, SHORT_MS, LONG_MS)

        def fails():
            raise RuntimeError("the card was declined, or was it")

        failed = self.name("failed", "uncertain")
        assert self.client.once(failed, fails, ttl_ms=LONG_MS).uncertain

        self.wait_expired(*stalled, *killed, late)
        # The library's inspect does not judge the hard limit; twice the ttl from the start has certainly passed then.
        time.sleep(SHORT_MS * 2 / 1000)

        assert self.client.once(uncertain[0], lambda: None).uncertain
        operator = self.client.reconcile
        for key in (reconciling, reset, forced, retaken):
            assert operator.reconcile(key).success, key
        for key in (reset, retaken):
            assert operator.reset(key).success, key
        assert operator.force_complete(forced, json.dumps({"by": "operator"})).success
        assert self.client.once(retaken, lambda: {"second": True}, ttl_ms=LONG_MS).success

        late_worker.stdin.write("\n")
        late_worker.stdin.flush()
        self.notes["late"] = json.loads(late_worker.stdout.readline())

    def report(self):
        return {
            "library": version("sentinel-coordination"),
            "python": sys.version.split()[0],
            "keys": self.keys,
            "gone": self.gone,
            "notes": self.notes,
        }


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("url")
    parser.add_argument("--existing-tables", action="store_true")
    parser.add_argument("--sync-only", action="store_true")
    parser.add_argument("--only-finished", action="store_true")
    parser.add_argument("--prefix", default="")
    options = parser.parse_args()

    # Making takes seconds; whatever hangs ends here, loudly, and its workers with it.
    signal.alarm(600)
    if not options.existing_tables:
        with psycopg.connect(options.url) as conn:
            init_db(conn)
    maker = Maker(options.url, options.prefix)
    try:
        maker.finished()
        if not options.only_finished:
            maker.claims()
            maker.executions(with_async=not options.sync_only)
        print(json.dumps(maker.report()), flush=True)
        signal.alarm(0)
        if not options.only_finished:
            sys.stdin.read()
    finally:
        # Workers are told by the end of their input, so they end as well when this process is killed.
        for worker in maker.workers:
            worker.stdin.close()
            worker.wait()


if __name__ == "__main__":
    main()
