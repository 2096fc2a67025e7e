"""Builds the crate once with all mutants of `src/check` in it, and runs each one's tests.

Usage: trial.py [--shard K/N] [--jobs N] [--again] [FILE-GLOB...]; see README.md beside it.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import dataclasses
import fnmatch
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import time
import tomllib

from weave import Mutant, NotWoven, Woven, arms_of, weave

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORK = ROOT / "target/mutation"
TREE = WORK / "tree"
ACCEPTED = pathlib.Path(__file__).with_name("accepted.toml")
# What of the project the build has: the modules, and what their tests and the vectors read.
MODULES = ("check", "providers", "reject", "civil", "clock", "secret", "hex", "quiet", "token", "redis_place", "plan", "config")
KEPT = ("Cargo.toml", "Cargo.lock", "config.example.toml", "src/", "tests/data/", "tests/config/", "tests/vectors")
ALLOW = "#![allow(warnings, arithmetic_overflow, unconditional_panic, overflowing_literals)]\n"
# One test binary is one build: the vectors' test, which sees the public API alone, becomes a module of it.
VECTORS = """#[cfg(test)]
extern crate self as hookward;
#[cfg(test)]
#[path = "../tests/vectors.rs"]
mod vectors;
"""
# What one run of tests may hold: a mutant that never stops growing must not take the machine with it.
MEMORY = 6 << 30
SWITCH = """//! Which of the mutants is on; written by tests/mutation.
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};

static ACTIVE: AtomicU32 = AtomicU32::new(u32::MAX);
static SEEN: [AtomicBool; COUNT] = [const { AtomicBool::new(false) }; COUNT];
static TRACE: LazyLock<Option<Mutex<std::fs::File>>> = LazyLock::new(|| {
    let file = std::env::var_os("MUTANT_TRACE")?;
    Some(Mutex::new(std::fs::File::options().create(true).append(true).open(file).unwrap()))
});

#[inline]
pub(crate) fn on(number: u32) -> bool {
    match ACTIVE.load(Ordering::Relaxed) {
        u32::MAX => start(number),
        0 => trace(number),
        active => active == number,
    }
}

#[cold]
fn start(number: u32) -> bool {
    let active = std::env::var("MUTANT").map_or(0, |text| text.parse().unwrap());
    ACTIVE.store(active, Ordering::Relaxed);
    on(number)
}

fn trace(number: u32) -> bool {
    if !SEEN[number as usize].swap(true, Ordering::Relaxed) {
        if let Some(file) = &*TRACE {
            file.lock().unwrap().write_all(format!("{number}\\n").as_bytes()).unwrap();
        }
    }
    false
}
"""


def listed(globs: list[str]) -> list[Mutant]:
    """All mutants of the files that match, as cargo-mutants names them."""
    command = ["cargo", "mutants", "--list", "--json", "--file", "src/check/**"]
    found = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    mutants, sources, seen = [], {}, collections.Counter()
    for number, raw in enumerate(found, start=1):
        file = raw["file"]
        if file not in sources:
            sources[file] = (ROOT / file).read_text().split("\n")
        lines = sources[file]

        def offset(point: dict[str, int], lines: list[str] = lines) -> int:
            before = sum(len(line.encode()) + 1 for line in lines[: point["line"] - 1])
            return before + len(lines[point["line"] - 1][: point["column"] - 1].encode())

        row = raw["span"]["start"]["line"]
        text = raw["name"].split(": ", 1)[1]
        key = (file, text, lines[row - 1].strip())
        seen[key] += 1
        start, end = offset(raw["span"]["start"]), offset(raw["span"]["end"])
        # The list keeps a trailing comma out of a field's span.
        mutants.append(Mutant(number, file, raw["genre"], text, key[2], row, start, end, raw["replacement"], seen[key]))
    return [one for one in mutants if not globs or any(fnmatch.fnmatch(one.file, glob) for glob in globs)]


def copy_tree() -> None:
    """The project's own files beside the build, so that no mutated source is ever among the real ones."""
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    shutil.rmtree(TREE, ignore_errors=True)
    for name in names.stdout.splitlines():
        source = ROOT / name
        if name.startswith(KEPT) and source.is_file():
            (TREE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, TREE / name)
    # The checks, what they import, and the configuration that compiles them: a fraction of the build.
    modules = [name for name in MODULES if (TREE / f"src/{name}.rs").exists() or (TREE / f"src/{name}").exists()]
    for path in (TREE / "src").iterdir():
        if path.stem not in modules and path.name != "mutant.rs":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    declared = "".join(f"pub mod {name};\n" for name in modules)
    (TREE / "src/lib.rs").write_text(f"{ALLOW}mod mutant;\n{VECTORS}{declared}")
    manifest = (TREE / "Cargo.toml").read_text()
    manifest = re.sub(r"\[\[(bench|test)\]\]\n(?:[^\[\n]+(?:\[.*\])?\n)+", "", manifest)
    # The tests' time counts as well as the build's; the dependencies stay as any build has them.
    (TREE / "Cargo.toml").write_text(f"{manifest}\n[profile.dev.package.hookward]\nopt-level = 1\ndebug = 0\n")


