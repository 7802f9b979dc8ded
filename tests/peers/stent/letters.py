"""Many dead letters in one go, through the real library's own backend: each has its execution, failed as the library leaves it.

Usage: letters.py URL COUNT [--codec json|pickle] [--kind orchestrator|activity] [--errors N] [--queue NAME]

Prints {"ids": […]} (the dead tasks' ids; the first 10 when there are more than 1000).
"""

import argparse
import asyncio
import json
import logging
import os
import sys
import uuid
from datetime import datetime

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import flows  # noqa: E402

core = __import__(flows.LIBRARY + ".core", fromlist=["core"])


async def main(options):
    engine = await flows.open_engine(options.url, options.codec)
    backend, dumps = engine.backend, engine.serializer.dumps
    ids = []
    for number in range(options.count):
        now = datetime.now()
        order = f"order-{number}"
        root = "flows:failing" if options.kind == "orchestrator" else "flows:checkout"
        step = root if options.kind == "orchestrator" else "flows:flaky"
        raised = ConnectionError(f"provider {number % options.errors} unreachable for {order} after {number} ms")
        execution = core.ExecutionRecord(
            id=str(uuid.uuid4()), root_function=root, state="failed", args=dumps((order,)), kwargs=dumps({}), retries=0,
            created_at=now, started_at=now, completed_at=now, expiry_at=None, progress=[], tags=["bulk"], priority=0,
            queue=options.queue, error=dumps(raised),
        )
        task = core.TaskRecord(
            id=str(uuid.uuid4()), execution_id=execution.id, step_name=step, kind=options.kind, parent_task_id=None, state="failed",
            args=dumps((order,)), kwargs=dumps({}), retries=1, created_at=now, tags=["bulk"], priority=number % 3, queue=options.queue,
            retry_policy=flows.TWICE, error=dumps(raised), started_at=now, completed_at=now, worker_id="peer-worker",
        )
        await backend.create_execution(execution)
        await backend.create_task(task)
        await backend.move_task_to_dead_letter(task, str(raised))
        ids.append(task.id)
    print(json.dumps({"ids": ids if len(ids) <= 1000 else ids[:10]}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("url")
    parser.add_argument("count", type=int)
    parser.add_argument("--codec", default="json")
    parser.add_argument("--kind", default="orchestrator")
    parser.add_argument("--errors", type=int, default=3)
    parser.add_argument("--queue")
    asyncio.run(main(parser.parse_args()))
