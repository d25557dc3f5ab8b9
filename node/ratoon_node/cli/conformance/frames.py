"""Section 9, how a link begins: handshake, stream, frames, introduction, hello."""

from __future__ import annotations

import secrets
from typing import Any

from ratoon_node.cli.conformance.bench import Bench
from ratoon_node.cli.conformance.people import now_ms, operation_of, pack
from ratoon_node.cli.conformance.probe_link import LinkEnded, LinkProbe, NodeAccount
from ratoon_node.cli.conformance.raw_stream import framed
from ratoon_node.cli.conformance.suite import Unmet, check
from ratoon_protocol import framing
from ratoon_protocol.author import Draft
from ratoon_protocol.errors import Code, ProtocolError
from ratoon_protocol.frames import Admitted, Bye, Hello, Intro, Ping, Pong, admitted_digest
from ratoon_protocol.introduction import Binding, Own, Side, check_introduction
from ratoon_protocol.keys import AgreementKey
from ratoon_protocol.kinds import Capability
from ratoon_protocol.limits import (
    DAY_MS,
    FRAME_BYTES_MAX,
    INTRODUCTION_BYTES_MAX,
    MESSAGE_FRAMES_MAX,
    VERSION,
)
from ratoon_protocol.noise import Handshake
from ratoon_protocol.stream import PROLOGUE

_A, _B = sorted((secrets.token_bytes(32), secrets.token_bytes(32)))

# Frames that end an open link: requirement, case, the frame, the code.
BAD: tuple[tuple[str, str, list[Any] | bytes, Code], ...] = (
    ("R-73", "no type", [], Code.BAD_FRAME),
    ("R-73", "an unknown type", [19, 1], Code.BAD_FRAME),
    ("R-73", "a field too many", [5, 1, 1], Code.BAD_FRAME),
    ("R-73", "a field of another sort", [5, b"1"], Code.BAD_FRAME),
    ("R-73", "a number in a second spelling", b"\x92\x05\xcc\x01", Code.BAD_FRAME),
    ("R-73", "a byte behind the frame", b"\x92\x05\x01\x00", Code.BAD_FRAME),
    ("R-73", "a frame of nothing", b"", Code.BAD_FRAME),
    ("R-73", "a request of number 0", [9, 0, _A], Code.BAD_FRAME),
    ("R-73", "a code of 33 bytes", [4, "a" * 33], Code.BAD_FRAME),
    ("R-73", "a code twice in outcomes", [10, [["gone", _A], ["gone", _B]]], Code.BAD_FRAME),
    ("R-73", "holes that do not ascend", [15, 1, [[_A, _B, 2, 9, _A, [3, 2]]]], Code.BAD_FRAME),
    ("R-73", "a reconciliation of one account in the log", [13, 1, 0, _A, 0, b"a"], Code.BAD_FRAME),
    ("R-73", "an offer of 1,025", [8, _A * 1025], Code.TOO_MANY),
    ("R-73", "a push of 513", [7, 0, 0, [[b"", b"", None, "gone"]] * 513, []], Code.TOO_MANY),
    ("R-73", "a node record above 2 KiB", [18, [bytes(2049)]], Code.TOO_LARGE),
    ("R-73", "a second introduction", [1, [b"a"], b"b", _A, bytes(64)], Code.UNEXPECTED_FRAME),
)  # fmt: skip


@check("R-73", title="frames that end a link")
async def bad_frames(bench: Bench) -> None:
    """Each on a fresh link, each with its code; what is inside a record never does it."""
    for requirement, case, frame, code in BAD:
        await bench.ends(requirement, case, [frame], code)
    _, link = await bench.home()
    item = pack([7, 0, 0, [[b"no header", bytes(64), b"", None]], []])
    await link.send(item)
    bench.true("R-73", "a record that cannot be read does not end the link", await link.alive())


