"""Signing in: a device key signs a challenge of this node and gets a token for a while (R-127).

There are no passwords. The token is kept as its hash alone, so whoever reads the database cannot
use it. Whether a session still holds is asked of the account's head at every use: it ends with the
device, with the account, with its place here, and with a block.
"""

from __future__ import annotations

import hashlib
import hmac
import random
import sqlite3
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from ratoon_node.errors import NodeError, told
from ratoon_node.ingest.ledger import write
from ratoon_node.policy.engine import Policy
from ratoon_node.policy.verdict import Verdict
from ratoon_node.runtime import Clock
from ratoon_node.store import read, sessions
from ratoon_node.store.db import Db
from ratoon_node.store.sessions import Session
from ratoon_protocol.errors import Code, ProtocolError
from ratoon_protocol.keys import Context
from ratoon_protocol.limits import INT_MAX
from ratoon_protocol.statement import CAPABILITIES, SignIn, read_sign_in

# What a person needs to say yes to a signature, twice.
CHALLENGE_MS = 120_000
# Challenges answered and not yet over: each cost a real device of a real account a sign-in.
SPENT_MAX = 65_536
# A session that is not used ends.
IDLE_MS_MAX = 30 * 86_400_000
# And so does one that is: signing in again costs a client nothing.
SESSION_MS_MAX = 180 * 86_400_000
# A use is written down this late: one write a day and session.
RENEW_MS = 86_400_000
# Sessions of one account; the oldest goes. More than its devices, which may have several clients.
SESSIONS_PER_ACCOUNT_MAX = 64
# Sessions of a node; the one nearest to its end goes.
SESSIONS_MAX = 50_000
# 256 bits: cannot be guessed.
TOKEN_BYTES = 32

#: Who may work as an operator here.
OPERATOR = "operator"

_SERIAL_BYTES = 4
_TIME_BYTES = 4
_MARK_BYTES = 8


class Challenge(NamedTuple):
    """What a device signs to sign in: a nonce (16 bytes) that counts once, until `expires_ms`."""

    nonce: bytes
    expires_ms: int


class SignedIn(NamedTuple):
    """Who a token speaks for."""

    account: bytes
    expires_ms: int
    roles: tuple[str, ...]


