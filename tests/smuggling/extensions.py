"""The published chunk attacks, each with the request that it hides.

Two readers differ in where a chunk's line ends, or skip what stands behind its data, and one of them reads a second
request out of a chunk. Names and payloads: "Funky chunks" (TERM.EXT, EXT.TERM, TERM.SPILL, SPILL.TERM, ONE.TWO,
ZERO.TWO, 2025), the HTTP Garden. Must never hold a body that RFC 9112 §7.1 allows: extensions are refused as a whole.
"""

from case import FRAMING, Table, chunk, shown
from oracle import Shape

CODING = b"transfer-encoding: chunked\r\n"
ENDS = (b"\n", b"\r", b"\rX", b"\r\r", b"\x0b", b"\x0c", b"\0", b"\x85", b"\xe2\x80\xa8")


def table():
    """All of them."""
    book = Table("x")
    for group in (_terminators, _spills, _quotes, _sizes, _lengths_inside, _trailers):
        group(book)
    return book.cases


def _add(book, name, body, reading=lambda context: context.hidden_page):
    make = lambda c: c.post(CODING, body(c), reading(c))
    book.add(f"chunks: {name}", Shape.REFUSED, make, page=Shape.CUT, code=FRAMING, bodies=lambda _: set())


def _terminators(book):
    """Where the line of a size ends: the extension hides a line, or a line hides an extension."""
    for end in ENDS:

        def term_ext(context, end=end):
            inner = b"0\r\n\r\n" + context.hidden + b"\r\n0\r\n\r\n"
            return b"2;%bxx\r\n%x\r\n%b\r\n0\r\n\r\n" % (end, len(inner), inner)

        def ext_term(context, end=end):
            inner = b"0\r\n\r\n" + context.hidden_page
            return b"%x;%b%b\r\n0\r\n\r\n" % (len(inner), end, inner)

        def named(context, end=end):
            return b"4;a=b%bc=d\r\nevil\r\n0\r\n\r\n%b" % (end, context.hidden_page)

        def last(context, end=end):
            return b"4\r\nevil\r\n0;a%bb\r\n\r\n%b" % (end, context.hidden_page)

        for kind, body in (("TERM.EXT", term_ext), ("EXT.TERM", ext_term), ("named", named), ("at the last", last)):
            _add(book, f"{kind} {shown(end)}", body)


def _spills(book):
    """What stands between a chunk's data and the next size."""
    for end in ENDS:
        for size in (1, 2):
            spill = (end * 2)[:size]

            def term_spill(context, spill=spill):
                inner = b"0\r\n\r\n" + context.hidden_page
                return b"5\r\nAAAAA%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (spill, len(inner), inner)

            def instead(context, spill=spill):
                return b"5\r\nAAAAA%b2\r\nXX\r\n10\r\n\r\n0\r\n\r\n%b" % (spill, context.hidden_page)

            def behind_last(context, spill=spill):
                return b"5\r\nAAAAA\r\n0\r\n%b%b" % (spill, context.hidden_page)

            for kind, body in (("TERM.SPILL", term_spill), ("SPILL", instead), ("ZERO.TWO", behind_last)):
                _add(book, f"{kind} {shown(spill)}", body)
    for spill in (b"", b"X", b"XX", b"XXX", b"50", b"\r\n\r\n", b" \r\n", b";\r\n"):
        _add(book, f"ONE.TWO {shown(spill)}", lambda c, s=spill: b"5\r\nAAAAA%b%b" % (s, chunk(c.hidden_page)))


def _quotes(book):
    """A quoted value: whether a line may end in it."""
    for value in (
        b'"\r\n0\r\n\r\n"',
        b'"\\\r\n"',
        b'"\\"\r\n',
        b"'\r\n",
        b'"a\nb"',
        b'""',
        b'"a";b="c"',
        b'"' + b"a" * 70_000,
    ):
        _add(
            book,
            f"quoted {shown(value[:20])}",
            lambda c, v=value: b"4;a=%b\r\nevil\r\n0\r\n\r\n%b" % (v, c.hidden_page),
        )


def _sizes(book):
    """A size of which two readers take other digits."""
    hidden = lambda c: b"4\r\nevil\r\n0\r\n\r\n" + c.hidden_page
    for size in (
        b"0x0",
        b"0X4",
        b"0_4",
        b"4_",
        b"+4",
        b"-4",
        b" 4",
        b"4 ",
        b"4\t",
        b"\t4",
        b"4h",
        b"4L",
        b"4,4",
        b"4.0",
        b"%34",
        b"\\x34",
        b"4 0",
        b"1" + b"0" * 16 + b"4",
        b"0" * 17 + b"4",
        b"fffffffffffffffff4",
        "٤".encode(),
        "４".encode(),
        b"\xb24",
    ):
        _add(book, f"size {shown(size)!r}", lambda c, s=size: s + hidden(c)[1:])
        _add(book, f"last size {shown(size)!r}", lambda c, s=size: b"4\r\nevil\r\n" + s + b"\r\n\r\n" + c.hidden_page)
    for size in (b"8000000000000000", b"ffffffffffffffff", b"fffffffffffffffe", b"7fffffffffffffff"):
        # As many as they say, where nothing overflows: the rest of the connection is a body that never ends.
        body = lambda c, s=size: s + b"\r\n" + hidden(c)
        make = lambda c, body=body: c.post(CODING, body(c), c.hidden_page)
        more = {"code": (*FRAMING, "body_too_large", "body_timeout"), "bodies": lambda _: set()}
        book.add(f"chunks: size {size.decode()}", Shape.REFUSED, make, page=Shape.CUT, **more)


def _lengths_inside(book):
    """A whole message in a chunk, or a head's fields between two."""
    for line in (b"content-length: 4", b"transfer-encoding: identity", b"host: evil.example", b"x: y"):
        _add(book, f"{line.decode()} between", lambda c, x=line: b"4\r\nevil\r\n%b\r\n0\r\n\r\n%b" % (x, c.hidden_page))
        _add(book, f"{line.decode()} for a size", lambda c, x=line: b"%b\r\n\r\n%b" % (x, c.hidden_page))
    _add(book, "a request for a size", lambda c: c.hidden_page)
    _add(book, "an answer for a size", lambda c: b"HTTP/1.1 200 OK\r\n\r\n" + c.hidden_page)


def _trailers(book):
    """What merges trailers into the head reads another message (TR.CL, TR.TE); a blank line is CRLF alone."""
    for line in (
        b"x: y\n\ncontent-length: 90",
        b"x: y\r\r\n",
        b"\n",
        b"\r",
        b" \r\n",
        b"x\r\n",
        b"x y: z\r\n",
        b"x: y\r\n z\r\n",
        b"content-length: 90\r\n",
        b"CONTENT_LENGTH: 90\r\n",
        b"transfer-encoding: chunked\r\n",
        b"x-forwarded-for: 192.0.2.1\r\n",
        b"GET /page HTTP/1.1\r\n",
        b"x: " + b"y" * 70_000 + b"\r\n",
        b"x: y\r\n" * 200,
    ):
        body = lambda c, x=line: b"4\r\nevil\r\n0\r\n%b\r\n%b" % (x, c.hidden_page)
        name = f"chunks: trailer {shown(line[:24])}"
        more = {"code": ("framing", "head_too_large"), "bodies": lambda _: set()}
        book.add(name, Shape.REFUSED, lambda c, body=body: c.post(CODING, body(c), b"evil"), page=Shape.CUT, **more)
