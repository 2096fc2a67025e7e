"""Faults between hookward and the app.

Must never let a run pass that nobody asked for, or a success that did not run.
"""

import asyncio
import contextlib
import socket

import relay
import sender
import uploads
from case import IN_FLIGHT, SEVERAL, UNKNOWN, case, fault, labels, ran, ran_once, send_all, staged, went
from hookward import MIB, SHORT, UPSTREAM_MAX

# More than the sockets on the way hold.
LARGE = 900_000
CUT = "200 cut"
RAN = "200 duplicate"
INVALID = "502 upstream_invalid"
TIMEOUT = "504 upstream_timeout"
THEN_RUNS = "502, 409 until the lease is over, 200"
THEN_WAITS = "504, 409 until the lease is over, 200"


@case("150 ms each way", "200", "1 run")
async def latency(bench):
    app, proxy, gate = await bench.all()
    proxy.latency = 0.15
    sent = [sender.Delivery() for _ in range(SEVERAL)]
    for answers in await send_all(gate.port, sent):
        assert labels(answers) == ["200"], labels(answers)
    ran_once(app, sent)
    await gate.came_to_rest(entries=gate.warmed + len(sent))


@case("connections refused for a second", "200, a second later", "1 run")
async def refused(bench):
    app, proxy, gate = await bench.all()
    await proxy.refuse()
    sent = [sender.Delivery() for _ in range(SEVERAL)]
    sending = asyncio.create_task(send_all(gate.port, sent))
    await asyncio.sleep(1)
    assert not sending.done() and app.runs.keys().isdisjoint(delivery.id for delivery in sent)
    await proxy.start()
    for answers in await sending:
        assert labels(answers) == ["200"], labels(answers)
    ran_once(app, sent)
    await gate.came_to_rest(entries=gate.warmed + len(sent))


@case("connections reset, or closed, as soon as they are made", "502, 409 until the lease is over, 200", "1 run")
async def reset_on_connect(bench):
    for greeting in ("reset", "close"):
        app, proxy, gate = await bench.all()
        proxy.reset_all()
        proxy.greeting = greeting
        sent = [sender.Delivery() for _ in range(SEVERAL)]
        sending = asyncio.create_task(send_all(gate.port, sent))
        await asyncio.sleep(1)
        assert app.runs.keys().isdisjoint(delivery.id for delivery in sent)
        proxy.greeting = None
        for answers in await sending:
            # A connection may also be seen to be gone before anything was written: then it is tried again at once.
            assert labels(answers) == ["200"] or labels(answers)[0] == INVALID and labels(answers)[-1] == "200", answers
            assert set(labels(answers)) <= {INVALID, IN_FLIGHT, "200"}, labels(answers)
        ran_once(app, sent)
        await gate.came_to_rest(entries=gate.warmed + len(sent))


@case("the app's host does not answer connects for 2 s", "200, when it does", "1 run")
async def no_answer_to_connects(bench):
    app = await bench.app()
    # A backlog that is full: the kernel answers no further connect.
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    port = full.getsockname()[1]
    fillers = []
    for _ in range(8):
        filler = socket.socket()
        filler.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            filler.connect(("127.0.0.1", port))
        fillers.append(filler)
    gate = await bench.gate(port)
    sent = [sender.Delivery() for _ in range(SEVERAL)]
    sending = asyncio.create_task(send_all(gate.port, sent))
    await asyncio.sleep(1)
    for filler in fillers:
        filler.close()
    full.close()
    proxy = relay.Exchanges(app.port)
    proxy.port = port
    await proxy.start()
    bench.stack.push_async_callback(proxy.stop)
    for answers in await sending:
        assert labels(answers)[-1] == "200", labels(answers)
        assert set(labels(answers)[:-1]) <= {"502 upstream_unreachable", TIMEOUT}, labels(answers)
    ran_once(app, sent)
    await gate.came_to_rest(entries=len(sent))


@case("reset after the request's head", THEN_RUNS, "1 run")
async def reset_after_head(bench):
    await staged(bench, fault("request", "head", "reset"), INVALID)


@case("reset in the middle of a body of 900 KB", THEN_RUNS, "1 run")
async def reset_in_body(bench):
    await staged(bench, fault("request", "middle of the body", "reset"), INVALID, size=LARGE)


