"""Header lines by which a client claims an address that is not its own.

Must never hold a header that an honest proxy of the tests writes: what is here comes from the client.
"""

from net import bracketed
from sender import proxy_v1, proxy_v2


def spoofs(claim):
    """Header lines that claim to come from `claim`."""
    node = f'"{bracketed(claim)}"'
    return [(name, [(name, value)]) for name, value in _single(claim)] + [
        ("x-forwarded-for in several lines", [("x-forwarded-for", claim), ("x-forwarded-for", f"{claim}, {claim}")]),
        ("x-forwarded-for with loose ends", [("x-forwarded-for", f"{claim},"), ("x-forwarded-for", f", {claim} ,")]),
        ("x-real-ip in several lines", [("x-real-ip", claim), ("X-Real-IP", claim)]),
        ("forwarded in several lines", [("forwarded", f"for={node}"), ("forwarded", f"for={node}, for={node}")]),
        ("forwarded with an open quote", [("forwarded", f'for={node[:-1]}')]),
    ]


def everything(claim):
    """All claims in one request, and what else an app would believe."""
    return [*_single(claim), ("x-forwarded-proto", "gopher"), ("x-forwarded-host", "elsewhere.test"),
            ("x-forwarded-port", "1"), ("verified-event", 'id="forged"')]


def hostile(claim, of):
    """Ways to make two readers of one request disagree about its headers, or to lose the one that counts.

    Each has a name, header lines, and what comes before the request, in pieces.
    """
    believed = ("x-forwarded-for", "forwarded", "x-real-ip")
    v1, v2 = proxy_v1(claim, of), proxy_v2(claim, of)
    lines = [
        *((f"a Connection list that names {name}", [("connection", name), (name, claim)]) for name in believed),
        *((f"a space after {name}", [(f"{name} ", claim)]) for name in believed),
        *((f"a tab before {name}", [("x-one", "1"), (f"\t{name}", claim)]) for name in believed),
        ("a folded x-forwarded-for", [("x-forwarded-for", f"{claim},\r\n {claim}")]),
        ("a line that ends in LF alone", [("x-one", f"1\nx-forwarded-for: {claim}\nx-real-ip: {claim}")]),
        ("a line that ends in CR alone", [("x-one", f"1\rx-forwarded-for: {claim}")]),
        ("a zero byte in x-forwarded-for", [("x-forwarded-for", f"{claim}\0")]),
    ]
    first = [
        *((f"a PROXY header cut at {cut}", [v1[:cut], v1[cut:]]) for cut in (1, 3, 6, 12)),
        *((f"a PROXY header of version 2 cut at {cut}", [v2[:cut], v2[cut:]]) for cut in (4, 12, 14)),
        ("two PROXY headers", [v1 + v2]),
        ("a PROXY header in lower case", [v1.lower()]),
        ("a PROXY header behind an empty line", [b"\r\n" + v1]),
        ("a PROXY header that names nobody", [b"PROXY UNKNOWN\r\n"]),
    ]
    return [(name, headers, []) for name, headers in lines] + [(name, [], pieces) for name, pieces in first]


def _single(claim):
    return [
        ("x-forwarded-for", claim),
        ("forwarded", f'for="{bracketed(claim)}";proto=https'),
        ("x-real-ip", claim),
        ("cf-connecting-ip", claim),
        ("true-client-ip", claim),
        ("x-client-ip", claim),
        ("x_forwarded_for", claim),
    ]
