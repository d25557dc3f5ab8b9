"""What is wrong with a request, a message, a frame or a file, rather than with a record in it.

One row a case: its name, its way, what is sent as it stands on the wire (the frames of a link in
one message), and the code. `cut`: the connection ends with it, and the next one is served.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgpack

from ratoon_node.api.answers import RECORD_TYPE, RECORDS_TYPE
from ratoon_protocol.bundle import MAGIC
from tests.node.api.site import TOKEN

#: What this table's node takes in one request.
REQUEST_BYTES_MAX = 120_000
DEEP = "[" * 20_000 + "]" * 20_000


class Asked(NamedTuple):
    """One case. `given` is text for a text message of a stream, else bytes."""

    name: str
    way: str
    given: bytes | str | list[bytes]
    code: str
    cut: bool = False


def http(request: str, body: bytes = b"") -> bytes:
    """A request whose lines end as HTTP wants; `{n}` is the length of its body."""
    head = request.replace("{n}", str(len(body))).replace("\n", "\r\n")
    return head.encode("latin-1") + b"\r\n\r\n" + body


def post(body: bytes, more: str = "", type_: str = RECORD_TYPE, path: str = "/v1/records") -> bytes:
    return http(
        f"POST {path} HTTP/1.1\nHost: x\nContent-Type: {type_}\nContent-Length: {{n}}{more}", body
    )


def get(path: str, more: str = "") -> bytes:
    return http(f"GET {path} HTTP/1.1\nHost: x{more}")


def as_json(body: str, path: str = "/v1/session/challenge") -> bytes:
    return post(body.encode("utf-8", "surrogatepass"), "", "application/json", path)


# --- requests ------------------------------------------------------------------------------
def _bodies() -> Iterator[Asked]:
    begin = f"POST /v1/records HTTP/1.1\nHost: x\nContent-Type: {RECORD_TYPE}"
    chunk = b"fa00\r\n" + bytes(64_000) + b"\r\n"
    yield Asked("an empty body", "http", post(b""), "empty")
    large = http(begin + "\nContent-Length: 1000000000")
    yield Asked("a body of 1 GB is declared", "http", large, "too_large", True)
    one_more = http(begin + f"\nContent-Length: {REQUEST_BYTES_MAX + 1}")
    yield Asked("a body of one byte more", "http", one_more, "too_large", True)
    chunked = http(begin + "\nTransfer-Encoding: chunked") + 2 * chunk
    yield Asked("chunks past the bound", "http", chunked, "too_large", True)
    for word in ("gzip", "x-gzip", "deflate", "br", "zstd", "identity", "gzip, gzip"):
        squeezed = post(b"\x1f\x8b" * 50, f"\nContent-Encoding: {word}")
        yield Asked(f"content encoding {word}", "http", squeezed, "encoding_refused", True)
    for word in ("text/plain", "application/json", "multipart/form-data; boundary=x", "*/*", "x"):
        yield Asked(f"a record as {word}", "http", post(b"\x93", type_=word), "bad_request")
    bare = http("POST /v1/records HTTP/1.1\nHost: x\nContent-Length: {n}", b"\x93")
    yield Asked("a record without a type", "http", bare, "bad_request")


def _batches() -> Iterator[Asked]:
    many = msgpack.packb([b"x"] * 10_001)
    one = msgpack.packb([b"x"])
    rows = {
        "no batch at all": (b"", "empty"),
        "an empty batch": (b"\x90", "empty"),
        "a map for a batch": (b"\x80", "bad_type"),
        "nil for a batch": (b"\xc0", "bad_type"),
        "a text in a batch": (b"\x91\xa1x", "bad_type"),
        "a list in a batch": (b"\x91\x90", "bad_type"),
        "a batch and a byte": (one + b"\0", "trailing"),
        "a batch cut short": (one[:-1], "malformed"),
        "a batch in a longer spelling": (b"\xdc\x00\x01\xc4\x01x", "non_canonical"),
        "an item in a longer spelling": (b"\x91\xc5\x00\x01x", "non_canonical"),
        "a batch that claims 4 G items": (b"\xdd\xff\xff\xff\xff", "too_many"),
        "an item that claims 4 GiB": (b"\x91\xc6\xff\xff\xff\xff", "malformed"),
        "a batch of 10,001": (many, "too_many"),
    }
    for way, path, more in (
        ("batch", "/v1/records", ""),
        ("bundle", "/v1/operator/bundle", f"\nAuthorization: Bearer {TOKEN}"),
    ):
        for name, (data, code) in rows.items():
            yield Asked(name, way, post(data, more, RECORDS_TYPE, path), code)
    path = "/v1/operator/bundle"
    yield Asked("a bundle of nobody", "bundle", post(one, "", RECORDS_TYPE, path), "unauthorised")
    wrong = post(one, f"\nAuthorization: Bearer {TOKEN[:-1]}", RECORDS_TYPE, path)
    yield Asked("a bundle with half a token", "bundle", wrong, "unauthorised")
    single = post(one, f"\nAuthorization: Bearer {TOKEN}", RECORD_TYPE, path)
    yield Asked("a bundle of another type", "bundle", single, "bad_request")


def _questions() -> Iterator[Asked]:
    account = "0" * 64
    rows = {
        "a cursor that is a word": ("/v1/timelines/network?before=x", "bad_request"),
        "a cursor below nought": ("/v1/timelines/network?before=-1", "bad_request"),
        "a cursor of 2^53": (f"/v1/timelines/network?before={2**53}", "out_of_range"),
        "a cursor of a thousand digits": (
            "/v1/timelines/network?since=" + "9" * 1000,
            "out_of_range",
        ),
        "a cursor in Arabic digits": ("/v1/timelines/network?before=%D9%A3", "bad_request"),
        "a cursor as a float": ("/v1/timelines/network?before=1e3", "bad_request"),
        "two directions": ("/v1/timelines/network?before=1&since=1", "bad_request"),
        "one cursor twice": ("/v1/timelines/network?before=1&before=2", "bad_request"),
        "an unknown parameter": ("/v1/timelines/network?debug=1", "bad_request"),
        "no items at all": ("/v1/timelines/network?limit=0", "out_of_range"),
        "a million items": ("/v1/timelines/network?limit=1000000", "out_of_range"),
        "nobody's home": ("/v1/timelines/home", "bad_request"),
        "an account of 63 digits": ("/v1/accounts/" + "0" * 63, "bad_request"),
        "an account of no digits": ("/v1/accounts/" + "g" * 64, "bad_request"),
        "an account that is a path": ("/v1/accounts/..%2f..%2fetc%2fpasswd", "bad_request"),
        "an account with a zero byte": ("/v1/accounts/%00" + "0" * 61, "bad_request"),
        "an unknown account": (f"/v1/accounts/{account}", "unknown_account"),
        "a path upwards": ("/../../../etc/passwd", "not_found"),
        "a coded path upwards": ("/v1/%2e%2e/%2e%2e/etc/passwd", "not_found"),
        "a path of nothing": ("//", "not_found"),
        "an unknown path": ("/v1/nothing", "not_found"),
        "seventeen providers": (
            f"/v1/records/{account}/receipts?wait=providers:17",
            "bad_request",
        ),
        "a wait below nought": (f"/v1/records/{account}/receipts?timeout=-1", "bad_request"),
        "a search that is too long": ("/v1/search?in=posts&q=" + "a" * 5000, "too_long"),
        "a search in nothing": ("/v1/search?in=secrets&q=a", "bad_request"),
        "a name that is a path": ("/v1/names/..%2f..@a.example", "bad_request"),
        "a stream that is none": ("/v1/stream", "bad_request"),
        "events without a topic": ("/v1/events", "bad_request"),
        "events from a word": ("/v1/events?topic=network&since=x", "bad_request"),
        "events of an unknown topic": ("/v1/events?topic=secrets", "bad_request"),
    }
    for name, (path, code) in rows.items():
        yield Asked(name, "http", get(path), code)
    events = "/v1/events?topic=network"
    last = get(events, "\nLast-Event-ID: " + "9" * 40)
    yield Asked("a last event of forty digits", "http", last, "out_of_range")
    brew = http("BREW /v1/node HTTP/1.1\nHost: x")
    yield Asked("a method of nobody", "http", brew, "bad_request", True)
    delete = http("DELETE /v1/records HTTP/1.1\nHost: x")
    yield Asked("a method of another path", "http", delete, "bad_request")


def _json() -> Iterator[Asked]:
    account = '"' + "0" * 64 + '"'
    rows = {
        "no JSON": ("{", "bad_request"),
        "an empty JSON": ("", "empty"),
        "a JSON of noise": ("\x00\x01", "bad_request"),
        "a list for an object": ("[]", "bad_request"),
        "a JSON 20,000 deep": (DEEP, "bad_request"),
        "a field 20,000 deep": ('{"account":' + DEEP + "}", "bad_request"),
        "an unknown field": ('{"account":' + account + ',"admin":true}', "bad_request"),
        "not a number in JSON": ('{"account":NaN}', "bad_request"),
        "infinity in JSON": ('{"account":Infinity}', "bad_request"),
        "half a surrogate in JSON": ('{"account":"\ud800"}', "bad_request"),
        "an account that is a number": ('{"account":' + "9" * 400 + "}", "bad_request"),
        "an account of another length": ('{"account":"00"}', "bad_request"),
        "JSON and more": ('{"account":' + account + "}{}", "bad_request"),
    }
    for name, (body, code) in rows.items():
        yield Asked(name, "http", as_json(body), code)
    long = '{"account":"' + "0" * 70_000 + '"}'
    yield Asked("a JSON above its bound", "http", as_json(long), "too_large", True)
    session = "/v1/session"
    for name, body, code in (
        ("a statement that is no base64", '{"statement":"%%%"}', "bad_request"),
        ("a statement of nothing", '{"statement":""}', "empty"),
        ("a statement of noise", '{"statement":"wMHC"}', "trailing"),
        ("a statement above its bound", '{"statement":"' + "A" * 8000 + '"}', "bad_request"),
    ):
        yield Asked(name, "http", as_json(body, session), code)


def _spellings() -> Iterator[Asked]:
    """What is no HTTP, or is two things at once."""
    begin = "POST /v1/records HTTP/1.1\nHost: x\nContent-Type: " + RECORD_TYPE
    rows = {
        "noise for a request": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        "another version of HTTP": http("GET /v1/node HTTP/9.9\nHost: x"),
        "a space before the colon": http("GET /v1/node HTTP/1.1\nHost : x"),
        "a header without a colon": http("GET /v1/node HTTP/1.1\nHost: x\nnonsense"),
        "a header with a zero byte": http("GET /v1/node HTTP/1.1\nHost: x\nA: b\0c"),
        "a length and chunks": http(begin + "\nContent-Length: 1\nTransfer-Encoding: chunked")
        + b"0\r\n\r\n",
        "two lengths": http(begin + "\nContent-Length: 1\nContent-Length: 2", b"xx"),
        "a length below nought": http(begin + "\nContent-Length: -1"),
        "a length with a sign": http(begin + "\nContent-Length: +1", b"x"),
        "a length of a word": http(begin + "\nContent-Length: many", b"x"),
        "chunks of no number": http(begin + "\nTransfer-Encoding: chunked") + b"zz\r\nx\r\n",
        "a chunk below nought": http(begin + "\nTransfer-Encoding: chunked") + b"-1\r\nx\r\n",
    }
    for name, given in rows.items():
        yield Asked(name, "http", given, "bad_request", True)
    long = get("/v1/node", "\nX-Long: " + "a" * 20_000)
    yield Asked("a header of 20,000 bytes", "http", long, "too_large", True)
    path = get("/v1/node?" + "a" * 20_000)
    yield Asked("a path of 20,000 bytes", "http", path, "too_large", True)
    many = get("/v1/node", "".join(f"\nX-{at}: a" for at in range(50_000)))
    yield Asked("50,000 headers", "http", many, "bad_request", True)
    expect = get("/v1/node", "\nExpect: the-unexpected")
    yield Asked("an unknown expectation", "http", expect, "bad_request")


# --- messages of a stream ------------------------------------------------------------------
def _published() -> Iterator[Asked]:
    rows = {
        "an empty message": (b"", "empty"),
        "a message that is nil": (b"\xc0", "bad_type"),
        "a message of one part": (b"\x91\x01", "bad_length"),
        "a message of three parts": (b"\x93\x01\x90\xc0", "bad_length"),
        "a message without a number": (b"\x92\xa1x\x90", "bad_type"),
        "a message numbered below nought": (b"\x92\xff\x90", "bad_type"),
        "a message of a text": (b"\x92\x01\x91\xa1x", "bad_type"),
        "a message that claims 4 G": (b"\x92\x01\xdd\xff\xff\xff\xff", "too_many"),
        "a message of 10,001": (b"\x92\x01" + msgpack.packb([b""] * 10_001), "too_many"),
        "a message and a byte": (b"\x92\x01\x90\x00", "trailing"),
        "a message cut short": (b"\x92\x01\x91\xc4\x05x", "malformed"),
        "a message in a longer spelling": (b"\xdc\x00\x02\x01\x90", "non_canonical"),
    }
    for name, (given, code) in rows.items():
        yield Asked(name, "stream", given, code)


def _subscribed() -> Iterator[Asked]:
    rows = {
        "an empty text": ("", "bad_request"),
        "a text that is no JSON": ("subscribe", "bad_request"),
        "a list for a subscription": ("[]", "bad_request"),
        "a subscription 2,000 deep": ("[" * 2000, "bad_request"),
        "a subscription above its bound": (" " * 5000, "too_large"),
        "an unknown topic": ('{"subscribe":"secrets"}', "bad_request"),
        "a topic that is a number": ('{"subscribe":1}', "bad_request"),
        "a subscription with more": ('{"subscribe":"network","admin":1}', "bad_request"),
        "somebody's posts without a name": ('{"subscribe":"account"}', "bad_request"),
        "an account of two digits": ('{"subscribe":"account","account":"00"}', "bad_request"),
        "a list of nobody": ('{"subscribe":"list"}', "bad_request"),
        "a thread of nothing": ('{"subscribe":"thread"}', "bad_request"),
        "a tag of nothing": ('{"subscribe":"tag"}', "bad_request"),
        "a cursor below nought on a stream": (
            '{"subscribe":"network","since":-1}',
            "out_of_range",
        ),
        "a cursor of 2^60": (f'{{"subscribe":"network","since":{2**60}}}', "out_of_range"),
        "a cursor of 400 digits": (
            '{"subscribe":"network","since":' + "9" * 400 + "}",
            "out_of_range",
        ),
        "a cursor that is a float": ('{"subscribe":"network","since":1.5}', "bad_request"),
        "a cursor that is no number": ('{"subscribe":"network","since":NaN}', "bad_request"),
        "a cursor that is a text": ('{"subscribe":"network","since":"1"}', "bad_request"),
        "notifications of nobody": ('{"subscribe":"notifications"}', "unauthorised"),
        "notifications by a wrong token": (
            '{"subscribe":"notifications","token":"' + "0" * 64 + '"}',
            "unauthorised",
        ),
    }
    for name, (given, code) in rows.items():
        yield Asked(name, "stream", given, code)


def _websocket(opcode: int, data: bytes, final: int = 0x80, masked: int = 0x80) -> bytes:
    """A WebSocket frame (RFC 6455), masked with zeros."""
    size = len(data)
    length = bytes([masked | size]) if size < 126 else bytes([masked | 127]) + size.to_bytes(8)
    return bytes([final | opcode]) + length + (bytes(4) if masked else b"") + data


def _wires() -> Iterator[Asked]:
    """Frames that end the WebSocket; the code is the one that closes it."""
    claims = bytes([0x82, 0xFF]) + (2**40).to_bytes(8) + bytes(4)
    rows = {
        "a message of 1 MiB and more": (_websocket(2, bytes(1024 * 1024 + 1)), "1009"),
        "a message that claims 1 TiB": (claims, "1009"),
        "a squeezed message": (_websocket(2, b"x", 0xC0), "1002"),
        "a reserved sort of frame": (_websocket(3, b"x"), "1002"),
        "a control frame in parts": (_websocket(9, b"x", 0), "1002"),
        "a control frame of 200 bytes": (_websocket(9, bytes(200)), "1002"),
        "a text that is no UTF-8 on the wire": (_websocket(1, b"\xff\xfe"), "1007"),
        "a part of nothing": (_websocket(0, b"x"), "1002"),
        "a close of one byte": (_websocket(8, b"x"), "1002"),
    }
    for name, (given, code) in rows.items():
        yield Asked(name, "stream", given, code, True)


# --- files ---------------------------------------------------------------------------------
def _files() -> Iterator[Asked]:
    manifest = msgpack.packb([b"ratoon\0\1", bytes(32), 1, 0, ""])

    def bundle(rest: bytes, manifest: bytes = manifest, magic: bytes = MAGIC) -> bytes:
        return magic + len(manifest).to_bytes(4) + manifest + bytes(64) + rest

    rows = {
        "an empty file": (b"", "truncated"),
        "a file of something else": (b"\x89PNG\r\n\x1a\n" + bytes(100), "malformed"),
        "a bundle of a later version": (
            bundle(bytes(5), magic=MAGIC[:-2] + b"\2\n"),
            "unsupported",
        ),
        "a bundle without its end": (bundle(b""), "truncated"),
        "a bundle cut in an item": (bundle(b"\1\0\0\0\x09abc"), "truncated"),
        "an end with a length": (bundle(b"\0\0\0\0\1x"), "too_large"),
        "an item of 4 GiB": (bundle(b"\1\xff\xff\xff\xff"), "too_large"),
        "a file of media of 16 MiB and more": (bundle(b"\2\1\0\0\1"), "too_large"),
        "a manifest of 4 GiB": (MAGIC + b"\xff\xff\xff\xff", "too_large"),
        "a manifest of nothing": (bundle(bytes(5), b""), "empty"),
        "a manifest that is nil": (bundle(bytes(5), b"\xc0"), "bad_body"),
        "a manifest of four parts": (bundle(bytes(5), msgpack.packb([b"", b"", 1, 0])), "bad_body"),
        "a note that steers a terminal": (
            bundle(bytes(5), msgpack.packb([b"ratoon\0\1", bytes(32), 1, 0, "\x1b[2J"])),
            "bad_text",
        ),
        "a bundle of another network": (
            bundle(bytes(5), msgpack.packb([b"elsewher", bytes(32), 1, 0, ""])),
            "failed",
        ),
    }
    for name, (given, code) in rows.items():
        yield Asked(name, "cli", given, code)


def all_asked() -> list[Asked]:
    """Every case that is no record."""
    makers = (
        *(_bodies, _batches, _questions, _json, _spellings),
        *(_published, _subscribed, _wires, _files),
    )
    return [case for maker in makers for case in maker()]
