"""Sections 6 and 7 as stories: forks, revocation, authority, and what becomes of records."""

from __future__ import annotations

from collections.abc import Sequence

from ratoon_node.cli.conformance.bench import Bench
from ratoon_node.cli.conformance.people import WRITE, Person, Signer, fresh_key, fresh_salt, now_ms
from ratoon_node.cli.conformance.suite import check
from ratoon_protocol import kinds
from ratoon_protocol.author import Chain, Draft
from ratoon_protocol.kinds import Lane
from ratoon_protocol.record import Record

LIVE, REVOKED, GONE = "stored", "revoked", "gone"


async def _are(
    bench: Bench, requirement: str, case: str, records: Sequence[Record], word: str
) -> None:
    """All of these records are answered alike."""
    found = [await bench.http.code(one.id) for one in records]
    bench.same(requirement, case, found, [word] * len(records))


async def _put(bench: Bench, requirement: str, case: str, *records: Record) -> None:
    """All of these are stored."""
    codes = await bench.http.publish(*records)
    bench.same(requirement, case, codes, [LIVE] * len(records))


def _tip(record: Record) -> Chain:
    return Chain(record.header.seq, record.id, record.header.created_ms)


async def _with_device(bench: Bench, who: Person, requirement: str) -> Signer:
    """The account gets one more device."""
    key = fresh_key()
    draft = Draft.after(who.head)
    draft.devices.append(who.row(key))
    made = who.move(who.operation(draft))
    await _put(bench, requirement, "an operation that adds a device", made)
    return who.by(key)


@check("R-49", "R-53", "R-54", "R-51", title="a retired device")
async def retired(bench: Bench) -> None:
    """What it signed up to the entry's time stays; deletes only as far as a tip reaches."""
    who = await bench.newcomer()
    phone = await _with_device(bench, who, "R-49")
    kept, unwanted = phone.post(ms=-5000), phone.post(ms=-4000)
    mine = phone.delete(unwanted.id)
    later = phone.post(ms=60_000)
    await _put(bench, "R-49", "posts and a delete", kept, unwanted, mine, later)
    theirs = phone.delete(kept.id)
    await _put(bench, "R-49", "another delete", theirs)
    await _are(bench, "R-80", "what it named", [kept], GONE)
    draft = Draft.after(who.head)
    draft.retire(phone.author.key.public, now_ms() + 30_000, [_tip(mine)])
    op = who.move(who.operation(draft))
    await _put(bench, "R-49", "the device is retired", op)
    await _are(bench, "R-49", "the delete that the tip names", [unwanted], GONE)
    # Its bytes went with the delete that is void now: whoever has them brings them again.
    await bench.http.publish(kept)
    await _are(bench, "R-49", "a post before the entry", [kept], "stored")
    await _are(bench, "R-54", "a post after the entry", [later], REVOKED)
    fresh = phone.post(ms=120_000)
    codes = await bench.http.publish(fresh)
    bench.same("R-54", "publishing with the retired device", codes, [REVOKED])
    more = Draft.after(who.head)
    more.stolen(phone.author.key.public, now_ms(), {Lane.PUBLIC: [], Lane.LOG: []})
    await _put(bench, "R-51", "the same rank revokes more", who.move(who.operation(more)))
    await _are(bench, "R-51", "all of it now", [kept], REVOKED)


@check("R-50", "R-55", "R-53", title="a stolen device")
async def stolen(bench: Bench) -> None:
    """Only what is reached from the tips by prev stays, whatever its time."""
    who, _, link = await bench.newly_carried()
    phone = fresh_key()
    draft = Draft.after(who.head)
    draft.devices.append(who.row(phone))
    author = who.by(phone)
    first, second, third = (author.post(ms=ms) for ms in (-9000, -8000, -7000))
    chains = dict(author.author.chains)
    theirs = author.post(ms=-6000)
    # A backdated post at a place that the chain has already, hung on the first one.
    author.author.chains[Lane.PUBLIC] = _tip(first)
    forked = author.post(ms=-8500)
    author.author.chains.update(chains)
    loose = who.bad(who.payload(), by=phone, key=phone.public, seq=2, prev=bytes(32))
    await link.push(who.move(who.operation(draft)))
    await link.push(first, third, theirs, forked, loose)
    gone = Draft.after(who.head)
    gone.stolen(phone.public, now_ms(), {Lane.PUBLIC: [_tip(third)]})
    op = who.move(who.operation(gone, who.second))
    bench.same("R-50", "the device is stolen", (await link.push(op))[op.id], LIVE)
    bench.same("R-50", "the tip", await link.truth(third.id), LIVE)
    for one in (theirs, forked, loose):
        bench.same("R-50", "a post of the thief", await link.truth(one.id), REVOKED)
    bench.same("R-55", "behind a gap of the walk", await link.truth(first.id), REVOKED)
    words = await link.push(second)
    bench.same("R-55", "the missing post comes", words[second.id], LIVE)
    found = await link.truth(first.id)
    bench.same("R-55", "a post that the walk reaches now", found, LIVE)
    late = author.post(ms=-8700)
    words = await link.push(late)
    bench.same("R-50", "a backdated post of the thief that comes later", words[late.id], REVOKED)


