"""The status of a record: a pure function of what is held of its account (R-53 to R-59, R-80).

First match decides:

1. gone        the account vanished, or a delete that is itself in effect names the record
2. unproven    no kept operation lists the key; or
   revoked     the key's authority does not cover the record
3. capped      above what one key, lane and day may count
4. superseded  not the highest (created_ms, id) of its slot
5. live

`judge` does a whole account at once. A store that judges one record as it comes uses the pieces:
`authority_status`, `Walk`, `over_cap`, `slot_winner` and `first_match`. A key without tips needs
no other header at all. What changes the status of other records is: an identity operation
(`Change.tree_changed`: compare `IdentityLog.authority` of the account's keys before and after), a
delete that gains or loses effect, a header that a walk was waiting for, a key, lane and day over
the cap, a new value of a slot.

Status never asks what a node's policy is, nor which payloads are here but those of identity
records and deletes. Envelopes (`Lane.NONE`) have no status.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from enum import IntEnum
from typing import NamedTuple

from ratoon_protocol import kinds
from ratoon_protocol.errors import UsageError
from ratoon_protocol.identity import Authority, IdentityLog
from ratoon_protocol.kinds import Lane
from ratoon_protocol.limits import DAY_MS, INT_MAX, RECORDS_PER_KEY_LANE_DAY_MAX
from ratoon_protocol.operation import Tip
from ratoon_protocol.record import Header

#: The header of an id, if it is held.
Lookup = Callable[[bytes], Header | None]
#: The ids that a key's tips reach in a lane; empty for a lane that no tips limit.
Reached = Callable[[bytes, Lane], Set[bytes]]


class Status(IntEnum):
    """What a record counts as. The numbers are stored by nodes and never change meaning."""

    LIVE = 0
    SUPERSEDED = 1
    CAPPED = 2
    REVOKED = 3
    GONE = 4
    UNPROVEN = 5


# --- reached from tips ---------------------------------------------------------------------
class _Link(NamedTuple):
    """What must be true of a record for a walk to step on it."""

    key: bytes
    lane: Lane
    seq: int
    created_ms_max: int


class Walk:
    """What is reached from tips by `prev`, over the headers held (R-55).

    A link fits if account, key and lane are equal, seq is one less and created_ms not greater;
    the walk ends at one that does not. Along a chain that fits, time only falls: so what lies
    behind a node's horizon never decides about what lies inside it.
    """

    def __init__(self, account: bytes, tips: Iterable[Tip], lookup: Lookup) -> None:
        self.reached: set[bytes] = set()
        self._account = account
        self._lookup = lookup
        self._awaited: dict[bytes, list[_Link]] = {}
        for tip in tips:
            self._step(tip.id, _Link(tip.key, tip.lane, tip.seq, INT_MAX))

    @property
    def missing(self) -> Set[bytes]:
        """Ids where the walk goes on as soon as their header is here: ask for them by `chain`."""
        return self._awaited.keys()

    def arrived(self, record_id: bytes) -> Set[bytes]:
        """Go on through a header that `lookup` finds by now; gives what is newly reached."""
        new: set[bytes] = set()
        for link in self._awaited.pop(record_id, ()):
            new |= self._step(record_id, link)
        return new

    def _step(self, record_id: bytes, link: _Link) -> set[bytes]:
        new: set[bytes] = set()
        at: bytes | None = record_id
        while at is not None and at not in self.reached:
            header = self._lookup(at)
            if header is None:
                self._awaited.setdefault(at, []).append(link)
                break
            if not self._fits(header, link):
                break
            self.reached.add(at)
            new.add(at)
            at = header.prev
            link = _Link(link.key, link.lane, header.seq - 1, header.created_ms)
        return new

    def _fits(self, header: Header, link: _Link) -> bool:
        return (
            header.account == self._account
            and header.key == link.key
            and header.kind_class.lane is link.lane
            and header.seq == link.seq
            and header.created_ms <= link.created_ms_max
        )


def walks(account: bytes, authority: Authority, lane: Lane, lookup: Lookup) -> list[Walk]:
    """One walk for each revocation that limits `lane`; none if no tips limit it."""
    return [Walk(account, tips, lookup) for tips in authority.limiting_tips(lane)]


def reached_by_all(found: Sequence[Walk]) -> frozenset[bytes]:
    """What every one of a lane's walks reaches: one rank can only revoke more (R-51)."""
    if not found:
        return frozenset()
    return frozenset(found[0].reached.intersection(*(walk.reached for walk in found[1:])))


# --- authority -----------------------------------------------------------------------------
def authority_status(
    log: IdentityLog, record_id: bytes, header: Header, reached: Reached
) -> Status:
    """LIVE, REVOKED or UNPROVEN: what the key's authority says of the record (R-54).

    `reached` is asked only for keys whose lane is limited by tips. Raises UsageError for an
    envelope, which has no status.
    """
    lane = header.kind_class.lane
    if lane is Lane.NONE:
        raise UsageError("an envelope has no status")
    authority = log.authority(header.key)
    if header.kind == kinds.IDENTITY and log.holds(record_id):
        return Status.LIVE  # the fork rule alone judges operations, and losers are kept
    if not authority.known:
        return Status.UNPROVEN
    if header.kind == kinds.IDENTITY or not _covers(authority, lane, header):
        return Status.REVOKED
    if not authority.marks:
        return Status.LIVE  # nearly every key of nearly every account
    if authority.limiting_tips(lane) and record_id not in reached(header.key, lane):
        return Status.REVOKED
    return Status.LIVE


