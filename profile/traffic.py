"""The traffic that the profile is collected from: what a busy hookward sees, in about its shares.

    python3 profile/traffic.py TURNS COMMAND...   TURNS of each of 16 clients, or of fewer; the command that starts hookward

Deliveries of three providers, of 1 KiB mostly; forged, stale, repeated and foreign ones; pages, a download and an upload; over
HTTP/1.1, HTTP/2 and TLS; connections that are kept, that rest and that are opened again; with claims in memory, and in Redis.
"""

import base64
import hashlib
import hmac
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

TLS = Path(__file__).resolve().parents[1] / "tests/data/tls"
KEY = b"key-of-24-bytes-to-train"
CONFIG = """[server]
upstream = "http://127.0.0.1:{upstream}"
[[server.listener]]
listen = "127.0.0.1:{port}"
[[server.listener]]
listen = "127.0.0.1:{tls_port}"
tls = {{ cert = "{tls}/server.pem", key = "{tls}/server.key" }}
[limits]
max_body = "2MiB"
[routes.clerk]
path = "/api/webhooks/clerk"
provider = "clerk"
[routes.repeated]
path = "/api/webhooks/repeated"
provider = "clerk"
secrets = [{{ env = "CLERK_WEBHOOK_SIGNING_SECRET" }}]
replay = "off"
tolerance = "60m"
[routes.github]
path = "/api/webhooks/github"
provider = "github"
secrets = [{{ env = "PLAIN_SECRET" }}]
[routes.stripe]
path = "/api/webhooks/stripe"
provider = "stripe"
secrets = [{{ env = "CLERK_WEBHOOK_SIGNING_SECRET" }}]
[routes.elsewhere]
path = "/api/webhooks/elsewhere"
provider = "clerk"
secrets = [{{ env = "CLERK_WEBHOOK_SIGNING_SECRET" }}]
allow_ips = ["203.0.113.0/24"]
"""
SECRET = "whsec_" + base64.b64encode(KEY).decode()


def body_of(number, size):
    """JSON like an event's, of this many bytes."""
    begin = b'{"type":"user.created","object":"event","data":{"id":"user_%06d","pad":"' % number
    return begin.ljust(size - 3, b"x") + b'"}}'


def post(path, fields, body):
    """A delivery's bytes."""
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body


