"""An app that says what it is told to, byte by byte: broken answers, answers nobody asked for, other protocols.

It reads requests as strictly as RFC 9112 has it and writes down each. Must never share code with what is tested, nor
answer otherwise than its script.
"""

import asyncio
import re
import socket
import struct

from apps import Entry
from oracle import mark_of

# Pieces of a script that are no bytes. EARLY, at its beginning: the body is not waited for. TUNNEL: no more requests.
# SHUT: no more bytes. FADE: where only the end of the connection ends the answer, it comes; nobody else is on it then.
CLOSE, RESET, EARLY, TUNNEL, SHUT, FADE = "close", "reset", "early", "tunnel", "shut", "fade"
FADES_AFTER = 0.3
TUNNEL_LASTS = 0.2
# The last: the run is over, and some connection rests.
ENDED = (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, asyncio.CancelledError)
PLAIN = [b"HTTP/1.1 200 OK\r\nx-seen: {seen}\r\ncontent-length: 4\r\n\r\nseen"]
TO_HEAD = [b"HTTP/1.1 200 OK\r\nx-seen: {seen}\r\ncontent-length: 4\r\n\r\n"]


class Garbage(Exception):
    """Bytes that are no request."""


class Scripted:
    """Answers the requests of the cases by their scripts, everything else plainly."""

    name = "scripted"

    def __init__(self, scripts):
        self.scripts = scripts
        self.entries, self.garbage = [], []
        self.marks = set()
        self.address = None
        self.server = None

    async def listen(self):
        """On a free port."""
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = self.server.sockets[0].getsockname()
        return self

    def seen(self):
        """As [`apps.Node.seen`]."""
        return self.entries, self.garbage

    async def _serve(self, reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await self._one(head, reader, writer)
        except asyncio.IncompleteReadError as error:
            if error.partial and b"\r\n\r\n" not in error.partial and error.expected is None:
                self.garbage.append(f"half a head: {error.partial!r}")
        except (Garbage, ValueError) as error:
            self.garbage.append(repr(error))
        except ENDED:
            pass
        writer.close()

    async def _one(self, head, reader, writer):
        line, *lines = head[:-4].split(b"\r\n")
        found = re.fullmatch(rb"([A-Z]+) (/[!-~]*) HTTP/1\.1", line)
        fields = [re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t -~\x80-\xff]*)", line) for line in lines]
        if not found or not all(fields):
            raise Garbage(head)
        method, target = (part.decode() for part in found.groups())
        headers = [(field[1].decode(), field[2].decode("latin-1")) for field in fields]
        entry = Entry(method, target, headers, b"", False)
        self.entries.append(entry)
        self.marks.add(mark_of(target))
        plain = TO_HEAD if method == "HEAD" else PLAIN
        script = self.scripts.get(mark_of(target), plain)
        if EARLY in script:
            await self._play(script, target, writer)
        values = {name.lower(): value for name, value in headers}
        if "expect" in values and EARLY not in script:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if values.get("transfer-encoding") == "chunked":
            entry.body = await _chunks(reader)
        elif "content-length" in values:
            entry.body = await reader.readexactly(int(values["content-length"]))
        entry.complete = True
        if EARLY not in script:
            await self._play(script, target, writer)
        if TUNNEL in script or SHUT in script:
            await self._tunnel(script, reader, writer)

    async def _play(self, script, target, writer):
        poison = re.sub(r"m=([a-z]\d+)\.\w", r"m=\1.s", target)
        for piece in script:
            if isinstance(piece, bytes):
                writer.write(piece.replace(b"{seen}", target.encode()).replace(b"{poison}", poison.encode()))
                await writer.drain()
            elif piece == RESET:
                no_lingering = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_lingering)
                writer.transport.abort()
            elif piece == CLOSE:
                writer.close()
            elif piece == FADE:
                asyncio.get_running_loop().call_later(FADES_AFTER, self._fade, mark_of(target), writer)
            elif isinstance(piece, float):
                await asyncio.sleep(piece)

    async def _tunnel(self, script, reader, writer):
        got = b""
        try:
            async with asyncio.timeout(TUNNEL_LASTS):
                while piece := await reader.read(65536):
                    got += piece
        except TimeoutError:
            pass
        if SHUT in script and got:
            self.garbage.append(f"in a tunnel that nobody asked for: {got!r}")
        writer.close()

    def _fade(self, mark, writer):
        # The sender's next request has come here or by another connection: its answer had an end.
        if (mark[0], "f") not in self.marks:
            writer.close()


async def _chunks(reader):
    body = b""
    while True:
        size = await reader.readuntil(b"\r\n")
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}\r\n", size):
            raise Garbage(size)
        length = int(size, 16)
        if length == 0:
            break
        body += await reader.readexactly(length)
        if await reader.readexactly(2) != b"\r\n":
            raise Garbage(body)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
    return body
