"""What the API says: JSON, the one shape of errors, bytes as hexadecimal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from aiohttp import web

from ratoon_node.api.types import WaitMs
from ratoon_node.errors import ANSWERS, NodeError
from ratoon_protocol.errors import Code

JSON_TYPE = "application/json"
#: One record as it travels, and a MessagePack array of records or of their parts.
RECORD_TYPE = "application/vnd.ratoon.record"
RECORDS_TYPE = "application/vnd.ratoon.records"

_encoder = msgspec.json.Encoder()


def to_json(value: Any) -> bytes:
    """JSON of a value that `plain` made."""
    return _encoder.encode(value)


def plain(value: Any) -> Any:
    """A decoded body as JSON has it: bytes as lower-case hexadecimal."""
    kind = type(value)
    if kind is str or kind is int:  # most values
        return value
    if kind is bytes:
        return value.hex()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


#: How many items an answer gives: the reader is charged for them.
ITEMS = web.ResponseKey("items", int)


def answer(
    value: Any,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    items: int | None = None,
) -> web.Response:
    """An answer in JSON. `items` is what it gives; if unsaid, what its lists hold."""
    made = web.Response(body=to_json(value), status=status, content_type=JSON_TYPE, headers=headers)
    made[ITEMS] = _items(value) if items is None else items
    return made


def binary(data: bytes, type_: str, items: int = 1) -> web.Response:
    """An answer in MessagePack, which gives `items`."""
    made = web.Response(body=data, content_type=type_)
    made[ITEMS] = items
    return made


def cached(request: web.Request, data: bytes, type_: str, tag: str) -> web.Response:
    """Bytes that whoever asks again need not get again (RFC 9110, section 13).

    They are not used without asking: what is deleted or hidden here is so everywhere.
    """
    headers = {"ETag": f'"{tag}"', "Cache-Control": "no-cache"}
    known = request.if_none_match or ()
    if any(one.value in (tag, "*") for one in known):
        return web.Response(status=304, headers=headers)
    made = binary(data, type_)
    made.headers.update(headers)
    return made


def _items(value: Any) -> int:
    """Items in the lists of an answer."""
    if isinstance(value, dict):
        fields: Iterable[Any] = value.values()
    elif isinstance(value, msgspec.Struct):
        fields = (getattr(value, name) for name in value.__struct_fields__)
    else:
        return 0
    return sum(len(one) for one in fields if isinstance(one, list | tuple))


class Fault(msgspec.Struct, omit_defaults=True):
    """What is wrong: the code is stable, the message is for people and may change.

    `retry_ms` stands there when coming back later helps.
    """

    code: str
    message: str
    retry_ms: WaitMs | None = None


class Refusal(msgspec.Struct, omit_defaults=True):
    """The one shape of errors. Beside `error` stands what is true all the same: a record's
    header, the outcome of each record, the lines of a policy file.
    """

    error: Fault
    record: dict[str, Any] | None = None
    records: list[dict[str, Any]] | None = None
    problems: list[dict[str, Any]] | None = None


def error_body(error: NodeError) -> dict[str, Any]:
    """`{"code", "message", "retry_ms"?}`: the inside of the one shape."""
    body: dict[str, Any] = {"code": error.code.value, "message": error.safe}
    if error.retry_ms is not None:
        body["retry_ms"] = error.retry_ms
    return body


def failure(error: NodeError, status: int | None = None, **more: Any) -> web.Response:
    """An error as every client of this node gets it."""
    status = status or refused_status(error.code)
    headers = {}
    if error.retry_ms is not None:
        headers["Retry-After"] = str(-(-error.retry_ms // 1000))
    if error.code is Code.UNAUTHORISED:
        headers["WWW-Authenticate"] = "Bearer"
    return answer({"error": error_body(error), **more}, status, headers, items=0)


def refused_status(code: Code) -> int:
    """The HTTP status when there is nothing to give: words of success are no success then."""
    status = ANSWERS[code].status
    return status if status >= 400 else 404