def cargo(*arguments: str) -> tuple[bool, list[dict]]:
    """One call of Cargo on the copy; its messages."""
    command = ["cargo", *arguments, "--locked", "--message-format=json", "--quiet"]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(WORK), "CARGO_INCREMENTAL": "1"}
    done = subprocess.run(command, cwd=TREE, env=environment, capture_output=True, text=True, check=False)
    return done.returncode == 0, [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def refused(messages: list[dict], woven: dict[str, Woven]) -> tuple[set[int], set[int], set[str]]:
    """The mutants that the compiler refuses, those that only fail behind their switch, and what must stay `const`."""
    unviable, alone, constants = set(), set(), set()
    for message in messages:
        if message.get("reason") != "compiler-message" or message["message"]["level"] != "error":
            continue
        spans = sorted(message["message"]["spans"], key=lambda span: not span["is_primary"])
        hit = False
        code = (message["message"]["code"] or {}).get("code")
        called = re.search(r"cannot call non-const .*`([^`]+)` in", message["message"]["message"])
        if code == "E0015" and called and called[1] not in ("on", "mutant::on"):
            constants.add(re.sub(r"::<.*", "", called[1]).rsplit("::", 1)[-1])
            continue
        for span in spans:
            file = woven.get(span["file_name"])
            if file is None:
                continue
            at = span["byte_start"]
            if code == "E0004":
                # A switched arm counts as none for the compiler; only its own build shows whether the others suffice.
                with contextlib.suppress(NotWoven):
                    alone.update(mutant.number for mutant in arms_of(file, at))
                    hit = True
                break
            inside = [mutant for begin, end, mutant in file.branches if begin <= at < end]
            if inside:
                unviable.update(mutant.number for mutant in inside)
                hit = True
                break
            around = [(end - begin, anchor) for begin, end, anchor in file.anchors if begin <= at < end]
            if around:
                _, anchor = min(around, key=lambda pair: pair[0])
                alone.update(mutant.number for mutant in anchor.mutants)
                hit = True
                break
        if not hit and message["message"]["spans"]:
            sys.exit(f"the woven source does not build:\n{message['message']['rendered']}")
    return unviable, alone, constants


def build(mutants: list[Mutant]) -> tuple[set[int], set[int]]:
    """Weaves and checks until the compiler takes it; the numbers that it refused, and those that need their own build."""
    copy_tree()
    highest = max(mutant.number for mutant in mutants) + 1
    (TREE / "src/mutant.rs").write_text(f"{SWITCH}\nconst COUNT: usize = {highest};\n")
    files = collections.defaultdict(list)
    for mutant in mutants:
        files[mutant.file].append(mutant)
    unviable: set[int] = set()
    # A function whose return type is only known by its body cannot return something else as well.
    alone = {mutant.number for mutant in mutants if mutant.genre == "FnValue" and "-> impl " in mutant.text}
    constants: set[str] = set()
    for turn in range(1, 30):
        woven = {}
        for file, of_file in files.items():
            wanted = [mutant for mutant in of_file if mutant.number not in unviable | alone]
            woven[file], left, wrong = weave((ROOT / file).read_bytes(), wanted, constants)
            alone.update(mutant.number for mutant in left)
            unviable.update(mutant.number for mutant in wrong)
            (TREE / file).write_bytes(woven[file].text)
        good, messages = cargo("check", "--lib")
        print(f"build {turn}: {len(unviable)} unviable, {len(alone)} alone", flush=True)
        if good:
            return unviable, alone
        more, single, words = refused(messages, woven)
        if not more | single and words <= constants:
            sys.exit("the woven source does not build, and no message says why:\n" + json.dumps(messages[-2:])[:3000])
        unviable |= more
        alone |= single - more
        constants |= words
    sys.exit("the woven source does not build after 30 turns")


def tested() -> tuple[str | None, list[dict]]:
    """The test binary of the copy, if it builds, and what the compiler says."""
    good, messages = cargo("test", "--lib", "--no-run")
    return next(m["executable"] for m in messages if m.get("executable")) if good else None, messages


def limited() -> None:
    """In the child: no more memory than this, and no core files."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(binary: str, tests: list[str], seconds: float, **environment: str) -> str:
    """`ok`, `failed` or `timeout`."""
    command = [binary, "--exact", "--quiet", "--test-threads=1", *tests]
    everything = {**os.environ, **environment}
    try:
        done = subprocess.run(
            command, cwd=TREE, env=everything, timeout=seconds, preexec_fn=limited, check=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "timeout"
    return "ok" if done.returncode == 0 else "failed"


@dataclasses.dataclass
class Test:
    """One test: its name, how long it takes and which mutants it reaches."""

    name: str
    seconds: float = 0.0
    reaches: set[int] = dataclasses.field(default_factory=set)
    fails: bool = False


def traced(binary: str, test: Test, trace: pathlib.Path) -> Test:
    """Runs the test alone with every mutant off."""
    trace.unlink(missing_ok=True)
    begin = time.monotonic()
    result = run(binary, [test.name], 300, MUTANT_TRACE=str(trace))
    test.seconds = time.monotonic() - begin
    test.fails = result != "ok"
    if trace.exists():
        test.reaches = {int(number) for number in trace.read_text().split()}
        trace.unlink()
    return test


def reach(binary: str, jobs: int) -> list[Test]:
    """All tests that reach any mutant, the fastest first."""
    names = subprocess.run([binary, "--list"], cwd=TREE, check=True, capture_output=True, text=True).stdout
    tests = [Test(line.removesuffix(": test")) for line in names.splitlines() if line.endswith(": test")]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        tests = list(pool.map(lambda pair: traced(binary, pair[1], WORK / f"trace-{pair[0]}"), enumerate(tests)))
    for test in tests:
        if test.fails:
            print(f"FAIL {test.name} fails with every mutant off, and catches none", flush=True)
    return sorted((test for test in tests if test.reaches and not test.fails), key=lambda test: test.seconds)


def judge(mutant: Mutant, binary: str, tests: list[Test]) -> str:
    """`caught`, `timeout`, `unreached` or `survived`: its tests in growing portions, so that most need only the fastest."""
    mine = [test for test in tests if mutant.number in test.reaches]
    if not mine:
        return "unreached"
    at, portion = 0, 0.2
    while at < len(mine):
        names, seconds = [], 0.0
        while at < len(mine) and (not names or seconds < portion):
            names.append(mine[at].name)
            seconds += mine[at].seconds
            at += 1
        result = run(binary, names, 10 + 10 * seconds, MUTANT=str(mutant.number))
        if result != "ok":
            return "caught" if result == "failed" else "timeout"
        portion *= 4
    return "survived"


def by_itself(mutant: Mutant) -> str:
    """A build of its own, with the plain source of everything else, and all tests."""
    source = (ROOT / mutant.file).read_bytes()
    changed = source[: mutant.start] + mutant.replacement.encode() + source[mutant.end :]
    (TREE / mutant.file).write_bytes(changed)
    try:
        binary, _ = tested()
        if binary is None:
            return "unviable"
        return "survived" if run(binary, [], 600) == "ok" else "caught"
    finally:
        (TREE / mutant.file).write_bytes(source)


def key_of(mutant: Mutant) -> tuple[str, str, str, int]:
    """What names a mutant while lines above it come and go."""
    return mutant.file, mutant.text, mutant.line, mutant.nth


def main() -> int:
    """Runs the trial; 1 if a mutant survives without a reason, or a reason has lost its mutant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("globs", nargs="*", metavar="FILE-GLOB", help="such as 'src/check/signature/*'")
    parser.add_argument("--shard", metavar="K/N", default="0/1", help="each Nth mutant, from the Kth (0 is the first)")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="try no further mutant after these")
    parser.add_argument("--again", action="store_true", help="only what survived in the last run")
    parser.add_argument("--alone", action="store_true", help="also those that need a build each")
    options = parser.parse_args()
    begin = time.monotonic()
    if not re.fullmatch(r"\d+/[1-9]\d*", options.shard):
        parser.error("--shard is K/N")
    shard, shards = map(int, options.shard.split("/"))
    mutants = [one for one in listed(options.globs) if one.number % shards == shard]
    if options.again:
        last = json.loads((WORK / "outcomes.json").read_text())
        lived = {(one["file"], one["text"]) for one in last if one["result"] in ("survived", "unreached")}
        mutants = [one for one in mutants if (one.file, one.text) in lived]
    if not mutants:
        sys.exit("nothing matches")
    print(f"{len(mutants)} mutants", flush=True)
    reasons = tomllib.loads(ACCEPTED.read_text()).get("survivor", []) if ACCEPTED.exists() else []
    accepted = {(entry["file"], entry["mutant"], entry["line"], entry.get("nth", 1)): entry["reason"] for entry in reasons}
    unviable, alone = build(mutants)
    binary, messages = tested()
    if binary is None:
        sys.exit("\n".join(m["message"]["rendered"] for m in messages if m.get("reason") == "compiler-message")[:5000])
    print(f"built after {(time.monotonic() - begin) / 60:.0f} min", flush=True)
    tests = reach(binary, options.jobs)
    print(f"{len(tests)} tests reach them, in {sum(test.seconds for test in tests):.0f} s", flush=True)
    results: dict[int, str] = dict.fromkeys(unviable, "unviable") | dict.fromkeys(alone, "alone")
    # What decides comes before what explains.
    woven = [mutant for mutant in mutants if mutant.number not in results]
    woven.sort(key=lambda mutant: "/diagnose/" in mutant.file)

    def told(mutant: Mutant) -> tuple[int, str]:
        if time.monotonic() - begin > options.minutes * 60:
            return mutant.number, "left"
        result = judge(mutant, binary, tests)
        if result in ("survived", "unreached") and key_of(mutant) not in accepted:
            print(f"{result} {mutant.file}:{mutant.row}: {mutant.text}", flush=True)
        return mutant.number, result

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for done, (number, result) in enumerate(pool.map(told, woven), start=1):
            results[number] = result
            if done % 200 == 0:
                print(f"{done} of {len(woven)} after {(time.monotonic() - begin) / 60:.0f} min", flush=True)
    if options.alone:
        copy_tree()
        (TREE / "src/mutant.rs").write_text(f"{SWITCH}\nconst COUNT: usize = 1;\n")
        for mutant in mutants:
            if results[mutant.number] == "alone":
                results[mutant.number] = by_itself(mutant)
                print(f"{results[mutant.number]} alone: {mutant.file}:{mutant.row}: {mutant.text}", flush=True)
    return report(mutants, results, accepted, begin)


