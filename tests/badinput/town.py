"""People whose standing at a node makes records bad that are right in themselves."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from ratoon_node.ingest.submission import Origin, Way
from ratoon_protocol import kinds
from ratoon_protocol.author import Author, Draft, sign_envelope
from ratoon_protocol.identity import parse_operation
from ratoon_protocol.keys import SigningKey
from ratoon_protocol.limits import DELETES_PER_KEY_HOUR_MAX
from ratoon_protocol.record import Record, decode_payload, record_id, signed_message
from tests.badinput.bodies import body_cases
from tests.badinput.cases import byte_cases, second_signature
from tests.badinput.forge import MARK, STRICT, WAYS, Case, Fields, Forge, as_case
from tests.node.api.site import Site
from tests.node.world import Clock, Person, person

NETWORK = b"ratoon\x00\x01"
#: Envelopes that strangers may leave with one account in a day (R-123).
LETTERS_MAX = 100
#: A word and a site that this node's rules refuse.
WORD, SITE = "snakeoil", "bad.example"
ID = bytes(32)


def someone(seed: int, clock: Clock) -> Person:
    return person(NETWORK, random.Random(seed), clock)


def rules() -> str:
    """The policy of the node: one account, one word, one site."""
    eve = someone(5, Clock()).account.hex()
    return f'[lists.block]\naccounts = ["{eve}"]\nwords = ["{WORD}"]\ndomains = ["{SITE}"]\n'


class Town:
    """Who lives at a node, what they did before, and all cases made for it.

    ann is an ordinary person, bob at home elsewhere, gus good, dan vanished, eve blocked, hal's
    device was replaced, kim's mailbox is full, lou has deleted all day, and of zoe nothing is
    known but that she is at home here.
    """

    def __init__(self, clock: Clock) -> None:
        self.ann, self.bob, self.gus, self.dan, self.eve, self.hal, self.kim, self.lou, self.zoe = (
            someone(seed, clock) for seed in range(1, 10)
        )
        self._clock = clock
        self.kept = self.gus.post("kept")
        self.deleted = self.gus.post("deleted")
        self.unseen = self.gus.post("deleted " + MARK)
        self.quoted = self.eve.post("what eve said")
        self.cases = [*byte_cases(Forge(self.ann)), *body_cases(Forge(self.ann))]
        for maker in (self._authority, self._standing, self._policy, self._known, self._rates):
            self.cases += maker()
        self.cases += _operations(self.ann)
        self._good = 0

    def good(self) -> Record:
        """A record that any node of the town takes."""
        self._good += 1
        return self.gus.post(f"good {self._good}")

    async def settle(self, here: Site) -> None:
        """Bring everybody to a node."""
        residents = (
            self.ann, self.gus, self.dan, self.eve, self.hal, self.kim, self.lou, self.zoe
        )  # fmt: skip
        for who in residents:
            await here.node.own.host(who.account)
        genesis = [who.genesis for who in residents if who is not self.zoe]
        for part in (genesis, self._before()):
            outcomes = await here.node.gate.submit([one.encode() for one in part], Origin(Way.API))
            assert {one.code for one in outcomes} <= {"stored", "withheld"}, outcomes
        await here.node.gate.settled()

    def _before(self) -> list[Record]:
        """What happened before the first case."""
        delete = self.gus.sign(kinds.DELETE, {"ids": [self.deleted.id, self.unseen.id]})
        vanish = _operation(self.dan, lambda draft: setattr(draft, "vanish", True))
        device = self.hal.author.key.public
        replaced = _operation(self.hal, lambda draft: draft.retire(device, 1_600_000_000_000))
        many = [at.to_bytes(32) for at in range(DELETES_PER_KEY_HOUR_MAX)]
        parts = [many[at : at + 125] for at in range(0, len(many), 125)]
        deletes = [self.lou.sign(kinds.DELETE, {"ids": part}) for part in parts]
        letters = [self._letter(self.kim, at) for at in range(LETTERS_MAX)]
        said = [self.kept, self.quoted, self.deleted]
        return [*said, delete, vanish, replaced, *deletes, *letters]

    def _letter(self, to: Person, number: int, data: bytes = b"") -> Record:
        key = SigningKey.from_seed(number.to_bytes(32))
        body: Fields = {"data": data}
        now_ms, salt = self._clock.now_ms(), number.to_bytes(16)
        return sign_envelope(NETWORK, kinds.MESSAGE, to.account, key, body, now_ms, salt)

    # --- keys and accounts ---------------------------------------------------------------

    def _authority(self) -> list[Case]:
        """By keys that may not sign for the account."""
        forge, theirs = Forge(self.ann), Forge(self.bob)
        payload = forge.payload({"text": MARK})
        stolen = theirs.fields(payload, account=self.ann.account)
        paper = self.ann.paper
        by_paper = forge.fields(payload, key=paper.public)
        name_of_none = SigningKey.from_seed(ID)
        nobody = theirs.fields(payload, key=name_of_none.public, account=self.ann.account)
        both = "unknown_key", "unknown_key"
        return [
            Case("another account's key", stolen, theirs.sign(stolen), payload, *both),
            Case(
                "a key of nobody",
                nobody,
                name_of_none.sign(signed_message(nobody)),
                payload,
                *both,
            ),
            Case(
                "an account key that posts",
                by_paper,
                paper.sign(signed_message(by_paper)),
                payload,
                "revoked",
                "revoked",
            ),
            self._may_not_serve(forge, "a key that may not host", kinds.HOSTING, ID, {"state": 1}),
            self._may_not_serve(forge, "a person who is a node", kinds.NODE, b"", _node_body()),
        ]

    def _may_not_serve(
        self, forge: Forge, name: str, kind: int, target: bytes, body: Fields
    ) -> Case:
        return forge.slotted(name, "revoked", kind, target, body).but(link="revoked")

    def _standing(self) -> list[Case]:
        """Of accounts that are elsewhere, gone, or not known."""
        by_bob = Forge(self.bob).case("an account at home elsewhere", "not_home", "not_hosted")
        setting: Fields = {"data": b""}
        private = Forge(self.bob).slotted(
            "a setting of somebody elsewhere", "not_home", kinds.SETTING, bytes(16), setting
        )
        letter = as_case("a letter to somebody elsewhere", "not_home", self._letter(self.bob, 500))
        late = as_case("a letter to nobody", "gone", self._letter(self.dan, 501))
        return [
            by_bob,
            private.but(link="not_home"),
            letter,
            late,
            Forge(self.dan).case("a post after a vanish", "gone", "gone"),
            Forge(self.hal)
            .case("a key that was replaced", "revoked", "revoked", {"text": "late"})
            .but(masked=True),
            Forge(self.zoe).case(
                "an account without its log", "unknown_account", "unknown_account"
            ),
        ]

    # --- rules ---------------------------------------------------------------------------

    def _policy(self) -> list[Case]:
        """What the rules of this node refuse: headers are kept, bytes are not (R-69)."""
        forge, eve = Forge(self.ann), self.eve.account
        quote = {"text": MARK, "quote": self.quoted.id, "quote_account": eve}
        lied = quote | {"quote_account": self.gus.account}
        link = [0, 4, 0, f"https://x.{SITE}/a"]
        bodies: dict[str, Fields] = {
            "a refused word": {"text": f"{MARK} {WORD}"},
            "a refused word in other letters": {"text": f"{MARK} SNAKE\uff2fIL"},
            "a refused word in a poll": {
                "text": MARK,
                "poll": {"ends_ms": 1, "many": 0, "options": ["a", WORD]},
            },
            "a refused word under a warning": {"text": MARK, "warning": WORD},
            "a link to a refused site": {"text": MARK, "facets": [link]},
            "a quote of somebody blocked": quote,
            "a quote that lies about whom": lied,
        }
        repost = {"target": self.quoted.id, "target_account": eve, "zz": MARK}
        named = repost | {"target": bytes(31) + b"\1"}
        found = [forge.case(name, "withheld", "withheld", body) for name, body in bodies.items()]
        for name, body in (
            ("a repost of somebody blocked", repost),
            ("a repost of what is not here by somebody blocked", named),
        ):
            found.append(forge.case(name, "withheld", "withheld", body, kind=kinds.REPOST))
        found.append(Forge(self.eve).case("an account that is blocked", "withheld", "withheld"))
        return found

    # --- what is here already ------------------------------------------------------------

    def _known(self) -> list[Case]:
        again = {"link": "stored"}
        duplicate = as_case("a record once more", "duplicate", self.kept).but(
            other=again, known=True
        )
        seed = _device_seed(3)
        assert SigningKey.from_seed(seed).public == self.gus.author.key.public
        message = signed_message(self.kept.header_bytes)
        other = second_signature(self.gus.author.key, seed, message)
        torn = Case(
            "another payload under a known header",
            self.kept.header_bytes,
            self.kept.signature,
            Forge(self.gus).payload({"text": MARK}),
            "payload_mismatch",
            "duplicate",
            other=again,
            known=True,
        )
        return [
            duplicate,
            duplicate.but(name="the same header with another signature", signature=other),
            torn,
            as_case("a deleted post once more", "gone", self.deleted).but(known=True),
            as_case("a post that was deleted before", "gone", self.unseen).but(early=True),
        ]

    def _rates(self) -> list[Case]:
        forge = Forge(self.lou)
        delete = forge.body("a delete too many", "rate", {"ids": [ID], "zz": MARK}, kinds.DELETE)
        full = as_case("a letter too many", "rate", self._letter(self.kim, 700, MARK.encode()))
        return [delete.but(ways=tuple(way for way in WAYS if way in STRICT)), full]


def _device_seed(seed: int) -> bytes:
    """The seed of the device of `someone(seed)`, as `person` draws it."""
    rng = random.Random(seed)
    rng.randbytes(32)
    return rng.randbytes(32)


def _node_body() -> Fields:
    words: Fields = dict.fromkeys(("name", "network", "provider", "software", "country"), "")
    return words | {"addresses": [], "admits": [], "home_open": 0}


# --- identity operations that must not move the head -------------------------------------
def _draft(who: Person) -> Draft:
    assert who.genesis.payload is not None
    body = decode_payload(who.genesis.payload)
    return Draft.after(parse_operation(who.genesis.id, who.genesis.header, body))


def _operation(who: Person, change: Callable[[Draft], object]) -> Record:
    """An operation of the account's own, after its genesis."""
    draft = _draft(who)
    change(draft)
    author = who.paper_author()
    return author.sign(kinds.IDENTITY, draft.body(), who.clock.now_ms(), bytes(16))


