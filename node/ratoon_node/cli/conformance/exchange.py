"""Sections 8 and 9: who is carried, and how records are pushed, offered, asked for and proved."""

from __future__ import annotations

import asyncio
import secrets

from ratoon_node.cli.conformance.bench import Bench
from ratoon_node.cli.conformance.people import Person, fresh_key, fresh_salt, pack
from ratoon_node.cli.conformance.probe_link import LinkProbe
from ratoon_node.cli.conformance.reconciliation import compare
from ratoon_node.cli.conformance.suite import Unmet, check
from ratoon_protocol import kinds
from ratoon_protocol.author import Draft
from ratoon_protocol.errors import Code
from ratoon_protocol.frames import (
    FIND_ACCOUNT,
    FIND_ACCOUNT_KEY,
    Ack,
    Get,
    Have,
    Outcome,
    Receipt,
    Reconcile,
    Reconciled,
    Statement,
    challenge_hash,
)
from ratoon_protocol.framing import pack_item
from ratoon_protocol.kinds import Lane, Scope
from ratoon_protocol.limits import DAY_MS, FRAME_IDS_MAX, REQUESTS_IN_FLIGHT_MAX
from ratoon_protocol.record import Record, record_id


@check("R-64", "R-70", title="who is carried")
async def carrying(bench: Bench) -> None:
    """Accounts come in with a hosting record of an admitted node, and go with its end."""
    node, link = await bench.home()
    who = Person(bench.network, [node.account])
    words = await link.push(who.genesis)
    bench.same("R-64", "an account that nobody hosts", words[who.genesis.id], "not_hosted")
    found = await link.truth(who.genesis.id)
    bench.same("R-64", "it is asked for", found, "not_found")
    hosting = node.hosting(who.account)
    words = await link.push(hosting)
    bench.same("R-64", "a hosting record of an admitted node", words[hosting.id], "stored")
    words = await link.push(who.genesis)
    bench.same("R-70", "the same account after that", words[who.genesis.id], "stored")
    bench.people.append(who)
    post = who.post()
    words = await link.push(post)
    bench.same("R-64", "a post of the hosted account", words[post.id], "stored")
    other = Person(bench.network, [node.account])
    stranger = bench.new_node()
    foreign = stranger.hosting(other.account)
    words = await link.push(foreign)
    bench.same(
        "R-64", "a hosting record of a node that nobody knows", words[foreign.id],
        frozenset({"not_hosted", "unknown_account", "unknown_key"}),
    )  # fmt: skip
    words = await link.push(other.genesis)
    bench.same("R-64", "whom it says to host", words[other.genesis.id], "not_hosted")


@check("R-64", title="hosting that has ended")
async def hosting_ends(bench: Bench) -> None:
    """After the end nothing more is taken."""
    who, node, link = await bench.carried()
    over = node.hosting(who.account, 0)
    await link.push(over)
    post = who.post()
    words = await link.push(post)
    bench.same("R-64", "a post after hosting has ended", words[post.id], "not_hosted")
    await link.push(node.hosting(who.account))


@check("R-64", "R-123", title="homes take the writes of their own people")
async def not_at_home(bench: Bench) -> None:
    """Whoever publishes where he is not at home is refused."""
    stranger = Person(bench.network, [await bench.node()])
    codes = await bench.http.publish(stranger.genesis)
    wanted = frozenset({"not_home", "not_hosted"})
    bench.same("R-64", "an account that is at home nowhere", codes[0], wanted)
    once = fresh_key()
    letter = stranger.bad(
        stranger.payload({"data": b"x"}), by=once, kind=kinds.MESSAGE, key=once.public, seq=0
    )
    codes = await bench.http.publish(letter)
    bench.same("R-123", "an envelope for somebody who is not at home", codes[0], "not_home")
    found = await bench.http.register([Person(bench.network, []).genesis], "")
    bench.same("R-64", "an account whose head names no home", found.code, "not_home")


@check("R-65", title="vouching reaches one step")
async def vouching(bench: Bench) -> None:
    """A node that a node of ours vouches for is admitted; one that that one names is not."""
    first, second, third = bench.new_node(), bench.new_node(), bench.new_node()
    first.vouch(second.account)
    second.vouch(third.account)
    async with bench.linked(first) as link:
        words = await link.push(second.genesis)
        bench.same("R-65", "a node vouched for", words[second.genesis.id], "stored")
        words = await link.push(second.node)
        bench.same("R-65", "its node record", words[second.node.id], "stored")
        words = await link.push(third.genesis)
        bench.same("R-65", "a node that only that one names", words[third.genesis.id], "not_hosted")


