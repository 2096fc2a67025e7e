"""The cases about a connection as a whole: how its bytes are cut, who closes it and when, which protocol it speaks.

Where a read ends, or a sender leaves, no message may end that would go on (RFC 9112 §8 and §9; pause-based and
client-side desync, 2022). Must never count on when hookward reads.
"""

from case import DATA, FRAMING, HOST, Table, chunk, shown
from lines import HALF, RESET
from oracle import Shape

LENGTH = b"content-length: %d\r\n"
CODING = b"transfer-encoding: chunked\r\n"
SIZE = b"%x" % len(DATA)
# Longer than a connection keeps its buffers when nothing happens on it.
A_REST = 0.15
# Sizes of buffers, here and in apps; the largest head that passes is 16 KiB.
EDGES = (4096, 8192, 16384, 65536)
MAX_HEAD = 16384


def table():
    """All of them."""
    book = Table("c")
    for group in (_leaving, _single_bytes, _rests, _edges, _queues, _protocols, _methods, _versions, _who):
        group(book)
    return book.cases


def _leaving(book):
    """The sender ends its half, or resets the connection, at each place that matters: what is cut is never whole."""
    for name, end in (("ends its half", HALF), ("resets", RESET)):
        gone = {"silent": True, "lost": ("a", "f", "g")}
        for place, make in {
            "in the request line": lambda c: c.post(LENGTH % 0, b"")[:9],
            "in a field": lambda c: c.post(LENGTH % 0, b"")[:-5],
            "before the empty line": lambda c: c.post(LENGTH % 0, b"")[:-2],
            "in the empty line": lambda c: c.post(LENGTH % 0, b"")[:-1],
            "before a body": lambda c: c.post(LENGTH % len(c.hidden), b"", c.hidden),
            "in a body": lambda c: c.post(LENGTH % len(c.hidden), c.hidden[:-1], c.hidden),
            "in a body that is a request": lambda c: c.post(LENGTH % 900, c.hidden_page, c.hidden_page),
            "before a chunk": lambda c: c.post(CODING, b"", DATA),
            "in a size": lambda c: c.post(CODING, SIZE[:1], DATA),
            "in a chunk": lambda c: c.post(CODING, SIZE + b"\r\n" + DATA[:-1], DATA),
            "behind a chunk": lambda c: c.post(CODING, SIZE + b"\r\n" + DATA + b"\r\n", DATA),
            "in the last chunk": lambda c: c.post(CODING, SIZE + b"\r\n" + DATA + b"\r\n0\r", DATA),
            "before the end of the trailers": lambda c: c.post(CODING, SIZE + b"\r\n" + DATA + b"\r\n0\r\n", DATA),
            "in a trailer": lambda c: c.post(CODING, SIZE + b"\r\n" + DATA + b"\r\n0\r\nx: y\r\n", DATA),
            "waiting for a 100": lambda c: c.post(b"expect: 100-continue\r\n" + LENGTH % 9, b"", DATA[:9]),
        }.items():
            cut = lambda c, make=make, end=end: [make(c), end]
            later = lambda c, make=make, end=end: [make(c), 0.05, end]
            for title, made in ((f"{name} {place}", cut), (f"{name} {place}, later", later)):
                book.add(f"connection: {title}", Shape.SAFE, made, bodies=lambda _: set(), **gone)
        whole = lambda c: c.post(LENGTH % len(c.hidden), c.hidden)
        # Answered or not: each that the app has is whole, and none is there twice.
        book.add(f"connection: {name} at once", Shape.SAFE, whole, bodies=lambda c: {c.hidden}, then=(end,), **gone)
        early = lambda c, whole=whole, end=end: [whole(c), end]
        book.add(f"connection: {name} behind the first", Shape.SAFE, early, bodies=lambda c: {c.hidden}, **gone)
    # A delivery runs to its end, and its sender still reads.
    half = {"then": (HALF,), "lost": ("a", "f")}
    book.add("connection: half of one that has all", Shape.SAFE, lambda c: b"", on=(False,), silent=True, **half)


