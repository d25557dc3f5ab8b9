"""R-127: signed statements, as far as a node takes them from strangers: signing in."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ratoon_node.cli.conformance.bench import Bench
from ratoon_node.cli.conformance.people import Person, fresh_key, now_ms, pack
from ratoon_node.cli.conformance.probe_http import Answer
from ratoon_node.cli.conformance.suite import Unmet, check
from ratoon_protocol.keys import Context, SigningKey, signed_bytes
from ratoon_protocol.limits import NONCE_BYTES
from ratoon_protocol.statement import SignIn, origin_of, sign_in

# What a statement is good for when it is honest.
_EXPIRES_MS = 60_000


async def _challenged(bench: Bench, account: bytes) -> SignIn:
    """What the node gives to be signed. Raises `Unmet` where nobody can sign in."""
    data = msgspec.json.encode({"account": account.hex()})
    found = await bench.http.ask(
        "POST", "/v1/session/challenge", data, Content_Type="application/json"
    )
    match found.json:
        case {"audience": str(audience), "nonce": str(nonce)}:
            origin = origin_of(bench.options.url)
            expires_ms = now_ms() + _EXPIRES_MS
            return SignIn(
                account, bytes.fromhex(audience), origin, bytes.fromhex(nonce), expires_ms
            )
    raise Unmet(f"nobody can sign in at POST /v1/session/challenge (HTTP {found.status})")


async def _sign_in(bench: Bench, statement: bytes) -> Answer:
    form = {"statement": base64.b64encode(statement).decode()}
    data = msgspec.json.encode(form)
    return await bench.http.ask("POST", "/v1/session", data, Content_Type="application/json")


def _as_another_context(network: bytes, said: SignIn, key: SigningKey) -> bytes:
    content = pack(list(said))
    return pack([content, key.public, key.sign(signed_bytes(Context.TOKEN, network, content))])


def _wrong(bench: Bench, who: Person) -> Mapping[str, Callable[[SignIn], bytes]]:
    """What must sign nobody in, made of a right challenge."""
    network, device = bench.network, who.device

    def changed(**parts: Any) -> Callable[[SignIn], bytes]:
        return lambda said: sign_in(network, said._replace(**parts), device)

    return {
        "by a key that nobody lists": lambda said: sign_in(network, said, fresh_key()),
        "by an account key": lambda said: sign_in(network, said, who.paper),
        "for another node": changed(audience=bytes(32)),
        "for another origin": changed(origin="https://elsewhere.invalid"),
        "with a nonce of one's own": changed(nonce=secrets.token_bytes(NONCE_BYTES)),
        "that is over": changed(expires_ms=now_ms() - 1000),
    }


@check("R-127", "R-19", title="signing in")
async def signing_in(bench: Bench) -> None:
    """A statement names account, node, origin, nonce and end; each must be right, and once.

    Each is tried with a nonce of its own: a node may count one that came with what is wrong.
    """
    who = await bench.resident()
    said = await _challenged(bench, who.account)
    bench.same("R-127", "the audience to be signed for", said.audience, await bench.node())
    for case, make in _wrong(bench, who).items():
        found = await _sign_in(bench, make(await _challenged(bench, who.account)))
        bench.true("R-127", f"a statement {case} is refused", found.status >= 400)
    said = await _challenged(bench, who.account)
    found = await _sign_in(bench, _as_another_context(bench.network, said, who.device))
    bench.true("R-19", "what was signed as a token signs nobody in", found.status >= 400)
    good = sign_in(bench.network, await _challenged(bench, who.account), who.device)
    found = await _sign_in(bench, good)
    bench.true("R-127", f"a right statement signs in (HTTP {found.status})", found.status < 300)
    again = await _sign_in(bench, good)
    bench.true("R-127", "the same statement again is refused", again.status >= 400)
