"""Pictures of one state's score as SVG: the curve with its interval and the shares of its largest items.

    python -m greyzone.eval.impact.pictures CASE --state UA --since 2021-12-01 --out docs/examples/ukraine-2022

Every picture holds the interval and names the doctrine. The files are the same bytes for the same case.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from greyzone.case import Case, write_bytes
from greyzone.errors import InputError
from greyzone.eval.commands import run_command
from greyzone.words import quoted

WIDTH, HEIGHT = 860, 340
LEFT, RIGHT, TOP, BOTTOM = 48, 16, 44, 40
BAR, LABEL = 22, 400
TEXT, LINE, BAND, GREY = "#222222", "#1f5a96", "#9fc1e4", "#bbbbbb"
NAME_LENGTH = 54
Row = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Write CURVE and shares of a state; returns 0, or 2 for arguments that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m greyzone.eval.impact.pictures", description="Pictures of one state's score as SVG.")
    parser.add_argument("case", type=Path, help="case folder with a score")
    parser.add_argument("--state", required=True, help="target state (ISO code)")
    parser.add_argument("--since", type=date.fromisoformat, help="first day of the curve; all days of the case if not given")
    parser.add_argument("--items", type=int, default=12, help="largest items of the shares; the rest is one bar (12)")
    parser.add_argument("--out", type=Path, required=True, help="beginning of the file names: OUT-curve.svg and OUT-shares.svg")
    given = parser.parse_args(argv)

    def command() -> int:
        case = Case(given.case)
        rows = [row for row in case.table("impact").to_pylist() if row["target_state"] == given.state]
        rows = sorted((row for row in rows if not given.since or row["date"] >= given.since), key=lambda row: str(row["date"]))
        if not rows or rows[-1]["score_p50"] is None:
            raise InputError(f"no score of {given.state} in {given.case}", "a state with a score on the last day", "greyzone impact CASE")
        shares = [row for row in case.table("shares").to_pylist() if row["target_state"] == given.state]
        names = {row["incident_id"]: row["name"] for row in case.table("incidents").to_pylist()}
        names |= {row["narrative_id"]: row["label"] for row in case.table("narratives").to_pylist()}
        given.out.parent.mkdir(parents=True, exist_ok=True)
        for kind, picture in (("curve", curve(rows)), ("shares", bars(shares, names, rows[-1], given.items))):
            target = given.out.with_name(f"{given.out.name}-{kind}.svg")
            write_bytes(target, picture.encode())
            sys.stdout.write(f"{target}\n")
        return 0

    return run_command(command)


def curve(rows: Sequence[Row]) -> str:
    """Return the SVG of the median with the 90 % interval of the data, and of data and doctrines, over the days that have a score."""
    first, last = rows[0]["date"], rows[-1]["date"]
    days = max(1, (last - first).days)

    def at(day: date, value: float) -> str:
        across = LEFT + (WIDTH - LEFT - RIGHT) * (day - first).days / days
        return f"{across:.1f},{TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / 100):.1f}"

    known = [row for row in rows if row["score_p50"] is not None]

    def band(low: str, high: str, colour: str) -> str:
        points = [at(row["date"], row[high]) for row in known] + [at(row["date"], row[low]) for row in reversed(known)]
        return f'<polygon points="{" ".join(points)}" fill="{colour}"/>'

    parts = [band("doctrine_p05", "doctrine_p95", "#e4e4e4"), band("score_p05", "score_p95", BAND)]
    middle = " ".join(at(row["date"], row["score_p50"]) for row in known)
    parts.append(f'<polyline points="{middle}" fill="none" stroke="{LINE}" stroke-width="2"/>')
    for value in (0, 25, 50, 75, 100):
        start, stop = at(first, value), at(last, value)
        (x1, y), (x2, _) = start.split(","), stop.split(",")
        parts.append(f'<line x1="{x1}" y1="{y}" x2="{x2}" y2="{y}" stroke="{GREY}" stroke-width="0.5"/>')
        parts.append(_text(LEFT - 8, float(y) + 4, str(value), anchor="end"))
    for row in (rows[0], rows[len(rows) // 2], rows[-1]):
        x = float(at(row["date"], 0).split(",")[0])
        parts.append(
            _text(x, HEIGHT - BOTTOM + 18, str(row["date"]), anchor="start" if row is rows[0] else "end" if row is rows[-1] else "middle")
        )
    end = rows[-1]
    title = f"{end['target_state']}: accumulated impact, median with 90 % interval (blue: data; grey: data and doctrines)"
    parts.append(_text(LEFT, 16, title, weight="bold"))
    stamp = "" if end["status"] == "ok" else f" Status on the last day: {end['status']}."
    parts.append(
        _text(LEFT, 33, f"Doctrine {end['doctrine']}, {end['doctrine_hash']}. Days without a score: insufficient evidence.{stamp}")
    )
    return _svg(HEIGHT, parts)


def bars(shares: Sequence[Row], names: dict[str, str], last: Row, items: int) -> str:
    """Return the SVG of the largest shares of the central score, with their 90 % intervals; what is left is one bar."""
    ordered = sorted(shares, key=lambda row: (-row["share"], row["item_id"]))
    shown, rest = ordered[:items], ordered[items:]
    lines = [(_quoted(names.get(row["item_id"]) or row["item_id"]), row["share"], row["share_p05"], row["share_p95"]) for row in shown]
    if rest:
        lines.append((f"{len(rest)} smaller items together", sum(row["share"] for row in rest), None, None))
    largest = max([1.0, *(max(line[1], line[3] or 0.0) for line in lines)])
    scale = (WIDTH - LABEL - 60) / largest
    parts = [
        _text(
            16, 16, f"{last['target_state']} on {last['date']}: shares of the central score, 90 % interval of each as a line", weight="bold"
        )
    ]
    interval = f"{last['score_p50']:.0f} (90 % interval {last['score_p05']:.0f}–{last['score_p95']:.0f})"
    parts.append(_text(16, 33, f"Score {interval}, doctrine {last['doctrine']}, {last['doctrine_hash']}, status {last['status']}."))
    for number, (name, share, low, high) in enumerate(lines):
        top = TOP + 8 + BAR * number
        parts.append(_text(LABEL - 8, top + 13, name, anchor="end"))
        parts.append(f'<rect x="{LABEL}" y="{top + 2}" width="{share * scale:.1f}" height="{BAR - 8}" fill="{BAND}"/>')
        if low is not None and high is not None:
            middle = top + 2 + (BAR - 8) / 2
            ends = f'x1="{LABEL + low * scale:.1f}" x2="{LABEL + high * scale:.1f}"'
            parts.append(f'<line {ends} y1="{middle}" y2="{middle}" stroke="{LINE}" stroke-width="2"/>')
        parts.append(_text(LABEL + max(share, high or 0.0) * scale + 6, top + 13, f"{share:.1f}"))
    return _svg(TOP + 24 + BAR * len(lines), parts)


def _quoted(name: str) -> str:
    """Return others' words as a quotation that fits the column."""
    return quoted(name if len(name) <= NAME_LENGTH else name[: NAME_LENGTH - 1] + "…")


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'


def _svg(height: int, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    style = f'font-family="sans-serif" font-size="12" fill="{TEXT}"'
    body = "\n".join(parts)
    return f'{head} {style}>\n<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n{body}\n</svg>\n'


if __name__ == "__main__":
    raise SystemExit(main())
