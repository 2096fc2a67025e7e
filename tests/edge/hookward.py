"""hookward in the pod: one process a configuration, and what its access log says.

Must never read a line twice: each case accounts for every line that it caused.
"""

import json
import os
import time

import ports
from net import ALLOWED, BALANCER, FAMILIES, FRONT
from processes import wait_for
from sender import PATH, SECRET

LINE_LIMIT = 5


class JsonLines:
    """A growing file of JSON lines, read in order."""

    def __init__(self, path, wanted=lambda line: True):
        self.path, self.wanted = path, wanted
        self.offset = 0
        self.waiting = []

    def take(self, count):
        """The next `count` lines, waited for; and whatever else is there by then."""
        end = time.monotonic() + LINE_LIMIT
        while True:
            self._read()
            if len(self.waiting) >= count or time.monotonic() > end:
                taken, self.waiting = self.waiting, []
                return taken
            time.sleep(0.002)

    def _read(self):
        if not self.path.exists():
            return
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self.offset += len(whole)
        # What hookward says on standard error is no JSON.
        lines = [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]
        self.waiting += filter(self.wanted, lines)


def start_all(network, processes, work, binary):
    """Every configuration, running. The result maps names to access logs."""
    logs = {}
    environment = {**os.environ, "CLERK_WEBHOOK_SIGNING_SECRET": SECRET}
    environment.pop("HOOKWARD_CONFIG", None)
    starting = []
    for name, text in configurations(work).items():
        config, log = work / f"{name}.toml", work / f"{name}.log"
        config.write_text(text + route())
        command = network.inside("pod", binary, "run", "--config", str(config), "--log", "json")
        starting.append((name, log, processes.start(command, log, env=environment, cwd=work)))
        logs[name] = JsonLines(log, lambda line: "outcome" in line)
    for name, log, process in starting:
        wait_for(f"hookward ({name})", lambda log=log: b'"ready"' in log.read_bytes(), process, log)
    return logs


def route():
    """The one protected path."""
    allowed = json.dumps([ALLOWED[family] for family in FAMILIES])
    return f'\n[routes.clerk]\npath = "{PATH}"\nprovider = "clerk"\nallow_ips = {allowed}\n'


def configurations(work):
    """By name. All listen on both families with one socket, as a pod does."""
    balancer = json.dumps([BALANCER[family] for family in FAMILIES])
    hops = json.dumps([address[family] for family in FAMILIES for address in (BALANCER, FRONT)])
    app = f'upstream = "http://127.0.0.1:{ports.APP}"\n'
    proxy = f"proxy_protocol = true\nproxy_protocol_from = {balancer}\n"
    identity = f'cert = "{work}/leaf.pem"\nkey = "{work}/leaf.key"\n'

    def server(port, *more, upstream=app):
        return f'[server]\nlisten = "[::]:{port}"\n{upstream}{"".join(more)}'

    def listener(port, *more):
        return f'[[server.listener]]\nlisten = "[::]:{port}"\n{"".join(more)}'

    def trusting(header):
        return f'[client_ip]\ntrusted_proxies = {hops}\nheader = "{header}"\n'

    def https(authority):
        return f'[server.upstream_tls]\nca = "{work}/{authority}.pem"\nserver_name = "app.internal"\n'

    secure = f'upstream = "https://127.0.0.1:{ports.APP_TLS}"\n'
    return {
        "plain": server(ports.PLAIN),
        "proxy": server(ports.PROXY, proxy),
        "l7": server(ports.L7) + trusting("x-forwarded-for"),
        "l7-proxy": server(ports.L7_PROXY, proxy) + trusting("x-forwarded-for"),
        "real-ip": server(ports.REAL_IP) + trusting("x-real-ip"),
        "forwarded": server(ports.FORWARDED) + trusting("forwarded"),
        "tls-proxy": server(ports.TLS_PROXY, proxy) + f"[server.tls]\n{identity}",
        "many": f"[server]\n{app}"
        + listener(ports.MANY_PLAIN)
        + listener(ports.MANY_PROXY, proxy)
        + listener(ports.MANY_TLS)
        + f"[server.listener.tls]\n{identity}",
        "checked": server(ports.CHECKED, proxy),
        "unix": server(ports.UNIX, upstream=f'upstream = "unix:{work}/app.sock"\n'),
        "https": server(ports.HTTPS, upstream=secure) + https("ca"),
        "wrong-ca": server(ports.WRONG_CA, upstream=secure) + https("other-ca"),
    }
