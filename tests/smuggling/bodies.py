"""The HTTP/1 cases about where a body ends: lengths, codings, chunks, trailers, and pauses.

Ideas: PortSwigger's desync research, smuggler.py, the HTTP Garden, RFC 9112 §6, §7 and §11. Each on a page and on a
protected route. Must never hold a case whose meaning depends on what hookward does.
"""

import random

from apps import SENDER_LIMIT
from case import DATA, FRAMING, ODD, Table, chunk, shown
from oracle import Shape

TRICKS = [
    b"transfer-encoding: chunked",
    b"Transfer-Encoding: chunked",
    b"transfer-encoding: identity",
    b"transfer-encoding: \tchunked",
    b"transfer-encoding : chunked",
    b"transfer_encoding: chunked",
    b"x-transfer-encoding: chunked",
    b"content_length: 0",
    b"content-length : 0",
    b"content-length: +0",
    b"content-encoding: chunked",
    b"te: trailers",
    b"te: chunked",
    b"trailer: content-length",
    b"connection: content-length",
    b"connection: transfer-encoding",
    b"connection: close",
    b"connection: keep-alive",
    b"connection: te, trailer",
    b"proxy-connection: close",
    b"keep-alive: timeout=1",
    b"expect: 100-continue",
    b"upgrade: h2c",
    b"upgrade: websocket\r\nconnection: upgrade",
    b"x-http-method-override: GET",
    b"content-type: message/http",
    b"range: bytes=0-1",
    b"if-none-match: *",
    b"x: \x80\xff",
    b"x:",
    b"x: y\x0btransfer-encoding: chunked",
    b"cookie: transfer-encoding=chunked",
]
COMBINATIONS = 600


