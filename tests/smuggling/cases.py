"""The table of HTTP/1 cases: the public corpora's ideas, each on a page and on a protected route.

A case is one connection: the attack (mark `a`), with a hidden request inside (`s`), then two honest followers, a page
(`f`) and a genuine delivery (`g`). Ideas: PortSwigger's desync research, smuggler.py, the HTTP Garden, CERT's and
RFC 9112 §11's cases. Must never need to know how hookward reads a request: a case says what HTTP lets it mean.
"""

from dataclasses import dataclass, field

from apps import SENDER_LIMIT
from oracle import Shape
from signer import PATH, sign

HOST = b"host: app.example\r\n"
DATA = b'{"type":"user.created","data":{}}'
# What parsers have been seen to skip, strip, fold or end a line at.
ODD = [*range(0x21), 0x7F, 0x80, 0x85, 0xA0, 0xAD, 0xFF]
FRAMING = ("framing",)
ANY_HEAD = ("framing", "bad_target", "head_too_large")


@dataclass
class Case:
    """One connection, and what may come of it."""

    name: str
    mark: str
    pieces: list
    shape: Shape
    # What the attack's body may be in the app, where it gets there.
    bodies: set
    method: str = "POST"
    code: tuple = ()
    genuine: bytes = b""
    to_head: list = field(default_factory=list)
    # The app's order is that of the answers.
    ordered: bool = True
    # It may end without any answer.
    silent: bool = False


class Context:
    """What an attack is made of: targets with their marks, signatures, and the hidden request."""

    def __init__(self, mark, protected):
        self.mark, self.protected = mark, protected
        self.target = (PATH if protected else "/page").encode() + b"?m=" + mark.encode() + b".a"
        # Behind a refused head a hidden page counts most: nothing would refuse it by itself.
        page = b"GET /page?m=%s.s HTTP/1.1\r\n%s\r\n" % (mark.encode(), HOST)
        self.hidden_page = page
        self.hidden = b"POST %s?m=%s.s HTTP/1.1\r\n%scontent-length: 4\r\n\r\nevil" % (PATH.encode(), mark.encode(), HOST)

    def signed(self, body):
        """Lines that make this body genuine, on a protected route."""
        return b"".join(b"%s: %s\r\n" % pair for pair in sign(f"msg_{self.mark}_a", body)) if self.protected else b""

    def post(self, lines, body, reading=None, method=b"POST", version=b"HTTP/1.1", host=HOST):
        """A request with these lines as they are; signed is what the body is in the reading that is tempting."""
        head = b"%s %s %s\r\n%s" % (method, self.target, version, host)
        return head + self.signed(body if reading is None else reading) + lines + b"\r\n" + body

    def followers(self):
        """A page, and a genuine delivery that ends the connection."""
        mark = self.mark.encode()
        page = b"GET /page?m=%s.f HTTP/1.1\r\n%s\r\n" % (mark, HOST)
        return page + genuine(self.mark)


def genuine(mark):
    """The delivery that must be served after everything."""
    lines = b"".join(b"%s: %s\r\n" % pair for pair in sign(f"msg_{mark}_g", DATA))
    head = b"POST %s?m=%s.g HTTP/1.1\r\n%s%s" % (PATH.encode(), mark.encode(), HOST, lines)
    return head + b"connection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(DATA), DATA)


def chunk(body):
    """One chunk, and the last."""
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


class Table:
    """Collects cases, each on both targets."""

    def __init__(self):
        self.cases = []

    def add(self, name, shape, make, bodies=None, on=(False, True), page=None, **more):
        """`make` gives the attack for a context: bytes, or a list of pieces. `page`: the shape where nothing is protected."""
        for protected in on:
            mark = f"h{len(self.cases)}"
            context = Context(mark, protected)
            made = make(context)
            pieces = [made] if isinstance(made, bytes) else made
            allowed = bodies(context) if bodies else {b""}
            where = "delivery" if protected else "page"
            case = Case(
                f"{name} ({where})",
                mark,
                [*pieces, context.followers()],
                shape if protected or page is None else page,
                allowed,
                genuine=DATA,
                **more,
            )
            if case.method == "HEAD":
                case.to_head = [context.target.decode()]
            self.cases.append(case)


def table():
    """All of them."""
    book = Table()
    for group in (
        _two_lengths,
        _codings,
        _obfuscated_codings,
        _obfuscated_lengths,
        _lengths,
        _chunks,
        _trailers,
        _heads,
        _request_lines,
        _targets,
        _hosts,
        _connection_lists,
        _whole_bodies,
        _methods,
        _expectations,
        _upgrades,
        _versions,
        _pauses,
    ):
        group(book)
    return book.cases


def _shown(line):
    return line.decode("latin-1").encode("unicode_escape").decode()


def _both_forms(book, name, line, shape, **more):
    """CL.TE, where the hidden request is behind the last chunk, and TE.CL, where it is inside of one."""

    def length_first(context):
        body = b"0\r\n\r\n" + context.hidden
        return body, body

    def coding_first(context):
        return chunk(context.hidden), b"%x\r\n" % len(context.hidden)

    for kind, form, tempting in (
        ("CL.TE", length_first, lambda body, _: body),
        ("CL.TE, signed as empty", length_first, lambda *_: b""),
        ("TE.CL", coding_first, lambda _, short: short),
        ("TE.CL, signed as chunked", coding_first, None),
    ):

        def make(context, form=form, tempting=tempting):
            body, counted = form(context)
            reading = tempting(body, counted) if tempting else context.hidden
            return context.post(b"content-length: %d\r\n%s\r\n" % (len(counted), line), body, reading)

        on = (True,) if "signed" in kind else (False, True)
        book.add(f"{kind}: {name}", shape, make, bodies=lambda c, form=form: {form(c)[1]}, on=on, **more)


