"""Faults between hookward and Redis, and of Redis. Must never use a Redis that the run did not start itself."""

import asyncio
import contextlib
import shutil
import signal
import socket
import subprocess
import time

import relay
import sender
from case import IN_FLIGHT, SEVERAL, Skip, case, labels, ran, ran_once, send_all
from hookward import LEASE, die_with_us, free_port

DOWN = "503 replay_store_down"
MANY = 40


class Redis:
    """A server of this run's own, without anything on a disk."""

    def __init__(self):
        self.port = free_port()
        self.process = None

    async def start(self):
        """Until it answers."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", preexec_fn=die_with_us
        )
        for _ in range(400):
            with contextlib.suppress(OSError):
                if self.ask("PING") == "PONG":
                    return self
            await asyncio.sleep(0.02)
        raise RuntimeError("redis-server did not start")

    def stop(self):
        """Kills it."""
        self.process.kill()
        self.process.wait()

    def ask(self, *words):
        """One command; its answer as text, number or list."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            out = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
            connection.sendall(out.encode())
            return _read(connection.makefile("rb"))

    def states(self):
        """How many deliveries are remembered in each state: c, ran, or r, running."""
        found = {}
        for key in self.ask("KEYS", "*"):
            state = self.ask("GET", key)[:1]
            found[state] = found.get(state, 0) + 1
        return found


def _read(file):
    line = file.readline().strip().decode()
    kind, rest = line[:1], line[1:]
    if kind == "*":
        return [_read(file) for _ in range(int(rest))]
    if kind == "$":
        return "" if rest == "-1" else file.read(int(rest) + 2)[:-2].decode()
    return int(rest) if kind == ":" else rest


async def stored(bench, gates=1):
    """An app, a Redis, and gates with a proxy each on the way there."""
    if not shutil.which("redis-server"):
        raise Skip("redis-server is not installed")
    app = await bench.app()
    redis = await Redis().start()
    bench.stack.callback(redis.stop)
    found = []
    for _ in range(gates):
        proxy = await bench.proxy(relay.Bytes, redis.port)
        gate = await bench.gate(app.port, replay=f'store = "redis://127.0.0.1:{proxy.port}/0"')
        await bench.warm(gate, app)
        # With its connection to the store.
        gate.descriptors_at_rest += 1
        found += [proxy, gate]
    return app, redis, *found


async def rests(gate, redis, committed):
    """Nothing is held, and the store knows just what ran."""
    await gate.came_to_rest(entries=0)
    for _ in range(100):
        if redis.states() == {"c": committed}:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"in the store: {redis.states()}, not {committed} that ran")


async def refused_then_runs(bench, begin, end, patience=1.2):
    """Deliveries are refused while something is wrong with the store, and run when it is over."""
    app, redis, proxy, gate = await stored(bench)
    sent = [sender.Delivery() for _ in range(SEVERAL)]
    begin(proxy)
    answers = await asyncio.gather(*(sender.ask(gate.port, delivery.request()) for delivery in sent))
    assert {answer.label for answer in answers} == {DOWN}, labels(answers)
    assert b"retry-after:" in answers[0].head.lower()
    assert app.runs.keys().isdisjoint(delivery.id for delivery in sent)
    end(proxy)
    for answers in await send_all(gate.port, sent):
        assert labels(answers)[-1] == "200" and set(labels(answers)[:-1]) <= {DOWN, IN_FLIGHT}, labels(answers)
    ran_once(app, sent)
    await rests(gate, redis, gate.warmed + len(sent))


@case("100 ms each way", "200", "1 run")
async def store_latency(bench):
    app, redis, proxy, gate = await stored(bench)
    proxy.latency = 0.1
    sent = [sender.Delivery() for _ in range(SEVERAL)]
    for answers in await send_all(gate.port, sent):
        assert labels(answers) == ["200"], labels(answers)
    ran_once(app, sent)
    proxy.latency = 0.0
    await rests(gate, redis, gate.warmed + len(sent))


@case("700 ms each way: later than a call may take", "503, and 200 when it is over", "1 run")
async def store_too_late(bench):
    def set_latency(seconds):
        return lambda proxy: setattr(proxy, "latency", seconds)

    await refused_then_runs(bench, set_latency(0.7), set_latency(0.0))


@case("stall", "503, and 200 when it is over", "1 run")
async def store_stall(bench):
    await refused_then_runs(bench, lambda proxy: proxy.flowing.clear(), lambda proxy: proxy.flowing.set())


