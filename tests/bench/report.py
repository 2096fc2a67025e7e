"""From rounds to a table: medians, ratios of medians, and the goals with what was reached, met or not."""

from dataclasses import dataclass
from statistics import median

from cases import CPU, OTHERS
from peers import TITLES

SUBJECT = "hookward"


def total(row: dict) -> list[float]:
    """User and system together, for each round."""
    return [user + system for user, system in zip(row["user"], row["system"], strict=True)]


def cost(results: dict, case: str, peer: str) -> float | None:
    """Median CPU of a peer in a case, if both were measured."""
    row = results["cases"].get(case, {}).get("peers", {}).get(peer)
    return median(total(row)) if row else None


@dataclass
class Goal:
    """One line of the list of goals. `measured` is None where something that it needs was not measured."""

    what: str
    goal: str
    limit: float
    measured: float | None
    form: str = "{:.2f} ×"

    @property
    def met(self) -> str:
        """In a word."""
        if self.measured is None:
            return "not measured"
        return "met" if self.measured <= self.limit else "**missed**"

    @property
    def shown(self) -> str:
        """The measured figure in its unit."""
        return "–" if self.measured is None else self.form.format(self.measured)


def _ratio(results: dict, case: str, peer: str) -> float | None:
    ours, theirs = cost(results, case, SUBJECT), cost(results, case, peer)
    return None if ours is None or theirs is None else ours / theirs


def goals(results: dict) -> list[Goal]:
    """The goals, in the order in which they were set."""
    cases, sha = results["cases"], results["sha256"]

    def beside(what: str, case: str, peer: str, limit: float, form: str = "{:.2f} ×") -> Goal:
        return Goal(what, f"≤ {form.format(limit)} {TITLES[peer]}", limit, _ratio(results, case, peer), form)

    ours, nginx = cost(results, "genuine-64k", SUBJECT), cost(results, "genuine-64k", "nginx")
    bare = None if nginx is None or ours is None else ours / (nginx + 1.15 * sha["65536"])
    found = [
        beside("genuine 1 KiB", "genuine-1k", "nginx", 0.95),
        beside("genuine 1 KiB", "genuine-1k", "haproxy", 0.70),
        beside("genuine 16 KiB", "genuine-16k", "nginx", 1.05),
        beside("genuine 16 KiB", "genuine-16k", "haproxy", 0.55),
        Goal("genuine 64 KiB", "≤ 1.00 × (nginx + 1.15 × bare SHA-256)", 1, bare),
        beside("genuine 64 KiB", "genuine-64k", "haproxy", 0.45),
        beside("forged 1 KiB", "forged", "haproxy", 0.90),
        beside("forged 1 KiB", "forged", "next", 0.02, "{:.3f} ×"),
        beside("wrong address, body not read", "wrong", "haproxy", 0.60),
        beside("page 10 KiB", "page", "nginx", 1.00),
        beside("download", "download", "nginx", 1.20),
    ]
    added = added_latency(cases.get("latency"))
    both = SUBJECT in added and "nginx" in added
    what = "p99 added at half load, 1 KiB"
    limit = added["nginx"] if both else 0
    found.append(Goal(what, f"≤ nginx's, {limit:.0f} µs", limit, added[SUBJECT] if both else None, "{:.0f} µs"))
    row = cases.get("memory", {}).get("peers", {}).get(SUBJECT, {})
    for what, key, limit, unit in (
        ("memory at rest", "rest_rss", 6, "MiB"),
        ("memory under load, 32 connections", "load_rss", 12, "MiB"),
        ("memory under load, 256 connections", "crowd_rss", 12, "MiB"),
        ("memory of an idle connection", "connection", 12, "KiB"),
    ):
        value = row.get(key)
        scaled = value / 1024 if value is not None and unit == "MiB" else value
        found.append(Goal(what, f"≤ {limit} {unit}", limit, scaled, "{:.1f} " + unit))
    row = cases.get("flood", {}).get("peers", {}).get(SUBJECT)
    flood = median(row["flood"]) / median(row["quiet"]) if row else None
    found.append(Goal("genuine p99 beside 10 × forged", "≤ 2.00 × quiet", 2, flood))
    heard = max(map(abs, row["heard"])) if row else None
    found.append(Goal("forged ones the app heard of", "0", 0, heard, "{:.0f}"))
    return found


def added_latency(case: dict | None) -> dict[str, float]:
    """Median over the rounds of a peer's p99 less that of the app without a proxy."""
    if not case:
        return {}
    base = case["peers"]["direct"]["p99"]
    return {
        name: median(own - direct for own, direct in zip(row["p99"], base, strict=True))
        for name, row in case["peers"].items()
        if name != "direct"
    }


