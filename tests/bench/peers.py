"""What is measured: the app, and each proxy in front of it with its configuration.

All are given the same: one worker, kept-alive connections to the app, no access log (hookward always writes its own, to
/dev/null), and buffers that hold the largest body, so that none writes it to disk.
"""

import base64
import os
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

import proc

HERE = Path(__file__).parent
KEY = b"benchmark-key-of-24-byte"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
PATH = "/api/webhooks/clerk"
APP_PORT = 18600
PORTS = {
    name: APP_PORT + 1 + n
    for n, name in enumerate(("relay", "nginx", "nginx-log", "nginx-lua", "haproxy", "caddy", "next", "hookward"))
}
PORTS["direct"] = APP_PORT
TITLES = {
    "direct": "no proxy",
    "relay": "TCP relay",
    "nginx": "nginx",
    "nginx-log": "nginx, access log on",
    "nginx-lua": "nginx + Lua HMAC",
    "haproxy": "HAProxy hmac",
    "caddy": "Caddy",
    "next": "Next.js + svix",
    "hookward": "hookward",
}
# Addresses that the load comes from, and one that it does not.
HERE_ADDRESS, ELSEWHERE = "127.0.0.1", "127.0.0.2"
DOWNLOAD = "/download"


@dataclass
class Peer:
    """A running one: its name, and the processes to measure."""

    name: str
    process: Popen
    pids: list[int] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Where it listens."""
        return PORTS[self.name]


@dataclass
class Setting:
    """What a case asks of every peer."""

    body: int = 1024  # largest request body, in bytes
    allowed: str = ""  # the one address that may call, or anyone
    connections: int = 4096  # enough that none closes idle ones to the app for want of descriptors


NGINX = """
worker_processes 1; daemon off; pid {work}/{name}.pid; error_log {work}/{name}.err;
worker_rlimit_nofile {files};
{modules}
events {{ worker_connections {connections}; multi_accept on; }}
http {{
  access_log {log}; keepalive_requests 1000000000; keepalive_timeout 600s; sendfile on; tcp_nodelay on;
  client_body_temp_path {work}/{name}.b; proxy_temp_path {work}/{name}.p; fastcgi_temp_path {work}/{name}.f;
  uwsgi_temp_path {work}/{name}.u; scgi_temp_path {work}/{name}.s;
  client_body_buffer_size 2m; client_body_in_single_buffer on; client_max_body_size 4m;
  {http}
}}
"""

APP = """
  open_file_cache max=16;
  server {{
    listen 127.0.0.1:{port} backlog=4096; root {work}/files; default_type text/html;
    location = /status {{ stub_status; }}
    location /api/ {{ content_by_lua_block {{
      ngx.req.read_body()
      ngx.header.content_length = 3
      ngx.print("ok\\n")
    }} }}
    location / {{ }}
  }}
"""

PROXY = """
  upstream app {{ server 127.0.0.1:{app}; keepalive 512; keepalive_requests 1000000000; }}
  {init}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    proxy_buffer_size 16k; proxy_buffers 16 32k; proxy_busy_buffers_size 128k; proxy_max_temp_file_size 0;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $remote_addr;
    location / {{ {allow} {access} proxy_pass http://app; }}
  }}
"""

HAPROXY = """
global
  maxconn {connections}
  nbthread 1
  no strict-limits
  {tune}
defaults
  mode {mode}
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 600s
  timeout http-request 30s
  {defaults}
frontend proxy
  bind 127.0.0.1:{port} backlog 4096
  {rules}
  default_backend app
backend app
  {backend}
  server app 127.0.0.1:{app}
"""

# A signature list of one entry, as the load sends: HAProxy has no way to walk a longer one.
HAPROXY_VERIFY = """
  acl hook path {path}
  http-request deny deny_status 405 if hook !{{ method POST }}
  http-request set-var(txn.id) req.fhdr(svix-id) if hook
  http-request set-var(txn.ts) req.fhdr(svix-timestamp) if hook
  http-request deny deny_status 400 if hook !{{ var(txn.id) -m found }}
  http-request deny deny_status 400 if hook !{{ req.fhdr(svix-timestamp) -m reg ^[0-9]{{1,12}}$ }}
  http-request deny deny_status 400 if hook !{{ req.fhdr(svix-signature) -m beg v1, }}
  http-request set-var(txn.age) date,sub(txn.ts),add(300) if hook
  http-request deny deny_status 401 if hook !{{ var(txn.age) -m int 0:600 }}
  http-request wait-for-body time 10s if hook
  http-request set-var(txn.body) req.body if hook
  http-request set-var(txn.mac) var(txn.id),concat(.,txn.ts,.),concat(,txn.body,),hmac(sha256,{key}),base64 if hook
  http-request set-var(txn.given) req.fhdr(svix-signature),bytes(3) if hook
  http-request deny deny_status 401 if hook !{{ var(txn.given),secure_memcmp(txn.mac) -m bool }}
