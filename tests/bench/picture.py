"""The CPU cases as one SVG of bars, drawn by hand; its colours follow the reader's light or dark scheme."""

from html import escape
from statistics import median

from cases import CPU
from peers import TITLES
from report import SUBJECT, total

WIDTH, LABEL, BAR, STEP, HEAD = 900, 190, 14, 20, 34
NAMES = [*CPU, "download"]

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600; font-size: 13px }
  .faint { fill: #57606a }
  .back { fill: #ffffff }
  .user { fill: #8c959f } .system { fill: #c8ced5 }
  .ours.user { fill: #0969da } .ours.system { fill: #80b4ee }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .faint { fill: #9198a1 } .back { fill: #0d1117 }
    .user { fill: #7d8590 } .system { fill: #4a515a }
    .ours.user { fill: #4493f8 } .ours.system { fill: #24568f }
  }
"""


def _panel(name: str, case: dict, top: int) -> tuple[list[str], int]:
    rows = {
        peer: (median(row["user"]), median(row["system"]), median(total(row))) for peer, row in case["peers"].items()
    }
    sums = sorted(row[2] for row in rows.values())
    # One that is many times the next (Next.js) would leave no room for the others: its bar is cut.
    longest = sums[-2] if len(sums) > 2 and sums[-1] > 4 * sums[-2] else sums[-1]
    room = WIDTH - LABEL - 270
    ours = rows.get(SUBJECT, (0, 0, 0))[2]
    digits = 2 if name == "download" else 1
    title, unit = escape(case["title"]), escape(case["unit"])
    parts = [
        f'<text x="12" y="{top + 20}"><tspan class="title">{title}</tspan>'
        f' <tspan class="faint" dx="10">{unit}</tspan></text>'
    ]
    y = top + HEAD
    for peer, (user, system, both) in sorted(rows.items(), key=lambda item: item[1][2]):
        # The median of the sums is drawn, which the two medians need not add up to.
        user, system = (part * both / max(user + system, 1e-9) for part in (user, system))
        cut = both > longest * 1.001
        scale = room / max(longest, 1e-9) * (longest / both if cut else 1)
        own = " ours" if peer == SUBJECT else ""
        parts.append(f'<text x="{LABEL - 8}" y="{y + 11}" text-anchor="end">{escape(TITLES[peer])}</text>')
        parts.append(f'<rect class="user{own}" x="{LABEL}" y="{y}" width="{user * scale:.1f}" height="{BAR}"/>')
        left = LABEL + user * scale
        parts.append(f'<rect class="system{own}" x="{left:.1f}" y="{y}" width="{system * scale:.1f}" height="{BAR}"/>')
        note = f"{both:.{digits}f}"
        if cut:
            note += " (bar cut)"
        if ours and peer != SUBJECT:
            note += f", hookward is {ours / both:.{3 if cut else 2}f} ×"
        end = LABEL + both * scale
        parts.append(f'<text x="{end + 6:.1f}" y="{y + 11}" class="{"" if own else "faint"}">{escape(note)}</text>')
        y += STEP
    return parts, y


def picture(results: dict) -> str:
    """Every CPU case that was measured, one below the other."""
    parts, y = [], 64
    for name in NAMES:
        if name in results["cases"]:
            more, y = _panel(name, results["cases"][name], y)
            parts += more
            y += 10
    machine, height = results["machine"], y + 6
    ran = f"{results['date']}, {machine['cpu']}, {machine['cores']} cores, {machine['kernel']}"
    rounds = f"medians of {results['rounds']} interleaved rounds"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img"'
        f' viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        "<title>CPU time per request, hookward and others</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="back" width="{WIDTH}" height="{height}"/>',
        '<text class="title" x="12" y="22">CPU time of one core: user (left) and system (right)</text>',
        f'<text class="faint" x="12" y="42">{escape(ran)}; {rounds}</text>',
        *parts,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"