def _two_lengths(book):
    for line in (
        b"transfer-encoding: chunked",
        b"Transfer-Encoding: Chunked",
        b"TRANSFER-ENCODING: CHUNKED",
        b"transfer-encoding:chunked",
        b"transfer-encoding: \t chunked \t",
        b"transfer-encoding: identity",
        b"transfer-encoding:",
        b"transfer-encoding: chunked\r\ntransfer-encoding: identity",
        b"transfer-encoding: identity\r\ntransfer-encoding: chunked",
        b"transfer-encoding: x\r\ntransfer-encoding: chunked",
        b"transfer-encoding: chunked\r\ntransfer-encoding: x",
        b"te: chunked\r\ntransfer-encoding: chunked",
        b"connection: transfer-encoding\r\ntransfer-encoding: chunked",
        b"connection: content-length\r\ntransfer-encoding: chunked",
    ):
        _both_forms(book, _shown(line), line, Shape.REFUSED, code=FRAMING)


def _codings(book):
    """A coding that is not exactly `chunked`, without a length beside it."""
    for value in (
        b"identity",
        b"",
        b" ",
        b"xchunked",
        b"chunkedx",
        b"chunk",
        b"gzip",
        b"gzip, chunked",
        b"chunked, gzip",
        b"chunked, identity",
        b"identity, chunked",
        b"chunked, chunked",
        b"chunked,",
        b",chunked",
        b",",
        b"cow, chunked",
        b"chunked, cow",
        b"chunked;q=1",
        b"chunked;",
        b'"chunked"',
        b"'chunked'",
        b"[chunked]",
        b"chunked\r\n identity",
        b"\r\n chunked",
        b"\r\n\tchunked",
        b"chunked\r\ntransfer-encoding: chunked",
        b"chunked\r\nTransfer-Encoding: cow",
        b"cow\r\nTransfer-Encoding: chunked",
        b"=?utf-8?q?chunked?=",
        b"chunK\xe2\x84\xaaed",
        b"\xef\xbb\xbfchunked",
        b"c h u n k e d",
        b"chu\tnked",
        b"c\\hunked",
        b"chunked #",
        b"%63hunked",
    ):
        line = b"transfer-encoding: " + value
        shown = _shown(value)
        make = lambda c, line=line: c.post(line + b"\r\n", chunk(c.hidden_page), c.hidden_page)  # noqa: E731
        book.add(f"coding {shown!r}", Shape.REFUSED, make, code=FRAMING)
        make = lambda c, line=line: c.post(line + b"\r\n", c.hidden_page, b"")  # noqa: E731
        book.add(f"coding {shown!r} and no chunks", Shape.REFUSED, make, code=FRAMING)


def _obfuscated_codings(book):
    coding = b"Transfer-Encoding: chunked"
    for byte in ODD:
        odd = bytes([byte])
        for line in (
            b"Transfer-Encoding:%bchunked" % odd,
            b"Transfer-Encoding%b: chunked" % odd,
            odd + coding,
            coding + odd,
            b"X: X" + odd + coding,
            b"X: X\r" + odd + coding,
            b"X: X%b\n%b" % (odd, coding),
            b"Transfer%bEncoding: chunked" % odd,
            b"Transfer-Encoding: chu%bnked" % odd,
            b"Transfer-Encoding: chunked\r\n%bx" % odd,
        ):
            _both_forms(book, _shown(line), line, Shape.SAFE)
    for line in (
        b"Transfer_Encoding: chunked",
        b"Transfer-Encoding\r\n: chunked",
        b"X-Transfer-Encoding: chunked",
        b"Transfer-Encoding-X: chunked",
        b"Content-Encoding: chunked",
        b"Transfer.Encoding: chunked",
        b"Transfer\xe2\x80\x90Encoding: chunked",
        b"\xef\xbb\xbfTransfer-Encoding: chunked",
        b'"Transfer-Encoding": chunked',
        b"Transfer-Encoding = chunked",
        b"Transfer-Encoding chunked",
        b": Transfer-Encoding: chunked",
        b"Foo: bar\r\n Transfer-Encoding: chunked",
        b"Foo: bar\n\tTransfer-Encoding: chunked",
    ):
        _both_forms(book, _shown(line), line, Shape.SAFE)


def _obfuscated_lengths(book):
    """CL.0 and 0.CL: the body is a request, and whether it is one hangs on a spelling."""
    for byte in ODD:
        odd = bytes([byte])
        for shape_of in (
            b"Content-Length:%b{n}" % odd,
            b"Content-Length%b: {n}" % odd,
            odd + b"Content-Length: {n}",
            b"Content-Length: {n}" + odd,
            b"X: X%bContent-Length: {n}" % odd,
            b"X: X\r%bContent-Length: {n}" % odd,
            b"X: X%b\nContent-Length: {n}" % odd,
            b"Content%bLength: {n}" % odd,
        ):

            def line(context, shape_of=shape_of):
                return shape_of.replace(b"{n}", b"%d" % len(context.hidden)) + b"\r\n"

            for reading in ("whole", "empty"):
                on = (False, True) if reading == "whole" else (True,)

                def make(context, line=line, reading=reading):
                    return context.post(line(context), context.hidden, None if reading == "whole" else b"")

                name = f"0.CL: {_shown(shape_of)}, signed as {reading}"
                book.add(name, Shape.SAFE, make, bodies=lambda c: {c.hidden, b""}, on=on)
        beside = b"Content-Length: 0" + odd
        make = lambda c, beside=beside: c.post(b"content-length: %d\r\n%s\r\n" % (len(c.hidden), beside), c.hidden)  # noqa: E731
        book.add(f"CL.CL: {_shown(beside)}", Shape.REFUSED, make, code=FRAMING)
        hidden = b"X: X%bContent-Length: 0" % odd
        make = lambda c, hidden=hidden: c.post(b"content-length: %d\r\n%s\r\n" % (len(c.hidden), hidden), c.hidden)  # noqa: E731
        book.add(f"CL.CL: {_shown(hidden)}", Shape.SAFE, make, bodies=lambda c: {c.hidden})


