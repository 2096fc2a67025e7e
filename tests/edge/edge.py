"""Tests behind real balancers: builds the network, starts everything, runs the cases. Started by `tests/edge/run`.

Exit: 0 all passed, 1 not, 77 the kernel refuses (the reason is in WORK/refused).
"""

import argparse
import signal
import sys
import time
from pathlib import Path

import app
import certificates
import haproxy
import hookward
import nft
import nginx
import sender
from cases import Cases
from doors import DOORS, TRANSLATED
from hookward import JsonLines
from net import FAMILIES, Network, Refused
from processes import Processes

REFUSED = 77


def main():
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--suffix", required=True, help="of the namespaces' names")
    parser.add_argument("--work", required=True, type=Path, help="a folder for everything that is written")
    parser.add_argument("--only", default="", help="the letters of the cases to run; all without it")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started = time.monotonic()
    network, processes = Network(options.suffix), Processes()
    try:
        network.build()
        # From here on this process is the client.
        network.enter("client")
    except (Refused, FileNotFoundError) as refused:
        (options.work / "refused").write_text(str(refused))
        return REFUSED
    try:
        return run(network, processes, options, started)
    finally:
        processes.end()


def run(network, processes, options, started):
    """Starts what is needed, then every case."""
    work = options.work
    skipped = []
    certificates.make(work)
    app.start(network, processes, work)
    logs = hookward.start_all(network, processes, work, options.binary)
    haproxy.start(network, processes, work)
    nginx.start(network, processes, work)
    http2 = sender.curl_speaks_http2()
    if not http2:
        skipped.append("HTTP/2: curl is not there, or without it")
    doors = list(DOORS)
    untranslated = nft.translate(network)
    if untranslated:
        skipped.append(f"nft: {untranslated}")
    else:
        doors += TRANSLATED
    record = work / "app.jsonl"
    webhooks = JsonLines(record, lambda visit: visit["path"] != "/health")
    visits = JsonLines(record, lambda visit: visit["path"] == "/health")
    cases = Cases(work, logs, webhooks, options.only)
    cases.doors(sorted(doors, key=lambda door: door.label[0]), http2)
    for family in FAMILIES:
        cases.case(f"c. HAProxy owes the PROXY header, {family}", lambda: cases.missing(family))
        cases.case(f"j. the app's certificate is of another authority, {family}", lambda: cases.wrong_authority(family))
    cases.case("c. HAProxy's health checks", lambda: cases.health_checks(visits))
    cases.case("k. nothing that no case asked for", cases.nothing_left)
    for why in skipped:
        print(f"SKIP edge, {why}")
    print(f"{cases.passed} passed, {cases.failed} failed, {len(skipped)} skipped, {time.monotonic() - started:.0f} s")
    if skipped:
        (work / "partial").touch()
    return 1 if cases.failed else 0


if __name__ == "__main__":
    sys.exit(main())