@case("connections reset as soon as they are made", "503, and 200 when it is over", "1 run")
async def store_reset_on_connect(bench):
    def begin(proxy):
        proxy.reset_on_connect = True
        proxy.reset_all()

    await refused_then_runs(bench, begin, lambda proxy: setattr(proxy, "reset_on_connect", False))


async def cut_everywhere(bench, side, half):
    """Connections to the store that end after every few bytes, one after another, with two gates at work."""
    app, redis, proxy, gate, other_proxy, other = await stored(bench, gates=2)
    # Through what a connection begins with, and into the claims, answers and commits after it.
    for each in (proxy, other_proxy):
        each.half = half
        each.cuts = [(side, at) for at in range(1, 1600 if side == "request" else 400, 97 if side == "request" else 23)]
        each.reset_all()
    sent = [sender.Delivery() for _ in range(MANY)]

    async def one(index, delivery):
        await asyncio.sleep(index * 0.05)
        return await sender.deliver([gate.port, other.port], delivery, attempts=60, pause=0.2)

    for answers in await asyncio.gather(*(one(index, delivery) for index, delivery in enumerate(sent))):
        assert answers[-1].is_success, labels(answers)
        assert set(labels(answers)) <= {DOWN, IN_FLIGHT, "200", "200 duplicate"}, labels(answers)
    ran_once(app, sent)
    assert any(len(each.cuts) < 10 for each in (proxy, other_proxy)), "hardly a connection was cut"
    proxy.cuts, other_proxy.cuts = [], []
    # What both are still to write is written before anything is sent again.
    await rests(gate, redis, gate.warmed + other.warmed + len(sent))
    for answers in await send_all([other.port, gate.port], sent):
        assert labels(answers)[-1] == "200 duplicate" and set(labels(answers)[:-1]) <= {DOWN}, labels(answers)
    ran_once(app, sent)
    await other.came_to_rest(entries=0)


@case("reset after N bytes to the store, again and again, two gates", "200, some 503 and 409 before", "1 run")
async def store_request_cut(bench):
    await cut_everywhere(bench, "request", half=False)


@case("reset after N bytes from the store, again and again, two gates", "200, some 503 and 409 before", "1 run")
async def store_answer_cut(bench):
    await cut_everywhere(bench, "answer", half=False)


@case("FIN after N bytes from the store, the other half open, two gates", "200, some 503 and 409 before", "1 run")
async def store_half_open(bench):
    await cut_everywhere(bench, "answer", half=True)


async def lost_while_at_work(bench, begin, end):
    """The store is away for longer than a lease, and comes back, while deliveries come and go all the time."""
    app, redis, proxy, gate = await stored(bench)
    sent = [sender.Delivery() for _ in range(MANY)]
    for index, delivery in enumerate(sent):
        app.work[delivery.id] = [0.1 * (index % 8)]

    async def one(index, delivery):
        await asyncio.sleep(index * 0.1)
        return await sender.deliver(gate.port, delivery, attempts=60, pause=0.3)

    sending = asyncio.gather(*(one(index, delivery) for index, delivery in enumerate(sent)))
    await asyncio.sleep(1.2)
    begin(redis)
    await asyncio.sleep(LEASE + 1)
    await end(redis)
    seen = set()
    for answers in await sending:
        assert answers[-1].is_success, labels(answers)
        seen |= set(labels(answers))
    assert DOWN in seen and seen <= {DOWN, IN_FLIGHT, "200", "200 duplicate"}, seen
    ran_once(app, sent)
    await gate.came_to_rest(entries=0)
    return app, redis, gate, sent


@case("killed for 3 s, and restarted empty", "200, some 503 before", "1 run; again, if one from before is sent again")
async def store_killed(bench):
    def end(redis):
        return redis.start()

    app, redis, gate, sent = await lost_while_at_work(bench, lambda redis: redis.stop(), end)
    # What it forgot, it forgot: whoever sends that again is no duplicate. What ran since is one.
    assert set(redis.states()) == {"c"}, redis.states()
    again = await send_all(gate.port, [sent[0], sent[-1]])
    assert [labels(answers) for answers in again] == [["200"], ["200 duplicate"]]
    ran(app, sent[:1], 2)
    ran(app, sent[-1:], 1)


@case("paused for 3 s (SIGSTOP)", "200, some 503 before", "1 run")
async def store_paused(bench):
    async def end(redis):
        redis.process.send_signal(signal.SIGCONT)

    app, redis, gate, sent = await lost_while_at_work(
        bench, lambda redis: redis.process.send_signal(signal.SIGSTOP), end
    )
    await rests(gate, redis, gate.warmed + len(sent))
    for answers in await send_all(gate.port, sent):
        assert labels(answers) == ["200 duplicate"], labels(answers)
    ran_once(app, sent)


