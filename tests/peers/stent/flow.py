"""Makes, heals and disturbs durable executions with the real library, for tests of acts.

Usage: flow.py URL VERB [ARGUMENT]... [--codec json|pickle] [--zone NAME]

dispatch NAME [ARG]   dispatches a function of flows.py, with --queue and --tags; prints {"id"}
cancel ID             the library's own cancel (Stent alone has one); prints {"cancelled"}
signal ID NAME JSON   sends a signal as the library does; prints {"sent"}
die COUNT             runs so many executions until their retries are exhausted; prints {"executions": [...]}
heal                  serves, with everything repaired, until nothing is pending or running
serve-healed [POLL]   the same until the input closes, polling every POLL seconds; prints {"ready"} first
replay-slowly         reads every dead letter as the library's replay does, prints {"read"}, waits for a line, then goes on
                      with all of them; prints {"copied"}
replay-named          dispatches every dead letter's task once more under a name-based id, as a tool of somebody else may, and
                      leaves the letter; prints {"copied"}
replay-all            what the original's `replay-all` does: at most 1000; prints {"replayed"}
nested                runs an execution whose steps call steps and whose last step fails; prints {"id"}
journey               runs an execution whose signal was sent and whose last step fails; prints {"id"}
impatient             runs an execution that raises TimeoutError under max_duration; prints {"id"}
lose-end              ends the process between "task completed" and "execution completed"; prints {"id"} first
busy LEASE            runs trivial executions without an end, and one long one, until killed; prints {"ready"}
wait-for-signals N    dispatches so many executions that wait for a signal, and serves; prints {"ids"}; at a line prints
                      {"answers"}: how many got {"n": 1}
"""

import argparse
import asyncio
import dataclasses
import json
import logging
import os
import sys
import time
import uuid
from datetime import datetime, timedelta

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import flows  # noqa: E402


def say(**what):
    print(json.dumps(what), flush=True)


def line():
    return asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


def serve(engine, poll=None, **more):
    least, most = (poll, poll) if poll else (0.01, 0.05)
    return asyncio.create_task(
        engine.serve(
            worker_id="flow-1", poll_interval=least, poll_interval_max=most, cleanup_interval=None, max_concurrency=100, **more
        )
    )


async def until_ended(engine, made):
    while (await engine.backend.get_execution(made)).state in ("pending", "running"):
        await asyncio.sleep(0.02)


async def lose_end(engine):
    made = await engine.dispatch(flows.echo, "done")
    update = engine.backend.update_execution

    async def update_or_end(record):
        if record.state == "completed":
            say(id=made)
            os._exit(0)
        await update(record)

    engine.backend.update_execution = update_or_end
    await serve(engine)


async def busy(engine, lease):
    await engine.dispatch(flows.live, 3600, queue="live")
    serve(engine, lease_duration=timedelta(seconds=lease))
    say(ready=True)
    number = 0
    while True:
        for _ in range(20):
            await engine.dispatch(flows.echo, number)
            number += 1
        while await engine.backend.count_tasks(state="pending") > 40:
            await asyncio.sleep(0.01)


async def idle(engine):
    quiet = 0
    while quiet < 4:
        await asyncio.sleep(0.1)
        tasks = await engine.backend.list_tasks(limit=100000, state="pending")
        tasks += await engine.backend.list_tasks(limit=100000, state="running")
        quiet = 0 if any(task.kind != "signal" for task in tasks) else quiet + 1


async def die(engine, count):
    made = [await engine.dispatch(flows.failing, f"order-{number}", queue="main") for number in range(count)]
    serving = serve(engine)
    while len([1 for id in made if (await engine.backend.get_execution(id)).state == "failed"]) < count:
        await asyncio.sleep(0.02)
    serving.cancel()
    say(executions=made)


