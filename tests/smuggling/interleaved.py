"""The HTTP/2 cases about frames: in an order, on a stream or of a size that nobody may send, and rare honest ones.

What two streams send in turns, or one stream begins and another one ends, must never become one message. Sources: RFC
9113 §4 to §6 and §8.1, RFC 7541 §2 to §6; "rapid reset" (2023) and "CONTINUATION flood" (2024) for the places. Must
never keep to hyperframe where it would refuse to write what is meant.
"""

from downgrades import AUTHORITY, SCHEME, Attack, Streams
from oracle import Shape
from signer import PATH, sign
from streams import PREFACE

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, PRIORITIZED, ACK = 1, 4, 8, 0x20, 1
CANCEL = b"\0\0\0\x08"


def frame(kind, flags, stream, payload=b""):
    """Any frame."""
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


class Frames(Attack):
    """An attack that is written frame by frame."""

    def __init__(self, mark, protected):
        super().__init__(mark, protected)
        self.write = None

    def frames(self, connection):
        """What `write` makes of the head's block."""
        block = connection.encoder.encode(self.all_fields(), huffman=False)
        return self.write(self, block)

    def other(self, connection_fields=()):
        """The block of another delivery, genuine but for its end. Literals alone leave the encoder's table as it is."""
        body = self.hidden * 2
        path = b"%s?m=%s.s" % (PATH.encode(), self.mark.encode())
        fields = [(b":method", b"POST"), SCHEME, AUTHORITY, (b":path", path), *sign(f"msg_{self.mark}_s", body)]
        return b"".join(literal(*field) for field in [*fields, *connection_fields])


def literal(name, value):
    """A field that no table remembers (RFC 7541 §6.2.2)."""
    return b"\0" + _counted(name) + _counted(value)


def _counted(text):
    if len(text) < 127:
        return bytes([len(text)]) + text
    rest, size = len(text) - 127, b"\x7f"
    while rest > 127:
        size, rest = size + bytes([rest & 127 | 128]), rest >> 7
    return size + bytes([rest]) + text


def table():
    """All of them."""
    book = Streams("i", Frames)
    for group in (_blocks, _places, _control, _turns, _withdrawn, _padding, _fields):
        group(book)
    return book.cases


def _add(book, name, write, shape=Shape.SAFE, **more):
    change = more.pop("change", lambda attack: None)

    def make(attack):
        change(attack)
        attack.write = write

    book.add(f"frames: {name}", make, shape, **more)


def _whole(attack, block):
    return frame(HEADERS, END_HEADERS, 1, block) + frame(DATA, END_STREAM, 1, attack.hidden)


def _blocks(book):
    """A head in several frames: nothing else may come between them (RFC 9113 §4.3)."""
    for name, between in {
        "DATA": frame(DATA, 0, 1, b"evil"),
        "DATA of another stream": frame(DATA, END_STREAM, 3, b"evil"),
        "PING": frame(PING, 0, 0, b"8 bytes."),
        "SETTINGS": frame(SETTINGS, 0, 0),
        "WINDOW_UPDATE": frame(WINDOW, 0, 0, b"\0\0\0\1"),
        "RST_STREAM": frame(RST, 0, 1, CANCEL),
        "PRIORITY": frame(PRIORITY, 0, 1, b"\0\0\0\0\0"),
        "a frame of kind 0xbb": frame(0xBB, 0, 1, b"evil"),
        "CONTINUATION of another stream": frame(CONTINUATION, END_HEADERS, 3),
        "CONTINUATION of stream 0": frame(CONTINUATION, END_HEADERS, 0),
        "HEADERS": frame(HEADERS, END_HEADERS, 1),
        "a request": frame(HEADERS, END_HEADERS | END_STREAM, 3, b"\x82\x84\x86" + literal(*AUTHORITY)),
    }.items():

        def write(attack, block, between=between):
            first, rest = frame(HEADERS, 0, 1, block[:9]), frame(CONTINUATION, END_HEADERS, 1, block[9:])
            return first + between + rest + frame(DATA, END_STREAM, 1, attack.hidden)

        _add(book, f"{name} inside of a head", write)

    def ended(attack, block):
        first = frame(HEADERS, END_STREAM, 1, block[:9])
        return first + frame(CONTINUATION, END_HEADERS, 1, block[9:]) + frame(DATA, END_STREAM, 1, attack.hidden)

    _add(book, "a body behind a head that ended the stream", ended)

    def empty(count):
        def write(attack, block):
            between = frame(CONTINUATION, 0, 1) * count
            head = frame(HEADERS, 0, 1, block[:9]) + between + frame(CONTINUATION, END_HEADERS, 1, block[9:])
            return head + frame(DATA, END_STREAM, 1, attack.hidden)

        return write

    for count in (1, 3, 1000):
        _add(book, f"{count} empty CONTINUATION frames", empty(count))
    _add(book, "CONTINUATION without a head", lambda a, b: frame(CONTINUATION, END_HEADERS, 1, b) + _whole(a, b))
    _add(book, "a head that is empty", lambda a, b: frame(HEADERS, END_HEADERS | END_STREAM, 1))


