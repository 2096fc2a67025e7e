"""Every way from a client to the app, and what hookward can know about who came through it.

One row a topology: the cases send the same requests through each. Must never hold an expectation that differs by
request.
"""

from dataclasses import dataclass

import ports


@dataclass(frozen=True)
class Door:
    """A way in."""

    label: str
    # Which of the running configurations answers.
    hookward: str
    port: int
    # Straight to the pod, or to the balancer.
    direct: bool = False
    # hookward's peer: client or balancer.
    peer: str = "client"
    # Whether that peer is in trusted_proxies.
    trusted: bool = False
    # Whether the client's address can be known. Where it cannot, nobody may pass.
    knows: bool = True
    # Who reads the client's HTTP first: hookward or the balancer.
    reads: str = "hookward"
    # The end of x-forwarded-for as the app sees it: client, front, balancer. All of it where the peer is not trusted.
    chain: tuple = ("client",)
    # Who ends the client's TLS: nobody, hookward or the balancer.
    tls: str | None = None
    # x-forwarded-proto as the app sees it; None where a trusted proxy leaves the client's.
    proto: str | None = "http"
    # The app's door: tcp, tls or unix.
    app: str = "tcp"


def l7(label, hookward, port, **more):
    """Behind a balancer that speaks HTTP and is trusted."""
    usual = {"peer": "balancer", "trusted": True, "reads": "balancer", "chain": ("client", "balancer"), "proto": None}
    return Door(label, hookward, port, **{**usual, **more})


def hidden(label, port, **more):
    """Behind something that hides the client."""
    return Door(label, "plain", port, peer="balancer", knows=False, **more)


HOPS = ("client", "front", "balancer")

DOORS = [
    Door("a. direct", "plain", ports.PLAIN, direct=True),
    hidden("b. HAProxy, TCP without PROXY", ports.H_TCP),
    Door("c. HAProxy, TCP with PROXY v1", "proxy", ports.H_V1),
    Door("c. HAProxy, TCP with PROXY v2 and extensions", "proxy", ports.H_V2),
    Door("c. HAProxy, TCP with PROXY v2, other family to the pod", "proxy", ports.H_ACROSS),
    Door("c. HAProxy, HTTP with PROXY v2", "proxy", ports.H_HTTP_V2, reads="balancer"),
    Door("c. around the balancer, to the PROXY listener", "proxy", ports.PROXY, direct=True),
    l7("d. HAProxy, HTTP with forwardfor", "l7", ports.H_HTTP),
    hidden("d. HAProxy, HTTP with forwardfor, not trusted", ports.H_HTTP_UNTRUSTED, reads="balancer"),
    l7("e. nginx, HTTP with x-forwarded-for", "l7", ports.N_FOR),
    l7("e. nginx, HTTP with x-real-ip", "real-ip", ports.N_REAL_IP, chain=("balancer",)),
    l7("e. nginx, HTTP with forwarded", "forwarded", ports.N_FORWARDED, chain=("balancer",)),
    Door("e. nginx, stream with PROXY", "proxy", ports.N_STREAM),
    l7("f. HAProxy, TCP with PROXY v2, then nginx, HTTP", "l7", ports.H_HOP_V2, chain=HOPS),
    l7("f. HAProxy, HTTP, then nginx, HTTP", "l7", ports.H_HOP_HTTP, chain=HOPS),
    Door("f. HAProxy, HTTP, then nginx, stream with PROXY", "l7-proxy", ports.H_HOP_STREAM, peer="front", trusted=True,
         reads="balancer", chain=("client", "front"), proto=None),
    l7("h. HAProxy, TLS ended, HTTP with forwardfor", "l7", ports.H_TLS, tls="balancer", proto="https"),
    Door("h. HAProxy, TLS passed on with PROXY v2", "tls-proxy", ports.H_TLS_PASSED, tls="hookward", proto="https"),
    Door("h. around the balancer, to the TLS and PROXY listener", "tls-proxy", ports.TLS_PROXY, direct=True,
         tls="hookward", proto="https"),
    Door("i. several listeners, the plain one", "many", ports.MANY_PLAIN, direct=True),
    Door("i. several listeners, the PROXY one", "many", ports.H_MANY),
    Door("i. several listeners, the TLS one", "many", ports.MANY_TLS, direct=True, tls="hookward", proto="https"),
    Door("j. the app on a Unix socket", "unix", ports.UNIX, direct=True, app="unix"),
    Door("j. the app over https", "https", ports.HTTPS, direct=True, app="tls"),
]

TRANSLATED = [
    Door("g. nft, destination translated", "plain", ports.NFT_PLAIN),
    hidden("g. nft, destination translated and masqueraded", ports.NFT_MASQUERADE),
]
