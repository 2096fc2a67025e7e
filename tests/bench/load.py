"""The load: signed deliveries, sent by wrk (closed loop) or h2load (a given rate), downloads, and idle connections.

Every answer counts: a run with an unexpected status, a broken connection or a timeout raises: no figure is of errors.
"""

import base64
import hashlib
import hmac
import re
import socket
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import proc
from peers import APP_PORT, DOWNLOAD, KEY, PATH

# Distinct deliveries; fewer where they are large, as the generator holds them all.
PRIORITY = -10  # of all that takes part where latency is read: a tail shows the machine's other work first
WARM_UP = 500_000  # µs of a stream at a fixed rate
DELIVERIES = {1024: 64, 16 << 10: 64, 64 << 10: 32, 1 << 20: 8}


class WrongAnswer(Exception):
    """Something was not answered as it should have been: the figure would be of errors."""


def delivery(number: int, size: int, *, forged: bool = False) -> tuple[dict[str, str], bytes]:
    """Return headers and body of one delivery, signed now; a forged one with another key: it fails only at the MAC."""
    head = b'{"type":"user.created","object":"event","data":{"id":"user_%06d","pad":"' % number
    body = head + b"x" * (size - len(head) - 3) + b'"}}'
    now = int(time.time())
    key = b"somebody-elses-key-24-by" if forged else KEY
    content = f"msg_{number}.{now}.".encode() + body
    mac = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return {
        "content-type": "application/json",
        "user-agent": "Svix-Webhooks/1.0",
        "svix-id": f"msg_{number}",
        "svix-timestamp": str(now),
        "svix-signature": f"v1,{mac}",
    }, body


def exchange(
    port: int, method: str, path: str, headers: dict[str, str], body: bytes = b"", *, send: bool = True
) -> int:
    """Send one request on a connection of its own and return the status; with `send` off its body never comes."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"{method} {path} HTTP/1.1\r\nhost: app.example\r\n{lines}content-length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(head + (body if send else b""))
        answer = connection.recv(65536)
        # The app's own words: a proxy that answers in its stead is not measured.
        while b" 200 OK\r\n" in answer[:20] and not _by_app(answer):
            more = connection.recv(65536)
            if not more:
                break
            answer += more
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    if not found or (found[1] == b"200" and not _by_app(answer)):
        raise WrongAnswer(f"port {port} answered {answer[:80]!r}")
    return int(found[1])


def _by_app(answer: bytes) -> bool:
    return b"\r\nok\n" in answer or answer.endswith(b"...")


def heard() -> int:
    """Return how many requests the app has had so far, without those that ask for this number."""
    with socket.create_connection(("127.0.0.1", APP_PORT), 10) as connection:
        connection.sendall(b"GET /status HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        answer = b""
        while more := connection.recv(4096):
            answer += more
    heard.asked += 1
    found = re.search(rb"requests\s+\d+ \d+ (\d+)", answer)
    if not found:
        raise WrongAnswer("the app does not say how many requests it had")
    return int(found[1]) - heard.asked


heard.asked = 0

SCRIPT = """
local requests, n, statuses, threads = {}, 0, {}, {}
function setup(thread) table.insert(threads, thread) end
function init(args)
  requests = { %(requests)s }
end
function request()
  n = n %% #requests + 1
  return requests[n]
end
%(response)s
function done(summary, latency, asked)
  local e, unexpected = summary.errors, 0
  for _, thread in ipairs(threads) do unexpected = unexpected + (thread:get("unexpected") or 0) end
  io.write(string.format("DONE %%d %%d %%d %%d %%d %%d %%d\\n", summary.requests, summary.duration, e.status,
    e.connect + e.read + e.write, e.timeout, unexpected, latency:percentile(99)))
end
"""

# Costs the generator time, so it is there only for refusals: wrk itself counts every status above 399 as an error.
RESPONSE = """
unexpected = 0
function response(status) if status ~= %d then unexpected = unexpected + 1 end end
"""


@dataclass
class Traffic:
    """One kind of request."""

    kind: str = "genuine"  # forged, wrong (a genuine one from an address that may not call), page
    size: int = 1024
    status: int = 200

    def script(self, path: Path) -> Path:
        """Write wrk's script, with deliveries signed now."""
        rows = []
        for number in range(1 if self.kind == "page" else DELIVERIES[self.size]):
            if self.kind == "page":
                rows.append('wrk.format("GET", "/page")')
                continue
            headers, body = delivery(number, self.size, forged=self.kind == "forged")
            fields = ",".join(f'["{name}"]="{value}"' for name, value in headers.items())
            rows.append(f'wrk.format("POST", "{PATH}", {{{fields}}}, [[{body.decode()}]])')
        response = RESPONSE % self.status if self.status >= 400 else ""
        path.write_text(SCRIPT % {"requests": ",\n".join(rows), "response": response})
        return path

    def probe(self, port: int) -> None:
        """Look at the exact status once, so that the load measures what is meant."""
        if self.kind == "page":
            status = exchange(port, "GET", "/page", {})
        else:
            headers, body = delivery(0, self.size, forged=self.kind == "forged")
            status = exchange(port, "POST", PATH, headers, body)
        if status != self.status:
            raise WrongAnswer(f"{self.kind} {self.size}: port {port} answered {status}, not {self.status}")