@check("R-71", title="the Noise handshake")
async def handshake(bench: Bench) -> None:
    """Any other prologue, order or payload ends the connection before a word is said."""
    static, ephemeral = secrets.token_bytes(32), secrets.token_bytes(32)
    first = Handshake(True, static, ephemeral, PROLOGUE)
    cases = {
        "garbage": [secrets.token_bytes(96)],
        "a first message of 31 bytes": [bytes(31)],
        "a payload in the first message": [first.write(b"payload")],
        "a key of small order": [bytes(32)],
    }
    for case, messages in cases.items():
        bench.true("R-71", f"{case} ends it", await _is_cut(bench, messages))
    bench.true("R-71", "another prologue ends it", await _other_prologue(bench))
    async with bench.stranger() as link:
        bench.true("R-71", "the right one goes through", (await link.expect(Intro)) is not None)


async def _is_cut(bench: Bench, messages: list[bytes]) -> bool:
    """Whether nothing but the end follows these messages."""
    link = await bench.wire()
    try:
        for message in messages:
            await link.send_message(message)
        while (answer := await link.receive_message()) is not None:
            # Noise may answer a first message; nothing can follow its third.
            await link.send_message(secrets.token_bytes(len(answer)))
        return True
    except TimeoutError:
        return False
    except LinkEnded:
        return True
    finally:
        await link.close()


async def _other_prologue(bench: Bench) -> bool:
    link = await bench.wire()
    noise = Handshake(True, secrets.token_bytes(32), secrets.token_bytes(32), b"ratoon/2/link\0")
    try:
        await link.send_message(noise.write())
        answer = await link.receive_message()
        if answer is None:
            return True
        try:
            noise.read(answer)
        except Exception:  # another hash: we cannot read theirs either, which is right
            await link.send_message(secrets.token_bytes(64))
            return await link.receive_message() is None
        return False
    except (LinkEnded, TimeoutError):
        return False
    finally:
        await link.close()


@check("R-71", "R-74", title="a link cannot be played again")
async def replay(bench: Bench) -> None:
    """The messages of an honest link, sent once more, open nothing."""
    async with bench.linked() as link:
        sent = list(link.sent)
    again = await bench.wire()
    try:
        for message in sent:
            await again.send_message(message)
        answers = 0
        while await again.receive_message() is not None:
            answers += 1
        bench.true("R-71", "nothing but the handshake is answered", answers <= 2)
        bench.true("R-74", "the replayed link ends", True)
    except LinkEnded:
        bench.true("R-74", "the replayed link ends", True)
    except TimeoutError:
        bench.true("R-74", "the replayed link ends", False)
    finally:
        await again.close()


@check("R-72", title="the stream of frames")
async def stream(bench: Bench) -> None:
    """Frames begin and end anywhere; empty, foreign and overlong messages end the link."""
    ping, empty = framed(framing.encode(Ping(77))), framed(framing.encode(Admitted(())))
    async with bench.linked() as link:
        both = empty + ping
        for piece in (both[at : at + 3] for at in range(0, len(both), 3)):
            await link.send_plain(piece)
        await link.expect(Pong, lambda pong: pong.number == 77)
        bench.true("R-72", "two frames in pieces of three bytes are understood", True)
        await link.send_plain(empty * (MESSAGE_FRAMES_MAX - 1) + ping)
        await link.expect(Pong, lambda pong: pong.number == 77)
        bench.true("R-72", "2,048 frames in a message are understood", True)
    cases = (
        ("an empty message", b"", Code.BAD_FRAME),
        ("2,049 frames in a message", empty * (MESSAGE_FRAMES_MAX + 1), Code.TOO_MANY),
        ("a length above 192 KiB", (FRAME_BYTES_MAX + 1).to_bytes(4), Code.TOO_LARGE),
    )
    for case, plain, code in cases:
        async with bench.linked() as bad:
            bad.polite = False
            await bad.send_plain(plain)
            bench.same("R-72", case, await bad.end(), code.value)
    async with bench.linked() as bad:
        await bad.send_message(secrets.token_bytes(40))
        bench.same("R-72", "a message that does not decrypt", await bad.end(), "bad_frame")
    async with bench.stranger() as bad:
        await bad.send_plain((INTRODUCTION_BYTES_MAX + 1).to_bytes(4))
        found = await bad.end()
        bench.same("R-72", "64 KiB and a byte before the introduction", found, "too_large")


