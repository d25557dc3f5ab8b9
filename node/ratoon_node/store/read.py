"""Questions to the store: whole functions for `Db.read`. None of them changes anything."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ratoon_node.store.rows import (
    COLUMNS,
    FROM_ASKED,
    ID_IS,
    Bytes,
    Flag,
    Row,
    What,
    asked,
    id_is,
    row,
)
from ratoon_protocol import kinds, record
from ratoon_protocol.errors import Code, ProtocolError
from ratoon_protocol.kinds import Lane, Scope
from ratoon_protocol.status import Status

# Ids in one `IN (…)`: SQLite's own bound on parameters is far above.
IDS_PER_QUERY_MAX = 500
# Disposition values: see `policy.verdict.Verdict`; the store keeps the number only.
_HOLD, _PURGE = 3, 6


def code_of(stored: Row) -> Code:
    """What is true of a record here now, as an `ack` says it (R-76)."""
    if stored.disposition >= _PURGE:
        return Code.LEGAL
    if stored.status is Status.GONE:
        return Code.GONE
    if stored.status is Status.UNPROVEN:
        return Code.UNKNOWN_KEY
    if stored.status is Status.REVOKED:
        return Code.REVOKED
    if stored.status is Status.CAPPED:
        return Code.CAPPED
    if stored.disposition >= _HOLD:
        return Code.HELD if stored.disposition == _HOLD else Code.WITHHELD
    if stored.bytes_state is Bytes.HERE:
        return Code.STORED
    if stored.status is Status.SUPERSEDED:
        return Code.SUPERSEDED
    return {
        Bytes.WANTED: Code.WANTED,
        Bytes.INVALID: Code.INVALID,
        Bytes.ERASED: Code.GONE,
        Bytes.DROPPED: Code.DROPPED,
    }[stored.bytes_state]


def by_id(db: sqlite3.Connection, id_: bytes) -> Row | None:
    """One record, or None."""
    found = db.execute(f"SELECT {COLUMNS} FROM record WHERE {ID_IS}", (id_,)).fetchone()
    return row(found) if found else None


def by_ids(db: sqlite3.Connection, ids: Sequence[bytes]) -> dict[bytes, Row]:
    """The records of `ids` that are here."""
    found: dict[bytes, Row] = {}
    for start in range(0, len(ids), IDS_PER_QUERY_MAX):
        part = ids[start : start + IDS_PER_QUERY_MAX]
        for fields in db.execute(f"{asked(len(part))} SELECT {COLUMNS} {FROM_ASKED}", part):
            stored = row(fields)
            found[stored.id] = stored
    return found


def known(db: sqlite3.Connection, ids: Sequence[bytes]) -> dict[bytes, Bytes]:
    """Of `ids` those whose header is here, and where their payload is."""
    found: dict[bytes, Bytes] = {}
    for start in range(0, len(ids), IDS_PER_QUERY_MAX):
        part = ids[start : start + IDS_PER_QUERY_MAX]
        sql = f"{asked(len(part))} SELECT id, bytes_state {FROM_ASKED}"
        found.update((id_, Bytes(state)) for id_, state in db.execute(sql, part))
    return found


def by_number(db: sqlite3.Connection, number: int) -> Row | None:
    """One record by this store's own number."""
    found = db.execute(f"SELECT {COLUMNS} FROM record WHERE n = ?", (number,)).fetchone()
    return row(found) if found else None


def last_number(db: sqlite3.Connection) -> int:
    """The highest number of a record."""
    return int(db.execute("SELECT coalesce(max(n), 0) FROM record").fetchone()[0])


# --- accounts ----------------------------------------------------------------------------


class AccountRow(NamedTuple):
    """An account as stored."""

    n: int
    id: bytes
    first_seen_ms: int
    head: bytes | None
    vanished_ms: int | None
    vanish_final: int
    judged: int