@case("reset before the answer's first byte", THEN_RUNS, "2 runs, a lease apart: how the first went nobody knows")
async def reset_before_answer(bench):
    await staged(bench, fault("answer", "nothing", "reset"), INVALID, times=2, apart=UNKNOWN)


@case("reset in the middle of the answer's head", THEN_RUNS, "2 runs, a lease apart")
async def reset_in_answer_head(bench):
    await staged(bench, fault("answer", "middle of the head", "reset"), INVALID, times=2, apart=UNKNOWN)


@case("reset in the middle of the answer's body", "200 cut off, then the duplicate's 200", "1 run")
async def reset_in_answer_body(bench):
    await staged(bench, fault("answer", "middle of the body", "reset"), CUT, last=RAN)


@case("FIN after the request's head, the other half open", THEN_RUNS, "1 run")
async def half_open_after_head(bench):
    await staged(bench, fault("request", "head", "fin"), INVALID)


@case("FIN in the middle of a body of 900 KB, the other half open", THEN_RUNS, "1 run")
async def half_open_in_body(bench):
    await staged(bench, fault("request", "middle of the body", "fin"), INVALID, size=LARGE)


@case("FIN before the answer's first byte, the other half open", THEN_RUNS, "2 runs, a lease apart")
async def half_open_before_answer(bench):
    await staged(bench, fault("answer", "nothing", "fin"), INVALID, times=2, apart=UNKNOWN)


@case("stall for ever after the request's head", THEN_WAITS, "1 run")
async def stall_after_head(bench):
    await staged(bench, fault("request", "head", "stall"), TIMEOUT)


@case("stall for ever in the middle of a body of 900 KB", THEN_WAITS, "1 run")
async def stall_in_body(bench):
    await staged(bench, fault("request", "middle of the body", "stall"), TIMEOUT, size=LARGE)


@case("stall for ever before the answer's first byte", THEN_WAITS, "2 runs, upstream_max and a lease apart")
async def stall_before_answer(bench):
    apart = UPSTREAM_MAX + UNKNOWN
    await staged(bench, fault("answer", "nothing", "stall"), TIMEOUT, times=2, apart=apart)


@case("stall past the deadline before the answer's first byte", "504, 409 until it comes, 200", "1 run")
async def late_answer(bench):
    late = fault("answer", "nothing", "stall", seconds=2.6)
    # An attempt that waits just then gets the run's own answer.
    await staged(bench, late, TIMEOUT, last=("200", RAN))


@case("stall for ever in the middle of the answer's head", THEN_WAITS, "2 runs, upstream_max and a lease apart")
async def stall_in_answer_head(bench):
    apart = UPSTREAM_MAX + UNKNOWN
    await staged(bench, fault("answer", "middle of the head", "stall"), TIMEOUT, times=2, apart=apart)


@case("stall for ever in the middle of the answer's body", "200 whose end does not come, the duplicate's 200", "1 run")
async def stall_in_answer_body(bench):
    # Who leaves does so with FIN, as one that waits on with its half closed.
    patience = UPSTREAM_MAX / 2
    await staged(bench, fault("answer", "middle of the body", "stall"), CUT, last=RAN, patience=patience)


@case(
    "the same for three attempts in a row, with resets",
    "502, 409 … three times, then 200",
    "4 runs, a lease apart each",
)
async def again_and_again(bench):
    app, proxy, gate = await bench.all()
    sent = [sender.Delivery() for _ in range(SEVERAL)]
    for delivery in sent:
        proxy.faults[delivery.id] = [fault("answer", "nothing", "reset")] * 3
    for answers in await send_all(gate.port, sent, attempts=40):
        seen = labels(answers)
        assert seen.count(INVALID) == 3 and seen[-1] == "200", seen
        assert set(seen) == {INVALID, IN_FLIGHT, "200"}, seen
    ran(app, sent, 4, UNKNOWN)
    await gate.came_to_rest(entries=gate.warmed + len(sent))


@case("the request cut after N bytes, every 16th N", THEN_RUNS, "1 run: never one of a part")
async def request_cut_anywhere(bench):
    app, proxy, gate = await bench.all()
    sent = []
    for at in range(0, len(sender.Delivery().request()), 16):
        delivery = sender.Delivery()
        proxy.faults[delivery.id] = [fault("request", at, "fin")]
        sent.append(delivery)
    for answers in await send_all(gate.port, sent):
        went(answers, INVALID)
    ran_once(app, sent)
    await gate.came_to_rest(entries=gate.warmed + len(sent))


