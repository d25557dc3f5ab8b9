"""The compiled policy: one answer for one record, at a cost that does not grow with the lists.

    lists on the account ─► lists on whom it shows ─► rules ─► lists on domains, words and media
                   an allowed account ends it; else the strongest wins, the first where equal

What an owner must be able to do whatever a policy says is exempt: everything in the log lane
(identity, delete, node, hosting). Admission and rates bound that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ratoon_node.policy.admission import Budgets
from ratoon_node.policy.domain import host_of
from ratoon_node.policy.facts import Facts
from ratoon_node.policy.imagehash import HASH_BITS, PDQ_BITS
from ratoon_node.policy.lists import Finding, ListEntry, Lists, ListTable, Subject
from ratoon_node.policy.plugins import POLICY_ERROR
from ratoon_node.policy.policyfile import PolicyFile, no_includes, parse_policy
from ratoon_node.policy.ruleset import Fired, RuleSet, Seen
from ratoon_node.policy.verdict import Decision, Verdict, stronger
from ratoon_protocol.kinds import Lane
from ratoon_protocol.record import Body, Header


class Policy:
    """A policy file and the operator's own entries, compiled. Immutable, safe to share.

    `Policy.parse(data)` reads a file; `Policy.parse(b"")` accepts everything.
    """

    def __init__(
        self,
        file: PolicyFile,
        entries: Iterable[ListEntry] = (),
        _compiled: tuple[RuleSet, ListTable] | None = None,
    ) -> None:
        self.version = file.version
        self.budgets: Budgets = file.budgets
        #: As the file states them, for people to read.
        self.rules = file.rules
        self.plugins = file.plugins
        #: The most that each trusted labeler may bring about.
        self.labelers = dict(file.labelers)
        #: Where quarantined bytes are sealed to; None if nothing is quarantined.
        self.evidence_key = file.evidence_key
        self.strangers = file.strangers
        self._file = file
        self._rules, self._table = _compiled or (RuleSet(file.rules), ListTable(file.entries))
        entries = tuple(entries)
        self._lists = Lists(self._table, ListTable(entries))
        #: Rules whose answer changes when somebody gives or takes back a label.
        self.about_labels = frozenset(rule.id for rule in file.rules if rule.when.label)
        self._momentary = {rule.id for rule in file.rules if rule.momentary}
        #: No rule and no entry: it accepts whatever it is shown.
        self.empty = not (file.rules or file.entries or entries)
        #: Conditions that some rule has: facts that nobody asks about need not be found out.
        self.asked = frozenset(
            name
            for rule in file.rules
            for name, value in rule.when._asdict().items()
            if value not in ((), None)
        )
        #: Some entry is about an account or a node: else nobody needs to be looked up.
        self.lists_accounts = self._lists.has_accounts
        self.lists_domains = self._lists.has_domains
        self.lists_media = self._lists.has_media
        self.accepted = Decision(Verdict.ACCEPT, "", "", self.version)

    @classmethod
    def parse(
        cls,
        data: bytes,
        entries: Iterable[ListEntry] = (),
        read: Callable[[str], bytes] = no_includes,
    ) -> Policy:
        """Compile the bytes of a `policy.toml` and of what it includes (see `parse_policy`).

        Raises `PolicyFileError` with every problem.
        """
        return cls(parse_policy(data, read), entries)

    def with_entries(self, entries: Iterable[ListEntry]) -> Policy:
        """The same file with `entries` in place of the operator's own ones (give all of them).

        Nothing of the file is compiled again.
        """
        return Policy(self._file, entries, (self._rules, self._table))

    def judge(self, header: Header, body: Body | None, facts: Facts) -> Decision:
        """What to do with a record. `body` is None while its payload is not here.

        Without a body only what is known from header and facts is judged: ask again with it. A
        crash anywhere in the rules holds the record with the reason `policy_error`: it is neither
        shown nor lost.
        """
        if header.kind_class.lane is Lane.LOG:
            return self.accepted
        own = self.account_decision(header.account, facts.nodes, facts.now_ms)
        if own is not None and own.verdict is Verdict.ACCEPT:
            return own
        fired: Fired | None = None
        try:
            seen = Seen(header, facts)
            fired = self._rules.fired(seen, body is not None)
            other = self._of_content(fired, seen, body)
        except Exception:  # whatever it is, the record waits for a person
            other = Decision(Verdict.HOLD, POLICY_ERROR, "", self.version)
        decided = stronger(own, other) or self.accepted
        if fired is not None and (fired.labels or fired.drop_media):
            return decided._replace(labels=fired.labels, drop_media=fired.drop_media)
        return decided

    def stands(self, rule_id: str, version: str, now_ms: int) -> bool:
        """Whether what made an earlier decision is still there: its file, its entry or plugin.

        What a rule about the moment said stands while there is a rule of its name: asked again,
        it would not see what it saw.
        """
        if rule_id.startswith("block."):
            subject, _, entity = rule_id.removeprefix("block.").partition(":")
            return self._lists.blocks(Subject(subject), entity, now_ms)
        if rule_id.startswith("plugin."):
            return any(rule_id == f"plugin.{plugin.name}" for plugin in self.plugins)
        if rule_id in self._momentary:
            return True
        return version == self.version

    def account_decision(
        self, account: bytes, nodes: Sequence[bytes], now_ms: int
    ) -> Decision | None:
        """What lists say of an account hosted by `nodes`; `accept` means it is allowed by name.

        Reads apply this to everything stored and quoted, so that a block hides at once.
        """
        return self._decision(self._lists.account(account, nodes, now_ms))

    def domain_decision(self, links: Iterable[str], now_ms: int) -> Decision | None:
        """What lists say of a record with these links; for reads, as `account_decision`."""
        if not self._lists.has_domains:
            return None
        return self._decision(self._lists.domain(map(host_of, links), now_ms))

    def media_decision(
        self, hashes: Iterable[bytes], pictures: Iterable[int], now_ms: int, pdq: Iterable[int] = ()
    ) -> Decision | None:
        """What lists say of files: by SHA-256, and by the perceptual hashes of what they show.

        For whoever fetches or decodes media, before it is kept, and for reads.
        """
        looks = [(HASH_BITS, one) for one in pictures] + [(PDQ_BITS, one) for one in pdq]
        return self._decision(self._lists.media(hashes, looks, now_ms))

    def blocked_accounts(self, now_ms: int) -> dict[bytes, Verdict]:
        """Accounts blocked by an entry of their own; those blocked by their node are not in it."""
        return self._lists.accounts(now_ms)

    def blocked_nodes(self, now_ms: int) -> dict[bytes, Verdict]:
        """Nodes with a block. Those at `withhold` and above are not admitted either."""
        return self._lists.nodes(now_ms)

    def _of_content(self, fired: Fired | None, seen: Seen, body: Body | None) -> Decision | None:
        facts = seen.facts
        best = self._of_shown(facts)
        if fired is not None:
            rule = fired.rule
            best = stronger(best, Decision(rule.then, rule.reason, rule.id, self.version))
        if body is None:
            return best
        if facts.links and self._lists.has_domains:
            best = stronger(best, self._decision(self._lists.domain(seen.hosts(), facts.now_ms)))
        if facts.texts and self._lists.has_words:
            best = stronger(best, self._decision(self._lists.word(seen.tokens(), facts.now_ms)))
        if (facts.media or facts.pictures) and self._lists.has_media:
            best = stronger(best, self.media_decision(facts.media, facts.pictures, facts.now_ms))
        return best

    def _of_shown(self, facts: Facts) -> Decision | None:
        """Who reposts or quotes a blocked account is judged as that account is."""
        best: Decision | None = None
        for account, nodes in facts.referenced_accounts:
            found = self.account_decision(account, nodes, facts.now_ms)
            if found is not None and found.verdict is not Verdict.ACCEPT:
                best = stronger(best, found)
        return best

    def _decision(self, found: Finding | None) -> Decision | None:
        if found is None:
            return None
        verdict, reason, subject, entity = found
        side = "allow" if verdict is Verdict.ACCEPT else "block"
        return Decision(verdict, reason, f"{side}.{subject}:{entity}", self.version)