def account(db: sqlite3.Connection, id_: bytes) -> AccountRow | None:
    """An account by its id, or None."""
    sql = f"SELECT {', '.join(AccountRow._fields)} FROM account WHERE id = ?"
    found = db.execute(sql, (id_,)).fetchone()
    return AccountRow(*found) if found else None


def handles(db: sqlite3.Connection, id_: bytes) -> tuple[str, ...]:
    """The handles that an account's newest operation lists, verified or not (R-41)."""
    found = account(db, id_)
    if found is None or found.head is None or found.vanished_ms is not None:
        return ()
    head = by_id(db, found.head)
    return _listed(head.header, head.payload, "handles") if head is not None else ()


def _listed(header: bytes, payload: bytes | None, what: str) -> tuple[Any, ...]:
    """What an operation lists; nothing if a disk has changed it: a flipped bit lists others."""
    try:
        record.check_payload_fits(record.decode_header(header), payload or b"")
        return tuple(record.decode_payload(payload or b"")[what])
    except ProtocolError:
        return ()


def account_id(db: sqlite3.Connection, number: int) -> bytes:
    """The id behind this store's number of an account."""
    found = db.execute("SELECT id FROM account WHERE n = ?", (number,)).fetchone()
    return bytes(found[0])


def unjudged(db: sqlite3.Connection) -> list[bytes]:
    """Accounts to which a change of authority is still being applied."""
    return [id_ for (id_,) in db.execute("SELECT id FROM account WHERE judged = 0")]


def judging(db: sqlite3.Connection) -> frozenset[int]:
    """Numbers of those accounts: what they signed is not given away until that is done."""
    return frozenset(n for (n,) in db.execute("SELECT n FROM account WHERE judged = 0"))


def leaving(db: sqlite3.Connection, before_ms: int) -> list[bytes]:
    """Accounts whose vanish by a lower key is older than `before_ms`."""
    found = db.execute(
        "SELECT id FROM account WHERE vanish_final = 0 AND vanished_ms < ?", (before_ms,)
    )
    return [id_ for (id_,) in found]


def accounts_by_key(db: sqlite3.Connection, key: bytes) -> list[bytes]:
    """Accounts whose head lists `key` as an account key: how words alone find an account."""
    found = db.execute(
        "SELECT account.id FROM account_key JOIN account ON account.n = account_key.account"
        " WHERE key = ? ORDER BY account.id LIMIT 64",
        (key,),
    )
    return [id_ for (id_,) in found]


def hosts(db: sqlite3.Connection, account_: bytes) -> tuple[bytes, ...]:
    """Nodes whose current hosting record names the account, in order of their ids (R-64)."""
    return hosts_of_each(db, [account_])[account_]


def hosts_of_each(
    db: sqlite3.Connection, accounts: Sequence[bytes]
) -> dict[bytes, tuple[bytes, ...]]:
    """As `hosts`, for each of some accounts."""
    latest: dict[bytes, dict[bytes, tuple[int, int]]] = {account: {} for account in accounts}
    for start in range(0, len(accounts), IDS_PER_QUERY_MAX):
        part = accounts[start : start + IDS_PER_QUERY_MAX]
        found = db.execute(
            "SELECT target, account.id, pointer.created_ms, state FROM pointer"
            " CROSS JOIN account ON account.n = pointer.account"
            f" WHERE target IN ({','.join('?' * len(part))}) AND kind = ?",
            (*part, kinds.HOSTING),
        )
        for target, node, created_ms, state in found:
            of = latest[target]
            of[node] = max(of.get(node, (0, 0)), (created_ms, state))
    return {
        account: tuple(sorted(node for node, (_, state) in of.items() if state))
        for account, of in latest.items()
    }


def hosted_among(db: sqlite3.Connection, node: bytes, accounts: Sequence[bytes]) -> set[bytes]:
    """Those of `accounts` with a current hosting record by `node`."""
    states: dict[bytes, int] = {}
    for start in range(0, len(accounts), IDS_PER_QUERY_MAX):
        part = accounts[start : start + IDS_PER_QUERY_MAX]
        found = db.execute(
            "SELECT target, state FROM pointer WHERE account = (SELECT n FROM account WHERE id = ?)"
            f" AND kind = ? AND target IN ({','.join('?' * len(part))})"
            " ORDER BY target, created_ms, state",
            (node, kinds.HOSTING, *part),
        )
        states.update(found)  # the newest word about each comes last
    return {target for target, state in states.items() if state}


