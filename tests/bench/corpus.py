"""Records signed beforehand: many authors with fresh keys, posting in turn."""

from __future__ import annotations

import random
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from string import ascii_lowercase
from typing import NamedTuple

import msgpack

from ratoon_protocol import kinds, phrase
from ratoon_protocol.author import Author, Draft, capability_set, device_row, new_account
from ratoon_protocol.keys import AgreementKey, SigningKey
from ratoon_protocol.kinds import Capability
from ratoon_protocol.limits import NETWORK_PUBLIC

AUTHORS = 1000
# Time between two posts of the corpus, and where it begins: as long ago as it takes.
STEP_MS = 1000
# Processes that sign.
SIGNERS = 2
# Letters of the longest word of a post.
_LETTERS_MAX = 9


def _word(rng: random.Random) -> str:
    return "".join(rng.choices(ascii_lowercase, k=rng.randint(1, _LETTERS_MAX)))


class Corpus(NamedTuple):
    """`genesis`: one record an author, `records`: in the order in which they were written."""

    accounts: list[bytes]
    genesis: list[bytes]
    records: list[bytes]


def _sign(seed: int, authors: int, posts: int, start_ms: int) -> Corpus:
    """Posts of some authors, one after the other in turn."""
    rng = random.Random(seed)
    corpus = Corpus([], [], [])
    writers: list[Author] = []
    for _ in range(authors):
        paper = phrase.account_key(rng.randbytes(32))
        device = SigningKey.from_seed(rng.randbytes(32))
        agreement = AgreementKey(rng.randbytes(32)).public
        may = capability_set([Capability.WRITE])
        row = device_row(NETWORK_PUBLIC, paper.public, device, agreement, may)
        draft = Draft(devices=[row])
        account, genesis = new_account(NETWORK_PUBLIC, paper, draft, start_ms, rng.randbytes(16))
        corpus.accounts.append(account)
        corpus.genesis.append(genesis.encode())
        writers.append(Author(NETWORK_PUBLIC, account, device))
    for at in range(posts):
        text = " ".join(_word(rng) for _ in range(rng.randint(6, 50)))
        signed = writers[at % authors].sign(
            kinds.POST, {"text": text}, start_ms + at * STEP_MS, rng.randbytes(16)
        )
        corpus.records.append(signed.encode())
    return corpus


def make(path: Path, seed: int, posts: int, now_ms: int) -> Corpus:
    """Sign a corpus of `posts` posts by AUTHORS authors and keep it in a file for children."""
    start_ms = now_ms - (posts // SIGNERS + 1) * STEP_MS
    with ProcessPoolExecutor(SIGNERS, get_context("spawn")) as pool:
        parts = [
            pool.submit(_sign, seed + part, AUTHORS // SIGNERS, posts // SIGNERS, start_ms)
            for part in range(SIGNERS)
        ]
        found = [part.result() for part in parts]
    whole = Corpus(
        [account for part in found for account in part.accounts],
        [genesis for part in found for genesis in part.genesis],
        [record for pair in zip(*(part.records for part in found), strict=True) for record in pair],
    )
    path.write_bytes(msgpack.packb([whole.accounts, whole.genesis]))
    return whole


def read_authors(path: Path) -> tuple[list[bytes], list[bytes]]:
    """(accounts, genesis records) of a corpus that `make` wrote."""
    accounts, genesis = msgpack.unpackb(path.read_bytes())
    return accounts, genesis
