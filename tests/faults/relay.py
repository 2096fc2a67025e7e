"""Small TCP proxies that fail on purpose: one that counts bytes, and one that knows where a request and its answer are.

Must never change a byte that it passes on.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

MOST = 8 * 1024 * 1024
# What was written before a reset has to be read before it comes.
BEFORE_RESET = 0.15


def reset(writer):
    """Closes with RST in place of FIN."""
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Proxy:
    """What both have: a port in front of another."""

    def __init__(self, target):
        self.target = target
        self.port = None
        self.server = None
        self.connected = 0
        self.writers = set()

    async def start(self):
        """Listens, on the same port each time."""
        self.server = await asyncio.start_server(
            self._accept, "127.0.0.1", self.port or 0, backlog=4096, limit=MOST, reuse_address=True
        )
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def refuse(self):
        """From here on connections are refused; those that are there are reset."""
        self.server.close()
        self.reset_all()

    def reset_all(self):
        """Resets what is connected."""
        for writer in list(self.writers):
            reset(writer)

    async def stop(self):
        """Ends it."""
        await self.refuse()

    async def _accept(self, reader, writer):
        self.connected += 1
        self.writers.add(writer)
        other = None
        try:
            if await self.greet(writer):
                far, other = await asyncio.open_connection("127.0.0.1", self.target, limit=MOST)
                self.writers.add(other)
                await self.relay(reader, writer, far, other)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # An end of either side is the end of both.
            pass
        finally:
            for each in (writer, other):
                if each is not None:
                    self.writers.discard(each)
                    each.transport.abort() if each.transport.is_closing() else each.close()

    async def greet(self, writer):
        """Whether a new connection is taken at all."""
        return True


class Bytes(Proxy):
    """Passes bytes on: late, never, or so many and no more."""

    def __init__(self, target):
        super().__init__(target)
        self.latency = 0.0
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.reset_on_connect = False
        # For each connection that comes: after so many bytes to the client, or to the server, it ends.
        self.cuts = []
        self.half = False

    async def greet(self, writer):
        if self.reset_on_connect:
            reset(writer)
        return not self.reset_on_connect

    async def relay(self, reader, writer, far, other):
        side, left = self.cuts.pop(0) if self.cuts else (None, None)
        there = self._pump(reader, other, left if side == "request" else None, writer)
        back = self._pump(far, writer, left if side == "answer" else None, writer)
        tasks = [asyncio.create_task(each) for each in (there, back)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if self.half and side:
                # One direction has ended, and the other one goes on.
                await asyncio.wait(tasks, timeout=3)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pump(self, reader, writer, left, client):
        while left is None or left > 0:
            piece = await reader.read(65536 if left is None else left)
            if not piece:
                return
            if self.latency:
                await asyncio.sleep(self.latency)
            await self.flowing.wait()
            writer.write(piece)
            await writer.drain()
            left = None if left is None else left - len(piece)
        await asyncio.sleep(BEFORE_RESET)
        if self.half:
            writer.write_eof()
            return
        reset(client)


@dataclass(frozen=True)
class Fault:
    """One exchange goes wrong: after how many bytes of the request, or of the answer, and how."""

    side: str
    # From the lengths of the head and of the whole.
    at: Callable[[int, int], int]
    act: str
    # Of a stall; none: until hookward has closed.
    seconds: float | None = None


class Exchanges(Proxy):
    """Passes requests and answers on, of which some have faults, told by the delivery's id."""

    def __init__(self, target):
        super().__init__(target)
        # By id, for each attempt in turn.
        self.faults = {}
        self.greeting = None
        self.latency = 0.0

    async def greet(self, writer):
        if self.greeting == "reset":
            reset(writer)
        elif self.greeting == "close":
            writer.close()
        return self.greeting is None

    async def relay(self, reader, writer, far, other):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            fault = self._next(head)
            total = len(head) + length(head)
            stop = total if fault is None or fault.side != "request" else fault.at(len(head), total)
            request = head if stop <= len(head) else head + await reader.readexactly(stop - len(head))
            await asyncio.sleep(self.latency)
            other.write(request[:stop])
            await other.drain()
            if stop < total:
                if not await self._fail(fault, reader, writer, other):
                    return
                other.write(request[stop:] + await reader.readexactly(total - len(request)))
            head = await far.readuntil(b"\r\n\r\n")
            answer = head + await far.readexactly(length(head))
            await asyncio.sleep(self.latency)
            stop = len(answer) if fault is None or fault.side != "answer" else fault.at(len(head), len(answer))
            writer.write(answer[:stop])
            await writer.drain()
            if stop < len(answer):
                if not await self._fail(fault, reader, writer, other):
                    return
                writer.write(answer[stop:])

    def _next(self, head):
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"svix-id":
                waiting = self.faults.get(value.strip().decode())
                return waiting.pop(0) if waiting else None
        return None

    async def _fail(self, fault, reader, writer, other):
        """Whether the exchange goes on afterwards."""
        if fault.act == "stall" and fault.seconds is not None:
            await asyncio.sleep(fault.seconds)
            return True
        if fault.act == "stall":
            # Without reading what may still come: a close is seen all the same.
            with contextlib.suppress(OSError):
                while await reader.read(65536):
                    pass
            reset(other)
            return False
        if fault.act == "reset":
            await asyncio.sleep(BEFORE_RESET)
            reset(writer)
            reset(other)
            return False
        # FIN towards hookward alone: our other half stays open until it closes as well.
        writer.write_eof()
        reset(other)
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(5):
                while await reader.read(65536):
                    pass
        return False


def length(head):
    """Of the body, as a head says; 0 without that."""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
