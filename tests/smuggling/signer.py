"""Signs as Svix does, and tells whether a signature is right.

Source: https://docs.svix.com/receiving/verifying-payloads/how-manual. Must never share code with what is tested.
"""

import base64
import hashlib
import hmac
import time

KEY = b"a smuggler of thirty-two bytes, "
SECRET = "whsec_" + base64.b64encode(KEY).decode()
PATH = "/api/webhooks/clerk"


def sign(identifier, body):
    """The three headers of a delivery of now, as pairs of bytes."""
    timestamp = str(int(time.time()))
    return [
        (b"svix-id", identifier.encode()),
        (b"svix-timestamp", timestamp.encode()),
        (b"svix-signature", b"v1," + _mac(identifier, timestamp, body)),
    ]


def is_signed(headers, body):
    """Whether these headers, a list of pairs of text, sign this body."""
    values = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(value)
    try:
        identifier, timestamp, signature = (values[f"svix-{part}"] for part in ("id", "timestamp", "signature"))
    except KeyError:
        return False
    if any(len(lines) != 1 for lines in (identifier, timestamp, signature)):
        return False
    return hmac.compare_digest(signature[0].encode("latin-1"), b"v1," + _mac(identifier[0], timestamp[0], body))


def _mac(identifier, timestamp, body):
    content = f"{identifier}.{timestamp}.".encode("latin-1") + body
    return base64.b64encode(hmac.new(KEY, content, hashlib.sha256).digest())
