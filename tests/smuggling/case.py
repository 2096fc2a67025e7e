"""What a case is: one connection, the attack on it, and what may come of it.

The attack has the mark `a`, the hidden request inside of it `s`; behind it come two honest followers, a page (`f`) and
a genuine delivery (`g`). Must never need to know how hookward reads a request: a case says what HTTP lets it mean.
"""

from dataclasses import dataclass

from doors import PLAIN, Door
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
    # A request that an app may refuse by itself: a method or a path that it does not know.
    foreign: bool = False
    # Over HTTP/2 its frames break its own promise of no body: the app may have the empty request, its sender no answer.
    empty: bool = False
    # The app's order is that of the answers.
    ordered: bool = True
    # It may end without any answer.
    silent: bool = False
    # Requests whose answer may be lost, though the app has them: the app broke it, or the sender left.
    lost: tuple = ()
    door: Door = PLAIN
    # It comes when no other connection asks for anything: what the app says late could be for any of them.
    alone: bool = False
    # Whose address and which scheme the app must be told.
    origin: tuple | None = None


class Context:
    """What an attack is made of: targets with their marks, signatures, and the hidden request."""

    def __init__(self, mark, protected):
        self.mark, self.protected = mark, protected
        self.target = (PATH if protected else "/page").encode() + b"?m=" + mark.encode() + b".a"
        # Behind a refused head a hidden page counts most: nothing would refuse it by itself.
        page = b"GET /page?m=%s.s HTTP/1.1\r\n%s\r\n" % (mark.encode(), HOST)
        self.hidden_page = page
        self.hidden = b"POST %s?m=%s.s HTTP/1.1\r\n%scontent-length: 4\r\n\r\nevil" % (
            PATH.encode(),
            mark.encode(),
            HOST,
        )

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
    """Collects cases, each on both targets. The letter begins their marks."""

    def __init__(self, letter):
        self.letter = letter
        self.cases = []

    def add(self, name, shape, make, bodies=None, on=(False, True), page=None, then=(), **more):
        """`make` gives an attack: bytes, or a list of pieces. `page`: the shape where nothing is protected. `then`:
        pieces that come last.
        """
        for protected in on:
            mark = f"{self.letter}{len(self.cases)}"
            context = Context(mark, protected)
            made = make(context)
            pieces = [made] if isinstance(made, bytes) else made
            title = f"{name} ({'delivery' if protected else 'page'})"
            expected = shape if protected or page is None else page
            allowed = bodies(context) if bodies else {b""}
            pieces = [*pieces, context.followers(), *then]
            self.cases.append(Case(title, mark, pieces, expected, allowed, genuine=DATA, **more))


def shown(line):
    """Bytes in words."""
    return line.decode("latin-1").encode("unicode_escape").decode()
