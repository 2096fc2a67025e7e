"""Runs the cases that were asked for, and writes what was found. tests/bench/run calls it, with what it installed."""

import argparse
import hashlib
import json
import os
import platform
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import proc
from cases import ALL, CPU, Run, bare_sha256
from load import WrongAnswer
from peers import HERE, PORTS, TITLES, Bench
from picture import picture
from report import report


def machine() -> dict[str, str]:
    """What this ran on."""
    model = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "cpu": model[1].strip() if model else platform.machine(),
        "cores": str(os.cpu_count()),
        "kernel": f"{platform.system()} {platform.release()}",
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def versions(hookward: Path, caddy: Path, missing: set[str]) -> dict[str, str]:
    """Versions of everything that takes part."""
    commands = {
        "hookward": [str(hookward), "--version"],
        "nginx": ["nginx", "-v"],
        "haproxy": ["haproxy", "-v"],
        "wrk": ["wrk", "-v"],
        "h2load": ["h2load", "--version"],
    }
    if "caddy" not in missing:
        commands["caddy"] = [str(caddy), "version"]
    if "next" not in missing:
        commands["node"] = ["node", "--version"]
    found = {}
    for name, command in commands.items():
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        number = re.search(r"v?\d+\.\d[\w.+-]*", run.stdout + run.stderr)
        found[name] = number[0].removeprefix("v") if number else "?"
    package = json.loads((HERE / "next/package.json").read_text())
    return found | ({} if "next" in missing else {name: package["dependencies"][name] for name in ("next", "svix")})


def identity(hookward: Path) -> str:
    """Which binary this was, and of which checkout it most likely is; it cannot say so itself."""
    run = subprocess.run(
        ["git", "-C", HERE, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    digest = hashlib.sha256(hookward.read_bytes()).hexdigest()[:12]
    return f"hookward's binary {digest} (sha256), measured from checkout {run.stdout.strip() or 'unknown'}"


def check_ports() -> None:
    """Refuse to measure somebody else's server."""
    for port in PORTS.values():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                sys.exit(f"port {port} is taken")


def main() -> None:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(prog="tests/bench/run", epilog="Cases: " + ", ".join(ALL))
    parser.add_argument("--quick", action="store_true", help="one short round of everything")
    parser.add_argument("--strict", action="store_true", help="what is skipped makes this fail")
    parser.add_argument("--rounds", type=int, help="default 5, or 1 with --quick")
    parser.add_argument("--seconds", type=int, help="of each measurement; default 2, or 1 with --quick")
    parser.add_argument("--hookward", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--caddy", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--missing", default="", help=argparse.SUPPRESS)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="default: all")
    options = parser.parse_args()
    unknown = [case for case in options.cases if case not in ALL]
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(ALL)}")
    if len(proc.CORES) < 2:
        sys.exit("two cores are needed: one for the proxy, one for load and app")
    check_ports()
    proc.raise_open_files(65536)

    missing = {name for name in options.missing.split(",") if name}
    os.sched_setaffinity(0, {proc.LOAD_CORE})
    began = time.time()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        # nginx's worker is another user, and reads the app's files from here.
        Path(scratch).chmod(0o755)
        bench = Bench(Path(scratch), options.hookward, missing, options.caddy)
        run = Run(
            bench,
            options.rounds or (1 if options.quick else 5),
            options.seconds or (1 if options.quick else 2),
            options.quick,
        )
        for name in sorted(missing):
            # tests/bench/run has said so already, and why.
            run.skipped.append(f"{TITLES.get(name, name)}: not installed")
        results = {
            "date": time.strftime("%Y-%m-%d", time.gmtime(began)),
            "quick": options.quick,
            "rounds": run.rounds,
            "seconds": run.seconds,
            "machine": machine(),
            "versions": versions(options.hookward, options.caddy, missing),
            "identity": identity(options.hookward),
            "skipped": run.skipped,
            "sha256": bare_sha256([16 << 10, 64 << 10]),
            "cases": {},
            "failed": {},
        }
        bench.start_app()
        try:
            for name in options.cases or ALL:
                print(f"{time.time() - began:5.0f} s  {name}", flush=True)
                try:
                    results["cases"][name] = run.cpu(CPU[name]) if name in CPU else getattr(run, name)()
                except (WrongAnswer, RuntimeError, OSError) as error:
                    # The other cases are not worth less for it; this one has no figures, and the whole has failed.
                    results["failed"][name] = str(error)
                    print(f"FAILED {name}: {error}", file=sys.stderr, flush=True)
        finally:
            proc.stop(bench.app)
    results["took"] = round(time.time() - began)
    write(results, HERE / "results" / ("tmp" if options.quick or options.cases or results["failed"] else ""))
    if results["failed"]:
        sys.exit(f"failed: {', '.join(results['failed'])}")
    if options.strict and run.skipped:
        sys.exit("--strict: something was skipped")


def write(results: dict, directory: Path) -> None:
    """Keep figures, table and picture: a whole run that did not fail under its date, others in results/tmp."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / results["date"]
    path.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
    text = report(results)
    path.with_suffix(".md").write_text(text)
    path.with_suffix(".svg").write_text(picture(results))
    print(text)
    where = os.path.relpath(path.with_suffix(".md"), HERE.parent.parent)
    print(f"{results['took']} s, kept in {where}, .svg and .json")


if __name__ == "__main__":
    main()
