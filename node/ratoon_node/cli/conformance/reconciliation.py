"""R-78, R-60 and R-61: comparing sets, honestly and not."""

from __future__ import annotations

from ratoon_node.cli.conformance.bench import Bench
from ratoon_node.cli.conformance.people import seconds
from ratoon_node.cli.conformance.probe_link import LinkEnded, LinkProbe
from ratoon_node.cli.conformance.suite import check
from ratoon_protocol import kinds
from ratoon_protocol.errors import Code
from ratoon_protocol.frames import SCOPE_ACCOUNT, Reconcile, Reconciled
from ratoon_protocol.kinds import Scope
from ratoon_protocol.limits import RECONCILE_FRAME_BYTES_MAX, RECONCILE_RANGES_MAX
from ratoon_protocol.reconcile import Index, Reconciler
from ratoon_protocol.record import Record

# Rounds of one session: a million records that differ in one place take six.
ROUNDS_MAX = 200


async def compare(
    link: LinkProbe, scope: int, account: bytes | None, records: list[Record]
) -> tuple[set[bytes], set[bytes]]:
    """A whole session over what we hold: ids that only we have, ids that only they have."""
    index = Index((seconds(one.header.created_ms), one.id) for one in records)
    reconciler = Reconciler(index, RECONCILE_FRAME_BYTES_MAX)
    number = link.next_session()
    message: bytes | None = reconciler.initiate()
    have: set[bytes] = set()
    need: set[bytes] = set()
    for _ in range(ROUNDS_MAX):
        assert message is not None, "asked below"
        answer = await link.turn(Reconcile(number, scope, account, 0, message))
        step = reconciler.proceed(answer)
        have.update(step.have)
        need.update(step.need)
        message = step.reply
        if message is None:
            await link.send(Reconciled(number, None))
            return have, need
    raise LinkEnded("a comparison without end")


@check("R-60", "R-61", "R-78", title="comparing one account")
async def one_account(bench: Bench) -> None:
    """All public headers of it are in the set, whatever their status, and nothing else."""
    who, _, link = await bench.newly_carried()
    old = who.post(ms=-9_000_000_000)  # older than most windows: the account's own set has it
    posts = [who.post() for _ in range(40)]
    first = who.sign(kinds.PROFILE, {"bio": "", "name": "a"}, b"")
    second = who.sign(kinds.PROFILE, {"bio": "", "name": "b"}, b"", ms=5)
    bad = who.move_on(who.payload({"text": 7}))
    deleting = who.sign(kinds.DELETE, {"ids": [posts[0].id]})
    all_ = [who.genesis, old, *posts, first, second, bad, deleting]
    await link.push(*all_[1:])
    have, need = await compare(link, SCOPE_ACCOUNT, who.account, all_)
    bench.same("R-78", "equal sets: what only we have", have, set())
    bench.same("R-61", "equal sets: what only the node has", need, set())
    mine = who.post()
    without = [one for one in all_ if one not in (posts[7], second, deleting)]
    have, need = await compare(link, SCOPE_ACCOUNT, who.account, [*without, mine])
    bench.same("R-78", "three missing here", need, {posts[7].id, second.id, deleting.id})
    bench.same("R-78", "one missing there", have, {mine.id})
    have, need = await compare(link, SCOPE_ACCOUNT, who.account, [])
    bench.same("R-61", "against nothing", need, {one.id for one in all_})
    bench.same("R-60", "the account's set has its old post", old.id in need, True)


@check("R-60", "R-61", "R-78", title="comparing the scopes")
async def scopes(bench: Bench) -> None:
    """Log, state and window each have what belongs there, of whom both sides carry."""
    who, node, link = await bench.carried()
    post = who.post()
    profile = who.sign(kinds.PROFILE, {"bio": "", "name": "a"}, b"")
    await link.push(post, profile)
    log = {who.genesis.id, node.genesis.id}
    for scope, there, elsewhere in (
        (Scope.LOG, log, {post.id, profile.id}),
        (Scope.STATE, {profile.id}, {post.id, who.genesis.id}),
        (Scope.WINDOW, {post.id}, {profile.id, who.genesis.id}),
    ):
        _, need = await compare(link, int(scope), None, [])
        name = scope.name.lower()
        bench.true("R-61", f"the {name} scope has what belongs there", there <= need)
        bench.true("R-60", f"the {name} scope has nothing of another", not elsewhere & need)
    _, need = await compare(link, int(Scope.LOG), None, [who.genesis])
    bench.true("R-78", "what both have is not named", who.genesis.id not in need)
    stranger = bench.new_node()
    other = await bench.wire()
    try:
        await other.meet(stranger)
        await other.alive()
        await other.admit([stranger.account])
        _, need = await compare(other, int(Scope.WINDOW), None, [])
        bench.true("R-61", "whom one side does not carry is not compared", post.id not in need)
    finally:
        await other.close()


