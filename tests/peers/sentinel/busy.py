"""A busy, healthy service: clients of the real library that run many short jobs, and, of the async ones, some in the middle of a
job that is longer than its lease. Prints `"busy"` when all of it runs, goes on until standard input closes, and then
ends in the middle of everything.

Usage: busy.py URL sync|async

Not both in one process: the heartbeats of a sync client's thread would reach the keys of an async one, too.
"""

import asyncio
import json
import os
import random
import sys
import threading
import uuid

import psycopg
from sentinel import AsyncSentinel, Sentinel

LONG_MS = 600_000


def sync_clients(url, ready):
    client = Sentinel(lambda: psycopg.connect(url))

    def work(seconds):
        ready.release()
        threading.Event().wait(seconds)
        return {"ok": True}

    def run():
        while True:
            key = f"busy:sync-{uuid.uuid4()}"
            client.once(key, lambda: work(random.uniform(0, 0.3)), ttl_ms=20_000, hard_ttl_ms=LONG_MS)

    for _ in range(3):
        threading.Thread(target=run, daemon=True).start()


async def async_clients(url, ready):
    client = AsyncSentinel(lambda: psycopg.AsyncConnection.connect(url))

    async def work(seconds):
        ready.release()
        await asyncio.sleep(seconds)
        return {"ok": True}

    async def short():
        return await work(random.uniform(0, 0.3))

    async def hours():
        return await work(7200)

    async def run():
        while True:
            key = f"busy:async-{uuid.uuid4()}"
            await client.once(key, short, ttl_ms=10_000, hard_ttl_ms=LONG_MS)

    # The client takes coroutine functions only. Healthy, and past their leases after a second, or four.
    long = [client.once(f"busy:long-{ttl}", hours, ttl_ms=ttl, hard_ttl_ms=LONG_MS) for ttl in (1000, 4000)]
    await asyncio.gather(*long, *(run() for _ in range(3)))


def main():
    url, role = sys.argv[1:]
    ready = threading.Semaphore(0)
    if role == "sync":
        sync_clients(url, ready)
    else:
        threading.Thread(target=lambda: asyncio.run(async_clients(url, ready)), daemon=True).start()
    for _ in range(3 if role == "sync" else 5):
        ready.acquire()
    print(json.dumps("busy"), flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