@case(
    "gone between the app's answer and the commit, for 3 s", "200 at once; whoever sends again meanwhile: 200", "1 run"
)
async def commit_lost(bench):
    app, redis, proxy, gate = await stored(bench)
    sent = [sender.Delivery() for _ in range(SEVERAL)]
    for delivery in sent:
        app.work[delivery.id] = [0.5]
    sending = asyncio.create_task(send_all(gate.port, sent))
    for delivery in sent:
        await app.began(delivery.id)
    await proxy.refuse()
    for answers in await sending:
        assert labels(answers) == ["200"], labels(answers)
    began = time.monotonic()
    for answers in await send_all(gate.port, sent):
        assert set(labels(answers)) <= {IN_FLIGHT, "200 duplicate"}, labels(answers)
    assert await gate.gauge("hookward_requests_in_flight") == len(sent), "what is still to be written"
    await asyncio.sleep(max(0, LEASE + 1 - (time.monotonic() - began)))
    await proxy.start()
    await rests(gate, redis, gate.warmed + len(sent))
    ran_once(app, sent)


@case(
    "hookward stopped (SIGSTOP) for longer than a lease with a claim and nothing sent yet; another replica takes it",
    "200 of the other; 503 of the one that was stopped",
    "1 run",
)
async def stopped_before_it_sent(bench):
    app, redis, _, gate = await stored(bench)
    # The other one reaches the app by a way that is closed for now.
    proxy = await bench.proxy(relay.Exchanges, app.port)
    held = await bench.gate(proxy.port, replay=f'store = "redis://127.0.0.1:{redis.port}/0"')
    await proxy.refuse()
    sent = [sender.Delivery() for _ in range(SEVERAL)]
    first = asyncio.gather(*(sender.ask(held.port, delivery.request()) for delivery in sent))
    await asyncio.sleep(0.5)
    assert redis.states().get("r") == len(sent), redis.states()
    held.signal(signal.SIGSTOP)
    for answers in await send_all(gate.port, sent):
        assert labels(answers)[-1] == "200" and set(labels(answers)[:-1]) <= {IN_FLIGHT}, labels(answers)
    await proxy.start()
    held.signal(signal.SIGCONT)
    answers = await first
    assert set(labels(answers)) <= {DOWN, "504 upstream_timeout"}, labels(answers)
    ran_once(app, sent)
    await rests(gate, redis, gate.warmed + len(sent))


@case(
    "the same while it waits for the app to take its connect",
    "200 of the other; 503 or 504 of the one that was stopped",
    "1 run",
)
async def stopped_in_connect(bench):
    app, redis, _, gate = await stored(bench)
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    port = full.getsockname()[1]
    fillers = []
    for _ in range(8):
        filler = socket.socket()
        filler.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            filler.connect(("127.0.0.1", port))
        fillers.append(filler)
    held = await bench.gate(
        port,
        replay=f'store = "redis://127.0.0.1:{redis.port}/0"',
        connect_timeout="30s",
        deadline="40s",
        upstream_max="40s",
    )
    delivery = sender.Delivery()
    first = asyncio.create_task(sender.ask(held.port, delivery.request(), patience=30))
    await asyncio.sleep(0.5)
    assert redis.states().get("r") == 1, redis.states()
    held.signal(signal.SIGSTOP)
    answers = await sender.deliver(gate.port, delivery)
    assert labels(answers)[-1] == "200" and set(labels(answers)[:-1]) <= {IN_FLIGHT}, labels(answers)
    # The kernel goes on connecting by itself; whoever fills the line leaves it, and a server takes the rest.
    for filler in fillers:
        filler.close()
    loop = asyncio.get_running_loop()
    full.setblocking(False)
    door = asyncio.create_task(_let_in(loop, full, app.port))
    await asyncio.sleep(4)
    held.signal(signal.SIGCONT)
    answer = await first
    door.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        # The loop lets go of the socket before it is closed.
        await door
    full.close()
    assert answer.label in (DOWN, "504 upstream_timeout"), answer.label
    ran_once(app, [delivery])
    await rests(gate, redis, gate.warmed + 1)


async def _let_in(loop, listener, port):
    """Accepts, and passes on to a port."""
    serving = set()
    proxy = relay.Bytes(port)
    while True:
        connection, _ = await loop.sock_accept(listener)
        reader, writer = await asyncio.open_connection(sock=connection)
        task = asyncio.create_task(proxy._accept(reader, writer))
        serving.add(task)
        task.add_done_callback(serving.discard)
