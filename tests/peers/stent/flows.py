"""Durable functions for the peers, over whichever of the two libraries is installed, and how to open a database with it.

Function names are stored as `flows:name`, so every script must import this file under that name.
"""

import asyncio
import importlib
import importlib.util
import os
from importlib.metadata import version

LIBRARY = "stent" if importlib.util.find_spec("stent") else "senpuki"
_library = importlib.import_module(LIBRARY)
Engine = getattr(_library, LIBRARY.capitalize())
Result = _library.Result
RetryPolicy = importlib.import_module(LIBRARY + ".core").RetryPolicy
VERSION = version(LIBRARY)

ONCE = RetryPolicy(max_attempts=1)
TWICE = RetryPolicy(max_attempts=2, initial_delay=0.01, jitter=0.0)

# Set by a test that wants a replayed letter to succeed.
HEALED = "SEN_PEER_HEALED"


def backend_for(url):
    if "://" in url:
        return Engine.backends.PostgresBackend(url)
    return Engine.backends.SQLiteBackend(url)


async def open_engine(url, codec="json"):
    backend = backend_for(url)
    await backend.init_db()
    return Engine(backend=backend, serializer=codec, poll_min_interval=0.01, poll_max_interval=0.05)


class PaymentDeclined(Exception):
    def __init__(self, message, code=0):
        super().__init__(message)
        self.code = code
        self.provider = {"name": "acme", "region": "eu"}


def healed():
    return bool(os.environ.get(HEALED))


# Activities


@Engine.durable(tags=["billing"])
async def charge(order, amount):
    return {"order": order, "amount": amount, "ok": True}


@Engine.durable(queue="mail", priority=3)
async def send_mail(to, *, subject="", body=""):
    return f"sent to {to}"


@Engine.durable()
async def square(x):
    return x * x


@Engine.durable(cached=True)
async def rate(currency):
    return {"currency": currency, "rate": 1.0825}


@Engine.durable(idempotent=True)
async def reserve(item):
    return f"reserved {item}"


@Engine.durable(retry_policy=TWICE, tags=["flaky"])
async def flaky(order):
    if not healed():
        raise ConnectionError(f"provider unreachable for {order} after 3000 ms")
    return f"charged {order}"


@Engine.durable(retry_policy=ONCE)
async def decline(order):
    if not healed():
        raise PaymentDeclined(f"card declined for {order}", code=51)
    return f"accepted {order}"


@Engine.durable(retry_policy=RetryPolicy(max_attempts=4, initial_delay=3600.0, max_delay=3600.0, jitter=0.0))
async def stubborn(order):
    raise ConnectionError(f"gateway closed for {order}")


async def stay(seconds):
    # Not asyncio.sleep: the library would turn that into a durable sleep.
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    loop.call_later(seconds, lambda: done.done() or done.set_result(None))
    await done
    return "woke"


@Engine.durable(queue="live")
async def hang(seconds):
    return await stay(seconds)


# Activities that call activities


@Engine.durable()
async def pack(order):
    await charge(order, 2)
    return await reserve(order)


@Engine.durable(idempotent=True)
async def settle(order):
    return await charge(order, 3)


# Orchestrators


@Engine.durable(tags=["orders", "eu"])
async def checkout(order, amount, *, note=None):
    if hasattr(Engine, "context"):
        context = Engine.context(counters={"items": 2, "total": 0.5}, state={"phase": "begun", "cart": {"lines": [1, 2]}})
        context.counters("total").add(amount)
        context.state("phase").set("charged")
    charged = await charge(order, amount)
    mail = await send_mail("ada@example.org", subject="Danke \u2713", body="\U0001f5dd")
    return Result.Ok({"charged": charged, "mail": mail, "note": note})


@Engine.durable()
async def squares(n):
    return await Engine.map(square, list(range(n)))


@Engine.durable()
async def rates():
    return [await rate("EUR"), await rate("EUR"), await reserve("seat"), await reserve("seat")]


@Engine.durable(retry_policy=ONCE)
async def failing(order):
    return await flaky(order)


@Engine.durable(retry_policy=ONCE)
async def declined(order):
    return await decline(order)


@Engine.durable(retry_policy=ONCE)
async def journey(order):
    await charge(order, 1)
    await reserve(order)
    await Engine.wait_for_signal("approve")
    return await flaky(order)


@Engine.durable(retry_policy=ONCE)
async def nested(order):
    await pack(order)
    await settle(order)
    return await flaky(order)


@Engine.durable(max_concurrent=1)
async def narrow(seconds):
    return await stay(seconds)


@Engine.durable()
async def patient(order):
    return await stubborn(order)


@Engine.durable()
async def parcel(order):
    await charge(order, 1)
    await reserve(order)
    return await hang(3600)


@Engine.durable(retry_policy=ONCE)
async def impatient(order):
    raise TimeoutError(f"gateway of {order}")


@Engine.durable()
async def refused(order):
    return Result.Error("out of stock: " + order)


@Engine.durable()
async def nothing():
    return None


@Engine.durable()
async def echo(*args, **kwargs):
    return {"args": list(args), "kwargs": kwargs}


@Engine.durable()
async def approval(request):
    answer = await Engine.wait_for_signal("approve")
    return {"request": request, "answer": answer}


@Engine.durable()
async def reminder():
    await Engine.sleep("1h")
    return "reminded"


@Engine.durable(retry_policy=ONCE)
async def slow():
    return await hang(3600)


@Engine.durable(retry_policy=ONCE)
async def slowly(seconds):
    return await hang(seconds)


@Engine.durable(retry_policy=ONCE)
async def ask_twice(order):
    first = await Engine.wait_for_signal("approve")
    await Engine.wait_for_signal("go")
    return [first, await Engine.wait_for_signal("approve")]


@Engine.durable(queue="live", retry_policy=RetryPolicy(max_attempts=5))
async def live(seconds):
    return await hang(seconds)


@Engine.durable(queue="main", retry_policy=ONCE)
async def forgiving(order):
    try:
        return await hang(3600)
    except Exception as error:
        return f"handled: {error}"


@Engine.durable(queue="main", retry_policy=ONCE)
async def either(order):
    try:
        return await asyncio.gather(Engine.wait_for_signal("approve"), hang(3600))
    except Exception as error:
        return f"handled: {error}"
