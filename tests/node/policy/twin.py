"""The slow, obvious version of the engine: loops over rules and entries, one question at a time."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ratoon_node.policy import fold
from ratoon_node.policy.domain import host_of
from ratoon_node.policy.facts import Facts
from ratoon_node.policy.lists import ListEntry, Subject
from ratoon_node.policy.policyfile import PolicyFile
from ratoon_node.policy.rules import CONTENT_CONDITIONS, Rule, When
from ratoon_node.policy.verdict import Verdict
from ratoon_protocol.kinds import Lane
from ratoon_protocol.record import Body, Header

Answer = tuple[Verdict, str, str]
ACCEPT: Answer = (Verdict.ACCEPT, "", "")


def judge(
    file: PolicyFile, own: Sequence[ListEntry], header: Header, body: Body | None, facts: Facts
) -> Answer:
    """The strongest answer, and the labels and whether media is dropped by all rules."""
    if header.kind_class.lane is Lane.LOG:
        return ACCEPT
    entries = [
        entry
        for entry in (*file.entries, *own)
        if entry.expires_ms is None or entry.expires_ms > facts.now_ms
    ]
    answers = []
    if first := on_account(entries, header.account, facts.nodes):
        if first[0] is Verdict.ACCEPT:
            return first
        answers.append(first)
    for shown in facts.referenced_accounts:
        if answer := on_account(entries, shown.account, shown.nodes):
            answers.append(answer)
    answers += [answer for answer, _ in of_rules(file, header, body, facts)]
    if body is not None:
        for host in dict.fromkeys(map(host_of, facts.links)):
            answers += on_domain(entries, host)
        answers += on_words(entries, facts.texts)
        answers += on_media(entries, facts)
    answers = [answer for answer in answers if not answer[2].startswith("allow.")]
    # The strongest, and the first of equals.
    return max(answers, key=lambda answer: answer[0], default=ACCEPT)


def of_rules(
    file: PolicyFile, header: Header, body: Body | None, facts: Facts
) -> list[tuple[Answer, Rule]]:
    """What each rule that fires says: no more than the labelers of its label may bring about."""
    found = []
    for rule in file.rules:
        if rule.momentary and not facts.arriving:
            continue
        if not fires(rule.when, header, body, facts):
            continue
        ceilings = [one.ceiling for one in facts.labels if one.value in rule.when.label]
        found.append(
            ((min(rule.then, max(ceilings, default=rule.then)), rule.reason, rule.id), rule)
        )
    return found


def given(
    file: PolicyFile, header: Header, body: Body | None, facts: Facts
) -> tuple[set[str], bool]:
    """The labels, and whether media is dropped."""
    rules = [rule for _, rule in of_rules(file, header, body, facts)]
    return {rule.label for rule in rules} - {""}, any(rule.drop_media for rule in rules)


def on_media(entries: Sequence[ListEntry], facts: Facts) -> list[Answer]:
    answers = [about(entries, Subject.MEDIA, file.hex()) for file in facts.media]
    for entity in {
        one.entity
        for one in entries
        if one.subject is Subject.MEDIA and not one.entity.startswith("pdq:")
    }:
        digits, slash, most = entity.partition("/")
        near = [
            bin(int(digits, 16) ^ one).count("1") <= int(most) for one in facts.pictures if slash
        ]
        answers += [about(entries, Subject.MEDIA, entity)] if any(near) else []
    return [answer for answer in answers if answer]


def about(entries: Sequence[ListEntry], subject: Subject, entity: str) -> Answer | None:
    found = [entry for entry in entries if (entry.subject, entry.entity) == (subject, entity)]
    allows = [entry for entry in found if entry.verdict is Verdict.ACCEPT]
    if not found:
        return None
    best = allows[0] if allows else max(found, key=lambda entry: entry.verdict)
    side = "allow" if allows else "block"
    return best.verdict, best.reason, f"{side}.{subject}:{entity}"


def on_account(
    entries: Sequence[ListEntry], account: bytes, nodes: Sequence[bytes]
) -> Answer | None:
    own = about(entries, Subject.ACCOUNT, account.hex())
    if own and own[0] is Verdict.ACCEPT:
        return own
    by_node = about(entries, Subject.NODE, account.hex())
    if not by_node:
        hosts = [about(entries, Subject.NODE, node.hex()) for node in nodes]
        allowed = [host for host in hosts if host and host[0] is Verdict.ACCEPT]
        if allowed:
            by_node = allowed[0]
        elif hosts and all(hosts):
            by_node = min((host for host in hosts if host), key=lambda host: host[0])
    if own and by_node:
        return max(own, by_node, key=lambda answer: answer[0])
    return own or by_node


def on_domain(entries: Sequence[ListEntry], host: str) -> list[Answer]:
    answers: list[Answer] = []
    labels = host.split(".")
    for n in range(len(labels)):
        answer = about(entries, Subject.DOMAIN, ".".join(labels[n:]))
        if answer and answer[0] is Verdict.ACCEPT:
            break
        answers += [answer] if answer else []
    return answers


def on_words(entries: Sequence[ListEntry], texts: Sequence[str]) -> list[Answer]:
    answers: list[Answer] = []
    for text in texts:
        tokens = fold.tokens(text)
        spans = [(a, b) for a in range(len(tokens)) for b in range(a + 1, len(tokens) + 1)]
        found = {
            span: about(entries, Subject.WORD, " ".join(tokens[slice(*span)])) for span in spans
        }
        allowed = [span for span, answer in found.items() if answer and answer[0] is Verdict.ACCEPT]
        for (start, end), answer in found.items():
            if answer and not any(a <= start and end <= b for a, b in allowed):
                answers.append(answer)
    return answers


def fires(when: When, header: Header, body: Body | None, facts: Facts) -> bool:
    return all(
        met(name, want, header, body, facts)
        for name, want in when._asdict().items()
        if want is not None and want != ()
    )


def met(name: str, want, header: Header, body: Body | None, facts: Facts) -> bool:
    if name in CONTENT_CONDITIONS and body is None:
        return False
    if name.endswith(("_min", "_max")):
        number = measured(name[:-4], header, facts)
        return number >= want if name.endswith("_min") else number <= want
    if name in ("kind", "account", "key"):
        return getattr(header, name) in want
    if name == "peer":
        return facts.peer in want
    if name == "node":
        return any(node in want for node in facts.nodes)
    if name == "hashtag":
        return any(fold.tag(tag) in want for tag in facts.tags)
    if name == "domain":
        hosts = map(host_of, facts.links)
        return any(host == d or host.endswith("." + d) for host in hosts for d in want)
    if name == "word":
        texts = [" " + " ".join(fold.tokens(text)) + " " for text in facts.texts]
        return any(f" {' '.join(word)} " in text for text in texts for word in want)
    if name == "pattern":
        return any(re.search(pattern, text) for text in facts.texts for pattern in want)
    if name == "language":
        spoken = facts.language.lower()
        return any(spoken == one or spoken.startswith(f"{one}-") for one in want)
    if name == "handle_domain":
        return any(
            host == d or host.endswith("." + d) for host in facts.handle_domains for d in want
        )
    if name == "media":
        return any(file in want for file in facts.media)
    if name == "media_near":
        pairs = [(one, hash_, most) for one in facts.pictures for hash_, most in want]
        return any(bin(one ^ hash_).count("1") <= most for one, hash_, most in pairs)
    if name == "label":
        return any(one.value in want for one in facts.labels)
    return getattr(facts, name) is want


def measured(name: str, header: Header, facts: Facts) -> int:
    first_ms = facts.account_first_seen_ms
    numbers = {
        "links": len(facts.links),
        "mentions": facts.mentions,
        "tags": len(facts.tags),
        "text_bytes": len("".join(facts.texts).encode()),
        "payload_bytes": header.payload_len,
        "account_age": 0 if first_ms is None else facts.now_ms - first_ms,
        "posts_per_hour": facts.posts_last_hour,
        "media": facts.attachments,
        "near_duplicates": facts.near_duplicates,
        "near_duplicate_accounts": facts.near_duplicate_accounts,
        "node_posts_per_hour": facts.node_posts_last_hour,
        "node_new_accounts_per_day": facts.node_new_accounts_today,
    }
    return numbers[name]
