"""Checks of how a running node stands in the network, from what it says itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from ratoon_node.operate.doctor.finding import Finding, fail, ok, warn

# Off by more is reported; by more than the second a node signs nothing.
SKEW_S_WARN = 120
SKEW_S_FAIL = 600
# Fewer providers than this, this node's own included, and one of them can end what was posted.
PROVIDERS_MIN = 2
_EVERYBODY = ("0.0.0.0/0", "::/0")


def check_clock(skew_s: float, links: int) -> Finding:
    """This machine's clock against the median of the peers'."""
    if not links:
        return ok("clock", "no node is linked to compare the clock with")
    ahead = f"the clocks of other nodes are {abs(skew_s):.0f} s"
    ahead += " ahead" if skew_s > 0 else " behind"
    do = "have this machine's clock set by NTP (`timedatectl set-ntp true`)"
    if abs(skew_s) > SKEW_S_FAIL:
        return fail("clock", f"{ahead}: the node signs nothing until that is put right", do)
    if abs(skew_s) > SKEW_S_WARN:
        return warn("clock", f"{ahead}: soon others refuse what is posted here", do)
    return ok("clock", "the clock agrees with those of other nodes")


def check_keys(standing: str) -> Finding:
    """Whether this machine alone has the node's keys, as `/readyz` says."""
    if standing == "ok":
        return ok("keys in use", "no other machine was seen with the keys of this node")
    words = "another machine runs with the keys of this node"
    if standing == "silent":
        words += " and started before this one, which signs nothing any more"
    else:
        words += "; it started later and signs nothing, but takes links and people"
    do = "stop one of the two for good, then start the other one again: `ratoon run`"
    return fail("keys in use", words, do)


def check_peers(
    provider: str, peers: Sequence[Mapping[str, Any]], links: Collection[str]
) -> list[Finding]:
    """Links, and at how many providers there are copies; `provider` is this node's own."""
    return [_links(peers, links), _own_provider(provider), _providers(provider, peers, links)]


def _links(peers: Sequence[Mapping[str, Any]], links: Collection[str]) -> Finding:
    added = [peer for peer in peers if peer["added"]]
    missing = [peer for peer in added if peer["node"] not in links]
    if not links:
        words = "no other node is linked: what is posted here is on this disk alone"
        do = "`ratoon peer add https://other.example --provider NAME`"
        return warn("links", words, do if not added else f"see why those do not answer; or {do}")
    if missing:
        names = ", ".join(peer.get("address") or peer["node"][:16] for peer in missing[:3])
        return warn(
            "links",
            f"{len(links)} links; of the {len(added)} nodes you added {len(missing)} are not"
            f" linked: {names}",
            "ask their operators, or take them off with `ratoon peer remove`",
        )
    return ok("links", f"{len(links)} links, among them all {len(added)} nodes you added")


def _own_provider(provider: str) -> Finding:
    if provider:
        return ok("provider", f"this node runs at {provider}")
    words = "it is not said whose machine this is, so others count its copies for nothing"
    return warn("provider", words, 'set provider = "Name of your hosting company"')


def _providers(
    provider: str, peers: Sequence[Mapping[str, Any]], links: Collection[str]
) -> Finding:
    linked = [peer for peer in peers if peer["node"] in links]
    found = {str(peer["provider"]).casefold() for peer in linked if peer["provider"]}
    found |= {provider.casefold()} - {""}
    unknown = sum(1 for peer in linked if not peer["provider"])
    if len(found) < PROVIDERS_MIN:
        not_said = f"; of {unknown} linked nodes you have not confirmed the provider" * bool(
            unknown
        )
        return warn(
            "providers",
            f"copies are at {len(found)} confirmed providers{not_said}: if one company shuts you"
            " out, everything posted here may be gone",
            "link with a node elsewhere and say where: `ratoon peer add ADDRESS --provider NAME`",
        )
    return ok("providers", f"copies are at {len(found)} confirmed providers")


def check_proxies(trusted: Sequence[str], addresses: Sequence[str]) -> Iterator[Finding]:
    """Whether what a proxy says of its clients is believed, and only a proxy is."""
    wide = [one for one in trusted if one in _EVERYBODY]
    if wide:
        yield fail(
            "proxies",
            f"trusted_proxies has {wide[0]}: everybody can pretend to come from any address, past"
            " all limits",
            "name only the address of your proxy",
        )
    elif trusted:
        yield ok("proxies", f"X-Forwarded-For counts from {', '.join(trusted)}")
    elif any(address.startswith(("https:", "wss:")) for address in addresses):
        yield warn(
            "proxies",
            "there is a proxy in front (the node itself speaks no TLS) and it is not named: all"
            " people behind it are charged as one, and reach the limits together",
            'set trusted_proxies = ["127.0.0.1"], or where your proxy is',
        )


def check_vendors(addresses: Sequence[str], resolved: Mapping[str, frozenset[str]]) -> Finding:
    """Whether one company can take all public addresses away.

    `resolved` has the IP addresses of each host, none if there are none (an onion service).
    """
    if not addresses:
        words = "this node says no address of its own: it calls others, nobody can call it"
        return warn("vendors", words, 'set public_addresses = ["https://node.example"]')
    hosts = {urlsplit(address).hostname or "" for address in addresses}
    do = "add an address elsewhere: another domain, another registrar, an onion service"
    if len({_registered(host) for host in hosts}) == 1:
        host = min(hosts)
        words = f"all addresses hang on one domain ({_registered(host)}): if it goes, so do they"
        return warn("vendors", words, do)
    machines = {resolved.get(host, frozenset()) for host in hosts}
    if len(machines) == 1 and machines != {frozenset()}:
        words = "all addresses lead to the same machine of one provider"
        return warn("vendors", words, do)
    return ok("vendors", f"{len(hosts)} addresses that do not hang on one domain or machine")


def _registered(host: str) -> str:
    """What is registered of a host, nearly: its last two labels; an IP address is itself."""
    if host.replace(".", "").isdigit() or ":" in host:
        return host
    return ".".join(host.split(".")[-2:])
