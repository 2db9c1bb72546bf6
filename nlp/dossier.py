"""The profile of a campaign as a product to hand on: Markdown for people, JSON for machines.

Both say the same: judgements, timeline, evidence, competing hypotheses, factors, techniques, alternatives, gaps, the score vector with its
interval and doctrine, and the sources. A source is every document, report or finding that a sentence rests on; it has a number in the
product (S1, S2, ...), which stands behind the sentences, and its own id, date and address in the list of sources, so that nothing is cut.

Everything that others wrote (titles, names, labels, addresses) is hostile input. In Markdown every sign that begins markup or HTML is
escaped, addresses of sources are written only if they are http(s) and hold no sign that ends a link, and line breaks become spaces.
Accounts are hidden as `greyzone.handles` does. The same tables give the same bytes: there is no clock in here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from greyzone._version import __version__
from greyzone.errors import InputError
from greyzone.handles import hide, hide_in, hider, shown_url
from greyzone.places import state_name
from greyzone.records import CAMPAIGNS, DOCUMENTS, IMPACT, REPORTS, check, empty
from greyzone.scores import Score
from greyzone.words import counted, quoted

Row = Mapping[str, Any]
Item = dict[str, Any]

SCHEMA = "greyzone/campaign-profile"
SCHEMA_VERSION = "1.0.0"
"""Name and version of the JSON; keys may be added without a new major version, none is renamed or removed."""

_MARKUP = re.compile(r"([\\`*_\[\]<>|~#!$^{}&])")
_LEADING = re.compile(r"^(\s*)([-+=:]|\d+[.)])")
_BREAKS = re.compile(r"[\s\u0000-\u001f\u007f-\u009f\u2028\u2029]+")
_DIRECTION = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")


@dataclass(frozen=True, slots=True)
class Product:
    """A profile ready to be written: `content` is what the JSON says, `number` the place of each source."""

    content: Item
    number: Mapping[str, int]


def choose(campaigns: pa.Table, wanted: Sequence[str]) -> list[Row]:
    """Return the rows of the campaigns `wanted`, all of them if none is named, in order of their ids.

    Raises
    ------
    InputError
        If an id is none of a campaign; the message says which there are.
    """
    rows = {row["campaign_id"]: row for row in check(campaigns, CAMPAIGNS, "campaigns").sort_by("campaign_id").to_pylist()}
    for identifier in wanted:
        if identifier not in rows:
            shown = ", ".join(list(rows)[:5]) or "none"
            more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
            raise InputError(f"no campaign {identifier!r}", f"one of {shown}{more}", "list them with: greyzone show CASE campaigns")
    return [row for name, row in rows.items() if not wanted or name in wanted]


def build(row: Row, tables: Mapping[str, pa.Table], *, handles: bool = False) -> Product:
    """Return the product of a campaign.

    Parameters
    ----------
    row
        A row of `CAMPAIGNS`.
    tables
        documents, reports and impact of the case; what is not there is said to be unknown.
    handles
        Whether accounts keep their handles.
    """
    shown = dict(row) if handles else hider(CAMPAIGNS)(dict(row))
    profile = json.loads(shown.pop("profile") or "{}")
    shown |= {name: None if shown[name] is None else shown[name].isoformat() for name in ("window_lo", "window_hi")}
    cited = list(dict.fromkeys(doc for item in _items(shown, profile) for doc in item.get("documents") or ()))
    sources = _sources(cited, tables, handles)
    content = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "greyzone": __version__,
        "campaign": shown,
        "profile": profile,
        "scores": _scores(row, check(tables.get("impact", empty(IMPACT)), IMPACT, "impact")),
        "sources": sources,
    }
    return Product(content, {source["id"]: place for place, source in enumerate(sources, start=1)})


def to_json(product: Product) -> str:
    """Return the product as JSON, keys in order."""
    return json.dumps(product.content, ensure_ascii=False, sort_keys=True, indent=1, allow_nan=False) + "\n"


def to_markdown(product: Product) -> str:
    """Return the product as Markdown (CommonMark with the tables of GitHub)."""
    content = product.content
    campaign, profile = content["campaign"], content["profile"]
    banner = f"**{plain(campaign['tlp'] or 'TLP: not set')}**"
    parts = [[banner, "", f"# {plain(campaign['title'] or campaign['campaign_id'])}", ""], _head(campaign, profile)]
    parts += [part for part in _judgements(product) if part]
    parts += [
        _section("Made of", _table(("what", "id", "probability"), _members(profile))),
        _section("Timeline", _table(("time", "known to the", "what", "sources"), _timeline(product))),
        _section("Phase", _phase(product)),
        _section("Evidence", [f"- {_cited(item, product)}" for item in campaign["statements"] or ()]),
        _section("Competing hypotheses", _hypotheses(product)),
        _section("Factors", _factors(product)),
        _section("Techniques", _table(("framework", "id", "name", "seen in", "trigger", "stages", "sources"), _techniques(product))),
        _section("Alternative explanations", [f"- {_cited(item, product)}" for item in campaign["alternatives"] or ()]),
        _section("Links that lead out of it", _table(("link", "incident", "narrative", "p"), _bridges(profile))),
        _section("Gaps", [f"- {plain(gap)}" for gap in campaign["gaps"] or ()]),
        _section("Cumulative impact", [line for row in content["scores"] for line in _score(row)]),
        _section("Sources", _table(("no.", "id", "what", "date", "address"), _source_rows(content["sources"]))),
        [banner, ""],
    ]
    return "\n".join(line for part in parts for line in part)


def plain(text: object) -> str:
    r"""Return text that Markdown shows as it is: one line, every sign that begins markup, HTML or a link escaped.

    Examples
    --------
    >>> print(plain("<b>[x](javascript:1)</b>"))
    &lt;b&gt;\[x\](javascript:1)&lt;/b&gt;
    """
    line = _BREAKS.sub(" ", _DIRECTION.sub("", str(text))).strip()
    escaped = _MARKUP.sub(lambda match: {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(match[1], f"\\{match[1]}"), line)
    escaped = escaped.replace("://", ":\\/\\/").replace("www.", "www\\.").replace("WWW.", "WWW\\.").replace("@", "&#64;")
    return _LEADING.sub(lambda match: match[1] + match[2][:-1] + "\\" + match[2][-1], escaped)


def code(identifier: object) -> str:
    """Return an id as a code span; signs that would end it or its cell are left out."""
    return f"`{re.sub(r'[`|<>]|[^ -~]', '', str(identifier))}`"


def references(documents: Iterable[str] | None, number: Mapping[str, int]) -> str:
    """Return the numbers of sources, runs drawn together: ``[S1–S3, S7]``."""
    places = sorted({number[doc] for doc in documents or () if doc in number})
    runs: list[list[int]] = []
    for place in places:
        if runs and place == runs[-1][1] + 1:
            runs[-1][1] = place
        else:
            runs.append([place, place])
    told = [f"S{first}" if first == last else f"S{first}{', ' if last == first + 1 else '–'}S{last}" for first, last in runs]
    return f"[{', '.join(told)}]" if told else ""


def _items(campaign: Row, profile: Row) -> Iterator[Row]:
    """Everything that cites documents, in the order of the product."""
    yield from (item for item in profile.get("key_judgements") or () if isinstance(item, Mapping))
    yield from profile.get("timeline") or ()
    yield from campaign["statements"] or ()
    yield from (profile.get("phase") or {}).get("rests_on") or ()
    yield from (profile.get("hypotheses") or {}).get("evidence") or ()
    yield from (profile.get("hypotheses") or {}).get("reading") or ()
    for factor in profile.get("indicators") or ():
        for side in ("for", "against", "unknown"):
            yield from factor.get(side) or ()
    yield from profile.get("techniques") or ()
    yield from campaign["alternatives"] or ()


def _sources(cited: Sequence[str], tables: Mapping[str, pa.Table], handles: bool) -> list[Item]:
    wanted = pa.array(sorted(set(cited)), pa.string())

    def rows(name: str, schema: pa.Schema, key: str) -> dict[str, Row]:
        found = check(tables.get(name, empty(schema)), schema, name)
        return {row[key]: row for row in found.filter(pc.is_in(found[key], value_set=wanted)).to_pylist()}

    documents, reports = rows("documents", DOCUMENTS, "doc_id"), rows("reports", REPORTS, "report_id")
    return [_source(doc, documents.get(doc), reports.get(doc), handles) for doc in cited]


def _source(identifier: str, document: Row | None, report: Row | None, handles: bool) -> Item:
    """Return what is told of a source; an id that is neither a document nor a report is a finding of the case (an incident, a group)."""
    found: Item = {"id": identifier, "kind": "finding", "words": None, "from": None, "date": None, "urls": []}
    if document is not None:
        said, date = document["title"] or document["text"], document["published_at"]
        found |= {"kind": "document", "words": quoted(said if handles else hide(said)) if said else None}
        url = shown_url(document["url"], document["account"], handles=handles)
        found |= {"from": document["outlet"] or document["platform"], "urls": [url] if url else []}
    elif report is not None:
        date = report["published_at"]
        found |= {"kind": "report", "words": quoted(report["name"]) if report["name"] else None}
        found["from"] = f"{report['source'] or 'unnamed source'} {report['source_id'] or ''}".strip()
        found["urls"] = [url for text in report["urls"] or () if (url := shown_url(text, None, handles=True))]
    else:
        return found
    return found | {"date": date.isoformat() if date else None}


def _scores(row: Row, impact: pa.Table) -> list[Item]:
    """Last score vector of every target state of a campaign."""
    states = pa.array(sorted(row["target_states"] or ()), pa.string())
    mine = impact.filter(pc.is_in(impact["target_state"], value_set=states)).sort_by([("target_state", "ascending"), ("date", "ascending")])
    last = {found["target_state"]: found for found in mine.to_pylist()}
    return [{name: value.isoformat() if name == "date" else value for name, value in found.items()} for found in last.values()]


def _head(campaign: Row, profile: Row) -> list[str]:
    states = ", ".join(plain(state_name(state)) for state in campaign["target_states"] or ()) or "not told"
    window = " to ".join(str(campaign[name] or "unknown")[:10] for name in ("window_lo", "window_hi"))
    attribution = profile.get("attribution")
    shown = attribution if isinstance(attribution, Mapping) else {}
    set_by = f" ({plain(shown['note'])})" if shown.get("note") else ""
    lines = [
        f"- Campaign: {code(campaign['campaign_id'])}",
        f"- Target states: {states}",
        f"- Window: {window}",
        f"- Confidence in the whole profile: {plain(campaign['confidence'] or 'not told')}",
        f"- Attribution: {plain(shown.get('value') or 'unknown')}{set_by}",
        f"- Made of: {', '.join(counted(len(campaign[name + 's'] or ()), name) for name in ('incident', 'narrative', 'group', 'link'))}",
    ]
    words = profile.get("words") or {}
    scale = ", ".join(str(words[name]) for name in ("scale", "status") if words.get(name)) or "ICD 203"
    lines += [f"- Profiled under: {plain(profile['doctrine'])}"] if profile.get("doctrine") else []
    lines += [
        f"- Words of likelihood: {plain(scale)}; S1, S2, … are the sources at the end",
        "",
        f"For reading: this profile is {plain(profile.get('decision') or 'a hypothesis')}.",
        "",
    ]
    return lines


def _phase(product: Product) -> list[str]:
    """Probabilities of the stages by framework, and what they rest on."""
    phase = product.content["profile"].get("phase")
    if not isinstance(phase, Mapping):
        return []
    titles = {"disarm": "DISARM phase", "attack": "ATT&CK tactic", "probabilities": "By the lag of narratives alone"}
    rows = [
        [plain(title), plain(stage), f"{p:.2f}"]
        for name, title in titles.items()
        if isinstance(phase.get(name), Mapping)
        for stage, p in phase[name].items()
    ]
    lines = _table(("", "stage", "probability"), rows)
    lines += ["", f"Basis: {plain(phase['basis'])}."] if phase.get("basis") else []
    pieces = [f"- {_cited(piece, product)}" for piece in phase.get("rests_on") or ()]
    return [*lines, *(["", *pieces] if pieces else [])]


def _judgements(product: Product) -> list[list[str]]:
    judgements = product.content["profile"].get("key_judgements") or ()
    return (
        [_section("Key judgements", [f"{place}. {_cited(item, product)}" for place, item in enumerate(judgements, start=1)])]
        if judgements
        else []
    )


def _cited(item: object, product: Product) -> str:
    if not isinstance(item, Mapping):
        return plain(item)
    told = references(item.get("documents"), product.number)
    return f"{plain(item.get('text') or '')} {told}".strip()


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *(lines or ["None."]), ""]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table whose cells are escaped already."""
    if not rows:
        return []
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _members(profile: Row) -> list[list[str]]:
    """List what belongs to the campaign, each with the probability that it does."""
    return [
        [plain(item["kind"]), code(item["id"]), "not told" if item.get("probability") is None else f"{item['probability']:.2f}"]
        for item in profile.get("members") or ()
    ]


