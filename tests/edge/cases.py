"""What is sent through each way in, and what must come of it.

A genuine delivery of the allowed client reaches the app once, with its bytes and its own address; nothing else reaches the
app, whatever its headers or first bytes claim; and the access log says who it was. Must never take an answer's word for it:
the app's record decides what arrived.
"""

import time

import peers
import ports
import sender
from net import ALLOWED, BALANCER, DISALLOWED, EDGE, FAMILIES, FRONT, POD, bracketed

LONGEST_REASON = 800
# In a row, by curl.
MOST_DISCARDED = 8
PLACES = {"balancer": BALANCER, "front": FRONT}


class Failed(Exception):
    """An expectation that did not hold."""


def expect(what, found, *wanted):
    """One of `wanted`."""
    if found not in wanted:
        raise Failed(f"{what} is {found!r}, not {' or '.join(map(repr, wanted))}")


class Cases:
    """Runs the cases one after the other, and counts."""

    def __init__(self, work, logs, app, only):
        self.work, self.logs, self.app, self.only = work, logs, app, only
        self.ca = str(work / "ca.pem")
        self.passed = self.failed = 0

    def case(self, name, run):
        """One line of the report. `run` returns how many requests it made."""
        if self.only and name[0] not in self.only:
            return
        try:
            requests = run()
        except (Failed, OSError, ValueError, KeyError, IndexError, RuntimeError) as error:
            self.failed += 1
            text = str(error) if isinstance(error, Failed) else repr(error)
            print(f"FAIL {name}: {text[:LONGEST_REASON]}", flush=True)
            # What the broken case left behind is not the next one's.
            time.sleep(0.3)
            for lines in (self.app, *self.logs.values()):
                lines.take(0)
            return
        self.passed += 1
        print(f"ok   {name}: {requests} requests", flush=True)

    def doors(self, doors, http2):
        """Every door, both families, both clients."""
        for door in doors:
            for family in FAMILIES:
                self.case(f"{door.label}, {family}, allowed client",
                          lambda: self.door(door, family, ALLOWED[family], DISALLOWED[family], http2))
                self.case(f"{door.label}, {family}, disallowed client",
                          lambda: self.door(door, family, DISALLOWED[family], ALLOWED[family], http2))

    def door(self, door, family, source, claim, http2):
        """Everything that one client can try through one door. It claims to be the other."""
        through = Through(self, door, family, source)
        plain = [("no spoofed header", [])]
        at_once = [("everything at once", everything(claim))]
        for name, lines in plain + spoofs(claim) + at_once:
            with About(name):
                through.request(lines)
        # Where the balancer reads HTTP without TLS, HTTP/2 is not offered.
        if http2 and (door.tls or door.reads == "hookward"):
            for name, lines in plain + at_once:
                with About(f"HTTP/2, {name}"):
                    through.request(lines, http2=True)
        with About("a wrong signature"):
            through.request([], genuine=False)
        to = through.to[0]
        for name, first in (("v1", sender.proxy_v1(claim, to)), ("v2", sender.proxy_v2(claim, to))):
            with About(f"a forged PROXY {name} header as the first bytes"):
                through.forged_proxy(first, in_tls=False)
                if door.tls:
                    through.forged_proxy(first, in_tls=True)
        if source == DISALLOWED[family]:
            through.hostile(hostile(claim))
        return through.count

    def missing(self, family):
        """A balancer that must send the PROXY header and does not."""
        for source in (ALLOWED[family], DISALLOWED[family]):
            answer = sender.send(sender.delivery(), source, (EDGE[family], ports.H_MISSING))
            expect("status", answer.status, None, 400)
            line = self.only_line("proxy")
            expect("outcome", line["outcome"], "framing")
            expect("detail", line.get("detail"), "a peer in proxy_protocol_from sent no PROXY header")
            expect("peer", line["peer"], BALANCER[family])
            self.nothing_arrived()
        return 2

    def wrong_authority(self, family):
        """An app whose certificate another authority signed."""
        answer = sender.send(sender.delivery(), ALLOWED[family], (POD[family], ports.WRONG_CA))
        expect("status and code", (answer.status, answer.code), (502, "upstream_unreachable"))
        line = self.only_line("wrong-ca")
        expect("outcome and peer", (line["outcome"], line["peer"]), ("upstream_unreachable", ALLOWED[family]))
        answer = sender.send(sender.delivery(), DISALLOWED[family], (POD[family], ports.WRONG_CA))
        expect("status and code", (answer.status, answer.code), (403, "ip_not_allowed"))
        self.only_line("wrong-ca")
        self.nothing_arrived()
        return 2

    def health_checks(self, visits):
        """HAProxy's own connections, with and without a request. In version 2 the PROXY header says LOCAL."""
        wanted = {f"check-{kind}-{version}-{family}": result
                  for version in ("v1", "v2") for family in FAMILIES
                  for kind, result in (("tcp", "L4OK"), ("tls", "L4OK"), ("page", "L7OK"), ("webhook", "L7OK"))}
        stats = peers.ask_haproxy(self.work / "haproxy.sock", "show stat").lstrip("# ").splitlines()
        names = stats[0].split(",")
        rows = [dict(zip(names, line.split(","))) for line in stats[1:] if line]
        found = {row["pxname"]: row for row in rows if row["svname"] == "pod" and row["pxname"] in wanted}
        expect("backends", sorted(found), sorted(wanted))
        for name, result in wanted.items():
            row = found[name]
            expect(f"{name}", (row["status"], row["check_status"].removeprefix("* "), row["chkfail"]), ("UP", result, "0"))
        lines = self.logs["checked"].take(1)
        seen = set()
        for line in lines:
            seen.add((line["method"], line["path"], line["outcome"], line.get("detail"), line["peer"], line.get("client")))
        expect("lines of the access log", sorted(seen, key=repr), sorted(
            (row for family in FAMILIES for row in (
                ("GET", "/health", "passed", None, BALANCER[family], None),
                # Version 1 has no LOCAL: HAProxy names itself.
                ("POST", sender.PATH, "ip_not_allowed", None, BALANCER[family], None),
                ("POST", sender.PATH, "client_unknown", "proxy_local", BALANCER[family], None))), key=repr))
        reached = {(visit["method"], dict(visit["headers"])["x-forwarded-for"]) for visit in visits.take(1)}
        expect("what reached the app", sorted(reached), sorted(("GET", BALANCER[family]) for family in FAMILIES))
        return len(lines)

    def nothing_left(self):
        """No line and no visit that no case asked for."""
        time.sleep(0.3)
        for name, log in self.logs.items():
            if name != "checked":
                expect(f"the rest of the access log of {name}", log.take(0), [])
        self.nothing_arrived()
        return 0

    def only_line(self, hookward):
        """The access line of the request just made."""
        lines = self.logs[hookward].take(1)
        if len(lines) != 1:
            raise Failed(f"{len(lines)} access lines, not one: {lines}")
        return lines[0]

    def nothing_arrived(self):
        """The app was left alone."""
        expect("what reached the app", self.app.take(0), [])


