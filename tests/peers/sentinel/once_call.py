"""One call of the real library, its answer as JSON.

Usage: once_call.py URL init | once KEY | reset KEY
"""

import json
import sys

import psycopg
from sentinel import Sentinel, init_db


def main():
    url, act, *rest = sys.argv[1:]
    if act == "init":
        with psycopg.connect(url) as conn:
            init_db(conn)
        print("null")
        return
    client = Sentinel(lambda: psycopg.connect(url))
    if act == "once":
        result = client.once(rest[0], lambda: {"by": "python"}, ttl_ms=30000)
        names = ("success", "status", "cached", "uncertain", "execution_alive", "response")
        print(json.dumps({name: getattr(result, name, None) for name in names}))
    else:
        taken = client.reconcile.reconcile(rest[0]).success
        print(json.dumps({"success": taken and client.reconcile.reset(rest[0]).success}))


if __name__ == "__main__":
    main()