def _lengths(book):
    for value in (
        b"+{n}",
        b"-{n}",
        b"-0",
        b"+0",
        b"0x{h}",
        b"{h}h",
        b"{n}.0",
        b"{n}e0",
        b"{n} 0",
        b"{n}, {n}",
        b"{n},{n}",
        b"0, {n}",
        b"{n},",
        b",{n}",
        b"{n};",
        b"{n};a=b",
        b'"{n}"',
        b"'{n}'",
        b"{n}_0",
        b"1_0",
        b"",
        b" ",
        b"{n}\r\ncontent-length: {n}",
        b"{n}\r\ncontent-length: 0",
        b"0\r\ncontent-length: {n}",
        b"{n}\r\nContent-Length: +{n}",
        b"{n}\r\ncontent-length:",
        b"\r\n {n}",
        b"{n}\r\n 0",
        b"{over64}",
        b"{over63}9999",
        b"99999999999999999999",
        b"340282366920938463463374607431768211456",
        b"0000000000000000000000{n}",
        b"\xef\xbc\x90",
        b"\xd9\xa1",
        b"\xb2",
        b"0b11",
        b"0o17",
        b"1e3",
        b"NaN",
        b"{n}bytes",
        b"a{n}",
        b"%30",
        b"={n}",
        b":{n}",
        b"{n}:",
        b"{n}/{n}",
        b"({n})",
        b"{n} (comment)",
    ):

        def make(context, value=value, reading=None):
            size = len(context.hidden)
            for key, number in (
                (b"{n}", b"%d" % size),
                (b"{h}", b"%x" % size),
                (b"{over64}", b"%d" % ((1 << 64) + size)),
                (b"{over63}", b"%d" % ((1 << 63) + size)),
            ):
                value = value.replace(key, number)
            return context.post(b"content-length: %s\r\n" % value, context.hidden, reading)

        book.add(f"length {_shown(value)!r}", Shape.REFUSED, make, code=FRAMING)
        empty = lambda c, make=make: make(c, reading=b"")  # noqa: E731
        book.add(f"length {_shown(value)!r}, signed as empty", Shape.REFUSED, empty, on=(True,), code=FRAMING)
    for zeros in (b"0", b"00", b"0000000000000"):
        # Digits are digits: seven and 07 are the same to everybody.
        make = lambda c, zeros=zeros: c.post(b"content-length: %s%d\r\n" % (zeros, len(c.hidden)), c.hidden)  # noqa: E731
        book.add(f"length with {zeros.decode()} in front", Shape.SAFE, make, bodies=lambda c: {c.hidden})


