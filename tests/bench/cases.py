"""The cases: what is sent to which peers, and what is read while it is.

Rounds are interleaved: each round goes through all peers of a case, beginning with another one, so that what else the
machine does falls on all of them.
"""

import contextlib
import hashlib
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import load
import proc
from load import Traffic, WrongAnswer
from peers import ELSEWHERE, PORTS, Bench, Peer, Setting

KIB = 1024
VERIFYING = ["nginx-lua", "haproxy", "hookward"]


@dataclass
class Case:
    """One comparison of CPU time per request."""

    title: str
    peers: list[str]
    traffic: Traffic
    connections: int = 32
    allowed: str = ""


def _genuine(size: int, *more: str) -> Case:
    return Case(
        f"genuine, {size // KIB} KiB" if size < 1 << 20 else "genuine, 1 MiB",
        ["relay", "nginx", *more, "nginx-lua", "haproxy", "caddy", "next", "hookward"],
        Traffic("genuine", size),
    )


def _connections(count: int) -> Case:
    peers = ["relay", "nginx", *VERIFYING]
    return Case(f"genuine, 1 KiB, {count} connection{'s' * (count > 1)}", peers, Traffic(), count)


CPU = {
    "genuine-1k": _genuine(KIB, "nginx-log"),
    "genuine-16k": _genuine(16 * KIB),
    "genuine-64k": _genuine(64 * KIB),
    "genuine-1m": _genuine(1 << 20),
    "forged": Case("forged, 1 KiB", ["nginx-lua", "haproxy", "next", "hookward"], Traffic("forged", KIB, 401)),
    "wrong": Case(
        "wrong address, 1 KiB", ["nginx", "haproxy", "hookward"], Traffic("wrong", KIB, 403), allowed=ELSEWHERE
    ),
    "page": Case("page, 10 KiB", ["relay", "nginx", "haproxy", "caddy", "hookward"], Traffic("page", KIB)),
    "connections-1": _connections(1),
    "connections-256": _connections(256),
}
OTHERS = ["download", "latency", "memory", "startup", "flood"]
ALL = [*CPU, *OTHERS]


