"""Faults of the machine: disk, descriptors, memory, clock, and a process that is stopped.

Must never touch what the run has not made itself.
"""

import asyncio
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time

import relay
import sender
from case import IN_FLIGHT, SEVERAL, Skip, case, labels, ran_once, send_all
from hookward import MIB

OVERLOADED = "503 overloaded"
HOUR = 3600
# As long as the senders are patient, and longer than lease, deadline and upstream_max.
STOPPED = 6


@contextlib.contextmanager
def small_disk(work, size="1m"):
    """A file system of its own that is soon full."""
    place = pathlib.Path(work) / f"disk-{time.monotonic_ns()}"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        raise Skip(f"no tmpfs can be mounted: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False)


@case("the log's disk is full", "200", "1 run", "all back; the log goes on when there is room, in whole lines")
async def disk_full(bench):
    place = bench.stack.enter_context(small_disk(bench.work))
    app = await bench.app()
    gate = await bench.gate(app.port, log=place / "hookward.log")
    await bench.warm(gate, app, 200)
    filler = place / "filler"
    with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))
    sent = [sender.Delivery() for _ in range(200)]
    for answers in await send_all(gate.port, sent):
        assert labels(answers) == ["200"], labels(answers)
    await asyncio.sleep(0.3)
    filler.unlink()
    late = sender.Delivery()
    assert labels(await sender.deliver(gate.port, late)) == ["200"]
    ran_once(app, [*sent, late])
    await gate.came_to_rest(entries=gate.warmed + len(sent) + 1)
    assert await gate.outcomes() == {"forwarded": gate.warmed + len(sent) + 1}
    await asyncio.sleep(0.3)
    # What was cut off by the full disk ends with a line end of its own.
    lines = gate.log.read_bytes().split(b"\n")
    whole = []
    for line in lines:
        with contextlib.suppress(ValueError):
            whole.append(json.loads(line))
    assert late.id in {line.get("event_id") for line in whole}, "the line after the disk was full"
    lost = sum(line.get("lost", 0) for line in whole)
    told = sum("outcome" in line for line in whole)
    assert told + lost == gate.warmed + len(sent) + 1, f"{told} lines, {lost} said to be lost"


@case("whoever reads the log has gone", "200", "1 run")
async def log_reader_gone(bench):
    app = await bench.app()
    fifo = pathlib.Path(bench.work) / f"fifo-{time.monotonic_ns()}"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    gate = await bench.gate(app.port, log=fifo)
    await bench.warm(gate, app)
    os.close(reader)
    sent = [sender.Delivery() for _ in range(50)]
    for answers in await send_all(gate.port, sent):
        assert labels(answers) == ["200"], labels(answers)
    ran_once(app, sent)
    await gate.came_to_rest(entries=gate.warmed + len(sent))


@case("whoever reads the log has stalled", "200", "1 run")
async def log_reader_stalled(bench):
    app = await bench.app()
    fifo = pathlib.Path(bench.work) / f"fifo-{time.monotonic_ns()}"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    bench.stack.callback(os.close, reader)
    gate = await bench.gate(app.port, log=fifo)
    await bench.warm(gate, app, 200)
    sent = [sender.Delivery() for _ in range(600)]
    for start in range(0, len(sent), 100):
        for answers in await send_all(gate.port, sent[start : start + 100]):
            assert labels(answers) == ["200"], labels(answers)
    ran_once(app, sent)
    await gate.came_to_rest(entries=gate.warmed + len(sent))


@case("no descriptor left when senders connect (EMFILE)", "200, when there are some again", "1 run")
async def no_descriptor_to_accept(bench):
    app, proxy, gate = await bench.all()
    gate.limit_descriptors(8)
    used = gate.processor_seconds()
    sent = [sender.Delivery() for _ in range(SEVERAL)]
    sending = asyncio.create_task(send_all(gate.port, sent))
    await asyncio.sleep(2)
    assert not sending.done() and app.runs.keys().isdisjoint(delivery.id for delivery in sent)
    assert gate.processor_seconds() - used < 1, "it spins while it has no descriptor"
    gate.limit_descriptors(None)
    for answers in await sending:
        assert labels(answers) == ["200"], labels(answers)
    ran_once(app, sent)
    await gate.came_to_rest(entries=gate.warmed + len(sent))


