"""The table of HTTP/2 cases: what has no place in HTTP/1, and would be a request of its own there.

A case is one connection: the attack on stream 1, then the honest followers on streams of their own. Ideas: "HTTP/2: The
Sequel is Always Worse" (2021), RFC 9113 §8.2, §8.3 and §10.3. Must never need to know how hookward reads a stream.
"""

from case import DATA, ODD, Case, shown
from lines import Talk
from oracle import Shape
from signer import PATH, sign
from streams import Connection, Gone, Reset

AUTHORITY = (b":authority", b"app.example")
SCHEME = (b":scheme", b"http")


class Attack:
    """One stream: its head, its body, and what follows on it."""

    def __init__(self, mark, protected):
        self.mark, self.protected = mark, protected
        self.path = (PATH if protected else "/page").encode() + b"?m=" + mark.encode() + b".a"
        self.hidden = b"POST %s?m=%s.s HTTP/1.1\r\nhost: app.example\r\ncontent-length: 4\r\n\r\nevil" % (
            PATH.encode(),
            mark.encode(),
        )
        self.hidden_page = b"GET /page?m=%s.s HTTP/1.1\r\nhost: app.example\r\n\r\n" % mark.encode()
        self.pseudo = [(b":method", b"POST"), SCHEME, AUTHORITY, (b":path", self.path)]
        self.fields = []
        self.trailers = None
        self.body = [self.hidden]
        self.end = True
        self.pieces = 1
        self.after = b""
        self.reading = None
        # Nothing will be said of it.
        self.withdrawn = False
        # The first stream of those that follow.
        self.next = 3

    def replace(self, name, value):
        """Another value of a pseudo-header."""
        self.pseudo = [(found, value if found == name else old) for found, old in self.pseudo]
        return self

    def all_fields(self):
        """Those of its head."""
        body = b"".join(self.body) if self.reading is None else self.reading
        signed = sign(f"msg_{self.mark}_a", body) if self.protected else []
        return [*self.pseudo, *signed, *self.fields]

    def frames(self, connection):
        """All of it, as bytes."""
        ends = not self.body and self.trailers is None and self.end
        sent = connection.head(1, self.all_fields(), ends, self.pieces)
        for index, piece in enumerate(self.body):
            last = index + 1 == len(self.body) and self.trailers is None
            sent += connection.data(1, piece, last and self.end)
        if self.trailers is not None:
            sent += connection.head(1, self.trailers, True)
        return sent + self.after


class Streams:
    """Collects cases, each on both targets. The letter begins their marks."""

    def __init__(self, letter, kind=Attack):
        self.letter, self.kind = letter, kind
        self.cases = []

    def add(self, name, make, shape=Shape.SAFE, on=(False, True), method="POST", bodies=None, **more):
        """`make` changes an attack. The body that may be in the app is what its frames carry, unless `bodies` says."""
        for protected in on:
            mark = f"{self.letter}{len(self.cases)}"
            attack = self.kind(mark, protected)
            make(attack)
            allowed = {b"".join(attack.body)} if bodies is None else bodies
            title = f"HTTP/2: {name} ({'delivery' if protected else 'page'})"
            more |= {"genuine": DATA, "ordered": False, "silent": True}
            case = Case(title, mark, [attack], shape, allowed, method, **more)
            self.cases.append(case)


def table():
    """All of them."""
    book = Streams("t")
    for group in (_connection_specific, _lengths, _values, _names, _pseudo, _framing, _trailers, _honest):
        group(book)
    return book.cases


def _with(*fields):
    def make(attack):
        attack.fields += fields

    return make


def _connection_specific(book):
    for name, value in (
        (b"transfer-encoding", b"chunked"),
        (b"transfer-encoding", b"identity"),
        (b"transfer-encoding", b""),
        (b"transfer_encoding", b"chunked"),
        (b"connection", b"close"),
        (b"connection", b"keep-alive"),
        (b"connection", b"content-length"),
        (b"connection", b"upgrade"),
        (b"keep-alive", b"timeout=5"),
        (b"proxy-connection", b"close"),
        (b"upgrade", b"h2c"),
        (b"upgrade", b"websocket"),
        (b"http2-settings", b"AAMAAABkAAQAAP__"),
        (b"te", b"trailers"),
        (b"te", b"chunked"),
        (b"te", b"trailers, chunked"),
        (b"expect", b"100-continue"),
        (b"expect", b"x"),
        (b"trailer", b"content-length"),
        (b"host", b"evil.example"),
        (b"host", b"app.example"),
        (b"host_", b"evil.example"),
        (b"x-http-method-override", b"GET"),
        (b"x-original-url", PATH.encode()),
    ):
        book.add(f"{shown(name)}: {shown(value)}", _with((name, value)))

        def in_chunks(attack, name=name, value=value):
            attack.fields += [(name, value)]
            attack.body = [b"0\r\n\r\n" + attack.hidden_page]
            attack.reading = b""

        book.add(f"{shown(name)}: {shown(value)}, and a body in chunks", in_chunks)
    book.add("two hosts", _with((b"host", b"app.example"), (b"host", b"app.example")))


