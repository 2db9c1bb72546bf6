"""Review: a table of links for people to decide on, and their decisions kept in the case.

The order of the table is by what a look is worth. First the pairs that nobody has decided; among them those whose interval holds one
half, by nearness of p to one half (uncertainty sampling: Lewis and Gale, SIGIR 1994), then the others, the likeliest first. Pairs that
were decided before come last, so that they can be decided again; what was said of them stands in `earlier`.

Decisions are a history: one that differs from the last of the same person on the same pair is added, none is changed or taken away.
Who decided and on which day comes from the table or the caller, never from a clock in here, so the same table gives the same bytes.

A cell that begins with = + - @ (or their full-width forms), tab, line end or an apostrophe is written with an apostrophe before it, as
a spreadsheet would run it as a formula otherwise (OWASP, CSV injection); reading takes that apostrophe off again.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from greyzone.errors import InputError
from greyzone.records import DECISIONS, LINK_TYPES, LLRS, check, content_id, table

DECIDED = ("yes", "no", "unsure")
"""What can be decided of a link: it holds, it does not, it cannot be said from what is shown."""

TO_FILL = ("decision", "type", "note", "who", "day")
"""Columns that a person fills; the others are for reading and are not read back, but for the ids."""

_IDS = ("link_id", "incident_id", "narrative_id")
_FIGURES = ("p", "p_lo", "p_hi", "calibrated", "q", "placebo_precision", "lag_days", *(f"llr_{name}" for name in LLRS))
"""Columns that are those of the links."""

COLUMNS = (
    *(*_IDS, "incident", "narrative", "target_state", "onset"),
    *("proposed_type", *_FIGURES, "shared_entities", "evidence", "evidence_ids", "rivals", "earlier"),
    *TO_FILL,
)
"""Columns of the table, in order."""

EXCERPTS, EXCERPT_LENGTH = 2, 240
"""Documents whose text is shown for a link, and characters shown of each; all ids stand in `evidence_ids`."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_LINES = {".jsonl", ".ndjson"}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a filled table says: `decisions` that the case has not yet, and `counts` of its rows."""

    decisions: pa.Table
    counts: Mapping[str, int]


def review_rows(tables: Mapping[str, pa.Table]) -> list[Row]:
    """Return the rows of the table to fill, in the order of what a look is worth.

    Parameters
    ----------
    tables
        links, incidents, narratives, documents, decisions.
    """
    incidents = {row["incident_id"]: row for row in tables["incidents"].to_pylist()}
    narratives = {row["narrative_id"]: row for row in tables["narratives"].select(["narrative_id", "label", "headline"]).to_pylist()}
    links = tables["links"].to_pylist()
    shown = {doc for link in links for doc in (link["evidence"] or ())[:EXCERPTS]}
    documents = tables["documents"].select(["doc_id", "title", "text"])
    texts = {row["doc_id"]: _excerpt(row["title"], row["text"]) for row in documents.to_pylist() if row["doc_id"] in shown}
    earlier: dict[str, list[str]] = {}
    for row in latest(tables["decisions"]):
        earlier.setdefault(row["link_id"], []).append(f"{row['decision']} by {row['who']} on {row['day']}")

    def worth(link: Row) -> tuple[bool, bool, float, str]:
        open_ = link["p_lo"] is not None and link["p_lo"] <= 0.5 <= (link["p_hi"] or 0.0)
        return link["link_id"] in earlier, not open_, abs(link["p"] - 0.5) if open_ else -link["p"], link["link_id"]

    rows = []
    for link in sorted(links, key=worth):
        incident, story = incidents.get(link["incident_id"], {}), narratives.get(link["narrative_id"], {})
        row = {name: link[name] for name in (*_IDS, *_FIGURES)}
        row |= {
            "incident": incident.get("name") or "",
            "narrative": story.get("label") or story.get("headline") or "",
            "target_state": incident.get("target_state") or "",
            "onset": _onset(incident),
            "proposed_type": link["type"] or "",
            "shared_entities": "; ".join(link["shared_entities"] or ()),
            "evidence": " | ".join(texts[doc] for doc in (link["evidence"] or ())[:EXCERPTS] if doc in texts),
            "evidence_ids": "; ".join(link["evidence"] or ()),
            "rivals": "; ".join(_rivals(link, incidents)),
            "earlier": "; ".join(earlier.get(link["link_id"], ())),
        }
        rows.append({name: row.get(name, "") for name in COLUMNS})
    return rows