@check("R-76", "R-62", "R-61", title="push and ack")
async def pushing(bench: Bench) -> None:
    """Each record pushed gets a word, the truth of now; unreadable ones under their hash."""
    who, _, link = await bench.carried()
    post, again, bare = who.post(), who.post(), who.post()
    words = await link.push(post, bare._replace(payload=None))
    bench.same("R-76", "a post", words[post.id], "stored")
    bench.same("R-62", "a header without its payload", words[bare.id], "wanted")
    words = await link.push(post)
    bench.same("R-76", "a known post pushed again", words[post.id], "stored")
    words = await link.push(bare)
    bench.same("R-62", "the wanted payload", words[bare.id], "stored")
    header = b"\x91not a header"
    words = await link.push(pack_item(header, bytes(64), b""))
    bench.same("R-76", "what is no header, by its hash", list(words), [record_id(header)])
    unsigned = again._replace(signature=bytes(64))
    words = await link.push(unsigned)
    bench.same("R-76", "a record that nobody signed", words[again.id], "bad_signature")
    words = await link.push(again)
    bench.same("R-76", "the same record, signed", words[again.id], "stored")
    deleting = who.sign(kinds.DELETE, {"ids": [post.id]})
    words = await link.push(deleting)
    bench.same("R-76", "a delete", words[deleting.id], "stored")
    words = await link.push(post)
    bench.same("R-76", "a deleted post pushed again", words[post.id], "gone")
    bench.true("R-76", "the link is open after all of that", await link.alive())


@check("R-76", title="pushes that end a link")
async def bad_pushes(bench: Bench) -> None:
    """Twice the same, numbered as no push is, or without a reason."""
    who = Person(bench.network)
    made = who.post()
    whole = [made.header_bytes, made.signature, made.payload, None]
    bare = [made.header_bytes, made.signature, None, None]
    push = [7, 0, 0, [whole], []]
    await bench.ends("R-76", "a record twice in one push", [[7, 0, 0, [whole, whole], []]],
                     Code.UNEXPECTED_FRAME)  # fmt: skip
    await bench.ends("R-76", "an unasked push that is the last", [[*push[:2], 1, *push[3:]]],
                     frozenset({Code.BAD_FRAME, Code.UNEXPECTED_FRAME}))  # fmt: skip
    await bench.ends("R-76", "neither payload nor reason", [[7, 0, 0, [bare], []]],
                     Code.BAD_FRAME)  # fmt: skip
    await bench.ends("R-76", "payload and reason", [[7, 0, 0, [[*whole[:3], "gone"]], []]],
                     Code.BAD_FRAME)  # fmt: skip


@check("R-76", title="offers")
async def offers(bench: Bench) -> None:
    """`have` is answered: what is known by `ack`, what is new by `get`."""
    who, _, link = await bench.carried()
    known, new = who.post(), who.post()
    await link.push(known)
    link.items[new.id] = new
    await link.send(Have((known.id, new.id)))
    ack = await link.expect(Ack, lambda ack: any(one.id == known.id for one in ack.outcomes))
    code = next(one.code for one in ack.outcomes if one.id == known.id)
    bench.same("R-76", "an offer of what is known", code, Code.STORED)
    await link.until(lambda: new.id in link.asked or None, "get for what was offered")
    bench.true("R-76", "an offer of what is new is asked for", True)
    found = await _in_time(bench, link, new)
    bench.same("R-76", "what was asked for after an offer", found, "stored")


async def _in_time(bench: Bench, link: LinkProbe, record: Record, word: str = "stored") -> str:
    """What the node says of a record once it says `word`, or at the end of the waiting."""
    found = ""
    for _ in range(1 + int(bench.options.wait_s * 10)):
        found = await link.truth(record.id)
        if found == word:
            break
        await asyncio.sleep(0.1)  # the node does this in its own time
    return found


@check("R-62", title="wanted bytes are asked of another peer")
async def wanted(bench: Bench) -> None:
    """A header that came without its bytes makes the node ask whoever links."""
    who, _, link = await bench.carried()
    post = who.post()
    words = await link.push(post._replace(payload=None))
    bench.same("R-62", "a header alone", words[post.id], "wanted")
    try:
        async with bench.linked() as other:
            other.items[post.id] = post
            await other.until(
                lambda: post.id in other.asked or None, "get", max(bench.options.wait_s, 1)
            )
            found = await _in_time(bench, other, post)
            bench.same("R-62", "the bytes, from another peer", found, "stored")
    except TimeoutError:
        raise Unmet("the node did not ask for the bytes in time: say a longer --wait") from None


