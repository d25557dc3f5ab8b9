"""Reading requests: bodies within their bounds, parameters within their ranges."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, cast

import msgspec
from aiohttp import web

from ratoon_node.api.answers import JSON_TYPE
from ratoon_node.api.ports import Services
from ratoon_node.api.rate import ITEMS_PER_REQUEST, Pool, client_of
from ratoon_node.api.types import PageQuery
from ratoon_node.errors import NodeError
from ratoon_node.timeline.walk import Cursor
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import INT_MAX

# JSON requests are small: a policy is read from disk, records come as MessagePack.
JSON_BYTES_MAX = 64 * 1024
# Of a body this much is nobody else's: one record of any kind, and all that most people send.
BODY_OWN_BYTES_MAX = 128 * 1024
# What is above that, of all requests together while they are read.
BODIES_BYTES_MAX = 64 * 1024 * 1024
# What is told whoever sends more than there is room for.
BODIES_RETRY_MS = 1000
# Digits of the largest number that is exact everywhere.
DIGITS_MAX = 16
# What is read of the proxies' words, from the end: a dozen hops.
FORWARDED_CHARS_MAX = 512
# Items of a listing when the client does not say.
LIMIT_DEFAULT = 20

T = TypeVar("T")


async def body(request: web.Request, services: Services, bytes_max: int | None = None) -> bytes:
    """The whole body, within the bound of size and within the time for all of it.

    Raises `NodeError`: `empty`, `too_large` (before anything is read if the length was told),
    `timeout`, `busy` while others send too much at once. The connection ends with the last three:
    what is left of the body is not worth it.
    """
    settings = services.node.settings
    most = min(bytes_max or settings.request_bytes_max, settings.request_bytes_max)
    if request.content_length is not None and request.content_length > most:
        raise _cut(request, Code.TOO_LARGE)
    data = bytearray()
    shared = 0
    try:
        async with asyncio.timeout(settings.request_timeout_ms_max / 1000):
            async for chunk in request.content.iter_any():
                if len(data) + len(chunk) > most:
                    raise _cut(request, Code.TOO_LARGE)
                if len(data) + len(chunk) > BODY_OWN_BYTES_MAX:
                    if not services.bodies.take(len(chunk)):
                        raise _cut(request, Code.BUSY, BODIES_RETRY_MS)
                    shared += len(chunk)
                data += chunk
    except TimeoutError:
        raise _cut(request, Code.TIMEOUT) from None
    finally:
        services.bodies.give(shared)
    if not data:
        raise NodeError(Code.EMPTY)
    return bytes(data)


#: Set on a request whose connection must end with its answer.
CUT = web.RequestKey("cut", bool)


def _cut(request: web.Request, code: Code, retry_ms: int | None = None) -> NodeError:
    request[CUT] = True
    return NodeError(code, retry_ms=retry_ms)


async def json_body(request: web.Request, services: Services, type_: type[T]) -> T:
    """A JSON body as `type_` (a msgspec struct). Raises `NodeError(bad_request)`."""
    if request.content_type != JSON_TYPE:
        raise NodeError(Code.BAD_REQUEST, safe=f"Send {JSON_TYPE}.")
    data = await body(request, services, JSON_BYTES_MAX)
    return parse_json(data, type_)


def parse_json(data: bytes | str, type_: type[T]) -> T:
    """`data` as `type_`. Raises `NodeError`: `bad_request`, and as `query` for bounds."""
    try:
        return msgspec.json.decode(data, type=type_)
    except msgspec.ValidationError as error:
        raise _refused(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NodeError(Code.BAD_REQUEST, safe="The request is not JSON.") from None


# What msgspec says about a bound that was passed, and our word for it.
_BOUNDS = (
    ("Expected `int`", Code.OUT_OF_RANGE),
    ("Expected `str` of length <=", Code.TOO_LONG),
    ("Expected `array` of length <=", Code.TOO_MANY),
)


def _refused(error: msgspec.ValidationError) -> NodeError:
    """The refusal; msgspec's words name fields, types and bounds, never values."""
    words = str(error)
    beyond = "=" in words.partition(" - at")[0]
    found = (code for begin, code in _BOUNDS if beyond and words.startswith(begin))
    return NodeError(next(found, Code.BAD_REQUEST), safe=f"The request is not valid: {words}")


def id_in(text: str, what: str = "id") -> bytes:
    """32 bytes from 64 hexadecimal digits. Raises `NodeError(bad_request)`."""
    try:
        found = bytes.fromhex(text) if len(text) == 64 else b""
    except ValueError:
        found = b""
    if len(found) != 32:
        raise NodeError(Code.BAD_REQUEST, safe=f"{what} must be 64 hexadecimal digits.")
    return found


def id_of_path(request: web.Request, name: str = "id") -> bytes:
    """The 32 bytes named in the path."""
    return id_in(request.match_info[name], name)


def number(request: web.Request, name: str, default: int, high: int, low: int = 0) -> int:
    """A whole number among the query's parameters. Raises `NodeError`."""
    text = request.query.get(name)
    return default if text is None else number_in(text, name, high, low)


def number_in(text: str, name: str, high: int, low: int = 0) -> int:
    """A whole number from `low` to `high`. Raises `bad_request` or `out_of_range`."""
    if not (text.isascii() and text.isdecimal()):
        raise NodeError(Code.BAD_REQUEST, safe=f"{name} must be a whole number.")
    if len(text) > DIGITS_MAX or not low <= int(text) <= high:
        raise NodeError(Code.OUT_OF_RANGE, safe=f"{name} must be from {low} to {high}.")
    return int(text)


