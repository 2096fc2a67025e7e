"""The cases about what comes before HTTP: TLS and what was agreed on in it, and the PROXY header of a load balancer.

The first bytes say who is there and which protocol follows. Whoever says it twice, at the wrong place, or without being
asked must not be believed (proxy-protocol.txt §2; ALPACA, 2021; RFC 7301). Must never hold a case that needs a name of
another host: what is connected is always the loopback.
"""

import struct

from case import FRAMING, Table, chunk
from doors import Door
from downgrades import Streams
from oracle import Shape

LENGTH = b"content-length: %d\r\n"
BEHIND = {"origin": ("127.0.0.1", "https")}
V1 = b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n"
CLIENT = ("192.0.2.7", "http")
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V4 = bytes([192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 80])
EVIL = bytes([192, 0, 2, 66, 10, 0, 0, 1, 0x30, 0x39, 0, 80])


def v2(command=0x21, family=0x11, rest=V4, length=None):
    """A header of version 2."""
    return SIGNATURE + struct.pack(">BBH", command, family, len(rest) if length is None else length) + rest


def tlv(kind, value):
    """An extension of it."""
    return struct.pack(">BH", kind, len(value)) + value


def table():
    """All of them."""
    lines, streams = Table("l"), Streams("w")
    for group in (_agreed, _inside_tls, _before_tls, _good, _bad, _again, _strangers):
        group(lines)
    _streams(streams)
    return [*lines.cases, *streams.cases]


def _post(context):
    return context.post(LENGTH % len(context.hidden), context.hidden)


def _single(text):
    return [piece for byte in text for piece in (bytes([byte]), 0.0002)]


def _hidden(context):
    return {context.hidden}


def _agreed(book):
    """The first bytes count, whatever was agreed on in the handshake."""
    for name, alpn in (("nothing", ()), ("h2", ("h2",)), ("http/1.1", ("http/1.1",)), ("both", ("h2", "http/1.1"))):
        door = Door("tls", alpn)
        book.add(f"listener: HTTP/1 with {name} offered", Shape.ONE, _post, bodies=_hidden, door=door, **BEHIND)
        preface = lambda c: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _post(c)
        more = {"bodies": lambda _: set(), "silent": True, "door": door}
        book.add(f"listener: a preface and HTTP/1 with {name} offered", Shape.SAFE, preface, **more)
    for name, alpn in (("http/1.0", ("http/1.0",)), ("h3", ("h3",)), ("acme-tls/1", ("acme-tls/1",))):
        more = {"bodies": lambda _: set(), "silent": True, "door": Door("tls", alpn)}
        book.add(f"listener: {name} offered alone", Shape.SAFE, _post, **more)


def _inside_tls(book):
    """The guard is the same behind TLS."""
    door = {"door": Door("tls"), **BEHIND}
    both = lambda c: c.post(LENGTH % 5 + b"transfer-encoding: chunked\r\n", b"0\r\n\r\n" + c.hidden_page, b"")
    book.add("listener: TLS, CL.TE", Shape.REFUSED, both, code=FRAMING, **door)
    chunks = lambda c: c.post(b"transfer-encoding: chunked\r\n", chunk(c.hidden), c.hidden)
    book.add("listener: TLS, chunks", Shape.ONE, chunks, bodies=_hidden, **door)
    spill = lambda c: c.post(b"transfer-encoding: chunked\r\n", b"1;\n\r\n" + c.hidden_page, b"")
    book.add("listener: TLS, an extension", Shape.REFUSED, spill, page=Shape.CUT, code=FRAMING, **door)
    told = lambda c: c.post(b"x-forwarded-proto: http\r\nx-forwarded-for: 192.0.2.66\r\n" + LENGTH % 0, b"")
    book.add("listener: TLS, and told otherwise", Shape.SAFE, told, **door)
    for size in (16384, 16385, 40000):
        # A record of TLS ends inside of it.
        large = lambda c, size=size: c.post(LENGTH % size, b"p" * size)
        book.add(f"listener: TLS, {size} bytes", Shape.ONE, large, bodies=lambda _, n=size: {b"p" * n}, **door)


