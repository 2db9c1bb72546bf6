"""Collections of a TAXII 2.1 server, fetched into a STIX bundle in a file, which is then read as any other.

The fetch and the reading are two steps on purpose: a case refers to files by their digests, and a server's answer changes. Nothing
here is reached unless an address is given in so many words. What a server sends is hostile until read:

- only http and https (http only to addresses that are allowed to be private), no redirects, no proxies of the environment
- every name is resolved once, all its addresses must be public, and the connection goes to the address that was checked
- bytes (unpacked), seconds and pages are bounded; a bound that is reached is an error, never a shorter collection
- what a page holds besides objects is not kept; a page without objects that promises more ends in an error

TAXII 2.1, OASIS Standard, 10 June 2021, sections 3.7 (paging) and 5.4 (objects of a collection).
"""

from __future__ import annotations

import ipaddress
import json
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from greyzone.errors import GreyzoneError, InputError

PAGE = 500
"""Objects asked for at a time; a server may give fewer."""

_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one fetch.

    Parameters
    ----------
    bytes, seconds, pages
        Largest sum of the answers, longest duration, and most requests.
    private
        Whether addresses of private networks and of this machine are allowed.
    """

    bytes: int = 200 << 20
    seconds: float = 300.0
    pages: int = 10_000
    private: bool = False


class FetchError(GreyzoneError, OSError):
    """A server that refused, went on for too long, or sent what is no TAXII."""


def fetch_taxii(
    url: str, out: str | Path, *, user: str | None = None, password: str | None = None, limits: Limits | None = None, page: int = PAGE
) -> Path:
    """Fetch the objects of a collection into a STIX 2.1 bundle; `greyzone.incidents.read_reports` reads it.

    Parameters
    ----------
    url
        Address of the collection, as in ``https://host/api-root/collections/ID/``.
    out
        File to write, which must not be there.
    user, password
        For basic authentication, where the server asks for it.
    limits
        Bounds; the defaults are those of `Limits`.
    page
        Objects a request.

    Raises
    ------
    InputError
        If the address is no collection's or not public, the file is there, or ``taxii2-client`` is not installed.
    FetchError
        If the server refuses, a bound is reached, or what it sends is no TAXII 2.1.
    """
    bounds, target = limits or Limits(), Path(out)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "/collections/" not in parts.path:
        raise InputError(f"{url!r} is no collection", "https://host/api-root/collections/ID/")
    if parts.scheme == "http" and not bounds.private:
        raise InputError(f"{url!r} is not encrypted", "https", "http is for Limits(private=True) only")
    if target.exists():
        raise InputError(f"{target} is there already", "a new file")
    objects = _objects(url, _connection(bounds, user, password), bounds, page)
    bundle = {"type": "bundle", "id": f"bundle--{_uuid(url, objects)}", "objects": objects}
    target.write_text(json.dumps(bundle, ensure_ascii=False, sort_keys=True), "utf-8")
    return target


def checked_address(host: str, port: int, *, private: bool) -> str:
    """Return the address of a host to connect to.

    Raises
    ------
    InputError
        If the host is not known, or, unless private ones are allowed, any of its addresses is not public.
    """
    try:
        found = sorted({str(item[4][0]) for item in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)})
    except (OSError, UnicodeError) as error:
        raise InputError(f"no host {host!r} ({error})", "the name of a server") from None
    for text in found:
        address = ipaddress.ip_address(text.split("%")[0])
        inner = getattr(address, "ipv4_mapped", None) or address
        if not private and (not inner.is_global or inner.is_multicast):
            raise InputError(f"{host} is at {text}, which is not public", "a public server", "Limits(private=True) allows it")
    return found[0]


def _uuid(url: str, objects: list[object]) -> str:
    import uuid

    return str(uuid.uuid5(uuid.NAMESPACE_URL, url + json.dumps(objects, sort_keys=True)))


def _objects(url: str, connection: Any, bounds: Limits, page: int) -> list[object]:  # noqa: ANN401 (a class of the optional package)
    import requests
    from taxii2client.exceptions import TAXIIServiceException
    from taxii2client.v21 import Collection

    found: list[object] = []
    following: str | None = None
    try:
        collection = Collection(url, conn=connection)
        for _ in range(bounds.pages):
            answer = collection.get_objects(limit=page, **({"next": following} if following else {}))
            objects = answer.get("objects", []) if isinstance(answer, dict) else None
            if not isinstance(objects, list):
                raise FetchError(f"{url} sent no list of objects", "an envelope of TAXII 2.1")
            found += objects
            if not answer.get("more"):
                return found
            # A server may keep one cursor for all pages, so that the same value of next leads on; pages are bounded instead.
            following = answer.get("next")
            if not objects or not isinstance(following, str):
                raise FetchError(f"{url} promises more objects, but no way to them", "objects and a value of next on every page")
    except (requests.RequestException, TAXIIServiceException, ValueError, RecursionError) as error:
        if isinstance(error, GreyzoneError):
            raise
        raise FetchError(f"{url} could not be fetched ({type(error).__name__}: {str(error)[:200]})", "a TAXII 2.1 collection") from None
    finally:
        connection.close()
    raise FetchError(f"{url} has more than {bounds.pages:,} pages", "fewer", "raise Limits(pages=...)")


def _connection(bounds: Limits, user: str | None, password: str | None) -> Any:  # noqa: ANN401 (a class of the optional package)
    """Return the client's connection with the bounds built in."""
    try:
        from taxii2client.common import _HTTPConnection
    except ImportError:
        raise InputError("taxii2-client is not installed", "it, to fetch from TAXII", "pip install 'greyzone[taxii]'") from None
    connection = _HTTPConnection(user=user, password=password, version="2.1")
    connection.session.trust_env = False
    connection.session.max_redirects = 0
    connection.session.adapters.clear()
    connection.session.mount("https://", _adapter(bounds))
    if bounds.private:
        connection.session.mount("http://", _adapter(bounds))
    return connection