def _chunks(book):
    """One body, its chunks spelled as nobody must."""
    size = b"%x" % len(DATA)
    good = b"%s\r\n%s\r\n0\r\n\r\n" % (size, DATA)
    wrong = {
        "extension": b"%s;a=b\r\n%s\r\n0\r\n\r\n" % (size, DATA),
        "extension without a name": b"%s;\r\n%s\r\n0\r\n\r\n" % (size, DATA),
        "extension in quotes": b'%s;a="\r\n%s\r\n0\r\n\r\n' % (size, DATA),
        "extension with LF": b"%s;a\nb\r\n%s\r\n0\r\n\r\n" % (size, DATA),
        "extension ended by LF": b"%s;\n%s\r\n0\r\n\r\n" % (size, DATA),
        "extension ended by CR": b"%s;\r%s\r\n0\r\n\r\n" % (size, DATA),
        "extension after space": b"%s ;a\r\n%s\r\n0\r\n\r\n" % (size, DATA),
        "long extension": b"%s;%s\r\n%s\r\n0\r\n\r\n" % (size, b"a" * 20_000, DATA),
        "extension at the last": b"%s\r\n%s\r\n0;a=b\r\n\r\n" % (size, DATA),
        "no size": b"\r\n%s\r\n0\r\n\r\n" % DATA,
        "no hex": b"g\r\n%s\r\n0\r\n\r\n" % DATA,
        "hex and more": b"%sh\r\n%s\r\n0\r\n\r\n" % (size, DATA),
        "0x": b"0x%s\r\n%s\r\n0\r\n\r\n" % (size, DATA),
        "underscore": b"%s_\r\n%s\r\n0\r\n\r\n" % (size, DATA),
        "signed": b"+%s\r\n%s\r\n0\r\n\r\n" % (size, DATA),
        "negative": b"-%s\r\n%s\r\n0\r\n\r\n" % (size, DATA),
        "negative last": b"%s\r\n%s\r\n-0\r\n\r\n" % (size, DATA),
        "2^64 and the size": b"1%016x\r\n%s\r\n0\r\n\r\n" % (len(DATA), DATA),
        "2^64": b"%s\r\n%s\r\n10000000000000000\r\n\r\n" % (size, DATA),
        "2^128 and the size": b"1%032x\r\n%s\r\n0\r\n\r\n" % (len(DATA), DATA),
        "seventeen digits": b"%017x\r\n%s\r\n0\r\n\r\n" % (len(DATA), DATA),
        "thousand zeros": b"%s%s\r\n%s\r\n0\r\n\r\n" % (b"0" * 1000, size, DATA),
        "size in decimal": b"%d\r\n%s\r\n0\r\n\r\n" % (len(DATA) * 10, DATA),
        "full-width digits": "３\r\nabc\r\n0\r\n\r\n".encode(),
        "one too few": b"%x\r\n%s\r\n0\r\n\r\n" % (len(DATA) - 1, DATA),
        "one too many": b"%x\r\n%s\r\n0\r\n\r\n" % (len(DATA) + 1, DATA),
        "two too many": b"%x\r\n%s\r\n0\r\n\r\n" % (len(DATA) + 2, DATA),
        "no end": b"%s\r\n%s0\r\n\r\n" % (size, DATA),
        "two bytes for an end": b"%s\r\n%sXX0\r\n\r\n" % (size, DATA),
        "LF CR for an end": b"%s\r\n%s\n\r0\r\n\r\n" % (size, DATA),
        "LF for an end": b"%s\r\n%s\n0\r\n\r\n" % (size, DATA),
        "CR for an end": b"%s\r\n%s\r0\r\n\r\n" % (size, DATA),
        "CR CR for an end": b"%s\r\n%s\r\r0\r\n\r\n" % (size, DATA),
        "LF LF for an end": b"%s\r\n%s\n\n0\r\n\r\n" % (size, DATA),
        "empty line between": b"%s\r\n%s\r\n\r\n0\r\n\r\n" % (size, DATA),
        "LF behind the last": b"%s\r\n%s\r\n0\n\r\n" % (size, DATA),
        "LF at the end": b"%s\r\n%s\r\n0\r\n\n" % (size, DATA),
        "LF LF at the end": b"%s\r\n%s\r\n0\n\n" % (size, DATA),
        "CR CR LF at the end": b"%s\r\n%s\r\n0\r\r\n\r\n" % (size, DATA),
        "last chunk twice": b"%s\r\n%s\r\n0\r\n0\r\n\r\n" % (size, DATA),
        "last chunk with data": b"%s\r\n%s\r\n0\r\nX\r\n\r\n" % (size, DATA),
        "quoted size": b'"%s"\r\n%s\r\n0\r\n\r\n' % (size, DATA),
        "a list of sizes": b"%s,%s\r\n%s\r\n0\r\n\r\n" % (size, size, DATA),
    }
    for name, body in wrong.items():
        make = lambda c, body=body: c.post(b"transfer-encoding: chunked\r\n", body, DATA)  # noqa: E731
        book.add(f"chunk: {name}", Shape.REFUSED, make, page=Shape.CUT, code=FRAMING)
    for name, body in {
        "plain": good,
        "capitals": b"%s\r\n%s\r\n0\r\n\r\n" % (size.upper(), DATA),
        "zeros in front": b"00%s\r\n%s\r\n000\r\n\r\n" % (size, DATA),
        "a byte each": b"".join(b"1\r\n%c\r\n" % byte for byte in DATA) + b"0\r\n\r\n",
    }.items():
        make = lambda c, body=body: c.post(b"transfer-encoding: chunked\r\n", body, DATA)  # noqa: E731
        book.add(f"chunk: {name}", Shape.ONE, make, bodies=lambda _: {DATA})
    for byte in ODD:
        odd = bytes([byte])
        for where, body in {
            "before a size": odd + good,
            "behind a size": b"%s%s\r\n%s\r\n0\r\n\r\n" % (size, odd, DATA),
            "for the line end of a size": b"%s%s%s\r\n0\r\n\r\n" % (size, odd, DATA),
            "between CR and LF of a size": b"%s\r%s\n%s\r\n0\r\n\r\n" % (size, odd, DATA),
            "behind data": b"%s\r\n%s%s\r\n0\r\n\r\n" % (size, DATA, odd),
            "behind the end of data": b"%s\r\n%s\r\n%s0\r\n\r\n" % (size, DATA, odd),
            "behind the last": b"%s\r\n%s\r\n0%s\r\n\r\n" % (size, DATA, odd),
            "behind the last line": b"%s\r\n%s\r\n0\r\n%s\r\n" % (size, DATA, odd),
        }.items():
            make = lambda c, body=body: c.post(b"transfer-encoding: chunked\r\n", body, DATA)  # noqa: E731
            book.add(f"chunk: {odd!r} {where}", Shape.REFUSED, make, page=Shape.CUT, code=FRAMING)


def _trailers(book):
    for line in (
        b"content-length: 5",
        b"Content-Length: 0",
        b"transfer-encoding: chunked",
        b"Transfer-Encoding: identity",
        b"host: evil.example",
        b"connection: close",
        b"svix-signature: v1,AAAA",
        b"verified-event: id=\"evil\"",
        b"Verified_Event: id=\"evil\"",
        b"content_length: 5",
        b"trailer: x",
        b"te: chunked",
        b"upgrade: h2c",
        b"expect: 100-continue",
        b"authorization: evil",
        b"cookie: evil",
        b"content-type: evil",
        b"x : y",
        b" x: y",
        b"x",
        b": y",
        b"x\0: y",
        b"x: y\0",
        b"x: y\rz: 1",
        b"x: y\nz: 1",
        b"GET /page?m=evil.s HTTP/1.1",
        b"x: y\r\n folded",
    ):
        body = b"%x\r\n%s\r\n0\r\n%s\r\n\r\n" % (len(DATA), DATA, line)
        make = lambda c, body=body: c.post(b"transfer-encoding: chunked\r\n", body, DATA)  # noqa: E731
        book.add(f"trailer {_shown(line)}", Shape.SAFE, make, bodies=lambda _: {DATA})
    for line in (b"x-checksum: 1", b"digest: 1\r\nx-two: 2"):
        body = b"%x\r\n%s\r\n0\r\n%s\r\n\r\n" % (len(DATA), DATA, line)
        make = lambda c, body=body: c.post(b"trailer: x-checksum\r\ntransfer-encoding: chunked\r\n", body, DATA)  # noqa: E731
        book.add(f"trailer {_shown(line)}", Shape.ONE, make, bodies=lambda _: {DATA})


