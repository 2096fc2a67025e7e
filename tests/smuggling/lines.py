"""A client of HTTP/1.1 that sends exactly the bytes it is told to, and reads whatever comes back.

Must never tidy a request. Source: RFC 9112.
"""

import asyncio
import json
from dataclasses import dataclass, field

TIME_LIMIT = 15


@dataclass
class Answer:
    """One answer: `seen` is the target that the app says it answered; of a refusal, its `code` and all that it says."""

    status: int
    seen: str | None = None
    code: str | None = None
    says: bytes = b""


@dataclass
class Talk:
    """What a connection brought back. `ended`: it was closed, or handed over, in time."""

    answers: list = field(default_factory=list)
    ended: bool = True
    rest: bytes = b""


async def talk(address, pieces, to_head=False):
    """Sends the pieces, a number being a pause in seconds, and reads to the end. `to_head`: the first is a HEAD."""
    reader, writer = await asyncio.open_connection(*address)
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
            else:
                await asyncio.sleep(piece)
    except ConnectionError:
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
        status = int(lines[0].split(" ")[1])
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if 100 <= status < 200 and status != 101:
            received = rest
            continue
        seen = fields.get("x-seen")
        length = int(fields.get("content-length", 0))
        if status in (101, 204, 304) or (to_head and not result.answers):
            length = 0
        body, received = rest[:length], rest[length:]
        code = code_of(fields.get("content-type", ""), body)
        result.answers.append(Answer(status, seen, code, head + body if code else b""))
    return result


def code_of(content_type, body):
    """The `code` of a refusal."""
    if not content_type.startswith("application/problem+json"):
        return None
    try:
        return json.loads(body).get("code")
    except ValueError:
        return None
