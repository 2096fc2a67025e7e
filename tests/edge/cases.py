"""What is sent through each way in, and what must come of it.

A genuine delivery of the allowed client reaches the app once, with its bytes and its own address; nothing else reaches
the app, whatever its headers or first bytes claim; and the access log says who it was. Must never let a line of the
log, or a request that reached the app, go unaccounted for.
"""

import time

import haproxy
import ports
import sender
from expect import About, Failed, expect
from net import ALLOWED, BALANCER, DISALLOWED, EDGE, FAMILIES, POD
from spoofs import everything, hostile, spoofs
from through import Through

LONGEST_REASON = 800


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
        with About("the access log"):
            through.settle()
        if source == DISALLOWED[family]:
            through.hostile(hostile(claim, to))
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
        stats = haproxy.ask(self.work / "haproxy.sock", "show stat").lstrip("# ").splitlines()
        names = stats[0].split(",")
        rows = [dict(zip(names, line.split(","))) for line in stats[1:] if line]
        found = {row["pxname"]: row for row in rows if row["svname"] == "pod" and row["pxname"] in wanted}
        expect("backends", sorted(found), sorted(wanted))
        for name, result in wanted.items():
            row = found[name]
            # An asterisk: the next check is under way.
            checked = row["check_status"].removeprefix("* ")
            expect(name, (row["status"], checked, row["chkfail"]), ("UP", result, "0"))
        lines = self.logs["checked"].take(1)
        fields = ("method", "path", "outcome", "detail", "peer", "client")
        seen = {tuple(line.get(field) for field in fields) for line in lines}
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