class About:
    """Says which request of a case failed."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, (Failed, OSError, ValueError, KeyError, IndexError)):
            raise Failed(f"{self.name}: {error if isinstance(error, Failed) else repr(error)}") from error


class Through:
    """One client at one door."""

    def __init__(self, cases, door, family, source):
        self.cases, self.door, self.family, self.source = cases, door, family, source
        self.to = ((POD if door.direct else EDGE)[family], door.port)
        self.peer = self.place(door.peer)
        # The access line names the client where a trusted proxy did.
        self.client = source if door.trusted else None
        self.ca = cases.ca if door.tls else None
        self.count = 0

    def place(self, name):
        """The address of a place of the network."""
        return self.source if name == "client" else PLACES[name][self.family]

    def request(self, lines, genuine=True, http2=False):
        """A whole request, and all that must come of it."""
        self.count += 1
        sent = sender.delivery(genuine)
        unwanted = not self.door.knows or self.source == DISALLOWED[self.family]
        if http2:
            answer = self.http2(sent, lines, unwanted)
        else:
            answer = sender.send(sent, self.source, self.to, lines, ca=self.ca)
        if unwanted:
            self.refused(answer, 403, "ip_not_allowed")
        elif not genuine:
            self.refused(answer, 401, "signature_mismatch")
        else:
            self.forwarded(answer, sent)

    def http2(self, sent, lines, unwanted):
        """The same over HTTP/2. A refusal that curl discards is asked for again."""
        for _ in range(MOST_DISCARDED):
            try:
                answer = sender.send_http2(sent, self.source, self.to, self.ca, lines)
                expect("HTTP version", answer.version, "2")
                return answer
            except sender.AnswerDiscarded:
                if not unwanted:
                    raise Failed("the answer to a delivery that may pass was discarded") from None
                self.log("ip_not_allowed", 403)
                self.cases.nothing_arrived()
        raise Failed("every answer was discarded")

    def refused(self, answer, status, code):
        """Said so, logged so, and kept from the app."""
        expect("status and code", (answer.status, answer.code), (status, code))
        self.log(code, status)
        self.cases.nothing_arrived()

    def forwarded(self, answer, sent):
        """Arrived once, as it was sent, with the right address."""
        expect("status", answer.status, 200)
        arrived = self.cases.app.take(1)
        expect("number of requests that reached the app", len(arrived), 1)
        headers = {}
        for name, value in arrived[0]["headers"]:
            headers.setdefault(name, []).append(value)
        expect("the app's door", arrived[0]["door"], self.door.app)
        expect("body", arrived[0]["body"], sent.body.decode())
        expect("number of verified-event headers", len(headers.get("verified-event", [])), 1)
        if f'id="{sent.id}"' not in headers["verified-event"][0]:
            raise Failed(f"verified-event is {headers['verified-event'][0]!r}, without {sent.id}")
        hops = [hop.strip() for hop in ",".join(headers.get("x-forwarded-for", [])).split(",")]
        chain = [self.place(name) for name in self.door.chain]
        expect("the end of x-forwarded-for", hops[-len(chain):] if self.door.trusted else hops, chain)
        if self.door.proto:
            expect("x-forwarded-proto", headers.get("x-forwarded-proto"), [self.door.proto])
        if not self.door.trusted:
            expect("x-forwarded-host", headers.get("x-forwarded-host"), [sender.HOST])
            for name in ("forwarded", "x-real-ip", "x_forwarded_for"):
                expect(name, headers.get(name), None)
        self.log("forwarded", 200, sent.id)

    def log(self, outcome, status, event=None):
        """The one access line."""
        line = self.cases.only_line(self.door.hookward)
        found = tuple(line.get(name) for name in ("outcome", "status", "peer", "client", "event_id"))
        expect("outcome, status, peer, client and event_id", found, (outcome, status, self.peer, self.client, event))

    def forged_proxy(self, first, in_tls):
        """A request with a PROXY header of the client's own before it."""
        self.count += 1
        sent = sender.delivery()
        placed = {"in_tls": first} if in_tls else {"first": first}
        answer = sender.send(sent, self.source, self.to, ca=self.ca, **placed)
        expect("status", answer.status, None, 400)
        self.cases.nothing_arrived()
        # A balancer that ends TLS or speaks HTTP refuses it itself.
        if "balancer" in (self.door.reads, self.door.tls):
            expect("access lines", self.cases.logs[self.door.hookward].take(0), [])
            return
        line = self.cases.only_line(self.door.hookward)
        expect("outcome and peer", (line["outcome"], line["peer"]), ("framing", self.peer))

    def hostile(self, attempts):
        """Requests of which it does not matter who refuses them, nor why."""
        for name, lines in attempts:
            with About(name):
                self.count += 1
                answer = sender.send(sender.delivery(), self.source, self.to, lines, ca=self.ca)
                expect("status", answer.status, None, 400, 403)
                self.cases.nothing_arrived()
        # Not each of them comes as far as hookward.
        time.sleep(0.1)
        for line in self.cases.logs[self.door.hookward].take(0):
            expect("outcome", line["outcome"], "framing", "ip_not_allowed", "client_unknown", "bad_target")
            expect("client", line.get("client"), self.client, None)


