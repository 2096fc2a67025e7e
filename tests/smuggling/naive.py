"""Proxies that check nothing and share one connection to the app: what the oracle is for.

One reads a request's length and no coding, one writes an HTTP/2 request down as HTTP/1 as it came. They are here to
show that the oracle can fail. Must never stand in front of anything else.
"""

import asyncio
import re

from hpack import Decoder, Encoder
from hyperframe.frame import ContinuationFrame, DataFrame, Frame, HeadersFrame, SettingsFrame

from streams import HEADER, PREFACE

ENDED = (asyncio.IncompleteReadError, ConnectionError)


class Naive:
    """One upstream connection, one request at a time."""

    def __init__(self, app):
        self.app = app
        self.turn = asyncio.Lock()
        self.upstream = None

    async def serve(self, streams):
        """Listens on a free port: for HTTP/2, or for HTTP/1."""
        return await asyncio.start_server(self._streams if streams else self._lines, "127.0.0.1", 0)

    def close(self):
        """Lets the app go."""
        if self.upstream:
            self.upstream[1].close()

    async def _lines(self, reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                body = await reader.readexactly(_length(head))
                writer.write(await self._exchange(head + body))
                if b"connection: close" in head:
                    break
        except ENDED:
            pass
        writer.close()

    async def _streams(self, reader, writer):
        decoder, encoder = Decoder(), Encoder()
        fields, body, block = [], b"", b""
        try:
            await reader.readexactly(len(PREFACE))
            writer.write(SettingsFrame(0).serialize())
            while True:
                frame, length = Frame.parse_frame_header(memoryview(await reader.readexactly(HEADER)))
                frame.parse_body(memoryview(await reader.readexactly(length)))
                if isinstance(frame, HeadersFrame | ContinuationFrame):
                    block += frame.data
                    if "END_HEADERS" in frame.flags:
                        fields, block = decoder.decode(block, raw=True), b""
                elif isinstance(frame, DataFrame):
                    body += frame.data
                if "END_STREAM" not in frame.flags:
                    continue
                answer = await self._exchange(_written_down(dict(fields), fields, body))
                body = b""
                status, seen = answer.split(b" ")[1], re.search(rb"x-seen: (.*)\r\n", answer)
                named = [(b":status", status), *([(b"x-seen", seen[1])] if seen else [])]
                flags = ["END_HEADERS", "END_STREAM"]
                writer.write(HeadersFrame(frame.stream_id, encoder.encode(named), flags=flags).serialize())
        except ENDED:
            pass
        writer.close()

    async def _exchange(self, request):
        async with self.turn:
            try:
                if self.upstream is None:
                    self.upstream = await asyncio.open_connection(*self.app)
                reader, writer = self.upstream
                writer.write(request.replace(b"connection: close\r\n", b""))
                head = await reader.readuntil(b"\r\n\r\n")
                return head + await reader.readexactly(_length(head))
            except ENDED:
                self.upstream = None
                return b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n"


def _written_down(pseudo, fields, body):
    head = b"%b %b HTTP/1.1\r\nhost: %b\r\n" % tuple(pseudo[name] for name in (b":method", b":path", b":authority"))
    lines = b"".join(b"%b: %b\r\n" % pair for pair in fields if not pair[0].startswith(b":"))
    return head + lines + b"content-length: %d\r\n\r\n" % len(body) + body


def _length(head):
    found = re.search(rb"content-length: (\d+)\r\n", head, re.IGNORECASE)
    return int(found[1]) if found else 0