"""

CADDY = """
{{
  admin off
  auto_https off
  persist_config off
}}
http://:{port} {{
  bind 127.0.0.1
  reverse_proxy 127.0.0.1:{app} {{
    transport http {{
      keepalive 600s
      keepalive_idle_conns 1024
      keepalive_idle_conns_per_host 1024
    }}
  }}
}}
"""

HOOKWARD = """
[server]
listen = "127.0.0.1:{port}"
upstream = "http://127.0.0.1:{app}"
[limits]
max_body = "2MiB"
max_connections = {connections}
buffered_bytes = "512MiB"
idle_timeout = "10m"
[routes.clerk]
path = "{path}"
provider = "clerk"
replay = "off"  # the load repeats its deliveries
{allow}
"""


class Bench:
    """Starts and stops the app and its peers, in one scratch directory."""

    def __init__(self, work: Path, hookward: Path, missing: set[str], caddy: Path) -> None:
        """`missing` names the peers that could not be installed."""
        self.work, self.hookward, self.missing, self.caddy = work, hookward, missing, caddy
        self.app: Popen | None = None
        files = work / "files"
        files.mkdir()
        (files / "page").write_bytes(b"<!doctype html><title>page</title>".ljust(10 * 1024, b"."))

    def download(self, size: int) -> None:
        """Let the app serve `size` bytes at DOWNLOAD."""
        with (self.work / "files" / "download").open("wb") as file:
            file.truncate(size)

    def _nginx(self, name: str, http: str, *, connections: int, modules: str = "", log: str = "off") -> list[str]:
        text = NGINX.format(
            work=self.work,
            name=name,
            files=2 * connections + 256,
            modules=modules,
            connections=2 * connections + 64,
            log=log,
            http=http,
        )
        config = self.work / f"{name}.conf"
        config.write_text(text)
        return ["nginx", "-c", str(config)]

    def start_app(self) -> None:
        """Start the app: it answers a webhook once its whole body is there, and counts every request."""
        command = self._nginx(
            "app", APP.format(port=APP_PORT, work=self.work), connections=16384, modules=lua_modules()
        )
        self.app = proc.start(command, proc.LOAD_CORE, self.work / "app.log")
        proc.await_port(APP_PORT, self.app, self.work / "app.log")

    def start(self, name: str, setting: Setting) -> Peer:
        """Start one peer, and wait until it listens."""
        log = self.work / f"{name}.log"
        command, options = self.prepare(name, setting)
        process = proc.start(command, proc.PROXY_CORE, log, **options)
        proc.await_port(PORTS[name], process, log)
        return Peer(name, process, proc.tree(process.pid))

    def prepare(self, name: str, setting: Setting) -> tuple[list[str], dict]:
        """Write a peer's configuration, and return its command with the environment and directory it needs."""
        command, environment = self._command(name, setting, self.work / f"{name}.cfg")
        return command, {"env": os.environ | environment, "cwd": HERE / "next" if name == "next" else self.work}

    def _command(self, name: str, setting: Setting, config: Path) -> tuple[list[str], dict[str, str]]:
        port, allowed = PORTS[name], setting.allowed
        if name.startswith("nginx"):
            lua = name == "nginx-lua"
            http = PROXY.format(
                app=APP_PORT,
                port=port,
                init=f'lua_package_path "{HERE}/?.lua;;"; init_by_lua_block {{ verify = require("verify") }}'
                if lua
                else "",
                access=f'access_by_lua_block {{ verify("{PATH}") }}' if lua else "",
                allow=f"allow {allowed}; deny all;" if allowed else "",
            )
            modules = lua_modules() + " env WEBHOOK_KEY;" if lua else ""
            log = "/dev/null" if name == "nginx-log" else "off"
            return self._nginx(name, http, connections=setting.connections, modules=modules, log=log), {
                "WEBHOOK_KEY": base64.b64encode(KEY).decode()
            }
        if name == "next":
            server = HERE / "next/node_modules/next/dist/bin/next"
            options = ["--hostname", "127.0.0.1", "--port", str(port), "--keepAliveTimeout", "600000"]
            return ["node", str(server), "start", *options], {
                "CLERK_WEBHOOK_SIGNING_SECRET": SECRET,
                "NODE_ENV": "production",
                "NEXT_TELEMETRY_DISABLED": "1",
            }
        if name == "caddy":
            config.write_text(CADDY.format(port=port, app=APP_PORT))
            return [str(self.caddy), "run", "--adapter", "caddyfile", "--config", str(config)], {
                "GOMAXPROCS": "1",
                "HOME": str(self.work),
                "XDG_DATA_HOME": str(self.work),
                "XDG_CONFIG_HOME": str(self.work),
            }
        if name == "hookward":
            allow = f'allow_ips = ["{allowed}"]' if allowed else ""
            text = HOOKWARD.format(port=port, app=APP_PORT, path=PATH, connections=setting.connections, allow=allow)
            config.write_text(text)
            return [str(self.hookward), "run", "--config", str(config)], {"CLERK_WEBHOOK_SIGNING_SECRET": SECRET}
        config.write_text(_haproxy(name, setting, port))
        return ["haproxy", "-db", "-f", str(config)], {}


def lua_modules() -> str:
    """The directives that load nginx's Lua module, from where the package puts them."""
    modules = "/usr/lib/nginx/modules"
    return f"load_module {modules}/ndk_http_module.so; load_module {modules}/ngx_http_lua_module.so;"


def _haproxy(name: str, setting: Setting, port: int) -> str:
    http = name == "haproxy"
    # The body with its head has to fit. A smaller buffer is cheaper, so it grows only where it must.
    size = 16384 if setting.body <= 8192 else setting.body + 16384
    if not http:
        size = min(size, 256 << 10)
    rules = ""
    if http:
        refuse = f"http-request deny deny_status 403 if !{{ src {setting.allowed} }}" if setting.allowed else ""
        rules = refuse + HAPROXY_VERIFY.format(path=PATH, key=base64.b64encode(KEY).decode())
    return HAPROXY.format(
        mode="http" if http else "tcp",
        connections=setting.connections + 16,
        tune=f"tune.bufsize {size}",
        defaults="option forwardfor" if http else "",
        rules=rules,
        backend="http-reuse always" if http else "",
        port=port,
        app=APP_PORT,
    )
