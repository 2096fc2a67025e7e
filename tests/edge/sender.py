"""The sender: signs as Svix does, and says exactly the bytes that it is told to.

Source: https://docs.svix.com/receiving/verifying-payloads/how-manual. Must never tidy a request: repeated headers and
bytes before the request are what the cases are about.
"""

import base64
import hashlib
import hmac
import json
import socket
import ssl
import subprocess
import time
import uuid
from dataclasses import dataclass

from net import end_point

KEY = b"an edge of thirty-two bytes, pad"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
PATH = "/api/webhooks/clerk"
HOST = "hook.test"
TIME_LIMIT = 10
BETWEEN_PIECES = 0.02
# curl's exit code when a stream ended in another way than it expects.
STREAM_ERROR = 92


class AnswerDiscarded(Exception):
    """curl threw the answer away, because it came before the body was sent.

    A server may answer early and then reset the stream with NO_ERROR, and clients must not discard that answer
    (RFC 9113 §8.1). curl 7.88 does, now and then.
    """


@dataclass
class Delivery:
    """One webhook: its id, its headers and its body."""

    id: str
    headers: list
    body: bytes


@dataclass
class Answer:
    """What came back; no status: the connection was closed without an answer."""

    status: int | None
    code: str | None
    version: str = "1.1"


def delivery(genuine=True):
    """A new event, signed now; or with a signature of another key."""
    identifier = f"msg_{uuid.uuid4().hex}"
    body = json.dumps({"type": "user.created", "data": {"id": identifier}}).encode()
    timestamp = str(int(time.time()))
    signed = f"{identifier}.{timestamp}.".encode() + body
    digest = hmac.new(KEY if genuine else b"another key", signed, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    headers = [("svix-id", identifier), ("svix-timestamp", timestamp), ("svix-signature", signature)]
    return Delivery(identifier, headers, body)


def send(sent, source, to, more=(), pieces=(), in_tls=b"", ca=None):
    """Sends from an address to `(address, port)`, and reads to the end.

    `more` are further header lines, `pieces` are bytes before everything, one segment each; `in_tls` are bytes before
    the request inside of TLS, which is spoken where `ca` is given.
    """
    lines = [("host", HOST), ("connection", "close"), ("content-length", str(len(sent.body))), *sent.headers, *more]
    head = f"POST {PATH} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines) + "\r\n"
    connection = socket.create_connection(to, timeout=TIME_LIMIT, source_address=(source, 0))
    received = b""
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for index, piece in enumerate(pieces):
            time.sleep(BETWEEN_PIECES if index else 0)
            connection.sendall(piece)
        if ca:
            context = ssl.create_default_context(cafile=ca)
            context.set_alpn_protocols(["http/1.1"])
            connection = context.wrap_socket(connection, server_hostname=HOST)
        connection.sendall(in_tls + head.encode("latin-1") + sent.body)
        while piece := connection.recv(65536):
            received += piece
    except (ConnectionError, ssl.SSLError):
        # Closed on us: what was read until then counts. A time-out does not end up here, and fails the case.
        pass
    finally:
        connection.close()
    return _parse(received)


def send_http2(sent, source, to, ca=None, more=()):
    """The same over HTTP/2: negotiated by ALPN where `ca` is given, else with prior knowledge (RFC 9113 §3.3)."""
    command = ["curl", "--silent", "--show-error", "--interface", source, "--max-time", str(TIME_LIMIT)]
    command += ["--data-binary", "@-"]
    command += ["--http2", "--cacert", ca] if ca else ["--http2-prior-knowledge"]
    command += ["--connect-to", f"{HOST}::{end_point(*to)}", "--write-out", "\n%{http_code} %{http_version}"]
    command += [f"{'https' if ca else 'http'}://{HOST}{PATH}"]
    for name, value in [*sent.headers, *more]:
        command += ["--header", f"{name}: {value}"]
    done = subprocess.run(command, input=sent.body, capture_output=True, check=False)
    if done.returncode == STREAM_ERROR:
        raise AnswerDiscarded
    if done.returncode != 0:
        raise OSError(f"curl exits with {done.returncode}: {done.stderr.decode().strip()}")
    body, _, last = done.stdout.rpartition(b"\n")
    status, version = last.decode().split()
    return Answer(int(status) or None, _code(body), version)


def curl_speaks_http2():
    """Whether the curl at hand was built with it."""
    try:
        return "HTTP2" in subprocess.run(["curl", "--version"], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return False


def proxy_v1(claimed, of):
    """A PROXY header, version 1 (proxy-protocol.txt §2.1)."""
    family = "TCP6" if ":" in claimed else "TCP4"
    return f"PROXY {family} {claimed} {of} 40000 443\r\n".encode()


def proxy_v2(claimed, of):
    """A PROXY header, version 2 (§2.2)."""
    kind, family = (socket.AF_INET6, 0x21) if ":" in claimed else (socket.AF_INET, 0x11)
    addresses = socket.inet_pton(kind, claimed) + socket.inet_pton(kind, of) + b"\x9c\x40\x01\xbb"
    return b"\r\n\r\n\0\r\nQUIT\n\x21" + bytes([family]) + len(addresses).to_bytes(2, "big") + addresses


def _parse(received):
    if not received:
        return Answer(None, None)
    head, _, body = received.partition(b"\r\n\r\n")
    return Answer(int(head.split()[1]), _code(body))


def _code(body):
    try:
        return json.loads(body).get("code")
    except (ValueError, AttributeError):
        return None
