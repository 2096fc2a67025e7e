"""Mixed traffic for a long time on one core, with faults now and then; at the end the books have to balance.

Each attempt that a sender makes is one count, under the outcome that its answer tells; the same outcomes, exactly,
have to be in hookward's metrics. Memory and descriptors have to be flat.
usage: soak.py --binary FILE --work FOLDER --minutes N [--seed N]. Must never count an attempt twice, nor leave one out.
"""

import argparse
import asyncio
import collections
import contextlib
import json
import os
import pathlib
import random
import signal
import statistics
import sys
import time

import app as apps
import relay
import sender
from case import fault
from hookward import LEASE, MIB, SHORT, Gate

SENDERS = 24
# How long a delivery that succeeded is sent again now and then, and then forgotten here.
REMEMBERED = 12
SETTLED = 20
BETWEEN_FAULTS = 15
SAMPLES_EVERY = 2
TOLERANCE = 30
GROWTH = 2 * MIB
# Before that what is remembered still grows, and not every fault has been there twice.
FLAT_AFTER = 4
# What becomes of a delivery whose sender does not wait for the answer.
MISSED = {"client_left", "upstream_invalid", "upstream_timeout", "upstream_unreachable"}
LIMITS = 'body_timeout = "3s"\nhead_timeout = "3s"\nbuffered_bytes = "8MiB"'
REPLAY = 'ttl = "70s"'
ROUTE = f'tolerance = "{TOLERANCE}s"\nevents = ["user.*"]\nretry = {{ within = "1500ms" }}'
PAGE = f"GET /page HTTP/1.1\r\nhost: {sender.HOST}\r\nconnection: close\r\n\r\n".encode()


