"""Records signed beforehand: many authors with fresh keys, posting in turn."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import msgpack

from ratoon_node.operate.seed.speech import Speech, Tongue, tongues
from ratoon_protocol import kinds, phrase
from ratoon_protocol.author import Author, Draft, capability_set, device_row, new_account
from ratoon_protocol.keys import AgreementKey, SigningKey
from ratoon_protocol.kinds import Capability
from ratoon_protocol.limits import NETWORK_PUBLIC
from ratoon_protocol.record import Body

AUTHORS = 1000
# Of a text, unless a bench wants others.
TEXT_BYTES = 280
# Time between two posts of the corpus, and where it begins: as long ago as it takes.
STEP_MS = 1000
# Processes that sign.
SIGNERS = 2
# Fewest letters of a word and its gap: so many words are enough for any text.
_WORD_BYTES_MIN = 3


class Corpus(NamedTuple):
    """`genesis`: one record an author, `records`: in the order in which they were written."""

    accounts: list[bytes]
    genesis: list[bytes]
    records: list[bytes]


class Order(NamedTuple):
    """What one process signs: `posts` posts by `authors` authors, from a time on.

    `homes`: accounts of the nodes that the authors name as their homes.
    """

    seed: int
    authors: int
    posts: int
    start_ms: int
    text_bytes: int = TEXT_BYTES
    homes: tuple[bytes, ...] = ()


def _english() -> Tongue:
    """A letter of it is a byte, so a text of 120 bytes has 120 characters."""
    return next(tongue for tongue in tongues() if tongue.code == "en")


def _text(speech: Speech, tongue: Tongue, size: int) -> str:
    """Words, the frequent ones far more often, cut at so many bytes."""
    text = speech.words(tongue, size // _WORD_BYTES_MIN)[:size].ljust(size, ".")
    assert len(text.encode()) == size, "a letter is a byte"
    return text


def _writers(order: Order, rng: random.Random) -> Iterator[tuple[bytes, bytes, Author]]:
    """(account, genesis record, hand) of each author."""
    for _ in range(order.authors):
        paper = phrase.account_key(rng.randbytes(32))
        device = SigningKey.from_seed(rng.randbytes(32))
        agreement = AgreementKey(rng.randbytes(32)).public
        may = capability_set([Capability.WRITE])
        row = device_row(NETWORK_PUBLIC, paper.public, device, agreement, may)
        draft = Draft(devices=[row], homes=list(order.homes))
        account, genesis = new_account(
            NETWORK_PUBLIC, paper, draft, order.start_ms, rng.randbytes(16)
        )
        yield account, genesis.encode(), Author(NETWORK_PUBLIC, account, device)


def _sign(order: Order, path: Path | None) -> Corpus:
    """Posts of some authors, one after the other in turn; into a file if there is a `path`."""
    rng = random.Random(order.seed)
    speech, tongue = Speech(rng), _english()
    found = list(_writers(order, rng))
    corpus = Corpus([account for account, _, _ in found], [genesis for _, genesis, _ in found], [])
    with open(path or os.devnull, "wb") as out:
        for at in range(order.posts):
            body: Body = {"text": _text(speech, tongue, order.text_bytes)}
            when_ms = order.start_ms + at * STEP_MS
            writer = found[at % order.authors][2]
            signed = writer.sign(kinds.POST, body, when_ms, rng.randbytes(16)).encode()
            if path is None:
                corpus.records.append(signed)
            else:
                out.write(msgpack.packb(signed))
    return corpus


def _orders(whole: Order) -> list[Order]:
    """The same for several processes, each with authors of its own."""
    return [
        whole._replace(
            seed=whole.seed + part,
            authors=whole.authors // SIGNERS,
            posts=whole.posts // SIGNERS,
        )
        for part in range(SIGNERS)
    ]


def _signed(orders: list[Order], paths: list[Path | None]) -> list[Corpus]:
    with ProcessPoolExecutor(SIGNERS, get_context("spawn")) as pool:
        return list(pool.map(_sign, orders, paths))


def start_ms(posts: int, now_ms: int) -> int:
    """When so many posts must begin for the last one to be written now."""
    return now_ms - (posts // SIGNERS + 1) * STEP_MS


def make(
    path: Path,
    seed: int,
    posts: int,
    now_ms: int,
    text_bytes: int = TEXT_BYTES,
    authors: int = AUTHORS,
) -> Corpus:
    """Sign `posts` posts by `authors` authors and keep who they are in a file for children."""
    found = _signed(
        _orders(Order(seed, authors, posts, start_ms(posts, now_ms), text_bytes)), [None] * SIGNERS
    )
    records = zip(*(part.records for part in found), strict=True)
    return Corpus(*_people(found, path), [record for pair in records for record in pair])


def make_files(folder: Path, order: Order) -> None:
    """The same for more records than memory holds; see `read_files`. `folder` must exist."""
    paths: list[Path | None] = [folder / f"records-{part}" for part in range(SIGNERS)]
    _people(_signed(_orders(order), paths), folder / "authors")


def read_files(folder: Path) -> Iterator[bytes]:
    """The records of `make_files`, in the order in which they were written."""
    with ExitStack() as stack:
        files = [
            stack.enter_context(open(folder / f"records-{part}", "rb")) for part in range(SIGNERS)
        ]
        for pair in zip(*map(msgpack.Unpacker, files), strict=True):
            yield from pair


def people(seed: int, count: int, now_ms: int, homes: tuple[bytes, ...]) -> list[bytes]:
    """Genesis records of new accounts that name these homes."""
    order = Order(seed, count, 0, now_ms, homes=homes)
    return [genesis for _, genesis, _ in _writers(order, random.Random(seed))]


def _people(found: list[Corpus], path: Path) -> tuple[list[bytes], list[bytes]]:
    accounts = [account for part in found for account in part.accounts]
    genesis = [one for part in found for one in part.genesis]
    path.write_bytes(msgpack.packb([accounts, genesis]))
    return accounts, genesis


def read_authors(path: Path) -> tuple[list[bytes], list[bytes]]:
    """(accounts, genesis records) of a corpus that `make` or `make_files` wrote."""
    accounts, genesis = msgpack.unpackb(path.read_bytes())
    return accounts, genesis