def _heads(book):
    """Where a head ends, and where a line does."""
    for end in (
        b"\n\n",
        b"\r\r",
        b"\r\n\n",
        b"\n\r\n",
        b"\r\n\r",
        b"\r\n \r\n",
        b"\r\n\t\r\n",
        b"\r\n\0\r\n",
        b"\r\n\r\r\n",
        b"\r\r\n\r\n",
        b"\n\r\n\r",
        b"\x85\x85",
        b"\r\n\x0b\r\n",
        b"\r\n.\r\n",
        b"\xe5\x98\x8a\xe5\x98\x8d",
    ):

        def make(context, end=end):
            head = context.post(b"content-length: %d" % len(context.hidden_page), b"").removesuffix(b"\r\n")
            return head + end + context.hidden_page

        book.add(f"head ends with {_shown(end)}", Shape.REFUSED, make, code=ANY_HEAD)
        middle = lambda c, end=end: c.post(b"x: y%scontent-length: 0\r\n" % end, c.hidden_page)  # noqa: E731
        book.add(f"{_shown(end)} in a head", Shape.SAFE, middle, bodies=lambda _: {b""})
    for before in (b"\n", b"\r", b" ", b"\t", b"\0", b"\r\n\r\n", b"\r\n ", b"\n\n", b"\xef\xbb\xbf", b"0\r\n\r\n", b"X"):
        make = lambda c, before=before: before + c.post(b"content-length: 0\r\n", b"")  # noqa: E731
        shape = Shape.SAFE if before in (b"\r\n", b"X") else Shape.REFUSED
        method = "XPOST" if before == b"X" else "POST"
        book.add(f"{_shown(before)} before the request line", shape, make, method=method)
    for line in (
        b"content-length: 0\r\n folded",
        b"x: y\r\n\tcontent-length: 0",
        b"x:\r\n content-length: 0",
        b"host: evil.example\r\n folded",
        b"x\r\n: y",
        b"x: y\r\n\r",
        b"content-length:\x0b0",
        b"x y: z",
        b"x\x00y: z",
        b"GET /page?m=evil.s HTTP/1.1",
        b"(x): y",
        b"{x}: y",
        b"x@: y",
        b"\xffx: y",
    ):
        make = lambda c, line=line: c.post(line + b"\r\n", b"")  # noqa: E731
        book.add(f"line {_shown(line)}", Shape.REFUSED, make, code=FRAMING)
    for size, more in ((17 << 10, b""), (70 << 10, b"transfer-encoding: chunked\r\n")):
        make = lambda c, size=size, more=more: c.post(b"x: %s\r\n%s" % (b"a" * size, more), c.hidden_page)  # noqa: E731
        book.add(f"head of {size >> 10} KiB", Shape.REFUSED, make, code=("head_too_large",))
    make = lambda c: c.post(b"".join(b"x-%d: y\r\n" % n for n in range(200)), c.hidden_page)  # noqa: E731
    book.add("head of 200 lines", Shape.REFUSED, make, code=("head_too_large",))


def _request_lines(book):
    for byte in ODD:
        odd = bytes([byte])
        for where, line in {
            "before the method": odd + b"POST %s HTTP/1.1",
            "in the method": b"PO%bST %%s HTTP/1.1" % odd,
            "for the first space": b"POST%b%%s HTTP/1.1" % odd,
            "before the target": b"POST %b%%s HTTP/1.1" % odd,
            "behind the target": b"POST %%s%b HTTP/1.1" % odd,
            "for the second space": b"POST %%s%bHTTP/1.1" % odd,
            "in the version": b"POST %%s HTTP/%b1.1" % odd,
            "behind the version": b"POST %%s HTTP/1.1%b" % odd,
            "in a shorter target": b"POST %%s%bHTTP/1.1 HTTP/1.1" % odd,
        }.items():

            def make(context, line=line):
                head = (line % context.target) + b"\r\n" + HOST + context.signed(b"")
                return head + b"content-length: 0\r\n\r\n"

            # One empty line in front is what RFC 9112 §2.2 asks a server to skip; one LF is not that.
            book.add(f"{odd!r} {where}", Shape.REFUSED, make, code=ANY_HEAD)
    make = lambda c: b"\r\n" + c.post(b"content-length: 0\r\n", b"")  # noqa: E731
    book.add("an empty line before the request line", Shape.ONE, make)


def _targets(book):
    for name, target in {
        "absolute form": b"http://app.example{t}",
        "absolute form, other host": b"http://evil.example{t}",
        "absolute form, https": b"https://app.example{t}",
        "absolute form, capitals": b"HTTP://APP.EXAMPLE{t}",
        "absolute form, user": b"http://evil@app.example{t}",
        "absolute form, no host": b"http://{t}",
        "absolute form, three slashes": b"http:///{t}",
        "other scheme": b"file://{t}",
        "opaque": b"urn:{t}",
        "relative to a scheme": b"//evil.example{t}",
        "two slashes": b"/{t}",
        "asterisk": b"*",
        "asterisk and path": b"*{t}",
        "authority": b"app.example:80",
        "user at host": b"@evil.example{t}",
        "port and path": b":80{t}",
        "backslash": b"\\{t}",
        "dot segments": b"/x/..{t}",
        "encoded dot segments": b"/x/%2e%2e{t}",
        "dot": b"/.{t}",
        "semicolon dots": b"/x/..;{t}",
        "fragment": b"{t}#x",
        "fragment first": b"#{t}",
        "encoded slash": b"/x%2f..{t}",
        "encoded NUL": b"/%00{t}",
        "encoded CRLF": b"/%0d%0aX:%20y{t}",
        "broken escape": b"/%zz{t}",
        "UTF-8": b"/\xc3\xa9{t}",
        "overlong": b"/\xc0\xae\xc0\xae{t}",
    }.items():

        def make(context, target=target):
            line = b"POST %s HTTP/1.1\r\n" % target.replace(b"{t}", context.target)
            return line + HOST + context.signed(context.hidden) + b"content-length: %d\r\n\r\n%s" % (
                len(context.hidden),
                context.hidden,
            )

        book.add(f"target: {name}", Shape.SAFE, make, bodies=lambda c: {c.hidden})


