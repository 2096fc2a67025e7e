"""Port forwarding by the balancer's kernel, with nft."""

import subprocess

import ports
from net import EDGE, FAMILIES, POD, end_point


def translate(network):
    """Translates two ports: with the client's address, and with the balancer's. What the kernel refused, or None."""
    rules = "table inet edge {\n  chain before {\n    type nat hook prerouting priority dstnat;\n"
    for family, keyword in (("IPv4", "ip"), ("IPv6", "ip6")):
        to = end_point(POD[family], ports.PLAIN)
        at = f"{keyword} daddr {EDGE[family]} tcp dport"
        rules += f"    {at} {ports.NFT_PLAIN} dnat {keyword} to {to}\n"
        rules += f"    {at} {ports.NFT_MASQUERADE} meta mark set 1 dnat {keyword} to {to}\n"
    rules += "  }\n  chain after {\n    type nat hook postrouting priority srcnat;\n"
    rules += "    meta mark 1 masquerade\n  }\n}\n"
    command = network.inside("balancer", "nft", "-f", "-")
    done = subprocess.run(command, input=rules, text=True, capture_output=True, check=False)
    return done.stderr.strip() if done.returncode else None