@case(
    "the answer cut after N bytes, each N",
    "in the head as for a reset there; in the body 200 cut off, then the duplicate's 200",
    "2 runs a lease apart; 1 run",
)
async def answer_cut_anywhere(bench):
    app, proxy, gate = await bench.all()
    probe = (await sender.deliver(gate.port, sender.Delivery()))[0]
    # As the app writes it: what it says of the number of the run may grow by some digits.
    head = len(b"HTTP/1.1 200 Said\r\ncontent-type: application/json\r\ncontent-length: \r\n\r\n") + len(
        str(len(probe.body))
    )
    in_head, in_body = [], []
    for at in range(head + len(probe.body)):
        delivery = sender.Delivery()
        proxy.faults[delivery.id] = [fault("answer", at, "fin")]
        (in_head if at < head else in_body).append(delivery)
    for answers in await send_all(gate.port, in_head):
        went(answers, INVALID)
    ran(app, in_head, 2, UNKNOWN)
    for answers in await send_all(gate.port, in_body):
        # Where the head is the last that came, it is not passed on by itself.
        went(answers, (CUT, "closed"), RAN)
    ran_once(app, in_body)
    await gate.came_to_rest(entries=gate.warmed + 1 + len(in_head) + len(in_body))


@case("resting connections that are reset, or silently gone", "200; 504, then as for a stall", "1 run; 2 runs")
async def dead_while_resting(bench):
    app, proxy, gate = await bench.all(**SHORT)
    proxy.reset_all()
    sent = [sender.Delivery() for _ in range(SEVERAL)]
    for answers in await send_all(gate.port, sent):
        assert labels(answers) == ["200"], labels(answers)
    ran_once(app, sent)
    gone = [sender.Delivery() for _ in range(SEVERAL)]
    before = proxy.connected
    for delivery in gone:
        proxy.faults[delivery.id] = [fault("answer", "nothing", "stall")]
    answers = await asyncio.gather(*(sender.ask(gate.port, delivery.request()) for delivery in gone))
    assert {answer.label for answer in answers} == {TIMEOUT}, labels(answers)
    assert proxy.connected < before + len(gone), "no connection was used again"
    for answers in await send_all(gate.port, gone):
        assert labels(answers)[-1] == "200" and set(labels(answers)[:-1]) <= {IN_FLIGHT}, labels(answers)
    ran(app, gone, 2, UPSTREAM_MAX + UNKNOWN)
    await gate.came_to_rest(entries=gate.warmed + len(sent) + len(gone))


@case(
    "reset before the answer, with three senders of the same id",
    "one 502, two 409; 409 until the lease is over",
    "2 runs",
)
async def duplicates_of_a_lost_run(bench):
    app, proxy, gate = await bench.all()
    delivery = sender.Delivery()
    app.work[delivery.id] = [0.3]
    proxy.faults[delivery.id] = [fault("answer", "nothing", "reset")]
    first = asyncio.create_task(sender.deliver(gate.port, delivery))
    await app.began(delivery.id)
    others = asyncio.gather(*(sender.deliver(gate.port, delivery) for _ in range(2)))
    everyone = [await first, *await others]
    assert sorted(labels(answers)[0] for answers in everyone) == [IN_FLIGHT, IN_FLIGHT, INVALID]
    for answers in everyone:
        assert set(labels(answers)[1:-1]) <= {IN_FLIGHT} and answers[-1].is_success, labels(answers)
    ran(app, [delivery], 2, UNKNOWN)
    await gate.came_to_rest(entries=gate.warmed + 1)


@case("an upload that the app stops reading, whose client resets", "nothing", "cut off", "all back when the app closes")
async def stalled_upload(bench):
    reading = asyncio.Event()
    closes = asyncio.Event()

    async def never_reads(reader, writer):
        reading.set()
        await closes.wait()
        relay.reset(writer)

    hole = await asyncio.start_server(never_reads, "127.0.0.1", 0, limit=1024)
    bench.stack.callback(hole.close)
    gate = await bench.gate(hole.sockets[0].getsockname()[1])
    size = 50_000_000
    head = f"POST /upload HTTP/1.1\r\nhost: {sender.HOST}\r\ncontent-length: {size}\r\n\r\n".encode()
    answer = await sender.ask(gate.port, head + bytes(size), patience=3, leave=relay.reset)
    assert reading.is_set() and answer.label == "timeout", answer.label
    closes.set()
    await gate.came_to_rest(entries=0)
    assert sum((await gate.outcomes()).values()) == 1


