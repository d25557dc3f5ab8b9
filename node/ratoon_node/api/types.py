"""Types of requests and answers that many routes share; they are also the API's schema."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from ratoon_protocol.limits import INT_MAX

#: A record's id or an account: 32 bytes as lower-case hexadecimal.
Id = Annotated[
    str,
    Meta(pattern="^[0-9a-fA-F]{64}$", description="32 bytes as hexadecimal", examples=["ab" * 32]),
]
#: A place in a timeline, to be handed back as it came.
Position = Annotated[int, Meta(ge=0, le=INT_MAX, description="a place in a timeline")]
#: Milliseconds since 1970 UTC.
Ms = Annotated[int, Meta(ge=0, le=INT_MAX, description="milliseconds since 1970 UTC")]
#: How long to wait.
WaitMs = Annotated[int, Meta(ge=0, le=INT_MAX, description="milliseconds from now")]
#: Number of something.
Count = Annotated[int, Meta(ge=0, le=INT_MAX)]


#: In a schema: an operator may allow less, and the served document says how much.
OPERATOR_LOWERS = "x-operator-lowers"  #: Which list of an account: the target of the list's record.
ListSlot = Annotated[
    str,
    Meta(pattern="^[0-9a-fA-F]{32}$", description="16 bytes as hexadecimal", examples=["ab" * 16]),
]

#: Items of one answer: at most this many, and at most what the operator set.
LIMIT_MAX = 1000
Limit = Annotated[
    int,
    Meta(
        ge=1,
        le=LIMIT_MAX,
        description="items of one answer, at most",
        extra_json_schema={OPERATOR_LOWERS: True},
    ),
]


class PageQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which page: below a position with the newest first, or above one with the oldest first."""

    before: Position | None = None
    since: Position | None = None
    limit: Limit | None = None
