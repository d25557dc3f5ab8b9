"""Sections 13 and 14: envelopes in a mailbox, and what a node answers whoever publishes."""

from __future__ import annotations

import asyncio
from typing import Any

from ratoon_node.cli.conformance.bench import Bench
from ratoon_node.cli.conformance.people import Person, fresh_key
from ratoon_node.cli.conformance.suite import Unmet, check
from ratoon_protocol import kinds
from ratoon_protocol.author import Draft
from ratoon_protocol.errors import Code
from ratoon_protocol.record import Record

# Envelopes that a mailbox takes in a day from people it does not know.
STRANGERS_A_DAY = 100
# More providers than any node has confirmed, and no time to wait for them.
NEVER = {"wait": "providers:16", "timeout": "1"}
_COUNTS = ("nodes", "providers", "countries", "unconfirmed")


def _letter(who: Person) -> Record:
    once = fresh_key()
    body = who.payload({"data": b"sealed"})
    return who.bad(body, by=once, kind=kinds.MESSAGE, key=once.public, seq=0)


@check("R-123", title="the strangers' quota of a mailbox")
async def mailbox(bench: Bench) -> None:
    """A hundred envelopes a day, then `rate`."""
    who = await bench.newcomer()
    codes = await bench.http.publish(*(_letter(who) for _ in range(STRANGERS_A_DAY)))
    bench.same("R-123", "a hundred envelopes", codes, ["stored"] * STRANGERS_A_DAY)
    late = _letter(who)
    bench.same("R-123", "one more", await bench.http.publish(late), ["rate"])


@check("R-132", title="one bad item never fails its batch")
async def batches(bench: Bench) -> None:
    """One outcome each, in order; what is good is stored."""
    who = await bench.resident()
    good = [who.post() for _ in range(4)]
    bad = who.bad(who.payload({"text": 7}))
    unsigned = who.bad(who.payload())._replace(signature=bytes(64))
    items = [good[0].encode(), b"\xc1", good[1].encode(), bad.encode(), unsigned.encode()]
    codes = await bench.http.batch([*items, good[2].encode(), good[0].encode(), good[3].encode()])
    wanted = ["stored", "malformed", "stored", "bad_type", "bad_signature"]
    bench.same("R-132", "outcomes in order", codes, [*wanted, "stored", "duplicate", "stored"])
    for one in good:
        bench.same("R-132", "a good one among bad", await bench.http.code(one.id), "stored")


@check("R-133", "R-9", title="shape of an error")
async def errors(bench: Bench) -> None:
    """One JSON object with code and text; nothing that was sent comes back in it."""
    who = await bench.resident()
    mark = "sent-and-refused"
    bad = who.bad(who.payload({"text": mark, "lang": f"not {mark}"}))
    answers = [
        await bench.http.one(bad.encode()),
        await bench.http.one(b"\xc1"),
        await bench.http.ask("GET", f"/v1/records/{bad.id.hex()}"),
        await bench.http.ask("GET", "/v1/records/not-an-id"),
        await bench.http.ask("GET", f"/v1/{mark}"),
    ]
    known = {code.value for code in Code}
    for found in answers:
        bench.true("R-133", f"HTTP {found.status} is an error", found.status >= 400)
        match found.json:
            case {"error": {"code": str(code), "message": str(words)}}:
                bench.true("R-133", f"{code} has words for people", bool(words))
                bench.true("R-9", f"{code} is in the table", code in known)
            case _:
                bench.true("R-133", f"HTTP {found.status} has a code and words", False)
        bench.true("R-133", "what was sent is not repeated", mark.encode() not in found.data)
    bench.same("R-9", "a body with a bad language", answers[0].code, "bad_text")


@check("R-134", title="a handle that no domain confirms")
async def handles(bench: Bench) -> None:
    """An account lists it, its domain can name nobody: it is not shown as the account's."""
    who = await bench.newcomer()
    # RFC 2606 keeps this top level from ever being anybody's.
    handle = f"{who.account.hex()[:16]}@conformance.invalid"
    draft = Draft.after(who.head)
    draft.handles = [handle]
    codes = await bench.http.publish(who.move(who.operation(draft)))
    bench.same("R-134", "an operation with a handle", codes, ["stored"])
    found = await bench.http.ask("GET", f"/v1/names/{handle}")
    bench.true("R-134", "a handle of a domain that cannot be is nobody's", found.status >= 400)
    name = handle.partition("@")[0]
    found = await bench.http.ask("GET", f"/.well-known/ratoon/{name}")
    bench.true("R-134", "it is no name of the node's own domain", found.status >= 400)