def _timeline(product: Product) -> list[list[str]]:
    return [
        [
            str(item["time"])[:16].replace("T", " "),
            plain(item["precision"]),
            plain(item["text"]),
            references(item["documents"], product.number),
        ]
        for item in product.content["profile"].get("timeline") or ()
    ]


def _hypotheses(product: Product) -> list[str]:
    told = product.content["profile"].get("hypotheses") or {}
    listed = told.get("hypotheses") or ()
    rows = [[plain(item["name"]), _by_sources(item), _against(item), plain(item.get("basis") or "")] for item in listed]
    lines = _table(("hypothesis", "probability by sources", "inconsistent evidence", "basis"), rows)
    names = [item["name"] for item in listed]
    matrix = [
        [
            plain(item["text"]),
            *(plain((item.get("ratings") or {}).get(name, "not applicable")) for name in names),
            "not told" if item.get("weight") is None else f"{item['weight']:.2f}",
            f"{item['diagnosticity']:.2f}",
            references(item.get("documents"), product.number),
        ]
        for item in told.get("evidence") or ()
    ]
    shown = _table(("evidence", *map(plain, names), "weight", "diagnosticity", "sources"), matrix)
    reading = [f"- {_cited(item, product)}" for item in told.get("reading") or ()]
    lines += ["", "Each piece of evidence under each hypothesis (ACH):", "", *shown] if shown else []
    return [*lines, *(["", *reading] if reading else [])]


