"""Request smuggling: every case of the tables against hookward in front of Node and nginx.

The app's list of requests must be exactly those that were answered, in order, and nothing else. Must never judge by
hookward's own log. Exit 1 when a rule is broken.
"""

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from pathlib import Path

import answers
import bodies
import connections
import downgrades
import expectations
import extensions
import heads
import interleaved
import lines
import listeners
import tunnels
from apps import Nginx, Node, Processes, hookward
from naive import Naive
from oracle import faults, mark_of, marks_in
from scripted import Scripted

BOOKS = (bodies, heads, connections, listeners, extensions, expectations, downgrades, interleaved)
AT_ONCE = 48
BETWEEN_PIECES = 0.003
SHOWN = 12
# A request that was smuggled waits for nothing: it is in the app's list as soon as its connection is.
SETTLE = 0.5


def cut(case):
    """The same bytes in more pieces, for reads that end anywhere. The lot is the case's own."""
    lot = random.Random(case.mark)
    pieces = []
    for piece in case.pieces:
        if isinstance(piece, bytes) and len(piece) > 1:
            places = sorted({lot.randrange(1, len(piece)) for _ in range(3)})
            for start, end in zip([0, *places], [*places, len(piece)], strict=True):
                pieces += [piece[start:end], BETWEEN_PIECES]
        else:
            pieces.append(piece)
    return pieces


async def talk_all(addresses, table, in_pieces=False):
    """What each connection brought back, by mark."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(case):
        async with places:
            if case.ordered:
                pieces = cut(case) if in_pieces else case.pieces
                return case.mark, await lines.talk(addresses, case.door, pieces, case.method == "HEAD")
            return case.mark, await downgrades.talk(addresses, case)

    talks = dict(await asyncio.gather(*(one(case) for case in table if not case.alone)))
    for case in table:
        if case.alone:
            talks |= [await one(case)]
    return talks


def judge(table, talks, app):
    """The broken rules, as pairs of a case's name and what is wrong; and how many requests the app saw."""
    entries, garbage = app.seen()
    by_case = {case.mark: [] for case in table}
    foreign = {(case.mark, "a") for case in table if case.foreign}
    # What an app refuses by itself is one request all the same, and no other may be in it.
    heads = {line: marks_in(line.partition("\r\n\r\n")[0]) for line in garbage}
    refused = [line for line, marks in heads.items() if len(marks) == 1 and foreign.issuperset(marks)]
    wrong = [("the app", f"bytes that are no request: {line[:300]!r}") for line in garbage if line not in refused]
    for entry in entries:
        mark = mark_of(entry.target)
        if mark and mark[0] in by_case:
            by_case[mark[0]].append(entry)
        else:
            wrong.append(("the app", f"a request that nobody sent: {entry.method} {entry.target[:200]}"))
    for case in table:
        for fault in faults(case, talks[case.mark], by_case[case.mark]):
            answers = [(answer.status, answer.code) for answer in talks[case.mark].answers]
            wrong.append((f"{case.name} [{case.mark}]", f"{fault}; answers {answers}"))
    return wrong, len(entries)


async def against(app, processes, work, binary, table):
    """One app, all cases. The number of broken rules."""
    addresses = hookward(processes, work, binary, app)
    started = time.monotonic()
    talks = await talk_all(addresses, table, in_pieces=app.name == "node-lenient")
    await asyncio.sleep(SETTLE)
    wrong, seen = judge(table, talks, app)
    statuses = Counter(answer.code or answer.status for talk in talks.values() for answer in talk.answers)
    told = ", ".join(f"{count} {what}" for what, count in statuses.most_common())
    print(f"{app.name}: {len(table)} connections, {seen} requests in the app, {time.monotonic() - started:.1f} s")
    print(f"  answers: {told}")
    if wrong:
        (work / f"wrong-{app.name}.txt").write_text("".join(f"{name}: {what}\n" for name, what in wrong))
    for name, what in wrong[:SHOWN]:
        print(f"  WRONG {name}: {what}")
    if len(wrong) > SHOWN:
        print(f"  … and {len(wrong) - SHOWN} more")
    return len(wrong)


async def can_fail(processes, work):
    """Behind proxies that do not check, the oracle finds hidden requests and stray answers. How many it missed."""
    (work / "naive").mkdir()
    behind_length = ("CL.TE: transfer-encoding: chunked (", "CL.TE: te: chunked", "CL.TE: transfer-encoding:chunked (")
    behind_frames = ("HTTP/2: transfer-encoding: chunked, and", "HTTP/2: value \\r\\n\\r\\n and")
    in_turns = "HTTP/2: frames: two bodies in turns"
    books = ((bodies, behind_length), (downgrades, behind_frames), (interleaved, in_turns))
    requests = [case for book, names in books for case in book.table() if case.name.startswith(names)]
    told, scripts = answers.table()
    behind_answers = ("answer: two at once", "answer: 204 No Content and a body nobody", "answer: HEAD and no length")
    told = [case for case in told if case.name.startswith(behind_answers)]
    missed = []
    for app, table in (
        (Node(processes, work / "naive", lenient=True), requests),
        (await Scripted(scripts).listen(), told),
    ):
        talks = {}
        for case in table:
            # Each with a connection to the app of its own: one that is out of step would hide what the next case does.
            proxy = Naive(app.address)
            server = await proxy.serve(streams=not case.ordered)
            talks |= await talk_all({"plain": server.sockets[0].getsockname()}, [case])
            server.close()
            proxy.close()
        await asyncio.sleep(SETTLE)
        wrong, _ = judge(table, talks, app)
        found = {name.partition(" [")[0] for name, what in wrong if "hidden request" in what or "answered were" in what}
        print(f"proxies that do not check: {len(found)} of {len(table)} attacks found in {app.name}")
        missed += [case.name for case in table if case.name not in found] or ([] if table else [f"all of {app.name}"])
    for name in missed:
        print(f"  WRONG nothing found: {name}")
    return len(missed)


async def main():
    """All apps, one after the other."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    asked = parser.parse_args()
    processes = Processes()
    broken = 0
    try:
        broken += await can_fail(processes, asked.work)
        for start in (
            lambda: Node(processes, asked.work, lenient=False),
            lambda: Node(processes, asked.work, lenient=True),
            lambda: Nginx(processes, asked.work),
        ):
            # Signed anew for each app: a signature holds for five minutes.
            table = [case for book in BOOKS for case in book.table() if asked.only in case.name]
            broken += await against(start(), processes, asked.work, asked.binary, table)
        (table, scripts), (more, more_scripts) = answers.table(), tunnels.table()
        table = [case for case in [*table, *more] if asked.only in case.name]
        app = await Scripted(scripts | more_scripts).listen()
        broken += await against(app, processes, asked.work, asked.binary, table)
    finally:
        processes.end()
    if broken:
        print(f"{broken} rules broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