def table():
    """All of them."""
    book = Table("b")
    for group in (
        _two_lengths,
        _codings,
        _obfuscated_codings,
        _obfuscated_lengths,
        _lengths,
        _chunks,
        _trailers,
        _whole_bodies,
        _pauses,
        _combinations,
    ):
        group(book)
    return book.cases


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
        _both_forms(book, shown(line), line, Shape.REFUSED, code=FRAMING)


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
        words = shown(value)
        make = lambda c, line=line: c.post(line + b"\r\n", chunk(c.hidden_page), c.hidden_page)
        book.add(f"coding {words!r}", Shape.REFUSED, make, code=FRAMING)
        make = lambda c, line=line: c.post(line + b"\r\n", c.hidden_page, b"")
        book.add(f"coding {words!r} and no chunks", Shape.REFUSED, make, code=FRAMING)


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
            _both_forms(book, shown(line), line, Shape.SAFE)
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
        _both_forms(book, shown(line), line, Shape.SAFE)


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

                name = f"0.CL: {shown(shape_of)}, signed as {reading}"
                book.add(name, Shape.SAFE, make, bodies=lambda c: {c.hidden, b""}, on=on)
        beside = b"Content-Length: 0" + odd
        make = lambda c, beside=beside: c.post(b"content-length: %d\r\n%s\r\n" % (len(c.hidden), beside), c.hidden)
        book.add(f"CL.CL: {shown(beside)}", Shape.REFUSED, make, code=FRAMING)
        hidden = b"X: X%bContent-Length: 0" % odd
        make = lambda c, hidden=hidden: c.post(b"content-length: %d\r\n%s\r\n" % (len(c.hidden), hidden), c.hidden)
        book.add(f"CL.CL: {shown(hidden)}", Shape.SAFE, make, bodies=lambda c: {c.hidden})


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

        book.add(f"length {shown(value)!r}", Shape.REFUSED, make, code=FRAMING)
        empty = lambda c, make=make: make(c, reading=b"")
        book.add(f"length {shown(value)!r}, signed as empty", Shape.REFUSED, empty, on=(True,), code=FRAMING)
    for zeros in (b"0", b"00", b"0000000000000"):
        # Digits are digits: seven and 07 are the same to everybody.
        make = lambda c, zeros=zeros: c.post(b"content-length: %s%d\r\n" % (zeros, len(c.hidden)), c.hidden)
        book.add(f"length with {zeros.decode()} in front", Shape.SAFE, make, bodies=lambda c: {c.hidden})

    for spelling in (b"content-length:{n}", b"Content-Length:  \t{n}\t ", b"CONTENT-LENGTH: {n}"):
        make = lambda c, s=spelling: c.post(s.replace(b"{n}", b"%d" % len(c.hidden)) + b"\r\n", c.hidden)
        book.add(f"length spelled {shown(spelling)}", Shape.ONE, make, bodies=lambda c: {c.hidden})
    for bits in (31, 32, 53):
        # What is left when a reader keeps the lower bits alone.
        make = lambda c, bits=bits: c.post(b"content-length: %d\r\n" % ((1 << bits) + len(c.hidden)), c.hidden)
        book.add(f"length of 2^{bits} more", Shape.REFUSED, make, page=Shape.CUT, bodies=lambda _: set())


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
        make = lambda c, body=body: c.post(b"transfer-encoding: chunked\r\n", body, DATA)
        book.add(f"chunk: {name}", Shape.REFUSED, make, page=Shape.CUT, code=FRAMING)
    for name, body in {
        "plain": good,
        "capitals": b"%s\r\n%s\r\n0\r\n\r\n" % (size.upper(), DATA),
        "zeros in front": b"00%s\r\n%s\r\n000\r\n\r\n" % (size, DATA),
        "a byte each": b"".join(b"1\r\n%c\r\n" % byte for byte in DATA) + b"0\r\n\r\n",
    }.items():
        make = lambda c, body=body: c.post(b"transfer-encoding: chunked\r\n", body, DATA)
        book.add(f"chunk: {name}", Shape.ONE, make, bodies=lambda _: {DATA})
    for bits in (31, 32, 53, 63):
        body = b"%x\r\n%s\r\n0\r\n\r\n" % ((1 << bits) + len(DATA), DATA)
        make = lambda c, body=body: c.post(b"transfer-encoding: chunked\r\n", body, DATA)
        book.add(f"chunk of 2^{bits} more", Shape.REFUSED, make, page=Shape.CUT, bodies=lambda _: set())
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
            make = lambda c, body=body: c.post(b"transfer-encoding: chunked\r\n", body, DATA)
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
        b'verified-event: id="evil"',
        b'Verified_Event: id="evil"',
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
        make = lambda c, body=body: c.post(b"transfer-encoding: chunked\r\n", body, DATA)
        book.add(f"trailer {shown(line)}", Shape.SAFE, make, bodies=lambda _: {DATA})
    for line in (b"x-checksum: 1", b"digest: 1\r\nx-two: 2"):
        body = b"%x\r\n%s\r\n0\r\n%s\r\n\r\n" % (len(DATA), DATA, line)
        make = lambda c, body=body: c.post(b"trailer: x-checksum\r\ntransfer-encoding: chunked\r\n", body, DATA)
        book.add(f"trailer {shown(line)}", Shape.ONE, make, bodies=lambda _: {DATA})