def _before_tls(book):
    """In clear where TLS is asked for, or a PROXY header where none is."""
    refused = {"bodies": lambda _: set(), "silent": True}
    for name, door in {
        "HTTP in clear": Door("tls", shakes=False),
        "a PROXY header in clear": Door("tls", before=V1, shakes=False),
        "a PROXY header, then TLS": Door("tls", before=V1),
        "a second version, then TLS": Door("tls", before=v2()),
        "HTTP, then TLS": Door("tls", before=b"GET /page HTTP/1.1\r\nhost: app.example\r\n\r\n"),
        "TLS for a balancer without its header": Door("proxied-tls"),
        "HTTP in clear behind a balancer's header": Door("proxied-tls", before=V1, shakes=False),
        "two headers, then TLS": Door("proxied-tls", before=V1 + V1),
        "HTTP between header and TLS": Door("proxied-tls", before=V1 + b"GET /page HTTP/1.1\r\nhost: a\r\n\r\n"),
    }.items():
        book.add(f"listener: {name}", Shape.SAFE, _post, door=door, **refused)
    for name, first in (("1", V1), ("2", v2())):
        inside = lambda c, first=first: first + _post(c)
        book.add(f"listener: version {name} inside of TLS", Shape.SAFE, inside, door=Door("tls"), **refused)
        door = Door("proxied-tls", before=v2())
        book.add(f"listener: version {name} before and inside of TLS", Shape.SAFE, inside, door=door, **refused)
        told = {"door": Door("proxied-tls", before=first), "origin": ("192.0.2.7", "https")}
        book.add(f"listener: version {name}, then TLS", Shape.ONE, _post, bodies=_hidden, **told)


def _good(book):
    """Headers that say who is there, each followed at once by a request."""
    v6 = bytes.fromhex("20010db8" + "00" * 11 + "07") + bytes(15) + b"\1" + V4[8:]
    nobody = ("127.0.0.1", "http")
    for name, first, origin in (
        ("version 1", V1, CLIENT),
        ("version 1 of IPv6", b"PROXY TCP6 2001:db8::7 ::1 1 2\r\n", ("2001:db8::7", "http")),
        ("version 1 of nobody", b"PROXY UNKNOWN\r\n", nobody),
        ("version 1 of nobody, with a request", b"PROXY UNKNOWN GET /page?m=x HTTP/1.1\r\n", nobody),
        ("version 2", v2(), CLIENT),
        ("version 2 of IPv6", v2(family=0x21, rest=v6), ("2001:db8::7", "http")),
        ("version 2, LOCAL", v2(0x20, 0, b""), nobody),
        ("version 2, LOCAL with an address", v2(0x20, 0x11, V4), nobody),
        ("version 2, LOCAL with a request", v2(0x20, 0, b"GET /page?m=x HTTP/1.1\r\n\r\n"), nobody),
        ("version 2, AF_UNSPEC", v2(0x21, 0, b""), nobody),
        ("version 2, AF_UNSPEC with an address", v2(0x21, 0, V4), nobody),
        ("version 2, AF_UNIX", v2(0x21, 0x31, bytes(216)), nobody),
        ("version 2, extensions", v2(rest=V4 + tlv(1, b"h2") + tlv(4, bytes(9))), CLIENT),
        ("version 2, 4080 bytes", v2(rest=V4 + tlv(4, bytes(4080 - 15))), CLIENT),
        ("version 2, a header in an extension", v2(rest=V4 + tlv(0xE0, v2(rest=EVIL))), CLIENT),
        ("version 2, a request in an extension", v2(rest=V4 + tlv(0xE0, b"GET / HTTP/1.1\r\n\r\n")), CLIENT),
        ("version 2, an address in an extension", v2(rest=V4 + tlv(0x20, b"\1\0\0\0\0") + tlv(0xE1, EVIL)), CLIENT),
    ):
        more = {"door": Door("proxied", before=first), "bodies": _hidden, "origin": origin}
        book.add(f"listener: {name}", Shape.ONE, _post, **more)
        in_pieces = lambda c, first=first: [*_single(first[:64]), first[64:] + _post(c)]
        more["door"] = Door("proxied")
        book.add(f"listener: {name}, byte by byte", Shape.ONE, in_pieces, **more)
        twice = lambda c: c.post(b"x-forwarded-for: 192.0.2.66\r\n" + LENGTH % len(c.hidden), c.hidden)
        more["door"] = Door("proxied", before=first)
        book.add(f"listener: {name}, and told otherwise", Shape.ONE, twice, **more)