def _operations(who: Person) -> list[Case]:
    found = [*_shapes(who), *_rules(who), _genesis_of_another(who)]
    by_device = Author(NETWORK, who.account, who.author.key, None, who.paper_author().chains)
    draft = _draft(who).body()
    made = by_device.sign(kinds.IDENTITY, draft, who.clock.now_ms(), ID[:16])
    found.append(as_case("an operation by a device", "bad_operation", made))
    return found


def _signed(who: Person, name: str, api: str, link: str, change: Fields) -> Case:
    """An operation by the account key with the fields of `change`; None takes one away."""
    forge = Forge(who)
    body = {key: value for key, value in (_draft(who).body() | change).items() if value != "-"}
    payload = forge.payload(body)
    where: Fields = {"kind": kinds.IDENTITY, "seq": 2, "prev": who.genesis.id}
    header = forge.fields(payload, key=who.paper.public, **where)
    return Case(name, header, who.paper.sign(signed_message(header)), payload, api, link)


def _shapes(who: Person) -> Iterator[Case]:
    """What does not read as an operation: the header counts and does nothing (R-26)."""
    body = _draft(who).body()
    (key,), (device,) = body["keys"], body["devices"]
    rows: dict[str, tuple[str, Fields]] = {
        "an operation without homes": ("bad_body", {"homes": "-"}),
        "a vanish of 2": ("bad_body", {"vanish": 2}),
        "nine homes": ("too_many", {"homes": [at.to_bytes(32) for at in range(9)]}),
        "one home twice": ("bad_operation", {"homes": [ID, ID]}),
        "a home of 31 bytes": ("bad_length", {"homes": [bytes(31)]}),
        "five handles": ("too_many", {"handles": [f"a{at}@a.example" for at in range(5)]}),
        "a handle with a capital": ("bad_text", {"handles": ["Ann@a.example"]}),
        "a handle that is a path": ("bad_text", {"handles": ["../x@a.example"]}),
        "a handle at no domain": ("bad_text", {"handles": ["ann@"]}),
        "a handle above its bound": ("too_long", {"handles": ["a@" + "b" * 320]}),
        "thirty-three devices": ("too_many", {"devices": [device] * 33}),
        "nine account keys": ("too_many", {"keys": [key] * 9}),
        "no account key": ("bad_operation", {"keys": []}),
        "one rank twice": ("bad_operation", {"keys": [key, key]}),
        "rank 8": ("out_of_range", {"keys": [[8, *key[1:]]]}),
        "a device with every right": (
            "out_of_range",
            {"devices": [[*device[:2], 0xFFFF, *device[3:]]]},
        ),
        "a device of four parts": ("bad_length", {"devices": [device[:4]]}),
        "a third form of revoking": ("out_of_range", {"revoked": [[ID, 2, 0]]}),
        "a tip of an envelope": ("out_of_range", {"tips": [[ID, 4, 1, ID]]}),
        "a second genesis": ("bad_operation", {"prev_op": None, "homes": [ID]}),
        "a tip of a key that stays": ("bad_operation", {"tips": [[device[0], 2, 1, ID]]}),
    }
    for name, (code, change) in rows.items():
        yield _signed(who, name, code, "revoked", change)


