"""What the API says: JSON, the one shape of errors, bytes as hexadecimal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from ratoon_node.errors import NodeError
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
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer in JSON."""
    return web.Response(body=to_json(value), status=status, content_type=JSON_TYPE, headers=headers)


def binary(data: bytes, type_: str) -> web.Response:
    """An answer in MessagePack."""
    return web.Response(body=data, content_type=type_)


def error_body(error: NodeError) -> dict[str, Any]:
    """`{"code", "message", "retry_ms"?}`: the inside of the one shape."""
    body: dict[str, Any] = {"code": error.code.value, "message": error.safe}
    if error.retry_ms is not None:
        body["retry_ms"] = error.retry_ms
    return body


def failure(error: NodeError, status: int | None = None, **more: Any) -> web.Response:
    """An error as every client of this node gets it."""
    headers = {}
    if error.retry_ms is not None:
        headers["Retry-After"] = str(-(-error.retry_ms // 1000))
    if error.code is Code.UNAUTHORISED:
        headers["WWW-Authenticate"] = "Bearer"
    return answer({"error": error_body(error), **more}, status or error.status, headers)