def write_rows(rows: Sequence[Row], *, lines: bool = False) -> str:
    """Return the table as CSV (with a byte-order mark, for spreadsheets; formulas escaped), or as JSON lines."""
    if lines:
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    out = io.StringIO()
    out.write("\ufeff")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in COLUMNS])
    return out.getvalue()


def read_rows(path: str | Path) -> list[Row]:
    """Read a table that `write_rows` wrote and a person filled; a spreadsheet may have put semicolons or tabs for the commas.

    Returns
    -------
    list of dict
        The ids and the columns to fill as text, "" where there is nothing; `row` is the number of the row below the header, from 1 on.

    Raises
    ------
    InputError
        If the file cannot be read, or has not the columns of ids and `decision`.
    """
    file = Path(path)
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror or error})", "the table that greyzone review wrote") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 ({error.reason} at byte {error.start})", "CSV UTF-8", "save it as CSV UTF-8") from error
    rows = list(_json_rows(text, file) if file.suffix.casefold() in _LINES else _csv_rows(text, file))
    kept = (*_IDS, *TO_FILL)
    return [{"row": number} | {name: row.get(name, "") for name in kept} for number, row in enumerate(rows, start=1)]


def read_decisions(rows: Iterable[Row], *, links: pa.Table, decisions: pa.Table, who: str | None = None, day: str | None = None) -> Reading:
    """Check a filled table and return the decisions that are new; an error on any row leaves all of them out.

    Parameters
    ----------
    rows
        As from `read_rows`; those without a decision are counted.
    links, decisions
        What can be decided on (table ``links``), and the history so far.
    who, day
        Stand for empty cells of these columns; the day is ISO.

    Raises
    ------
    InputError
        On an unknown pair, decision or type, a missing name, or a day that is none; the message names the row.
    """
    pairs = dict(
        zip(
            links["link_id"].to_pylist(), zip(links["incident_id"].to_pylist(), links["narrative_id"].to_pylist(), strict=True), strict=True
        )
    )
    pairs |= {row["link_id"]: (row["incident_id"], row["narrative_id"]) for row in decisions.to_pylist()}
    last = {(row["link_id"], row["who"]): row for row in latest(decisions)}
    counts: Counter[str] = Counter({"rows": 0, "undecided": 0, "unchanged": 0, "new": 0})
    added: list[Row] = []
    for given in rows:
        counts["rows"] += 1
        if not given["decision"].strip():
            counts["undecided"] += 1
            continue
        found = _decision(given, pairs, who, day)
        before = last.get((found["link_id"], found["who"]))
        if before is not None and all(before[name] == found[name] for name in ("decision", "type", "note")):
            counts["unchanged"] += 1
            continue
        found["revision"] = 0 if before is None else before["revision"] + 1
        if before is not None and found["day"] < before["day"]:
            raise InputError(
                f"row {given['row']}: day {found['day']} for a pair that {found['who']!r} decided on {before['day']}",
                "that day or a later one",
            )
        found["decision_id"] = content_id(
            "dec", *(found[name] for name in ("link_id", "who", "revision", "decision", "type", "note", "day"))
        )
        last[found["link_id"], found["who"]] = found
        added.append(found)
        counts["new"] += 1
    return Reading(table(added, DECISIONS), dict(counts))


def latest(decisions: pa.Table) -> list[Row]:
    """Return the last decision of every person on every pair, by pair and person."""
    found: dict[tuple[str, str], Row] = {}
    for row in sorted(check(decisions, DECISIONS, "decisions").to_pylist(), key=lambda row: row["revision"]):
        found[row["link_id"], row["who"]] = row
    return [found[key] for key in sorted(found)]


