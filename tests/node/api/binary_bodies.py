"""For Schemathesis: bodies that are bytes and not JSON are sent as they were made up."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.serializer("application/vnd.ratoon.record", "application/vnd.ratoon.records")
def as_bytes(context: schemathesis.SerializationContext, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
