"""Asking a node at its public addresses, as strangers would, for `ratoon doctor`."""

from __future__ import annotations

import base64
import http.client
import secrets
import socket
from contextlib import closing
from urllib.parse import quote, urlsplit

from ratoon_node.cli.client import Client, Refused, Unreachable
from ratoon_node.operate.doctor.finding import Finding, fail, ok, warn

# Short, because each is asked in turn and a person waits.
ASK_S = 8.0
_PROVES = "from this machine; whether others reach it too only another machine can tell"
# A name that nobody has: the answer that there is none proves as much as a name.
NOBODY = "nobody-has-this-name"


def http_url(address: str) -> str:
    """The address for requests: links are dialled at ws and wss, at the same place."""
    return address.replace("ws", "http", 1) if address.startswith("ws") else address


def check_address(address: str, account: str) -> list[Finding]:
    """Whether this node answers there, and lets streams and links through."""
    check = f"address {address}"
    with closing(Client(http_url(address), timeout_s=ASK_S)) as client:
        try:
            found = client.get("/v1/node").get("account")
        except (Refused, Unreachable, AttributeError) as error:
            return [
                fail(
                    check,
                    f"it does not answer {_PROVES}: {error}",
                    "check that the domain leads here, that the port is open and that the proxy"
                    " passes requests on",
                )
            ]
        if found != account:
            return [
                fail(
                    check,
                    f"another node answers there: {str(found)[:16]}, not {account[:16]}",
                    "the domain or the proxy leads to the wrong place",
                )
            ]
        return [ok(check, f"it answers, as this node ({_PROVES})"), _check_socket(client.url)]


def _check_socket(url: str) -> Finding:
    check = f"streams {url}"
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    assert parts.hostname is not None, "spelt by the client"
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(secrets.token_bytes(16)).decode(),
    }
    with closing(kind(parts.hostname, parts.port, timeout=ASK_S)) as connection:
        try:
            connection.request("GET", f"{parts.path.rstrip('/')}/v1/stream", headers=headers)
            with connection.getresponse() as response:
                status = response.status
        except (OSError, http.client.HTTPException) as error:
            status = 0
            why = str(error) or type(error).__name__
        else:
            why = f"HTTP {status}"
    if status == 101:
        return ok(check, "WebSockets pass: streams and links of other nodes can come in")
    return fail(
        check,
        f"WebSockets do not pass ({why}): nothing is live, and no other node can link",
        "have the proxy pass Connection and Upgrade on (nginx: proxy_http_version 1.1 and"
        " proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade)",
    )


def check_names(node: Client, domain: str, addresses: tuple[str, ...], name: str) -> Finding:
    """Whether the domain of the names given out here says of one what the node itself says."""
    base = next((one for one in addresses if urlsplit(one).hostname == domain), f"https://{domain}")
    do = f"{http_url(base)}/.well-known/ratoon/NAME must lead to this node: have the web server of"
    do += f" {domain} pass it on"
    with closing(Client(http_url(base), timeout_s=ASK_S)) as client:
        try:
            said = _named(client, name)
        except (Refused, Unreachable) as error:
            return fail("names", f"{domain} does not answer for names given out here: {error}", do)
    if said != _named(node, name):
        return fail("names", f"{domain} says something else of {name}@{domain} than this node", do)
    if base.startswith(("http:", "ws:")):
        return warn(
            "names",
            f"{domain} answers for names, but without TLS: other nodes ask by https alone",
            "put a proxy with a certificate in front, and set the address to https",
        )
    return ok("names", f"{domain} answers for the names given out here")


def _named(client: Client, name: str) -> object:
    """The account that an address says has a name; "" for nobody. Raises `Refused` and so on."""
    try:
        found = client.get(f"/.well-known/ratoon/{quote(name, safe='')}")
    except Refused as error:
        if error.json_code != "not_found":
            raise
        return ""
    return found.get("account") if isinstance(found, dict) else None


def resolve(host: str) -> frozenset[str]:
    """The IP addresses of a host; none if it has none."""
    try:
        return frozenset(str(row[4][0]) for row in socket.getaddrinfo(host, None))
    except OSError:
        return frozenset()
