"""Bad input over HTTP: the right code, nothing stored, no exception, no traceback."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Any

import msgpack
import pytest

from ratoon_node.api.answers import RECORD_TYPE, RECORDS_TYPE
from ratoon_protocol import kinds
from ratoon_protocol.record import Record, encode_header, record_id
from tests.node.api.site import Site, site
from tests.node.world import Person


def crafted(who: Person, payload: bytes) -> bytes:
    """A post whose signature is right and whose payload is whatever a test says."""
    import hashlib

    good = who.post("x")
    header = good.header._replace(
        payload_len=len(payload), payload_hash=hashlib.sha256(payload).digest()
    )
    return resigned(who, good, encode_header(header), payload)


def resigned(who: Person, good: Record, header: bytes, payload: bytes) -> bytes:
    signature = who.author.key.sign(b"ratoon/1/record\x00" + header)
    return bytes(msgpack.packb([header, signature, payload]))


def padded(body: bytes) -> bytes:
    """A payload of 64 or a multiple of it around the bytes of a body."""
    head = b"\x93\xc4\x10" + bytes(16)
    size = -(len(head) + 2 + len(body)) % 64
    return head + b"\xc4" + bytes([size]) + bytes(size) + body


def text(value: bytes) -> bytes:
    return b"\x81\xa4text" + value


BODIES = [
    ("no map", b"\x90", "bad_type"),
    ("nesting 4", text(b"\x91\x91\x91\x91\x90"), "too_deep"),
    ("nesting 1,023", text(b"\x91" * 1023 + b"\x90"), "too_deep"),
    ("int 1 as uint64", b"\x82\xa1a\xcf" + bytes(7) + b"\x01\xa4text\xa1x", "non_canonical"),
    ("str as str8", text(b"\xd9\x01x"), "non_canonical"),
    ("array16 of one", b"\x82\xa1a\xdc\x00\x01\x01\xa4text\xa1x", "non_canonical"),
    ("duplicate key", b"\x82\xa4text\xa1x\xa4text\xa1y", "non_canonical"),
    ("keys out of order", b"\x82\xa4text\xa1x\xa1a\x01", "non_canonical"),
    ("key is not ASCII", b"\x82\xa4text\xa1x\xa2\xc3\xa9\x01", "non_canonical"),
    ("float", text(b"\xcb" + bytes(8)), "bad_type"),
    ("NaN", text(b"\xcb\x7f\xf8" + bytes(6)), "bad_type"),
    ("extension", text(b"\xd4\x01\x00"), "bad_type"),
    ("timestamp", text(b"\xd6\xff" + bytes(4)), "bad_type"),
    ("bin for text", text(b"\xc4\x01x"), "bad_type"),
    ("nil for text", text(b"\xc0"), "bad_type"),
    ("negative", b"\x82\xa1a\xff\xa4text\xa1x", "out_of_range"),
    ("2^53", b"\x82\xa1a\xcf\x00\x20" + bytes(6) + b"\xa4text\xa1x", "out_of_range"),
    ("2^64-1", b"\x82\xa1a\xcf" + b"\xff" * 8 + b"\xa4text\xa1x", "out_of_range"),
    ("bad UTF-8", text(b"\xa1\xff"), "bad_utf8"),
    ("surrogate", text(b"\xa3\xed\xa0\x80"), "bad_utf8"),
    ("overlong", text(b"\xa2\xc0\xaf"), "bad_utf8"),
    ("NUL", text(b"\xa3a\x00b"), "bad_text"),
    ("control", text(b"\xa3a\x07b"), "bad_text"),
    ("marks", text(b"\xb9a" + "\u0301".encode() * 12), "bad_text"),
    ("too long", text(b"\xda\x20\x01" + b"x" * 8193), "too_long"),
    ("no text", b"\x80", "bad_body"),
    ("map32 of 4 GiB", b"\xdf\xff\xff\xff\xff", "malformed"),
    ("array32 of 4 GiB", text(b"\xdd\xff\xff\xff\xff"), "malformed"),
    ("str32 of 4 GiB", text(b"\xdb\xff\xff\xff\xff"), "malformed"),
]


async def assert_nothing(place: Site, who: Person) -> None:
    """Nothing of the account is here but its genesis."""
    _, body = await place.get(f"/v1/accounts/{who.account.hex()}/records")
    assert [item["id"] for item in body["records"]] == [who.genesis.id.hex()]


async def test_bodies_that_no_node_takes(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        for name, body, code in BODIES:
            status, found = await place.publish_one(crafted(ann, padded(body)))
            assert (found["error"]["code"], 400 <= status < 500) == (code, True), (name, found)
            assert set(found["error"]) == {"code", "message"}, name
        await assert_nothing(place, ann)


async def test_records_that_no_node_takes(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        good = ann.post("x")
        payload = good.payload or b""

        def header(**more: Any) -> bytes:
            return bytes(msgpack.packb(list(good.header._replace(**more))))

        def signed(**more: Any) -> bytes:
            return resigned(ann, good, header(**more), payload)

        late = place.clock.now_ms() + 601_000
        cases = [
            (b"", "empty"),
            (good.encode()[:-1], "malformed"),
            (good.encode() + b"\x00", "trailing"),
            (b"\x91" * 100_000 + b"\x90", "too_large"),
            (b"\x91" * 20_000 + b"\x90", "too_deep"),
            (b"\xdd\xff\xff\xff\xff", "malformed"),
            (b"\x83\xa1a\x01\xa1b\x01\xa1c\x01", "bad_type"),
            (msgpack.packb([good.header_bytes, good.signature]), "bad_length"),
            (msgpack.packb([good.header_bytes, good.signature, None]), "empty"),
            (msgpack.packb([good.header_bytes, good.signature[:63], payload]), "bad_length"),
            (msgpack.packb([good.header_bytes, bytes(65), payload]), "bad_length"),
            (msgpack.packb([good.header_bytes, bytes(64), payload]), "bad_signature"),
            (msgpack.packb([good.header_bytes, good.signature, bytes(64)]), "payload_mismatch"),
            (
                msgpack.packb([good.header_bytes, good.signature, payload + bytes(64)]),
                "payload_mismatch",
            ),
            (signed(version=9), "unsupported"),
            (signed(kind=kinds.POST | 7), "unsupported"),
            (signed(network=bytes(8)), "wrong_network"),
            (signed(account=bytes(31)), "bad_length"),
            (signed(key=bytes(33)), "bad_length"),
            (signed(key=bytes(32)), "bad_key"),
            (signed(created_ms=late), "future"),
            (signed(created_ms=0), "too_old"),
            (signed(created_ms=2**53), "out_of_range"),
            (signed(seq=5, prev=None), "bad_chain"),
            (signed(slot=bytes(16)), "bad_slot"),
            (signed(payload_len=good.header.payload_len + 64), "payload_mismatch"),
            (signed(account=bytes(32)), "not_home"),
            (b"x" * 70_000, "too_large"),
        ]
        for at, (data, code) in enumerate(cases):
            _, found = await place.publish_one(data)
            assert found["error"]["code"] == code, (at, code, found)
        await assert_nothing(place, ann)


async def test_what_is_refused_is_named_if_its_header_can_be_read(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        good = ann.post("x")
        torn = bytes(msgpack.packb([good.header_bytes, good.signature, bytes(64)]))
        late = bytes(
            msgpack.packb(list(good.header._replace(created_ms=place.clock.now_ms() + 601_000)))
        )
        cases = [
            (torn, "payload_mismatch"),
            (crafted(ann, padded(b"\x80")), "bad_body"),
            (resigned(ann, good, late, good.payload or b""), "future"),
            (msgpack.packb([good.header_bytes, good.signature, None]), "empty"),
        ]
        for data, code in cases:
            _, found = await place.publish_one(data)
            (one,) = found["records"]
            id_ = record_id(msgpack.unpackb(data)[0])
            assert (one["code"], one["id"]) == (code, id_.hex())
        unnamed = (good.encode()[:-1], msgpack.packb([late[:-1], good.signature, bytes(64)]), b"x")
        for data in unnamed:
            _, found = await place.publish_one(data)
            assert found["records"][0]["id"] is None
        await assert_nothing(place, ann)


async def test_batches_that_no_node_takes(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        good = ann.post("x").encode()
        cases = [
            (b"", "empty"),
            (b"\x90", "empty"),
            (b"\x80", "bad_type"),
            (b"\xc0", "bad_type"),
            (msgpack.packb([good]) + b"\x00", "trailing"),
            (msgpack.packb([good])[:-1], "malformed"),
            (b"\xdc\x00\x01\xc4\x01x", "non_canonical"),
            (b"\x91\xc5\x00\x01x", "non_canonical"),
            (b"\xdd\xff\xff\xff\xff", "too_many"),
            (msgpack.packb([b"x"] * 10_001), "too_many"),
            (msgpack.packb(["text"]), "bad_type"),
        ]
        for data, code in cases:
            status, found = await place.post("/v1/records", data, RECORDS_TYPE)
            assert (status, found["error"]["code"]) == (400, code)
        await assert_nothing(place, ann)


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "br", "deflate", "identity"])
async def test_an_encoded_body_is_refused_unread(tmp_path: Path, encoding: str) -> None:
    async with site(tmp_path) as place:
        bomb = gzip.compress(b"") * 10_000
        status, body = await place.post(
            "/v1/records", bomb, RECORDS_TYPE, **{"Content-Encoding": encoding}
        )
        assert (status, body["error"]["code"]) == (415, "encoding_refused")


async def ask(place: Site, *parts: bytes) -> tuple[bytes, bytes]:
    """Write raw bytes on a socket of one's own; the status line and the body that come back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    for part in parts:
        writer.write(part)
    await writer.drain()
    answer = await reader.read()  # until the node closes
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0], body


