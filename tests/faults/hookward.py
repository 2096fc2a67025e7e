"""hookward as a process: its configuration, its metrics, and what it holds.

Must never outlive the run.
"""

import asyncio
import ctypes
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import time

import sender

LEASE = 2
# Where the app stalls; elsewhere nothing is to be late because the machine is busy.
UPSTREAM_MAX = 3
SHORT = {"deadline": "2s", "upstream_max": f"{UPSTREAM_MAX}s"}
# For what has to come to rest: pooled connections stay for up to five seconds.
REST = 30
MIB = 1024 * 1024
# An allocator keeps some of what it has once had.
NEAR = 8 * MIB
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'(\w+)="([^"]*)"')


def free_port():
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def die_with_us():
    """For a process that begins: killed when this one ends, however that comes about (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Gate:
    """One process."""

    def __init__(
        self,
        binary,
        work,
        upstream,
        *,
        limits="",
        replay="",
        route="",
        connect_timeout="500ms",
        deadline="8s",
        upstream_max="9s",
        prefix=(),
        environment=None,
        log=None,
    ):
        self.port, self.health = free_port(), free_port()
        self.config = pathlib.Path(work) / f"hookward-{self.port}.toml"
        self.log = log or self.config.with_suffix(".log")
        self.config.write_text(f"""
[server]
listen = "127.0.0.1:{self.port}"
upstream = "http://127.0.0.1:{upstream}"
[admin]
health = "127.0.0.1:{self.health}"
[limits]
connect_timeout = "{connect_timeout}"
upstream_max = "{upstream_max}"
{limits}
[replay]
lease = "{LEASE}s"
wait = "500ms"
{replay}
[routes.clerk]
path = "{sender.PATH}"
provider = "clerk"
deadline = "{deadline}"
secrets = [{{ label = "current", insecure_value = "{sender.SECRET}" }}]
{route}
""")
        self.command = [*prefix, str(binary), "run", "--config", str(self.config)]
        self.environment = {**os.environ, **(environment or {})}
        self.environment.pop("HOOKWARD_CONFIG", None)
        self.process = None

    async def start(self, cores=None):
        """Until it is ready."""

        def before():
            die_with_us()
            if cores:
                os.sched_setaffinity(0, cores)

        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self.environment,
                preexec_fn=before,
            )
        end = time.monotonic() + 20
        while True:
            answer = await self._get("/readyz")
            if answer.status == 200:
                break
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"hookward did not start:\n{self.log.read_text(errors='replace')}")
            await asyncio.sleep(0.05)
        self.descriptors_at_rest = self.descriptors()
        self.memory_at_rest = self.memory()
        return self

    async def stop(self):
        """Ends it, whatever it does. The loop goes on, for the proxies and apps of the other cases are in it."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            await asyncio.to_thread(self.process.wait, 5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def signal(self, number):
        """Sends a signal."""
        self.process.send_signal(number)

    def memory(self):
        """Resident bytes of its own."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) * 1024

    def descriptors(self):
        """How many are open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def processor_seconds(self):
        """User and system time."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def limit_descriptors(self, most):
        """From here on no descriptor with that number or a higher one can be had; none stands for the highest limit."""
        _, hard = resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, (most or hard, hard))

    async def metrics(self):
        """Every sample: name and labels, in a fixed order, to value."""
        answer = await self._get("/metrics")
        if answer.status != 200:
            state = f"exit code {self.process.poll()}" if self.process.poll() is not None else "it runs"
            raise AssertionError(f"/metrics: {answer.label} {answer.error}, {state}")
        samples = {}
        for line in answer.body.decode().splitlines():
            if found := SAMPLE.match(line):
                samples[(found[1], tuple(sorted(LABEL.findall(found[2] or ""))))] = float(found[3])
        return samples

    async def gauge(self, name):
        """One without labels."""
        return (await self.metrics())[(name, ())]

    async def outcomes(self):
        """How often each outcome was counted, over all routes; those that were."""
        found = {}
        for (name, labels), value in (await self.metrics()).items():
            if name == "hookward_requests_total" and value:
                outcome = dict(labels)["outcome"]
                found[outcome] = found.get(outcome, 0) + int(value)
        return found

    async def came_to_rest(self, entries=None):
        """Waits until nothing is held any more; `entries` are the deliveries that it should remember."""
        names = ("hookward_requests_in_flight", "hookward_connections", "hookward_buffered_bytes")
        end = time.monotonic() + REST
        while True:
            samples = await self.metrics()
            held = {name: samples[(name, ())] for name in names if samples[(name, ())]}
            remembered = samples[("hookward_replay_entries", ())]
            if entries is not None and remembered != entries:
                held["hookward_replay_entries"] = f"{remembered}, not {entries}"
            # The probe's own connection may not be closed yet.
            descriptors = self.descriptors()
            if descriptors > self.descriptors_at_rest + 1:
                held["descriptors"] = f"{descriptors}, {self.descriptors_at_rest} at first"
            if self.memory() > self.memory_at_rest + NEAR:
                held["memory"] = f"{self.memory() // 1024} KiB, {self.memory_at_rest // 1024} KiB at first"
            if not held:
                return
            if time.monotonic() > end:
                raise AssertionError(f"still held: {held}")
            await asyncio.sleep(0.1)

    async def _get(self, target):
        request = f"GET {target} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode()
        return await sender.ask(self.health, request, patience=5)