def _places(book):
    """Streams that are no client's, or that are over (RFC 9113 §5.1)."""
    for name, sent in {
        "DATA on stream 0": frame(DATA, END_STREAM, 0, b"evil"),
        "DATA on a stream that is not open": frame(DATA, END_STREAM, 9, b"evil"),
        "HEADERS on stream 0": frame(HEADERS, END_HEADERS | END_STREAM, 0, b"\x82\x84\x86"),
        "HEADERS on stream 2": frame(HEADERS, END_HEADERS | END_STREAM, 2, b"\x82\x84\x86"),
        "RST_STREAM of a stream that is not open": frame(RST, 0, 9, CANCEL),
        "PUSH_PROMISE": frame(PUSH, END_HEADERS, 1, b"\0\0\0\2\x82\x84\x86"),
        "the preface again": PREFACE,
        "HTTP/1": b"GET /page HTTP/1.1\r\nhost: app.example\r\n\r\n",
    }.items():
        _add(book, f"{name}, then a request", lambda a, b, sent=sent: sent + _whole(a, b))
        _add(book, f"{name} behind a request", lambda a, b, sent=sent: _whole(a, b) + sent)
        within = lambda a, b, sent=sent: frame(HEADERS, END_HEADERS, 1, b) + sent + frame(DATA, END_STREAM, 1, a.hidden)
        _add(book, f"{name} within a request", within)


def _control(book):
    """Settings and windows that nobody may set, or that change what is under way (RFC 9113 §6.5, §6.9)."""
    setting = lambda key, value: frame(SETTINGS, 0, 0, key.to_bytes(2) + value.to_bytes(4))
    for name, sent in {
        "SETTINGS of 5 bytes": frame(SETTINGS, 0, 0, b"\0\1\0\0\0"),
        "SETTINGS on a stream": frame(SETTINGS, 0, 1),
        "SETTINGS that answer and set": frame(SETTINGS, ACK, 0, b"\0\1\0\0\0\0"),
        "no header table": setting(1, 0),
        "ENABLE_PUSH 2": setting(2, 2),
        "a window of 2^31": setting(4, 1 << 31),
        "a window of 0": setting(4, 0) + setting(4, 65535),
        "frames of 0 bytes": setting(5, 0),
        "ENABLE_CONNECT_PROTOCOL": setting(8, 1),
        "an unknown setting": setting(0xBBBB, 1),
        "a window grown by 0": frame(WINDOW, 0, 0, b"\0\0\0\0"),
        "a window grown by 2^31 - 1": frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff"),
        "a stream's window grown by 0": frame(WINDOW, 0, 1, b"\0\0\0\0"),
        "PING of 7 bytes": frame(PING, 0, 0, b"7 bytes"),
        "PRIORITY on itself": frame(PRIORITY, 0, 1, b"\0\0\0\1\0"),
        "PRIORITY of 4 bytes": frame(PRIORITY, 0, 1, b"\0\0\0\0"),
        "GOAWAY": frame(GOAWAY, 0, 0, b"\0\0\0\0" + b"\0\0\0\0"),
        "RST_STREAM of 3 bytes": frame(RST, 0, 1, b"\0\0\0"),
    }.items():
        # A RST_STREAM or a window of a stream that is not open yet is an error by itself.
        within = lambda a, b, sent=sent: frame(HEADERS, END_HEADERS, 1, b) + sent + frame(DATA, END_STREAM, 1, a.hidden)
        _add(book, f"{name} within a request", within)
        _add(book, f"{name}, then a request", lambda a, b, sent=sent: sent + _whole(a, b))
    over = lambda a, b: frame(HEADERS, END_HEADERS, 1, b) + frame(DATA, END_STREAM, 1, b"x" * 16385)
    _add(book, "DATA of 16385 bytes", over)


