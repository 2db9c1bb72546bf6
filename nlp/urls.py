"""One spelling for the addresses of one page, so that two posts that share it can be seen to share it.

Canonical form: redirectors, archives and AMP copies unwrapped; https; host in lower case and in ASCII (punycode), without ``www.``,
user and default port; path without trailing slash and with only the percent escapes it needs; query sorted and without tracking
parameters; no fragment but ``#!``. Short links (t.co, bit.ly) stay as they are: following them would need the network.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

LONGEST = 4096
"""Longer strings are not addresses (RFC 9110 asks for at least 8000 octets, browsers and platforms stay below half of that)."""

_TRACKING = (
    "fbclid gclid dclid gbraid wbraid msclkid yclid twclid ttclid li_fat_id igshid igsh mc_cid mc_eid mkt_tok vero_id _hsenc _hsmi "
    "ref ref_src ref_url referrer cmp cmpid ocid ncid icid s_cid smid smtyp sr_share xtor _ga _gl wt_mc spm scid soc_src soc_trk "
    "at_campaign at_medium at_link_id outputtype __twitter_impression guccounter"
)
TRACKING = frozenset(_TRACKING.split())
"""Query parameters that say how a reader came, not what is read; ``utm_*`` besides."""

WRAPPERS = {
    "l.facebook.com": ("u",),
    "lm.facebook.com": ("u",),
    "l.instagram.com": ("u",),
    "t.umblr.com": ("z",),
    "out.reddit.com": ("url",),
    "vk.com": ("to",),
    "away.vk.com": ("to",),
    "duckduckgo.com": ("uddg",),
    "slack-redir.net": ("url",),
    "exit.sc": ("url",),
    "youtube.com": ("q",),
}
"""Redirectors with the parameter that holds the target; Google's are recognised by the start of their host."""

_WRAPPER_PATHS = {"vk.com": "/away.php", "youtube.com": "/redirect", "duckduckgo.com": "/l"}
_SAME_HOST = {
    "mobile.twitter.com": "twitter.com",
    "m.twitter.com": "twitter.com",
    "x.com": "twitter.com",
    "m.facebook.com": "facebook.com",
    "m.youtube.com": "youtube.com",
    "m.vk.com": "vk.com",
}
_HOST_TRACKING: dict[str, set[str]] = {
    "twitter.com": {"s", "t"},
    "youtube.com": {"feature", "si"},
    "open.spotify.com": {"si"},
    "google.com": {"ved", "ei"},
}
_SHORTENERS = frozenset({"t.co", "bit.ly", "goo.gl", "ow.ly", "tinyurl.com", "fb.me", "dlvr.it", "ift.tt", "buff.ly", "is.gd", "youtu.be"})
_PLATFORMS = (
    "amazonaws.com apple.com archive.is archive.org archive.ph azurewebsites.net bing.com bit.ly blogspot.com buff.ly cloudflare.com "
    "cloudfront.net dlvr.it docs.google.com drive.google.com dropbox.com en.wikipedia.org facebook.com fb.com fb.me fc2.com "
    "github.com github.io gitlab.com goo.gl google.com herokuapp.com ift.tt instagram.com is.gd linkedin.com livejournal.com "
    "medium.com mega.nz microsoft.com ok.ru ow.ly pastebin.com reddit.com sites.google.com t.co t.me telegram.me telegram.org "
    "tiktok.com tinyurl.com trib.al tumblr.com twitter.com vk.com web.archive.org weebly.com wikipedia.org wixsite.com wordpress.com "
    "x.com yahoo.com youtu.be youtube.com"
)
PLATFORMS = frozenset(_PLATFORMS.split())
"""Hosts that many unrelated parties use: sharing one is no evidence (after the hosting platforms in Meta's public indicators)."""
_UNWRAP_LIMIT = 100
_QUERY_LIMIT = 200

_END = '\\s<>"«»„“”\u3000-\u9fff\uac00-\ud7af\uff00-\uffef'
_URL = re.compile(rf"(?:https?://|(?<![\w.@/])www\.)[^{_END}]+", re.IGNORECASE)
_T_CO = re.compile(r"https?://t\.co/[A-Za-z0-9]*", re.IGNORECASE)
_PLAIN_T_CO = re.compile(r"https?://t\.co/(?!(?i:amp)$)([A-Za-z0-9]{1,64})", re.ASCII)
_TRAILING = ".,;:!?'’…*_~"
_PAIRS = {")": "(", "]": "[", "}": "{"}
_HOST = re.compile(r"(?:[\w-]+\.)+[\w-]*[^\W\d_][\w-]*$|(?:[0-9]{1,3}\.){3}[0-9]{1,3}$|\[[0-9a-f:.]+\]$")
_ARCHIVED = re.compile(r"^/web/(?:[0-9]{1,14}[a-z_]*/)?(https?):/{1,2}(.+)$", re.IGNORECASE | re.DOTALL)
_AMP_VIEWER = re.compile(r"^/(?:amp/|[cvi]/)(s/)?([^/]+\..*)$", re.DOTALL)
_AMP_PATH = re.compile(r"(?:/amp/?|\.amp)$|\.amp(?=\.html?$)", re.IGNORECASE)
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def find_urls(text: str) -> list[str]:
    """Return the addresses in a text as written, in their order; one that an ellipsis cuts off is no address.

    Examples
    --------
    >>> find_urls("See https://example.org/a_(b), or www.example.org… and https://t.co/abc.")
    ['https://example.org/a_(b)', 'https://t.co/abc']
    """
    found = []
    for match in _URL.finditer(text):
        url = match.group(0)
        if short := _T_CO.match(url):
            # Posts glue the next word to a t.co link, whose code is letters and digits only.
            tail = url[short.end() :]
            url = "" if tail.startswith("…") else short.group(0)
        elif url.rstrip(_TRAILING.replace("…", "")).endswith("…"):
            url = ""
        if url := _trimmed(url):
            found.append(url)
    return found


