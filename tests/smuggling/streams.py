"""A client of HTTP/2 that sends exactly the frames it is told to: a field may hold anything that HPACK can carry.

Must never check what it sends. Sources: RFC 9113, RFC 7541.
"""

import asyncio

from hpack import Decoder, Encoder, HPACKError
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from lines import TIME_LIMIT, Answer, code_of

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER = 9


class Gone(Exception):
    """The other side has ended the connection."""


class Reset(Exception):
    """The other side has ended the stream without an answer."""


class Connection:
    """One connection, one stream after the other."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.encoder, self.decoder = Encoder(), Decoder()

    @classmethod
    async def open(cls, addresses, door):
        """With prior knowledge (RFC 9113 §3.3)."""
        connection = cls(*await door.open(addresses))
        window = WindowUpdateFrame(0, window_increment=1 << 24)
        connection.writer.write(PREFACE + SettingsFrame(0).serialize() + window.serialize())
        return connection

    def close(self):
        """At once."""
        self.writer.close()

    def head(self, stream, fields, end, pieces=1):
        """HEADERS, cut into so many frames."""
        block = self.encoder.encode(fields, huffman=False)
        size = -(-len(block) // pieces)
        parts = [block[at : at + size] for at in range(0, len(block), size)]
        frames = [HeadersFrame(stream, parts[0]), *(ContinuationFrame(stream, part) for part in parts[1:])]
        if end:
            frames[0].flags.add("END_STREAM")
        frames[-1].flags.add("END_HEADERS")
        return b"".join(frame.serialize() for frame in frames)

    @staticmethod
    def data(stream, body, end):
        """DATA."""
        return DataFrame(stream, body, flags=["END_STREAM"] if end else []).serialize()

    async def ask(self, stream, sent):
        """Sends these frames, and waits for what becomes of the stream."""
        try:
            self.writer.write(sent)
            await self.writer.drain()
            return await asyncio.wait_for(self._answer(stream), TIME_LIMIT)
        except (ConnectionError, asyncio.IncompleteReadError, HPACKError, HyperframeError) as error:
            raise Gone from error

    async def _answer(self, stream):
        fields, body = None, b""
        while True:
            header = await self.reader.readexactly(HEADER)
            frame, length = Frame.parse_frame_header(memoryview(header))
            frame.parse_body(memoryview(await self.reader.readexactly(length)))
            if isinstance(frame, GoAwayFrame):
                raise Gone
            if isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
                self.writer.write(SettingsFrame(0, flags=["ACK"]).serialize())
            if isinstance(frame, PingFrame) and "ACK" not in frame.flags:
                self.writer.write(PingFrame(0, frame.opaque_data, flags=["ACK"]).serialize())
            decoded = self.decoder.decode(frame.data) if isinstance(frame, HeadersFrame) else None
            if frame.stream_id != stream:
                continue
            if isinstance(frame, RstStreamFrame):
                if fields is None:
                    raise Reset
                return self._said(fields, body)
            if decoded is not None and not (fields is None and dict(decoded)[":status"].startswith("1")):
                fields = fields or dict(decoded)
            if isinstance(frame, DataFrame):
                body += frame.data
            if "END_STREAM" in frame.flags:
                return self._said(fields, body)

    @staticmethod
    def _said(fields, body):
        code = code_of(fields.get("content-type", ""), body)
        return Answer(int(fields[":status"]), fields.get("x-seen"), code, body if code else b"", body)
