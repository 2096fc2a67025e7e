"""The tests of deploy/: manifests, image, pod. Run by tests/deploy/run, in a network namespace of its own."""

import argparse
import resource
import sys
import time
from pathlib import Path

import image
import manifests
import pod_cases
from expect import Cases, Refused


def main():
    """0: all held, 1: not, 77: refused by the kernel."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("parts", nargs="+")
    options = parser.parse_args()
    # The flood's connections are ours.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    begun = time.monotonic()
    cases = Cases()
    try:
        if "manifests" in options.parts:
            manifests.run(cases, options)
        if "image" in options.parts or "pod" in options.parts:
            image.run(cases, options)
        if "pod" in options.parts:
            pod_cases.run(cases, options)
    except Refused as error:
        (options.work / "refused").write_text(str(error))
        return 1 if cases.failed else 77
    print(f"{cases.passed} passed, {cases.failed} failed, {time.monotonic() - begun:.0f} s")
    return 1 if cases.failed else 0


if __name__ == "__main__":
    sys.exit(main())