@dataclass
class Run:
    """How long and how often."""

    bench: Bench
    rounds: int
    seconds: int
    quick: bool
    skipped: list[str] = field(default_factory=list)

    def skip(self, what: str) -> None:
        """Say loudly what could not be measured as it should be."""
        print(f"SKIP {what}", flush=True)
        self.skipped.append(what)

    def present(self, names: list[str]) -> list[str]:
        """Those peers that could be installed."""
        return [name for name in names if name not in self.bench.missing]

    @contextlib.contextmanager
    def peers(self, names: list[str], setting: Setting) -> Iterator[list[Peer]]:
        """Run these peers, and end them afterwards."""
        running: list[Peer] = []
        try:
            running.extend(self.bench.start(name, setting) for name in self.present(names))
            yield running
        finally:
            for peer in running:
                proc.stop(peer.process)

    @contextlib.contextmanager
    def preferred(self, running: list[Peer]) -> Iterator[None]:
        """Put app and peers before the machine's other work, which a 99th percentile would show otherwise."""
        app = proc.tree(self.bench.app.pid)
        pids = app + [pid for peer in running for pid in proc.tree(peer.process.pid)]
        if not proc.prefer(pids, load.PRIORITY):
            self.skip("a raised priority for latencies: this user may not")
        try:
            yield
        finally:
            proc.prefer(app, 0)

    def turns(self, items: list) -> Iterator[tuple[int, object]]:
        """Every round through all items, beginning with the next one each time."""
        for round_ in range(self.rounds):
            first = round_ % max(1, len(items))
            for item in items[first:] + items[:first]:
                yield round_, item

    def cpu(self, case: Case) -> dict:
        """CPU µs per request, user and system, of each peer and round."""
        result: dict = {}
        body = 0 if case.traffic.kind == "page" else case.traffic.size
        script = self.bench.work / "requests.lua"
        with self.peers(case.peers, Setting(body, case.allowed)) as running:
            case.traffic.script(script)
            for peer in running:
                case.traffic.probe(peer.port)
                if (
                    case.traffic.kind == "wrong"
                    and load.exchange(peer.port, "POST", load.PATH, *load.delivery(0, case.traffic.size), send=False)
                    != 403
                ):
                    raise WrongAnswer(f"{peer.name} waits for the body of a wrong address")
                # Node.js needs its compiler's time.
                warm = (2 if self.quick else 8) if peer.name == "next" else int(not self.quick)
                if warm:
                    load.wrk(peer.port, case.traffic, script, case.connections, warm)
                peer.pids = proc.tree(peer.process.pid)
                result[peer.name] = {"user": [], "system": [], "rate": []}
            signed = time.monotonic()
            for _, peer in self.turns(running):
                # Senders' clocks are right: no delivery may be older than the tolerance of five minutes.
                if time.monotonic() - signed > 60:
                    case.traffic.script(script)
                    signed = time.monotonic()
                row = self._one(peer, case, script)
                for name, value in row.items():
                    result[peer.name][name].append(value)
        return {"title": case.title, "unit": "CPU µs per request", "peers": result}

    def _one(self, peer: Peer, case: Case, script) -> dict[str, float]:
        heard, began, before = load.heard(), time.monotonic(), proc.cpu(peer.pids)
        requests = load.wrk(peer.port, case.traffic, script, case.connections, self.seconds)
        after, seconds = proc.cpu(peer.pids), time.monotonic() - began
        heard = load.heard() - heard
        if case.traffic.status >= 400 and heard:
            raise WrongAnswer(f"{peer.name} let {heard} {case.traffic.kind} requests through to the app")
        if case.traffic.status < 400 and peer.name != "next" and heard < requests:
            raise WrongAnswer(f"{peer.name} answered {requests} requests, of which the app heard {heard}")
        user, system = ((now - then) / requests * 1e6 for now, then in zip(after, before, strict=True))
        return {"user": user, "system": system, "rate": requests / seconds}

    def download(self) -> dict:
        """CPU seconds per GiB of one streamed download at a time."""
        size, result = (256 << 20) if self.quick else (1 << 30), {}
        self.bench.download(size)
        with self.peers(["relay", "nginx", "haproxy", "caddy", "hookward"], Setting(0)) as running:
            for peer in running:
                load.download(peer.port, size)
                result[peer.name] = {"user": [], "system": []}
            for _, peer in self.turns(running):
                before = proc.cpu(peer.pids)
                load.download(peer.port, size)
                after = proc.cpu(peer.pids)
                for kind, then, now in zip(("user", "system"), before, after, strict=True):
                    result[peer.name][kind].append((now - then) * (1 << 30) / size)
        title = f"download of {size >> 20} MiB"
        return {"title": title, "unit": "CPU s per GiB", "peers": result}

    def latency(self) -> dict:
        """p50 and p99 of 1 KiB deliveries at half of what the slowest takes, and what each adds to the app's own."""
        result: dict = {}
        with self.peers(["relay", "nginx", *VERIFYING], Setting()) as running, self.preferred(running):
            script = Traffic().script(self.bench.work / "requests.lua")
            rates = [load.wrk(peer.port, Traffic(), script, 32, 2) / 2 for peer in running]
            rate = max(50, int(min(rates) / 2) // 50 * 50)
            for _, name in self.turns(["direct", *(peer.name for peer in running)]):
                times = load.paced(PORTS[name], rate, self.seconds, self.bench.work).finish(200)
                row = result.setdefault(name, {"p50": [], "p99": [], "late": []})
                row["p50"].append(times[len(times) // 2])
                row["p99"].append(times[len(times) * 99 // 100])
                row["late"].append(sum(time_ > 20000 for time_ in times) / len(times))
        title = f"latency at {rate} requests a second, 1 KiB"
        return {"title": title, "unit": "µs", "rate": rate, "peers": result}

    def memory(self) -> dict:
        """KiB at rest, at most under load, and for each of many idle connections."""
        wanted = 2000 if self.quick else 10000
        # A proxy keeps two descriptors for a connection, used or not.
        files = proc.raise_open_files(65536)
        if files < 2 * wanted + 1000:
            fewer = max(0, (files - 1000) // 2)
            self.skip(f"{wanted:,} idle connections: {files} open files are allowed here; {fewer:,} instead")
            wanted = fewer
        result: dict = {}
        for name in self.present(["nginx", "nginx-lua", "haproxy", "caddy", "next", "hookward"]):
            with self.peers([name], Setting()) as [peer]:
                time.sleep(0.5)
                row = {"rest": proc.proportional(peer.pids), "rest_rss": proc.resident(peer.pids)}
                # Fewer first: the peak that the kernel remembers only grows.
                row |= self._under_load(peer, 32, "load") | self._under_load(peer, 256, "crowd")
            if wanted and name != "next":
                row["connection"] = self._idle(name, wanted)
            result[name] = row
        return {"title": "memory", "unit": "KiB", "connections": wanted, "peers": result}

    def _under_load(self, peer: Peer, connections: int, name: str) -> dict[str, int]:
        peak, ended = [0], threading.Event()

        def watch() -> None:
            while not ended.wait(0.05):
                peak[0] = max(peak[0], proc.proportional(proc.tree(peer.process.pid)))

        watcher = threading.Thread(target=watch)
        watcher.start()
        script = Traffic().script(self.bench.work / "requests.lua")
        try:
            load.wrk(peer.port, Traffic(), script, connections, self.seconds)
        finally:
            ended.set()
            watcher.join()
        return {name: peak[0], f"{name}_rss": proc.resident(proc.tree(peer.process.pid), "VmHWM")}

    def _idle(self, name: str, count: int) -> float:
        with self.peers([name], Setting(connections=count + 100)) as [peer]:
            for connection in load.idle(peer.port, 10):
                connection.close()
            before = proc.proportional(peer.pids)
            held = load.idle(peer.port, count)
            time.sleep(0.5)
            after = proc.proportional(peer.pids)
            # They must all still be there, or their memory is not.
            for connection in held:
                load.ask(connection)
                connection.close()
        return (after - before) / count

    def startup(self) -> dict:
        """Milliseconds from the start of a process to the first delivery that it answers."""
        result: dict = {}
        names = self.present(["nginx", "nginx-lua", "haproxy", "caddy", "next", "hookward"])
        for _, name in self.turns(names):
            headers, body = load.delivery(0, KIB)
            command, options = self.bench.prepare(name, Setting())
            began = time.monotonic()
            process = proc.start(command, proc.PROXY_CORE, self.bench.work / f"{name}.log", **options)
            try:
                while time.monotonic() - began < 20:
                    with contextlib.suppress(OSError, WrongAnswer):
                        if load.exchange(PORTS[name], "POST", load.PATH, headers, body) == 200:
                            break
                    time.sleep(0.0005)
                else:
                    raise WrongAnswer(f"{name} did not start")
                result.setdefault(name, {"ready": []})["ready"].append((time.monotonic() - began) * 1000)
            finally:
                proc.stop(process)
        return {"title": "start to the first answer", "unit": "ms", "peers": result}

    def flood(self) -> dict:
        """p99 of genuine deliveries, alone and beside ten times as many forged ones, of which the app hears none."""
        rate, result = 500, {}
        with self.peers(VERIFYING, Setting()) as running, self.preferred(running):
            for _, peer in self.turns(running):
                row = result.setdefault(peer.name, {"quiet": [], "flood": [], "heard": []})
                for kind in ("quiet", "flood"):
                    heard = load.heard()
                    forged = kind == "flood" and load.paced(
                        peer.port, 10 * rate, self.seconds + 2, self.bench.work, forged=True
                    )
                    if forged:
                        time.sleep(0.7)
                    genuine = load.paced(peer.port, rate, self.seconds, self.bench.work)
                    times = genuine.finish(200)
                    if forged:
                        forged.finish(401)
                        if forged.began > genuine.began or forged.ended < genuine.ended:
                            raise WrongAnswer("the flood did not last as long as what was measured in it")
                    row[kind].append(times[len(times) * 99 // 100])
                    row["heard"].append(load.heard() - heard - genuine.count)
                    if row["heard"][-1]:
                        more = row["heard"][-1]
                        raise WrongAnswer(f"{peer.name}: the app heard {more} more than the genuine ones")
        title = f"p99 of {rate} genuine deliveries a second, alone and beside {10 * rate} forged"
        return {"title": title, "unit": "µs", "peers": result}


def bare_sha256(sizes: list[int]) -> dict[str, float]:
    """µs for the hash of a body alone: what verifying costs at least (OpenSSL's, as Python has it)."""
    times = {}
    for size in sizes:
        body, count = b"x" * size, max(20, (8 << 20) // size)
        runs = []
        for _ in range(7):
            began = time.process_time()
            for _ in range(count):
                hashlib.sha256(body).digest()
            runs.append((time.process_time() - began) / count * 1e6)
        times[str(size)] = statistics.median(runs)
    return times
