"""The HTTP/1 cases about a head: where it and its lines end, targets, hosts, versions, fields that change the rules.

Ideas: as in `bodies`, and RFC 9112 §2.2, §3 and §5, RFC 9110 §7.6 to §7.8 and §10.1.1. Must never hold a case whose
meaning depends on what hookward does.
"""

from case import ANY_HEAD, FRAMING, HOST, ODD, Table, chunk, shown
from oracle import Shape


def table():
    """All of them."""
    book = Table("h")
    for group in (
        _heads,
        _request_lines,
        _targets,
        _hosts,
        _connection_lists,
        _methods,
        _expectations,
        _upgrades,
        _versions,
    ):
        group(book)
    return book.cases


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

        book.add(f"head ends with {shown(end)}", Shape.REFUSED, make, code=ANY_HEAD)
        middle = lambda c, end=end: c.post(b"x: y%scontent-length: 0\r\n" % end, c.hidden, b"")
        book.add(f"{shown(end)} in a head", Shape.SAFE, middle, bodies=lambda _: {b""})
    for before in (
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b"\0",
        b"\r\n\r\n",
        b"\r\n ",
        b"\n\n",
        b"\xef\xbb\xbf",
        b"0\r\n\r\n",
        b"X",
    ):
        make = lambda c, before=before: before + c.post(b"content-length: 0\r\n", b"")
        shape = Shape.SAFE if before in (b"\r\n", b"X") else Shape.REFUSED
        method = "XPOST" if before == b"X" else "POST"
        book.add(f"{shown(before)} before the request line", shape, make, method=method, foreign=before == b"X")
    for before in (b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"):
        # Nobody reads a PROXY header here: the connection ends, in whatever words.
        make = lambda c, before=before: before + c.post(b"content-length: 0\r\n", b"")
        book.add(f"{shown(before)} before the request line", Shape.SAFE, make, bodies=lambda _: set(), silent=True)
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
        make = lambda c, line=line: c.post(line + b"\r\n", b"")
        book.add(f"line {shown(line)}", Shape.REFUSED, make, code=FRAMING)
    for size, more in ((17 << 10, b""), (70 << 10, b"transfer-encoding: chunked\r\n")):
        make = lambda c, size=size, more=more: c.post(b"x: %s\r\n%s" % (b"a" * size, more), c.hidden_page)
        book.add(f"head of {size >> 10} KiB", Shape.REFUSED, make, code=("head_too_large",))
    make = lambda c: c.post(b"".join(b"x-%d: y\r\n" % n for n in range(200)), c.hidden_page)
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

            shape = Shape.ONE if odd == b" " and where.startswith("for the") else Shape.REFUSED
            book.add(f"{odd!r} {where}", shape, make, code=ANY_HEAD)
    # This one is what RFC 9112 §2.2 asks a server to skip.
    make = lambda c: b"\r\n" + c.post(b"content-length: 0\r\n", b"")
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
            return (
                line
                + HOST
                + context.signed(context.hidden)
                + b"content-length: %d\r\n\r\n%s"
                % (
                    len(context.hidden),
                    context.hidden,
                )
            )

        foreign = name in ("encoded NUL", "broken escape")
        book.add(f"target: {name}", Shape.SAFE, make, bodies=lambda c: {c.hidden}, foreign=foreign)


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
        make = lambda c, lines=lines: c.post(b"content-length: 0\r\n", b"", host=lines)
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
        make = lambda c, line=line: c.post(line + b"content-length: %d\r\n" % len(c.hidden), c.hidden)
        book.add(f"connection: {shown(name)}", Shape.SAFE, make, bodies=lambda c: {c.hidden})
        make = lambda c, line=line: c.post(line + b"transfer-encoding: chunked\r\n", chunk(c.hidden), c.hidden)
        book.add(f"connection: {shown(name)}, chunked", Shape.SAFE, make, bodies=lambda c: {c.hidden})
    for name, value in ((b"proxy-connection", b"close"), (b"keep-alive", b"timeout=5"), (b"te", b"trailers")):
        line = b"%s: %s\r\n" % (name, value)
        make = lambda c, line=line: c.post(line + b"content-length: %d\r\n" % len(c.hidden), c.hidden)
        book.add(shown(line.strip()), Shape.ONE, make, bodies=lambda c: {c.hidden})
    make = lambda c: c.post(b"connection: close\r\ncontent-length: 0\r\n", c.hidden_page, b"")
    book.add("a request behind the last one", Shape.LAST, make)


def _methods(book):
    for method in ("GET", "HEAD", "DELETE", "OPTIONS", "PUT", "PATCH", "PROPFIND", "M-SEARCH", "SOURCE"):
        for coding in (False, True):

            def make(context, coding=coding, method=method):
                line = (
                    b"transfer-encoding: chunked\r\n"
                    if coding
                    else b"content-length: %d\r\n" % len(context.hidden_page)
                )
                body = chunk(context.hidden_page) if coding else context.hidden_page
                return context.post(line, body, context.hidden_page, method=method.encode())

            name = f"{method} with a body, {'chunked' if coding else 'counted'}"
            # Node knows its own methods: a refusal of the app is an answer like any other.
            odd = method in ("SOURCE", "PROPFIND", "M-SEARCH")
            shape = Shape.SAFE if odd else Shape.ONE
            book.add(name, shape, make, bodies=lambda c: {c.hidden_page}, on=(False,), method=method, foreign=odd)
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
        make = lambda c, line=line: c.post(line + b"\r\ncontent-length: %d\r\n" % len(c.hidden), c.hidden)
        book.add(f"override {line.decode()}", Shape.ONE, make, bodies=lambda c: {c.hidden})
    for method in (b"CONNECT", b"GET POST", b"P\xc3\x96ST", b"PO(ST", b"", b"post\0", b"POST:"):
        make = lambda c, method=method: c.post(b"content-length: 0\r\n", b"", method=method)
        book.add(f"method {shown(method)}", Shape.REFUSED, make, code=ANY_HEAD)


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
        make = lambda c, line=line: c.post(line + b"content-length: %d\r\n" % len(c.hidden), c.hidden)
        book.add(f"expect: {shown(value)}", shape, make, bodies=lambda c: {c.hidden})
        make = lambda c, line=line: c.post(line + b"transfer-encoding: chunked\r\n", chunk(c.hidden), c.hidden)
        book.add(f"expect: {shown(value)}, chunked", shape, make, bodies=lambda c: {c.hidden})
    line = b"expect: 100-continue\r\n"
    for method in ("GET", "HEAD", "OPTIONS"):
        make = lambda c, m=method: c.post(line, b"", method=m.encode())
        book.add(f"expect without a body, {method}", Shape.ONE, make, on=(False,), method=method)
        make = lambda c, m=method: c.post(
            line + b"content-length: %d\r\n" % len(c.hidden_page), c.hidden_page, method=m.encode()
        )
        book.add(
            f"expect, {method} with a body",
            Shape.ONE,
            make,
            bodies=lambda c: {c.hidden_page},
            on=(False,),
            method=method,
        )
    # Refused before the body: the sender may send it or not, and no one may take it for a request.
    make = lambda c: [
        c.post(line + b"content-length: %d\r\n" % len(c.hidden_page), b"", method=b"POST").replace(b"svix-id", b"x-id"),
        0.2,
        c.hidden_page,
    ]
    book.add("expect, refused by its head", Shape.SAFE, make, on=(True,), code=("header_missing",))
    make = lambda c: [c.post(line + b"content-length: %d\r\n" % len(c.hidden), b"", c.hidden), 0.3, c.hidden]
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
        name = shown(offer.partition(b"\r\n")[0])
        make = lambda c, offer=offer: c.post(offer, b"", method=b"GET")
        book.add(f"{name}, and requests behind it", Shape.ONE, make, on=(False,), method="GET")
        make = lambda c, offer=offer: c.post(offer, b"", method=b"GET") + c.hidden
        book.add(f"{name}, and a hidden one behind it", Shape.SAFE, make, on=(False,), method="GET")
        make = lambda c, offer=offer: c.post(offer, preface + c.hidden, b"", method=b"GET")
        book.add(f"{name}, and a preface behind it", Shape.SAFE, make, on=(False,), method="GET")
        make = lambda c, offer=offer: c.post(offer + b"content-length: %d\r\n" % len(c.hidden), c.hidden)
        book.add(f"{name}, with a body", Shape.ONE, make, bodies=lambda c: {c.hidden})
        make = lambda c, offer=offer: c.post(offer + b"content-length: 0\r\n", preface, b"")
        book.add(f"{name}, POST and a preface", Shape.SAFE, make)
    make = lambda c: preface + c.post(b"content-length: 0\r\n", b"")
    book.add("a preface, and HTTP/1 behind it", Shape.SAFE, make, silent=True)


def _versions(book):
    for version in (
        b"HTTP/0.9",
        b"HTTP/1.2",
        b"HTTP/1.9",
        b"HTTP/2.0",
        b"HTTP/2",
        b"HTTP/1",
        b"HTTP/11",
        b"HTTP/1.01",
        b"http/1.1",
        b"Http/1.1",
        b"HTTPS/1.1",
        b"HTTP 1.1",
        b"HTTP/1,1",
        b"HTTP/1.1.1",
        b"HTTP/-1.1",
        b"ICY",
        b"",
    ):
        make = lambda c, version=version: c.post(b"content-length: 0\r\n", b"", version=version)
        book.add(f"version {shown(version)!r}", Shape.REFUSED, make, code=FRAMING)
    for simple in (b"GET {t}\r\n", b"GET {t}\r\n\r\n", b"GET {t}\n", b"POST {t}\r\n\r\n"):
        make = lambda c, simple=simple: simple.replace(b"{t}", c.target)
        book.add(f"HTTP/0.9: {shown(simple)}", Shape.REFUSED, make, code=ANY_HEAD)
    old = b"HTTP/1.0"
    length = b"content-length: %d\r\n"
    make = lambda c: c.post(b"transfer-encoding: chunked\r\n", chunk(c.hidden_page), c.hidden_page, version=old)
    book.add("HTTP/1.0 in chunks", Shape.REFUSED, make, code=FRAMING)
    make = lambda c: c.post(length % len(c.hidden_page), c.hidden_page + c.hidden_page, c.hidden_page, version=old)
    book.add("HTTP/1.0 and one behind it", Shape.LAST, make, bodies=lambda c: {c.hidden_page})
    make = lambda c: c.post(b"connection: keep-alive\r\n" + length % len(c.hidden), c.hidden, version=old)
    book.add("HTTP/1.0 kept alive", Shape.ONE, make, bodies=lambda c: {c.hidden})
    make = lambda c: c.post(b"connection: keep-alive\r\n" + length % 0, c.hidden, b"", version=old)
    book.add("HTTP/1.0 kept alive, and a hidden one behind it", Shape.SAFE, make)
