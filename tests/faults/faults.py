"""Runs the cases, and holds that README.md has the table of them.

usage: faults.py --binary FILE --work FOLDER [--strict] [CASE...]; faults.py --table. Must never pass what was skipped
without saying so.
"""

import argparse
import asyncio
import pathlib
import sys
import time
import traceback

import at_the_app
import at_the_store
import of_the_machine
from case import CASES, Bench, Skip

README = pathlib.Path(__file__).with_name("README.md")
PLACES = {
    at_the_app: "Between hookward and the app",
    at_the_store: "Between hookward and Redis",
    of_the_machine: "Of the machine",
}
# At once; each waits for leases most of its time.
BESIDE = 6


def table():
    """The rows, as README.md has them."""
    lines = []
    for place, title in PLACES.items():
        lines += [f"## {title}", "", "| fault | sender | app | after | test |", "|---|---|---|---|---|"]
        for case in CASES:
            if case.hold.__module__ == place.__name__:
                lines.append(f"| {case.fault} | {case.sender} | {case.app} | {case.after} | `{case.name}` |")
        lines.append("")
    return "\n".join(lines)


async def run(case, binary, work, slots):
    """One case. True, or what was wrong."""
    async with slots:
        began = time.monotonic()
        bench = Bench(binary, work)
        try:
            async with bench.stack:
                await asyncio.wait_for(case.hold(bench), 120)
        except Skip as skip:
            print(f"SKIP {case.name}: {skip}", flush=True)
            return skip
        except Exception as error:
            print(f"FAIL {case.name} ({case.fault}): {error!r}", flush=True)
            traceback.print_exc()
            return error
        print(f"ok   {case.name}, {time.monotonic() - began:.1f} s", flush=True)
        return None


async def main():
    """All that were asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", type=pathlib.Path)
    parser.add_argument("--work", type=pathlib.Path)
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("cases", nargs="*")
    asked = parser.parse_args()
    if asked.table:
        print(table())
        return 0
    if table() not in README.read_text():
        print("FAIL: README.md has not the table that the cases make (faults.py --table)")
        return 1
    known = {case.name for case in CASES}
    if unknown := set(asked.cases) - known:
        print(f"no such case: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    wanted = [case for case in CASES if not asked.cases or case.name in asked.cases]
    slots = asyncio.Semaphore(BESIDE)
    outcomes = await asyncio.gather(*(run(case, asked.binary, asked.work, slots) for case in wanted if not case.alone))
    for case in wanted:
        if case.alone:
            outcomes.append(await run(case, asked.binary, asked.work, asyncio.Semaphore(1)))
    skipped = sum(isinstance(outcome, Skip) for outcome in outcomes)
    failed = sum(outcome is not None for outcome in outcomes) - skipped
    print(f"{len(wanted)} faults, {failed} failed, {skipped} skipped")
    if skipped and asked.strict:
        print("--strict: a skipped case is a failure", file=sys.stderr)
    return 1 if failed or (skipped and asked.strict) else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