class Soak:
    """The traffic, and what is known of it."""

    def __init__(self, app, proxy, gate, chance):
        self.app, self.proxy, self.gate, self.chance = app, proxy, gate, chance
        self.counts = collections.Counter()
        # What the sender saw of attempts whose outcome it cannot tell.
        self.unclear = collections.Counter()
        self.seen = set()
        self.succeeded = collections.deque()
        self.never = collections.deque()
        self.wrong = []
        self.stopping = False
        self.faults = collections.Counter()

    async def attempt(self, delivery, request=None, expected=None, **more):
        """One, counted. `expected` is the outcome of one whose sender sees no answer, or not all of it."""
        began = time.monotonic()
        answer = await sender.ask(self.gate.port, request or delivery.request(), **more)
        outcome = expected if expected and not answer.whole else self.outcome(answer, began)
        if outcome is None:
            self.unclear[answer.label] += 1
        else:
            self.counts[outcome] += 1
        return answer

    def outcome(self, answer, began):
        """As hookward calls it; none where the answer does not tell."""
        if not answer.whole:
            return None
        if answer.code:
            return answer.code
        if answer.status == 204:
            return "filtered"
        if b'"run"' not in answer.body:
            return "passed" if answer.status == 200 else None
        number = json.loads(answer.body)["run"]
        # The answer to another one's run: of the same id, sent at the same time or before.
        is_copy = number in self.seen or self.app.began_at[number] < began
        self.seen.add(number)
        return "duplicate" if is_copy else "forwarded"

    async def until_success(self, delivery, **more):
        """As Svix does it."""
        for number in range(20):
            answer = await self.attempt(delivery, **(more if number == 0 else {}))
            if answer.is_success:
                self.ran(delivery)
                return
            await asyncio.sleep(0.4)
        self.wrong.append(f"{delivery.id} never succeeded")

    def ran(self, delivery):
        """Its sender was told so."""
        self.succeeded.append((time.monotonic(), delivery))

    # Each kind of traffic, by how much there is of it.

    async def genuine(self):
        await self.until_success(sender.Delivery())

    async def large(self):
        await self.until_success(sender.Delivery(self.chance.randrange(10_000, 300_000)))

    async def slow(self):
        await self.until_success(sender.Delivery(2000), pieces=6, between=0.15)

    async def kept(self):
        """Several on one connection, in turn."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.gate.port)
        again = []
        for _ in range(6):
            delivery = sender.Delivery()
            began = time.monotonic()
            writer.write(delivery.request().replace(b"connection: close\r\n", b""))
            answer = sender.Answer(None)
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                head = await reader.readuntil(b"\r\n\r\n")
                answer = sender.parse(head + await reader.readexactly(relay.length(head)))
            outcome = self.outcome(answer, began)
            (self.counts if outcome else self.unclear)[outcome or answer.label] += 1
            if answer.is_success:
                self.ran(delivery)
                continue
            again.append(delivery)
            if not answer.whole or b"connection: close" in answer.head.lower():
                break
        writer.transport.abort()
        for delivery in again:
            await self.until_success(delivery)

    async def forged(self):
        delivery = sender.Delivery()
        self.never.append(delivery.id)
        await self.attempt(delivery, delivery.request(key=b"another key"))

    async def stale(self):
        delivery = sender.Delivery()
        self.never.append(delivery.id)
        await self.attempt(delivery, delivery.request(age=TOLERANCE * 2))

    async def early(self):
        delivery = sender.Delivery()
        self.never.append(delivery.id)
        await self.attempt(delivery, delivery.request(age=-TOLERANCE * 2))

    async def without_headers(self):
        delivery = sender.Delivery()
        self.never.append(delivery.id)
        await self.attempt(delivery, delivery.request().replace(b"svix-signature", b"not-signature"))

    async def unwanted(self):
        delivery = sender.Delivery()
        delivery.body = delivery.body.replace(b"user.created", b"session.created")
        self.never.append(delivery.id)
        await self.attempt(delivery)

    async def wrong_method(self):
        await self.attempt(None, PAGE.replace(b"/page", sender.PATH.encode()))

    async def wrong_target(self):
        await self.attempt(None, PAGE.replace(b"/page", b"/x/.." + sender.PATH.encode()))

    async def duplicate(self):
        recent = [delivery for at, delivery in self.succeeded if time.monotonic() - at < REMEMBERED]
        if recent:
            await self.attempt(self.chance.choice(recent))

    async def together(self):
        delivery = sender.Delivery()
        self.app.work[delivery.id] = [0.1]
        await asyncio.gather(*(self.until_success(delivery) for _ in range(3)))

    async def page(self):
        await self.attempt(None, PAGE)

    async def upload(self):
        size = self.chance.randrange(1, 400_000)
        head = f"POST /upload HTTP/1.1\r\nhost: {sender.HOST}\r\nconnection: close\r\ncontent-length: {size}\r\n\r\n"
        await self.attempt(None, head.encode() + bytes(size))

    async def failing(self):
        delivery = sender.Delivery()
        self.app.statuses[delivery.id] = [500]
        await self.until_success(delivery)

    async def broken(self):
        delivery = sender.Delivery()
        place = self.chance.choice(
            [
                ("request", "head"),
                ("answer", "nothing"),
                ("answer", "middle of the head"),
                ("answer", "middle of the body"),
            ]
        )
        self.proxy.faults[delivery.id] = [fault(*place, self.chance.choice(["reset", "fin"]))]
        # Cut off, but forwarded: its head was the app's yes.
        cut = place == ("answer", "middle of the body")
        await self.until_success(delivery, expected="forwarded" if cut else None)

    async def stalled(self):
        delivery = sender.Delivery()
        self.proxy.faults[delivery.id] = [fault("answer", "nothing", "stall", self.chance.choice([None, 2.5]))]
        await self.until_success(delivery)

    async def left_in_body(self):
        delivery = sender.Delivery(5000)
        self.never.append(delivery.id)
        half = delivery.request()[:3000]
        leave = self.chance.choice([relay.reset, None])
        await self.attempt(delivery, half, "body_incomplete", patience=0.3, leave=leave)

    async def left_in_app(self):
        delivery = sender.Delivery()
        self.app.work[delivery.id] = [0.6]
        # Left, unless a fault has ended it before.
        await self.attempt(delivery, patience=0.3, leave=relay.reset)
        await asyncio.sleep(1)
        await self.until_success(delivery)

    async def silent_in_body(self):
        delivery = sender.Delivery(5000)
        self.never.append(delivery.id)
        await self.attempt(delivery, delivery.request()[:3000])

    async def send(self):
        """One sender, until the end."""
        kinds = {
            self.genuine: 30,
            self.large: 4,
            self.slow: 2,
            self.kept: 4,
            self.forged: 14,
            self.stale: 4,
            self.early: 1,
            self.without_headers: 2,
            self.unwanted: 3,
            self.wrong_method: 1,
            self.wrong_target: 1,
            self.duplicate: 8,
            self.together: 1,
            self.page: 8,
            self.upload: 3,
            self.failing: 2,
            self.broken: 1,
            self.stalled: 0.2,
            self.left_in_body: 1,
            self.left_in_app: 0.5,
            self.silent_in_body: 0.2,
        }
        while not self.stopping:
            await self.chance.choices(list(kinds), list(kinds.values()))[0]()

    async def disturb(self):
        """Something goes wrong every now and then."""
        kinds = []
        while True:
            await asyncio.sleep(BETWEEN_FAULTS)
            # Each in turn, in an order of its own each time.
            kinds = kinds or self.chance.sample(["reset", "refuse", "stop", "descriptors", "late"], 5)
            kind = kinds.pop()
            self.faults[kind] += 1
            if kind == "reset":
                self.proxy.reset_all()
            elif kind == "refuse":
                await self.proxy.refuse()
                await asyncio.sleep(1)
                await self.proxy.start()
            elif kind == "stop":
                self.gate.signal(signal.SIGSTOP)
                await asyncio.sleep(1.5)
                self.gate.signal(signal.SIGCONT)
            elif kind == "descriptors":
                self.gate.limit_descriptors(8)
                await asyncio.sleep(1)
                self.gate.limit_descriptors(None)
            else:
                self.proxy.latency = 0.2
                await asyncio.sleep(2)
                self.proxy.latency = 0.0

    async def judge(self):
        """Looks at deliveries whose story is over, and forgets them."""
        while True:
            await asyncio.sleep(1)
            self.look(time.monotonic() - SETTLED)

    def look(self, until):
        """At those that succeeded before."""
        while self.succeeded and self.succeeded[0][0] < until:
            at, delivery = self.succeeded.popleft()
            runs = self.app.runs.pop(delivery.id, None)
            if runs is None:
                # Told more than once that it succeeded, and looked at already.
                continue
            if not runs:
                self.wrong.append(f"{delivery.id}: told that it succeeded, and did not run")
            for before, after in zip(runs, runs[1:], strict=False):
                if before.status == 500:
                    continue
                if after.began - before.began < LEASE:
                    self.wrong.append(f"{delivery.id}: ran again after {after.began - before.began:.2f} s")
            if runs and runs[-1].began > at:
                self.wrong.append(f"{delivery.id}: ran though its sender knew that it had")
            self.app.work.pop(delivery.id, None)
            self.app.statuses.pop(delivery.id, None)
            self.proxy.faults.pop(delivery.id, None)
        while len(self.never) > 2000 or (self.never and until > time.monotonic()):
            identifier = self.never.popleft()
            if self.app.runs.get(identifier):
                self.wrong.append(f"{identifier} ran, and should not have")


async def sample(gate, samples):
    """Memory and descriptors, from time to time."""
    while True:
        samples.append((gate.memory(), gate.descriptors()))
        await asyncio.sleep(SAMPLES_EVERY)


def flat(samples):
    """Medians after the first minutes, and at the end."""
    middle = samples[len(samples) * 2 // 5 : len(samples) * 3 // 5]
    last = samples[len(samples) * 4 // 5 :]
    return [tuple(statistics.median(each) for each in zip(*part, strict=True)) for part in (middle, last)]


async def main():
    """Runs it, and says what came of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=None)
    asked = parser.parse_args()
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(1_000_000)
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, set(cores[1:]))
    app = await apps.App().start()
    proxy = await relay.Exchanges(app.port).start()
    gate = Gate(asked.binary, asked.work, proxy.port, limits=LIMITS, replay=REPLAY, route=ROUTE, **SHORT)
    await gate.start(cores={cores[0]})
    soak = Soak(app, proxy, gate, random.Random(seed))
    print(f"{asked.minutes:g} minutes, seed {seed}", flush=True)
    samples = []
    try:
        beside = [asyncio.create_task(each) for each in (soak.disturb(), soak.judge(), sample(gate, samples))]
        senders = [asyncio.create_task(soak.send()) for _ in range(SENDERS)]
        end = time.monotonic() + asked.minutes * 60
        while time.monotonic() < end:
            await asyncio.sleep(min(60, max(0.1, end - time.monotonic())))
            memory, descriptors = samples[-1]
            print(f"{sum(soak.counts.values())} attempts, {memory // 1024} KiB, {descriptors} open", flush=True)
            if dead := [each for each in [*senders, *beside] if each.done()]:
                await dead[0]
        soak.stopping = True
        beside[0].cancel()
        beside[2].cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beside[0]
        gate.signal(signal.SIGCONT)
        gate.limit_descriptors(None)
        proxy.latency = 0.0
        if not proxy.server.is_serving():
            await proxy.start()
        await asyncio.gather(*senders)
        # What it remembers is memory that it should have.
        gate.memory_at_rest = max(memory for memory, _ in samples)
        await gate.came_to_rest()
        beside[1].cancel()
        soak.look(time.monotonic() + 1)
        return report(soak, samples, await gate.outcomes())
    finally:
        await gate.stop()