def _single_bytes(book):
    """A byte at a time: no verdict hangs on how many came together."""
    both = LENGTH % 5 + CODING
    for name, shape, make, bodies in (
        (
            "a length",
            Shape.ONE,
            lambda c: c.post(LENGTH % len(c.hidden_page), c.hidden_page),
            lambda c: {c.hidden_page},
        ),
        ("chunks", Shape.ONE, lambda c: c.post(CODING, chunk(c.hidden_page), c.hidden_page), lambda c: {c.hidden_page}),
        ("both", Shape.REFUSED, lambda c: c.post(both, b"0\r\n\r\n" + c.hidden_page, b""), None),
        ("a fold", Shape.REFUSED, lambda c: c.post(b"x: y\r\n z\r\n", b""), None),
        ("CR LF CR", Shape.REFUSED, lambda c: c.post(b"x: y\r\n\rcontent-length: 0\r\n", b""), None),
        ("an empty line", Shape.ONE, lambda c: b"\r\n" + c.post(LENGTH % 0, b""), None),
        ("two empty lines", Shape.REFUSED, lambda c: b"\r\n\r\n" + c.post(LENGTH % 0, b""), None),
    ):
        slowly = lambda c, make=make: [p for byte in make(c) for p in (bytes([byte]), 0.0002)]
        book.add(f"connection: byte by byte, {name}", shape, slowly, bodies=bodies)


def _rests(book):
    """A pause at every place that matters: what is between two requests to one reader is within one to another."""
    for name, make, bodies in (
        ("a length", lambda c: c.post(LENGTH % len(c.hidden_page), c.hidden_page), lambda c: {c.hidden_page}),
        ("chunks", lambda c: c.post(CODING, chunk(c.hidden_page), c.hidden_page), lambda c: {c.hidden_page}),
    ):
        for place, at in {
            "before its first byte": lambda text: 0,
            "behind its first byte": lambda text: 1,
            "behind the request line": lambda text: text.index(b"\r\n") + 2,
            "in the empty line": lambda text: text.index(b"\r\n\r\n") + 3,
            "behind the head": lambda text: text.index(b"\r\n\r\n") + 4,
            "in the body": lambda text: text.index(b"\r\n\r\n") + 9,
            "before the last byte": lambda text: len(text) - 1,
            "behind the last byte": lambda text: len(text),
        }.items():

            def rested(context, make=make, at=at):
                text = make(context)
                return [text[: at(text)], A_REST, text[at(text) :]]

            book.add(f"connection: a rest {place}, {name}", Shape.ONE, rested, bodies=bodies)
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
    for name, first in (("a preface", preface), ("a hidden request", b"\r\n\r\n"), ("half a request", b"POST /page")):
        later = lambda c, first=first: [c.post(LENGTH % 0, b""), A_REST, first, A_REST, c.hidden]
        book.add(f"connection: {name} behind a rest", Shape.SAFE, later)


def _edges(book):
    """A head, a size, a line end at the end of a buffer."""
    for edge in EDGES:
        for off in (-2, -1, 0, 1, 2):
            size = edge + off

            def head(context, size=size):
                pad = size - len(context.post(LENGTH % len(context.hidden) + b"x: \r\n", b"", context.hidden))
                return context.post(LENGTH % len(context.hidden) + b"x: %s\r\n" % (b"p" * pad), context.hidden)

            fits = size <= MAX_HEAD
            code = {"code": ("head_too_large",)}
            shape = Shape.ONE if fits else Shape.REFUSED
            book.add(f"connection: head of {size}", shape, head, bodies=lambda c: {c.hidden}, **code)

            def chunks(context, size=size):
                # The first chunk ends, and the next size begins, where a read of everything does.
                used = len(context.post(CODING, b"", DATA)) + 6
                first = b"p" * (size - used - 2)
                body = b"%04x\r\n%s\r\n" % (len(first), first) + chunk(context.hidden)
                return context.post(CODING, body, first + context.hidden)

            def allowed(context, size=size):
                return {b"p" * (size - len(context.post(CODING, b"", DATA)) - 8) + context.hidden}

            book.add(f"connection: size at {size}", Shape.ONE, chunks, bodies=allowed)


def _queues(book):
    """Many requests at once: each refused by itself, and what is behind it served (CL.0 on a refusal)."""
    for count in (1, 20, 200):
        unsigned = lambda c, count=count: c.post(LENGTH % 4, b"body") + c.hidden * count
        name = f"connection: {count} unsigned behind it"
        book.add(name, Shape.SAFE, unsigned, bodies=lambda _: {b"body"})
    for name, method, target in (
        ("another method", b"DELETE", b"/api/webhooks/clerk"),
        ("another spelling", b"POST", b"/api/webhooks//clerk"),
        ("an encoded spelling", b"POST", b"/api/webhooks/%63lerk"),
    ):

        def make(context, method=method, target=target):
            lines = LENGTH % len(context.hidden_page)
            refused = b"%s %s?m=%s.s HTTP/1.1\r\n" % (method, target, context.mark.encode()) + HOST + lines + b"\r\n"
            return context.post(LENGTH % 4, b"body") + refused + context.hidden_page

        book.add(f"connection: {name} behind it", Shape.SAFE, make, bodies=lambda _: {b"body"})

    def filtered(context):
        # Genuine, not wanted, and answered here: its body is read all the same.
        body = b'{"type":"org.created","data":{},"pad":"%s"}' % context.hidden_page.replace(b"\r\n", b"\\r\\n")
        return context.post(LENGTH % len(body), body)

    book.add("connection: filtered", Shape.SAFE, filtered, on=(True,), bodies=lambda _: set())

    def twice(context):
        # A delivery that ran is answered here.
        request = context.post(LENGTH % len(context.hidden), context.hidden)
        return [request, 0.1, request.replace(context.mark.encode() + b".a HTTP", context.mark.encode() + b".s HTTP")]

    book.add("connection: a duplicate", Shape.SAFE, twice, on=(True,), bodies=lambda c: {c.hidden})