def _decision(given: Row, pairs: Mapping[str, tuple[str, str]], who: str | None, day: str | None) -> Row:
    number = given["row"]
    link, incident, narrative = (given[name].strip() for name in ("link_id", "incident_id", "narrative_id"))
    link = link or content_id("lnk", incident, narrative)
    if link not in pairs or (incident and incident != pairs[link][0]) or (narrative and narrative != pairs[link][1]):
        told = ", ".join(repr(given[name]) for name in ("link_id", "incident_id", "narrative_id") if given[name])
        raise InputError(f"row {number}: unknown pair ({told or 'no ids'})", "a link_id, or incident_id and narrative_id, of this case")
    decision, kind = given["decision"].strip().casefold(), given["type"].strip().casefold()
    if decision not in DECIDED:
        raise InputError(f"row {number}: decision {given['decision']!r}", f"one of {', '.join(DECIDED)}, or nothing")
    if kind and kind not in LINK_TYPES:
        raise InputError(f"row {number}: type {given['type']!r}", f"one of {', '.join(LINK_TYPES)}, or nothing")
    name = given["who"].strip() or (who or "").strip()
    if not name:
        raise InputError(f"row {number}: a decision without a name", "who decided", "fill the column who, or give --who NAME")
    stated = given["day"].strip() or day or ""
    try:
        on = date.fromisoformat(stated)
    except ValueError:
        raise InputError(f"row {number}: day {stated!r}", "a date such as 2016-10-07", "fill the column day, or give --day") from None
    return {
        "link_id": link,
        "incident_id": pairs[link][0],
        "narrative_id": pairs[link][1],
        "decision": decision,
        "type": kind or None,
        "note": given["note"] or None,
        "who": name,
        "day": on,
    }


def _rivals(link: Row, incidents: Mapping[str, Row]) -> list[str]:
    """Return the incidents that lost, each with its name, p, and what decides most between the two (nats for the link shown)."""
    found = []
    rivals, reasons = link["rivals"] or [], link["rival_reasons"] or []
    for rival, reason in zip(rivals, reasons or [None] * len(rivals), strict=True):
        name = incidents.get(rival["incident_id"], {}).get("name") or "unnamed"
        told = f"{name} ({rival['incident_id']}): p {rival['p']:.3f}"
        found.append(told if reason is None else f"{told}, {reason['kind']} {reason['nats']:+.1f}")
    return found


def _onset(incident: Mapping[str, Any]) -> str:
    low, high = incident.get("onset_lo"), incident.get("onset_hi")
    if low is None or high is None:
        return "unknown"
    return str(low.date()) if low.date() == high.date() else f"{low.date()} to {high.date()}"


def _excerpt(title: str | None, text: str | None) -> str:
    whole = " ".join(f"{title or ''} {text or ''}".split())
    return whole if len(whole) <= EXCERPT_LENGTH else whole[: EXCERPT_LENGTH - 1] + "…"


def _cell(value: object) -> str:
    if value is None:
        return ""
    # A number is no formula, whatever its sign.
    return escape(value) if isinstance(value, str) else str(value)


def escape(cell: str) -> str:
    """Return text so that a spreadsheet takes it as text."""
    return f"'{cell}" if cell.startswith((*_FORMULA, "'")) else cell


def unescape(cell: str) -> str:
    """Return what `escape` was given."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith((*_FORMULA, "'")) else cell


def _csv_rows(text: str, file: Path) -> Iterable[Row]:
    head = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        names = [name.strip() for name in next(reader, [])]
        _check_columns(names, file)
        for number, cells in enumerate(reader, start=1):
            if not any(cells):
                continue
            if len(cells) > len(names):
                raise InputError(f"{file}, row {number}: {len(cells)} cells under {len(names)} columns", "a cell a column")
            yield {name: unescape(cell) for name, cell in zip(names, cells, strict=False)}
    except csv.Error as error:
        raise InputError(f"{file} is not CSV ({error})", "the table that greyzone review wrote", "save it as CSV UTF-8") from error


def _json_rows(text: str, file: Path) -> Iterable[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{file}, line {number}: not JSON ({error})", "an object a line") from error
        if not isinstance(row, dict):
            raise InputError(f"{file}, line {number}: a {type(row).__name__}", "an object a line")
        _check_columns(list(row), file)
        # JSON may hold lone surrogates, which no table can.
        yield {name: "" if value is None else str(value).encode("utf-8", "replace").decode("utf-8") for name, value in row.items()}


def _check_columns(names: Sequence[str], file: Path) -> None:
    if "decision" not in names or ("link_id" not in names and not {"incident_id", "narrative_id"} <= set(names)):
        raise InputError(
            f"{file} has the columns {', '.join(names[:8]) or 'none'}", "link_id (or incident_id and narrative_id) and decision"
        )
