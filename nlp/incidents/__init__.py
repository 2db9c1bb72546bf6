"""Readers of incident reports, and their canonicalisation: one event and target state, one row."""

from __future__ import annotations

from greyzone.incidents.canonical import canonicalise
from greyzone.incidents.reading import read_reports
from greyzone.incidents.reports import TECHNIQUE_CLASSES
from greyzone.incidents.taxii import fetch_taxii

__all__ = ["TECHNIQUE_CLASSES", "canonicalise", "fetch_taxii", "read_reports"]
