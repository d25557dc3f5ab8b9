"""The domain behind a link, spelt one way, and the domains above it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

# RFC 1035: a name longer than this cannot be looked up, so it leads nowhere.
DOMAIN_CHARS_MAX = 253
# What browsers take for the authority: after the scheme any number of slashes of either kind.
_AUTHORITY = re.compile(r"(?:[a-zA-Z][a-zA-Z0-9+.\-]*:)?[/\\]*([^/\\?#]*)")
_BEFORE_HOST = re.compile(r".*@", re.DOTALL)
_PORT = re.compile(r":\d*$")
# Tabs and line ends are dropped by browsers wherever they stand.
_DROPPED = str.maketrans("", "", "\t\r\n")
_DOMAIN = re.compile(r"[^\s.,;:/\\?#@*%\[\]]+(\.[^\s.,;:/\\?#@*%\[\]]+)*")


def host_of(link: str) -> str:
    """The host that a browser would ask for `link`, as `spell` writes it; "" if there is none."""
    found = _AUTHORITY.match(link.translate(_DROPPED).strip())
    authority = found[1] if found else ""
    return spell(_PORT.sub("", _BEFORE_HOST.sub("", authority)))


def spell(host: str) -> str:
    """One spelling of a host: small letters, Unicode, no dot at the end; "" if it cannot be one."""
    if "%" in host:
        host = unquote(host)
    if not host.isascii():
        host = unicodedata.normalize("NFKC", host).replace("。", ".")
    host = host.lower().rstrip(".")
    if len(host) > DOMAIN_CHARS_MAX:
        return ""
    if "xn--" in host:
        host = ".".join(map(_unpunycode, host.split(".")))
    return host


def _unpunycode(label: str) -> str:
    """A label in Unicode; as it stands where no browser would take it for another spelling."""
    if not label.startswith("xn--"):
        return label
    try:
        found = label[4:].encode("ascii").decode("punycode")
    except UnicodeError:
        return label
    return label if found.startswith("xn--") or spell(found) != found else found


def parse_domain(text: str) -> str:
    """A domain from a list, spelt; `example.org` and `*.example.org` are the same there.

    Raises `ValueError` for anything that is not a domain or an IPv4 address.
    """
    spelt = spell(text.strip().removeprefix("*."))
    if not spelt or not _DOMAIN.fullmatch(spelt):
        raise ValueError("not a domain")
    return spelt


def suffixes(host: str) -> Iterator[str]:
    """The host and every domain above it, longest first: `a.b.c`, `b.c`, `c`."""
    yield host
    while dot := host.find(".") + 1:
        host = host[dot:]
        yield host
