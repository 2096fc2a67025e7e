"""Uploads that have no end: each sends for as long as hookward takes it.

Over HTTP/1, and many on one connection of HTTP/2 (RFC 9113), whose windows are kept. Must never read an answer's body.
"""

import asyncio
import contextlib
import struct

import sender

PIECE = 16384
HTTP1 = f"POST /upload HTTP/1.1\r\nhost: {sender.HOST}\r\ncontent-length: {1 << 40}\r\n\r\n".encode()
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, GOAWAY, WINDOW_UPDATE = 0, 1, 4, 7, 8
INITIAL_WINDOW_SIZE = 4


async def over_http1(port):
    """One upload. Its writer, and a task that has sent what will be taken when it is done."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HTTP1)

    async def send():
        # Until nothing more goes: a second is long on one machine.
        with contextlib.suppress(TimeoutError):
            while True:
                writer.write(bytes(PIECE))
                await asyncio.wait_for(writer.drain(), 1)

    return writer, asyncio.create_task(send())


def frame(kind, stream, payload, flags=0):
    """RFC 9113 section 4.1."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def post(stream, path=b"/upload"):
    """A head: POST, http, and the path and the authority as they are (RFC 7541 section 6.2.2)."""
    host = sender.HOST.encode()
    block = b"\x83\x86\x04" + bytes([len(path)]) + path + b"\x01" + bytes([len(host)]) + host
    return frame(HEADERS, stream, block, 0x4)


class Http2:
    """A connection with these uploads, by their paths, and what each window has left."""

    def __init__(self, reader, writer, paths):
        self.reader, self.writer = reader, writer
        self.initial = 65535
        self.ended = False
        self.windows = {0: self.initial} | {2 * number + 1: self.initial for number in range(len(paths))}
        heads = [post(2 * number + 1, path) for number, path in enumerate(paths)]
        writer.write(PREFACE + frame(SETTINGS, 0, b"") + b"".join(heads))

    @classmethod
    async def open(cls, port, paths):
        """On a new connection."""
        return cls(*await asyncio.open_connection("127.0.0.1", port), paths)

    def room(self, stream):
        """Bytes that may be sent now."""
        return min(self.windows[0], self.windows[stream])

    def send(self, stream, size):
        """One frame of DATA."""
        self.windows[0] -= size
        self.windows[stream] -= size
        self.writer.write(frame(DATA, stream, bytes(size)))

    async def fill(self, stream):
        """As much as is taken of an upload that the app does not read: the last half of its window stays."""
        while True:
            if self.room(stream) >= 24_000:
                self.send(stream, 8_000)
            elif not await self.hear():
                return

    async def hear(self):
        """The next frame. False: there was none for a second, or it ends the connection."""
        try:
            await asyncio.wait_for(self.writer.drain(), 1)
            head = await asyncio.wait_for(self.reader.readexactly(9), 1)
        except TimeoutError:
            return False
        except (ConnectionError, asyncio.IncompleteReadError):
            self.ended = True
            return False
        payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
        if kind == WINDOW_UPDATE:
            self.windows[stream] += int.from_bytes(payload, "big")
        elif kind == SETTINGS and not flags & 1:
            for name, value in struct.iter_unpack(">HI", payload):
                if name == INITIAL_WINDOW_SIZE:
                    self.windows |= {each: left + value - self.initial for each, left in self.windows.items() if each}
                    self.initial = value
            self.writer.write(frame(SETTINGS, 0, b"", 1))
        self.ended |= kind == GOAWAY
        return not self.ended


async def over_http2(port, streams):
    """Many uploads on one connection, a piece of each in turn. As for HTTP/1."""
    http2 = await Http2.open(port, [b"/upload"] * streams)

    async def send():
        hears = True
        while hears:
            for stream in filter(None, http2.windows):
                if size := min(PIECE, http2.room(stream)):
                    http2.send(stream, size)
            if not any(http2.room(stream) for stream in filter(None, http2.windows)):
                hears = await http2.hear()
            await http2.writer.drain()

    return http2.writer, asyncio.create_task(send())


async def scattered(port, count, path=b"/upload"):
    """Two uploads on one connection: so many bytes of one that the app does not read, each a frame beside a large one of another
    that it reads. Its writer, and a task that tells whether all were taken."""
    http2 = await Http2.open(port, [path, b"/read"])
    unread, read = 1, 3

    async def send():
        await http2.fill(unread)
        for _ in range(count):
            while http2.room(read) < PIECE + 1:
                if not await http2.hear():
                    return False
            http2.send(unread, 1)
            http2.send(read, PIECE)
        return True

    return http2.writer, asyncio.create_task(send())


async def beside(port, count, rounds):
    """One upload that the app does not read, and on the same connection many that it reads, each of so many small frames. Its writer,
    and a task that tells whether all were taken."""
    http2 = await Http2.open(port, [b"/upload"] + [b"/read"] * count)

    async def send():
        await http2.fill(1)
        for _ in range(rounds):
            for stream in list(http2.windows)[2:]:
                while http2.room(stream) < 500:
                    if not await http2.hear():
                        return False
                http2.send(stream, 500)
        while await http2.hear():
            pass
        return not http2.ended

    return http2.writer, asyncio.create_task(send())