class Challenges:
    """Makes nonces and takes each once.

    A nonce names its time under a mark that only this process can make, so asking for many costs
    no memory and pushes out nobody else's. What is remembered are those that were used.
    """

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._secret = rng.randbytes(32)
        self._serial = 0
        self._spent: OrderedDict[bytes, int] = OrderedDict()

    def make(self, account: bytes) -> bytes:
        """A nonce for one account to sign with."""
        self._serial = (self._serial + 1) % (1 << 8 * _SERIAL_BYTES)
        made_s = self._clock.monotonic_ms() // 1000 % (1 << 8 * _TIME_BYTES)
        open_part = self._serial.to_bytes(_SERIAL_BYTES) + made_s.to_bytes(_TIME_BYTES)
        return open_part + self._mark(account, open_part)

    def fits(self, account: bytes, nonce: bytes) -> bool:
        """Whether this process made it for the account, not too long ago, and it was not used."""
        open_part, mark = nonce[:-_MARK_BYTES], nonce[-_MARK_BYTES:]
        if not hmac.compare_digest(self._mark(account, open_part), mark):
            return False
        made_s = int.from_bytes(open_part[_SERIAL_BYTES:])
        age_s = (self._clock.monotonic_ms() // 1000 - made_s) % (1 << 8 * _TIME_BYTES)
        return age_s * 1000 <= CHALLENGE_MS and nonce not in self._spent

    def spend(self, nonce: bytes) -> bool:
        """Use it up; False if somebody just did. Raises `NodeError(busy)` if too many were."""
        now_ms = self._clock.monotonic_ms()
        while self._spent and next(iter(self._spent.values())) < now_ms:
            self._spent.popitem(last=False)
        if nonce in self._spent:
            return False
        if len(self._spent) >= SPENT_MAX:
            raise NodeError(Code.BUSY, retry_ms=CHALLENGE_MS)
        # A second more than it lives: its age is counted in whole seconds.
        self._spent[nonce] = now_ms + CHALLENGE_MS + 1000
        return True

    def _mark(self, account: bytes, open_part: bytes) -> bytes:
        made = hmac.new(self._secret, account + open_part, hashlib.sha256)
        return made.digest()[:_MARK_BYTES]


class Sessions:
    """Who is signed in. Writes raise `NodeError(busy)` when the store cannot write."""

    def __init__(
        self,
        db: Db,
        clock: Clock,
        rng: random.Random,
        network: bytes,
        own: bytes,
        operators: frozenset[bytes],
        policy: Callable[[], Policy],
    ) -> None:
        self._db = db
        self._clock = clock
        self._rng = rng
        self._network = network
        self._own = own
        #: Accounts that may do the operator's work.
        self.operators = operators
        self._policy = policy
        self._challenges = Challenges(clock, rng)

    def challenge(self, account: bytes) -> Challenge:
        """What a device of `account` may sign within the next two minutes."""
        return Challenge(self._challenges.make(account), self._clock.now_ms() + CHALLENGE_MS)

    async def sign_in(self, data: bytes, is_own: Callable[[str], bool]) -> tuple[str, SignedIn]:
        """A token for the device that signed `data`. `is_own` knows this node's addresses.

        Raises `NodeError`: what is wrong with the statement, `wrong_account` (another audience),
        `unauthorised` (origin, nonce, time, or a key that may not write), `unknown_account`,
        `gone`, `unknown_key`, `not_home`, `blocked`.
        """
        try:
            key, said = read_sign_in(self._network, data)
        except ProtocolError as error:
            raise told(error) from error
        self._check(said, is_own)
        now_ms = self._clock.now_ms()
        refused = await self._db.read(lambda db: self._refusal(db, said.account, key))
        if refused is not None:
            raise refused
        if not self._challenges.spend(said.nonce):
            raise _unopened()
        token = self._rng.randbytes(TOKEN_BYTES).hex()
        session = Session(_hashed(token), said.account, key, now_ms, now_ms + IDLE_MS_MAX)
        await write(
            self._db,
            lambda db: sessions.add(db, session, now_ms, SESSIONS_PER_ACCOUNT_MAX, SESSIONS_MAX),
        )
        return token, self._signed_in(session)

    def _check(self, said: SignIn, is_own: Callable[[str], bool]) -> None:
        """What was signed is for this node, at this node's address, now, and for the first time."""
        if said.audience != self._own:
            raise NodeError(Code.WRONG_ACCOUNT, safe="This was signed for another node.")
        if not is_own(said.origin):
            words = "This was signed for an address that is not one of this node's."
            raise NodeError(Code.UNAUTHORISED, safe=words)
        if said.expires_ms <= self._clock.now_ms():
            raise _unopened()
        if not self._challenges.fits(said.account, said.nonce):
            raise _unopened()

    async def find(self, token: str) -> SignedIn | None:
        """Who a token speaks for now; a session that no longer holds ends here."""
        hashed, now_ms = _hashed(token), self._clock.now_ms()

        def look(db: sqlite3.Connection) -> tuple[Session, NodeError | None] | None:
            session = sessions.find(db, hashed)
            if session is None or not hmac.compare_digest(session.token, hashed):
                return None
            return session, self._refusal(db, session.account, session.key)

        found = await self._db.read(look)
        if found is None:
            return None
        session, refused = found
        if refused is not None or session.expires_ms <= now_ms:
            await write(self._db, lambda db: sessions.end(db, hashed))
            return None
        expires_ms = min(now_ms + IDLE_MS_MAX, session.made_ms + SESSION_MS_MAX)
        if expires_ms >= session.expires_ms + RENEW_MS:
            await write(self._db, lambda db: sessions.renew(db, hashed, expires_ms))
            session = session._replace(expires_ms=expires_ms)
        return self._signed_in(session)

    async def sign_out(self, token: str) -> None:
        """End the session of a token."""
        hashed = _hashed(token)
        await write(self._db, lambda db: sessions.end(db, hashed))

    async def sign_out_all(self, account: bytes) -> None:
        """End every session of an account."""
        await write(self._db, lambda db: sessions.end_all(db, account))

    def _signed_in(self, session: Session) -> SignedIn:
        roles = (OPERATOR,) if session.account in self.operators else ()
        return SignedIn(session.account, session.expires_ms, roles)

    def _refusal(self, db: sqlite3.Connection, account: bytes, key: bytes) -> NodeError | None:
        """Why a device may not be signed in now; None if it may."""
        known = read.account(db, account)
        if known is None or known.head is None:
            return NodeError(Code.UNKNOWN_ACCOUNT)
        if known.vanished_ms is not None:
            return NodeError(Code.GONE)
        device = sessions.device(db, known, key)
        if device is None:
            return NodeError(Code.UNKNOWN_KEY)
        if not device.capabilities >> CAPABILITIES[Context.SESSION] & 1:
            return NodeError(Code.UNAUTHORISED, safe="This key may not sign in.")
        if account not in self.operators and self._own not in read.homes(db, account):
            return NodeError(Code.NOT_HOME)
        nodes = read.hosts(db, account) or (account,)
        decision = self._policy().account_decision(account, nodes, self._clock.now_ms())
        if decision is not None and decision.verdict >= Verdict.HOLD:
            return NodeError(Code.BLOCKED)
        return None


class ReadMarks:
    """How far people have read. Writes raise `NodeError(busy)` when the store cannot write."""

    def __init__(self, db: Db, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def all_of(self, account: bytes) -> dict[str, tuple[int, int]]:
        """(position, when it was set) of each timeline that somebody marked."""
        return await self._db.read(lambda db: sessions.marks(db, account))

    async def set(
        self, account: bytes, positions: dict[str, int], names_max: int, back: bool
    ) -> dict[str, tuple[int, int]]:
        """Move marks forwards (with `back` anywhere), all or none; gives all of them.

        Raises `NodeError(too_many)` if there would be more than `names_max`.
        """
        now_ms = self._clock.now_ms()

        def run(db: sqlite3.Connection) -> dict[str, tuple[int, int]]:
            for timeline, position in positions.items():
                sessions.set_mark(db, account, timeline, min(position, INT_MAX), now_ms, back)
            found = sessions.marks(db, account)
            if len(found) > names_max:
                raise NodeError(Code.TOO_MANY)
            return found

        return await write(self._db, run)


def _hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _unopened() -> NodeError:
    words = "This challenge is over, was used, or is none of this node's: ask for a new one."
    return NodeError(Code.UNAUTHORISED, safe=words)
