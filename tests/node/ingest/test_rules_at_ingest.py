"""Rules about what only the store knows, through the real gate: labels, strangers, waves, media."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratoon_node.app import Node
from ratoon_node.policy.engine import Policy
from ratoon_node.policy.lists import ListEntry, Subject
from ratoon_node.policy.verdict import Verdict
from ratoon_node.store import judging
from ratoon_protocol import kinds
from tests.node.ingest.replay import LINK, offer
from tests.node.ingest.test_erasure import ann_of, publish
from tests.node.ingest.test_policy_at_ingest import decisions
from tests.node.world import Person, join, listed_newest, movable, running

DAY_MS = 24 * 3_600_000


def rule(when: str, then: str = "hold", more: str = "", name: str = "r") -> str:
    head = f'[[rule]]\nid = "{name}"\nwhen = {{ {when} }}\nthen = "{then}"\n'
    return f'{head}reason = "spam"\n{more}\n'


def media(hash_: bytes) -> dict:
    return {
        "alt": "a picture",
        "blur": "",
        "hash": hash_,
        "height": 10,
        "size": 1000,
        "type": "image/png",
        "width": 10,
    }


async def people(node: Node, count: int) -> list[Person]:
    found = [ann_of(node, 40 + n) for n in range(count)]
    for one in found:
        await join(node, one)
    return found


async def codes(node: Node, *records) -> list[str]:
    return [str(one.code) for one in await offer(node, list(records), LINK)]


async def test_a_wave_of_texts_is_held_and_people_who_are_known_are_not(tmp_path: Path) -> None:
    policy = rule("near_duplicates_min = 2, near_duplicate_accounts_min = 2")
    async with running(tmp_path, policy=policy) as node:
        crowd = await people(node, 5)
        text = "Hello friend, get a free phone today, only at https://x{0}.example number {0}"
        posts = [one.post(text.format(n)) for n, one in enumerate(crowd)]
        assert await codes(node, *posts) == ["stored", "stored", "held", "held", "held"]
        assert await codes(node, *posts[:2]) == ["duplicate", "duplicate"]
        movable(node.runtime.clock).offset_ms += 8 * DAY_MS
        again = [one.post(text.format(n + 9)) for n, one in enumerate(crowd)]
        assert await codes(node, *again) == ["stored"] * 5  # at home here, and not new any more
        # What was held stays so: asked again, nobody would see the wave.
        node.gate.policy = Policy.parse((policy + "# another version").encode())
        await node.gate.review()
        assert await codes(node, posts[3]) == ["held"]
        node.gate.policy = Policy.parse(b"")
        await node.gate.review()
        assert await codes(node, posts[3]) == ["duplicate"]


async def test_labels_of_trusted_labelers_bring_about_what_their_ceiling_allows(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as node:
        ann, bob, strict, mild, nobody = await people(node, 5)
        trust = f'[labelers]\ntrust = ["{strict.account.hex()}", {{ account = '
        trust += f'"{mild.account.hex()}", ceiling = "limit" }}]\n'
        node.gate.policy = Policy.parse((rule('label = "rude"') + trust).encode())

        def label(who: Person, target: bytes, value: str = "rude", state: int = 1):
            body = {"state": state, "value": value}
            return who.sign(kinds.LABEL, body, target)

        first, second, third, fourth = (ann.post(f"post {n}") for n in range(4))
        await publish(
            node,
            [
                label(nobody, ann.account),
                label(strict, ann.account, "kind"),
                label(strict, second.id),
                label(mild, third.id),
                label(mild, bob.account),
            ],
        )
        assert await codes(node, first, second) == ["stored", "held"]
        assert await codes(node, third, bob.post("of a labelled account")) == ["stored"] * 2
        assert [row[:3] for row in await decisions(node, third.id)] == [(2, "spam", "r")]
        await publish(node, [label(strict, ann.account)])
        assert await codes(node, fourth) == ["held"]
        await publish(node, [label(strict, ann.account, state=0)])
        assert await codes(node, ann.post("forgiven")) == ["stored"]


async def test_a_label_that_comes_later_counts_and_so_does_its_end(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        ann, strict = await people(node, 2)
        policy = rule('label = "rude"') + rule('word = "dull"', "limit", name="dull")
        policy += rule("posts_per_hour_min = 1", "hold", name="fast")
        trust = f'[labelers]\ntrust = ["{strict.account.hex()}"]\n'
        node.gate.policy = Policy.parse((policy + trust).encode())
        first, fast = ann.post("a dull post"), ann.post("right after it")
        assert await codes(node, first, fast) == ["stored", "held"]
        posts = [first, fast]
        for state, code in ((1, "held"), (1, "held"), (0, "duplicate"), (1, "held")):
            salt = {"state": state, "value": "rude"}
            labels = [strict.sign(kinds.LABEL, salt, one.id) for one in posts]
            assert await codes(node, *labels) == ["stored"] * 2
            # What another rule decided when it came stays.
            assert await codes(node, *posts) == [code, "held"]
        told = [row[:3] for row in await decisions(node, first.id)]
        limited, held = (2, "spam", "dull"), (3, "spam", "r")
        assert told == [limited, held, limited, held]
        assert [row[2] for row in await decisions(node, fast.id)] == ["fast"]


async def test_a_reply_to_somebody_who_does_not_follow_the_author(tmp_path: Path) -> None:
    async with running(tmp_path, policy=rule("reply_to_stranger = true")) as node:
        ann, bob, eve = await people(node, 3)
        post = ann.post("who is there?")
        follow = ann.sign(kinds.FOLLOW, {"state": 1}, bob.account)
        await publish(node, [post, follow])

        def reply(who: Person, **more):
            return who.post("me", parent=post.id, root=post.id, **more)

        # Who names another parent's author is found out.
        lie = reply(eve, parent_account=eve.account)
        assert await codes(node, reply(bob), reply(eve), lie, reply(ann)) == [
            *("stored", "held", "held", "stored"),
        ]
        await publish(node, [ann.sign(kinds.FOLLOW, {"state": 0}, bob.account)])
        assert await codes(node, reply(bob)) == ["held"]
        unknown = {"parent": bytes(32), "root": bytes(32)}
        assert await codes(node, eve.post("to whom?", **unknown)) == ["stored"]
        assert await codes(node, eve.post("to ann", parent_account=ann.account, **unknown)) == [
            "held"
        ]


async def test_media_language_and_what_rules_add(tmp_path: Path) -> None:
    bad = bytes([7]) * 32
    policy = rule("media_min = 2", "limit", "drop_media = true", "many") + rule(
        'language = "pt"', "label", 'label = "portuguese"', "lang"
    )
    policy += f'[lists.block]\nmedia = ["{bad.hex()}"]\n'
    async with running(tmp_path, policy=policy) as node:
        (ann,) = await people(node, 1)
        fine, blocked = media(bytes(32)), media(bad)
        both = ann.post("two", media=[fine, fine], lang="pt-BR")
        preview = ann.post("hidden", media=[{**fine, "preview": bad, "preview_size": 9}])
        assert await codes(node, both, ann.post("x", media=[blocked]), preview) == [
            *("stored", "withheld", "withheld"),
        ]
        (row,) = await listed_newest(node, 1)
        marks = await node.db.read(lambda db: judging.marks(db, row.row.n))
        assert marks == judging.Marks(("portuguese",), True)
        assert [row[:3] for row in await decisions(node, both.id)] == [(2, "spam", "many")]


@pytest.mark.parametrize("name", ["node_posts_per_hour_min", "node_new_accounts_per_day_min"])
async def test_what_a_node_s_people_do_together_counts(tmp_path: Path, name: str) -> None:
    async with running(tmp_path, policy=rule(f"{name} = 3")) as node:
        crowd = await people(node, 4)
        found = [(await codes(node, one.post("hello from all of us")))[0] for one in crowd]
        counted_before = name == "node_posts_per_hour_min"
        assert found == ["stored", "stored", "stored" if counted_before else "held", "held"]


async def test_an_edit_into_blocked_words_is_judged_as_a_post_is(tmp_path: Path) -> None:
    policy = '[lists.block]\nwords = ["cheap pills"]\ndomains = ["bad.example"]\n'
    async with running(tmp_path, policy=policy) as node:
        (ann,) = await people(node, 1)
        post = ann.post("harmless")
        await publish(node, [post])
        for text in ("now with cheap pills", "see https://a.bad.example/x"):
            edit = ann.sign(kinds.EDIT, {"text": text}, post.id)
            assert await codes(node, edit) == ["withheld"]
        edit = ann.sign(kinds.EDIT, {"text": "still harmless"}, post.id)
        assert await codes(node, edit) == ["stored"]


@pytest.mark.parametrize("home", [False, True])
async def test_who_shows_a_blocked_account_s_record_by_its_id_alone_is_judged(
    tmp_path: Path, home: bool
) -> None:
    async with running(tmp_path) as node:
        ann, bob = await people(node, 2)
        shown, own = bob.post("of somebody blocked"), ann.post("of somebody else")
        await publish(node, [shown, own])
        subject = Subject.NODE if home else Subject.ACCOUNT
        blocked = node.own.account if home else bob.account
        entries = [ListEntry(subject, blocked.hex(), Verdict.WITHHOLD, "spam")]
        if home:  # all are at home here: all but ann are blocked with it
            entries.append(ListEntry(Subject.ACCOUNT, ann.account.hex(), Verdict.LIMIT, "x"))
        node.gate.policy = node.gate.policy.with_entries(entries)
        about = [
            ann.post("look", quote=shown.id),
            ann.sign(kinds.REPOST, {"target": shown.id, "target_account": ann.account}),
            ann.sign(kinds.EDIT, {"text": "look", "quote": shown.id}, own.id),
        ]
        assert await codes(node, *about) == ["withheld"] * 3
        # A reply shows nobody, and neither does a reaction.
        reply = ann.post("no", parent=shown.id, root=shown.id)
        reaction = ann.sign(kinds.REACTION, {"emoji": "x", "state": 1}, shown.id)
        expected = ["withheld"] * 2 if home else ["stored"] * 2
        assert await codes(node, reply, reaction) == expected