def _hosts(book):
    for name, lines in {
        "none": b"",
        "empty": b"host:\r\n",
        "two": b"host: app.example\r\nhost: evil.example\r\n",
        "the same twice": b"host: app.example\r\nHost: app.example\r\n",
        "folded": b"host:\r\n app.example\r\n",
        "space before the colon": b"host : app.example\r\n",
        "list": b"host: app.example, evil.example\r\n",
        "user": b"host: evil@app.example\r\n",
        "path": b"host: app.example/x\r\n",
        "NUL": b"host: app.example\0.evil\r\n",
        "tab inside": b"host: app\t.example\r\n",
        "URL": b"host: http://app.example\r\n",
        "underscore's double": b"host: app.example\r\nHost : evil.example\r\n",
        "space in front": b" host: app.example\r\n",
        "a hidden second": b"host: app.example\rhost: evil.example\r\n",
    }.items():
        make = lambda c, lines=lines: c.post(b"content-length: 0\r\n", b"", host=lines)  # noqa: E731
        book.add(f"host: {name}", Shape.REFUSED, make, code=FRAMING)


def _connection_lists(book):
    """Hop-by-hop tricks: a field that the next hop must not miss."""
    for name in (
        b"content-length",
        b"Content-Length, close",
        b"transfer-encoding",
        b"host",
        b"svix-id",
        b"svix-signature",
        b"verified-event",
        b"x-forwarded-for",
        b"connection",
        b"close, content-length",
        b"keep-alive, Content-Length",
        b"content-length;",
        b"\tcontent-length",
        b"x-other",
        b"keep-alive",
        b"",
        b",",
        b"te",
        b"cookie",
        b"authorization",
        b"upgrade",
        b"trailer",
        b"expect",
    ):
        line = b"connection: %s\r\n" % name
        make = lambda c, line=line: c.post(line + b"content-length: %d\r\n" % len(c.hidden), c.hidden)  # noqa: E731
        book.add(f"connection: {_shown(name)}", Shape.SAFE, make, bodies=lambda c: {c.hidden})
        make = lambda c, line=line: c.post(line + b"transfer-encoding: chunked\r\n", chunk(c.hidden), c.hidden)  # noqa: E731
        book.add(f"connection: {_shown(name)}, chunked", Shape.SAFE, make, bodies=lambda c: {c.hidden})
    for name, field_name in ((b"proxy-connection", b"close"), (b"keep-alive", b"timeout=5"), (b"te", b"trailers")):
        line = b"%s: %s\r\ncontent-length: %d\r\n"
        make = lambda c, n=name, f=field_name: c.post(line % (n, f, len(c.hidden)), c.hidden)  # noqa: E731
        book.add(f"{name.decode()}: {field_name.decode()}", Shape.ONE, make, bodies=lambda c: {c.hidden})
    make = lambda c: c.post(b"connection: close\r\ncontent-length: 0\r\n", c.hidden_page, b"")  # noqa: E731
    book.add("a request behind the last one", Shape.LAST, make)


def _whole_bodies(book):
    """A hidden request in a body that is whole: nothing else than a body."""
    for which in ("hidden", "hidden_page"):

        def body(context, which=which):
            return getattr(context, which)

        allowed = lambda c, body=body: {body(c)}  # noqa: E731
        make = lambda c, body=body: c.post(b"content-length: %d\r\n" % len(body(c)), body(c))  # noqa: E731
        book.add(f"{which} in a length", Shape.ONE, make, bodies=allowed)
        make = lambda c, body=body: c.post(b"transfer-encoding: chunked\r\n", chunk(body(c)), body(c))  # noqa: E731
        book.add(f"{which} in a chunk", Shape.ONE, make, bodies=allowed)
        for lead in (b"0\r\n\r\n", b"\r\n", b"\r\n\r\n", b"0\r\n", b"\0", b"HTTP/1.1 200 OK\r\n\r\n"):
            make = lambda c, lead=lead, body=body: c.post(  # noqa: E731
                b"content-length: %d\r\n" % (len(lead) + len(body(c))), lead + body(c)
            )
            both = lambda c, lead=lead, body=body: {lead + body(c)}  # noqa: E731
            book.add(f"{which} behind {_shown(lead)}", Shape.ONE, make, bodies=both)
        make = lambda c, body=body: [c.post(b"content-length: %d\r\n" % len(body(c)), b"", body(c)), 0.2, body(c)]  # noqa: E731
        book.add(f"{which} after the head", Shape.ONE, make, bodies=allowed)
        pieces = lambda c, body=body: [  # noqa: E731
            c.post(b"transfer-encoding: chunked\r\n", b"%x\r\n" % len(body(c)), body(c)),
            0.1,
            body(c) + b"\r\n0\r",
            0.1,
            b"\n\r",
            0.1,
            b"\n",
        ]
        book.add(f"{which} in pieces", Shape.ONE, pieces, bodies=allowed)
    for kind in (b"multipart/form-data; boundary=x", b"message/http", b"application/x-www-form-urlencoded"):
        make = lambda c, kind=kind: c.post(  # noqa: E731
            b"content-type: %s\r\ncontent-length: %d\r\n" % (kind, len(c.hidden)), c.hidden
        )
        book.add(f"content-type {kind.decode()}", Shape.ONE, make, bodies=lambda c: {c.hidden})