# --- introductions ---------------------------------------------------------------------------


async def _says(
    bench: Bench, requirement: str, case: str, own: Own, wanted: set[str], **change: Any
) -> None:
    """A stranger that introduces itself like this gets this answer."""
    async with bench.stranger() as link:
        await link.send(link.introduction(own, **change))
        bench.same(requirement, case, await link.end(), frozenset(wanted))


@check("R-74", title="introductions")
async def introductions(bench: Bench) -> None:
    """Proof, log, capability and node record must all be the account's own."""
    node = NodeAccount(bench.network)
    other = NodeAccount(bench.network)
    powerless = NodeAccount(bench.network, 1 << Capability.WRITE)
    own = node.own
    foreign = AgreementKey(secrets.token_bytes(32)).public
    proof = {"bad_proof"}
    await _says(bench, "R-74", "a proof over another static key", own, proof, static=foreign)
    await _says(
        bench, "R-74", "a proof over another handshake", own, proof, handshake_hash=bytes(32)
    )
    await _says(bench, "R-74", "a proof of the other side", own, proof, side=Side.ACCEPTOR)
    await _says(bench, "R-74", "a proof of another network", own, proof, network=bytes(8))
    cases = {
        "a device of another account": (own._replace(key=other.device), {"unknown_key"}),
        "a device that may not serve": (powerless.own, {"unknown_key"}),
        "another account's node record": (own._replace(node=other.own.node), {"bad_target"}),
        "an identity record for a node record": (
            own._replace(node=own.identity[0]),
            {"bad_target"},
        ),
        "operations of two accounts": (
            own._replace(identity=(*own.identity, *other.own.identity)),
            {"bad_operation"},
        ),
        "a log of an unsigned operation": (
            own._replace(identity=(_unsigned(node),)),
            {"bad_signature"},
        ),
    }
    for case, (shown, wanted) in cases.items():
        await _says(bench, "R-74", case, shown, wanted)
    async with bench.stranger() as link:
        theirs = await link.expect(Intro)
        me = Own(await bench.node(), theirs.identity, theirs.node, node.device)
        await link.send(link.introduction(me))
        found = await link.end()
        wanted_ = frozenset({"self_link", "unknown_key"})
        bench.same("R-74", "the node's own account shown back to it", found, wanted_)
    async with bench.stranger() as link:
        await link.send(Ping(1))
        bench.same("R-73", "a ping before the introduction", await link.end(), "unexpected_frame")


def _unsigned(node: NodeAccount) -> bytes:
    return node.genesis._replace(signature=bytes(64)).encode()


@check("R-74", title="a thief leaves out its own revocation")
async def thief(bench: Bench) -> None:
    """A node whose device the network knows as revoked gets no link with it."""
    _, link = await bench.home()
    victim = bench.new_node()
    draft = Draft.after(operation_of(victim.genesis))
    draft.stolen(victim.device.public, now_ms(), {})
    gone = victim.operation(draft)
    async with bench.linked(victim):
        pass
    words = await link.push(gone)
    bench.same("R-74", "an operation that revokes a node's device", words[gone.id], "stored")
    async with bench.stranger() as old:
        await old.send(old.introduction(victim.own))
        bench.same("R-74", "the revoked device alone", await old.end(), "revoked")
    victim.over = True


