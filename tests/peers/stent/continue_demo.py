"""Opens the file of `sen demo` with the real library and lets a worker go on with it.

Usage: continue_demo.py FILE

Prints {"executions": {id: state}, "letters": [dead task ids as the library lists them], "results": {id: result}} after the
worker has done all there was to do.
"""

import asyncio
import json
import logging
import os
import sys
from datetime import datetime

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import flows  # noqa: E402

registry = __import__(flows.LIBRARY + ".registry", fromlist=["registry"])


async def charge(order):
    return {"charge": "ch_" + order}


async def checkout(order):
    return {"charge": (await durable["shop:charge"](order))["charge"], "receipt": "sent"}


durable = {}


def register(name, fn):
    meta = registry.FunctionMetadata(
        name=name, fn=fn, cached=False, retry_policy=flows.ONCE, tags=[], priority=0, queue=None, version=None, idempotent=False,
        idempotency_key_func=None,
    )
    flows.Engine.default_registry.register(meta)

    async def call(*args):
        return await flows.Engine._call_durable_stub(meta, args, {})

    durable[name] = call


async def main(path):
    register("shop:charge", charge)
    register("shop:checkout", checkout)
    engine = await flows.open_engine(path)
    letters = [letter.task.id for letter in await engine.list_dead_letters(limit=100)]
    serving = asyncio.create_task(engine.serve(worker_id="heir-1", poll_interval=0.01, poll_interval_max=0.05, cleanup_interval=None))

    async def busy():
        for task in await engine.backend.list_tasks(limit=1000):
            due = not (task.scheduled_for and task.scheduled_for > datetime.now())
            if task.kind != "signal" and due and (task.state == "pending" or task.worker_id == "heir-1" and task.state == "running"):
                return True
            if task.state == "running" and task.lease_expires_at < datetime.now():
                return True
            # The library ends a task and its execution in two commits.
            if task.kind == "orchestrator" and task.worker_id == "heir-1" and task.state == "completed":
                if (await engine.backend.get_execution(task.execution_id)).state != "completed":
                    return True
        return False

    for _ in range(1000):
        if not await busy():
            break
        await asyncio.sleep(0.02)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    records = await engine.backend.list_executions(limit=1000)
    loads = engine.serializer.loads
    print(json.dumps({
        "executions": {record.id: record.state for record in records},
        "letters": letters,
        "results": {record.id: loads(record.result) for record in records if record.result},
    }), flush=True)
    os._exit(0)


if __name__ == "__main__":
    # The library's clock must be the one the demo was written in.
    os.environ["TZ"] = "UTC"
    logging.disable(logging.CRITICAL)
    asyncio.run(main(sys.argv[1]))