def _lengths(book):
    def length(value, hidden=None):
        def make(attack):
            size = len(b"".join(attack.body))
            text = value.replace(b"{n}", b"%d" % size).replace(b"{less}", b"%d" % (size - 1))
            text = text.replace(b"{more}", b"%d" % (size + 1)).replace(b"{over}", b"%d" % ((1 << 64) + size))
            attack.fields += [(b"content-length", part) for part in text.split(b"|")]
            attack.reading = hidden

        return make

    for value in (
        b"0",
        b"{less}",
        b"{more}",
        b"+{n}",
        b"-{n}",
        b"0x{n}",
        b"{n}.0",
        b"",
        b" ",
        b"{n},{n}",
        b"{n}|{n}",
        b"{n}|0",
        b"0|{n}",
        b"{over}",
        b"99999999999999999999",
        b"{n} ",
        b" {n}",
        b"{n};",
        b"00{n}",
        b"{n}\0",
        b"{n}\r\nx: y",
        b"{n}\t0",
        b"\xb2",
    ):
        book.add(f"content-length {shown(value)!r}", length(value), on=(True,))
        book.add(f"content-length {shown(value)!r}", length(value), on=(False,), empty=value == b"0")
        book.add(f"content-length {shown(value)!r}, signed as empty", length(value, b""), on=(True,))
    book.add("content-length {n}", length(b"{n}"), Shape.ONE)
    book.add("content_length", _with((b"content_length", b"0")))
    book.add("content-length 0 and no body", lambda a: (_with((b"content-length", b"0"))(a), a.body.clear()), Shape.ONE)
    book.add("content-length 5 and no body", lambda a: (_with((b"content-length", b"5"))(a), a.body.clear()))
    for method in (b"GET", b"HEAD", b"OPTIONS", b"DELETE"):

        def make(attack, method=method):
            attack.replace(b":method", method)

        book.add(f"{method.decode()} with a body", make, on=(False,), method=method.decode())

        def counted(attack, method=method):
            attack.replace(b":method", method)
            attack.fields += [(b"content-length", b"0")]

        book.add(f"{method.decode()} with a body of length 0", counted, on=(False,), method=method.decode(), empty=True)


INJECTED = (
    b"\r\nx: y",
    b"\r\ntransfer-encoding: chunked",
    b"\r\ncontent-length: 0",
    b"\r\n\r\n",
    b"\ntransfer-encoding: chunked",
    b"\rtransfer-encoding: chunked",
    b"\n\n",
    b"\0",
    b"\r\n folded",
)


def _values(book):
    for injected in INJECTED:

        def make(attack, injected=injected):
            attack.fields += [(b"x-first", b"y" + injected), (b"x-last", b"z")]

        book.add(f"value {shown(injected)}", make)

        def request(attack, injected=injected):
            attack.fields += [(b"x-first", b"y" + injected + b"\r\n\r\n" + attack.hidden_page)]

        book.add(f"value {shown(injected)} and a request", request)
        book.add(f"cookie {shown(injected)}", _with((b"cookie", b"a=b" + injected), (b"cookie", b"c=d")))
    for byte in ODD:
        odd = bytes([byte])
        for where, value in (("in front of", odd + b"y"), ("behind", b"y" + odd), ("inside of", b"y" + odd + b"y")):
            book.add(f"{odd!r} {where} a value", _with((b"x-first", value)))
            for name in (b":authority", b":method", b":scheme"):
                make = lambda a, n=name, v=value: a.replace(n, v)
                book.add(f"{odd!r} {where} {name.decode()}", make)
            path = lambda a, v=value: a.replace(b":path", b"/pa" + v + b"ge" + a.path)
            book.add(f"{odd!r} {where} :path", path, foreign=True)


