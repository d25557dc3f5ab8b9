"""The people of the demonstration: their keys lie on their provider's disks, words on paper.

Between two posts a person is a name and 24 words here; whatever signs is read from the key file,
so when the provider's folder is deleted there is nothing left to sign with but the words.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ratoon_client.keyfile import KeyFile
from ratoon_node.cli import identity
from ratoon_node.cli.client import Client
from ratoon_node.cli.identity import NodeInfo, Seeds
from ratoon_node.operate.demo.network import DemoNode
from ratoon_node.operate.demo.posts import Post
from ratoon_protocol import kinds, phrase
from ratoon_protocol.author import Draft
from ratoon_protocol.record import Body


@dataclass(frozen=True, slots=True)
class Signed:
    """A post, signed by its author: what is sent, and what must be found again."""

    person: Person
    post: Post
    id: bytes
    data: bytes


@dataclass(slots=True, eq=False)
class Person:
    """An author. `held`: posts that wait until the person is back; None while nothing is lost.

    `pocket`: a disk of the person's own, if keys are not on the provider's.
    """

    name: str
    number: int
    node: DemoNode
    words: str
    account: str = ""
    held: list[Post] | None = None
    pocket: Path | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def key_file(self) -> Path:
        """Where the keys are: on a disk of the provider that the person is at home at."""
        return (self.pocket or self.node.authors) / f"{self.number}.json"

    # --- keys ----------------------------------------------------------------------------

    def save(self, file: KeyFile) -> None:
        """Put the keys, and how far their chains are, on the provider's disk.

        As a new file: some file systems wait for the disk when an old one is written over, and
        these writes, all of one machine, would hold up the nodes.
        """
        self.key_file.unlink(missing_ok=True)
        self.key_file.write_text(json.dumps(asdict(file)), encoding="utf-8")

    def load(self) -> KeyFile:
        """The keys from the provider's disk; OSError once it was destroyed."""
        return KeyFile(**json.loads(self.key_file.read_text(encoding="utf-8")))

    # --- what a person does --------------------------------------------------------------

    def sign_up(self, client: Client, info: NodeInfo) -> None:
        """Make an account at home on the person's node. Raises `CommandError`."""
        entropy = phrase.entropy_from_words(self.words)
        file, genesis = identity.create(str(self.number), info, client.url, entropy)
        identity.register(client, [genesis.encode()], None)
        self.account = file.account
        self.save(file)

    def sign(self, post: Post) -> Signed:
        """Sign a post now; where and when it was first written stands in its origin."""
        file = self.load()
        author = file.author()
        body: Body = {
            "text": post.text,
            "origin": {"created_ms": post.created_ms, "source": post.source or "file"},
        }
        signed = author.sign(kinds.POST, body, identity.now_ms(), identity.fresh_salt())
        file.chains = author.saved_chains()
        self.save(file)
        return Signed(self, post, signed.id, signed.encode())

    def come_back(self, node: DemoNode, first: Client, others: Sequence[Client]) -> None:
        """Take the account up again at `node`, with nothing but the words.

        What `ratoon account recover` does: find the account by the key on paper, gather its log
        and the ends of its chains, revoke the lost device as stolen, list a new one, and register
        at the new home. Raises `CommandError`.
        """
        entropy = phrase.entropy_from_words(self.words)
        paper = identity.paper_of(entropy)
        clients = [first, *others]
        info = identity.ask_node(first)
        known = identity.gather(clients, info.network, identity.find_account(clients, paper.public))
        seeds, draft = Seeds(), Draft.after(known.head)
        identity.retire(known, draft, [row.key for row in draft.devices], stolen=True)
        draft.devices.append(seeds.row(known.network, known.anchor))
        identity.add_home(draft, info.account, first=True)
        changed = identity.amend(known, paper, draft).encode()
        identity.register(first, [*known.path(), changed], None)
        self.node = node
        self.save(identity.key_file(seeds, str(self.number), known, first.url, entropy))

    def stand_by(self, second: Client, first: Client) -> None:
        """Make the node of `second` another home, as `ratoon account add-home` does."""
        entropy = phrase.entropy_from_words(self.words)
        info = identity.ask_node(second)
        known = identity.gather([first], info.network, bytes.fromhex(self.account))
        draft = Draft.after(known.head)
        identity.add_home(draft, info.account, first=False)
        changed = identity.amend(known, identity.paper_of(entropy), draft).encode()
        identity.tell(first, changed)
        identity.register(second, [*known.path(), changed], None)


def new_people(posts: Sequence[Post], nodes: Sequence[DemoNode]) -> dict[str, Person]:
    """The authors of the posts by name, each with fresh words, spread over the nodes in turn."""
    found: dict[str, Person] = {}
    for post in posts:
        if post.author not in found:
            number = len(found)
            words = phrase.words_from_entropy(secrets.token_bytes(phrase.ENTROPY_BYTES))
            found[post.author] = Person(post.author, number, nodes[number % len(nodes)], words)
    return found
