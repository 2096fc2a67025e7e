"""A case: one fault, what its sender and the app are to see, and a function that holds it.

The table of README.md is made of these. Must never let a case pass that left something behind.
"""

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass

import app as apps
import relay
import sender
from hookward import LEASE, SHORT, Gate

CASES = []
# Deliveries of each case, at once.
SEVERAL = 8
IN_FLIGHT = "409 replay_in_flight"


class Skip(Exception):
    """The machine refuses what the case needs."""


@dataclass(frozen=True)
class Case:
    """A row."""

    name: str
    fault: str
    sender: str
    app: str
    after: str
    hold: object
    # Cases that load the machine, or stop it, run by themselves.
    alone: bool = False


def case(fault, sender, app, after="all back", alone=False):
    """Makes a row of the function below it."""

    def enter(function):
        CASES.append(Case(function.__name__, fault, sender, app, after, function, alone))
        return function

    return enter


class Bench:
    """What one case starts, and what is ended with it."""

    def __init__(self, binary, work):
        self.binary, self.work = binary, work
        self.stack = contextlib.AsyncExitStack()

    async def app(self):
        """An app of its own."""
        app = await apps.App().start()
        self.stack.push_async_callback(app.stop)
        return app

    async def proxy(self, kind, target):
        """A proxy in front of a port."""
        proxy = await kind(target).start()
        self.stack.push_async_callback(proxy.stop)
        return proxy

    async def gate(self, upstream, **more):
        """hookward in front of a port."""
        gate = Gate(self.binary, self.work, upstream, **more)
        self.stack.push_async_callback(gate.stop)
        return await gate.start()

    async def all(self, **more):
        """The usual: an app, a proxy that knows exchanges, and a gate that has served a few deliveries."""
        app = await self.app()
        proxy = await self.proxy(relay.Exchanges, app.port)
        gate = await self.gate(proxy.port, **more)
        await self.warm(gate, app)
        return app, proxy, gate

    async def warm(self, gate, app, several=SEVERAL):
        """A few deliveries, all of which succeed at once; as many as are to be sent together later."""
        sent = [sender.Delivery() for _ in range(several)]
        for answers in await send_all(gate.port, sent):
            assert labels(answers) == ["200"], labels(answers)
        ran_once(app, sent)
        gate.warmed = len(sent)
        gate.memory_at_rest = gate.memory()


def labels(answers):
    """Short words for answers."""
    return [answer.label for answer in answers]


async def send_all(port, deliveries, **more):
    """Each until it succeeds, all at once."""
    return await asyncio.gather(*(sender.deliver(port, delivery, **more) for delivery in deliveries))


def ran_once(app, deliveries):
    """Each ran, and not again."""
    ran(app, deliveries, 1)


def ran(app, deliveries, times, apart=None):
    """Each ran so many times: one after another, and `apart` seconds or more from one beginning to the next."""
    counts = Counter(len(app.runs[delivery.id]) for delivery in deliveries)
    assert counts == {times: len(deliveries)}, f"runs: deliveries that have so many: {dict(counts)}, not {times}"
    for delivery in deliveries:
        runs = app.runs[delivery.id]
        for before, after in zip(runs, runs[1:], strict=False):
            assert before.ended is not None and before.ended <= after.began, "two runs at once"
            if apart:
                assert after.began - before.began >= apart, f"only {after.began - before.began:.3f} s apart"
    assert app.forged == [], app.forged


def went(answers, first, last="200"):
    """First this, then nothing but 409, then this; either may be one of several."""
    seen = labels(answers)
    first, last = ((each,) if isinstance(each, str) else each for each in (first, last))
    assert seen[0] in first and seen[-1] in last, seen
    assert set(seen[1:-1]) <= {IN_FLIGHT}, seen


async def staged(bench, fault, first, last="200", times=1, apart=None, size=0, patience=sender.PATIENCE):
    """Several deliveries with the same fault at their first attempt."""
    app, proxy, gate = await bench.all(**(SHORT if fault.act == "stall" else {}))
    app.padding = 2000
    sent = [sender.Delivery(size) for _ in range(SEVERAL)]
    for delivery in sent:
        proxy.faults[delivery.id] = [fault]
    for answers in await send_all(gate.port, sent, patience=patience):
        went(answers, first, last)
    ran(app, sent, times, apart)
    # What is told now is a duplicate, and runs no more.
    for answers in await send_all(gate.port, sent):
        assert labels(answers) == ["200 duplicate"], labels(answers)
    ran(app, sent, times, apart)
    # Only what was sent and not answered at all is unknown.
    assert await gate.gauge("hookward_replay_unknown_total") == (len(sent) if last == "200" else 0)
    await gate.came_to_rest(entries=gate.warmed + len(sent))


def fault(side, at, act, seconds=None):
    """`at` by name, or a number of bytes."""
    places = {
        "nothing": lambda head, total: 0,
        "middle of the head": lambda head, total: head // 2,
        "head": lambda head, total: head,
        "middle of the body": lambda head, total: (head + total) // 2,
    }
    return relay.Fault(side, places.get(at) or (lambda head, total: at), act, seconds)


UNKNOWN = LEASE