def head(length: str) -> bytes:
    kind = RECORD_TYPE.encode()
    return (
        b"POST /v1/records HTTP/1.1\r\nHost: x\r\nContent-Type: "
        + kind
        + (f"\r\n{length}\r\n\r\n".encode())
    )


async def test_a_body_that_is_too_large_ends_the_connection(tmp_path: Path) -> None:
    async with site(tmp_path, request_bytes_max=100_000) as place:
        status, body = await ask(place, head("Content-Length: 1000000000"))
        assert (status.split()[1], b'"too_large"' in body) == (b"413", True)
        chunk = b"fa00\r\n" + bytes(64_000) + b"\r\n"
        status, body = await ask(place, head("Transfer-Encoding: chunked"), chunk, chunk)
        assert (status.split()[1], b'"too_large"' in body) == (b"413", True)


@pytest.mark.parametrize("coding", ["gzip, chunked", "gzip,chunked", "identity, chunked"])
async def test_chunks_of_something_else_are_not_taken_for_the_body(
    tmp_path: Path, coding: str
) -> None:
    """A proxy in front may take them off; then the next request begins elsewhere for it."""
    async with site(tmp_path) as place:
        body = b"3\r\nabc\r\n0\r\n\r\n"
        line = f"Transfer-Encoding: {coding}"
        status, found = await ask(place, head(line), body, asking("/livez"))
        assert (status.split()[1], b'"bad_request"' in found) == (b"501", True)
        assert b'"ok"' not in found, "what followed was answered"


