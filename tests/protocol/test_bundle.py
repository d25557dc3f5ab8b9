"""Bundles: streamed, bounded, never trusted."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratoon_protocol import bundle
from ratoon_protocol.bundle import MEDIA, RECORD, BundleReader, BundleWriter, Manifest
from ratoon_protocol.errors import Code, DecodeError, UsageError
from ratoon_protocol.limits import (
    BUNDLE_MEDIA_BYTES_MAX,
    BUNDLE_RECORDS_MAX,
    RECORD_BYTES_MAX,
)
from tests.protocol import vectors_bundle
from tests.protocol.vectors_records import CREATED_MS, ID, KEY, NETWORK

VECTORS = vectors_bundle.bundle()
MANIFEST = Manifest(NETWORK, KEY.public, CREATED_MS, 2, "Fight night")


class Drip:
    """A source that gives one byte at a time, as a pipe may."""

    def __init__(self, data):
        self.source = io.BytesIO(data)
        self.asked_most = 0

    def read(self, size, /):
        self.asked_most = max(self.asked_most, size)
        return self.source.read(min(size, 1))


def written(items, manifest=MANIFEST):
    sink = io.BytesIO()
    writer = BundleWriter(sink, manifest, KEY)
    for tag, data in items:
        (writer.record if tag == RECORD else writer.media)(data)
    writer.close()
    return sink.getvalue()


@pytest.mark.parametrize("case", VECTORS["valid"], ids=lambda case: case["name"])
def test_valid_vectors(case):
    reader = BundleReader(Drip(bytes.fromhex(case["bytes"])))
    assert [[tag, data.hex()] for tag, data in reader.items()] == case["items"]
    assert reader.signed is case["signed"]


@pytest.mark.parametrize("case", VECTORS["invalid"], ids=lambda case: case["name"])
def test_invalid_vectors(case):
    with pytest.raises(DecodeError) as caught:
        list(BundleReader(io.BytesIO(bytes.fromhex(case["bytes"]))).items())
    assert caught.value.code == case["expect"]


def test_what_is_written_is_the_vector():
    items = [(RECORD, vectors_bundle.FIRST), (RECORD, vectors_bundle.SECOND)]
    assert written(items) == vectors_bundle.WHOLE


@given(st.lists(st.tuples(st.sampled_from([RECORD, MEDIA]), st.binary(max_size=50)), max_size=8))
def test_what_is_written_comes_back(items):
    reader = BundleReader(io.BytesIO(written(items)))
    assert reader.manifest == MANIFEST
    assert reader.signed
    assert list(reader.items()) == items


@given(st.integers(0, len(vectors_bundle.WHOLE) - 1))
def test_every_cut_is_noticed(length):
    with pytest.raises(DecodeError) as caught:
        list(BundleReader(io.BytesIO(vectors_bundle.WHOLE[:length])).items())
    assert caught.value.code is Code.TRUNCATED


def test_a_lie_about_a_length_is_refused_before_it_is_read():
    source = Drip(vectors_bundle.MAGIC + vectors_bundle.manifest() + b"\x01" + b"\xff" * 4)
    with pytest.raises(DecodeError):
        list(BundleReader(source).items())
    assert source.asked_most < 1000


def test_too_many_records(monkeypatch):
    monkeypatch.setattr(bundle, "BUNDLE_RECORDS_MAX", 1)
    found = BundleReader(io.BytesIO(vectors_bundle.WHOLE)).items()
    assert next(found)[0] == RECORD
    with pytest.raises(DecodeError) as caught:
        next(found)
    assert caught.value.code is Code.TOO_MANY


def test_what_no_reader_would_take_is_not_written():
    for manifest in (
        MANIFEST._replace(key=ID),
        MANIFEST._replace(records=BUNDLE_RECORDS_MAX + 1),
        MANIFEST._replace(note="a" * 4096),
    ):
        with pytest.raises(UsageError):
            written([], manifest)
    writer = BundleWriter(io.BytesIO(), MANIFEST, KEY)
    with pytest.raises(UsageError):
        writer.record(bytes(RECORD_BYTES_MAX + 1))
    with pytest.raises(UsageError):
        writer.media(bytes(BUNDLE_MEDIA_BYTES_MAX + 1))