def strip_urls(text: str) -> str:
    """Return `text` with a blank for every address, cut-off ones included."""
    return _URL.sub(" ", text)


def canonical_url(url: str) -> str | None:
    """Return the canonical form of a web address, or None if it is none (another scheme, no host, a bare shortener).

    Parameters
    ----------
    url
        As written, with or without scheme.

    Returns
    -------
    str or None
        An ASCII string that starts with ``https://``; it is its own canonical form.

    Examples
    --------
    >>> canonical_url("HTTP://www.Example.org:80/a/?utm_source=x&b=2&a=1#top")
    'https://example.org/a?a=1&b=2'
    >>> canonical_url("https://l.facebook.com/l.php?u=https%3A%2F%2Fexample.org%2Fa&h=AT0")
    'https://example.org/a'
    """
    # Most links of posts are these, no two alike: they are spelt so already, and would only push others out of the cache.
    if short := _PLAIN_T_CO.fullmatch(url):
        return f"https://t.co/{short[1]}"
    return _canonical(url)


@lru_cache(maxsize=2**16)
def _canonical(url: str) -> str | None:
    canonical = None
    for _ in range(_UNWRAP_LIMIT):
        spelt = _spell(url)
        if spelt is None:
            return None
        canonical, inner = spelt
        if inner is None or (unwrapped := _spell(inner)) is None or unwrapped[0] == canonical:
            return canonical
        url = inner
    return canonical


def _spell(url: str) -> tuple[str, str | None] | None:
    """Return the address spelt canonically, and the address that it wraps."""
    url = re.sub(r"[\x00-\x20\x7f-\x9f\\]", lambda found: "/" if found.group(0) == "\\" else "", url)
    if not url or len(url) > LONGEST:
        return None
    if "://" not in url.split("?", 1)[0]:
        url = f"https://{url.removeprefix('//')}"
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return None
    if parts.scheme.lower() not in ("http", "https"):
        return None
    ascii_host = _ascii_host(host)
    if ascii_host is None:
        return None
    host = ascii_host
    inner = _wrapped(host, parts.path, parts.query)
    path = _without_amp(parts.path)
    if host in ("youtu.be",) and path.count("/") == 1:
        host, path, query = "youtube.com", "/watch", f"v={path[1:]}&{parts.query}"
    else:
        query = parts.query
    path = _escaped(path)
    if host in _SHORTENERS and not path:
        return None
    query = _query(query, host)
    number = "" if port in (None, 80, 443) else f":{port}"
    bang = f"#{_escaped(parts.fragment)}" if parts.fragment.startswith("!") else ""
    return f"https://{host}{number}{path}{'?' if query else ''}{query}{bang}", inner


def _ascii_host(host: str) -> str | None:
    host = host.casefold()
    while host.startswith("www.") and host.count(".") > 1:
        host = host[4:]
    host = _SAME_HOST.get(host, host)
    if ":" in host:
        host = f"[{host}]"
    elif not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            return None
    return host if _HOST.match(host) else None


def _wrapped(host: str, path: str, query: str) -> str | None:
    if host == "web.archive.org" and (match := _ARCHIVED.match(path)):
        return f"{match[1]}://{match[2]}{'?' if query else ''}{query}"
    google = host.startswith("google.")
    if (google or host.endswith(".ampproject.org")) and (match := _AMP_VIEWER.match(path)):
        return f"https://{match[2]}{'?' if query else ''}{query}"
    names = ("q", "url") if google and path == "/url" else WRAPPERS.get(host, ())
    if not names or path.rstrip("/") != _WRAPPER_PATHS.get(host, path.rstrip("/")):
        return None
    try:
        fields = dict(parse_qsl(query, max_num_fields=_QUERY_LIMIT))
    except ValueError:
        return None
    return next((fields[name] for name in names if fields.get(name, "").lower().startswith(("http://", "https://"))), None)


def _without_amp(path: str) -> str:
    while True:
        shorter = _AMP_PATH.sub("", path).rstrip("/")
        if shorter == path:
            return path
        path = shorter


def _query(query: str, host: str) -> str:
    try:
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=_QUERY_LIMIT)
    except ValueError:
        return quote(query, safe="%/:@!$&'()*+,;=~-._?")
    own = _HOST_TRACKING.get(host, set())
    kept = [
        (name, value)
        for name, value in fields
        if not (
            name.lower() in TRACKING or name.lower().startswith("utm_") or name in own or (name.lower() == "amp" and value in ("", "1"))
        )
    ]
    return urlencode(sorted(kept))


def _escaped(path: str) -> str:
    plain = _ESCAPE.sub(_unescaped, path)
    return quote(plain, safe="%/:@!$&'()*+,;=~-._")


def _unescaped(match: re.Match[str]) -> str:
    char = chr(int(match[1], 16))
    return char if char in _UNRESERVED else match.group(0).upper()


def _trimmed(url: str) -> str:
    while url:
        last = url[-1]
        if last in _TRAILING or (last in _PAIRS and url.count(last) > url.count(_PAIRS[last])):
            url = url[:-1]
        else:
            break
    return url
