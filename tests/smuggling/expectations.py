"""The cases about `Expect`: a sender that waits, one that does not, and an expectation in words that one reader misses.

Who waits for a 100 and who sends the body at once decide where the next request begins (0.CL and CL.0 by `Expect`,
vanilla and obfuscated: "HTTP/1.1 must die", 2025). Must never hold a case in which the sender breaks its own promise
and is served.
"""

from apps import SENDER_LIMIT
from case import ODD, Table, chunk, shown
from oracle import Shape

LENGTH = b"content-length: %d\r\n"
EXPECT = b"expect: 100-continue\r\n"


def table():
    """All of them."""
    book = Table("e")
    for group in (_obfuscated, _places, _no_body, _another_request, _refused):
        group(book)
    return book.cases


def _obfuscated(book):
    for byte in ODD:
        odd = bytes([byte])
        for line in (
            b"Expect%b: 100-continue" % odd,
            b"Expect:%b100-continue" % odd,
            odd + b"Expect: 100-continue",
            b"Expect: 100-continue" + odd,
            b"Expect: 100%bcontinue" % odd,
            b"X: X%bExpect: 100-continue" % odd,
            b"X: X\r%bExpect: 100-continue" % odd,
        ):
            for late in (False, True):
                # At once: the body is there. Late: a reader that sees no expectation must wait for it.
                def make(context, line=line, late=late):
                    head = context.post(line + b"\r\n" + LENGTH % len(context.hidden), b"", context.hidden)
                    return [head, 0.02, context.hidden] if late else head + context.hidden

                name = f"expectation {shown(line)}{', late' if late else ''}"
                book.add(name, Shape.SAFE, make, bodies=lambda c: {c.hidden})
    for line in (
        b"expect: y\r\nexpect: 100-continue",
        b"expect: 100-continue\r\nexpect: y",
        b"expect:\r\nexpect: 100-continue",
        b"expect: 100-continue, 100-continue",
        b"expect: 100-continue=x",
        b'expect: "100-continue"',
        b"expect: 100 continue",
        b"expect: 101-continue",
        b"expect: 100-continue\r\n x",
        b"x-expect: 100-continue",
        b"expect_: 100-continue",
        b"connection: expect\r\nexpect: 100-continue",
        b"connection: close, expect\r\nexpect: 100-continue",
    ):
        make = lambda c, line=line: c.post(line + b"\r\n" + LENGTH % len(c.hidden), c.hidden)
        book.add(f"expectation {shown(line)}", Shape.SAFE, make, bodies=lambda c: {c.hidden})


def _places(book):
    """Beside a length, a coding, an old version, an upgrade."""
    for name, lines, body, more in (
        ("and no length", EXPECT, b"", {}),
        ("and a length of 0", EXPECT + LENGTH % 0, b"", {}),
        ("and no chunk", EXPECT + b"transfer-encoding: chunked\r\n", b"0\r\n\r\n", {}),
        ("in HTTP/1.0", EXPECT + LENGTH % 0, b"", {"version": b"HTTP/1.0"}),
        ("and the end", EXPECT + b"connection: close\r\n" + LENGTH % 0, b"", {}),
        ("and an upgrade", EXPECT + b"upgrade: h2c\r\nconnection: upgrade\r\n" + LENGTH % 0, b"", {}),
        ("and two lengths", EXPECT + LENGTH % 0 + LENGTH % 4, b"", {}),
        ("and both", EXPECT + LENGTH % 0 + b"transfer-encoding: chunked\r\n", b"", {}),
    ):
        make = lambda c, lines=lines, body=body, more=more: c.post(lines, body, b"", **more) + c.hidden
        book.add(f"expectation {name}, an unsigned delivery behind it", Shape.SAFE, make)


def _no_body(book):
    """The sender waits for what never comes, or leaves."""
    late = SENDER_LIMIT + 1
    for coding in (False, True):
        lines = lambda c, coding=coding: b"transfer-encoding: chunked\r\n" if coding else LENGTH % len(c.hidden_page)
        make = lambda c, lines=lines: [c.post(EXPECT + lines(c), b"", c.hidden_page), late, c.hidden_page]
        name = f"expectation, and no body in time, {'chunked' if coding else 'counted'}"
        book.add(name, Shape.REFUSED, make, page=Shape.CUT, code=("body_timeout",), bodies=lambda _: set())


def _another_request(book):
    """In place of the body another request, as senders do that take a refusal for the answer (RFC 9110 §10.1.1)."""
    for method in ("POST", "GET", "HEAD", "OPTIONS", "DELETE"):
        for early in (b"", b"&early"):

            def make(context, method=method, early=early):
                context.target += early
                body = context.hidden_page
                head = context.post(EXPECT + LENGTH % len(body), b"", body, method=method.encode())
                return [head, 0.1, body]

            name = f"expectation, {method}{' answered early' if early else ''}, and a request for its body"
            book.add(name, Shape.SAFE, make, bodies=lambda c: {c.hidden_page}, on=(False,), method=method)

            def chunks(context, method=method, early=early):
                context.target += early
                head = context.post(EXPECT + b"transfer-encoding: chunked\r\n", b"", method=method.encode())
                return [head, 0.1, chunk(context.hidden_page)]

            allowed = {"bodies": lambda c: {c.hidden_page}, "on": (False,), "method": method}
            book.add(f"{name}, in a chunk", Shape.SAFE, chunks, **allowed)


def _refused(book):
    """Refused by its head. With or without its body, what comes next is no part of it, and no request out of it."""
    for name, wrong, code in (
        ("no signature", lambda head: head.replace(b"svix-signature", b"x-signature"), "header_missing"),
        (
            "two signatures",
            lambda head: head.replace(b"svix-id", b"svix-signature: v1,x\r\nsvix-id"),
            "header_repeated",
        ),
        ("an old time", lambda head: _old(head), "timestamp_too_old"),
        ("another method", lambda head: head.replace(b"POST", b"PUT", 1), "method_not_allowed"),
        ("too large", lambda head: head.replace(b"content-length: ", b"content-length: 9999999", 1), "body_too_large"),
        ("another spelling", lambda head: head.replace(b"/api/", b"/api//", 1), "bad_target"),
    ):
        for lines in (b"", EXPECT):
            for pause in (0, 0.1):

                def make(context, wrong=wrong, lines=lines, pause=pause):
                    body = context.hidden_page
                    return [wrong(context.post(lines + LENGTH % len(body), b"", body)), pause, body]

                said = f"{'expectation, ' if lines else ''}refused for {name}, body {pause} s late"
                book.add(said, Shape.SAFE, make, on=(True,), bodies=lambda _: set(), code=(code,))


def _old(head):
    start = head.index(b"svix-timestamp: ") + 16
    return head[:start] + b"1000000000" + head[head.index(b"\r\n", start) :]