@case("no descriptor left to reach the app (EMFILE)", "200, when there are some again; or 502, and 200", "1 run")
async def no_descriptor_to_connect(bench):
    app, proxy, gate = await bench.all()
    proxy.reset_all()
    await asyncio.sleep(0.2)
    patient, late = sender.Delivery(), sender.Delivery()

    async def on(connection, delivery):
        reader, writer = connection
        writer.write(delivery.request())
        received = b""
        with contextlib.suppress(OSError):
            while piece := await reader.read(65536):
                received += piece
        writer.close()
        return sender.parse(received)

    # Connected before, as nobody can connect afterwards.
    connections = [await asyncio.open_connection("127.0.0.1", gate.port) for _ in range(2)]
    await asyncio.sleep(0.2)
    gate.limit_descriptors(8)
    first = await on(connections[0], late)
    # It was tried again for as long as the route says.
    assert first.label == "502 upstream_unreachable", first.label
    second = asyncio.create_task(on(connections[1], patient))
    await asyncio.sleep(0.7)
    assert not second.done() and not app.runs[patient.id] and not app.runs[late.id]
    gate.limit_descriptors(None)
    answer = await second
    assert answer.label == "200", answer.label
    assert labels(await sender.deliver(gate.port, late)) == ["200"]
    ran_once(app, [patient, late])
    await gate.came_to_rest(entries=gate.warmed + 2)


@case("started with ulimit -n 64, and 150 senders at once", "200, some 503 or a closed connection before", "1 run")
async def few_descriptors(bench):
    app = await bench.app()
    gate = await bench.gate(app.port, prefix=["prlimit", "--nofile=64:64"])
    await bench.warm(gate, app)
    sent = [sender.Delivery(4000) for _ in range(150)]
    for delivery in sent:
        app.work[delivery.id] = [0.2]
    seen = set()
    for answers in await send_all(gate.port, sent, attempts=60, pieces=2, between=0.2):
        assert answers[-1].is_success, labels(answers)
        seen |= set(labels(answers))
    # Those that wait longest make room before they have said anything.
    assert seen <= {"200", OVERLOADED, IN_FLIGHT, "closed", "200 duplicate"} and len(seen) > 1, seen
    ran_once(app, sent)
    await gate.came_to_rest(entries=gate.warmed + len(sent))


class Group:
    """A control group with a limit of memory, of either version."""

    def __init__(self, limit):
        name = f"hookward-faults-{os.getpid()}-{time.monotonic_ns()}"
        old = pathlib.Path("/sys/fs/cgroup/memory")
        self.place = (old if old.is_dir() else pathlib.Path("/sys/fs/cgroup")) / name
        self.file = "memory.limit_in_bytes" if old.is_dir() else "memory.max"
        try:
            self.place.mkdir()
            (self.place / self.file).write_text(str(limit))
        except OSError as error:
            with contextlib.suppress(OSError):
                self.place.rmdir()
            raise Skip(f"no control group with a limit of memory: {error}") from error

    def enter(self, pid):
        """Moves a process there."""
        try:
            (self.place / "cgroup.procs").write_text(str(pid))
        except OSError as error:
            raise Skip(f"no process can be moved to a control group: {error}") from error

    async def remove(self):
        """When all have left."""
        for _ in range(50):
            try:
                return self.place.rmdir()
            except OSError:
                await asyncio.sleep(0.1)
        return None


@case(
    "48 MiB of memory in all (cgroup), buffered_bytes 8 MiB, and 100 deliveries of 1 MB at once, half of them slow",
    "200, some 503 before",
    "1 run",
    alone=True,
)
async def little_memory(bench):
    app = await bench.app()
    group = Group(48 * MIB)
    bench.stack.push_async_callback(group.remove)
    # The group is entered before anything is allocated that counts.
    gate = await bench.gate(app.port, limits='buffered_bytes = "8MiB"')
    group.enter(gate.process.pid)
    await bench.warm(gate, app)
    sent = [sender.Delivery(1_000_000) for _ in range(100)]

    async def one(index, delivery):
        slow = {"pieces": 30, "between": 0.05} if index % 2 else {}
        return await sender.deliver(gate.port, delivery, attempts=80, pause=0.2 + index / 100, **slow)

    seen = set()
    for answers in await asyncio.gather(*(one(index, delivery) for index, delivery in enumerate(sent))):
        assert answers[-1].is_success, labels(answers)
        seen |= set(labels(answers))
    assert gate.process.poll() is None, "it was killed"
    # A sender that still writes when it is refused may see its connection closed.
    expected = {"200", OVERLOADED, IN_FLIGHT, "200 duplicate", "closed", "408 body_timeout", "504 upstream_timeout"}
    assert seen <= expected and OVERLOADED in seen, seen
    ran_once(app, sent)
    # What the allocator keeps is within the limit, and counts as rest.
    gate.memory_at_rest = 24 * MIB
    await gate.came_to_rest(entries=gate.warmed + len(sent))


