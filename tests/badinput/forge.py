"""What a bad record is, and the hand that makes them: records that `Author` refuses to sign."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgpack

from ratoon_protocol import kinds
from ratoon_protocol.record import (
    Header,
    Record,
    encode_payload,
    new_header,
    record_id,
    signed_message,
    slot_id,
)
from tests.node.world import Person

#: Stands in every refused text, so that a test can look for it on the disk.
MARK = "REFUSED-TEXT-7f3a"
#: Every way in that takes records, by the name of its door.
WAYS = ("http", "batch", "stream", "link", "bundle", "cli")
#: Those whose sender asks to publish: what is not as it should be is refused whole (R-26).
STRICT = frozenset({"http", "batch", "stream"})
#: A header counts although nothing else of the record does: it alone is stored and passed on.
HEADER_ALONE = frozenset({"invalid", "wanted", "revoked", "capped", "withheld", "held"})
#: Fields of a header or a body, of any type at all.
Fields = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One bad record, and the code for it by each way in.

    `api`: what somebody is told who publishes it. `link`: what a peer is told that pushes it or a
    bundle that holds it; it differs where a signed header counts although its payload does not.
    `other`: ways that differ from both. `cut`: ways whose connection ends with it, by the code
    with which it does. `known`: its header was here before, so nothing new comes of it. `early`: it
    was deleted before it came, and its header counts by every way. `masked`: its bytes are kept out
    of sight for a while, because its key may turn out to be in force (R-69). `requirement`: what of
    SPEC.md asks for the verdict.
    """

    name: str
    header: bytes
    signature: bytes
    payload: bytes | None
    api: str
    link: str
    whole: bytes | None = None
    other: Mapping[str, str] | None = None
    cut: Mapping[str, str] | None = None
    ways: tuple[str, ...] = WAYS
    known: bool = False
    early: bool = False
    masked: bool = False
    requirement: str = ""

    @property
    def data(self) -> bytes:
        """What somebody would publish."""
        if self.whole is not None:
            return self.whole
        return bytes(msgpack.packb([self.header, self.signature, self.payload]))

    @property
    def id(self) -> bytes:
        """The id that its header has or would have."""
        return record_id(self.header)

    def code(self, way: str) -> str:
        """The code by this way in."""
        default = self.api if way in STRICT or self.whole is not None else self.link
        return (self.other or {}).get(way, default)

    def leaves_header(self, way: str) -> bool:
        """Whether the header is stored and passed on."""
        if self.early or (self.cut and way in self.cut):
            return self.early
        code = self.code(way)
        strict_too = code in ("withheld", "held")
        return code in HEADER_ALONE and not self.known and (strict_too or way not in STRICT)

    def traces(self, way: str) -> list[bytes]:
        """Bytes that must be in no file afterwards."""
        found = [] if self.masked and way not in STRICT else [MARK.encode()]
        if not self.known and not self.leaves_header(way):
            found += [part for part in (self.signature, self.header) if len(set(part)) > 8]
        return found

    def but(self, **change: Any) -> Case:
        """The same with other verdicts."""
        return replace(self, **change)


class Forge:
    """Makes records that `Author` refuses to make, signed by the device of a real account."""

    def __init__(self, who: Person) -> None:
        self.who = who
        self.key = who.author.key
        self.network = who.author.network
        self._salt = 0

    def salt(self) -> bytes:
        self._salt += 1
        return self._salt.to_bytes(16)

    def payload(self, body: object) -> bytes:
        return encode_payload(body, self.salt())  # type: ignore[arg-type]

    def header(self, payload: bytes, **change: object) -> Header:
        made = new_header(
            network=self.network,
            kind=kinds.POST,
            account=self.who.account,
            key=self.key.public,
            seq=1,
            prev=None,
            created_ms=self.who.clock.now_ms(),
            payload=payload,
        )
        return made._replace(**change)  # type: ignore[arg-type]

    def sign(self, header: bytes) -> bytes:
        return self.key.sign(signed_message(header))

    def fields(self, payload: bytes, **change: object) -> bytes:
        """A header with any fields at all, in the right spelling of MessagePack."""
        return bytes(msgpack.packb(list(self.header(payload, **change))))

    def case(
        self,
        name: str,
        api: str,
        link: str,
        body: object | None = None,
        payload: bytes | None = None,
        **change: Any,
    ) -> Case:
        """A signed record whose header has the fields of `change`."""
        inside = payload if payload is not None else self.payload(body or {"text": MARK})
        header = self.fields(inside, **change)
        return Case(name, header, self.sign(header), inside, api, link)

    def raw(self, name: str, code: str, header: bytes) -> Case:
        """A header of any bytes, signed."""
        return Case(name, header, self.sign(header), self.payload({"text": MARK}), code, code)

    def body(self, name: str, code: str, body: Fields, kind: int = kinds.POST) -> Case:
        """A record that is right but for its body: its header counts."""
        return self.case(name, code, "invalid", body, kind=kind)

    def slotted(self, name: str, code: str, kind: int, target: bytes, body: Fields) -> Case:
        """The same for a kind with a slot, in a slot of its own: nothing else supersedes it."""
        salt = self.salt()
        slot = slot_id(self.who.account, kind, salt, target)
        whole = {"slot_salt": salt, "target": target, "zz": MARK} | body
        return self.case(name, code, "invalid", whole, kind=kind, slot=slot)


def gathered(
    forge: Forge, makers: Sequence[tuple[str, Callable[[Forge], Iterator[Case]]]]
) -> list[Case]:
    """What the makers make, each case with the requirement of its maker."""
    return [case.but(requirement=number) for number, maker in makers for case in maker(forge)]


def as_case(name: str, code: str, record: Record, link: str | None = None) -> Case:
    """A record that is right in itself."""
    parts = record.header_bytes, record.signature, record.payload
    return Case(name, *parts, code, code if link is None else link)
