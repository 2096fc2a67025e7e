"""The programs of a run: the apps behind, hookward in front, and what each app wrote down.

Must never end a program that it did not start, nor read a request out of anything but the app's own record.
"""

import base64
import json
import os
import socket
import subprocess
import time
from dataclasses import dataclass

from doors import NAMES, listeners
from signer import PATH, SECRET

START_LIMIT = 20
# Half of what a refusal of a slow sender takes here; long enough for a busy machine.
SENDER_LIMIT = 2


@dataclass
class Entry:
    """One request as the app saw it. `complete` says whether its body came to its end."""

    method: str
    target: str
    headers: list | None
    body: bytes
    complete: bool


class Processes:
    """Those that run."""

    def __init__(self):
        self.running = []

    def start(self, command, out, **more):
        """Starts a command with its output in a file."""
        with open(out, "wb") as file:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, **more)
        self.running.append(process)
        return process

    def end(self):
        """Ends all."""
        for process in self.running:
            process.terminate()
        for process in self.running:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def ready(what, process, out, found):
    """What `found` makes of the output, as soon as it makes something of it."""
    end = time.monotonic() + START_LIMIT
    while True:
        text = out.read_text(errors="replace")
        result = found(text)
        if result:
            return result
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{what} did not start:\n{text}")
        time.sleep(0.02)


def line_with(event, key):
    """Finds one field of the JSON line that holds `event`."""

    def found(text):
        for line in text.split("\n")[:-1]:
            if event in line and line.startswith("{"):
                return json.loads(line)[key]
        return None

    return found


def free_address():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()


class Node:
    """Node's own server; `lenient` with the parser that forgives what a strict one refuses."""

    def __init__(self, processes, work, lenient):
        self.name = "node-lenient" if lenient else "node"
        self.log = work / f"{self.name}.log"
        script = os.path.join(os.path.dirname(__file__), "app.mjs")
        # Room for the longest head that passes and for what is added to it on the way.
        flags = ["--max-http-header-size=65536", *(["--insecure-http-parser"] if lenient else [])]
        process = processes.start(["node", *flags, script], self.log)
        self.address = ("127.0.0.1", ready(self.name, process, self.log, line_with('"ready"', "port")))

    def seen(self):
        """Every request so far, in order, and what was no request."""
        entries, garbage = {}, []
        # What Node says on standard error is no JSON.
        for line in filter(lambda line: line.startswith("{"), self.log.read_text().split("\n")):
            said = json.loads(line)
            if said["event"] == "head":
                names = said["headers"]
                headers = list(zip(names[::2], names[1::2], strict=True))
                entries[said["number"]] = Entry(said["method"], said["target"], headers, b"", False)
            elif said["event"] == "body":
                entry = entries[said["number"]]
                entry.body, entry.complete = base64.b64decode(said["body"]), said["complete"]
            elif said["event"] == "garbage":
                garbage.append(f"{said['code']}: {base64.b64decode(said['bytes'] or '').decode('latin-1')}")
        return list(entries.values()), garbage


class Nginx:
    """nginx, which reads a request with its body, hands it to itself, and writes it down."""

    name = "nginx"
    recorded = ("svix_id", "svix_timestamp", "svix_signature", "verified_event", "x_forwarded_for", "x_forwarded_proto")

    def __init__(self, processes, work):
        self.address, self.itself = free_address(), free_address()
        self.log = work / "nginx-seen.log"
        config, out, folder = work / "nginx.conf", work / "nginx.log", work / "nginx"
        folder.mkdir()
        config.write_text(self._configuration(folder))
        process = processes.start(["nginx", "-p", str(folder), "-c", str(config), "-e", "stderr"], out)

        def listens(_):
            with socket.socket() as probe:
                return probe.connect_ex(self.address) == 0

        ready("nginx", process, out, listens)

    def _configuration(self, folder):
        temporary = "".join(
            f"  {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        fields = ["request_method", "request_uri", "request", "request_body", "request_completion", "status"]
        fields += [f"http_{name}" for name in self.recorded]
        record = ",".join(f'"{field}":"${field}"' for field in fields)
        return f"""
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log stderr crit;
events {{ worker_connections 2000; }}
http {{
{temporary}
  log_format record escape=json '{{{record}}}';
  large_client_header_buffers 4 64k;
  keepalive_timeout 120;
  keepalive_requests 1000000;
  server {{
    listen {self.address[0]}:{self.address[1]} backlog=1024;
    access_log {self.log} record;
    client_body_buffer_size 1m;
    client_body_in_single_buffer on;
    ignore_invalid_headers off;
    underscores_in_headers on;
    location / {{ proxy_pass http://{self.itself[0]}:{self.itself[1]}; }}
  }}
  server {{
    listen {self.itself[0]}:{self.itself[1]} backlog=1024;
    access_log off;
    add_header x-seen $request_uri;
    location / {{ return 200 "seen"; }}
  }}
}}
"""

    def seen(self):
        """As [`Node.seen`]. A request is written down when it is over: what was answered with an error is not whole."""
        entries, garbage = [], []
        for line in self.log.read_text(encoding="latin-1").split("\n")[:-1]:
            said = json.loads(line)
            if not said["request_uri"]:
                # A connection that was closed before it said anything has no line.
                garbage.append(line)
                continue
            recorded = [(name.replace("_", "-"), said[f"http_{name}"]) for name in self.recorded]
            headers = [(name, value) for name, value in recorded if value]
            whole = said["status"] in ("200", "304") and said["request_completion"] == "OK"
            body = said["request_body"].encode("latin-1")
            entries.append(Entry(said["request_method"], said["request_uri"], headers, body, whole))
        return entries, garbage


def hookward(processes, work, binary, app):
    """hookward in front of an app: its addresses, by the name of the listener."""
    config, out = work / f"hookward-{app.name}.toml", work / f"hookward-{app.name}.log"
    host, port = app.address
    config.write_text(
        f"""
[server]
upstream = "http://{host}:{port}"
{listeners()}[app]
framework = "none"
[limits]
head_timeout = "{SENDER_LIMIT}s"
body_timeout = "{SENDER_LIMIT}s"
[routes.clerk]
path = "{PATH}"
provider = "clerk"
events = ["user.*"]
"""
    )
    environment = {**os.environ, "CLERK_WEBHOOK_SIGNING_SECRET": SECRET}
    environment.pop("HOOKWARD_CONFIG", None)
    command = [binary, "run", "--config", str(config), "--log", "json"]
    process = processes.start(command, out, env=environment, cwd=work)
    listen = ready("hookward", process, out, line_with('"ready"', "listen"))
    addresses = [address.rpartition(":") for address in listen.split(", ")]
    return {name: (host, int(port)) for name, (host, _, port) in zip(NAMES, addresses, strict=True)}
