"""The app behind hookward: answers 200 and records what reached it, as JSON lines.

usage: app.py FILE TCP_PORT TLS_PORT UNIX_PATH CERT KEY. All three doors are open at once. Must never judge a request.
"""

import json
import socketserver
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import ports
from processes import wait_for


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """An HTTP server on a Unix socket."""

    daemon_threads = True

    def get_request(self):
        connection, _ = super().get_request()
        return connection, ("unix", 0)


def recorder(door, record):
    """The handler of one door."""

    class Recorder(BaseHTTPRequestHandler):
        """Answers everything alike."""

        protocol_version = "HTTP/1.1"
        # One write an answer: two would wait for each other's acknowledgement.
        wbufsize = -1

        def answer(self):
            """Records, then answers."""
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            record(
                {
                    "door": door,
                    "method": self.command,
                    "path": self.path,
                    "headers": [(name.lower(), value) for name, value in self.headers.items()],
                    "body": body.decode(),
                }
            )
            self.send_response(200)
            self.send_header("content-length", "3")
            self.end_headers()
            self.wfile.write(b"ok\n")

        do_GET = do_POST = do_HEAD = do_OPTIONS = answer

        def log_message(self, format, *args):
            """Not here."""

    return Recorder


def start(network, processes, work):
    """Runs this file in the pod."""
    log = work / "app.log"
    places = str(work / "app.jsonl"), str(ports.APP), str(ports.APP_TLS), str(work / "app.sock")
    identity = f"{work}/leaf.pem", f"{work}/leaf.key"
    process = processes.start(network.inside("pod", sys.executable, __file__, *places, *identity), log)
    wait_for("the app", lambda: b"ready" in log.read_bytes(), process, log)


def main(file, tcp_port, tls_port, unix_path, cert, key):
    """Serves for ever."""
    out = open(file, "a", encoding="utf-8")
    lock = threading.Lock()

    def record(entry):
        with lock:
            out.write(json.dumps(entry) + "\n")
            out.flush()

    ThreadingHTTPServer.daemon_threads = True
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    plain = ThreadingHTTPServer(("127.0.0.1", int(tcp_port)), recorder("tcp", record))
    secure = ThreadingHTTPServer(("127.0.0.1", int(tls_port)), recorder("tls", record))
    # The handshake belongs to the connection's thread, or a broken one would end the server.
    secure.socket = tls.wrap_socket(secure.socket, server_side=True, do_handshake_on_connect=False)
    local = UnixServer(unix_path, recorder("unix", record))
    threads = [threading.Thread(target=server.serve_forever) for server in (plain, secure, local)]
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