@check("R-50", "R-54", title="a tip that is published after its key was stolen")
async def late_tip(bench: Bench) -> None:
    """Whoever still has a record that a tip names brings it; what no tip reaches stays out."""
    who = await bench.newcomer()
    phone = await _with_device(bench, who, "R-50")
    mine, theirs = phone.post(), phone.post()
    draft = Draft.after(who.head)
    draft.stolen(phone.author.key.public, now_ms(), {Lane.PUBLIC: [_tip(mine)]})
    await _put(bench, "R-50", "the device is stolen", who.move(who.operation(draft)))
    codes = await bench.http.publish(mine) + await bench.http.publish(theirs)
    bench.same("R-50", "the tip and a post behind it, published", codes, [LIVE, REVOKED])
    await _are(bench, "R-54", "the tip", [mine], LIVE)


@check("R-51", "R-45", title="who may take a revocation back")
async def revoked_again(bench: Bench) -> None:
    """The same rank can only revoke more, a better one lists the key again."""
    who = await bench.newcomer()
    phone = await _with_device(bench, who, "R-51")
    key = phone.author.key
    post = phone.post()
    row = next(row for row in who.head.devices if row.key == key.public)
    gone = Draft.after(who.head)
    gone.stolen(key.public, now_ms(), {})
    codes = await bench.http.publish(post)
    codes += await bench.http.publish(who.move(who.operation(gone, who.second)))
    bench.same("R-51", "rank 1 revokes a device", codes, [LIVE, LIVE])
    listed = Draft.after(who.head)
    listed.devices.append(row)
    again = who.operation(listed, who.second)
    bench.same("R-45", "rank 1 lists it again", await bench.http.publish(again), ["bad_operation"])
    await _put(bench, "R-45", "rank 0 lists it again", who.move(who.operation(listed)))
    await _are(bench, "R-51", "its post then", [post], LIVE)
    by_paper = Draft.after(who.head)
    by_paper.stolen(key.public, now_ms(), {})
    await _put(bench, "R-51", "rank 0 revokes it", who.move(who.operation(by_paper)))
    worse = Draft.after(who.head)
    worse.stolen(key.public, now_ms(), {Lane.PUBLIC: [_tip(post)]})
    made = who.operation(worse, who.second)
    bench.same(
        "R-51",
        "rank 1 says something else of it",
        await bench.http.publish(made),
        ["bad_operation"],
    )


@check("R-46", "R-47", "R-52", "R-54", title="the better key wins a fork, however late")
async def forks(bench: Bench) -> None:
    """Both branches are kept; the head is where the better authority signed."""
    who = await bench.newcomer()
    thief, owner = fresh_key(), fresh_key()
    fork = who.head
    low = Draft.after(fork)
    low.devices.append(who.row(thief))
    low.stolen(who.device.public, now_ms(), {})
    theirs = who.operation(low, who.second)
    mine = who.post()
    await _put(bench, "R-46", "a post", mine)
    await _put(bench, "R-46", "a branch of rank 1", theirs)
    await _are(bench, "R-47", "a device that the branch revokes", [mine], REVOKED)
    stolen_post = who.by(thief).post()
    await _put(bench, "R-52", "a post of the branch's new device", stolen_post)
    high = Draft.after(fork)
    high.devices.append(who.row(owner))
    op = who.move(who.operation(high))
    await _put(bench, "R-46", "a branch of rank 0 on the operation before", op)
    await _are(bench, "R-47", "the device is listed where rank 0 signed", [mine], LIVE)
    await _are(bench, "R-52", "a device that only the lost branch lists", [stolen_post], REVOKED)
    good = who.by(owner).post()
    await _put(bench, "R-47", "a post of the winning branch's device", good)
    codes = await bench.http.publish(who.by(thief).post(ms=1))
    bench.same("R-54", "a key listed on a branch that lost", codes, [REVOKED])


