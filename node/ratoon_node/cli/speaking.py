"""What people say: post, answer, quote, ask in a poll, vote, edit, delete, react, show again."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ratoon_node.cli import say
from ratoon_node.cli.flags import Json
from ratoon_node.cli.naming import account_of, author_of, body_of, check_own, id_in
from ratoon_node.cli.places import AccountName, NodeUrl
from ratoon_node.cli.publishing import PostId, Wait, WaitTimeout, said, sign, signer, span_ms

if TYPE_CHECKING:
    from ratoon_node.cli.client import Client
    from ratoon_protocol.codec import Value
    from ratoon_protocol.record import Body

# What makes a post more than nothing, where it has no words.
_INSTEAD_OF_WORDS = ("quote", "poll", "media")
# What was meant to name somebody and lacks the domain.
_BARE_NAME = re.compile(r"(?<![\w@/])@(\w+(?:[.-]\w+)*)(?![\w.-]*@)")

Text = Annotated[str, typer.Argument(help="What to say; - reads it from standard input.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (post, edit, delete, react, repost, vote):
        app.command()(command)


def post(
    text: Text,
    reply_to: Annotated[
        str | None, typer.Option("--reply-to", metavar="ID", help="The post this answers.")
    ] = None,
    quote: Annotated[
        str | None, typer.Option("--quote", metavar="ID", help="A post to show below the words.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="ANSWER", help="Makes it a poll: an answer to choose."),
    ] = None,
    many: Annotated[bool, typer.Option("--many", help="In a poll several may be chosen.")] = False,
    ends: Annotated[
        str | None, typer.Option(metavar="TIME", help="When a poll ends: 30m, 12h, 2w. [1d]")
    ] = None,
    lang: Annotated[str | None, typer.Option(help="Its language, such as en.")] = None,
    warning: Annotated[str | None, typer.Option(help="Shown instead, until it is opened.")] = None,
    wait: Wait = 0,
    timeout: WaitTimeout = 30,
    account: AccountName = None,
    node: NodeUrl = None,
    json_: Json = False,
) -> None:
    """Say something, answer, quote, or ask in a poll.

    Whom the words name as @name@domain is told. With --wait it says how many providers hold the
    post before it returns; if they are fewer, the post is there all the same and the exit code is
    1.
    """
    from ratoon_protocol import kinds

    body: Body = {name: value for name, value in (("lang", lang), ("warning", warning)) if value}
    if option or many or ends:
        body["poll"] = _poll(option or [], many, ends or "1d")
    _, client = signer(account, node)
    if reply_to is not None:
        body |= _reply(client, reply_to)
    if quote is not None:
        body |= {"quote": id_in(quote, "a post"), "quote_account": author_of(quote, client)}
    _say(body, text, client)
    published = sign(account, node, kinds.POST, body, None, wait, timeout if wait else 0)
    said(published, "Posted", json_)


def _say(body: Body, text: str, client: Client) -> None:
    """Put words into a post, with what is marked in them. Raises `CommandError` for none."""
    from ratoon_node.cli.client import Refused
    from ratoon_protocol import compose

    words = sys.stdin.read().rstrip("\n") if text == "-" else text
    if not any(char.isprintable() and not char.isspace() for char in words):
        if not any(body.get(name) for name in _INSTEAD_OF_WORDS):
            say.fail("there are no words in it: say something", say.Exit.USAGE)
        words = ""
    accounts: dict[str, bytes] = {}
    named = compose.mentioned(words)
    for name in named:
        if "@" in name:
            try:
                accounts[name] = account_of(name, client)
            except Refused:
                say.note(f"nobody is found as @{name}; it stays text")
    for name in dict.fromkeys(_BARE_NAME.findall(words)):
        if name.lower() not in named:
            say.note(f"nobody is found as @{name}; it stays text: a mention is @name@domain")
    body.pop("facets", None)
    body["text"] = words
    if facets := compose.facets(words, accounts):
        body["facets"] = facets


def _poll(options: list[str], many: bool, ends: str) -> Body:
    from ratoon_node.cli.identity import now_ms
    from ratoon_protocol.limits import POLL_OPTIONS_MAX

    answers = list(dict.fromkeys(map(str.strip, options)))
    if len(answers) != len(options) or not all(answers):
        say.fail("two answers of a poll are the same, or one is empty", say.Exit.USAGE)
    if not 2 <= len(answers) <= POLL_OPTIONS_MAX:
        words = f"a poll has 2 to {POLL_OPTIONS_MAX} answers: say each with --option"
        say.fail(words, say.Exit.USAGE)
    choices: list[Value] = [*answers]
    return {"ends_ms": now_ms() + span_ms(ends), "many": int(many), "options": choices}


def _reply(client: Client, id_: str) -> Body:
    """The fields that make a post an answer."""
    from ratoon_protocol import compose

    parent_id = id_in(id_, "a post")
    parent = client.get(f"/v1/records/{id_}")
    names = ("root", "root_account")
    body: Body = {
        name: bytes.fromhex(parent["body"][name]) for name in names if name in parent["body"]
    }
    return compose.answer_to(parent_id, bytes.fromhex(parent["account"]), body)


def edit(
    id_: PostId,
    text: Text,
    account: AccountName = None,
    node: NodeUrl = None,
    json_: Json = False,
) -> None:
    """Change the words of a post of yours.

    All else of it stays, and its older versions can still be read.
    """
    from ratoon_protocol import kinds

    target = id_in(id_, "a post")
    file, client = signer(account, node)
    shown = client.get(f"/v1/records/{id_}")
    if shown["kind"] != "post":
        say.fail(f"{id_} is no post but a {shown['kind']}", say.Exit.USAGE)
    body = body_of(shown.get("edited", shown)["id"], client, file)
    _say(body, text, client)
    said(sign(account, node, kinds.EDIT, body, target), "Edited, says record", json_)


def delete(
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="Posts of yours.")],
    account: AccountName = None,
    node: NodeUrl = None,
    json_: Json = False,
) -> None:
    """Delete posts of yours.

    Every node that follows the rules erases their content. All of them go or, if one is not there
    or not yours, none. Reposts and reactions go the same way.
    """
    from ratoon_protocol import kinds
    from ratoon_protocol.limits import DELETE_TARGETS_MAX

    named = list(dict.fromkeys(ids))
    targets: list[Value] = [id_in(item, "a post") for item in named]
    if len(targets) > DELETE_TARGETS_MAX:
        say.fail(f"name at most {DELETE_TARGETS_MAX} posts at once", say.Exit.USAGE)
    file, client = signer(account, node)
    check_own(named, client, file)
    said(sign(account, node, kinds.DELETE, {"ids": targets}), "Deleted, says record", json_)


def react(
    id_: PostId,
    emoji: Annotated[str, typer.Argument(help="What to put on it.")] = "♥",
    off: Annotated[bool, typer.Option("--off", help="Take it back.")] = False,
    account: AccountName = None,
    node: NodeUrl = None,
    json_: Json = False,
) -> None:
    """Put a reaction on a post.

    It takes the place of the one you put there before.
    """
    from ratoon_protocol import kinds

    _, client = signer(account, node)
    author = author_of(id_, client)
    body: Body = {"emoji": emoji, "state": int(not off), "target_account": author}
    words = "No longer reacting" if off else "Reacted"
    said(sign(account, node, kinds.REACTION, body, bytes.fromhex(id_)), words, json_)


def repost(
    id_: PostId,
    account: AccountName = None,
    node: NodeUrl = None,
    json_: Json = False,
) -> None:
    """Show a post to those who follow you.

    `ratoon delete` with the id of the repost takes it back.
    """
    from ratoon_protocol import kinds

    _, client = signer(account, node)
    author = author_of(id_, client)
    body: Body = {"target": bytes.fromhex(id_), "target_account": author}
    said(sign(account, node, kinds.REPOST, body), "Reposted", json_)


def vote(
    id_: PostId,
    numbers: Annotated[
        list[int] | None,
        typer.Argument(metavar="N", help="Your answer, as the poll numbers them from 1."),
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Take your vote back.")] = False,
    account: AccountName = None,
    node: NodeUrl = None,
    json_: Json = False,
) -> None:
    """Vote in a poll.

    Voting again changes your vote. Votes are public.
    """
    from ratoon_protocol import kinds

    if off == bool(numbers):
        say.fail("say the number of your answer, or --off", say.Exit.USAGE)
    target = id_in(id_, "a post")
    _, client = signer(account, node)
    choices: list[Value] = [*_choices(client, id_, numbers or [])]
    words = "No longer voting" if off else "Voted"
    said(sign(account, node, kinds.VOTE, {"choices": choices}, target), words, json_)


def _choices(client: Client, id_: str, numbers: list[int]) -> list[int]:
    """Places of the chosen answers, ascending. Raises `CommandError`."""
    from ratoon_node.cli.identity import now_ms

    poll = client.get(f"/v1/records/{id_}")["body"].get("poll")
    if poll is None:
        say.fail(f"{id_} is no poll")
    if poll["ends_ms"] <= now_ms():
        say.fail("this poll has ended")
    chosen = sorted({number - 1 for number in numbers})
    if chosen and not 0 <= chosen[0] <= chosen[-1] < len(poll["options"]):
        say.fail(f"the answers are numbered 1 to {len(poll['options'])}", say.Exit.USAGE)
    if len(chosen) > 1 and not poll["many"]:
        say.fail("one answer alone can be chosen in this poll", say.Exit.USAGE)
    return chosen
