"""Makes `protocol/vectors/reconcile.json`.

The transcripts were replayed against two independent implementations of Negentropy V1 (the
published JavaScript and C++ ones), in both roles, and are theirs byte for byte. Timestamps from
2^31 on only the C++ one can follow.
"""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from ratoon_protocol.reconcile import Index, Reconciler, Window

Case = dict[str, Any]
Segment = dict[str, Any]

R_RECONCILE = "R-78"
VECTORS = Path(__file__).parents[2] / "protocol" / "vectors"
# A session that needs more goes on for ever: a test of it would never end.
_MESSAGES_MAX = 400

HOW = (
    "Record i of a segment (from first, count of them) has the timestamp start_s + i // per_second "
    "and an id that begins with prefix and goes on with the first bytes of SHA-256(label followed "
    "by i in decimal). Messages alternate, the client's first; have and need are what the client "
    "learns, in order. frame_bytes_max 0 is no limit. A case with one message asks that side alone."
)


def segment(
    label: str,
    count: int,
    *,
    first: int = 0,
    start_s: int = 0,
    per_second: int = 1,
    prefix: str = "",
) -> Segment:
    return {
        "label": label,
        "first": first,
        "count": count,
        "start_s": start_s,
        "per_second": per_second,
        "prefix": prefix,
    }


def records(segments: list[Segment]) -> list[tuple[int, bytes]]:
    """The records that segments stand for."""
    return [
        (
            part["start_s"] + i // part["per_second"],
            (bytes.fromhex(part["prefix"]) + sha256(f"{part['label']}{i}".encode()).digest())[:32],
        )
        for part in segments
        for i in range(part["first"], part["first"] + part["count"])
    ]


def transcript(client: Reconciler, server: Reconciler) -> dict[str, list[str]]:
    """A whole session: its messages and what the client learned."""
    message: bytes | None = client.initiate()
    messages: list[bytes] = []
    have: list[bytes] = []
    need: list[bytes] = []
    while message is not None:
        answer = server.respond(message)
        messages += [message, answer]
        assert len(messages) <= _MESSAGES_MAX, "the session makes no progress"
        step = client.proceed(answer)
        have += step.have
        need += step.need
        message = step.reply
    return {
        "messages": [data.hex() for data in messages],
        "have": [record_id.hex() for record_id in have],
        "need": [record_id.hex() for record_id in need],
    }


def side(case: Case) -> Reconciler:
    """A reconciler over one side of a case."""
    window = Window(Index(records(case["records"])), case["horizon_s"])
    return Reconciler(window, case["frame_bytes_max"], ranges_max=None)


def _side(segments: list[Segment], frame_bytes_max: int = 0, horizon_s: int = 0) -> Case:
    return {"records": segments, "frame_bytes_max": frame_bytes_max, "horizon_s": horizon_s}


def _sessions() -> Iterator[tuple[str, Case, Case]]:
    few, common = segment("few", 5), segment("common", 400, start_s=10, per_second=3)
    yield "both empty", _side([]), _side([])
    yield "client empty", _side([]), _side([few])
    yield "server empty", _side([few]), _side([])
    for count in (31, 32, 33, 47):
        some = segment("border", count)
        yield f"{count} equal records", _side([some]), _side([some])
        yield f"{count} records against none", _side([some]), _side([])
    yield (
        "one record more on each side",
        _side([common, segment("client", 1, start_s=50)]),
        _side([common, segment("server", 1, start_s=90)]),
    )
    second = segment("second", 300, start_s=7, per_second=1000)
    yield (
        "all in one second",
        _side([second, segment("client", 3, start_s=7, per_second=9)]),
        _side([second, segment("server", 3, start_s=7, per_second=9)]),
    )
    near = segment("near", 90, start_s=7, per_second=1000, prefix="00" * 29)
    yield (
        "ids that share 29 bytes in one second",
        _side([near, segment("client", 2, start_s=7, per_second=9, prefix="00" * 29)]),
        _side([near]),
    )
    top = segment("top", 1, start_s=20, prefix="ff" * 32)
    yield (
        "ids of ones: sums wrap at 2^256",
        _side([segment("ones", 40, prefix="ff" * 31)]),
        _side([segment("ones", 40, prefix="ff" * 31), top]),
    )
    late = segment("late", 60, start_s=2**64 - 62)
    yield (
        "timestamps up to 2^64-2",
        _side([few, late]),
        _side([segment("middle", 40, start_s=2**40), late]),
    )
    yield from _limited_sessions(common)


def _limited_sessions(common: Segment) -> Iterator[tuple[str, Case, Case]]:
    client = [common, segment("client", 130, per_second=2)]
    server = [common, segment("server", 160, start_s=3, per_second=2)]
    yield "both limited to 4096 bytes", _side(client, 4096), _side(server, 4096)
    yield "client limited to 4096 bytes", _side(client, 4096), _side(server)
    yield "server limited to 4096 bytes", _side(client), _side(server, 4096)
    second = segment("second", 400, start_s=7, per_second=1000)
    yield "limited, one second, client empty", _side([], 4096), _side([second], 4096)
    scattered = [segment("common", 150, start_s=10, per_second=3)]
    scattered.append(segment("common", 240, first=160, start_s=10, per_second=3))
    yield "limited, a hole of ten", _side(scattered, 4096), _side([common], 4096)
    yield (
        "both windows begin at 60 s",
        _side([common, segment("client", 70)], horizon_s=60),
        _side([common, segment("server", 70, start_s=40)], horizon_s=60),
    )