def hosted(db: sqlite3.Connection, node: bytes, after: bytes, limit: int) -> list[bytes]:
    """Accounts with a current hosting record by `node`, by id after `after`."""
    found = db.execute(
        "SELECT DISTINCT target FROM pointer JOIN account ON account.n = pointer.account"
        " WHERE account.id = ? AND kind = ? AND state = 1 AND target > ? ORDER BY target LIMIT ?",
        (node, kinds.HOSTING, after, limit),
    )
    return [target for (target,) in found]


def homes(db: sqlite3.Connection, account_: bytes) -> tuple[bytes, ...]:
    """The account's homes: nodes that its head lists and that host it now (R-64).

    Anybody can say that he hosts somebody; what is private follows the account's own word.
    """
    found = db.execute(
        f"SELECT header, payload FROM account CROSS JOIN record ON {id_is('account.head')}"
        " WHERE account.id = ?",
        (account_,),
    ).fetchone()
    listed = _listed(found[0], found[1], "homes") if found else ()
    return tuple(node for node in hosts(db, account_) if node in listed)


def followed_by_hosted(db: sqlite3.Connection, account_: bytes, node: bytes) -> bool:
    """Whether somebody whose home is `node` follows the account."""
    found = db.execute(
        "SELECT 1 FROM pointer AS f JOIN account AS a ON a.n = f.account"
        " JOIN pointer AS h ON h.target = a.id AND h.kind = ? AND h.state = 1"
        " JOIN account AS n ON n.n = h.account AND n.id = ?"
        " WHERE f.target = ? AND f.kind = ? AND f.state = 1 LIMIT 1",
        (kinds.HOSTING, node, account_, kinds.FOLLOW),
    ).fetchone()
    return found is not None


def follows(db: sqlite3.Connection, account_: int, limit: int) -> list[bytes]:
    """Accounts that an account follows now."""
    latest: dict[bytes, tuple[int, int]] = {}
    found = db.execute(
        "SELECT target, created_ms, state FROM pointer WHERE account = ? AND kind = ? LIMIT ?",
        (account_, kinds.FOLLOW, limit),
    )
    for target, created_ms, state in found:
        latest[target] = max(latest.get(target, (0, 0)), (created_ms, state))
    return [target for target, (_, state) in latest.items() if state]


def current(db: sqlite3.Connection, account_: int, kind: int, target: bytes = b"") -> Row | None:
    """The live value of a kind about a target (a profile, a node record), newest first."""
    found = db.execute(
        f"SELECT {', '.join('record.' + name for name in Row._fields)} FROM pointer"
        " JOIN record ON record.n = pointer.record"
        " WHERE pointer.account = ? AND pointer.kind = ? AND target = ?"
        " ORDER BY record.created_ms DESC, record.id DESC LIMIT 1",
        (account_, kind, target),
    ).fetchone()
    return row(found) if found else None


def node_records(db: sqlite3.Connection, limit: int) -> list[Row]:
    """The live node record of every node known here."""
    found = db.execute(
        f"SELECT {', '.join('record.' + name for name in Row._fields)} FROM pointer"
        " JOIN record ON record.n = pointer.record"
        " WHERE pointer.target = x'' AND pointer.kind = ? LIMIT ?",
        (kinds.NODE, limit),
    )
    return [row(fields) for fields in found]


def identity_records(db: sqlite3.Connection, account_: bytes) -> list[Row]:
    """The identity records of an account, in order of arrival: a path before what builds on it."""
    found = db.execute(
        f"SELECT {', '.join('record.' + name for name in Row._fields)} FROM record"
        " JOIN account ON account.n = record.account"
        f" WHERE account.id = ? AND kind = {kinds.IDENTITY} ORDER BY record.n",
        (account_,),
    )
    return [row(fields) for fields in found]