@check("R-3", "R-60", "R-65", "R-74", "R-75", title="what the node says of itself")
async def greeting(bench: Bench) -> None:
    """Its introduction proves an account, its hello says what the link is about."""
    node = bench.new_node()
    async with bench.stranger() as link:
        intro = await link.expect(Intro)
        bench.same("R-74", "its proof and log", _judged(link, intro, bench.network), "ok")
        await link.send(link.introduction(node.own))
        hello = await link.expect(Hello)
        bench.same("R-75", "version", hello.version, VERSION)
        bench.same("R-75", "network", hello.network, bench.network)
        bench.same("R-75", "carry", hello.carry, "all")
        skew_ms = abs(hello.clock_ms - now_ms())
        bench.true("R-3", f"its clock counts ms since 1970 (off by {skew_ms})", skew_ms < DAY_MS)
        bench.true("R-60", "its horizon is 00:00 of a day", hello.horizon_ms % DAY_MS == 0)
        lonely = link.hello(hello, node, admitted_digest=admitted_digest([node.account]))
        await link.send(lonely, Admitted((node.account,)))
        told = await link.expect(Admitted)
        bench.same(
            "R-75",
            "the list fits its digest",
            admitted_digest(told.accounts),
            hello.admitted_digest,
        )
        listed = await bench.node() in told.accounts
        bench.true("R-65", "a node admits itself", listed)
        bench.true("R-65", "a node that proved itself is admitted", node.account in told.accounts)
        bench.true("R-75", "the link is open then", await link.alive())


def _judged(link: LinkProbe, intro: Intro, network: bytes) -> str:
    """Our own judgement of the node's introduction."""
    stream = link.stream
    binding = Binding(network, stream.remote_static, stream.handshake_hash, Side.ACCEPTOR)
    try:
        check_introduction(intro, binding, bytes(32), None)
    except ProtocolError as error:
        return str(error)
    return "ok"


@check("R-75", "R-4", title="hellos")
async def hellos(bench: Bench) -> None:
    """Another version, carry or network ends the link; so does a list that does not fit."""
    cases: tuple[tuple[str, str, dict[str, Any] | list[Any], str], ...] = (
        ("R-75", "another version", {"version": 9}, "unsupported"),
        ("R-75", "another version of another shape", [2, 9, "any shape"], "unsupported"),
        ("R-75", "less carried", {"carry": "some"}, "unsupported"),
        ("R-4", "another network", {"network": b"elsewher"}, "wrong_network"),
    )
    for requirement, case, change, code in cases:
        async with bench.stranger() as link:
            node = bench.new_node()
            await link.send(link.introduction(node.own))
            hello = await link.expect(Hello)
            if isinstance(change, dict):
                said = link.hello(hello, node)._asdict() | {"counts": [0, 0, 0]} | change
                change = [2, *said.values()]
            await link.send(pack(change))
            bench.same(requirement, f"a hello of {case}", await link.end(), code)
    async with bench.stranger() as link:
        node = bench.new_node()
        await link.send(link.introduction(node.own))
        hello = await link.expect(Hello)
        wrong = link.hello(hello, node, admitted_digest=bytes(32))
        await link.send(wrong, Admitted((node.account,)))
        bench.same("R-75", "a list that does not fit its digest", await link.end(), "bad_frame")
    async with bench.stranger() as link:
        node = bench.new_node()
        await link.send(link.introduction(node.own), Ping(1))
        bench.same("R-73", "a ping before the hello", await link.end(), "unexpected_frame")


@check("R-79", "R-75", title="a link is given no more than ten seconds to open")
async def patience(bench: Bench) -> None:
    """Who says nothing after the handshake is cut off."""
    if bench.options.wait_s < 15:
        raise Unmet("it takes 15 seconds: say --wait 15")
    link = await bench.wire()
    try:
        await link.shake_hands()
        await link.until(lambda: link.ended or None, "end of a silent link", 15)
        bench.same("R-75", "a silent stranger", link.bye, frozenset({"timeout", None}))
    finally:
        await link.close()


@check("R-79", title="ping and bye")
async def pings(bench: Bench) -> None:
    """A ping comes back with its number; after a bye nothing follows."""
    async with bench.linked() as link:
        await link.send(Ping(2**53 - 1))
        await link.expect(Pong, lambda pong: pong.number == 2**53 - 1)
        bench.true("R-79", "a pong has the number of its ping", True)
        before = len(link.frames)
        await link.send(Bye(Code.SHUTDOWN), Ping(5))
        await link.end()
        pongs = [one for one in link.frames[before:] if isinstance(one, Pong) and one.number == 5]
        bench.true("R-79", "nothing is answered behind a bye", not pongs)
