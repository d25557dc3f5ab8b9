"""Section 10: deletes, edits, vanishing."""

from __future__ import annotations

from ratoon_node.cli.conformance.bench import Bench
from ratoon_node.cli.conformance.people import Person, fresh_key, fresh_salt
from ratoon_node.cli.conformance.suite import check
from ratoon_protocol import kinds
from ratoon_protocol.author import Draft
from ratoon_protocol.limits import EDIT_VERSIONS_MAX
from ratoon_protocol.record import Record


def _delete(who: Person, *ids: bytes) -> Record:
    return who.sign(kinds.DELETE, {"ids": list(ids)})


@check("R-80", "R-81", "R-53", title="deletes, before and after what they name")
async def deletes(bench: Bench) -> None:
    """What is named is gone, its bytes are given no more; other accounts and the log stay."""
    who, other = await bench.resident(), await bench.newcomer()
    post, early, theirs = who.post(), who.post(), other.post()
    codes = await bench.http.publish(post, theirs)
    bench.same("R-80", "two posts", codes, ["stored"] * 2)
    deleting = _delete(who, post.id, early.id, theirs.id, who.genesis.id)
    codes = await bench.http.publish(deleting)
    bench.same("R-80", "a delete", codes, ["stored"])
    codes = await bench.http.publish(early)
    bench.same("R-80", "a post that was deleted before it came", codes, ["gone"])
    for record in (post, early):
        word = await bench.http.code(record.id)
        bench.same(
            "R-80",
            "a deleted post",
            word,
            "gone" if record is post else frozenset({"gone", "not_found"}),
        )
        bench.true("R-81", "its bytes are not given", await bench.http.read(record.id) is None)
    bench.same("R-80", "another account's post", await bench.http.code(theirs.id), "stored")
    bench.same("R-80", "the genesis", await bench.http.code(who.genesis.id), "stored")
    bench.same("R-81", "the delete itself", await bench.http.code(deleting.id), "stored")
    again = _delete(who, deleting.id)
    await bench.http.publish(again)
    bench.same("R-80", "a deleted delete", await bench.http.code(deleting.id), "stored")
    codes = await bench.http.publish(post)
    bench.same("R-53", "a deleted post published again", codes, ["gone"])


@check("R-63", "R-81", title="a link gives no bytes of what is gone")
async def gone_by_link(bench: Bench) -> None:
    """Header and signature stay, with the status in place of the payload."""
    who, _, link = await bench.carried()
    post = who.post()
    await link.push(post, _delete(who, post.id))
    items, _ = await link.get(post.id)
    item = items.get(post.id)
    bench.true("R-81", "the header of a deleted post is given", item is not None)
    if item is not None:
        bench.true("R-81", "the payload of a deleted post is not given", item.payload is None)
        bench.same("R-63", "the reason", item.code, "gone")
        bench.true("R-63", "the header is the one signed", item.header == post.header_bytes)


@check("R-82", "R-85", title="edits")
async def edits(bench: Bench) -> None:
    """Sixteen versions stay; those of a gone post are erased and never stored again."""
    who = await bench.resident()
    post = who.post()
    versions = [
        who.sign(kinds.EDIT, {"text": f"version {number}"}, post.id, ms=number - 100)
        for number in range(EDIT_VERSIONS_MAX)
    ]
    codes = await bench.http.publish(post, *versions)
    bench.same("R-85", "a post and sixteen versions", codes, ["stored"] * len(codes))
    for edit in versions:
        given = await bench.http.read(edit.id)
        bench.true("R-85", "a version among the last sixteen is kept", given == edit.encode())
    await bench.http.publish(_delete(who, post.id))
    bench.true(
        "R-82",
        "an edit of a deleted post is not given",
        await bench.http.read(versions[-1].id) is None,
    )
    late = who.sign(kinds.EDIT, {"text": "late"}, post.id)
    await bench.http.publish(late)
    bench.true("R-82", "a later edit of it is not given", await bench.http.read(late.id) is None)


@check("R-83", "R-84", "R-81", "R-45", title="vanishing")
async def vanishing(bench: Bench) -> None:
    """While a vanish is the head all is gone but the log; nothing follows it."""
    who = await bench.newcomer()
    post, deleted = who.post(), who.post()
    follow = who.sign(kinds.FOLLOW, {"state": 1}, fresh_salt() * 2)
    deleting = _delete(who, deleted.id)
    await bench.http.publish(post, deleted, follow, deleting)
    end = who.vanish()
    codes = await bench.http.publish(end)
    bench.same("R-83", "a vanish by paper", codes, ["stored"])
    gone = frozenset({"gone", "not_found", "unknown_account"})
    for case, record in (("a post", post), ("a follow", follow)):
        bench.same("R-83", f"{case} of it", await bench.http.code(record.id), gone)
        bench.true(
            "R-84", f"no bytes of {case} are given", await bench.http.read(record.id) is None
        )
    codes = await bench.http.publish(who.post(ms=1))
    bench.same("R-83", "a record yet to come", codes, ["gone"])
    log = await bench.http.ask("GET", f"/v1/accounts/{who.account.hex()}/log")
    whole = all(one.encode() in log.data for one in (who.genesis, end))
    bench.true("R-81", "its identity log is given whole", whole)
    who.move(end)
    after = Draft.after(who.head)
    after.devices.append(who.row(fresh_key()))
    made = who.operation(after)
    codes = await bench.http.publish(made)
    bench.same("R-45", "an operation behind the vanish", codes, ["bad_operation"])
    who.over = True


@check("R-83", "R-84", "R-47", title="paper undoes a thief's vanish")
async def vanish_undone(bench: Bench) -> None:
    """A vanish of a lower key leaves bytes for seven days, and another head ends it."""
    who = await bench.newcomer()
    post = who.post()
    fork = Draft.after(who.head)
    fork.vanish = True
    codes = await bench.http.publish(post)
    codes += await bench.http.publish(who.operation(fork, who.second))
    bench.same("R-83", "a post, and a vanish of rank 1", codes, ["stored"] * 2)
    bench.same("R-83", "the post then", await bench.http.code(post.id), "gone")
    back = Draft.after(who.head)
    back.retire(who.second.public, 0)
    codes = await bench.http.publish(who.move(who.operation(back)))
    bench.same("R-47", "rank 0 on the operation before", codes, ["stored"])
    given = await bench.http.read(post.id)
    bench.true("R-84", "the post is back with its bytes", given == post.encode())
