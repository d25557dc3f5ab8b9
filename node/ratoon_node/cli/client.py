"""A client of a node's HTTP API for commands: bounded answers, bounded time, plain errors."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import urlencode, urlsplit

import msgpack

from ratoon_node.cli.say import CommandError, Exit, called

DEFAULT_NODE = "http://127.0.0.1:7420"
RECORD_TYPE = "application/vnd.ratoon.record"
RECORDS_TYPE = "application/vnd.ratoon.records"
# An answer longer than this is no answer of a node: its own listings are far smaller.
ANSWER_BYTES_MAX = 64 * 1024 * 1024
# Silence after which a node counts as unreachable.
TIMEOUT_S = 15.0
# A node says that it is still there this often on a line that is followed.
HEARTBEAT_S = 15.0
# A line that was cut is taken up again after this long, so often.
RETRY_S = 1.0
RETRIES_MAX = 60


class Refused(CommandError):
    """The node answered with an error; `json_code` is its stable code."""

    def __init__(self, code: str, words: str, status: int) -> None:
        super().__init__(words, Exit.REFUSED, code)
        self.status = status


class Unreachable(CommandError):
    """No node answers at the address."""

    def __init__(self, words: str) -> None:
        super().__init__(words, Exit.UNREACHABLE, "unreachable")


@dataclass
class Answer:
    """What came back."""

    status: int
    data: bytes
    headers: Mapping[str, str]

    def json(self) -> Any:
        """The answer as JSON; `Unreachable` if it is none, for then this is no node."""
        try:
            return json.loads(self.data)
        except ValueError:
            raise Unreachable("what answers there is not a Ratoon node") from None


class Client:
    """One node at an address; keeps its connection between requests."""

    def __init__(self, url: str, token: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self.url = spell_url(url)
        self._token = token
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None

    def bear(self, token: str) -> None:
        """Show a token with every request from now on."""
        self._token = token

    # --- asking --------------------------------------------------------------------------

    def get(self, path: str, **query: str | int | None) -> Any:
        """A JSON answer. Raises `Refused` or `Unreachable`."""
        return self.ask("GET", path, query=query).json()

    def send(self, method: str, path: str, body: Any = None, **query: str | int | None) -> Any:
        """Send JSON, get JSON; None for an answer without content."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data is not None else {}
        found = self.ask(method, path, data=data, headers=headers, query=query)
        return found.json() if found.data else None

    def packed(self, path: str, **query: str | int | None) -> Any:
        """An answer in MessagePack."""
        found = self.ask("GET", path, headers={"Accept": RECORDS_TYPE}, query=query)
        try:
            return msgpack.unpackb(found.data)
        except (ValueError, msgpack.UnpackException):
            raise Unreachable("what answers there is not a Ratoon node") from None

    def records(self, path: str, **query: str | int | None) -> list[bytes]:
        """An answer that is an array of whole records."""
        items = self.packed(path, **query)
        if not isinstance(items, list) or not all(isinstance(item, bytes) for item in items):
            raise Unreachable("what answers there is not a Ratoon node")
        return items

    def post_records(
        self, path: str, records: Sequence[bytes], wait_s: float = 0, **query: str | int | None
    ) -> Any:
        """Send records as one batch; the answer has an outcome for each."""
        found = self.ask(
            "POST",
            path,
            data=join_records(records),
            headers={"Content-Type": RECORDS_TYPE},
            query=query,
            wait_s=wait_s,
        )
        return found.json()

    def ask(
        self,
        method: str,
        path: str,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str | int | None] | None = None,
        wait_s: float = 0,
        also: Collection[int] = (),
    ) -> Answer:
        """One request; `wait_s` is added to the time the node has. Raises as `get`, but not for a
        status that is in `also`.
        """
        given = {name: value for name, value in (query or {}).items() if value is not None}
        parts = urlsplit(self.url)
        target = parts.path.rstrip("/") + path + ("?" + urlencode(given) if given else "")
        sent = dict(headers or {})
        if self._token:
            sent["Authorization"] = f"Bearer {self._token}"
        for attempt in range(2):
            fresh = self._connection is None
            connection = self._connected(wait_s)
            try:
                connection.request(method, target, body=data, headers=sent)
                response = connection.getresponse()
                found = self._read(response)
                break
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
                # A connection kept from before may have been closed meanwhile: ask once more.
                self.close()
                if fresh or attempt:
                    self._unreachable(error)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                self._unreachable(error)
        if found.status >= 400 and found.status not in also:
            raise _refusal(found)
        return found

    def events(self, since: int, **query: str | int | None) -> Iterator[Any]:
        """Server-sent events for ever, from a cursor on; a line that was cut is taken up there.

        It has a connection of its own: the client can ask in between. Raises `Refused`, or
        `Unreachable` once the node has been gone for a while.
        """
        failures = 0
        while True:
            try:
                for id_, event in self._events(since, query):
                    # A node that was restored has fewer lines, and says where it stands.
                    since, failures = id_ if "missed" in event else max(since, id_), 0
                    if "error" in event:
                        error = event["error"]
                        raise Refused(error["code"], error["message"], 400)
                    yield event
            except Unreachable:
                failures += 1
                if failures > RETRIES_MAX:
                    raise
            time.sleep(RETRY_S)

    def _events(self, since: int, query: Mapping[str, str | int | None]) -> Iterator[Any]:
        """(cursor, event) of one line, until it is cut."""
        given = {name: value for name, value in query.items() if value is not None}
        connection = self._connection_to_node(HEARTBEAT_S)
        try:
            connection.request(
                "GET",
                f"/v1/events?{urlencode(given | {'since': since})}",
                headers={"Authorization": f"Bearer {self._token}"} if self._token else {},
            )
            response = connection.getresponse()
            if response.status >= 400:
                raise _refusal(self._read(response))
            cursor = since
            for line in response:
                if line.startswith(b"id: "):
                    cursor = int(line[4:])
                elif line.startswith(b"data: "):
                    yield cursor, json.loads(line[6:])
        except (OSError, ValueError, http.client.HTTPException) as error:
            self._unreachable(error)
        finally:
            connection.close()

    def _connection_to_node(self, wait_s: float) -> http.client.HTTPConnection:
        """A new connection, opened by the first request over it."""
        parts = urlsplit(self.url)
        tls = parts.scheme == "https"
        kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
        assert parts.hostname is not None, "spelt by spell_url"
        return kind(parts.hostname, parts.port, timeout=self._timeout_s + wait_s)

    def _connected(self, wait_s: float) -> http.client.HTTPConnection:
        if self._connection is None:
            self._connection = self._connection_to_node(wait_s)
        self._connection.timeout = self._timeout_s + wait_s
        if self._connection.sock is not None:
            self._connection.sock.settimeout(self._timeout_s + wait_s)
        return self._connection

    def _read(self, response: http.client.HTTPResponse) -> Answer:
        data = response.read(ANSWER_BYTES_MAX + 1)
        if len(data) > ANSWER_BYTES_MAX:
            self.close()
            raise Unreachable(f"{self.url} answers with more than {ANSWER_BYTES_MAX} bytes")
        if response.will_close:
            self.close()
        return Answer(response.status, data, dict(response.getheaders()))

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _unreachable(self, error: Exception) -> NoReturn:
        if isinstance(error, TimeoutError):
            why = "it does not answer in time"
        elif isinstance(error, ConnectionRefusedError):
            why = f"nobody listens there. Is it running (`{called()} run`)?"
        elif isinstance(error, socket.gaierror):
            why = "there is no such host"
        elif isinstance(error, ssl.SSLError):
            why = "TLS failed"
        else:
            why = str(error) or type(error).__name__
        raise Unreachable(f"no node at {self.url}: {why}") from None


def spell_url(url: str) -> str:
    """An address with its scheme and without a slash at the end. Raises `CommandError`."""
    text = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise CommandError(
            f"{url} is not an address of a node, such as https://node.example", Exit.USAGE
        )
    return text.rstrip("/")


def join_records(records: Sequence[bytes]) -> bytes:
    """An array of whole records, as nodes take and give it."""
    return bytes(msgpack.packb(list(records)))


def _refusal(answer: Answer) -> CommandError:
    """What the node said, in its own words."""
    try:
        error = json.loads(answer.data)["error"]
        code, words = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        return Unreachable(f"what answers there is not a Ratoon node (HTTP {answer.status})")
    return Refused(code, f"the node refused it: {words} ({code})", answer.status)