def page(request: web.Request, services: Services) -> tuple[Cursor, int]:
    """`before` or `since` (positions) and `limit` of a listing."""
    limit = number(request, "limit", LIMIT_DEFAULT, services.node.settings.page_records_max, 1)
    if "before" in request.query and "since" in request.query:
        raise NodeError(Code.BAD_REQUEST, safe="Say before or since, not both.")
    if "since" in request.query:
        return Cursor(number(request, "since", 0, INT_MAX), newest_first=False), limit
    return Cursor(number(request, "before", INT_MAX, INT_MAX)), limit


def cursor_of(query: PageQuery, services: Services) -> tuple[Cursor, int]:
    """Where a page begins and how many items it has. Raises `NodeError`."""
    limit = limit_of(query.limit, services)
    if query.before is not None and query.since is not None:
        raise NodeError(Code.BAD_REQUEST, safe="Say before or since, not both.")
    if query.since is not None:
        return Cursor(query.since, newest_first=False), limit
    return Cursor(INT_MAX if query.before is None else query.before), limit


def limit_of(limit: int | None, services: Services, default: int = LIMIT_DEFAULT) -> int:
    """How many items, within what the operator set. Raises `NodeError(out_of_range)`."""
    most = services.node.settings.page_records_max
    if limit is not None and limit > most:
        raise NodeError(Code.OUT_OF_RANGE, safe=f"limit must be from 1 to {most}.")
    return min(default, most) if limit is None else limit


def wants(request: web.Request, type_: str) -> bool:
    """Whether the client asked for a media type by name."""
    accepted = request.headers.get("Accept", "").split(",")
    return any(part.partition(";")[0].strip().lower() == type_ for part in accepted)


#: Who is charged for a request: its address, and the account that signed in. Kept in memory only.
CLIENTS = web.RequestKey("clients", tuple)


def client(request: web.Request, services: Services) -> str:
    """The address that is charged for a request; kept in memory, never logged."""
    proxies = services.node.settings.trusted_proxies
    # A proxy may add a line of its own after the client's: all lines are one list (RFC 9110, 5.3).
    lines = request.headers.getall("X-Forwarded-For", ()) if proxies else ()
    return client_of(request.remote or "", ",".join(lines)[-FORWARDED_CHARS_MAX:], proxies)


def charge(request: web.Request, services: Services, cost: float, pool: Pool = Pool.READ) -> None:
    """Take `cost` (of the pool's unit) from the client's allowance. Raises `NodeError(rate)`.

    The operator is not charged.
    """
    rates, now_ms = services.rates[pool], services.node.runtime.clock.monotonic_ms()
    clients = request.get(CLIENTS, ())
    wait_ms = max((rates.wait_ms(one, cost, now_ms) for one in clients), default=0)
    if wait_ms:
        raise NodeError(Code.RATE, retry_ms=wait_ms)
    for one in clients:
        rates.owe(one, cost, now_ms)


def sent(request: web.Request, services: Services, items: int) -> int:
    """Count records that a stream sent. Returns the ms to wait before more of the past is sent;
    what is new is counted and never waits.
    """
    rates, now_ms = services.rates[Pool.READ], services.node.runtime.clock.monotonic_ms()
    clients = request.get(CLIENTS, ())
    for one in clients:
        rates.given(one, items / ITEMS_PER_REQUEST, now_ms)
    return max((rates.wait_ms(one, 1, now_ms) for one in clients), default=0)


def query(request: web.Request, type_: type[T]) -> T:
    """The query's parameters as `type_` (a msgspec struct).

    Raises `NodeError`: `bad_request` for an unknown, repeated or wrong parameter, `out_of_range`
    and `too_long` for one beyond its bounds.
    """
    given = request.query
    names = _names(cast(Any, type_))
    values: dict[str, Any] = {}
    for name, text in given.items():
        if name in values:
            raise NodeError(Code.BAD_REQUEST, safe="A parameter stands twice.")
        values[name] = _value(text, name, names.get(name, str))
    try:
        return msgspec.convert(values, type_)
    except msgspec.ValidationError as error:
        raise _refused(error) from None


def no_query(request: web.Request) -> None:
    """Raises `bad_request` if there are parameters."""
    if request.rel_url.raw_query_string:
        raise NodeError(Code.BAD_REQUEST, safe="There are no parameters here.")


@cache
def _names(type_: Any) -> Mapping[str, type]:
    """The parameters of a struct that are no texts."""
    found = msgspec.inspect.type_info(type_)
    assert isinstance(found, msgspec.inspect.StructType), "parameters are a struct"
    return {field.encode_name: _spelt(field.type) for field in found.fields}


def _spelt(type_: msgspec.inspect.Type) -> type:
    if isinstance(type_, msgspec.inspect.Metadata):
        return _spelt(type_.type)
    if isinstance(type_, msgspec.inspect.UnionType):
        return next(filter(lambda one: one is not str, map(_spelt, type_.types)), str)
    kinds = {msgspec.inspect.IntType: int, msgspec.inspect.BoolType: bool}
    return kinds.get(type(type_), str)


_BOOLS = {"true": True, "false": False}


def _value(text: str, name: str, type_: type) -> str | int | bool:
    if type_ is int:
        if not (text.isascii() and text.isdecimal()):
            raise NodeError(Code.BAD_REQUEST, safe=f"{name} must be a whole number.")
        if len(text) > DIGITS_MAX:
            raise NodeError(Code.OUT_OF_RANGE, safe=f"{name} is too large.")
        return int(text)
    if type_ is bool:
        if text not in _BOOLS:
            raise NodeError(Code.BAD_REQUEST, safe=f"{name} must be true or false.")
        return _BOOLS[text]
    return text
