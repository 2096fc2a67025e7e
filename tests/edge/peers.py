"""What stands between: certificates, HAProxy, nginx, nft, and the app.

Configurations are as their manuals show them, apart from connections to the pod being shared between clients wherever that
can be asked for: the client's address must never stick to a connection. Sources: HAProxy's configuration.txt,
nginx.org/en/docs/http/ngx_http_proxy_module.html and ngx_stream_proxy_module.html.
"""

import socket
import subprocess
import sys
import time

import ports
from net import BALANCER, EDGE, FAMILIES, FRONT, POD, bracketed, end_point

START_LIMIT = 20


class Processes:
    """What was started, and is ended with the run."""

    def __init__(self):
        self.running = []

    def start(self, command, log, **more):
        """Starts a command with its output in a file."""
        with open(log, "wb") as out:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, **more)
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


def wait_for(what, condition, process, log):
    """Until `condition` holds; an end of the process, or too long a wait, shows its log."""
    end = time.monotonic() + START_LIMIT
    while not condition():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{what} did not start:\n{log.read_text(errors='replace')}")
        time.sleep(0.02)


def certificates(work):
    """Two authorities, and a server's certificate of the first one."""
    for authority in ("ca", "other-ca"):
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                 "-subj", f"/CN=edge {authority}", "-keyout", f"{work}/{authority}.key", "-out", f"{work}/{authority}.pem")
    _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=hook.test",
             "-keyout", f"{work}/leaf.key", "-out", f"{work}/leaf.csr")
    (work / "leaf.ext").write_text("subjectAltName=DNS:hook.test,DNS:app.internal\nbasicConstraints=CA:FALSE\n")
    _openssl("x509", "-req", "-in", f"{work}/leaf.csr", "-CA", f"{work}/ca.pem", "-CAkey", f"{work}/ca.key",
             "-set_serial", "1", "-days", "2", "-extfile", f"{work}/leaf.ext", "-out", f"{work}/leaf.pem")
    (work / "leaf-and-key.pem").write_text((work / "leaf.pem").read_text() + (work / "leaf.key").read_text())


def _openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def start_app(network, processes, work):
    """The recording app, on the pod's loopback."""
    log = work / "app.log"
    program = str(work / "app.jsonl"), str(ports.APP), str(ports.APP_TLS), str(work / "app.sock")
    command = network.inside("pod", sys.executable, f"{sys.path[0]}/app.py", *program, f"{work}/leaf.pem", f"{work}/leaf.key")
    process = processes.start(command, log)
    wait_for("the app", lambda: b"ready" in log.read_bytes(), process, log)


def start_haproxy(network, processes, work):
    """Every front end for both families."""
    config, log, stats = work / "haproxy.cfg", work / "haproxy.log", work / "haproxy.sock"
    config.write_text(haproxy(work, stats))
    process = processes.start(network.inside("balancer", "haproxy", "-db", "-f", str(config)), log)
    wait_for("HAProxy", lambda: stats.exists() and ask_haproxy(stats, "show info"), process, log)


def ask_haproxy(stats, command):
    """The answer of HAProxy's stats socket; empty where nobody listens."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(stats))
            connection.sendall(command.encode() + b"\n")
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
    except ConnectionError:
        return ""
    return answer.decode()


def haproxy(work, stats):
    """haproxy.cfg."""
    text = f"""
global
  stats socket {stats} mode 600
  maxconn 500
defaults
  timeout connect 5s
  timeout client 20s
  timeout server 20s
  timeout check 2s
