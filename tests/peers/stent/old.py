"""A completed and a failed execution with senpuki 0.1 or 0.2, whose API has no signals, contexts or dead letters to list.

Usage: old.py URL [heal EXECUTION]: with `heal` the failed one is served again, and succeeds; prints {"state"}

Prints {"completed", "failed": execution ids, "letter": the dead task of the failed one's orchestrator, "orphan": a dead
letter whose task's row is gone}.
"""

import asyncio
import json
import logging
import os
import sys

import senpuki
from senpuki import RetryPolicy, Senpuki


@Senpuki.durable()
async def fine(order):
    return {"order": order}


@Senpuki.durable(retry_policy=RetryPolicy(max_attempts=1))
async def broken(order):
    if HEALED:
        return {"order": order}
    raise ValueError(f"no such order: {order}")


HEALED = len(sys.argv) > 2


async def heal(engine, backend, execution):
    asyncio.create_task(engine.serve(worker_id="old-2", poll_interval=0.02))
    while (state := (await backend.get_execution(execution)).state) in ("pending", "running"):
        await asyncio.sleep(0.02)
    print(json.dumps({"state": state}), flush=True)
    os._exit(0)


async def main(url):
    backend = Senpuki.backends.PostgresBackend(url) if "://" in url else Senpuki.backends.SQLiteBackend(url)
    await backend.init_db()
    engine = Senpuki(backend=backend)
    if HEALED:
        await heal(engine, backend, sys.argv[3])
    completed, failed = await engine.dispatch(fine, "order-0"), await engine.dispatch(broken, "order-1")
    serving = asyncio.create_task(engine.serve(worker_id="old-1", poll_interval=0.02))
    for _ in range(1000):
        states = [(await backend.get_execution(made)).state for made in (completed, failed)]
        if states == ["completed", "failed"]:
            break
        await asyncio.sleep(0.02)
    assert states == ["completed", "failed"], states
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    [task] = await backend.list_tasks_for_execution(failed)
    orphan = task.__class__(**{**task.__dict__, "id": "orphan-1"})
    await backend.move_task_to_dead_letter(orphan, "its row went with a cleanup")
    print(json.dumps({"completed": completed, "failed": failed, "letter": task.id, "orphan": "orphan-1"}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run(main(sys.argv[1]))
