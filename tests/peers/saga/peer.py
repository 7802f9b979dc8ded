"""The real library at the test's command: one JSON command a line on standard input, one JSON answer a line.

Usage: peer.py URL [NAMES]     NAMES: JSON, see tables.py; {"lease": seconds} sets the execution lease

A command is {"do": NAME, …}. An answer is {"ok": …} or {"error": class, "message": …}. What hangs answers {"hangs": […]} first
and goes on in the background; the test then kills the process.
"""

import asyncio
import json
import os
import signal
import sys
import uuid
from datetime import datetime, timedelta

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from loguru import logger  # noqa: E402
from sqlalchemy import select, text  # noqa: E402
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine  # noqa: E402
from sqlalchemy.orm import selectinload  # noqa: E402

from saga_orchestrator import SagaAdmin, SagaOrchestrator  # noqa: E402
import shop  # noqa: E402
from shop import Shop, out  # noqa: E402
from tables import HAS_EVENTS, HAS_HISTORY, VERSION, Tables  # noqa: E402

logger.remove()


def dialect(url):
    """SQLAlchemy's form of a libpq URI or `sqlite:PATH`, with asyncpg's names for what libpq takes."""
    if url.startswith("sqlite:"):
        return f"sqlite+aiosqlite:///{url[len('sqlite:'):]}", {}
    from urllib.parse import parse_qs, urlsplit

    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    args = {"host": query.get("host"), "port": int(query["port"]), "user": query.get("user"), "database": parts.path[1:]}
    return "postgresql+asyncpg://", {key: value for key, value in args.items() if value is not None}