def svix_fields(name, body, age=0):
    """The header fields by which Svix signs this body."""
    stamp = int(time.time()) - age
    mac = hmac.new(KEY, f"{name}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "user-agent": "Svix-Webhooks/1.84.0 (sender-9YMgn; +https://www.svix.com/http-sender/)",
        "svix-id": name,
        "svix-timestamp": str(stamp),
        "svix-signature": "v1," + base64.b64encode(mac).decode(),
    }


def svix(name, size, *, path="/api/webhooks/clerk", age=0, forged=False):
    """A delivery of Clerk."""
    body = body_of(0, size)
    fields = svix_fields(name, body, age)
    return post(path, fields, body[:-4] + b'!"}}' if forged else body)


def github(name, size):
    """A delivery of GitHub."""
    body = body_of(1, size)
    mac = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    fields = {"x-github-event": "push", "x-github-delivery": name, "x-hub-signature-256": "sha256=" + mac}
    return post("/api/webhooks/github", {"user-agent": "GitHub-Hookshot/044aadd", **fields}, body)


def stripe(name, size):
    """A delivery of Stripe."""
    body = body_of(2, size).replace(b'"object":"event"', b'"id":"evt_%s"' % name.encode()[-11:].rjust(11, b"_"))
    stamp = int(time.time())
    mac = hmac.new(SECRET.encode(), b"%d." % stamp + body, hashlib.sha256).hexdigest()
    return post("/api/webhooks/stripe", {"stripe-signature": f"t={stamp},v1={mac}"}, body)


def page(path):
    """A browser's request."""
    return (
        f"GET {path} HTTP/1.1\r\nhost: localhost\r\nuser-agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 "
        "Firefox/140.0\r\naccept: text/html,application/xhtml+xml\r\naccept-language: en\r\naccept-encoding: gzip, br\r\n"
        "cookie: __session=eyJhbGciOiJSUzI1NiJ9.e30.c2ln; theme=dark\r\n\r\n"
    ).encode()


def messages(stream):
    """The heads of what comes, until the stream ends; each body has come before its head is told."""
    held = b""
    while True:
        while b"\r\n\r\n" not in held:
            piece = stream.recv(65536)
            if not piece:
                return
            held += piece
        head, _, held = held.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        missing = int(lengths[0].split(b":")[1]) - len(held) if lengths else -len(held)
        while missing > 0:
            piece = stream.recv(65536)
            if not piece:
                return
            held = piece
            missing -= len(piece)
        held = held[len(held) + missing :] if missing else b""
        yield head


def app():
    """The port of an app that answers webhooks shortly, /page with 10 KiB and /download with 4 MiB."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    sizes = {b"/page": 10240, b"/download": 4 << 20}

    def connection(stream):
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for head in messages(stream):
            size = sizes.get(head.split()[1], 2)
            stream.sendall(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ndate: Sun, 22 Nov 2026 04:00:00 GMT\r\n"
                b"cache-control: no-store\r\ncontent-length: %d\r\n\r\n" % size + b"x" * size
            )

    def accept():
        while True:
            stream, _ = listener.accept()
            threading.Thread(target=connection, args=(stream,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def dial(port, tls=None):
    """A connection to hookward."""
    stream = socket.create_connection(("127.0.0.1", port))
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return tls.wrap_socket(stream, server_hostname="app.example.com") if tls else stream


def mixture(client, turn):
    """What one client sends in one turn, each with the status that it must get."""
    name = f"msg_{client:03d}{turn:05d}"
    requests = [(svix(f"{name}{n}", 1024), 200) for n in range(4)]
    requests += [
        (svix(f"{name}r", 1024, path="/api/webhooks/repeated"), 200),
        (svix(f"{name}r", 1024, path="/api/webhooks/repeated"), 200),
        (svix(f"{name}m", 16384), 200),
        (github(f"{name}g", 8192), 200),
        (stripe(f"{name}s", 2048), 200),
        (svix(f"{name}0", 1024), 200),  # a duplicate
        (svix(f"{name}f", 1024, forged=True), 401),
        (svix(f"{name}o", 1024, age=7200), 401),
        (page("/page"), 200),
        (page("/page"), 200),
        (page("/page?q=1"), 200),
    ]
    if turn % 4 == 0:
        requests += [(svix(f"{name}l", 65536), 200), (post("/upload", {}, body_of(3, 100_000)), 200)]
        requests += [(svix(f"{name}e", 1024, path="/api/webhooks/elsewhere"), 403)]
    if turn % 50 == 0:
        requests += [(svix(f"{name}x", 1 << 20), 200), (page("/download"), 200)]
    return requests


def client(number, port, tls, turns):
    """One client's life."""
    stream = dial(port, tls)
    answers = messages(stream)
    for turn in range(turns):
        for request, status in mixture(number, turn):
            stream.sendall(request)
            head = next(answers, b"closed too early")
            if head.split()[1] != b"%d" % status:
                # No thread's end would be noticed.
                print(f"{status} expected:\n{request[:300]!r}\n{head.decode()}", file=sys.stderr)
                os._exit(1)
            if b"\r\nconnection: close" in head.lower():
                stream = dial(port, tls)
                answers = messages(stream)
        if turn % 40 == 20:
            time.sleep(0.15)  # it rests
        if turn % 10 == 5:
            stream.close()
            stream = dial(port, tls)
            answers = messages(stream)
    stream.close()


def http2(url, count, work):
    """As many pages, and as many deliveries, over HTTP/2."""
    body = body_of(4, 1024)
    (work / "body").write_bytes(body)
    fields = svix_fields("msg_http2", body)
    headers = [part for name, value in fields.items() for part in ("-H", f"{name}: {value}")]
    for options, path in [
        ([], "/page"),
        ([*headers, "-H", "content-type: application/json", "-d", work / "body"], "/api/webhooks/repeated"),
    ]:
        said = subprocess.check_output(["h2load", f"-n{count}", "-c8", "-m8", *options, url + path], text=True)
        if f"{count} 2xx" not in said:
            sys.exit(said)


def free_port():
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def serve(hookward, turns, more=""):
    """One life of hookward with all clients; `more` ends its configuration."""
    port, tls_port = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        config = work / "hookward.toml"
        config.write_text(CONFIG.format(upstream=app(), port=port, tls_port=tls_port, tls=TLS) + more)
        environment = {**os.environ, "CLERK_WEBHOOK_SIGNING_SECRET": SECRET, "PLAIN_SECRET": SECRET}
        with open(work / "log", "wb") as log:
            process = subprocess.Popen([*hookward, "run", "--config", config], stdout=log, stderr=subprocess.PIPE, env=environment)
        wait_for(tls_port)
        tls = ssl.create_default_context(cafile=TLS / "ca.pem")
        tls.check_hostname = False
        clients = [
            threading.Thread(target=client, args=(number, *((tls_port, tls) if number % 8 == 7 else (port, None)), turns))
            for number in range(min(16, 2 * turns))
        ]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join()
        http2(f"http://127.0.0.1:{port}", turns * 15, work)
        http2(f"https://127.0.0.1:{tls_port}", turns * 15, work)
        process.terminate()
        _, said = process.communicate()
        if process.returncode != 0:
            sys.exit(f"hookward ended with {process.returncode}:\n{said.decode()}")


def wait_for(port):
    """Until somebody listens."""
    for _ in range(300):
        try:
            return dial(port).close()
        except OSError:
            time.sleep(0.1)
    return sys.exit(f"nobody listens at {port}")


def main():
    """Serves with claims in memory, with claims in Redis, and shows what a developer looks at."""
    turns, hookward = int(sys.argv[1]), sys.argv[2:]
    serve(hookward, turns)
    port = free_port()
    redis = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--maxmemory-policy", "noeviction"]
    with subprocess.Popen(redis, stdout=subprocess.DEVNULL) as store:
        wait_for(port)
        serve(hookward, max(turns // 5, 2), f'[replay]\nstore = "redis://127.0.0.1:{port}/0"\n')
        store.terminate()
    for command in [["demo", "--once"], ["providers"], ["schema"]]:
        subprocess.run([*hookward, *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


main()