def report(mutants: list[Mutant], results: dict[int, str], accepted: dict[tuple, str], begin: float) -> int:
    """Prints the table of the files and what is wrong; keeps each mutant's outcome in target/mutation/outcomes.json."""
    columns = ("caught", "timeout", "unviable", "reason", "survived", "alone", "left")
    table: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    survivors, caught_anyway = [], []
    for mutant in mutants:
        result = results[mutant.number]
        lives = result in ("survived", "unreached")
        if lives and key_of(mutant) in accepted:
            result = "reason"
        elif lives:
            survivors.append((mutant, result))
            result = "survived"
        elif key_of(mutant) in accepted and result not in ("left", "alone"):
            caught_anyway.append(mutant)
        table[mutant.file][result] += 1
    rows = [{**dataclasses.asdict(mutant), "result": results[mutant.number]} for mutant in mutants]
    (WORK / "outcomes.json").write_text(json.dumps(rows, indent=1))
    print(f"| file | mutants | {' | '.join(columns)} |\n|---|{'---|' * (len(columns) + 1)}")
    total = collections.Counter()
    for file, counts in sorted(table.items()):
        total += counts
        print(f"| {file} | {counts.total()} | {' | '.join(str(counts[column]) for column in columns)} |")
    print(f"| all | {total.total()} | {' | '.join(str(total[column]) for column in columns)} |")
    for mutant, result in survivors:
        print(f"FAIL {result} without a reason: {mutant.file}:{mutant.row}: {mutant.text}\n     {mutant.line}")
    files = {mutant.file for mutant in mutants}
    there = {key_of(mutant) for mutant in listed([])}
    gone = [key for key in accepted if key not in there and (key[0] in files or not (ROOT / key[0]).exists())]
    for key in gone:
        print(f"FAIL a reason whose mutant is not there any more: {key}")
    for mutant in caught_anyway:
        print(f"FAIL a reason whose mutant no longer survives: {mutant.file}:{mutant.row}: {mutant.text}")
    print(f"{(time.monotonic() - begin) / 60:.0f} minutes")
    return 1 if survivors or gone or caught_anyway else 0


if __name__ == "__main__":
    sys.exit(main())
