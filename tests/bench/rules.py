"""What rules and lists cost: a record at the gate, a reload of a large file, and its memory.

Records are judged as the gate judges them, with a store to ask, less what the same costs without
any rules. The texts are such as people write; most entries of lists meet none of them.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import random
import resource
import sqlite3
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from ratoon_node.ingest.accounts import Accounts, AccountView
from ratoon_node.ingest.rulings import Rulings
from ratoon_node.ingest.submission import Candidate, Origin, Way
from ratoon_node.policy.engine import Policy
from ratoon_node.store import schema
from ratoon_node.store.arrivals import Arrivals
from ratoon_node.store.write import Tx
from ratoon_protocol import kinds, phrase
from ratoon_protocol.author import Author
from ratoon_protocol.identity import IdentityLog
from ratoon_protocol.keys import SigningKey
from tests.bench.figures import Figure
from tests.bench.work import Work

RULES = 100
ENTRIES = 100_000
RECORDS = 3000
AUTHORS = 300
ROUNDS = 5
DAY_MS = 24 * 3_600_000
NOW_MS = 1_900_000_000_000
NETWORK = b"ratoon\0\1"
_LETTERS = "etaoinshrdlu"
_WAVE = ("near_duplicates_min = 5, near_duplicate_accounts_min = 5",)


def _word(rng: random.Random) -> str:
    return "".join(rng.choices(_LETTERS, k=rng.randint(2, 9)))


def policy_text(rng: random.Random, wave: bool) -> str:
    """A file of 100 rules and 100,000 entries."""
    whens = [
        *(f'word = "{_word(rng)}qx {_word(rng)}"' for _ in range(30)),
        *(f"pattern = '(?i){_word(rng)}q+x[0-9]+'" for _ in range(20)),
        *(f'domain = "{_word(rng)}.{_word(rng)}.example"' for _ in range(20)),
        *(f'hashtag = "{_word(rng)}q"' for _ in range(10)),
        *(f'links_min = {n}, account_age_max = "2d", local = false' for n in range(3, 8)),
        *(f"mentions_min = {n}" for n in range(20, 25)),
        *(f"posts_per_hour_min = {n}" for n in range(500, 505)),
    ]
    whens += _WAVE if wave else ()
    whens += [f'language = "{chr(97 + n)}x", media_min = 3' for n in range(RULES - len(whens))]
    rules = [
        f'[[rule]]\nid = "r{n}"\nwhen = {{ {when} }}\nthen = "hold"\nreason = "x"\n'
        for n, when in enumerate(whens)
    ]
    lists = {
        "accounts": [rng.randbytes(32).hex() for _ in range(ENTRIES * 3 // 10)],
        "nodes": [rng.randbytes(32).hex() for _ in range(ENTRIES // 100)],
        "domains": [f"{_word(rng)}{n}.{_word(rng)}.example" for n in range(ENTRIES * 4 // 10)],
        "words": [f"{_word(rng)}q{n}" for n in range(ENTRIES * 9 // 100)],
        "media": [rng.randbytes(32).hex() for _ in range(ENTRIES // 10)]
        + [rng.randbytes(8).hex() for _ in range(ENTRIES // 10)],
    }
    return "\n".join(
        [*rules, "[lists.block]", *(f"{k} = {json.dumps(v)}" for k, v in lists.items())]
    )


def _text(rng: random.Random, common: list[str]) -> str:
    words = rng.choices(common, k=rng.randint(4, 40))
    if rng.random() < 0.2:
        words.append(f"https://{_word(rng)}.example/{_word(rng)}")
    if rng.random() < 0.1:
        words.insert(0, f"@{_word(rng)}")
    if rng.random() < 0.1:
        words.append("é" + _word(rng))
    return " ".join(words)


def candidates(rng: random.Random) -> list[Candidate]:
    """Posts of some people, decoded."""
    common = [_word(rng) for _ in range(3000)]
    authors = []
    for _ in range(AUTHORS):
        key, salt = SigningKey.from_seed(rng.randbytes(32)), phrase.slot_key(rng.randbytes(32))
        authors.append(Author(NETWORK, rng.randbytes(32), key, salt))
    found = []
    for n in range(RECORDS):
        body = {"text": _text(rng, common), "lang": "en"}
        one = authors[n % AUTHORS].sign(kinds.POST, body, NOW_MS, rng.randbytes(16))
        found.append(Candidate(one, Origin(Way.LINK, bytes(32)), body, None, False))
    return found


class _Gate:
    """As much of one as asks policy: an account's view, its homes, a store."""

    def __init__(self, items: list[Candidate], first_seen_ms: int) -> None:
        self.items = items
        self._db = sqlite3.connect(":memory:", isolation_level=None)
        schema.migrate(self._db)
        self._accounts = Accounts(NETWORK, b"secret", Arrivals())
        self._views: dict[bytes, AccountView] = {}
        for n, account in enumerate({one.record.header.account: 0 for one in items}, start=1):
            sql = "INSERT INTO account (n, id, first_seen_ms) VALUES (?, ?, ?)"
            self._db.execute(sql, (n, account, first_seen_ms))
            log = IdentityLog(account, NETWORK)
            self._views[account] = AccountView(account, n, first_seen_ms, None, False, log)

    def cost_us(self, policy: Policy) -> float:
        """Processor time for each record, of the fastest round."""
        rounds = []
        for at in range(ROUNDS):
            rulings = Rulings(Tx(self._db), self._accounts, policy)
            home, own, now_ms = (bytes([9]) * 32,), bytes(32), NOW_MS + at * DAY_MS
            gc.collect()
            started = time.process_time()
            for item in self.items:
                rulings.judge(item, self._views[item.record.header.account], home, own, now_ms)
            rounds.append(time.process_time() - started)
        return min(rounds) / len(self.items) * 1e6


def _reloaded(path: str) -> tuple[float, float]:
    """Seconds and MiB that a reload takes, in a process of its own."""
    data = Path(path).read_bytes()
    gc.collect()
    before = _rss_mib()
    started = time.process_time()
    policy = Policy.parse(data)
    seconds = time.process_time() - started
    gc.collect()
    assert len(policy.rules) == RULES
    return seconds, _rss_mib() - before


def _rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


async def rules(work: Work) -> list[Figure]:
    """Rules and lists of a size that a careful operator of a large node has."""
    rng = random.Random(4)
    items = candidates(rng)
    plain, wave = (policy_text(rng, on).encode() for on in (False, True))
    path = work.folder / "policy.toml"
    path.write_bytes(wave)
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        seconds, mib = await loop.run_in_executor(pool, _reloaded, str(path))
    known, strangers = _Gate(items, NOW_MS - 100 * DAY_MS), _Gate(items, NOW_MS)
    nothing_us = known.cost_us(Policy.parse(b""))
    rules_us = known.cost_us(Policy.parse(plain)) - nothing_us
    wave_us = strangers.cost_us(Policy.parse(wave)) - nothing_us
    size = f"{RULES} rules, {ENTRIES:,} entries"
    print(f"rules: {hashlib.sha256(wave).hexdigest()[:8]}, {len(wave):,} bytes", file=sys.stderr)
    return [
        Figure("rules", f"{size}: a record", rules_us, "µs", None, 20, most=True),
        Figure("rules", f"{size}: a stranger's post, likeness", wave_us, "µs", None, 60, most=True),
        Figure("rules", f"{size}: reload", seconds, "s", None, 2, most=True),
        Figure("rules", f"{size}: memory", mib, "MiB", None, 50, most=True),
    ]
