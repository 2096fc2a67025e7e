"""The app behind hookward: runs what reaches it whole, and remembers each run by its id.

It checks each signature itself. Must never count a request that did not come whole as a run, nor answer one that it has
not counted.
"""

import asyncio
import contextlib
import itertools
import json
import time
from collections import defaultdict
from dataclasses import dataclass

import sender

MOST = 8 * 1024 * 1024


@dataclass
class Run:
    """One run of a delivery, by the monotonic clock."""

    began: float
    ended: float | None = None
    status: int | None = None


class App:
    """A server on the loopback."""

    def __init__(self):
        self.runs = defaultdict(list)
        # By id: for each run in turn, how long it works, and what it answers.
        self.work = {}
        self.statuses = {}
        self.padding = 0
        self.forged = []
        self.pages = 0
        self.uploaded = 0
        self.numbers = itertools.count(1)
        # When the run with that number began.
        self.began_at = {}
        self.tasks = set()

    async def start(self):
        """Listens; the port is known from here on."""
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=4096, limit=MOST)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def stop(self):
        """Closes the port, and what is connected to it."""
        self.server.close()
        for task in list(self.tasks):
            task.cancel()

    async def began(self, identifier, count=1):
        """Waits until a delivery has begun to run so many times."""
        async with asyncio.timeout(20):
            while len(self.runs[identifier]) < count:
                await asyncio.sleep(0.005)

    async def _serve(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # Cut off on its way here, or while it answered.
            pass
        finally:
            self.tasks.discard(asyncio.current_task())
            writer.transport.abort()

    async def _one(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = head.split("\r\n")
        method, target, _ = line.split(" ")
        fields = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in rest)}
        if "chunked" in fields.get("transfer-encoding", ""):
            body = await self._chunks(reader)
        else:
            body = await reader.readexactly(int(fields.get("content-length", 0)))
        if target.startswith(sender.PATH):
            await self._run(writer, fields, body)
        elif method == "GET":
            self.pages += 1
            self._answer(writer, 200, b"p" * 10_240)
        else:
            self.uploaded += len(body)
            self._answer(writer, 200, str(len(body)).encode())
        await writer.drain()
        return fields.get("connection") != "close"

    async def _chunks(self, reader):
        body = b""
        while True:
            size = int(await reader.readuntil(b"\r\n"), 16)
            body += (await reader.readexactly(size + 2))[:-2]
            if size == 0:
                return body

    async def _run(self, writer, fields, body):
        identifier = fields.get("svix-id", "")
        if "verified-event" not in fields or fields.get("svix-signature") != sender.signature(
            sender.KEY, identifier, fields.get("svix-timestamp"), body
        ):
            self.forged.append(identifier)
        runs = self.runs[identifier]
        run = Run(time.monotonic())
        runs.append(run)
        number = len(runs) - 1
        # A handler goes on when its caller has left, as that of Next.js does.
        with contextlib.suppress(IndexError, KeyError):
            await asyncio.shield(asyncio.sleep(self.work[identifier][number]))
        status = 200
        with contextlib.suppress(IndexError, KeyError):
            status = self.statuses[identifier][number]
        run.ended, run.status = time.monotonic(), status
        number = next(self.numbers)
        self.began_at[number] = run.began
        self._answer(writer, status, json.dumps({"run": number, "padding": "x" * self.padding}).encode())

    def _answer(self, writer, status, body):
        head = f"HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
