"""The ways in to hookward: its listeners, and what is said on a connection before any HTTP.

Must never add a byte of HTTP, nor refuse what a listener offers.
"""

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path

CERTIFICATES = Path(__file__).resolve().parent.parent / "data" / "tls"


@dataclass(frozen=True)
class Door:
    """One way in. `alpn`: what a TLS client offers. `before`: bytes ahead of everything, TLS too. `shakes`: where the
    listener has TLS, so has the client.
    """

    listener: str = "plain"
    alpn: tuple = ()
    source: str = "127.0.0.1"
    before: bytes = b""
    shakes: bool = True

    async def open(self, addresses):
        """A connection through this door."""
        reader, writer = await asyncio.open_connection(*addresses[self.listener], local_addr=(self.source, 0))
        if self.before:
            writer.write(self.before)
        if self.shakes and self.listener in ("tls", "proxied-tls"):
            try:
                await writer.start_tls(_trusting(self.alpn), server_hostname="localhost")
            except ssl.SSLError as error:
                writer.close()
                raise ConnectionResetError from error
        return reader, writer


def _trusting(alpn):
    context = ssl.create_default_context(cafile=CERTIFICATES / "ca.pem")
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def listeners():
    """The tables of hookward's configuration, in the order of [`NAMES`]."""
    tls = f'tls = {{ cert = "{CERTIFICATES / "server.pem"}", key = "{CERTIFICATES / "server.key"}" }}\n'
    proxied = 'proxy_protocol = true\nproxy_protocol_from = ["127.0.0.1"]\n'
    return "".join(f'[[server.listener]]\nlisten = "127.0.0.1:0"\n{more}' for more in ("", tls, proxied, proxied + tls))


NAMES = ("plain", "tls", "proxied", "proxied-tls")
PLAIN = Door()