def _answers() -> Iterator[tuple[str, Case, str]]:
    one, few = _side([segment("one", 1, start_s=12345)]), _side([segment("few", 5)])
    yield "server: no ranges", one, "61"
    yield "server: skip everything", one, "61000000"
    yield "server: empty list up to infinity", one, "6100000200"
    yield "server: two bounds at infinity", one, "6100000200000001" + "00" * 16
    yield "server: equal bounds", few, "61" + "03000200" + "01000200" + "000000"
    yield "server: ends before infinity", few, "61030002" + "00"
    yield "server: prefix of 32 bytes", few, "610320" + "80" * 32 + "0200"
    yield "server: largest timestamp", few, "6181" + "ff" * 8 + "7f000200"
    yield "server: version 2 is answered with version 1", one, "62aabbccddeeff"
    yield "server: version 0 is answered with version 1", one, "60"
    yield "server: version 15 is answered with version 1", one, "6f"


def _valid() -> Iterator[Case]:
    for name, client, server in _sessions():
        session = transcript(side(client), side(server))
        yield {"name": name, "client": client, "server": server, **session}
    for name, server, message in _answers():
        answer = side(server).respond(bytes.fromhex(message)).hex()
        yield {"name": name, "server": server, "messages": [message, answer]}


def _malformed() -> Iterator[tuple[str, str]]:
    """Messages that either role refuses, whatever it holds."""
    fingerprint, some_id = "00" * 16, "11" * 32
    yield "empty message", ""
    yield "version byte below the range", "5f"
    yield "version byte above the range", "70"
    yield "bound cut after its timestamp", "6100"
    yield "bound without mode", "610000"
    yield "timestamp cut off", "6181"
    yield "timestamp not in its shortest form", "6180010000"
    yield "timestamp of eleven digits", "61" + "81" * 10 + "000000"
    yield "timestamp varint above 2^64-1", "6182" + "80" * 8 + "000000"
    yield "timestamp 2^64-1 spelled as a number", "61020000" + "81" + "ff" * 8 + "7f" + "0000"
    yield "timestamps that add up beyond 2^64-1", "6181" + "ff" * 8 + "7f0000" + "810000" + "00"
    yield "a number after infinity", "61000000" + "010000"
    yield "prefix of 33 bytes", "610221" + "00" * 33 + "00"
    yield "prefix length of nine digits", "6102" + "81" * 8 + "00" + "00"
    yield "prefix cut off", "61022000"
    yield "prefix length not in its shortest form", "61028001aa00"
    yield "prefixes descend", "610202bbaa00" + "0101bb00"
    yield "prefix falls away", "610201bb00" + "010000"
    yield "prefix at infinity descends", "610001bb00" + "000000"
    yield "mode 3", "61000003"
    yield "mode of two digits", "6100008101"
    yield "mode not in its shortest form", "6100008000"
    yield "fingerprint of 15 bytes", "61000001" + fingerprint[2:]
    yield "fingerprint missing", "61000001"
    yield "list without count", "61000002"
    yield "list of two with one id", "6100000202" + some_id
    yield "list of one with 31 bytes", "6100000201" + some_id[2:]
    yield "list that claims 2^63 ids", "61000002" + "81" + "80" * 8 + "00"
    yield "list that claims 2^56 ids", "61000002" + "81" + "80" * 7 + "00"
    yield "list count not in its shortest form", "6100000280" + "00"
    yield "byte after the last range", "6100000200" + "ff"
    yield "fingerprint longer than 16 bytes", "61000001" + fingerprint + "aa"
    yield "4097 ranges", "61" + "020000" * 4097


def _invalid() -> Iterator[Case]:
    for name, message in _malformed():
        for role in ("client", "server"):
            yield {
                "name": f"{role}: {name}",
                "role": role,
                "message": message,
                "expect": "sync_malformed",
            }
    for version in ("60", "62", "6f00"):
        yield {
            "name": f"client: the server answers version byte {version[:2]}",
            "role": "client",
            "message": version,
            "expect": "unsupported",
        }


def _cited(cases: Iterator[Case], **more: str) -> list[Case]:
    return [
        {"name": case.pop("name"), "requirement": R_RECONCILE, **case, **more} for case in cases
    ]


def reconcile() -> dict[str, Any]:
    """The whole document."""
    return {"how": HOW, "valid": _cited(_valid(), expect="ok"), "invalid": _cited(_invalid())}


def spelled() -> str:
    """The text of the file."""
    return json.dumps(reconcile(), indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    (VECTORS / "reconcile.json").write_text(spelled(), encoding="utf-8")