def _bad(book):
    """Headers that are none: the connection ends, and nobody reads a request out of what is left."""
    for name, first in {
        "none": b"",
        "small letters": V1.lower(),
        "LF alone": V1.replace(b"\r\n", b"\n"),
        "CR alone": V1.replace(b"\r\n", b"\r"),
        "a space in front": b" " + V1,
        "a line end in front": b"\r\n" + V1,
        "two spaces": V1.replace(b" 10", b"  10"),
        "a tab": V1.replace(b" 10", b"\t10"),
        "another word": V1.replace(b" 80", b" 80 x"),
        "no port": V1.replace(b" 80", b""),
        "a port of 65536": V1.replace(b" 80", b" 65536"),
        "a signed port": V1.replace(b" 80", b" +80"),
        "an address with a zero": V1.replace(b"192", b"0192"),
        "three numbers": V1.replace(b"192.0.2.7", b"192.0.2"),
        "a hexadecimal number": V1.replace(b"192", b"0xc0"),
        "a name": V1.replace(b"192.0.2.7", b"localhost"),
        "the other family": V1.replace(b"TCP4", b"TCP6"),
        "datagrams": V1.replace(b"TCP4", b"UDP4"),
        "a NUL": V1.replace(b"192", b"192\0"),
        "a line of 200": b"PROXY UNKNOWN " + b"x" * 200 + b"\r\n",
        "a line without an end": b"PROXY TCP4 192.0.2.7 ",
        "half of version 2": v2()[:20],
        "version 2, longer than it is": v2(length=2000),
        "version 2, 4081 bytes": v2(rest=V4 + tlv(4, bytes(4081 - 15))),
        "version 2, 65535 bytes": v2(rest=V4 + bytes(65535 - 12)),
        "version 2, too short for its family": v2(rest=V4[:-1]),
        "version 2, of no length": v2(length=0, rest=b""),
        "version 2, half an extension": v2(rest=V4 + b"\4\0"),
        "version 2, an extension beyond it": v2(rest=V4 + b"\4\xff\xff"),
        "version 2, a wrong checksum": v2(rest=V4 + tlv(3, b"\0\0\0\0")),
        "version 2, a short checksum": v2(rest=V4 + tlv(3, b"\0")),
        "version 2, datagrams": v2(family=0x12),
        "version 2, an unknown family": v2(family=0x41),
        "version 2, an unknown command": v2(command=0x22),
        "version 3": v2(command=0x31),
        "version 1 in version 2": v2(command=0x11),
        "a signature but for a byte": SIGNATURE[:-1] + b"\r" + v2()[12:],
        "HAProxy's health check": b"OPTIONS / HTTP/1.0\r\n\r\n",
    }.items():
        for late in (False, True):
            more = {"bodies": lambda _: set(), "silent": True, "door": Door("proxied")}
            make = lambda c, first=first, late=late: [first, 0.02, _post(c)] if late else first + _post(c)
            book.add(f"listener: header, {name}{', and later' if late else ''}", Shape.SAFE, make, **more)