def faketime(work):
    """The environment that lets a process see a clock that a file shifts; and the file."""
    found = [
        path
        for folder in ("/usr/lib", "/usr/lib64", "/usr/local/lib")
        for path in pathlib.Path(folder).glob("**/faketime/libfaketimeMT.so.1")
    ]
    if not found:
        raise Skip("libfaketime is not installed")
    shift = pathlib.Path(work) / f"shift-{time.monotonic_ns()}"
    shift.write_text("+0\n")
    return {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME_TIMESTAMP_FILE": str(shift),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }, shift


async def clock_steps(bench, hours, code):
    """The wall clock is wrong by some hours, and right again, while deliveries run."""
    environment, shift = faketime(bench.work)
    app = await bench.app()
    gate = await bench.gate(app.port, environment=environment)
    await bench.warm(gate, app)
    before = [sender.Delivery() for _ in range(SEVERAL)]
    for answers in await send_all(gate.port, before):
        assert labels(answers) == ["200"], labels(answers)
    running = sender.Delivery()
    app.work[running.id] = [1.5]
    at_work = asyncio.create_task(sender.deliver(gate.port, running))
    await app.began(running.id)
    shift.write_text(f"{hours * HOUR:+d}\n")
    refused = [sender.Delivery() for _ in range(SEVERAL)]
    for answer in await asyncio.gather(*(sender.ask(gate.port, delivery.request()) for delivery in refused)):
        assert answer.label == f"401 {code}", answer.label
    assert labels(await at_work) == ["200"]
    # Signed by the same wrong clock: what ran is a duplicate all the same.
    wrong = time.time() + hours * HOUR
    for delivery in [*before, running]:
        answer = await sender.ask(gate.port, delivery.request(now=wrong))
        assert answer.label == "200 duplicate", answer.label
    there = sender.Delivery()
    assert (await sender.ask(gate.port, there.request(now=wrong))).label == "200"
    shift.write_text("+0\n")
    # Long after the lease, by the clock on the wall; by no means, by that which counts.
    for answers in await send_all(gate.port, [*refused]):
        assert labels(answers) == ["200"], labels(answers)
    for answers in await send_all(gate.port, [*before, running, there]):
        assert labels(answers) == ["200 duplicate"], labels(answers)
    ran_once(app, [*before, running, there, *refused])
    await gate.came_to_rest(entries=gate.warmed + len(before) + len(refused) + 2)


@case(
    "the clock steps an hour ahead, and back",
    "401 timestamp_too_old while it is wrong, then 200; those at work 200",
    "1 run",
)
async def clock_ahead(bench):
    await clock_steps(bench, 1, "timestamp_too_old")


@case(
    "the clock steps an hour back, and ahead",
    "401 timestamp_in_future while it is wrong, then 200; those at work 200",
    "1 run",
)
async def clock_behind(bench):
    await clock_steps(bench, -1, "timestamp_in_future")


@case(
    f"stopped for {STOPPED} s (SIGSTOP) with deliveries in their head, their body, the app, and before they connect",
    "200, late; or 408 or 504, and 200 then",
    "1 run",
)
async def stopped(bench):
    app, proxy, gate = await bench.all()
    await _stop(bench, app, gate, patience=20)


@case(
    f"the same, and senders that wait for 3 s only (of {STOPPED})",
    "no answer, and 200 or the duplicate's 200 afterwards",
    "1 run",
)
async def stopped_and_left(bench):
    app, proxy, gate = await bench.all()
    await _stop(bench, app, gate, patience=3)


async def _stop(bench, app, gate, patience):
    in_head, in_body, in_app, not_connected = ([sender.Delivery(5000) for _ in range(4)] for _ in range(4))
    everyone = [*in_head, *in_body, *in_app, *not_connected]
    for delivery in in_app:
        app.work[delivery.id] = [1.0]

    async def halting(delivery, share):
        """Writes a part before the stop, the rest in it; and later tries again, if need be."""
        request = delivery.request()
        at = 40 if share == "head" else len(request) // 2
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        writer.write(request[:at])
        received = b""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(patience):
                await stop.wait()
                await asyncio.sleep(0.3)
                writer.write(request[at:])
                while piece := await reader.read(65536):
                    received += piece
        relay.reset(writer)
        first = sender.parse(received)
        if first.is_success:
            return [first]
        return [first, *await sender.deliver(gate.port, delivery, patience=patience)]

    stop = asyncio.Event()
    sending = [asyncio.create_task(halting(delivery, "head")) for delivery in in_head]
    sending += [asyncio.create_task(halting(delivery, "body")) for delivery in in_body]
    sending += [asyncio.create_task(sender.deliver(gate.port, delivery, patience=patience)) for delivery in in_app]
    for delivery in in_app:
        await app.began(delivery.id)
    await asyncio.sleep(0.2)
    gate.signal(signal.SIGSTOP)
    stop.set()
    sending += [
        asyncio.create_task(sender.deliver(gate.port, delivery, patience=patience)) for delivery in not_connected
    ]
    await asyncio.sleep(STOPPED)
    gate.signal(signal.SIGCONT)
    seen = set()
    for answers in await asyncio.gather(*sending):
        assert answers[-1].is_success, labels(answers)
        seen |= set(labels(answers))
    expected = {"200", "200 duplicate", IN_FLIGHT, "408", "408 body_timeout", "504 upstream_timeout", "closed"}
    assert seen <= (expected | {"timeout"} if patience < STOPPED else expected), seen
    ran_once(app, everyone)
    await gate.came_to_rest(entries=gate.warmed + len(everyone))
