"""HAProxy at the balancer: every front end of its own, for both families.

Connections to the pod are shared between clients wherever that can be asked for: the client's address must never stick
to a connection. Source: HAProxy's configuration.txt and proxy-protocol.txt.
"""

import socket

import ports
from net import BALANCER, EDGE, FAMILIES, FRONT, POD, bracketed, end_point
from processes import wait_for


def start(network, processes, work):
    """Every front end for both families."""
    config, log, stats = work / "haproxy.cfg", work / "haproxy.log", work / "haproxy.sock"
    config.write_text(configuration(work, stats))
    process = processes.start(network.inside("balancer", "haproxy", "-db", "-f", str(config)), log)
    wait_for("HAProxy", lambda: stats.exists() and ask(stats, "show info"), process, log)


def ask(stats, command):
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


def configuration(work, stats):
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
    forward = "option forwardfor"
    identity = f"ssl crt {work}/leaf-and-key.pem alpn h2,http/1.1"
    https = "http-request set-header X-Forwarded-Proto https"
    for family in FAMILIES:
        other = next(other for other in FAMILIES if other != family)
        edge, pod, nginx = EDGE[family], POD[family], BALANCER[family]
        first_hop = f"source {bracketed(FRONT[family])}"
        text += "".join([
            tcp(edge, ports.H_TCP, pod, ports.PLAIN),
            tcp(edge, ports.H_V1, pod, ports.PROXY, "send-proxy"),
            # With extensions (TLVs), among them a checksum.
            tcp(edge, ports.H_V2, pod, ports.PROXY, "send-proxy-v2 proxy-v2-options crc32c"),
            tcp(edge, ports.H_ACROSS, POD[other], ports.PROXY, "send-proxy-v2"),
            tcp(edge, ports.H_MISSING, pod, ports.PROXY),
            tcp(edge, ports.H_TLS_PASSED, pod, ports.TLS_PROXY, "send-proxy-v2"),
            tcp(edge, ports.H_MANY, pod, ports.MANY_PROXY, "send-proxy-v2"),
            tcp(edge, ports.H_HOP_V2, nginx, ports.N_HOP_V2, f"send-proxy-v2 {first_hop}"),
            http(edge, ports.H_HTTP, pod, ports.L7, lines=[forward]),
            http(edge, ports.H_HTTP_UNTRUSTED, pod, ports.PLAIN, lines=[forward]),
            http(edge, ports.H_HTTP_V2, pod, ports.PROXY, "send-proxy-v2"),
            http(edge, ports.H_TLS, pod, ports.L7, bind=identity, lines=[forward, https]),
            http(edge, ports.H_HOP_HTTP, nginx, ports.N_HOP_HTTP, first_hop, lines=[forward]),
            http(edge, ports.H_HOP_STREAM, nginx, ports.N_HOP_STREAM, first_hop, lines=[forward]),
            checks(family),
        ])
    return text


def tcp(at, port, to, to_port, options=""):
    """A front end that passes bytes on."""
    return (f"listen {port}-{at}\n  mode tcp\n  bind {end_point(at, port)}\n"
            f"  server next {end_point(to, to_port)} {options}\n")


def http(at, port, to, to_port, options="", bind="", lines=()):
    """A front end that passes requests on."""
    more = "".join(f"  {line}\n" for line in ("http-reuse always", *lines))
    return (f"listen {port}-{at}\n  mode http\n  bind {end_point(at, port)} {bind}\n{more}"
            f"  server next {end_point(to, to_port)} {options}\n")


def checks(family):
    """Health checks of both versions: of the port alone, of a page of the app's, and of the webhook."""
    text = ""
    webhook = "http-check send meth POST uri /api/webhooks/clerk ver HTTP/1.1 hdr Host hook.test hdr Content-Length 0"
    kinds = {
        "tcp": ("tcp", ports.PROXY, ()),
        "tls": ("tcp", ports.TLS_PROXY, ()),
        "page": ("http", ports.CHECKED, ("option httpchk GET /health", "http-check expect status 200")),
        "webhook": ("http", ports.CHECKED, ("option httpchk", webhook, "http-check expect status 403")),
    }
    for version, option in (("v1", "send-proxy"), ("v2", "send-proxy-v2")):
        for kind, (mode, port, lines) in kinds.items():
            more = "".join(f"  {line}\n" for line in lines)
            text += (f"backend check-{kind}-{version}-{family}\n  mode {mode}\n{more}"
                     f"  server pod {end_point(POD[family], port)} {option} check inter 250ms\n")
    return text
