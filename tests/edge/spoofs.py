"""Header lines by which a client claims an address that is not its own.

Must never hold a header that an honest proxy of the tests writes: what is here comes from the client.
"""

from net import bracketed


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


def hostile(claim):
    """Ways to make two readers of one request disagree about its headers, or to lose the one that counts."""
    believed = ("x-forwarded-for", "forwarded", "x-real-ip")
    return [
        *((f"a Connection list that names {name}", [("connection", name), (name, claim)]) for name in believed),
        *((f"a space after {name}", [(f"{name} ", claim)]) for name in believed),
        *((f"a tab before {name}", [("x-one", "1"), (f"\t{name}", claim)]) for name in believed),
        ("a folded x-forwarded-for", [("x-forwarded-for", f"{claim},\r\n {claim}")]),
        ("a line that ends in LF alone", [("x-one", f"1\nx-forwarded-for: {claim}\nx-real-ip: {claim}")]),
        ("a line that ends in CR alone", [("x-one", f"1\rx-forwarded-for: {claim}")]),
        ("a zero byte in x-forwarded-for", [("x-forwarded-for", f"{claim}\0")]),
    ]


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
