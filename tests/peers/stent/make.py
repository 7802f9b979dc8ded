"""Makes executions in every state with the real library, prints one line of JSON about them, and stays while workers live.

Usage: make.py URL [--codec json|pickle] [--only-finished] [--tz ZONE]

--only-finished    nothing that needs a living worker; ends when it has printed
--tz               the zone of the workers' wall clock

What is printed: {"library", "version", "executions": {name: id}, "states": {name: expected state},
"letters": {name: dead task id}, "tasks": {name: task id}}
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

# Before anything asks what time it is: the library stores the local wall clock. Children inherit it.
if "--tz" in sys.argv:
    os.environ["TZ"] = sys.argv[sys.argv.index("--tz") + 1]
    time.tzset()

import flows  # noqa: E402

WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "worker.py")


class Maker:
    def __init__(self, engine, options):
        self.engine = engine
        self.options = options
        self.executions = {}
        self.states = {}
        self.tasks = {}
        self.workers = []

    async def dispatch(self, name, state, fn, *args, **kwargs):
        made = await self.engine.dispatch(fn, *args, **kwargs)
        self.executions[name] = made
        self.states[name] = state
        return made

    async def state(self, execution):
        return (await self.engine.backend.get_execution(execution)).state

    async def until(self, what, condition):
        end = time.monotonic() + 180
        while not await condition():
            assert time.monotonic() < end, f"{what} did not happen"
            await asyncio.sleep(0.02)

    async def finished(self):
        await self.dispatch("checkout", "completed", flows.checkout, "order-1", 12.5, note="caf\u00e9", tags=["vip", 'q"t'], priority=7)
        await self.dispatch("squares", "completed", flows.squares, 4)
        await self.dispatch("rates", "completed", flows.rates)
        await self.dispatch("failing", "failed", flows.failing, "order-77", queue="main")
        await self.dispatch("declined", "failed", flows.declined, "order-78")
        await self.dispatch("refused", "completed", flows.refused, "order-79")
        await self.dispatch("nothing", "completed", flows.nothing)
        await self.dispatch(
            "echo", "completed", flows.echo, 1, "two", None, [3.5, True], {"k": b"\x00\xff"}, big=9007199254740993, nested={"a": {"b": []}},
        )
        await self.dispatch("cancelled", "cancelled", flows.echo, "never", queue="nobody")
        if hasattr(self.engine, "cancel"):
            await self.engine.cancel(self.executions["cancelled"])
        else:
            # Senpuki 0.3.0 has no cancel: the state is the same its worker honours.
            record = await self.engine.backend.get_execution(self.executions["cancelled"])
            record.state, record.completed_at = "cancelled", datetime.now()
            await self.engine.backend.update_execution(record)
        await self.dispatch("buffered", "completed", flows.approval, {"id": 1})
        await self.engine.send_signal(self.executions["buffered"], "approve", {"by": "maria", "ok": True})

        serving = asyncio.create_task(
            self.engine.serve(
                worker_id="maker-1", queues=["main", "mail", "live"], poll_interval=0.01, poll_interval_max=0.05, cleanup_interval=None
            )
        )
        waiting = [name for name, state in self.states.items() if state != "cancelled"]

        async def settled():
            return all([(await self.state(self.executions[name])) == self.states[name] for name in waiting])

        try:
            await self.until("the finished ones", settled)
        except AssertionError:
            found = {name: await self.state(self.executions[name]) for name in waiting}
            raise AssertionError(f"wanted {self.states}, found {found}")
        # On a busy machine it expires before it is begun, which the library calls failed.
        for millis in (400, 800, 1600, 3200, 6400, 12800, 25600):
            made = await self.engine.dispatch(flows.slow, max_duration=timedelta(milliseconds=millis))

            async def ended():
                return await self.state(made) not in ("pending", "running")

            await self.until("the expiry", ended)
            if await self.state(made) == "timed_out":
                self.executions["timed-out"], self.states["timed-out"] = made, "timed_out"
                break
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    async def parked(self):
        """What needs no worker: nobody has taken it."""
        await self.dispatch("scheduled", "pending", flows.echo, "later", delay="2h", queue="nobody")
        for number in range(3):
            await self.dispatch(f"queued-{number}", "pending", flows.echo, number, queue="nobody", priority=number, tags=[f"batch-{number}"])
        await self.dispatch("signalled", "pending", flows.approval, {"id": 3}, queue="nobody")
        await self.engine.send_signal(self.executions["signalled"], "approve", {"by": "early"})
        # As a crash between two commits of the library's own replay leaves it: pending, and no task that would run it.
        stranded = await self.dispatch("stranded", "pending", flows.echo, "stranded", queue="nobody")
        for task in await self.engine.backend.list_tasks_for_execution(stranded):
            task.state, task.completed_at = "failed", datetime.now()
            await self.engine.backend.update_task(task)

    def worker(self, *options):
        command = [sys.executable, "-B", WORKER, self.options.url, "--codec", self.options.codec, *options]
        worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.workers.append(worker)
        return worker

    async def has_task(self, execution, step, state):
        for task in await self.engine.backend.list_tasks_for_execution(self.executions[execution]):
            if task.step_name.endswith(step) and task.state == state:
                self.tasks[execution] = task.id
                return True
        return False

    async def held(self):
        """What a living worker holds, and what a killed one held."""
        await self.dispatch("lost", "running", flows.live, 3600, queue="live")
        killed = self.worker("--queue", "live", "--id", "killed-1")
        await self.until("the lost one", lambda: self.has_task("lost", ":hang", "running"))
        killed.kill()
        killed.wait()
        await self.dispatch("waiting", "running", flows.approval, {"id": 2}, queue="held")
        await self.dispatch("sleeping", "running", flows.reminder, queue="held")
        await self.dispatch("running", "running", flows.live, 3600, queue="held")
        # It must not take over what the killed one held, so nobody serves that queue but this engine's own claim below.
        self.worker("--queue", "held", "--id", "holder-1", "--lease", "600")
        await self.until("the waiting one", lambda: self.has_task("waiting", "signal:approve", "pending"))
        await self.until("the sleeping one", lambda: self.has_task("sleeping", ".sleep", "pending"))
        await self.until("the running one", lambda: self.has_task("running", ":live", "running"))
        await self.until("the running one's child", lambda: self.has_task("running", ":hang", "pending"))

        # Its leases were long, so that they held while it lived, however slow the machine is. They are over now.
        for task in await self.engine.backend.list_tasks_for_execution(self.executions["lost"]):
            if task.state == "running":
                task.lease_expires_at = datetime.now() - timedelta(seconds=1)
                await self.engine.backend.update_task(task)

    async def report(self):
        letters = {}
        for record in await self.engine.list_dead_letters(limit=1000):
            name = next((name for name, made in self.executions.items() if made == record.task.execution_id), "?")
            letters[f"{name}/{record.task.kind}"] = record.task.id
        return {
            "library": flows.LIBRARY,
            "version": flows.VERSION,
            "executions": self.executions,
            "states": self.states,
            "letters": letters,
            "tasks": self.tasks,
        }


async def main(options):
    maker = Maker(await flows.open_engine(options.url, options.codec), options)
    try:
        await maker.finished()
        await maker.parked()
        if not options.only_finished:
            await maker.held()
        print(json.dumps(await maker.report()), flush=True)
        signal.alarm(0)
        if not options.only_finished:
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    finally:
        for worker in maker.workers:
            worker.kill()
            worker.wait()
    os._exit(0)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("url")
    parser.add_argument("--codec", default="json")
    parser.add_argument("--only-finished", action="store_true")
    parser.add_argument("--tz")
    signal.alarm(600)
    asyncio.run(main(parser.parse_args()))
