"""Labels that rules give are shown with the record, and media that a rule drops is not."""

from __future__ import annotations

from pathlib import Path

from ratoon_node.policy.engine import Policy
from ratoon_protocol import kinds
from tests.node.api.site import site
from tests.node.ingest.test_rules_at_ingest import media, rule

RULES = (
    rule('language = "pt"', "label", 'label = "portuguese"', "one")
    + rule('word = "tall"', "limit", 'label = "tall"', "two")
    + rule("media_min = 1", "accept", "drop_media = true", "three")
)


async def test_a_record_is_shown_as_rules_mark_it(tmp_path: Path) -> None:
    async with site(tmp_path, policy=RULES) as place:
        ann = await place.resident(5)
        plain = ann.post("nothing to say")
        marked = ann.post("a tall tale", lang="pt-BR")
        picture = ann.post("with a picture", media=[media(bytes(32))])
        edited = ann.post("nothing yet")
        edit = ann.sign(kinds.EDIT, {"text": "um conto", "lang": "pt"}, edited.id)
        status, _ = await place.publish(plain, marked, picture, edited, edit)
        assert status == 201

        async def shown(record) -> dict:
            return (await place.get(f"/v1/records/{record.id.hex()}"))[1]

        for _ in range(2):  # the second time from memory
            assert shown_as(await shown(plain)) == (None, None)
            assert shown_as(await shown(marked)) == ("limit", ["tall", "portuguese"])
            assert shown_as(await shown(edited)) == ("label", ["portuguese"])
            found = await shown(picture)
            assert shown_as(found) == ("label", None)
            assert found["body"] == {"text": "with a picture"}
        _, page = await place.get(f"/v1/accounts/{ann.account.hex()}/posts")
        by_id = {item["id"]: item for item in page["items"]}
        assert "media" not in by_id[picture.id.hex()]["body"]
        assert by_id[marked.id.hex()]["labels"] == ["tall", "portuguese"]

        place.node.gate.policy = Policy.parse(b"")
        await place.node.gate.review()
        assert shown_as(await shown(marked)) == (None, None)
        assert "media" in (await shown(picture))["body"]


async def test_a_block_of_a_file_hides_what_is_stored_at_once(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(5)
        bad, other = bytes([7]) * 32, bytes([8]) * 32
        picture = ann.post("one", media=[media(bad)])
        preview = ann.post("two", media=[{**media(other), "preview": bad, "preview_size": 1}])
        fine = ann.post("three", media=[media(other)])
        await place.publish(picture, preview, fine)

        async def code(record) -> str:
            _, found = await place.get(f"/v1/records/{record.id.hex()}")
            return found.get("code") or found["error"]["code"]

        assert [await code(one) for one in (picture, preview, fine)] == ["stored"] * 3
        block = {"subject": "media", "entity": bad.hex().upper(), "verdict": "withhold"}
        status, answer = await place.operate("POST", "/blocks", {**block, "reason": "spam"})
        assert status == 201, answer
        assert [await code(one) for one in (picture, preview, fine)] == [
            *("withheld", "withheld", "stored"),
        ]
        late = ann.post("four", media=[media(bad)])
        _, answer = await place.publish(late)
        assert "withheld" in str(answer), answer
        await place.operate("POST", "/unblock", {"subject": "media", "entity": bad.hex()})
        assert await code(picture) == "stored"


def shown_as(found: dict) -> tuple:
    return found.get("verdict"), found.get("labels")
