"""A client of HTTP/1.1 that sends exactly the bytes it is told to, and reads whatever comes back.

Must never tidy a request. Source: RFC 9112.
"""

import asyncio
import json
import socket
import struct
from dataclasses import dataclass, field

TIME_LIMIT = 15
# Pieces that are no bytes: the sender closes its half, or resets the connection.
HALF, RESET = "half", "reset"


class Gone(Exception):
    """The sender has said all it will."""


@dataclass
class Answer:
    """One answer: `seen` is the target that the app says it answered; of a refusal, its `code` and all that it says."""

    status: int
    seen: str | None = None
    code: str | None = None
    says: bytes = b""
    body: bytes = b""


@dataclass
class Talk:
    """What a connection brought back. `ended`: it was closed, or handed over, in time. `interim`: the heads of 1xx."""

    answers: list = field(default_factory=list)
    ended: bool = True
    rest: bytes = b""
    interim: list = field(default_factory=list)


async def talk(addresses, door, pieces, to_head=False):
    """Sends the pieces, a number being a pause in seconds, and reads to the end. `to_head`: the first is a HEAD."""
    try:
        reader, writer = await door.open(addresses)
    except ConnectionError:
        return Talk()
    received = bytearray()
    ended = True

    async def read():
        while piece := await reader.read(65536):
            received.extend(piece)

    reading = asyncio.create_task(read())
    try:
        for piece in pieces:
            if isinstance(piece, bytes):
                writer.write(piece)
                await writer.drain()
            elif piece == HALF:
                writer.write_eof()
                # What would come next is not sent.
                raise Gone
            elif piece == RESET:
                no_lingering = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_lingering)
                writer.transport.abort()
                raise Gone
            else:
                await asyncio.sleep(piece)
    except (ConnectionError, Gone):
        # Refused already: what was read until then counts.
        pass
    try:
        await asyncio.wait_for(reading, TIME_LIMIT)
    except TimeoutError:
        ended = False
    except ConnectionError:
        pass
    writer.close()
    return parse(bytes(received), to_head, ended)


def parse(received, to_head, ended):
    """The answers in these bytes."""
    result = Talk(ended=ended)
    while received:
        head, end, rest = received.partition(b"\r\n\r\n")
        if not end or not head.startswith(b"HTTP/1."):
            result.rest = received
            break
        lines = head.decode("latin-1").split("\r\n")
        pairs = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
        fields = dict(pairs)
        framing = [value for name, value in pairs if name in ("content-length", "transfer-encoding")]
        if len(framing) > 1 or not all(value == "chunked" or value.isdecimal() for value in framing):
            # Two readers may see two ends.
            result.rest = received
            break
        status = int(lines[0].split(" ")[1])
        if 100 <= status < 200 and status != 101:
            result.interim.append(head)
            received = rest
            continue
        seen = fields.get("x-seen")
        bodyless = status in (101, 204, 304) or (to_head and not result.answers)
        if status == 101:
            # Another protocol's bytes.
            body, received = rest, b""
        elif "transfer-encoding" in fields and not bodyless:
            body, received, whole = unchunked(rest)
            if not whole:
                # Cut off: its sender can tell.
                break
        elif "content-length" in fields or bodyless:
            length = 0 if bodyless else int(fields["content-length"])
            body, received = rest[:length], rest[length:]
            if len(body) < length:
                # Cut off: its sender can tell.
                break
        else:
            body, received = rest, b""
        code = code_of(fields.get("content-type", ""), body)
        result.answers.append(Answer(status, seen, code, head + body if code else b"", body))
    return result


def unchunked(text):
    """A body in chunks, what is behind it, and whether it came to its end."""
    body = b""
    while True:
        size, end, text = text.partition(b"\r\n")
        if not end:
            return body, b"", False
        length = int(size, 16)
        if length == 0:
            break
        body, text = body + text[:length], text[length + 2 :]
    while True:
        line, end, text = text.partition(b"\r\n")
        if not line:
            return body, text, bool(end)


def code_of(content_type, body):
    """The `code` of a refusal."""
    if not content_type.startswith("application/problem+json"):
        return None
    try:
        return json.loads(body).get("code")
    except ValueError:
        return None