def _methods(book):
    for method in ("GET", "HEAD", "DELETE", "OPTIONS", "PUT", "PATCH", "PROPFIND", "M-SEARCH", "SOURCE"):
        for coding in (False, True):

            def make(context, coding=coding, method=method):
                line = b"transfer-encoding: chunked\r\n" if coding else b"content-length: %d\r\n" % len(context.hidden_page)
                body = chunk(context.hidden_page) if coding else context.hidden_page
                return context.post(line, body, context.hidden_page, method=method.encode())

            name = f"{method} with a body, {'chunked' if coding else 'counted'}"
            # Node knows its own methods: a refusal of the app is an answer like any other.
            odd = method in ("SOURCE", "PROPFIND", "M-SEARCH")
            shape = Shape.SAFE if odd else Shape.ONE
            book.add(name, shape, make, bodies=lambda c: {c.hidden_page}, on=(False,), method=method)
            book.add(name, Shape.SAFE, make, on=(True,), method=method)
    for line in (
        b"x-http-method-override: GET",
        b"x-method-override: HEAD",
        b"x-http-method: DELETE",
        b"x-original-method: CONNECT",
        b"x-original-url: /api/webhooks/clerk",
        b"x-rewrite-url: /api/webhooks/clerk",
        b"x-http-method-override: POST /api/webhooks/clerk HTTP/1.1",
    ):
        make = lambda c, line=line: c.post(line + b"\r\ncontent-length: %d\r\n" % len(c.hidden), c.hidden)  # noqa: E731
        book.add(f"override {line.decode()}", Shape.ONE, make, bodies=lambda c: {c.hidden})
    for method in (b"CONNECT", b"GET POST", b"P\xc3\x96ST", b"PO(ST", b"", b"post\0", b"POST:"):
        make = lambda c, method=method: c.post(b"content-length: 0\r\n", b"", method=method)  # noqa: E731
        book.add(f"method {_shown(method)}", Shape.REFUSED, make, code=ANY_HEAD)


def _expectations(book):
    for value, shape in (
        (b"100-continue", Shape.ONE),
        (b"100-Continue", Shape.ONE),
        (b"", Shape.REFUSED),
        (b"100-continue, x", Shape.REFUSED),
        (b"100-continue\r\nexpect: 100-continue", Shape.REFUSED),
        (b"y 100-continue", Shape.REFUSED),
        (b"100-continue;", Shape.REFUSED),
        (b"x", Shape.REFUSED),
        (b"200-ok", Shape.REFUSED),
        (b"100", Shape.REFUSED),
        (b"\r\n 100-continue", Shape.REFUSED),
        (b"100-continue\0", Shape.REFUSED),
    ):
        line = b"expect: %s\r\n" % value
        make = lambda c, line=line: c.post(line + b"content-length: %d\r\n" % len(c.hidden), c.hidden)  # noqa: E731
        book.add(f"expect: {_shown(value)}", shape, make, bodies=lambda c: {c.hidden})
        make = lambda c, line=line: c.post(line + b"transfer-encoding: chunked\r\n", chunk(c.hidden), c.hidden)  # noqa: E731
        book.add(f"expect: {_shown(value)}, chunked", shape, make, bodies=lambda c: {c.hidden})
    line = b"expect: 100-continue\r\n"
    for method in ("GET", "HEAD", "OPTIONS"):
        make = lambda c, m=method: c.post(line, b"", method=m.encode())  # noqa: E731
        book.add(f"expect without a body, {method}", Shape.ONE, make, on=(False,), method=method)
        make = lambda c, m=method: c.post(  # noqa: E731
            line + b"content-length: %d\r\n" % len(c.hidden_page), c.hidden_page, method=m.encode()
        )
        book.add(f"expect, {method} with a body", Shape.ONE, make, bodies=lambda c: {c.hidden_page}, on=(False,), method=method)
    # Refused before the body: the sender may send it or not, and no one may take it for a request.
    make = lambda c: [  # noqa: E731
        c.post(line + b"content-length: %d\r\n" % len(c.hidden_page), b"", method=b"POST").replace(b"svix-id", b"x-id"),
        0.2,
        c.hidden_page,
    ]
    book.add("expect, refused by its head", Shape.SAFE, make, on=(True,), code=("header_missing",))
    make = lambda c: [c.post(line + b"content-length: %d\r\n" % len(c.hidden), b"", c.hidden), 0.3, c.hidden]  # noqa: E731
    book.add("expect, and waits", Shape.ONE, make, bodies=lambda c: {c.hidden})


def _upgrades(book):
    key = b"sec-websocket-key: x3JJHMbDL1EzLkh9GBhXDw==\r\nsec-websocket-version: 13\r\n"
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
    for offer in (
        b"upgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n",
        b"upgrade: h2c\r\nconnection: upgrade\r\n",
        b"upgrade: h2c\r\n",
        b"upgrade: websocket\r\nconnection: upgrade\r\n" + key,
        b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 99\r\nsec-websocket-key: x\r\n",
        b"upgrade: websocket, h2c\r\nconnection: upgrade\r\n" + key,
        b"upgrade: tls/1.0\r\nconnection: upgrade\r\n",
        b"upgrade: TLS/1.0, HTTP/1.1\r\nconnection: upgrade\r\n",
    ):
        name = _shown(offer.partition(b"\r\n")[0])
        make = lambda c, offer=offer: c.post(offer, b"", method=b"GET")  # noqa: E731
        book.add(f"{name}, and requests behind it", Shape.ONE, make, on=(False,), method="GET")
        make = lambda c, offer=offer: c.post(offer, b"", method=b"GET") + c.hidden  # noqa: E731
        book.add(f"{name}, and a hidden one behind it", Shape.SAFE, make, on=(False,), method="GET")
        make = lambda c, offer=offer: c.post(offer, preface + c.hidden, b"", method=b"GET")  # noqa: E731
        book.add(f"{name}, and a preface behind it", Shape.SAFE, make, on=(False,), method="GET")
        make = lambda c, offer=offer: c.post(offer + b"content-length: %d\r\n" % len(c.hidden), c.hidden)  # noqa: E731
        book.add(f"{name}, with a body", Shape.ONE, make, bodies=lambda c: {c.hidden})
        make = lambda c, offer=offer: c.post(offer + b"content-length: 0\r\n", preface, b"")  # noqa: E731
        book.add(f"{name}, POST and a preface", Shape.SAFE, make)
    make = lambda c: preface + c.post(b"content-length: 0\r\n", b"")  # noqa: E731
    book.add("a preface, and HTTP/1 behind it", Shape.SAFE, make, silent=True)


