"""The cases about other protocols on the same connection: who asks for one, who agrees to it, and what comes behind.

What stands behind a request for an upgrade is a tunnel's if both sides agreed, and a request like any other if not (RFC
9110 §7.8; "h2c smuggling", 2020; "What's wrong with WebSocket APIs", 2019: a proxy that takes any answer, or any
request, for the beginning of a tunnel). The app is [`Scripted`], and agrees to anything. Must never hold a case in
which an app and a sender that did agree are kept apart.
"""

from case import Table
from oracle import Shape
from scripted import FADE, SHUT, TUNNEL

KEY = b"sec-websocket-key: x3JJHMbDL1EzLkh9GBhXDw==\r\nsec-websocket-version: 13\r\n"
ASKS = b"upgrade: websocket\r\nconnection: upgrade\r\n" + KEY
AGREED = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nx-seen: {seen}\r\n"
PLAIN_101 = b"HTTP/1.1 101 Switching Protocols\r\nx-seen: {seen}\r\n"
POISON = b"HTTP/1.1 200 OK\r\nx-seen: {poison}\r\ncontent-length: 4\r\n\r\nevil"
REFUSED = b"HTTP/1.1 426 Upgrade Required\r\nupgrade: websocket\r\nconnection: upgrade\r\nx-seen: {seen}\r\n"
OK = b"HTTP/1.1 200 OK\r\nx-seen: {seen}\r\n"


def table():
    """The cases, and what the app answers in each."""
    book = Table("u")
    scripts = {}
    _answers(book, scripts)
    _askers(book, scripts)
    return book.cases, scripts


def _add(book, scripts, name, make, script, shape=Shape.SAFE, **more):
    def scripted(context):
        scripts[(context.mark, "a")] = [*script, FADE]
        return make(context)

    book.add(f"tunnel: {name}", shape, scripted, lost=("a",), **more)


