"""One client at one door: each request, its answer, what reached the app, and the access line.

Must never take an answer's word for it: the app's record decides what arrived.
"""

import time

import sender
from expect import About, Failed, expect
from net import BALANCER, DISALLOWED, EDGE, FRONT, POD

PLACES = {"balancer": BALANCER, "front": FRONT}
# In a row, by curl.
MOST_DISCARDED = 100


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
        # Access lines that are to be there. They are written every 20 ms, so they are looked at once a case.
        self.lines = []

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
        """The one access line of a request."""
        self.lines.append((outcome, status, self.peer, self.client, event))

    def settle(self):
        """The access log holds one line a request, and no other."""
        lines = self.cases.logs[self.door.hookward].take(len(self.lines))
        fields = ("outcome", "status", "peer", "client", "event_id")
        found = [tuple(line.get(field) for field in fields) for line in lines]
        missing, more = list(self.lines), []
        for line in found:
            if line in missing:
                missing.remove(line)
            else:
                more.append(line)
        self.lines = []
        if missing or more:
            raise Failed(f"{len(missing)} access lines are missing: {missing}; {len(more)} are too many: {more}")

    def forged_proxy(self, first, in_tls):
        """A request with a PROXY header of the client's own before it."""
        self.count += 1
        sent = sender.delivery()
        placed = {"in_tls": first} if in_tls else {"pieces": [first]}
        answer = sender.send(sent, self.source, self.to, ca=self.ca, **placed)
        expect("status", answer.status, None, 400)
        self.cases.nothing_arrived()
        # A balancer that ends TLS or speaks HTTP refuses it itself.
        if "balancer" not in (self.door.reads, self.door.tls):
            self.log("framing", None)

    def hostile(self, attempts):
        """Requests of which it does not matter who refuses them, nor why."""
        for name, lines, pieces in attempts:
            with About(name):
                self.count += 1
                answer = sender.send(sender.delivery(), self.source, self.to, lines, pieces, ca=self.ca)
                expect("status", answer.status, None, 400, 403)
                self.cases.nothing_arrived()
        # Not each of them comes as far as hookward.
        time.sleep(0.1)
        for line in self.cases.logs[self.door.hookward].take(0):
            expect("outcome", line["outcome"], "framing", "ip_not_allowed", "client_unknown", "bad_target")
            expect("client", line.get("client"), self.client, None)