def _names(book):
    names = [
        b"",
        b":",
        b":x",
        b"x:y",
        b"x: y\r\ntransfer-encoding",
        b"x\r\n",
        b"X-Upper",
        b"Transfer-Encoding",
        b"Content-Length",
        b"content-length ",
        b" content-length",
        b"transfer-encoding ",
        b"transfer-encoding:chunked",
        b"x y",
        b"content-length\0",
        b"\xe2\x84\xaa",
        b"(x)",
        b"verified-event",
        b"Verified-Event",
        b"verified_event",
        b"svix-id",
        b"svix-signature",
    ]
    names += [b"x" + bytes([byte]) + b"y" for byte in ODD]
    for name in names:
        book.add(f"name {shown(name)!r}", _with((name, b"chunked")))


def _pseudo(book):
    changes = {
        b":method": (
            b"",
            b"GET /page?m=x.s HTTP/1.1\r\nhost: a\r\n\r\nPOST",
            b"POST ",
            b" POST",
            b"PO ST",
            b"POST\r\nx: y",
            b"POST\0",
            b"CONNECT",
            b"post",
            b"PO:ST",
            b"PRI",
        ),
        b":scheme": (
            b"",
            b"https",
            b"ftp",
            b"http://evil.example/x?",
            b"http\r\nx: y",
            b"http ",
            b"HTTP",
            b"javascript",
            b"1",
        ),
        b":authority": (
            b"",
            b"evil@app.example",
            b"app.example/x",
            b"app.example:80 evil",
            b"app.example\r\nx: y",
            b"app.example\r\n\r\nGET /page?m=x.s HTTP/1.1\r\nhost: a\r\n\r\n",
            b"app.example,evil",
            b"app.example#x",
            b"app.example?x",
            b"[::1",
            b"app.example:99999",
            b"http://app.example",
            b"a\\b",
        ),
        b":path": (
            b"",
            b"*",
            b"{p} HTTP/1.1\r\nx: y",
            b"{p} HTTP/1.1",
            b"{p}\r\ntransfer-encoding: chunked",
            b"{p}\n",
            b"{p} ",
            b" {p}",
            b"{p}\t",
            b"{p}\0",
            b"{p}#x",
            b"http://evil.example{p}",
            b"//evil.example{p}",
            b"page?m=x.s",
            b"{p} HTTP/1.1\r\nhost: a\r\n\r\nGET /page?m=x.s HTTP/1.1\r\nx:",
            b"/x/..{p}",
            b"\\{p}",
            b"{p}\xe9",
            b"{p}\x7f",
            b"/%0d%0a{p}",
            b"?{p}",
        ),
    }
    for name, values in changes.items():
        for value in values:

            def make(attack, name=name, value=value):
                attack.replace(
                    name, value.replace(b"{p}", attack.path).replace(b"m=x.", b"m=%s." % attack.mark.encode())
                )

            # Any token is a method, and passes as it is.
            foreign = name == b":method" and value in (b"post", b"PRI")
            method = value.decode() if foreign else "POST"
            book.add(f"{name.decode()} {shown(value)!r}", make, method=method, foreign=foreign)
    for name, value in (
        (b":method", b"GET"),
        (b":path", b"/page?m=x.s"),
        (b":authority", b"evil.example"),
        (b":scheme", b"https"),
    ):

        def twice(attack, name=name, value=value):
            attack.pseudo += [(name, value.replace(b"m=x.", b"m=%s." % attack.mark.encode()))]

        def late(attack, name=name, value=value):
            found = [pair for pair in attack.pseudo if pair[0] == name]
            attack.pseudo = [pair for pair in attack.pseudo if pair[0] != name]
            attack.fields += [(b"x-first", b"y"), *found]

        def without(attack, name=name):
            attack.pseudo = [pair for pair in attack.pseudo if pair[0] != name]

        book.add(f"{name.decode()} twice", twice)
        book.add(f"{name.decode()} behind a field", late)
        book.add(f"without {name.decode()}", without)
    for name in (
        b":status",
        b":protocol",
        b":Method",
        b":path ",
        b":",
        b":host",
        b":transfer-encoding",
        b":content-length",
    ):

        def unknown(attack, name=name):
            attack.pseudo += [(name, b"websocket" if name == b":protocol" else b"200")]

        book.add(f"unknown {shown(name)!r}", unknown)

    def tunnel(attack, protocol=b"websocket"):
        attack.replace(b":method", b"CONNECT")
        attack.pseudo += [(b":protocol", protocol)]
        attack.end = False

    book.add("extended CONNECT", tunnel, method="CONNECT")

    def plain_tunnel(attack):
        attack.pseudo = [(b":method", b"CONNECT"), (b":authority", b"127.0.0.1:80")]
        attack.end = False

    book.add("CONNECT", plain_tunnel, method="CONNECT")