async def test_chunks_of_an_old_client_are_not_taken_for_the_body(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        old = head("Transfer-Encoding: chunked").replace(b"HTTP/1.1", b"HTTP/1.0")
        status, _ = await ask(place, old, b"0\r\n\r\n")
        assert status.split()[1] == b"501"


@pytest.mark.parametrize(
    "bytes_", [b"NONSENSE\r\n\r\n", b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n"]
)
async def test_an_answer_to_what_is_no_http_says_that_it_is_the_last(
    tmp_path: Path, bytes_: bytes
) -> None:
    async with site(tmp_path) as place:
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(bytes_)
        said = (await reader.read()).partition(b"\r\n\r\n")[0].lower()
        writer.close()
        assert b"\r\nconnection: close" in said


def asking(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


async def test_a_body_that_never_ends_is_cut(tmp_path: Path) -> None:
    async with site(tmp_path, request_timeout_ms_max=50) as place:
        status, body = await ask(place, head("Content-Length: 100"), b"x")
        assert (status.split()[1], b'"timeout"' in body) == (b"504", True)


async def test_whatever_is_asked_the_answer_has_the_one_shape(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        for path, status, code in (
            ("/v1/nothing", 404, "not_found"),
            ("/v1/timelines/network?limit=0", 400, "out_of_range"),
            ("/v1/timelines/network?limit=1000000", 400, "out_of_range"),
            ("/v1/timelines/network?limit=-1", 400, "bad_request"),
            ("/v1/timelines/network?before=x", 400, "bad_request"),
            ("/v1/timelines/network?before=99999999999999999999", 400, "out_of_range"),
            ("/v1/timelines/network?before=1&since=1", 400, "bad_request"),
            ("/v1/timelines/network?before=%D9%A3", 400, "bad_request"),
            ("/v1/timelines/home", 400, "bad_request"),
            ("/v1/accounts?key=zz", 400, "bad_request"),
            ("/v1/accounts/" + "0" * 64, 404, "unknown_account"),
            ("/v1/accounts/" + "g" * 64, 400, "bad_request"),
            (f"/v1/records/{'0' * 64}/receipts", 404, "not_found"),
            ("/v1/stream", 400, "bad_request"),
        ):
            found, body = await place.get(path)
            assert (found, body["error"]["code"]) == (status, code), path
        async with place.http.delete(place.url + "/v1/records") as response:
            assert response.status == 405
            assert (await response.json())["error"]["code"] == "bad_request"
        status, body = await place.post("/v1/records", b"x", "text/plain")
        assert (status, body["error"]["code"]) == (400, "bad_request")