def _protocols(book):
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    for name, first in {
        "half a preface": preface[:18],
        "a preface but for its end": preface[:-1] + b"X",
        "a preface in small letters": preface.lower(),
        "a preface of HTTP/1.1": preface.replace(b"2.0", b"1.1"),
        "a preface and no settings": preface,
        "a preface twice": preface + preface,
        "settings and HTTP/1": preface + b"\0\0\0\4\0\0\0\0\0",
        "a TLS hello": bytes.fromhex("16030100310100002d0303") + b"\0" * 38,
        "a SOCKS greeting": b"\5\1\0",
        "RTSP": b"OPTIONS /page RTSP/1.0\r\nCSeq: 1\r\n\r\n",
        "SMTP": b"EHLO app.example\r\n",
        "an answer": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    }.items():
        make = lambda c, first=first: first + c.post(LENGTH % 0, b"")
        book.add(f"connection: {name}, then a request", Shape.SAFE, make, silent=True, bodies=lambda _: set())
        late = lambda c, first=first: c.post(LENGTH % 0, b"") + first
        book.add(f"connection: {name} behind a request", Shape.SAFE, late)


def _methods(book):
    for method in ("TRACE", "TRACK", "PRI", "DEBUG", "LINK", "get", "Post", "!#$%&'*+-.^_`|~0", "X" * 900):
        for name, lines, body in (
            ("counted", lambda c: LENGTH % len(c.hidden_page), lambda c: c.hidden_page),
            ("chunked", lambda c: CODING, lambda c: chunk(c.hidden_page)),
        ):
            make = lambda c, m=method, lines=lines, body=body: c.post(
                lines(c), body(c), c.hidden_page, method=m.encode()
            )
            more = {"bodies": lambda c: {c.hidden_page}, "method": method, "foreign": True}
            book.add(f"connection: method {method[:20]}, {name}", Shape.SAFE, make, **more)


def _versions(book):
    for version in (
        b"HTTP/1.10",
        b"HTTP/01.1",
        b"HTTP/1.1x",
        b"HTTP/1.",
        b"HTTP/.1",
        b"HTTP/1.1 HTTP/1.1",
        b"HTTP /1.1",
        b"HTTP/ 1.1",
        b"HTTP/3",
        b"HTTP/1.\xd9\xa1",
        b"HTTP/1.1;a",
        b"SIP/2.0",
    ):
        make = lambda c, version=version: c.post(LENGTH % len(c.hidden_page), c.hidden_page, version=version)
        book.add(f"connection: version {shown(version)!r}", Shape.REFUSED, make, code=FRAMING)


def _who(book):
    """Nobody tells the app who they are, or takes away what it is told."""
    told = {"origin": ("127.0.0.1", "http")}
    for line in (
        b"x-forwarded-for: 192.0.2.66",
        b"X_Forwarded_For: 192.0.2.66",
        b"x-forwarded_for: 192.0.2.66",
        b"x-forwarded-for: 192.0.2.66\r\nx-forwarded-for: 192.0.2.67",
        b"x-forwarded-proto: https\r\nx_forwarded_proto: https",
        b"connection: x-forwarded-for",
        b"connection: X_Forwarded_For",
        b"connection: close, x-forwarded-proto",
        b"connection: keep-alive\r\nconnection: x-forwarded-for",
        b'connection: "x-forwarded-for"',
        b"connection: x-forwarded-for;q=1",
        b"connection: verified-event",
        b"connection: svix-id, svix-signature",
        b"connection: content-type",
        b"connection: authorization",
    ):
        make = lambda c, line=line: c.post(line + b"\r\n" + LENGTH % 4, b"body")
        book.add(f"connection: told {shown(line)}", Shape.SAFE, make, bodies=lambda _: {b"body"}, **told)
    trailing = b"4\r\nbody\r\n0\r\nx-forwarded-for: 192.0.2.66\r\n\r\n"
    make = lambda c: c.post(CODING, trailing, b"body")
    book.add("connection: told by a trailer", Shape.SAFE, make, bodies=lambda _: {b"body"}, **told)
