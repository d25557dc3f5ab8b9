"""The story: a network at work, a provider destroyed in the middle, and what is left at the end."""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle

from ratoon_client.keyfile import instance
from ratoon_node.cli import identity
from ratoon_node.cli.client import RECORD_TYPE, Client, Refused, Unreachable
from ratoon_node.cli.demo.authors import Person, Signed, new_people
from ratoon_node.cli.demo.crew import at_all, crew
from ratoon_node.cli.demo.probes import Reader, Writer
from ratoon_node.cli.demo.replay import Sender, Tally
from ratoon_node.cli.demo.show import Show, Stage
from ratoon_node.cli.say import CommandError
from ratoon_node.operate.demo.figures import Figures, NodeFigures
from ratoon_node.operate.demo.network import DemoNode, Network, NetworkError
from ratoon_node.operate.demo.posts import Post
from ratoon_protocol import phrase
from ratoon_protocol.errors import ProtocolError
from ratoon_protocol.record import decode_payload, decode_record

# Authors that come back though they have nothing left to replay: each then says so.
OTHERS = 50
BACK = "I am back, with 24 words and nothing else."
# How long nodes may take to link to each other, and to become equal.
LINK_S_MAX = 60.0
EQUAL_S_MAX = 120.0
# How often nodes are asked about it.
LOOK_S = 0.05


