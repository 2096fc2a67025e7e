"""The sender: signs as Svix does. Source: https://docs.svix.com/receiving/verifying-payloads/how-manual."""

import base64
import hashlib
import hmac
import http.client
import json
import socket
import threading
import time
import uuid
from dataclasses import dataclass

PATH = "/api/webhooks/clerk"
TIME_LIMIT = 20


def secret(key):
    """A key as Clerk writes it."""
    return "whsec_" + base64.b64encode(key).decode()


@dataclass
class Answer:
    """What came back. No status: the connection was closed without an answer."""

    id: str
    status: int | None
    code: str | None
    seconds: float


def deliver(address, key, wait_ms=0, path=PATH):
    """A new event, signed now with `key`, on a connection of its own."""
    identifier = f"msg_{uuid.uuid4().hex}"
    body = json.dumps({"type": "user.created", "wait_ms": wait_ms, "data": {"id": identifier}}).encode()
    timestamp = str(int(time.time()))
    digest = hmac.new(key, f"{identifier}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    headers = {"svix-id": identifier, "svix-timestamp": timestamp, "svix-signature": signature}
    status, text, seconds = ask(address, "POST", path, body, headers)
    return Answer(identifier, status, _code(text), seconds)


def ask(address, method, path, body=None, headers=None):
    """Status, body and seconds. No status: no answer."""
    begun = time.monotonic()
    connection = http.client.HTTPConnection(*address, timeout=TIME_LIMIT)
    try:
        connection.request(method, path, body, {**(headers or {}), "connection": "close"})
        response = connection.getresponse()
        return response.status, response.read(), time.monotonic() - begun
    except (OSError, http.client.HTTPException):
        return None, b"", time.monotonic() - begun
    finally:
        connection.close()


def connects(address):
    """Whether somebody listens there."""
    try:
        socket.create_connection(address, timeout=2).close()
    except OSError:
        return False
    return True


class Later(threading.Thread):
    """A call whose outcome is asked for later."""

    def __init__(self, call, *arguments, **more):
        super().__init__(daemon=True)
        self.call = lambda: call(*arguments, **more)
        self.outcome = None
        self.start()

    def run(self):
        self.outcome = self.call()

    def answer(self):
        """Waits for it."""
        self.join(TIME_LIMIT + 5)
        return self.outcome


def _code(text):
    try:
        return json.loads(text).get("code")
    except (ValueError, AttributeError):
        return None
