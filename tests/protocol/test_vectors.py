"""The vectors that are checked in, and a second decoder that must read them alike."""

from __future__ import annotations

import json
import re

import pytest

from ratoon_protocol.errors import Code
from tests.protocol import second_bodies, second_decoder
from tests.protocol.generate_vectors import FILES
from tests.protocol.second_decoder import Fault
from tests.protocol.vectors_codec import read, shown
from tests.protocol.vectors_keys import VECTORS, spelled

SPEC = VECTORS.parent / "SPEC.md"
DOCUMENTS = {
    path.name: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted(VECTORS.glob("*.json"))
}


def cases(name):
    document = DOCUMENTS[name]
    return [
        case for sort, found in document.items() if sort in ("valid", "invalid") for case in found
    ]


def verdict(judge):
    try:
        judge()
    except Fault as fault:
        return str(fault)
    return "ok"


def test_every_file_has_a_generator():
    assert set(DOCUMENTS) == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_files_are_what_the_generator_writes(name):
    assert (VECTORS / name).read_text(encoding="utf-8") == spelled(FILES[name]())


@pytest.mark.parametrize("name", FILES)
def test_cases_are_named_and_show_a_requirement_of_the_spec(name):
    stated = set(re.findall(r"^\*\*(R-\d+)\*\*", SPEC.read_text(encoding="utf-8"), re.MULTILINE))
    names = [case["name"] for case in cases(name)]
    assert len(names) == len(set(names))
    assert {case["requirement"] for case in cases(name)} <= stated
    words = {case["expect"] for case in cases(name) if "expect" in case}
    assert words <= {"ok", *Code}


def test_second_decoder_agrees_on_codec():
    for case in cases("codec.json"):
        data = bytes.fromhex(case["bytes"])
        assert verdict(lambda data=data: second_decoder.decode(data)) == case["expect"], case
        if case["expect"] == "ok":
            assert second_decoder.decode(data) == read(case["value"])


def test_second_decoder_agrees_on_records():
    document = DOCUMENTS["records.json"]
    network = bytes.fromhex(document["network"])
    for case in cases("records.json"):

        def judge(case=case):
            data = bytes.fromhex(case["bytes"])
            id_, header, _ = second_decoder.judge_record(data, network, document["now_ms"])
            assert (id_.hex(), shown(header)) == (case["id"], case["header"])

        assert verdict(judge) == case["expect"], case["name"]


def test_second_decoder_agrees_on_bodies():
    document = DOCUMENTS["bodies.json"]
    header = {name: bytes.fromhex(document[name]) for name in ("account", "key")}
    for case in cases("bodies.json"):

        def judge(case=case):
            slot = case["slot"] and bytes.fromhex(case["slot"])
            body = second_decoder.decode(bytes.fromhex(case["body"]), 3)
            second_bodies.check_body(header | {"kind": case["kind"], "slot": slot}, body)

        assert verdict(judge) == case["expect"], case["name"]


def test_second_decoder_reads_the_histories():
    document = DOCUMENTS["status.json"]
    network = bytes.fromhex(document["network"])
    for case in document["valid"]:
        ids = set()
        for record in map(bytes.fromhex, case["records"]):
            id_, header, body = second_decoder.judge_record(record, network, 2**53)
            if body is not None:
                second_bodies.check_body(header, body)
            ids.add(id_.hex())
        assert case["status"].keys() <= ids


def test_second_decoder_agrees_on_signatures():
    for case in cases("signatures.json"):
        parts = [bytes.fromhex(case[name]) for name in ("key", "signature", "message")]
        found = verdict(lambda parts=parts: second_decoder.check_signature(*parts))
        assert found == case["expect"], case["name"]


def test_second_decoder_agrees_on_statements():
    document = DOCUMENTS["statements.json"]
    network = bytes.fromhex(document["network"])
    for case in cases("statements.json"):

        def judge(case=case):
            data, context = bytes.fromhex(case["bytes"]), case["context"]
            key, parts = second_bodies.judge_statement(context, network, data)
            assert (key.hex(), shown(parts)) == (case["key"], case["parts"])

        assert verdict(judge) == case["expect"], case["name"]


def test_second_decoder_agrees_on_new_keys():
    document = DOCUMENTS["signatures.json"]
    for case in (*document["new_keys_valid"], *document["new_keys_invalid"]):
        key = bytes.fromhex(case["key"])
        assert verdict(lambda key=key: second_decoder.check_new_key(key)) == case["expect"], case


def test_second_decoder_shares_nothing_with_the_first():
    for module in (second_decoder, second_bodies):
        source = VECTORS.parents[1].joinpath(*module.__name__.split(".")).with_suffix(".py")
        imports = re.findall(r"^(?:from|import) (\S+)", source.read_text(), re.MULTILINE)
        assert not [name for name in imports if name.startswith(("ratoon_protocol", "msgpack"))]
