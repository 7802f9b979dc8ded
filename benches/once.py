"""The same as once.rs with the real library: distinct keys, one after the other, on one connection.

Usage: python once.py URL COUNT, or `python once.py URL one KEY` for a single call in a process of its own.
"""

import os
import sys
import time

import psycopg
from sentinel import Sentinel


def main():
    url, what, *rest = sys.argv[1:]
    conn = psycopg.connect(url)
    client = Sentinel(lambda: conn, owns_connection=False)
    if what == "one":
        assert client.once(rest[0], lambda: None, ttl_ms=30000).success
        return
    count = int(what)
    prefix = os.getpid()
    start = time.perf_counter()
    for number in range(count):
        # Without a hard TTL beyond the TTL the library still registers a heartbeat thread; jobs here are too short for a beat.
        assert client.once(f"python-{prefix}-{number}", lambda: number, ttl_ms=30000).success
    took = time.perf_counter() - start
    print(f"python: {count} keys in {took:.3f} s = {count / took:.0f} per second", flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
