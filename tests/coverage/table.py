"""The table of `tests/coverage/run`: lines of src/ that ran, per file and per directory, from an LCOV trace.

Test code does not count, neither as run nor as not: tests run by themselves, and would only flatter the figure. Nor does
a `const fn` that nothing calls but the compiler.
"""

import argparse
import re
import sys
from pathlib import Path

# What has a floor of its own.
PARTS = {
    "src/check": ("src/check/",),
    "src/config": ("src/config/",),
    "src/gate": ("src/gate.rs", "src/gate/"),
}
# Whole files of tests, as the modules below are that only tests have.
TEST_FILE = re.compile(r"/tests(/|\.rs$)")
TEST_ITEM = re.compile(r"\s*#\[cfg\(test\)\]")
TEST_MODULE = re.compile(r"\s*(?:pub(?:\([a-z ]+\))? )?mod (\w+);")
CONST_FN = re.compile(r"\s*(?:pub(?:\([a-z ]+\))? )?const fn ")


def end_of_item(source: list[str], start: int) -> int:
    """Index of the last line of the item that begins, with its attributes, at `start`."""
    indent = len(source[start]) - len(source[start].lstrip())
    for index in range(start, len(source)):
        line = source[index].rstrip()
        is_at_edge = len(line) - len(line.lstrip()) == indent and not line.lstrip().startswith("#[")
        if is_at_edge and line.endswith((";", "}")):
            return index
    return len(source) - 1


def items(source: list[str], begin: re.Pattern[str]) -> list[range]:
    """Indices of the lines of each item that begins like this."""
    starts = (index for index, line in enumerate(source) if begin.match(line))
    return [range(start, end_of_item(source, start) + 1) for start in starts]


def test_modules(name: str, source: list[str]) -> list[str]:
    """Files of the modules that this one has for tests alone."""
    path = Path(name)
    folder = path.parent if path.name in ("mod.rs", "lib.rs") else path.with_suffix("")
    lines = [source[index] for item in items(source, TEST_ITEM) for index in item]
    modules = (found.group(1) for line in lines if (found := TEST_MODULE.match(line)))
    return [str(folder / f"{module}.rs") for module in modules]


def read(trace: Path, root: Path) -> dict[str, dict[int, int]]:
    """Runs of each line, by file."""
    files, current = {}, None
    for line in trace.read_text().splitlines():
        key, _, value = line.partition(":")
        if key == "SF":
            path = Path(value)
            name = str(path.relative_to(root)) if path.is_relative_to(root) else ""
            is_ours = name.startswith("src/") and not TEST_FILE.search(name)
            current = files.setdefault(name, {}) if is_ours else None
        elif key == "DA" and current is not None:
            number, count = value.split(",")[:2]
            current[int(number)] = current.get(int(number), 0) + int(count)
    tests = set()
    for name, lines in files.items():
        source = (root / name).read_text().splitlines()
        tests.update(test_modules(name, source))
        left_out = items(source, TEST_ITEM)
        # What only constants call is run by the compiler, and by nothing later.
        left_out += [item for item in items(source, CONST_FN) if not any(lines.get(index + 1) for index in item)]
        for item in left_out:
            for index in item:
                lines.pop(index + 1, None)
    return {name: lines for name, lines in files.items() if lines and name not in tests}


def ranges(numbers: list[int]) -> str:
    """`3, 7-9` for 3, 7, 8, 9."""
    found = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def share(files: list[dict[int, int]]) -> tuple[int, int]:
    """Lines that ran, and all."""
    counts = [count for lines in files for count in lines.values()]
    return sum(count > 0 for count in counts), len(counts)


def main() -> int:
    """Prints the table. 1: a part is below the floor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trace", type=Path)
    parser.add_argument("--floor", type=float, default=95.0, help="percent of lines of each part")
    parser.add_argument("--missing", action="store_true", help="also name the lines that did not run")
    options = parser.parse_args()
    files = read(options.trace, Path.cwd())
    low = []
    for part, prefixes in PARTS.items():
        members = {name: lines for name, lines in sorted(files.items()) if name.startswith(prefixes)}
        for name, lines in members.items():
            ran, all_lines = share([lines])
            print(f"{ran:6} {all_lines:6} {100 * ran / all_lines:6.1f} %  {name}")
            if options.missing and ran < all_lines:
                print(f"{'':24}{ranges([number for number, count in sorted(lines.items()) if count == 0])}")
        ran, all_lines = share(list(members.values()))
        percent = 100 * ran / all_lines if all_lines else 0.0
        print(f"{ran:6} {all_lines:6} {percent:6.1f} %  {part} together\n")
        if percent < options.floor:
            low.append(part)
    ran, all_lines = share(list(files.values()))
    print(f"{ran:6} {all_lines:6} {100 * ran / all_lines:6.1f} %  all of src")
    for part in low:
        print(f"{part} is below {options.floor} % of lines", file=sys.stderr)
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
