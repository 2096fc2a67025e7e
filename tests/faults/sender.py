"""The sender: signs as Svix does and, as Svix does, sends a delivery again until it is told that it succeeded.

Source: https://docs.svix.com/receiving/verifying-payloads/how-manual. Must never call an attempt a success of which it
did not see the whole answer.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import time
import uuid
from dataclasses import dataclass

KEY = b"faults, with thirty-two bytes key"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
PATH = "/api/webhooks/clerk"
HOST = "hook.test"
ATTEMPTS = 16
PAUSE = 0.4
PATIENCE = 15


@dataclass(frozen=True)
class Answer:
    """What came back. Without a status: the connection was closed, or nothing came for too long."""

    status: int | None
    code: str | None = None
    whole: bool = False
    body: bytes = b""
    timed_out: bool = False
    head: bytes = b""
    error: str = ""

    @property
    def label(self):
        """Short, for tables and assertions."""
        if self.status is None:
            return "timeout" if self.timed_out else "closed"
        if not self.whole:
            return f"{self.status} cut"
        return f"{self.status} {self.code}" if self.code else str(self.status)

    @property
    def is_success(self):
        """Whether Svix would be content."""
        return self.whole and 200 <= self.status < 300


class Delivery:
    """One event. Each attempt is signed anew, with the same id."""

    def __init__(self, size=0, prefix="msg"):
        self.id = f"{prefix}_{uuid.uuid4().hex}"
        self.body = json.dumps({"type": "user.created", "data": {"id": self.id, "padding": "x" * size}}).encode()

    def request(self, key=KEY, age=0, now=None):
        """The bytes of one attempt."""
        stamp = str(int(time.time() if now is None else now) - age)
        lines = [
            ("host", HOST),
            ("connection", "close"),
            ("content-type", "application/json"),
            ("content-length", str(len(self.body))),
            ("svix-id", self.id),
            ("svix-timestamp", stamp),
            ("svix-signature", signature(key, self.id, stamp, self.body)),
        ]
        head = f"POST {PATH} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines) + "\r\n"
        return head.encode() + self.body


def signature(key, identifier, stamp, body):
    """The value of svix-signature."""
    mac = hmac.new(key, f"{identifier}.{stamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(mac.digest()).decode()


async def ask(port, request, patience=PATIENCE, pieces=1, between=0.0, leave=None):
    """Sends bytes, in so many pieces, and reads to the end of the connection; `leave` ends it in place of FIN.

    Who has little patience has it for the answer: what is sent is sent whole.
    """
    received = b""
    timed_out = False
    problem = ""
    writer = None
    try:
        async with asyncio.timeout(max(patience, PATIENCE)):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            step = max(1, -(-len(request) // pieces))
            for start in range(0, len(request), step):
                writer.write(request[start : start + step])
                await writer.drain()
                if between:
                    await asyncio.sleep(between)
        async with asyncio.timeout(patience):
            while piece := await reader.read(65536):
                received += piece
    except TimeoutError:
        timed_out = True
    except OSError as error:
        problem = repr(error)
        # Closed on us, while we wrote or while we read: what had come by then counts.
        if writer is not None and not received:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    received += await reader.read(65536)
    finally:
        if writer is not None:
            leave(writer) if leave else writer.transport.abort()
    return parse(received, timed_out, problem)


async def deliver(port, delivery, attempts=ATTEMPTS, pause=PAUSE, patience=PATIENCE, **more):
    """Until it succeeds, a few times. `port` may be several, asked in turn. All answers, in order."""
    ports = port if isinstance(port, list | tuple) else [port]
    answers = []
    for attempt in range(attempts):
        answers.append(await ask(ports[attempt % len(ports)], delivery.request(), patience, **more))
        if answers[-1].is_success:
            break
        await asyncio.sleep(pause)
    return answers


def parse(received, timed_out=False, error=""):
    """What the bytes of an answer say."""
    if b"\r\n\r\n" not in received:
        return Answer(None, timed_out=timed_out, error=error)
    head, _, body = received.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
    if b"content-length" in fields:
        whole = len(body) == int(fields[b"content-length"])
    elif b"transfer-encoding" in fields:
        whole = body.endswith(b"0\r\n\r\n")
    else:
        whole = not timed_out
    code = None
    with contextlib.suppress(ValueError, AttributeError):
        code = json.loads(body).get("code")
    return Answer(status, code, whole, body, timed_out, head)