def _whole_bodies(book):
    """A hidden request in a body that is whole: nothing else than a body."""
    for which in ("hidden", "hidden_page"):

        def body(context, which=which):
            return getattr(context, which)

        allowed = lambda c, body=body: {body(c)}
        make = lambda c, body=body: c.post(b"content-length: %d\r\n" % len(body(c)), body(c))
        book.add(f"{which} in a length", Shape.ONE, make, bodies=allowed)
        make = lambda c, body=body: c.post(b"transfer-encoding: chunked\r\n", chunk(body(c)), body(c))
        book.add(f"{which} in a chunk", Shape.ONE, make, bodies=allowed)
        for lead in (b"0\r\n\r\n", b"\r\n", b"\r\n\r\n", b"0\r\n", b"\0", b"HTTP/1.1 200 OK\r\n\r\n"):
            make = lambda c, lead=lead, body=body: c.post(
                b"content-length: %d\r\n" % (len(lead) + len(body(c))), lead + body(c)
            )
            both = lambda c, lead=lead, body=body: {lead + body(c)}
            book.add(f"{which} behind {shown(lead)}", Shape.ONE, make, bodies=both)
        make = lambda c, body=body: [c.post(b"content-length: %d\r\n" % len(body(c)), b"", body(c)), 0.2, body(c)]
        book.add(f"{which} after the head", Shape.ONE, make, bodies=allowed)
        pieces = lambda c, body=body: [
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
        make = lambda c, kind=kind: c.post(
            b"content-type: %s\r\ncontent-length: %d\r\n" % (kind, len(c.hidden)), c.hidden
        )
        book.add(f"content-type {kind.decode()}", Shape.ONE, make, bodies=lambda c: {c.hidden})


def _pauses(book):
    """What comes after a refusal for slowness, or after an answer, is no request (pause-based desync)."""
    late = SENDER_LIMIT + 1
    length = b"content-length: %d\r\n"
    make = lambda c: [c.post(length % len(c.hidden_page), b"", c.hidden_page), late, c.hidden_page]
    book.add("no body in time", Shape.REFUSED, make, page=Shape.CUT, code=("body_timeout",))
    make = lambda c: [
        c.post(length % len(c.hidden_page), b"", c.hidden_page),
        c.hidden_page[:9],
        late,
        c.hidden_page[9:] + c.hidden_page,
    ]
    book.add("half a body in time", Shape.REFUSED, make, page=Shape.CUT, code=("body_timeout",))
    make = lambda c: [
        c.post(b"transfer-encoding: chunked\r\n", b"%x\r\n" % len(c.hidden_page), c.hidden_page),
        late,
        c.hidden_page + b"\r\n0\r\n\r\n",
    ]
    book.add("no chunk in time", Shape.REFUSED, make, page=Shape.CUT, code=("body_timeout",))
    make = lambda c: [
        c.post(b"transfer-encoding: chunked\r\n", chunk(c.hidden_page)[:-2], c.hidden_page),
        late,
        b"\r\n" + c.hidden_page,
    ]
    book.add("no last line in time", Shape.REFUSED, make, page=Shape.CUT, code=("body_timeout",))
    make = lambda c: [c.post(length % 0, b"")[:-2], late, b"\r\n" + c.hidden_page]
    book.add("no end of the head in time", Shape.SAFE, make, silent=True)
    make = lambda c: [c.post(length % 0, b"")[:40], late, c.hidden_page]
    book.add("another request inside a head", Shape.SAFE, make, silent=True)
    # Node answers this one before its body, nginx after it; what is left of the body is no request for either.
    for expect in (b"", b"expect: 100-continue\r\n"):
        for pause in (0, 0.2, late):

            def early(context, pause=pause, expect=expect):
                context.target += b"&early"
                lines = expect + length % len(context.hidden_page)
                return [context.post(lines, b"", context.hidden_page), pause, context.hidden_page]

            def early_chunks(context, pause=pause, expect=expect):
                context.target += b"&early"
                head = context.post(expect + b"transfer-encoding: chunked\r\n", b"", context.hidden_page)
                return [head, pause, chunk(context.hidden_page)]

            after = f"answered before its body, {'expected and ' if expect else ''}{pause} s late"
            for name, make in ((after, early), (f"{after}, in chunks", early_chunks)):
                book.add(name, Shape.SAFE, make, bodies=lambda c: {c.hidden_page}, on=(False,))


def _combinations(book):
    """Several tricks in one head, drawn by lot: the same ones in each run."""
    lot = random.Random(9112)
    for number in range(COMBINATIONS):
        seed = lot.random()

        def make(context, seed=seed):
            draw = random.Random(seed)
            body = draw.choice([context.hidden, chunk(context.hidden), b"0\r\n\r\n" + context.hidden])
            counts = [len(body), len(body), 0, body.find(b"\r\n") + 2]
            lines = [b"content-length: %d" % draw.choice(counts) for _ in range(draw.choice([0, 1, 1, 1, 2]))]
            lines += draw.sample(TRICKS, draw.choice([1, 2, 3]))
            draw.shuffle(lines)
            ends = [b"\r\n"] * 20 + [b"\n", b"\r", b"\r\n ", b"\r\r\n"]
            reading = draw.choice([body, b"", context.hidden, body[: counts[-1]]])
            return context.post(b"".join(line + draw.choice(ends) for line in lines), body, reading)

        def bodies(context):
            whole = [context.hidden, chunk(context.hidden), b"0\r\n\r\n" + context.hidden]
            return {b"", *whole, *(body[: body.find(b"\r\n") + 2] for body in whole)}

        book.add(f"combination {number}", Shape.SAFE, make, bodies=bodies)
