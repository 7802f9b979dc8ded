"""A worker with the real library. Prints a line when it has claimed its first task, then goes on until its input closes.

Usage: worker.py URL [--codec json|pickle] [--queue NAME]... [--tag TAG]... [--id ID] [--lease SECONDS] [--no-heartbeat] [--until-idle] [--ready]

--until-idle   ends by itself when nothing is pending and due, or running, for half a second
--ready        prints the line at once instead of at the first claim
"""

import argparse
import asyncio
import json
import logging
import os
import sys
from datetime import datetime, timedelta

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import flows  # noqa: E402


async def busy(backend):
    for task in await backend.list_tasks(limit=100000):
        if task.kind == "signal":
            continue
        if task.state == "running" or (task.state == "pending" and not (task.scheduled_for and task.scheduled_for > datetime.now())):
            return True
    return False


async def main(options):
    engine = await flows.open_engine(options.url, options.codec)
    claim = engine.backend.claim_next_task
    said = options.ready

    async def claim_and_tell(**kwargs):
        nonlocal said
        task = await claim(**kwargs)
        if task and not said:
            said = True
            print(json.dumps({"claimed": task.id, "step": task.step_name}), flush=True)
        return task

    engine.backend.claim_next_task = claim_and_tell
    if options.ready:
        print(json.dumps({"ready": True}), flush=True)
    lease = timedelta(seconds=options.lease)
    serving = asyncio.create_task(
        engine.serve(
            worker_id=options.id,
            queues=options.queue or None,
            tags=options.tag or None,
            lease_duration=lease,
            heartbeat_interval=timedelta(0) if options.no_heartbeat else None,
            poll_interval=0.01,
            poll_interval_max=0.05,
            cleanup_interval=None,
        )
    )
    loop = asyncio.get_running_loop()
    if options.until_idle:
        idle = 0
        while idle < 5:
            await asyncio.sleep(0.1)
            idle = 0 if await busy(engine.backend) else idle + 1
        print(json.dumps({"idle": True}), flush=True)
    else:
        await loop.run_in_executor(None, sys.stdin.read)
    serving.cancel()
    os._exit(0)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("url")
    parser.add_argument("--codec", default="json")
    parser.add_argument("--queue", action="append")
    parser.add_argument("--tag", action="append")
    parser.add_argument("--id", default="peer-worker")
    parser.add_argument("--lease", type=float, default=300)
    parser.add_argument("--no-heartbeat", action="store_true")
    parser.add_argument("--until-idle", action="store_true")
    parser.add_argument("--ready", action="store_true")
    asyncio.run(main(parser.parse_args()))
