"""One worker in a process of its own: runs `once()` of the real library on a key and prints `"started"` from inside the job.
What once() says is printed when the job was allowed to end.

Usage: worker.py URL ROLE KEY TTL_MS HARD_TTL_MS

Roles, all of which end in the middle of the job when standard input closes, and return from it when a line arrives:
  alive   a sync client; the library's thread sends heartbeats
  silent  the same, but its heartbeats have stopped (the library's own shutdown_manager)
  async   an async client; it never sends a heartbeat, see the note in make.py
"""

import asyncio
import json
import os
import sys

import psycopg
from sentinel import AsyncSentinel, Sentinel
from sentinel.heartbeat_config import shutdown_manager


def started():
    print(json.dumps("started"), flush=True)


def until_told():
    """Waits for a line; when there is none because the parent is gone, ends at once, in the middle of the job."""
    if not sys.stdin.readline():
        os._exit(0)


def main():
    url, role, key, ttl, hard = sys.argv[1:]
    limits = {"ttl_ms": int(ttl), "hard_ttl_ms": int(hard)}

    def job():
        if role == "silent":
            shutdown_manager()
        started()
        until_told()
        return {"by": role}

    async def slow_job():
        started()
        await asyncio.get_running_loop().run_in_executor(None, until_told)
        return {"by": role}

    if role == "async":

        async def run():
            client = AsyncSentinel(lambda: psycopg.AsyncConnection.connect(url))
            return await client.once(key, slow_job, **limits)

        result = asyncio.run(run())
    else:
        result = Sentinel(lambda: psycopg.connect(url)).once(key, job, **limits)
    print(json.dumps({"success": result.success, "status": result.status, "uncertain": result.uncertain}), flush=True)


if __name__ == "__main__":
    main()
