"""CVE ids, hashes, addresses and domains in a text, each in one spelling, with the span that they were read from.

Analysts defang addresses so that nobody follows them (``hxxp://a[.]b``, ``a(dot)b``, ``a[:]//``); refanging restores them, and an offset
map keeps the spans those of the text as written. Domains of platforms and link shorteners (`greyzone.urls.PLATFORMS`) identify nobody and
are never artefacts, nor are the platforms' own subdomains (``m.facebook.com``); a subdomain that a host gives to a user is one. Every
pattern is bounded and begins where no other match can have begun, so that reading is linear in the text.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from greyzone.urls import PLATFORMS

ARTEFACTS = ("cve", "domain", "url", "hash")

_TENANTS = (
    "amazonaws.com azurewebsites.net blogspot.com cloudfront.net fc2.com github.io herokuapp.com livejournal.com medium.com tumblr.com "
    "weebly.com wixsite.com wordpress.com"
)
TENANTS = frozenset(_TENANTS.split())
"""Platforms whose subdomains belong to users."""

_CVE = re.compile(r"\bCVE[-\u2010-\u2013](?:19|20)\d\d[-\u2010-\u2013]\d{4,7}\b", re.IGNORECASE | re.ASCII)
_DASHES = re.compile("[\u2010-\u2013]")
_HASH = re.compile(r"(?<![0-9a-zA-Z])(?:[0-9a-fA-F]{64}|[0-9a-fA-F]{40}|[0-9a-fA-F]{32})(?![0-9a-zA-Z])")
_URL = re.compile(r"\bhttps?://[^\s<>\"'\])}]{3,2000}", re.IGNORECASE)
_LABEL = r"[^\W_](?:[^\W_]|-(?=[\w-]{0,61}[^\W_])){0,62}"
_TOP = r"(?:[a-z]{2,24}|xn--[a-z0-9-]{2,59}|рф|укр|бел|срб|мкд|қаз|бг|ею)"
_DOMAIN = re.compile(rf"(?<![\w@.-])(?:{_LABEL}\.){{1,5}}{_TOP}(?![\w-])", re.IGNORECASE)
_FANGED = re.compile(r"\s?(?:\[\.\]|\(\.\)|\{\.\}|\[dot\]|\(dot\)|\{dot\})\s?|\bh(?:xx|tt)p(s?)(?:\[:\]//|\[://\]|://)", re.IGNORECASE)
_HINT = re.compile(r"\.\w|CVE|[0-9a-f]{32}", re.IGNORECASE)


class Artefact(NamedTuple):
    """An artefact of a text: kind, its one spelling, and where the text has it, as [start, end)."""

    kind: str
    value: str
    start: int
    end: int


def refang(text: str) -> str:
    """Return `text` with defanged addresses restored: ``hxxp://a[.]b`` becomes ``http://a.b``."""
    return _refanged(text)[0]


def artefacts_of(text: str) -> list[Artefact]:
    """Return the artefacts of a text by their place in it.

    Domains include those of the URLs and their parent domains (``a.b.org`` also gives ``b.org``), without those of platforms.
    """
    plain, ours, theirs = _refanged(text)

    def spot(at: int) -> int:
        step = bisect_right(ours, at) - 1
        return min(theirs[step] + at - ours[step], theirs[step + 1]) if step + 1 < len(theirs) else theirs[step] + at - ours[step]

    found = {Artefact(kind, value, spot(start), spot(end)) for kind, value, start, end in _read(plain)}
    return sorted(found, key=lambda item: (item.start, item.end, item.kind, item.value))


def may_hold_artefacts(text: str) -> bool:
    """Tell, cheaply, whether `text` may hold an artefact other than a t.co link, which most posts have and which is a platform's."""
    if "[" in text or "(" in text or "{" in text or "xx" in text.lower():
        return True
    return bool(_HINT.search(text.replace("t.co/", "") if "t.co/" in text else text))


def spelling(kind: str, value: str) -> str:
    """Return the one spelling of an artefact, empty where it identifies nobody."""
    if kind == "cve":
        return _DASHES.sub("-", value.strip()).upper()
    if kind == "hash":
        return value.strip().lower()
    spelt = _address(refang(value), kind)
    return "" if is_platform(spelt) else spelt


def is_platform(domain: str) -> bool:
    """Tell whether a domain is a platform's own and so no artefact."""
    if domain in PLATFORMS:
        return True
    labels = domain.split(".")
    parents = (".".join(labels[at:]) for at in range(1, len(labels) - 1))
    return "/" not in domain and any(parent in PLATFORMS and parent not in TENANTS for parent in parents)


def _read(plain: str) -> Iterator[tuple[str, str, int, int]]:
    for match in _CVE.finditer(plain) if "cve" in plain.lower() else ():
        yield "cve", spelling("cve", match[0]), match.start(), match.end()
    for match in _HASH.finditer(plain) if len(plain) > 31 else ():
        yield "hash", match[0].lower(), match.start(), match.end()
    if "." not in plain:
        return
    for match in _URL.finditer(plain):
        url = match[0].rstrip("/.,;:!?…")
        if spelt := spelling("url", url):
            yield "url", spelt, match.start(), match.start() + len(url)
    for match in _DOMAIN.finditer(plain):
        labels = _address(match[0], "domain").split(".")
        for at in range(len(labels) - 1):
            if not is_platform(domain := ".".join(labels[at:])):
                yield "domain", domain, match.start(), match.end()


def _refanged(text: str) -> tuple[str, list[int], list[int]]:
    """Return the restored text with the places, in it and in `text`, from which both run in step."""
    if "[" not in text and "(" not in text and "{" not in text and "xx" not in text.lower():
        return text, [0], [0]
    pieces: list[str] = []
    ours, theirs = [0], [0]
    done = length = 0
    for match in _FANGED.finditer(text):
        restored = "." if match[0].strip()[0] in "[({" else f"http{match[1].lower()}://"
        pieces += [text[done : match.start()], restored]
        length += match.start() - done + len(restored)
        done = match.end()
        ours += [length - len(restored), length]
        theirs += [match.start(), done]
    pieces.append(text[done:])
    return "".join(pieces), ours, theirs


def _address(value: str, kind: str) -> str:
    """Return the one spelling of a URL (no scheme, ``www.``, fragment or final slash) or of a domain (in ASCII)."""
    bare = re.sub(r"^https?://", "", value.strip(), flags=re.IGNORECASE).split("#")[0].rstrip("/.,;:!?…")
    host, slash, path = bare.partition("/")
    host = _ascii(host.lower()).removeprefix("www.")
    return host if kind == "domain" else host + slash + path


def _ascii(host: str) -> str:
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        # A label that has no ASCII form (too long, mixed directions) is still the same string in every text.
        return host
