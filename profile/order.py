"""The functions that run, in the order in which a release build has them: those of a start, then those of traffic.

    python3 profile/order.py HOOKWARD   names, a line each; HOOKWARD is a release build that is not stripped

What a start needs lies together then, and the rest stays on disk: a binary's pages are read, and kept, by sixteen. Callgrind
says what ran, under the names that the linker knows.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
CONFIG = """[server]
listen = "127.0.0.1:0"
upstream = "http://127.0.0.1:9"
[routes.clerk]
path = "/api/webhooks/clerk"
provider = "clerk"
"""


def names(profile):
    """The functions of the program itself in one of callgrind's files, which gives each name and file once, with a number."""
    objects, functions, program, ran = {}, {}, "", set()
    for line in profile.read_text(errors="replace").splitlines():
        if line.startswith("cmd:"):
            program = line.split()[1]
        elif found := re.match(r"(c?ob|c?fn)=\((\d+)\)(?: (.+))?", line):
            kind, number, name = found.groups()
            known = objects if kind.endswith("ob") else functions
            if name:
                # A function that calls itself is told apart by its depth.
                known[number] = name.split("'")[0]
            if kind == "ob":
                inside = objects[number] == program
            elif kind == "fn" and inside:
                ran.add(number)
    # Without those that are known by their place alone.
    return {name for number in ran if re.fullmatch(r"[A-Za-z_][\w.$]*", name := functions[number])}


def callgrind(folder):
    """A command that runs another, and says in this folder what ran."""
    return ["valgrind", "--tool=callgrind", "--quiet", "--demangle=no", f"--callgrind-out-file={folder}/%p"]


def start(hookward, folder):
    """One start, and its end once it listens."""
    config = folder / "hookward.toml"
    config.write_text(CONFIG)
    environment = {**os.environ, "CLERK_WEBHOOK_SIGNING_SECRET": "whsec_a2V5LW9mLTI0LWJ5dGVzLXRvLXRyYWlu"}
    command = [*callgrind(folder), hookward, "run", "--config", config]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    if not any('"message":"ready"' in line for line in process.stdout):
        sys.exit(f"it did not start: {process.wait()}")
    time.sleep(1)
    process.terminate()
    process.communicate()


def main():
    """Starts it, sends it traffic, and prints what ran."""
    hookward, done = sys.argv[1], set()
    for run in ("start", "traffic"):
        with tempfile.TemporaryDirectory() as work:
            folder = Path(work)
            if run == "start":
                start(hookward, folder)
            else:
                # Few at a time: a store is not waited for as long as callgrind may take.
                command = [sys.executable, FOLDER / "traffic.py", "2", *callgrind(folder), hookward]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            profiles = [path for path in folder.iterdir() if path.name.isdigit()]
            served = [path for path in profiles if re.search(r"^cmd: .* run ", path.read_text(errors="replace"), re.MULTILINE)]
            found = set().union(*map(names, served)) - done
        if not found:
            sys.exit(f"{run}: nothing ran, or {hookward} is stripped")
        print("\n".join(sorted(found)))
        done |= found


main()
