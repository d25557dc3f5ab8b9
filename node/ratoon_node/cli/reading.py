"""What people read: timelines, also live, threads, notifications, search, trends."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ratoon_node.cli import say
from ratoon_node.cli.flags import Json
from ratoon_node.cli.lists import find_list
from ratoon_node.cli.naming import account_in, id_in
from ratoon_node.cli.places import AccountName, NodeUrl

if TYPE_CHECKING:
    from ratoon_client.keyfile import KeyFile
    from ratoon_node.cli.client import Client

# How much of an id tells two apart on a screen.
ID_CHARS_SHOWN = 12
# Deeper answers are not moved further to the right.
INDENTS_MAX = 8
# Names that are remembered while something is followed.
NAMES_MAX = 1000

Limit = Annotated[int, typer.Option(min=1, max=200, help="How many.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (timeline, thread, search, trends, notifications):
        app.command()(command)


def timeline(
    home: Annotated[bool, typer.Option("--home", help="You, and whom you follow.")] = False,
    local: Annotated[bool, typer.Option("--local", help="The people of this node.")] = False,
    tag: Annotated[str | None, typer.Option("--tag", metavar="TAG", help="Of one tag.")] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="WHO", help="Of one account.")] = None,
    list_: Annotated[
        str | None, typer.Option("--list", metavar="NAME", help="Of those on a list of yours.")
    ] = None,
    limit: Limit = 20,
    before: Annotated[int | None, typer.Option(help="Go on: the `next` of a page.")] = None,
    live: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until ^C.")
    ] = False,
    account: AccountName = None,
    node: NodeUrl = None,
    json_: Json = False,
) -> None:
    """Read the latest posts.

    Those of the whole network, or of what an option says; the newest comes last.
    """
    file, client = _reader(account, node, needed=home or list_ is not None)
    if home + local + sum(one is not None for one in (tag, by, list_)) > 1:
        say.fail("say one of --home, --local, --list, --tag and --by", say.Exit.USAGE)
    query: dict[str, str | int | None] = {}
    topic = "home" if home else "local" if local else "network"
    if tag is not None:
        topic, query["tag"] = "tag", tag.removeprefix("#")
    elif by is not None:
        topic, query["account"] = "account", account_in(by, client).hex()
    elif file is not None and list_ is not None:
        topic, query["account"] = "list", file.account
        query["list"] = find_list(client, file.account, list_)["body"]["target"]
    elif file is not None and home:
        query["account"] = file.account
    path = f"/v1/timelines/{topic}"
    asked = dict(query)
    if topic == "account":
        path = f"/v1/accounts/{asked.pop('account')}/posts"
    page = client.get(path, limit=limit, before=before, **asked)
    if json_ and not live:
        say.result(page)
        return
    if not json_:
        if not page["items"]:
            say.line(f'nothing yet: {say.called()} post "Hello"')
        for item in reversed(page["items"]):
            _show(item, page["accounts"])
    if live:
        _follow(client, topic, query, page, json_)


def _follow(
    client: Client, topic: str, query: Mapping[str, Any], page: dict[str, Any], json_: bool
) -> None:
    """Show what comes, for ever."""
    names = dict(page["accounts"])
    for event in client.events(page["end"], topic=topic, **query):
        if json_:
            say.row(event)
        elif "record" in event:
            learn(client, event["record"]["account"], names)
            _show(event["record"], names)
        elif event.get("gone"):
            for id_ in event["gone"]:
                say.line(f"gone: {id_}")


def thread(
    id_: Annotated[str, typer.Argument(metavar="ID", help="A post of it.")],
    account: AccountName = None,
    node: NodeUrl = None,
    json_: Json = False,
) -> None:
    """Read a whole conversation.

    What the post answers, and all answers below it.
    """
    id_in(id_, "a post")
    _, client = _reader(account, node)
    found = client.get(f"/v1/records/{id_}/thread")
    page = found
    while page["next"] is not None:
        page = client.get(f"/v1/records/{id_}/thread", after=page["next"])
        for part in ("replies", "missing", "uninvited"):
            found[part] += page[part]
        found["accounts"] |= page["accounts"]
    if json_:
        say.result(found | {"next": None})
        return
    posts = {one["id"]: one for one in [*found["ancestors"], *found["replies"]]}
    if found["focus"] is not None:
        posts[found["focus"]["id"]] = found["focus"]
    _tree(posts, {one["id"]: one for one in found["missing"]}, found["accounts"], id_)


def _tree(
    posts: Mapping[str, Any], missing: Mapping[str, Any], names: Mapping[str, Any], focus: str
) -> None:
    """Each post under the one it answers; what cannot be read has its place and the reason."""
    below: dict[str | None, list[str]] = {}
    root = next((one["body"]["root"] for one in posts.values() if "root" in one["body"]), None)
    for id_ in [*missing, *posts]:
        if id_ in posts and id_ in missing:
            continue
        if id_ in posts:
            parent = posts[id_]["body"].get("parent")
        else:  # nobody knows any more what it answered: it was somewhere below the root
            parent = missing[id_].get("parent", root if id_ != root else None)
        below.setdefault(parent if parent in posts or parent in missing else None, []).append(id_)
    waiting = [(id_, 0) for id_ in reversed(below.get(None, []))]
    while waiting:
        id_, depth = waiting.pop()
        indent = "  " * min(depth, INDENTS_MAX)
        if id_ in posts:
            _show(posts[id_], names, indent, "> " if id_ == focus else "")
        else:
            say.line(f"{indent}[{missing[id_]['code']}]  {id_}")
        waiting += [(one, depth + 1) for one in reversed(below.get(id_, []))]


def search(
    words: Annotated[list[str], typer.Argument(help='Words, "a phrase", begin*, -not, #tag.')],
    people: Annotated[bool, typer.Option("--people", help="People.")] = False,
    tags: Annotated[bool, typer.Option("--tags", help="Tags, by how they begin.")] = False,
    best: Annotated[bool, typer.Option("--best", help="Best first, not newest.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many.")] = 20,
    after: Annotated[str | None, typer.Option(help="Go on: the `next` of a page.")] = None,
    account: AccountName = None,
    node: NodeUrl = None,
    json_: Json = False,
) -> None:
    """Find posts by their words, or people, or tags."""
    _, client = _reader(account, node)
    among = "people" if people else "tags" if tags else "posts"
    query: dict[str, str | int | None] = {"q": " ".join(words), "in": among, "limit": limit}
    order = "best" if best else "new"
    found = client.get("/v1/search", **query, order=order, after=after)
    if json_:
        say.result(found)
        return
    if not found[{"posts": "items"}.get(among, among)]:
        say.line("nothing found")
    for item in reversed(found["items"]):
        _show(item, found["accounts"])
    for person in found["people"]:
        say.line(f"{_who(person['account'], found['accounts'])}  {person['account']}")
    for one in found["tags"]:
        say.line(f"#{one['tag']}  {one['posts']}{'+' if one['more'] else ''}")


def trends(
    account: AccountName = None,
    node: NodeUrl = None,
    json_: Json = False,
) -> None:
    """Read what more accounts than usual speak of.

    And why it is listed.
    """
    _, client = _reader(account, node)
    found = client.get("/v1/trends")
    if json_:
        say.result(found)
        return
    if not found["tags"] and not found["posts"]:
        say.line("nothing stands out")
    for one in found["tags"]:
        say.line(f"#{one['tag']}  {one['why']['words']}")
    for one in found["posts"]:
        _show(one["item"], found["accounts"])
        say.line(f"    {one['why']['words']}")


def notifications(
    only: Annotated[
        str, typer.Option(metavar="KINDS", help="Such as reply,mention,follow; all if empty.")
    ] = "",
    limit: Limit = 20,
    before: Annotated[int | None, typer.Option(help="Go on: the `next` of a page.")] = None,
    read: Annotated[bool, typer.Option("--read", help="Mark them as read.")] = False,
    live: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until ^C.")
    ] = False,
    account: AccountName = None,
    node: NodeUrl = None,
    json_: Json = False,
) -> None:
    """Read who answered, mentioned or followed you.

    And who quoted you, reacted and the like. Signs in with your key.
    """
    from ratoon_node.cli.session import signed_in

    file, client = _reader(account, node, needed=True)
    assert file is not None, "a reader of notifications has an account"
    client = signed_in(client, file)
    page = client.get("/v1/notifications", only=only, limit=limit, before=before)
    if read:
        client.send("PUT", "/v1/read-marks", {"marks": {"notifications": page["end"]}})
    if json_ and not live:
        say.result(page)
        return
    if not json_:
        if not page["items"]:
            say.line("nothing yet")
        for item in reversed(page["items"]):
            _tell(item, page["accounts"])
    if live:
        names = dict(page["accounts"])
        for event in client.events(page["end"], topic="notifications"):
            if json_:
                say.row(event)
            elif "notification" in event:
                learn(client, event["notification"]["account"], names)
                _tell(event["notification"], names)


# --- showing -----------------------------------------------------------------------------


def _reader(
    account: str | None, node: str | None, needed: bool = False
) -> tuple[KeyFile | None, Client]:
    """The account that reads, if it is clear which, and a client of its node or of the one here."""
    from ratoon_client import keyfile
    from ratoon_node.cli.client import Client
    from ratoon_node.cli.places import client_of, node_here

    known = keyfile.names()
    clear = needed or account or len(known) == 1 or keyfile.DEFAULT_NAME in known
    file = keyfile.load(account) if clear else None
    return file, client_of(file, node) if file else Client(node or node_here())


def learn(client: Client, account: str, names: dict[str, Any]) -> None:
    """Add the name of an account to `names`, which has at most `NAMES_MAX`; the oldest goes."""
    from ratoon_node.cli.client import Refused, Unreachable

    if account in names:
        return
    try:
        name = client.get(f"/v1/accounts/{account}")["profile"]["name"]
    except (Refused, Unreachable, KeyError, TypeError):
        return  # no name, for now: the account itself is shown
    while len(names) >= NAMES_MAX:
        del names[next(iter(names))]
    names[account] = {"name": name}


def _who(account: str, names: Mapping[str, Any]) -> str:
    named = names.get(account, {})
    name = named.get("name") or "Account"
    handle = f" @{named['handle']}" if named.get("handle") else ""
    warning = " (looks like another account)" if named.get("confusable") else ""
    return f"{name}{handle} {account[:ID_CHARS_SHOWN]}{warning}"


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _show(
    item: Mapping[str, Any], names: Mapping[str, Any], indent: str = "", mark: str = ""
) -> None:
    body = item["body"]
    text = body.get("text") or ("" if body.get("poll") else f"[{item['kind']}]")
    if item["kind"] == "repost":
        text = f"shows {body['target']}"
    if body.get("quote"):
        text = f"{body.get('text', '')}\n(quotes {body['quote']})".strip()
    if body.get("warning"):
        text = f"[{body['warning']}]"
    answered = body.get("parent")
    answers = f"  answers {answered[:ID_CHARS_SHOWN]}" if answered and not indent else ""
    edited = "  edited" if "edited" in item else ""
    when = _moment(item["created_ms"])
    who = _who(item["account"], names)
    say.line(f"{indent}{mark}{when}  {who}  {item['id']}{answers}{edited}")
    poll = None if body.get("warning") else body.get("poll")
    for one in [*text.splitlines(), *_poll(poll, item.get("counts", {}))]:
        say.line(f"{indent}    {one}")
    if counts := _counts(item.get("counts", {})):
        say.line(f"{indent}    {counts}")


def _poll(poll: Mapping[str, Any] | None, counts: Mapping[str, Any]) -> list[str]:
    """The answers of a poll, numbered as `vote` takes them."""
    if poll is None:
        return []
    votes = counts.get("votes") or [0] * len(poll["options"])
    rows = [
        f"{number}. {answer}  {count}"
        for number, (answer, count) in enumerate(zip(poll["options"], votes, strict=False), 1)
    ]
    several = "several may be chosen, " if poll["many"] else ""
    return [*rows, f"({several}until {_moment(poll['ends_ms'])} UTC)"]


def _counts(counts: Mapping[str, Any]) -> str:
    """What others made of a post, in one line; "" if nothing."""
    several = {"replies": "reply", "reposts": "repost", "quotes": "quote"}
    found = [
        f"{counts[names]} {name if counts[names] == 1 else names}"
        for names, name in several.items()
        if counts.get(names)
    ]
    found += [f"{emoji} {count}" for emoji, count in counts.get("reactions", {}).items()]
    return "  ".join(found)


def _tell(item: Mapping[str, Any], names: Mapping[str, Any]) -> None:
    """One notification."""
    who = _who(item["account"], names)
    say.line(f"{_moment(item['at_ms'])}  {item['what']}  {who}")
    text = item["record"].get("body", {}).get("text")
    for one in (text or "").splitlines():
        say.line(f"    {one}")
