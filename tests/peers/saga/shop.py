"""Saga definitions whose steps do what a table says: succeed, fail, wait for an event, hang.

Every run of a step is counted in `shop_effects`, so that a test can tell what really ran and how often. How a step behaves is
looked up in `shop_control` under (order, step) and, when nothing stands there, in the plan the saga was started with.
"""

import asyncio
import json
import sys
import time
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from sqlalchemy import text

from saga_orchestrator import BaseStep, FixedRetry, NoRetry, SagaBuilder
from tables import HAS_EVENTS

HOUR = timedelta(hours=1)


class Shop:
    """What the steps share: the database in which they leave their marks."""

    sessions = None
    hanging: asyncio.Event | None = None
    say = None


CONTROL = """
CREATE TABLE IF NOT EXISTS shop_control (order_id text, step text, mode text, PRIMARY KEY (order_id, step));
CREATE TABLE IF NOT EXISTS shop_effects (order_id text, step text, what text);
"""


async def mode(order: str, step: str, plan: dict) -> str:
    async with Shop.sessions() as session:
        found = await session.execute(
            text("SELECT mode FROM shop_control WHERE order_id = :order AND step = :step"), {"order": order, "step": step}
        )
        return found.scalar() or plan.get(step, "ok")


async def mark(order: str, step: str, what: str) -> None:
    async with Shop.sessions() as session, session.begin():
        await session.execute(
            text("INSERT INTO shop_effects VALUES (:order, :step, :what)"), {"order": order, "step": step, "what": what}
        )


async def hang(order: str, step: str) -> None:
    Shop.say({"hangs": [order, step]})
    await asyncio.sleep(3600)


class Order(BaseModel):
    order: str
    plan: dict[str, Any]


class Reserved(BaseModel):
    reservation: str
    items: int


class Charged(BaseModel):
    charge: str
    amount: float


class Shipped(BaseModel):
    parcel: str


async def run(step: str, inp: Order, event: Any) -> Any:
    """What any step does before it succeeds; a wait where it is to wait."""
    how = await mode(inp.order, step, inp.plan)
    await mark(inp.order, step, "execute")
    if how == "fail":
        raise RuntimeError(f"{step} refused for {inp.order}")
    if how == "hang":
        await hang(inp.order, step)
    if how.startswith(("await", "bare")) and event is None:
        from saga_orchestrator import StepAwaitEvent

        until = timedelta(seconds=float(how.split(":")[1])) if ":" in how else None
        if how.startswith("bare"):
            return StepAwaitEvent(until=until)
        return StepAwaitEvent(event_types=(f"{step}.confirmed",), correlation_id=inp.order, until=until)
    return None


async def undo(step: str, inp: Order, event: Any = None) -> Any:
    how = await mode(inp.order, f"undo-{step}", inp.plan)
    await mark(inp.order, step, "compensate")
    if how == "fail":
        raise RuntimeError(f"{step} cannot be undone for {inp.order}")
    if how == "hang":
        await hang(inp.order, f"undo-{step}")
    if how == "await" and event is None:
        from saga_orchestrator import StepAwaitEvent

        return StepAwaitEvent(event_types=(f"{step}.undone",), correlation_id=inp.order)
    return None


class Reserve(BaseStep[Order, Reserved]):
    async def execute(self, inp: Order, event_type: str | None = None, event_payload: Any | None = None) -> Reserved:
        return (await run("reserve", inp, event_payload)) or Reserved(reservation=f"r-{inp.order}", items=2)

    async def compensate(self, inp: Order, out: Reserved, event_type=None, event_payload=None):
        return await undo("reserve", inp, event_payload)


if HAS_EVENTS:
    from saga_orchestrator import StepAwaitEvent

    class Charge(BaseStep[Order, Charged]):
        async def execute(
            self, inp: Order, event_type: str | None = None, event_payload: Any | None = None
        ) -> Charged | StepAwaitEvent:
            waits = await run("charge", inp, event_payload)
            return waits or Charged(charge=f"c-{inp.order}", amount=12.5)

        async def compensate(self, inp: Order, out: Charged, event_type=None, event_payload=None):
            return await undo("charge", inp, event_payload)

else:

    class Charge(BaseStep[Order, Charged]):
        async def execute(self, inp: Order) -> Charged:
            await run("charge", inp, None)
            return Charged(charge=f"c-{inp.order}", amount=12.5)

        async def compensate(self, inp: Order, out: Charged) -> None:
            await undo("charge", inp)


class Ship(BaseStep[Order, Shipped]):
    async def execute(self, inp: Order, event_type: str | None = None, event_payload: Any | None = None) -> Shipped:
        await run("ship", inp, event_payload)
        return Shipped(parcel=f"p-{inp.order}")

    async def compensate(self, inp: Order, out: Shipped, event_type=None, event_payload=None):
        return await undo("ship", inp, event_payload)


def order_input(context) -> Order:
    return Order(order=context.initial_data["order"], plan=context.initial_data.get("plan", {}))


def charge_input(context) -> Order:
    """The input of the charge; `map` of the plan has it fail, or block the event loop, under the lock on the saga's row."""
    order = order_input(context)
    how = order.plan.get("map", "ok")
    if how == "fail":
        raise RuntimeError(f"no input for {order.order}")
    if how.startswith("block:"):
        Shop.say({"hangs": [order.order, "map"]})
        time.sleep(float(how.split(":")[1]))
    return order


def definition(*, retry=None, compensate: bool, outbox: bool):
    """reserve, charge, ship; the charge (and its roll-back) is tried again after an hour where `retry` says so."""
    builder = SagaBuilder(compensate_on_failure=compensate)
    mapped = {}
    if outbox:
        from saga_orchestrator.outbox.event import OutboxEvent

        mapped = {
            "outbox_map": lambda inp, out: [
                OutboxEvent(topic="orders.charged", payload={"order": inp.order, "charge": out.charge}, key=inp.order)
            ]
        }
    builder.add_step(step=Reserve(), input_map=order_input, step_id="reserve", retry_policy=retry or NoRetry())
    builder.add_step(step=Charge(), input_map=charge_input, step_id="charge", retry_policy=retry or NoRetry(), **mapped)
    builder.add_step(step=Ship(), input_map=order_input, step_id="ship", retry_policy=retry or NoRetry())
    return builder.build()


def register(engine, *, outbox: bool) -> None:
    patient = FixedRetry(max_attempts=5, delay=HOUR)
    engine.register("order", definition(retry=patient, compensate=True, outbox=outbox))
    engine.register("order-once", definition(compensate=False, outbox=outbox))
    engine.register("order-rollback", definition(compensate=True, outbox=outbox))


def out(document) -> None:
    sys.stdout.write(json.dumps(document, default=str) + "\n")
    sys.stdout.flush()


Shop.say = out