def _adapter(bounds: Limits) -> Any:  # noqa: ANN401 (a class of the optional package)
    """Return a transport that connects to checked addresses only and reads no more and no longer than the bounds."""
    import requests
    import urllib3
    from requests.adapters import HTTPAdapter

    deadline = time.monotonic() + bounds.seconds
    total = 0

    def pinned(base: Any) -> Any:  # noqa: ANN401 (a class of the optional package)
        class Pinned(base):  # type: ignore[misc]
            _dns_host: str

            def _new_conn(self) -> Any:  # noqa: ANN401 (a socket)
                name = self._dns_host
                self._dns_host = checked_address(name, self.port, private=bounds.private)
                try:
                    return super()._new_conn()
                finally:
                    self._dns_host = name

        return Pinned

    class Http(urllib3.HTTPConnectionPool):
        ConnectionCls = pinned(urllib3.connection.HTTPConnection)

    class Https(urllib3.HTTPSConnectionPool):
        ConnectionCls = pinned(urllib3.connection.HTTPSConnection)

    class Bounded(HTTPAdapter):
        def init_poolmanager(self, *given: Any, **named: Any) -> None:  # noqa: ANN401 (passed on)
            super().init_poolmanager(*given, **named)
            self.poolmanager.pool_classes_by_scheme = {"http": Http, "https": Https}

        def send(self, request: Any, *_: Any, **named: Any) -> Any:  # noqa: ANN401 (of requests)
            nonlocal total
            left = _left(deadline, bounds)
            response = super().send(request, **(named | {"stream": True, "timeout": min(left, 30.0), "proxies": {}}))
            if 300 <= response.status_code < 400:
                response.close()
                raise requests.TooManyRedirects(f"it answered {response.status_code}, and redirects are not followed")
            parts: list[bytes] = []
            # What has come is read as it comes: a server that sends a byte now and then would hold a read of a whole chunk for hours.
            while chunk := response.raw.read1(_CHUNK, decode_content=True):
                total += len(chunk)
                if total > bounds.bytes:
                    response.close()
                    raise FetchError(f"{request.url} sends more than {bounds.bytes:,} bytes", "less", "raise Limits(bytes=...)")
                _left(deadline, bounds)
                parts.append(chunk)
            response._content = b"".join(parts)
            response.close()
            return response

    return Bounded()


def _left(deadline: float, bounds: Limits) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise FetchError(f"the server took more than {bounds.seconds:g} seconds", "less", "raise Limits(seconds=...)")
    return left