def _by_sources(hypothesis: Row) -> str:
    p, low, high = (hypothesis.get(name) for name in ("p", "p_lo", "p_hi"))
    if p is None:
        return "not given"
    return f"{p:.2f}" if low is None or high is None else f"{p:.2f} (over incidents {low:.2f}–{high:.2f})"


def _against(hypothesis: Row) -> str:
    """Count and weight of the evidence that is inconsistent with a hypothesis."""
    count, weight = hypothesis.get("inconsistent"), hypothesis.get("inconsistency")
    return "not told" if count is None or weight is None else f"{count} (weight {weight:.2f})"


def _factors(product: Product) -> list[str]:
    rows = []
    for factor in product.content["profile"].get("indicators") or ():
        cells = ["<br>".join(_cited(item, product) for item in factor.get(side) or ()) for side in ("for", "against", "unknown")]
        origin = ", ".join(str(factor[name]) for name in ("source", "status") if factor.get(name))
        rows.append([plain(factor["factor"]), *cells, plain(origin)])
    lines = _table(("factor", "evidence for", "evidence against", "unknown", "where the factor is from"), rows)
    return [*lines, "", "There is no total: the factors are for human case-by-case assessment."] if lines else []


def _techniques(product: Product) -> list[list[str]]:
    return [
        [
            plain(item["framework"]),
            plain(item["id"]),
            plain(item["name"]),
            plain(item["subject"]),
            plain(f"{item['trigger']}; {item['quote']}" if item.get("quote") else item["trigger"]),
            plain(", ".join(item.get("stages") or ())),
            references(item.get("documents"), product.number),
        ]
        for item in product.content["profile"].get("techniques") or ()
    ]