@check("R-63", "R-77", title="get")
async def getting(bench: Bench) -> None:
    """Each id once, as item or absent; the final part is the last."""
    who, _, link = await bench.carried()
    posts = [who.post() for _ in range(3)]
    bad = who.move_on(who.payload({"text": 7}))
    await link.push(*posts, bad)
    nowhere = secrets.token_bytes(32)
    items, absent = await link.get(*(one.id for one in posts), bad.id, nowhere)
    bench.same("R-77", "items of a get", set(items), {one.id for one in [*posts, bad]})
    bench.same("R-77", "what is not there", absent, {nowhere: "not_found"})
    code = items[bad.id].code if bad.id in items else None
    bench.same("R-63", "a payload that is no body", code, Code.INVALID)


@check("R-77", title="requests that end a link")
async def bad_requests(bench: Bench) -> None:
    """Numbers that do not ascend, too many at once, answers that nobody asked for."""
    ids = secrets.token_bytes(32)
    await bench.ends(
        "R-77", "a request number twice", [[9, 1, ids], [9, 1, ids]], Code.UNEXPECTED_FRAME
    )
    await bench.ends("R-77", "an answer to nothing", [[7, 5, 1, [], []]], Code.UNEXPECTED_FRAME)
    many = [pack([9, n, secrets.token_bytes(32 * FRAME_IDS_MAX)]) for n in range(1, 6)]
    await bench.ends("R-77", "more than 4,096 ids at once", many, Code.TOO_MANY)
    flood = [pack([12, n, 0, ids]) for n in range(1, REQUESTS_IN_FLIGHT_MAX + 2)]
    await bench.ends("R-77", "more than 64 requests at once", flood, Code.TOO_MANY)


@check("R-77", "R-55", title="chain")
async def chains(bench: Bench) -> None:
    """Headers of one chain, newest first, down to from_seq, from the heads or all held."""
    who, _, link = await bench.newly_carried()
    posts = [who.post() for _ in range(4)]
    await link.push(*posts)
    whole = {"account": who.account, "key": who.device.public, "lane": int(Lane.PUBLIC)}
    got = [one.id for one in await link.chain(**whole, from_seq=1, heads=(), limit=100)]
    newest_first = [one.id for one in reversed(posts)]
    bench.same("R-77", "a whole chain", got, newest_first)
    some = await link.chain(**whole, from_seq=2, heads=(posts[2].id,), limit=100)
    bench.same("R-77", "from a head down to seq 2", [one.id for one in some], newest_first[1:3])
    some = await link.chain(**whole, from_seq=1, heads=(), limit=2)
    bench.same("R-77", "no more than asked for", [one.id for one in some], newest_first[:2])
    none = await link.chain(**whole | {"account": bytes(32)}, from_seq=1, heads=(), limit=2)
    bench.same("R-77", "a chain of nobody", none, [])


@check("R-77", "R-126", title="find")
async def finding(bench: Bench) -> None:
    """By account or account key: hosting records, then the log, operations in order."""
    who, node, link = await bench.newly_carried()
    first = who.move(who.operation(_with_handle(who)))
    deleting = who.sign(kinds.DELETE, {"ids": [secrets.token_bytes(32)]})
    await link.push(first, deleting)
    for requirement, by, name in (
        ("R-77", FIND_ACCOUNT, who.account),
        ("R-126", FIND_ACCOUNT_KEY, who.paper.public),
        ("R-126", FIND_ACCOUNT_KEY, who.second.public),
    ):
        items = await link.find(by, name)
        ids = [item.id for item in items]
        there = {who.genesis.id, first.id, deleting.id}
        bench.true(requirement, "the log of an account is found", there <= set(ids))
        if there <= set(ids):
            places = [ids.index(one.id) for one in (who.genesis, first, deleting)]
            bench.true(requirement, "operations stand first, in order", places == sorted(places))
            before = ids[: places[0]]
            hosted = [one for one in items if one.id in before]
            is_hosting = any(node.device.public in one.header for one in hosted)
            bench.true(requirement, "its hosting record stands before them", is_hosting)
    nobody = await link.find(FIND_ACCOUNT, secrets.token_bytes(32))
    bench.same("R-77", "nobody known", nobody, [])


