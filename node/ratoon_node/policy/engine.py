"""The compiled policy: one answer for one record, at a cost that does not grow with the lists.

    lists on the account ─► lists on whom it shows ─► rules ─► lists on domains and words
                   an allowed account ends it; else the strongest wins, the first where equal

What an owner must be able to do whatever a policy says is exempt: everything in the log lane
(identity, delete, node, hosting). Admission and rates bound that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ratoon_node.policy.admission import Budgets
from ratoon_node.policy.domain import host_of
from ratoon_node.policy.facts import Facts
from ratoon_node.policy.lists import Finding, ListEntry, Lists, ListTable
from ratoon_node.policy.rules import PolicyFile, parse_policy
from ratoon_node.policy.ruleset import RuleSet, Seen
from ratoon_node.policy.verdict import Decision, Verdict, stronger
from ratoon_protocol.kinds import Lane
from ratoon_protocol.record import Body, Header

#: The reason of a decision that a crash made.
POLICY_ERROR = "policy_error"


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
        self._file = file
        self._rules, self._table = _compiled or (RuleSet(file.rules), ListTable(file.entries))
        entries = tuple(entries)
        self._lists = Lists(self._table, ListTable(entries))
        self._entries = {
            f"block.{entry.subject}:{entry.entity}": entry.expires_ms
            for entry in (*file.entries, *entries)
            if entry.verdict is not Verdict.ACCEPT
        }
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
        self.accepted = Decision(Verdict.ACCEPT, "", "", self.version)

    @classmethod
    def parse(cls, data: bytes, entries: Iterable[ListEntry] = ()) -> Policy:
        """Compile the bytes of a `policy.toml`. Raises `PolicyFileError` with every problem."""
        return cls(parse_policy(data), entries)

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
        try:
            other = self._of_content(header, body, facts)
        except Exception:  # whatever it is, the record waits for a person
            other = Decision(Verdict.HOLD, POLICY_ERROR, "", self.version)
        return stronger(own, other) or self.accepted

    def stands(self, rule_id: str, version: str, now_ms: int) -> bool:
        """Whether what made an earlier decision is still there: its file, or its entry."""
        if rule_id in self._entries:
            expires_ms = self._entries[rule_id]
            return expires_ms is None or expires_ms > now_ms
        return not rule_id.startswith("block.") and version == self.version

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

    def blocked_accounts(self, now_ms: int) -> dict[bytes, Verdict]:
        """Accounts blocked by an entry of their own; those blocked by their node are not in it."""
        return self._lists.accounts(now_ms)

    def blocked_nodes(self, now_ms: int) -> dict[bytes, Verdict]:
        """Nodes with a block. Those at `withhold` and above are not admitted either."""
        return self._lists.nodes(now_ms)

    def _of_content(self, header: Header, body: Body | None, facts: Facts) -> Decision | None:
        best = self._of_shown(facts)
        seen = Seen(header, facts)
        rule = self._rules.first(seen, body is not None)
        if rule is not None:
            best = stronger(best, Decision(rule.then, rule.reason, rule.id, self.version))
        if body is None:
            return best
        if facts.links and self._lists.has_domains:
            best = stronger(best, self._decision(self._lists.domain(seen.hosts, facts.now_ms)))
        if facts.texts and self._lists.has_words:
            best = stronger(best, self._decision(self._lists.word(seen.tokens, facts.now_ms)))
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