def _covers(authority: Authority, lane: Lane, header: Header) -> bool:
    """Capability and, of a retired key outside the log, time (R-49)."""
    if not authority.capabilities >> header.kind_class.capability & 1:
        return False
    if not authority.marks:
        return True
    until = authority.retired_at_ms
    return until is None or lane is Lane.LOG or header.created_ms <= until


# --- the cap of a day ----------------------------------------------------------------------
class CapGroup(NamedTuple):
    """Whose records of one UTC day count together, within one account (R-56)."""

    key: bytes
    lane: Lane
    day: int


def cap_group(header: Header) -> CapGroup | None:
    """The group of a record; None for identity operations and envelopes, which have no cap."""
    lane = header.kind_class.lane
    if header.kind == kinds.IDENTITY or lane is Lane.NONE:
        return None
    return CapGroup(header.key, lane, header.created_ms // DAY_MS)


def over_cap(entries: Iterable[tuple[int, bytes]], reached: Set[bytes]) -> frozenset[bytes]:
    """Of one group's records, given as (seq, id), the ids above the cap (R-56).

    First come those reached from tips, then the lowest (seq, id): not who came first here.
    """
    ranked = sorted(entries, key=lambda entry: (entry[1] not in reached, *entry))
    return frozenset(entry[1] for entry in ranked[RECORDS_PER_KEY_LANE_DAY_MAX:])


# --- deletes, slots, the order -------------------------------------------------------------
def counts(authority: Status, *, capped: bool) -> bool:
    """Whether a record has effect: competes for its slot, deletes what it names (R-57, R-80)."""
    return authority is Status.LIVE and not capped


def can_go(header: Header) -> bool:
    """Whether deletes and a vanish reach the record: the log outlives both (R-81, R-83)."""
    return header.kind_class.lane is not Lane.LOG


def slot_winner(candidates: Iterable[tuple[int, bytes]]) -> bytes | None:
    """The id of the current value among (created_ms, id) of the records that count (R-57).

    A deleted one competes too: an older value never comes back after a newer one was deleted.
    """
    return max(candidates, default=(0, None))[1]


def first_match(*, gone: bool, authority: Status, capped: bool, current: bool) -> Status:
    """The status, by the order that the module's first lines give (R-53).

    `current`: it has no slot, or is the winner of it.
    """
    if gone:
        return Status.GONE
    if authority is not Status.LIVE:
        return authority
    if capped:
        return Status.CAPPED
    return Status.LIVE if current else Status.SUPERSEDED


# --- the whole account ---------------------------------------------------------------------
def judge(
    log: IdentityLog, headers: Mapping[bytes, Header], deletes: Mapping[bytes, Sequence[bytes]]
) -> dict[bytes, Status]:
    """The status of every record of the log's account among `headers`, by id (R-53).

    `deletes`: what each delete whose payload is here and valid names. Records of other accounts
    and envelopes are not in the answer, and deletes of and for other accounts have no effect.
    """
    own = {
        record_id: header
        for record_id, header in headers.items()
        if header.account == log.account and header.kind_class.lane is not Lane.NONE
    }
    reached = _reached_among(log, own.get)
    capped = _capped(own, reached)
    authority = {
        record_id: authority_status(log, record_id, header, reached)
        for record_id, header in own.items()
    }
    effective = {
        record_id: header
        for record_id, header in own.items()
        if counts(authority[record_id], capped=record_id in capped)
    }
    deleted = {
        target
        for record_id, header in effective.items()
        if header.kind == kinds.DELETE
        for target in deletes.get(record_id, ())
    }
    current = _current(effective)
    return {
        record_id: first_match(
            gone=can_go(header) and (log.vanished or record_id in deleted),
            authority=authority[record_id],
            capped=record_id in capped,
            current=header.slot is None or record_id in current,
        )
        for record_id, header in own.items()
    }


def _reached_among(log: IdentityLog, lookup: Lookup) -> Reached:
    found: dict[tuple[bytes, Lane], frozenset[bytes]] = {}

    def reached(key: bytes, lane: Lane) -> Set[bytes]:
        if (key, lane) not in found:
            authority = log.authority(key)
            found[key, lane] = reached_by_all(walks(log.account, authority, lane, lookup))
        return found[key, lane]

    return reached


def _capped(own: Mapping[bytes, Header], reached: Reached) -> set[bytes]:
    groups: defaultdict[CapGroup, list[tuple[int, bytes]]] = defaultdict(list)
    for record_id, header in own.items():
        if group := cap_group(header):
            groups[group].append((header.seq, record_id))
    capped: set[bytes] = set()
    for group, entries in groups.items():
        if len(entries) > RECORDS_PER_KEY_LANE_DAY_MAX:
            capped |= over_cap(entries, reached(group.key, group.lane))
    return capped


def _current(effective: Mapping[bytes, Header]) -> set[bytes]:
    """The winners of all slots. The kind belongs to the slot: only payloads tie the two."""
    slots: defaultdict[tuple[int, bytes], list[tuple[int, bytes]]] = defaultdict(list)
    for record_id, header in effective.items():
        if header.slot is not None:
            slots[header.kind, header.slot].append((header.created_ms, record_id))
    return {winner for values in slots.values() if (winner := slot_winner(values))}