def _again(book):
    """A header behind the first one, or behind a request: the client's own bytes, and no balancer's."""
    evil = V1.replace(b"192.0.2.7", b"192.0.2.66")
    for name, second in (
        ("version 1", evil),
        ("version 2", v2(rest=EVIL)),
        ("LOCAL", v2(0x20, 0, b"")),
        ("nobody", b"PROXY UNKNOWN\r\n"),
    ):
        for first_name, first in (("version 1", V1), ("version 2", v2())):
            door = Door("proxied", before=first)
            more = {"bodies": lambda _: set(), "silent": True, "door": door, "origin": CLIENT}
            make = lambda c, second=second: second + _post(c)
            book.add(f"listener: {name} behind {first_name}", Shape.SAFE, make, **more)
            late = lambda c, second=second: [0.02, second + _post(c)]
            book.add(f"listener: {name} behind {first_name}, later", Shape.SAFE, late, **more)
            more |= {"bodies": _hidden, "silent": False}
            behind = lambda c, second=second: _post(c) + second
            book.add(f"listener: {name} behind a request, {first_name} first", Shape.SAFE, behind, **more)
            rested = lambda c, second=second: [_post(c), 0.15, second]
            book.add(f"listener: {name} behind a rest, {first_name} first", Shape.SAFE, rested, **more)
            inside = lambda c, second=second: c.post(LENGTH % len(second), second)
            more |= {"bodies": lambda _, second=second: {second}}
            book.add(f"listener: {name} for a body, {first_name} first", Shape.ONE, inside, **more)


def _strangers(book):
    """A peer that is no balancer of ours: it is the client, and may say nothing else."""
    own = ("127.0.0.2", "http")
    door = Door("proxied", source="127.0.0.2")
    book.add("listener: a stranger", Shape.ONE, _post, bodies=_hidden, door=door, origin=own)
    told = lambda c: c.post(b"x-forwarded-for: 192.0.2.66\r\n" + LENGTH % len(c.hidden), c.hidden)
    book.add("listener: a stranger that tells", Shape.ONE, told, bodies=_hidden, door=door, origin=own)
    for name, first in (
        ("version 1", V1),
        ("version 2", v2()),
        ("LOCAL", v2(0x20, 0, b"")),
        ("a line end", b"\r\n" + V1),
    ):
        for listener in ("proxied", "plain", "proxied-tls"):
            shakes = listener == "proxied-tls"
            more = {"bodies": lambda _: set(), "silent": True}
            stranger = Door(listener, source="127.0.0.2", before=first, shakes=shakes)
            book.add(f"listener: a stranger with {name} at {listener}", Shape.SAFE, _post, door=stranger, **more)
            pieces = lambda c, first=first: [*_single(first), _post(c)]
            open_door = Door(listener, source="127.0.0.2", shakes=shakes)
            title = f"listener: a stranger with {name} at {listener}, byte by byte"
            book.add(title, Shape.SAFE, pieces, door=open_door, **more)


def _streams(book):
    """HTTP/2 behind each of them."""
    plain = lambda attack: None
    for name, alpn in (("nothing", ()), ("h2", ("h2",)), ("http/1.1", ("http/1.1",)), ("both", ("http/1.1", "h2"))):
        more = {"door": Door("tls", alpn), **BEHIND}
        # The app is told the scheme of the connection, whatever `:scheme` says.
        book.add(f"listener: with {name} offered", plain, Shape.ONE, **more)
        told = lambda attack: attack.fields.append((b"x-forwarded-proto", b"http"))
        book.add(f"listener: with {name} offered, and told otherwise", told, Shape.ONE, **more)
    for name, first in (("version 1", V1), ("version 2", v2())):
        more = {"door": Door("proxied", before=first), "origin": CLIENT}
        book.add(f"listener: behind {name}", plain, Shape.ONE, **more)
        more = {"door": Door("proxied-tls", ("h2",), before=first), "origin": ("192.0.2.7", "https")}
        book.add(f"listener: behind {name} and TLS", plain, Shape.ONE, **more)
        double = Door("proxied", before=first + first)
        book.add(f"listener: behind {name} twice", plain, bodies=set(), door=double)
        stranger = Door("proxied", source="127.0.0.2", before=first)
        book.add(f"listener: a stranger behind {name}", plain, bodies=set(), door=stranger)