@check("R-78", title="the bytes of a comparison")
async def exact(bench: Bench) -> None:
    """Answers are those of the published protocol, byte for byte."""
    who, _, link = await bench.newly_carried()
    records = [who.genesis, *(who.post() for _ in range(45))]
    await link.push(*records[1:])
    index = Index((seconds(one.header.created_ms), one.id) for one in records)
    mine = Index((seconds(one.header.created_ms), one.id) for one in records[::2])
    twin = Reconciler(index, RECONCILE_FRAME_BYTES_MAX)
    ours = Reconciler(mine, RECONCILE_FRAME_BYTES_MAX)
    message: bytes | None = ours.initiate()
    number = link.next_session()
    for _ in range(ROUNDS_MAX):
        assert message is not None, "asked below"
        answer = await link.turn(Reconcile(number, SCOPE_ACCOUNT, who.account, 0, message))
        bench.same("R-78", "an answer, byte for byte", answer, twin.respond(message))
        message = ours.proceed(answer).reply
        if message is None:
            break
    await link.send(Reconciled(number, None))
    other = link.next_session()
    answer = await link.turn(Reconcile(other, int(Scope.LOG), None, 0, b"\x62"))
    bench.same("R-78", "another version of the protocol", answer, b"\x61")
    await link.send(Reconciled(other, Code.UNSUPPORTED))
    bench.true("R-78", "the link is open after that", await link.alive())


_END = b"\x00\x00"  # a bound at infinity
MALFORMED: tuple[tuple[str, bytes], ...] = (
    ("no version of it", b"\x00"),
    ("a number that is not in its shortest form", b"\x61\x80\x00\x00\x00"),
    ("a number of eleven bytes", b"\x61" + b"\x81" * 10 + b"\x00\x00\x00"),
    ("an unknown mode", b"\x61" + _END + b"\x03"),
    ("a prefix of 33 bytes", b"\x61\x01\x21" + bytes(33) + b"\x00"),
    ("a fingerprint cut short", b"\x61" + _END + b"\x01" + bytes(15)),
    ("a list that claims more than is there", b"\x61" + _END + b"\x02\x02" + bytes(32)),
    ("a list that claims 2^62", b"\x61" + _END + b"\x02" + b"\xc0" + b"\x80" * 7 + b"\x00"),
    ("bounds that descend", b"\x61\x05\x01\x09\x00\x01\x01\x08\x00"),
    ("a bound behind infinity", b"\x61" + _END + b"\x00\x01\x00\x00"),
    ("4,097 ranges", b"\x61" + b"\x02\x00\x00" * (RECONCILE_RANGES_MAX + 1)),
)


@check("R-78", title="malformed comparisons end the link")
async def malformed(bench: Bench) -> None:
    """Each with `sync_malformed`."""
    for case, message in MALFORMED:
        frame = [13, 1, 0, None, 0, message]
        await bench.ends("R-78", case, [frame], Code.SYNC_MALFORMED)


@check("R-78", title="sessions have numbers and turns")
async def sessions(bench: Bench) -> None:
    """The dialler's are odd and ascend, eight at once at most."""
    start = b"\x61" + _END + b"\x02\x00"
    await bench.ends("R-78", "an even number of the dialler's", [[13, 2, 0, None, 0, start]],
                     Code.UNEXPECTED_FRAME)  # fmt: skip
    async with bench.linked() as link:
        for number in (1, 3, 5, 7, 9, 11, 13, 15):
            await link.turn(Reconcile(number, 0, None, 0, start))
        bench.true("R-78", "eight sessions at once are taken", await link.alive())
        await link.send(Reconcile(17, 0, None, 0, start))
        bench.same("R-78", "a ninth session at once", await link.end(), "too_many")
    async with bench.linked() as link:
        await link.send(Reconciled(99, None))
        late = await link.end() if not await link.alive() else "ignored"
        bench.same(
            "R-78", "the end of a session that was never begun", late,
            frozenset({"unexpected_frame"}),
        )  # fmt: skip
