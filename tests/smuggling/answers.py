"""The cases about the app's answers: too many of them, too long, broken, early, or another protocol's.

An answer that somebody else gets is smuggling as much as a request is (response queue poisoning, "HTTP/2: The Sequel is
Always Worse", 2021). The app is [`Scripted`]; what it must not be able to say to a sender has the mark `s`. Must never
hold a case in which an app that answers honestly is to blame.
"""

from case import Table
from downgrades import Streams
from oracle import Shape
from scripted import CLOSE, EARLY, FADE, PLAIN, RESET

OK = b"HTTP/1.1 200 OK\r\nx-seen: {seen}\r\n"
WHOLE = OK + b"content-length: 4\r\n\r\nseen"
POISON = b"HTTP/1.1 200 OK\r\nx-seen: {poison}\r\ncontent-length: 4\r\n\r\nevil"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
# As long as the answer is read and its connection put aside.
WHILE_RESTING = 0.02


def table():
    """The cases, and what the app answers in each."""
    book, streams = Table("n"), Streams("o")
    scripts = {}
    for group in (_surplus, _bodyless, _lengths, _codings, _chunks, _heads, _interim, _early, _ends):
        for name, shape, script, more in group():
            _add(book, scripts, name, shape, script, **more)
            # There the followers come at once, and what is said late is for them as far as anybody can tell.
            if not more.get("alone") and "version" not in more:
                _add_stream(streams, scripts, name, script, **more)
    return [*book.cases, *streams.cases], scripts


def _add(
    book, scripts, name, shape, script, method="POST", body=b"honest", lines=b"", version=b"HTTP/1.1", gap=0, **more
):
    def make(context):
        scripts[(context.mark, "a")] = script
        length = b"content-length: %d\r\n" % len(body)
        request = context.post(lines + length, body, method=method.encode(), version=version)
        if gap:
            half = len(request) - len(body) // 2
            return [request[:half], gap, request[half:], WHILE_RESTING * 3]
        # The followers come when the app's connection rests, with whatever else is on it: well behind what comes late.
        return [request, WHILE_RESTING * (10 if more.get("alone") else 3)]

    on = (False, True) if method == "POST" else (False,)
    more.setdefault("lost", ("a",))
    book.add(f"answer: {name}", shape, make, bodies=lambda _: {body}, on=on, method=method, **more)


def _add_stream(streams, scripts, name, script, method="POST", body=b"honest", lines=b"", **more):
    """The same, asked for by HTTP/2: the app's connections are the same ones."""

    def make(attack):
        scripts[(attack.mark, "a")] = script
        attack.replace(b":method", method.encode())
        attack.body = [body] if body else []
        attack.fields = [tuple(line.split(b": ")) for line in lines.split(b"\r\n") if line]

    more.setdefault("lost", ("a",))
    streams.add(f"answer: {name}", make, on=(False, True) if method == "POST" else (False,), method=method, **more)


def _any(cases, **more):
    for name, script in cases:
        yield name, Shape.SAFE, [*script, FADE], more