def _bridges(profile: Row) -> list[list[str]]:
    """Links between this campaign and what is not in it."""
    rows = []
    for item in profile.get("bridges") or ():
        low, high = (item["p"] if item.get(name) is None else item[name] for name in ("p_lo", "p_hi"))
        rows.append([*(code(item[name]) for name in ("link_id", "incident_id", "narrative_id")), f"{item['p']:.2f} ({low:.2f}–{high:.2f})"])
    return rows


def _score(row: Row) -> list[str]:
    """Score vector of a state, a line a part of it; nothing without its interval, its doctrine and its status."""
    score = Score.of_row(row)
    lines = [f"- {plain(state_name(row['target_state']))}, {row['date']}: {plain(score)}; status: {plain(score.status)}"]
    if score.points is not None:
        lines += [
            f"  - with the doctrine's uncertainty: {_told(row['doctrine_p05'], 0)}–{_told(row['doctrine_p95'], 0)}",
            f"  - peak: {plain(row['peak_words'] or 'not told')} ({code(row['peak_item'] or 'none')})",
            f"  - central values, without intervals: excess over the largest single event {_told(row['excess'], 1)}; tempo "
            f"{_told(row['tempo'], 2)} (p {_told(row['tempo_p'], 3)}); breadth over sectors {_told(row['breadth'], 2)}; hybridity "
            f"{_told(row['hybridity'], 2)}",
        ]
    return [*lines, f"  - coverage: {plain(row['coverage'] or 'not told')}"]


def _source_rows(sources: Sequence[Row]) -> list[list[str]]:
    rows = []
    for place, source in enumerate(sources, start=1):
        words = source["words"] or source["kind"]
        told = f"{plain(words)} ({plain(source['from'])})" if source["from"] else plain(words)
        urls = "<br>".join(f"<{url.replace('|', '%7C')}>" for url in source["urls"]) or "none given"
        rows.append([f"S{place}", code(source["id"]), told, str(source["date"] or "unknown")[:10], urls])
    return rows


def _told(value: float | None, digits: int) -> str:
    return "not told" if value is None else f"{value:.{digits}f}"


def redacted(techniques: Sequence[Item], *, handles: bool) -> list[Item]:
    """Return rows of techniques with accounts hidden in their texts, unless handles are asked for."""
    return list(techniques) if handles else [hide_in(row) for row in techniques]