def _table(header: list[str], rows: list[list[str]]) -> str:
    aligned = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, aligned, *rows]) + "\n"


def _cpu(name: str, case: dict) -> str:
    peers, digits = case["peers"], 3 if name == "download" else 1
    ours = total(peers[SUBJECT]) if SUBJECT in peers else None
    rows = []
    for peer, row in peers.items():
        sums = total(row)
        figures = [f"{median(values):.{digits}f}" for values in (row["user"], row["system"], sums)]
        ratio = spread = ""
        if ours and peer != SUBJECT:
            each = [own / other for own, other in zip(ours, sums, strict=True)]
            ratio, spread = f"{median(ours) / median(sums):.3f}", f"{min(each):.2f}–{max(each):.2f}"
        rows.append([TITLES[peer], *figures, ratio, spread])
    unit = case["unit"]
    return f"\n### {case['title']} ({unit})\n\n" + _table(
        ["", "user", "system", "sum", "hookward ÷ this", "in single rounds"], rows
    )


def _latency(case: dict) -> str:
    added = added_latency(case)
    rows = []
    for name, row in case["peers"].items():
        own = f"{added[name]:.0f}" if name in added else ""
        late = f"{100 * max(row['late']):.2f} %"
        figures = [f"{figure:.0f}" for figure in (median(row["p50"]), median(row["p99"]), min(row["p99"]))]
        rows.append([TITLES[name], *figures, own, late])
    header = ["", "p50", "p99", "p99, quietest round", "p99 added", "above 20 ms, at worst"]
    return f"\n### {case['title']} (µs)\n\n" + _table(header, rows)


def _memory(case: dict) -> str:
    rows = []
    for name, row in case["peers"].items():
        idle = f"{row['connection']:.1f}" if "connection" in row else ""
        rows.append(
            [TITLES[name], *(f"{row[key] / 1024:.1f} ({row[f'{key}_rss'] / 1024:.1f})" for key in ("rest", "load", "crowd")), idle]
        )
    header = ["", "at rest", "32 connections", "256 connections", "KiB for an idle connection"]
    note = "SKIP idle connections: too few open files are allowed."
    if case["connections"]:
        note = f"Idle connections: {case['connections']:,}, each of which has had a page."
    text = "MiB with shared pages counted once (PSS), and RSS in brackets, which counts nginx's master and worker in full."
    return f"\n### memory (MiB)\n\n{text} {note}\n\n" + _table(header, rows)


def _startup(case: dict) -> str:
    rows = [[TITLES[name], f"{median(row['ready']):.1f}"] for name, row in case["peers"].items()]
    return f"\n### {case['title']} (ms)\n\n" + _table(["", "median"], rows)


def _flood(case: dict) -> str:
    rows = []
    for name, row in case["peers"].items():
        quiet, flood = median(row["quiet"]), median(row["flood"])
        rows.append([TITLES[name], f"{quiet:.0f}", f"{flood:.0f}", f"{flood / quiet:.2f}", str(max(row["heard"]))])
    header = ["", "alone", "flooded", "ratio", "forged ones the app heard"]
    return f"\n### {case['title']} (µs)\n\n" + _table(header, rows)


FORMS = {"latency": _latency, "memory": _memory, "startup": _startup, "flood": _flood}


def report(results: dict) -> str:
    """The whole as Markdown."""
    machine = results["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    lines = [
        f"# Measured on {results['date']}\n",
        f"![CPU per request]({results['date']}.svg)\n",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['kernel']};"
        f" load average {machine['load']} at the start.",
        f"{versions}; {results['identity']}.",
        f"Medians of {results['rounds']} interleaved rounds of {results['seconds']} s, proxy on one core,"
        " load and app on the other. Read the ratios: the figures drift with the machine.",
    ]
    if results["quick"]:
        lines.append("A quick run, to see that it works: too short to quote.")
    lines += [f"SKIP {what}." for what in results["skipped"]]
    lines += [f"FAILED: {name}: {error}" for name, error in results["failed"].items()]
    sha = ", ".join(f"{int(size) >> 10} KiB {time:.1f} µs" for size, time in results["sha256"].items())
    lines.append(f"Bare SHA-256 (OpenSSL): {sha}.")
    text = "\n".join(lines) + "\n\n## Goals\n\n"
    rows = [[goal.what, goal.goal, goal.shown, goal.met] for goal in goals(results) if goal.measured is not None]
    text += _table(["hookward", "goal", "measured", ""], rows) + "\n## Figures\n"
    for name in [*CPU, *OTHERS]:
        case = results["cases"].get(name)
        if case:
            text += FORMS[name](case) if name in FORMS else _cpu(name, case)
    return text