def spoofs(claim):
    """Header lines that claim to come from `claim`."""
    node = f'"{bracketed(claim)}"'
    return [(name, [(name, value)]) for name, value in _single(claim)] + [
        ("x-forwarded-for in several lines", [("x-forwarded-for", claim), ("x-forwarded-for", f"{claim}, {claim}")]),
        ("x-forwarded-for with loose ends", [("x-forwarded-for", f"{claim},"), ("x-forwarded-for", f", {claim} ,")]),
        ("x-real-ip in several lines", [("x-real-ip", claim), ("X-Real-IP", claim)]),
        ("forwarded in several lines", [("forwarded", f"for={node}"), ("forwarded", f"for={node}, for={node}")]),
        ("forwarded with an open quote", [("forwarded", f'for={node[:-1]}')]),
    ]


def everything(claim):
    """All claims in one request, and what else an app would believe."""
    return [*_single(claim), ("x-forwarded-proto", "gopher"), ("x-forwarded-host", "elsewhere.test"),
            ("x-forwarded-port", "1"), ("verified-event", 'id="forged"')]


def hostile(claim):
    """Ways to make two readers of one request disagree about its headers, or to lose the one that counts."""
    believed = ("x-forwarded-for", "forwarded", "x-real-ip")
    return [
        *((f"a Connection list that names {name}", [("connection", name), (name, claim)]) for name in believed),
        *((f"a space after {name}", [(f"{name} ", claim)]) for name in believed),
        *((f"a tab before {name}", [("x-one", "1"), (f"\t{name}", claim)]) for name in believed),
        ("a folded x-forwarded-for", [("x-forwarded-for", f"{claim},\r\n {claim}")]),
        ("a line that ends in LF alone", [("x-one", f"1\nx-forwarded-for: {claim}\nx-real-ip: {claim}")]),
        ("a line that ends in CR alone", [("x-one", f"1\rx-forwarded-for: {claim}")]),
        ("a zero byte in x-forwarded-for", [("x-forwarded-for", f"{claim}\0")]),
    ]


def _single(claim):
    return [
        ("x-forwarded-for", claim),
        ("forwarded", f'for="{bracketed(claim)}";proto=https'),
        ("x-real-ip", claim),
        ("cf-connecting-ip", claim),
        ("true-client-ip", claim),
        ("x-client-ip", claim),
        ("x_forwarded_for", claim),
    ]