def _with_handle(who: Person) -> Draft:
    draft = Draft.after(who.head)
    draft.handles = ["a@example.org"]
    return draft


@check("R-79", title="challenges")
async def challenges(bench: Bench) -> None:
    """Who holds a payload can prove it; who does not says nil."""
    who, _, link = await bench.carried()
    post = who.post()
    await link.push(post)
    assert post.payload is not None, "made here"
    for _ in range(3):
        nonce, answer = await link.prove(post.id)
        right = challenge_hash(bench.network, nonce, post.payload)
        bench.same("R-79", "the proof that a payload is held", answer, right)
    _, answer = await link.prove(secrets.token_bytes(32))
    bench.same("R-79", "a record that nobody holds", answer, None)
    await bench.ends(
        "R-79",
        "an answer to no challenge",
        [[17, bytes(16), bytes(32), None]],
        Code.UNEXPECTED_FRAME,
    )


@check("R-79", title="statements and hints are taken")
async def statements(bench: Bench) -> None:
    """A receipt and node records as hints keep the link open."""
    node, link = await bench.home()
    row = Statement(node.account, node.device.public, 0, 1, node.node.id, ())
    await link.send(Receipt(node.node.header.created_ms + DAY_MS // 2, (row,)))
    await link.send(pack([18, [node.node.encode()]]))
    await link.send(Ack((Outcome(secrets.token_bytes(32), Code.STORED),)))
    bench.true("R-79", "the link is open after a receipt, a hint and an ack", await link.alive())


@check("R-67", title="deletes of one key in an hour")
async def delete_rate(bench: Bench) -> None:
    """Five hundred records, then `rate`, which is not remembered."""
    who = await bench.newcomer()
    made = [
        who.sign(kinds.DELETE, {"ids": [secrets.token_bytes(32) for _ in range(125)]})
        for _ in range(4)
    ]
    more = who.sign(kinds.DELETE, {"ids": [secrets.token_bytes(32)]})
    codes = await bench.http.publish(*made)
    bench.same("R-67", "deletes of 500", codes, ["stored"] * 4)
    codes = await bench.http.publish(more)
    bench.same("R-67", "one more", codes, ["rate"])
    bench.same("R-70", "it is asked for", await bench.http.code(more.id), "not_found")


@check("R-68", title="private records are for homes alone")
async def private(bench: Bench) -> None:
    """Nobody else compares, gets or brings them."""
    who, _, link = await bench.carried()
    setting = who.sign(kinds.SETTING, {"data": b"sealed"}, fresh_salt())
    words = await link.push(setting)
    case = "a setting brought where its account is not at home"
    bench.same("R-68", case, words[setting.id], "not_home")
    resident = await bench.resident()
    mine = resident.sign(kinds.SETTING, {"data": b"sealed"}, fresh_salt())
    codes = await bench.http.publish(mine)
    bench.same("R-68", "a setting published at home", codes, ["stored"])
    bench.same("R-68", "it is asked for over a link", await link.truth(mine.id), "not_found")
    bench.same("R-68", "it is asked for in public", await bench.http.code(mine.id), "not_found")
    await link.send(Reconcile(link.next_session(), int(Scope.PRIVATE), resident.account, 0, b"a"))
    ended = await link.expect(Reconciled)
    bench.true("R-68", "its private set is not compared with a stranger", ended.code is not None)


@check("R-60", "R-68", title="another present home gets private records")
async def second_home(bench: Bench) -> None:
    """An account with two homes: the suite's node is the other one."""
    node, link = await bench.home()
    who = await bench.newcomer(node.account)
    await link.push(node.hosting(who.account))
    setting = who.sign(kinds.SETTING, {"data": b"sealed"}, fresh_salt())
    codes = await bench.http.publish(setting)
    bench.same("R-68", "a setting of an account with two homes", codes, ["stored"])
    _, need = await compare(link, int(Scope.PRIVATE), who.account, [])
    bench.same("R-60", "the private set, compared by the other home", need, {setting.id})
    found = await link.truth(setting.id)
    bench.same("R-68", "the setting is asked for by the other home", found, "stored")


@check("R-63", title="a get of nothing new")
async def get_twice(bench: Bench) -> None:
    """Asking twice is answered twice."""
    who, _, link = await bench.carried()
    post = who.post()
    await link.push(post)
    for _ in range(2):
        request = link.next_request()
        await link.send(Get(request, (post.id,)))
        items, _ = await link.answers(request)
        payloads = [item.payload for item in items]
        bench.same("R-63", "a post that is asked for", payloads, [post.payload])