class Story:
    """One run on a network whose processes are up. `run` tells it all; `figures` is the end."""

    def __init__(self, net: Network, posts: Sequence[Post], show: Show) -> None:
        self.net = net
        self.posts = posts
        self.show = show
        self.tally = Tally()
        self.figures = Figures(posts=len(posts))
        self.people = new_people(posts, net.nodes)
        self.figures.authors = len(self.people)
        self._doomed = net.nodes[0].provider
        self._senders: dict[str, Sender] = {}
        self._returns: list[Future[None]] = []
        self._destroyed_s = 0.0
        self._lock = threading.Lock()

    def run(self) -> Figures:
        """Everything in order. Raises `NetworkError` if the network itself fails."""
        self._add_peers()
        self._sign_up()
        reader, writer = self._probes()
        reader.start()
        writer.start()
        try:
            self._replay()
        finally:
            reader.stop()
            writer.stop()
        self.figures.reading_interrupted_ms = reader.interruption_ms()
        self.figures.writing_interrupted_ms = writer.interruption_ms()
        self._wait_equal()
        self._check()
        self._sum_up()
        return self.figures

    # --- before --------------------------------------------------------------------------

    def _add_peers(self) -> None:
        """Every operator adds every other node, and confirms whose machine it runs on."""
        nodes = self.net.nodes
        stage = self.show.stage("Linking", len(nodes) * (len(nodes) - 1))
        for node in nodes:
            operator = Client(node.url, node.operator_token)
            for other in nodes:
                if other is not node:
                    add_peer(operator, other)
                    stage.advance()
            operator.close()
        until = time.monotonic() + LINK_S_MAX
        for node in nodes:
            client = Client(node.url)
            while len(client.get("/v1/replication")["links"]) < len(nodes) - 1:
                self._pause(until, f"{node.name} has no link to every other node")
            client.close()

    def _sign_up(self) -> None:
        started = time.monotonic()
        instance()  # drawn once, before many ask for it at the same time
        clients = {node.name: Client(node.url) for node in self.net.nodes}
        infos = {name: identity.ask_node(client) for name, client in clients.items()}
        stage = self.show.stage("Signing up", len(self.people))

        def sign_up(client: Client, person: Person) -> None:
            person.sign_up(client, infos[person.node.name])
            stage.advance()

        people = list(self.people.values())
        at_all(
            [(node, [one for one in people if one.node is node]) for node in self.net.nodes],
            sign_up,
        )
        self.figures.sign_up_s = time.monotonic() - started

    def _probes(self) -> tuple[Reader, Writer]:
        """Their first node is at the provider that will be gone, their second elsewhere."""
        second = next(node for node in self.net.nodes if node.provider != self._doomed)
        nodes = [self.net.nodes[0], second]
        pocket = self.net.root / "pocket"
        pocket.mkdir(exist_ok=True)
        words = phrase.words_from_entropy(secrets.token_bytes(phrase.ENTROPY_BYTES))
        person = Person("writer", len(self.people), nodes[0], words, pocket=pocket)
        first, other = Client(nodes[0].url), Client(second.url)
        person.sign_up(first, identity.ask_node(first))
        person.stand_by(other, first)
        return Reader(nodes), Writer(nodes, person, self.tally)

    # --- the replay ----------------------------------------------------------------------

    def _replay(self) -> None:
        started = time.monotonic()
        middle = len(self.posts) // 2
        self._senders = {node.name: Sender(node, self.tally) for node in self.net.nodes}
        with crew() as pool:
            stage = self.show.stage("Posting", len(self.posts))
            self._feed(self.posts[:middle], stage)
            seconds = time.monotonic() - started
            self.figures.posts_per_s = len(self.tally.acknowledged) / seconds
            self._destroy(pool, self.posts[middle:])
            self._feed(self.posts[middle:], stage)
            for done in self._returns:
                done.result()
        for node in self.net.alive:
            self._senders[node.name].close()
        self.figures.replay_s = time.monotonic() - started

    def _feed(self, posts: Iterable[Post], stage: Stage) -> None:
        """Hand the posts on in their order; who is not back yet posts later."""
        for post in posts:
            self._post(self.people[post.author], post)
            stage.advance()

    def _post(self, person: Person, post: Post) -> None:
        with person.lock:
            if person.held is not None:
                person.held.append(post)
                return
            try:
                signed = person.sign(post)
            except ProtocolError as error:
                self.tally.refuse(error.code.value)
                return
            self._senders[person.node.name].put(signed)

    # --- the loss ------------------------------------------------------------------------

    def _destroy(self, pool: ThreadPoolExecutor, later: Sequence[Post]) -> None:
        """Kill a provider in the middle of it all, and let its people begin to come back."""
        self.figures.acknowledged_before = len(self.tally.acknowledged)
        lost = self.net.destroy(self._doomed)
        names = " and ".join(node.name for node in lost)
        self.show.tell(f"{self._doomed} is gone: {names} killed, their disks and keys deleted.")
        homeless = [one for one in self.people.values() if one.node.lost]
        for person in homeless:
            person.held = []
        for node in lost:
            self._senders[node.name].drain()
            self._senders[node.name].close()
        unanswered = self.tally.unanswered
        needed = {post.author for post in later} | {one.person.name for one in unanswered}
        returning = [one for one in homeless if one.name in needed]
        others = [one for one in homeless if one.name not in needed][:OTHERS]
        for person in others:
            person.held = [Post(person.name, identity.now_ms(), BACK, "the demonstration")]
        self.figures.lost_provider = self._doomed
        self.figures.lost_authors = len(homeless)
        self.figures.unanswered = len(unanswered)
        self.figures.to_recover = len(returning) + len(others)
        homes = cycle(self.net.alive)
        stage = self.show.stage("Coming back", self.figures.to_recover)
        self._destroyed_s = time.monotonic()
        self._returns = [
            pool.submit(self._bring_back, person, next(homes), stage)
            for person in returning + others
        ]

    def _bring_back(self, person: Person, home: DemoNode, stage: Stage) -> None:
        """One author comes back, and posts what had to wait."""
        first = Client(home.url)
        others = [Client(node.url) for node in self.net.alive if node is not home]
        try:
            person.come_back(home, first, others)
        except CommandError as error:
            self.figures.recovery_errors.append(str(error))
            return
        finally:
            stage.advance()
            for client in (first, *others):
                client.close()
        with self._lock:
            self.figures.recovered += 1
            self.figures.recovery_s = time.monotonic() - self._destroyed_s
        again = [one for one in self.tally.unanswered if one.person is person]
        held = [one.post for one in again if not self._kept(one.id)]
        with person.lock:
            held += person.held or []
            person.held = None
        for post in held:
            self._post(person, post)

    def _kept(self, id_: bytes) -> bool:
        """Whether a post that nobody acknowledged is on a surviving node all the same."""
        for node in self.net.alive:
            client = Client(node.url)
            try:
                client.ask("GET", f"/v1/records/{id_.hex()}")
            except (Refused, Unreachable):
                continue
            finally:
                client.close()
            with self._lock:
                self.figures.unanswered_kept += 1
            return True
        return False

    # --- afterwards ----------------------------------------------------------------------

    def _wait_equal(self) -> None:
        """Until the surviving nodes hold the same, or for as long as they may take."""
        started, last = time.monotonic(), self.tally.last_s
        clients = [Client(node.url) for node in self.net.alive]
        while True:
            states = [client.get("/v1/replication")["scopes"] for client in clients]
            self.figures.equal = all(state == states[0] for state in states)
            if self.figures.equal or time.monotonic() - started > EQUAL_S_MAX:
                break
            time.sleep(LOOK_S)
        self.figures.equal_s = time.monotonic() - last
        self.show.tell(
            f"The {len(clients)} nodes left hold equal sets."
            if self.figures.equal
            else f"The {len(clients)} nodes left do not hold equal sets: {states}"
        )
        for node, state in zip(self.net.alive, states, strict=True):
            records = sum(scope["records"] for scope in state)
            self.figures.nodes.append(NodeFigures(node.name, node.provider, False, 0, records))

    def _check(self) -> None:
        """Every acknowledged post on every surviving node: the bytes signed, the text shown."""
        started = time.monotonic()
        found = list(self.tally.acknowledged.values())
        wrong: list[tuple[str, str, bytes]] = []
        stage = self.show.stage("Checking", len(found) * len(self.net.alive))

        def check(client: Client, one: tuple[DemoNode, Signed]) -> None:
            node, signed = one
            if what := difference(client, signed):
                wrong.append((node.name, what, signed.id))
            stage.advance()

        at_all(
            [(node, [(node, signed) for signed in found]) for node in self.net.alive],
            check,
        )
        counts = Counter((name, what) for name, what, _ in wrong)
        for figures in self.figures.nodes:
            figures.missing = counts[figures.name, "missing"]
            figures.altered = counts[figures.name, "altered"]
        self.figures.acknowledged = len(found)
        self.figures.survived = len(found) - len({id_ for _, _, id_ in wrong})
        self.figures.check_s = time.monotonic() - started

    def _sum_up(self) -> None:
        self.net.check_alive()
        alive = {figures.name: figures for figures in self.figures.nodes}
        self.figures.nodes = [
            alive.get(node.name) or NodeFigures(node.name, node.provider, True, 0)
            for node in self.net.nodes
        ]
        for node, figures in zip(self.net.nodes, self.figures.nodes, strict=True):
            figures.peak_bytes = node.read_peak()
        self.figures.refused = dict(self.tally.refused)
        self.figures.unconfirmed = self.tally.unconfirmed

    def _pause(self, until: float, words: str) -> None:
        if time.monotonic() > until:
            raise NetworkError(words)
        self.net.check_alive()
        time.sleep(LOOK_S)


def add_peer(operator: Client, other: DemoNode) -> None:
    """What `ratoon peer add ADDRESS --provider … --country …` does."""
    form = {"address": other.url, "provider": other.provider, "country": other.country}
    operator.send("POST", "/v1/operator/peers", form)


def difference(client: Client, signed: Signed) -> str:
    """What is wrong with a record at a node: "" if it is given as signed, with its text."""
    path = f"/v1/records/{signed.id.hex()}"
    try:
        answer = client.ask("GET", path, headers={"Accept": RECORD_TYPE})
    except Refused:
        return "missing"
    try:
        text = decode_payload(decode_record(answer.data).payload or b"")["text"]
    except ProtocolError:
        return "altered"
    return "" if answer.data == signed.data and text == signed.post.text else "altered"