@check("R-130", "R-131", title="outcomes, and waiting for copies")
async def waiting(bench: Bench) -> None:
    """The home's own commit counts as one provider; more in time is 201, else 202."""
    who = await bench.resident()
    post = who.post()
    found = await bench.http.one(post.encode(), wait="providers:1", timeout="5000")
    row = _row(found.json)
    bench.same("R-131", "one provider in time", found.status, 201)
    bench.same("R-130", "the outcome", row.get("code"), "stored")
    for name in _COUNTS:
        bench.true("R-131", f"the answer counts {name}", isinstance(row.get(name), int))
    bench.true("R-130", "the home's commit counts", row.get("providers", 0) >= 1)
    again = await bench.http.one(post.encode(), wait="providers:1", timeout="5000")
    bench.same("R-131", "a retry", _row(again.json).get("code"), "duplicate")
    bench.true("R-131", "with the counts now", isinstance(_row(again.json).get("providers"), int))
    other = who.post()
    found = await bench.http.one(other.encode(), **NEVER)
    bench.same("R-131", "more providers than there are", found.status, 202)
    row, where = _row(found.json), (found.json or {}).get("location")
    bench.same("R-130", "its outcome", row.get("code"), "stored")
    bench.true("R-131", "the counts so far", isinstance(row.get("providers"), int))
    bench.true("R-131", "an address to ask again", isinstance(where, str))
    if isinstance(where, str) and where.startswith("/"):
        later = await bench.http.ask("GET", where)
        bench.true("R-131", "the address tells the counts", later.status < 300)
    bench.same("R-131", "the record is stored all the same", await bench.http.code(other.id),
               "stored")  # fmt: skip


def _row(answer: Any) -> dict[str, Any]:
    match answer:
        case {"records": [dict(row)]}:
            return row
    return {}


@check("R-130", title="nodes that nobody confirmed never count")
async def unconfirmed(bench: Bench) -> None:
    """A stranger that says `stored` is shown apart."""
    who = await bench.resident()
    _, link = await bench.home()
    link.says = Code.STORED
    try:
        post = who.post()
        await bench.http.one(post.encode())
        try:
            await link.until(lambda: post.id in link.told or None, "push of what was published")
        except TimeoutError:
            raise Unmet("the node did not pass a post on to the suite's node") from None
        row: dict[str, Any] = {}
        for _ in range(1 + int(bench.options.wait_s * 10)):
            row = _row((await bench.http.one(post.encode(), **NEVER)).json)
            if row.get("nodes", 0) >= 2:
                break
            await asyncio.sleep(0.1)  # its books follow in their own time
        bench.true("R-130", f"our word is shown: {row}", row.get("nodes", 0) >= 2)
        bench.true("R-130", "it is shown apart", row.get("unconfirmed", 0) >= 1)
        fewer = row.get("providers", 0) <= row.get("nodes", 0) - row.get("unconfirmed", 0)
        bench.true("R-130", f"it does not count as a provider: {row}", fewer)
    finally:
        link.says = Code.DROPPED


@check("R-130", title="confirmed providers count")
async def confirmed(bench: Bench) -> None:
    """With the operator's word for our provider, two providers hold what we say to hold."""
    who = await bench.resident()
    node, link = await bench.home()
    added = await bench.operate(
        "POST",
        "/v1/operator/peers",
        b'{"node": "%s", "provider": "conformance", "country": "XX"}' % node.account.hex().encode(),
    )
    if added is None:
        raise Unmet("the operator's token was refused")
    link.says = Code.STORED
    try:
        post = who.post()
        wait = str(int(max(bench.options.wait_s, 1) * 1000))
        found = await bench.http.one(post.encode(), wait="providers:2", timeout=wait)
        bench.same("R-130", "two providers in time", found.status, 201)
        count = _row(found.json).get("providers", 0)  # a node may have others, and they count too
        bench.true("R-130", f"at least two are counted: {count}", count >= 2)
    finally:
        link.says = Code.DROPPED
        await bench.operate("DELETE", f"/v1/operator/peers/{node.account.hex()}")