def _surplus():
    """More than one answer to one request."""
    yield from _any(
        [
            ("two at once", [WHOLE + POISON]),
            ("half of a second one", [WHOLE + POISON[:30]]),
            ("a line end behind it", [WHOLE + b"\r\n"]),
            ("a NUL behind it", [WHOLE + b"\0"]),
            ("a request behind it", [WHOLE + b"GET /page?m=x HTTP/1.1\r\nhost: a\r\n\r\n"]),
            ("a 408 behind it", [WHOLE + b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\r\n", CLOSE]),
            ("an interim one behind it", [WHOLE + b"HTTP/1.1 103 Early Hints\r\nx-seen: {poison}\r\n\r\n"]),
            ("two in chunks", [CHUNKED + b"4\r\nseen\r\n0\r\n\r\n" + POISON]),
            ("one in pieces and another", [WHOLE[:20], 0.01, WHOLE[20:] + POISON[:9], 0.01, POISON[9:]]),
            ("a thousand", [WHOLE + POISON * 1000]),
        ]
    )
    yield from _any(
        [
            ("two, one after the other", [WHOLE, WHILE_RESTING, POISON]),
            ("two, when nobody waits for one", [WHOLE, WHILE_RESTING * 2, POISON]),
        ],
        alone=True,
    )


def _bodyless():
    """Answers that have no body, with one (RFC 9112 §6.3)."""
    for status in (b"204 No Content", b"304 Not Modified", b"205 Reset Content"):
        head = b"HTTP/1.1 %s\r\nx-seen: {seen}\r\n" % status
        yield from _any(
            [
                (f"{status.decode()} and a counted body", [head + b"content-length: %d\r\n\r\n" % 90 + POISON]),
                (f"{status.decode()} and one in chunks", [head + b"transfer-encoding: chunked\r\n\r\n" + POISON]),
                (f"{status.decode()} and a body nobody counts", [head + b"\r\n" + POISON]),
                (f"{status.decode()} and no body of length 5", [head + b"content-length: 5\r\n\r\n"]),
            ]
        )
    head = OK + b"content-length: 90\r\n\r\n"
    yield from _any(
        [
            ("HEAD and a body", [head + POISON]),
            ("HEAD and a body in chunks", [CHUNKED + b"4\r\nseen\r\n0\r\n\r\n"]),
            ("HEAD and no length", [OK + b"\r\n" + POISON]),
            ("HEAD and two lengths", [OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\n"]),
        ],
        method="HEAD",
        body=b"",
    )
    late = [("HEAD and its body, late", [head, WHILE_RESTING, POISON])]
    yield from _any(late, method="HEAD", body=b"", alone=True)


def _lengths():
    """The length of an answer in words that nobody may read twice."""
    for value in (
        b"+4",
        b"-1",
        b"4, 90",
        b"4, 4",
        b"4,4 , 4",
        b"0x4",
        b"4 4",
        b"4;",
        b"",
        b"18446744073709551620",
        b"99999999999999999999",
        b"4\r\ncontent-length: 90",
        b"90\r\ncontent-length: 4",
        b"4\r\n content-length: 90",
        b"\x0b4",
        b"4\x00",
        b"4\r\ncontent-length : 90",
        b"4\r\ncontent_length: 90",
        b"4\ncontent-length: 90",
    ):
        yield from _any([(f"content-length {value!r}", [OK + b"content-length: %b\r\n\r\nseen" % value + POISON])])
    yield from _any(
        [
            ("shorter than it is", [OK + b"content-length: 2\r\n\r\nseen" + POISON]),
            ("longer than it is, and the end", [OK + b"content-length: 9\r\n\r\nseen", CLOSE]),
            ("longer than it is, by an answer", [OK + b"content-length: 9\r\n\r\nseen" + POISON]),
            ("a length and connection: content-length", [OK + b"connection: content-length\r\n" + WHOLE[len(OK) :]]),
        ]
    )


def _codings():
    body = b"4\r\nseen\r\n0\r\n\r\n"
    for coding in (
        b"transfer-encoding: identity",
        b"transfer-encoding: gzip",
        b"transfer-encoding: chunked, gzip",
        b"transfer-encoding: gzip, chunked",
        b"transfer-encoding: chunked, chunked",
        b"transfer-encoding: xchunked",
        b"transfer-encoding : chunked",
        b"transfer-encoding:\x0bchunked",
        b"transfer-encoding:\r\n chunked",
        b"transfer_encoding: chunked",
        b"transfer-encoding: chunked\r\ntransfer-encoding: identity",
        b"transfer-encoding: identity\r\ntransfer-encoding: chunked",
        b"transfer-encoding: chunked\r\nconnection: transfer-encoding",
    ):
        yield from _any(
            [
                (f"{coding!r} and chunks", [OK + coding + b"\r\n\r\n" + body + POISON]),
                (f"{coding!r} and a length", [OK + coding + b"\r\ncontent-length: 4\r\n\r\n" + body + POISON]),
            ]
        )
    for first in (
        b"content-length: 4\r\ntransfer-encoding: chunked",
        b"transfer-encoding: chunked\r\ncontent-length: 4",
    ):
        yield from _any([(f"{first!r}", [OK + first + b"\r\n\r\n" + body])])
    old = OK.replace(b"HTTP/1.1", b"HTTP/1.0")
    yield from _any([("HTTP/1.0 in chunks", [old + b"transfer-encoding: chunked\r\n\r\n" + body, CLOSE])])
    yield from _any(
        [
            ("in chunks to HTTP/1.0", [CHUNKED + body]),
            ("interim to HTTP/1.0", [b"HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n" + WHOLE]),
        ],
        version=b"HTTP/1.0",
    )


def _chunks():
    for name, body in {
        "extension": b"4;a=b\r\nseen\r\n0\r\n\r\n",
        "extension with LF": b"4;a\nb\r\nseen\r\n0\r\n\r\n",
        "size ended by LF": b"4\nseen\n0\n\n",
        "size with a sign": b"+4\r\nseen\r\n0\r\n\r\n",
        "size of 2^64 and 4": b"10000000000000004\r\nseen\r\n0\r\n\r\n",
        "no line end behind data": b"4\r\nseen0\r\n\r\n",
        "two bytes behind data": b"4\r\nseenXX0\r\n\r\n",
        "no last chunk": b"4\r\nseen\r\n",
        "trailer": b"4\r\nseen\r\n0\r\nx-checksum: 1\r\n\r\n",
        "trailer of another length": b"4\r\nseen\r\n0\r\ncontent-length: 90\r\n\r\n",
        "trailer of another mark": b"4\r\nseen\r\n0\r\nx-seen: {poison}\r\n\r\n",
        "trailer that is folded": b"4\r\nseen\r\n0\r\nx: y\r\n z\r\n\r\n",
        "trailer without a colon": b"4\r\nseen\r\n0\r\nHTTP/1.1 200 OK\r\n\r\n",
        "LF at the end": b"4\r\nseen\r\n0\r\n\n",
    }.items():
        yield from _any([(f"chunk: {name}", [CHUNKED + body + POISON])])
    yield "honest chunks", Shape.ONE, [CHUNKED + b"4\r\nseen\r\n0\r\n\r\n"], {"lost": ()}


def _heads():
    """Heads that are none, and heads that say something of the other hop."""
    for name, head in {
        "no status line": b"x-seen: {poison}\r\n\r\n",
        "HTTP/0.9": b"<html>",
        "HTTP/2.0": OK.replace(b"HTTP/1.1", b"HTTP/2.0") + b"content-length: 4\r\n\r\n",
        "HTTP/1.2": OK.replace(b"HTTP/1.1", b"HTTP/1.2") + b"content-length: 4\r\n\r\n",
        "ICY": OK.replace(b"HTTP/1.1", b"ICY") + b"content-length: 4\r\n\r\n",
        "status 099": OK.replace(b"200", b"099") + b"content-length: 4\r\n\r\n",
        "status 000": OK.replace(b"200", b"000") + b"content-length: 4\r\n\r\n",
        "status 1000": OK.replace(b"200", b"1000") + b"content-length: 4\r\n\r\n",
        "status -20": OK.replace(b"200", b"-20") + b"content-length: 4\r\n\r\n",
        "LF alone": OK.replace(b"\r\n", b"\n") + b"content-length: 4\n\n",
        "CR in a value": OK + b"x: y\rx-seen: {poison}\r\ncontent-length: 4\r\n\r\n",
        "NUL in a value": OK + b"x: y\0z\r\ncontent-length: 4\r\n\r\n",
        "folded": OK + b"x: y\r\n x-seen: {poison}\r\ncontent-length: 4\r\n\r\n",
        "space before a colon": OK + b"x : y\r\ncontent-length: 4\r\n\r\n",
        "CR in the reason": OK.replace(b"OK", b"O\rK") + b"content-length: 4\r\n\r\n",
        "empty line in front": b"\r\n" + OK + b"content-length: 4\r\n\r\n",
        "two hundred lines": OK + b"".join(b"x-%d: y\r\n" % n for n in range(200)) + b"content-length: 4\r\n\r\n",
        "a line of a megabyte": OK + b"x: " + b"y" * (1 << 20) + b"\r\ncontent-length: 4\r\n\r\n",
        "connection: x-seen": OK + b"connection: x-seen\r\ncontent-length: 4\r\n\r\n",
        "upgrade on a 200": OK + b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 4\r\n\r\n",
        "connection: close, and not closed": OK + b"connection: close\r\ncontent-length: 4\r\n\r\n",
        "connection: close, keep-alive": OK + b"connection: close, keep-alive\r\ncontent-length: 4\r\n\r\n",
        "keep-alive: timeout=0": OK + b"keep-alive: timeout=0\r\ncontent-length: 4\r\n\r\n",
        "proxy-connection: close": OK + b"proxy-connection: close\r\ncontent-length: 4\r\n\r\n",
    }.items():
        yield from _any([(name, [head + b"seen" + POISON])], lines=b"x-pad: %s\r\n" % (b"p" * 8))


def _interim():
    hint = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n"
    for name, first in {
        "100, though nobody asked": b"HTTP/1.1 100 Continue\r\n\r\n",
        "100 twice": b"HTTP/1.1 100 Continue\r\n\r\n" * 2,
        "100 with a length": b"HTTP/1.1 100 Continue\r\ncontent-length: 4\r\n\r\n",
        "103 with a length": hint + b"content-length: 90\r\n\r\n",
        "103 in chunks": hint + b"transfer-encoding: chunked\r\n\r\n",
        "103 with an upgrade": hint + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n",
        "103 with what its list names": hint + b"connection: x-hop\r\nx-hop: 1\r\n\r\n",
        "103 that closes": hint + b"connection: close\r\n\r\n",
        "103 with another mark": hint + b"x-seen: {poison}\r\n\r\n",
        "103 with a trailer and a keep-alive": hint + b"trailer: x\r\nkeep-alive: timeout=1\r\nte: x\r\n\r\n",
        "199": b"HTTP/1.1 199 Odd\r\n\r\n",
        "a hundred of them": (hint + b"\r\n") * 100,
        "103, late": hint + b"\r\n",
    }.items():
        yield name, Shape.SAFE, [first, 0.01, WHOLE], {"lost": ()}
        yield f"{name}, and two answers", Shape.SAFE, [first + WHOLE + POISON], {}
    yield from _any(
        [
            ("101, though nobody asked", [b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + POISON]),
            (
                "101 to websocket, though nobody asked",
                [b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n" + POISON],
            ),
            ("an interim answer alone", [hint + b"\r\n", CLOSE]),
        ]
    )


def _early():
    """Answered before the request is whole: what is left of it is no request, what is left of the answer no answer."""
    expect = b"expect: 100-continue\r\n"
    for lines in (b"", expect):
        said = "expected and " if lines else ""
        for name, script in {
            "answered early": [EARLY, *PLAIN],
            "answered early, closed": [EARLY, *PLAIN, CLOSE],
            "answered early and again": [EARLY, *PLAIN, POISON, CLOSE],
            "refused early": [EARLY, b"HTTP/1.1 417 No\r\nx-seen: {seen}\r\ncontent-length: 0\r\n\r\n"],
            "continued late": [EARLY, *PLAIN, WHILE_RESTING, b"HTTP/1.1 100 Continue\r\n\r\n"],
            "continued and answered": [EARLY, b"HTTP/1.1 100 Continue\r\n\r\n", *PLAIN],
        }.items():
            body = b"GET /page?m=x1.s HTTP/1.1\r\nhost: app.example\r\n\r\n" * 3
            # More than an answer: that comes when the app's connection rests.
            late = script[-1] not in (PLAIN[-1], script[1])
            yield f"{said}{name}", Shape.SAFE, script, {"lines": lines, "body": body, "alone": late}
            gap = {"lines": lines, "body": body, "alone": True, "gap": WHILE_RESTING * 3}
            yield f"{said}{name}, within its body", Shape.SAFE, script, gap


def _ends():
    yield from _any(
        [
            ("none, and the end", [CLOSE]),
            ("none, and a reset", [RESET]),
            ("half a head, and the end", [OK, CLOSE]),
            ("half a head, and a reset", [OK, RESET]),
            ("half a chunk, and the end", [CHUNKED + b"9\r\nseen", CLOSE]),
            ("without a length, and the end", [OK + b"\r\nseen" + POISON, CLOSE]),
        ]
    )
    yield from _any(
        [
            ("whole, and a reset", [WHOLE, RESET]),
            ("whole, and the end at once", [WHOLE, CLOSE]),
            ("a reset when it rests", [WHOLE, WHILE_RESTING * 2, RESET]),
            ("the end when it rests", [WHOLE, WHILE_RESTING * 2, CLOSE]),
        ],
        alone=True,
    )
