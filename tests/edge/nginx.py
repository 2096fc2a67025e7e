"""nginx at the balancer: HTTP and stream, for both families.

Connections to the pod are kept and shared between clients. Sources: nginx.org/en/docs/http/ngx_http_proxy_module.html
and ngx_stream_proxy_module.html.
"""

import socket

import ports
from net import BALANCER, EDGE, FAMILIES, POD, bracketed, end_point
from processes import wait_for


def start(network, processes, work):
    """Every server for both families, and the stream module."""
    config, log = work / "nginx.conf", work / "nginx.log"
    (work / "nginx").mkdir()
    config.write_text(configuration(work / "nginx"))
    command = network.inside("balancer", "nginx", "-p", f"{work}/nginx", "-c", str(config), "-e", "stderr")
    process = processes.start(command, log)

    def listens():
        try:
            socket.create_connection((EDGE["IPv6"], ports.N_FOR), timeout=1).close()
        except OSError:
            return False
        return True

    wait_for("nginx", listens, process, log)


def configuration(folder):
    """nginx.conf."""
    http, stream = "", ""
    for family in FAMILIES:
        name = family.lower()
        edge, inner, pod = EDGE[family], BALANCER[family], bracketed(POD[family])

        def server(listen, upstream, header, name=name):
            to = f"http://{upstream}_{name}"
            return f"  server {{ listen {listen}; location / {{ proxy_pass {to}; proxy_set_header {header}; }} }}\n"

        for upstream, port in (("l7", ports.L7), ("real_ip", ports.REAL_IP), ("forwarded", ports.FORWARDED)):
            http += f"  upstream {upstream}_{name} {{ server {pod}:{port}; keepalive 4; }}\n"
        appended = "X-Forwarded-For $proxy_add_x_forwarded_for"
        http += server(end_point(edge, ports.N_FOR), "l7", appended)
        http += server(end_point(edge, ports.N_REAL_IP), "real_ip", "X-Real-IP $remote_addr")
        http += server(end_point(edge, ports.N_FORWARDED), "forwarded", "Forwarded $forwarded_chain")
        hop = f"{end_point(inner, ports.N_HOP_V2)} proxy_protocol"
        http += server(hop, "l7", "X-Forwarded-For $named_chain")
        http += server(end_point(inner, ports.N_HOP_HTTP), "l7", appended)
        first, hop = end_point(edge, ports.N_STREAM), end_point(inner, ports.N_HOP_STREAM)
        for listen, to in ((first, ports.PROXY), (hop, ports.L7_PROXY)):
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