class Peer:
    def __init__(self, url, names):
        self.lease = timedelta(seconds=names.pop("lease", 300))
        self.tables = Tables(names)
        address, args = dialect(url)
        self.engine = create_async_engine(address, connect_args=args, pool_size=5) if args else create_async_engine(address)
        self.sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        Shop.sessions = self.sessions
        extra = {"history_model_class": self.tables.history} if HAS_HISTORY else {}
        if HAS_EVENTS:
            extra |= {
                "outbox_model_class": self.tables.outbox,
                "inbox_model_class": self.tables.inbox,
            }
        self.library = SagaOrchestrator(
            model_class=self.tables.state, session_maker=self.sessions, execution_lease=self.lease, **extra
        )
        self.core = self.library.engine
        self.admin = SagaAdmin(self.core)
        shop.register(self.library, outbox=self.tables.outbox is not None)
        self.published = []
        self.polling = None
        self.polls = self.begun = 0
        self.tasks = []

    async def init(self, _):
        async with self.engine.begin() as connection:
            if self.tables.schema:
                quoted = self.tables.schema.replace('"', '""')
                await connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{quoted}"'))
            await connection.run_sync(self.tables.base.metadata.create_all)
            for statement in shop.CONTROL.strip().split(";"):
                if statement.strip():
                    await connection.execute(text(statement))
        return VERSION

    async def start(self, c):
        saga = await self.library.start(
            saga_name=c.get("saga", "order"),
            initial_data={"order": c["order"], "plan": c.get("plan", {})},
            aggregation_id=c["order"],
            trace_id=c.get("trace"),
        )
        return str(saga)

    async def start_many(self, c):
        return [await self.start({**c, "order": f"{c['order']}-{n}"}) for n in range(c["count"])]

    async def mode(self, c):
        async with self.sessions() as session, session.begin():
            await session.execute(
                text(
                    "INSERT INTO shop_control VALUES (:order, :step, :mode) "
                    "ON CONFLICT (order_id, step) DO UPDATE SET mode = excluded.mode"
                ),
                {"order": c["order"], "step": c["step"], "mode": c["mode"]},
            )

    async def run_due(self, c):
        return await self.library.run_due(limit=c.get("limit", 100))

    async def run_inbox_due(self, _):
        return await self.library.run_inbox_due()

    async def drive(self, c):
        """What a worker does after a step's result is committed: it prepares and executes the next one."""
        await self.core._drive(uuid.UUID(c["id"]))

    async def forget(self, _):
        """This worker has no definitions any more, as one that was deployed before they were written."""
        self.core._registry.clear()

    async def act(self, c):
        """The library's own admin call."""
        arguments = [uuid.UUID(c["id"])] + ([c["output"]] if "output" in c else [])
        await getattr(self.admin, c["act"])(*arguments)

    async def notify(self, c):
        saga = uuid.UUID(c["id"])
        token = c.get("token") or str((await self.library.get_snapshot(saga)).step_execution_token)
        if HAS_EVENTS:
            result = await self.library.notify_detailed(saga_id=saga, token=uuid.UUID(token), event=c.get("event"))
            return result.value
        return await self.library.notify(saga_id=saga, token=uuid.UUID(token), event=c.get("event"))

    async def ingest(self, c):
        saga = uuid.UUID(c["id"]) if "id" in c else None
        return await self.library.ingest_event(event=c["event"], saga_id=saga, aggregation_id=c.get("order"))

    async def dispatch(self, c):
        """One round of the outbox dispatcher; `how`: ok, fail or hang."""
        from saga_orchestrator.outbox.dispatcher import OutboxDispatcher

        peer, how = self, c.get("how", "ok")

        class Publisher:
            async def publish(self, *, topic, payload, key=None, headers=None):
                if how == "fail":
                    raise ConnectionError("broker is away")
                if how == "hang":
                    out({"hangs": [topic, key]})
                    await asyncio.sleep(3600)
                peer.published.append([topic, payload])

        await OutboxDispatcher(
            session_maker=self.sessions, publisher=Publisher(), model_class=self.tables.outbox
        ).run_once(limit=c.get("limit", 100))
        published, self.published = self.published, []
        return published

    async def late(self, c):
        """The result of a worker that holds this token: what it would write when its step ends now."""
        core, saga = self.core, uuid.UUID(c["id"])
        definition = core._registry[c.get("saga", "order")]
        step = definition.steps[c["step"]]
        data = shop.Order(order=c["order"], plan={})
        more = {"wait_spec": None} if HAS_EVENTS else {}
        return await core._finalize_step(
            saga_id=saga, step_def=step, token=uuid.UUID(c["token"]), step_input=data,
            step_output=step.output_model.model_validate(c["output"]), error=None, attempt_number=1, **more,
        )

    async def die_between(self, c):
        """Ends this process, as kill -9 does, after a step's result is committed and before the next is prepared."""
        core = self.core
        name = "_prepare_compensation" if c.get("compensating") else "_prepare_step"
        prepare, seen = getattr(core, name), []

        async def prepared(saga_id):
            seen.append(saga_id)
            if len(seen) > c.get("after", 1):
                out({"ok": str(saga_id)})
                os.kill(os.getpid(), signal.SIGKILL)
            return await prepare(saga_id)

        setattr(core, name, prepared)
        await self.start(c)

    async def saga(self, c):
        """Everything stored of one saga, as the library reads it."""
        async with self.sessions() as session:
            query = select(self.tables.state).where(self.tables.state.id == uuid.UUID(c["id"]))
            if HAS_HISTORY:
                query = query.options(selectinload(self.tables.state.step_history))
            row = (await session.execute(query)).scalar_one()
            order = row.aggregation_id
            found = await session.execute(
                text("SELECT step, what FROM shop_effects WHERE order_id = :order"), {"order": order}
            )
            effects = [f"{what} {step}" for step, what in found]
        context = row.context.model_dump(mode="json") if HAS_HISTORY else dict(row.context)
        history = [
            {
                name: getattr(entry, name)
                for name in ("timestamp", "step_id", "step_name", "attempt", "token", "input", "output", "error", "skipped")
            }
            | {"phase": entry.phase.value, "status": entry.status.value}
            if HAS_HISTORY
            else dict(entry)
            for entry in row.step_history
        ]
        return {
            "id": row.id, "status": row.status.value, "step": row.current_step_index, "token": row.step_execution_token,
            "retries": row.retry_counter, "error": row.last_error, "deadline": row.deadline_at, "context": context,
            "history": history, "effects": effects, "updated": row.updated_at,
        }

    async def messages(self, c):
        model = getattr(self.tables, c["box"])
        async with self.sessions() as session:
            rows = (await session.execute(select(model).order_by(model.created_at))).scalars().all()
        return [
            {
                "id": row.id, "status": row.status.value, "attempts": row.attempts, "error": row.last_error,
                "updated": row.updated_at, "saga": row.saga_id, "event": getattr(row, "event_id", None),
            }
            for row in rows
        ]

    async def poll(self, c):
        """Begins to call run_due again and again, as workers do."""

        async def forever():
            while True:
                self.polls += await self.library.run_due(limit=c.get("limit", 20))
                await asyncio.sleep(c.get("every", 0))

        self.polling = asyncio.create_task(forever())

    async def busy(self, c):
        """Begins to start sagas one after the other, as many as `at_once` at a time, to send their messages and to poll."""

        async def starting(n):
            at = 0
            while True:
                at += 1
                plan = {"charge": "fail"} if at % 5 == 0 else {}
                await self.start({"order": f"busy-{n}-{at}", "saga": "order-rollback", "plan": plan})
                self.begun += 1

        async def sending():
            while True:
                if self.tables.outbox is not None:
                    await self.dispatch({})
                await asyncio.sleep(0.05)

        await self.poll({**c, "every": 0.05})
        self.tasks = [asyncio.create_task(starting(n)) for n in range(c.get("at_once", 4))] + [asyncio.create_task(sending())]

    async def alive(self, _):
        """How many sagas were started so far; fails when one of the loops has."""
        for task in [self.polling, *self.tasks]:
            if task.done():
                task.result()
        return self.begun

    async def rest(self, _):
        """Ends the polling and says how many sagas it picked up."""
        if self.polling.done():
            self.polling.result()
        self.polling.cancel()
        try:
            await self.polling
        except asyncio.CancelledError:
            pass
        polls, self.polls = self.polls, 0
        return polls

    async def once(self, command):
        try:
            out({"ok": await getattr(self, command["do"])(command)})
        except Exception as error:  # noqa: BLE001
            out({"error": type(error).__name__, "message": str(error)})


async def main(url, names):
    peer = Peer(url, names)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    out({"version": VERSION})
    while line := await reader.readline():
        await peer.once(json.loads(line))


asyncio.run(main(sys.argv[1], json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}))