def whole(stored: Row) -> bytes:
    """A stored record as it travels."""
    header = record.decode_header(stored.header)
    found = record.Record(stored.id, header, stored.header, stored.signature, stored.payload)
    return found.encode()


def introduction(db: sqlite3.Connection, account: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """A node's identity log and its current node record, encoded."""
    identity = tuple(map(whole, identity_records(db, account)))
    number = _number(db, account)
    node = current(db, number, kinds.NODE)
    return identity, whole(node) if node else b""


def _number(db: sqlite3.Connection, account: bytes) -> int:
    found = db.execute("SELECT n FROM account WHERE id = ?", (account,)).fetchone()
    return int(found[0]) if found else 0


def log_records(db: sqlite3.Connection, account_: bytes, limit: int) -> list[Row]:
    """The log lane of an account but for whom it hosts: operations first, in order of arrival."""
    found = db.execute(
        f"SELECT {', '.join('record.' + name for name in Row._fields)} FROM record"
        " JOIN chain ON chain.n = record.chain JOIN account ON account.n = chain.account"
        f" WHERE account.id = ? AND chain.lane = {int(Lane.LOG)} AND kind != {kinds.HOSTING}"
        f" ORDER BY kind != {kinds.IDENTITY}, record.n LIMIT ?",
        (account_, limit),
    )
    return [row(fields) for fields in found]


class Head(NamedTuple):
    """The newest known place of one chain."""

    key: bytes
    lane: int
    seq: int
    id: bytes
    created_ms: int
    forked: bool


def heads(db: sqlite3.Connection, account_: int) -> list[Head]:
    """The highest seq of every public chain of an account; on a fork the lowest id."""
    found: list[Head] = []
    chains = db.execute(
        "SELECT n, key, lane, forked FROM chain WHERE account = ? AND lane < ? ORDER BY key, lane",
        (account_, int(Lane.NONE)),
    ).fetchall()
    for number, key, lane, forked in chains:
        top = db.execute(
            "SELECT seq, id, created_ms FROM record WHERE chain = ? ORDER BY seq DESC, id LIMIT 1",
            (number,),
        ).fetchone()
        if top:
            found.append(Head(key, lane, top[0], top[1], top[2], bool(forked)))
    return found


def chain_records(
    db: sqlite3.Connection, account_: bytes, key: bytes, lane: int, seq: int, limit: int
) -> list[Row]:
    """Records of one chain, newest first, down to `seq` (R-77)."""
    found = db.execute(
        f"SELECT {', '.join('record.' + name for name in Row._fields)} FROM record"
        " JOIN chain ON chain.n = record.chain JOIN account ON account.n = chain.account"
        " WHERE account.id = ? AND chain.key = ? AND chain.lane = ? AND record.seq >= ?"
        " ORDER BY record.seq DESC, record.id LIMIT ?",
        (account_, key, lane, seq, limit),
    )
    return [row(fields) for fields in found]


def chain_key(db: sqlite3.Connection, chain: int) -> tuple[bytes, bytes, int]:
    """(account, key, lane) of a chain."""
    found = db.execute(
        "SELECT account.id, chain.key, lane FROM chain JOIN account ON account.n = chain.account"
        " WHERE chain.n = ?",
        (chain,),
    ).fetchone()
    return found[0], found[1], found[2]


def previous(stored: Row) -> bytes | None:
    """The id that a record's header names as the one before it."""
    return record.decode_header(stored.header).prev


def hosting_records(db: sqlite3.Connection, account_: bytes, limit: int) -> list[Row]:
    """The current hosting records that name an account, of whatever node."""
    found = db.execute(
        f"SELECT {', '.join('record.' + name for name in Row._fields)} FROM pointer"
        " JOIN record ON record.n = pointer.record"
        " WHERE pointer.target = ? AND pointer.kind = ? LIMIT ?",
        (account_, kinds.HOSTING, limit),
    )
    return [row(fields) for fields in found]


# --- sets for reconciliation -------------------------------------------------------------


class Member(NamedTuple):
    """A header in a set: what reconciliation compares."""

    kind: int
    created_ms: int
    id: bytes


_OUT = int(Flag.CAPPED | Flag.VANISHED | Flag.UNPROVEN)


def members_between(
    db: sqlite3.Connection, after: int, upto: int
) -> Iterator[tuple[int, int, bytes]]:
    """As `members`, of every account here by this store's numbers, and as plain tuples: a start
    reads a million of them.
    """
    return db.execute(
        f"SELECT kind, created_ms, id FROM record WHERE n > ? AND n <= ? AND flags & {_OUT} = 0",
        (after, upto),
    )


def members(db: sqlite3.Connection, accounts: Iterable[int]) -> Iterator[Member]:
    """Headers of some accounts that belong into sets."""
    sql = f"SELECT kind, created_ms, id FROM record WHERE flags & {_OUT} = 0"
    for number in accounts:
        chained = f"{sql} AND chain IN (SELECT n FROM chain WHERE account = ?)"
        yield from map(Member._make, db.execute(chained, (number,)))


def all_hosts(db: sqlite3.Connection) -> dict[bytes, set[bytes]]:
    """Every hosted account with the nodes that host it now."""
    latest: dict[tuple[bytes, bytes], tuple[int, int]] = {}
    found = db.execute(
        "SELECT target, account.id, pointer.created_ms, state FROM pointer"
        " JOIN account ON account.n = pointer.account WHERE kind = ?",
        (kinds.HOSTING,),
    )
    for target, node, created_ms, state in found:
        key = (target, node)
        latest[key] = max(latest.get(key, (0, 0)), (created_ms, state))
    result: dict[bytes, set[bytes]] = {}
    for (target, node), (_, state) in latest.items():
        if state:
            result.setdefault(target, set()).add(node)
    return result


def account_numbers(db: sqlite3.Connection) -> dict[bytes, int]:
    """Every account's number by its id."""
    return dict(db.execute("SELECT id, n FROM account"))


# --- wanted bytes, journal, receipts -----------------------------------------------------


def wanted(db: sqlite3.Connection, due_ms: int, after: int, limit: int) -> list[tuple[int, bytes]]:
    """(number, id) of records whose bytes may be asked for, by cursor."""
    found = db.execute(
        "SELECT wanted.record, record.id FROM wanted JOIN record ON record.n = wanted.record"
        " WHERE wanted.record > ? AND ask_ms <= ? ORDER BY wanted.record LIMIT ?",
        (after, due_ms, limit),
    )
    return [(number, id_) for number, id_ in found]


class Line(NamedTuple):
    """A journal line."""

    n: int
    what: What
    record: int | None
    account: int | None
    id: bytes | None
    created_ms: int | None


def journal(db: sqlite3.Connection, after: int, limit: int) -> list[Line]:
    """Journal lines after a position, in commit order."""
    found = db.execute(
        "SELECT n, what, record, account, id, created_ms FROM journal WHERE n > ? ORDER BY n"
        " LIMIT ?",
        (after, limit),
    )
    return [Line._make(fields) for fields in found]


def journal_end(db: sqlite3.Connection) -> int:
    """The newest journal position, 0 when nothing happened yet."""
    return int(db.execute("SELECT coalesce(max(n), 0) FROM journal").fetchone()[0])


def acks(db: sqlite3.Connection, record: int) -> list[tuple[bytes, str]]:
    """(node, code) of every answer kept with a record."""
    return list(db.execute("SELECT node, code FROM ack WHERE record = ?", (record,)))


def counts(db: sqlite3.Connection) -> dict[Scope, int]:
    """Headers held by scope."""
    found = dict.fromkeys(Scope, 0)
    for kind, count in db.execute("SELECT kind, count(*) FROM record GROUP BY kind"):
        found[kinds.kind_class(kind).scope] += count
    return found