@check("R-48", "R-70", title="operations wait for what they build on")
async def pending(bench: Bench) -> None:
    """Without its path an operation is `pending`; with it, in any order, it is stored."""
    who = await bench.newcomer()
    phone = fresh_key()
    draft = Draft.after(who.head)
    draft.devices.append(who.row(phone))
    middle = who.move(who.operation(draft))
    later = Draft.after(who.head)
    later.handles = ["a@example.org"]
    last = who.move(who.operation(later))
    post = who.by(phone).post()
    codes = await bench.http.publish(last) + await bench.http.publish(post)
    bench.same("R-48", "an operation without its path", codes[0], "pending")
    bench.same("R-70", "a post of a key that nobody lists yet", codes[1], "unknown_key")
    codes = await bench.http.publish(last, middle)
    right = {("stored", "stored"), ("duplicate", "stored")}
    bench.true(
        "R-48", f"with its path, in the wrong order, both are taken: {codes}", tuple(codes) in right
    )
    codes = await bench.http.publish(post)
    bench.same("R-70", "the same post after that", codes, ["stored"])


@check("R-54", title="keys that nobody lists, and keys that may not")
async def authority(bench: Bench) -> None:
    """`unknown_key` and `revoked`."""
    who = await bench.resident()
    stranger, paper = fresh_key(), who.paper
    unlisted = who.bad(who.payload(), by=stranger, key=stranger.public)
    by_paper = who.bad(who.payload(), by=paper, key=paper.public)
    await bench.refused(
        [
            ("R-54", "a post by a key that nobody lists", unlisted, "unknown_key"),
            ("R-54", "a post by an account key", by_paper, "revoked"),
        ]
    )
    found = await bench.http.code(unlisted.id)
    bench.same("R-54", "the first one is asked for", found, "not_found")


@check("R-57", "R-53", title="the latest value of a slot is current")
async def latest_wins(bench: Bench) -> None:
    """By created_ms, then id; in whatever order they come, and deleted ones compete."""
    who = await bench.newcomer()
    target = fresh_salt() * 2
    old = who.sign(kinds.FOLLOW, {"state": 1}, target, ms=-9000)
    middle = who.sign(kinds.FOLLOW, {"state": 0}, target, ms=-6000)
    new = who.sign(kinds.FOLLOW, {"state": 1}, target, ms=-3000)
    for requirement, record, wanted in (
        ("R-57", new, "stored"),
        ("R-57", old, "superseded"),
        ("R-57", middle, "superseded"),
    ):
        codes = await bench.http.publish(record)
        bench.same(requirement, "a value of a slot", codes[0], wanted)
    superseded = frozenset({"superseded", "dropped"})
    for record in (old, middle):
        bench.same("R-53", "an older value", await bench.http.code(record.id), superseded)
    bench.same("R-57", "the newest value", await bench.http.code(new.id), LIVE)
    deleting = who.sign(kinds.DELETE, {"ids": [new.id]})
    await _put(bench, "R-57", "the newest is deleted", deleting)
    bench.same("R-53", "the deleted value", await bench.http.code(new.id), GONE)
    bench.same("R-57", "an older value after that", await bench.http.code(middle.id), superseded)


@check("R-59", title="two orders of arrival, one result")
async def any_order(bench: Bench) -> None:
    """One history of two accounts, forwards and backwards: every record fares alike."""
    found = []
    for backwards in (False, True):
        who, _, link = await bench.newly_carried()
        records = _history(who)
        for record in reversed(records) if backwards else records:
            await link.push(record)
        found.append([_word(await link.truth(one.id)) for one in records])
    bench.same("R-59", "backwards as forwards", found[1], found[0])


def _word(code: str) -> str:
    """Whether bytes of what is superseded are kept is each node's own affair."""
    return "superseded" if code in ("superseded", "dropped") else code


def _history(who: Person) -> list[Record]:
    """Posts, values of a slot, deletes, and an operation that revokes a device."""
    target = fresh_salt() * 2
    first, second, third = who.post(ms=-9000), who.post(ms=-8000), who.post(ms=-7000)
    old = who.sign(kinds.FOLLOW, {"state": 1}, target, ms=-6500)
    new = who.sign(kinds.FOLLOW, {"state": 0}, target, ms=-6000)
    deleting = who.sign(kinds.DELETE, {"ids": [first.id]})
    draft = Draft.after(who.head)
    other = fresh_key()
    draft.devices.append(who.row(other, WRITE))
    tips = {Lane.PUBLIC: [_tip(second)], Lane.LOG: [_tip(deleting)], Lane.STATE: [_tip(new)]}
    draft.stolen(who.device.public, now_ms(), tips)
    op = who.move(who.operation(draft))
    return [first, second, third, old, new, deleting, op]
