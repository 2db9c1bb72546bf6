"""What a profile speaks of, and how its sentences are made: each with documents, each number with its interval and doctrine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from greyzone.doctrine import Doctrine
from greyzone.places import state_name
from greyzone.words import likelihood, quoted

Row = Mapping[str, Any]
Item = dict[str, Any]


@dataclass(frozen=True)
class Evidence:
    """Rows of the tables that one campaign is made of, each list in order of ids.

    Attributes
    ----------
    incidents, narratives, links, groups
        What is joined.
    bridges
        Links of its incidents and narratives that tie nothing.
    refuted
        Links of its incidents and narratives that people decided against.
    said
        Last decision of each person by link.
    scores
        The last row of `IMPACT` of each target state.
    documents
        Which of the cited ids are documents of the case.
    doctrine
        Thresholds and words.
    probability
        Probability of each member by its id.
    views
        Last scores of its states by an originator that sources name for its incidents, and without a source that tells them (`VIEWS`).
    parts
        Sum of the shares of the campaign's items in the score of each state.
    by
        The doctrine as a sentence names it.
    """

    incidents: Sequence[Row]
    narratives: Sequence[Row]
    links: Sequence[Row]
    groups: Sequence[Row]
    scores: Sequence[Row]
    documents: frozenset[str]
    doctrine: Doctrine
    bridges: Sequence[Row] = ()
    refuted: Sequence[Row] = ()
    views: Sequence[Row] = ()
    said: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    probability: Mapping[str, float] = field(default_factory=dict)
    parts: Mapping[str, float] = field(default_factory=dict)
    by: str = ""

    @cached_property
    def _incidents(self) -> dict[str, Row]:
        return {row["incident_id"]: row for row in self.incidents}

    @cached_property
    def _narratives(self) -> dict[str, Row]:
        return {row["narrative_id"]: row for row in self.narratives}

    @cached_property
    def everything(self) -> list[str]:
        """Every report and exemplar, once."""
        return self.all_reports() + self.all_documents()

    def incident(self, identifier: str) -> Row:
        """Row of an incident of the campaign."""
        return self._incidents[identifier]

    def narrative(self, identifier: str) -> Row:
        """Row of a narrative of the campaign."""
        return self._narratives[identifier]

    def of_incident(self, row: Row) -> list[str]:
        """Report ids behind an incident; its own id where it has none."""
        return list(row["reports"] or [row["incident_id"]])

    def of_narrative(self, row: Row) -> list[str]:
        """Exemplars of a narrative; its own id where none is a document of the case."""
        return [doc for doc in row["exemplars"] or () if doc in self.documents] or [row["narrative_id"]]

    def of_group(self, row: Row) -> list[str]:
        """Documents that show a group."""
        return [doc for doc in row["documents"] or () if doc in self.documents] or [row["group_id"]]

    def of_link(self, row: Row) -> list[str]:
        """Documents behind a link, else those of its two ends."""
        found = [doc for doc in row["evidence"] or () if doc in self.documents]
        return found or self.of_incident(self.incident(row["incident_id"])) + self.of_narrative(self.narrative(row["narrative_id"]))

    def of_links(self, rows: Iterable[Row]) -> list[str]:
        """Documents behind several links, once each."""
        return list(dict.fromkeys(doc for row in rows for doc in self.of_link(row)))

    def all_reports(self) -> list[str]:
        """Every report id, once, in order."""
        return list(dict.fromkeys(report for row in self.incidents for report in self.of_incident(row)))

    def all_documents(self) -> list[str]:
        """Every exemplar, once, in order."""
        return list(dict.fromkeys(doc for row in self.narratives for doc in self.of_narrative(row)))

    def word(self, p: float) -> str:
        """Word of a probability on the doctrine's scale."""
        return likelihood(min(max(p, 0.0), 1.0), self.doctrine.phrase("scale"))

    def measured(self, p: float, low: float | None, high: float | None) -> str:
        """Print a probability with its interval and the doctrine; one without an interval is told as a word alone, never as a number."""
        if low is None or high is None:
            return "no interval is known"
        low, high = min(low, p), max(high, p)
        return f"p {p:.2f}, interval {low:.2f}–{high:.2f}, {self.by}"

    def tested(self, name: str, value: float | None, threshold: float | None) -> str:
        """Print a statistic against the threshold that the doctrine sets for it."""
        if value is None or threshold is None:
            return f"{name} not told"
        return f"{name} {value:.3g} against the threshold {threshold:.3g}, {self.by}"


def sourced(text: str, documents: Iterable[str]) -> Item:
    """Return a sentence with the ids behind it, once each."""
    return {"text": text, "documents": list(dict.fromkeys(documents))}


def state_of(code: str | None) -> str:
    """Return the name of a state; a code that is none is quoted as the words of others."""
    if not code:
        return "an unknown state"
    name = state_name(code)
    return quoted(code) if name == code else name


def day(moment: datetime | None) -> str:
    """Return the ISO day, or that it is unknown."""
    return moment.date().isoformat() if moment else "an unknown date"


def span(start: datetime | None, end: datetime | None) -> str:
    """Return one day or two, in words."""
    return f"on {day(start)}" if day(start) == day(end) else f"between {day(start)} and {day(end)}"


def calibrated(links: Sequence[Row]) -> int:
    """Count the calibrated links."""
    return sum(bool(link["calibrated"]) for link in links)


def lag_of(link: Row, doctrine: Doctrine) -> str | None:
    """Return "prepare", "execute" or "sustain" by the lag of a link's narrative behind its incident; None without a lag.

    A narrative that leads its incident by more than ``campaign.execute_before_days`` prepares; one that follows by more than
    ``campaign.execute_after_days`` sustains; what lies between is the execution.
    """
    lag = link["lag_days"]
    if lag is None:
        return None
    before, after = doctrine["campaign.execute_before_days"], doctrine["campaign.execute_after_days"]
    return "prepare" if lag < -before else "sustain" if lag > after else "execute"
