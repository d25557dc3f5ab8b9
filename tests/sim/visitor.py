"""A node of a later version: it shakes hands as ever, then says what this version does not know.

What must happen is in the specification: another version in `hello` ends the link as `unsupported`
(R-75), a frame of another type as `bad_frame` (R-73); nothing else comes of it.
"""

from __future__ import annotations

import asyncio
import random
from functools import partial

from ratoon_node.errors import NodeError
from ratoon_node.store import read
from ratoon_protocol import codec
from ratoon_protocol.errors import Code
from ratoon_protocol.events import Closed, Ready
from ratoon_protocol.frames import Frame, Hello
from ratoon_protocol.introduction import Introduced, Own, Side
from ratoon_protocol.keys import SigningKey
from ratoon_protocol.limits import VERSION
from ratoon_protocol.session import PeerSession
from tests.sim.machine import Machine
from tests.sim.network import Network, SimWire

#: What is new about a visitor → the code that ends its link.
EXPECTED = {"version": Code.UNSUPPORTED, "frame": Code.BAD_FRAME}
# A type of frame that no version has yet.
NEW_TYPE = 77
# Longest visit.
VISIT_S_MAX = 30


class NewerSession(PeerSession):
    """Says another version in its hello, if `news` is that."""

    news = ""

    def _send(self, frame: Frame) -> None:
        if self.news == "version" and isinstance(frame, Hello):
            fields = [2, VERSION + 1, *_rest(frame)]
            self._queue([codec.encode(fields)])
        else:
            super()._send(frame)

    def say_news(self) -> None:
        """A frame that only later versions know."""
        self._queue([codec.encode([NEW_TYPE, 1, b"news"])])


def _rest(hello: Hello) -> list[codec.Value]:
    """The fields of a hello after its version, one more than there are."""
    return [
        hello.network,
        hello.carry,
        hello.horizon_ms,
        hello.identity_head,
        hello.admitted_digest,
        hello.clock_ms,
        list(hello.counts),
        b"more",
    ]


async def visit(
    network: Network, upgraded: Machine, host: Machine, news: str, rng: random.Random
) -> Code | None:
    """The node of `upgraded`, with a later program, dials `host`; the code it hears in the end.

    None if the network was in the way.
    """
    identity, node = upgraded.peek(partial(read.introduction, account=upgraded.account))
    keys = upgraded.keys
    own = Own(keys.account, identity, node, SigningKey.from_seed(keys.device_seed))
    try:
        wire = await network.dial(upgraded.name, host.site.address)
    except NodeError:
        return None
    now_ms = round(network.loop.time() * 1000)
    session = NewerSession(
        Side.DIALER, keys.network, own, keys.link_seed, rng.randbytes(32), now_ms, host.account
    )
    session.news = news
    try:
        async with asyncio.timeout(VISIT_S_MAX):
            heard = await _talk(network, wire, session, upgraded, host)
            return None if wire.into.tampered or wire.out.tampered else heard
    except (TimeoutError, ConnectionResetError):
        return None
    finally:
        await wire.close()


async def _talk(
    network: Network, wire: SimWire, session: NewerSession, upgraded: Machine, host: Machine
) -> Code | None:
    while True:
        for message in session.data_to_send():
            await wire.send(message)
        heard = await wire.receive()
        if heard is None:
            return None
        session.receive(heard, round(network.loop.time() * 1000))
        for event in session.events():
            if isinstance(event, Introduced):
                session.welcome(
                    horizon_ms=0,
                    identity_head=bytes(32),
                    admitted=[upgraded.account, host.account],
                    clock_ms=upgraded.clock.now_ms(),
                    counts=(0, 0, 0),
                )
            elif isinstance(event, Ready) and session.news == "frame":
                session.say_news()
            elif isinstance(event, Closed):
                return event.code
