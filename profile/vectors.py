"""Judges the vectors one by one: all providers and kinds of keys, of which traffic.py sends three.

    python3 profile/vectors.py COMMAND...   the command that starts hookward
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

VECTORS = Path(__file__).resolve().parents[1] / "tests/vectors/vectors.json"
SECRETS = ("secret", "public_key")
# Options of vectors that are further secrets, or files.
NO_OPTIONS = {"secondary_secret", "next_key", "cert_pem"}


def explain(hookward, vector, folder):
    """Whether it is genuine; None where it cannot be put to `explain`."""
    body = folder / "body"
    body.write_bytes(base64.b64decode(vector["body_base64"]))
    environment, options = dict(os.environ), ["--body", body]
    for member in SECRETS:
        if vector.get(member):
            environment[f"VECTOR_{member}"] = vector[member]
            options += ["--secret-env", f"VECTOR_{member}"]
    for name in ("provider", "now", "method", "url", "tolerance"):
        if vector.get(name) is not None:
            options += [f"--{name}", str(vector[name])]
    for name, value in vector.get("options", {}).items():
        if name not in NO_OPTIONS:
            options += ["--option", f"{name}={value}"]
    for name, value in vector["headers"].items():
        options += ["--header", f"{name}: {value}"]
    done = subprocess.run([*hookward, "explain", *options], env=environment, capture_output=True, check=False)
    return {0: True, 1: False}.get(done.returncode)


def main():
    """Judges all; most can be judged, and a third is genuine."""
    vectors = json.loads(VECTORS.read_text())
    with tempfile.TemporaryDirectory() as folder:
        judged = [explain(sys.argv[1:], vector, Path(folder)) for vector in vectors]
    print(f"{len(vectors)} vectors, {judged.count(True)} genuine, {judged.count(None)} not judged")
    if judged.count(True) < len(vectors) / 3 or judged.count(None) > len(vectors) / 20:
        sys.exit("too few were judged")


main()