async def replay_named(engine):
    records = await engine.list_dead_letters(limit=1000)
    for record in records:
        task = dataclasses.replace(
            record.task, id=str(uuid.uuid5(uuid.NAMESPACE_URL, record.task.id)), state="pending", worker_id=None,
            lease_expires_at=None, started_at=None, completed_at=None, result=None, error=None, created_at=datetime.now(), retries=0,
        )
        await engine.backend.create_task(task)
    say(copied=len(records))


async def replay_slowly(engine):
    records = await engine.list_dead_letters(limit=1000)
    say(read=len(records))
    await line()
    for record in records:
        task = dataclasses.replace(
            record.task, id=str(uuid.uuid4()), state="pending", worker_id=None, lease_expires_at=None, started_at=None,
            completed_at=None, result=None, error=None, created_at=datetime.now(), retries=0,
        )
        await engine.backend.create_task(task)
        await engine.backend.delete_dead_task(record.task.id)
    say(copied=len(records))


async def wait_for_signals(engine, count):
    made = [await engine.dispatch(flows.approval, {"id": number}) for number in range(count)]
    serve(engine)
    say(ids=made)
    await line()
    answers = 0
    for id in made:
        result = (await engine.result_of(id)).value
        answers += result["answer"] == {"n": 1}
    say(answers=answers)


async def main(options):
    engine = await flows.open_engine(options.url, options.codec)
    verb, rest = options.verb, options.rest
    if verb == "dispatch":
        more = {name: value for name, value in (("queue", options.queue), ("tags", options.tags)) if value}
        say(id=await engine.dispatch(getattr(flows, rest[0]), *[json.loads(text) for text in rest[1:]], **more))
    elif verb == "cancel":
        await engine.cancel(rest[0])
        say(cancelled=True)
    elif verb == "signal":
        await engine.send_signal(rest[0], rest[1], json.loads(rest[2]))
        say(sent=True)
    elif verb == "die":
        await die(engine, int(rest[0]))
    elif verb == "heal":
        os.environ[flows.HEALED] = "1"
        serve(engine)
        await idle(engine)
        say(healed=True)
    elif verb == "serve-healed":
        os.environ[flows.HEALED] = "1"
        # A thousand orchestrators that all look for their child every few milliseconds would leave no time for the children.
        engine.poll_min_interval, engine.poll_max_interval = 0.3, 3.0
        serve(engine, *[float(poll) for poll in rest])
        say(ready=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    elif verb == "replay-slowly":
        await replay_slowly(engine)
    elif verb == "replay-named":
        await replay_named(engine)
    elif verb == "replay-all":
        records = await engine.list_dead_letters(limit=1000)
        for record in records:
            await engine.replay_dead_letter(record.task.id)
        say(replayed=len(records))
    elif verb == "journey":
        made = await engine.dispatch(flows.journey, "order-9")
        await engine.send_signal(made, "approve", {"by": "maria"})
        serve(engine)
        await until_ended(engine, made)
        say(id=made)
    elif verb == "nested":
        made = await engine.dispatch(flows.nested, "order-9")
        serve(engine)
        await until_ended(engine, made)
        say(id=made)
    elif verb == "impatient":
        made = await engine.dispatch(flows.impatient, "order-9", max_duration=timedelta(hours=1))
        serve(engine)
        await until_ended(engine, made)
        say(id=made)
    elif verb == "lose-end":
        await lose_end(engine)
    elif verb == "busy":
        await busy(engine, float(rest[0]))
    elif verb == "wait-for-signals":
        await wait_for_signals(engine, int(rest[0]))
    os._exit(0)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("url")
    parser.add_argument("verb")
    parser.add_argument("rest", nargs="*")
    parser.add_argument("--codec", default="json")
    parser.add_argument("--zone")
    parser.add_argument("--queue")
    parser.add_argument("--tags", action="append")
    options = parser.parse_args()
    if options.zone:
        os.environ["TZ"] = options.zone
        time.tzset()
    asyncio.run(main(options))