def _turns(book):
    """Two streams in turns: each body is its own. The other one is withdrawn before its last byte."""
    halves = lambda text: (text[: len(text) // 2], text[len(text) // 2 :])

    def write(attack, block):
        one, two = halves(attack.hidden)
        sent = frame(HEADERS, END_HEADERS, 1, block) + frame(HEADERS, END_HEADERS, 3, attack.other())
        sent += frame(DATA, 0, 3, attack.hidden) + frame(DATA, 0, 1, one) + frame(DATA, 0, 3, two)
        attack.next = 5
        return sent + frame(DATA, END_STREAM, 1, two) + frame(RST, 0, 3, CANCEL)

    _add(book, "two bodies in turns", write, Shape.ONE)

    def shorter(attack, block):
        # Its length says less than came with the other one: that many bytes of it are not its own.
        attack.next = 5
        length = (b"content-length", b"%d" % (len(attack.hidden) * 2))
        sent = frame(HEADERS, END_HEADERS, 1, block) + frame(HEADERS, END_HEADERS, 3, attack.other([length]))
        return sent + frame(DATA, END_STREAM, 3, attack.hidden) + frame(DATA, END_STREAM, 1, attack.hidden)

    _add(book, "a body that ends early beside another", shorter, Shape.ONE)

    def many(attack, block):
        attack.next = 101
        sent = frame(HEADERS, END_HEADERS, 1, block)
        for stream in range(3, 101, 2):
            sent += frame(HEADERS, END_HEADERS, stream, attack.other()) + frame(DATA, 0, stream, attack.hidden)
        sent += b"".join(frame(RST, 0, stream, CANCEL) for stream in range(3, 101, 2))
        return sent + frame(DATA, END_STREAM, 1, attack.hidden)

    _add(book, "forty-nine others that are withdrawn", many)

    def lower(attack, block):
        attack.next = 7
        return frame(HEADERS, END_HEADERS, 5, attack.other()) + frame(RST, 0, 5, CANCEL) + _whole(attack, block)

    _add(book, "a stream of a lower number", lower)


def _withdrawn(book):
    """A body that is withdrawn, and then goes on: on its stream, or as another one's (RFC 9113 §5.1, "closed")."""
    rest = {
        "nothing": lambda a: b"",
        "its rest": lambda a: frame(DATA, END_STREAM, 1, a.hidden[9:]),
        "its end": lambda a: frame(DATA, END_STREAM, 1),
        "trailers": lambda a: frame(HEADERS, END_HEADERS | END_STREAM, 1, literal(b"x-checksum", b"1")),
        "a second head": lambda a: frame(HEADERS, END_HEADERS, 1, a.other()) + frame(DATA, END_STREAM, 1, a.hidden),
        "another stream's": lambda a: frame(DATA, END_STREAM, 3, a.hidden[9:]),
    }
    for name, more in rest.items():
        for length in (False, True):

            def change(attack, length=length):
                attack.withdrawn = True
                if length:
                    attack.fields += [(b"content-length", b"%d" % len(attack.hidden))]

            def write(attack, block, more=more):
                head = frame(HEADERS, END_HEADERS, 1, block)
                return head + frame(DATA, 0, 1, attack.hidden[:9]) + frame(RST, 0, 1, CANCEL) + more(attack)

            counted = " of a length" if length else ""
            _add(book, f"a body{counted} that is withdrawn, and {name}", write, change=change)


def _padding(book):
    """Padding is no body, whatever it holds (RFC 9113 §6.1)."""

    def data(attack, block):
        padding = attack.hidden_page[:255]
        payload = bytes([len(padding)]) + attack.hidden + padding
        return frame(HEADERS, END_HEADERS, 1, block) + frame(DATA, END_STREAM | PADDED, 1, payload)

    _add(book, "a request in the padding of DATA", data, Shape.ONE)
    counted = lambda a: a.fields.append((b"content-length", b"%d" % len(a.hidden)))
    _add(book, "a request in the padding of DATA of a length", data, Shape.ONE, change=counted)
    with_padding = lambda a: a.fields.append((b"content-length", b"%d" % (len(a.hidden) + 1 + len(a.hidden_page))))
    _add(book, "a length that counts the padding", data, change=with_padding)

    def head(attack, block):
        padding = attack.hidden_page[:255]
        payload = bytes([len(padding)]) + b"\x80\0\0\0\xff" + block + padding
        flags = END_HEADERS | PADDED | PRIORITIZED
        return frame(HEADERS, flags, 1, payload) + frame(DATA, END_STREAM, 1, attack.hidden)

    _add(book, "a request in the padding of HEADERS", head, Shape.ONE)
    only = lambda a, b: (
        frame(HEADERS, END_HEADERS, 1, b) + frame(DATA, PADDED, 1, b"\4evil") + frame(DATA, END_STREAM, 1, a.hidden)
    )
    _add(book, "DATA that is padding alone", only, Shape.ONE)
    for name, payload in (("as long as its frame", b"\x06evil!"), ("of no length", b"")):
        short = lambda a, b, payload=payload: frame(HEADERS, END_HEADERS, 1, b) + frame(DATA, PADDED | 1, 1, payload)
        _add(book, f"padding {name}", short)


def _fields(book):
    """Blocks that a decoder must refuse, and rare ones that it must not (RFC 7541 §2.3, §4.2, §5, §6)."""
    for name, bad in {
        "index 0": b"\x80",
        "an index beyond the table": b"\xff\x80\x80\x01",
        "an integer without an end": b"\xff" + b"\xff" * 20,
        "a name beyond the table": b"\x7f\x80\x10\1x",
        "a value that is cut off": b"\0\1x\x7f",
        "a table that grows too large": b"\x3f\xe1\xff\xff\xff\x07",
        "a table resized behind a field": literal(b"x", b"y") + b"\x20",
        "Huffman's end of string": b"\0\1x\x84\xff\xff\xff\xff",
        "Huffman padding of zeros": b"\0\1x\x81\x00",
        "Huffman padding of a byte": b"\0\1x\x82\x1f\xff",
    }.items():
        _add(book, f"fields: {name}", lambda a, b, bad=bad: _whole(a, b + bad))
        _add(book, f"fields: {name}, first", lambda a, b, bad=bad: _whole(a, bad + b))
    never = lambda a, b: _whole(a, b + b"\x10" + literal(b"x-secret", b"y")[1:])
    _add(book, "fields: one that is never remembered", never, Shape.ONE)
    _add(book, "fields: a table that is emptied first", lambda a, b: _whole(a, b"\x20\x3f\xe1\x1f" + b), Shape.ONE)
    crumbs = b"".join(literal(b"cookie", crumb) for crumb in (b"a=b", b"c=d; e=f", b"", b"g"))
    _add(book, "fields: crumbs of a cookie", lambda a, b: _whole(a, b + crumbs), Shape.ONE)
    many = b"".join(literal(b"cookie", b"a=%d" % n) for n in range(90))
    _add(book, "fields: ninety crumbs", lambda a, b: _whole(a, b + many))
    bomb = b"\x40" + literal(b"x-bomb", b"y" * 3000)[1:] + b"\xbe" * 4000
    _add(book, "fields: a bomb", lambda a, b: _whole(a, b + bomb))