def _answers(book, scripts):
    """It was asked for; what the app says to that."""
    for name, script in {
        "agreed": [AGREED + b"\r\n", TUNNEL],
        "agreed, of a length": [AGREED + b"content-length: 4\r\n\r\n", TUNNEL],
        "agreed, in chunks": [AGREED + b"transfer-encoding: chunked\r\n\r\n", TUNNEL],
        "agreed after a hint": [b"HTTP/1.1 103 Early Hints\r\n\r\n" + AGREED + b"\r\n", TUNNEL],
        "agreed, and an answer": [AGREED + b"\r\n" + POISON, TUNNEL],
        "agreed to nothing": [PLAIN_101 + b"\r\n", SHUT],
        "agreed to h2c": [PLAIN_101 + b"connection: upgrade\r\nupgrade: h2c\r\n\r\n", SHUT],
        "agreed to two": [PLAIN_101 + b"connection: upgrade\r\nupgrade: websocket, h2c\r\n\r\n", SHUT],
        "agreed twice": [AGREED + b"upgrade: h2c\r\n\r\n", SHUT],
        "refused": [REFUSED + b"content-length: 4\r\n\r\nseen"],
        "refused, and another answer": [REFUSED + b"content-length: 4\r\n\r\nseen" + POISON],
        "refused, and agreed": [REFUSED + b"content-length: 4\r\n\r\nseen", 0.02, AGREED + b"\r\n", SHUT],
        "refused in chunks": [REFUSED + b"transfer-encoding: chunked\r\n\r\n4\r\nseen\r\n0\r\n\r\n"],
        "refused without a length": [REFUSED + b"\r\nseen"],
        "200 and an upgrade": [OK + b"connection: upgrade\r\nupgrade: websocket\r\ncontent-length: 4\r\n\r\nseen"],
        "continued, then refused": [b"HTTP/1.1 100 Continue\r\n\r\n" + REFUSED + b"content-length: 4\r\n\r\nseen"],
        "status 1010": [AGREED.replace(b"101", b"1010") + b"\r\n", SHUT],
        "HTTP/1.0 101": [AGREED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n", TUNNEL],
    }.items():
        for which in ("nothing", "a page", "an unsigned delivery"):
            for pause in (0, 0.06):

                def make(context, which=which, pause=pause):
                    behind = {"nothing": b"", "a page": context.hidden_page, "an unsigned delivery": context.hidden}[
                        which
                    ]
                    asks = context.post(ASKS, b"", method=b"GET")
                    return [asks, pause, behind] if pause else asks + behind

                # Where nobody agreed, a page behind it is a request that was sent as one.
                if which != "a page" or TUNNEL in script:
                    title = f"{name}; {which} behind it, {pause} s late"
                    _add(book, scripts, title, make, script, on=(False,), method="GET", alone="and agreed" in name)

    for size in (9_000, 200_000):
        # More than is held back while it is not decided what it is.
        many = lambda c, size=size: c.post(ASKS, b"", method=b"GET") + c.hidden * (size // len(c.hidden))
        script = [0.05, REFUSED + b"content-length: 4\r\n\r\nseen"]
        _add(book, scripts, f"refused; {size} bytes of deliveries behind it", many, script, on=(False,), method="GET")


def _askers(book, scripts):
    """The app agrees to what nobody asked for, or nobody may ask for: nothing may come through."""
    length = b"content-length: %d\r\n"
    for name, lines in {
        "no Connection": ASKS.replace(b"connection: upgrade\r\n", b""),
        "no Upgrade": ASKS.replace(b"upgrade: websocket\r\n", b"", 1),
        "no key": b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n",
        "no version": b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: x\r\n",
        "h2c": ASKS.replace(b"websocket\r", b"h2c\r", 1),
        "two protocols": ASKS.replace(b"websocket\r", b"websocket, h2c\r", 1),
        "two lines": b"upgrade: h2c\r\n" + ASKS,
        "another version": ASKS.replace(b"websocket\r", b"websocket/13\r", 1),
        "connection: close": ASKS.replace(b"connection: upgrade", b"connection: close"),
        "odd white space": ASKS.replace(b"connection: upgrade", b"connection: up grade"),
    }.items():

        def page(context, lines=lines):
            return context.post(lines, b"", method=b"GET") + context.hidden

        _add(book, scripts, f"{name}; an unsigned delivery", page, [AGREED + b"\r\n", SHUT], on=(False,), method="GET")

        def delivery(context, lines=lines):
            return context.post(lines + length % 4, b"body") + context.hidden

        allowed = {"bodies": lambda _: {b"body"}}
        _add(book, scripts, f"{name}, with a body", delivery, [AGREED + b"\r\n", SHUT], **allowed)
    for method in (b"POST", b"HEAD", b"OPTIONS", b"GET"):
        for name, lines, body in (
            ("no body", ASKS, b""),
            ("a length of 0", ASKS + length % 0, b""),
            ("a body", ASKS + length % 4, b"body"),
            ("chunks", ASKS + b"transfer-encoding: chunked\r\n", b"4\r\nbody\r\n0\r\n\r\n"),
            ("no chunk", ASKS + b"transfer-encoding: chunked\r\n", b"0\r\n\r\n"),
            ("an expectation", ASKS + b"expect: 100-continue\r\n" + length % 4, b"body"),
        ):
            if method == b"GET" and name in ("no body", "a length of 0"):
                continue

            def make(context, method=method, lines=lines, body=body):
                reading = b"body" if b"body" in body else b""
                return context.post(lines, body, reading, method=method) + context.hidden

            allowed = {"bodies": lambda _: {b"", b"body"}, "method": method.decode()}
            _add(book, scripts, f"{method.decode()} with {name}", make, [AGREED + b"\r\n", SHUT], **allowed)
    old = lambda c: c.post(ASKS, b"", method=b"GET", version=b"HTTP/1.0") + c.hidden
    _add(book, scripts, "HTTP/1.0", old, [AGREED + b"\r\n", SHUT], on=(False,), method="GET")