def _versions(book):
    for version in (b"HTTP/0.9", b"HTTP/1.2", b"HTTP/1.9", b"HTTP/2.0", b"HTTP/2", b"HTTP/1", b"HTTP/11", b"HTTP/1.01",
                    b"http/1.1", b"Http/1.1", b"HTTPS/1.1", b"HTTP 1.1", b"HTTP/1,1", b"HTTP/1.1.1", b"HTTP/-1.1", b"ICY", b""):
        make = lambda c, version=version: c.post(b"content-length: 0\r\n", b"", version=version)  # noqa: E731
        book.add(f"version {_shown(version)!r}", Shape.REFUSED, make, code=FRAMING)
    for simple in (b"GET {t}\r\n", b"GET {t}\r\n\r\n", b"GET {t}\n", b"POST {t}\r\n\r\n"):
        make = lambda c, simple=simple: simple.replace(b"{t}", c.target)  # noqa: E731
        book.add(f"HTTP/0.9: {_shown(simple)}", Shape.REFUSED, make, code=ANY_HEAD)
    old = b"HTTP/1.0"
    length = b"content-length: %d\r\n"
    make = lambda c: c.post(b"transfer-encoding: chunked\r\n", chunk(c.hidden_page), c.hidden_page, version=old)  # noqa: E731
    book.add("HTTP/1.0 in chunks", Shape.REFUSED, make, code=FRAMING)
    make = lambda c: c.post(length % len(c.hidden_page), c.hidden_page + c.hidden_page, c.hidden_page, version=old)  # noqa: E731
    book.add("HTTP/1.0 and one behind it", Shape.LAST, make, bodies=lambda c: {c.hidden_page})
    make = lambda c: c.post(b"connection: keep-alive\r\n" + length % len(c.hidden), c.hidden, version=old)  # noqa: E731
    book.add("HTTP/1.0 kept alive", Shape.ONE, make, bodies=lambda c: {c.hidden})
    make = lambda c: c.post(b"connection: keep-alive\r\n" + length % 0, c.hidden, b"", version=old)  # noqa: E731
    book.add("HTTP/1.0 kept alive, and a hidden one behind it", Shape.SAFE, make)


def _pauses(book):
    """What comes after a refusal for slowness, or after an answer, is no request (pause-based desync)."""
    late = SENDER_LIMIT + 1
    length = b"content-length: %d\r\n"
    make = lambda c: [c.post(length % len(c.hidden_page), b"", c.hidden_page), late, c.hidden_page]  # noqa: E731
    book.add("no body in time", Shape.REFUSED, make, page=Shape.CUT, code=("body_timeout",))
    make = lambda c: [  # noqa: E731
        c.post(length % len(c.hidden_page), b"", c.hidden_page),
        c.hidden_page[:9],
        late,
        c.hidden_page[9:] + c.hidden_page,
    ]
    book.add("half a body in time", Shape.REFUSED, make, page=Shape.CUT, code=("body_timeout",))
    make = lambda c: [  # noqa: E731
        c.post(b"transfer-encoding: chunked\r\n", b"%x\r\n" % len(c.hidden_page), c.hidden_page),
        late,
        c.hidden_page + b"\r\n0\r\n\r\n",
    ]
    book.add("no chunk in time", Shape.REFUSED, make, page=Shape.CUT, code=("body_timeout",))
    make = lambda c: [  # noqa: E731
        c.post(b"transfer-encoding: chunked\r\n", chunk(c.hidden_page)[:-2], c.hidden_page),
        late,
        b"\r\n" + c.hidden_page,
    ]
    book.add("no last line in time", Shape.REFUSED, make, page=Shape.CUT, code=("body_timeout",))
    make = lambda c: [c.post(length % 0, b"")[:-2], late, b"\r\n" + c.hidden_page]  # noqa: E731
    book.add("no end of the head in time", Shape.SAFE, make, silent=True)
    make = lambda c: [c.post(length % 0, b"")[:40], late, c.hidden_page]  # noqa: E731
    book.add("another request inside a head", Shape.SAFE, make, silent=True)
    # Node answers this one before its body, nginx after it; what is left of the body is no request for either.
    for pause in (0, 0.2, late):

        def early(context, pause=pause):
            context.target += b"&early"
            size = len(context.hidden_page)
            return [context.post(length % size, b"", context.hidden_page), pause, context.hidden_page]

        book.add(f"answered before its body, which comes {pause} s later", Shape.SAFE, early,
                 bodies=lambda c: {c.hidden_page}, on=(False,))

        def early_chunks(context, pause=pause):
            context.target += b"&early"
            head = context.post(b"transfer-encoding: chunked\r\n", b"", context.hidden_page)
            return [head, pause, chunk(context.hidden_page)]

        book.add(f"answered before its chunks, which come {pause} s later", Shape.SAFE, early_chunks,
                 bodies=lambda c: {c.hidden_page}, on=(False,))