def report(soak, samples, outcomes):
    """The books. 0 if they balance."""
    problems = list(soak.wrong[:20])
    if soak.app.forged:
        problems.append(f"the app ran what was not signed: {soak.app.forged[:5]}")
    told = {outcome: count for outcome, count in soak.counts.items() if count}
    print(f"{'outcome':24} {'senders':>9} {'hookward':>9}")
    for outcome in sorted({*told, *outcomes}):
        print(f"{outcome:24} {told.get(outcome, 0):9} {outcomes.get(outcome, 0):9}")
        if told.get(outcome, 0) > outcomes.get(outcome, 0):
            problems.append(f"{outcome}: senders saw more than hookward counted")
    unclear = sum(soak.unclear.values())
    print(f"{'no whole answer':24} {unclear:9} {dict(+soak.unclear)}")
    print(f"{'sum':24} {sum(told.values()) + unclear:9} {sum(outcomes.values()):9}")
    print(f"faults: {dict(soak.faults)}")
    if sum(told.values()) + unclear != sum(outcomes.values()):
        problems.append("the sums differ")
    # What no sender could tell is what these are.
    silent = {outcome: outcomes[outcome] - told.get(outcome, 0) for outcome in outcomes}
    silent = {outcome: count for outcome, count in silent.items() if count}
    print(f"of those without a whole answer, as hookward counts them: {silent}")
    problems += [f"{outcome}: no sender could have missed it" for outcome in silent if outcome not in MISSED]
    (memory, descriptors), (last_memory, last_descriptors) = flat(samples)
    print(f"memory {memory / MIB:.1f} MiB, at the end {last_memory / MIB:.1f} MiB")
    print(f"descriptors {descriptors:g}, at the end {last_descriptors:g}")
    if len(samples) * SAMPLES_EVERY < FLAT_AFTER * 60:
        print(f"SKIP memory: too short to tell, {FLAT_AFTER} minutes or more are needed")
    elif last_memory > memory + GROWTH:
        problems.append("memory grows")
    if last_descriptors > descriptors + SENDERS:
        problems.append("descriptors grow")
    for problem in problems:
        print(f"FAIL: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