@case("64 clients stop reading a download", "200 whose end does not come", "64 runs", "20 MiB at most; then all back", alone=True)
async def untaken_downloads(bench):
    async def endless(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
            while True:
                writer.write(bytes(MIB))
                await writer.drain()

    app = await asyncio.start_server(endless, "127.0.0.1", 0)
    bench.stack.callback(app.close)
    gate = await bench.gate(app.sockets[0].getsockname()[1])
    writers = []
    for _ in range(64):
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        writers.append(writer)
        writer.write(f"GET /download HTTP/1.1\r\nhost: {sender.HOST}\r\n\r\n".encode())
        # By then our reads are as large as they may become. From here on the stream's own buffer stays full.
        await reader.readexactly(16 * MIB)
    await asyncio.sleep(1)
    held = gate.memory() - gate.memory_at_rest
    assert held < 20 * MIB, f"{held // 1024} KiB"
    for writer in writers:
        relay.reset(writer)
    # What the allocator keeps counts as rest.
    gate.memory_at_rest += 12 * MIB
    await gate.came_to_rest(entries=0)


async def untaken_uploads(bench, begin, count, most):
    """Begins so many, of which the app reads nothing but what is for `/read`. What they end with, if they cost at most so much
    memory together. `/talk` is answered at once, with more than anybody takes here, and read."""
    closes = asyncio.Event()

    async def reads_some(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            target = await reader.readline()
            if b"/talk" in target:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(MIB))
            if b"/read" in target or b"/talk" in target:
                while await reader.read(MIB):
                    pass
            await closes.wait()
        relay.reset(writer)

    app = await asyncio.start_server(reads_some, "127.0.0.1", 0, limit=1024)
    bench.stack.callback(app.close)
    gate = await bench.gate(app.sockets[0].getsockname()[1])
    begun = [await begin(gate.port) for _ in range(count)]
    ends = [await sent for _, sent in begun]
    held = gate.memory() - gate.memory_at_rest
    assert held < most, f"{held // 1024 // count} KiB each"
    for writer, _ in begun:
        relay.reset(writer)
    closes.set()
    # What the allocator keeps counts as rest.
    gate.memory_at_rest += 24 * MIB
    await gate.came_to_rest(entries=0)
    return ends


@case("the app reads nothing of 64 uploads", "no answer", "64 runs", "192 KiB each at most; then all back", alone=True)
async def untaken_uploads_http1(bench):
    await untaken_uploads(bench, uploads.over_http1, 64, 64 * 192 * 1024)


@case(
    "the same of sixteen uploads on each of 16 connections of HTTP/2",
    "no answer",
    "256 runs",
    "192 KiB each at most; then all back",
    alone=True,
)
async def untaken_uploads_http2(bench):
    await untaken_uploads(bench, lambda port: uploads.over_http2(port, 16), 16, 256 * 192 * 1024)


@case(
    "the same of 32, on as many connections of HTTP/2, each in 1,000 single bytes between large frames of what it reads",
    "connections end (ENHANCE_YOUR_CALM)",
    "64 runs",
    "64 MiB at most; then all back",
    alone=True,
)
async def scattered_uploads(bench):
    ends = await untaken_uploads(bench, lambda port: uploads.scattered(port, 1000), 32, 64 * MIB)
    # Those that had not filled their sockets in time hold nothing.
    assert False in ends, ends


@case(
    "the same, where the app reads and has answered, and the answer is not taken",
    "connections end (ENHANCE_YOUR_CALM)",
    "64 runs",
    "64 MiB at most; then all back",
    alone=True,
)
async def scattered_uploads_answered(bench):
    ends = await untaken_uploads(bench, lambda port: uploads.scattered(port, 1000, b"/talk"), 32, 64 * MIB)
    assert False in ends, ends


@case(
    "one upload of which the app reads nothing, beside 120 on the same connection that it reads, in 21 small frames each",
    "all of the 120 are taken",
    "121 runs",
    "all back",
    alone=True,
)
async def uploads_beside(bench):
    ends = await untaken_uploads(bench, lambda port: uploads.beside(port, 120, 21), 1, 64 * MIB)
    assert ends == [True], ends