"""
    for family in FAMILIES:
        other = next(other for other in FAMILIES if other != family)

        def tcp(name, port, to, options="", family=family, far=None):
            address = POD[far or family]
            return (f"listen {name}-{family}\n  mode tcp\n  bind {end_point(EDGE[family], port)}\n"
                    f"  server pod {end_point(address, to)} {options}\n")

        def http(name, port, to, options="", lines=(), bind="", family=family):
            more = "".join(f"  {line}\n" for line in lines)
            return (f"listen {name}-{family}\n  mode http\n  http-reuse always\n  bind {end_point(EDGE[family], port)} {bind}\n"
                    f"{more}  server pod {end_point(POD[family], to)} {options}\n")

        forward = "option forwardfor"
        tls = f"ssl crt {work}/leaf-and-key.pem alpn h2,http/1.1"
        first_hop = f"source {bracketed(FRONT[family])}"
        text += tcp("tcp", ports.H_TCP, ports.PLAIN)
        text += tcp("v1", ports.H_V1, ports.PROXY, "send-proxy")
        # With extensions (TLVs), among them a checksum.
        text += tcp("v2", ports.H_V2, ports.PROXY, "send-proxy-v2 proxy-v2-options crc32c")
        text += tcp("across", ports.H_ACROSS, ports.PROXY, "send-proxy-v2", far=other)
        text += tcp("missing", ports.H_MISSING, ports.PROXY)
        text += http("http", ports.H_HTTP, ports.L7, lines=[forward])
        text += http("untrusted", ports.H_HTTP_UNTRUSTED, ports.PLAIN, lines=[forward])
        text += http("http-v2", ports.H_HTTP_V2, ports.PROXY, "send-proxy-v2")
        text += http("tls", ports.H_TLS, ports.L7, bind=tls,
                     lines=[forward, "http-request set-header X-Forwarded-Proto https"])
        text += tcp("tls-passed", ports.H_TLS_PASSED, ports.TLS_PROXY, "send-proxy-v2")
        text += tcp("many", ports.H_MANY, ports.MANY_PROXY, "send-proxy-v2")
        to_nginx = end_point(BALANCER[family], ports.N_HOP_V2)
        text += (f"listen hop-v2-{family}\n  mode tcp\n  bind {end_point(EDGE[family], ports.H_HOP_V2)}\n"
                 f"  server nginx {to_nginx} send-proxy-v2 {first_hop}\n")
        for name, port, to in (("http", ports.H_HOP_HTTP, ports.N_HOP_HTTP), ("stream", ports.H_HOP_STREAM, ports.N_HOP_STREAM)):
            text += (f"listen hop-{name}-{family}\n  mode http\n  http-reuse always\n  {forward}\n"
                     f"  bind {end_point(EDGE[family], port)}\n"
                     f"  server nginx {end_point(BALANCER[family], to)} {first_hop}\n")
        pod = end_point(POD[family], ports.PROXY)
        tls_pod = end_point(POD[family], ports.TLS_PROXY)
        checked = end_point(POD[family], ports.CHECKED)
        for version, option in (("v1", "send-proxy"), ("v2", "send-proxy-v2")):
            text += f"backend check-tcp-{version}-{family}\n  mode tcp\n  server pod {pod} {option} check inter 250ms\n"
            text += f"backend check-tls-{version}-{family}\n  mode tcp\n  server pod {tls_pod} {option} check inter 250ms\n"
            text += (f"backend check-page-{version}-{family}\n  mode http\n  option httpchk GET /health\n"
                     f"  http-check expect status 200\n  server pod {checked} {option} check inter 250ms\n")
            text += (f"backend check-webhook-{version}-{family}\n  mode http\n  option httpchk\n"
                     "  http-check send meth POST uri /api/webhooks/clerk ver HTTP/1.1 hdr Host hook.test hdr Content-Length 0\n"
                     f"  http-check expect status 403\n  server pod {checked} {option} check inter 250ms\n")
    return text


def start_nginx(network, processes, work):
    """Every server for both families, and the stream module."""
    config, log = work / "nginx.conf", work / "nginx.log"
    (work / "nginx").mkdir()
    config.write_text(nginx(work / "nginx"))
    command = network.inside("balancer", "nginx", "-p", f"{work}/nginx", "-c", str(config), "-e", "stderr")
    process = processes.start(command, log)

    def listens():
        try:
            socket.create_connection((EDGE["IPv6"], ports.N_FOR), timeout=1).close()
        except OSError:
            return False
        return True

    wait_for("nginx", listens, process, log)


def nginx(folder):
    """nginx.conf."""
    http, stream = "", ""
    for family in FAMILIES:
        name = family.lower()
        edge, inner, pod = EDGE[family], BALANCER[family], bracketed(POD[family])

        def server(listen, upstream, header, name=name):
            return (f"  server {{ listen {listen}; location / {{ proxy_pass http://{upstream}_{name}; {header}; }} }}\n")

        for upstream, port in (("l7", ports.L7), ("real_ip", ports.REAL_IP), ("forwarded", ports.FORWARDED)):
            http += f"  upstream {upstream}_{name} {{ server {pod}:{port}; keepalive 4; }}\n"
        appended = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for"
        http += server(end_point(edge, ports.N_FOR), "l7", appended)
        http += server(end_point(edge, ports.N_REAL_IP), "real_ip", "proxy_set_header X-Real-IP $remote_addr")
        http += server(end_point(edge, ports.N_FORWARDED), "forwarded", "proxy_set_header Forwarded $forwarded_chain")
        http += server(f"{end_point(inner, ports.N_HOP_V2)} proxy_protocol", "l7", "proxy_set_header X-Forwarded-For $named_chain")
        http += server(end_point(inner, ports.N_HOP_HTTP), "l7", appended)
        for listen, to in ((end_point(edge, ports.N_STREAM), ports.PROXY), (end_point(inner, ports.N_HOP_STREAM), ports.L7_PROXY)):
            stream += f"  server {{ listen {listen}; proxy_pass {pod}:{to}; proxy_protocol on; }}\n"
    return f"""
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log stderr warn;
events {{ worker_connections 200; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  proxy_http_version 1.1;
  proxy_buffering off;
  # Appends to whatever the client sent, an open quote included.
  map $remote_addr $forwarded_element {{ ~: 'for="[$remote_addr]"'; default for=$remote_addr; }}
  map $http_forwarded $forwarded_chain {{ "" $forwarded_element; default "$http_forwarded, $forwarded_element"; }}
  # Real-IP is off: what the PROXY header says, then the peer who sent it.
  map $http_x_forwarded_for $named_chain {{
    "" "$proxy_protocol_addr, $remote_addr";
    default "$http_x_forwarded_for, $proxy_protocol_addr, $remote_addr";
  }}
{http}}}
stream {{
{stream}}}
"""


def translate(network):
    """Port forwarding by the kernel: the client's address stays, or is masqueraded."""
    rules = "table inet edge {\n  chain before {\n    type nat hook prerouting priority dstnat;\n"
    for family, keyword in (("IPv4", "ip"), ("IPv6", "ip6")):
        to = end_point(POD[family], ports.PLAIN)
        at = f"{keyword} daddr {EDGE[family]} tcp dport"
        rules += f"    {at} {ports.NFT_PLAIN} dnat {keyword} to {to}\n"
        rules += f"    {at} {ports.NFT_MASQUERADE} meta mark set 1 dnat {keyword} to {to}\n"
    rules += "  }\n  chain after {\n    type nat hook postrouting priority srcnat;\n    meta mark 1 masquerade\n  }\n}\n"
    done = subprocess.run(network.inside("balancer", "nft", "-f", "-"), input=rules, text=True, capture_output=True, check=False)
    return done.stderr.strip() if done.returncode else None
