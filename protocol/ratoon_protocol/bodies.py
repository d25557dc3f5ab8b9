"""What the body of each kind must look like (R-90 to R-114).

One table a kind: field name, what it must be, whether it must be there. Keys that a table does
not name are kept and ignored, so a later version can add fields. A body that breaks its table is
the author's fault: its bytes are `invalid`, while the header still counts (R-26).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ratoon_protocol import codec, kinds
from ratoon_protocol.codec import Value
from ratoon_protocol.errors import Code, DecodeError, RecordError
from ratoon_protocol.limits import (
    ADDRESSES_MAX,
    ALT_BYTES_MAX,
    BIO_BYTES_MAX,
    BLUR_BYTES_MAX,
    DELETE_TARGETS_MAX,
    EMOJI_BYTES_MAX,
    ENVELOPE_PAYLOAD_BYTES_MAX,
    EVIDENCE_MAX,
    FACETS_MAX,
    INT_MAX,
    LIST_MEMBERS_MAX,
    MEDIA_MAX,
    MEDIA_SIDE_MAX,
    PAYLOAD_BYTES_MAX,
    POLL_OPTIONS_MAX,
    PROFILE_FIELDS_MAX,
    SALT_BYTES,
    TARGET_BYTES_MAX,
    TEXT_BYTES_MAX,
    TOKEN_BYTES_MAX,
    URL_BYTES_MAX,
    VOUCHED_MAX,
)
from ratoon_protocol.operation import parse_operation
from ratoon_protocol.record import Body, Header, record_id, slot_id
from ratoon_protocol.text import Check, country, language, line, link, paragraphs, tag, word

FACET_LINK = 0
FACET_MENTION = 1
FACET_TAG = 2


class Field(NamedTuple):
    """What a value must be, and whether the body must have it."""

    check: Check
    required: bool = True


class References(NamedTuple):
    """Whom and what a body points at; ids and accounts are 32 bytes."""

    accounts: tuple[bytes, ...]
    records: tuple[bytes, ...]


# --- other values --------------------------------------------------------------------------
def _exactly(length: int, code: Code = Code.BAD_LENGTH) -> Check:
    def check(value: Value) -> None:
        if type(value) is not bytes:
            raise DecodeError(Code.BAD_TYPE, "not bytes")
        if len(value) != length:
            raise DecodeError(code)

    return check


def _bytes(bytes_max: int) -> Check:
    def check(value: Value) -> None:
        if type(value) is not bytes:
            raise DecodeError(Code.BAD_TYPE, "not bytes")
        if len(value) > bytes_max:
            raise DecodeError(Code.TOO_LONG)

    return check


def _upto(top: int) -> Check:
    def check(value: Value) -> None:
        if type(value) is not int:
            raise DecodeError(Code.BAD_TYPE, "not an integer")
        if value > top:
            raise DecodeError(Code.OUT_OF_RANGE)

    return check


def _or_nil(check: Check) -> Check:
    def either(value: Value) -> None:
        if value is not None:
            check(value)

    return either


def _items(check: Check, count_max: int, count_min: int = 0, twice: bool = True) -> Check:
    def check_list(value: Value) -> None:
        if type(value) is not list:
            raise DecodeError(Code.BAD_TYPE, "not a list")
        if len(value) > count_max:
            raise DecodeError(Code.TOO_MANY)
        if len(value) < count_min:
            raise DecodeError(Code.BAD_BODY, "too few")
        for item in value:
            check(item)
        if not twice and len(set(value)) != len(value):
            raise DecodeError(Code.BAD_BODY, "named twice")

    return check_list


def _row(*checks: Check) -> Check:
    def check_row(value: Value) -> None:
        if type(value) is not list:
            raise DecodeError(Code.BAD_TYPE, "not a row")
        if len(value) != len(checks):
            raise DecodeError(Code.BAD_LENGTH, "row")
        for check, item in zip(checks, value, strict=True):
            check(item)

    return check_row


def _map(fields: Mapping[str, Field]) -> Check:
    def check_map(value: Value) -> None:
        if type(value) is not dict:
            raise DecodeError(Code.BAD_TYPE, "not a map")
        _check_fields(fields, value)

    return check_map


def _check_fields(fields: Mapping[str, Field], body: Body) -> None:
    for name, field in fields.items():
        if name in body:
            field.check(body[name])
        elif field.required:
            raise DecodeError(Code.BAD_BODY, f"{name} is missing")


def _choices(value: Value) -> None:
    """Options of a poll by place, ascending; none takes the vote back (R-112)."""
    _items(_upto(POLL_OPTIONS_MAX - 1), POLL_OPTIONS_MAX, twice=False)(value)
    if value != sorted(value):
        raise DecodeError(Code.NON_CANONICAL, "choices out of order")


_FACET_VALUES: dict[int, Check] = {
    FACET_LINK: link,
    FACET_MENTION: _exactly(32),
    FACET_TAG: tag,
}


def _facet_value(value: Value) -> None:
    """A type of a later version: bounded, and ignored."""
    (_bytes if type(value) is bytes else paragraphs)(URL_BYTES_MAX)(value)


def _facet(value: Value) -> None:
    _row(_upto(TEXT_BYTES_MAX), _upto(TEXT_BYTES_MAX), _upto(255), lambda _: None)(value)
    _FACET_VALUES.get(value[2], _facet_value)(value[3])


_ID = _exactly(32)
_TARGET_ID = _exactly(32, Code.BAD_TARGET)
_NO_TARGET = _exactly(0, Code.BAD_TARGET)
_BIT = _upto(1)
_MS = _upto(INT_MAX)
_LINE = line()


def _maybe(check: Check) -> Field:
    return Field(check, required=False)


_MEDIA = _map(
    {
        "alt": Field(paragraphs(ALT_BYTES_MAX)),
        "blur": Field(line(BLUR_BYTES_MAX)),
        "hash": Field(_ID),
        "height": Field(_upto(MEDIA_SIDE_MAX)),
        "ms": _maybe(_MS),
        "preview": _maybe(_ID),
        "preview_size": _maybe(_MS),
        "size": Field(_MS),
        "type": Field(word()),
        "width": Field(_upto(MEDIA_SIDE_MAX)),
    }
)
_POLL = _map(
    {
        "ends_ms": Field(_MS),
        "many": Field(_BIT),
        "options": Field(_items(line(empty=False), POLL_OPTIONS_MAX, count_min=2)),
    }
)
_ORIGIN = _map({"created_ms": Field(_MS), "source": Field(line(empty=False)), "url": _maybe(link)})
_POST: dict[str, Field] = {
    "text": Field(paragraphs(TEXT_BYTES_MAX)),
    "facets": _maybe(_items(_facet, FACETS_MAX)),
    "lang": _maybe(language),
    "media": _maybe(_items(_MEDIA, MEDIA_MAX)),
    "origin": _maybe(_ORIGIN),
    "parent": _maybe(_ID),
    "parent_account": _maybe(_ID),
    "poll": _maybe(_POLL),
    "quote": _maybe(_ID),
    "quote_account": _maybe(_ID),
    "replies": _maybe(_upto(3)),
    "root": _maybe(_ID),
    "root_account": _maybe(_ID),
    "warning": _maybe(_LINE),
}


def _slot(target: Check) -> dict[str, Field]:
    return {"slot_salt": Field(_exactly(SALT_BYTES)), "target": Field(target)}


_ANY_SLOT = _slot(_bytes(TARGET_BYTES_MAX))
_ENVELOPE = {
    "data": Field(_bytes(ENVELOPE_PAYLOAD_BYTES_MAX)),
    "token": _maybe(_bytes(TOKEN_BYTES_MAX)),
}
_FIELDS: dict[int, dict[str, Field]] = {
    kinds.DELETE: {
        "ids": Field(_items(_ID, DELETE_TARGETS_MAX, count_min=1, twice=False)),
    },
    kinds.NODE: _slot(_NO_TARGET)
    | {
        "addresses": Field(_items(word(), ADDRESSES_MAX, twice=False)),
        "admits": Field(_items(_ID, VOUCHED_MAX, twice=False)),
        "country": Field(country),
        "home_open": Field(_upto(2)),
        "name": Field(_LINE),
        "network": Field(_LINE),
        "provider": Field(_LINE),
        "rules": _maybe(paragraphs(TEXT_BYTES_MAX)),
        "software": Field(_LINE),
    },
    kinds.HOSTING: _slot(_TARGET_ID) | {"state": Field(_BIT)},
    kinds.PROFILE: _slot(_NO_TARGET)
    | {
        "avatar": _maybe(_MEDIA),
        "banner": _maybe(_MEDIA),
        "bio": Field(paragraphs(BIO_BYTES_MAX)),
        "fields": _maybe(_items(_row(_LINE, _LINE), PROFILE_FIELDS_MAX)),
        "name": Field(_LINE),
    },
    kinds.FOLLOW: _slot(_TARGET_ID) | {"state": Field(_BIT)},
    kinds.LIST: _slot(_exactly(16, Code.BAD_TARGET))
    | {
        "members": Field(_items(_ID, LIST_MEMBERS_MAX, twice=False)),
        "state": Field(_BIT),
        "title": Field(_LINE),
    },
    kinds.PREKEY: _slot(_TARGET_ID) | {"agreement": Field(_ID), "expires_ms": Field(_MS)},
    kinds.ADVISORY: _slot(_TARGET_ID)
    | {
        "entity": Field(_or_nil(line(empty=False))),
        "entity_type": Field(word()),
        "evidence": _maybe(_items(_ID, EVIDENCE_MAX)),
        "reason": Field(word()),
        "recommend": Field(word()),
        "state": Field(_BIT),
    },
    kinds.POST: _POST,
    kinds.REPOST: {"target": Field(_TARGET_ID), "target_account": Field(_ID)},
    kinds.SEALED_POST: {"data": Field(_bytes(PAYLOAD_BYTES_MAX)), "epoch": Field(_MS)},
    kinds.EDIT: _slot(_TARGET_ID) | _POST,
    kinds.REACTION: _slot(_TARGET_ID)
    | {
        "emoji": Field(line(EMOJI_BYTES_MAX, empty=False)),
        "state": Field(_BIT),
        "target_account": _maybe(_ID),
    },
    kinds.VOTE: _slot(_TARGET_ID) | {"choices": Field(_choices)},
    kinds.LABEL: _slot(_TARGET_ID) | {"state": Field(_BIT), "value": Field(word())},
    kinds.SETTING: _slot(_exactly(16, Code.BAD_TARGET))
    | {"data": Field(_bytes(PAYLOAD_BYTES_MAX))},
    kinds.MESSAGE: _ENVELOPE,
    kinds.REPORT: _ENVELOPE,
    kinds.FOLLOWER_KEYS: _ENVELOPE,
}


# --- what several fields say together ------------------------------------------------------
def _check_post(_header: Header, body: Body) -> None:
    if ("parent" in body) != ("root" in body):
        raise DecodeError(Code.BAD_BODY, "parent and root stand together")
    get = body.get
    if not (get("text") or get("media") or get("poll") or get("quote")):
        raise DecodeError(Code.BAD_BODY, "an empty post")
    if body.get("facets"):
        _check_facets(body["text"].encode(), body["facets"])


def _check_facets(text: bytes, facets: list[Value]) -> None:
    """Ascending, apart, inside the text, and never through a character (R-93)."""
    last = 0
    for start, end, _, _ in facets:
        if not last <= start < end <= len(text):
            raise DecodeError(Code.BAD_BODY, "facet range")
        if text[start] & 0xC0 == 0x80 or (end < len(text) and text[end] & 0xC0 == 0x80):
            raise DecodeError(Code.BAD_BODY, "facet inside a character")
        last = end


def _check_prekey(header: Header, body: Body) -> None:
    """A device speaks for itself: nobody else may lead its messages elsewhere (R-105)."""
    if body["target"] != header.key:
        raise DecodeError(Code.BAD_TARGET, "prekey of another device")


def _check_advisory(_header: Header, body: Body) -> None:
    entity = body["entity"]
    if entity is not None and body["target"] != entity_hash(body["entity_type"], entity):
        raise DecodeError(Code.BAD_TARGET, "advisory names another entity")


_TOGETHER: dict[int, Callable[[Header, Body], None]] = {
    kinds.POST: _check_post,
    kinds.EDIT: _check_post,
    kinds.PREKEY: _check_prekey,
    kinds.ADVISORY: _check_advisory,
}


def entity_hash(entity_type: str, entity: str) -> bytes:
    """The target (32 bytes) of an advisory that names its entity (R-106)."""
    return hashlib.sha256(entity_type.encode() + b"\x00" + entity.encode()).digest()


def check_body(header: Header, body: Body) -> None:
    """Accept the body for its kind, or raise `DecodeError`, `RecordError` or `IdentityError`.

    Kinds of a later version pass; one with a slot still has to show that the slot fits. Codes:
    `bad_body`, `bad_type`, `bad_length`, `bad_text`, `too_long`, `too_many`, `out_of_range`,
    `non_canonical`, `bad_target`, `bad_slot`, and those of an identity operation.
    """
    kind = header.kind
    if kind == kinds.IDENTITY:
        parse_operation(record_id(codec.encode(list(header))), header, body)
        return
    _check_fields(_FIELDS.get(kind, {}), body)
    if header.slot is not None:
        if kind not in _FIELDS:
            _check_fields(_ANY_SLOT, body)
        if header.slot != slot_id(header.account, kind, body["slot_salt"], body["target"]):
            raise RecordError(Code.BAD_SLOT)
    if kind in _TOGETHER:
        _TOGETHER[kind](header, body)


# --- what others need to know of a checked body --------------------------------------------
_RECORD_FIELDS = ("parent", "root", "quote")
_ACCOUNT_FIELDS = ("parent_account", "root_account", "quote_account", "target_account")
_TARGETS_RECORD = frozenset({kinds.REPOST, kinds.EDIT, kinds.REACTION, kinds.VOTE})
_TARGETS_ACCOUNT = frozenset({kinds.HOSTING, kinds.FOLLOW})
_POINTING_KINDS = _TARGETS_RECORD | _TARGETS_ACCOUNT
_POINTING = frozenset({*_RECORD_FIELDS, *_ACCOUNT_FIELDS, "facets", "members", "admits"})
_NOBODY = References((), ())
#: Fields of a post whose only text is its text.
_ONE_TEXT = frozenset({"text", "facets", "lang", "replies", *_RECORD_FIELDS, *_ACCOUNT_FIELDS})
_LINES = ("name", "title", "emoji", "value", "entity", "provider", "software", "warning")


def known(kind: int, body: Body) -> Body:
    """The fields of a checked body that its kind's table names; none of a kind not known here.

    What else stands in a body was looked at by nobody: a name that means something in another
    kind is any value here (R-6).
    """
    fields = _FIELDS.get(kind, {})
    if body.keys() <= fields.keys():  # as in nearly all of them
        return body
    return {name: value for name, value in body.items() if name in fields}


_NAMES = frozenset(name for fields in _FIELDS.values() for name in fields)
_FOREIGN = {kind: _NAMES - fields.keys() for kind, fields in _FIELDS.items()}


def own(kind: int, body: Body) -> Body:
    """A checked body without the fields that only other kinds have; those of later versions stay.

    For readers who ask a body for a field whatever its kind.
    """
    foreign = _FOREIGN.get(kind)
    if foreign is None or foreign.isdisjoint(body):
        return body
    return {name: value for name, value in body.items() if name not in foreign}


def references(kind: int, body: Body) -> References:
    """Accounts and records that a checked body shows or leads to, each once, in order of field.

    For policy (nobody may show blocked content through a quote) and for fetching what a reader
    will ask for next. A delete's ids are not among them: it shows nothing. Nor is the target of a
    label or advisory, which may be an account, a record or a hash.
    """
    if kind not in _POINTING_KINDS and body.keys().isdisjoint(_POINTING):  # as most posts
        return _NOBODY
    body = known(kind, body)
    accounts = [body[name] for name in _ACCOUNT_FIELDS if name in body]
    accounts += [facet[3] for facet in body.get("facets", ()) if facet[2] == FACET_MENTION]
    accounts += [*body.get("members", ()), *body.get("admits", ())]
    records = [body[name] for name in _RECORD_FIELDS if name in body]
    if kind in _TARGETS_RECORD:
        records.append(body["target"])
    elif kind in _TARGETS_ACCOUNT:
        accounts.append(body["target"])
    return References(tuple(dict.fromkeys(accounts)), tuple(dict.fromkeys(records)))


def texts(kind: int, body: Body) -> tuple[str, ...]:
    """Every piece of text that a reader of a checked body gets to see, for rules and search."""
    body = known(kind, body)
    if body.keys() <= _ONE_TEXT and "text" in body:  # as in most of them
        return (body["text"],) if body["text"] else ()
    found = [body.get("text"), body.get("bio"), body.get("rules")]
    found += [body.get(name) for name in _LINES]
    found += [part for row in body.get("fields", ()) for part in row]
    found += body.get("poll", {}).get("options", ())
    found += [picture["alt"] for picture in _media(body)]
    found.append(body.get("origin", {}).get("source"))
    return tuple(text for text in found if text)


_PICTURED = frozenset({"media", "avatar", "banner"})


def _media(body: Body) -> list[Body]:
    single = [body[name] for name in ("avatar", "banner") if name in body]
    return [*body.get("media", ()), *single]


def media(kind: int, body: Body) -> tuple[Body, ...]:
    """The media manifests of a checked body."""
    if body.keys().isdisjoint(_PICTURED):
        return ()
    return tuple(_media(known(kind, body)))


def links(kind: int, body: Body) -> tuple[str, ...]:
    """The addresses that a checked body links to."""
    if "facets" not in body and "origin" not in body:
        return ()
    body = known(kind, body)
    found = [facet[3] for facet in body.get("facets", ()) if facet[2] == FACET_LINK]
    origin = body.get("origin", {}).get("url")
    return (*found, origin) if origin else tuple(found)


def tags(kind: int, body: Body) -> tuple[str, ...]:
    """The tags of a checked body, as written."""
    if "facets" not in body:  # as in most of them
        return ()
    facets = known(kind, body).get("facets", ())
    return tuple(facet[3] for facet in facets if facet[2] == FACET_TAG)


def slot_target(kind: int, body: Body) -> bytes | None:
    """Whom or what a checked slot value is about; None where the kind has no slot."""
    return body["target"] if kinds.kind_class(kind).slot else None


def state(kind: int, body: Body) -> int:
    """0 where a checked slot value says that it holds no more, else 1."""
    return int(known(kind, body).get("state", 1))
