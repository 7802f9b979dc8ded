"""What the real library says of a database: executions, tasks and dead letters by id, decoded by its own codec.

Usage: truth.py URL [--codec json|pickle]
"""

import argparse
import asyncio
import json
import logging
import os
import sys
from datetime import datetime

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import flows  # noqa: E402


def plain(value):
    if isinstance(value, flows.Result):
        return {"ok": value.ok, "value": plain(value.value), "error": plain(value.error)}
    if isinstance(value, BaseException):
        return {"exception": type(value).__name__, "message": str(value)}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return value


async def main(options):
    engine = await flows.open_engine(options.url, options.codec)
    backend, loads = engine.backend, engine.serializer.loads

    def decode(raw):
        return plain(loads(raw)) if raw else None

    def when(moment):
        return moment.isoformat() if isinstance(moment, datetime) else None

    def row(record, *names):
        known = {name: getattr(record, name) for name in names}
        return {name: when(value) if isinstance(value, datetime) else value for name, value in known.items()}

    times = ("created_at", "started_at", "completed_at")
    out = {"executions": {}, "tasks": {}, "letters": {}}
    for listed in await backend.list_executions(limit=1000000):
        record = await backend.get_execution(listed.id)
        out["executions"][record.id] = row(record, "root_function", "state", "tags", "priority", "queue", "expiry_at", *times) | {
            "args": decode(record.args), "kwargs": decode(record.kwargs), "result": decode(record.result), "error": decode(record.error),
            "progress": [row(step, "step", "status", "detail", "started_at", "completed_at") for step in record.progress],
            "counters": await backend.get_execution_counters(record.id),
            "custom_state": {key: decode(value) for key, value in (await backend.get_execution_state_values(record.id)).items()},
        }
    for task in await backend.list_tasks(limit=1000000):
        out["tasks"][task.id] = row(
            task, "execution_id", "step_name", "kind", "parent_task_id", "state", "retries", "worker_id", "lease_expires_at", "tags",
            "priority", "queue", "idempotency_key", "scheduled_for", *times,
        ) | {"args": decode(task.args), "kwargs": decode(task.kwargs), "result": decode(task.result), "error": decode(task.error)}
    for letter in await backend.list_dead_tasks(limit=1000000):
        out["letters"][letter.task.id] = {
            "reason": letter.reason, "moved_at": when(letter.moved_at), "execution_id": letter.task.execution_id,
            "step_name": letter.task.step_name, "kind": letter.task.kind, "retries": letter.task.retries, "queue": letter.task.queue,
            "args": decode(letter.task.args),
        }
    print(json.dumps(out), flush=True)
    os._exit(0)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("url")
    parser.add_argument("--codec", default="json")
    asyncio.run(main(parser.parse_args()))
