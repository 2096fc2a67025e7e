"""Three network namespaces in a row: client - balancer - pod, IPv4 and IPv6.

Addresses are from the ranges for documentation and for local use (RFC 5737, RFC 4193). Must never touch a namespace
without the run's own suffix.
"""

import ctypes
import os
import subprocess

CLONE_NEWNET = 0x40000000
FAMILIES = ("IPv4", "IPv6")

# The client's two addresses: only one of them may call the webhook.
ALLOWED = {"IPv4": "192.0.2.10", "IPv6": "fd00:2::10"}
DISALLOWED = {"IPv4": "192.0.2.11", "IPv6": "fd00:2::11"}
# The balancer as the client reaches it.
EDGE = {"IPv4": "192.0.2.1", "IPv6": "fd00:2::1"}
# The balancer as the pod sees it; the second one is of the first hop, where there are two.
BALANCER = {"IPv4": "198.51.100.1", "IPv6": "fd00:51::1"}
FRONT = {"IPv4": "198.51.100.3", "IPv6": "fd00:51::3"}
POD = {"IPv4": "198.51.100.2", "IPv6": "fd00:51::2"}


class Refused(Exception):
    """The kernel, or the container around us, does not let us build a network."""


def bracketed(address):
    """As URLs and configurations write it."""
    return f"[{address}]" if ":" in address else address


def end_point(address, port):
    """`address:port`."""
    return f"{bracketed(address)}:{port}"


class Network:
    """The namespaces. Whoever made the suffix removes them."""

    def __init__(self, suffix):
        self.suffix = suffix

    def name(self, place):
        """The namespace's name: `place` is client, balancer or pod."""
        return f"hw-{self.suffix}-{place}"

    def inside(self, place, *command):
        """The command line that runs `command` in there."""
        return ["ip", "netns", "exec", self.name(place), *command]

    def build(self):
        """Raises Refused where the kernel does."""
        client, balancer, pod = map(self.name, ("client", "balancer", "pod"))
        for namespace in (client, balancer, pod):
            _do("ip", "netns", "add", namespace)
            _do("ip", "-n", namespace, "link", "set", "lo", "up")
            for knob in ("all", "default"):
                self._set(namespace, f"ipv6/conf/{knob}/disable_ipv6", 0)
        for knob in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            self._set(balancer, knob, 1)
        _link(client, "edge", balancer, "edge")
        _link(balancer, "inner", pod, "inner")
        for family in FAMILIES:
            for own in (ALLOWED, DISALLOWED):
                _address(client, "edge", own[family])
            _address(balancer, "edge", EDGE[family])
            _address(balancer, "inner", BALANCER[family])
            # Never chosen as a source unless asked for.
            _address(balancer, "inner", FRONT[family], "preferred_lft", "0")
            _address(pod, "inner", POD[family])
            _do("ip", "-n", client, "route", "add", "default", "via", EDGE[family])
            _do("ip", "-n", pod, "route", "add", "default", "via", BALANCER[family])

    def _set(self, namespace, knob, value):
        _do("ip", "netns", "exec", namespace, "sh", "-c", f"echo {value} >/proc/sys/net/{knob}")

    def enter(self, place):
        """Moves this process, and what it starts from now on, into a namespace."""
        descriptor = os.open(f"/run/netns/{self.name(place)}", os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET) != 0:
                raise Refused(f"setns: {os.strerror(ctypes.get_errno())}")
        finally:
            os.close(descriptor)


def _link(one, name, other, other_name):
    _do("ip", "link", "add", name, "netns", one, "type", "veth", "peer", "name", other_name, "netns", other)
    _do("ip", "-n", one, "link", "set", name, "up")
    _do("ip", "-n", other, "link", "set", other_name, "up")


def _address(namespace, interface, address, *more):
    # Without duplicate address detection an IPv6 address works at once.
    length, flags = ("64", ("nodad",)) if ":" in address else ("24", ())
    _do("ip", "-n", namespace, "address", "add", f"{address}/{length}", "dev", interface, *flags, *more)


def _do(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Refused(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