def wrk(port: int, traffic: Traffic, script: Path, connections: int, seconds: int) -> int:
    """Run wrk for `seconds` and return how many requests were answered, all as expected."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(script)]
    run = pinned([*command, f"http://127.0.0.1:{port}"])
    found = re.search(r"^DONE (\d+) (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)", run, re.MULTILINE)
    if not found:
        raise WrongAnswer(run[-800:])
    requests, _, refused, broken, late, unexpected, _ = (int(figure) for figure in found.groups())
    expected = requests if traffic.status >= 400 else 0
    if not requests or refused != expected or broken or late or unexpected:
        raise WrongAnswer(
            f"port {port}: {requests} requests, {refused} refused, {unexpected} with another status than"
            f" {traffic.status}, {broken} broken, {late} late"
        )
    return requests


def pinned(command: list[str]) -> str:
    """Run a generator on the load's core and return what it prints."""
    core = ["taskset", "-c", str(proc.LOAD_CORE)]
    run = subprocess.run([*core, *command], capture_output=True, text=True, check=False)
    if run.returncode:
        raise WrongAnswer(f"{command[0]}: {run.stderr[-400:]}{run.stdout[-400:]}")
    return run.stdout


@dataclass
class Paced:
    """A stream at a fixed rate, under way."""

    process: subprocess.Popen
    log: Path
    count: int
    began: int = 0  # µs since the epoch, as `ended`
    ended: int = 0

    def finish(self, status: int) -> list[int]:
        """Wait for its end and return the times of the answers in µs, sorted; every one must have had `status`.

        Those of the first half second are left out, in which proxies open their connections to the app.
        """
        output = self.process.communicate()[0]
        rows = [line.split("\t") for line in self.log.read_text().splitlines()]
        statuses = Counter(row[1] for row in rows)
        if statuses != {str(status): self.count}:
            raise WrongAnswer(f"{self.count} asked for at a fixed rate, answered {dict(statuses)}: {output[-400:]}")
        began = [int(row[0]) for row in rows]
        self.began, self.ended = min(began) + WARM_UP, max(began)
        return sorted(int(row[2]) for start, row in zip(began, rows, strict=True) if start >= self.began)


def paced(port: int, rate: int, seconds: float, work: Path, *, forged: bool = False) -> Paced:
    """Start deliveries of 1 KiB at `rate` a second: many clients with few each, so a slow answer delays no other one.

    Clients begin one after the other within 20 ms, and none sends faster than 50 a second: below 20 ms no request waits
    for an earlier one of its client, which is what makes this an open loop.
    """
    clients = max(1, round(rate / 50))
    count = round(50 * (seconds + WARM_UP / 1e6)) * clients
    name = "forged" if forged else "genuine"
    headers, body = delivery(1, 1024, forged=forged)
    data, log = work / f"{name}.body", work / f"{name}.tsv"
    data.write_bytes(body)
    log.unlink(missing_ok=True)
    command = ["taskset", "-c", str(proc.LOAD_CORE), "h2load", "--h1", "-t1", f"-c{clients}", f"-n{count}", "--rps=50"]
    command += ["-r", str(max(1, clients // 20)), "--rate-period=1ms", f"--log-file={log}", "-d", str(data)]
    for field, value in headers.items():
        command += ["-H", f"{field}: {value}"]
    process = subprocess.Popen(
        [*command, f"http://127.0.0.1:{port}{PATH}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    proc.prefer([process.pid], PRIORITY)
    return Paced(process, log, count)


def download(port: int, size: int) -> None:
    """Fetch DOWNLOAD once and count its bytes."""
    buffer, total = bytearray(1 << 20), 0
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(f"GET {DOWNLOAD} HTTP/1.1\r\nhost: app.example\r\nconnection: close\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            more = connection.recv(4096)
            if not more:
                break
            head += more
        head, _, rest = head.partition(b"\r\n\r\n")
        total = len(rest)
        while more := connection.recv_into(buffer):
            total += more
    if not head.startswith(b"HTTP/1.1 200") or total != size:
        raise WrongAnswer(f"port {port}: {total} bytes of {size} after {head[:60]!r}")


def idle(port: int, count: int) -> list[socket.socket]:
    """Open `count` connections, each of which has had a page and now waits."""
    held = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", port), 10)
        held.append(connection)
        ask(connection)
    return held


def ask(connection: socket.socket) -> None:
    """Fetch one page on a kept-alive connection."""
    connection.sendall(b"GET /page HTTP/1.1\r\nhost: app.example\r\n\r\n")
    answer = b""
    while len(answer) < 10 * 1024 or len(answer) < answer.find(b"\r\n\r\n") + 4 + 10 * 1024:
        more = connection.recv(65536)
        if not more:
            raise WrongAnswer(f"an idle connection ended: {answer[:80]!r}")
        answer += more
    if not answer.startswith(b"HTTP/1.1 200"):
        raise WrongAnswer(f"{answer[:80]!r}")