def _rules(who: Person) -> Iterator[Case]:
    """What reads and breaks a rule: not remembered at all (R-54)."""
    body = _draft(who).body()
    (key,), (device,) = body["keys"], body["devices"]
    fewer = [*device[:2], device[2] & ~2, *device[3:]]
    rows: dict[str, tuple[str, Fields]] = {
        "a device gone without a word": ("bad_operation", {"devices": []}),
        "a proof of something else": (
            "bad_proof",
            {"devices": [[device[0], bytes(31) + b"\7", *device[2:]]]},
        ),
        "a device with other rights": ("bad_operation", {"devices": [fewer]}),
        "a device that is an account key": (
            "bad_operation",
            {"devices": [], "keys": [key, [1, device[0], device[3]]]},
        ),
    }
    for name, (code, change) in rows.items():
        yield _signed(who, name, code, code, change)
    yield _signed(who, "an operation on nothing", "pending", "pending", {"prev_op": ID})


def _genesis_of_another(who: Person) -> Case:
    forge, other = Forge(who), someone(77, who.clock)
    assert other.genesis.payload is not None
    header = forge.fields(
        other.genesis.payload, kind=kinds.IDENTITY, account=who.account, key=other.paper.public
    )
    assert record_id(header) != other.genesis.id
    signature = other.paper.sign(signed_message(header))
    codes = "bad_operation", "unknown_key"
    return Case("a genesis under another name", header, signature, other.genesis.payload, *codes)