def _framing(book):
    def pieces(count):
        def make(attack):
            attack.pieces = count

        return make

    for count in (2, 7):
        book.add(f"a head in {count} frames", pieces(count), Shape.ONE)
    book.add("a head in 40 frames", pieces(40))
    book.add("a body in frames of a byte", lambda a: setattr(a, "body", [b"%c" % byte for byte in a.hidden]), Shape.ONE)
    book.add("an empty frame in a body", lambda a: setattr(a, "body", [a.hidden, b"", b""]), Shape.ONE)

    def more(attack):
        attack.after = Connection.data(1, attack.hidden_page, True)

    book.add("data behind the end", more)

    def again(attack):
        # No new fields: the table of the connection's encoder must stay its own.
        attack.after = bytes([0, 0, 1, 1, 5, 0, 0, 0, 1, 0x82])

    book.add("a second head behind the end", again)

    def alone(attack):
        attack.after = bytes([0, 0, 1, 9, 4, 0, 0, 0, 1, 0x82])

    book.add("CONTINUATION behind the end", alone)

    def no_end(attack):
        attack.end = False

    book.add("a body without an end", no_end)

    def cancelled(attack):
        attack.end = False
        attack.withdrawn = True
        attack.after = bytes([0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8])

    book.add("a body that is withdrawn", cancelled)

    def padded(attack):
        # More padding than there is payload (RFC 9113 §6.1).
        attack.body = []
        attack.end = False
        attack.after = bytes([0, 0, 5, 0, 9, 0, 0, 0, 1, 200]) + b"evil"

    book.add("padding longer than its frame", padded)
    for kind in (0xB, 0x20, 0xFF):

        def unknown(attack, kind=kind):
            attack.after = bytes([0, 0, len(attack.hidden_page), kind, 0, 0, 0, 0, 1]) + attack.hidden_page

        book.add(f"a frame of kind {kind:#x}", unknown, Shape.ONE)
    for fields in (101, 400):
        book.add(f"{fields} fields", _with(*((b"x-%d" % n, b"y") for n in range(fields))))
    book.add("a value of 40 KiB", _with((b"x-first", b"y" * 40_000)))


def _trailers(book):
    for name, value in (
        (b"content-length", b"5"),
        (b"transfer-encoding", b"chunked"),
        (b"host", b"evil.example"),
        (b":path", b"/page"),
        (b":method", b"GET"),
        (b"verified-event", b"x"),
        (b"Verified-Event", b"x"),
        (b"svix-signature", b"v1,x"),
        (b"x", b"y\r\n\r\n0\r\n"),
        (b"x\r\ny", b"z"),
        (b"x", b"y\0"),
        (b"connection", b"close"),
        (b"te", b"chunked"),
        (b"trailer", b"x"),
        (b"content_length", b"5"),
    ):

        def make(attack, name=name, value=value):
            attack.trailers = [(name, value)]

        book.add(f"trailer {shown(name)}: {shown(value)}", make)

    def plain(attack):
        attack.trailers = [(b"x-checksum", b"1")]

    book.add("a plain trailer", plain, Shape.ONE)


def _honest(book):
    book.add("an honest one", lambda attack: None, Shape.ONE)

    def chunks(attack):
        attack.body = [b"0\r\n\r\n", attack.hidden]

    book.add("chunks for a body", chunks, Shape.ONE)


async def talk(addresses, case):
    """One connection: the attack, and the followers if it goes on."""
    [attack] = case.pieces
    result = Talk()
    try:
        connection = await Connection.open(addresses, case.door)
        try:
            for stream, sent in ((1, attack.frames(connection)), (attack.next, None), (attack.next + 2, None)):
                try:
                    if stream == 1 and attack.withdrawn:
                        connection.writer.write(sent)
                        continue
                    sent = sent or _follower(connection, stream, case, stream == attack.next)
                    result.answers.append(await connection.ask(stream, sent))
                except Reset:
                    if stream != 1:
                        raise
        except TimeoutError:
            result.ended = False
        finally:
            connection.close()
    except (Gone, Reset, ConnectionError):
        pass
    return result


def _follower(connection, stream, case, is_page):
    mark = case.mark.encode()
    if is_page:
        page = [(b":method", b"GET"), SCHEME, AUTHORITY, (b":path", b"/page?m=%s.f" % mark)]
        return connection.head(stream, page, True)
    path = b"%s?m=%s.g" % (PATH.encode(), mark)
    fields = [(b":method", b"POST"), SCHEME, AUTHORITY, (b":path", path), *sign(f"msg_{case.mark}_g", DATA)]
    return connection.head(stream, fields, False) + connection.data(stream, DATA, True)
