"""What a reviewer tried against those who read: each of these was wrong once."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ratoon_node.store import circles, schema
from ratoon_protocol import kinds
from tests.node.api.site import site
from tests.node.api.test_following import subscribed, told


async def test_an_edit_of_somebody_elses_post_is_not_told_to_their_readers(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, eve = [await place.resident(seed) for seed in (2, 3)]
        post = ann.post("ann's words")
        await place.publish(post)
        live = await subscribed(place, "account", account=ann.account.hex())
        await place.publish(ann.post("first"))
        assert await told(live, 1) == ["first"]
        lie = eve.sign(kinds.EDIT, {"text": "lies"}, target=post.id)
        _, done = await place.publish(lie)
        assert done["records"][0]["code"] == "stored"
        await place.publish(ann.post("second"))
        assert await told(live, 1) == ["second"]


SAID_OFTEN = 4000


def test_who_follows_one_account_a_thousand_times_costs_a_seek_each() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(db)
    celebrity = b"c" * 32
    db.execute("INSERT INTO account (n, id, first_seen_ms) VALUES (1, ?, 0)", (b"a" * 32,))
    rows = [(n, 1, kinds.FOLLOW, celebrity, 1, 1000) for n in range(1, SAID_OFTEN + 1)]
    db.executemany("INSERT INTO pointer VALUES (?, ?, ?, ?, ?, ?)", rows)
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    db.set_progress_handler(count, 100)
    assert [row.record for row in circles.said_after(db, 1, kinds.FOLLOW, b"", 9)] == [SAID_OFTEN]
    found = circles.followers_before(db, celebrity, 2**53, 9)
    assert [row.record for row in found] == [SAID_OFTEN]
    assert circles.followers(db, celebrity, 9) == [1]
    assert circles.count_follows(db, 1, 9) == 1
    assert steps * 100 < 4 * SAID_OFTEN * 100, "each row was compared with all others"


async def test_a_profile_that_links_where_nobody_may_go_is_not_shown(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        said = {"name": "Ann", "bio": "see https://bad.example/x"}
        await place.publish(ann.sign(kinds.PROFILE, said, target=b""))
        path = f"/v1/accounts/{ann.account.hex()}"
        _, view = await place.get(path)
        assert view["profile"]["bio"] == said["bio"]
        entry = {"subject": "domain", "entity": "bad.example", "verdict": "hold", "reason": "spam"}
        status, _ = await place.operate("POST", "/blocks", entry)
        assert status == 201
        _, view = await place.get(path)
        assert view["code"] == "stored"
        assert "profile" not in view, "the record is hidden, so its words are"
