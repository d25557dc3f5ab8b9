"""What one link is worth to gossip, learnt from what its peer tells and asks; nothing is sent here.

A peer that tells of a record which was pushed to it had it from somebody else: that push was in
vain. A peer that asks for what it was only offered would have been served by a push. So each node
finds those for whom it is the shortest way, and all of them together a tree: after Leitão, Pereira
and Rodrigues, "Epidemic Broadcast Trees" (2007), without a word of its own on the wire.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container, Iterable

from ratoon_protocol.introduction import Side

# How long an offer waits for the record to reach the peer by another way, and after how long it is
# settled whether a push was of use: longer than most ways take, shorter than people notice.
OFFER_MS = 200
# A link is pushed to while at least so large a part of what is pushed is of use.
WORTH_MIN = 0.4
# Of a link that nothing is known of: it is tried once.
WORTH_FIRST = 0.45
# What one push or one question counts beside all before it.
WORTH_STEP = 0.2
# Ids remembered of one link: offers that wait, pushes to be settled, offers that may be asked for.
IDS_MAX = 16_384


class Way:
    """One link. Its two ends do not offer at the same time: whoever accepted it waits longer."""

    def __init__(self, side: Side) -> None:
        #: Part of the records passed on over it that its peer would else have had to ask for.
        self.worth = WORTH_FIRST
        self._offer_ms = OFFER_MS if side is Side.DIALER else 2 * OFFER_MS
        # Ids in the order they came, each with the time when it is due.
        self._waiting: OrderedDict[bytes, tuple[int, bool]] = OrderedDict()
        self._pushed: OrderedDict[bytes, int] = OrderedDict()
        self._offered: OrderedDict[bytes, None] = OrderedDict()

    @property
    def idle(self) -> bool:
        """Whether nothing will be due."""
        return not self._waiting and not self._pushed

    def push(self, ids: Iterable[bytes], now_ms: int) -> None:
        """These are passed on whole; `settle` finds out whether that was of use."""
        for id_ in ids:
            self._pushed[id_] = now_ms + OFFER_MS
        while len(self._pushed) > IDS_MAX:
            self._pushed.popitem(last=False)

    def offer_later(self, ids: Iterable[bytes], now_ms: int, certain: bool) -> bool:
        """These are offered when they are due: those not `certain` unless the peer told of them.

        False if too many wait: then nothing does any more, and the sets are to be compared.
        """
        for id_ in ids:
            self._waiting[id_] = now_ms + self._offer_ms, certain
        if len(self._waiting) <= IDS_MAX:
            return True
        self._waiting.clear()
        return False

    def settle(self, seen: Container[bytes], now_ms: int) -> list[bytes]:
        """Judge the pushes that are due, by what the peer told of; the ids to offer now."""
        while self._pushed and next(iter(self._pushed.values())) <= now_ms:
            id_, _ = self._pushed.popitem(last=False)
            self._learn(id_ not in seen)
        offers = []
        while self._waiting and next(iter(self._waiting.values()))[0] <= now_ms:
            id_, (_, certain) = self._waiting.popitem(last=False)
            if certain or id_ not in seen:
                offers.append(id_)
                self._offered[id_] = None
        while len(self._offered) > IDS_MAX:
            self._offered.popitem(last=False)
        return offers

    def asked(self, ids: Iterable[bytes]) -> None:
        """The peer asks for records: those that it was offered it did not have from elsewhere."""
        for id_ in ids:
            if id_ in self._offered:
                del self._offered[id_]
                self._learn(True)

    def _learn(self, of_use: bool) -> None:
        self.worth += WORTH_STEP * (of_use - self.worth)
